/* SPDX-License-Identifier: BSD-3-Clause */
/* Monotonic and wall time. Any thread (vDSO, no system call). Code that must be testable or
 * replayable takes the time as a parameter instead of calling these.
 * A process whose tests ask for it can stop its monotonic clock and move it (main thread). While
 * something is recorded or replayed, time stands still from one recorded event to the next. */
#pragma once
#include <time.h>

#include "datapath/base/util.h"

struct clock_warp { /* W: main, or who holds the order lock of a recording  R: any, relaxed */
	uint64_t offset_ns;
	uint64_t stopped_ns; /* 0: the clock runs */
	uint64_t held_ns;    /* by clock_stop(); 0: not  W, R: main and lock holders */
	uint64_t wall_ms;    /* 0: the wall clock runs */
};
extern struct clock_warp clock_warp;

void clock_stop(void);
void clock_move(uint64_t ms); /* forward */
/* Time stands still: at what it really is (freeze), or at these (set), until clock_thaw(). */
void clock_freeze(void);
void clock_set(uint64_t mono_ns, uint64_t wall_ms);
void clock_thaw(void);

static inline uint64_t clock_mono_ns(void)
{
	uint64_t stopped = __atomic_load_n(&clock_warp.stopped_ns, __ATOMIC_RELAXED);
	struct timespec ts;

	if (SL_UNLIKELY(stopped))
		return stopped;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec +
	       __atomic_load_n(&clock_warp.offset_ns, __ATOMIC_RELAXED);
}
static inline uint64_t clock_mono_us(void)
{
	return clock_mono_ns() / 1000;
}
static inline uint64_t clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000;
}
static inline uint64_t clock_wall_ms(void)
{
	uint64_t stopped = __atomic_load_n(&clock_warp.wall_ms, __ATOMIC_RELAXED);
	struct timespec ts;

	if (SL_UNLIKELY(stopped))
		return stopped;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000;
}
