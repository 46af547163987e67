/* SPDX-License-Identifier: BSD-3-Clause */
/* The ring of a recording: parts, each of which begins with what the switch is, so that the oldest
 * can be thrown away for the newest and what is kept can be played. One recording at a time; when
 *it has been stopped it is kept until the next one begins. Main thread.
 *
 * Invariants, with `room` as it was asked for:
 *	bytes of the parts that ended + what the part in work may become <= room
 *	a part's limit = max(room / 4, 2 * state), <= room / 2: two parts are always kept when there
 *were as many the next part begins behind half of what the state leaves of the limit */
#pragma once
#include "datapath/base/util.h"

struct err;

struct record_ring_info {
	const char *state;     /* none, recording, full, stopped */
	uint64_t bytes;        /* of the file */
	uint64_t pkts;         /* in it */
	uint64_t lost_pkts;    /* came between the first and the last, and are not in it */
	uint64_t evicted_pkts; /* were in it and made room */
	uint64_t hash;         /* of all results, part for part */
};

#define RECORD_ROOM_MIN (1u << 16)
#define RECORD_ROOM_MAX (16ull << 30)

/* -EBUSY: there is one; -EAGAIN: something is on its way, try again soon; -ERANGE; -ENOSPC: what
 * the switch is does not fit. */
int record_ring_start(uint64_t room, struct err *e);
void record_ring_stop(void); /* of one that is under way */
bool record_ring_is_live(void);
/* At the end of a round of the main loop, in its slot: begins another part when it is time. */
void record_ring_turn(void);
void record_ring_info(struct record_ring_info *out);

/* Readers of the file, which keep it from being replaced; there must be one that was stopped. */
bool record_ring_open(void);
void record_ring_close(void);
/* The i-th piece of the file; NULL: there are no more. */
const void *record_ring_piece(size_t i, size_t *len);
