/* SPDX-License-Identifier: BSD-3-Clause */
/* The walk: tables, action lists, the action set, and where a packet comes in. */
#include <stdlib.h>

#include "datapath/resolve/actions_priv.h"
#include "datapath/table/flow_table.h"

/* ---- lists ---- */
/* Runs the actions of a list until one ends it. */
void resolve_list(struct resolver *r, const uint8_t *list, size_t len, uint8_t table,
		  enum boundary boundary)
{
	struct frame f = {.up = r->frame, .end = list + len, .table = table, .boundary = boundary};

	if (++r->n_lists > LISTS_MAX) {
		fail(r, DROP_RECURSION_LIMIT);
	} else {
		r->frame = &f;
		for (const uint8_t *at = list; at < f.end && !stopped(r) && !f.ended;) {
			const struct action *a = (const void *)at;

			at += ACTION_PADDED(a->len);
			f.pos = at;
			TRACE(r, action, a, &r->cur.flow);
			resolve_action(r, a);
		}
		r->frame = f.up;
	}
	r->n_lists--;
}

/* ---- action sets (OpenFlow 1.5.1 §5.6) ---- */
static const struct action *last_of(const uint8_t *set, size_t len, uint8_t order)
{
	const struct action *found = NULL;

	ACTION_FOR_EACH(a, set, len)
	if (action_infos[a->type].set_order == order)
		found = a;
	return found;
}

static size_t append(uint8_t *out, size_t at, const struct action *a)
{
	if (!a)
		return at;
	memcpy(out + at, a, ACTION_PADDED(a->len));
	return at + ACTION_PADDED(a->len);
}

enum { ORDER_FIRST_WRITE = 60, ORDER_GROUP = 90, ORDER_OUTPUT = 100 };

/* The set as the list that it means; `out` has room for len bytes. */
static size_t order_set(const uint8_t *set, size_t len, uint8_t *out)
{
	static const uint8_t single[] = {5, 10, 20, 21, 30, 32, 40, 50, 51};
	const struct action *last;
	size_t at = 0;

	for (unsigned i = 0; i < SL_ARRAY_SIZE(single); i++)
		at = append(out, at, last_of(set, len, single[i]));
	/* Writes in the order in which they came; so do actions that no specification orders, but
	 * for those that send the packet on. */
	ACTION_FOR_EACH(a, set, len)
	{
		uint8_t order = action_infos[a->type].set_order;
		bool sends_on = a->type == ACTION_RESUBMIT || a->type == ACTION_CT;

		if ((order >= ORDER_FIRST_WRITE && order < ORDER_GROUP) || (!order && !sends_on))
			at = append(out, at, a);
	}
	last = last_of(set, len, ORDER_GROUP);
	if (!last)
		last = last_of(set, len, ORDER_OUTPUT);
	if (last)
		return append(out, at, last);
	ACTION_FOR_EACH(a, set, len)
	if (a->type == ACTION_RESUBMIT || a->type == ACTION_CT)
		at = append(out, at, a);
	return at;
}

void resolve_action_set(struct resolver *r, const uint8_t *set, size_t len, enum boundary boundary)
{
	enum { LOCAL_BYTES = 1024 };
	uint64_t local[LOCAL_BYTES / 8];
	uint8_t *list = len <= LOCAL_BYTES ? (uint8_t *)local : xmalloc(len);

	resolve_list(r, list, order_set(set, len, list), r->table, boundary);
	if (list != (uint8_t *)local)
		free(list);
}

static void update_actset_output(struct resolver *r)
{
	const struct action *out = last_of(r->action_set.data, r->action_set.len, ORDER_OUTPUT);
	uint32_t port = OFP_PORT_UNSET;

	if (out && !last_of(r->action_set.data, r->action_set.len, ORDER_GROUP))
		port = ((const struct action_output *)out)->port;
	r->cur.flow.regs.actset_output = cpu_to_be32(port);
}

