/* SPDX-License-Identifier: BSD-3-Clause */
/* Structs of net_bench that its own files share. One thread polls a queue, as ethdev demands; the
 * device thread touches a queue only while the port is stopped. */
#pragma once
#include <ethdev_driver.h>
#include <rte_mbuf.h>

#include "perf/gen/packet_set.h"
#include "perf/vdev/bench_args.h"
#include "perf/vdev/bench_shm.h"

/* A set and what every queue reads of it. W:device thread before start; then read-only. */
struct bench_source {
	struct packet_set set;
	uint32_t *hashes; /* per packet, NULL without rss */
	uint16_t roll_at; /* offset of the ports [bytes]; 0 = do not roll */
	uint64_t tso;     /* rte_mbuf.tx_offload of each packet; 0 = none is segmented */
	bool one_line;    /* all packets have one length of at most 64 bytes */
};

/* Where one queue stands in a source. W:R the queue's poll thread. */
struct bench_cursor {
	const struct bench_source *source; /* NULL = none */
	uint32_t next, begin, end;         /* begin <= next < end */
	uint32_t rolled;
};

struct bench_rxq {
	struct bench_cursor main, attack;
	struct rte_mempool *pool;
	const volatile struct bench_control *control;
	struct bench_rx_counters *counters;
	__m128i head;          /* first store into an mbuf: rearm fields and flags */
	uint32_t room_bytes;   /* of one segment */
	uint32_t run;          /* last value of control->run seen */
	uint64_t left_pkts;    /* of the limit; UINT64_MAX without */
	uint64_t open_tsc;     /* when the run began */
	uint64_t due;          /* when the next packet is due after open_tsc [cycles / 4096] */
	uint64_t rate_pps;     /* what `interval` is for */
	uint64_t interval;     /* [cycles / 4096] */
	uint32_t until_attack; /* packets until the next from `attack` */
	uint32_t backlog_pkts; /* how many due packets the queue holds, as a NIC's ring would */
	uint32_t seq;
	uint8_t source_number;
	bool stamp;
} __rte_cache_aligned;

struct bench_txq {
	struct bench_tx_counters *counters;
	const volatile struct bench_control *control;
	uint64_t open_tsc, taken; /* for sink_pps */
	bool verify;
	uint32_t expected[256]; /* next number by source */
} __rte_cache_aligned;

struct bench_dev {
	uint16_t port_id;
	struct rte_ether_addr mac;
	struct bench_args args;
	struct bench_source main, attack;
	struct bench_shm *shm;
	char shm_path[BENCH_SHM_NAME_BYTES + 16];
	struct bench_rxq *rxq[BENCH_MAX_QUEUES];
	struct bench_txq *txq[BENCH_MAX_QUEUES];
	struct rte_eth_stats base; /* subtracted since the last reset */
	bool csum_wanted;          /* offered and asked for: mbufs say that checksums are good */
};

/* bench_source.c: device thread */
int bench_source_open(struct bench_source *s, const struct bench_source_args *a, bool rss,
		      struct err *e);
/* The packets shall be segmented by whoever sends them at last: TCP over IPv4, one layout. */
int bench_source_segment(struct bench_source *s, uint16_t mss, struct err *e);
void bench_source_close(struct bench_source *s);
/* Gives queue `i` of `n` its own part of the packets. */
void bench_cursor_init(struct bench_cursor *c, const struct bench_source *s, uint32_t i,
		       uint32_t n);
/* bench_rx.c, bench_tx.c: poll threads */
uint16_t bench_rx_burst(void *queue, struct rte_mbuf **pkts, uint16_t n);
uint16_t bench_tx_burst(void *queue, struct rte_mbuf **pkts, uint16_t n);
void bench_rxq_init(struct bench_rxq *q, const struct bench_dev *dev, uint16_t i, uint16_t n,
		    struct rte_mempool *pool, uint16_t n_desc);
