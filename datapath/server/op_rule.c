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

int op_apply_RULE_MOD(struct op *op, struct op_effects *fx, struct err *e)
{
	struct bridge *b = bridge_of(op, e);
	struct attrs a = op->a;
	struct flow_mod fm;
	size_t len;

	if (!b)
		return -ENOENT;
	flow_mod_init(&fm);
	fm.command = commands[attrs_u64(a, ATTR_COMMAND, API_MOD_ADD)];
	fm.table = (uint8_t)attrs_u64(a, ATTR_TABLE, fm.table);
	fm.priority = (uint16_t)attrs_u64(a, ATTR_PRIORITY, fm.priority);
	fm.idle_timeout_s = (uint16_t)attrs_u64(a, ATTR_IDLE_TIMEOUT_S, 0);
	fm.hard_timeout_s = (uint16_t)attrs_u64(a, ATTR_HARD_TIMEOUT_S, 0);
	fm.importance = (uint16_t)attrs_u64(a, ATTR_IMPORTANCE, 0);
	fm.flags = (uint32_t)attrs_u64(a, ATTR_RULE_FLAGS, 0);
	fm.hidden = fm.flags & RULE_HIDDEN;
	fm.cookie_mask = attrs_u64(a, ATTR_COOKIE_MASK, 0);
	fm.cookie_match = attrs_u64(a, ATTR_COOKIE, 0);
	/* Modified rules keep their cookie unless a new one is given. */
	fm.cookie = fm.command == FLOW_MOD_ADD ? fm.cookie_match
					       : attrs_u64(a, ATTR_NEW_COOKIE, UINT64_MAX);
	fm.out_port = (uint32_t)attrs_u64(a, ATTR_OUT_PORT, OFP_PORT_ANY);
	fm.out_group = (uint32_t)attrs_u64(a, ATTR_OUT_GROUP, UINT32_MAX);
	if (rule_attrs_match(a, ATTR_MATCH, &match_buf, &fm.match, e))
		return -EINVAL;
	fm.actions = attrs_bytes(a, ATTR_ACTIONS, &len);
	fm.actions_len = (uint32_t)len;
	fm.blob = attrs_bytes(a, ATTR_BLOB, &len);
	fm.blob_len = (uint32_t)len;
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
