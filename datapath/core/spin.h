/* SPDX-License-Identifier: BSD-3-Clause */
/* Spin locks that are let go by a plain store. rte_spinlock_unlock() is an exchange on x86, which
 * waits until everything stored before has reached the cache: in the tracker that is lines of
 * connections on their way from memory. Nothing may count on a full barrier at the end. Any
 * thread. */
#pragma once
#include <rte_spinlock.h>

static inline void spin_unlock(rte_spinlock_t *l)
{
	__atomic_store_n(&l->locked, 0, __ATOMIC_RELEASE);
}
