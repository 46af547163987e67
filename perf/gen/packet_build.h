/* SPDX-License-Identifier: BSD-3-Clause */
/* Headers written into a buffer one after the other, for the packet sets. The caller provides room
 * for the whole packet (zeroed) and calls outer to inner, then packet_finish(). One thread. */
#pragma once
#include "datapath/base/util.h"

struct packet_writer {
	uint8_t *data;
	uint16_t bytes; /* of the whole packet, known beforehand */
	uint16_t at;    /* next header goes here */
	uint16_t l3, l4;
	uint8_t proto;
	bool ipv6;
};

/* 5-tuple; addresses of IPv6 are made from the 32-bit ones below a fixed prefix. */
struct packet_tuple {
	uint32_t src, dst; /* host order */
	uint16_t sport, dport;
};

void packet_put_eth(struct packet_writer *w, uint64_t dst_mac, uint64_t src_mac, uint16_t vlan,
		    uint16_t ethertype);
void packet_put_ip(struct packet_writer *w, const struct packet_tuple *t, uint8_t proto, bool ipv6);
void packet_put_l4(struct packet_writer *w, const struct packet_tuple *t);
/* Checksums of what packet_put_ip/l4 wrote last. UDP over IPv4 is left without (0), as VXLAN's
 * outer header and most generators do. */
void packet_finish(struct packet_writer *w);

/* Internet checksum over p, host order, folded, not inverted; start with 0 or an earlier sum. */
uint32_t packet_sum(const uint8_t *p, size_t bytes, uint32_t sum);
/* Where a packet's network and transport headers and its transport checksum are; false when it is
 * not IP with TCP or UDP, is a later fragment, or is cut short. */
struct packet_layout {
	uint16_t l3, l4, checksum; /* offsets [bytes] */
	uint8_t proto;
	bool ipv6;
};
bool packet_locate(const uint8_t *p, size_t bytes, struct packet_layout *out);
