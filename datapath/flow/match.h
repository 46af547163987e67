/* SPDX-License-Identifier: BSD-3-Clause */
/* A match: value and mask over struct flow, and its compact form.
 *
 * Invariant everywhere: value & ~mask == 0, so that equality of matches is equality of bytes.
 * `lines` says which lines of the mask are not all zero; lines that it does not name hold nothing
 * meaningful in value and mask. Any thread; no allocation but where stated. */
#pragma once
#include "datapath/flow/key.h"

/* Full size, for building: 1.4 kB. */
struct match {
	struct flow value;
	struct flow mask;
};

/* Compact: only lines in use, value lines first, then mask lines: line i (in order of set bits) is
 * at data[i], its mask at data[n_lines + i]. One allocation; immutable once built. Also the wire
 * form in api messages (memcpy of the whole thing, checked with minimatch_is_valid()). */
struct minimatch {
	uint16_t lines;   /* bit per enum flow_line */
	uint16_t n_lines; /* popcount(lines) */
	uint32_t pad;
	uint8_t pad2[56];
	uint8_t data[][FLOW_LINE_BYTES];
} SL_CACHE_ALIGNED;

static inline size_t minimatch_size(const struct minimatch *m)
{
	return sizeof *m + 2u * m->n_lines * FLOW_LINE_BYTES;
}

void match_init(struct match *m); /* matches everything */
uint16_t match_lines(const struct match *m);
bool match_equal(const struct match *a, const struct match *b);

struct minimatch *minimatch_create(const struct match *m); /* caller frees with free() */
void minimatch_expand(const struct minimatch *mm, struct match *out);
bool minimatch_equal(const struct minimatch *a, const struct minimatch *b);
/* Bytes from another process: true only when self-consistent and within `size`. */
bool minimatch_is_valid(const void *p, size_t size);
/* Is there a packet that both match? */
bool minimatch_overlaps(const struct minimatch *a, const struct minimatch *b);
/* Does `narrow` match only packets that `wide` matches too (OpenFlow non-strict selection)? */
bool minimatch_is_within(const struct minimatch *narrow, const struct minimatch *wide);
bool minimatch_covers_flow(const struct minimatch *mm, const struct flow *f);
