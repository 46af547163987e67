/* SPDX-License-Identifier: BSD-3-Clause */
/* What the connection tracker reads from a packet: its tuple, and what a tracker needs. Input comes
 * from guests and networks: every length is compared before it is used. Poll threads. */
#pragma once
#include "datapath/conntrack/ct_tuple.h"
#include "datapath/flow/extract.h"

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16, TCP_URG = 32 };
enum { CT_NO_WSCALE = 0xff };

struct ct_packet {
	struct ct_tuple tuple; /* of a related error: the one its cause's answer would have */
	bool related;          /* an ICMP error about another packet */
	bool fragment;         /* a later fragment: no transport header */
	bool first_fragment;
	bool tracked_by_id;          /* either of the two */
	uint16_t inner_l3, inner_l4; /* related: offsets of the packet inside, from the start */
	uint32_t frag_id;
	uint32_t frag_begin, frag_end; /* of a fragment: its bytes of the datagram */
	/* TCP */
	uint32_t seq, ack, payload_bytes;
	uint16_t payload_ofs; /* TCP, UDP: from the start of the packet; 0: none */
	uint16_t win;
	uint8_t flags;  /* TCP_* */
	uint8_t wscale; /* of a SYN; CT_NO_WSCALE: no such option */
	uint8_t chunk;  /* SCTP: type of the first chunk */
};

/* A fragment, as reassembly sees it. */
struct ct_fragment_at {
	struct ct_tuple key;     /* addresses, context, and the protocol that the fragment names */
	uint32_t id, begin, end; /* bytes of the datagram's payload */
	uint32_t ip_bytes;       /* of this packet, from its IP header on */
	uint16_t payload_ofs;    /* where they begin in the packet */
	bool last;
};
/* False: no fragment, or its headers are not whole. Arguments as below. */
bool ct_packet_fragment(struct ct_fragment_at *f, const uint8_t *data, uint32_t len,
			const struct flow_offsets *ofs, uint32_t context);

/* False: nothing that can be tracked (no IP, a header that contradicts itself, an ICMP message
 * that is neither echo nor error). data: the contiguous first len bytes of pkt_len. */
bool ct_packet_parse(struct ct_packet *p, const uint8_t *data, uint32_t len, uint32_t pkt_len,
		     const struct flow_offsets *ofs, uint32_t context);
