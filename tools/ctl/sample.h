/* SPDX-License-Identifier: BSD-3-Clause */
/* Counters by name, taken twice: what happens now is the difference. One thread. */
#pragma once
#include "datapath/base/vec.h"

struct sample_entry {
	char *key; /* what is counted; unique within a sample */
	uint64_t value;
};
struct sample { /* zero-initialised is empty */
	VEC(struct sample_entry) entries;
	bool sorted;
	uint64_t at_us; /* monotonic; the caller's */
};

/* Copies the key. */
void sample_add(struct sample *s, const char *key, uint64_t value);
/* 0 when there is no such key. Sorts when needed. */
uint64_t sample_get(struct sample *s, const char *key);
/* Growth of `key` per second since `before`; 0 without an earlier value or when a counter began
 * anew. */
double sample_rate(struct sample *before, struct sample *now, const char *key);
void sample_free(struct sample *s); /* empties it */
