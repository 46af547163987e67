/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/server/policy_watch.h"

#include <netinet/in.h>

#include "datapath/base/clock.h"
#include "datapath/base/log.h"
#include "datapath/policy/policy_live.h"
#include "datapath/server/conn.h"
#include "datapath/server/events.h"
#include "datapath/server/loop.h"
#include "datapath/server/record_state.h"
#include "datapath/server/registry.h"
#include "datapath/table/bridge.h"

LOG_MODULE(policy);

_Static_assert((int)POLICY_ROLE_GUEST == (int)PORT_ROLE_GUEST &&
		       (int)POLICY_ROLE_HOST == (int)PORT_ROLE_HOST &&
		       (int)POLICY_ROLE_UPLINK == (int)PORT_ROLE_UPLINK,
	       "the same numbers");

enum { LOG_EVENTS_PER_S = 1000 };
static uint64_t log_second, log_left_out;
static unsigned log_sent;

void policy_watch_announce(const char *state, const char *rule)
{
	const struct policy *p = policy_now();
	struct msg *m = events_begin(API_EVENT_POLICY);

	msg_put_str(m, ATTR_STATE, state);
	if (*rule)
		msg_put_str(m, ATTR_NAME, rule);
	msg_put_u64(m, ATTR_POLICY_GENERATION, p->generation);
	msg_put_bytes(m, ATTR_POLICY_HASH, p->hash, sizeof p->hash);
	events_end();
	log_info("%s%s%s: generation %llu, %u endpoints, %u rules", state, *rule ? " " : "", rule,
		 (unsigned long long)p->generation, p->n_endpoints, p->n_rules);
}

static void news(enum policy_news what, const char *rule)
{
	static const char *const states[] = {[POLICY_CONFIRMED] = "confirmed",
					     [POLICY_ROLLED_BACK] = "rolled_back",
					     [POLICY_EXPIRED] = "expired"};

	if (what == POLICY_ROLLED_BACK)
		record_state_policy_rolled_back();
	policy_watch_announce(states[what], rule);
}

/* Decisions about Ethernet addresses are in the caches. */
static void changed(void)
{
	struct txn t;

	txn_begin(&t);
	txn_change(&t, CHANGE_POLICY, 0, 0, NULL);
	txn_commit(&t);
}

static void mac_limit(uint32_t port_id, uint32_t limit)
{
	bridge_port_mac_limit[port_id] = limit;
}

static void port_published(const struct bridge_port *old, const struct bridge_port *new)
{
	if (new)
		policy_port_set(new->c.port_id, new->bridge->id, new->c.name, new->c.role);
	else
		policy_port_clear(old->c.port_id);
}

/* ---- decisions that are logged ---- */
static void put_tuple(struct msg *m, const struct ct_tuple *t)
{
	size_t at = msg_nest_begin(m, ATTR_CT_ORIG), n = t->family == 4 ? 4 : 16;

	msg_put_bytes(m, ATTR_CT_SRC, t->src, n);
	msg_put_bytes(m, ATTR_CT_DST, t->dst, n);
	if (ct_proto_has_ports(t->proto)) {
		msg_put_u16(m, ATTR_CT_SPORT, be16_to_cpu(t->src_port));
		msg_put_u16(m, ATTR_CT_DPORT, be16_to_cpu(t->dst_port));
	} else {
		msg_put_u8(m, ATTR_CT_ICMP_TYPE, t->icmp_type);
		msg_put_u8(m, ATTR_CT_ICMP_CODE, t->icmp_code);
	}
	msg_nest_end(m, at);
}

static void put_peer(struct msg *m, const struct policy_log_entry *l)
{
	const struct policy *p = policy_now();
	const uint8_t *addr = l->direction == POLICY_EGRESS ? l->tuple.dst : l->tuple.src;
	uint32_t owner = policy_owner(p, POLICY_NONE, l->tuple.family, addr);

	if (owner != POLICY_NONE)
		msg_put_str(m, ATTR_PEER_NAME, p->endpoints[owner].name);
}

static void tell(const struct policy_log_entry *l)
{
	const struct port_object *port = registry_port_by_id(l->port_id);
	struct msg *m = events_begin(API_EVENT_POLICY_LOG);

	msg_put_str(m, ATTR_NAME, policy_slot_name(l->slot));
	msg_put_u8(m, ATTR_VERDICT, l->allow ? POLICY_ALLOW : POLICY_DENY);
	msg_put_str(m, ATTR_PORT, port ? port->o.name : "");
	put_peer(m, l);
	msg_put_u8(m, ATTR_CT_PROTO, l->tuple.proto);
	put_tuple(m, &l->tuple);
	if (log_left_out)
		msg_put_u64(m, ATTR_COUNT, log_left_out);
	log_left_out = 0;
	events_end();
}

static void drain_log(uint64_t now_ms)
{
	struct policy_log_entry l;
	uint64_t missed;

	if (now_ms / 1000 != log_second) {
		log_second = now_ms / 1000;
		log_sent = 0;
	}
	while (policy_log_take(&l, &missed)) {
		log_left_out += missed;
		if (log_sent++ < LOG_EVENTS_PER_S)
			tell(&l);
		else
			log_left_out++;
	}
}

static void tick(uint64_t now_ms)
{
	policy_upkeep(now_ms, clock_wall_ms());
	drain_log(now_ms);
}

void policy_watch_start(void)
{
	static const struct policy_sink sink = {
		.news = news, .changed = changed, .mac_limit = mac_limit};
	static struct loop_timer timer;

	policy_live_init();
	policy_set_sink(&sink);
	bridge_port_published = port_published;
	loop_timer_start(&timer, 10, tick);
}
