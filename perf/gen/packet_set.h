/* SPDX-License-Identifier: BSD-3-Clause */
/* A set of packets in ordinary memory: what the generator device copies from. Built from a name
 * and a number of flows, or loaded from a capture file; 1M flows take about a tenth of a second.
 * Made and freed by one control thread; read-only afterwards, so any number of poll threads may
 * read it. Never used on a packet that came from outside the benchmark. */
#pragma once
#include "datapath/base/err.h"
#include "datapath/base/util.h"

enum packet_set_kind {
#define PACKET_SET(id, name, flows, fill, doc) PACKET_SET_##id,
#include "perf/gen/packet_sets.def"
#undef PACKET_SET
	PACKET_SET_N_KINDS
};

enum {
	PACKET_SET_MAX_FLOWS = 16 << 20,
	PACKET_SET_MAX_BYTES = 65520, /* longest packet: a large TCP send */
	PACKET_SET_MARKS = 8,         /* 0 = not marked */
};

struct packet_set_spec {
	enum packet_set_kind kind;
	uint32_t flows;      /* packets in the set; 0 = the kind's default */
	uint16_t size_bytes; /* without frame check sequence; 0 = 64 or what the headers need */
	uint16_t vlan;       /* 0 = untagged */
	uint8_t mark;        /* 0 … 7, put into the trailer; 0 = no trailer */
	bool tcp;            /* TCP ACKs instead of UDP, for kinds that leave the choice */
	bool ipv6;           /* the same for IPv6 */
	bool reverse;        /* sources and destinations exchanged: the other direction */
	uint32_t macs;       /* distinct source MAC addresses; 0 = 1 */
	uint32_t seed;       /* another seed, other flows */
};

struct packet_set {
	uint8_t *slots;        /* count slots of stride bytes, 64-byte aligned; owned */
	size_t map_bytes;      /* length of that mapping */
	uint32_t stride_bytes; /* multiple of 64 */
	uint32_t count;
	uint16_t *lengths; /* per packet [bytes]; NULL when all are uniform_bytes long; owned */
	uint16_t uniform_bytes;
};

/* The last bytes of a marked packet. They stay last whatever a switch pushes in front. A set holds
 * the last four only; the device fills the rest when it stamps packets (16 bytes then). */
struct packet_trailer {
	uint64_t due_tsc; /* when the packet was due at the port [TSC cycles] */
	uint32_t seq;     /* per generator queue, from 0 */
	uint8_t source;   /* which generator queue, chosen by the device */
	uint8_t mark;
	uint16_t magic; /* PACKET_TRAILER_MAGIC, host order */
} SL_PACKED;
enum { PACKET_TRAILER_MAGIC = 0xb5e7, PACKET_TRAILER_MARK_BYTES = 4 };

/* -errno and a text naming the option at fault; the set is then empty and needs no free. */
int packet_set_build(struct packet_set *set, const struct packet_set_spec *spec, struct err *e);
/* From a capture file (Ethernet, at most PACKET_SET_MAX_FLOWS packets). mark 0 leaves the packets
 * as they are; else their last four bytes become the trailer and a TCP or UDP checksum is kept
 * right. */
int packet_set_load(struct packet_set *set, const char *path, uint8_t mark, struct err *e);
int packet_set_save(const struct packet_set *set, const char *path, struct err *e);
void packet_set_free(struct packet_set *set);

/* -EINVAL when there is no such set. */
int packet_set_kind_from_name(const char *name, enum packet_set_kind *kind);
const char *packet_set_kind_name(enum packet_set_kind kind);
const char *packet_set_kind_doc(enum packet_set_kind kind);

static inline uint8_t *packet_set_at(const struct packet_set *set, uint32_t i)
{
	return set->slots + (size_t)i * set->stride_bytes;
}
static inline uint16_t packet_set_bytes(const struct packet_set *set, uint32_t i)
{
	return set->lengths ? set->lengths[i] : set->uniform_bytes;
}

/* Writes the four mark bytes at the end of a packet and corrects the checksum that covers them. */
void packet_set_mark(uint8_t *packet, uint16_t bytes, uint8_t mark);
/* A 32-bit hash of addresses and ports as a NIC would offer (not its polynomial); 0 for non-IP. */
uint32_t packet_set_hash(const uint8_t *packet, uint16_t bytes);
