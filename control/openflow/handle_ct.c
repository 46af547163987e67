/* SPDX-License-Identifier: BSD-3-Clause */
/* Controllers that have connections removed: NXT_CT_FLUSH_ZONE and NXT_CT_FLUSH. Each condition
 * that is not understood is an error: to overlook one would remove what it spares. */
#include <netinet/in.h>
#include <string.h>

#include "control/openflow/ofswitch_priv.h"
#include "control/openflow/op.h"

/* Properties of NXT_CT_FLUSH, and those inside of the first two. 3 to 6 are of Open vSwitch 3.2 and
 * later. */
enum {
	CT_ORIG_TUPLE,
	CT_REPLY_TUPLE,
	CT_ZONE_ID,
	CT_MARK,
	CT_MARK_MASK,
	CT_LABELS,
	CT_LABELS_MASK,
};
enum {
	TUPLE_SRC,
	TUPLE_DST,
	TUPLE_SRC_PORT,
	TUPLE_DST_PORT,
	TUPLE_ICMP_ID,
	TUPLE_ICMP_TYPE,
	TUPLE_ICMP_CODE,
};

enum ofp_err handle_ct_flush_zone(struct ofconn *c, const struct ofmsg *m)
{
	struct msg api;
	size_t at;

	if (!ofcur_is_zero(m->body.p, 6))
		return OFPERR_NXBRC_MUST_BE_ZERO;
	msg_init(&api, API_TRANSACTION, 0);
	at = msg_op_begin(&api, API_OP_CT_FLUSH);
	msg_put_u16(&api, ATTR_CT_ZONE, load_be16(m->body.p + 6));
	msg_nest_end(&api, at);
	return ofconn_send_change(c, m, &api);
}

/* 16 bytes; IPv4 as ::ffff:a.b.c.d. All addresses of a message are of one family (0: none yet). */
static enum ofp_err put_addr(struct msg *api, enum api_attr id, const uint8_t *p, unsigned *family)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool v4 = !memcmp(p, mapped, sizeof mapped);
	unsigned is = v4 ? 4 : 6;

	if (*family && *family != is)
		return OFPERR_BPC_BAD_VALUE;
	*family = is;
	msg_put_bytes(api, id, v4 ? p + sizeof mapped : p, v4 ? 4 : 16);
	return OFPERR_OK;
}

/* Ports and ICMP fields of 0 select nothing, as when they are absent. */
static enum ofp_err put_tuple(struct msg *api, enum api_attr id, struct ofcur body,
			      unsigned *family)
{
	static const struct {
		enum api_attr id;
		uint8_t bytes;
	} parts[] = {
		[TUPLE_SRC] = {ATTR_CT_SRC, 16},
		[TUPLE_DST] = {ATTR_CT_DST, 16},
		[TUPLE_SRC_PORT] = {ATTR_CT_SPORT, 2},
		[TUPLE_DST_PORT] = {ATTR_CT_DPORT, 2},
		[TUPLE_ICMP_ID] = {ATTR_CT_ICMP_ID, 2},
		[TUPLE_ICMP_TYPE] = {ATTR_CT_ICMP_TYPE, 1},
		[TUPLE_ICMP_CODE] = {ATTR_CT_ICMP_CODE, 1},
	};
	enum ofp_err err = OFPERR_OK;
	struct ofcur part;
	uint16_t type;
	size_t at;
	bool bad = false;

	if (ofcur_left(&body) < 4)
		return OFPERR_BPC_BAD_LEN;
	ofcur_skip(&body, 4);
	at = msg_nest_begin(api, id);
	while (!err && ofcur_tlv(&body, &type, &part, &bad)) {
		if (type >= SL_ARRAY_SIZE(parts))
			err = OFPERR_BPC_BAD_TYPE;
		else if (ofcur_left(&part) < parts[type].bytes)
			err = OFPERR_BPC_BAD_LEN;
		else if (parts[type].bytes == 16)
			err = put_addr(api, parts[type].id, part.p, family);
		else if (parts[type].bytes == 2)
			msg_put_u16(api, parts[type].id, ofcur_u16(&part));
		else
			msg_put_u8(api, parts[type].id, ofcur_u8(&part));
	}
	msg_nest_end(api, at);
	return err ? err : bad ? OFPERR_BPC_BAD_LEN : OFPERR_OK;
}

static enum ofp_err put_property(struct msg *api, uint16_t type, struct ofcur p, unsigned *family)
{
	static const uint8_t bytes[] = {[CT_ZONE_ID] = 2,
					[CT_MARK] = 4,
					[CT_MARK_MASK] = 4,
					[CT_LABELS] = 16,
					[CT_LABELS_MASK] = 16};

	if (type >= SL_ARRAY_SIZE(bytes))
		return OFPERR_BPC_BAD_TYPE;
	if (ofcur_left(&p) < bytes[type])
		return OFPERR_BPC_BAD_LEN;
	switch (type) {
	case CT_ORIG_TUPLE:
		return put_tuple(api, ATTR_CT_ORIG, p, family);
	case CT_REPLY_TUPLE:
		return put_tuple(api, ATTR_CT_REPLY, p, family);
	case CT_ZONE_ID:
		msg_put_u16(api, ATTR_CT_ZONE, ofcur_u16(&p));
		break;
	case CT_MARK:
		msg_put_u32(api, ATTR_CT_MARK, ofcur_u32(&p));
		break;
	case CT_MARK_MASK:
		msg_put_u32(api, ATTR_CT_MARK_MASK, ofcur_u32(&p));
		break;
	case CT_LABELS:
		msg_put_bytes(api, ATTR_CT_LABEL, p.p, 16);
		break;
	case CT_LABELS_MASK:
		msg_put_bytes(api, ATTR_CT_LABEL_MASK, p.p, 16);
		break;
	}
	return OFPERR_OK;
}

enum ofp_err handle_ct_flush(struct ofconn *c, const struct ofmsg *m)
{
	struct ofcur body = m->body, prop;
	enum ofp_err err = OFPERR_OK;
	unsigned family = 0, seen = 0;
	uint8_t proto = ofcur_u8(&body);
	struct msg api;
	uint16_t type;
	size_t at;
	bool bad = false;

	if (!ofcur_is_zero(body.p, 7))
		return OFPERR_NXBRC_MUST_BE_ZERO;
	ofcur_skip(&body, 7);
	msg_init(&api, API_TRANSACTION, 0);
	at = msg_op_begin(&api, API_OP_CT_FLUSH);
	if (proto)
		msg_put_u8(&api, ATTR_CT_PROTO, proto);
	while (!err && ofcur_tlv(&body, &type, &prop, &bad)) {
		err = put_property(&api, type, prop, &family);
		if (!err && seen & 1u << type)
			err = OFPERR_BPC_DUP_TYPE;
		seen |= err ? 0 : 1u << type;
	}
	msg_nest_end(&api, at);
	if (!err && bad)
		err = OFPERR_BPC_BAD_LEN;
	if (!err)
		return ofconn_send_change(c, m, &api);
	msg_free(&api);
	return err;
}
