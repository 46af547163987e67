/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/offload/headers.h"

#include <netinet/in.h>
#include <string.h>

enum {
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_IPV6 = 0x86dd,
	ETHERTYPE_VLAN_C = 0x8100,
	ETHERTYPE_VLAN_S = 0x88a8,
	ETHERTYPE_VLAN_Q = 0x9100,
};

static bool is_vlan(uint16_t type)
{
	return type == ETHERTYPE_VLAN_C || type == ETHERTYPE_VLAN_S || type == ETHERTYPE_VLAN_Q;
}

static void parse_l4(const uint8_t *l4, uint32_t avail, struct headers *h)
{
	uint32_t min;

	switch (h->ip_proto) {
	case IPPROTO_TCP:
		min = 20;
		if (avail < min)
			return;
		h->l4_len = (uint16_t)((l4[12] >> 4) * 4);
		break;
	case IPPROTO_UDP:
		min = h->l4_len = 8;
		break;
	case IPPROTO_SCTP:
		min = h->l4_len = 12;
		break;
	default:
		return;
	}
	h->l4_ok = h->l4_len >= min && h->l4_len <= avail && h->l4_len <= h->l4_data;
}

/* avail: bytes of the first segment from l3 on; total: bytes of the packet from l3 on. */
static void parse_ipv4(const uint8_t *l3, uint32_t avail, uint32_t total, struct headers *h)
{
	if (avail < 20 || l3[0] >> 4 != 4)
		return;
	uint32_t ihl = (l3[0] & 15u) * 4, ip_len = load_be16(l3 + 2);
	if (ihl < 20 || ihl > avail)
		return;
	/* A length of 0 is how some senders mark packets beyond 64 KiB: all of it. */
	if (!ip_len || ip_len > total)
		ip_len = total;
	if (ip_len < ihl)
		return;
	uint16_t frag = load_be16(l3 + 6);

	h->ipv4 = true;
	h->l3_len = (uint16_t)ihl;
	h->ip_proto = l3[9];
	h->fragment = frag & 0x3fff;
	h->l4_data = ip_len - ihl;
	if (!(frag & 0x1fff))
		parse_l4(l3 + ihl, avail - ihl, h);
}

static void parse_ipv6(const uint8_t *l3, uint32_t avail, uint32_t total, struct headers *h)
{
	if (avail < 40 || l3[0] >> 4 != 6)
		return;
	uint32_t len = 40, ip_len = load_be16(l3 + 4) + 40u;
	uint8_t next = l3[6];
	bool later = false;

	if (ip_len == 40 || ip_len > total)
		ip_len = total;
	for (int i = 0;; i++) {
		bool ext = next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING ||
			   next == IPPROTO_DSTOPTS || next == IPPROTO_FRAGMENT;
		uint32_t ext_len;

		if (!ext)
			break;
		if (i == HEADERS_IPV6_EXT_MAX || later || len + 8 > avail)
			return;
		ext_len = (l3[len + 1] + 1u) * 8;
		if (next == IPPROTO_FRAGMENT) {
			uint16_t frag = load_be16(l3 + len + 2);

			ext_len = 8;
			h->fragment = frag & 0xfff9;
			later = frag & 0xfff8;
		}
		next = l3[len];
		len += ext_len;
		if (len > 40 + HEADERS_IPV6_EXT_BYTES_MAX || len > avail)
			return;
	}
	if (ip_len < len)
		return;
	h->ipv6 = true;
	h->l3_len = (uint16_t)len;
	h->ip_proto = next;
	h->l4_data = ip_len - len;
	if (!later)
		parse_l4(l3 + len, avail - len, h);
}

void headers_parse(const struct rte_mbuf *m, struct headers *h)
{
	const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t avail = m->data_len, l2 = 14;

	memset(h, 0, sizeof *h);
	if (avail < l2)
		return;
	uint16_t type = load_be16(p + 12);
	while (is_vlan(type) && h->n_vlans < HEADERS_VLANS_MAX) {
		if (avail < l2 + 4)
			return;
		type = load_be16(p + l2 + 2);
		l2 += 4;
		h->n_vlans++;
	}
	h->l2_len = (uint8_t)l2;
	if (type == ETHERTYPE_IPV4)
		parse_ipv4(p + l2, avail - l2, m->pkt_len - l2, h);
	else if (type == ETHERTYPE_IPV6)
		parse_ipv6(p + l2, avail - l2, m->pkt_len - l2, h);
}