void resolve_write_actions(struct resolver *r, const uint8_t *list, size_t len)
{
	struct action_buf *s = &r->action_set;

	if (s->len + len > ACTION_SET_MAX) {
		fail(r, DROP_PROGRAM_TOO_LONG);
		return;
	}
	if (s->len + len > s->cap) {
		s->cap = SL_MAX(s->len + len, (size_t)1024);
		s->data = xrealloc(s->data, s->cap);
	}
	if (len)
		memcpy(s->data + s->len, list, len);
	s->len += len;
	update_actset_output(r);
}

void resolve_clear_actions(struct resolver *r)
{
	r->action_set.len = 0;
	r->cur.flow.regs.actset_output = cpu_to_be32(OFP_PORT_UNSET);
}

/* The set is run once; what it leads to (a group, a table) starts an empty one. */
void resolve_run_action_set(struct resolver *r)
{
	struct action_buf set = r->action_set;
	const struct rule *rule = r->rule;
	uint8_t table = r->table;
	bool in_set = r->in_action_set;

	if (r->failed != DROP_NONE || !set.len)
		return;
	r->exit = r->exit_all = false;
	r->action_set = (struct action_buf){0};
	if (!r->rule && r->first_rule) {
		r->rule = r->first_rule;
		r->table = r->first_table;
	}
	r->in_action_set = true;
	resolve_action_set(r, set.data, set.len, BOUNDARY_NONE);
	r->in_action_set = in_set;
	r->rule = rule;
	r->table = table;
	/* Whatever wrote a set meanwhile did so after the end of the pipeline. */
	action_buf_free(&r->action_set);
	set.len = 0;
	r->action_set = set;
}

/* ---- tables ---- */
static const struct rule *look_up_whole(struct resolver *r, const struct classifier *cls,
					uint32_t *conj_id)
{
	const struct flow_key *cst = &r->cur.cst.key, *wc = &r->wc.key;
	const struct rule *rule =
		classifier_lookup(cls, r->req->version, &r->cur.flow, &r->wc, &r->cur.cst, conj_id);

	/* A fragment with such ports would have been looked up without. */
	if (wc->tp_src | wc->tp_dst | cst->tp_src | cst->tp_dst)
		read_bytes(r, offsetof(struct flow, key.ip_frag), 1);
	return rule;
}

/* The ports of fragments, and ICMP's type and code, are 0 to every rule, those of the first
 * fragment, too (ovs-ofctl(8), set-frags, normal). */
static const struct rule *look_up_fragment(struct resolver *r, const struct classifier *cls,
					   uint32_t *conj_id)
{
	struct flow_key *k = &r->cur.flow.key, *cst = &r->cur.cst.key, *written = &r->written.key;
	be16_t src = k->tp_src, dst = k->tp_dst, src_cst = cst->tp_src, dst_cst = cst->tp_dst;
	const struct rule *rule;

	(void)READ(r, key.ip_frag);
	k->tp_src = k->tp_dst = 0;
	cst->tp_src = cst->tp_dst = written->tp_src = written->tp_dst = 0xffff;
	rule = classifier_lookup(cls, r->req->version, &r->cur.flow, &r->wc, &r->cur.cst, conj_id);
	k->tp_src = src;
	k->tp_dst = dst;
	cst->tp_src = src_cst;
	cst->tp_dst = dst_cst;
	return rule;
}

static const struct rule *look_up(struct resolver *r, uint8_t table)
{
	const struct flow_table *ft = flow_table_get(r->bridge, table);
	const struct rule *rule = NULL;
	uint32_t conj_id = 0;

	depend(r, CHANGE_TABLE, r->bridge->id, table);
	if (ft && r->cur.flow.key.ip_frag && r->config->frag_mode == FRAG_NORMAL)
		rule = look_up_fragment(r, &ft->cls, &conj_id);
	else if (ft)
		rule = look_up_whole(r, &ft->cls, &conj_id);
	if (rule)
		resolve_credit(r, &rule->stats->credit);
	else if (ft)
		resolve_credit(r, ft->missed);
	TRACE(r, table, r->bridge, table, rule, conj_id, &r->cur.flow);
	return rule;
}

static void miss_upcall(struct resolver *r, uint8_t reason)
{
	resolve_controller(r, &(struct controller_args){.max_len = UINT16_MAX,
							.reason = reason,
							.meter_id = 0xffffffff});
}

