/* SPDX-License-Identifier: BSD-3-Clause */
/* The loop of a poll thread: for each of its queues receive, classify, run, then the misses, then
 * everything staged is sent. One version for all of an iteration; no lock, no log, no blocking call
 * but the sleep at its bottom.
 *
 * Fairness: deficit round robin on cycles. A port's queues earn a quantum per round and pay what
 * their packets really cost: misses and what these do to the caches, packets that the device threw
 * away, sending. In debt they sit out, so that one port's expensive packets do not take another's
 * time. */
#include "datapath/poll/pace.h"
#include "datapath/poll/poll_priv.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include <rte_cycles.h>
#include <rte_lcore.h>

#include "datapath/base/clock.h"
#include "datapath/core/drop_memory.h"
#include "datapath/core/pool.h"
#include "datapath/core/rcu.h"
#include "datapath/core/thread.h"
#include "datapath/observe/record.h"

const char *const poll_stage_names[STAGE_N] = {
	[STAGE_RX] = "rx",           [STAGE_EXTRACT] = "extract", [STAGE_CACHE] = "cache",
	[STAGE_RESOLVE] = "resolve", [STAGE_EXEC] = "exec",       [STAGE_TX] = "tx",
	[STAGE_IDLE] = "idle",
};

static uint64_t measure_mask = MEASURE_EVERY - 1; /* W: main  R: threads; no order needed */

void poll_account_set(bool on)
{
	__atomic_store_n(&measure_mask, on ? MEASURE_EVERY - 1 : UINT64_MAX, __ATOMIC_RELAXED);
}

static inline uint64_t stamp(const struct poll_thread *t)
{
	return t->measure ? rte_rdtsc() : 0;
}

static inline void account(struct poll_thread *t, enum poll_stage s, uint64_t *since)
{
	if (t->measure) {
		uint64_t now = rte_rdtsc();

		counter_add(&t->stage_cycles[s], (now - *since) * MEASURE_EVERY);
		*since = now;
	}
}

enum { L2_BYTES_MAX = 14 + 2 * 4 + 8 }; /* Ethernet, two tags, SNAP: what the shallow parse reads */

/* Frames without a whole Ethernet header go; the first segment gets all of the layer-2 headers. */
static unsigned drop_runts(struct poll_thread *t, struct rte_mbuf **pkt, unsigned n,
			   uint32_t in_port)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = pkt[i];

		uint32_t want = SL_MIN(m->pkt_len, (uint32_t)L2_BYTES_MAX);

		if (m->pkt_len < 14 || (m->data_len < want && !pool_linearise(m, want)))
			exec_drop(t->exec, m, in_port, DROP_RX_TRUNCATED);
		else
			pkt[kept++] = m;
	}
	return kept;
}

