/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/exec/rewrite.h"

#include <string.h>

#include <netinet/in.h>

#include "datapath/core/pool.h"
#include "datapath/flow/field.h"
#include "datapath/offload/checksum.h"
#include "datapath/offload/offload.h"

enum {
	ETH_BYTES = 14,
	MACS_BYTES = 12,
	TAG_BYTES = 4,
	LSE_BYTES = 4,
	ND_OPTION_HEADER = 2,
	IPV6_DST_AT = 24
};

static uint8_t *bytes(struct packet *p)
{
	return rte_pktmbuf_mtod(p->m, uint8_t *);
}

bool rewrite_parse(struct packet *p)
{
	struct flow_key key;

	if (p->has_ofs)
		return true;
	if (p->m->nb_segs > 1 && p->m->data_len < EXTRACT_MAX_BYTES)
		pool_linearise(p->m, SL_MIN(p->m->pkt_len, (uint32_t)EXTRACT_MAX_BYTES));
	flow_extract(bytes(p), p->m->data_len, p->m->pkt_len, &key, &p->ofs);
	p->has_ofs = true;
	return true;
}

void rewrite_parse_front(struct packet *p)
{
	if (SL_UNLIKELY(p->m->nb_segs > 1 && p->m->data_len < EXTRACT_MAX_BYTES))
		p->has_ofs = false;
	rewrite_parse(p);
}

static void move(uint16_t *at, int delta)
{
	if (*at)
		*at = (uint16_t)(*at + delta);
}

static void shift_offsets(struct packet *p, int delta)
{
	struct flow_offsets *o = &p->ofs;

	offload_l2_moved(p->m, delta);
	p->key = NULL;
	/* What was behind a tag that the parser did not take for one is found when it is needed. */
	if (!p->has_ofs || !o->ip_version) {
		p->has_ofs = false;
		return;
	}
	o->n_vlans = (uint8_t)(o->n_vlans + delta / TAG_BYTES);
	move(&o->l3, delta);
	move(&o->l4, delta);
	move(&o->nd_sll, delta);
	move(&o->nd_tll, delta);
	move(&o->ip_payload, delta);
	move(&o->payload, delta);
}

static bool insert(struct packet *p, unsigned at, unsigned n)
{
	uint8_t *d;

	if (p->m->data_len < at || !(d = (uint8_t *)rte_pktmbuf_prepend(p->m, (uint16_t)n)))
		return false;
	memmove(d, d + n, at);
	return true;
}

static void cut(struct packet *p, unsigned at, unsigned n)
{
	uint8_t *d = bytes(p);

	memmove(d + n, d, at);
	rte_pktmbuf_adj(p->m, (uint16_t)n);
}

bool rewrite_push_vlan(struct packet *p, be16_t tpid, be16_t tci)
{
	if (!insert(p, MACS_BYTES, TAG_BYTES))
		return false;
	memcpy(bytes(p) + MACS_BYTES, &tpid, 2);
	tci &= (be16_t)~cpu_to_be16(VLAN_CFI); /* presence is not on the wire */
	memcpy(bytes(p) + MACS_BYTES + 2, &tci, 2);
	shift_offsets(p, TAG_BYTES);
	return true;
}

bool rewrite_pop_vlan(struct packet *p)
{
	if (p->m->data_len < ETH_BYTES + TAG_BYTES)
		return false;
	cut(p, MACS_BYTES, TAG_BYTES);
	shift_offsets(p, -TAG_BYTES);
	return true;
}

/* Bytes of Ethernet header and tags: where an MPLS label goes. */
static unsigned l2_bytes(struct packet *p)
{
	const uint8_t *d = bytes(p);
	unsigned n = ETH_BYTES;

	while (n + TAG_BYTES <= p->m->data_len) {
		uint16_t type = load_be16(d + n - 2);

		if (type != 0x8100 && type != 0x88a8 && type != 0x9100)
			break;
		n += TAG_BYTES;
	}
	return n;
}

bool rewrite_push_mpls(struct packet *p, be16_t ethertype, be32_t lse)
{
	unsigned l2 = l2_bytes(p);

	if (offload_pending(p->m) && offload_complete(p->m))
		return false; /* a segmentation offload cannot reach below a label */
	if (!insert(p, l2, LSE_BYTES))
		return false;
	memcpy(bytes(p) + l2 - 2, &ethertype, 2);
	memcpy(bytes(p) + l2, &lse, LSE_BYTES);
	p->has_ofs = false;
	p->key = NULL;
	return true;
}

bool rewrite_pop_mpls(struct packet *p, be16_t ethertype)
{
	unsigned l2 = l2_bytes(p);

	if (p->m->data_len < l2 + LSE_BYTES)
		return false;
	cut(p, l2, LSE_BYTES);
	memcpy(bytes(p) + l2 - 2, &ethertype, 2);
	p->has_ofs = false;
	p->key = NULL;
	return true;
}

