/* SPDX-License-Identifier: BSD-3-Clause */
/* The queue of deferred calls has one lock; nobody takes it per packet. Tokens are taken at defer
 * time, so calls are due in order and rcu_run() stops at the first that is not. */
#include "datapath/core/rcu.h"

#include <pthread.h>
#include <stdlib.h>

#include <rte_rcu_qsbr.h>

#include "datapath/core/limits.h"

struct deferred {
	struct deferred *next;
	void (*fn)(void *);
	void *p;
	uint64_t token;
};

static struct rte_rcu_qsbr *qsbr;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct deferred *first, **last = &first;

void rcu_init(void)
{
	size_t size = rte_rcu_qsbr_get_memsize(POLL_THREADS_MAX);

	if (qsbr)
		return;
	if (posix_memalign((void **)&qsbr, SL_CACHE_LINE, size))
		abort();
	rte_rcu_qsbr_init(qsbr, POLL_THREADS_MAX);
	for (unsigned i = 0; i < POLL_THREADS_MAX; i++)
		rte_rcu_qsbr_thread_register(qsbr, i);
}

void rcu_thread_online(unsigned idx)
{
	rte_rcu_qsbr_thread_online(qsbr, idx);
}

void rcu_thread_offline(unsigned idx)
{
	rte_rcu_qsbr_thread_offline(qsbr, idx);
}

void rcu_quiescent(unsigned idx)
{
	rte_rcu_qsbr_quiescent(qsbr, idx);
}

/* ---- moments ---- */
static uint64_t main_round; /* odd: the main thread is inside; W: main  R: any */

void rcu_main_enter(void)
{
	__atomic_store_n(&main_round, main_round | 1, __ATOMIC_RELAXED);
	/* Either it sees what was unlinked, or who unlinks sees that it is inside. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void rcu_main_leave(void)
{
	__atomic_store_n(&main_round, (main_round | 1) + 1, __ATOMIC_RELEASE);
}

struct rcu_moment rcu_now(void)
{
	struct rcu_moment m = {0, 0};

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	m.round = __atomic_load_n(&main_round, __ATOMIC_RELAXED);
	if (qsbr)
		m.token = rte_rcu_qsbr_start(qsbr);
	return m;
}

bool rcu_has_passed(const struct rcu_moment *m)
{
	if (m->round & 1 && m->round == __atomic_load_n(&main_round, __ATOMIC_ACQUIRE))
		return false;
	return !qsbr || rte_rcu_qsbr_check(qsbr, m->token, false) == 1;
}

void rcu_defer(void (*fn)(void *), void *p)
{
	struct deferred *d;

	if (!qsbr) { /* unit tests without threads */
		fn(p);
		return;
	}
	d = xmalloc(sizeof *d);
	*d = (struct deferred){.fn = fn, .p = p};
	pthread_mutex_lock(&mutex);
	d->token = rte_rcu_qsbr_start(qsbr);
	*last = d;
	last = &d->next;
	pthread_mutex_unlock(&mutex);
}

/* ---- noted calls ---- */

struct call {
	struct call *next;
	void (*fn)(void *);
	void *p;
};
static enum { CALLS_FREE, CALLS_COUNTED, CALLS_HELD } calls; /* W: main  R: any */
static uint64_t n_called;                                    /* main */
static struct call *held, **held_last = &held;               /* main: a replay has one thread */

static void call_counted(void *p)
{
	struct call *c = p;

	n_called++;
	c->fn(c->p);
	free(c);
}

void rcu_defer_noted(void (*fn)(void *), void *p)
{
	struct call *c;

	if (calls == CALLS_FREE) {
		rcu_defer(fn, p);
		return;
	}
	c = xmalloc(sizeof *c);
	*c = (struct call){.fn = fn, .p = p};
	if (calls == CALLS_COUNTED) {
		rcu_defer(call_counted, c);
		return;
	}
	*held_last = c;
	held_last = &c->next;
}

bool rcu_calls_are_noted(void)
{
	return calls != CALLS_FREE;
}

void rcu_note_calls(bool on)
{
	calls = on ? CALLS_COUNTED : CALLS_FREE;
	n_called = 0;
}

uint64_t rcu_take_calls(void)
{
	uint64_t n = n_called;

	n_called = 0;
	return n;
}

void rcu_hold_calls(void)
{
	calls = CALLS_HELD;
}

void rcu_run_held(uint64_t n)
{
	for (; n && held; n--) {
		struct call *c = held;

		held = c->next;
		if (!held)
			held_last = &held;
		call_counted(c);
	}
}

void rcu_free_later(void *p)
{
	if (p)
		rcu_defer(free, p);
}

unsigned rcu_run(unsigned max_calls)
{
	unsigned n = 0;

	while (qsbr && n < max_calls) {
		pthread_mutex_lock(&mutex);
		struct deferred *d = first;
		if (d && rte_rcu_qsbr_check(qsbr, d->token, false) == 1) {
			first = d->next;
			if (!first)
				last = &first;
		} else {
			d = NULL;
		}
		pthread_mutex_unlock(&mutex);
		if (!d)
			break;
		d->fn(d->p);
		free(d);
		n++;
	}
	return n;
}

bool rcu_is_idle(void)
{
	pthread_mutex_lock(&mutex);
	bool idle = !first;
	pthread_mutex_unlock(&mutex);
	return idle;
}

void rcu_synchronize(void)
{
	if (qsbr)
		rte_rcu_qsbr_synchronize(qsbr, RTE_QSBR_THRID_INVALID);
}
