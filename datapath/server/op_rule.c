/* SPDX-License-Identifier: BSD-3-Clause */
/* RULE_MOD, TABLE_SET. */
#include <errno.h>
#include <string.h>

#include "datapath/flow/action.h"
#include "datapath/server/op.h"
#include "datapath/server/rule_attrs.h"
#include "datapath/table/bridge.h"
#include "datapath/table/flow_mod.h"

/* The match of the operation in work; applied before the next one is read. */
static struct rule_match_buf match_buf;

static struct bridge *bridge_of(const struct op *op, struct err *e)
{
	const char *name = attrs_str(op->a, ATTR_BRIDGE, "");
	struct bridge *b = bridge_find(name);

	if (!b)
		err_set(e, ENOENT, "bridge %s: not found", name);
	return b;
}

static int check_bridge(const struct op *op, struct err *e)
{
	const char *name;
	int rc = op_name(op, ATTR_BRIDGE, &name, e);

	if (!rc && !registry_bridge(name))
		rc = err_set(e, ENOENT, "bridge %s: not found", name);
	return rc;
}

int op_stage_RULE_MOD(struct op *op, struct op_effects *fx, struct err *e)
{
	const struct minimatch *match;
	size_t len;
	int rc = check_bridge(op, e);

	if (!rc)
		rc = op_check_range(op, ATTR_COMMAND, API_MOD_ADD, API_MOD_DELETE_STRICT, e);
	if (!rc)
		rc = rule_attrs_match(op->a, ATTR_MATCH, &match_buf, &match, e);
	const void *actions = attrs_bytes(op->a, ATTR_ACTIONS, &len);
	if (!rc && len)
		rc = action_list_check(actions, len, e);
	return rc;
}

static const uint8_t commands[] = {
	[API_MOD_ADD] = FLOW_MOD_ADD,
	[API_MOD_MODIFY] = FLOW_MOD_MODIFY,
	[API_MOD_MODIFY_STRICT] = FLOW_MOD_MODIFY_STRICT,
	[API_MOD_DELETE] = FLOW_MOD_DELETE,
	[API_MOD_DELETE_STRICT] = FLOW_MOD_DELETE_STRICT,
};

/* What is told of the flow mod but for its match; COOKIE means one thing to an addition and another
 * to the rest. */
struct told {
	uint64_t cookie, new_cookie;
	const char *bridge;
};

static void read_mod(struct attrs a, struct flow_mod *fm, struct told *told)
{
	*told = (struct told){.new_cookie = UINT64_MAX, .bridge = ""};
	ATTR_FOR_EACH (it, a) {
		uint64_t v = attr_u64(it);

		switch (it->id & ~ATTR_CRITICAL) {
		case ATTR_BRIDGE:
			told->bridge = (const char *)it->value;
			break;
		case ATTR_COMMAND:
			if (v < SL_ARRAY_SIZE(commands))
				fm->command = commands[v];
			break;
		case ATTR_TABLE:
			fm->table = (uint8_t)v;
			break;
		case ATTR_PRIORITY:
			fm->priority = (uint16_t)v;
			break;
		case ATTR_IDLE_TIMEOUT_S:
			fm->idle_timeout_s = (uint16_t)v;
			break;
		case ATTR_HARD_TIMEOUT_S:
			fm->hard_timeout_s = (uint16_t)v;
			break;
		case ATTR_IMPORTANCE:
			fm->importance = (uint16_t)v;
			break;
		case ATTR_RULE_FLAGS:
			fm->flags = (uint32_t)v;
			break;
		case ATTR_COOKIE:
			told->cookie = v;
			break;
		case ATTR_COOKIE_MASK:
			fm->cookie_mask = v;
			break;
		case ATTR_NEW_COOKIE:
			told->new_cookie = v;
			break;
		case ATTR_OUT_PORT:
			fm->out_port = (uint32_t)v;
			break;
		case ATTR_OUT_GROUP:
			fm->out_group = (uint32_t)v;
			break;
		case ATTR_ACTIONS:
			if (fm->actions) /* the first was checked */
				break;
			fm->actions = it->value;
			fm->actions_len = it->len;
			break;
		case ATTR_BLOB:
			fm->blob = it->value;
			fm->blob_len = it->len;
			break;
		default:
			break;
		}
	}
	fm->hidden = fm->flags & RULE_HIDDEN;
	fm->cookie_match = told->cookie;
	/* Modified rules keep their cookie unless a new one is given. */
	fm->cookie = fm->command == FLOW_MOD_ADD ? told->cookie : told->new_cookie;
}

