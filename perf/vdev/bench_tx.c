/* SPDX-License-Identifier: BSD-3-Clause */
/* The sink: counts packets by mark and frees them. Runs on poll threads only; no system calls. */
#include <rte_cycles.h>

#include "perf/vdev/bench_priv.h"

/* Marks of a burst are counted eight bits each in one word, so a burst has at most 255. */
enum { LARGEST_PART = 128 };

static inline const uint8_t *end_of(const struct rte_mbuf *m)
{
	return (const uint8_t *)m->buf_addr + m->data_off + m->data_len;
}

static inline unsigned mark_of(const struct rte_mbuf *m)
{
	uint32_t tail;
	if (unlikely(m->data_len < sizeof tail))
		return 0;
	__builtin_memcpy(&tail, end_of(m) - sizeof tail, sizeof tail);
	return tail >> 16 == PACKET_TRAILER_MAGIC ? tail >> 8 & (BENCH_MARKS - 1) : 0;
}

static void check_number(struct bench_txq *q, const struct packet_trailer *t)
{
	uint32_t *expected = &q->expected[t->source];
	int32_t ahead = (int32_t)(t->seq - *expected);
	if (ahead >= 0) {
		q->counters->missing_pkts += (uint32_t)ahead;
		*expected = t->seq + 1;
	} else {
		q->counters->late_pkts++;
		if (q->counters->missing_pkts)
			q->counters->missing_pkts--;
	}
}

static void verify(struct bench_txq *q, const struct rte_mbuf *m, uint64_t now)
{
	struct packet_trailer t;
	if (m->data_len < sizeof t)
		return;
	__builtin_memcpy(&t, end_of(m) - sizeof t, sizeof t);
	if (t.magic != PACKET_TRAILER_MAGIC || t.source == 0)
		return;
	q->counters->stamped_pkts++;
	q->counters->latency[bench_latency_class(now > t.due_tsc ? now - t.due_tsc : 0)]++;
	check_number(q, &t);
}

/* One direct segment with one owner goes back to its pool without being looked at again. */
static inline bool simple(const struct rte_mbuf *m, const struct rte_mempool *pool)
{
	uint64_t rearm;
	__builtin_memcpy(&rearm, &m->rearm_data, sizeof rearm);
	return m->pool == pool && (rearm & 0x0000ffffffff0000) == 0x0000000100010000 &&
	       !(m->ol_flags & (RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL));
}

static void take(struct bench_txq *q, struct rte_mbuf **pkts, unsigned n, uint64_t now)
{
	struct rte_mempool *pool = pkts[0]->pool;
	uint64_t bytes = 0, marks = 0;
	bool all_simple = true;
	RTE_BUILD_BUG_ON(offsetof(struct rte_mbuf, refcnt) !=
			 offsetof(struct rte_mbuf, rearm_data) + 2);
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];
		bytes += m->pkt_len;
		all_simple &= simple(m, pool);
		const struct rte_mbuf *last = likely(m->nb_segs == 1) ? m : rte_pktmbuf_lastseg(m);
		marks += UINT64_C(1) << (8 * mark_of(last));
		if (q->verify)
			verify(q, last, now);
	}
	if (likely(all_simple))
		rte_mempool_put_bulk(pool, (void **)pkts, n);
	else
		rte_pktmbuf_free_bulk(pkts, n);
	q->counters->bytes += bytes;
	for (unsigned i = 0; marks; i++, marks >>= 8)
		q->counters->mark_pkts[i] += marks & 0xff;
	q->counters->pkts += n;
}

/* What a link of sink_pps takes now; a burst of up to 512 may wait in its ring. */
static unsigned allowed(struct bench_txq *q, uint64_t rate, unsigned n, uint64_t now)
{
	enum { RING_PKTS = 512 };
	if (q->open_tsc == 0)
		q->open_tsc = now;
	uint64_t hz = rte_get_tsc_hz(), elapsed = now - q->open_tsc;
	if (elapsed > hz) { /* keeps the product below 64 bits; forgives less than a packet */
		q->open_tsc += hz;
		elapsed -= hz;
		q->taken = q->taken > rate ? q->taken - rate : 0;
	}
	uint64_t sent = elapsed * rate / hz;
	if (q->taken < sent)
		q->taken = sent;
	uint64_t room = q->taken - sent < RING_PKTS ? RING_PKTS - (q->taken - sent) : 0;
	unsigned k = room < n ? (unsigned)room : n;
	q->taken += k;
	q->counters->refused_pkts += n - k;
	return k;
}

uint16_t bench_tx_burst(void *queue, struct rte_mbuf **pkts, uint16_t n_pkts)
{
	struct bench_txq *q = queue;
	struct bench_tx_counters *c = q->counters;
	uint64_t rate = q->control->sink_pps, now = rte_rdtsc();
	unsigned n = n_pkts;
	if (unlikely(rate))
		n = allowed(q, rate, n, now);
	if (unlikely(n == 0))
		return 0;
	for (unsigned at = 0; at < n; at += LARGEST_PART)
		take(q, pkts + at, RTE_MIN(n - at, (unsigned)LARGEST_PART), now);
	if (unlikely(c->first_tsc == 0))
		c->first_tsc = now;
	if (unlikely(now - c->last_tsc > c->longest_gap_tsc) && c->last_tsc)
		c->longest_gap_tsc = now - c->last_tsc;
	c->last_tsc = now;
	return (uint16_t)n;
}
