/* SPDX-License-Identifier: BSD-3-Clause */
#include "perf/micro/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"

enum { MAX_REPS = 101 };

static struct {
	const char *module, *filter;
	unsigned reps, runs;
	bool json, quick;
} options;

static uint64_t read_tsc(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#else
	return 0;
#endif
}

static void usage(const char *program, int status)
{
	fprintf(status ? stderr : stdout,
		"usage: %s [--json] [--reps N] [--filter TEXT] [--quick]\n", program);
	exit(status);
}

void bench_init(int argc, char **argv, const char *module)
{
	options.module = module;
	options.reps = 11;
	for (int i = 1; i < argc; i++) {
		uint64_t v;
		if (strcmp(argv[i], "--json") == 0) {
			options.json = true;
		} else if (strcmp(argv[i], "--quick") == 0) {
			options.quick = true;
		} else if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc) {
			options.filter = argv[++i];
		} else if (strcmp(argv[i], "--reps") == 0 && i + 1 < argc &&
			   parse_u64(argv[i + 1], 10, MAX_REPS, &v) && v > 0) {
			options.reps = (unsigned)v;
			i++;
		} else {
			usage(argv[0], strcmp(argv[i], "--help") ? 2 : 0);
		}
	}
	if (options.quick)
		options.reps = 1;
	if (options.json)
		printf("[");
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

void bench_run(const char *name, bench_fn *fn, void *ctx, uint64_t n)
{
	double ns[MAX_REPS], cycles[MAX_REPS];
	if (options.filter && !strstr(name, options.filter))
		return;
	if (options.quick)
		n = SL_MIN(n, 1000u);
	fn(ctx, n);
	for (unsigned i = 0; i < options.reps; i++) {
		uint64_t t0 = clock_mono_ns(), c0 = read_tsc();
		fn(ctx, n);
		cycles[i] = (double)(read_tsc() - c0) / (double)n;
		ns[i] = (double)(clock_mono_ns() - t0) / (double)n;
	}
	qsort(ns, options.reps, sizeof ns[0], compare_doubles);
	qsort(cycles, options.reps, sizeof cycles[0], compare_doubles);
	unsigned mid = options.reps / 2, last = options.reps - 1;
	double spread = 100 * (cycles[last] - cycles[0]) / (cycles[mid] > 0 ? cycles[mid] : 1);
	if (options.json)
		printf("%s\n{\"module\":\"%s\",\"name\":\"%s\",\"ns\":%.3f,\"cycles\":%.2f,"
		       "\"best_cycles\":%.2f,\"spread_pct\":%.0f,\"reps\":%u,\"ops\":%llu}",
		       options.runs ? "," : "", options.module, name, ns[mid], cycles[mid],
		       cycles[0], spread, options.reps, (unsigned long long)n);
	else
		printf("%-10s %-40s %10.2f ns %10.1f cycles  (best %.1f, spread %.0f%%)\n",
		       options.module, name, ns[mid], cycles[mid], cycles[0], spread);
	options.runs++;
}

int bench_end(void)
{
	if (options.json)
		printf("\n]\n");
	if (options.runs == 0)
		fprintf(stderr, "error: --filter %s: matches nothing\n",
			options.filter ? options.filter : "");
	return options.runs == 0;
}
