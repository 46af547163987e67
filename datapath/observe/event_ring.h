/* SPDX-License-Identifier: BSD-3-Clause */
/* A ring of variable-sized records between one poll thread and the main thread. Neither waits: what
 * does not fit is refused, and the writer counts it.
 *
 * Invariants: tail <= head, head - tail <= EVENT_RING_BYTES, both multiples of 8; a record never
 * wraps: what is left at the end is one record of kind 0. */
#pragma once
#include "datapath/base/util.h"

enum { EVENT_RING_BYTES = 4 << 20 };

struct event_ring {
	uint64_t head SL_CACHE_ALIGNED; /* bytes ever written  W: poll thread  R: main (acquire) */
	uint64_t tail_seen;             /* W: poll thread */
	uint64_t reserved;              /* of the record being written  W: poll thread */
	uint64_t tail SL_CACHE_ALIGNED; /* bytes ever read  W: main (release)  R: poll thread */
	uint8_t data[EVENT_RING_BYTES] SL_CACHE_ALIGNED;
};

struct event_head {     /* of every record */
	uint32_t bytes; /* of the record, with this */
	uint8_t kind;   /* 0: padding */
	uint8_t pad[3];
};

struct event_ring *event_ring_create(void); /* NULL without memory */
void event_ring_destroy(struct event_ring *r);
/* Poll thread: room for a record of `bytes` (rounded up to 8), or NULL. `spare`: bytes that must
 * stay free behind it. The head is filled in; event_ring_commit() shows it. */
void *event_ring_reserve(struct event_ring *r, uint8_t kind, uint32_t bytes, uint32_t spare);
void event_ring_commit(struct event_ring *r);
/* Main: the oldest record, NULL when there is none; event_ring_next() lets go of it. */
const struct event_head *event_ring_peek(struct event_ring *r);
void event_ring_next(struct event_ring *r);
