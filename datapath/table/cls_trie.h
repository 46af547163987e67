/* SPDX-License-Identifier: BSD-3-Clause */
/* The prefixes that rules of a table use on one field, as a path-compressed binary trie. A lookup
 * says which prefix lengths can match a value, and how many leading bits of the value decide that:
 * this is what keeps masks short when a table holds many prefixes.
 * Readers walk without locks under RCU; the writer (version lock) replaces nodes. */
#pragma once
#include "datapath/core/rcu.h"

struct cls_prefix { /* left-aligned: the first bit of the field is bit 63 of hi */
	uint64_t hi, lo;
};

struct cls_trie_node {
	struct cls_prefix prefix;       /* constant; zero beyond `depth` */
	uint8_t depth;                  /* bits, 0..128; constant */
	uint32_t n_rules;               /* with exactly this prefix  W: writer  R: any (relaxed) */
	struct cls_trie_node *child[2]; /* W: writer (release)  R: any (acquire) */
};

struct cls_trie {
	struct cls_trie_node *root; /* NULL: no prefix at all */
};

struct cls_trie_result {
	uint64_t lens[3]; /* bit i: some rule has a prefix of i bits that the value matches */
	uint8_t n_bits;   /* leading bits of the value that this rests on */
};

void cls_trie_add(struct cls_trie *t, const struct cls_prefix *p, uint8_t depth);
void cls_trie_remove(struct cls_trie *t, const struct cls_prefix *p, uint8_t depth);
void cls_trie_lookup(const struct cls_trie *t, const struct cls_prefix *value, uint8_t width,
		     struct cls_trie_result *out);
void cls_trie_destroy(struct cls_trie *t); /* no readers */