/* No rule matched: what the table's settings say. Returns the table to go on in, or -1. */
static int miss(struct resolver *r, uint8_t table)
{
	const struct flow_table *ft = flow_table_get(r->bridge, table);

	switch (ft ? (enum table_miss)ft->config.miss : TABLE_MISS_DEFAULT) {
	case TABLE_MISS_CONTROLLER:
		miss_upcall(r, 0);
		return -1;
	case TABLE_MISS_CONTINUE:
		if (table + 1 < TABLE_ALL)
			return table + 1;
		break;
	case TABLE_MISS_DEFAULT:
		if (__atomic_load_n(&r->bridge->miss_upcalls, __ATOMIC_RELAXED)) {
			miss_upcall(r, OFPR_IMPLICIT_MISS);
			return -1;
		}
		break;
	case TABLE_MISS_DROP:
		break;
	}
	note_drop(r, DROP_TABLE_MISS);
	return -1;
}

/* The rule that the packet finds as if it had come in by in_port: what it does then happens to the
 * packet of the real one. */
static const struct rule *look_up_as(struct resolver *r, uint8_t table, be32_t in_port)
{
	be32_t saved = r->cur.flow.regs.in_port;
	const struct rule *rule;

	r->cur.flow.regs.in_port = in_port;
	rule = look_up(r, table);
	r->cur.flow.regs.in_port = saved;
	return rule;
}

/* ovs-ofctl(8), set-frags, drop: fragments are looked up nowhere. */
static bool drops_fragment(struct resolver *r)
{
	if (r->config->frag_mode != FRAG_DROP || !READ(r, key.ip_frag))
		return false;
	note_drop(r, DROP_FRAGMENT_UNWANTED);
	return true;
}

static void walk(struct resolver *r, uint8_t first, bool in_resubmit, be32_t in_port)
{
	uint8_t saved_table = r->table;
	const struct rule *saved_rule = r->rule;
	bool saved_miss = r->rule_is_miss;
	int table = first;

	while (table >= 0 && !stopped(r)) {
		const struct rule *rule;

		if (++r->n_resubmits > RESUBMITS_MAX) {
			fail(r, DROP_RESUBMIT_LIMIT);
			break;
		}
		if (drops_fragment(r))
			break;
		r->table = (uint8_t)table;
		r->rule = rule = look_up_as(r, (uint8_t)table, in_port);
		in_port = r->cur.flow.regs.in_port;
		r->goto_table = -1;
		if (!rule) {
			table = in_resubmit ? -1 : miss(r, (uint8_t)table);
			continue;
		}
		if (r->why == DROP_NONE) {
			r->why_cookie = r->out->origin.cookie = rule->cookie;
			r->out->origin.bridge_id = (uint16_t)r->bridge->id;
			r->out->origin.table = (uint8_t)table;
		}
		if (!r->first_rule) {
			r->first_rule = rule;
			r->first_table = (uint8_t)table;
		}
		r->rule_is_miss = rule_is_table_miss(rule);
		resolve_list(r, rule_actions(rule), rule->actions_len, (uint8_t)table,
			     BOUNDARY_NONE);
		table = r->goto_table;
		in_port = r->cur.flow.regs.in_port;
	}
	r->goto_table = -1;
	r->table = saved_table;
	r->rule = saved_rule;
	r->rule_is_miss = saved_miss;
}

void resolve_table(struct resolver *r, uint8_t table, bool in_resubmit)
{
	walk(r, table, in_resubmit, r->cur.flow.regs.in_port);
}

void resolve_resubmit(struct resolver *r, uint8_t table, be32_t in_port)
{
	walk(r, table, true, in_port);
}

/* A bridge whose table 0 nobody ever touched is a plain switch, unless it is to fail closed. */
static bool is_untouched(struct resolver *r)
{
	const struct flow_table *ft = flow_table_get(r->bridge, 0);

	depend(r, CHANGE_TABLE, r->bridge->id, 0);
	return !r->config->fail_secure && !(ft && __atomic_load_n(&ft->used, __ATOMIC_RELAXED));
}

void resolve_pipeline(struct resolver *r)
{
	if (!is_untouched(r))
		resolve_table(r, 0, false);
	else if (!drops_fragment(r))
		resolve_normal(r);
	resolve_run_action_set(r);
}