bool rewrite_set_mpls(struct packet *p, be32_t lse, be32_t mask)
{
	unsigned l2 = l2_bytes(p);
	be32_t old;

	if (p->m->data_len < l2 + LSE_BYTES)
		return false;
	memcpy(&old, bytes(p) + l2, LSE_BYTES);
	lse = (old & ~mask) | (lse & mask);
	memcpy(bytes(p) + l2, &lse, LSE_BYTES);
	p->key = NULL;
	return true;
}

/* The checksum field of the packet's L4 header, or NULL when there is none to keep true. */
static uint8_t *l4_checksum(struct packet *p, uint8_t proto)
{
	unsigned at;

	if (!p->ofs.l4)
		return NULL;
	if (proto == IPPROTO_TCP)
		at = 16;
	else if (proto == IPPROTO_UDP)
		at = 6;
	else if (proto == IPPROTO_ICMPV6 || proto == IPPROTO_ICMP)
		at = 2;
	else
		return NULL;
	if (p->m->data_len < p->ofs.l4 + at + 2)
		return NULL;
	uint8_t *c = bytes(p) + p->ofs.l4 + at;
	if (proto == IPPROTO_UDP && !c[0] && !c[1])
		return NULL; /* sent without one */
	return c;
}

/* What n bytes add to a one's complement sum by having changed (RFC 1624); `at` is their offset in
 * the header that the sum belongs to: odd and even positions differ. */
static uint64_t sum_change(const uint8_t *from, const uint8_t *to, unsigned n, unsigned at)
{
	uint64_t sum = 0;
	unsigned i = 0;

	if (SL_UNLIKELY((at | n) & 1)) {
		uint8_t a[20] = {0}, b[20] = {0};

		memcpy(a + (at & 1), from, n);
		memcpy(b + (at & 1), to, n);
		return sum_change(a, b, (n + (at & 1) + 1) & ~1u, 0);
	}
	for (; i + 4 <= n; i += 4) {
		uint32_t was, is;

		memcpy(&was, from + i, 4);
		memcpy(&is, to + i, 4);
		sum += (uint64_t)(uint32_t)~was + is;
	}
	if (i < n) {
		uint16_t was, is;

		memcpy(&was, from + i, 2);
		memcpy(&is, to + i, 2);
		sum += (uint32_t)(uint16_t)~was + is;
	}
	return sum;
}

static void fix_l4(struct packet *p, uint64_t change, bool in_pseudo_header)
{
	uint8_t proto = p->ofs.ip_proto;
	uint8_t *c = l4_checksum(p, proto);
	bool partial = offload_is_partial(p->m);

	/* A field that holds only the pseudo header's sum does not cover the L4 header yet. */
	if (!c || (partial && !in_pseudo_header))
		return;
	if (in_pseudo_header && proto == IPPROTO_ICMP)
		return;
	rewrite_fix_sum(c, change, partial, proto == IPPROTO_UDP);
}

/* The checksum that the packet should have, or 0 when it has none to keep true. */
static uint32_t sctp_sum(struct packet *p)
{
	struct headers h;
	uint32_t was, sum = 0;
	uint8_t *field = bytes(p) + p->ofs.l4 + 8;

	if (!p->ofs.l4 || p->m->data_len < p->ofs.l4 + 12u || offload_pending(p->m))
		return 0;
	headers_parse(p->m, &h);
	if (h.l4_ok) {
		memcpy(&was, field, sizeof was);
		checksum_l4(p->m, &h, false);
		memcpy(&sum, field, sizeof sum);
		memcpy(field, &was, sizeof was);
	}
	return sum;
}

/* A packet that was damaged stays damaged. */
static void resum_sctp(struct packet *p, uint32_t before)
{
	uint32_t after = sctp_sum(p), sum;

	if (!before && !after)
		return;
	memcpy(&sum, bytes(p) + p->ofs.l4 + 8, sizeof sum);
	sum ^= before ^ after;
	memcpy(bytes(p) + p->ofs.l4 + 8, &sum, sizeof sum);
}

/* false: the packet does not have such a header, or it is not sound (then its key has no fields of
 * it either). */
static bool anchor(struct packet *p, uint8_t which, unsigned *at)
{
	switch ((enum field_anchor)which) {
	case HDR_ETH:
		*at = 0;
		return true;
	case HDR_VLAN: /* its TCI, behind the TPID */
		*at = MACS_BYTES + 2;
		return true;
	case HDR_VLAN2:
		*at = MACS_BYTES + TAG_BYTES + 2;
		return true;
	case HDR_MPLS:
		*at = l2_bytes(p);
		return true;
	case HDR_L3:
		rewrite_parse(p);
		*at = p->ofs.l3;
		return p->ofs.ip_version;
	case HDR_ARP:
		rewrite_parse(p);
		*at = p->ofs.l3;
		return p->ofs.is_arp;
	case HDR_L4:
	case HDR_ND:
		rewrite_parse(p);
		*at = p->ofs.l4;
		return p->ofs.l4;
	case HDR_ND_SLL:
	case HDR_ND_TLL:
		rewrite_parse(p);
		*at = which == HDR_ND_SLL ? p->ofs.nd_sll : p->ofs.nd_tll; /* its address */
		if (!*at)
			return false;
		*at -= ND_OPTION_HEADER;
		return true;
	case HDR_NONE:
		break;
	}
	return false;
}

