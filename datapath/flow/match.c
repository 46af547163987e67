/* SPDX-License-Identifier: BSD-3-Clause */
/* Matches: full and compact form. Stateless; any thread. Sizes from other processes are checked
 * before they are used. */
#include "datapath/flow/match.h"

#include <stdlib.h>
#include <string.h>

void match_init(struct match *m)
{
	memset(m, 0, sizeof *m);
}

static bool is_zero_line(const uint8_t *line)
{
	uint64_t w[8], any = 0;

	memcpy(w, line, sizeof w);
	for (unsigned i = 0; i < 8; i++)
		any |= w[i];
	return !any;
}

uint16_t match_lines(const struct match *m)
{
	unsigned lines = 0;

	for (unsigned i = 0; i < FLOW_LINES; i++)
		if (!is_zero_line(m->mask.line[i]))
			lines |= 1u << i;
	return (uint16_t)lines;
}

bool match_equal(const struct match *a, const struct match *b)
{
	return !memcmp(a, b, sizeof *a);
}

struct minimatch *minimatch_create(const struct match *m)
{
	uint16_t lines = match_lines(m);
	unsigned n = (unsigned)__builtin_popcount(lines), at = 0;
	size_t size = sizeof(struct minimatch) + 2u * n * FLOW_LINE_BYTES;
	struct minimatch *mm = aligned_alloc(SL_CACHE_LINE, size);

	if (!mm)
		abort();
	memset(mm, 0, sizeof *mm);
	mm->lines = lines;
	mm->n_lines = (uint16_t)n;
	for (unsigned i = 0; i < FLOW_LINES; i++) {
		if (!(lines >> i & 1))
			continue;
		memcpy(mm->data[at], m->value.line[i], FLOW_LINE_BYTES);
		memcpy(mm->data[n + at], m->mask.line[i], FLOW_LINE_BYTES);
		at++;
	}
	return mm;
}

void minimatch_expand(const struct minimatch *mm, struct match *out)
{
	unsigned at = 0;

	match_init(out);
	for (unsigned i = 0; i < FLOW_LINES; i++) {
		if (!(mm->lines >> i & 1))
			continue;
		memcpy(out->value.line[i], mm->data[at], FLOW_LINE_BYTES);
		memcpy(out->mask.line[i], mm->data[mm->n_lines + at], FLOW_LINE_BYTES);
		at++;
	}
}

bool minimatch_equal(const struct minimatch *a, const struct minimatch *b)
{
	return a->lines == b->lines && !memcmp(a->data, b->data, 2u * a->n_lines * FLOW_LINE_BYTES);
}

bool minimatch_is_valid(const void *p, size_t size)
{
	struct minimatch head;
	const uint8_t *data = (const uint8_t *)p + sizeof head;

	if (size < sizeof head)
		return false;
	memcpy(&head, p, sizeof head);
	if (head.lines >> FLOW_LINES || __builtin_popcount(head.lines) != head.n_lines ||
	    size < minimatch_size(&head))
		return false;
	for (unsigned i = 0; i < head.n_lines; i++) {
		const uint8_t *value = data + (size_t)i * FLOW_LINE_BYTES;
		const uint8_t *mask = data + (size_t)(head.n_lines + i) * FLOW_LINE_BYTES;

		uint64_t v[FLOW_LINE_BYTES / 8], m[FLOW_LINE_BYTES / 8], any = 0, stray = 0;

		memcpy(v, value, sizeof v);
		memcpy(m, mask, sizeof m);
		for (unsigned k = 0; k < FLOW_LINE_BYTES / 8; k++) {
			any |= m[k];
			stray |= v[k] & ~m[k];
		}
		if (!any || stray)
			return false;
	}
	return true;
}

/* The words of line i of a compact match; zeros when it has none. */
struct words {
	uint64_t value[8], mask[8];
};

static void load_line(const struct minimatch *mm, unsigned i, struct words *w)
{
	unsigned at;

	if (!(mm->lines >> i & 1)) {
		memset(w, 0, sizeof *w);
		return;
	}
	at = (unsigned)__builtin_popcount(mm->lines & ((1u << i) - 1));
	memcpy(w->value, mm->data[at], FLOW_LINE_BYTES);
	memcpy(w->mask, mm->data[mm->n_lines + at], FLOW_LINE_BYTES);
}

bool minimatch_overlaps(const struct minimatch *a, const struct minimatch *b)
{
	unsigned common = a->lines & b->lines;

	for (; common; common &= common - 1) {
		unsigned i = (unsigned)__builtin_ctz(common);
		struct words wa, wb;

		load_line(a, i, &wa);
		load_line(b, i, &wb);
		for (unsigned k = 0; k < 8; k++)
			if ((wa.value[k] ^ wb.value[k]) & wa.mask[k] & wb.mask[k])
				return false;
	}
	return true;
}

bool minimatch_is_within(const struct minimatch *narrow, const struct minimatch *wide)
{
	if (wide->lines & ~narrow->lines)
		return false;
	for (unsigned left = wide->lines; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctz(left);
		struct words n, w;

		load_line(narrow, i, &n);
		load_line(wide, i, &w);
		for (unsigned k = 0; k < 8; k++)
			if ((w.mask[k] & ~n.mask[k]) || ((n.value[k] ^ w.value[k]) & w.mask[k]))
				return false;
	}
	return true;
}

bool minimatch_covers_flow(const struct minimatch *mm, const struct flow *f)
{
	unsigned at = 0;

	for (unsigned left = mm->lines; left; left &= left - 1, at++) {
		const uint8_t *line = f->line[__builtin_ctz(left)];
		uint64_t v[8], m[8], x[8], diff = 0;

		memcpy(v, mm->data[at], sizeof v);
		memcpy(m, mm->data[mm->n_lines + at], sizeof m);
		memcpy(x, line, sizeof x);
		for (unsigned k = 0; k < 8; k++)
			diff |= (x[k] & m[k]) ^ v[k];
		if (diff)
			return false;
	}
	return true;
}
