/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/api/match_attr.h"

#include <stdlib.h>
#include <string.h>

void api_put_match(struct msg *out, enum api_attr id, const struct match *m)
{
	struct minimatch *mm = minimatch_create(m);

	msg_put_bytes(out, id, mm, minimatch_size(mm));
	free(mm);
}

bool api_get_match(struct attrs a, enum api_attr id, struct match *out)
{
	union {
		struct minimatch mm;
		uint8_t bytes[sizeof(struct minimatch) + 2 * FLOW_LINES * FLOW_LINE_BYTES];
	} copy;
	size_t n;
	const void *p = attrs_bytes(a, id, &n);

	match_init(out);
	if (!p || n > sizeof copy)
		return !p;
	memcpy(copy.bytes, p, n); /* to where it is aligned */
	if (!minimatch_is_valid(&copy, n))
		return false;
	minimatch_expand(&copy.mm, out);
	return true;
}
