/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets: packet-out, packet-in in its formats, resume. */
#include <stdlib.h>
#include <string.h>

#include "control/openflow/action_check.h"
#include "control/openflow/op.h"
#include "control/openflow/packet_msg.h"
#include "datapath/base/clock.h"
#include "datapath/flow/extract.h"

enum { CONTINUATION_MAX = 16384 };

static void on_sent(struct ofrequest *r, struct attrs a, bool more, const struct err *err)
{
	if (!more && err && r->conn)
		ofconn_send_quoted_error(r->conn, &r->quoted, ofrequest_error(a, err));
}

/* Whatever is wrong with a continuation, the controller can only drop it. */
static void on_resumed(struct ofrequest *r, struct attrs a, bool more, const struct err *err)
{
	(void)a;
	if (!more && err && r->conn)
		ofconn_send_quoted_error(r->conn, &r->quoted, OFPERR_NXR_STALE);
}

static enum ofp_err send_plain(struct ofconn *c, const struct ofmsg *m, struct msg *api,
			       void (*on_reply)(struct ofrequest *, struct attrs, bool,
						const struct err *))
{
	struct ofrequest *r = xzalloc(sizeof *r);
	r->on_reply = on_reply;
	return ofrequest_send(r, c->sw, c, m, api, false) ? OFPERR_OK : OFPERR_BRC_EPERM;
}

enum { ETHER_BYTES = 14 };

/* What the actions of a packet-out may take for granted is not what its match says (metadata) but
 * what its packet is: set_field of an ND option is right for a neighbour advertisement. */
static void know_packet(const struct packet_out *po, struct match *known)
{
	struct flow_offsets ofs;

	*known = po->match;
	if (po->packet_len < ETHER_BYTES)
		return;
	flow_extract(po->packet, (uint32_t)po->packet_len, (uint32_t)po->packet_len,
		     &known->value.key, &ofs);
	memset(&known->mask.key, 0xff, sizeof known->mask.key);
}

enum ofp_err handle_packet_out(struct ofconn *c, const struct ofmsg *m)
{
	struct packet_out po;
	struct match known;
	enum ofp_err err = packet_out_get(m->body, m->version, &po);
	if (!err) {
		know_packet(&po, &known);
		err = action_check(po.actions.data, po.actions.len, &known, ACTION_CHECK_NO_TABLE,
				   OFP10);
	}
	if (err || po.packet_len < ETHER_BYTES) { /* a runt goes nowhere, which is no error */
		packet_out_free(&po);
		return err;
	}
	struct msg api;
	msg_init(&api, API_PACKET_OUT, 0);
	msg_put_str(&api, ATTR_BRIDGE, c->sw->bridge);
	msg_put_u32(&api, ATTR_IN_PORT, po.in_port);
	msg_put_bytes(&api, ATTR_ACTIONS, po.actions.data, po.actions.len);
	msg_put_bytes(&api, ATTR_PACKET, po.packet, po.packet_len);
	msg_put_bytes(&api, ATTR_REGS, &po.match.value.regs, sizeof po.match.value.regs);
	packet_out_free(&po);
	return send_plain(c, m, &api, on_sent);
}

enum ofp_err handle_resume(struct ofconn *c, const struct ofmsg *m)
{
	struct packet_in2 pi;
	enum ofp_err err = packet_in2_get(m->body, &pi);
	if (err)
		return err;
	if (!pi.continuation_len || pi.continuation_len > CONTINUATION_MAX || !pi.packet)
		return OFPERR_NXR_STALE;
	struct msg api;
	msg_init(&api, API_RESUME, 0);
	msg_put_str(&api, ATTR_BRIDGE, c->sw->bridge);
	msg_put_bytes(&api, ATTR_CONTINUATION, pi.continuation, pi.continuation_len);
	msg_put_bytes(&api, ATTR_PACKET, pi.packet, pi.packet_len);
	/* what the controller changed: values with masks */
	api_put_match(&api, ATTR_MATCH, &pi.metadata);
	return send_plain(c, m, &api, on_resumed);
}

/* ---- packet-in ---- */

