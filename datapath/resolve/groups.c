/* SPDX-License-Identifier: BSD-3-Clause */
/* Groups and meters. The bucket of a select group is chosen per packet by the program, so that
 * nothing of the packet that only the hash reads gets into the mask. */
#include "datapath/resolve/actions_priv.h"
#include "datapath/table/group.h"
#include "datapath/table/meter.h"

static void bucket_actions(struct resolver *r, const struct group_bucket *b)
{
	bool saved = r->in_bucket;

	resolve_credit(r, &b->stats->credit);
	r->in_bucket = true;
	resolve_action_set(r, b->actions, b->actions_len, BOUNDARY_BUCKET);
	r->in_bucket = saved;
	r->exit = r->exit_all = false; /* ends the bucket only (ovs-actions(7), exit) */
}

static void run_bucket(struct resolver *r, const struct group *g, const struct group_bucket *b)
{
	struct scope s;

	TRACE(r, group, g->id, b->id, true);
	if (!resolve_scope_begin(r, &s))
		return;
	bucket_actions(r, b);
	resolve_scope_end(r, &s);
}

static bool is_live(struct resolver *r, const struct group_bucket *b)
{
	if (b->watch_port != OFP_PORT_ANY) {
		const struct bridge_port *p = bridge_port_by_ofport(r->bridge, b->watch_port);

		if (p)
			depend(r, CHANGE_PORT, 0, p->c.port_id);
	}
	/* A watched group rests on ports that are not worth listing: all of them. */
	if (b->watch_group != 0xffffffff) {
		depend(r, CHANGE_GROUP, r->bridge->id, b->watch_group);
		for (uint32_t i = 0; i < rcu_load(&r->bridge->ports)->n; i++)
			depend(r, CHANGE_PORT, 0, rcu_load(&r->bridge->ports)->at[i]->c.port_id);
	}
	return group_bucket_is_live(r->bridge, b, r->req->version);
}

static void all(struct resolver *r, const struct group *g)
{
	for (uint32_t i = 0; i < g->n_buckets && r->failed == DROP_NONE; i++)
		run_bucket(r, g, &g->bucket[i]);
}

static void fast_failover(struct resolver *r, const struct group *g)
{
	for (uint32_t i = 0; i < g->n_buckets; i++) {
		if (is_live(r, &g->bucket[i])) {
			run_bucket(r, g, &g->bucket[i]);
			return;
		}
		TRACE(r, group, g->id, g->bucket[i].id, false);
	}
	note_drop(r, DROP_GROUP_NO_BUCKET);
}

/* Registers among the hashed fields are constants here; the packet's own are hashed at run time. */
static uint32_t hash_basis(const struct resolver *r, const struct group *g)
{
	uint64_t h = g->param;
	unsigned at = 0;

	for (unsigned line = 0; g->fields && line < FLOW_LINES; line++) {
		const uint8_t *mask, *v = r->cur.flow.line[line];

		if (!(g->fields->lines >> line & 1))
			continue;
		mask = g->fields->data[g->fields->n_lines + at++];
		for (unsigned i = 0; line >= FLOW_KEY_LINES && i < FLOW_LINE_BYTES; i++)
			if (mask[i])
				h = h * 31 + (v[i] & mask[i]);
	}
	return (uint32_t)(h ^ h >> 32) ^ g->id;
}

/* The ops of each bucket, one after the other, each behind its struct prog_bucket. All start from
 * the same packet; what comes after the group must not see any of them, hence the scope around it.
 */
