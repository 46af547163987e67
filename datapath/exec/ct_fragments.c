/* SPDX-License-Identifier: BSD-3-Clause */
/* ct() of a fragment: it waits until its datagram is whole (fragments.h); the tracker is asked
 * about the datagram, put together in a buffer of the thread, and what it says is written to each
 * fragment. Poll thread. */
#include <stdlib.h>
#include <string.h>

#include "datapath/exec/exec_ct.h"
#include "datapath/exec/fragments.h"
#include "datapath/exec/ops.h"
#include "datapath/exec/rewrite.h"
#include "datapath/observe/observer.h"
#include "datapath/offload/offload.h"

/* Headers that EXTRACT_MAX_BYTES can hold, and the largest IP packet. */
enum { WHOLE_BYTES = 65536 + EXTRACT_MAX_BYTES, SEGMENT_BYTES = 32768 };

struct whole {
	uint8_t *data;
	uint32_t len;
	struct flow_offsets ofs;
};

static void drop_chain(struct exec *x, uint16_t chain, enum drop_reason why)
{
	struct packet p;

	while (fragments_take(&chain, &p))
		exec_drop(x, p.m, p.s.in_port, why);
}

/* It is one packet now, whatever its headers said. */
static void forget_fragmentation(const struct whole *w, const struct packet *first,
				 uint32_t headers)
{
	uint8_t *ip = w->data + first->ofs.l3;

	if (first->ofs.ip_version == 4) {
		store_be16(ip + 2, (uint16_t)(w->len - first->ofs.l3));
		store_be16(ip + 6, 0);
		return;
	}
	store_be16(ip + 4, (uint16_t)(w->len - first->ofs.l3 - 40));
	store_be16(w->data + headers - 6, 0); /* the fragment header stays, of the only fragment */
}

static bool put_together(struct exec *x, uint16_t chain, struct whole *w)
{
	const struct fragment_node *n = fragments_node(chain);
	struct packet first = {.m = n->m};
	uint32_t headers = n->payload_ofs;
	struct flow_key key;

	if (!x->whole && !(x->whole = malloc(WHOLE_BYTES)))
		return false;
	rewrite_parse_front(&first);
	w->data = x->whole;
	if (headers > EXTRACT_MAX_BYTES || headers > first.m->data_len)
		return false;
	memcpy(w->data, rte_pktmbuf_mtod(first.m, const void *), headers);
	for (uint16_t i = chain; i != FRAGMENTS_NONE; i = n->next) {
		uint8_t *to;
		const void *from;

		n = fragments_node(i);
		if (headers + n->end > WHOLE_BYTES)
			return false;
		to = w->data + headers + n->begin;
		from = rte_pktmbuf_read(n->m, n->payload_ofs, n->end - n->begin, to);
		if (!from)
			return false;
		if (from != to)
			memcpy(to, from, n->end - n->begin);
		w->len = headers + n->end;
	}
	forget_fragmentation(w, &first, headers);
	flow_extract(w->data, w->len, w->len, &key, &w->ofs);
	return true;
}

/* As offload_sum_ok(), of a buffer that is no mbuf's. */
static bool sum_ok(void *aux)
{
	const struct whole *w = aux;
	struct rte_mbuf m[2];
	uint32_t front = SL_MIN(w->len, (uint32_t)SEGMENT_BYTES);

	memset(m, 0, sizeof m);
	m[0].buf_addr = w->data;
	m[0].data_len = (uint16_t)front;
	m[0].buf_len = UINT16_MAX;
	m[0].pkt_len = w->len;
	m[0].nb_segs = 1;
	if (w->len > front) {
		m[0].next = &m[1];
		m[0].nb_segs = 2;
		m[1].nb_segs = 1;
		m[1].buf_addr = w->data + front;
		m[1].data_len = (uint16_t)(w->len - front);
		m[1].buf_len = UINT16_MAX;
	}
	return offload_sum_ok(m);
}

