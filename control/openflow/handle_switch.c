/* SPDX-License-Identifier: BSD-3-Clause */
/* What a controller asks of the switch and of its own connection: features, configuration, role,
 * asynchronous messages, formats, description. */
#include <string.h>

#include "control/openflow/op.h"
#include "control/openflow/port_msg.h"

static void put_port(const struct ofswitch_port *port, void *aux)
{
	struct ofbuf *b = aux;
	port_put(b, b->data[0], port);
}

enum ofp_err handle_features(struct ofconn *c, const struct ofmsg *m)
{
	struct ofbuf b = {0};
	uint32_t capabilities =
		OFPC_FLOW_STATS | OFPC_TABLE_STATS | OFPC_PORT_STATS | OFPC_QUEUE_STATS;
	if (m->version <= OFP11)
		capabilities |= OFPC10_ARP_MATCH_IP;
	if (m->version != OFP10)
		capabilities |= OFPC_GROUP_STATS;
	if (m->version >= OFP14)
		capabilities |= OFPC14_BUNDLES;
	size_t at = ofconn_begin_reply(&b, m, OFPT_FEATURES_REPLY);
	ofbuf_u64(&b, c->sw->datapath_id);
	ofbuf_u32(&b, 0); /* no buffers */
	ofbuf_u8(&b, OFP_TABLES);
	ofbuf_zeros(&b, 3);
	ofbuf_u32(&b, capabilities);
	ofbuf_u32(&b, m->version == OFP10 ? 0xfff : 0); /* actions: all of 1.0 */
	if (m->version < OFP13)
		c->sw->ops.for_each_port(c->sw->ops_aux, put_port, &b);
	if (b.len - at > OFP_MESSAGE_MAX) /* the rest is in the port descriptions */
		b.len = at + OFP_HEADER_BYTES + 24;
	ofbuf_end(&b, at);
	ofconn_send_free(c, &b);
	return OFPERR_OK;
}

enum ofp_err handle_get_config(struct ofconn *c, const struct ofmsg *m)
{
	struct ofbuf b = {0};
	size_t at = ofconn_begin_reply(&b, m, OFPT_GET_CONFIG_REPLY);
	bool ttl = c->invalid_ttl_to_controller && m->version < OFP13;
	ofbuf_u16(&b, c->sw->frag_mode | (ttl ? OFPC_INVALID_TTL_TO_CONTROLLER : 0));
	ofbuf_u16(&b, c->miss_send_len);
	ofbuf_end(&b, at);
	ofconn_send_free(c, &b);
	return OFPERR_OK;
}

void frag_mode_put(const struct ofswitch *sw, struct msg *transaction)
{
	size_t at = msg_op_begin(transaction, API_OP_BRIDGE_SET);
	msg_put_str(transaction, ATTR_NAME, sw->bridge);
	msg_put_flag(transaction, ATTR_EXISTING); /* making it is the configuration's business */
	msg_put_u8(transaction, ATTR_FRAG_MODE, (uint8_t)sw->frag_mode);
	msg_nest_end(transaction, at);
}

/* A datapath that is away gets it with the rules when it is back. */
static void set_frag_mode(struct ofconn *c, const struct ofmsg *m, uint16_t mode)
{
	struct msg api;
	c->sw->frag_mode = mode;
	msg_init(&api, API_TRANSACTION, 0);
	frag_mode_put(c->sw, &api);
	ofconn_send_change(c, m, &api);
}

enum ofp_err handle_set_config(struct ofconn *c, const struct ofmsg *m)
{
	struct ofcur body = m->body;
	uint16_t flags = ofcur_u16(&body);
	if (flags & ~(OFPC_FRAG_MASK | OFPC_INVALID_TTL_TO_CONTROLLER))
		return OFPERR_SCFC_BAD_FLAGS;
	uint16_t mode = flags & OFPC_FRAG_MASK;
	if (c->role != OFPCR_SLAVE && mode != OFPC_FRAG_REASM && mode != c->sw->frag_mode)
		set_frag_mode(c, m, mode);
	c->invalid_ttl_to_controller = flags & OFPC_INVALID_TTL_TO_CONTROLLER;
	if (c->invalid_ttl_to_controller)
		c->async.master[ASYNC_PACKET_IN] |= 1u << OFPR_INVALID_TTL;
	c->miss_send_len = ofcur_u16(&body);
	return OFPERR_OK;
}

/* ---- roles (§6.3.7, §7.3.9) ---- */

