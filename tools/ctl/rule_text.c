/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/ctl/rule_text.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/str.h"
#include "datapath/flow/action_text.h"

bool rule_match_of(struct attrs a, enum api_attr id, struct match *out)
{
	const struct attr *m = attrs_find(a, id);
	struct minimatch *mm;
	if (!m || !minimatch_is_valid(m->value, m->len))
		return false;
	mm = aligned_alloc(SL_CACHE_LINE, SL_ALIGN_UP((size_t)m->len, SL_CACHE_LINE));
	if (!mm)
		return false;
	memcpy(mm, m->value, m->len);
	minimatch_expand(mm, out);
	free(mm);
	return true;
}

char *rule_match_text(struct attrs rule)
{
	struct str s = STR_INIT;
	struct match m;
	if (rule_match_of(rule, ATTR_MATCH, &m))
		match_format(&m, NULL, &s);
	return str_steal(&s);
}

char *rule_text(struct attrs rule)
{
	struct str s = STR_INIT;
	char *match = rule_match_text(rule);
	size_t len = 0;
	const void *actions = attrs_bytes(rule, ATTR_ACTIONS, &len);
	void *copy = len ? xmemdup(actions, len) : NULL; /* aligned */
	str_printf(&s, "cookie=0x%llx, table=%u, priority=%u",
		   (unsigned long long)attrs_u64(rule, ATTR_COOKIE, 0),
		   (unsigned)attrs_u64(rule, ATTR_TABLE, 0),
		   (unsigned)attrs_u64(rule, ATTR_PRIORITY, 0));
	if (match[0])
		str_printf(&s, ",%s", match);
	str_puts(&s, " actions=");
	if (!action_list_check(copy, len, NULL))
		actions_format(copy, len, NULL, &s);
	free(copy);
	free(match);
	return str_steal(&s);
}
