/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/core/credit.h"

#include "datapath/core/rcu.h"

void credit_init(struct credit_target *t, void (*free_fn)(struct credit_target *))
{
	*t = (struct credit_target){.refs = 1, .free = free_fn};
}

void credit_get(struct credit_target *t)
{
	__atomic_add_fetch(&t->refs, 1, __ATOMIC_RELAXED);
}

static void free_target(void *p)
{
	struct credit_target *t = p;

	t->free(t);
}

void credit_put(struct credit_target *t)
{
	if (!__atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL))
		rcu_defer(free_target, t);
}

void credit_add(struct credit_target *t, uint64_t pkts, uint64_t bytes, uint64_t used_ms,
		uint16_t tcp_flags)
{
	__atomic_store_n(&t->pkts, t->pkts + pkts, __ATOMIC_RELAXED);
	__atomic_store_n(&t->bytes, t->bytes + bytes, __ATOMIC_RELAXED);
	if (pkts && used_ms > t->used_ms)
		__atomic_store_n(&t->used_ms, used_ms, __ATOMIC_RELAXED);
	t->tcp_flags |= tcp_flags;
}
