/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets the cache did not know: they are resolved here, by the poll thread, under a budget of
 * cycles. What is over budget waits in its port's queue, served round robin; what does not fit
 * there is dropped as miss_budget. Poll thread. */
#include "datapath/poll/poll_priv.h"

#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "datapath/base/hash.h"
#include "datapath/core/pool.h"
#include "datapath/observe/record.h"

static struct miss_queue *queue_of(struct poll_thread *t, uint32_t port_id)
{
	struct miss_queue *q = t->miss[port_id];

	if (!q && (q = calloc(1, sizeof *q))) {
		q->port_id = port_id;
		t->miss[port_id] = q;
	}
	return q;
}

static void enqueue(struct poll_thread *t, uint32_t port_id, struct rte_mbuf *m,
		    struct port_counters *c)
{
	struct miss_queue *q = queue_of(t, port_id);

	if (SL_UNLIKELY(!q) || q->n == MISS_QUEUE_PKTS) {
		exec_drop(t->exec, m, port_id, q ? DROP_MISS_BUDGET : DROP_MISS_NO_MEMORY);
		return;
	}
	q->pkt[(q->head + q->n++) % MISS_QUEUE_PKTS] = m;
	if (c)
		counter_add(&c->miss_queued, 1);
	if (SL_UNLIKELY(t->observing != NULL))
		observer_note(t->observing, m, port_id, EVENT_HELD, 0, 0);
	if (!q->listed) {
		q->listed = true;
		t->miss_list[t->n_miss_list++] = port_id;
	}
}

void miss_enqueue(struct poll_thread *t, uint32_t port_id, struct rte_mbuf *m)
{
	enqueue(t, port_id, m, counters_of(t->idx, port_id));
}

static uint32_t linear_bytes(const struct rte_mbuf *m)
{
	return m->data_len;
}

/* What was decided: the bits that were read, and their values. Without what differs from process to
 * process: numbers of contexts, and what lies in lines of the key that nobody has filled. */
static void record_decision(const struct poll_thread *t, uint32_t port_id,
			    const struct flow_key *key, bool cached)
{
	const struct resolve_result *r = &t->result;
	const uint64_t *k = (const uint64_t *)key, *m = (const uint64_t *)&r->mask;
	uint64_t h = r->prog.n_words;

	for (unsigned i = 0; i < sizeof *key / 8; i++)
		if (r->mask_lines >> (i * 8 / FLOW_LINE_BYTES) & 1)
			h = hash_u64(h ^ m[i]) ^ (i ? k[i] & m[i] : 0); /* word 0: the context */
	record_miss(port_id, cached, h);
}

/* Resolves and runs one packet whose key is b->key[i], whole. */
static void resolve_one(struct poll_thread *t, struct port_cache *pc, struct burst *b, unsigned i,
			struct megaflow *stale, struct packet *p)
{
	struct resolve_result *r = &t->result;
	struct port_counters *c = counters_of(t->idx, pc->port_id);
	const struct resolve_request req = {
		.key = &b->key[i],
		.packet = rte_pktmbuf_mtod(p->m, const void *),
		.packet_len = linear_bytes(p->m),
		.version = t->version,
		.now_ms = t->exec->now_ms,
		.side_effects = true,
	};

	if (c)
		counter_add(&c->misses, 1);
	t->cache->misses++;
	resolve(t->resolver, &req, r);
	if (SL_UNLIKELY(r->again) && !p->s.recirc_id) {
		/* A learn action found somebody else changing rules: not now. There is room: where
		 * something waits, nothing is resolved before it. */
		enqueue(t, pc->port_id, p->m, c);
		return;
	}
	struct megaflow *mf = flow_cache_install(t->cache, pc, &b->key[i], b->lines[i], r, stale,
						 (uint32_t)t->version, t->now_ms);
	if (record_on())
		record_decision(t, pc->port_id, &b->key[i], mf);
	if (mf) {
		counter_add(&mf->pkts, 1);
		counter_add(&mf->bytes, p->m->pkt_len);
		if (SL_UNLIKELY(t->observing != NULL))
			watch_settled(t, p, &b->key[i], LEVEL_MISS, mf->info);
		t->exec->origin = &mf->info->origin;
		exec_run(t->exec, mf->info->prog, p);
		return;
	}
	/* Uncached: run from the builder's memory, and credit at once by a short-lived entry. */
	struct program *prog = program_scratch(&r->prog);
	if (c && r->cacheable)
		counter_add(&c->over_quota, 1);
	flow_cache_credit_once(t->cache, r, p->m->pkt_len, t->now_ms);
	if (SL_UNLIKELY(t->observing != NULL))
		watch_resolved(t, p, &b->key[i], r, prog, LEVEL_UNCACHED);
	t->exec->origin = &r->origin;
	exec_run(t->exec, prog, p);
}

void miss_settle(struct poll_thread *t, struct port_cache *pc, struct burst *b, unsigned i,
		 struct packet *p)
{
	struct megaflow *stale, *mf;

