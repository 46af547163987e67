/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/cache/port_masks.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/cache/lattice.h"

enum { FINE_MASKS = 10 }; /* of a port's 16; the others are rounded coarsely */

static uint16_t mask_bits(const struct flow_key *m, uint16_t lines)
{
	unsigned bits = 0;

	for (unsigned l = 0; l < FLOW_KEY_LINES; l++) {
		const uint64_t *w = (const uint64_t *)((const uint8_t *)m + l * FLOW_LINE_BYTES);

		for (unsigned i = 0; (lines & (1u << l)) && i < FLOW_LINE_BYTES / 8; i++)
			bits += (unsigned)__builtin_popcountll(w[i]);
	}
	return (uint16_t)bits;
}

const uint8_t *mf_mask_line(const struct mf_mask *m, unsigned line)
{
	return line ? m->line[line] : m->line0;
}

static bool mask_covers(const struct mf_mask *wide, const struct flow_key *m, uint16_t lines)
{
	for (unsigned l = 0; l < FLOW_KEY_LINES; l++) {
		if (!(lines & (1u << l)))
			continue;
		const uint64_t *a = (const uint64_t *)mf_mask_line(wide, l);
		const uint64_t *b = (const uint64_t *)((const uint8_t *)m + l * FLOW_LINE_BYTES);

		for (unsigned i = 0; i < FLOW_LINE_BYTES / 8; i++)
			if (b[i] & ~a[i])
				return false;
	}
	return true;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	uint8_t any = 0;

	for (size_t i = 0; i < n; i++)
		any |= p[i];
	return !any;
}

static enum cache_depth depth_of(const uint8_t *line0, uint16_t lines)
{
	enum {
		L2_END = offsetof(struct flow_key, ip_src),
		PROTO = offsetof(struct flow_key, ip_proto),
	};

	if (lines & ~(1u << FLOW_LINE_BASE))
		return DEPTH_FULL;
	return all_zero(line0 + L2_END, FLOW_LINE_BYTES - L2_END) && all_zero(line0 + PROTO, 2)
		       ? DEPTH_L2
		       : DEPTH_L4;
}

/* Signatures under the old relevance simply stop matching. */
void port_masks_renew(struct port_cache *pc)
{
	struct relevance *r = &pc->relevant;

	memset(r, 0, sizeof *r);
	pc->n_masks = 0;
	pc->n_order = 0;
	for (unsigned i = 0; i < MASKS_PER_PORT; i++) {
		const struct mf_mask *m = pc->mask[i];

		if (!m) {
			/* Even a stale index into a free slot must compare in_port. */
			memset(pc->mask0[i], 0xff, FLOW_LINE_BYTES);
			continue;
		}
		memcpy(pc->mask0[i], m->line0, FLOW_LINE_BYTES);
		pc->order[pc->n_order++] = (uint8_t)i;
		pc->n_masks++;
		r->lines |= m->lines;
		for (unsigned b = 0; b < FLOW_LINE_BYTES; b++)
			r->line0[b] |= m->line0[b];
		for (unsigned l = 1; l < FLOW_KEY_LINES; l++)
			for (unsigned b = 0; b < FLOW_LINE_BYTES; b++)
				r->line[l][b] |= m->line[l][b];
	}
	r->depth = (uint8_t)depth_of(r->line0, r->lines);
	for (unsigned i = 1; i < pc->n_order; i++)
		for (unsigned j = i;
		     j && pc->mask[pc->order[j]]->hits > pc->mask[pc->order[j - 1]]->hits; j--) {
			uint8_t t = pc->order[j];
			pc->order[j] = pc->order[j - 1];
			pc->order[j - 1] = t;
		}
}

static void add_bits(struct mf_mask *m, const struct flow_key *key_mask, uint16_t lines)
{
	for (unsigned l = 0; l < FLOW_KEY_LINES; l++) {
		uint8_t *to = l ? m->line[l] : m->line0;
		const uint8_t *from = (const uint8_t *)key_mask + l * FLOW_LINE_BYTES;

		for (unsigned b = 0; (lines & (1u << l)) && b < FLOW_LINE_BYTES; b++)
			to[b] |= from[b];
	}
	m->lines |= lines;
}

