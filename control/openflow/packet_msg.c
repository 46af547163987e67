/* SPDX-License-Identifier: BSD-3-Clause */
/* Layouts of messages that carry packets. */
#include "control/openflow/packet_msg.h"

#include <string.h>

#include "control/openflow/spec.h"
#include "datapath/flow/tun_opt.h"

enum { CONTINUATION_STATE = 1 }; /* below the types that Open vSwitch puts inside a continuation */

void packet_out_free(struct packet_out *po)
{
	action_buf_free(&po->actions);
}

static enum ofp_err check_in_port(uint32_t port)
{
	bool ok = port < OFPP10_MAX || port == OFP_PORT_LOCAL || port == OFP_PORT_CONTROLLER ||
		  port == OFP_PORT_ANY;
	return ok ? OFPERR_OK : OFPERR_BRC_BAD_PORT;
}

enum ofp_err packet_out_get(struct ofcur c, uint8_t version, struct packet_out *out)
{
	*out = (struct packet_out){.in_port = OFP_PORT_ANY};
	match_init(&out->match);
	uint32_t buffer_id = ofcur_u32(&c);
	size_t actions_len;
	enum ofp_err err = OFPERR_OK;
	if (version >= OFP15) {
		actions_len = ofcur_u16(&c);
		ofcur_skip(&c, 2);
		err = ofp_match_get(&c, version, &out->match);
		if (err)
			return err;
		if (!field_is_wildcard(&fields[FIELD_IN_PORT], &out->match))
			out->in_port = be32_to_cpu(out->match.value.regs.in_port);
	} else if (version == OFP10) {
		if (!ofp_port_from10(ofcur_u16(&c), &out->in_port))
			return OFPERR_BRC_BAD_PORT;
		actions_len = ofcur_u16(&c);
	} else {
		out->in_port = ofcur_u32(&c);
		if (!ofp_port_is_possible(out->in_port))
			return OFPERR_BAC_BAD_OUT_PORT;
		actions_len = ofcur_u16(&c);
		ofcur_skip(&c, 6);
	}
	err = c.short_read ? OFPERR_BRC_BAD_LEN : check_in_port(out->in_port);
	if (err)
		return err;
	if (buffer_id != OFP_NO_BUFFER)
		return OFPERR_BRC_BUFFER_UNKNOWN;
	out->match.value.regs.in_port = cpu_to_be32(out->in_port);
	struct ofcur actions = ofcur_sub(&c, actions_len);
	if (actions.short_read || actions_len % 8)
		return OFPERR_BRC_BAD_LEN;
	out->packet = c.p;
	out->packet_len = ofcur_left(&c);
	return ofp_actions_get(actions.p, actions_len, version, &out->actions);
}

/* What a packet does not say by itself: ports, registers, tunnel and connection (§7.4.1). */
static void put_metadata(struct ofbuf *b, const struct flow *f, uint8_t version, bool with_in_port)
{
	struct match m;
	static const uint16_t shown[] = {
		FIELD_TUN_ID,       FIELD_TUN_SRC,     FIELD_TUN_DST,       FIELD_TUN_IPV6_SRC,
		FIELD_TUN_IPV6_DST, FIELD_TUN_GBP_ID,  FIELD_TUN_GBP_FLAGS, FIELD_TUN_FLAGS,
		FIELD_METADATA,     FIELD_PKT_MARK,    FIELD_CT_STATE,      FIELD_CT_ZONE,
		FIELD_CT_MARK,      FIELD_CT_LABEL,    FIELD_CT_NW_SRC,     FIELD_CT_NW_DST,
		FIELD_CT_IPV6_SRC,  FIELD_CT_IPV6_DST, FIELD_CT_NW_PROTO,   FIELD_CT_TP_SRC,
		FIELD_CT_TP_DST,
	};
	union field_value v;
	match_init(&m);
	for (size_t i = 0; i < SL_ARRAY_SIZE(shown) + 16; i++) {
		bool reg = i >= SL_ARRAY_SIZE(shown);
		unsigned id = reg ? FIELD_REG0 + (unsigned)(i - SL_ARRAY_SIZE(shown)) : shown[i];
		field_get(&fields[id], f, &v);
		if (!ofcur_is_zero(v.b, fields[id].n_bytes))
			field_match(&fields[id], &m, &v, NULL);
	}
	for (unsigned id = FIELD_TUN_METADATA0; id <= FIELD_TUN_METADATA63; id++) {
		if (!tun_opt_is_there(id - FIELD_TUN_METADATA0))
			continue;
		field_get(&fields[id], f, &v);
		if (!ofcur_is_zero(v.b, fields[id].n_bytes))
			field_match(&fields[id], &m, &v, NULL);
	}
	if (with_in_port) {
		field_get(&fields[FIELD_IN_PORT], f, &v);
		field_match(&fields[FIELD_IN_PORT], &m, &v, NULL);
	}
	/* ct tuple fields need eth_type as prerequisite in a match; here nothing is matched */
	m.value.key.eth_type = m.mask.key.eth_type = 0;
	oxm_match_put(b, &m, version);
}

