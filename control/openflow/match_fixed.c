/* SPDX-License-Identifier: BSD-3-Clause */
/* The fixed matches of OpenFlow 1.0 (40 bytes) and 1.1 (88 bytes). A field whose prerequisite the
 * match does not require is ignored, as 1.0.0 §3.4 and 1.1.0 §A.2.3 say. */
#include <string.h>

#include "control/openflow/oxm.h"
#include "control/openflow/spec.h"
#include "datapath/flow/action.h"

bool ofp_port_from10(uint16_t port10, uint32_t *port)
{
	*port = port10 >= OFPP10_FIRST_RESERVED ? port10 | 0xffff0000u : port10;
	return port10 < OFPP10_MAX || port10 >= OFPP10_FIRST_RESERVED;
}

bool ofp_port_is_possible(uint32_t port)
{
	return port < OFPP10_MAX || port >= OFP_PORT_MAX;
}

uint16_t ofp_port_to10(uint32_t port)
{
	if (port < OFPP10_MAX)
		return (uint16_t)port;
	return port >= (0xffff0000u | OFPP10_FIRST_RESERVED) ? (uint16_t)port : 0xffff;
}

/* What both versions have, in host order. */
struct fixed {
	bool has_in_port, has_vlan, has_pcp, has_type, has_tos, has_proto, has_src, has_dst,
		has_label, has_tc;
	uint32_t in_port;
	uint8_t dl_src[6], dl_src_mask[6], dl_dst[6], dl_dst_mask[6];
	uint16_t vlan, vlan_mask, type; /* vlan with the present bit */
	uint8_t pcp, tos, proto, tc;
	uint32_t nw_src, nw_src_mask, nw_dst, nw_dst_mask, label;
	uint16_t tp_src, tp_dst;
	uint64_t metadata, metadata_mask;
};

static void set_exact(struct match *m, enum field_id id, uint64_t v)
{
	const struct field_info *f = &fields[id];
	union field_value value = {0};
	for (unsigned i = 0; i < f->n_bytes && i < 8; i++)
		value.b[f->n_bytes - 1 - i] = (uint8_t)(v >> 8 * i);
	if (field_prereq_in_match(f, m))
		field_match(f, m, &value, NULL);
}

static void set_masked(struct match *m, enum field_id id, const void *v, const void *mask)
{
	const struct field_info *f = &fields[id];
	union field_value value = {0}, mask_value = {0};
	memcpy(value.b, v, f->n_bytes);
	memcpy(mask_value.b, mask, f->n_bytes);
	for (unsigned i = 0; i < f->n_bytes; i++)
		value.b[i] &= mask_value.b[i];
	if (!ofcur_is_zero(mask, f->n_bytes) && field_prereq_in_match(f, m))
		field_match(f, m, &value, &mask_value);
}

static void set_masked_u32(struct match *m, enum field_id id, uint32_t v, uint32_t mask)
{
	be32_t value = cpu_to_be32(v & mask), mask_value = cpu_to_be32(mask);
	set_masked(m, id, &value, &mask_value);
}

static uint64_t get_number(const struct match *m, enum field_id id, bool mask)
{
	const struct field_info *f = &fields[id];
	union field_value value, mask_value;
	field_get_match(f, m, &value, &mask_value);
	uint64_t v = 0;
	for (unsigned i = 0; i < f->n_bytes; i++)
		v = v << 8 | (mask ? mask_value.b[i] : value.b[i]);
	return v;
}

static bool has(const struct match *m, enum field_id id)
{
	return field_prereq_in_match(&fields[id], m) && field_is_exact(&fields[id], m);
}

/* The L4 fields that tp_src and tp_dst mean, depending on what else the match has. */
static bool ports_of(const struct match *m, enum field_id *src, enum field_id *dst)
{
	static const enum field_id pairs[][2] = {{FIELD_TCP_SRC, FIELD_TCP_DST},
						 {FIELD_UDP_SRC, FIELD_UDP_DST},
						 {FIELD_SCTP_SRC, FIELD_SCTP_DST},
						 {FIELD_ICMP_TYPE, FIELD_ICMP_CODE},
						 {FIELD_ICMPV6_TYPE, FIELD_ICMPV6_CODE}};
	for (size_t i = 0; i < SL_ARRAY_SIZE(pairs); i++)
		if (field_prereq_in_match(&fields[pairs[i][0]], m)) {
			*src = pairs[i][0];
			*dst = pairs[i][1];
			return true;
		}
	return false;
}

