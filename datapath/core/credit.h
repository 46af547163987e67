/* SPDX-License-Identifier: BSD-3-Clause */
/* Who gets the packet counts of a cached flow: rules, group buckets, MAC entries embed a
 * credit_target. Poll threads count per cache entry only; the main thread distributes.
 * The target's memory lives until its last reference goes (an entry's retirement, the table's own).
 */
#pragma once
#include "datapath/base/util.h"

struct credit_target {
	uint64_t pkts, bytes; /* W: main  R: any, relaxed */
	uint64_t used_ms;     /* clock_mono_ms() of the last packet; 0 never  W: main, creator */
	uint32_t refs;        /* atomic */
	uint16_t tcp_flags;   /* OR of what was seen  W: main */
	uint16_t pad;
	void (*free)(
		struct credit_target *t); /* main thread, after refs reached 0 and a grace period */
};

void credit_init(struct credit_target *t, void (*free_fn)(struct credit_target *));
void credit_get(struct credit_target *t); /* any thread */
void credit_put(struct credit_target *t); /* any thread; the last one defers free to main */
void credit_add(struct credit_target *t, uint64_t pkts, uint64_t bytes, uint64_t used_ms,
		uint16_t tcp_flags); /* main */
