/* SPDX-License-Identifier: BSD-3-Clause */
/* Turning "what is left to do" into a frozen context. Poll threads and main. */
#include <stdlib.h>

#include "datapath/resolve/actions_priv.h"

/* Appends bytes to the state being built; false: too long. */
static bool put(struct frozen_state *s, const void *p, size_t n)
{
	if (s->len + SL_ALIGN_UP(n, 8) > FROZEN_BYTES_MAX)
		return false;
	memset((uint8_t *)s + s->len, 0, SL_ALIGN_UP(n, 8));
	if (n)
		memcpy((uint8_t *)s + s->len, p, n);
	s->len += (uint32_t)SL_ALIGN_UP(n, 8);
	return true;
}

/* The rest of every list up to the boundary. *whole: the action set is due, too. */
static bool put_lists(struct resolver *r, struct frozen_state *s, bool *whole)
{
	unsigned n = 0;

	*whole = true;
	for (const struct frame *f = r->frame; f; f = f->up) {
		struct frozen_list l = {.len = (uint32_t)(f->end - f->pos), .table = f->table};

		if (l.len) {
			if (++n > FROZEN_LISTS_MAX || !put(s, &l, sizeof l) ||
			    !put(s, f->pos, l.len))
				return false;
			s->lists_len += (uint32_t)sizeof l + l.len;
		}
		if (f->boundary) {
			*whole = f->boundary == BOUNDARY_CLONE;
			break;
		}
	}
	return true;
}

uint32_t resolve_freeze(struct resolver *r, int table)
{
	struct frozen_state *s = r->freeze_buf;
	struct frozen *f;
	bool whole = true, ok;
	uint32_t id;

	if (!s && !(s = r->freeze_buf = malloc(FROZEN_BYTES_MAX))) {
		fail(r, DROP_FROZEN_QUOTA);
		return 0;
	}
	memset(s, 0, sizeof *s);
	s->len = sizeof *s;
	s->bridge_id = r->bridge->id;
	s->in_port_id = r->in ? r->in->c.port_id : 0;
	s->n_patch = r->n_patch;
	s->regs = r->cur.flow.regs;
	s->table = table >= 0 ? (uint8_t)table : r->table;
	s->has_table = table >= 0;
	s->stack_len = r->stack_len;
	s->action_set_len = (uint32_t)r->action_set.len;
	ok = put(s, r->stack, r->stack_len) && put(s, r->action_set.data, r->action_set.len);
	if (ok && table < 0)
		ok = put_lists(r, s, &whole);
	s->run_set = r->set_is_frozen = whole;
	if (!ok) {
		fail(r, DROP_FROZEN_QUOTA);
		return 0;
	}
	TRACE(r, frozen, s, &r->cur.flow);
	id = frozen_intern(s, r->req->key->in_port, r->req->now_ms, r->req->side_effects, &f);
	if (id)
		resolve_credit(r, &f->credit);
	else if (r->req->side_effects)
		fail(r, DROP_FROZEN_QUOTA);
	return id;
}

void resolve_stop_frozen(struct resolver *r)
{
	if (r->set_is_frozen)
		r->action_set.len = 0;
	r->exit = true;
}

void resolve_recirc(struct resolver *r, uint32_t frozen_id, uint8_t table)
{
	resolve_commit(r);
	put_op(r, OP_RECIRC, 0, frozen_id, 0);
	r->base_seq++; /* the op takes the packet: an enclosing scope must copy */
	r->n_effects++;
	TRACE(r, recirc, frozen_id, table);
}

bool resolve_rest_needs_packet(const struct resolver *r)
{
	for (const struct frame *f = r->frame; f; f = f->up) {
		ACTION_FOR_EACH(a, f->pos, (size_t)(f->end - f->pos))
		if (a->type != ACTION_OUTPUT ||
		    ((const struct action_output *)a)->port >= OFP_PORT_MAX)
			return true;
		if (f->boundary)
			return false;
	}
	return r->action_set.len != 0;
}