static void send_role_status(struct ofconn *c)
{
	struct ofbuf b = {0};
	if (c->version < OFP14 || !ofconn_wants(c, ASYNC_ROLE_STATUS, OFPCRR_MASTER_REQUEST))
		return;
	size_t at = ofbuf_begin(&b, c->version, OFPT14_ROLE_STATUS, ofconn_xid(c));
	ofbuf_u32(&b, c->role);
	ofbuf_u8(&b, OFPCRR_MASTER_REQUEST);
	ofbuf_zeros(&b, 3);
	ofbuf_u64(&b, c->sw->has_generation ? c->sw->generation_id : UINT64_MAX);
	ofbuf_end(&b, at);
	ofconn_send_free(c, &b);
}

static void set_role(struct ofconn *c, uint32_t role)
{
	if (role == OFPCR_MASTER)
		LIST_FOR_EACH (o, struct ofconn, node, &c->sw->conns)
			if (o != c && o->role == OFPCR_MASTER) {
				o->role = OFPCR_SLAVE;
				send_role_status(o);
				controller_status_tell(o->sw, o->remote, o, true, OFPCSR_ROLE);
			}
	bool changed = c->role != role;
	c->role = role;
	if (changed)
		controller_status_tell(c->sw, c->remote, c, true, OFPCSR_ROLE);
	if (c->sw->ops.status_changed)
		c->sw->ops.status_changed(c->sw->ops_aux);
}

enum ofp_err handle_role(struct ofconn *c, const struct ofmsg *m)
{
	struct ofcur body = m->body;
	struct ofswitch *sw = c->sw;
	uint32_t role = ofcur_u32(&body);
	uint16_t short_id = ofcur_u16(&body);
	ofcur_skip(&body, 2);
	uint64_t generation = ofcur_u64(&body);
	if (role > OFPCR_SLAVE)
		return OFPERR_RRFC_BAD_ROLE;
	if (role == OFPCR_MASTER || role == OFPCR_SLAVE) {
		if (sw->has_generation && (int64_t)(generation - sw->generation_id) < 0)
			return OFPERR_RRFC_STALE;
		sw->has_generation = true;
		sw->generation_id = generation;
	}
	bool renamed = m->version >= OFP15 && role != OFPCR_NOCHANGE && short_id != c->short_id;
	if (renamed)
		c->short_id = short_id;
	if (role != OFPCR_NOCHANGE)
		set_role(c, role);
	if (renamed)
		controller_status_tell(sw, c->remote, c, true, OFPCSR_SHORT_ID);
	struct ofbuf b = {0};
	size_t at = ofconn_begin_reply(&b, m, OFPT12_ROLE_REPLY);
	ofbuf_u32(&b, c->role);
	ofbuf_u16(&b, m->version >= OFP15 ? c->short_id : 0);
	ofbuf_zeros(&b, 2);
	ofbuf_u64(&b, sw->has_generation ? sw->generation_id : UINT64_MAX);
	ofbuf_end(&b, at);
	ofconn_send_free(c, &b);
	return OFPERR_OK;
}

enum ofp_err handle_nx_role(struct ofconn *c, const struct ofmsg *m)
{
	struct ofcur body = m->body;
	uint32_t role = ofcur_u32(&body);
	if (role > NX_ROLE_SLAVE)
		return OFPERR_RRFC_BAD_ROLE;
	set_role(c, role + 1);
	struct ofbuf b = {0};
	size_t at = ofconn_begin_nx_reply(&b, m, NXT_ROLE_REPLY);
	ofbuf_u32(&b, role);
	ofbuf_end(&b, at);
	ofconn_send_free(c, &b);
	return OFPERR_OK;
}

/* ---- asynchronous messages (§7.3.9.5; 1.3.5 §7.3.10) ---- */

enum { ASYNC_13_KINDS = 3 }; /* packet-in, port status, flow removed */
static const enum async_kind order13[ASYNC_13_KINDS] = {ASYNC_PACKET_IN, ASYNC_PORT_STATUS,
							ASYNC_FLOW_REMOVED};

static void wake_service(struct ofconn *c)
{
	if (c->kind == OFCONN_SERVICE && !c->miss_send_len)
		c->miss_send_len = 128;
}

static bool knows_async(uint8_t version, enum async_kind kind)
{
	return kind < ASYNC_FLOW_STATS || (kind == ASYNC_CONTROLLER_STATUS && version >= OFP15);
}

