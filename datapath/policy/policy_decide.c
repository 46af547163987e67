/* SPDX-License-Identifier: BSD-3-Clause */
/* May a connection pass an edge? The edge's question is put to the rules of the endpoint behind the
 * port, and of the host where it takes part. Any thread; reads only. */
#include "datapath/policy/policy_edge_priv.h"

static void set_peer(const struct policy *p, struct policy_question *q, uint32_t owner)
{
	bool host = p->endpoints[owner].flags & POLICY_IS_HOST;

	q->peer = owner;
	q->peer_kind = host ? POLICY_HOST : POLICY_ENDPOINT;
}

/* Which guest sent it, when its addresses are checked: POLICY_NONE: that is not known. What the
 * guest sent came from an address of its own; if it does not any more, rules have written another
 * one, and must not make it somebody else by that. */
static uint32_t rewritten_guest(const struct policy *p, const struct edge_case *c)
{
	const struct policy_endpoint *ep =
		c->egress || !c->other_port ? NULL : endpoint_of(p, c->other_port);

	if (!ep || role_of(p, c->other_port) != POLICY_ROLE_GUEST ||
	    !(ep->flags & POLICY_CHECK_ADDRESSES) || policy_owns_address(p, ep, c->family, c->src))
		return POLICY_NONE;
	return (uint32_t)(ep - p->endpoints);
}

static void find_peer(const struct policy *p, const struct edge_case *c, struct policy_question *q)
{
	uint32_t network = network_of(q->self), guest = rewritten_guest(p, c);
	uint32_t owner, other = POLICY_NONE;
	bool host;

	if (guest != POLICY_NONE) {
		set_peer(p, q, guest);
		q->peer_addr = q->family == 4 ? p->endpoints[guest].own4 : p->endpoints[guest].own6;
		return;
	}
	owner = policy_owner(p, network, q->family, q->peer_addr);
	if (owner != POLICY_NONE) {
		set_peer(p, q, owner);
		return;
	}
	if (c->egress) {
		host = c->to_host;
	} else {
		host = c->other_port && role_of(p, c->other_port) == POLICY_ROLE_HOST;
		if (c->other_port)
			other = __atomic_load_n(&p->port[c->other_port].endpoint, __ATOMIC_RELAXED);
	}
	if (host && !host_routes(p, network))
		q->peer_kind = POLICY_HOST;
	else if (other != POLICY_NONE)
		set_peer(p, q, other);
}

static struct policy_question question(const struct edge_case *c)
{
	return (struct policy_question){.direction = c->egress ? POLICY_EGRESS : POLICY_INGRESS,
					.family = c->family,
					.proto = c->proto,
					.service = c->service,
					.peer_addr = c->egress ? c->dst : c->src};
}

/* The host's own rules, of policies that select it; `guest` may be POLICY_NONE. */
static struct policy_answer ask_host(const struct policy *p, const struct edge_case *c,
				     uint32_t guest, struct policy_answer so_far)
{
	struct policy_question q = question(c);
	struct policy_answer a;

	if (!so_far.allow || p->host == POLICY_NONE)
		return so_far;
	q.self = &p->endpoints[p->host];
	if (!q.self->list[q.direction] && !(q.self->isolated & (1u << q.direction)))
		return so_far;
	if (guest != POLICY_NONE)
		set_peer(p, &q, guest);
	a = policy_judge(p, &q);
	/* The name of the guest's own rule says more than that the host's let it pass. */
	return a.allow && so_far.rule ? so_far : a;
}

static struct policy_answer from_host(const struct policy *p, const struct edge_case *c)
{
	uint32_t owner = policy_owner(p, POLICY_NONE, c->family, c->dst);
	struct policy_answer a = policy_builtin(POLICY_SLOT_ALLOW);

	if (owner != POLICY_NONE && !(p->endpoints[owner].flags & POLICY_IS_HOST)) {
		struct policy_question q = {.self = &p->endpoints[owner],
					    .direction = POLICY_INGRESS,
					    .peer_kind = POLICY_HOST,
					    .family = c->family,
					    .proto = c->proto,
					    .service = c->service,
					    .peer_addr = c->src};

		/* What the host only routes comes from somebody else: that guest's edge knows. */
		if (!host_routes(p, q.self->network))
			a = policy_judge(p, &q);
	}
	return ask_host(p, c, owner, a);
}

static bool is_group_address(uint8_t family, const uint8_t *a)
{
	return family == 4 ? a[0] >= 224 : a[0] == 0xff;
}

static struct policy_answer to_host(const struct policy *p, const struct edge_case *c)
{
	uint32_t guest = POLICY_NONE;
	struct policy_answer a = policy_builtin(POLICY_SLOT_ALLOW);
	struct policy_question q;

	if (c->other_port)
		guest = __atomic_load_n(&p->port[c->other_port].endpoint, __ATOMIC_RELAXED);
	if (guest == POLICY_NONE)
		guest = policy_owner(p, POLICY_NONE, c->family, c->src);
	if (guest != POLICY_NONE && p->endpoints[guest].flags & POLICY_IS_HOST)
		guest = POLICY_NONE;
	if (guest != POLICY_NONE) {
		q = (struct policy_question){.self = &p->endpoints[guest],
					     .direction = POLICY_EGRESS,
					     .peer_kind = POLICY_HOST,
					     .family = c->family,
					     .proto = c->proto,
					     .service = c->service,
					     .peer_addr = c->dst};
		if (host_routes(p, q.self->network) && !is_group_address(c->family, c->dst)) {
			uint32_t owner = policy_owner(p, q.self->network, c->family, c->dst);

			q.peer_kind = POLICY_OUTSIDE;
			if (owner != POLICY_NONE)
				set_peer(p, &q, owner);
		}
		a = policy_judge(p, &q);
	} else if (c->other_port && role_of(p, c->other_port) == POLICY_ROLE_GUEST) {
		a = policy_builtin(POLICY_SLOT_HOST_DENY);
	}
	return ask_host(p, c, guest, a);
}

struct policy_answer edge_decide(const struct policy *p, const struct edge_case *c)
{
	struct policy_question q;

	if (edge_is_host(c->edge))
		return c->egress ? from_host(p, c) : to_host(p, c);
	q = question(c);
	q.self = endpoint_of(p, c->edge);
	find_peer(p, c, &q);
	return policy_judge(p, &q);
}
