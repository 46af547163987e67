/* SPDX-License-Identifier: BSD-3-Clause */
/* START events, one after the other, into the tables of a process that has nothing else to do. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/base/vec.h"
#include "datapath/conntrack/conntrack.h"
#include "datapath/core/rcu.h"
#include "datapath/observe/record.h"
#include "datapath/policy/policy_live.h"
#include "datapath/poll/poll.h"
#include "datapath/resolve/frozen.h"
#include "datapath/server/op.h"
#include "datapath/server/record_state.h"
#include "datapath/server/recorded_port.h"
#include "datapath/server/replay.h"
#include "datapath/table/bridge.h"
#include "datapath/table/flow_table.h"
#include "datapath/table/mac_table.h"
#include "datapath/table/rule.h"

static struct replay_begin begun;

static int bad(struct err *e)
{
	return err_set(e, EINVAL, "says something that cannot be");
}

void replay_state_read_begin(struct rec_in *in, struct replay_begin *out)
{
	rec_in_str(in, out->program, sizeof out->program);
	out->mono_ns = rec_in_u64(in);
	out->wall_ms = rec_in_u64(in);
	out->hash_key[0] = rec_in_u64(in);
	out->hash_key[1] = rec_in_u64(in);
	out->last_port_id = rec_in_u64(in);
	out->policy_generation = rec_in_u64(in);
	out->last_frozen_id = rec_in_u64(in);
}

static int begin(struct rec_in *in, struct err *e)
{
	replay_state_read_begin(in, &begun);
	return in->bad || begun.last_port_id >= PORT_ID_MAX || !begun.mono_ns ? bad(e) : 0;
}

static int next_bridge(struct rec_in *in, struct err *e)
{
	uint64_t id = rec_in_u64(in);

	if (in->bad || !id || id >= BRIDGE_ID_MAX)
		return bad(e);
	bridge_wanted_id = (uint32_t)id;
	return 0;
}

static int next_port(struct rec_in *in, struct err *e)
{
	uint64_t id = rec_in_u64(in);
	char name[PORT_NAME_BYTES];

	rec_in_str(in, name, sizeof name);
	if (in->bad || !id || id >= PORT_ID_MAX || !recorded_port_expect((uint32_t)id, in))
		return bad(e);
	registry_set_last_id((uint32_t)id - 1);
	return 0;
}

static int config(struct rec_in *in, struct err *e)
{
	struct err refused = {0};
	int rc = replay_transaction(in, "recording", &refused, e);

	if (!rc)
		replay_settle();
	if (!rc && refused.code)
		rc = err_set(e, refused.code, "%s", refused.text);
	return rc;
}

/* ---- rules: all of a bridge in one transaction, then their history ---- */

static struct {
	bool open;
	struct op_effects fx;
	char bridge[PORT_NAME_BYTES];
	VEC(struct rule_history) history; /* in the order of the rules */
} rules;

static int add_rule(struct rec_in *in, struct err *e)
{
	struct rule_history h;
	char bridge[PORT_NAME_BYTES];
	uint64_t created_ms;
	struct replay_attrs a;
	struct op op = {.type = API_OP_RULE_MOD};

	rec_in_str(in, bridge, sizeof bridge);
	created_ms = rec_in_u64(in);
	h.modified_ms = rec_in_u64(in);
	h.used_ms = rec_in_u64(in);
	h.pkts = rec_in_u64(in);
	h.bytes = rec_in_u64(in);
	h.is_learnt = rec_in_u64(in);
	int rc = replay_attrs(in, &a, e);
	if (rc)
		return rc;
	if (!rules.open) {
		rules.open = true;
		strcpy(rules.bridge, bridge);
		txn_begin(&rules.fx.txn);
	}
	op.a = msg_attrs(a.m.data);
	rules.fx.txn.now_ms = created_ms;
	rc = op_stage_RULE_MOD(&op, &rules.fx, e);
	if (!rc)
		rc = op_apply_RULE_MOD(&op, &rules.fx, e);
	vec_push(&rules.history, h);
	msg_free(&a.m);
	return rc;
}

static int finish_rules(struct err *e)
{
	const struct bridge *b = bridge_find(rules.bridge);
	struct rule_filter f;
	uint64_t cursor = 0;
	size_t n = 0;

	if (!rules.open)
		return 0;
	txn_commit(&rules.fx.txn);
	rule_filter_init(&f);
	f.hidden = true;
	for (const struct rule *r; b && (r = rule_next(b, &f, &cursor)); n++)
		if (n < rules.history.len)
			rule_restore((struct rule *)r, &rules.history.at[n]);
	if (n != rules.history.len)
		err_set(e, EINVAL, "bridge %s: %zu rules where the recording has %zu", rules.bridge,
			n, rules.history.len);
	vec_free(&rules.history);
	memset(&rules, 0, sizeof rules);
	return -e->code;
}

