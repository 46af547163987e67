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

bool api_read_match(const struct attr *a, struct match *out)
{
	union {
		struct minimatch mm;
		uint8_t bytes[sizeof(struct minimatch) + 2 * FLOW_LINES * FLOW_LINE_BYTES];
	} copy;

	if (!a || a->len > sizeof copy) {
		match_init(out);
		return !a;
	}
	memcpy(copy.bytes, a->value, a->len); /* to where it is aligned */
	if (!minimatch_is_valid(&copy, a->len)) {
		match_init(out);
		return false;
	}
	minimatch_expand(&copy.mm, out);
	return true;
}

bool api_get_match(struct attrs a, enum api_attr id, struct match *out)
{
	return api_read_match(attrs_find(a, id), out);
}
