/* SPDX-License-Identifier: BSD-3-Clause */
/* The packet parser: see extract.h. Poll threads run it on every packet; it must never read past
 * `len` and never loop more often than the constants say.
 *
 * flow_extract() first tries the shapes that most packets have (IP without options, TCP or UDP,
 * with no or one tag) with wide loads and stores; everything else goes through the cursor
 * below, header by header. */
#include "datapath/flow/extract.h"
#include "datapath/flow/extract_plain.h"

#include <string.h>

enum {
	SNAP_BYTES = 8,
	IPV6_BYTES = 40,
	ARP_BYTES = 28,
	SCTP_BYTES = 12,
	ICMP_BYTES = 8,
	ND_TARGET_BYTES = 16,
	ND_OPTION_BYTES = 8,
};
enum {
	ETH_TYPE_MIN = 0x600,
	ETH_TYPE_NONE = 0x5ff,
	ETH_TYPE_ARP = 0x0806,
	ETH_TYPE_RARP = 0x8035,
	ETH_TYPE_VLAN = 0x8100,
	ETH_TYPE_QINQ = 0x88a8,
	ETH_TYPE_IPV6 = 0x86dd,
	ETH_TYPE_MPLS = 0x8847,
	ETH_TYPE_MPLS_MCAST = 0x8848,
};
enum {
	PROTO_HOPOPTS = 0,
	PROTO_ICMP = 1,
	PROTO_IGMP = 2,
	PROTO_ROUTING = 43,
	PROTO_FRAGMENT = 44,
	PROTO_AH = 51,
	PROTO_ICMPV6 = 58,
	PROTO_DSTOPTS = 60,
	PROTO_SCTP = 132,
};
enum { ND_SOLICIT = 135, ND_ADVERT = 136, ND_OPT_SLL = 1, ND_OPT_TLL = 2 };
enum { LINES_IPV4 = 1 << FLOW_LINE_BASE, LINES_IPV6 = 1 << FLOW_LINE_BASE | 1 << FLOW_LINE_IPV6 };
enum { FLOW_L2_BYTES = 32 }; /* of line 0: all that Ethernet and VLANs fill */
enum { IPV6_OFS_MASK = 0xfff8 };

_Static_assert(offsetof(struct flow_key, ip_src) == FLOW_L2_BYTES, "L2 is the first half");

/* A packet being read: the next header is at `at`; bytes up to `end` may be read, of which none is
 * behind the contiguous part. */
struct cursor {
	const uint8_t *data;
	uint32_t at, end;
	uint32_t pkt_len;
};

static inline bool has(const struct cursor *c, uint32_t n)
{
	return c->end - c->at >= n;
}

static inline const uint8_t *here(const struct cursor *c)
{
	return c->data + c->at;
}

static inline void clear_line(struct flow_key *key, unsigned line)
{
	memset((uint8_t *)key + line * FLOW_LINE_BYTES, 0, FLOW_LINE_BYTES);
}

/* SNAP behind an 802.3 length: its type, else "none". Moves past it when it counts. */
static uint16_t read_llc(struct cursor *c)
{
	static const uint8_t snap[6] = {0xaa, 0xaa, 0x03, 0, 0, 0};
	const uint8_t *p = here(c);

	if (!has(c, SNAP_BYTES) || memcmp(p, snap, sizeof snap))
		return ETH_TYPE_NONE;
	c->at += SNAP_BYTES;
	return load_be16(p + 6) >= ETH_TYPE_MIN ? load_be16(p + 6) : ETH_TYPE_NONE;
}

/* How many tags are taken for tags; the next one is the ethertype of a packet with unknown
 * contents. */
static uint8_t vlan_limit = EXTRACT_MAX_VLANS; /* W: main, relaxed  R: any */

void flow_extract_set_vlan_limit(uint8_t n)
{
	__atomic_store_n(&vlan_limit, SL_MIN(n, (uint8_t)EXTRACT_MAX_VLANS), __ATOMIC_RELAXED);
}

uint8_t flow_extract_vlan_limit(void)
{
	return __atomic_load_n(&vlan_limit, __ATOMIC_RELAXED);
}