void poll_process(struct poll_thread *t, uint32_t in_port, unsigned n)
{
	struct burst *b = &t->burst;
	struct port_counters *c = counters_of(t->idx, in_port);
	struct port_cache *pc = flow_cache_port(t->cache, in_port);
	uint64_t bytes = 0, since = stamp(t);
	uint32_t shortest = UINT32_MAX;
	uint8_t missed[BURST_MAX];

	if (record_is_live())
		record_rx(in_port, b->pkt, n);
	if (SL_UNLIKELY(!c)) { /* the port and its counters went under our feet */
		rte_pktmbuf_free_bulk(b->pkt, n);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		bytes += b->pkt[i]->pkt_len;
		shortest = SL_MIN(shortest, (uint32_t)b->pkt[i]->data_len);
		b->pkt[i]->port = (uint16_t)in_port;
	}
	counter_add(&c->rx_pkts, n);
	counter_add(&c->rx_bytes, bytes);
	if (SL_UNLIKELY(!pc)) {
		for (unsigned i = 0; i < n; i++)
			exec_drop(t->exec, b->pkt[i], in_port, DROP_MISS_NO_MEMORY);
		return;
	}
	if (SL_UNLIKELY(t->observing != NULL))
		observer_rx(t->observing, b->pkt, n, in_port, rte_rdtsc());
	b->bytes = bytes;
	if (SL_UNLIKELY(shortest < L2_BYTES_MAX)) {
		n = drop_runts(t, b->pkt, n, in_port);
		b->bytes = 0;
	}
	b->n = (uint16_t)n;
	uint64_t by_mask = t->cache->table_hits;
	b->measure = t->measure;
	b->extracted_tsc = 0;
	flow_cache_classify(t->cache, pc, b, (uint32_t)t->version, t->now_ms);
	if (b->extracted_tsc) {
		counter_add(&t->stage_cycles[STAGE_EXTRACT],
			    (b->extracted_tsc - since) * MEASURE_EVERY);
		since = b->extracted_tsc;
	}
	account(t, STAGE_CACHE, &since);
	t->audit_in -= (int64_t)n;
	if (SL_UNLIKELY(t->audit_in <= 0))
		audit_hits(t, b, in_port);
	if (SL_UNLIKELY(t->observing != NULL))
		watch_hits(t, b, in_port);
	by_mask = t->cache->table_hits - by_mask; /* stale ones among them are no hits */
	unsigned n_missed = hits_run(t, b, in_port, NULL, missed);
	counter_add(&c->megaflow_hits, SL_MIN(by_mask, (uint64_t)(n - n_missed)));
	account(t, STAGE_EXEC, &since);
	if (SL_UNLIKELY(n_missed)) {
		miss_handle(t, pc, b, missed, n_missed);
		account(t, STAGE_RESOLVE, &since);
	}
	if (SL_UNLIKELY(t->exec->n_recirc))
		recirc_run(t);
}

static void charge(struct poll_thread *t, struct rxq *r, uint64_t cycles)
{
	uint64_t due = SL_MIN(cycles + t->surcharge_tsc, (uint64_t)CHARGE_MAX_TSC);

	t->surcharge_tsc = 0;
	counter_add(&r->cycles, SL_MIN(cycles, (uint64_t)CHARGE_MAX_TSC));
	r->deficit_tsc = SL_MAX(r->deficit_tsc - (int64_t)due, -(int64_t)DEBT_MAX_TSC);
}

static void charge_until_now(struct poll_thread *t, struct rxq *r)
{
	uint64_t start = t->now_tsc;

	t->now_tsc = rte_rdtsc();
	charge(t, r, t->now_tsc - start);
}

/* Nothing came. What the class threw away took time as well: a guest's bad chains, 32 at a look. */
static void found_nothing(struct poll_thread *t, struct rxq *r)
{
	r->ready &= r->port->poll_on_event; /* a kick is answered by one look */
	if (SL_LIKELY(!__atomic_load_n(&r->port->rx_discarded, __ATOMIC_RELAXED)))
		return;
	__atomic_store_n(&r->port->rx_discarded, false, __ATOMIC_RELAXED);
	/* Not every class can say whether it did; a queue that is merely silent is not at work. */
	uint64_t now = rte_rdtsc();
	if (now - t->now_tsc < LOOK_DEAR_TSC) {
		t->now_tsc = now;
		return;
	}
	r->last_pkt_tsc = t->now_tsc;
	t->payer[r->port->id] = r;
	r->share->n_seen++;
	t->n_served++;
	charge_until_now(t, r);
}

/* One queue's turn. Returns packets received. */
static unsigned poll_queue(struct poll_thread *t, struct rxq *r)
{
	uint64_t since = stamp(t);
	unsigned n;

	if (r->port->poll_on_event && !r->ready)
		return 0;
	n = r->q < __atomic_load_n(&r->port->n_rxq, __ATOMIC_ACQUIRE)
		    ? r->port->class->rx_burst(r->port, r->q, t->burst.pkt, BURST_MAX)
		    : 0;
	if (r->port->poll_on_event && n < BURST_MAX)
		r->ready = false;
	if (!n) {
		found_nothing(t, r);
		return 0;
	}
	account(t, STAGE_RX, &since);
	if (SL_UNLIKELY(pace_any && pace_is_limited(r->port->id)))
		pace_take(t, r->port->id, n);
	else
		poll_process(t, r->port->id, n);
	charge_until_now(t, r);
	r->last_pkt_tsc = t->now_tsc;
	r->caught_up = false;
	t->payer[r->port->id] = r;
	counter_add(&r->pkts, n);
	return n;
}

