/* SPDX-License-Identifier: BSD-3-Clause */
/* The edges of policed ports: what came in passes one before anything else is done with it, and
 * what goes out passes one last. Poll thread. */
#include "datapath/exec/exec_policed.h"
#include "datapath/exec/ops.h"
#include "datapath/exec/rewrite.h"
#include "datapath/observe/observer.h"
#include "datapath/observe/record.h"
#include "datapath/offload/offload.h"
#include "datapath/policy/policy_edge.h"

static bool is_followed(const struct exec *x, const struct packet *p)
{
	return x->observer && packet_is_marked(p->m) && packet_mark_of(p->m)->token;
}

static struct policy_packet front_of(struct exec *x, struct packet *p, uint8_t hints)
{
	rewrite_parse_front(p);
	return (struct policy_packet){
		.data = rte_pktmbuf_mtod(p->m, const uint8_t *),
		.len = p->m->data_len,
		.pkt_len = p->m->pkt_len,
		.ofs = &p->ofs,
		.in_port = p->s.in_port,
		.now_ms = x->now_ms,
		.thread_idx = x->thread_idx,
		.hints = hints,
		.sum_ok = offload_sum_ok,
		.aux = p->m,
	};
}

/* Which rule lets a followed packet pass? The short ways do not say. */
static struct policy_finding ask(struct exec *x, struct packet *p, uint32_t port_id, bool egress,
				 uint8_t hints)
{
	return policy_edge_peek(front_of(x, p, hints), port_id, egress);
}

static void tell(struct exec *x, struct packet *p, uint32_t port_id, bool egress,
		 const struct policy_finding *f, enum drop_reason why)
{
	uint32_t slot = why == DROP_NONE ? f->slot : policy_edge_decided(x->thread_idx);

	observer_note(x->observer, p->m, port_id, EVENT_POLICY,
		      (uint64_t)why | (uint64_t)f->ground << 16 | (uint64_t)egress << 24, slot);
}

static enum drop_reason judge(struct exec *x, struct packet *p, uint32_t port_id, bool egress,
			      uint8_t hints)
{
	const uint8_t *data = rte_pktmbuf_mtod(p->m, const uint8_t *);

	if (SL_LIKELY(policy_edge_knows(data, p->m->data_len, p->m->pkt_len, port_id, egress,
					x->now_ms, x->thread_idx)))
		return DROP_NONE;
	const struct policy_packet q = front_of(x, p, hints);
	enum drop_reason why = policy_edge(&q, port_id, egress);

	if (why == DROP_NONE)
		return why;
	/* The tracker refuses, too: then no rule has, and what is remembered is of an earlier one.
	 */
	if (drop_infos[why].family != DROP_FAMILY_POLICY)
		return why;
	x->policy_slot = policy_edge_decided(x->thread_idx) + 1;
	if (SL_UNLIKELY(x->observer != NULL))
		x->observer->policy_slot = x->policy_slot;
	return why;
}

static enum drop_reason pass(struct exec *x, struct packet *p, uint32_t port_id, bool egress,
			     uint8_t hints)
{
	struct policy_finding f;
	enum drop_reason why;

	if (SL_LIKELY(!is_followed(x, p)))
		return judge(x, p, port_id, egress, hints);
	f = ask(x, p, port_id, egress, hints);
	why = judge(x, p, port_id, egress, hints);
	tell(x, p, port_id, egress, &f, why);
	return why;
}

void exec_policed_begin(struct exec *x, const struct program *prog, struct rte_mbuf *const *pkt,
			unsigned n, struct policy_pairs *b)
{
	policy_pairs_begin(b, pkt, n, prog->word[0].op.b, prog->word[1].op.b, x->now_ms,
			   x->thread_idx);
}

unsigned exec_policed(struct exec *x, struct policy_pairs *b, struct rte_mbuf *const *pkt,
		      unsigned i)
{
	unsigned end = policy_pairs_know(b, pkt, i);

	if (SL_LIKELY(!x->observer)) {
		exec_output_burst(x, pkt + i, end - i, b->out_port);
		return end;
	}
	for (; i < end; i++)
		exec_output(x, pkt[i], b->out_port);
	return end;
}

enum exec_next exec_POLICY_IN(struct exec *x, struct packet *p, const union prog_word *w, bool last)
{
	enum drop_reason why = pass(x, p, w->op.b, true, (uint8_t)w->op.a);

	return why == DROP_NONE ? EXEC_ON : exec_dropped(x, p, why);
}

enum exec_next exec_POLICY_OUT(struct exec *x, struct packet *p, const union prog_word *w,
			       bool last)
{
	enum drop_reason why = pass(x, p, w->op.b, false, 0);
	struct port_counters *c;

	if (SL_LIKELY(why == DROP_NONE))
		return exec_OUTPUT(x, p, w, last);
	x->trunc = 0;
	if (last)
		return exec_dropped(x, p, why);
	/* The copy for this port was never made: it counts as made and dropped. */
	x->outputs++;
	exec_created(x, p, 1);
	c = counters_of(x->thread_idx, p->s.in_port);
	if (c)
		counter_add(&c->drop[why], 1);
	if (record_on())
		record_drop(p->s.in_port, why, 1);
	exec_tell_drop(x, p->m, p->s.in_port, why, x->origin);
	return EXEC_ON;
}
