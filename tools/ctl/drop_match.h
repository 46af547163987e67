/* SPDX-License-Identifier: BSD-3-Clause */
/* Is a packet of a file one that was dropped? What is between the sender's capture and the place
 * where the switch dropped it is left out: VLAN tags, TTL, class and checksums never count; rules
 * may have rewritten MAC addresses, addresses and ports; a large TCP packet may have been cut into
 * segments, or the file may have what was put together. What stays: identification and fragment
 * of IPv4, protocol, TCP's sequence and acknowledgment numbers, ICMP's sequence number, lengths and
 * the payload as far as both have it. Pure functions. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum drop_match { /* the surer the greater */
		  DROP_MATCH_NONE,
		  DROP_MATCH_SEGMENT,   /* one is a part of the other */
		  DROP_MATCH_REWRITTEN, /* but for addresses, MAC addresses or ports */
		  DROP_MATCH_SAME,
};

struct packet_identity { /* of one packet; borrows its bytes */
	const uint8_t *data;
	uint32_t len, wire_len;
	uint8_t version; /* 4, 6; 0: not IP */
	uint8_t proto, icmp_type, icmp_code;
	uint16_t eth_type, ip_id, fragment; /* host order; fragment as in the header */
	uint8_t src[16], dst[16];
	uint16_t sport, dport; /* 0: none */
	uint32_t seq, ack;     /* TCP; of ICMP echoes and SCTP seq */
	uint8_t flags;         /* TCP, without ECE and CWR */
	uint32_t payload;      /* where it begins */
	uint32_t payload_len;  /* on the wire */
};
void packet_identity(const uint8_t *data, uint32_t len, uint32_t wire_len,
		     struct packet_identity *out);
/* Packets that are the same in any way above have the same. */
uint64_t packet_identity_hash(const struct packet_identity *p);
enum drop_match drop_match(const struct packet_identity *sent,
			   const struct packet_identity *dropped);