/* What a queue earns in this round: with n of its port at work, an n-th. */
static inline int64_t quantum_of(const struct port_share *s)
{
	int64_t quantum = __atomic_load_n(&s->quantum_tsc, __ATOMIC_RELAXED);

	return SL_UNLIKELY(s->n_busy > 1) ? quantum / s->n_busy : quantum;
}

/* Once a round. */
static inline void earn(struct poll_thread *t, struct rxq *r)
{
	struct port_share *s = r->share;
	int64_t quantum;

	if (s->round != t->iterations) {
		s->round = t->iterations;
		s->n_busy = SL_MAX(s->n_seen, 1u);
		s->n_seen = 0;
	}
	quantum = quantum_of(s);
	if (r->deficit_tsc < quantum)
		r->deficit_tsc += quantum;
}

/* True when the queue waits for its share. The others take whole bursts until they have used up
 * theirs: with one a round, a queue of cheap packets got 1,600 of its 4,000 cycles beside one in
 * debt, and an iteration's own 160 cycles were a tenth of its time. */
static inline bool take_turn(struct poll_thread *t, struct rxq *r, unsigned *n)
{
	unsigned got, before = *n, served = t->n_served;

	earn(t, r);
	if (r->deficit_tsc <= 0) {
		r->share->n_seen++;
		return true;
	}
	do {
		got = poll_queue(t, r);
		*n += got;
	} while (got == BURST_MAX && r->deficit_tsc > 0);
	if (*n != before && t->n_served == served) { /* else found_nothing() has counted it */
		r->share->n_seen++;
		t->n_served++;
	}
	return false;
}

static struct rxq *payer(const struct poll_thread *t, uint32_t port_id)
{
	return port_id < PORT_ID_MAX ? t->payer[port_id] : NULL;
}

void poll_charge(struct poll_thread *t, uint32_t port_id, uint64_t cycles)
{
	struct rxq *r = payer(t, port_id);

	if (r)
		charge(t, r, cycles);
	t->surcharge_tsc = 0;
}

void poll_charge_waiting(struct poll_thread *t, uint32_t port_id, uint64_t cycles)
{
	struct rxq *r = payer(t, port_id);

	if (r)
		r->caught_up = true;
	poll_charge(t, port_id, cycles);
}

bool poll_is_in_debt(const struct poll_thread *t, uint32_t port_id)
{
	const struct rxq *r = payer(t, port_id);

	/* Every debt is within a quantum of its end once, on its way up. */
	return t->contended && r && r->deficit_tsc <= (r->caught_up ? 0 : -quantum_of(r->share));
}

static void activate(const struct rxq_list *l, struct poll_thread *t, struct rxq *r)
{
	if (!r->active) {
		r->active = true;
		l->active[t->n_active++] = r;
	}
}

/* Which queues are polled every time: those with packets lately, those with an event, and those in
 * debt: taking turns with silent ones, they would earn their share once in n / 2 iterations. */
static void choose_active(struct poll_thread *t, const struct rxq_list *l)
{
	bool is_new = t->active_gen != l->gen;

	if (is_new)
		t->n_active = 0;
	for (unsigned i = 0; i < l->n; i++) {
		if (is_new)
			l->at[i]->active = false;
		if (is_new || l->at[i]->ready)
			activate(l, t, l->at[i]);
	}
	t->active_gen = l->gen;
	t->events_seen = false;
}

/* Silent queues take turns, two an iteration: just looking at 500 of them every time costs more
 * than a burst of the busy one. */
static bool poll_many(struct poll_thread *t, const struct rxq_list *l, unsigned *n)
{
	uint64_t idle_after = tsc_of_us(IDLE_QUEUE_US);
	bool waiting = false;

	if (t->events_seen || t->active_gen != l->gen)
		choose_active(t, l);
	for (unsigned i = 0; i < t->n_active;) {
		struct rxq *r = l->active[i];
		bool in_debt = take_turn(t, r, n);

		waiting |= in_debt;
		if (in_debt || r->ready || t->now_tsc - r->last_pkt_tsc <= idle_after) {
			i++;
			continue;
		}
		r->active = false;
		l->active[i] = l->active[--t->n_active];
	}
	for (unsigned k = 0; k < 2; k++) {
		struct rxq *r = l->at[t->rotate++ % l->n];
		unsigned got = 0;

		if (r->active)
			continue;
		bool in_debt = take_turn(t, r, &got);
		waiting |= in_debt;
		if (got || in_debt)
			activate(l, t, r);
		*n += got;
	}
	return waiting;
}

