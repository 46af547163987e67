/* SPDX-License-Identifier: BSD-3-Clause */
/* The main thread's side: which threads run, which queue is polled where, and what they report.
 * Queues move in two steps, taken from everyone first, given to their new thread once no burst can
 * be using them: two threads never poll the same queue. */
#include "datapath/poll/poll_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_lcore.h>

#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/hash.h"
#include "datapath/base/log.h"
#include "datapath/base/str.h"
#include "datapath/base/vec.h"
#include "datapath/core/drop_memory.h"
#include "datapath/core/rcu.h"
#include "datapath/exec/fragments.h"
#include "datapath/observe/record.h"

LOG_MODULE(poll);

enum {
	FLOWS_PER_THREAD = 2 << 20, /* address space only; pages are used as flows come */
	REBALANCE_EVERY_MS = 60000,
	REBALANCE_GAIN_PCT = 25,
	TICKS = 10,
};

struct poll_thread *poll_thread_at[POLL_THREADS_MAX];
uint32_t poll_sleep_us_shared = 175;
uint64_t poll_tsc_hz;

struct entry { /* a port and its queues */
	struct port *port;
	unsigned n;
	unsigned weight;
	struct rxq *rxq[QUEUES_MAX];
	int thread[QUEUES_MAX];                     /* -1: nowhere */
	struct port_share *share[POLL_THREADS_MAX]; /* NULL: never had a queue there */
	uint16_t pin[QUEUES_MAX];
};
static struct entry *entries[PORT_ID_MAX];
static uint64_t list_gen, last_rebalance_ms, last_tick_ms;

int poll_init(struct err *e)
{
	poll_tsc_hz = rte_get_tsc_hz();
	rcu_init();
	if (!flow_cache_classify)
		flow_cache_select_isa(NULL);
	if (observer_init())
		return err_set(e, ENOMEM, "poll: no room in packet buffers for a mark");
	if (upcall_init())
		return err_set(e, ENOMEM, "poll: cannot create the ring to the main thread");
	log_info("flow cache lookup for %s", flow_cache_isa());
	return 0;
}

/* ---- queue lists ---- */

/* After this no thread runs a burst with what it read before. */
static void barrier(void)
{
	version_lock();
	uint64_t v = version_commit(NULL, 0);
	version_unlock();
	version_wait(v);
}

static void publish_lists(void)
{
	for (unsigned t = 0; t < POLL_THREADS_MAX; t++) {
		struct poll_thread *th = poll_thread_at[t];
		unsigned n = 0;

		if (!th)
			continue;
		for (uint32_t p = 0; p < PORT_ID_MAX; p++)
			for (unsigned q = 0; entries[p] && q < entries[p]->n; q++)
				n += entries[p]->thread[q] == (int)t;
		struct rxq_list *l = xzalloc(sizeof *l + 2 * n * sizeof l->at[0]);

		l->active = &l->at[n];
		for (uint32_t p = 0; p < PORT_ID_MAX; p++)
			for (unsigned q = 0; entries[p] && q < entries[p]->n; q++)
				if (entries[p]->thread[q] == (int)t)
					l->at[l->n++] = entries[p]->rxq[q];
		l->gen = ++list_gen;
		struct rxq_list *old = th->rxqs;
		bool same = old && old->n == l->n && !memcmp(old->at, l->at, n * sizeof l->at[0]);
		if (same) {
			free(l);
			continue;
		}
		__atomic_store_n(&th->rxqs, l, __ATOMIC_RELEASE);
		rcu_free_later(old);
		poll_wake(th);
	}
}

static unsigned queues_on(unsigned t)
{
	const struct rxq_list *l = poll_thread_at[t]->rxqs;

	return l ? l->n : 0;
}

static int thread_of_core(uint16_t core)
{
	for (unsigned t = 0; t < POLL_THREADS_MAX; t++)
		if (poll_thread_at[t] && poll_thread_at[t]->core == core)
			return (int)t;
	return -1;
}

/* The least busy thread, then the one with the fewest queues. `extra`: queues given in this round.
 */
static int least_loaded(const unsigned *extra)
{
	int best = -1;
	uint64_t best_load = UINT64_MAX;

	for (unsigned t = 0; t < POLL_THREADS_MAX; t++) {
		if (!poll_thread_at[t])
			continue;
		uint64_t load = (uint64_t)poll_thread_at[t]->busy_permille / 100 * 1000 +
				queues_on(t) + extra[t];
		if (load < best_load) {
			best_load = load;
			best = (int)t;
		}
	}
	return best;
}