static size_t prop_begin(struct ofbuf *b, uint16_t type)
{
	size_t at = b->len;
	ofbuf_u16(b, type);
	ofbuf_u16(b, 0);
	return at;
}

static void prop_end(struct ofbuf *b, size_t at)
{
	ofbuf_set_u16(b, at + 2, (uint16_t)(b->len - at));
	ofbuf_pad(b, at, 8);
}

static void put_prop(struct ofbuf *b, uint16_t type, const void *p, size_t n)
{
	size_t at = prop_begin(b, type);
	ofbuf_put(b, p, n);
	prop_end(b, at);
}

/* The property is a nested list of properties; ours is one that clients may print but not read. A
 * client copies what is inside and writes the frame anew. */
static void put_continuation(struct ofbuf *b, const struct packet_in *pi)
{
	size_t at = prop_begin(b, NXPINT_CONTINUATION);
	ofbuf_zeros(b, 4);
	put_prop(b, CONTINUATION_STATE, pi->continuation, pi->continuation_len);
	prop_end(b, at);
}

static void get_continuation(struct ofcur nested, struct packet_in2 *out)
{
	struct ofcur prop;
	uint16_t type;
	bool bad;

	ofcur_skip(&nested, 4);
	while (ofcur_tlv(&nested, &type, &prop, &bad)) {
		if (type == CONTINUATION_STATE) {
			out->continuation = prop.p;
			out->continuation_len = ofcur_left(&prop);
		}
	}
}

static void put_nxt2(struct ofbuf *b, uint8_t version, const struct packet_in *pi)
{
	be32_t full_len = cpu_to_be32(pi->full_len);
	size_t at = ofbuf_begin_nx(b, version, NX_EXPERIMENTER, NXT_PACKET_IN2, 0);
	put_prop(b, NXPINT_PACKET, pi->packet, pi->packet_len);
	if (pi->full_len != pi->packet_len)
		put_prop(b, NXPINT_FULL_LEN, &full_len, 4);
	put_prop(b, NXPINT_TABLE_ID, &pi->table, 1);
	if (pi->cookie != UINT64_MAX) {
		size_t p = prop_begin(b, NXPINT_COOKIE);
		ofbuf_zeros(b, 4);
		ofbuf_u64(b, pi->cookie);
		prop_end(b, p);
	}
	put_prop(b, NXPINT_REASON, &pi->reason, 1);
	size_t p = prop_begin(b, NXPINT_METADATA);
	put_metadata(b, pi->flow, version, true);
	prop_end(b, p);
	if (pi->userdata_len)
		put_prop(b, NXPINT_USERDATA, pi->userdata, pi->userdata_len);
	if (pi->continuation_len)
		put_continuation(b, pi);
	ofbuf_end(b, at);
}

static void put_nxt(struct ofbuf *b, uint8_t version, const struct packet_in *pi)
{
	size_t at = ofbuf_begin_nx(b, version, NX_EXPERIMENTER, NXT_PACKET_IN, 0);
	ofbuf_u32(b, OFP_NO_BUFFER);
	ofbuf_u16(b, (uint16_t)pi->full_len);
	ofbuf_u8(b, pi->reason);
	ofbuf_u8(b, pi->table);
	ofbuf_u64(b, pi->cookie);
	size_t len_at = b->len;
	ofbuf_u16(b, 0);
	ofbuf_zeros(b, 6);
	size_t match = b->len;
	put_metadata(b, pi->flow, version, true);
	ofbuf_set_u16(b, len_at, (uint16_t)(b->len - match));
	ofbuf_pad(b, match, 8);
	ofbuf_zeros(b, 2);
	ofbuf_put(b, pi->packet, pi->packet_len);
	ofbuf_end(b, at);
}