int op_apply_RULE_MOD(struct op *op, struct op_effects *fx, struct err *e)
{
	struct flow_mod fm;
	struct told told;

	flow_mod_init(&fm);
	fm.command = commands[API_MOD_ADD];
	read_mod(op->a, &fm, &told);
	struct bridge *b = bridge_find(told.bridge);
	if (!b)
		return err_set(e, ENOENT, "bridge %s: not found", told.bridge);
	if (rule_attrs_match(op->a, ATTR_MATCH, &match_buf, &fm.match, e))
		return -EINVAL;
	uint32_t n_changed = 0;
	int rc = flow_mod(&fx->txn, b, &fm, &n_changed, &fx->ofp_error, e);
	bool modifies = fm.command == FLOW_MOD_MODIFY || fm.command == FLOW_MOD_MODIFY_STRICT;
	if (rc || n_changed || !modifies || fm.cookie == UINT64_MAX || fm.cookie_mask)
		return rc;
	/* OpenFlow 1.0 §4.6: a modify that finds nothing adds */
	fm.command = FLOW_MOD_ADD;
	fm.table = fm.table == TABLE_ALL ? 0 : fm.table;
	return flow_mod(&fx->txn, b, &fm, NULL, &fx->ofp_error, e);
}

int op_stage_TABLE_SET(struct op *op, struct op_effects *fx, struct err *e)
{
	int rc = check_bridge(op, e);

	if (!rc && !attrs_has(op->a, ATTR_TABLE))
		rc = err_set(e, EINVAL, "table_set: table is missing");
	if (!rc)
		rc = op_check_range(op, ATTR_TABLE_MISS, 0, TABLE_MISS_DEFAULT, e);
	if (!rc)
		rc = op_check_range(op, ATTR_EVICTION, 0, 1, e);
	if (!rc)
		rc = op_check_range(op, ATTR_VACANCY_DOWN, 0, 100, e);
	if (!rc)
		rc = op_check_range(op, ATTR_VACANCY_UP, 0, 100, e);
	return rc;
}

static int set_table(struct op *op, struct op_effects *fx, struct bridge *b, uint8_t table,
		     struct err *e)
{
	struct flow_table_config c;
	struct attrs a = op->a;

	flow_table_config_get(b, table, &c);
	if (attrs_has(a, ATTR_NAME)) {
		memset(c.name, 0, sizeof c.name);
		strncpy(c.name, attrs_str(a, ATTR_NAME, ""), sizeof c.name - 1);
	}
	c.config = (uint32_t)attrs_u64(a, ATTR_TABLE_CONFIG, c.config);
	c.miss = (uint8_t)attrs_u64(a, ATTR_TABLE_MISS, c.miss);
	c.max_entries = (uint32_t)attrs_u64(a, ATTR_MAX_ENTRIES, c.max_entries);
	c.eviction = attrs_u64(a, ATTR_EVICTION, c.eviction);
	c.vacancy_down = (uint8_t)attrs_u64(a, ATTR_VACANCY_DOWN, c.vacancy_down);
	c.vacancy_up = (uint8_t)attrs_u64(a, ATTR_VACANCY_UP, c.vacancy_up);
	return flow_table_set(&fx->txn, b, table, &c, e);
}

int op_apply_TABLE_SET(struct op *op, struct op_effects *fx, struct err *e)
{
	struct bridge *b = bridge_of(op, e);
	uint8_t table = (uint8_t)attrs_u64(op->a, ATTR_TABLE, 0);
	int rc = b ? 0 : -ENOENT;

	if (rc || table != TABLE_ALL)
		return rc ? rc : set_table(op, fx, b, table, e);
	for (unsigned i = 0; i < BRIDGE_TABLES_DEFAULT && !rc; i++)
		rc = set_table(op, fx, b, (uint8_t)i, e);
	return rc;
}