	mf = flow_cache_find(t->cache, pc, &b->key[i], b->lines[i], (uint32_t)t->version, t->now_ms,
			     &stale);
	p->ofs = b->ofs[i];
	p->has_ofs = true;
	if (!mf) {
		resolve_one(t, pc, b, i, stale, p);
		return;
	}
	counter_add(&mf->pkts, 1);
	counter_add(&mf->bytes, p->m->pkt_len);
	mf->used_ms = t->now_ms;
	if (SL_UNLIKELY(t->observing != NULL))
		watch_settled(t, p, &b->key[i], LEVEL_MASK, mf->info);
	t->exec->origin = &mf->info->origin;
	exec_run(t->exec, mf->info->prog, p);
}

/* key_stays: until the burst is over, for packets that come round again. */
static void settle_fresh(struct poll_thread *t, struct port_cache *pc, struct burst *b, unsigned i,
			 bool key_stays)
{
	struct packet p = {.s.in_port = pc->port_id};

	flow_cache_extract(b, i, pc->port_id, EXTRACT_FULL);
	p.m = b->pkt[i];
	p.key = key_stays ? &b->key[i] : NULL;
	p.key_whole = true;
	miss_settle(t, pc, b, i, &p);
}

/* What depends on cycles: a replay cannot know it by itself. */
static bool decided(bool yes)
{
	return record_on() ? record_is_over(yes) : yes;
}

static bool is_over(uint64_t at, uint64_t until)
{
	return decided(at >= until);
}

void miss_handle(struct poll_thread *t, struct port_cache *pc, struct burst *b,
		 const uint8_t *which, unsigned n)
{
	struct port_counters *c = counters_of(t->idx, pc->port_id);
	struct miss_queue *q = t->miss[pc->port_id];
	uint64_t since = rte_rdtsc(), until = since + MISS_BUDGET_TSC, at = since;
	bool wait = q && q->n; /* order: behind those that already wait */

	for (unsigned k = 0; k < n; k++) {
		if (wait) {
			enqueue(t, pc->port_id, b->pkt[which[k]], c);
			continue;
		}
		settle_fresh(t, pc, b, which[k], true);
		at = rte_rdtsc();
		wait = is_over(at, until);
	}
	t->surcharge_tsc += (at - since) * MISS_SURCHARGE_PCT / 100;
}

/* The first of the line goes to its end. */
static void rotate_list(struct poll_thread *t)
{
	uint32_t first = t->miss_list[0];

	memmove(t->miss_list, t->miss_list + 1, (t->n_miss_list - 1) * sizeof first);
	t->miss_list[t->n_miss_list - 1] = first;
}

void miss_serve_queues(struct poll_thread *t)
{
	uint64_t at = rte_rdtsc(), until = at + MISS_BUDGET_TSC / 2;
	struct burst *b = &t->burst;
	unsigned in_debt = 0; /* of the list's end */

	while (in_debt < t->n_miss_list && !is_over(at, until)) {
		uint32_t port_id = t->miss_list[0];
		struct miss_queue *q = t->miss[port_id];
		struct port_cache *pc = flow_cache_port(t->cache, port_id);

		if (decided(poll_is_in_debt(t, port_id))) {
			rotate_list(t);
			in_debt++;
			continue;
		}
		in_debt = 0;
		for (unsigned k = 0; k < 4 && q->n; k++) {
			struct rte_mbuf *m = q->pkt[q->head];

			q->head = (uint16_t)((q->head + 1) % MISS_QUEUE_PKTS);
			q->n--;
			if (!pc) {
				exec_drop(t->exec, m, port_id, DROP_MISS_NO_MEMORY);
				continue;
			}
			b->pkt[0] = m;
			settle_fresh(t, pc, b, 0, false);
		}
		uint64_t now = rte_rdtsc();
		t->surcharge_tsc += (now - at) * MISS_SURCHARGE_PCT / 100;
		poll_charge_waiting(t, port_id, now - at);
		at = now;
		rotate_list(t);
		if (!q->n) {
			q->listed = false;
			t->n_miss_list--;
		}
	}
	if (t->exec->n_recirc)
		recirc_run(t);
}

void miss_drop_all(struct poll_thread *t)
{
	for (unsigned i = 0; i < t->n_miss_list; i++) {
		struct miss_queue *q = t->miss[t->miss_list[i]];

		for (; q->n; q->n--) {
			exec_drop(t->exec, q->pkt[q->head], q->port_id, DROP_POLL_STOPPED);
			q->head = (uint16_t)((q->head + 1) % MISS_QUEUE_PKTS);
		}
		q->listed = false;
	}
	t->n_miss_list = 0;
}

uint64_t miss_held(const struct poll_thread *t, uint32_t port_id)
{
	const struct miss_queue *q = __atomic_load_n(&t->miss[port_id], __ATOMIC_ACQUIRE);

	return q ? q->n : 0;
}