/* True when there was work: packets, or a queue that waits for its share. */
static bool poll_queues(struct poll_thread *t, const struct rxq_list *l)
{
	unsigned n = 0;
	bool waiting = false;

	if (SL_UNLIKELY(t->payer_gen != l->gen)) { /* queues of the last list may be gone */
		memset(t->payer, 0, sizeof t->payer);
		t->payer_gen = l->gen;
	}
	t->n_served = 0;
	if (l->n > FEW_QUEUES)
		waiting = poll_many(t, l, &n);
	else
		for (unsigned i = 0; i < l->n; i++)
			waiting |= take_turn(t, l->at[i], &n);
	t->contended = t->n_served + waiting > 1;
	if (n)
		counter_add(&t->pkts, n);
	return n || waiting;
}

/* Sending costs whose packets it were: of each port's the sender of one by chance pays for all,
 * which is right on average. Asking all of them would cost more than most ports' sending. */
static void flush_and_charge(struct poll_thread *t)
{
	struct exec *x = t->exec;
	uint64_t at = rte_rdtsc();

	while (x->n_pending) {
		struct tx_stage *s = x->stage[x->pending[x->n_pending - 1]];
		uint32_t port_id = s->pkt[(at >> 4) % s->n]->port;

		exec_flush_port(x, s);
		uint64_t now = rte_rdtsc();
		poll_charge(t, port_id, now - at);
		at = now;
	}
}

void poll_run_commands(struct poll_thread *t)
{
	void *p;

	while (SL_UNLIKELY(!rte_ring_sc_dequeue(t->commands, &p))) {
		uintptr_t v = (uintptr_t)p;

		/* kind in the low bits, port above: no allocation to free */
		switch ((enum poll_command_kind)(v & 3)) {
		case COMMAND_FORGET_PORT:
			flow_cache_port_forget(t->cache, (uint32_t)(v >> 3));
			pace_forget(t, (uint32_t)(v >> 3));
			break;
		case COMMAND_FLUSH:
			flow_cache_flush(t->cache);
			break;
		case COMMAND_OBSERVE:
			watch_command(t);
			break;
		}
	}
}

void poll_every_ms(struct poll_thread *t)
{
	uint64_t ms = clock_mono_ms();

	if (record_on())
		record_simple(REC_SWEEP);

	t->now_ms = (uint32_t)ms;
	t->exec->now_ms = ms;
	flow_cache_sweep(t->cache, t->now_ms);
	drop_memory_tick(t->idx);
	audit_sweep(t);
	if (SL_UNLIKELY(t->n_suspects))
		audit_suspects(t);
	t->last_sweep_tsc = t->now_tsc;
}

/* While something is recorded, an iteration is one slot of its order. Between slots no version is
 * held, so that the main thread in its own slot waits for nobody. */
static bool slot_enter(struct poll_thread *t)
{
	version_idle(t->idx);
	return record_enter(t->idx, &t->stop);
}

static void slot_leave(struct poll_thread *t)
{
	record_cache(t->idx, t->cache->n_flows, t->cache->n_masks, t->cache->evicted);
	version_idle(t->idx);
	record_leave();
}

/* What is left when all queues have had their turn. True: there was something. */
bool poll_finish_iteration(struct poll_thread *t)
{
	bool worked = false;
	uint64_t since;

	if (record_on() && (t->n_miss_list || !rte_ring_empty(t->inject)))
		record_open();
	if (!rte_ring_empty(t->inject)) {
		inject_run(t);
		worked = true;
	}
	if (SL_UNLIKELY(t->n_miss_list)) {
		miss_serve_queues(t);
		worked = true;
	}
	if (t->exec->n_pending) {
		since = stamp(t);
		if (t->contended)
			flush_and_charge(t);
		else
			exec_flush(t->exec);
		account(t, STAGE_TX, &since);
	}
	if (SL_UNLIKELY(t->observing != NULL))
		observer_end_iteration(t->observing);
	flow_cache_recycle(t->cache);
	return worked;
}

