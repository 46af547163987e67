/* SPDX-License-Identifier: BSD-3-Clause */
/* From staging to the device: what the port cannot take is completed in software first, what does
 * not fit is dropped under its reason. Poll thread. */
#include "datapath/exec/exec.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/core/drop_memory.h"
#include "datapath/exec/ops.h"
#include "datapath/observe/observer.h"
#include "datapath/observe/record.h"
#include "datapath/offload/offload.h"

struct exec *exec_create(unsigned thread_idx)
{
	struct exec *x = NULL;

	if (posix_memalign((void **)&x, SL_CACHE_LINE, sizeof *x))
		return NULL;
	memset(x, 0, sizeof *x);
	x->thread_idx = thread_idx;
	return x;
}

void exec_destroy(struct exec *x)
{
	if (!x)
		return;
	for (uint32_t p = 0; p < PORT_ID_MAX; p++) {
		struct tx_stage *s = x->stage[p];

		for (unsigned i = 0; s && i < s->n; i++)
			exec_drop(x, s->pkt[i], p, DROP_TX_PORT_GONE);
		free(s);
	}
	free(x->whole);
	free(x);
}

static void watch_stage(const struct exec *x, struct tx_stage *s)
{
	bool watched = x->observer && observer_wants_out(x->observer, s->port_id);

	s->plain = watched ? 1 : STAGE_PKTS;
}

struct tx_stage *exec_stage_create(struct exec *x, uint32_t port_id)
{
	struct tx_stage *s = NULL;

	if (port_id < PORT_ID_MAX && !posix_memalign((void **)&s, SL_CACHE_LINE, sizeof *s)) {
		memset(s, 0, sizeof *s);
		s->port_id = port_id;
		watch_stage(x, s);
		x->stage[port_id] = s;
	}
	return s;
}

void exec_watch(struct exec *x)
{
	for (uint32_t p = 0; p < PORT_ID_MAX; p++)
		if (x->stage[p])
			watch_stage(x, x->stage[p]);
}

void exec_staged(struct exec *x, struct tx_stage *s)
{
	if (x->observer)
		s->cause[s->n - 1] = x->observer->cause;
	if (s->n == STAGE_PKTS)
		exec_flush_port(x, s);
}

/* One by one through exec_output() they cost 11 cycles each. */
void exec_stage_watched(struct exec *x, struct tx_stage *s, struct rte_mbuf *const *m, unsigned n)
{
	const struct packet_cause cause = x->observer->cause;

	while (n) {
		unsigned k = SL_MIN(n, (unsigned)STAGE_PKTS - s->n);

		if (!s->n)
			x->pending[x->n_pending++] = s->port_id;
		for (unsigned i = 0; i < k; i++) {
			s->pkt[s->n + i] = m[i];
			s->cause[s->n + i] = cause;
		}
		s->n = (uint16_t)(s->n + k);
		if (s->n == STAGE_PKTS)
			exec_flush_port(x, s);
		m += k;
		n -= k;
	}
}

void exec_tell_drop(struct exec *x, struct rte_mbuf *m, uint32_t port_id, enum drop_reason why,
		    const struct packet_origin *origin)
{
	bool at_port = drop_infos[why].family == DROP_FAMILY_TX;
	const struct drop_note n = {
		.why = why,
		.port_id = port_id,
		.from_port = at_port ? m->port : port_id,
		.policy_slot = x->policy_slot,
		.origin = origin,
		.packet = m,
	};

	x->policy_slot = 0;
	drop_memory_note(x->thread_idx, &n);
	if (SL_UNLIKELY(x->observer != NULL))
		observer_drop(x->observer, m, port_id, why, at_port);
}

static void lose(struct exec *x, struct rte_mbuf *m, uint32_t port_id, enum drop_reason why,
		 const struct packet_origin *origin)
{
	struct port_counters *c = counters_of(x->thread_idx, port_id);

	if (c)
		counter_add(&c->drop[why], 1);
	if (record_on())
		record_drop(port_id, why, 1);
	exec_tell_drop(x, m, port_id, why, origin);
	rte_pktmbuf_free(m);
}

void exec_drop(struct exec *x, struct rte_mbuf *m, uint32_t port_id, enum drop_reason why)
{
	lose(x, m, port_id, why, NULL);
}

void exec_drop_by(struct exec *x, struct rte_mbuf *m, uint32_t port_id, enum drop_reason why,
		  const struct packet_origin *origin)
{
	lose(x, m, port_id, why, origin);
}

enum exec_next exec_dropped(struct exec *x, struct packet *p, enum drop_reason why)
{
	lose(x, p->m, p->s.in_port, why, x->origin);
	return EXEC_GONE;
}

