/* SPDX-License-Identifier: BSD-3-Clause */
/* POLICY, POLICY_HITS. */
#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/policy/policy_live.h"
#include "datapath/server/dump.h"
#include "datapath/server/policy_attrs.h"
#include "datapath/server/registry.h"
#include "datapath/server/request.h"

struct policy_dump {
	struct dump d;
	bool begun;
	uint32_t next; /* endpoint, or builtin and rule */
	uint8_t *seen; /* bit per slot: rules of one name are counted together */
};

static void put_header(struct msg *m)
{
	const struct policy *p = policy_now();
	uint64_t left = policy_confirm_left_ms(clock_mono_ms());
	size_t at = msg_nest_begin(m, ATTR_OBJECT);

	msg_put_bytes(m, ATTR_POLICY_HASH, p->hash, sizeof p->hash);
	msg_put_u64(m, ATTR_POLICY_GENERATION, p->generation);
	if (left)
		msg_put_u64(m, ATTR_CONFIRM_MS, left);
	msg_put_u8(m, ATTR_KEEP_ESTABLISHED, p->keep_established);
	msg_put_bytes(m, ATTR_POLICY_DOCUMENT, p->document, p->document_len);
	msg_nest_end(m, at);
}

static uint32_t port_of(const struct policy *p, uint32_t endpoint)
{
	const struct port_object *o = registry_port(p->endpoints[endpoint].port);

	return o && p->port[o->id].endpoint == endpoint ? o->id : 0;
}

static void put_endpoint(struct msg *m, const struct policy *p, uint32_t i)
{
	const struct policy_endpoint *ep = &p->endpoints[i];
	uint32_t port_id = port_of(p, i);
	size_t at = msg_nest_begin(m, ATTR_OBJECT);

	msg_put_str(m, ATTR_NAME, ep->name);
	msg_put_str(m, ATTR_PORT, ep->port);
	msg_put_str(m, ATTR_STATE, port_id || ep->flags & POLICY_IS_HOST ? "bound" : "absent");
	msg_put_u32(m, ATTR_ENDPOINT_FLAGS, ep->flags);
	msg_put_u8(m, ATTR_ISOLATED, ep->isolated);
	msg_put_u64(m, ATTR_CONNS, port_id ? policy_edge_conns(p->port[port_id].edge) : 0);
	policy_attrs_put_limits(m, &ep->limits);
	msg_nest_end(m, at);
}

static bool step_policy(struct dump *d, struct msg *m)
{
	struct policy_dump *s = SL_CONTAINER_OF(d, struct policy_dump, d);
	const struct policy *p = policy_now();

	if (!s->begun)
		put_header(m);
	s->begun = true;
	while (s->next < p->n_endpoints && dump_has_room(m))
		put_endpoint(m, p, s->next++);
	return s->next < p->n_endpoints;
}

static void free_dump(struct dump *d)
{
	struct policy_dump *s = SL_CONTAINER_OF(d, struct policy_dump, d);

	free(s->seen);
	free(s);
}

void request_POLICY(struct conn *c, struct attrs a)
{
	struct policy_dump *s = xzalloc(sizeof *s);

	s->d = (struct dump){step_policy, free_dump};
	conn_dump(c, &s->d);
}

/* ---- hits ---- */
static void put_hit(struct msg *m, uint32_t slot, uint8_t verdict, const struct policy_rule *r,
		    uint64_t extra_pkts)
{
	size_t at = msg_nest_begin(m, ATTR_OBJECT);
	struct policy_hit h;

	policy_slot_sum(slot, &h);
	msg_put_str(m, ATTR_NAME, policy_slot_name(slot));
	msg_put_u8(m, ATTR_VERDICT, verdict);
	msg_put_u64(m, ATTR_PKTS, h.pkts + extra_pkts);
	msg_put_u64(m, ATTR_BYTES_COUNT, h.bytes);
	msg_put_u64(m, ATTR_CONNS, h.conns);
	if (h.last_ms)
		msg_put_u64(m, ATTR_LAST_HIT_MS,
			    clock_wall_ms() - SL_MIN(clock_mono_ms() - h.last_ms, clock_wall_ms()));
	if (r) {
		msg_put_u8(m, ATTR_DIRECTION, r->direction);
		msg_put_u8(m, ATTR_TIER, r->tier);
	}
	if (r && r->valid_until_ms)
		msg_put_u64(m, ATTR_VALID_UNTIL_MS, r->valid_until_ms);
	msg_nest_end(m, at);
}

/* Frames that resolve refused for their Ethernet header are in the drop counters only. */
static uint64_t dropped(enum drop_reason why)
{
	uint64_t n = 0;

	for (uint32_t i = 1; i < PORT_ID_MAX; i++) {
		struct port_counters c;

		if (!counters_of(THREAD_MAIN, i))
			continue;
		counters_sum(i, &c);
		n += c.drop[why];
	}
	return n;
}

static void put_builtin(struct msg *m, uint32_t slot)
{
	enum drop_reason why = (enum drop_reason)policy_builtins[slot].drop;
	bool by_resolve = slot == POLICY_SLOT_GUARD_MAC || slot == POLICY_SLOT_GUARD_VLAN;

	put_hit(m, slot, why == DROP_NONE ? POLICY_ALLOW : POLICY_DENY, NULL,
		by_resolve ? dropped(why) : 0);
}

static bool step_hits(struct dump *d, struct msg *m)
{
	struct policy_dump *s = SL_CONTAINER_OF(d, struct policy_dump, d);
	const struct policy *p = policy_now();
	uint32_t n = POLICY_SLOT_RULES - 1 + p->n_rules;

	for (; s->next < n && dump_has_room(m); s->next++) {
		const struct policy_rule *r;

		if (s->next < POLICY_SLOT_RULES - 1) {
			put_builtin(m, s->next + 1);
			continue;
		}
		r = &p->rules[s->next - (POLICY_SLOT_RULES - 1)];
		if (s->seen[r->slot / 8] & 1u << r->slot % 8)
			continue;
		s->seen[r->slot / 8] |= (uint8_t)(1u << r->slot % 8);
		put_hit(m, r->slot, r->verdict, r, 0);
	}
	return s->next < n;
}

void request_POLICY_HITS(struct conn *c, struct attrs a)
{
	struct policy_dump *s = xzalloc(sizeof *s);

	s->d = (struct dump){step_hits, free_dump};
	s->seen = xzalloc(POLICY_SLOTS_MAX / 8);
	conn_dump(c, &s->d);
}
