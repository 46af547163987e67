/* SPDX-License-Identifier: BSD-3-Clause */
/* Monotonic and wall time. Any thread (vDSO, no system call). Code that must be testable or
 * replayable takes the time as a parameter instead of calling these. */
#pragma once
#include <time.h>

#include "datapath/base/util.h"

static inline uint64_t clock_mono_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
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
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000;
}
