/* SPDX-License-Identifier: BSD-3-Clause */
/* The interpreter of programs. One function per op, named exec_<id in lower case>, found through
 * ops.def; each returns what becomes of the packet in hand. */
#include "datapath/exec/exec.h"

#include <string.h>

#include "datapath/core/pool.h"
#include "datapath/exec/ops.h"
#include "datapath/exec/rewrite.h"
#include "datapath/observe/observer.h"
#include "datapath/observe/record.h"

typedef enum exec_next (*op_fn)(struct exec *x, struct packet *p, const union prog_word *w,
				bool last);

static const op_fn ops[OP_N] = {
#define PROG_OP(id, ...) [OP_##id] = exec_##id,
#include "datapath/flow/ops.def"
#undef PROG_OP
};

void exec_created(struct exec *x, const struct packet *p, int64_t n)
{
	struct port_counters *c = counters_of(x->thread_idx, p->s.in_port);

	if (c)
		counter_add(&c->created, (uint64_t)n);
}

/* A packet of our own with the same state. False: counted as dropped for want of a buffer. */
bool exec_copy(struct exec *x, const struct packet *p, struct packet *copy)
{
	*copy = *p;
	copy->m = pool_copy(p->m);
	exec_created(x, p, 1);
	if (copy->m) {
		copy->m->port = p->m->port;
		if (SL_UNLIKELY(x->observer != NULL))
			observer_copy_mark(copy->m, p->m);
		return true;
	}
	struct port_counters *c = counters_of(x->thread_idx, p->s.in_port);
	if (c)
		counter_add(&c->drop[DROP_COPY_NO_MBUF], 1);
	if (record_on())
		record_drop(p->s.in_port, DROP_COPY_NO_MBUF, 1);
	exec_tell_drop(x, p->m, p->s.in_port, DROP_COPY_NO_MBUF, x->origin);
	return false;
}

void exec_words(struct exec *x, const union prog_word *w, uint32_t n, struct packet *p)
{
	uint32_t outputs_before = x->outputs;

	for (uint32_t i = 0; i < n;) {
		const struct prog_op *op = &w[i].op;
		/* The buckets of a select belong to it. */
		uint32_t next = i + 1 + (op->code == OP_GROUP_SELECT ? op->b : op->n_words);

		if (op->code == OP_COPY_BEGIN) {
			struct packet copy;

			next = i + 1 + op->b;
			if (next >= n) {
				exec_words(x, w + i + 1, op->b, p);
				return;
			}
			if (exec_copy(x, p, &copy))
				exec_words(x, w + i + 1, op->b, &copy);
			i = next;
			continue;
		}
		x->skip = 0;
		x->rest = next < n ? n - next : 0;
		switch (ops[op->code](x, p, &w[i], next >= n)) {
		case EXEC_ON:
			break;
		case EXEC_GONE:
			return;
		}
		i = next + x->skip;
	}
	/* The packet is left over: it was copied once too often, or nothing was done with it. */
	if (x->outputs != outputs_before) {
		exec_created(x, p, -1);
		rte_pktmbuf_free(p->m);
	} else {
		exec_dropped(x, p, DROP_NO_ACTIONS);
	}
}

void exec_run(struct exec *x, const struct program *prog, struct packet *p)
{
	x->outputs = 0;
	x->trunc = 0;
	x->queue = UINT32_MAX;
	exec_words(x, prog->word, prog->n_words, p);
}

enum exec_next exec_OUTPUT(struct exec *x, struct packet *p, const union prog_word *w, bool last)
{
	struct packet copy;
	struct port_counters *c = counters_of(x->thread_idx, p->s.in_port);
	struct packet *out = p;

	x->outputs++;
	if (!last) {
		if (!exec_copy(x, p, &copy))
			return EXEC_ON;
		out = &copy;
	}
	if (SL_UNLIKELY(x->trunc) && x->trunc < out->m->pkt_len) {
		exec_truncate(out->m, x->trunc);
	}
	x->trunc = 0;
	if (c)
		counter_add(&c->sent, 1);
	exec_output(x, out->m, w->op.b);
	return last ? EXEC_GONE : EXEC_ON;
}

enum exec_next exec_DROP(struct exec *x, struct packet *p, const union prog_word *w, bool last)
{
	return exec_dropped(x, p, (enum drop_reason)w->op.a);
}

enum exec_next exec_SET(struct exec *x, struct packet *p, const union prog_word *w, bool last)
{
	const struct prog_set *s = (const struct prog_set *)&w[1];

	return rewrite_set(p, s) ? EXEC_ON : exec_dropped(x, p, DROP_PACKET_SHORT);
}

enum exec_next exec_PUSH_VLAN(struct exec *x, struct packet *p, const union prog_word *w, bool last)
{
	return rewrite_push_vlan(p, w->op.a, (be16_t)w->op.b)
		       ? EXEC_ON
		       : exec_dropped(x, p, DROP_PACKET_SHORT);
}