/* Addresses, tags, type. Leaves the cursor behind them; returns the type, 0 for a runt. */
static uint16_t read_l2(struct cursor *c, struct flow_key *key, uint8_t *n_vlans)
{
	uint16_t type;
	uint8_t n = 0, limit = flow_extract_vlan_limit();

	*n_vlans = 0;
	if (!has(c, ETH_BYTES))
		return 0;
	memcpy(key->eth_dst, c->data, 6);
	memcpy(key->eth_src, c->data + 6, 6);
	type = load_be16(c->data + 12);
	c->at = ETH_BYTES;
	while ((type == ETH_TYPE_VLAN || type == ETH_TYPE_QINQ) && n < limit &&
	       has(c, VLAN_BYTES)) {
		key->vlan[n].tpid = cpu_to_be16(type);
		key->vlan[n].tci = raw16(here(c)) | cpu_to_be16(VLAN_CFI);
		type = load_be16(here(c) + 2);
		c->at += VLAN_BYTES;
		n++;
	}
	if (type < ETH_TYPE_MIN)
		type = read_llc(c);
	key->eth_type = cpu_to_be16(type);
	*n_vlans = n;
	return type;
}

static uint16_t read_mpls(struct cursor *c, struct flow_key *key)
{
	unsigned n = 0;

	clear_line(key, FLOW_LINE_EXTRA);
	while (n < SL_ARRAY_SIZE(key->mpls_lse) && has(c, 4)) {
		const uint8_t *lse = here(c);

		key->mpls_lse[n++] = raw32(lse);
		c->at += 4;
		if (lse[2] & 1)
			break;
	}
	key->mpls_depth = (uint8_t)n;
	return 1u << FLOW_LINE_EXTRA;
}

static uint16_t read_arp(struct cursor *c, struct flow_key *key, struct flow_offsets *ofs,
			 bool line0_only)
{
	static const uint8_t eth_ipv4[6] = {0, 1, 0x08, 0x00, 6, 4};
	const uint8_t *p = here(c);

	if (!has(c, ARP_BYTES) || memcmp(p, eth_ipv4, sizeof eth_ipv4))
		return 0;
	ofs->is_arp = 1;
	key->ip_src = raw32(p + 14);
	key->ip_dst = raw32(p + 24);
	key->ip_proto = p[6] ? 0 : p[7];
	if (line0_only)
		return 0;
	clear_line(key, FLOW_LINE_IPV6);
	memcpy(key->arp_sha, p + 8, 6);
	memcpy(key->arp_tha, p + 18, 6);
	return 1u << FLOW_LINE_IPV6;
}

/* The header's own length fields against the packet's. Sets the cursor's end to the datagram's. */
static bool read_ipv4(struct cursor *c, struct flow_key *key, struct flow_offsets *ofs)
{
	const uint8_t *p = here(c);
	uint32_t left = c->pkt_len - c->at, ihl, total, frag;

	if (!has(c, IPV4_BYTES))
		return false;
	ihl = (p[0] & 15u) * 4;
	total = load_be16(p + 2);
	if (ihl < IPV4_BYTES || !has(c, ihl) || total > left || ihl > total ||
	    left - total > UINT16_MAX)
		return false;
	ofs->tail_pad = (uint16_t)(left - total);
	ofs->ip_version = 4;
	c->end = SL_MIN(c->end, c->at + total);
	c->at += ihl;
	ofs->ip_payload = (uint16_t)c->at;
	key->ip_src = raw32(p + 12);
	key->ip_dst = raw32(p + 16);
	key->ip_tos = p[1];
	key->ip_ttl = p[8];
	key->ip_proto = p[9];
	frag = load_be16(p + 6);
	if (frag & (IPV4_MF | IPV4_OFS_MASK))
		key->ip_frag =
			frag & IPV4_OFS_MASK ? FLOW_FRAG_ANY | FLOW_FRAG_LATER : FLOW_FRAG_ANY;
	return true;
}

/* Past the extension headers. false when they do not fit or are too many. */
static bool skip_ipv6_ext(struct cursor *c, uint8_t *proto, uint8_t *frag)
{
	for (unsigned n = 0; n <= EXTRACT_MAX_IPV6_EXT; n++) {
		const uint8_t *p = here(c);
		uint32_t bytes = 8;

		if (*proto != PROTO_HOPOPTS && *proto != PROTO_ROUTING && *proto != PROTO_DSTOPTS &&
		    *proto != PROTO_AH && *proto != PROTO_FRAGMENT)
			return true;
		if (!has(c, 8) || n == EXTRACT_MAX_IPV6_EXT)
			return false;
		if (*proto == PROTO_AH)
			bytes = (p[1] + 2u) * 4;
		else if (*proto != PROTO_FRAGMENT)
			bytes = (p[1] + 1u) * 8;
		if (!has(c, bytes))
			return false;
		c->at += bytes;
		if (*proto == PROTO_FRAGMENT && load_be16(p + 2)) {
			*frag = FLOW_FRAG_ANY;
			if (load_be16(p + 2) & IPV6_OFS_MASK) {
				*frag |= FLOW_FRAG_LATER;
				return true;
			}
		}
		*proto = p[0];
	}
	return false;
}

