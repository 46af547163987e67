/* SPDX-License-Identifier: BSD-3-Clause */
/* Writers' side of the lock-free pointer table; under the version lock. */
#include "datapath/table/ptr_table.h"

#include <stdlib.h>

#include "datapath/table/txn.h"

enum { SLOTS_MIN = 4 };

void ptr_table_init(struct ptr_table *t, uint64_t (*hash_of)(const void *p))
{
	*t = (struct ptr_table){.hash_of = hash_of};
}

void ptr_table_destroy(struct ptr_table *t)
{
	free(t->slots);
	t->slots = NULL;
	t->live = t->used = 0;
}

static uint64_t slot_of(const void *p, uint64_t hash)
{
	return (uint64_t)ptr_tag(hash) << 48 | (uint64_t)(uintptr_t)p;
}

static void put(struct ptr_slots *s, uint64_t slot, uint64_t hash)
{
	uint32_t i = (uint32_t)hash & s->mask;

	while (s->slot[i])
		i = (i + 1) & s->mask;
	rcu_store(&s->slot[i], slot);
}

/* What comes back is the caller's to free, when nobody reads it. */
static struct ptr_slots *resize(struct ptr_table *t, uint32_t wanted)
{
	uint32_t n = SLOTS_MIN;
	struct ptr_slots *s, *old = t->slots;

	while (n < wanted)
		n *= 2;
	s = xzalloc(sizeof *s + n * sizeof s->slot[0]);
	s->mask = n - 1;
	for (uint32_t i = 0; old && i <= old->mask; i++) {
		if (old->slot[i] > PTR_SLOT_REMOVED)
			put(s, old->slot[i], t->hash_of(ptr_of_slot(old->slot[i])));
	}
	t->used = t->live;
	rcu_store(&t->slots, s);
	return old;
}

static void free_later(struct ptr_slots *s)
{
	if (s)
		txn_later(free, s);
}

/* NULL: there is room. Else as resize(). */
static struct ptr_slots *make_room(struct ptr_table *t)
{
	if (t->slots && (t->used + 1) * 4 <= (t->slots->mask + 1) * 3)
		return NULL;
	return resize(t, (t->live + 1) * 2);
}

void ptr_table_rebuild(struct ptr_table *t)
{
	struct ptr_slots *old = t->slots;

	t->slots = NULL;
	t->live = t->used = 0;
	for (uint32_t i = 0; old && i <= old->mask; i++) {
		if (old->slot[i] <= PTR_SLOT_REMOVED)
			continue;
		free(make_room(t));
		put(t->slots, old->slot[i], t->hash_of(ptr_of_slot(old->slot[i])));
		t->live++;
		t->used++;
	}
	free(old);
}

void ptr_table_insert(struct ptr_table *t, void *p, uint64_t hash)
{
	free_later(make_room(t));
	put(t->slots, slot_of(p, hash), hash);
	t->live++;
	t->used++;
}

static uint64_t *find(struct ptr_table *t, const void *p, uint64_t hash)
{
	uint32_t i = (uint32_t)hash & t->slots->mask;

	while (ptr_of_slot(t->slots->slot[i]) != p)
		i = (i + 1) & t->slots->mask;
	return &t->slots->slot[i];
}

void ptr_table_remove(struct ptr_table *t, const void *p, uint64_t hash)
{
	rcu_store(find(t, p, hash), (uint64_t)PTR_SLOT_REMOVED);
	t->live--;
	/* Shrinks only from far above the need, so that a rule that comes and goes costs nothing.
	 */
	if (t->slots->mask >= 64 && t->live * 16 < t->slots->mask)
		free_later(resize(t, t->live * 4));
}

void ptr_table_replace(struct ptr_table *t, const void *old, void *with, uint64_t hash)
{
	rcu_store(find(t, old, hash), slot_of(with, hash));
}
