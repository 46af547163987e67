/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/policy/policy_stats.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/hash.h"
#include "datapath/base/hmap.h"

const struct policy_builtin_info policy_builtins[POLICY_SLOT_RULES] = {
	[POLICY_SLOT_NONE] = {"", DROP_NONE},
#define BUILTIN(id, name, drop) [POLICY_SLOT_##id] = {name, DROP_##drop},
#include "datapath/policy/policy_builtins.def"
#undef BUILTIN
};

struct policy_hits policy_hits_of[THREADS_ALL];

struct named_slot {
	struct hmap_node node;
	uint32_t slot, refs;
	struct policy_hit base; /* what the slot had counted for its former name */
	char name[];
};

/* All W, R: main, but for conns (atomic, any). */
static struct hmap names;
static struct named_slot *slots[POLICY_SLOTS_MAX];
static uint32_t n_used = POLICY_SLOT_RULES; /* slots below have been given out at least once */
static uint32_t reuse_at = POLICY_SLOT_RULES;
static uint32_t conns[POLICY_SLOTS_MAX];

struct policy_hit *policy_hits_grow(struct policy_hits *h, uint32_t slot)
{
	struct policy_hit *c = calloc(POLICY_SLOT_CHUNK, sizeof *c);

	if (c)
		__atomic_store_n(&h->chunk[slot / POLICY_SLOT_CHUNK], c, __ATOMIC_RELEASE);
	return c;
}

static void sum(uint32_t slot, struct policy_hit *out)
{
	memset(out, 0, sizeof *out);
	for (unsigned i = 0; i < THREADS_ALL; i++) {
		const struct policy_hit *c = __atomic_load_n(
			&policy_hits_of[i].chunk[slot / POLICY_SLOT_CHUNK], __ATOMIC_ACQUIRE);

		if (!c)
			continue;
		c += slot % POLICY_SLOT_CHUNK;
		out->pkts += __atomic_load_n(&c->pkts, __ATOMIC_RELAXED);
		out->bytes += __atomic_load_n(&c->bytes, __ATOMIC_RELAXED);
		out->conns += __atomic_load_n(&c->conns, __ATOMIC_RELAXED);
		out->last_ms = SL_MAX(out->last_ms, __atomic_load_n(&c->last_ms, __ATOMIC_RELAXED));
	}
}

void policy_slot_sum(uint32_t slot, struct policy_hit *out)
{
	const struct named_slot *s = slots[slot];

	sum(slot, out);
	if (!s)
		return;
	out->pkts -= s->base.pkts;
	out->bytes -= s->base.bytes;
	out->conns -= s->base.conns;
	if (out->last_ms == s->base.last_ms)
		out->last_ms = 0;
}

/* A name that no policy has any more gives its slot away only when all are used. */
static uint32_t find_free(void)
{
	if (n_used < POLICY_SLOTS_MAX)
		return n_used++;
	for (uint32_t i = 0; i < POLICY_SLOTS_MAX; i++) {
		struct named_slot *s;

		if (++reuse_at >= POLICY_SLOTS_MAX)
			reuse_at = POLICY_SLOT_RULES;
		s = slots[reuse_at];
		if (s->refs)
			continue;
		hmap_remove(&names, &s->node);
		free(s);
		slots[reuse_at] = NULL;
		return reuse_at;
	}
	return POLICY_SLOT_NONE;
}

uint32_t policy_slot_take(const char *name)
{
	uint64_t hash = hash_string(name);
	struct named_slot *s;
	uint32_t slot;

	HMAP_FOR_EACH_WITH_HASH (it, struct named_slot, node, hash, &names)
		if (!strcmp(it->name, name)) {
			it->refs++;
			return it->slot;
		}
	slot = find_free();
	if (slot == POLICY_SLOT_NONE)
		return slot;
	s = xzalloc(sizeof *s + strlen(name) + 1);
	strcpy(s->name, name);
	s->slot = slot;
	s->refs = 1;
	sum(slot, &s->base);
	hmap_insert(&names, &s->node, hash);
	slots[slot] = s;
	return slot;
}

void policy_slot_put(uint32_t slot)
{
	if (slot >= POLICY_SLOT_RULES && slots[slot])
		slots[slot]->refs--;
}

uint32_t policy_slot_conns_add(uint32_t slot, int n)
{
	return slot < POLICY_SLOTS_MAX
		       ? __atomic_fetch_add(&conns[slot], (uint32_t)n, __ATOMIC_RELAXED)
		       : 0;
}

const char *policy_slot_name(uint32_t slot)
{
	if (slot < POLICY_SLOT_RULES)
		return policy_builtins[slot].name;
	return slot < POLICY_SLOTS_MAX && slots[slot] ? slots[slot]->name : "";
}