static bool read_ipv6(struct cursor *c, struct flow_key *key, struct flow_offsets *ofs,
		      uint16_t *lines, bool line0_only)
{
	const uint8_t *p = here(c);
	uint32_t left = c->pkt_len - c->at, total;
	uint8_t proto, frag = 0;

	if (!has(c, IPV6_BYTES))
		return false;
	total = IPV6_BYTES + load_be16(p + 4);
	if (total > left || left - total > UINT16_MAX)
		return false;
	ofs->tail_pad = (uint16_t)(left - total);
	ofs->ip_version = 6;
	c->end = SL_MIN(c->end, c->at + total);
	c->at += IPV6_BYTES;
	proto = p[6];
	if (!line0_only) {
		clear_line(key, FLOW_LINE_IPV6);
		memcpy(key->ipv6_src, p + 8, 16);
		memcpy(key->ipv6_dst, p + 24, 16);
		*lines |= 1u << FLOW_LINE_IPV6;
	}
	if (!skip_ipv6_ext(c, &proto, &frag))
		return false;
	ofs->ip_payload = (uint16_t)c->at;
	key->ip_proto = proto;
	key->ip_frag = frag;
	key->ip_tos = (uint8_t)(load_be16(p) >> 4);
	key->ip_ttl = p[7];
	if (!line0_only)
		key->ipv6_label = raw32(p) & cpu_to_be32(0xfffff);
	return true;
}

/* Target and link-layer addresses. An option seen twice makes the message mean nothing. */
static void read_nd_options(struct cursor *c, struct flow_key *key, struct flow_offsets *ofs)
{
	static const uint8_t zero[6];

	memcpy(key->nd_target, here(c), ND_TARGET_BYTES);
	c->at += ND_TARGET_BYTES;
	while (has(c, ND_OPTION_BYTES)) {
		const uint8_t *p = here(c);
		uint32_t bytes = p[1] * 8u;
		uint8_t *mac = p[0] == ND_OPT_SLL ? key->arp_sha : key->arp_tha;

		if (!bytes || !has(c, bytes))
			return;
		if ((p[0] == ND_OPT_SLL || p[0] == ND_OPT_TLL) && bytes == ND_OPTION_BYTES) {
			if (memcmp(mac, zero, 6)) {
				memset(key->nd_target, 0, 16);
				memset(key->arp_sha, 0, 6);
				memset(key->arp_tha, 0, 6);
				ofs->nd_sll = ofs->nd_tll = 0;
				return;
			}
			memcpy(mac, p + 2, 6);
			if (p[0] == ND_OPT_SLL)
				ofs->nd_sll = (uint16_t)(c->at + 2);
			else
				ofs->nd_tll = (uint16_t)(c->at + 2);
			if (!key->nd_options_type)
				key->nd_options_type = p[0];
		}
		c->at += bytes;
	}
}

static uint16_t read_icmpv6(struct cursor *c, struct flow_key *key, struct flow_offsets *ofs,
			    bool line0_only)
{
	const uint8_t *p = here(c);

	if (!has(c, ICMP_BYTES))
		return 0;
	key->tp_src = cpu_to_be16(p[0]);
	key->tp_dst = cpu_to_be16(p[1]);
	ofs->l4 = (uint16_t)c->at;
	c->at += ICMP_BYTES;
	ofs->payload = (uint16_t)c->at;
	if (line0_only || p[1] || (p[0] != ND_SOLICIT && p[0] != ND_ADVERT))
		return 0;
	clear_line(key, FLOW_LINE_EXTRA);
	key->nd_reserved = raw32(p + 4);
	if (has(c, ND_TARGET_BYTES))
		read_nd_options(c, key, ofs);
	return 1u << FLOW_LINE_EXTRA;
}

static void set_l4(struct cursor *c, struct flow_key *key, struct flow_offsets *ofs,
		   uint32_t header_bytes)
{
	key->tp_src = raw16(here(c));
	key->tp_dst = raw16(here(c) + 2);
	ofs->l4 = (uint16_t)c->at;
	ofs->payload = (uint16_t)(c->at + header_bytes);
}