static bool iterate(struct poll_thread *t)
{
	const struct rxq_list *l;
	/* The end of the one before: reading the clock three times an iteration was 11 % of the
	 * time at half load (the generator's part included). */
	const uint64_t start = t->now_tsc;
	bool worked, in_slot = false;

	t->version = version_burst_begin(t->idx);
	/* Behind it: who begins a recording waits for those that have begun before. */
	if (record_on()) {
		in_slot = slot_enter(t);
		if (!in_slot && __atomic_load_n(&t->stop, __ATOMIC_ACQUIRE))
			return false;
		t->version = version_burst_begin(t->idx);
	}
	t->exec->version = t->version;
	t->measure = !(t->iterations & __atomic_load_n(&measure_mask, __ATOMIC_RELAXED));
	l = __atomic_load_n(&t->rxqs, __ATOMIC_ACQUIRE);
	if (!rte_ring_empty(t->commands))
		poll_run_commands(t);
	if (t->now_tsc - t->last_sweep_tsc > tsc_of_us(SWEEP_EVERY_US))
		poll_every_ms(t);
	if (t->now_tsc - t->last_event_tsc > tsc_of_us(EVENT_POLL_US)) {
		sleep_check_events(t, l, 0);
		t->last_event_tsc = t->now_tsc = rte_rdtsc(); /* no queue pays for it */
	}
	worked = poll_queues(t, l);
	if (SL_UNLIKELY(t->n_paced) && pace_serve(t, poll_process))
		worked = true;
	worked |= poll_finish_iteration(t);
	counter_add(&t->iterations, 1);
	if (t->iterations % RCU_EVERY == 0)
		rcu_quiescent(t->idx);
	uint64_t end = rte_rdtsc();
	counter_add(&t->cycles_total, end - start);
	if (worked) {
		counter_add(&t->cycles_busy, end - start);
		t->last_work_tsc = end;
	}
	t->now_tsc = end;
	if (SL_UNLIKELY(in_slot))
		slot_leave(t);
	return worked;
}

/* Nothing stays behind. While something is recorded this is part of main's slot, who waits. */
void poll_thread_end(struct poll_thread *t)
{
	version_burst_begin(t->idx);
	miss_drop_all(t);
	pace_drop_all(t);
	inject_drop_all(t);
	exec_flush(t->exec);
	version_idle(t->idx);
}

void *poll_thread_main(void *arg)
{
	struct poll_thread *t = arg;
	cpu_set_t set;
	char name[16];

	CPU_ZERO(&set);
	CPU_SET(t->core, &set);
	snprintf(name, sizeof name, "poll-c%u", t->core);
	pthread_setname_np(pthread_self(), name);
	prctl(PR_SET_TIMERSLACK, 1000); /* ns: sleeps end when asked, not 50 us later */
	t->failed =
		pthread_setaffinity_np(pthread_self(), sizeof set, &set) || rte_thread_register();
	sl_thread_idx = t->idx;
	__atomic_store_n(&t->started, true, __ATOMIC_RELEASE);
	if (t->failed)
		return NULL;
	rcu_thread_online(t->idx);
	t->now_tsc = t->last_work_tsc = rte_rdtsc(); /* the first iteration takes the time */
	while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE)) {
		if (iterate(t))
			continue;
		uint32_t max_us = __atomic_load_n(&poll_sleep_us_shared, __ATOMIC_RELAXED);

		if (!max_us || t->now_tsc - t->last_work_tsc <= tsc_of_us(SLEEP_AFTER_US))
			continue;
		sleep_until_work(t, __atomic_load_n(&t->rxqs, __ATOMIC_ACQUIRE));
		t->now_tsc = rte_rdtsc();
	}
	poll_thread_end(t);
	conntrack_thread_leave();
	rcu_thread_offline(t->idx);
	rte_thread_unregister();
	return NULL;
}
