/* SPDX-License-Identifier: BSD-3-Clause */
/* What tables_run() needs of the transaction code. */
#pragma once

/* Main thread, takes the version lock: hands what waits to rcu_defer(). */
void txn_reclaim(void);
/* Main thread, holding the version lock: delivers queued events. */
void table_events_deliver(void);
