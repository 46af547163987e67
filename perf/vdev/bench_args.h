/* SPDX-License-Identifier: BSD-3-Clause */
/* Device arguments of net_bench. Read once by the thread that probes. */
#pragma once
#include "datapath/base/err.h"
#include "perf/gen/packet_set.h"

enum { BENCH_PATH_BYTES = 256, BENCH_SHM_NAME_BYTES = 64 };

/* One source of packets: a set by name, or a capture file, or none. */
struct bench_source_args {
	bool given;                  /* false: nothing comes from it */
	char pcap[BENCH_PATH_BYTES]; /* "" = build `spec` */
	struct packet_set_spec spec;
	bool roll; /* every packet gets ports never used before */
};

struct bench_args {
	struct bench_source_args main, attack;
	char shm[BENCH_SHM_NAME_BYTES]; /* file in /dev/shm; "" = a name of our own, removed at
					   close */
	uint32_t attack_every;
	uint64_t rate_pps, limit_pkts, sink_pps;
	bool gate_open;
	bool stamp, verify, rss, csum;
	uint8_t source; /* first source number; 1 … 255 */
	uint16_t queues;
	uint16_t mss; /* 0 = packets as they are */
	uint64_t mac; /* 0 = made from the port number */
};

/* `text` is what follows the first comma of "net_bench0,…"; NULL or "" for none. */
int bench_args_parse(struct bench_args *out, const char *text, struct err *e);
/* The accepted keys with their meaning, for error messages and documentation. */
const char *bench_args_help(void);
