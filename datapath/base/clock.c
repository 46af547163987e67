/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/base/clock.h"

struct clock_warp clock_warp;

void clock_stop(void)
{
	__atomic_store_n(&clock_warp.stopped_ns, clock_mono_ns(), __ATOMIC_RELAXED);
}

void clock_move(uint64_t ms)
{
	uint64_t *which = clock_warp.stopped_ns ? &clock_warp.stopped_ns : &clock_warp.offset_ns;

	__atomic_store_n(which, *which + ms * 1000000, __ATOMIC_RELAXED);
}
