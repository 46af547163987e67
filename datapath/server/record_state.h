/* SPDX-License-Identifier: BSD-3-Clause */
/* What a switch is at the moment a recording begins, as START events, and the switch that a replay
 * makes of them: the transactions that would build it, then what no transaction says (numbers,
 * times, learnt addresses, connections, packets that wait). Main thread.
 *
 * Not in it: entries of the flow cache (it is emptied when a recording begins), how far meters and
 * rate limits are filled (their bursts begin anew), what a control connection has announced
 * (ct_expect.h), and first fragments whose others are still to come. */
#pragma once
#include "datapath/observe/recording.h"

struct err;

/* In the main thread's first slot, with all poll threads at rest. */
void record_state_begin(void); /* … everything that is not in it is put back to its beginning */
void record_state_put(void);   /* BEGIN to READY */

/* Takes START events one after the other. -errno with a text; in->at says where. */
int replay_state_event(struct rec_in *in, struct err *e);
/* Before anything else is started: BEGIN. */
struct replay_begin {
	char program[64];
	uint64_t mono_ns, wall_ms, hash_key[2], last_port_id, policy_generation, last_frozen_id;
};
void replay_state_read_begin(struct rec_in *in, struct replay_begin *out);
void replay_state_free(void);

/* POLICY_SET operations that were applied last, kept for recordings. */
struct attrs;
void record_state_policy(struct attrs op, bool first);
void record_state_policy_rolled_back(void);
