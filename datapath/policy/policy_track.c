/* SPDX-License-Identifier: BSD-3-Clause */
/* The long way through an edge: rates, guards, the tracker, and the rules for what is new. Poll
 * threads. Whatever is refused here is counted, under the slot of what refused it. */
#include "datapath/policy/policy_edge_priv.h"

#include <netinet/in.h>

#include "datapath/policy/policy_live.h"

static uint32_t decided[THREADS_ALL]; /* by the last slow verdict  W, R: that thread */

uint32_t policy_edge_decided(unsigned thread_idx)
{
	return decided[thread_idx];
}

static enum drop_reason drop_of(uint32_t slot)
{
	return slot < POLICY_SLOT_RULES ? (enum drop_reason)policy_builtins[slot].drop : DROP_NONE;
}

static enum drop_reason peeked(struct policy_finding *v, uint32_t slot)
{
	v->slot = slot;
	v->drop = drop_of(slot);
	return v->drop;
}

static enum drop_reason count(const struct policy_packet *q, uint32_t slot, bool conn)
{
	if (SL_UNLIKELY(q->peek != NULL))
		return peeked(q->peek, slot);
	policy_count(q->thread_idx, slot, q->pkt_len, conn, q->now_ms);
	decided[q->thread_idx] = slot;
	return drop_of(slot);
}

static enum drop_reason refuse(const struct policy_packet *q, const struct policy_answer *a,
			       bool conn)
{
	count(q, a->slot, conn);
	if (SL_UNLIKELY(q->peek != NULL))
		q->peek->drop = (enum drop_reason)a->drop;
	return (enum drop_reason)a->drop;
}

static void log_decision(const struct policy_packet *q, const struct policy_answer *a,
			 const struct ct_tuple *t, const struct edge_case *c)
{
	if (!a->rule || !a->rule->log)
		return;
	policy_log_put(q->thread_idx, &(struct policy_log_entry){
					      .slot = a->slot,
					      .port_id = c->port_id,
					      .allow = a->allow,
					      .direction = a->rule->direction,
					      .tuple = *t,
				      });
}

static struct conntrack_request request_for(const struct policy_packet *q, uint32_t context)
{
	return (struct conntrack_request){.data = q->data,
					  .len = q->len,
					  .pkt_len = q->pkt_len,
					  .ofs = q->ofs,
					  .sum_ok = q->sum_ok,
					  .aux = q->aux,
					  .context = context,
					  .port_id = q->in_port,
					  .now_ms = (uint32_t)q->now_ms,
					  .thread_idx = q->thread_idx};
}

static enum drop_reason open_connection(const struct policy *p, const struct policy_packet *q,
					const struct conntrack_request *found,
					const struct ct_tuple *t, const struct edge_case *c)
{
	uint64_t generation = __atomic_load_n(&p->judged_from, __ATOMIC_ACQUIRE);
	struct policy_answer a = edge_decide(p, c);
	struct conntrack_request r = *found;
	struct conntrack_meta meta = {0};
	struct ct_rewrite rw;
	enum policy_slot_id over;
	enum drop_reason why;

	log_decision(q, &a, t, c);
	if (!a.allow)
		return refuse(q, &a, true);
	over = edge_check_new(p, c->port_id, &a, false);
	if (over != POLICY_SLOT_NONE)
		return count(q, over, true);
	r.commit = true;
	r.new_mark = a.slot;
	r.new_label[0] = SL_MAX(generation, 1ull);
	r.new_label[1] = edge_notes(p, c, &a);
	why = conntrack_run(&r, &meta, &rw);
	if (why != DROP_NONE)
		return why;
	count(q, a.slot, true);
	return DROP_NONE;
}

/* Messages that begin no connection, such as an ICMP time stamp or membership report: each is
 * judged alone. */
