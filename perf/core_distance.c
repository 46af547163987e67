/* SPDX-License-Identifier: BSD-3-Clause */
/* perf-core-distance A B: the round trip of one cache line between two cores [ns], median of
 * several short rounds. A hypervisor moves virtual CPUs between caches, which changes what a
 * two-core benchmark measures by a factor of three: look before and after each window. Two
 * threads, real-time for some milliseconds so that poll threads on both cores do not distort it. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "datapath/base/clock.h"
#include "datapath/base/util.h"

enum { ROUNDS = 9, TRIPS = 2000, GIVE_UP_MS = 2000 };

/* W:both, in turn; each thread waits for the other's value. Alone on its line. */
static struct {
	_Alignas(128) volatile uint32_t ball;
	_Alignas(128) volatile uint32_t ready; /* threads pinned; added to atomically */
	volatile bool stop;
} line;

struct player {
	unsigned core;
	bool serves;
	double round_ns[ROUNDS];
	int error;
};

static int pin(unsigned core)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(core, &set);
	return pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

/* Waits for the ball to show `value`; false when the other side does not play. */
static bool await(uint32_t value)
{
	uint64_t end = 0;
	for (uint32_t spins = 0; line.ball != value; spins++) {
		if (line.stop)
			return false;
		if (spins == UINT32_C(1) << 20) {
			uint64_t now = clock_mono_ms();
			end = end ? end : now + GIVE_UP_MS;
			spins = 0;
			if (now > end)
				line.stop = true;
		}
		__builtin_ia32_pause();
	}
	return true;
}

static void *play(void *arg)
{
	struct player *p = arg;
	struct sched_param priority = {.sched_priority = 1};
	p->error = pin(p->core);
	/* Real time only after both are pinned: two such threads that start on one core would wait
	 * for each other for ever. Without the right to it the figure is coarser. */
	__atomic_add_fetch(&line.ready, 1, __ATOMIC_SEQ_CST);
	while (line.ready < 2 && !line.stop)
		sched_yield();
	(void)pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority);
	for (uint32_t r = 0; r < ROUNDS && !p->error; r++) {
		uint64_t start = clock_mono_ns();
		for (uint32_t i = 0; i < TRIPS; i++) {
			uint32_t turn = 2 * (r * TRIPS + i);
			if (!await(turn + !p->serves))
				return NULL;
			line.ball = turn + 1 + !p->serves;
		}
		p->round_ns[r] = (double)(clock_mono_ns() - start) / TRIPS;
	}
	if (p->error)
		line.stop = true;
	return NULL;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	uint64_t a, b;
	if (argc != 3 || !parse_u64(argv[1], 10, CPU_SETSIZE - 1, &a) ||
	    !parse_u64(argv[2], 10, CPU_SETSIZE - 1, &b) || a == b) {
		fprintf(stderr, "usage: %s CORE CORE\n", argv[0]);
		return 2;
	}
	struct player players[2] = {{.core = (unsigned)a, .serves = true}, {.core = (unsigned)b}};
	pthread_t threads[2];
	for (int i = 0; i < 2; i++) {
		if (pthread_create(&threads[i], NULL, play, &players[i])) {
			fprintf(stderr, "error: cannot start a thread\n");
			return 1;
		}
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	if (line.stop) {
		fprintf(stderr, "error: cores %s and %s: not both usable\n", argv[1], argv[2]);
		return 1;
	}
	qsort(players[0].round_ns, ROUNDS, sizeof(double), compare);
	printf("%.0f ns\n", players[0].round_ns[ROUNDS / 2]);
	return 0;
}
