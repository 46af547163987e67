/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/base/clock.h"

struct clock_warp clock_warp;

static void store(uint64_t *to, uint64_t v)
{
	__atomic_store_n(to, v, __ATOMIC_RELAXED);
}

/* As it would be if no recording held it. */
static uint64_t now_ns(void)
{
	struct timespec ts;

	if (clock_warp.held_ns)
		return clock_warp.held_ns;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec + clock_warp.offset_ns;
}

void clock_stop(void)
{
	clock_warp.held_ns = now_ns();
	store(&clock_warp.stopped_ns, clock_warp.held_ns);
}

void clock_move(uint64_t ms)
{
	if (clock_warp.held_ns) {
		clock_warp.held_ns += ms * 1000000;
		store(&clock_warp.stopped_ns, clock_warp.held_ns);
	} else {
		store(&clock_warp.offset_ns, clock_warp.offset_ns + ms * 1000000);
	}
}

void clock_freeze(void)
{
	struct timespec ts;

	store(&clock_warp.stopped_ns, now_ns());
	clock_gettime(CLOCK_REALTIME, &ts);
	store(&clock_warp.wall_ms, (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000);
}

void clock_set(uint64_t mono_ns, uint64_t wall_ms)
{
	store(&clock_warp.stopped_ns, mono_ns);
	store(&clock_warp.wall_ms, wall_ms);
}

void clock_thaw(void)
{
	store(&clock_warp.stopped_ns, clock_warp.held_ns);
	store(&clock_warp.wall_ms, 0);
}
