/* SPDX-License-Identifier: BSD-3-Clause */
/* learn (ovs-actions(7)): adds a rule made from the packet. Run when a packet is resolved, and
 * again at most a second later for as long as packets come: that is what keeps hard timeouts of
 * learnt rules fresh, and brings one back that was deleted. Poll threads try the version lock; when
 * somebody else has it, the packet is resolved again later. */
#include <stdlib.h>

#include "datapath/resolve/actions_priv.h"
#include "datapath/table/flow_mod.h"

enum { LEARN_AGAIN_MS = 1000 };

static void spec_value(struct resolver *r, const struct learn_spec *s, union field_value *v)
{
	unsigned n = (s->n_bits + 7u) / 8;

	memset(v, 0, sizeof *v);
	if (s->src_is_value) {
		memcpy(v->b, s->value, SL_MIN(n, (unsigned)FIELD_MAX_BYTES));
	} else {
		struct subfield src = s->src;

		src.n_bits = s->n_bits;
		fields_read_value(r, &src, v);
	}
}

/* A sub-field's value and mask within the whole field. */
static void widen(const struct subfield *sf, const union field_value *v, union field_value *value,
		  union field_value *mask)
{
	const struct field_info *f = &fields[sf->field];
	unsigned n = (sf->n_bits + 7u) / 8;

	memset(value, 0, sizeof *value);
	memset(mask, 0, sizeof *mask);
	for (unsigned i = 0; i < sf->n_bits; i++) {
		unsigned to = sf->ofs + i, byte = f->n_bytes - 1u - to / 8;

		mask->b[byte] |= (uint8_t)(1u << to % 8);
		if (v->b[n - 1 - i / 8] >> i % 8 & 1)
			value->b[byte] |= (uint8_t)(1u << to % 8);
	}
}

static void add_match(struct match *m, const struct subfield *dst, const union field_value *v)
{
	const struct field_info *f = &fields[dst->field];
	union field_value value, mask, have, have_mask;

	widen(dst, v, &value, &mask);
	/* Several specs may fill parts of one field. */
	field_get_match(f, m, &have, &have_mask);
	for (unsigned i = 0; i < f->n_bytes; i++) {
		value.b[i] |= have.b[i] & (uint8_t)~mask.b[i];
		mask.b[i] |= have_mask.b[i];
	}
	field_match(f, m, &value, &mask);
}

static void add_load(struct action_buf *acts, const struct subfield *dst,
		     const union field_value *v)
{
	union field_value value, mask;
	const struct field_info *f = &fields[dst->field];
	struct action_set_field *a;
	size_t start = acts->len;

	widen(dst, v, &value, &mask);
	a = action_buf_put(acts, ACTION_LOAD, sizeof *a);
	a->field = dst->field;
	a->n_bytes = f->n_bytes;
	a->ofs = dst->ofs;
	a->n_bits = dst->n_bits;
	action_buf_grow_last(acts, start, value.b, f->n_bytes);
	action_buf_grow_last(acts, start, mask.b, f->n_bytes);
}

static void add_output(struct action_buf *acts, const struct learn_spec *s,
		       const union field_value *v)
{
	unsigned n = (s->n_bits + 7u) / 8;
	uint32_t port = 0;

	for (unsigned i = 0; i < n && i < 4; i++)
		port |= (uint32_t)v->b[n - 1 - i] << 8 * i;
	if (s->n_bits == 16 && port >= 0xff00)
		port |= 0xffff0000;
	action_put_output(acts, port, 0);
}

struct learnt {
	struct match match;
	struct action_buf actions;
	struct minimatch *mm;
	struct flow_mod fm;
};

static void build(struct resolver *r, const struct action_learn *a, struct learnt *l)
{
	const uint8_t *end = (const uint8_t *)a + a->a.len;

	memset(&l->actions, 0, sizeof l->actions);
	match_init(&l->match);
	for (const uint8_t *at = a->specs; at + sizeof(struct learn_spec) <= end;) {
		const struct learn_spec *s = (const void *)at;
		struct subfield dst = s->dst;
		union field_value v;

		at += ACTION_PADDED(s->len);
		dst.n_bits = s->n_bits;
		spec_value(r, s, &v);
		switch ((enum learn_dst)s->dst_type) {
		case LEARN_DST_MATCH:
			add_match(&l->match, &dst, &v);
			break;
		case LEARN_DST_LOAD:
			add_load(&l->actions, &dst, &v);
			break;
		case LEARN_DST_OUTPUT:
			add_output(&l->actions, s, &v);
			break;
		}
	}
	if (a->fin_idle_s || a->fin_hard_s) {
		struct action_fin_timeout *f =
			action_buf_put(&l->actions, ACTION_FIN_TIMEOUT, sizeof *f);

		f->idle_s = a->fin_idle_s;
		f->hard_s = a->fin_hard_s;
	}
	l->mm = minimatch_create(&l->match);
	flow_mod_init(&l->fm);
	l->fm.table = a->table;
	l->fm.by_learn = true;
	l->fm.priority = a->priority;
	l->fm.idle_timeout_s = a->idle_timeout_s;
	l->fm.hard_timeout_s = a->hard_timeout_s;
	l->fm.flags = a->flags & LEARN_SEND_FLOW_REM ? RULE_SEND_FLOW_REM : 0;
	l->fm.cookie = be64_to_cpu(a->cookie);
	l->fm.match = l->mm;
	l->fm.actions = l->actions.data;
	l->fm.actions_len = (uint32_t)l->actions.len;
}

void resolve_learn(struct resolver *r, const struct action_learn *a)
{
	struct learnt l;
	struct txn t;
	bool learnt = true;

	build(r, a, &l);
	limit_age(r, LEARN_AGAIN_MS);
	if (r->req->side_effects && !r->out->again) {
		if (txn_try_begin(&t)) {
			t.now_ms = r->req->now_ms;
			if (flow_mod_learn(&t, r->bridge, &l.fm, a->limit, &learnt))
				txn_commit(&t);
			else
				txn_abort(&t);
		} else {
			r->out->again = true;
			r->out->cacheable = false;
		}
	}
	if (a->result_dst.n_bits)
		fields_write_sub_u64(r, &a->result_dst, learnt);
	free(l.mm);
	action_buf_free(&l.actions);
}