/* 1.0 to 1.3 know three reasons, 1.0 and 1.1 two. */
static uint8_t reason_for(uint8_t version, uint8_t reason)
{
	if (version < OFP14 && reason > OFPR_INVALID_TTL)
		return OFPR_ACTION;
	if (version < OFP12 && reason == OFPR_INVALID_TTL)
		return OFPR_NO_MATCH;
	return reason;
}

static void put_standard(struct ofbuf *b, uint8_t version, const struct packet_in *pi)
{
	uint8_t reason = reason_for(version, pi->reason);
	size_t at = ofbuf_begin(b, version, OFPT_PACKET_IN, 0);
	ofbuf_u32(b, OFP_NO_BUFFER);
	if (version == OFP10) {
		ofbuf_u16(b, (uint16_t)pi->full_len);
		ofbuf_u16(b, ofp_port_to10(pi->in_port));
		ofbuf_u8(b, reason);
		ofbuf_u8(b, 0);
	} else if (version == OFP11) {
		ofbuf_u32(b, pi->in_port);
		ofbuf_u32(b, pi->in_port);
		ofbuf_u16(b, (uint16_t)pi->full_len);
		ofbuf_u8(b, reason);
		ofbuf_u8(b, pi->table);
	} else {
		ofbuf_u16(b, (uint16_t)pi->full_len);
		ofbuf_u8(b, reason);
		ofbuf_u8(b, pi->table);
		if (version >= OFP13)
			ofbuf_u64(b, pi->cookie);
		size_t match = b->len;
		ofbuf_u16(b, OFPMT_OXM);
		ofbuf_u16(b, 0);
		put_metadata(b, pi->flow, version, true);
		ofbuf_set_u16(b, match + 2, (uint16_t)(b->len - match));
		ofbuf_pad(b, match, 8);
		ofbuf_zeros(b, 2);
	}
	ofbuf_put(b, pi->packet, pi->packet_len);
	ofbuf_end(b, at);
}

void packet_in_put(struct ofbuf *b, uint8_t version, uint8_t format, const struct packet_in *pi)
{
	struct packet_in cut = *pi;
	/* headers, metadata and userdata leave this much of 64 kB for the packet */
	size_t room = OFP_MESSAGE_MAX - 4096;
	size_t rest = pi->userdata_len + pi->continuation_len;
	cut.packet_len = SL_MIN(pi->packet_len, rest < room ? room - rest : 0);
	if (format == NXPIF_NXT2)
		put_nxt2(b, version, &cut);
	else if (format == NXPIF_NXT)
		put_nxt(b, version, &cut);
	else
		put_standard(b, version, &cut);
}

enum ofp_err packet_in2_get(struct ofcur body, struct packet_in2 *out)
{
	struct ofcur prop;
	uint16_t type;
	bool bad;
	*out = (struct packet_in2){0};
	match_init(&out->metadata);
	while (ofcur_tlv(&body, &type, &prop, &bad)) {
		enum ofp_err err = OFPERR_OK;
		switch (type) {
		case NXPINT_PACKET:
			out->packet = prop.p;
			out->packet_len = ofcur_left(&prop);
			break;
		case NXPINT_CONTINUATION:
			get_continuation(prop, out);
			break;
		case NXPINT_METADATA:
			err = oxm_match_get(prop.p, ofcur_left(&prop), false, &out->metadata, NULL);
			break;
		case NXPINT_FULL_LEN:
		case NXPINT_BUFFER_ID:
		case NXPINT_TABLE_ID:
		case NXPINT_COOKIE:
		case NXPINT_REASON:
		case NXPINT_USERDATA:
			break;
		default:
			return OFPERR_BPC_BAD_TYPE;
		}
		if (err)
			return err;
	}
	return bad ? OFPERR_BPC_BAD_LEN : OFPERR_OK;
}