/* The queue is nobody's now. */
static void give(struct entry *en, unsigned q, int t)
{
	en->thread[q] = t;
	if (t < 0)
		return;
	if (!en->share[t]) {
		en->share[t] = xzalloc(sizeof *en->share[t]);
		en->share[t]->quantum_tsc = en->weight * QUANTUM_OF_WEIGHT_TSC;
		en->share[t]->n_busy = 1;
	}
	en->rxq[q]->share = en->share[t];
}

/* Gives every queue that has none a thread, and pinned ones theirs. */
static void place(void)
{
	unsigned extra[POLL_THREADS_MAX] = {0};
	bool moved = false;

	for (uint32_t p = 0; p < PORT_ID_MAX; p++) {
		struct entry *en = entries[p];

		for (unsigned q = 0; en && q < en->n; q++) {
			int pin = en->pin[q] != UINT16_MAX ? thread_of_core(en->pin[q]) : -1;

			if (en->thread[q] >= 0 && !poll_thread_at[en->thread[q]])
				en->thread[q] = -1;
			if (pin >= 0 && en->thread[q] >= 0 && en->thread[q] != pin) {
				en->thread[q] = -1;
				moved = true;
			}
		}
	}
	if (moved) {
		publish_lists();
		barrier();
	}
	for (uint32_t p = 0; p < PORT_ID_MAX; p++) {
		struct entry *en = entries[p];

		for (unsigned q = 0; en && q < en->n; q++) {
			if (en->thread[q] >= 0)
				continue;
			int pin = en->pin[q] != UINT16_MAX ? thread_of_core(en->pin[q]) : -1;
			int t = pin >= 0 ? pin : least_loaded(extra);
			give(en, q, t);
			if (t >= 0)
				extra[t]++;
		}
	}
	publish_lists();
}

/* "0:3,1:7": queue 0 on core 3 … */
static int parse_pins(const char *text, uint16_t pin[QUEUES_MAX], struct err *e)
{
	for (unsigned q = 0; q < QUEUES_MAX; q++)
		pin[q] = UINT16_MAX;
	for (const char *s = text; s && *s;) {
		unsigned q, core;
		int used = 0;

		if (sscanf(s, "%u:%u%n", &q, &core, &used) != 2 || q >= QUEUES_MAX ||
		    core >= UINT16_MAX)
			return err_set(e, EINVAL, "pmd-rxq-affinity \"%s\": want queue:core,…",
				       text);
		pin[q] = (uint16_t)core;
		s += used;
		if (*s == ',')
			s++;
		else if (*s)
			return err_set(e, EINVAL, "pmd-rxq-affinity \"%s\": want queue:core,…",
				       text);
	}
	return 0;
}

static void set_queue_count(struct entry *en, unsigned n)
{
	for (unsigned q = en->n; q < n; q++) {
		struct rxq *r = xzalloc(sizeof *r);

		*r = (struct rxq){.port = en->port, .q = (uint16_t)q, .fd = -1, .dead_fd = -1};
		r->pinned_core = en->pin[q];
		r->ready = true; /* look once: something may have come before we listened */
		en->rxq[q] = r;
		en->thread[q] = -1;
	}
	unsigned old = en->n;
	en->n = n;
	if (n < old) {
		publish_lists();
		for (unsigned q = n; q < old; q++)
			rcu_free_later(en->rxq[q]);
	}
}

int poll_port_add(struct port *p, const char *pin, struct err *e)
{
	uint16_t pins[QUEUES_MAX];
	int rc = parse_pins(pin, pins, e);

	if (rc)
		return rc;
	struct entry *en = xzalloc(sizeof *en);
	en->port = p;
	en->weight = POLL_WEIGHT_DEFAULT;
	memcpy(en->pin, pins, sizeof pins);
	entries[p->id] = en;
	if (!p->class->no_queues) {
		__atomic_store_n(&port_array[p->id], p, __ATOMIC_RELEASE);
		set_queue_count(en, SL_MIN((unsigned)p->n_rxq, (unsigned)QUEUES_MAX));
		place();
	}
	return 0;
}

