/* SPDX-License-Identifier: BSD-3-Clause */
/* From bytes to a flow key. The layout rules are those of key.h and ovs-fields(7): what cannot be
 * trusted (truncated, wrong lengths, too many headers) is left zero, never guessed.
 *
 * `data`/`len`: the first contiguous bytes (a caller with headers in several buffers makes 256 of
 * them contiguous first); `pkt_len`: length of the whole packet, against which the IP lengths are
 * checked. Never reads beyond len. Writes exactly the lines it returns, each whole; line 0 always.
 * in_port, recirc_id, the ct fields and tun_id of line 0 are set to 0 for the caller to fill. Pure;
 * any thread. */
#pragma once
#include "datapath/flow/key.h"

struct flow_offsets { /* bytes from the start of the packet; 0: not there, or not whole */
	uint16_t l3;  /* IP, IPv6, ARP, or what follows the last tag */
	uint16_t l4;  /* TCP, UDP, SCTP, ICMP, ICMPv6, IGMP header with its fixed part whole; not in
			 later fragments */
	uint16_t nd_sll, nd_tll; /* the 6 address bytes inside ND options */
	uint8_t ip_version;      /* 4, 6, or 0 */
	uint8_t ip_proto;        /* L4 protocol when ip_version != 0 */
	uint8_t n_vlans;
	uint8_t pad;
};

enum extract_depth {
	EXTRACT_L2, /* Ethernet, up to 2 tags, ethertype: the first 32 bytes of line 0, rest of it 0
		     */
	EXTRACT_L4, /* line 0 only */
	EXTRACT_FULL, /* all lines the packet fills */
};

/* Lines filled, as bits of enum flow_line. */
uint16_t flow_extract(const uint8_t *data, uint32_t len, uint32_t pkt_len, struct flow_key *key,
		      struct flow_offsets *ofs);
uint16_t flow_extract_depth(enum extract_depth depth, const uint8_t *data, uint32_t len,
			    uint32_t pkt_len, struct flow_key *key, struct flow_offsets *ofs);
/* Ethernet and tags only: writes the first 32 bytes of *key. */
void flow_extract_l2(const uint8_t *data, uint32_t len, struct flow_key *key);
/* The plain reference that the fast paths are compared with. */
uint16_t flow_extract_reference(const uint8_t *data, uint32_t len, uint32_t pkt_len,
				struct flow_key *key, struct flow_offsets *ofs);
