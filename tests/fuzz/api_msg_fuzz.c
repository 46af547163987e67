/* SPDX-License-Identifier: BSD-3-Clause */
/* A message that msg_check() accepts can be walked, searched and printed without leaving it; the
 * JSON that comes out has balanced brackets. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/api/msg.h"
#include "datapath/base/err.h"
#include "datapath/base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned walk(struct attrs s)
{
	unsigned sum = 0;

	ATTR_FOR_EACH (a, s) {
		unsigned id = a->id & ~(unsigned)ATTR_CRITICAL;

		if (id >= ATTR_N)
			continue;
		for (uint32_t i = 0; i < a->len; i++)
			sum += a->value[i];
		if (api_attrs[id].kind == ATTR_KIND_NEST)
			sum += walk(attr_nest(a));
		else if (api_attrs[id].kind == ATTR_KIND_STR)
			sum += (unsigned)strlen((const char *)a->value);
	}
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = {0};
	int depth = 0;
	bool quoted = false;

	if (size < sizeof(struct msg_header))
		return 0;
	/* The length field is the framing layer's business: right here, so that the rest is seen.
	 */
	uint8_t *copy = xmemdup(data, size);
	((struct msg_header *)(void *)copy)->length = (uint32_t)size;
	if (!msg_check(copy, size, &e)) {
		struct attrs a = msg_attrs(copy);
		struct str s = STR_INIT;

		walk(a);
		for (int id = 1; id < ATTR_N; id++)
			(void)attrs_u64(a, (enum api_attr)id, 0);
		attrs_format_json(a, &s);
		for (const char *p = str_cstr(&s); *p; p++) {
			if (quoted && *p == '\\')
				p++;
			else if (*p == '"')
				quoted = !quoted;
			else if (!quoted)
				depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
		}
		assert(!depth && !quoted);
		str_free(&s);
	}
	free(copy);
	return 0;
}
