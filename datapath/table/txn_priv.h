/* SPDX-License-Identifier: BSD-3-Clause */
/* What tables_run() needs of the transaction code. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TXN_BACKLOG = 1 << 19 };

/* How many of `waiting` things are done in one run: after a million rules went, clients must not
 * wait for all of them (2 to 3 us each). A share of them, and all above TXN_BACKLOG, so that steady
 * changes cannot pile up. Counted, not timed, because a replay must take the same. */
static inline size_t txn_slice(size_t waiting)
{
	size_t n = waiting / 64 > 512 ? waiting / 64 : 512;

	if (waiting > TXN_BACKLOG && n < waiting - TXN_BACKLOG)
		n = waiting - TXN_BACKLOG;
	return n < waiting ? n : waiting;
}

/* Main thread, takes the version lock: hands what waits to rcu_defer(), a slice of it, and nothing
 * that an event after the first `told` may speak of. True: there is more. */
bool txn_reclaim(uint64_t told);
/* Main thread, holding the version lock: delivers a slice of the queued events. Returns how many
 * were delivered ever. */
uint64_t table_events_deliver(void);
/* Under the version lock: how many events were queued ever. */
uint64_t table_events_end(void);
