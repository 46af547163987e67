/* SPDX-License-Identifier: BSD-3-Clause */
/* What net_bench shares with an observer: one file per port in /dev/shm. perf/harness/shm.py reads
 * and writes the same layout. The file outlives the process that made it when it was named by shm=,
 * so counters go on over a restart of the switch and an outage can be read from them: observers
 * take differences. Every 64-bit field has one writer; readers on x86 see each whole. */
#pragma once
#include "datapath/base/util.h"

#define BENCH_SHM_MAGIC 0x31484342454c5321ull /* "!SLEBCH1" */
enum {
	BENCH_SHM_VERSION = 1,
	BENCH_MAX_QUEUES = 16,
	BENCH_MARKS = 8,
	/* Latency classes: 16 to each power of two, as cycles. */
	BENCH_LATENCY_CLASSES = 640,
};

/* W:observer (and the device once, when it makes the file) R:poll threads, once per burst */
struct bench_control {
	uint32_t run;          /* 0 = closed; each new value opens a new run */
	uint32_t attack_every; /* one packet in so many is from the attack set; 0 = none */
	uint64_t rate_pps;     /* per rx queue; 0 = as fast as polled */
	uint64_t limit_pkts;   /* per rx queue and run; 0 = no end */
	uint64_t sink_pps;     /* per tx queue: what the link takes; 0 = everything */
	uint64_t spare[4];
} SL_CACHE_ALIGNED;

/* W:the poll thread of the queue R:observer, device thread. 128 bytes: no false sharing with the
 * neighbour by the adjacent-line prefetcher. */
struct bench_rx_counters {
	uint64_t pkts, bytes;
	uint64_t attack_pkts; /* of pkts */
	uint64_t missed_pkts; /* were due but the queue was polled too late to hold them */
	uint64_t no_mbuf_pkts;
	uint64_t polls;
	uint64_t first_tsc, last_tsc; /* first of this process; last at all */
	uint64_t spare[8];
};

/* W:the poll thread of the queue R:observer, device thread */
struct bench_tx_counters {
	uint64_t pkts, bytes;
	uint64_t refused_pkts; /* offered beyond sink_pps */
	uint64_t late_pkts;    /* verify: came after a later one of the same source queue */
	uint64_t missing_pkts; /* verify: numbers not seen (yet) */
	uint64_t stamped_pkts; /* verify: carried a stamp */
	uint64_t first_tsc, last_tsc;
	uint64_t longest_gap_tsc; /* between two bursts sent; observer may set it to 0 */
	uint64_t spare[7];
	uint64_t mark_pkts[BENCH_MARKS]; /* by mark; [0] = without */
	uint64_t spare2[8];
	uint64_t latency[BENCH_LATENCY_CLASSES]; /* verify: due at the port to sent */
	uint64_t pad[352];
};

struct bench_shm {
	uint64_t magic;
	uint32_t version;
	uint32_t bytes;
	uint64_t pid;    /* of the last process that opened it */
	uint64_t starts; /* how many processes have opened it */
	uint64_t tsc_hz;
	uint32_t rx_queues, tx_queues; /* as configured last */
	uint64_t opened_tsc;           /* when the last process had the port ready */
	char name[64];
	struct bench_control control;
	uint8_t pad[4096 - 192];
	struct bench_rx_counters rx[BENCH_MAX_QUEUES];
	struct bench_tx_counters tx[BENCH_MAX_QUEUES];
};
_Static_assert(offsetof(struct bench_shm, control) == 128, "perf/harness/shm.py knows this");
_Static_assert(offsetof(struct bench_shm, rx) == 4096, "perf/harness/shm.py knows this");
_Static_assert(sizeof(struct bench_rx_counters) == 128, "perf/harness/shm.py knows this");
_Static_assert(sizeof(struct bench_tx_counters) == 8192, "perf/harness/shm.py knows this");

static inline unsigned bench_latency_class(uint64_t cycles)
{
	if (cycles < 16)
		return (unsigned)cycles;
	unsigned e = 63u - (unsigned)__builtin_clzll(cycles);
	unsigned i = (e - 3) * 16 + (unsigned)(cycles >> (e - 4) & 15);
	return SL_MIN(i, BENCH_LATENCY_CLASSES - 1u);
}