static void vlan_to_match(const struct fixed *x, struct match *m)
{
	uint16_t tci = 0, mask = 0;
	if (x->has_vlan) {
		tci = x->vlan;
		mask = x->vlan_mask;
	}
	if (x->has_pcp && !(x->has_vlan && !(x->vlan & OFPVID_PRESENT))) {
		tci |= (uint16_t)(x->pcp << VLAN_PCP_SHIFT | OFPVID_PRESENT);
		mask |= VLAN_PCP_MASK | OFPVID_PRESENT;
	}
	be16_t v = cpu_to_be16(tci & mask), vm = cpu_to_be16(mask);
	set_masked(m, FIELD_VLAN_TCI, &v, &vm);
}

static void to_match(const struct fixed *x, struct match *m)
{
	match_init(m);
	if (x->has_in_port)
		set_exact(m, FIELD_IN_PORT, x->in_port);
	set_masked(m, FIELD_ETH_SRC, x->dl_src, x->dl_src_mask);
	set_masked(m, FIELD_ETH_DST, x->dl_dst, x->dl_dst_mask);
	vlan_to_match(x, m);
	if (x->has_type)
		set_exact(m, FIELD_ETH_TYPE, x->type);
	bool arp = field_prereq_in_match(&fields[FIELD_ARP_OP], m);
	if (x->has_tos)
		set_exact(m, FIELD_IP_DSCP, x->tos >> 2);
	if (x->has_proto)
		set_exact(m, arp ? FIELD_ARP_OP : FIELD_IP_PROTO, x->proto);
	set_masked_u32(m, arp ? FIELD_ARP_SPA : FIELD_IP_SRC, x->nw_src, x->nw_src_mask);
	set_masked_u32(m, arp ? FIELD_ARP_TPA : FIELD_IP_DST, x->nw_dst, x->nw_dst_mask);
	enum field_id src, dst;
	if (ports_of(m, &src, &dst)) {
		if (x->has_src)
			set_exact(m, src, x->tp_src);
		if (x->has_dst)
			set_exact(m, dst, x->tp_dst);
	}
	if (x->has_label)
		set_exact(m, FIELD_MPLS_LABEL, x->label);
	if (x->has_tc)
		set_exact(m, FIELD_MPLS_TC, x->tc);
	be64_t md = cpu_to_be64(x->metadata), mdm = cpu_to_be64(x->metadata_mask);
	set_masked(m, FIELD_METADATA, &md, &mdm);
}

static void from_match(const struct match *m, struct fixed *x)
{
	*x = (struct fixed){0};
	union field_value v, mask;
	x->has_in_port = has(m, FIELD_IN_PORT);
	x->in_port = (uint32_t)get_number(m, FIELD_IN_PORT, false);
	field_get_match(&fields[FIELD_ETH_SRC], m, &v, &mask);
	memcpy(x->dl_src, v.b, 6);
	memcpy(x->dl_src_mask, mask.b, 6);
	field_get_match(&fields[FIELD_ETH_DST], m, &v, &mask);
	memcpy(x->dl_dst, v.b, 6);
	memcpy(x->dl_dst_mask, mask.b, 6);
	uint16_t tci = (uint16_t)get_number(m, FIELD_VLAN_TCI, false);
	uint16_t tci_mask = (uint16_t)get_number(m, FIELD_VLAN_TCI, true);
	x->vlan = tci & (VLAN_VID_MASK | VLAN_CFI);
	x->vlan_mask = tci_mask & (VLAN_VID_MASK | VLAN_CFI);
	x->has_pcp = (tci_mask & VLAN_PCP_MASK) == VLAN_PCP_MASK && (tci & VLAN_CFI);
	x->pcp = (uint8_t)(tci >> VLAN_PCP_SHIFT);
	x->has_vlan = x->vlan_mask & VLAN_VID_MASK || ((tci_mask & VLAN_CFI) && !x->has_pcp);
	x->has_type = has(m, FIELD_ETH_TYPE);
	x->type = (uint16_t)get_number(m, FIELD_ETH_TYPE, false);
	bool arp = field_prereq_in_match(&fields[FIELD_ARP_OP], m);
	bool ip = field_prereq_in_match(&fields[FIELD_IP_PROTO], m);
	x->has_tos = ip && has(m, FIELD_IP_DSCP);
	x->tos = (uint8_t)(get_number(m, FIELD_IP_DSCP, false) << 2);
	x->has_proto = arp ? has(m, FIELD_ARP_OP) : has(m, FIELD_IP_PROTO);
	x->proto = (uint8_t)get_number(m, FIELD_IP_PROTO, false);
	if (arp || field_prereq_in_match(&fields[FIELD_IP_SRC], m)) {
		x->nw_src = (uint32_t)get_number(m, FIELD_IP_SRC, false);
		x->nw_src_mask = (uint32_t)get_number(m, FIELD_IP_SRC, true);
		x->nw_dst = (uint32_t)get_number(m, FIELD_IP_DST, false);
		x->nw_dst_mask = (uint32_t)get_number(m, FIELD_IP_DST, true);
	}
	enum field_id src, dst;
	if (ports_of(m, &src, &dst)) {
		x->has_src = has(m, src);
		x->tp_src = (uint16_t)get_number(m, src, false);
		x->has_dst = has(m, dst);
		x->tp_dst = (uint16_t)get_number(m, dst, false);
	}
	x->has_label = has(m, FIELD_MPLS_LABEL);
	x->label = (uint32_t)get_number(m, FIELD_MPLS_LABEL, false);
	x->has_tc = has(m, FIELD_MPLS_TC);
	x->tc = (uint8_t)get_number(m, FIELD_MPLS_TC, false);
	x->metadata = get_number(m, FIELD_METADATA, false);
	x->metadata_mask = get_number(m, FIELD_METADATA, true);
}

