/* SPDX-License-Identifier: BSD-3-Clause */
/* Filters and capture files, by libpcap. */
#pragma once
#include "datapath/api/msg.h"
#include "datapath/base/err.h"

/* Compiles a filter for Ethernet and puts it into *m as FILTER; NULL and "" are no filter. -EINVAL
 * with *e saying what libpcap says. */
int bpf_put_filter(struct msg *m, const char *filter, struct err *e);

struct bpf_packet {
	const uint8_t *data;
	uint32_t len, wire_len; /* len < wire_len: the file has not all of it */
	uint64_t time_ns;
	size_t number; /* in the file, from 1 */
};
/* Calls fn for each packet of a pcap or pcapng file ("-": standard input) until it returns false.
 * -errno with *e set: the file cannot be opened, is damaged (after the packets before), or is not
 * Ethernet. */
int bpf_read_file(const char *path, bool (*fn)(const struct bpf_packet *p, void *aux), void *aux,
		  struct err *e);
