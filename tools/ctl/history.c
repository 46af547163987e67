/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/ctl/history.h"

#include <stdlib.h>
#include <string.h>

static struct history_line *line(struct history *h, const char *name)
{
	VEC_FOR_EACH (l, &h->lines)
		if (!strcmp(l->name, name))
			return l;
	vec_push(&h->lines, (struct history_line){.name = xstrdup(name)});
	return &vec_last(&h->lines);
}

const struct history_line *history_add(struct history *h, const char *name, double value)
{
	struct history_line *l = line(h, name);
	l->mentioned = true;
	if (l->n < HISTORY_LEN) {
		l->values[l->n++] = value;
	} else {
		l->values[l->first] = value;
		l->first = (l->first + 1) % HISTORY_LEN;
	}
	return l;
}

void history_sweep(struct history *h)
{
	for (size_t i = h->lines.len; i-- > 0;) {
		struct history_line *l = &h->lines.at[i];
		if (l->mentioned) {
			l->mentioned = false;
			continue;
		}
		free(l->name);
		vec_remove(&h->lines, i);
	}
}

void history_free(struct history *h)
{
	VEC_FOR_EACH (l, &h->lines)
		free(l->name);
	vec_free(&h->lines);
}

void history_sparkline(const struct history_line *l, unsigned width, struct str *out)
{
	static const char *const bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	unsigned n = SL_MIN(l->n, width);
	double most = 0;
	for (unsigned i = l->n - n; i < l->n; i++)
		most = SL_MAX(most, l->values[(l->first + i) % HISTORY_LEN]);
	for (unsigned i = n; i < width; i++)
		str_putc(out, ' ');
	for (unsigned i = l->n - n; i < l->n; i++) {
		double v = l->values[(l->first + i) % HISTORY_LEN];
		unsigned bar = most > 0 ? (unsigned)(v * 7 / most + 0.5) : 0;
		str_puts(out, v <= 0 ? " " : bars[SL_MIN(bar, 7u)]);
	}
}
