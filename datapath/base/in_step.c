/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/base/in_step.h"

#include <time.h>

#include "datapath/base/util.h"

enum {
	NEEDED_MIN = 4,
	NEEDED_MAX = 256,
	GAP_US = 100, /* between two looks: somebody else had the processor */
	REST_MIN_US = 50 * 1000,
	REST_MAX_US = 2 * 1000 * 1000
};

uint64_t in_step_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Longer each time, but after a long undisturbed spell as short as at first. */
static void rest(struct in_step *s, uint64_t now_us)
{
	bool again = s->rest_us && now_us - s->rests_until_us < 4ull * s->rest_us;

	s->rest_us = again ? SL_MIN(2 * s->rest_us, (uint32_t)REST_MAX_US) : REST_MIN_US;
	s->rests_until_us = now_us + s->rest_us;
}

bool in_step_spin(struct in_step *s, bool (*look)(void *aux), void *aux)
{
	uint64_t began = in_step_now_us(), last = began, now = began;
	bool found = false;

	s->needed = SL_MAX(s->needed, (unsigned)NEEDED_MIN);
	if (s->short_waits < s->needed || began < s->rests_until_us)
		return false;
	while (!found && now - began <= s->limit_us && now - last <= GAP_US) {
		last = now;
		found = look(aux);
		now = in_step_now_us();
	}
	if (now - last > GAP_US)
		rest(s, now);
	s->needed = found ? s->needed / 2 : SL_MIN(4 * s->needed, (unsigned)NEEDED_MAX);
	return found;
}

void in_step_waited(struct in_step *s, uint64_t began_us)
{
	if (in_step_now_us() - began_us > s->limit_us)
		s->short_waits = 0;
	else if (s->short_waits < NEEDED_MAX)
		s->short_waits++;
}
