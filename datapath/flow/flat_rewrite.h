/* SPDX-License-Identifier: BSD-3-Clause */
/* A program that rewrites headers and then sends the packet once, in a form that needs no
 * interpreter: what becomes of the addresses and tags in front, and which 32-bit words of the
 * network and transport headers change. Checksums follow from the words.
 *
 * Made when an entry is installed, immutable afterwards. It has no meaning of its own: running it
 * gives what exec_run() gives for the program, which tests/unit/exec compares. Any thread. */
#pragma once
#include "datapath/flow/program.h"

enum {
	FLAT_TAGS_MAX = 2,    /* that are pushed */
	FLAT_PATCHES_MAX = 13 /* 2 tags, 10 words of IPv6, 1 of ports */
};

enum flat_ip { FLAT_L2_ONLY = 0, FLAT_ANY_IP = 1, FLAT_IPV4 = 4, FLAT_IPV6 = 6 };

enum { FLAT_SUM_IP = 1, FLAT_SUM_PSEUDO = 2 }; /* which sums a network header's word is part of */

struct flat_patch { /* value has no bits outside mask; both as they lie in the packet */
	uint32_t value, mask;
	uint16_t ofs;  /* from the frame as it leaves (tags), or from its header */
	uint16_t sums; /* FLAT_SUM_* */
};

struct flat_rewrite {
	uint64_t mac_value, mac_mask;   /* bytes 0..7 of the frame */
	uint32_t mac_value2, mac_mask2; /* 8..11 */
	uint32_t tag[FLAT_TAGS_MAX];    /* pushed, outermost first */
	uint16_t need_bytes;            /* the shortest first segment this works on */
	int8_t shift;                   /* bytes the frame grows */
	uint8_t n_tags;
	bool front; /* addresses or tags change */
	uint8_t ip; /* enum flat_ip: what the packet must be */
	uint8_t ttl_decs;
	uint8_t n_l2, n_l3, n_l4;                  /* patches, in this order */
	struct flat_patch patch[FLAT_PATCHES_MAX]; /* only as many as there are are stored */
};

/* False when the program does anything else, or in an order that this form has not. *out_port:
 * where the packet goes. */
bool flat_rewrite_compile(struct flat_rewrite *f, const union prog_word *w, uint32_t n_words,
			  uint32_t *out_port);

static inline size_t flat_rewrite_bytes(const struct flat_rewrite *f)
{
	return offsetof(struct flat_rewrite, patch) +
	       (size_t)(f->n_l2 + f->n_l3 + f->n_l4) * sizeof f->patch[0];
}
