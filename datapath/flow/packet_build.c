/* SPDX-License-Identifier: BSD-3-Clause */
/* Composing packets from flow keys: see packet_build.h. Not on the fast path. */
#include "datapath/flow/packet_build.h"

#include <string.h>

enum {
	TYPE_NONE = 0x5ff,
	TYPE_IPV4 = 0x0800,
	TYPE_ARP = 0x0806,
	TYPE_RARP = 0x8035,
	TYPE_IPV6 = 0x86dd,
	TYPE_MPLS = 0x8847,
	TYPE_MPLS_MCAST = 0x8848,
};
enum {
	P_ICMP = 1,
	P_IGMP = 2,
	P_TCP = 6,
	P_UDP = 17,
	P_FRAGMENT = 44,
	P_ICMPV6 = 58,
	P_SCTP = 132
};
enum { LATER_OFFSET_BYTES = 800 };

/* The packet so far; `full` once something did not fit. */
struct writer {
	uint8_t *buf;
	size_t len, cap;
	bool full;
};

static uint8_t *put(struct writer *w, size_t n)
{
	static uint8_t scratch[64]; /* what nobody reads */
	uint8_t *p = w->buf + w->len;

	if (w->full || n > w->cap - w->len) {
		w->full = true;
		return n <= sizeof scratch ? scratch : w->buf;
	}
	memset(p, 0, n);
	w->len += n;
	return p;
}

static void put_ethernet(struct writer *w, const struct flow_key *k)
{
	uint16_t type = be16_to_cpu(k->eth_type);
	uint8_t *p = put(w, 12), *length;

	memcpy(p, k->eth_dst, 6);
	memcpy(p + 6, k->eth_src, 6);
	for (unsigned i = 0; i < 2 && (k->vlan[i].tci & cpu_to_be16(VLAN_CFI)); i++) {
		uint16_t tpid = be16_to_cpu(k->vlan[i].tpid);

		p = put(w, 4);
		store_be16(p, tpid ? tpid : 0x8100);
		store_be16(p + 2, be16_to_cpu(k->vlan[i].tci) & (uint16_t)~VLAN_CFI);
	}
	length = put(w, 2);
	if (type == TYPE_NONE) {
		p = put(w, 3);
		memcpy(p, (const uint8_t[]){0x42, 0x42, 0x03}, 3);
		store_be16(length, 3);
	} else {
		store_be16(length, type);
	}
}

static void put_mpls(struct writer *w, const struct flow_key *k)
{
	unsigned n = SL_MAX(k->mpls_depth, 1);

	for (unsigned i = 0; i < n && i < SL_ARRAY_SIZE(k->mpls_lse); i++)
		memcpy(put(w, 4), &k->mpls_lse[i], 4);
}

static void put_arp(struct writer *w, const struct flow_key *k)
{
	uint8_t *p = put(w, 28);

	memcpy(p, (const uint8_t[]){0, 1, 0x08, 0, 6, 4, 0}, 7);
	p[7] = k->ip_proto;
	memcpy(p + 8, k->arp_sha, 6);
	memcpy(p + 14, &k->ip_src, 4);
	memcpy(p + 18, k->arp_tha, 6);
	memcpy(p + 24, &k->ip_dst, 4);
}

static void put_nd(struct writer *w, const struct flow_key *k)
{
	static const uint8_t zero[6];
	const uint8_t *macs[2] = {k->arp_sha, k->arp_tha};

	memcpy(put(w, 16), k->nd_target, 16);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *p;

		if (!memcmp(macs[i], zero, 6) && k->nd_options_type != i + 1)
			continue;
		p = put(w, 8);
		p[0] = (uint8_t)(i + 1);
		p[1] = 1;
		memcpy(p + 2, macs[i], 6);
	}
}

static void put_l4(struct writer *w, const struct flow_key *k)
{
	uint8_t *p;

	switch (k->ip_proto) {
	case P_TCP:
		p = put(w, 20);
		store_be16(p + 12, 0x5000 | (be16_to_cpu(k->tcp_flags) & 0xfff));
		break;
	case P_UDP:
		p = put(w, 8);
		break;
	case P_SCTP:
		p = put(w, 12);
		break;
	case P_ICMP:
	case P_IGMP:
	case P_ICMPV6:
		p = put(w, 8);
		p[0] = (uint8_t)be16_to_cpu(k->tp_src);
		p[1] = (uint8_t)be16_to_cpu(k->tp_dst);
		if (k->ip_proto == P_ICMPV6 && !p[1] && (p[0] == 135 || p[0] == 136)) {
			memcpy(p + 4, &k->nd_reserved, 4);
			put_nd(w, k);
		}
		return;
	default:
		return;
	}
	memcpy(p, &k->tp_src, 2);
	memcpy(p + 2, &k->tp_dst, 2);
}

