/* SPDX-License-Identifier: BSD-3-Clause */
/* From poll threads to main: decisions of rules that are logged. A ring per thread; what does not
 * fit is counted, so that traffic cannot make anybody wait or grow. Invariant: tail - head <=
 * LOG_ENTRIES. */
#include <stdlib.h>

#include "datapath/policy/policy_edge.h"

enum { LOG_ENTRIES = 256 };

struct log_ring {
	uint32_t head;                  /* W: main (release)  R: thread (acquire) */
	uint32_t tail SL_CACHE_ALIGNED; /* W: thread (release)  R: main (acquire) */
	uint64_t missed;                /* W: thread  R: main, relaxed */
	struct policy_log_entry at[LOG_ENTRIES];
};

static struct log_ring *rings[THREADS_ALL]; /* W: thread (release), once */
static uint64_t told_missed;
static unsigned next_thread;

void policy_log_put(unsigned thread_idx, const struct policy_log_entry *e)
{
	struct log_ring *r = rings[thread_idx];

	if (!r) {
		if (posix_memalign((void **)&r, SL_CACHE_LINE, sizeof *r))
			return;
		*r = (struct log_ring){0};
		__atomic_store_n(&rings[thread_idx], r, __ATOMIC_RELEASE);
	}
	if (r->tail - __atomic_load_n(&r->head, __ATOMIC_ACQUIRE) == LOG_ENTRIES) {
		counter_add(&r->missed, 1);
		return;
	}
	r->at[r->tail % LOG_ENTRIES] = *e;
	__atomic_store_n(&r->tail, r->tail + 1, __ATOMIC_RELEASE);
}

bool policy_log_take(struct policy_log_entry *out, uint64_t *missed)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < THREADS_ALL; i++) {
		unsigned t = (next_thread + i) % THREADS_ALL;
		struct log_ring *r = __atomic_load_n(&rings[t], __ATOMIC_ACQUIRE);

		if (!r || r->head == __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE))
			continue;
		*out = r->at[r->head % LOG_ENTRIES];
		__atomic_store_n(&r->head, r->head + 1, __ATOMIC_RELEASE);
		next_thread = t + 1;
		for (unsigned k = 0; k < THREADS_ALL; k++) {
			r = __atomic_load_n(&rings[k], __ATOMIC_ACQUIRE);
			total += r ? __atomic_load_n(&r->missed, __ATOMIC_RELAXED) : 0;
		}
		*missed = total - told_missed;
		told_missed = total;
		return true;
	}
	return false;
}
