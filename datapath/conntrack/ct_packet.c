/* SPDX-License-Identifier: BSD-3-Clause */
/* RFC 791, 792, 4443, 8200, 9260, 9293. */
#include "datapath/conntrack/ct_packet.h"

#include <netinet/in.h>

struct view { /* bytes that are there */
	const uint8_t *data;
	uint32_t len;
};

static bool has(const struct view *v, uint32_t at, uint32_t n)
{
	return at <= v->len && n <= v->len - at;
}

static bool read_ports(const struct view *v, uint32_t l4, struct ct_tuple *t)
{
	if (!has(v, l4, 4))
		return false;
	memcpy(&t->src_port, v->data + l4, 2);
	memcpy(&t->dst_port, v->data + l4 + 2, 2);
	return true;
}

static uint8_t window_scale(const uint8_t *opt, uint32_t n)
{
	enum { OPT_END, OPT_NOP, OPT_WSCALE = 3, WSCALE_MAX = 14 };

	for (uint32_t i = 0; i < n && opt[i] != OPT_END;) {
		if (opt[i] == OPT_NOP) {
			i++;
			continue;
		}
		if (n - i < 2 || opt[i + 1] < 2 || opt[i + 1] > n - i)
			break;
		if (opt[i] == OPT_WSCALE && opt[i + 1] == 3)
			return SL_MIN(opt[i + 2], (uint8_t)WSCALE_MAX);
		i += opt[i + 1];
	}
	return CT_NO_WSCALE;
}

static bool read_tcp(struct ct_packet *p, const struct view *v, uint32_t pkt_len,
		     const struct flow_offsets *ofs)
{
	const uint8_t *tcp = v->data + ofs->l4;
	uint32_t header, behind;

	if (!has(v, ofs->l4, 20))
		return false;
	header = (tcp[12] >> 4) * 4u;
	if (header < 20 || !has(v, ofs->l4, header))
		return false;
	p->seq = load_be32(tcp + 4);
	p->ack = load_be32(tcp + 8);
	p->flags = tcp[13] & 0x3f;
	p->win = load_be16(tcp + 14);
	p->wscale = p->flags & TCP_SYN ? window_scale(tcp + 20, header - 20) : CT_NO_WSCALE;
	behind = ofs->l4 + header + ofs->tail_pad;
	p->payload_bytes = pkt_len > behind ? pkt_len - behind : 0;
	p->payload_ofs = (uint16_t)(ofs->l4 + header);
	return true;
}

/* The packet in an ICMP error. Its tuple reversed is that of the direction the error travels in,
 * and it must have been sent by the one that the error goes to. */
