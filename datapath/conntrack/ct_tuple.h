/* SPDX-License-Identifier: BSD-3-Clause */
/* The tuple that names one direction of a connection. Values only; any thread. */
#pragma once
#include <string.h>

#include "datapath/base/util.h"

/* Contexts up to here are OpenFlow zones; those above belong to policed endpoints and no OpenFlow
 * message reaches them (DESIGN 9.3). */
enum { CT_ZONE_MAX = 0xffff };

struct ct_tuple {
	union {
		struct {
			uint8_t src[16], dst[16];  /* IPv4: the first 4 bytes, the rest 0 */
			be16_t src_port, dst_port; /* ICMP: the identifier in both; no ports: 0 */
			uint32_t context;
			uint8_t proto, family;        /* IPPROTO_*; 4 or 6 */
			uint8_t icmp_type, icmp_code; /* 0 for others */
			uint32_t pad;
		};
		/* Written as it is read: a word pieced together from shorter stores is not
		 * forwarded to the load, and each such load waits for about 15 cycles. */
		uint64_t w[6];
	};
};
_Static_assert(sizeof(struct ct_tuple) == 48, "compared as six words");

static inline bool ct_tuple_equal(const struct ct_tuple *a, const struct ct_tuple *b)
{
	return !((a->w[0] ^ b->w[0]) | (a->w[1] ^ b->w[1]) | (a->w[2] ^ b->w[2]) |
		 (a->w[3] ^ b->w[3]) | (a->w[4] ^ b->w[4]) | (a->w[5] ^ b->w[5]));
}

/* An IPv4 tuple out of whole words; `ports` as it lies in the packet. */
static inline void ct_tuple_set4(struct ct_tuple *t, be32_t src, be32_t dst, uint32_t ports,
				 uint32_t context, uint8_t proto)
{
	typedef uint64_t pair __attribute__((vector_size(16)));
	const pair v[3] = {{src, 0}, {dst, 0}, {ports | (uint64_t)context << 32, proto | 4u << 8}};

	/* In pairs: it is read in words and in pairs. */
	memcpy(t->w, v, sizeof v);
}

/* Cheap and unkeyed: only for the per-thread cache, where a collision costs one look-up. */
static inline uint32_t ct_tuple_mix(const struct ct_tuple *t)
{
	const uint64_t *w = t->w;
	uint64_t h;

	h = (w[0] ^ w[4] ^ (w[1] << 7)) * 0x9e3779b97f4a7c15ull;
	h ^= (w[2] ^ w[5] ^ (w[3] << 9)) * 0xc4ceb9fe1a85ec53ull;
	return (uint32_t)(h >> 32) ^ (uint32_t)(h >> 15);
}

/* Keyed: what the shards and their buckets use. A tuple and its reverse differ in one bit only, so
 * that both directions of a connection that is not translated lie in one bucket. */
enum { CT_HASH_TURNED = 1 << 22 };
uint64_t ct_tuple_hash(const struct ct_tuple *t);
/* That of the reverse of t, whose own is `hash`. */
uint64_t ct_tuple_hash_reverse(const struct ct_tuple *t, uint64_t hash);
/* ICMP type that answers `type`; the type itself when none does. */
uint8_t ct_icmp_reply_type(uint8_t family, uint8_t type);
/* The tuple of the packets that answer. In whole words, as it is read. */
static inline struct ct_tuple ct_tuple_reverse(const struct ct_tuple *t)
{
	uint64_t p = t->w[4];
	struct ct_tuple r = {
		.w = {t->w[2], t->w[3], t->w[0], t->w[1],
		      (p & ~(uint64_t)UINT32_MAX) | (p >> 16 & 0xffff) | (p & 0xffff) << 16,
		      t->w[5]}};

	_Static_assert(offsetof(struct ct_tuple, src_port) == 32 &&
			       offsetof(struct ct_tuple, dst_port) == 34,
		       "ports in word 4");
	if (t->proto == (t->family == 4 ? 1 : 58))
		r.icmp_type = ct_icmp_reply_type(t->family, t->icmp_type);
	return r;
}
bool ct_icmp_is_request(uint8_t family, uint8_t type);
static inline bool ct_proto_has_ports(uint8_t proto)
{
	return proto == 6 || proto == 17 || proto == 132; /* TCP, UDP, SCTP */
}
