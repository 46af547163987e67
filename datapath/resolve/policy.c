/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the network policy enters programs: an op for the edge that the packet came by, in front of
 * all others, and one for each output to a policed port (output.c). What depends on Ethernet
 * addresses alone is decided here, once for the cache entry, before anything is learnt. */
#include "datapath/policy/policy_edge.h"
#include "datapath/resolve/resolver_priv.h"

/* Uplinks lead to somebody else's edge, patch ports to another bridge of ours. */
static bool has_edge(const struct bridge_port *p)
{
	return !p->c.is_patch && p->c.role != PORT_ROLE_UPLINK;
}

bool resolve_has_edge(const struct bridge_port *p)
{
	return has_edge(p) && rcu_load(&p->bridge->config)->policed;
}

bool resolve_is_policed(struct resolver *r, const struct bridge_port *p)
{
	depend(r, CHANGE_BRIDGE, p->bridge->id, 0);
	return resolve_has_edge(p);
}

static bool is_own_mac(struct resolver *r, const struct bridge_port *in, const uint8_t src[6],
		       bool tagged)
{
	enum drop_reason why;

	depend(r, CHANGE_POLICY, 0, 0);
	why = policy_guard_ethernet(in->c.port_id, src, tagged);
	if (why != DROP_NONE)
		note_drop(r, why);
	return why == DROP_NONE;
}

bool resolve_policy_in(struct resolver *r, const struct bridge_port *in)
{
	if (!resolve_is_policed(r, in))
		return true;
	if (in->c.role == PORT_ROLE_GUEST &&
	    !is_own_mac(r, in, READ_ARRAY(r, key.eth_src), resolve_has_vlan(r)))
		return false;
	put_op(r, OP_POLICY_IN, 0, in->c.port_id, 0);
	r->policed_in = true;
	return true;
}

bool resolve_policy_may_learn(struct resolver *r, const struct bridge_port *in,
			      const uint8_t src[6])
{
	if (!resolve_is_policed(r, in) || in->c.role != PORT_ROLE_GUEST)
		return true;
	depend(r, CHANGE_POLICY, 0, 0);
	return policy_guard_ethernet(in->c.port_id, src, false) != DROP_POLICY_GUARD_MAC;
}

void resolve_policy_hints(struct resolver *r)
{
	struct prog_op *op = r->out->prog.n_words ? &r->out->prog.word[0].op : NULL;

	if (!r->policed_in || !op || op->code != OP_POLICY_IN)
		return;
	op->a = (uint16_t)((r->n_effects == 1 && r->n_host_outputs == 1 ? POLICY_HINT_TO_HOST : 0) |
			   (r->flooded ? POLICY_HINT_FLOODED : 0));
}
