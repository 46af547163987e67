/* SPDX-License-Identifier: BSD-3-Clause */
/* Is a peer in step with us: does it answer, each time, so soon that looking again and again costs
 * less than to be woken? A process that sleeps for some microseconds is woken through the scheduler
 * on both sides, and on a machine with few cores now on one and now on another, where nothing of it
 * is cached. Whoever waits keeps one of these per peer, zeroed but for the limit. It looks again
 * and again only after some short waits in a row (more, each time that was for nothing), for a
 * limited time, and rests when the processor was given to others meanwhile: then who spins only
 * takes from those that it waits for. One thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct in_step {
	uint32_t limit_us;    /* a wait up to here is short; what is spun at most */
	unsigned short_waits; /* in a row */
	unsigned needed;      /* so many of them before it is tried; more when it was for nothing */
	uint32_t rest_us;     /* so long was the last rest */
	uint64_t rests_until_us;
};

/* Not clock_mono_us(): that one can be stopped. */
uint64_t in_step_now_us(void);
/* Looks until look() is true (then true), unless the peer is not in step or takes too long. */
bool in_step_spin(struct in_step *s, bool (*look)(void *aux), void *aux);
/* A wait has ended that began at that moment, whether by spinning or asleep. */
void in_step_waited(struct in_step *s, uint64_t began_us);
