/* SPDX-License-Identifier: BSD-3-Clause */
/* Sorted arrays: filled once, then asked often. */
#include "tools/ctl/sample.h"

#include <stdlib.h>
#include <string.h>

void sample_add(struct sample *s, const char *key, uint64_t value)
{
	vec_push(&s->entries, (struct sample_entry){xstrdup(key), value});
	s->sorted = false;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct sample_entry *)a)->key, ((const struct sample_entry *)b)->key);
}

static const struct sample_entry *find(struct sample *s, const char *key)
{
	const struct sample_entry wanted = {.key = (char *)key};
	if (!s->entries.len)
		return NULL;
	if (!s->sorted)
		qsort(s->entries.at, s->entries.len, sizeof *s->entries.at, by_key);
	s->sorted = true;
	return bsearch(&wanted, s->entries.at, s->entries.len, sizeof *s->entries.at, by_key);
}

uint64_t sample_get(struct sample *s, const char *key)
{
	const struct sample_entry *e = find(s, key);
	return e ? e->value : 0;
}

double sample_rate(struct sample *before, struct sample *now, const char *key)
{
	const struct sample_entry *a = find(before, key), *b = find(now, key);
	if (!b || now->at_us <= before->at_us)
		return 0;
	/* A counter that was not there began at 0 meanwhile, unless nothing had been read yet. */
	uint64_t old = a ? a->value : 0;
	if (!before->at_us || b->value < old)
		return 0;
	return (double)(b->value - old) * 1e6 / (double)(now->at_us - before->at_us);
}

void sample_free(struct sample *s)
{
	VEC_FOR_EACH (e, &s->entries)
		free(e->key);
	vec_free(&s->entries);
	*s = (struct sample){0};
}