static uint16_t read_l4(struct cursor *c, struct flow_key *key, struct flow_offsets *ofs,
			bool line0_only)
{
	const uint8_t *p = here(c);
	uint32_t tcp_bytes;

	switch (key->ip_proto) {
	case PROTO_TCP:
		/* The data offset must make sense, too. */
		if (!has(c, TCP_BYTES))
			return 0;
		tcp_bytes = (p[12] >> 4) * 4u;
		if (tcp_bytes < TCP_BYTES || !has(c, tcp_bytes))
			return 0;
		key->tcp_flags = raw16(p + 12) & cpu_to_be16(0x0fff);
		set_l4(c, key, ofs, tcp_bytes);
		return 0;
	case PROTO_UDP:
		if (has(c, UDP_BYTES))
			set_l4(c, key, ofs, UDP_BYTES);
		return 0;
	case PROTO_SCTP:
		if (has(c, SCTP_BYTES))
			set_l4(c, key, ofs, SCTP_BYTES);
		return 0;
	case PROTO_ICMP:
	case PROTO_IGMP:
		if (ofs->ip_version != 4 || !has(c, ICMP_BYTES))
			return 0;
		key->tp_src = cpu_to_be16(p[0]);
		key->tp_dst = cpu_to_be16(p[1]);
		ofs->l4 = (uint16_t)c->at;
		ofs->payload = (uint16_t)(c->at + ICMP_BYTES);
		return 0;
	case PROTO_ICMPV6:
		return ofs->ip_version == 6 ? read_icmpv6(c, key, ofs, line0_only) : 0;
	}
	return 0;
}

static uint16_t parse(const uint8_t *data, uint32_t len, uint32_t pkt_len, struct flow_key *key,
		      struct flow_offsets *ofs, bool line0_only)
{
	struct cursor c = {.data = data, .end = SL_MIN(len, pkt_len), .pkt_len = pkt_len};
	uint16_t lines = 1u << FLOW_LINE_BASE, type;

	clear_line(key, FLOW_LINE_BASE);
	*ofs = (struct flow_offsets){0};
	type = read_l2(&c, key, &ofs->n_vlans);
	ofs->l3 = (uint16_t)c.at;
	if (type == ETH_TYPE_IPV4) {
		if (!read_ipv4(&c, key, ofs))
			return lines;
	} else if (type == ETH_TYPE_IPV6) {
		if (!read_ipv6(&c, key, ofs, &lines, line0_only))
			return lines;
	} else if (type == ETH_TYPE_ARP || type == ETH_TYPE_RARP) {
		return lines | read_arp(&c, key, ofs, line0_only);
	} else {
		if ((type == ETH_TYPE_MPLS || type == ETH_TYPE_MPLS_MCAST) && !line0_only)
			lines |= read_mpls(&c, key);
		return lines;
	}
	key->ttl_class = SL_MIN(key->ip_ttl, 15);
	ofs->ip_proto = key->ip_proto;
	if (!(key->ip_frag & FLOW_FRAG_LATER))
		lines |= read_l4(&c, key, ofs, line0_only);
	return lines;
}

/* IPv6 straight followed by TCP or UDP, likewise; l3 + 60 bytes can be read. */
static inline bool parse_plain6(const uint8_t *data, uint32_t len, uint32_t pkt_len, uint32_t l3,
				uint64_t vlans, struct flow_key *key, struct flow_offsets *ofs,
				bool line0_only)
{
	const uint8_t *ip = data + l3, *l4 = ip + IPV6_BYTES;
	uint8_t *line = (uint8_t *)key;
	uint32_t left = pkt_len - l3, total = IPV6_BYTES + load_be16(ip + 4);
	bool is_tcp = ip[6] == PROTO_TCP;
	uint32_t l4_bytes = is_tcp ? (l4[12] >> 4) * 4u : (uint32_t)UDP_BYTES;

	if (!(is_tcp || ip[6] == PROTO_UDP) || total > left || total < IPV6_BYTES + l4_bytes ||
	    left - total > UINT16_MAX || len < l3 + IPV6_BYTES + l4_bytes ||
	    (is_tcp && l4_bytes < TCP_BYTES))
		return false;
	put_front(line, 0, data, ETH_TYPE_IPV6, ip[6], (uint8_t)(load_be16(ip) >> 4), vlans);
	put_back(line, 0, l4, is_tcp, ip[7]);
	if (!line0_only) {
		uint64_t label = raw32(ip) & cpu_to_be32(0xfffff);

		memcpy(key->ipv6_src, ip + 8, 32);
		memset(key->nd_target, 0, 16);
		memcpy(&key->ipv6_label, &label, 8);
		memset((uint8_t *)&key->ipv6_label + 8, 0, 8);
	}
	*ofs = (struct flow_offsets){
		.l3 = (uint16_t)l3,
		.l4 = (uint16_t)(l3 + IPV6_BYTES),
		.ip_payload = (uint16_t)(l3 + IPV6_BYTES),
		.payload = (uint16_t)(l3 + IPV6_BYTES + l4_bytes),
		.tail_pad = (uint16_t)(left - total),
		.ip_version = 6,
		.ip_proto = ip[6],
		.n_vlans = l3 != ETH_BYTES,
	};
	return true;
}