static bool read_inner(struct ct_packet *p, const struct view *v, uint32_t at)
{
	struct ct_tuple in = {.context = p->tuple.context, .family = p->tuple.family};
	const uint8_t *ip = v->data + at;
	uint32_t l4;

	if (in.family == 4) {
		if (!has(v, at, 20) || ip[0] >> 4 != 4 || (ip[0] & 15) < 5)
			return false;
		if (load_be16(ip + 6) & 0x1fff)
			return false; /* a later fragment: its connection is not known */
		l4 = at + (ip[0] & 15) * 4u;
		in.proto = ip[9];
		memcpy(in.src, ip + 12, 4);
		memcpy(in.dst, ip + 16, 4);
	} else {
		if (!has(v, at, 40) || ip[0] >> 4 != 6)
			return false;
		l4 = at + 40;
		in.proto = ip[6];
		memcpy(in.src, ip + 8, 16);
		memcpy(in.dst, ip + 24, 16);
	}
	if (memcmp(in.src, p->tuple.dst, sizeof in.src))
		return false;
	if (ct_proto_has_ports(in.proto)) {
		if (!has(v, l4, 8) || !read_ports(v, l4, &in))
			return false;
	} else if (in.proto == (in.family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
		if (!has(v, l4, 8) || ct_icmp_reply_type(in.family, v->data[l4]) == v->data[l4])
			return false;
		in.icmp_type = v->data[l4];
		in.icmp_code = v->data[l4 + 1];
		memcpy(&in.src_port, v->data + l4 + 4, 2);
		in.dst_port = in.src_port;
	}
	p->tuple = ct_tuple_reverse(&in);
	p->related = true;
	p->inner_l3 = (uint16_t)at;
	p->inner_l4 = (uint16_t)l4;
	return true;
}

static bool is_error(uint8_t family, uint8_t type)
{
	if (family == 6)
		return type >= 1 && type <= 4;
	return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

static bool read_icmp(struct ct_packet *p, const struct view *v, uint32_t l4)
{
	const uint8_t *icmp = v->data + l4;

	if (!has(v, l4, 8))
		return false;
	if (is_error(p->tuple.family, icmp[0]))
		return read_inner(p, v, l4 + 8);
	if (ct_icmp_reply_type(p->tuple.family, icmp[0]) == icmp[0])
		return false; /* neighbour discovery and the like */
	p->tuple.icmp_type = icmp[0];
	p->tuple.icmp_code = icmp[1];
	memcpy(&p->tuple.src_port, icmp + 4, 2);
	p->tuple.dst_port = p->tuple.src_port;
	return true;
}

static bool read_l4(struct ct_packet *p, const struct view *v, uint32_t pkt_len,
		    const struct flow_offsets *ofs)
{
	uint8_t proto = p->tuple.proto;

	if (proto == (p->tuple.family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return ofs->l4 && read_icmp(p, v, ofs->l4);
	if (!ct_proto_has_ports(proto))
		return proto != IPPROTO_ICMP && proto != IPPROTO_ICMPV6;
	if (!ofs->l4 || !read_ports(v, ofs->l4, &p->tuple))
		return false;
	if (proto == IPPROTO_TCP)
		return read_tcp(p, v, pkt_len, ofs);
	if (proto == IPPROTO_UDP)
		p->payload_ofs = (uint16_t)(ofs->l4 + 8);
	if (proto == IPPROTO_SCTP)
		p->chunk = has(v, ofs->l4, 13) ? v->data[ofs->l4 + 12] : 0;
	return true;
}

/* IPv6 fragment header, if there is one before the transport header. */
static const uint8_t *find_fragment6(const struct view *v, uint32_t l3, uint8_t *next)
{
	uint32_t at = l3 + 40;
	uint8_t type = v->data[l3 + 6];

	for (unsigned n = 0; n < EXTRACT_MAX_IPV6_EXT && has(v, at, 8); n++) {
		const uint8_t *h = v->data + at;

		*next = h[0];
		if (type == IPPROTO_FRAGMENT)
			return h;
		if (type != IPPROTO_HOPOPTS && type != IPPROTO_ROUTING && type != IPPROTO_DSTOPTS)
			return NULL;
		type = h[0];
		at += (h[1] + 1u) * 8;
	}
	return NULL;
}

bool ct_packet_fragment(struct ct_fragment_at *f, const uint8_t *data, uint32_t len,
			const struct flow_offsets *ofs, uint32_t context)
{
	struct view v = {data, len};
	const uint8_t *ip = data + ofs->l3, *frag;
	uint32_t header;
	uint16_t word;
	uint8_t next;

	*f = (struct ct_fragment_at){.key.context = context, .key.family = ofs->ip_version};
	if (ofs->ip_version == 4 && has(&v, ofs->l3, 20)) {
		word = load_be16(ip + 6);
		header = (ip[0] & 15) * 4u;
		f->id = load_be16(ip + 4);
		f->ip_bytes = load_be16(ip + 2);
		f->begin = (word & 0x1fff) * 8u;
		f->last = !(word & 0x2000);
		f->key.proto = ip[9];
		memcpy(f->key.src, ip + 12, 4);
		memcpy(f->key.dst, ip + 16, 4);
	} else if (ofs->ip_version == 6 && has(&v, ofs->l3, 40)) {
		frag = find_fragment6(&v, ofs->l3, &next);
		if (!frag)
			return false;
		word = load_be16(frag + 2);
		header = (uint32_t)(frag + 8 - ip);
		f->id = load_be32(frag + 4);
		f->ip_bytes = load_be16(ip + 4) + 40u;
		f->begin = word & 0xfff8;
		f->last = !(word & 1);
		memcpy(f->key.src, ip + 8, 16);
		memcpy(f->key.dst, ip + 24, 16);
	} else {
		return false;
	}
	if (f->ip_bytes < header || (f->last && !f->begin))
		return false;
	f->end = f->begin + f->ip_bytes - header;
	f->payload_ofs = (uint16_t)(ofs->l3 + header);
	return true;
}

static bool read_ip(struct ct_packet *p, const struct view *v, const struct flow_offsets *ofs)
{
	const uint8_t *ip = v->data + ofs->l3, *frag;
	struct ct_tuple *t = &p->tuple;
	uint16_t word = 0;

	t->family = ofs->ip_version;
	t->proto = ofs->ip_proto;
	if (t->family == 4) {
		if (!has(v, ofs->l3, 20))
			return false;
		memcpy(t->src, ip + 12, 4);
		memcpy(t->dst, ip + 16, 4);
		word = load_be16(ip + 6);
		p->fragment = word & 0x1fff;
		p->first_fragment = (word & 0x3fff) == 0x2000;
		p->frag_id = load_be16(ip + 4);
		return true;
	}
	if (t->family != 6 || !has(v, ofs->l3, 40))
		return false;
	memcpy(t->src, ip + 8, 16);
	memcpy(t->dst, ip + 24, 16);
	frag = find_fragment6(v, ofs->l3, &t->proto);
	if (!frag) {
		t->proto = ofs->ip_proto;
		return true;
	}
	word = load_be16(frag + 2);
	p->frag_id = load_be32(frag + 4);
	p->fragment = word & 0xfff8;
	p->first_fragment = !p->fragment && word & 1;
	if (!p->fragment)
		t->proto = ofs->ip_proto;
	return true;
}

/* Most packets: an unfragmented TCP or UDP packet over IPv4. False: take the long way. */
static bool parse_plain(struct ct_packet *p, const struct view *v, uint32_t pkt_len,
			const struct flow_offsets *ofs, uint32_t context)
{
	const uint8_t *ip = v->data + ofs->l3;
	uint32_t ports, src, dst;

	if (ofs->ip_version != 4 || !ofs->l4 || !has(v, ofs->l3, 20) || !has(v, ofs->l4, 8) ||
	    load_be16(ip + 6) & 0x3fff ||
	    (ofs->ip_proto != IPPROTO_TCP && ofs->ip_proto != IPPROTO_UDP))
		return false;
	memcpy(&src, ip + 12, 4);
	memcpy(&dst, ip + 16, 4);
	memcpy(&ports, v->data + ofs->l4, 4);
	ct_tuple_set4(&p->tuple, src, dst, ports, context, ofs->ip_proto);
	p->related = p->fragment = p->first_fragment = p->tracked_by_id = false;
	p->inner_l3 = p->inner_l4 = 0;
	p->payload_ofs = (uint16_t)(ofs->l4 + 8);
	return ofs->ip_proto == IPPROTO_UDP || read_tcp(p, v, pkt_len, ofs);
}

bool ct_packet_parse(struct ct_packet *p, const uint8_t *data, uint32_t len, uint32_t pkt_len,
		     const struct flow_offsets *ofs, uint32_t context)
{
	struct view v = {data, len};

	if (SL_LIKELY(parse_plain(p, &v, pkt_len, ofs, context)))
		return true;
	*p = (struct ct_packet){.tuple.context = context};
	if (!ofs->ip_version || !read_ip(p, &v, ofs))
		return false;
	p->tracked_by_id = p->fragment || p->first_fragment;
	if (p->tracked_by_id) {
		struct ct_fragment_at f;

		if (!ct_packet_fragment(&f, data, len, ofs, context))
			return false;
		p->frag_begin = f.begin;
		p->frag_end = f.end;
	}
	return p->fragment || read_l4(p, &v, pkt_len, ofs);
}