struct payload {
	size_t n_counting, n_zeros; /* bytes 0, 1, 2 …, and zeros behind them */
};

static void put_payload(struct writer *w, struct payload payload)
{
	uint8_t *p = put(w, payload.n_counting);

	for (size_t i = 0; i < payload.n_counting && !w->full; i++)
		p[i] = (uint8_t)i;
	put(w, payload.n_zeros);
}

static void put_ipv4(struct writer *w, const struct flow_key *k, struct payload payload)
{
	size_t start = w->len;
	uint8_t *p = put(w, 20);
	uint16_t frag = 0;

	p[0] = 0x45;
	p[1] = k->ip_tos;
	if (k->ip_frag & FLOW_FRAG_LATER)
		frag = 0x2000 | LATER_OFFSET_BYTES / 8;
	else if (k->ip_frag & FLOW_FRAG_ANY)
		frag = 0x2000;
	store_be16(p + 6, frag);
	p[8] = k->ip_ttl;
	p[9] = k->ip_proto;
	memcpy(p + 12, &k->ip_src, 4);
	memcpy(p + 16, &k->ip_dst, 4);
	if (!(k->ip_frag & FLOW_FRAG_LATER))
		put_l4(w, k);
	put_payload(w, payload);
	if (!w->full)
		store_be16(p + 2, (uint16_t)(w->len - start));
}

static void put_ipv6(struct writer *w, const struct flow_key *k, struct payload payload)
{
	size_t start = w->len + 40;
	uint8_t *p = put(w, 40), *frag;

	store_be32(p, 0x60000000u | (uint32_t)k->ip_tos << 20 | be32_to_cpu(k->ipv6_label));
	p[6] = k->ip_frag ? P_FRAGMENT : k->ip_proto;
	p[7] = k->ip_ttl;
	memcpy(p + 8, k->ipv6_src, 16);
	memcpy(p + 24, k->ipv6_dst, 16);
	if (k->ip_frag) {
		bool later = k->ip_frag & FLOW_FRAG_LATER;

		frag = put(w, 8);
		frag[0] = later ? P_UDP : k->ip_proto;
		store_be16(frag + 2, later ? LATER_OFFSET_BYTES : 1);
	}
	if (!(k->ip_frag & FLOW_FRAG_LATER))
		put_l4(w, k);
	put_payload(w, payload);
	if (!w->full)
		store_be16(p + 4, (uint16_t)(w->len - start));
}

static size_t build(const struct flow *flow, struct payload payload, uint8_t *buf, size_t cap)
{
	const struct flow_key *k = &flow->key;
	struct writer w = {.buf = buf, .cap = cap};
	struct flow_offsets ofs;
	struct flow_key parsed;
	uint16_t type = be16_to_cpu(k->eth_type);

	put_ethernet(&w, k);
	if (type == TYPE_IPV4) {
		put_ipv4(&w, k, payload);
	} else if (type == TYPE_IPV6) {
		put_ipv6(&w, k, payload);
	} else if (type == TYPE_ARP || type == TYPE_RARP) {
		put_arp(&w, k);
	} else {
		if (type == TYPE_MPLS || type == TYPE_MPLS_MCAST)
			put_mpls(&w, k);
		put_payload(&w, payload);
	}
	if (w.full)
		return 0;
	flow_extract(buf, (uint32_t)w.len, (uint32_t)w.len, &parsed, &ofs);
	packet_fix_checksums(buf, w.len, &ofs);
	return w.len;
}

size_t packet_build(const struct flow *flow, size_t payload_bytes, uint8_t *buf, size_t cap)
{
	return build(flow, (struct payload){.n_zeros = payload_bytes}, buf, cap);
}

static bool carries_data(const struct flow_key *k)
{
	enum { FIN_SYN_RST = 0x07 };
	uint16_t type = be16_to_cpu(k->eth_type), icmp = be16_to_cpu(k->tp_src);

	if ((type != TYPE_IPV4 && type != TYPE_IPV6) || k->ip_frag & FLOW_FRAG_LATER)
		return false;
	switch (k->ip_proto) {
	case P_TCP:
		return !(be16_to_cpu(k->tcp_flags) & FIN_SYN_RST);
	case P_UDP:
	case P_ICMP:
		return true;
	case P_ICMPV6:
		return icmp != 135 && icmp != 136;
	}
	return false;
}

size_t packet_compose(const struct flow *flow, size_t len, uint8_t *buf, size_t cap)
{
	struct payload payload = {.n_counting = !len && carries_data(&flow->key) ? 64 : 0};
	size_t n = build(flow, payload, buf, cap);

	if (n && n < len) {
		payload.n_zeros = len - n;
		n = build(flow, payload, buf, cap);
	}
	return n;
}

