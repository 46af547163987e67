/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/poll/pace.h"

#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "datapath/base/clock.h"
#include "datapath/core/pool.h"
#include "datapath/core/rate_limiter.h"

enum {
	QUEUE_PKTS = 1024,
	QUEUE_MS = 50,
	QUEUE_BYTES_MIN = 256 << 10,
	QUEUE_PKTS_MIN = 64,
	BUFFERS_SHARE = 8, /* of which queues hold one part at most */
};

struct pace_queue { /* of one thread */
	uint32_t port_id;
	uint16_t head, n;
	uint64_t bytes;
	struct rte_mbuf *pkt[QUEUE_PKTS];
};

/* W: main  R: any; full_at_ns as rate_limiter.h says */
static struct {
	struct rate_limiter bits, pkts;
	uint64_t max_bytes;
	uint32_t max_pkts;
} SL_CACHE_ALIGNED rate[PORT_ID_MAX];
bool pace_any;
static uint32_t n_rates;     /* main */
static uint32_t n_buffers;   /* atomic: in all queues */
static uint32_t buffers_max; /* W: main, once  R: any */

/* True: it was another one. */
static bool set_limiter(struct rate_limiter *at, struct rate_limiter l)
{
	if (l.cost_ps == at->cost_ps && l.depth_ns == at->depth_ns)
		return false;
	__atomic_store_n(&at->depth_ns, l.depth_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&at->cost_ps, l.cost_ps, __ATOMIC_RELEASE);
	return true;
}

void poll_port_set_rate(uint32_t port_id, uint64_t bps, uint64_t pps, uint32_t burst_ms)
{
	uint32_t id = port_id % PORT_ID_MAX;
	bool was = pace_is_limited(id), any;
	struct rate_limiter bits, pkts;

	if (!buffers_max) {
		unsigned used, total;

		pool_usage(&used, &total);
		__atomic_store_n(&buffers_max, SL_MAX(total / BUFFERS_SHARE, 64u),
				 __ATOMIC_RELAXED);
	}
	rate_limiter_init(&bits, bps, burst_ms, RATE_LEAST_BITS);
	/* A little less than the policy's own, which then never has to refuse what waited here. */
	bits.depth_ns -= bits.depth_ns / 16;
	rate_limiter_init(&pkts, pps, burst_ms, 1);
	any = set_limiter(&rate[id].bits, bits);
	if (!set_limiter(&rate[id].pkts, pkts) && !any)
		return;
	__atomic_store_n(&rate[id].max_bytes,
			 bps ? SL_MAX(bps / 8 * QUEUE_MS / 1000, (uint64_t)QUEUE_BYTES_MIN)
			     : UINT64_MAX,
			 __ATOMIC_RELAXED);
	__atomic_store_n(
		&rate[id].max_pkts,
		pps ? (uint32_t)SL_MIN(SL_MAX(pps * QUEUE_MS / 1000, (uint64_t)QUEUE_PKTS_MIN),
				       (uint64_t)QUEUE_PKTS)
		    : (uint32_t)QUEUE_PKTS,
		__ATOMIC_RELAXED);
	n_rates += (unsigned)pace_is_limited(id) - (unsigned)was;
	__atomic_store_n(&pace_any, n_rates != 0, __ATOMIC_RELAXED);
}

bool pace_is_limited(uint32_t port_id)
{
	return __atomic_load_n(&rate[port_id].bits.cost_ps, __ATOMIC_RELAXED) ||
	       __atomic_load_n(&rate[port_id].pkts.cost_ps, __ATOMIC_RELAXED);
}

static struct pace_queue *unused(struct poll_thread *t)
{
	for (unsigned i = 0; i < t->n_paced; i++)
		if (!t->paced[i]->n)
			return t->paced[i];
	return NULL;
}

static struct pace_queue *queue_of(struct poll_thread *t, uint32_t port_id)
{
	struct pace_queue *q;