static int new_mask(struct port_cache *pc, const struct flow_key *mask, uint16_t lines)
{
	for (int i = 0; i < MASKS_PER_PORT; i++) {
		if (pc->mask[i])
			continue;
		struct mf_mask *m;
		if (posix_memalign((void **)&m, SL_CACHE_LINE, sizeof *m))
			return -1;
		memset(m, 0, sizeof *m);
		add_bits(m, mask, lines);
		m->bits = mask_bits(mask, lines);
		m->l2_only = depth_of(m->line0, lines) == DEPTH_L2;
		pc->mask[i] = m;
		port_masks_renew(pc);
		return i;
	}
	return -1;
}

/* The narrowest mask of the port that covers this one, -1 when none does. */
static int find_cover(const struct port_cache *pc, const struct flow_key *mask, uint16_t lines)
{
	int best = -1;

	for (int i = 0; i < MASKS_PER_PORT; i++) {
		const struct mf_mask *m = pc->mask[i];

		if (m && mask_covers(m, mask, lines) &&
		    (best < 0 || m->bits < pc->mask[best]->bits))
			best = i;
	}
	return best;
}

/* The slot for a mask that was rounded finely: itself, or a free slot while most are free; then the
 * same rounded coarsely; then whatever covers it; last the join of everything, which grows a few
 * dozen times at most in the life of a port. */
int port_masks_choose(struct flow_cache *c, struct port_cache *pc, struct flow_key *mask,
		      uint16_t lines)
{
	int cover = find_cover(pc, mask, lines);

	if (cover >= 0 && pc->mask[cover]->bits == mask_bits(mask, lines))
		return cover;
	if (pc->n_masks < FINE_MASKS)
		return new_mask(pc, mask, lines);
	lattice_round_up(mask, lines, LATTICE_COARSE);
	cover = find_cover(pc, mask, lines);
	if (cover >= 0 && pc->mask[cover]->bits == mask_bits(mask, lines))
		return cover;
	if (pc->n_masks < MASKS_PER_PORT - 1)
		return new_mask(pc, mask, lines);
	if (cover >= 0)
		return cover;
	/* The last slot is the join. It changes only when no entry uses the old one. */
	struct flow_key all = {0};
	uint16_t all_lines = lines | pc->relevant.lines;

	memcpy(&all, pc->relevant.line0, FLOW_LINE_BYTES);
	for (unsigned l = 1; l < FLOW_KEY_LINES; l++)
		memcpy((uint8_t *)&all + l * FLOW_LINE_BYTES, pc->relevant.line[l],
		       FLOW_LINE_BYTES);
	for (unsigned i = 0; i < sizeof all; i++)
		if (lines & (1u << (i / FLOW_LINE_BYTES)))
			((uint8_t *)&all)[i] |= ((const uint8_t *)mask)[i];
	lattice_round_up(&all, all_lines, LATTICE_COARSE);
	if (pc->join < MASKS_PER_PORT && pc->mask[pc->join]) {
		flow_cache_remove_of_mask(c, pc, pc->join);
		free(pc->mask[pc->join]);
		pc->mask[pc->join] = NULL;
	}
	int slot = new_mask(pc, &all, all_lines);
	if (slot >= 0)
		pc->join = (uint8_t)slot;
	return slot;
}

void port_masks_forget(struct port_cache *pc)
{
	for (unsigned i = 0; i < MASKS_PER_PORT; i++) {
		free(pc->mask[i]);
		pc->mask[i] = NULL;
	}
	pc->join = MASKS_PER_PORT;
}

void port_masks_rank(struct port_cache *pc)
{
	for (unsigned i = 0; i < MASKS_PER_PORT; i++) {
		if (pc->mask[i] && !pc->mask[i]->n_flows) {
			free(pc->mask[i]);
			pc->mask[i] = NULL;
			if (pc->join == i)
				pc->join = MASKS_PER_PORT;
		}
	}
	port_masks_renew(pc);
	for (unsigned i = 0; i < MASKS_PER_PORT; i++)
		if (pc->mask[i])
			pc->mask[i]->hits /= 2;
}