static enum drop_reason judge_alone(const struct policy *p, const struct policy_packet *q,
				    const struct edge_case *c)
{
	struct policy_answer a = edge_decide(p, c);

	if (SL_UNLIKELY(q->peek != NULL))
		q->peek->ground = POLICY_GROUND_ALONE;
	return a.allow ? (count(q, a.slot, false), DROP_NONE) : refuse(q, &a, false);
}

static struct edge_case case_of_packet(const struct policy *p, const struct policy_packet *q,
				       uint32_t port_id, bool egress)
{
	const uint8_t *ip = q->data + q->ofs->l3;
	struct edge_case c = {.edge = edge_of(p, port_id),
			      .port_id = port_id,
			      .other_port = q->in_port % PORT_ID_MAX,
			      .egress = egress,
			      .to_host = q->hints & POLICY_HINT_TO_HOST,
			      .family = q->ofs->ip_version,
			      .proto = q->ofs->ip_proto};

	c.src = ip + (c.family == 4 ? 12 : 8);
	c.dst = ip + (c.family == 4 ? 16 : 24);
	if (!q->ofs->l4 || q->len < q->ofs->l4 + 4u)
		return c;
	if (c.proto == IPPROTO_ICMP || c.proto == IPPROTO_ICMPV6)
		c.service = load_be16(q->data + q->ofs->l4);
	else if (ct_proto_has_ports(c.proto))
		c.service = load_be16(q->data + q->ofs->l4 + 2);
	return c;
}

bool edge_is_fragment(const struct policy_packet *q)
{
	return q->ofs->ip_version == 4 ? load_be16(q->data + q->ofs->l3 + 6) & 0x1fff
				       : q->ofs->ip_proto == IPPROTO_FRAGMENT;
}