/* Token bucket of the Controller table's rate and burst. */
static bool rate_allows(struct ofconn *c)
{
	if (c->packet_in_rate <= 0)
		return true;
	uint64_t now = clock_mono_ms();
	double burst = c->packet_in_burst > 0 ? c->packet_in_burst : c->packet_in_rate / 4.0;
	burst = SL_MAX(burst, 1.0);
	if (!c->tokens_ms)
		c->tokens = burst;
	else
		c->tokens += (double)(now - c->tokens_ms) * c->packet_in_rate / 1000.0;
	c->tokens = SL_MIN(c->tokens, burst);
	c->tokens_ms = now;
	if (c->tokens < 1.0)
		return false;
	c->tokens -= 1.0;
	return true;
}

/* A connection that does not read must not make us keep everything for it. */
enum { PACKET_IN_QUEUE_BYTES = 16 << 20 };

static void deliver(struct ofconn *c, const struct packet_in *pi)
{
	if (evbuffer_get_length(bufferevent_get_output(c->bev)) > PACKET_IN_QUEUE_BYTES ||
	    !rate_allows(c))
		return;
	struct ofbuf b = {0};
	/* §6.1.2: a switch that does not keep packets tells all of them, whatever max_len and
	 * miss_send_len say */
	packet_in_put(&b, c->version, c->packet_in_format, pi);
	ofconn_send_free(c, &b);
}

/* In the words of a version: 1.4 has reasons that were "action" before. */
static uint8_t packet_in_reason(uint8_t reason, uint8_t version)
{
	if (reason == OFPR_EXPLICIT_MISS)
		return version < OFP13 ? OFPR_ACTION : OFPR_NO_MATCH;
	if (reason == OFPR_IMPLICIT_MISS)
		return OFPR_NO_MATCH;
	return version < OFP14 && reason > OFPR_INVALID_TTL ? OFPR_ACTION : reason;
}

/* A packet-in goes to the connections of its controller id that want its reason. */
void packet_in_event(struct ofswitch *sw, struct attrs a)
{
	static const uint8_t none[1];
	struct packet_in pi = {
		.reason = (uint8_t)attrs_u64(a, ATTR_PACKET_IN_REASON, OFPR_ACTION),
		.table = (uint8_t)attrs_u64(a, ATTR_TABLE, 0),
		.cookie = attrs_u64(a, ATTR_COOKIE, UINT64_MAX),
		.max_len = (uint16_t)attrs_u64(a, ATTR_MAX_LEN, UINT16_MAX),
	};
	struct flow *flow = aligned_alloc(64, sizeof *flow);
	size_t n;
	const void *state = attrs_bytes(a, ATTR_REGS, &n);
	memset(flow, 0, sizeof *flow);
	if (state && n == sizeof *flow)
		memcpy(flow, state, n);
	pi.flow = flow;
	pi.in_port = (uint32_t)attrs_u64(a, ATTR_IN_PORT, OFP_PORT_ANY);
	flow->regs.in_port = cpu_to_be32(pi.in_port);
	pi.packet = attrs_bytes(a, ATTR_PACKET, &pi.packet_len);
	if (!pi.packet)
		pi.packet = none;
	pi.full_len = (uint32_t)attrs_u64(a, ATTR_PACKET_LEN, pi.packet_len);
	pi.userdata = attrs_bytes(a, ATTR_USERDATA, &pi.userdata_len);
	pi.continuation = attrs_bytes(a, ATTR_CONTINUATION, &pi.continuation_len);
	uint16_t id = (uint16_t)attrs_u64(a, ATTR_CONTROLLER_ID, 0);
	uint8_t reason = pi.reason;
	LIST_FOR_EACH_SAFE (c, struct ofconn, node, &sw->conns) {
		pi.reason = packet_in_reason(reason, c->version);
		if (c->controller_id == id &&
		    !(reason == OFPR_IMPLICIT_MISS && c->version >= OFP13) &&
		    ofconn_wants(c, ASYNC_PACKET_IN, pi.reason))
			deliver(c, &pi);
	}
	free(flow);
}
