/* SPDX-License-Identifier: BSD-3-Clause */
/* A megaflow: one cached decision, for all packets whose key equals `key` under a mask.
 *
 * Two cache lines: what is compared, and what a hit touches. Everything else is in struct mf_cold.
 * Owned by one poll thread. The main thread reads counters (see flow_cache_collect()); it never
 * writes here. Slots live in an arena that is never unmapped, so a reader that lost a race reads an
 * old number, not freed memory. */
#pragma once
#include "datapath/cache/info_pool.h"
#include "datapath/core/credit.h"
#include "datapath/core/origin.h"
#include "datapath/flow/flat_rewrite.h"

/* The part of a megaflow that a hit does not touch: what it depends on, its program, and who gets
 * its counts. Immutable once published but for the fields marked. The poll thread that replaces or
 * evicts the entry pushes this to the main thread, which credits the rest and frees it after a
 * grace period; so the main thread may read what a slot points at without racing with a free. */
struct mf_info {
	struct info_piece piece;
	struct info_pool *pool;           /* whose memory it is */
	struct mf_info *next_retired;     /* W: owner, at retirement */
	uint64_t final_pkts, final_bytes; /* W: owner, at retirement */
	uint64_t seen_pkts, seen_bytes;   /* already credited  W: main */
	uint32_t final_used_ms;   /* low 32 bits of clock_mono_ms()  W: owner, at retirement */
	uint16_t final_tcp_flags; /* W: owner, at retirement */
	uint16_t n_targets;
	uint16_t mask_lines, written_lines;
	uint32_t installed_ms;
	uint32_t installed_version;
	uint64_t deps;
	uint64_t drop_cookie;
	struct packet_origin origin;   /* the rule that decided, for people */
	struct program *prog;          /* inside this allocation */
	struct flat_rewrite *flat;     /* of prog, inside this allocation; NULL: it has none */
	struct credit_target **target; /* inside this allocation; references held */
	/* masked key, then mask, of the lines in mask_lines; then the lines in written_lines */
	uint8_t lines[][FLOW_LINE_BYTES] __attribute__((aligned(16)));
};

static inline void mf_info_put_targets(struct mf_info *info)
{
	for (unsigned i = 0; i < info->n_targets; i++)
		credit_put(info->target[i]);
}

/* What a hit does without reading the program: `out_port` with an optional rewrite that almost all
 * routed traffic has, or with any other that is flat. Anything else runs info->prog. */
enum {
	MF_LIVE = 1,
	MF_HAS_EXT = 2,
	MF_AGED = 4,     /* has expires_ms */
	MF_SET_DST = 8,  /* Ethernet destination becomes macs[0..5] */
	MF_SET_SRC = 16, /* source becomes macs[6..11] */
	MF_DEC_TTL = 32,
	MF_CT = 64,    /* info->prog begins with ct(), in ct_zone */
	MF_FLAT = 128, /* info->flat, then out_port */
	MF_REWRITE = MF_SET_DST | MF_SET_SRC | MF_DEC_TTL,
};

struct megaflow {
	uint8_t key[FLOW_LINE_BYTES]; /* masked line 0 */

	uint32_t stamp;   /* version it is good for; 0: always take the slow path */
	uint32_t version; /* version it was resolved or re-stamped at */
	uint64_t pkts;    /* since install  R: main, relaxed */
	uint64_t bytes;
	struct mf_info *info; /* NULL: free slot  R: main, acquire */
	uint32_t out_port;    /* datapath port of a simple program; 0: run info->prog */
	uint32_t used_ms;     /* low 32 bits of clock_mono_ms() */
	uint32_t next;        /* hash chain or free list; 0 ends */
	uint32_t expires_ms;
	uint8_t mask_idx;
	uint8_t flags; /* MF_* */
	uint16_t tcp_flags;
	union {
		uint8_t macs[12];
		uint16_t ct_zone;
	};
} SL_CACHE_ALIGNED;
_Static_assert(sizeof(struct megaflow) == 2 * FLOW_LINE_BYTES, "two lines");