static void choose_late(struct resolver *r, const struct group *g)
{
	enum { HEAD_WORDS = sizeof(struct prog_bucket) / sizeof(union prog_word) };
	struct prog_builder *p = &r->out->prog;
	uint32_t at = p->n_words, total = 0, upto = 0, live = 0, point = UINT32_MAX;
	struct packet_state cur;
	struct base_state base;
	struct prog_select *sel;
	struct scope scope;

	resolve_commit(r);
	for (uint32_t i = 0; i < g->n_buckets; i++)
		if (is_live(r, &g->bucket[i]) && g->bucket[i].weight) {
			total += g->bucket[i].weight;
			live++;
		}
	if (!live) {
		note_drop(r, DROP_GROUP_NO_BUCKET);
		return;
	}
	if (!resolve_scope_begin(r, &scope))
		return;
	at = p->n_words;
	sel = (struct prog_select *)put_op(r, OP_GROUP_SELECT, (uint16_t)live, 0,
					   sizeof *sel / sizeof(union prog_word));
	sel->total_weight = total;
	sel->basis = hash_basis(r, g);
	sel->fields = g->method == GROUP_METHOD_HASH ? g->fields : NULL;
	cur = r->cur;
	base = r->base;
	if (SL_UNLIKELY(r->tracer != NULL) && r->tracer->choose)
		point = r->tracer->choose(r->tracer->aux, sel, &cur.flow.key);
	for (uint32_t i = 0; i < g->n_buckets && r->failed == DROP_NONE && !p->overflow; i++) {
		const struct group_bucket *b = &g->bucket[i];
		uint32_t head = p->n_words;
		unsigned effects = r->n_effects;

		if (!b->weight || !group_bucket_is_live(r->bridge, b, r->req->version))
			continue;
		bool chosen = point >= upto && point < upto + b->weight;
		TRACE(r, group, g->id, b->id, chosen || point == UINT32_MAX);
		upto += b->weight;
		/* Of the others nobody wants to read the steps. */
		struct resolve_tracer *tracer = r->tracer;
		if (!chosen && point != UINT32_MAX)
			r->tracer = NULL;
		for (unsigned w = 0; w < HEAD_WORDS; w++)
			put_op(r, OP_COPY_END, 0, 0, 0); /* become the head */
		bucket_actions(r, b);
		if (r->n_effects == effects)
			put_op(r, OP_DROP, (uint16_t)(r->why ? r->why : DROP_NO_ACTIONS), 0, 0);
		resolve_trim_copy(r);
		r->tracer = tracer;
		if (p->overflow)
			break;
		*(struct prog_bucket *)&p->word[head] =
			(struct prog_bucket){.n_words = p->n_words - head - HEAD_WORDS,
					     .upto = upto,
					     .counts = b->stats->chosen};
		r->cur = cur;
		r->base = base;
		r->dirty = false;
	}
	if (!p->overflow)
		p->word[at].op.b = p->n_words - at - 1;
	r->n_effects++;
	r->copy_end_at = UINT32_MAX;
	r->base_seq++;
	resolve_scope_end(r, &scope);
}

void resolve_group(struct resolver *r, uint32_t group_id)
{
	const struct group *g = group_lookup(r->bridge, group_id, r->req->version);

	depend(r, CHANGE_GROUP, r->bridge->id, group_id);
	if (!g) {
		note_drop(r, DROP_GROUP_MISSING);
		return;
	}
	resolve_credit(r, &g->stats->credit);
	switch ((enum group_type)g->type) {
	case GROUP_ALL:
	case GROUP_INDIRECT:
		all(r, g);
		break;
	case GROUP_SELECT:
		choose_late(r, g);
		break;
	case GROUP_FAST_FAILOVER:
		fast_failover(r, g);
		break;
	}
}

void resolve_meter(struct resolver *r, uint32_t meter_id)
{
	struct meter *m = meter_find(r->bridge, meter_id);

	depend(r, CHANGE_METER, r->bridge->id, meter_id);
	if (!m) {
		note_drop(r, DROP_METER_MISSING);
		return;
	}
	resolve_credit(r, &m->credit);
	resolve_commit(r);
	put_op(r, OP_METER, 0, meter_id, 1)->ptr = m;
	/* A remark changes the packet, a drop takes it. */
	r->base_seq++;
}
