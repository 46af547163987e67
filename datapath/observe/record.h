/* SPDX-License-Identifier: BSD-3-Clause */
/* Recording and replaying: the calls that the datapath's code makes at the places where something
 * comes in that it cannot know (packets, time, devices, messages), and where something comes of it.
 *
 * While recording, what a thread does between two points at which it holds nothing (an iteration of
 * a poll thread, a round of the main thread's loop) is a *slot*, done under one lock, so that there
 * is one order of slots; time stands still within a slot. While replaying there is one thread. Off,
 * each call is one compare and one branch.
 *
 * Invariant: everything below "in a slot" is called by the thread that holds the order lock. */
#pragma once
#include "datapath/base/vec.h"
#include "datapath/core/drop.h"
#include "datapath/core/limits.h"
#include "datapath/observe/recording.h"

struct rte_mbuf;

enum record_mode { RECORD_OFF, RECORD_LIVE, RECORD_REPLAY };
extern uint32_t record_mode; /* W: main, holding the order lock  R: any, relaxed */
static inline bool record_on(void)
{
	return __builtin_expect(__atomic_load_n(&record_mode, __ATOMIC_RELAXED) != RECORD_OFF, 0);
}
static inline bool record_is_live(void)
{
	return __builtin_expect(__atomic_load_n(&record_mode, __ATOMIC_RELAXED) == RECORD_LIVE, 0);
}
static inline bool record_is_replay(void)
{
	return __builtin_expect(__atomic_load_n(&record_mode, __ATOMIC_RELAXED) == RECORD_REPLAY,
				0);
}

enum { RECORD_MAIN = POLL_THREADS_MAX }; /* the main thread's number in SLOT */
enum { RECORD_CONTROLLER = UINT16_MAX }; /* the port number in OUT of what controllers got */

/* ---- the frame of slots ---- */
/* Poll thread, at rest (version_idle()): waits for its turn. False: there is no recording, or *stop
 * was set meanwhile; then there is no slot and no record_leave(). */
bool record_enter(unsigned thread_idx, const bool *stop);
void record_leave(void);
/* Main thread, around a round of its loop; what begins or ends a recording is within one. */
void record_main_begin(void);
void record_main_end(void);
bool record_main_has_slot(void); /* main thread; always true in a replay */

/* Main thread, in its slot or, for the first, in a round without one. `limit`: bytes of the file.
 */
void record_start(size_t limit);
/* Another part begins, which knows nothing of the one before: in the main thread's slot. The part
 * before is the caller's then, still open. */
struct record_totals {
	uint64_t hash, slots, pkts, lost_pkts; /* of the part */
};
struct recording *record_turn(size_t limit, struct record_totals *before);
/* Ends it; the part is the caller's then, still open. */
struct recording *record_stop(void);
/* CLOSE, or PART when another one follows. */
void record_close(struct recording *part, const struct record_totals *t, bool follows,
		  uint64_t evicted_pkts);
/* Of the recording under way; NULL: none. */
struct recording *record_file(void);
const struct record_totals *record_totals(void);
/* The hash of several parts: begins with 0 and the first part's. */
static inline uint64_t record_hash_part(uint64_t sum, unsigned part, uint64_t hash)
{
	return part ? (sum ^ hash) * 0x9e3779b97f4a7c15ull + (sum >> 29) : hash;
}
/* The room is full, and packets are not recorded any more. */
bool record_is_full(void);

/* ---- in a slot: what comes in ---- */
/* NULL: not recording, or no room. Else the body is put, and record_end() called. */
struct recording *record_begin(enum recording_event type);
void record_end(void);
void record_simple(enum recording_event type); /* without a body */
void record_open(void); /* the slot did something, even if nothing else says so */
void record_number(enum recording_event type, uint64_t v);
void record_rx(uint32_t port_id, struct rte_mbuf *const *pkts, unsigned n);
void record_packet(struct recording *r, const struct rte_mbuf *m);
/* Is the time left over? Live: the answer, remembered. Replay: the answer of then. */
bool record_is_over(bool over);
/* A device took `taken` of n packets. Replay: how many it took then. */
unsigned record_sending(unsigned n); /* replay only */
void record_sent(unsigned taken, unsigned n);
struct record_port_state {
	uint32_t tx_state, max_frame, tx_offloads;
};
void record_port_state(uint32_t port_id, const struct record_port_state *s);

/* ---- in a slot: what comes of it ---- */
void record_out(uint32_t port_id, struct rte_mbuf *const *pkts, unsigned n);
void record_drop(uint32_t port_id, enum drop_reason why, unsigned n);
void record_miss(uint32_t port_id, bool cached, uint64_t hash);
void record_cache(unsigned thread_idx, uint32_t flows, uint32_t masks, uint64_t evicted);

/* ---- replay: one thread, which plays all ---- */
struct record_result {
	enum recording_event kind;
	uint64_t v[4];
};
struct record_answer { /* CUT, SHORT: which question, what was answered */
	uint64_t at, value;
};
struct record_play { /* the slot that is being played */
	VEC(struct record_answer) cuts, shorts;
	VEC(struct record_result) results; /* what came of it now */
	uint64_t hash;                     /* of all results of all slots */
	uint64_t pkts;                     /* RX so far; the player counts */
	void (*output)(void *aux, uint32_t port_id, const struct rte_mbuf *m); /* NULL: nobody */
	void *aux;
};
/* From now on the process replays; NULL: no more. */
void record_play(struct record_play *p);
void record_play_slot(void); /* the next one begins; answers and results are the player's to clear
			      */
/* A packet as record_packet() put it. NULL: damaged (in->bad), or no buffer. */
struct rte_mbuf *record_read_packet(struct rec_in *in);
/* What a RESULT event says. */
void record_read_result(struct rec_in *in, struct record_result *out);
uint64_t record_hash(uint64_t hash, const struct record_result *r);
