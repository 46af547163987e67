/* SPDX-License-Identifier: BSD-3-Clause */
/* Counters by the name of what decided: rules of the file and the built-in decisions. A name has a
 * slot number, which connections carry in their mark; it keeps its slot and counts when the policy
 * is replaced by another one that has the name too.
 *
 * Slots are taken and given back by the main thread. Each poll thread counts in blocks of its own,
 * which it allocates when it first needs one; readers sum. */
#pragma once
#include "datapath/core/counters.h"
#include "datapath/core/drop.h"
#include "datapath/core/thread.h"

enum policy_slot_id {
	POLICY_SLOT_NONE,
#define BUILTIN(id, ...) POLICY_SLOT_##id,
#include "datapath/policy/policy_builtins.def"
#undef BUILTIN
	POLICY_SLOT_RULES, /* the first that a rule may have */
};
enum { POLICY_SLOTS_MAX = 1 << 18, POLICY_SLOT_CHUNK = 1024 };

struct policy_builtin_info {
	const char *name;
	uint8_t drop; /* enum drop_reason; DROP_NONE: it allows */
};
extern const struct policy_builtin_info policy_builtins[POLICY_SLOT_RULES];

struct policy_hit { /* W: one thread  R: any, relaxed */
	uint64_t pkts, bytes;
	uint64_t conns;   /* connections decided, allowed and refused ones */
	uint64_t last_ms; /* clock_mono_ms() of the last packet; 0: never */
};

struct policy_hits {                                                    /* of one thread */
	struct policy_hit *chunk[POLICY_SLOTS_MAX / POLICY_SLOT_CHUNK]; /* W: thread (release) */
};
extern struct policy_hits policy_hits_of[THREADS_ALL];
struct policy_hit *policy_hits_grow(struct policy_hits *h, uint32_t slot); /* NULL: no memory */

/* NULL: it cannot be counted. */
static inline struct policy_hit *policy_hit_of(unsigned thread_idx, uint32_t slot)
{
	struct policy_hits *h = &policy_hits_of[thread_idx];
	struct policy_hit *c;

	if (SL_UNLIKELY(slot >= POLICY_SLOTS_MAX))
		return NULL;
	c = h->chunk[slot / POLICY_SLOT_CHUNK];
	if (SL_UNLIKELY(!c) && !(c = policy_hits_grow(h, slot)))
		return NULL;
	return c + slot % POLICY_SLOT_CHUNK;
}

static inline void policy_count_pkts(unsigned thread_idx, uint32_t slot, uint64_t pkts,
				     uint64_t bytes, uint64_t now_ms)
{
	struct policy_hit *c = policy_hit_of(thread_idx, slot);

	if (SL_UNLIKELY(!c))
		return;
	counter_add(&c->pkts, pkts);
	counter_add(&c->bytes, bytes);
	__atomic_store_n(&c->last_ms, now_ms, __ATOMIC_RELAXED);
}

static inline void policy_count(unsigned thread_idx, uint32_t slot, uint32_t bytes, bool conn,
				uint64_t now_ms)
{
	struct policy_hit *c;

	policy_count_pkts(thread_idx, slot, 1, bytes, now_ms);
	if (conn && (c = policy_hit_of(thread_idx, slot)))
		counter_add(&c->conns, 1);
}

/* ---- main thread ---- */
/* The slot of a name, with a reference; POLICY_SLOT_NONE: all are taken. */
uint32_t policy_slot_take(const char *name);
void policy_slot_put(uint32_t slot);
const char *policy_slot_name(uint32_t slot); /* "": none has it */
void policy_slot_sum(uint32_t slot, struct policy_hit *out);

/* Connections that a slot has now, for limits; any thread. Returns the count before. */
uint32_t policy_slot_conns_add(uint32_t slot, int n);
