/* SPDX-License-Identifier: BSD-3-Clause */
/* What tables_run() needs of the transaction code. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TXN_BACKLOG = 1 << 21, TXN_ARRIVED_MAX = 4096, TXN_SLICE_US = 25, TXN_CHUNK = 32 };

/* How much of what waits is done in one run: after a million rules went, clients must not wait for
 * all of them (2 to 3 us each). What came since the last run, if that is not very much, and all
 * above TXN_BACKLOG, so that steady changes cannot pile up; beyond, for TXN_SLICE_US. While
 * something is recorded or replayed it is counted, not timed, because a replay must take the same.
 */
struct txn_slice {
	size_t left;        /* after the last run */
	size_t least, most; /* of this one */
	uint64_t until_us;
};
void txn_slice_begin(struct txn_slice *s, size_t waiting);
/* How many to do next, having done `done`: 0 when it is enough. */
size_t txn_slice_next(const struct txn_slice *s, size_t done);
static inline void txn_slice_end(struct txn_slice *s, size_t waiting)
{
	s->left = waiting;
}

/* Main thread, takes the version lock: hands what waits to rcu_defer(), a slice of it, and nothing
 * that an event after the first `told` may speak of. True: there is more. */
bool txn_reclaim(uint64_t told);
/* Main thread, holding the version lock: delivers a slice of the queued events. Returns how many
 * were delivered ever. */
uint64_t table_events_deliver(void);
/* Under the version lock: how many events were queued ever. */
uint64_t table_events_end(void);
