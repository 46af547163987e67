/* SPDX-License-Identifier: BSD-3-Clause */
#include "perf/gen/packet_build.h"

#include <string.h>

enum { TYPE_VLAN = 0x8100, TYPE_QINQ = 0x88a8, TYPE_IPV4 = 0x0800, TYPE_IPV6 = 0x86dd };
enum { PROTO_TCP = 6, PROTO_UDP = 17 };

static void put_mac(uint8_t *p, uint64_t mac)
{
	for (int i = 0; i < 6; i++)
		p[i] = (uint8_t)(mac >> (40 - 8 * i));
}

void packet_put_eth(struct packet_writer *w, uint64_t dst_mac, uint64_t src_mac, uint16_t vlan,
		    uint16_t ethertype)
{
	uint8_t *p = w->data + w->at;
	put_mac(p, dst_mac);
	put_mac(p + 6, src_mac);
	p += 12;
	if (vlan) {
		store_be16(p, TYPE_VLAN);
		store_be16(p + 2, vlan);
		p += 4;
	}
	store_be16(p, ethertype);
	w->at = (uint16_t)(p + 2 - w->data);
}

/* 2001:db8::/64 with the IPv4 address as the last four bytes. */
static void put_ip6_address(uint8_t *p, uint32_t v4)
{
	store_be32(p, 0x20010db8);
	memset(p + 4, 0, 8);
	store_be32(p + 12, v4);
}

void packet_put_ip(struct packet_writer *w, const struct packet_tuple *t, uint8_t proto, bool ipv6)
{
	uint8_t *p = w->data + w->at;
	uint16_t rest = (uint16_t)(w->bytes - w->at);
	w->l3 = w->at;
	w->proto = proto;
	w->ipv6 = ipv6;
	if (ipv6) {
		store_be32(p, 0x60000000);
		store_be16(p + 4, (uint16_t)(rest - 40));
		p[6] = proto;
		p[7] = 64;
		put_ip6_address(p + 8, t->src);
		put_ip6_address(p + 24, t->dst);
		w->at = (uint16_t)(w->at + 40);
	} else {
		p[0] = 0x45;
		store_be16(p + 2, rest);
		p[8] = 64;
		p[9] = proto;
		store_be32(p + 12, t->src);
		store_be32(p + 16, t->dst);
		w->at = (uint16_t)(w->at + 20);
	}
	w->l4 = w->at;
}

void packet_put_l4(struct packet_writer *w, const struct packet_tuple *t)
{
	uint8_t *p = w->data + w->at;
	store_be16(p, t->sport);
	store_be16(p + 2, t->dport);
	if (w->proto == PROTO_TCP) {
		/* Constant numbers: a tracker takes the packet up as the middle of a stream. */
		store_be32(p + 4, 1000);
		store_be32(p + 8, 1000);
		p[12] = 5 << 4;
		p[13] = 0x10; /* ACK */
		store_be16(p + 14, 65535);
		w->at = (uint16_t)(w->at + 20);
	} else {
		store_be16(p + 4, (uint16_t)(w->bytes - w->at));
		w->at = (uint16_t)(w->at + 8);
	}
}

uint32_t packet_sum(const uint8_t *p, size_t bytes, uint32_t sum)
{
	for (; bytes >= 2; p += 2, bytes -= 2)
		sum += load_be16(p);
	if (bytes)
		sum += (uint32_t)p[0] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static uint16_t transport_checksum(const struct packet_writer *w)
{
	uint16_t bytes = (uint16_t)(w->bytes - w->l4);
	const uint8_t *addresses = w->data + w->l3 + (w->ipv6 ? 8 : 12);
	uint32_t sum = packet_sum(addresses, w->ipv6 ? 32 : 8, (uint32_t)w->proto + bytes);
	sum = ~packet_sum(w->data + w->l4, bytes, sum) & 0xffff;
	return (uint16_t)(sum == 0 && w->proto == PROTO_UDP ? 0xffff : sum);
}

void packet_finish(struct packet_writer *w)
{
	if (!w->ipv6) {
		uint8_t *ip = w->data + w->l3;
		store_be16(ip + 10, 0);
		store_be16(ip + 10, (uint16_t)~packet_sum(ip, 20, 0));
	}
	if (w->proto == PROTO_TCP) {
		store_be16(w->data + w->l4 + 16, 0);
		store_be16(w->data + w->l4 + 16, transport_checksum(w));
	} else if (w->proto == PROTO_UDP && w->ipv6) {
		store_be16(w->data + w->l4 + 6, 0);
		store_be16(w->data + w->l4 + 6, transport_checksum(w));
	}
}

bool packet_locate(const uint8_t *p, size_t bytes, struct packet_layout *out)
{
	size_t at = 12;
	if (bytes < 14)
		return false;
	uint16_t type = load_be16(p + at);
	for (int tags = 0; (type == TYPE_VLAN || type == TYPE_QINQ) && tags < 2; tags++) {
		at += 4;
		if (bytes < at + 2)
			return false;
		type = load_be16(p + at);
	}
	at += 2;
	out->l3 = (uint16_t)at;
	out->ipv6 = type == TYPE_IPV6;
	if (type == TYPE_IPV4 && bytes >= at + 20) {
		if (load_be16(p + at + 6) & 0x1fff)
			return false;
		out->proto = p[at + 9];
		at += (size_t)(p[at] & 15) * 4;
	} else if (type == TYPE_IPV6 && bytes >= at + 40) {
		out->proto = p[at + 6];
		at += 40;
	} else {
		return false;
	}
	out->l4 = (uint16_t)at;
	if (out->proto == PROTO_TCP)
		out->checksum = (uint16_t)(at + 16);
	else if (out->proto == PROTO_UDP)
		out->checksum = (uint16_t)(at + 6);
	else
		return false;
	return bytes >= at + (out->proto == PROTO_TCP ? 20u : 8u);
}
