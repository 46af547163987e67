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

void rcu_synchronize(void)
{
	if (qsbr)
		rte_rcu_qsbr_synchronize(qsbr, RTE_QSBR_THRID_INVALID);
}
