/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/core/counters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/core/thread.h"

/* W: main (release)  R: the thread itself, and readers that sum. A thread's blocks outlive the
 * thread: what it counted stays counted. */
static struct port_counters *blocks[THREADS_ALL][PORT_ID_MAX];
static bool thread_used[THREADS_ALL] = {[THREAD_MAIN] = true};
static bool port_used[PORT_ID_MAX];

struct port_counters *counters_of(unsigned t, uint32_t port_id)
{
	return __atomic_load_n(&blocks[t][port_id], __ATOMIC_ACQUIRE);
}

static int ensure(unsigned t, uint32_t port_id)
{
	struct port_counters *c;

	if (blocks[t][port_id])
		return 0;
	if (posix_memalign((void **)&c, SL_CACHE_LINE, sizeof *c))
		return -ENOMEM;
	memset(c, 0, sizeof *c);
	__atomic_store_n(&blocks[t][port_id], c, __ATOMIC_RELEASE);
	return 0;
}

int counters_port_create(uint32_t port_id)
{
	for (unsigned t = 0; t < THREADS_ALL; t++)
		if (thread_used[t] && ensure(t, port_id)) {
			counters_port_destroy(port_id);
			return -ENOMEM;
		}
	port_used[port_id] = true;
	return 0;
}

void counters_port_destroy(uint32_t port_id)
{
	port_used[port_id] = false;
	for (unsigned t = 0; t < THREADS_ALL; t++) {
		free(blocks[t][port_id]);
		blocks[t][port_id] = NULL;
	}
}

int counters_thread_create(unsigned t)
{
	thread_used[t] = true;
	for (uint32_t p = 0; p < PORT_ID_MAX; p++)
		if (port_used[p] && ensure(t, p))
			return -ENOMEM;
	return 0;
}

void counters_sum(uint32_t port_id, struct port_counters *out)
{
	enum { WORDS = sizeof *out / sizeof(uint64_t) };
	uint64_t *sum = (uint64_t *)out;

	memset(out, 0, sizeof *out);
	for (unsigned t = 0; t < THREADS_ALL; t++) {
		const uint64_t *c = (const uint64_t *)counters_of(t, port_id);

		for (unsigned i = 0; c && i < WORDS; i++)
			sum[i] += __atomic_load_n(&c[i], __ATOMIC_RELAXED);
	}
}
