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

/* What the actions of a packet-out may take for granted is not what its match says (metadata) but
 * what its packet is: set_field of an ND option is right for a neighbour advertisement. */
static void know_packet(const struct packet_out *po, struct match *known)
{
	struct flow_offsets ofs;

	*known = po->match;
	if (po->packet_len < 14)
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
	if (err) {
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
	struct packet_in mine = *pi;
	/* §7.4.1: what a table-miss rule sends is "no match" from 1.3 on; 1.0 asks miss_send_len */
	size_t max = mine.reason == OFPR_ACTION || mine.is_controller_action ? mine.max_len
									     : c->miss_send_len;
	if (mine.userdata_len || mine.continuation_len || max >= mine.packet_len)
		max = mine.packet_len;
	mine.packet_len = SL_MIN(mine.packet_len, max);
	packet_in_put(&b, c->version, c->packet_in_format, &mine);
	ofconn_send_free(c, &b);
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
	bool implicit = pi.reason == OFPR_IMPLICIT_MISS;
	if (implicit)
		pi.reason = OFPR_NO_MATCH;
	LIST_FOR_EACH_SAFE (c, struct ofconn, node, &sw->conns)
		if (c->controller_id == id && !(implicit && c->version >= OFP13) &&
		    ofconn_wants(c, ASYNC_PACKET_IN, pi.reason))
			deliver(c, &pi);
	free(flow);
}