int poll_port_pin(struct port *p, const char *pin, struct err *e)
{
	struct entry *en = entries[p->id];
	uint16_t pins[QUEUES_MAX];
	int rc = parse_pins(pin, pins, e);

	if (rc || !en)
		return rc;
	memcpy(en->pin, pins, sizeof pins);
	for (unsigned q = 0; q < en->n; q++)
		en->rxq[q]->pinned_core = pins[q];
	place();
	return 0;
}

void poll_port_set_weight(uint32_t port_id, unsigned weight)
{
	struct entry *en = entries[port_id];

	if (!en)
		return;
	en->weight = weight;
	for (unsigned t = 0; t < POLL_THREADS_MAX; t++)
		if (en->share[t])
			__atomic_store_n(&en->share[t]->quantum_tsc, weight * QUANTUM_OF_WEIGHT_TSC,
					 __ATOMIC_RELAXED);
}

void poll_port_requeue(struct port *p)
{
	struct entry *en = entries[p->id];

	if (!en || p->class->no_queues)
		return;
	/* Queues that the guest disabled stay listed: they return nothing and may come back. */
	unsigned n = __atomic_load_n(&p->n_rxq, __ATOMIC_ACQUIRE);

	n = SL_MIN(n, (unsigned)QUEUES_MAX);
	if (n > en->n)
		set_queue_count(en, n);
	place();
	for (unsigned t = 0; t < POLL_THREADS_MAX; t++)
		if (poll_thread_at[t])
			poll_wake(poll_thread_at[t]);
}

void poll_command_all(enum poll_command_kind kind, uint32_t port_id)
{
	for (unsigned t = 0; t < POLL_THREADS_MAX; t++) {
		struct poll_thread *th = poll_thread_at[t];

		if (!th)
			continue;
		void *v = (void *)(uintptr_t)(((uintptr_t)port_id << 3) | 4 | kind);
		while (rte_ring_sp_enqueue(th->commands, v)) {
			poll_wake(th);
			sched_yield(); /* the thread takes them at its next iteration */
		}
		/* In a slot of ours no thread is in an iteration: now is when, for a replay too. */
		if (record_on() && record_main_has_slot()) {
			poll_run_commands(th);
			/* Else an iteration without packets, which no recording has, would do it,
			 * and entries come to other places. */
			flow_cache_recycle(th->cache);
		}
		poll_wake(th);
	}
}

void poll_port_remove(struct port *p)
{
	struct entry *en = entries[p->id];

	__atomic_store_n(&port_array[p->id], NULL, __ATOMIC_RELEASE);
	if (!en)
		return;
	unsigned n = en->n;
	en->n = 0;
	publish_lists();
	for (unsigned q = 0; q < n; q++)
		rcu_free_later(en->rxq[q]);
	for (unsigned t = 0; t < POLL_THREADS_MAX; t++)
		rcu_free_later(en->share[t]);
	entries[p->id] = NULL;
	free(en);
	poll_command_all(COMMAND_FORGET_PORT, p->id);
	fragments_forget(p->id);
	poll_port_set_rate(p->id, 0, 0, 0);
}

void poll_cache_flush(void)
{
	poll_command_all(COMMAND_FLUSH, 0);
}

/* ---- threads ---- */

static void destroy_thread(struct poll_thread *t)
{
	if (!t)
		return;
	watch_thread_free(t);
	flow_cache_destroy(t->cache);
	exec_destroy(t->exec);
	resolver_destroy(t->resolver);
	rte_ring_free(t->inject);
	rte_ring_free(t->commands);
	if (t->epoll_fd >= 0)
		close(t->epoll_fd);
	if (t->wake_fd >= 0)
		close(t->wake_fd);
	for (uint32_t p = 0; p < PORT_ID_MAX; p++)
		free(t->miss[p]);
	rcu_free_later(t->rxqs);
	free(t);
}

