/* SPDX-License-Identifier: BSD-3-Clause */
/* From bytes to flow key. Packets come from guests and networks: every length is compared before
 * it is used, nothing is allocated, work per packet is bounded.
 *
 * `data` and `len` are the contiguous front of the packet, `pkt_len` its whole length. A caller
 * with scattered packets brings min(pkt_len, EXTRACT_MAX_BYTES) of them together first; headers
 * behind `len` count as absent. What comes out is what Open vSwitch's ovs-fields(7) describes:
 *   - up to two VLAN tags (0x8100, 0x88a8); LLC gives eth_type 0x05ff, SNAP with organisation 0 its
 *     type; up to three MPLS labels are kept and nothing behind them is read;
 *   - an IP header that contradicts itself or the packet's length (jumbograms among them) leaves
 * all IP fields 0; a truncated L4 header, or a TCP data offset that
 *     cannot be, leaves the L4 fields 0;
 *   - IPv6 extension headers are skipped up to 8 of them; a later fragment has ip_proto 44;
 *   - a neighbour discovery message with one link-layer option twice has no ND fields.
 *
 * Line 0 is always written whole: in_port, recirc_id, ct_* and tun_id become 0 for the caller to
 * fill. The functions return the set of lines they wrote (bit per enum flow_line); the others are
 * not touched and mean zeros.
 *
 * RFC 791, 826, 4861, 8200, 9293; IEEE 802.3, 802.1Q. Any thread. */
#pragma once
#include "datapath/flow/key.h"

enum {
	EXTRACT_MAX_BYTES = 256, /* of a packet's front, that parsing looks at */
	EXTRACT_MAX_IPV6_EXT = 8,
	EXTRACT_MAX_VLANS = 2,
};

/* Where headers begin, in bytes from the start of the packet; 0: not there, or not whole. */
struct flow_offsets {
	uint16_t l3;         /* IPv4, IPv6, ARP, MPLS or whatever follows the last tag (and SNAP) */
	uint16_t l4;         /* TCP, UDP, SCTP, ICMP, ICMPv6, IGMP header whose fixed part is whole;
				not in later fragments */
	uint16_t nd_sll;     /* the 6 address bytes inside the first such ND option */
	uint16_t nd_tll;     /* likewise */
	uint16_t ip_payload; /* behind IP and its extension headers, whatever it is */
	uint16_t payload;    /* behind the header at l4 */
	uint16_t tail_pad;   /* bytes behind the end that the IP header gives */
	uint8_t ip_version;  /* 4 or 6: there is a valid header at l3; else 0 */
	uint8_t ip_proto;    /* of what is at ip_payload, when ip_version != 0 */
	uint8_t n_vlans;     /* 0..2 */
	uint8_t is_arp;      /* a valid Ethernet/IPv4 ARP or RARP body at l3 */
};

enum extract_depth {
	EXTRACT_L2, /* as flow_extract_l2(), the rest of line 0 zero, only l3 and n_vlans of ofs */
	EXTRACT_L4, /* line 0 */
	EXTRACT_FULL, /* all lines the packet fills */
};

uint16_t flow_extract(const uint8_t *data, uint32_t len, uint32_t pkt_len, struct flow_key *key,
		      struct flow_offsets *ofs); /* EXTRACT_FULL */
uint16_t flow_extract_depth(enum extract_depth depth, const uint8_t *data, uint32_t len,
			    uint32_t pkt_len, struct flow_key *key, struct flow_offsets *ofs);
/* Ethernet and VLANs: writes the first 32 bytes of *key and nothing else; ip_proto and ip_tos are 0
 * there. */
void flow_extract_l2(const uint8_t *data, uint32_t len, struct flow_key *key);
/* Tags that are taken for tags, 1 or 2, in the whole process; a further one is the ethertype of a
 * packet whose contents are not looked at (vlan-limit of ovs-vswitchd.conf.db(5)). Set by the main
 * thread; cached decisions made before must be dropped. */
void flow_extract_set_vlan_limit(uint8_t n);
uint8_t flow_extract_vlan_limit(void);
/* The plain parser that flow_extract() must agree with: no short cuts. For tests. */
uint16_t flow_extract_reference(const uint8_t *data, uint32_t len, uint32_t pkt_len,
				struct flow_key *key, struct flow_offsets *ofs);
