/* SPDX-License-Identifier: BSD-3-Clause */
/* The last values of what top shows, by name, and as a sparkline. One thread. */
#pragma once
#include "datapath/base/str.h"
#include "datapath/base/vec.h"

enum { HISTORY_LEN = 60 };
struct history_line {
	char *name;
	double values[HISTORY_LEN]; /* values[(first + i) % HISTORY_LEN], oldest first */
	unsigned n, first;
	bool mentioned; /* since the last history_sweep() */
};
struct history {
	VEC(struct history_line) lines;
};

/* The line of that name with `value` appended; valid until the next call. */
const struct history_line *history_add(struct history *h, const char *name, double value);
/* Forgets lines that got no value since the last sweep. */
void history_sweep(struct history *h);
void history_free(struct history *h);
/* The last `width` values, eighths of a character high, scaled to the largest; right-aligned. */
void history_sparkline(const struct history_line *l, unsigned width, struct str *out);
