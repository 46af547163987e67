/* SPDX-License-Identifier: BSD-3-Clause */
/* Longest prefix match from addresses to numbers, immutable once made. Values only: any thread may
 * look up; whoever made it frees it when no reader is left. A look-up is a binary search per
 * distinct prefix length. */
#pragma once
#include "datapath/base/util.h"

/* As PREFIXES of the api has it. */
struct policy_prefix {
	uint8_t family; /* 4 or 6 */
	uint8_t bits;   /* prefix length */
	uint8_t except; /* takes out again what a shorter prefix put in */
	uint8_t pad;
	uint8_t addr[16]; /* network order; IPv4: the first 4 bytes. Bits behind the length count as
			     0 */
};
_Static_assert(sizeof(struct policy_prefix) == 20, "as on the wire");

enum { POLICY_LPM_NONE = 0xffffffff };

struct policy_lpm_entry {
	struct policy_prefix prefix;
	uint32_t value; /* what a look-up gives; POLICY_LPM_NONE: as if nothing were there */
};

struct policy_lpm;
/* Copies. Of equal prefixes `merge` decides what their value is, in any order. NULL when there is
 * no entry at all. */
struct policy_lpm *policy_lpm_create(const struct policy_lpm_entry *e, size_t n,
				     uint32_t (*merge)(uint32_t a, uint32_t b));
void policy_lpm_destroy(struct policy_lpm *l); /* NULL is fine */
/* addr: 4 or 16 bytes by family. POLICY_LPM_NONE: no prefix. l NULL: empty. */
uint32_t policy_lpm_find(const struct policy_lpm *l, uint8_t family, const uint8_t *addr);