static bool is_same_bridge(const struct rec_in *in)
{
	struct rec_in look = *in;
	char bridge[PORT_NAME_BYTES];

	rec_in_str(&look, bridge, sizeof bridge);
	return !strcmp(bridge, rules.bridge);
}

/* ---- the rest ---- */

static int add_mac(struct rec_in *in, struct err *e)
{
	struct mac_entry was = {0};
	char bridge[PORT_NAME_BYTES];
	const uint8_t *mac;
	struct txn t;
	size_t n;

	rec_in_str(in, bridge, sizeof bridge);
	const struct bridge *b = bridge_find(bridge);
	was.vlan = (uint16_t)rec_in_u64(in);
	mac = rec_in_bytes(in, &n);
	was.port_id = (uint32_t)rec_in_u64(in);
	was.is_static = rec_in_u64(in);
	was.learnt_ms = rec_in_u64(in);
	was.credit.used_ms = rec_in_u64(in);
	was.grat_lock_until_ms = rec_in_u64(in);
	if (in->bad || n != sizeof was.mac || !b || was.port_id >= PORT_ID_MAX || was.vlan > 4095)
		return bad(e);
	memcpy(was.mac, mac, n);
	txn_begin(&t);
	mac_table_restore(&t, b->macs, &was);
	txn_commit(&t);
	return 0;
}

static int add_conn(struct rec_in *in, struct err *e)
{
	const struct ct_tuple *tuples[2];
	struct ct_tuple orig, reply;
	struct ct_conn c;
	size_t n[3];
	const uint8_t *body;

	tuples[0] = (const void *)rec_in_bytes(in, &n[0]);
	tuples[1] = (const void *)rec_in_bytes(in, &n[1]);
	body = rec_in_bytes(in, &n[2]);
	if (in->bad || n[0] != sizeof orig || n[1] != sizeof reply || n[2] != sizeof c)
		return bad(e);
	memcpy(&orig, tuples[0], sizeof orig);
	memcpy(&reply, tuples[1], sizeof reply);
	memcpy(&c, body, sizeof c);
	if (c.port_id >= PORT_ID_MAX || c.phase > CONN_CLOSED || c.side[0].tcp >= CONN_TCP_N ||
	    c.side[1].tcp >= CONN_TCP_N || (orig.family != 4 && orig.family != 6))
		return bad(e);
	int rc = conntrack_restore(&orig, &reply, &c);
	return rc ? err_set(e, -rc, "cannot be made again: %s", strerror(-rc)) : 0;
}

static int set_epoch(struct rec_in *in, struct err *e)
{
	uint64_t edge = rec_in_u64(in), epoch = rec_in_u64(in);

	if (in->bad || !edge || edge >= POLICY_EDGES)
		return bad(e);
	policy_replay_epoch((uint32_t)edge, (uint16_t)epoch);
	return 0;
}

static int ready(void)
{
	registry_set_last_id((uint32_t)begun.last_port_id);
	policy_replay_generation(begun.policy_generation);
	frozen_replay_last_id((uint32_t)begun.last_frozen_id);
	recorded_port_forget();
	record_state_begin();
	txn_settle();
	rcu_hold_calls();
	return 0;
}

int replay_state_event(struct rec_in *in, struct err *e)
{
	if (rules.open && (in->type != REC_RULE || !is_same_bridge(in)) && finish_rules(e))
		return -e->code;
	switch (in->type) {
	case REC_BEGIN:
		return begin(in, e);
	case REC_THREAD:
		return poll_replay_thread(in, e);
	case REC_HELD:
		return poll_replay_held(in, e);
	case REC_BRIDGE:
		return next_bridge(in, e);
	case REC_PORT:
		return next_port(in, e);
	case REC_CONFIG:
		return config(in, e);
	case REC_RULE:
		return add_rule(in, e);
	case REC_MAC:
		return add_mac(in, e);
	case REC_CONN:
		return add_conn(in, e);
	case REC_EPOCH:
		return set_epoch(in, e);
	case REC_READY:
		return ready();
	case REC_NONE:
	case REC_SLOT:
	case REC_END:
	case REC_RX:
	case REC_SWEEP:
	case REC_CUT:
	case REC_SHORT:
	case REC_STATE:
	case REC_CHANGE:
	case REC_DEVICE:
	case REC_OPENED:
	case REC_GRACE:
	case REC_TIMER:
	case REC_EACH:
	case REC_COLLECT:
	case REC_RECLAIM:
	case REC_UPCALLS:
	case REC_PACKET_OUT:
	case REC_RESUME:
	case REC_OUT:
	case REC_DROP:
	case REC_MISS:
	case REC_CACHE:
	case REC_CLOSE:
	case REC_PART:
	case REC_N:
		break;
	}
	return err_set(e, EINVAL, "is not where what the switch was is told");
}