/* The bits of the mask, in the widest pieces that fit: byte by byte this was a third of a rewrite.
 */
static inline void blend(uint8_t *d, const struct prog_set *s, uint8_t *old)
{
	unsigned n = s->n_bytes, i = 0;

#define PIECE(type)                                                                                \
	do {                                                                                       \
		type v, to, mask;                                                                  \
		memcpy(&v, d + i, sizeof v);                                                       \
		memcpy(old + i, &v, sizeof v);                                                     \
		memcpy(&to, s->value + i, sizeof to);                                              \
		memcpy(&mask, s->mask + i, sizeof mask);                                           \
		v = (type)((v & ~mask) | (to & mask));                                             \
		memcpy(d + i, &v, sizeof v);                                                       \
		i += (unsigned)sizeof v;                                                           \
	} while (0)
	while (n - i >= 8)
		PIECE(uint64_t);
	if (n & 4)
		PIECE(uint32_t);
	if (n & 2)
		PIECE(uint16_t);
	if (n & 1)
		PIECE(uint8_t);
#undef PIECE
}

/* RFC 8200 §8.1: while a routing header has hops left, the checksum covers the last one's address
 * and not the one in the IPv6 header. */
static bool sum_covers_ipv6_dst(struct packet *p)
{
	const uint8_t *d = bytes(p);
	unsigned at = p->ofs.l3 + 40u, end = SL_MIN(p->ofs.ip_payload, p->m->data_len);
	uint8_t proto = d[p->ofs.l3 + 6];

	while (at + 8 <= end) {
		if (proto == IPPROTO_ROUTING && d[at + 3])
			return false;
		unsigned len = proto == IPPROTO_FRAGMENT ? 8u : 8u * (d[at + 1] + 1u);

		proto = d[at];
		at += len;
	}
	return true;
}

bool rewrite_set(struct packet *p, const struct prog_set *s)
{
	unsigned at;
	uint8_t old[16];

	if (s->n_bytes > sizeof old)
		return false;
	if (!anchor(p, s->anchor, &at))
		return true; /* what is not there is not written; the packet goes on */
	at += s->ofs;
	if (p->m->data_len < at + s->n_bytes)
		return false;
	uint8_t *d = bytes(p) + at;
	uint32_t sctp = s->csum == CSUM_SCTP ? sctp_sum(p) : 0;
	p->key = NULL;
	blend(d, s, old);
	switch ((enum field_csum)s->csum) {
	case CSUM_NONE:
		break;
	case CSUM_IP:
		if (p->ofs.ip_version == 4)
			rewrite_fix_sum(bytes(p) + p->ofs.l3 + 10,
					sum_change(old, d, s->n_bytes, at - p->ofs.l3), false,
					false);
		break;
	case CSUM_PSEUDO: {
		uint64_t change = sum_change(old, d, s->n_bytes, at - p->ofs.l3);

		rewrite_fix_sum(bytes(p) + p->ofs.l3 + 10, change, false, false);
		fix_l4(p, change, true);
		break;
	}
	case CSUM_PSEUDO6:
		if (s->ofs >= IPV6_DST_AT && !sum_covers_ipv6_dst(p))
			break;
		fix_l4(p, sum_change(old, d, s->n_bytes, at - p->ofs.l3), true);
		break;
	case CSUM_L4:
		fix_l4(p, sum_change(old, d, s->n_bytes, at - p->ofs.l4), false);
		break;
	case CSUM_SCTP:
		resum_sctp(p, sctp);
		break;
	}
	return true;
}

bool rewrite_dec_ttl(struct packet *p)
{
	p->key = NULL;
	rewrite_parse(p);
	if (!p->ofs.l3)
		return false;
	uint8_t *ip = bytes(p) + p->ofs.l3;
	if (p->ofs.ip_version == 4) {
		be16_t old, new, c;

		memcpy(&old, ip + 8, 2);
		ip[8]--;
		memcpy(&new, ip + 8, 2);
		memcpy(&c, ip + 10, 2);
		c = checksum_update16(c, old, new);
		memcpy(ip + 10, &c, 2);
		return true;
	}
	if (p->ofs.ip_version == 6) {
		ip[7]--;
		return true;
	}
	return false;
}
