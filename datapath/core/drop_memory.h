/* SPDX-License-Identifier: BSD-3-Clause */
/* The last packets that were dropped, with the reason: what `sluice why` and `sluice drops --last`
 * tell. One memory per poll thread, written by that thread when it drops and at no other time, read
 * by the main thread without stopping it. Nothing is decided by what is in here.
 *
 * A *kind* is a port and a reason. Each kind has places of its own, in chunks; when all chunks are
 * in use, a kind that has more than its share gives the oldest one away, so a flood of one kind
 * only pushes itself out, and a packet that was lost once an hour stays. Of one kind at most
 * DROPS_PER_MS are written in a millisecond, of a thread DROPS_PER_MS_ALL and one of each kind.
 *
 * Invariants: every chunk is in one kind's list or in the free list; a kind's places but those of
 * its newest chunk from `used` on hold packets of its own. */
#pragma once
#include "datapath/core/drop.h"
#include "datapath/core/limits.h"
#include "datapath/core/origin.h"

struct rte_mbuf;

enum {
	DROP_MEMORY_PACKETS = 8192, /* of a thread: 1.5 MB, touched when used */
	DROP_MEMORY_CHUNK = 32,
	DROP_MEMORY_CHUNKS = DROP_MEMORY_PACKETS / DROP_MEMORY_CHUNK,
	DROP_MEMORY_BYTES = 128, /* of a packet's front */
	DROPS_PER_MS = 16,
	DROPS_PER_MS_ALL = 128,
};

struct dropped_packet {
	uint32_t seq; /* odd: being written; 0: never was  W: thread (release)  R: main */
	uint32_t pkt_len;
	uint64_t tsc;                /* when */
	struct packet_origin origin; /* of the rule; bridge 0: no rule had a part in it */
	uint32_t port_id;            /* whose counter has it */
	uint32_t from_port;          /* by which it had come */
	uint32_t policy_slot;        /* of the policy rule that refused it, plus 1; 0: none did */
	uint32_t count;              /* so many at once: more than 1 only without bytes */
	uint16_t reason;             /* enum drop_reason */
	uint8_t cap_len;             /* 0: it was lost before there was a packet */
	uint8_t pad[9];
	uint8_t bytes[DROP_MEMORY_BYTES]; /* as it was when it was dropped */
};

struct drop_note {
	enum drop_reason why;
	uint32_t port_id, from_port, policy_slot;
	const struct packet_origin *origin; /* NULL: none */
	const struct rte_mbuf *packet;      /* NULL: there was none yet … */
	uint32_t count, pkt_len;            /* … then how many, and their bytes in all */
};

/* Main, before the thread starts; the memory outlives the thread. -ENOMEM. */
int drop_memory_thread_create(unsigned thread_idx);
/* The thread itself; nothing when it has no memory. */
void drop_memory_note(unsigned thread_idx, const struct drop_note *n);
void drop_memory_tick(unsigned thread_idx); /* a millisecond has passed */
/* Main: place i (< DROP_MEMORY_PACKETS) of a thread. False: nothing is there, or it was just being
 * written. */
bool drop_memory_read(unsigned thread_idx, unsigned i, struct dropped_packet *out);
void drop_memory_check_invariants(unsigned thread_idx); /* tests */
