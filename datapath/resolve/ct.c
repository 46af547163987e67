/* SPDX-License-Identifier: BSD-3-Clause */
/* ct() and ct_clear (ovs-actions(7) "Firewalling"): the tracker works when the packet runs, so what
 * it finds is matched only after the packet has gone round; behind a ct() without a table the
 * packet counts as untracked. Poll threads and main. */
#include "datapath/resolve/actions_priv.h"

static void forget(struct resolver *r)
{
	struct flow_key *k = &r->cur.flow.key;

	k->ct_state = 0;
	k->ct_zone = 0;
	k->ct_mark = 0;
	WROTE(r, key.ct_state);
	WROTE(r, key.ct_zone);
	WROTE(r, key.ct_mark);
	memset(&r->cur.flow.line[FLOW_LINE_CT], 0, FLOW_LINE_BYTES);
	written_bytes(r, FLOW_LINE_CT * FLOW_LINE_BYTES, FLOW_LINE_BYTES);
}

static void put_nat(struct prog_ct *c, const struct action_nat *n)
{
	c->nat_flags = n->flags;
	c->nat_family = n->family;
	c->nat_port_min = n->port_min;
	c->nat_port_max = n->port_max;
	memcpy(c->nat_min, n->addr_min, sizeof c->nat_min);
	memcpy(c->nat_max, n->addr_max, sizeof c->nat_max);
}

/* The nested writes run on the flow's own mark and label, whose bits are meanwhile no constants:
 * those that are afterwards were written. */
static uint16_t run_nested(struct resolver *r, const struct action_ct *a, struct prog_ct *c)
{
	struct flow_key *k = &r->cur.flow.key, *cst = &r->cur.cst.key;
	struct flow_key saved = *k, saved_cst = *cst;
	const uint8_t any[16] = {0};
	uint16_t flags = 0;
	size_t n;
	const uint8_t *list = action_nested(&a->a, &n);

	cst->ct_mark = 0;
	memset(cst->ct_label, 0, sizeof cst->ct_label);
	ACTION_FOR_EACH(it, list, n)
	{
		if (it->type == ACTION_NAT) {
			put_nat(c, (const struct action_nat *)(const void *)it);
			flags |= PROG_CT_NAT;
		} else if (action_infos[it->type].flags & ACT_IN_CT) {
			resolve_action(r, it);
		}
	}
	c->mark = be32_to_cpu(k->ct_mark);
	c->mark_mask = be32_to_cpu(cst->ct_mark);
	memcpy(c->label, k->ct_label, sizeof c->label);
	memcpy(c->label_mask, cst->ct_label, sizeof c->label_mask);
	if (c->mark_mask)
		flags |= PROG_CT_MARK;
	if (memcmp(c->label_mask, any, sizeof any))
		flags |= PROG_CT_LABEL;
	*k = saved;
	*cst = saved_cst;
	return flags;
}

static void put_ct(struct resolver *r, const struct prog_ct *c, uint16_t flags)
{
	resolve_commit(r);
	memcpy(put_op(r, OP_CT, flags, 0, sizeof *c / 8), c, sizeof *c);
	r->base_seq++; /* it may translate the packet: an enclosing scope must copy */
	r->n_effects++;
	r->n_cts++;
}

void resolve_ct(struct resolver *r, const struct action_ct *a)
{
	struct prog_ct c = {.bridge_id = r->bridge->id, .zone = a->zone, .alg = a->alg};
	uint16_t flags;
	struct scope s;

	if (a->has_zone_src)
		c.zone = (uint16_t)fields_read_u64(r, &a->zone_src);
	flags = run_nested(r, a, &c);
	flags |= (uint16_t)((a->commit ? PROG_CT_COMMIT : 0) | (a->force ? PROG_CT_FORCE : 0));
	TRACE(r, ct, &c, flags, a->recirc_table, &r->cur.flow);
	if (a->recirc_table == 255) {
		put_ct(r, &c, flags);
		forget(r);
		return;
	}
	if (!resolve_scope_begin(r, &s))
		return;
	put_ct(r, &c, flags);
	resolve_recirc(r, resolve_freeze(r, a->recirc_table), a->recirc_table);
	resolve_scope_end(r, &s);
	forget(r);
}

bool resolve_ct_may_be_tracked(struct resolver *r)
{
	return r->n_cts || (r->req->key->recirc_id && READ(r, key.ct_state));
}

void resolve_ct_clear(struct resolver *r)
{
	/* A packet fresh from its port carries nothing to forget. */
	if (resolve_ct_may_be_tracked(r)) {
		put_op(r, OP_CT_CLEAR, 0, 0, 0);
		r->base_seq++;
	}
	forget(r);
}