static enum drop_reason track_whole(struct exec *x, uint16_t chain, struct conntrack_request *q,
				    struct conntrack_meta *meta, struct ct_rewrite *rw)
{
	const struct packet_state *s = &fragments_node(chain)->s;
	struct whole w;
	enum drop_reason why;

	if (!put_together(x, chain, &w))
		return DROP_CT_NO_MEMORY;
	meta->state = s->ct_state;
	meta->context = s->ct_zone;
	q->data = w.data;
	q->len = q->pkt_len = w.len;
	q->ofs = &w.ofs;
	q->sum_ok = sum_ok;
	q->aux = &w;
	q->port_id = s->in_port;
	q->hint = NULL;
	q->may_edit = false;
	why = conntrack_run(q, meta, rw);
	q->sum_ok = offload_sum_ok;
	/* What calls itself a fragment once more. */
	return why == CONNTRACK_FRAGMENT ? DROP_CT_FRAGMENT_OVERLAP : why;
}

/* What was said of the datagram, to each of its fragments. */
static bool write_each(struct exec *x, uint16_t chain, const struct conntrack_meta *meta,
		       const struct ct_rewrite *rw)
{
	struct ct_rewrite later = *rw;

	later.related = false; /* what an error is about is in the first one */
	for (uint16_t i = chain; i != FRAGMENTS_NONE; i = fragments_node(i)->next) {
		struct fragment_node *n = fragments_node(i);
		struct packet p = {.m = n->m, .s = n->s};

		exec_ct_put_meta(&p.s, meta);
		rewrite_parse_front(&p);
		if (rw->any && !exec_ct_translate(&p, i == chain ? rw : &later))
			return false;
		n->m = p.m;
		n->s = p.s;
		if (SL_UNLIKELY(x->observer != NULL))
			observer_note(x->observer, p.m, p.s.in_port, EVENT_CT,
				      p.s.ct_state | (uint64_t)p.s.ct_zone << 16, p.s.ct_mark);
	}
	return true;
}

static void finish(struct exec *x, uint16_t *chain, struct conntrack_request *q)
{
	struct conntrack_meta meta;
	struct ct_rewrite rw;
	enum drop_reason why = track_whole(x, *chain, q, &meta, &rw);

	if (why == DROP_NONE && !write_each(x, *chain, &meta, &rw))
		why = DROP_CT_REWRITE;
	if (why == DROP_NONE)
		return;
	drop_chain(x, *chain, why);
	*chain = FRAGMENTS_NONE;
}

static void call_invalid(struct packet *p, uint32_t zone)
{
	struct conntrack_meta meta = {.state = CT_STATE_TRK | CT_STATE_INV, .context = zone};

	meta.orig = &meta.own;
	exec_ct_put_meta(&p->s, &meta);
}

bool exec_ct_fragment(struct exec *x, struct packet *p, struct conntrack_request *q,
		      uint16_t *chain)
{
	struct ct_fragment_at f;
	struct fragments_out out = {FRAGMENTS_NONE, FRAGMENTS_NONE, DROP_NONE};
	enum fragments_answer a = FRAGMENTS_INVALID;

	*chain = FRAGMENTS_NONE;
	if (ct_packet_fragment(&f, rte_pktmbuf_mtod(p->m, const uint8_t *), p->m->data_len, &p->ofs,
			       q->context)) {
		/* Whoever follows it does so until here: another thread may send it on. */
		if (SL_UNLIKELY(x->observer != NULL))
			observer_clear_mark(p->m);
		a = fragments_add(p, &f, q->now_ms, &out);
	}
	drop_chain(x, out.victims, DROP_CT_FRAGMENT_QUOTA);
	switch (a) {
	case FRAGMENTS_HELD:
		return false;
	case FRAGMENTS_WHOLE:
		*chain = out.chain;
		finish(x, chain, q);
		return false;
	case FRAGMENTS_REFUSED:
		drop_chain(x, out.chain, out.why);
		return false;
	case FRAGMENTS_INVALID:
		break;
	}
	call_invalid(p, q->context);
	return true;
}