/* 1.0 counts the low bits that do not matter, 32 or more meaning all. */
static uint32_t mask_of_wild_bits(unsigned n)
{
	return n >= 32 ? 0 : UINT32_MAX << n;
}

static unsigned wild_bits_of_mask(uint32_t mask)
{
	return mask ? (unsigned)__builtin_ctz(mask) : 32;
}

enum ofp_err match10_get(struct ofcur *c, struct match *m)
{
	struct fixed x = {0};
	uint32_t w = ofcur_u32(c);
	uint16_t in_port = ofcur_u16(c);
	const uint8_t *src = ofcur_bytes(c, 6), *dst = ofcur_bytes(c, 6);
	uint16_t vlan = ofcur_u16(c);
	x.pcp = ofcur_u8(c) & 7;
	ofcur_skip(c, 1);
	x.type = ofcur_u16(c);
	x.tos = ofcur_u8(c);
	x.proto = ofcur_u8(c);
	ofcur_skip(c, 2);
	x.nw_src = ofcur_u32(c);
	x.nw_dst = ofcur_u32(c);
	x.tp_src = ofcur_u16(c);
	x.tp_dst = ofcur_u16(c);
	if (c->short_read || !src || !dst)
		return OFPERR_BRC_BAD_LEN;

	x.has_in_port = !(w & OFPFW10_IN_PORT);
	ofp_port_from10(in_port, &x.in_port);
	memcpy(x.dl_src, src, 6);
	memcpy(x.dl_dst, dst, 6);
	memset(x.dl_src_mask, w & OFPFW10_DL_SRC ? 0 : 0xff, 6);
	memset(x.dl_dst_mask, w & OFPFW10_DL_DST ? 0 : 0xff, 6);
	x.has_vlan = !(w & OFPFW10_DL_VLAN);
	x.vlan = vlan == OFP10_VLAN_NONE ? 0 : (vlan & VLAN_VID_MASK) | OFPVID_PRESENT;
	x.vlan_mask = vlan == OFP10_VLAN_NONE ? 0xffff : VLAN_VID_MASK | OFPVID_PRESENT;
	x.has_pcp = !(w & OFPFW10_DL_VLAN_PCP);
	x.has_type = !(w & OFPFW10_DL_TYPE);
	x.has_tos = !(w & OFPFW10_NW_TOS);
	x.has_proto = !(w & OFPFW10_NW_PROTO);
	x.nw_src_mask = mask_of_wild_bits(w >> OFPFW10_NW_SRC_SHIFT & 63);
	x.nw_dst_mask = mask_of_wild_bits(w >> OFPFW10_NW_DST_SHIFT & 63);
	x.has_src = !(w & OFPFW10_TP_SRC);
	x.has_dst = !(w & OFPFW10_TP_DST);
	to_match(&x, m);
	return OFPERR_OK;
}

