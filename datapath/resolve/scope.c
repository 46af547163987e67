/* SPDX-License-Identifier: BSD-3-Clause */
/* Scopes: what a clone, a bucket or a bridge behind a patch port does to the packet must not be
 * seen after it. When the ops of a scope changed the packet, they run on a copy: COPY_BEGIN goes
 * in front of them afterwards. The last copy of a program is not needed, for nobody comes after. */
#include "datapath/resolve/resolver_priv.h"

bool resolve_scope_begin(struct resolver *r, struct scope *s)
{
	if (r->n_scopes >= SCOPES_MAX) {
		fail(r, DROP_RECURSION_LIMIT);
		return false;
	}
	r->n_scopes++;
	s->cur = r->cur;
	s->base = r->base;
	s->dirty = r->dirty;
	s->base_seq = r->base_seq;
	s->prog_at = r->out->prog.n_words;
	return true;
}

void resolve_scope_end(struct resolver *r, const struct scope *s)
{
	struct prog_builder *b = &r->out->prog;

	r->n_scopes--;
	r->cur = s->cur;
	if (r->base_seq != s->base_seq) {
		uint32_t n;

		resolve_trim_copy(r);
		n = b->n_words - s->prog_at;
		put_op(r, OP_COPY_END, 0, n, 0);
		put_op(r, OP_COPY_END, 0, n, 0); /* room: everything moves up by one word */
		if (!b->overflow) {
			memmove(&b->word[s->prog_at + 1], &b->word[s->prog_at],
				(n + 1) * sizeof b->word[0]);
			b->word[s->prog_at].op = (struct prog_op){.code = OP_COPY_BEGIN, .b = n};
			r->copy_end_at = b->n_words - 1;
		}
	}
	r->base = s->base;
	r->dirty = s->dirty;
	/* For what encloses this scope the packet is as before. */
	r->base_seq = s->base_seq;
}

void resolve_trim_copy(struct resolver *r)
{
	struct prog_builder *b = &r->out->prog;
	uint32_t n, begin;

	if (b->overflow || !b->n_words || r->copy_end_at != b->n_words - 1)
		return;
	n = b->word[r->copy_end_at].op.b;
	begin = r->copy_end_at - 1 - n;
	memmove(&b->word[begin], &b->word[begin + 1], n * sizeof b->word[0]);
	b->n_words -= 2;
	r->copy_end_at = UINT32_MAX;
}
