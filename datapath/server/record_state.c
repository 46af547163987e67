/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/server/record_state.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/base/hash.h"
#include "datapath/conntrack/conntrack.h"
#include "datapath/core/version.h"
#include "datapath/observe/record.h"
#include "datapath/policy/policy_live.h"
#include "datapath/poll/poll.h"
#include "datapath/resolve/frozen.h"
#include "datapath/server/group_attrs.h"
#include "datapath/server/recorded_port.h"
#include "datapath/server/registry.h"
#include "datapath/server/rule_attrs.h"
#include "datapath/table/bridge.h"
#include "datapath/table/flow_table.h"
#include "datapath/table/group.h"
#include "datapath/table/mac_table.h"
#include "datapath/table/meter.h"
#include "datapath/table/table_events.h"

static void put_str(struct recording *r, const char *s)
{
	recording_put_bytes(r, s, strlen(s));
}

/* ---- the policy in force, as it was told ---- */

static VEC(struct msg) policy_ops, policy_ops_before;

static void free_ops(void *v)
{
	__typeof__(policy_ops) *ops = v;

	VEC_FOR_EACH (m, ops)
		msg_free(m);
	vec_free(ops);
}

void record_state_policy(struct attrs op, bool first)
{
	struct msg m;

	if (first) {
		free_ops(&policy_ops_before);
		memcpy(&policy_ops_before, &policy_ops, sizeof policy_ops);
		memset(&policy_ops, 0, sizeof policy_ops);
	}
	msg_init(&m, API_TRANSACTION, 0);
	size_t at = msg_op_begin(&m, API_OP_POLICY_SET);
	/* Whether somebody still has to confirm it is not part of a recording. */
	ATTR_FOR_EACH (a, op)
		if (a->id != ATTR_OP_TYPE && a->id != ATTR_CONFIRM_MS)
			msg_put_bytes(&m, (enum api_attr)a->id, a->value, a->len);
	msg_nest_end(&m, at);
	vec_push(&policy_ops, m);
}

void record_state_policy_rolled_back(void)
{
	free_ops(&policy_ops);
	memcpy(&policy_ops, &policy_ops_before, sizeof policy_ops);
	memset(&policy_ops_before, 0, sizeof policy_ops_before);
}

/* ---- transactions ---- */

static void put_config(struct msg *m)
{
	struct recording *r = record_begin(REC_CONFIG);

	if (r) {
		recording_put_bytes(r, m->data + sizeof(struct msg_header),
				    m->len - sizeof(struct msg_header));
		record_end();
	}
	msg_free(m);
}

static void put_attrs(struct msg *m, struct attrs s, enum api_attr except)
{
	ATTR_FOR_EACH (a, s)
		if ((a->id & ~(unsigned)ATTR_CRITICAL) != except)
			msg_put_bytes(m, (enum api_attr)(a->id & ~(unsigned)ATTR_CRITICAL),
				      a->value, a->len);
}

static void put_bridge(struct bridge *b, void *aux)
{
	const struct object *o = registry_bridge_committed(b->name);
	struct recording *r = record_begin(REC_BRIDGE);
	const void *map;
	struct msg m;
	size_t n;

	if (!r || !o)
		return;
	recording_put(r, b->id);
	put_str(r, b->name);
	record_end();
	msg_init(&m, API_TRANSACTION, 0);
	size_t at = msg_op_begin(&m, API_OP_BRIDGE_SET);
	msg_put_str(&m, ATTR_NAME, b->name);
	put_attrs(&m, o->config->attrs, ATTR_TLV_MAP);
	msg_nest_end(&m, at);
	map = attrs_bytes(o->config->attrs, ATTR_TLV_MAP, &n);
	if (map) {
		at = msg_op_begin(&m, API_OP_TLV_MAP_SET);
		msg_put_str(&m, ATTR_BRIDGE, b->name);
		msg_put_bytes(&m, ATTR_TLV_MAP, map, n);
		msg_nest_end(&m, at);
	}
	put_config(&m);
}

