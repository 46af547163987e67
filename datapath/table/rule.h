/* SPDX-License-Identifier: BSD-3-Clause */
/* A rule: what it matches, what it does, and what the protocol says about it. One allocation;
 * match, priority, actions and blob are constant, a modification makes another rule that shares the
 * counters. A rule lives in versions [added, removed); it is unlinked a grace period after its
 * removal was published and freed another one later. */
#pragma once
#include "datapath/base/list.h"
#include "datapath/core/credit.h"
#include "datapath/flow/action.h"
#include "datapath/flow/match.h"

struct bridge;
struct cls_subtable;
struct flow_tables;

/* Bits of RULE_FLAGS: OpenFlow 1.3.5 §A.3.4.1 enum ofp_flow_mod_flags, and our own. */
enum {
	RULE_SEND_FLOW_REM = 1,
	RULE_CHECK_OVERLAP = 2,
	RULE_RESET_COUNTS = 4,
	RULE_NO_PKT_COUNTS = 8,
	RULE_NO_BYT_COUNTS = 16,
	RULE_OVERLAP_CHECKED = 0x40000, /* of an add: replayed, the check was made before */
	RULE_HIDDEN = 0x10000, /* not in dumps, not touched by flow mods that are not hidden */
	RULE_MODIFY_ADDS =
		0x20000, /* request only: modify adds when nothing matches (OpenFlow 1.0) */
};

#define RULE_NOT_REMOVED UINT64_MAX

struct rule;
struct rule_stats { /* shared by the generations of a modified rule */
	struct credit_target credit;
	struct rule *rule; /* the newest of them, for dumps; NULL once it is freed
			      W: writer, main  R: main */
};

/* One clause of a conjunctive match that the rule is part of. */
struct rule_conj {
	uint32_t id;
	uint8_t clause, n_clauses;
	uint16_t pad;
};

struct rule {
	/* read by lookups */
	struct rule *next; /* same match in the subtable: by falling priority, newest first
			      W: writer (release)  R: any (acquire) */
	uint64_t added;    /* constant after insertion */
	uint64_t removed;  /* W: writer (relaxed)  R: any */
	struct cls_subtable *subtable;
	struct rule_stats *stats;
	uint64_t cookie;
	uint32_t actions_len, blob_len;
	uint16_t n_words; /* of the match values */
	uint16_t n_conj;
	uint16_t priority;
	uint8_t table;
	bool is_learnt;
	/* writers' and dumps' */
	struct flow_tables *tables; /* of its bridge */
	uint32_t flags;
	uint16_t idle_s, hard_s; /* main: fin_timeout shortens them */
	uint16_t importance;
	uint16_t fin_idle_s, fin_hard_s; /* of a fin_timeout action; 0: none */
	uint32_t timer_at;               /* place in the timer heap + 1; 0: not there */
	uint32_t fin_at;                 /* likewise in fin_rules */
	uint64_t created_ms, modified_ms;
	uint64_t seq;            /* order of addition in the table; a modification keeps it */
	struct list cookie_node; /* in the bridge's list of rules with this cookie */
	struct rule *replaces;   /* until the commit: what this one takes the place of */
	uint8_t removed_reason;  /* enum rule_removed_reason, once it is */
	bool stats_moved_on;     /* its replacement goes on with the counters */
	bool by_modify;          /* a modify command made it of another */
	uint64_t data[];         /* values, conjunctions, actions, blob; each 8-byte aligned */
};

static inline const uint64_t *rule_values(const struct rule *r)
{
	return r->data;
}
static inline const struct rule_conj *rule_conjs(const struct rule *r)
{
	return (const struct rule_conj *)(r->data + r->n_words);
}
static inline const uint8_t *rule_actions(const struct rule *r)
{
	return (const uint8_t *)(r->data + r->n_words + r->n_conj);
}
static inline const uint8_t *rule_blob(const struct rule *r)
{
	return rule_actions(r) + r->actions_len;
}
static inline bool rule_is_visible(const struct rule *r, uint64_t version)
{
	return r->added <= version && version < __atomic_load_n(&r->removed, __ATOMIC_RELAXED);
}
static inline bool rule_is_live(const struct rule *r) /* in the writers' view */
{
	return r->removed == RULE_NOT_REMOVED;
}

/* The match in full. */
void rule_match(const struct rule *r, struct match *out);
/* In compact form: its size, written to `out` (any alignment), and allocated (free()). */
size_t rule_minimatch_size(const struct rule *r);
void rule_minimatch_put(const struct rule *r, void *out);
struct minimatch *rule_minimatch(const struct rule *r);
/* Does it output to the OpenFlow port, or use the group, anywhere in its actions? */
bool rule_outputs_to(const struct rule *r, uint32_t port);
bool rule_uses_group(const struct rule *r, uint32_t group_id);
bool rule_uses_meter(const struct rule *r, uint32_t meter_id);
/* Is it a table-miss rule: priority 0, matches everything? */
static inline bool rule_is_table_miss(const struct rule *r)
{
	return !r->priority && !r->n_words;
}

/* For flow_mod.c and the resolver's learn: what a new rule is made of. */
struct cls_key;
struct rule_spec {
	const struct cls_key *key;
	const uint8_t *actions, *blob;
	uint32_t actions_len, blob_len;
	uint16_t priority;
	uint8_t table;
};
struct rule *rule_create(const struct rule_spec *spec); /* NULL: no memory. Has no stats yet */
void rule_free(struct rule *r);                         /* gives its reference to the stats up */
/* Replay: times and counts as they were. Before any packet; main thread, under the version lock. */
struct rule_history {
	uint64_t modified_ms, used_ms, pkts, bytes;
	bool is_learnt;
};
void rule_restore(struct rule *r, const struct rule_history *h);
struct rule_stats *rule_stats_create(uint64_t now_ms);
/* Whose counters are these? NULL: not a rule's, or the rule is gone. Main thread; valid until it
 * returns to its loop. */
const struct rule *rule_of_credit(const struct credit_target *c);
