/* SPDX-License-Identifier: BSD-3-Clause */
/* A hash table of pointers that any number of threads read without locks while one writer (who
 * holds the version lock) changes it: open addressing, linear probing, a 16-bit tag of the hash in
 * the unused high bits of each pointer, so that a probe seldom touches an object it does not want.
 * Growing makes a new array; the old one is freed after a grace period.
 * Objects are removed from the table first and freed a grace period later (txn_later()).
 *
 * Invariants: live <= used <= 3/4 * (mask + 1); every probe run ends in an empty slot. */
#pragma once
#include "datapath/core/rcu.h"

struct ptr_slots {
	uint32_t mask;   /* slots - 1 */
	uint64_t slot[]; /* 0 empty, 1 removed, else tag << 48 | pointer */
};

struct ptr_table {
	struct ptr_slots *slots; /* W: writer (release)  R: any (acquire), RCU; NULL while empty */
	uint32_t live, used;     /* entries; entries and removed slots  W: writer */
	uint64_t (*hash_of)(const void *p); /* of an element, for growing; constant */
};

void ptr_table_init(struct ptr_table *t, uint64_t (*hash_of)(const void *p));
void ptr_table_destroy(struct ptr_table *t); /* no readers; elements are the caller's */
void ptr_table_insert(struct ptr_table *t, void *p, uint64_t hash);
void ptr_table_remove(struct ptr_table *t, const void *p, uint64_t hash); /* p must be there */
/* As if its elements had come, in the order of iteration, into an empty table. No readers. */
void ptr_table_rebuild(struct ptr_table *t);
/* Puts `with` where `old` is; both have this hash. Readers see one or the other. */
void ptr_table_replace(struct ptr_table *t, const void *old, void *with, uint64_t hash);

/* Iteration over candidates of a hash; the caller compares keys:
 *	struct ptr_iter it = ptr_iter_start(&table, hash);
 *	while ((e = ptr_iter_next(&it)) && !same_key(e, …));
 */
struct ptr_iter {
	const struct ptr_slots *slots;
	uint32_t i;
	uint16_t tag;
};
enum { PTR_SLOT_REMOVED = 1 };

static inline uint16_t ptr_tag(uint64_t hash)
{
	return (uint16_t)(hash >> 48);
}
static inline struct ptr_iter ptr_iter_start(const struct ptr_table *t, uint64_t hash)
{
	const struct ptr_slots *s = rcu_load(&t->slots);

	return (struct ptr_iter){s, s ? (uint32_t)hash & s->mask : 0, ptr_tag(hash)};
}
static inline void *ptr_of_slot(uint64_t slot)
{
	return (void *)(uintptr_t)(slot & 0xffffffffffffull);
}
static inline void *ptr_iter_next(struct ptr_iter *it)
{
	if (!it->slots)
		return NULL;
	for (;;) {
		uint64_t slot = rcu_load(&it->slots->slot[it->i]);

		if (!slot)
			return NULL;
		it->i = (it->i + 1) & it->slots->mask;
		if (slot >> 48 == it->tag && slot != PTR_SLOT_REMOVED)
			return ptr_of_slot(slot);
	}
}
/* Every element, in slot order. *pos starts at 0; NULL at the end. The writer may remove the
 * current element; a reader sees what is there when it passes. */
static inline void *ptr_table_next(const struct ptr_table *t, uint32_t *pos)
{
	const struct ptr_slots *s = rcu_load(&t->slots);

	for (; s && *pos <= s->mask; ++*pos) {
		uint64_t slot = rcu_load(&s->slot[*pos]);

		if (slot > PTR_SLOT_REMOVED) {
			++*pos;
			return ptr_of_slot(slot);
		}
	}
	return NULL;
}
