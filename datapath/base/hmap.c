/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/base/hmap.h"

#include <stdlib.h>

void hmap_destroy(struct hmap *m)
{
	free(m->buckets);
	*m = (struct hmap){0};
}

static void resize(struct hmap *m, size_t n_buckets)
{
	struct hmap_node **buckets = xcalloc(n_buckets, sizeof *buckets);

	for (size_t i = 0; m->buckets && i <= m->mask; i++) {
		struct hmap_node *next;

		for (struct hmap_node *n = m->buckets[i]; n; n = next) {
			struct hmap_node **b = &buckets[n->hash & (n_buckets - 1)];

			next = n->next;
			n->next = *b;
			*b = n;
		}
	}
	free(m->buckets);
	m->buckets = buckets;
	m->mask = n_buckets - 1;
}

void hmap_insert(struct hmap *m, struct hmap_node *n, uint64_t hash)
{
	if (!m->buckets)
		resize(m, 8);
	else if (m->count > m->mask)
		resize(m, (m->mask + 1) * 2);
	n->hash = hash;
	n->next = m->buckets[hash & m->mask];
	m->buckets[hash & m->mask] = n;
	m->count++;
}

void hmap_remove(struct hmap *m, struct hmap_node *n)
{
	struct hmap_node **p = &m->buckets[n->hash & m->mask];

	while (*p != n)
		p = &(*p)->next;
	*p = n->next;
	m->count--;
}

static struct hmap_node *first_from(const struct hmap *m, size_t i)
{
	for (; m->buckets && i <= m->mask; i++)
		if (m->buckets[i])
			return m->buckets[i];
	return NULL;
}

struct hmap_node *hmap_first(const struct hmap *m)
{
	return first_from(m, 0);
}

struct hmap_node *hmap_next(const struct hmap *m, const struct hmap_node *n)
{
	return n->next ? n->next : first_from(m, (n->hash & m->mask) + 1);
}