	for (unsigned i = 0; i < t->n_paced; i++)
		if (t->paced[i]->port_id == port_id)
			return t->paced[i];
	if (t->n_paced < PACED_MAX && (q = malloc(sizeof *q)))
		t->paced[t->n_paced++] = q;
	else if (!(q = unused(t)))
		return NULL;
	q->port_id = port_id;
	q->head = q->n = 0;
	q->bytes = 0;
	return q;
}

static void refuse(struct poll_thread *t, uint32_t port_id, struct rte_mbuf *m)
{
	struct port_counters *c = counters_of(t->idx, port_id);

	if (c) {
		counter_add(&c->rx_pkts, 1);
		counter_add(&c->rx_bytes, m->pkt_len);
	}
	exec_drop(t->exec, m, port_id, DROP_POLICY_LIMIT_OUT);
}

static bool has_room(const struct pace_queue *q, const struct rte_mbuf *m)
{
	/* A longer one would wait for ever. */
	return q && q->n < __atomic_load_n(&rate[q->port_id].max_pkts, __ATOMIC_RELAXED) &&
	       m->pkt_len <= RATE_LARGEST_BYTES &&
	       q->bytes + m->pkt_len <=
		       __atomic_load_n(&rate[q->port_id].max_bytes, __ATOMIC_RELAXED) &&
	       __atomic_load_n(&n_buffers, __ATOMIC_RELAXED) + m->nb_segs <= buffers_max;
}

void pace_take(struct poll_thread *t, uint32_t port_id, unsigned n)
{
	struct pace_queue *q = queue_of(t, port_id);

	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = t->burst.pkt[i];

		if (!has_room(q, m)) {
			refuse(t, port_id, m);
			continue;
		}
		q->pkt[(q->head + q->n++) % QUEUE_PKTS] = m;
		q->bytes += m->pkt_len;
		__atomic_add_fetch(&n_buffers, m->nb_segs, __ATOMIC_RELAXED);
	}
}

static struct rte_mbuf *pop(struct pace_queue *q)
{
	struct rte_mbuf *m = q->pkt[q->head];

	q->head = (uint16_t)((q->head + 1) % QUEUE_PKTS);
	q->n--;
	q->bytes -= m->pkt_len;
	__atomic_sub_fetch(&n_buffers, m->nb_segs, __ATOMIC_RELAXED);
	return m;
}

bool pace_serve(struct poll_thread *t,
		void (*process)(struct poll_thread *t, uint32_t port_id, unsigned n))
{
	uint64_t now_ns = 0;
	bool waits = false;

	for (unsigned i = 0; i < t->n_paced; i++) {
		struct pace_queue *q = t->paced[i];
		struct rate_limiter *bits = &rate[q->port_id].bits, *pkts = &rate[q->port_id].pkts;
		unsigned n = 0;

		if (!q->n)
			continue;
		if (poll_is_in_debt(t, q->port_id)) {
			waits = true;
			continue;
		}
		if (!now_ns)
			now_ns = clock_mono_ns();
		/* Both, or nothing is taken: but for what another thread takes in between. */
		while (q->n && n < BURST_MAX && !rate_limiter_would_exceed(pkts, 1, now_ns) &&
		       !rate_limiter_exceeds(bits, q->pkt[q->head]->pkt_len * 8ull, now_ns)) {
			rate_limiter_exceeds(pkts, 1, now_ns);
			t->burst.pkt[n++] = pop(q);
		}
		if (n) {
			uint64_t since = rte_rdtsc();

			process(t, q->port_id, n);
			poll_charge_waiting(t, q->port_id, rte_rdtsc() - since);
		}
	}
	return now_ns || waits;
}

/* Received and lost in one. */
static void drop_queue(struct poll_thread *t, unsigned i)
{
	while (t->paced[i]->n)
		refuse(t, t->paced[i]->port_id, pop(t->paced[i]));
	free(t->paced[i]);
	t->paced[i] = t->paced[--t->n_paced];
}

void pace_forget(struct poll_thread *t, uint32_t port_id)
{
	for (unsigned i = 0; i < t->n_paced; i++)
		if (t->paced[i]->port_id == port_id) {
			drop_queue(t, i);
			return;
		}
}

void pace_drop_all(struct poll_thread *t)
{
	while (t->n_paced)
		drop_queue(t, 0);
}
