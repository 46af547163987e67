/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/policy/policy_over.h"

#include "datapath/base/vec.h"

uint32_t policy_n_over;

static uint64_t bits[POLICY_SLOTS_MAX / 64]; /* W: main (atomic)  R: any */
static VEC(uint32_t) held;                   /* their slots, each with a reference; main */

bool policy_over_has(uint32_t slot)
{
	return slot < POLICY_SLOTS_MAX &&
	       __atomic_load_n(&bits[slot / 64], __ATOMIC_RELAXED) >> slot % 64 & 1;
}

static void set(uint32_t slot, bool on)
{
	uint64_t bit = (uint64_t)1 << slot % 64, old = bits[slot / 64];

	__atomic_store_n(&bits[slot / 64], on ? old | bit : old & ~bit, __ATOMIC_RELAXED);
}

static void publish(void)
{
	__atomic_store_n(&policy_n_over, (uint32_t)held.len, __ATOMIC_RELAXED);
}

void policy_over_begin(const char *name)
{
	uint32_t slot = policy_slot_take(name);

	if (slot < POLICY_SLOT_RULES || policy_over_has(slot)) {
		policy_slot_put(slot);
		return;
	}
	vec_push(&held, slot);
	set(slot, true);
	publish();
}

void policy_over_cancel(uint32_t slot)
{
	for (size_t i = 0; i < held.len; i++) {
		if (held.at[i] != slot)
			continue;
		set(slot, false);
		policy_slot_put(slot);
		vec_remove(&held, i);
		break;
	}
	publish();
}

void policy_over_done(void)
{
	VEC_FOR_EACH (slot, &held) {
		set(*slot, false);
		policy_slot_put(*slot);
	}
	vec_clear(&held);
	publish();
}
