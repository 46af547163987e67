/* SPDX-License-Identifier: BSD-3-Clause */
/* What an edge would say to a packet, for traces: the way of policy_track.c, with the tracker only
 * looked at. Main thread, and poll threads for packets that somebody follows. Writes nothing but
 * the verdict. */
#include "datapath/conntrack/ct_peek.h"
#include "datapath/policy/policy_edge_priv.h"
#include "datapath/policy/policy_live.h"

const char *const policy_ground_texts[POLICY_GROUND_N] = {
	[POLICY_GROUND_GUARD] = "at the edge",
	[POLICY_GROUND_NETWORK] = "without a connection",
	[POLICY_GROUND_CONNECTION] = "of a connection",
	[POLICY_GROUND_NEW] = "begins a connection",
	[POLICY_GROUND_ALONE] = "judged alone",
};

static enum drop_reason say(struct policy_finding *v, uint32_t slot, enum drop_reason drop)
{
	v->slot = slot;
	v->drop = drop;
	return drop;
}

static enum drop_reason say_builtin(struct policy_finding *v, enum policy_slot_id slot)
{
	return say(v, slot, (enum drop_reason)policy_builtins[slot].drop);
}

/* An entry that was judged under an older policy is judged again by the next packet: by it. */
static enum drop_reason follow(const struct policy *p, const struct policy_packet *q,
			       const struct conntrack_meta *m, uint64_t judged, uint64_t notes)
{
	struct policy_answer a;
	uint32_t slot = m->mark;

	if (judged < __atomic_load_n(&p->judged_from, __ATOMIC_ACQUIRE) || policy_is_over(slot)) {
		struct edge_case c = edge_case_of(&m->own, notes);

		a = edge_decide(p, &c);
		if (!a.allow)
			return say(q->peek, a.slot, (enum drop_reason)a.drop);
		slot = a.slot;
	}
	if (notes & NOTE_LIMITED && edge_rule_is_over_rate(p, slot, q->pkt_len, true))
		return say_builtin(q->peek, POLICY_SLOT_LIMIT_RULE);
	return say(q->peek, slot, DROP_NONE);
}

static enum drop_reason begin(const struct policy *p, const struct policy_packet *q,
			      const struct edge_case *c)
{
	struct policy_answer a = edge_decide(p, c);
	enum policy_slot_id over;

	if (!a.allow)
		return say(q->peek, a.slot, (enum drop_reason)a.drop);
	over = edge_check_new(p, c->port_id, &a, true);
	return over != POLICY_SLOT_NONE ? say_builtin(q->peek, over)
					: say(q->peek, a.slot, DROP_NONE);
}

/* What one of the edge's contexts says of it. */
struct look {
	struct conntrack_meta m;
	struct ct_packet packet;
	uint64_t judged, notes;
	bool follows, wrong, begins; /* at most one: as LOOK_* of policy_track.c */
};

static void look(struct look *l, const struct policy_packet *q, uint32_t context,
		 const struct edge_case *c)
{
	struct ct_rewrite rw;
	bool known = ct_packet_parse(&l->packet, q->data, q->len, q->pkt_len, q->ofs, context);
	bool found = ct_peek(known ? &l->packet.tuple : NULL, known ? &l->packet : NULL, context,
			     NULL, (uint32_t)q->now_ms, &l->m, &rw);

	l->follows = l->wrong = l->begins = false;
	if (l->m.state & CT_STATE_INV)
		return;
	memcpy(&l->judged, l->m.label, sizeof l->judged);
	memcpy(&l->notes, l->m.label + sizeof l->judged, sizeof l->notes);
	if (found && is_of_epoch(l->notes, c->edge)) {
		unsigned dir = l->m.state & CT_STATE_RPL ? CONN_REPLY : CONN_ORIG;

		l->follows = dir == expected_dir(l->notes, c->egress);
		l->wrong = !l->follows;
	} else {
		l->begins = (found || l->m.state & CT_STATE_NEW) && !(l->m.state & CT_STATE_REL);
	}
}

enum drop_reason edge_peek_track(const struct policy *p, const struct policy_packet *q,
				 struct edge_case *c)
{
	struct look l[2], *use = &l[0];

	q->peek->ground = POLICY_GROUND_CONNECTION;
	look(&l[0], q, POLICY_CONTEXT + c->edge, c);
	if (!l[0].follows) {
		look(&l[1], q, POLICY_CONTEXT_2 + c->edge, c);
		if (l[1].follows || l[0].wrong)
			use = &l[1];
	}
	if (use->follows)
		return follow(p, q, &use->m, use->judged, use->notes);
	if (!use->begins)
		return say_builtin(q->peek, edge_is_fragment(q) && use->m.state & CT_STATE_INV
						    ? POLICY_SLOT_GUARD_FRAGMENT
						    : POLICY_SLOT_INVALID);
	q->peek->ground = POLICY_GROUND_NEW;
	c->service = service_of(&use->packet.tuple);
	return begin(p, q, c);
}

struct policy_finding policy_edge_peek(struct policy_packet q, uint32_t port_id, bool egress)
{
	struct policy_finding v = {.ground = POLICY_GROUND_GUARD};

	q.peek = &v;
	policy_edge(&q, port_id, egress);
	if (v.slot == POLICY_SLOT_NETWORK)
		v.ground = POLICY_GROUND_NETWORK;
	return v;
}
