/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a packet's headers are, found by reading the packet and nothing else: what a sender's
 * virtio header claims is compared with this. Any thread; no state; every length is checked
 * against the first segment's data. */
#pragma once
#include <rte_mbuf.h>

#include "datapath/base/util.h"

enum {
	HEADERS_VLANS_MAX = 2,
	HEADERS_IPV6_EXT_MAX = 8,         /* extension headers walked */
	HEADERS_IPV6_EXT_BYTES_MAX = 256, /* in total */
};

struct headers {
	uint8_t l2_len; /* Ethernet and tags, bytes */
	uint8_t n_vlans;
	uint8_t ip_proto; /* IPv6: after the extension headers */
	bool ipv4, ipv6;  /* at most one; neither: not IP, or not whole */
	bool fragment;
	bool l4_ok;       /* TCP, UDP or SCTP with its whole header in the first segment */
	uint16_t l3_len;  /* bytes, with options or extension headers */
	uint16_t l4_len;  /* bytes; TCP with options */
	uint32_t l4_data; /* bytes from the L4 header to the end of the IP packet; what the IP
			     header says, cut to what is there */
};

void headers_parse(const struct rte_mbuf *m, struct headers *h);
