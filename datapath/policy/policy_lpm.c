/* SPDX-License-Identifier: BSD-3-Clause */
/* Entries sorted by family, falling prefix length and address; a group per family and length. */
#include "datapath/policy/policy_lpm.h"

#include <stdlib.h>
#include <string.h>

struct lpm_group {
	uint8_t family, bits;
	uint32_t first, n;
};

struct policy_lpm {
	uint32_t n_entries, n_groups;
	struct policy_lpm_entry *entry;
	struct lpm_group group[33 + 129];
};

static void mask_addr(uint8_t out[16], const uint8_t *in, uint8_t family, unsigned bits)
{
	unsigned n = family == 4 ? 4 : 16, whole = bits / 8;

	memset(out, 0, 16);
	memcpy(out, in, SL_MIN(whole, n));
	if (bits % 8 && whole < n)
		out[whole] = (uint8_t)(in[whole] & (0xff00 >> (bits % 8)));
}

static int compare(const void *a, const void *b)
{
	const struct policy_prefix *x = &((const struct policy_lpm_entry *)a)->prefix;
	const struct policy_prefix *y = &((const struct policy_lpm_entry *)b)->prefix;

	if (x->family != y->family)
		return x->family < y->family ? -1 : 1;
	if (x->bits != y->bits)
		return x->bits > y->bits ? -1 : 1;
	return memcmp(x->addr, y->addr, sizeof x->addr);
}

static void add_to_groups(struct policy_lpm *l, uint32_t i)
{
	const struct policy_prefix *p = &l->entry[i].prefix;
	struct lpm_group *g = l->n_groups ? &l->group[l->n_groups - 1] : NULL;

	if (!g || g->family != p->family || g->bits != p->bits) {
		g = &l->group[l->n_groups++];
		*g = (struct lpm_group){p->family, p->bits, i, 0};
	}
	g->n++;
}

struct policy_lpm *policy_lpm_create(const struct policy_lpm_entry *e, size_t n,
				     uint32_t (*merge)(uint32_t a, uint32_t b))
{
	struct policy_lpm *l;

	if (!n)
		return NULL;
	l = xzalloc(sizeof *l);
	l->entry = xmalloc(n * sizeof *e);
	memcpy(l->entry, e, n * sizeof *e);
	for (size_t i = 0; i < n; i++) {
		struct policy_prefix *p = &l->entry[i].prefix;

		p->bits = (uint8_t)SL_MIN(p->bits, p->family == 4 ? 32 : 128);
		mask_addr(p->addr, e[i].prefix.addr, p->family, p->bits);
	}
	qsort(l->entry, n, sizeof *e, compare);
	for (size_t i = 0; i < n; i++) {
		struct policy_lpm_entry *last = l->n_entries ? &l->entry[l->n_entries - 1] : NULL;

		if (last && !compare(last, &l->entry[i])) {
			last->value = merge(last->value, l->entry[i].value);
			continue;
		}
		l->entry[l->n_entries] = l->entry[i];
		add_to_groups(l, l->n_entries++);
	}
	return l;
}

void policy_lpm_destroy(struct policy_lpm *l)
{
	if (!l)
		return;
	free(l->entry);
	free(l);
}

uint32_t policy_lpm_find(const struct policy_lpm *l, uint8_t family, const uint8_t *addr)
{
	uint8_t key[16];

	for (uint32_t g = 0; l && g < l->n_groups; g++) {
		const struct lpm_group *group = &l->group[g];
		uint32_t lo = group->first, hi = lo + group->n;

		if (group->family != family)
			continue;
		mask_addr(key, addr, family, group->bits);
		while (lo < hi) {
			uint32_t mid = (lo + hi) / 2;
			int c = memcmp(l->entry[mid].prefix.addr, key, sizeof key);

			if (!c)
				return l->entry[mid].value;
			if (c < 0)
				lo = mid + 1;
			else
				hi = mid;
		}
	}
	return POLICY_LPM_NONE;
}