/* Lines written; 0: not one of the plain shapes, nothing is written. */
static inline uint16_t parse_fast(const uint8_t *data, uint32_t len, uint32_t pkt_len,
				  struct flow_key *key, struct flow_offsets *ofs, bool line0_only)
{
	uint32_t l3 = ETH_BYTES;
	uint64_t vlans = 0;
	uint16_t type;

	if (SL_UNLIKELY(len < PLAIN_BYTES_MIN || len > pkt_len))
		return 0;
	type = raw16(data + 12);
	if (type == cpu_to_be16(ETH_TYPE_VLAN)) {
		vlans = raw32(data + 12) | (uint32_t)cpu_to_be16(VLAN_CFI) << 16;
		type = raw16(data + 16);
		l3 += VLAN_BYTES;
	}
	if (SL_LIKELY(type == cpu_to_be16(ETH_TYPE_IPV4)))
		return parse_plain(data, len, pkt_len, l3, 0, vlans, key, ofs) ? LINES_IPV4 : 0;
	if (type == cpu_to_be16(ETH_TYPE_IPV6) && len >= l3 + IPV6_BYTES + TCP_BYTES &&
	    parse_plain6(data, len, pkt_len, l3, vlans, key, ofs, line0_only))
		return line0_only ? LINES_IPV4 : LINES_IPV6;
	return 0;
}

uint16_t flow_extract(const uint8_t *data, uint32_t len, uint32_t pkt_len, struct flow_key *key,
		      struct flow_offsets *ofs)
{
	uint16_t lines = parse_fast(data, len, pkt_len, key, ofs, false);

	if (SL_LIKELY(lines))
		return lines;
	return parse(data, SL_MIN(len, (uint32_t)EXTRACT_MAX_BYTES), pkt_len, key, ofs, false);
}

uint16_t flow_extract_reference(const uint8_t *data, uint32_t len, uint32_t pkt_len,
				struct flow_key *key, struct flow_offsets *ofs)
{
	return parse(data, SL_MIN(len, (uint32_t)EXTRACT_MAX_BYTES), pkt_len, key, ofs, false);
}

static uint8_t extract_l2(const uint8_t *data, uint32_t len, struct flow_key *key, uint16_t *l3)
{
	struct cursor c = {.data = data, .end = SL_MIN(len, (uint32_t)EXTRACT_MAX_BYTES)};
	uint8_t n_vlans;

	memset(key, 0, FLOW_L2_BYTES);
	read_l2(&c, key, &n_vlans);
	*l3 = (uint16_t)c.at;
	return n_vlans;
}

void flow_extract_l2(const uint8_t *data, uint32_t len, struct flow_key *key)
{
	uint16_t l3;

	extract_l2(data, len, key, &l3);
}

uint16_t flow_extract_depth(enum extract_depth depth, const uint8_t *data, uint32_t len,
			    uint32_t pkt_len, struct flow_key *key, struct flow_offsets *ofs)
{
	switch (depth) {
	case EXTRACT_L2:
		clear_line(key, FLOW_LINE_BASE);
		*ofs = (struct flow_offsets){0};
		ofs->n_vlans = extract_l2(data, SL_MIN(len, pkt_len), key, &ofs->l3);
		return 1u << FLOW_LINE_BASE;
	case EXTRACT_L4:
		if (SL_LIKELY(parse_fast(data, len, pkt_len, key, ofs, true)))
			return 1u << FLOW_LINE_BASE;
		return parse(data, SL_MIN(len, (uint32_t)EXTRACT_MAX_BYTES), pkt_len, key, ofs,
			     true);
	case EXTRACT_FULL:
		return flow_extract(data, len, pkt_len, key, ofs);
	}
	return 0;
}
