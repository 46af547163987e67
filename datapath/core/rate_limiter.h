/* SPDX-License-Identifier: BSD-3-Clause */
/* A rate that any number of threads share: one atomic time stamp (generic cell rate algorithm,
 * ITU-T I.371), no lock. */
#pragma once
#include "datapath/base/util.h"

enum {
	RATE_BURST_MS_DEFAULT = 100,
	RATE_LARGEST_BYTES = 66 << 10, /* no packet is longer: 64 KB and its layer-2 headers */
	/* What passes at once at any rate of bits: an eighth more, because queues before a limiter
	 * stay a little below it (pace.h). */
	RATE_LEAST_BITS = RATE_LARGEST_BYTES * 9,
};

struct rate_limiter {
	uint64_t cost_ps;    /* of one bit, packet or connection; 0: no limit. Constant */
	uint64_t depth_ns;   /* how far the stamp may run ahead. Constant */
	uint64_t full_at_ns; /* W: any (CAS)  R: any */
};

/* `least`: units that must be able to pass at once, however low the rate. */
static inline void rate_limiter_init(struct rate_limiter *l, uint64_t units_per_s,
				     uint32_t burst_ms, uint64_t least)
{
	*l = (struct rate_limiter){0};
	if (!units_per_s)
		return;
	l->cost_ps = SL_MAX(1000000000000ull / units_per_s, 1ull);
	l->depth_ns = SL_MAX((burst_ms ? burst_ms : RATE_BURST_MS_DEFAULT) * 1000000ull,
			     least * l->cost_ps / 1000);
}

/* Would it be over the rate? Takes nothing. */
static inline bool rate_limiter_would_exceed(const struct rate_limiter *l, uint64_t units,
					     uint64_t now_ns)
{
	uint64_t stamp = __atomic_load_n(&l->full_at_ns, __ATOMIC_RELAXED);

	return l->cost_ps &&
	       SL_MAX(stamp, now_ns) + units * l->cost_ps / 1000 > now_ns + l->depth_ns;
}

/* True: over the rate, nothing was taken. */
static inline bool rate_limiter_exceeds(struct rate_limiter *l, uint64_t units, uint64_t now_ns)
{
	uint64_t stamp = __atomic_load_n(&l->full_at_ns, __ATOMIC_RELAXED), next;

	if (!l->cost_ps)
		return false;
	do {
		next = SL_MAX(stamp, now_ns) + units * l->cost_ps / 1000;
		if (next > now_ns + l->depth_ns)
			return true;
	} while (!__atomic_compare_exchange_n(&l->full_at_ns, &stamp, next, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return false;
}
