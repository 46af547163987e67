/* SPDX-License-Identifier: BSD-3-Clause */
/* The tuple that names one direction of a connection. Values only; any thread. */
#pragma once
#include <string.h>

#include "datapath/base/util.h"

/* Contexts up to here are OpenFlow zones; those above belong to policed endpoints and no OpenFlow
 * message reaches them (DESIGN 9.3). */
enum { CT_ZONE_MAX = 0xffff };

struct ct_tuple {
	uint8_t src[16], dst[16];  /* IPv4: the first 4 bytes, the rest 0 */
	be16_t src_port, dst_port; /* ICMP: the identifier in both; no ports: 0 */
	uint32_t context;
	uint8_t proto, family;        /* IPPROTO_*; 4 or 6 */
	uint8_t icmp_type, icmp_code; /* 0 for others */
	uint32_t pad;
};
_Static_assert(sizeof(struct ct_tuple) == 48, "compared as six words");

static inline bool ct_tuple_equal(const struct ct_tuple *a, const struct ct_tuple *b)
{
	uint64_t x[6], y[6];

	memcpy(x, a, sizeof x);
	memcpy(y, b, sizeof y);
	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]) |
		 (x[5] ^ y[5]));
}

/* Cheap and unkeyed: only for the per-thread cache, where a collision costs one look-up. */
static inline uint32_t ct_tuple_mix(const struct ct_tuple *t)
{
	uint64_t w[6], h;

	memcpy(w, t, sizeof w);
	h = (w[0] ^ w[4] ^ (w[1] << 7)) * 0x9e3779b97f4a7c15ull;
	h ^= (w[2] ^ w[5] ^ (w[3] << 9)) * 0xc4ceb9fe1a85ec53ull;
	return (uint32_t)(h >> 32) ^ (uint32_t)(h >> 15);
}

/* Keyed: what the shards and their buckets use. */
uint64_t ct_tuple_hash(const struct ct_tuple *t);
/* The tuple of the packets that answer. */
struct ct_tuple ct_tuple_reverse(const struct ct_tuple *t);
/* ICMP type that answers `type`; the type itself when none does. */
uint8_t ct_icmp_reply_type(uint8_t family, uint8_t type);
bool ct_icmp_is_request(uint8_t family, uint8_t type);
static inline bool ct_proto_has_ports(uint8_t proto)
{
	return proto == 6 || proto == 17 || proto == 132; /* TCP, UDP, SCTP */
}