int poll_start_thread(unsigned idx, uint16_t core, struct err *e)
{
	struct poll_thread *t = NULL;
	char name[32];

	if (posix_memalign((void **)&t, SL_CACHE_LINE, sizeof *t) || !t)
		return err_set(e, ENOMEM, "poll core %u: out of memory", core);
	memset(t, 0, sizeof *t);
	t->idx = idx;
	t->core = core;
	t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	t->epoll_gen = UINT64_MAX; /* nothing is in it yet, not even wake_fd */
	t->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	snprintf(name, sizeof name, "inject%u", idx);
	t->inject = rte_ring_create(name, 1024, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	snprintf(name, sizeof name, "commands%u", idx);
	t->commands =
		rte_ring_create(name, COMMANDS_MAX, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	t->exec = exec_create(idx);
	t->resolver = resolver_create(idx);
	t->rxqs = xzalloc(sizeof *t->rxqs);
	if (flow_cache_create(idx, FLOWS_PER_THREAD, &t->cache) || !t->exec || !t->resolver ||
	    !t->inject || !t->commands || counters_thread_create(idx) ||
	    drop_memory_thread_create(idx)) {
		destroy_thread(t);
		return err_set(e, ENOMEM, "poll core %u: out of memory", core);
	}
	t->exec->packet_in = upcall_packet_in;
	if (record_on()) { /* its secret must be had again in a replay */
		uint64_t key[4];

		for (unsigned i = 0; i < SL_ARRAY_SIZE(key); i++)
			key[i] = hash_bytes((uint32_t[]){idx, i}, 8);
		flow_cache_restart(t->cache, key, (uint32_t)clock_mono_ms());
	}
	watch_thread_join(t);
	poll_thread_at[idx] = t;
	if (record_is_replay())
		return 0; /* replay.c is its loop */
	int rc = pthread_create(&t->pthread, NULL, poll_thread_main, t);
	while (!rc && !__atomic_load_n(&t->started, __ATOMIC_ACQUIRE))
		sched_yield();
	if (!rc && t->failed) {
		pthread_join(t->pthread, NULL);
		rc = EINVAL;
	}
	if (rc) {
		poll_thread_at[idx] = NULL;
		destroy_thread(t);
		return err_set(e, rc, "poll core %u: cannot start a thread there: %s", core,
			       strerror(rc));
	}
	log_info("poll thread on core %u", core);
	return 0;
}

static int start_thread(uint16_t core, struct err *e)
{
	unsigned idx = 0;

	while (idx < POLL_THREADS_MAX && poll_thread_at[idx])
		idx++;
	if (idx == POLL_THREADS_MAX)
		return err_set(e, ENOSPC, "poll cores: at most %d", POLL_THREADS_MAX);
	return poll_start_thread(idx, core, e);
}

static void stop_thread(unsigned idx)
{
	struct poll_thread *t = poll_thread_at[idx];

	__atomic_store_n(&t->stop, true, __ATOMIC_SEQ_CST);
	poll_wake(t);
	if (record_is_replay())
		poll_thread_end(t);
	else
		pthread_join(t->pthread, NULL);
	poll_thread_at[idx] = NULL;
	log_info("no poll thread on core %u any more", t->core);
	destroy_thread(t);
}

void poll_stop(void)
{
	for (unsigned t = 0; t < POLL_THREADS_MAX; t++)
		if (poll_thread_at[t])
			stop_thread(t);
}

int poll_set_cores(const uint16_t *cores, unsigned n, struct err *e)
{
	bool keep[POLL_THREADS_MAX] = {false};

	if (!n)
		return err_set(e, EINVAL, "poll cores: at least one is needed");
	for (unsigned i = 0; i < n; i++)
		if (!record_is_replay() &&
		    (cores[i] >= CPU_SETSIZE || cores[i] >= sysconf(_SC_NPROCESSORS_CONF)))
			return err_set(e, EINVAL, "poll cores: this machine has no core %u",
				       cores[i]);
	for (unsigned i = 0; i < n; i++) {
		int t = thread_of_core(cores[i]);

		if (t < 0) {
			int rc = start_thread(cores[i], e);
			if (rc)
				return rc;
			t = thread_of_core(cores[i]);
		}
		keep[t] = true;
	}
	bool going = false;
	for (uint32_t p = 0; p < PORT_ID_MAX; p++)
		for (unsigned q = 0; entries[p] && q < entries[p]->n; q++)
			if (entries[p]->thread[q] >= 0 && !keep[entries[p]->thread[q]]) {
				entries[p]->thread[q] = -1;
				going = true;
			}
	if (going) {
		publish_lists();
		barrier();
	}
	for (unsigned t = 0; t < POLL_THREADS_MAX; t++)
		if (poll_thread_at[t] && !keep[t])
			stop_thread(t);
	place();
	return 0;
}

unsigned poll_cores(uint16_t *cores, unsigned max)
{
	unsigned n = 0;

	for (unsigned t = 0; t < POLL_THREADS_MAX; t++)
		if (poll_thread_at[t] && n < max)
			cores[n++] = poll_thread_at[t]->core;
	return n;
}

void poll_set_sleep_max_us(uint32_t us)
{
	__atomic_store_n(&poll_sleep_us_shared, us, __ATOMIC_RELAXED);
	for (unsigned t = 0; t < POLL_THREADS_MAX; t++)
		if (poll_thread_at[t])
			poll_wake(poll_thread_at[t]);
}

uint32_t poll_sleep_max_us(void)
{
	return poll_sleep_us_shared;
}

uint16_t poll_n_txq(void)
{
	long cores = sysconf(_SC_NPROCESSORS_CONF);

	return (uint16_t)SL_MIN(SL_MAX(cores, 1L), (long)QUEUES_MAX);
}

/* ---- looking ---- */

unsigned poll_thread_count(void)
{
	unsigned n = 0;

	for (unsigned t = 0; t < POLL_THREADS_MAX; t++)
		n += poll_thread_at[t] != NULL;
	return n;
}

static struct poll_thread *nth(unsigned i)
{
	for (unsigned t = 0; t < POLL_THREADS_MAX; t++)
		if (poll_thread_at[t] && !i--)
			return poll_thread_at[t];
	return NULL;
}

#define LOOK(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)

static uint64_t window_sum(const struct rxq *r)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < TICKS; i++)
		sum += r->window[i];
	return sum;
}