/* ICMP that is neither an echo nor an error. */
static bool stands_alone(const struct policy_packet *q)
{
	uint8_t type;

	if (!q->ofs->l4 ||
	    q->ofs->ip_proto != (q->ofs->ip_version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return false;
	type = q->data[q->ofs->l4];
	if (q->ofs->ip_version == 6)
		return type > 4 && type != 128 && type != 129;
	return type != 0 && type != 3 && type != 4 && type != 5 && type != 8 && type != 11 &&
	       type != 12;
}

static enum drop_reason follow(const struct policy *p, const struct policy_packet *q,
			       struct ct_conn *c)
{
	struct policy_answer a;
	uint32_t slot;

	if (load_label(c, 0) < __atomic_load_n(&p->judged_from, __ATOMIC_ACQUIRE) &&
	    !edge_judge_again(p, c, &a)) {
		conntrack_remove(c);
		return refuse(q, &a, true);
	}
	slot = __atomic_load_n(&c->mark, __ATOMIC_RELAXED);
	/* Its rule has ended: what other rules say of it holds. */
	if (SL_UNLIKELY(policy_is_over(slot)) && !edge_judge_again(p, c, &a)) {
		conntrack_remove(c);
		return refuse(q, &a, true);
	}
	if (load_label(c, 1) & NOTE_LIMITED && edge_rule_is_over_rate(p, slot, q->pkt_len, false))
		return count(q, POLICY_SLOT_LIMIT_RULE, false);
	count(q, slot, false);
	return DROP_NONE;
}

/* What one of an edge's contexts says of a packet. */
struct look {
	enum {
		LOOK_DROP,    /* the tracker has no room for it: why */
		LOOK_FOLLOWS, /* conn lets it pass, if its rule still does */
		LOOK_BEGINS,  /* nobody knows it, and it may begin a connection */
		LOOK_WRONG,   /* its connection runs the other way through the edge */
		LOOK_INVALID, /* it belongs to none and begins none */
	} is;
	enum drop_reason why;
	struct ct_conn *conn;
	struct conntrack_request r;
	struct conntrack_meta meta;
};

static struct ct_conn *ask_tracker(struct look *l, const struct policy_packet *q)
{
	struct ct_rewrite rw;
	struct conn_node *n;

	l->meta = (struct conntrack_meta){0};
	l->why = conntrack_run(&l->r, &l->meta, &rw);
	n = l->why == DROP_NONE && !(l->meta.state & CT_STATE_INV) && l->meta.orig
		    ? conntrack_lookup(q->thread_idx, l->meta.orig)
		    : NULL;
	return n ? conn_of(n) : NULL;
}

static void look(struct look *l, const struct policy_packet *q, uint32_t context,
		 const struct edge_case *c)
{
	unsigned dir;

	l->r = request_for(q, context);
	l->conn = ask_tracker(l, q);
	if (l->conn && !is_of_epoch(load_label(l->conn, 1), c->edge)) {
		/* Of somebody who had the edge before. */
		conntrack_remove(l->conn);
		l->conn = ask_tracker(l, q);
	}
	l->is = l->why != DROP_NONE ? LOOK_DROP : LOOK_INVALID;
	if (l->conn) {
		dir = l->meta.state & CT_STATE_RPL ? CONN_REPLY : CONN_ORIG;
		l->is = dir == expected_dir(load_label(l->conn, 1), c->egress) ? LOOK_FOLLOWS
									       : LOOK_WRONG;
	} else if (l->why == DROP_NONE && l->meta.state & CT_STATE_NEW &&
		   !(l->meta.state & CT_STATE_REL) && l->meta.orig) {
		l->is = LOOK_BEGINS;
	}
}

static enum drop_reason track(const struct policy *p, const struct policy_packet *q,
			      uint32_t port_id, bool egress)
{
	struct edge_case c = case_of_packet(p, q, port_id, egress);
	struct look l[2], *use = &l[0];

	if (stands_alone(q))
		return judge_alone(p, q, &c);
	if (SL_UNLIKELY(q->peek != NULL))
		return edge_peek_track(p, q, &c);
	edge_forget(q, port_id, egress);
	look(&l[0], q, POLICY_CONTEXT + c.edge, &c);
	/* The second context knows what passes both ways: an entry there is as good, and what the
	 * first one knows from the other side begins there. */
	if (SL_UNLIKELY(l[0].is == LOOK_WRONG ||
			(l[0].is >= LOOK_BEGINS && edge_has_second(c.edge)))) {
		look(&l[1], q, POLICY_CONTEXT_2 + c.edge, &c);
		if (l[1].is == LOOK_FOLLOWS || l[0].is == LOOK_WRONG)
			use = &l[1];
	}
	switch (use->is) {
	case LOOK_DROP:
		return use->why;
	case LOOK_FOLLOWS:
		return follow(p, q, use->conn);
	case LOOK_BEGINS:
		/* A later fragment has the ports of its first one only here. */
		c.service = service_of(use->meta.orig);
		return open_connection(p, q, &use->r, use->meta.orig, &c);
	case LOOK_WRONG:
	case LOOK_INVALID:
		break;
	}
	return count(q,
		     edge_is_fragment(q) && use->meta.state & CT_STATE_INV
			     ? POLICY_SLOT_GUARD_FRAGMENT
			     : POLICY_SLOT_INVALID,
		     false);
}

static enum drop_reason not_ip(const struct policy *p, const struct policy_packet *q,
			       uint32_t port_id, bool egress)
{
	uint8_t role = role_of(p, port_id);
	const struct policy_endpoint *ep = endpoint_of(p, port_id);

	if (policy_is_arp(q))
		return count(q, POLICY_SLOT_NETWORK, false);
	/* The host may send what it likes, it gets what the guest's network lists. */
	if (role == POLICY_ROLE_HOST) {
		if (egress || !q->in_port || role_of(p, q->in_port) != POLICY_ROLE_GUEST)
			return count(q, POLICY_SLOT_NETWORK, false);
		ep = endpoint_of(p, q->in_port);
	}
	return count(q,
		     policy_ethertype_listed(p, network_of(ep), q) ? POLICY_SLOT_NETWORK
								   : POLICY_SLOT_GUARD_ETHERTYPE,
		     false);
}

/* Whose network grants what passes here without a rule. */
static uint32_t granting_network(const struct policy *p, const struct policy_packet *q,
				 uint32_t port_id, bool egress)
{
	const struct policy_endpoint *ep = endpoint_of(p, port_id);
	uint32_t owner;

	if (role_of(p, port_id) != POLICY_ROLE_HOST)
		return network_of(ep);
	if (!egress)
		return q->in_port ? network_of(endpoint_of(p, q->in_port)) : POLICY_NONE;
	owner = policy_owner(p, POLICY_NONE, q->ofs->ip_version,
			     q->data + q->ofs->l3 + (q->ofs->ip_version == 4 ? 16 : 24));
	return owner == POLICY_NONE ? POLICY_NONE : p->endpoints[owner].network;
}

static enum policy_slot_id guard(const struct policy *p, const struct policy_packet *q,
				 uint32_t port_id, bool egress)
{
	const struct policy_endpoint *ep = endpoint_of(p, port_id), *other;

	if (role_of(p, port_id) != POLICY_ROLE_GUEST)
		return POLICY_SLOT_NONE;
	if (egress)
		return policy_guard(p, ep, q);
	other = q->in_port ? endpoint_of(p, q->in_port) : NULL;
	if (ep && other && ep->flags & other->flags & POLICY_PROTECTED)
		return POLICY_SLOT_GUARD_PROTECTED;
	if (ep && ep->network != POLICY_NONE && policy_is_advertisement(q) &&
	    !(p->networks[ep->network].flags & POLICY_NETWORK_SLAAC))
		return POLICY_SLOT_GUARD_RA;
	return POLICY_SLOT_NONE;
}

enum drop_reason policy_edge(const struct policy_packet *q, uint32_t port_id, bool egress)
{
	struct policy *p = policy_now();
	enum policy_slot_id slot = POLICY_SLOT_NONE;
	uint32_t header = q->ofs->ip_version == 4 ? 20 : 40;

	if (limits_of(p, port_id, egress)) {
		struct policy_endpoint *ep = (struct policy_endpoint *)endpoint_of(p, port_id);

		slot = ep ? edge_check_rates(ep, q, egress) : POLICY_SLOT_NONE;
		if (slot != POLICY_SLOT_NONE)
			return count(q, slot, false);
		if (!q->peek && edge_knows(p, q->data, q->len, q->pkt_len, port_id, egress,
					   q->now_ms, q->thread_idx))
			return DROP_NONE;
	}
	slot = guard(p, q, port_id, egress);
	if (slot != POLICY_SLOT_NONE)
		return count(q, slot, false);
	if (!q->ofs->ip_version)
		return not_ip(p, q, port_id, egress);
	if (q->len < q->ofs->l3 + header)
		return count(q, POLICY_SLOT_GUARD_FRAGMENT, false);
	/* RFC 7113: what is behind headers that we do not read might be anything. */
	if (!q->ofs->ip_payload)
		return count(q, POLICY_SLOT_GUARD_HEADERS, false);
	if (policy_is_granted(p, granting_network(p, q, port_id, egress), q))
		return count(q, POLICY_SLOT_NETWORK, false);
	return track(p, q, port_id, egress);
}

enum drop_reason policy_guard_ethernet(uint32_t port_id, const uint8_t eth_src[6], bool tagged)
{
	const struct policy *p = policy_now();
	const struct policy_endpoint *ep = endpoint_of(p, port_id);

	if (!ep)
		return policy_mac_is((const uint8_t(*)[6])p->macs, p->n_macs, eth_src)
			       ? DROP_POLICY_GUARD_MAC
			       : DROP_NONE;
	if (ep->flags & POLICY_CHECK_MACS &&
	    !policy_mac_is((const uint8_t(*)[6])ep->macs, ep->n_macs, eth_src))
		return DROP_POLICY_GUARD_MAC;
	if (tagged && !(ep->flags & POLICY_MAY_TAG))
		return DROP_POLICY_GUARD_VLAN;
	return DROP_NONE;
}
