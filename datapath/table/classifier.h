/* SPDX-License-Identifier: BSD-3-Clause */
/* The rules of one table: tuple-space search over subtables ordered by their highest priority.
 *
 * Lookups run on any thread without locks under RCU, at a version; the writer holds the version
 * lock. A lookup adds to the caller's mask only bits that decided something:
 *  - subtables after the winner's priority are not looked at;
 *  - a subtable is hashed in stages (metadata, Ethernet, the rest), and one that fails early adds
 *    only the stages it got to;
 *  - tries over addresses and ports rule subtables out by a few leading bits.
 * Matches are stored as 64-bit words of struct flow; the subtable has the mask once. */
#pragma once
#include "datapath/base/hmap.h"
#include "datapath/base/vec.h"
#include "datapath/table/cls_trie.h"
#include "datapath/table/ptr_table.h"
#include "datapath/table/rule.h"

enum {
	CLS_WORDS = FLOW_LINES * FLOW_LINE_BYTES / 8,
	CLS_STAGES = 3,
	CLS_TRIES = 6, /* ip_src, ip_dst, ipv6_src, ipv6_dst, tp_src, tp_dst */
	CLS_CONJ_MAX = 256,
};

/* A match as words, in the order of stages. */
struct cls_key {
	uint8_t n;
	uint8_t word[CLS_WORDS]; /* index into struct flow as u64[] */
	uint64_t mask[CLS_WORDS], value[CLS_WORDS];
};

struct cls_subtable {
	struct ptr_table rules;                 /* first of each chain of equal matches */
	struct ptr_table index[CLS_STAGES - 1]; /* partial hashes that occur */
	uint8_t n_words;                        /* constant, as all below */
	uint8_t stage_end[CLS_STAGES];          /* words of the stages up to this one */
	uint8_t last_stage;                     /* last that has words */
	uint8_t trie_len[CLS_TRIES];            /* prefix length of the field; 0: not a prefix */
	uint8_t n_tries;                        /* fields with trie_len != 0 */
	/* writer */
	struct hmap_node node; /* by mask */
	VEC(struct cls_prio {
		uint16_t priority;
		uint32_t n;
	})
	priorities;           /* ascending */
	const uint64_t *mask; /* n_words each */
	const uint8_t *word;
};

struct cls_entry {
	int32_t max_priority;
	struct cls_subtable *subtable;
};
struct cls_vec {
	uint32_t n;
	struct cls_entry at[]; /* by falling priority */
};

struct classifier {
	struct cls_vec *vec; /* W: writer (release)  R: any, RCU; NULL: empty */
	struct cls_trie tries[CLS_TRIES];
	struct hmap subtables; /* writer */
	uint32_t n_rules;      /* linked, also those removed and not yet unlinked; writer */
};

void classifier_init(struct classifier *c);
void classifier_destroy(struct classifier *c); /* no readers; rules are the caller's */

void cls_key_init(struct cls_key *k, const struct minimatch *mm);

/* ---- writer ---- */
/* rule->subtable, next and the index are set; its values and priority are there already. */
void classifier_insert(struct classifier *c, struct rule *r, const struct cls_key *k);
void classifier_remove(struct classifier *c, struct rule *r);
/* The live rule with exactly this match and priority, or NULL. */
struct rule *classifier_find(const struct classifier *c, const struct cls_key *k,
			     uint16_t priority);
/* A live rule of this priority that some packet matches together with k; NULL: none. */
struct rule *classifier_find_overlap(const struct classifier *c, const struct cls_key *k,
				     uint16_t priority);
/* Calls fn for each live rule that matches only packets that k matches too. fn may mark the rule
 * removed, not unlink it. */
void classifier_for_each_within(const struct classifier *c, const struct cls_key *k,
				void (*fn)(struct rule *r, void *aux), void *aux);

/* ---- any thread, RCU ---- */
/* Best rule at the version, or NULL. Bits of `flow` that decided go into `wc`, except those set in
 * `cst`. Conjunctions are followed; *conj_id is the one that held, else 0. `flow` is unchanged on
 * return. */
const struct rule *classifier_lookup(const struct classifier *c, uint64_t version,
				     struct flow *flow, struct flow *wc, const struct flow *cst,
				     uint32_t *conj_id);