bool poll_thread_info(unsigned i, struct poll_thread_info *out)
{
	struct poll_thread *t = nth(i);

	if (!t)
		return false;
	memset(out, 0, sizeof *out);
	out->core = t->core;
	out->idx = (uint16_t)t->idx;
	out->busy_permille = t->busy_permille;
	out->iterations = LOOK(t->iterations);
	out->sleeps = LOOK(t->sleeps);
	out->sleep_us = LOOK(t->sleep_us);
	out->pkts = LOOK(t->pkts);
	out->cycles_busy = LOOK(t->cycles_busy);
	for (unsigned s = 0; s < STAGE_N; s++)
		out->stage_cycles[s] = LOOK(t->stage_cycles[s]);
	out->megaflows = LOOK(t->cache->n_flows);
	out->masks = LOOK(t->cache->n_masks);
	const struct rxq_list *l = t->rxqs;
	for (unsigned q = 0; q < l->n; q++) {
		const struct rxq *r = l->at[q];

		if (q < POLL_INFO_RXQS)
			out->rxq[q] = (struct poll_rxq_info){
				.port_id = r->port->id,
				.queue = r->q,
				.pinned_core = r->pinned_core,
				.busy_permille = (uint32_t)(window_sum(r) / (poll_tsc_hz / 100)),
				.cycles = LOOK(r->cycles),
				.pkts = LOOK(r->pkts),
			};
	}
	out->n_rxq = l->n;
	return true;
}

/* Would moving the busiest thread's lightest fitting queue to the idlest thread help? */
static void rebalance(uint64_t now_ms)
{
	uint64_t load[POLL_THREADS_MAX] = {0}, most = 0, least = UINT64_MAX;
	int from = -1, to = -1, move_q = -1;
	struct entry *move = NULL;
	uint64_t best = UINT64_MAX;

	if (now_ms - last_rebalance_ms < REBALANCE_EVERY_MS || poll_thread_count() < 2)
		return;
	for (uint32_t p = 0; p < PORT_ID_MAX; p++)
		for (unsigned q = 0; entries[p] && q < entries[p]->n; q++)
			if (entries[p]->thread[q] >= 0)
				load[entries[p]->thread[q]] += window_sum(entries[p]->rxq[q]);
	for (int t = 0; t < POLL_THREADS_MAX; t++) {
		if (!poll_thread_at[t])
			continue;
		if (load[t] >= most) {
			most = load[t];
			from = t;
		}
		if (load[t] < least) {
			least = load[t];
			to = t;
		}
	}
	last_rebalance_ms = now_ms;
	/* Only when somebody is short of time at all. */
	if (from < 0 || to < 0 || from == to || most < poll_tsc_hz * 5)
		return;
	for (uint32_t p = 0; p < PORT_ID_MAX; p++)
		for (unsigned q = 0; entries[p] && q < entries[p]->n; q++) {
			struct entry *en = entries[p];
			uint64_t w = window_sum(en->rxq[q]);
			uint64_t after = SL_MAX(most - w, least + w);

			if (en->thread[q] == from && en->pin[q] == UINT16_MAX && after < best) {
				best = after;
				move = en;
				move_q = (int)q;
			}
		}
	if (!move || best * 100 > most * (100 - REBALANCE_GAIN_PCT))
		return;
	log_info("queue %d of port %s moves from core %u to core %u", move_q, move->port->name,
		 poll_thread_at[from]->core, poll_thread_at[to]->core);
	move->thread[move_q] = -1;
	publish_lists();
	barrier();
	give(move, (unsigned)move_q, to);
	publish_lists();
}

