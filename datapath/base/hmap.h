/* SPDX-License-Identifier: BSD-3-Clause */
/* Intrusive hash map with separate chaining, for one thread (or the owner's lock). The caller
 * computes the hash; use hash_bytes()/hash_string() for keys that come from outside.
 *
 *	struct thing { struct hmap_node node; char *name; };
 *	HMAP_FOR_EACH_WITH_HASH(t, struct thing, node, hash_string(name), &map) …
 */
#pragma once
#include "datapath/base/util.h"

struct hmap_node {
	struct hmap_node *next;
	uint64_t hash;
};

struct hmap {
	struct hmap_node **buckets; /* power of two; NULL while empty */
	size_t mask;                /* buckets - 1 */
	size_t count;
};

void hmap_destroy(struct hmap *m); /* frees the buckets, not the nodes */
void hmap_insert(struct hmap *m, struct hmap_node *n, uint64_t hash);
void hmap_remove(struct hmap *m, struct hmap_node *n); /* n must be in m */
struct hmap_node *hmap_first(const struct hmap *m);
struct hmap_node *hmap_next(const struct hmap *m, const struct hmap_node *n);

static inline struct hmap_node *hmap_first_with_hash(const struct hmap *m, uint64_t hash)
{
	struct hmap_node *n = m->buckets ? m->buckets[hash & m->mask] : NULL;
	while (n && n->hash != hash)
		n = n->next;
	return n;
}
static inline struct hmap_node *hmap_next_with_hash(const struct hmap_node *n)
{
	uint64_t hash = n->hash;
	for (n = n->next; n && n->hash != hash; n = n->next)
		;
	return (struct hmap_node *)n;
}

#define HMAP_ENTRY(n, type, member) ((n) ? SL_CONTAINER_OF(n, type, member) : NULL)
#define HMAP_FOR_EACH_WITH_HASH(it, type, member, hash, map)                                       \
	for (type *it = HMAP_ENTRY(hmap_first_with_hash(map, hash), type, member); it;             \
	     it = HMAP_ENTRY(hmap_next_with_hash(&it->member), type, member))
#define HMAP_FOR_EACH(it, type, member, map)                                                       \
	for (type *it = HMAP_ENTRY(hmap_first(map), type, member); it;                             \
	     it = HMAP_ENTRY(hmap_next(map, &it->member), type, member))
/* The current element may be removed and freed. */
#define HMAP_FOR_EACH_SAFE(it, type, member, map)                                                  \
	for (type *it = HMAP_ENTRY(hmap_first(map), type, member),                                 \
		  *it##_next = it ? HMAP_ENTRY(hmap_next(map, &it->member), type, member) : NULL;  \
	     it; it = it##_next,                                                                   \
		  it##_next = it ? HMAP_ENTRY(hmap_next(map, &it->member), type, member) : NULL)
