/* SPDX-License-Identifier: BSD-3-Clause */
/* Writes capture files (draft-ietf-opsawg-pcapng): a section, one interface per port as it appears,
 * packets with direction and comment, statistics at the end. Rotates by size and age and keeps the
 * newest files. One thread. */
#pragma once
#include "datapath/base/err.h"

struct pcapng;

struct pcapng_options {
	const char *path;      /* "-": standard output, flushed after each batch */
	uint64_t rotate_bytes; /* 0: not by size */
	uint64_t rotate_ms;    /* 0: not by age */
	unsigned files;        /* how many to keep; 0: all */
	uint32_t snaplen;
};
struct pcapng_packet {
	const char *port; /* interface name */
	uint64_t time_ns; /* since 1970 */
	const void *data;
	uint32_t len, wire_len;
	unsigned direction;  /* of epb_flags: 1 arriving, 2 leaving, 0 unknown */
	const char *comment; /* "" : none */
};

/* -errno with *e naming the file. */
int pcapng_open(const struct pcapng_options *o, struct pcapng **out, struct err *e);
int pcapng_write(struct pcapng *p, const struct pcapng_packet *packet, struct err *e);
int pcapng_flush(struct pcapng *p, struct err *e);
/* Writes the statistics, with `lost` packets that the datapath could not hand over; frees. */
int pcapng_close(struct pcapng *p, uint64_t lost, struct err *e);