uint32_t inet_csum_add(uint32_t sum, const void *p, size_t n)
{
	const uint8_t *b = p;
	uint64_t s = sum;

	for (; n >= 2; n -= 2, b += 2)
		s += load_be16(b);
	if (n)
		s += (uint32_t)b[0] << 8;
	while (s >> 32)
		s = (s & 0xffffffff) + (s >> 32);
	return (uint32_t)s;
}

uint16_t inet_csum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint32_t crc32c(const uint8_t *p, size_t n)
{
	uint32_t crc = 0xffffffff;

	while (n--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

/* The sum over the pseudo header and everything from ofs->l4. */
static uint16_t l4_sum(const uint8_t *data, const struct flow_offsets *ofs, size_t bytes)
{
	const uint8_t *ip = data + ofs->l3;
	uint32_t sum = ofs->ip_proto + (uint32_t)bytes;

	sum = ofs->ip_version == 4 ? inet_csum_add(sum, ip + 12, 8)
				   : inet_csum_add(sum, ip + 8, 32);
	return inet_csum_fold(inet_csum_add(sum, data + ofs->l4, bytes));
}

static void fix_l4(uint8_t *data, size_t bytes, const struct flow_offsets *ofs)
{
	uint8_t *l4 = data + ofs->l4;
	uint32_t crc;
	uint16_t sum;

	switch (ofs->ip_proto) {
	case P_TCP:
		store_be16(l4 + 16, 0);
		store_be16(l4 + 16, l4_sum(data, ofs, bytes));
		break;
	case P_UDP:
		store_be16(l4 + 4, (uint16_t)bytes);
		store_be16(l4 + 6, 0);
		sum = l4_sum(data, ofs, bytes);
		store_be16(l4 + 6, sum ? sum : 0xffff);
		break;
	case P_ICMPV6:
		store_be16(l4 + 2, 0);
		store_be16(l4 + 2, l4_sum(data, ofs, bytes));
		break;
	case P_ICMP:
	case P_IGMP:
		store_be16(l4 + 2, 0);
		store_be16(l4 + 2, inet_csum_fold(inet_csum_add(0, l4, bytes)));
		break;
	case P_SCTP:
		memset(l4 + 8, 0, 4);
		crc = crc32c(l4, bytes);
		memcpy(l4 + 8, &crc, 4);
		break;
	}
}

void packet_fix_checksums(uint8_t *data, size_t len, const struct flow_offsets *ofs)
{
	uint8_t *ip = data + ofs->l3;
	bool frag;

	if (!ofs->ip_version)
		return;
	if (ofs->ip_version == 4) {
		store_be16(ip + 10, 0);
		store_be16(ip + 10, inet_csum_fold(inet_csum_add(0, ip, (ip[0] & 15u) * 4)));
	}
	/* The checksum of a fragment is that of the whole datagram, which is not here. */
	frag = ofs->ip_version == 4 ? load_be16(ip + 6) & 0x3fff : ip[6] == P_FRAGMENT;
	if (ofs->l4 && !frag)
		fix_l4(data, len - ofs->tail_pad - ofs->l4, ofs);
}

static uint32_t anchor_offset(const struct flow_offsets *ofs, enum field_anchor anchor)
{
	switch (anchor) {
	case HDR_NONE:
		break;
	case HDR_ETH:
		return 0;
	case HDR_VLAN:
		return ofs->n_vlans ? 14 : UINT32_MAX;
	case HDR_VLAN2:
		return ofs->n_vlans > 1 ? 18 : UINT32_MAX;
	case HDR_MPLS:
	case HDR_L3:
		return ofs->l3 ? ofs->l3 : UINT32_MAX;
	case HDR_ARP:
		return ofs->is_arp ? ofs->l3 : UINT32_MAX;
	case HDR_L4:
	case HDR_ND:
		return ofs->l4 ? ofs->l4 : UINT32_MAX;
	case HDR_ND_SLL:
		return ofs->nd_sll ? ofs->nd_sll - 2u : UINT32_MAX;
	case HDR_ND_TLL:
		return ofs->nd_tll ? ofs->nd_tll - 2u : UINT32_MAX;
	}
	return UINT32_MAX;
}

bool packet_write_field(uint8_t *data, const struct flow_offsets *ofs, const struct field_info *f,
			const union field_value *v)
{
	struct field_place place;
	uint32_t at;
	unsigned bits = SL_MIN(f->key_bits, f->n_bits);

	if (!field_place(f, ofs->ip_version == 6, &place))
		return false;
	at = anchor_offset(ofs, place.anchor);
	if (at == UINT32_MAX)
		return false;
	if (f->hole) { /* nw_tos: its upper six bits only */
		unsigned low = (unsigned)__builtin_popcount(f->hole);

		bits_copy(v->b, f->n_bytes, low, data + at + place.byte, place.n_bytes,
			  place.lsb + low, bits - low);
		return true;
	}
	bits_copy(v->b, f->n_bytes, 0, data + at + place.byte, place.n_bytes, place.lsb, bits);
	return true;
}