enum ofp_err handle_get_async(struct ofconn *c, const struct ofmsg *m)
{
	struct ofbuf b = {0};
	size_t at = ofconn_begin_reply(&b, m, OFPT13_GET_ASYNC_REPLY);
	if (m->version == OFP13) {
		for (int i = 0; i < ASYNC_13_KINDS; i++) {
			ofbuf_u32(&b, c->async.master[order13[i]]);
			ofbuf_u32(&b, c->async.slave[order13[i]]);
		}
	} else {
		for (int i = 0; i < ASYNC_N * 2; i++) {
			if (!knows_async(m->version, (enum async_kind)(i / 2)))
				continue;
			ofbuf_u16(&b, (uint16_t)i); /* OFPACPT_*: even for slaves */
			ofbuf_u16(&b, 8);
			ofbuf_u32(&b, (i & 1 ? c->async.master : c->async.slave)[i / 2]);
		}
	}
	ofbuf_end(&b, at);
	ofconn_send_free(c, &b);
	return OFPERR_OK;
}

enum ofp_err handle_set_async13(struct ofconn *c, const struct ofmsg *m)
{
	struct ofcur body = m->body;
	for (int i = 0; i < ASYNC_13_KINDS; i++) {
		c->async.master[order13[i]] = ofcur_u32(&body);
		c->async.slave[order13[i]] = ofcur_u32(&body);
	}
	wake_service(c);
	return OFPERR_OK;
}

enum ofp_err handle_set_async14(struct ofconn *c, const struct ofmsg *m)
{
	struct ofcur body = m->body, prop;
	struct async_config next = c->async;
	uint16_t type;
	bool bad;
	while (ofcur_tlv(&body, &type, &prop, &bad)) {
		if (!knows_async(m->version, (enum async_kind)(type / 2)))
			return OFPERR_BPC_BAD_TYPE;
		uint32_t mask = ofcur_u32(&prop);
		if (prop.short_read || ofcur_left(&prop))
			return OFPERR_BPC_BAD_LEN;
		if (mask & ~(type / 2 == ASYNC_CONTROLLER_STATUS ? 0x7fu : 0x3fu))
			return OFPERR_ACFC_INVALID;
		(type & 1 ? next.master : next.slave)[type / 2] = mask;
	}
	if (bad)
		return OFPERR_BPC_BAD_LEN;
	c->async = next;
	wake_service(c);
	return OFPERR_OK;
}

/* ---- Nicira's knobs of a connection ---- */

enum ofp_err handle_set_flow_format(struct ofconn *c, const struct ofmsg *m)
{
	struct ofcur body = m->body;
	uint32_t format = ofcur_u32(&body);
	if (format != NXFF_OPENFLOW10 && format != NXFF_NXM)
		return OFPERR_BRC_EPERM;
	c->nxm_flow_removed = format == NXFF_NXM;
	return OFPERR_OK;
}

enum ofp_err handle_flow_mod_table_id(struct ofconn *c, const struct ofmsg *m)
{
	c->has_table_id = m->body.p[0] != 0;
	return OFPERR_OK;
}

enum ofp_err handle_set_packet_in_format(struct ofconn *c, const struct ofmsg *m)
{
	struct ofcur body = m->body;
	uint32_t format = ofcur_u32(&body);
	if (format > NXPIF_NXT2)
		return OFPERR_BRC_EPERM;
	c->packet_in_format = (uint8_t)format;
	return OFPERR_OK;
}

enum ofp_err handle_set_controller_id(struct ofconn *c, const struct ofmsg *m)
{
	if (!ofcur_is_zero(m->body.p, 6))
		return OFPERR_NXBRC_MUST_BE_ZERO;
	c->controller_id = load_be16(m->body.p + 6);
	return OFPERR_OK;
}

/* ---- description (§7.3.5.1) ---- */

enum ofp_err handle_desc(struct ofconn *c, const struct ofmsg *m)
{
	enum { DESC_BYTES = 256, SERIAL_BYTES = 32 };
	struct ofmulti mp;
	ofmulti_init(&mp, m);
	ofbuf_string(&mp.b, "Sluice", DESC_BYTES);
	ofbuf_string(&mp.b, "Sluice", DESC_BYTES);
	ofbuf_string(&mp.b, SLUICE_VERSION, DESC_BYTES);
	ofbuf_string(&mp.b, c->sw->serial_desc, SERIAL_BYTES);
	ofbuf_string(&mp.b, c->sw->dp_desc, DESC_BYTES);
	ofmulti_end(&mp);
	ofconn_send_free(c, &mp.b);
	return OFPERR_OK;
}