void match10_put(struct ofbuf *b, const struct match *m)
{
	struct fixed x;
	from_match(m, &x);
	bool exact_src = !ofcur_is_zero(x.dl_src_mask, 6),
	     exact_dst = !ofcur_is_zero(x.dl_dst_mask, 6);
	uint32_t w = (x.has_in_port ? 0 : OFPFW10_IN_PORT) | (x.has_vlan ? 0 : OFPFW10_DL_VLAN) |
		     (exact_src ? 0 : OFPFW10_DL_SRC) | (exact_dst ? 0 : OFPFW10_DL_DST) |
		     (x.has_type ? 0 : OFPFW10_DL_TYPE) | (x.has_proto ? 0 : OFPFW10_NW_PROTO) |
		     (x.has_src ? 0 : OFPFW10_TP_SRC) | (x.has_dst ? 0 : OFPFW10_TP_DST) |
		     (x.has_pcp ? 0 : OFPFW10_DL_VLAN_PCP) | (x.has_tos ? 0 : OFPFW10_NW_TOS) |
		     wild_bits_of_mask(x.nw_src_mask) << OFPFW10_NW_SRC_SHIFT |
		     wild_bits_of_mask(x.nw_dst_mask) << OFPFW10_NW_DST_SHIFT;
	ofbuf_u32(b, w);
	ofbuf_u16(b, x.has_in_port ? ofp_port_to10(x.in_port) : 0);
	ofbuf_put(b, x.dl_src, 6);
	ofbuf_put(b, x.dl_dst, 6);
	ofbuf_u16(b, !x.has_vlan               ? 0
		     : x.vlan & OFPVID_PRESENT ? x.vlan & VLAN_VID_MASK
					       : OFP10_VLAN_NONE);
	ofbuf_u8(b, x.has_pcp ? x.pcp : 0);
	ofbuf_zeros(b, 1);
	ofbuf_u16(b, x.type);
	ofbuf_u8(b, x.has_tos ? x.tos : 0);
	ofbuf_u8(b, x.has_proto ? x.proto : 0);
	ofbuf_zeros(b, 2);
	ofbuf_u32(b, x.nw_src);
	ofbuf_u32(b, x.nw_dst);
	ofbuf_u16(b, x.has_src ? x.tp_src : 0);
	ofbuf_u16(b, x.has_dst ? x.tp_dst : 0);
}

static void invert(const uint8_t *p, uint8_t out[6])
{
	for (int i = 0; i < 6; i++)
		out[i] = (uint8_t)~p[i];
}

enum ofp_err match11_get(struct ofcur *c, struct match *m)
{
	struct fixed x = {0};
	uint16_t type = ofcur_u16(c), len = ofcur_u16(c);
	if (type != OFPMT_STANDARD)
		return OFPERR_BMC_BAD_TYPE;
	struct ofcur body = ofcur_sub(c, OFPMT11_STANDARD_BYTES - 4);
	if (len != OFPMT11_STANDARD_BYTES || body.short_read)
		return OFPERR_BMC_BAD_LEN;
	x.in_port = ofcur_u32(&body);
	uint32_t w = ofcur_u32(&body);
	memcpy(x.dl_src, ofcur_bytes(&body, 6), 6);
	invert(ofcur_bytes(&body, 6), x.dl_src_mask);
	memcpy(x.dl_dst, ofcur_bytes(&body, 6), 6);
	invert(ofcur_bytes(&body, 6), x.dl_dst_mask);
	uint16_t vlan = ofcur_u16(&body);
	x.pcp = ofcur_u8(&body) & 7;
	ofcur_skip(&body, 1);
	x.type = ofcur_u16(&body);
	x.tos = (uint8_t)(ofcur_u8(&body) << 2);
	x.proto = ofcur_u8(&body);
	x.nw_src = ofcur_u32(&body);
	x.nw_src_mask = ~ofcur_u32(&body);
	x.nw_dst = ofcur_u32(&body);
	x.nw_dst_mask = ~ofcur_u32(&body);
	x.tp_src = ofcur_u16(&body);
	x.tp_dst = ofcur_u16(&body);
	x.label = ofcur_u32(&body) & 0xfffff;
	x.tc = ofcur_u8(&body) & 7;
	ofcur_skip(&body, 3);
	x.metadata = ofcur_u64(&body);
	x.metadata_mask = ~ofcur_u64(&body);
	if (w & ~(uint32_t)OFPFW11_ALL)
		return OFPERR_BMC_BAD_WILDCARDS;
	x.has_in_port = !(w & OFPFW11_IN_PORT);
	x.has_vlan = !(w & OFPFW11_DL_VLAN);
	x.vlan = vlan == OFPVID11_NONE ? 0 : (uint16_t)((vlan & VLAN_VID_MASK) | OFPVID_PRESENT);
	x.vlan_mask = vlan == OFPVID11_NONE  ? VLAN_VID_MASK | OFPVID_PRESENT
		      : vlan == OFPVID11_ANY ? OFPVID_PRESENT
					     : VLAN_VID_MASK | OFPVID_PRESENT;
	x.has_pcp = !(w & OFPFW11_DL_VLAN_PCP);
	x.has_type = !(w & OFPFW11_DL_TYPE);
	x.has_tos = !(w & OFPFW11_NW_TOS);
	x.has_proto = !(w & OFPFW11_NW_PROTO);
	x.has_src = !(w & OFPFW11_TP_SRC);
	x.has_dst = !(w & OFPFW11_TP_DST);
	x.has_label = !(w & OFPFW11_MPLS_LABEL);
	x.has_tc = !(w & OFPFW11_MPLS_TC);
	to_match(&x, m);
	return OFPERR_OK;
}

