/* SPDX-License-Identifier: BSD-3-Clause */
/* Invariants: a child's prefix starts with its parent's and is longer; a node without rules has
 * two children, or is the root's only reason to exist. */
#include "datapath/table/cls_trie.h"

#include <stdlib.h>

#include "datapath/table/txn.h"

static struct cls_prefix cut(const struct cls_prefix *p, unsigned depth)
{
	struct cls_prefix c = {0, 0};

	if (depth)
		c.hi = depth >= 64 ? p->hi : p->hi & ~(~0ull >> depth);
	if (depth > 64)
		c.lo = depth >= 128 ? p->lo : p->lo & ~(~0ull >> (depth - 64));
	return c;
}

static unsigned bit_at(const struct cls_prefix *p, unsigned i)
{
	return i < 64 ? p->hi >> (63 - i) & 1 : p->lo >> (127 - i) & 1;
}

/* Leading bits that are equal, up to 128. */
static unsigned common(const struct cls_prefix *a, const struct cls_prefix *b)
{
	if (a->hi != b->hi)
		return (unsigned)__builtin_clzll(a->hi ^ b->hi);
	if (a->lo != b->lo)
		return 64 + (unsigned)__builtin_clzll(a->lo ^ b->lo);
	return 128;
}

static struct cls_trie_node *make(const struct cls_prefix *p, unsigned depth, uint32_t n_rules)
{
	struct cls_trie_node *n = xzalloc(sizeof *n);

	n->prefix = cut(p, depth);
	n->depth = (uint8_t)depth;
	n->n_rules = n_rules;
	return n;
}

void cls_trie_add(struct cls_trie *t, const struct cls_prefix *p, uint8_t depth)
{
	struct cls_trie_node **at = &t->root, *n, *fork;
	unsigned same;

	while ((n = *at)) {
		same = SL_MIN(common(&n->prefix, p), SL_MIN((unsigned)n->depth, (unsigned)depth));
		if (same < n->depth) {
			/* The new prefix ends inside this edge, or leaves it there. */
			fork = make(p, same, same == depth);
			fork->child[bit_at(&n->prefix, same)] = n;
			if (same < depth)
				fork->child[bit_at(p, same)] = make(p, depth, 1);
			rcu_store(at, fork);
			return;
		}
		if (n->depth == depth) {
			__atomic_store_n(&n->n_rules, n->n_rules + 1, __ATOMIC_RELAXED);
			return;
		}
		at = &n->child[bit_at(p, n->depth)];
	}
	rcu_store(at, make(p, depth, 1));
}

static void splice(struct cls_trie_node **at)
{
	struct cls_trie_node *n = *at;

	if (n->n_rules || (n->child[0] && n->child[1]))
		return;
	rcu_store(at, n->child[0] ? n->child[0] : n->child[1]);
	txn_later(free, n);
}

void cls_trie_remove(struct cls_trie *t, const struct cls_prefix *p, uint8_t depth)
{
	struct cls_trie_node **at = &t->root, **parent = NULL;

	while (*at && (*at)->depth < depth) {
		parent = at;
		at = &(*at)->child[bit_at(p, (*at)->depth)];
	}
	if (!*at || (*at)->depth != depth || common(&(*at)->prefix, p) < depth)
		return;
	__atomic_store_n(&(*at)->n_rules, (*at)->n_rules - 1, __ATOMIC_RELAXED);
	splice(at);
	if (parent)
		splice(parent);
}

void cls_trie_lookup(const struct cls_trie *t, const struct cls_prefix *value, uint8_t width,
		     struct cls_trie_result *out)
{
	const struct cls_trie_node *n = rcu_load(&t->root);
	unsigned looked = 0;

	*out = (struct cls_trie_result){{0}, 0};
	while (n) {
		unsigned same = common(&n->prefix, value);
		const struct cls_trie_node *kids[2];

		if (same < n->depth) {
			looked = same + 1;
			break;
		}
		looked = n->depth;
		if (__atomic_load_n(&n->n_rules, __ATOMIC_RELAXED))
			out->lens[n->depth / 64] |= 1ull << (n->depth % 64);
		kids[0] = rcu_load(&n->child[0]);
		kids[1] = rcu_load(&n->child[1]);
		if (n->depth >= width || (!kids[0] && !kids[1]))
			break;
		looked = n->depth + 1u;
		n = kids[bit_at(value, n->depth)];
	}
	out->n_bits = (uint8_t)SL_MIN(looked, (unsigned)width);
}

static void destroy(struct cls_trie_node *n)
{
	if (!n)
		return;
	destroy(n->child[0]); /* depth is bounded by the width of the field */
	destroy(n->child[1]);
	free(n);
}

void cls_trie_destroy(struct cls_trie *t)
{
	destroy(t->root);
	t->root = NULL;
}
