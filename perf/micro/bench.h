/* SPDX-License-Identifier: BSD-3-Clause */
/* What the micro benchmarks share: repeat, take the median, print one line. One thread.
 *
 *	static void probe(void *ctx, uint64_t n) { for (i < n) bench_use(f(ctx)); }
 *	int main(int argc, char **argv)
 *	{
 *		bench_init(argc, argv, "hash");
 *		bench_run("siphash 16 bytes", probe, &ctx, 1000000);
 *		return bench_end();
 *	}
 *
 * Options of every such program: --json, --reps N (default 11), --filter TEXT, --quick (one short
 * repetition, for tests that only want to see it run). Cycles are TSC cycles. */
#pragma once
#include "datapath/base/util.h"

/* Runs the measured operation n times. */
typedef void bench_fn(void *ctx, uint64_t n);

void bench_init(int argc, char **argv, const char *module);
/* Calls fn(ctx, n) once to warm up and `reps` times for the figures. */
void bench_run(const char *name, bench_fn *fn, void *ctx, uint64_t n);
/* Exit status for main(): 0, or 1 when a filter matched nothing. */
int bench_end(void);

/* Keeps the compiler from dropping a result or hoisting work out of the loop. */
static inline void bench_use(uint64_t v)
{
	__asm__ volatile("" : : "r"(v) : "memory");
}
