/* SPDX-License-Identifier: BSD-3-Clause */
/* The shape that nearly all packets have, IPv4 without options or fragments that carries TCP or
 * UDP, to a flow key in a straight line. Here so that the parser (extract.c) and the flow cache's
 * look-up, which is built once per instruction set, have it inline. Nothing else includes this. Any
 * thread. */
#pragma once
#include <string.h>

#include "datapath/flow/extract.h"

enum { ETH_BYTES = 14, VLAN_BYTES = 4, IPV4_BYTES = 20, TCP_BYTES = 20, UDP_BYTES = 8 };
enum { ETH_TYPE_IPV4 = 0x0800, PROTO_TCP = 6, PROTO_UDP = 17 };
enum { IPV4_MF = 0x2000, IPV4_OFS_MASK = 0x1fff };
/* Shorter packets are rare and go the long way: Ethernet, one tag, IPv4 and TCP. */
enum { PLAIN_BYTES_MIN = ETH_BYTES + VLAN_BYTES + IPV4_BYTES + TCP_BYTES };

static inline be16_t raw16(const uint8_t *p)
{
	be16_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static inline be32_t raw32(const uint8_t *p)
{
	be32_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static inline uint64_t raw64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

/* The key is hashed at once, 16 bytes at a time: what was stored in 16 bytes is forwarded to such a
 * load, what was pieced together from shorter stores makes it wait for about 15 cycles. */
static inline void put16(uint8_t *to, uint64_t lo, uint64_t hi)
{
	typedef uint64_t pair __attribute__((vector_size(16)));
	pair v = {lo, hi};

	memcpy(to, &v, sizeof v);
}

/* The first half of line 0. */
static inline void put_front(uint8_t *line, uint32_t in_port, const uint8_t *data, uint16_t type,
			     uint8_t proto, uint8_t tos, uint64_t vlans)
{
	/* src[2..5], type, proto, tos */
	uint64_t tail = (raw64(data + 8) & 0xffffffffull) | (uint64_t)cpu_to_be16(type) << 32 |
			(uint64_t)proto << 48 | (uint64_t)tos << 56;

	put16(line, in_port, raw64(data)); /* recirc_id 0 */
	put16(line + 16, tail, vlans);
}

/* The second: addresses, ports, flags, TTL; no fragment, no connection, no tunnel. */
static inline void put_back(uint8_t *line, uint64_t addrs, const uint8_t *l4, bool is_tcp,
			    uint8_t ttl)
{
	uint64_t word = raw32(l4) | (uint64_t)ttl << 48;

	if (is_tcp)
		word |= (uint64_t)(raw16(l4 + 12) & cpu_to_be16(0x0fff)) << 32;
	put16(line + 32, addrs, word);
	put16(line + 48, (uint64_t)SL_MIN(ttl, 15) << 24, 0); /* ct_*, ttl_class, tun_id */
}

/* IPv4 without options or fragments carrying TCP or UDP, at `l3`; the caller has seen the type and
 * that l3 + 40 bytes can be read. false: not such a packet, nothing is written. */
static inline bool parse_plain(const uint8_t *data, uint32_t len, uint32_t pkt_len, uint32_t l3,
			       uint32_t in_port, uint64_t vlans, struct flow_key *key,
			       struct flow_offsets *ofs)
{
	const uint8_t *ip = data + l3, *l4 = ip + IPV4_BYTES;
	uint8_t *line = (uint8_t *)key;
	uint32_t left = pkt_len - l3, total = load_be16(ip + 2);
	bool is_tcp = ip[9] == PROTO_TCP;
	uint32_t l4_bytes = is_tcp ? (l4[12] >> 4) * 4u : (uint32_t)UDP_BYTES;

	if (ip[0] != 0x45 || (raw16(ip + 6) & cpu_to_be16(IPV4_MF | IPV4_OFS_MASK)) ||
	    !(is_tcp || ip[9] == PROTO_UDP) || total > left || total < IPV4_BYTES + l4_bytes ||
	    left - total > UINT16_MAX || len < l3 + IPV4_BYTES + l4_bytes ||
	    (is_tcp && l4_bytes < TCP_BYTES))
		return false;
	put_front(line, in_port, data, ETH_TYPE_IPV4, ip[9], ip[1], vlans);
	put_back(line, raw64(ip + 12), l4, is_tcp, ip[8]);
	*ofs = (struct flow_offsets){
		.l3 = (uint16_t)l3,
		.l4 = (uint16_t)(l3 + IPV4_BYTES),
		.ip_payload = (uint16_t)(l3 + IPV4_BYTES),
		.payload = (uint16_t)(l3 + IPV4_BYTES + l4_bytes),
		.tail_pad = (uint16_t)(left - total),
		.ip_version = 4,
		.ip_proto = ip[9],
		.n_vlans = l3 != ETH_BYTES,
	};
	return true;
}
