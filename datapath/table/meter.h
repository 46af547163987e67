/* SPDX-License-Identifier: BSD-3-Clause */
/* Meters (OpenFlow 1.3.5 §5.7): rates that rules make packets pass. Any number of threads run one
 * meter: each band is one atomic time stamp (generic cell rate algorithm, ITU-T I.371), no lock.
 * Look-ups: any thread under RCU; changes through a txn. A program that names a meter pins it by
 * its credit target. */
#pragma once
#include "datapath/base/err.h"
#include "datapath/core/credit.h"

struct bridge;
struct meter_table;
struct txn;

enum { METER_KBPS = 1, METER_PKTPS = 2, METER_BURST = 4, METER_STATS = 8 };
enum meter_band_type { METER_BAND_DROP = 1, METER_BAND_DSCP_REMARK = 2 };
enum { METERS_MAX = 65536, METER_BANDS_MAX = 8, METER_ID_MAX = 0xffff0000u };

struct meter_band {
	uint16_t type; /* enum meter_band_type */
	uint8_t prec_level;
	uint32_t rate, burst; /* kbit/s or packets/s; kbit or packets. Constant */
	uint64_t cost_ps;     /* of one bit or packet, picoseconds; constant */
	uint64_t depth_ns;    /* how far the stamp may run ahead; constant */
	uint64_t full_at_ns;  /* W: any (CAS)  R: any */
	uint64_t pkts, bytes; /* W: any (atomic add)  R: any */
};

struct meter {
	struct credit_target credit; /* pins it; the counts are `pkts`, `bytes` below */
	uint32_t id;                 /* constant, as all up to the counters */
	uint16_t flags;
	uint16_t n_bands;
	uint64_t created_ms;
	const uint8_t *blob;
	uint32_t blob_len;
	uint64_t pkts, bytes; /* W: any (atomic add)  R: any */
	struct meter_band band[METER_BANDS_MAX];
};

/* Any thread. One packet passes at now_ns; the band that it exceeds (of several, the one with the
 * highest rate), or NULL. */
const struct meter_band *meter_run(struct meter *m, uint32_t bytes, uint64_t now_ns);
/* DSCP after the remark of a band: drop precedence raised by prec_level within an assured
 * forwarding class (RFC 2597); others stay. */
uint8_t meter_remark_dscp(const struct meter_band *band, uint8_t dscp);

struct meter *meter_find(const struct bridge *b, uint32_t id);   /* any thread, RCU; NULL */
struct meter *meter_next(const struct bridge *b, uint32_t id);   /* writers' view */
struct meter *meter_iter(const struct bridge *b, uint32_t *pos); /* main; no order */
uint32_t meter_ref_count(const struct bridge *b, uint32_t id);   /* O(rules) */

enum meter_command { METER_MOD_ADD = 0, METER_MOD_MODIFY = 1, METER_MOD_DELETE = 3 };
struct meter_band_spec {
	uint16_t type;
	uint8_t prec_level;
	uint32_t rate, burst;
};
struct meter_mod {
	uint8_t command;
	uint16_t flags;
	uint32_t id; /* delete: 0xffffffff is all */
	uint16_t n_bands;
	struct meter_band_spec band[METER_BANDS_MAX];
	const uint8_t *blob;
	uint32_t blob_len;
};
enum { /* OpenFlow errors (1.3.5 §A.4.4) */
       MM_ERR_METER_EXISTS = 12 << 16 | 1,
       MM_ERR_INVALID_METER = 12 << 16 | 2,
       MM_ERR_UNKNOWN_METER = 12 << 16 | 3,
       MM_ERR_BAD_COMMAND = 12 << 16 | 4,
       MM_ERR_BAD_RATE = 12 << 16 | 6,
       MM_ERR_BAD_BAND = 12 << 16 | 8,
       MM_ERR_OUT_OF_METERS = 12 << 16 | 10,
       MM_ERR_OUT_OF_BANDS = 12 << 16 | 11,
};
int meter_mod(struct txn *t, struct bridge *b, const struct meter_mod *mm, uint32_t *ofp,
	      struct err *e);

struct meter_table *meter_table_create(void);
void meter_table_destroy(struct meter_table *t); /* no readers */
