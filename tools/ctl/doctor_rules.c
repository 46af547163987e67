/* SPDX-License-Identifier: BSD-3-Clause */
/* What rules ask for and the datapath does not do: actions of flow/inert_actions.def. */
#include <stdlib.h>

#include "datapath/flow/action.h"
#include "tools/ctl/doctor.h"

enum { RULES_LOOKED_AT = 100000 }; /* of a bridge: more are too many to read for a check */

static const struct {
	enum action_type type;
	const char *name, *instead;
} inert[] = {
#define INERT_ACTION(id, name, instead) {ACTION_##id, name, instead},
#include "datapath/flow/inert_actions.def"
#undef INERT_ACTION
};

static void count(const void *list, size_t len, uint64_t *counts)
{
	ACTION_FOR_EACH(a, list, len)
	{
		size_t n;
		const uint8_t *nested = action_nested(a, &n);

		for (size_t i = 0; i < SL_ARRAY_SIZE(inert); i++)
			counts[i] += a->type == inert[i].type;
		if (nested)
			count(nested, n, counts);
	}
}

static void look_at_rule(struct attrs a, void *aux)
{
	size_t n;
	const void *actions = attrs_bytes(a, ATTR_ACTIONS, &n);

	if (actions)
		count(actions, n, aux);
}

static void add_rules(struct attrs a, void *aux)
{
	*(uint64_t *)aux += attrs_u64(a, ATTR_ACTIVE_COUNT, 0);
}

void check_actions(struct doctor *d)
{
	VEC_FOR_EACH (b, &d->now.bridges) {
		uint64_t counts[SL_ARRAY_SIZE(inert)] = {0}, rules = 0;
		struct msg m;

		msg_init(&m, API_TABLES, 0);
		msg_put_str(&m, ATTR_BRIDGE, b->name);
		if (command_dump(d->c, &m, add_rules, &rules) || rules > RULES_LOOKED_AT)
			continue;
		msg_init(&m, API_RULES, 0);
		msg_put_str(&m, ATTR_BRIDGE, b->name);
		if (command_dump(d->c, &m, look_at_rule, counts))
			continue;
		for (size_t i = 0; i < SL_ARRAY_SIZE(inert); i++)
			if (counts[i])
				doctor_find(d, DOCTOR_WARNING, b->name, "sluice flow dump BRIDGE",
					    "%llu actions %s are not executed: %s",
					    (unsigned long long)counts[i], inert[i].name,
					    inert[i].instead);
	}
}