void match11_put(struct ofbuf *b, const struct match *m)
{
	struct fixed x;
	from_match(m, &x);
	uint8_t inverted[6];
	ofbuf_u16(b, OFPMT_STANDARD);
	ofbuf_u16(b, OFPMT11_STANDARD_BYTES);
	ofbuf_u32(b, x.has_in_port ? x.in_port : 0);
	ofbuf_u32(b, (x.has_in_port ? 0 : OFPFW11_IN_PORT) | (x.has_vlan ? 0 : OFPFW11_DL_VLAN) |
			     (x.has_pcp ? 0 : OFPFW11_DL_VLAN_PCP) |
			     (x.has_type ? 0 : OFPFW11_DL_TYPE) | (x.has_tos ? 0 : OFPFW11_NW_TOS) |
			     (x.has_proto ? 0 : OFPFW11_NW_PROTO) |
			     (x.has_src ? 0 : OFPFW11_TP_SRC) | (x.has_dst ? 0 : OFPFW11_TP_DST) |
			     (x.has_label ? 0 : OFPFW11_MPLS_LABEL) |
			     (x.has_tc ? 0 : OFPFW11_MPLS_TC));
	ofbuf_put(b, x.dl_src, 6);
	invert(x.dl_src_mask, inverted);
	ofbuf_put(b, inverted, 6);
	ofbuf_put(b, x.dl_dst, 6);
	invert(x.dl_dst_mask, inverted);
	ofbuf_put(b, inverted, 6);
	ofbuf_u16(b, !x.has_vlan                      ? 0
		     : !(x.vlan & OFPVID_PRESENT)     ? OFPVID11_NONE
		     : !(x.vlan_mask & VLAN_VID_MASK) ? OFPVID11_ANY
						      : x.vlan & VLAN_VID_MASK);
	ofbuf_u8(b, x.has_pcp ? x.pcp : 0);
	ofbuf_zeros(b, 1);
	ofbuf_u16(b, x.type);
	ofbuf_u8(b, x.has_tos ? x.tos >> 2 : 0);
	ofbuf_u8(b, x.has_proto ? x.proto : 0);
	ofbuf_u32(b, x.nw_src);
	ofbuf_u32(b, ~x.nw_src_mask);
	ofbuf_u32(b, x.nw_dst);
	ofbuf_u32(b, ~x.nw_dst_mask);
	ofbuf_u16(b, x.has_src ? x.tp_src : 0);
	ofbuf_u16(b, x.has_dst ? x.tp_dst : 0);
	ofbuf_u32(b, x.has_label ? x.label : 0);
	ofbuf_u8(b, x.has_tc ? x.tc : 0);
	ofbuf_zeros(b, 3);
	ofbuf_u64(b, x.metadata);
	ofbuf_u64(b, ~x.metadata_mask);
}
