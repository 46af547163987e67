/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory of connections and of the table's buckets. It is cut from blocks of 2 MB that the main
 * thread has put in place and that the kernel may back with huge pages: connections lie all over
 * memory, and a look-up that also misses the TLB twice costs several times as much.
 *
 * Connections come in chunks of CONN_CHUNK. A thread has one chunk (or as many used ones) in hand
 * and takes from it without a lock, in the order in which they lie, so that it writes to lines that
 * have just been cleared or fetched. What is unlinked waits in the same handfuls until no thread
 * can hold it; the next thread that needs some takes the oldest, so that no flood waits for the
 * main thread. When nothing may be used again yet, memory grows up to ct_limits_existing_max(), and
 * what waits counts against the port it came by (ct_limits.h).
 */
#pragma once
#include "datapath/conntrack/conn_table.h"

struct ct_conn *conn_memory_take(void);     /* any thread; NULL: no memory */
void conn_memory_untake(struct ct_conn *c); /* the same thread, right after: not used */
void conn_memory_retire(struct ct_conn *c); /* any thread: unlinked, nobody finds it any more */
void conn_memory_leave(void);               /* a thread that ends: gives back what it has in hand */
void conn_memory_collect(
	void); /* any thread: a few of those that waited are free, if they may be */
void *conn_memory_buckets(size_t bytes); /* any thread; whole lines, not cleared; or NULL */
void conn_memory_prepare(void);          /* main */
uint64_t conn_memory_bytes(void);
/* Chunk i of those that exist; NULL: there are no more. Main. */
struct ct_conn *conn_memory_chunk(uint32_t i);
