/* SPDX-License-Identifier: BSD-3-Clause */
/* What a replay has found out, and how it is told. */
#pragma once
#include "datapath/observe/record.h"

enum { REPLAY_DIFFERENCES = 100, REPLAY_TEXT_BYTES = 120 };

struct replay_difference {
	uint64_t slot, at_ns;
	unsigned thread;
	size_t byte; /* of the slot in the file */
	char then[REPLAY_TEXT_BYTES], now[REPLAY_TEXT_BYTES];
};

struct replay_outcome {
	uint64_t begin_ns, n_slots, n_pkts, n_changes, n_out, n_drops, n_misses;
	unsigned n_threads;
	bool stopped; /* by --until */
	uint64_t hash;
	/* CLOSE */
	bool closed, full;
	uint64_t then_hash, then_slots, then_pkts, lost_pkts, evicted_pkts;
	unsigned n_parts, n_parts_different;
	uint64_t n_differences;
	struct replay_difference difference[REPLAY_DIFFERENCES];
	unsigned n_runs, n_runs_different;
};

void replay_read_close(struct rec_in *in, struct replay_outcome *out);
void replay_count(const struct record_result *r, struct replay_outcome *out); /* NULL: nothing */
void replay_describe(const struct record_result *r, char *to, size_t size);   /* NULL: nothing */
/* The next part's outcome to that of those before it. */
void replay_add(struct replay_outcome *sum, const struct replay_outcome *part);
bool replay_is_equal(const struct replay_outcome *o);
void replay_print(const char *file, const struct replay_outcome *o, bool json);