void poll_tick(uint64_t now_ms)
{
	unsigned slot = (unsigned)(now_ms / 1000 % TICKS);

	if (now_ms - last_tick_ms < 900)
		return;
	last_tick_ms = now_ms;
	for (unsigned i = 0; i < POLL_THREADS_MAX; i++) {
		struct poll_thread *t = poll_thread_at[i];

		if (!t)
			continue;
		uint64_t busy = LOOK(t->cycles_busy), total = LOOK(t->cycles_total);
		uint64_t d_busy = busy - t->seen_busy, d_total = total - t->seen_total;
		uint32_t now = d_total ? (uint32_t)(d_busy * 1000 / d_total) : 0;

		t->busy_permille = (t->busy_permille * (TICKS - 1) + SL_MIN(now, 1000u)) / TICKS;
		t->seen_busy = busy;
		t->seen_total = total;
	}
	for (uint32_t p = 0; p < PORT_ID_MAX; p++)
		for (unsigned q = 0; entries[p] && q < entries[p]->n; q++) {
			struct rxq *r = entries[p]->rxq[q];
			uint64_t c = LOOK(r->cycles);

			r->window[slot] = c - r->seen_cycles;
			r->seen_cycles = c;
		}
	rebalance(now_ms);
}

struct dump {
	void (*fn)(const struct poll_megaflow *mf, void *aux);
	void *aux;
	unsigned thread;
	struct str text;
	uint64_t now_ms;
};

static void dump_one(const struct megaflow *mf, const struct minimatch *match,
		     const struct program *prog, void *aux)
{
	struct dump *d = aux;
	struct poll_megaflow out = {
		.thread = d->thread,
		.core = poll_thread_at[d->thread]->core,
		.match = match,
		.pkts = mf->pkts,
		.bytes = mf->bytes,
		.used_ms = d->now_ms - (uint32_t)((uint32_t)d->now_ms - mf->used_ms),
		.version = mf->version,
		.tcp_flags = mf->tcp_flags,
		.n_credits = mf->info->n_targets,
		.credits = mf->info->target,
	};
	/* Line 0 is in every megaflow's mask, for in_port. */
	uint8_t ip_proto = match->data[0][offsetof(struct flow_key, ip_proto)];

	memcpy(&out.port_id, mf->key, sizeof out.port_id);
	str_clear(&d->text);
	program_format(prog, ip_proto, &d->text);
	out.program = str_cstr(&d->text);
	d->fn(&out, d->aux);
}

void poll_megaflow_dump(void (*fn)(const struct poll_megaflow *mf, void *aux), void *aux)
{
	struct dump d = {.fn = fn, .aux = aux, .now_ms = clock_mono_ms()};

	for (unsigned t = 0; t < POLL_THREADS_MAX; t++)
		if (poll_thread_at[t]) {
			d.thread = t;
			flow_cache_dump(poll_thread_at[t]->cache, dump_one, &d);
		}
	str_free(&d.text);
}

void poll_credit_collect(void)
{
	uint64_t now_ms = clock_mono_ms();

	if (record_is_live())
		record_simple(REC_COLLECT);
	for (unsigned t = 0; t < POLL_THREADS_MAX; t++)
		if (poll_thread_at[t])
			flow_cache_collect(poll_thread_at[t]->cache, now_ms);
}

void poll_upkeep(uint64_t now_ms)
{
	for (unsigned t = 0; t < POLL_THREADS_MAX; t++)
		if (poll_thread_at[t]) {
			flow_cache_drain(poll_thread_at[t]->cache, now_ms);
			flow_cache_prepare(poll_thread_at[t]->cache);
		}
}

uint64_t poll_held(uint32_t port_id)
{
	uint64_t n = fragments_held(port_id);

	for (unsigned t = 0; t < POLL_THREADS_MAX; t++)
		if (poll_thread_at[t])
			n += miss_held(poll_thread_at[t], port_id) +
			     exec_held(poll_thread_at[t]->exec, port_id);
	return n;
}
