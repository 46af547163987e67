/* SPDX-License-Identifier: BSD-3-Clause */
/* What a connection of an edge carries: who opened it, what allowed it and when it was judged, so
 * that it can be judged again; and how many there are. Poll threads and the main thread's sweep. */
#include "datapath/policy/policy_edge_priv.h"

uint16_t policy_edge_epoch[POLICY_EDGES];

static uint32_t conns[2 * POLICY_EDGES]; /* by context; atomic */

uint64_t edge_notes(const struct policy *p, const struct edge_case *c,
		    const struct policy_answer *a)
{
	bool guest = !edge_is_host(c->edge);
	const struct policy_endpoint *self = guest ? endpoint_of(p, c->edge) : NULL;
	/* What a guest answers from an address that is not its own goes through the guards. */
	bool own = !guest || !self || !(self->flags & POLICY_CHECK_ADDRESSES) || c->egress ||
		   policy_lpm_find(self->addresses, c->family, c->dst) == 1;

	return (c->egress ? NOTE_EGRESS : 0) | (c->to_host ? NOTE_TO_HOST : 0) |
	       (a->rule && a->rule->limited ? NOTE_LIMITED : 0) | (own ? NOTE_OWN_SOURCE : 0) |
	       (uint64_t)c->other_port << NOTE_OTHER_SHIFT |
	       (uint64_t)epoch_of(c->edge) << NOTE_EPOCH_SHIFT;
}

struct edge_case edge_case_of(const struct ct_tuple *t, uint64_t notes)
{
	uint32_t edge = edge_of_conn(t);

	return (struct edge_case){
		.edge = edge,
		.port_id = edge_is_host(edge) ? 0 : edge,
		.other_port = (uint16_t)(notes >> NOTE_OTHER_SHIFT) % PORT_ID_MAX,
		.egress = notes & NOTE_EGRESS,
		.to_host = notes & NOTE_TO_HOST,
		.family = t->family,
		.proto = t->proto,
		.service = service_of(t),
		.src = t->src,
		.dst = t->dst,
	};
}

bool edge_judge_again(const struct policy *p, struct ct_conn *c, struct policy_answer *a)
{
	uint64_t notes = load_label(c, 1);
	struct edge_case ec = edge_case_of(&c->node[CONN_ORIG].tuple, notes);
	uint64_t generation = __atomic_load_n(&p->generation, __ATOMIC_ACQUIRE);
	uint32_t old;

	*a = policy_builtin(POLICY_SLOT_INVALID);
	if (ec.edge >= POLICY_EDGES || !is_of_epoch(notes, ec.edge))
		return false;
	*a = edge_decide(p, &ec);
	if (!a->allow)
		return false;
	rte_spinlock_lock(&c->lock);
	old = c->mark;
	__atomic_store_n(&c->mark, a->slot, __ATOMIC_RELAXED);
	__atomic_store_n(&c->label[1], edge_notes(p, &ec, a), __ATOMIC_RELAXED);
	__atomic_store_n(&c->label[0], generation, __ATOMIC_RELAXED);
	rte_spinlock_unlock(&c->lock);
	if (old != a->slot) {
		policy_slot_conns_add(old, -1);
		policy_slot_conns_add(a->slot, 1);
	}
	return true;
}

bool policy_edge_judge_again(const struct policy *p, struct ct_conn *c)
{
	struct policy_answer a;

	return edge_judge_again(p, c, &a);
}

bool policy_edge_is_current(const struct ct_conn *c)
{
	return is_of_epoch(load_label(c, 1), edge_of_conn(&c->node[CONN_ORIG].tuple));
}

static void watch(const struct ct_conn *c, int n)
{
	uint32_t i = c->node[CONN_ORIG].tuple.context - POLICY_CONTEXT;

	if (i < SL_ARRAY_SIZE(conns))
		__atomic_add_fetch(&conns[i], (uint32_t)n, __ATOMIC_RELAXED);
	policy_slot_conns_add(__atomic_load_n(&c->mark, __ATOMIC_RELAXED), n);
}

void policy_edge_init(void)
{
	conntrack_watch = watch;
}

bool edge_has_second(uint32_t edge)
{
	return __atomic_load_n(&conns[POLICY_EDGES + edge], __ATOMIC_RELAXED);
}

uint32_t policy_edge_conns(uint32_t edge)
{
	return __atomic_load_n(&conns[edge], __ATOMIC_RELAXED) +
	       __atomic_load_n(&conns[POLICY_EDGES + edge], __ATOMIC_RELAXED);
}
