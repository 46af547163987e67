/* SPDX-License-Identifier: BSD-3-Clause */
/* The generator: fills mbufs of the queue's pool from a packet set. Runs on poll threads only; no
 * system calls, no allocation. About 15 cycles per 64-byte packet. */
#include <rte_cycles.h>
#include <rte_malloc.h>

#include "perf/vdev/bench_priv.h"

/* Fixed point of due times: 12 bits below the cycle lets 64 bits hold 20 days. */
enum { DUE_SHIFT = 12 };

void bench_rxq_init(struct bench_rxq *q, const struct bench_dev *dev, uint16_t i, uint16_t n,
		    struct rte_mempool *pool, uint16_t n_desc)
{
	struct rte_mbuf m = {.data_off = RTE_PKTMBUF_HEADROOM, .port = dev->port_id, .nb_segs = 1};
	rte_mbuf_refcnt_set(&m, 1);
	if (dev->csum_wanted)
		m.ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	if (dev->args.rss)
		m.ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
	*q = (struct bench_rxq){
		.pool = pool,
		.control = &dev->shm->control,
		.counters = &dev->shm->rx[i],
		.room_bytes = rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM,
		.backlog_pkts = n_desc,
		.source_number = (uint8_t)(dev->args.source + i),
		.stamp = dev->args.stamp,
	};
	RTE_BUILD_BUG_ON(offsetof(struct rte_mbuf, ol_flags) !=
			 offsetof(struct rte_mbuf, rearm_data) + 8);
	__builtin_memcpy(&q->head, &m.rearm_data, sizeof q->head);
	bench_cursor_init(&q->main, &dev->main, i, n);
	bench_cursor_init(&q->attack, &dev->attack, i, n);
	q->counters->first_tsc = 0;
}

static inline uint32_t advance(struct bench_cursor *c)
{
	uint32_t i = c->next;
	c->next = i + 1 == c->end ? c->begin : i + 1;
	return i;
}

/* One line per packet: what nearly every scenario uses. */
static inline void copy_lines(struct bench_rxq *q, struct rte_mbuf **pkts, unsigned n)
{
	const struct bench_source *s = q->main.source;
	const uint8_t *slots = s->set.slots;
	const uint32_t bytes = s->set.uniform_bytes;
	for (unsigned k = 0; k < n; k++) {
		struct rte_mbuf *m = pkts[k];
		uint32_t i = advance(&q->main);
		const __m128i *from = (const __m128i *)(slots + ((size_t)i << 6));
		__m128i *to = (__m128i *)((char *)m->buf_addr + RTE_PKTMBUF_HEADROOM);
		__m128i a = _mm_load_si128(from), b = _mm_load_si128(from + 1);
		__m128i c = _mm_load_si128(from + 2), d = _mm_load_si128(from + 3);
		int hash = s->hashes ? (int)s->hashes[i] : 0;
		_mm_storeu_si128(to, a);
		_mm_storeu_si128(to + 1, b);
		_mm_storeu_si128(to + 2, c);
		_mm_storeu_si128(to + 3, d);
		_mm_storeu_si128((__m128i *)&m->rearm_data, q->head);
		/* packet_type 0, pkt_len, data_len with vlan_tci 0, hash */
		_mm_storeu_si128((__m128i *)&m->rx_descriptor_fields1,
				 _mm_set_epi32(hash, (int)bytes, (int)bytes, 0));
	}
	q->counters->bytes += (uint64_t)n * bytes;
}

/* A packet longer than a segment goes into a chain. false: the pool has no more. */
static bool copy_chain(struct bench_rxq *q, struct rte_mbuf *head, const uint8_t *from,
		       uint32_t bytes)
{
	struct rte_mbuf *last = head;
	uint32_t part = RTE_MIN(bytes, q->room_bytes);
	memcpy(rte_pktmbuf_mtod(head, void *), from, part);
	head->data_len = (uint16_t)part;
	head->pkt_len = bytes;
	for (from += part, bytes -= part; bytes; from += part, bytes -= part) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(q->pool);
		if (!m)
			return false;
		part = RTE_MIN(bytes, q->room_bytes);
		memcpy(rte_pktmbuf_mtod(m, void *), from, part);
		m->data_len = (uint16_t)part;
		last->next = m;
		head->nb_segs++;
		last = m;
	}
	return true;
}

static void stamp(struct bench_rxq *q, struct rte_mbuf *m, uint64_t due_tsc)
{
	struct rte_mbuf *last = rte_pktmbuf_lastseg(m);
	if (last->data_len < sizeof(struct packet_trailer))
		return;
	uint8_t *end = rte_pktmbuf_mtod(last, uint8_t *) + last->data_len;
	struct packet_trailer *t = (struct packet_trailer *)(end - sizeof *t);
	t->due_tsc = due_tsc;
	t->seq = q->seq++;
	t->source = q->source_number;
}