static void put_port(const struct port_object *p)
{
	const struct bridge_port *on = bridge_port_next(p->id);
	struct recording *r = p->port ? record_begin(REC_PORT) : NULL;
	struct msg m;

	if (!r)
		return;
	recording_put(r, p->id);
	put_str(r, p->o.name);
	recording_put(r, 0);
	put_str(r, "");
	recorded_port_put(r, p->port);
	record_end();
	msg_init(&m, API_TRANSACTION, 0);
	size_t at = msg_op_begin(&m, API_OP_PORT_SET);
	msg_put_str(&m, ATTR_NAME, p->o.name);
	put_attrs(&m, p->o.config->attrs, ATTR_OFPORT);
	if (on)
		msg_put_u32(&m, ATTR_OFPORT, on->c.ofport);
	msg_nest_end(&m, at);
	put_config(&m);
}

static void put_table(struct msg *m, const struct bridge *b, uint8_t table)
{
	size_t at = msg_op_begin(m, API_OP_TABLE_SET);

	msg_put_str(m, ATTR_BRIDGE, b->name);
	rule_attrs_put_table(m, b, table);
	msg_nest_end(m, at);
}

/* Tables (one that was ever used stays used), meters and groups: rules name them. */
static void put_tables(struct bridge *b, void *aux)
{
	struct msg m;
	uint32_t pos = 0;
	size_t at;

	msg_init(&m, API_TRANSACTION, 0);
	for (unsigned t = 0; t < BRIDGE_TABLES_DEFAULT; t++)
		if (flow_table_get(b, (uint8_t)t))
			put_table(&m, b, (uint8_t)t);
	for (const struct meter *k; (k = meter_iter(b, &pos));) {
		at = msg_op_begin(&m, API_OP_METER_MOD);
		msg_put_str(&m, ATTR_BRIDGE, b->name);
		meter_attrs_put(&m, k);
		msg_nest_end(&m, at);
	}
	pos = 0;
	for (const struct group *g; (g = group_iter(b, &pos));) {
		at = msg_op_begin(&m, API_OP_GROUP_MOD);
		msg_put_str(&m, ATTR_BRIDGE, b->name);
		group_attrs_put(&m, g);
		msg_nest_end(&m, at);
	}
	put_config(&m);
}

static void put_ct_zone(struct msg *m, int zone)
{
	const struct ct_timeouts *t = conntrack_timeouts(zone);
	uint32_t limit = ct_limits_zone(zone);

	if (limit == CT_LIMIT_NONE && !t)
		return;
	size_t at = msg_op_begin(m, API_OP_CT_SET);
	if (zone >= 0)
		msg_put_u16(m, ATTR_CT_ZONE, (uint16_t)zone);
	if (limit != CT_LIMIT_NONE)
		msg_put_u32(m, ATTR_CT_LIMIT, limit);
	if (t)
		msg_put_bytes(m, ATTR_CT_TIMEOUTS, t, sizeof *t);
	msg_nest_end(m, at);
}

static void put_ct(void)
{
	struct msg m;

	msg_init(&m, API_TRANSACTION, 0);
	size_t at = msg_op_begin(&m, API_OP_CT_SET);
	msg_put_u32(&m, ATTR_CT_MAX, ct_limits_max());
	msg_put_u8(&m, ATTR_CT_WINDOW_CHECK, conntrack_window_check());
	msg_nest_end(&m, at);
	for (int zone = -1; zone <= CT_ZONE_MAX; zone++)
		put_ct_zone(&m, zone);
	put_config(&m);
}

static void put_policy(void)
{
	struct msg all;

	if (!policy_ops.len)
		return;
	msg_init(&all, API_TRANSACTION, 0);
	VEC_FOR_EACH (m, &policy_ops)
		put_attrs(&all,
			  (struct attrs){m->data + sizeof(struct msg_header),
					 m->len - sizeof(struct msg_header)},
			  ATTR_UNUSED);
	put_config(&all);
}

/* ---- what no transaction says ---- */

static void put_rules(struct bridge *b, void *aux)
{
	struct rule_filter f;
	const struct rule *rule;
	struct recording *r;
	uint64_t cursor = 0;

	rule_filter_init(&f);
	f.hidden = true;
	while ((rule = rule_next(b, &f, &cursor)) && (r = record_begin(REC_RULE))) {
		struct msg m;

		msg_init(&m, API_TRANSACTION, 0);
		msg_put_str(&m, ATTR_BRIDGE, b->name);
		rule_attrs_put(&m, rule, clock_mono_ms());
		put_str(r, b->name);
		recording_put(r, rule->created_ms);
		recording_put(r, rule->modified_ms);
		recording_put(r, rule->stats->credit.used_ms);
		recording_put(r, rule->stats->credit.pkts);
		recording_put(r, rule->stats->credit.bytes);
		recording_put(r, rule->is_learnt);
		recording_put_bytes(r, m.data + sizeof(struct msg_header),
				    m.len - sizeof(struct msg_header));
		record_end();
		msg_free(&m);
	}
}

