/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/ctl/drop_match.h"

#include <netinet/in.h>
#include <string.h>

#include "datapath/base/hash.h"
#include "datapath/flow/extract.h"

enum {
	ECE_CWR = 0xc0,
	HASHED_BYTES = 8,  /* of the payload */
	TELLING_BYTES = 8, /* of payload that tell one packet from another */
};

static void take_l4(const struct flow_offsets *ofs, struct packet_identity *p)
{
	const uint8_t *l4 = p->data + ofs->l4;

	switch (p->proto) {
	case IPPROTO_TCP:
		p->seq = load_be32(l4 + 4);
		p->ack = load_be32(l4 + 8);
		p->flags = l4[13] & (uint8_t)~ECE_CWR;
		break;
	case IPPROTO_SCTP:
		p->seq = load_be32(l4 + 4);
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		p->icmp_type = l4[0];
		p->icmp_code = l4[1];
		p->sport = load_be16(l4 + 4);
		p->seq = load_be16(l4 + 6);
		return;
	case IPPROTO_UDP:
		break;
	default: /* a protocol number, not an enum */
		return;
	}
	p->sport = load_be16(l4);
	p->dport = load_be16(l4 + 2);
}

static void take_ip(const struct flow_offsets *ofs, struct packet_identity *p)
{
	const uint8_t *ip = p->data + ofs->l3;
	uint32_t end;

	p->version = ofs->ip_version;
	p->proto = ofs->ip_proto;
	if (p->version == 4) {
		end = ofs->l3 + load_be16(ip + 2);
		p->ip_id = load_be16(ip + 4);
		p->fragment = load_be16(ip + 6) & 0x3fff;
		memcpy(p->src, ip + 12, 4);
		memcpy(p->dst, ip + 16, 4);
	} else {
		end = ofs->l3 + 40 + load_be16(ip + 4);
		memcpy(p->src, ip + 8, 16);
		memcpy(p->dst, ip + 24, 16);
	}
	p->payload = ofs->l4 ? ofs->payload : ofs->ip_payload;
	if (ofs->l4)
		take_l4(ofs, p);
	p->payload_len = end > p->payload ? end - p->payload : 0;
}

void packet_identity(const uint8_t *data, uint32_t len, uint32_t wire_len,
		     struct packet_identity *out)
{
	struct flow_offsets ofs;
	struct flow_key k;

	*out = (struct packet_identity){.data = data, .len = len, .wire_len = wire_len};
	if (len < 14)
		return;
	flow_extract(data, len, wire_len, &k, &ofs);
	out->eth_type = be16_to_cpu(k.eth_type);
	if (ofs.ip_version) {
		take_ip(&ofs, out);
		return;
	}
	out->payload = ofs.l3 ? ofs.l3 : 14;
	out->payload_len = wire_len > out->payload ? wire_len - out->payload : 0;
}

/* Bytes of payload that are there. */
static uint32_t held(const struct packet_identity *p)
{
	uint32_t n = p->len > p->payload ? p->len - p->payload : 0;

	return n < p->payload_len ? n : p->payload_len;
}

uint64_t packet_identity_hash(const struct packet_identity *p)
{
	uint64_t h = (uint64_t)p->version << 32 | (uint64_t)p->proto << 16;

	if (!p->version)
		return hash_u64(h | p->eth_type);
	if (p->proto == IPPROTO_TCP && !p->fragment) /* all segments of one have its ack */
		return hash_u64(h) ^ hash_u64(p->ack ? p->ack : p->seq);
	for (uint32_t i = 0, n = held(p); i < n && i < HASHED_BYTES; i++)
		h = hash_u64(h) + p->data[p->payload + i];
	return hash_u64(h ^ (uint64_t)p->payload_len << 40);
}

/* The payload of `part` is that of `whole` from `at` on, as far as both are there. */
static bool same_payload(const struct packet_identity *whole, const struct packet_identity *part,
			 uint32_t at)
{
	uint32_t have = held(whole) > at ? held(whole) - at : 0, n = held(part);

	n = n < have ? n : have;
	return !n || !memcmp(whole->data + whole->payload + at, part->data + part->payload, n);
}

/* A frame that is not IP: padding may have been added or cut. */
static enum drop_match match_frames(const struct packet_identity *a,
				    const struct packet_identity *b)
{
	if (a->len < 14 || b->len < 14)
		return a->len == b->len && !memcmp(a->data, b->data, a->len) ? DROP_MATCH_SAME
									     : DROP_MATCH_NONE;
	if (a->eth_type != b->eth_type || !same_payload(a, b, 0))
		return DROP_MATCH_NONE;
	return !memcmp(a->data, b->data, 6) || !memcmp(a->data + 6, b->data + 6, 6)
		       ? DROP_MATCH_SAME
		       : DROP_MATCH_NONE;
}

static bool same_ends(const struct packet_identity *a, const struct packet_identity *b)
{
	return !memcmp(a->src, b->src, sizeof a->src) && !memcmp(a->dst, b->dst, sizeof a->dst) &&
	       a->sport == b->sport && a->dport == b->dport;
}

static bool same_sender(const struct packet_identity *a, const struct packet_identity *b)
{
	return !memcmp(a->data + 6, b->data + 6, 6);
}

/* One address stays when the other is translated, and something tells it from its neighbours. */
static bool may_be_translated(const struct packet_identity *a, const struct packet_identity *b)
{
	bool src = !memcmp(a->src, b->src, sizeof a->src);
	bool dst = !memcmp(a->dst, b->dst, sizeof a->dst);

	if (a->proto == IPPROTO_TCP)
		return (src || dst) && (a->seq || a->ack);
	/* Other ports between the same addresses are another conversation. */
	return src != dst && (a->ip_id || a->payload_len >= TELLING_BYTES);
}

static bool is_segment(const struct packet_identity *whole, const struct packet_identity *part)
{
	uint32_t at = part->seq - whole->seq;

	return whole->proto == IPPROTO_TCP && !whole->fragment && !part->fragment &&
	       part->payload_len && part->payload_len < whole->payload_len &&
	       at <= whole->payload_len - part->payload_len && part->ack == whole->ack &&
	       same_payload(whole, part, at);
}

enum drop_match drop_match(const struct packet_identity *a, const struct packet_identity *b)
{
	bool ends;

	if (a->version != b->version || a->proto != b->proto)
		return DROP_MATCH_NONE;
	if (!a->version)
		return match_frames(a, b);
	ends = same_ends(a, b);
	if (!ends && !may_be_translated(a, b))
		return DROP_MATCH_NONE;
	if (is_segment(a, b) || is_segment(b, a))
		return DROP_MATCH_SEGMENT;
	if (a->ip_id != b->ip_id || a->fragment != b->fragment || a->seq != b->seq ||
	    a->ack != b->ack || a->flags != b->flags || a->icmp_type != b->icmp_type ||
	    a->icmp_code != b->icmp_code || a->payload_len != b->payload_len ||
	    !same_payload(a, b, 0))
		return DROP_MATCH_NONE;
	return ends && same_sender(a, b) ? DROP_MATCH_SAME : DROP_MATCH_REWRITTEN;
}