static bool copy_any(struct bench_rxq *q, struct bench_cursor *c, struct rte_mbuf *m)
{
	const struct bench_source *s = c->source;
	uint32_t i = advance(c), bytes = packet_set_bytes(&s->set, i);
	_mm_storeu_si128((__m128i *)&m->rearm_data, q->head);
	_mm_storeu_si128((__m128i *)&m->rx_descriptor_fields1, _mm_setzero_si128());
	if (!copy_chain(q, m, packet_set_at(&s->set, i), bytes))
		return false;
	if (s->tso) {
		m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4;
		m->tx_offload = s->tso;
	}
	uint32_t roll = 0;
	if (s->roll_at) {
		/* An odd factor: all 32 bits of the ports come up before one is used again. */
		roll = c->rolled++ * 0x9e3779b1u;
		uint32_t *ports = rte_pktmbuf_mtod_offset(m, uint32_t *, s->roll_at);
		*ports = roll;
	}
	if (s->hashes)
		m->hash.rss = s->hashes[i] ^ roll;
	q->counters->bytes += bytes;
	return true;
}

/* When packet k of a burst was due: at its turn with a rate, else now. */
static inline uint64_t due_tsc(const struct bench_rxq *q, unsigned k, uint64_t now)
{
	return q->rate_pps ? q->open_tsc + ((q->due + k * q->interval) >> DUE_SHIFT) : now;
}

static unsigned copy_mixed(struct bench_rxq *q, struct rte_mbuf **pkts, unsigned n, uint64_t now)
{
	uint32_t every = q->attack.source ? q->control->attack_every : 0;
	for (unsigned k = 0; k < n; k++) {
		struct bench_cursor *c = &q->main;
		if (every && (q->until_attack == 0 || --q->until_attack == 0)) {
			c = &q->attack;
			q->until_attack = every;
			q->counters->attack_pkts++;
		}
		if (!copy_any(q, c, pkts[k])) {
			rte_pktmbuf_free_bulk(pkts + k, n - k);
			q->counters->no_mbuf_pkts += n - k;
			return k;
		}
		if (q->stamp)
			stamp(q, pkts[k], due_tsc(q, k, now));
	}
	return n;
}

static void open_run(struct bench_rxq *q, uint32_t run, uint64_t now)
{
	uint64_t limit = q->control->limit_pkts;
	q->run = run;
	q->left_pkts = limit ? limit : UINT64_MAX;
	q->open_tsc = now;
	q->due = 0;
	q->rate_pps = 0;
}

/* How many of n packets are due. A change of rate counts from now on. */
static unsigned due_packets(struct bench_rxq *q, uint64_t rate, unsigned n, uint64_t now)
{
	if (q->rate_pps != rate) {
		q->rate_pps = rate;
		q->interval = RTE_MAX((rte_get_tsc_hz() << DUE_SHIFT) / rate, UINT64_C(1));
		q->open_tsc = now;
		q->due = 0;
	}
	uint64_t elapsed = (now - q->open_tsc) << DUE_SHIFT;
	if (elapsed < q->due)
		return 0;
	uint64_t waiting = (elapsed - q->due) / q->interval + 1;
	if (waiting > q->backlog_pkts) {
		uint64_t missed = waiting - q->backlog_pkts;
		q->counters->missed_pkts += missed;
		q->due += missed * q->interval;
		waiting = q->backlog_pkts;
	}
	return waiting < n ? (unsigned)waiting : n;
}

uint16_t bench_rx_burst(void *queue, struct rte_mbuf **pkts, uint16_t n_pkts)
{
	struct bench_rxq *q = queue;
	struct bench_rx_counters *counters = q->counters;
	const volatile struct bench_control *control = q->control;
	uint32_t run = control->run;
	uint64_t rate = control->rate_pps, now = rte_rdtsc();
	unsigned n = n_pkts;

	counters->polls++;
	if (run == 0 || !q->main.source)
		return 0;
	if (unlikely(run != q->run))
		open_run(q, run, now);
	if (rate)
		n = due_packets(q, rate, n, now);
	else
		q->rate_pps = 0;
	if (unlikely(n > q->left_pkts))
		n = (unsigned)q->left_pkts;
	if (n == 0)
		return 0;
	if (unlikely(rte_mempool_get_bulk(q->pool, (void **)pkts, n))) {
		counters->no_mbuf_pkts += n;
		return 0;
	}
	if (q->main.source->one_line && !q->stamp && !q->main.source->roll_at && !q->attack.source)
		copy_lines(q, pkts, n);
	else
		n = copy_mixed(q, pkts, n, now);
	if (rate)
		q->due += n * q->interval;
	if (q->left_pkts != UINT64_MAX)
		q->left_pkts -= n;
	counters->pkts += n;
	if (unlikely(counters->first_tsc == 0))
		counters->first_tsc = now;
	counters->last_tsc = now;
	return (uint16_t)n;
}