/* ---- packet-outs ---- */

/* The registers that the request gives. Nobody gives a queue or an action set. */
void resolve_take_regs(struct resolver *r, uint32_t of_in_port)
{
	struct flow_regs *regs = &r->cur.flow.regs, own = *regs;

	if (r->req->regs)
		*regs = *r->req->regs;
	regs->queue = own.queue;
	regs->actset_output = own.actset_output;
	regs->in_port = cpu_to_be32(of_in_port);
}

void resolve_packet_out(struct resolver *r)
{
	const struct resolve_request *q = r->req;
	struct bridge *b = bridge_by_id(q->bridge_id);
	const struct bridge_port *in = NULL;

	if (!b) {
		note_drop(r, DROP_BRIDGE_GONE);
		return;
	}
	if (q->of_in_port != OFP_PORT_CONTROLLER && q->of_in_port != OFP_PORT_ANY)
		in = bridge_port_by_ofport(b, q->of_in_port);
	resolve_enter_bridge(r, b, in);
	resolve_take_regs(r, q->of_in_port);
	r->out->cacheable = false;
	resolve_list(r, q->actions, q->actions_len, 0, BOUNDARY_NONE);
	resolve_run_action_set(r);
}

/* ---- coming back ---- */
void resolve_resume(struct resolver *r)
{
	const struct frozen *f = frozen_lookup(r->req->key->recirc_id);

	depend(r, CHANGE_FROZEN, 0, r->req->key->recirc_id);
	if (!f) {
		note_drop(r, DROP_FROZEN_GONE);
		r->out->cacheable = false;
		return;
	}
	resolve_credit(r, (struct credit_target *)&f->credit);
	resolve_thaw(r, &f->state);
}

/* The lists of a frozen state, innermost first: each waits as a frame for those inside it, so that
 * freezing again takes along what is left of all. */
static void run_lists(struct resolver *r, const struct frozen_state *s)
{
	const uint8_t *at = s->data + s->stack_len + s->action_set_len, *end = at + s->lists_len;
	struct frame waiting[FROZEN_LISTS_MAX];
	const struct frozen_list *list[FROZEN_LISTS_MAX];
	unsigned n = 0;

	for (; at < end && n < FROZEN_LISTS_MAX; n++) {
		list[n] = (const void *)at;
		at += sizeof *list[n] + list[n]->len;
	}
	for (unsigned i = n; i-- > 0;) {
		waiting[i] = (struct frame){.up = i + 1 < n ? &waiting[i + 1] : NULL,
					    .pos = list[i]->actions,
					    .end = list[i]->actions + list[i]->len,
					    .table = list[i]->table};
	}
	for (unsigned i = 0; i < n && !stopped(r); i++) {
		r->table = list[i]->table;
		r->frame = i + 1 < n ? &waiting[i + 1] : NULL;
		r->goto_table = -1;
		resolve_list(r, list[i]->actions, list[i]->len, list[i]->table, BOUNDARY_NONE);
		if (r->goto_table >= 0 && !stopped(r))
			resolve_table(r, (uint8_t)r->goto_table, false);
	}
	r->frame = NULL;
}

void resolve_thaw(struct resolver *r, const struct frozen_state *s)
{
	struct bridge *b = bridge_by_id(s->bridge_id);
	const struct bridge_port *in = s->in_port_id ? bridge_port_by_id(s->in_port_id) : NULL;

	if (!b) {
		note_drop(r, DROP_BRIDGE_GONE);
		return;
	}
	if (in && in->bridge != b)
		in = NULL;
	resolve_enter_bridge(r, b, in);
	r->cur.flow.regs = s->regs;
	r->n_patch = SL_MIN(s->n_patch, (uint32_t)PATCH_MAX);
	r->table = s->table;
	if (s->stack_len)
		resolve_stack_load(r, s->data, s->stack_len);
	if (s->action_set_len)
		resolve_write_actions(r, s->data + s->stack_len, s->action_set_len);
	if (s->has_table)
		resolve_table(r, s->table, false);
	run_lists(r, s);
	if (s->run_set)
		resolve_run_action_set(r);
}