static void put_macs(struct bridge *b, void *aux)
{
	const struct mac_entry *e;
	struct recording *r;
	uint32_t pos = 0;

	while ((e = mac_table_next(b->macs, &pos)) && (r = record_begin(REC_MAC))) {
		put_str(r, b->name);
		recording_put(r, e->vlan);
		recording_put_bytes(r, e->mac, sizeof e->mac);
		recording_put(r, e->port_id);
		recording_put(r, e->is_static);
		recording_put(r, e->learnt_ms);
		recording_put(r, e->credit.used_ms);
		recording_put(r, e->grat_lock_until_ms);
		record_end();
	}
	mac_table_restart(b->macs); /* as a replay, which inserts them in this order */
}

static void put_conn(const struct ct_conn *c)
{
	struct recording *r = record_begin(REC_CONN);
	struct ct_conn copy = *c;

	if (!r)
		return;
	/* Addresses and locks of this process are of no use to another. */
	memset(copy.node, 0, sizeof copy.node);
	memset(&copy.lock, 0, sizeof copy.lock);
	memset(&copy.half_link, 0, sizeof copy.half_link);
	recording_put_bytes(r, &c->node[CONN_ORIG].tuple, sizeof(struct ct_tuple));
	recording_put_bytes(r, &c->node[CONN_REPLY].tuple, sizeof(struct ct_tuple));
	recording_put_bytes(r, &copy, sizeof copy);
	record_end();
}

static void put_conns(void)
{
	struct conn_cursor at = {0, 0};
	struct ct_conn *c[CONN_CHUNK];
	unsigned n;

	while (conn_table_next(&at, c, &n) && !record_is_full())
		for (unsigned i = 0; i < n; i++)
			put_conn(c[i]);
}

/* ---- all of it ---- */

static void refill_meters(struct bridge *b, void *aux)
{
	uint32_t pos = 0;

	for (struct meter *k; (k = meter_iter(b, &pos));)
		for (unsigned i = 0; i < k->n_bands; i++)
			__atomic_store_n(&k->band[i].full_at_ns, 0, __ATOMIC_RELAXED);
}

void record_state_begin(void)
{
	poll_record_restart();
	poll_credit_collect();
	while (mac_table_drain(clock_mono_ms()))
		;
	tables_restart();
	conntrack_restart();
	bridge_for_each(refill_meters, NULL);
	policy_restart();
}

static void put_begin(void)
{
	struct recording *r = record_begin(REC_BEGIN);
	uint64_t key[2];

	if (!r)
		return;
	hash_get_key(key);
	put_str(r, SLUICE_VERSION);
	recording_put(r, clock_mono_ns());
	recording_put(r, clock_wall_ms());
	recording_put(r, key[0]);
	recording_put(r, key[1]);
	recording_put(r, registry_last_id());
	recording_put(r, policy_now()->generation);
	recording_put(r, frozen_restart());
	record_end();
}

static void put_epochs(void)
{
	for (uint32_t edge = 1; edge < POLICY_EDGES; edge++) {
		struct recording *r = policy_edge_epoch[edge] ? record_begin(REC_EPOCH) : NULL;

		if (!r)
			continue;
		recording_put(r, edge);
		recording_put(r, policy_edge_epoch[edge]);
		record_end();
	}
}

void record_state_put(void)
{
	put_begin();
	poll_record_threads();
	bridge_for_each(put_bridge, NULL);
	for (struct port_object *p = registry_port_after(0); p; p = registry_port_after(p->id))
		put_port(p);
	bridge_for_each(put_tables, NULL);
	put_ct();
	put_policy();
	put_epochs();
	bridge_for_each(put_rules, NULL);
	bridge_for_each(put_macs, NULL);
	put_conns();
	poll_record_held();
	record_simple(REC_READY);
}