enum exec_next exec_POP_VLAN(struct exec *x, struct packet *p, const union prog_word *w, bool last)
{
	return rewrite_pop_vlan(p) ? EXEC_ON : exec_dropped(x, p, DROP_PACKET_SHORT);
}

enum exec_next exec_DEC_TTL(struct exec *x, struct packet *p, const union prog_word *w, bool last)
{
	return rewrite_dec_ttl(p) ? EXEC_ON : exec_dropped(x, p, DROP_PACKET_SHORT);
}

enum exec_next exec_PUSH_MPLS(struct exec *x, struct packet *p, const union prog_word *w, bool last)
{
	return rewrite_push_mpls(p, w->op.a, w->op.b) ? EXEC_ON
						      : exec_dropped(x, p, DROP_MPLS_STACK);
}

enum exec_next exec_POP_MPLS(struct exec *x, struct packet *p, const union prog_word *w, bool last)
{
	return rewrite_pop_mpls(p, w->op.a) ? EXEC_ON : exec_dropped(x, p, DROP_PACKET_SHORT);
}

enum exec_next exec_SET_MPLS(struct exec *x, struct packet *p, const union prog_word *w, bool last)
{
	return rewrite_set_mpls(p, w->op.b, (be32_t)w[1].u64)
		       ? EXEC_ON
		       : exec_dropped(x, p, DROP_PACKET_SHORT);
}

enum exec_next exec_TRUNC(struct exec *x, struct packet *p, const union prog_word *w, bool last)
{
	x->trunc = w->op.b;
	return EXEC_ON;
}

/* Structure words that exec_words() handles itself. */
enum exec_next exec_COPY_BEGIN(struct exec *x, struct packet *p, const union prog_word *w,
			       bool last)
{
	return EXEC_ON;
}

enum exec_next exec_COPY_END(struct exec *x, struct packet *p, const union prog_word *w, bool last)
{
	return EXEC_ON;
}

enum exec_next exec_CHECK_LEN(struct exec *x, struct packet *p, const union prog_word *w, bool last)
{
	/* The length of interest is that of the frame without Ethernet header and tags. */
	if (p->m->pkt_len <= w->op.a)
		x->skip = w->op.b;
	return EXEC_ON;
}

enum exec_next exec_SET_QUEUE(struct exec *x, struct packet *p, const union prog_word *w, bool last)
{
	x->queue = w->op.b;
	return EXEC_ON;
}

enum exec_next exec_RECIRC(struct exec *x, struct packet *p, const union prog_word *w, bool last)
{
	if (p->s.depth >= RECIRC_DEPTH_MAX || x->n_recirc == RECIRC_MAX)
		return exec_dropped(x, p, DROP_RECIRC_LIMIT);
	p->s.recirc_id = w->op.b;
	p->s.depth++;
	x->recirc[x->n_recirc++] = *p;
	x->outputs++; /* it goes on elsewhere */
	return EXEC_GONE;
}

enum exec_next exec_CONTROLLER(struct exec *x, struct packet *p, const union prog_word *w,
			       bool last)
{
	const struct prog_controller *c = (const struct prog_controller *)&w[1];
	struct port_counters *ctr = counters_of(x->thread_idx, p->s.in_port);
	bool taken = x->packet_in && x->packet_in(x, p, (uint8_t)w->op.a, (uint16_t)w->op.b, c,
						  (const uint8_t *)(c + 1));

	x->outputs++;
	if (!last)
		exec_created(x, p, 1);
	if (ctr)
		counter_add(taken ? &ctr->absorbed : &ctr->drop[DROP_CONTROLLER_QUEUE], 1);
	if (record_on() && !taken)
		record_drop(p->s.in_port, DROP_CONTROLLER_QUEUE, 1);
	if (SL_UNLIKELY(!taken))
		exec_tell_drop(x, p->m, p->s.in_port, DROP_CONTROLLER_QUEUE, x->origin);
	else if (SL_UNLIKELY(x->observer != NULL))
		observer_note(x->observer, p->m, p->s.in_port, EVENT_ABSORBED, w->op.b, 0);
	if (!last)
		return EXEC_ON;
	rte_pktmbuf_free(p->m);
	return EXEC_GONE;
}

void exec_truncate(struct rte_mbuf *m, uint32_t len)
{
	struct rte_mbuf *s = m;
	uint32_t left = len;

	while (s && left > s->data_len) {
		left -= s->data_len;
		s = s->next;
	}
	if (!s)
		return;
	s->data_len = (uint16_t)left;
	rte_pktmbuf_free(s->next);
	s->next = NULL;
	m->pkt_len = len;
	m->nb_segs = 1;
	for (s = m; s->next; s = s->next)
		m->nb_segs++;
	m->ol_flags &= ~(RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG);
}