static void tell_refused(struct exec *x, struct rte_mbuf **pkts, unsigned n, uint32_t port_id,
			 enum drop_reason why)
{
	if (record_on())
		record_drop(port_id, why, n);
	for (unsigned i = 0; i < n; i++)
		exec_tell_drop(x, pkts[i], port_id, why, NULL);
}

struct flush {
	struct exec *x;
	struct port *port;
	struct port_counters *c;
	uint16_t q;
};

static inline void send(struct flush *f, struct rte_mbuf **pkts, unsigned n, uint64_t bytes)
{
	uint16_t sent;

	if (record_on())
		record_out(f->port->id, pkts, n);
	sent = f->port->class->tx_burst(f->port, f->q, pkts, (uint16_t)n);
	if (record_is_live())
		record_sent(sent, n);
	if (SL_UNLIKELY(sent < n)) {
		for (unsigned i = sent; i < n; i++)
			bytes -= pkts[i]->pkt_len;
		counter_add(&f->c->drop[DROP_TX_QUEUE_FULL], n - sent);
		tell_refused(f->x, pkts + sent, n - sent, f->port->id, DROP_TX_QUEUE_FULL);
		rte_pktmbuf_free_bulk(pkts + sent, n - sent);
	}
	counter_add(&f->c->tx_pkts, sent);
	counter_add(&f->c->tx_bytes, bytes);
}

static void emit(void *aux, struct rte_mbuf **pkts, unsigned n)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += pkts[i]->pkt_len;
	send(aux, pkts, n, bytes);
}

static void drop_one(void *aux, struct rte_mbuf *pkt, enum drop_reason why)
{
	struct flush *f = aux;

	exec_drop(f->x, pkt, f->port->id, why);
}

static void segmented(void *aux, const struct rte_mbuf *original, unsigned n_segments)
{
	struct flush *f = aux;

	counter_add(&f->c->created, n_segments - 1);
}

static void record_state(const struct port *p)
{
	const struct record_port_state s = {
		.tx_state = __atomic_load_n(&p->tx_state, __ATOMIC_RELAXED),
		.max_frame = __atomic_load_n(&p->max_frame_bytes, __ATOMIC_RELAXED),
		.tx_offloads = p->tx_offloads,
	};

	record_port_state(p->id, &s);
}

void exec_flush_port(struct exec *x, struct tx_stage *s)
{
	unsigned n = s->n;
	struct port *port = port_by_id(s->port_id);
	struct flush f = {.x = x, .port = port, .c = counters_of(x->thread_idx, s->port_id)};
	uint64_t bytes;

	s->n = 0;
	for (unsigned i = 0; i < x->n_pending; i++)
		if (x->pending[i] == s->port_id) {
			x->pending[i] = x->pending[--x->n_pending];
			break;
		}
	if (SL_UNLIKELY(x->observer != NULL))
		observer_out(x->observer, s->pkt, s->cause, n, s->port_id);
	if (SL_UNLIKELY(!port || !f.c)) {
		if (f.c)
			counter_add(&f.c->drop[DROP_TX_PORT_GONE], n);
		tell_refused(x, s->pkt, n, s->port_id, DROP_TX_PORT_GONE);
		rte_pktmbuf_free_bulk(s->pkt, n);
		return;
	}
	counter_add(&f.c->handed, n);
	if (record_is_live())
		record_state(port);
	uint8_t state = __atomic_load_n(&port->tx_state, __ATOMIC_RELAXED);
	if (SL_UNLIKELY(state != DROP_NONE)) {
		counter_add(&f.c->drop[state], n);
		tell_refused(x, s->pkt, n, s->port_id, (enum drop_reason)state);
		rte_pktmbuf_free_bulk(s->pkt, n);
		return;
	}
	f.q = (uint16_t)(x->thread_idx % port->n_txq);
	uint32_t longest = __atomic_load_n(&port->max_frame_bytes, __ATOMIC_RELAXED);
	if (SL_UNLIKELY(offload_burst_needs_work(s->pkt, n, longest, &bytes))) {
		const struct offload_sink sink = {
			.emit = emit, .drop = drop_one, .segmented = segmented, .aux = &f};

		offload_fixup(s->pkt, n, (uint32_t)port->tx_offloads, longest, &sink);
	} else {
		send(&f, s->pkt, n, bytes);
	}
	if (port->class->tx_flush)
		port->class->tx_flush(port, f.q);
}

void exec_flush(struct exec *x)
{
	while (x->n_pending)
		exec_flush_port(x, x->stage[x->pending[x->n_pending - 1]]);
}

uint64_t exec_held(const struct exec *x, uint32_t in_port)
{
	const struct tx_stage *s = x->stage[in_port];

	return s ? s->n : 0;
}
