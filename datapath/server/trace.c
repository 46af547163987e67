/* SPDX-License-Identifier: BSD-3-Clause */
/* TRACE: which packet is meant. The rest is trace_walk.h's. Main thread. */
#include <errno.h>
#include <string.h>

#include "datapath/base/str.h"
#include "datapath/flow/action.h"
#include "datapath/flow/extract.h"
#include "datapath/server/request.h"
#include "datapath/server/rule_attrs.h"
#include "datapath/server/trace_walk.h"
#include "datapath/table/bridge.h"
#include "datapath/table/flow_mod.h"

struct described { /* the packet of the request */
	struct flow flow;
	const void *packet;
	size_t len;
	const void *actions; /* of a packet-out, or NULL */
	size_t actions_len;
};

/* A packet-out of no actions is one, too. */
static int take_actions(struct attrs a, const struct bridge *b, struct described *d, struct err *e)
{
	uint32_t ofp;

	d->actions = attrs_bytes(a, ATTR_ACTIONS, &d->actions_len);
	if (!d->actions_len)
		return 0;
	if (action_list_check(d->actions, d->actions_len, e))
		return -EINVAL;
	return flow_mod_check_actions(b, d->actions, d->actions_len, &ofp, e) ? -ENOENT : 0;
}

/* A packet that came by no port meets the tables as one that a controller sends into them. */
static void from_nowhere(struct described *d)
{
	static const struct action_resubmit first_table = {
		.a = {.type = ACTION_RESUBMIT, .len = sizeof first_table},
		.in_port = OFP_PORT_IN_PORT,
	};

	d->actions = (const uint8_t *)&first_table;
	d->actions_len = ACTION_PADDED(sizeof first_table);
}

static int describe(struct attrs a, const struct bridge *b, struct described *d, struct err *e)
{
	uint32_t ofport = (uint32_t)attrs_u64(a, ATTR_IN_PORT, 0);
	const struct bridge_port *p = bridge_port_by_ofport(b, ofport);
	static struct rule_match_buf buf;
	struct flow_offsets ofs;
	const struct minimatch *mm;
	struct match m;

	memset(d, 0, sizeof *d);
	if (take_actions(a, b, d, e))
		return -EINVAL;
	bool none = !ofport && !d->actions;
	if (!p && !none && ofport != OFP_PORT_CONTROLLER && ofport != OFP_PORT_ANY)
		return err_set(e, ENOENT, "trace: bridge %s has no port %u", b->name, ofport);
	if (!p && !d->actions)
		from_nowhere(d);
	if (rule_attrs_match(a, ATTR_MATCH, &buf, &mm, e))
		return -EINVAL;
	minimatch_expand(mm, &m);
	d->flow = m.value;
	d->packet = attrs_bytes(a, ATTR_PACKET, &d->len);
	if (d->packet && d->len < 14)
		return err_set(e, EINVAL, "trace: packet: %zu bytes are no frame", d->len);
	if (d->packet) {
		struct flow_key key;

		memset(&key, 0, sizeof key);
		flow_extract(d->packet, (uint32_t)d->len, (uint32_t)d->len, &key, &ofs);
		key.ct_state = d->flow.key.ct_state;
		key.ct_zone = d->flow.key.ct_zone;
		key.ct_mark = d->flow.key.ct_mark;
		d->flow.key = key;
	}
	d->flow.key.in_port = p ? p->c.port_id : 0;
	d->flow.key.ttl_class = SL_MIN(d->flow.key.ip_ttl, 15);
	d->flow.key.recirc_id = 0;
	d->flow.regs.in_port = cpu_to_be32(ofport);
	return 0;
}

void request_TRACE(struct conn *c, struct attrs a)
{
	const char *name = attrs_str(a, ATTR_BRIDGE, "");
	const struct bridge *b = bridge_find(name);
	struct str text = STR_INIT;
	struct described d;
	struct err e = {0};

	if (!b)
		err_set(&e, ENOENT, "bridge %s: not found", name);
	else
		describe(a, b, &d, &e);
	if (e.code) {
		conn_reply_error(c, &e, NULL, NULL);
		return;
	}
	struct trace_walk w = {
		.flow = &d.flow,
		.packet = d.packet,
		.packet_len = (uint32_t)d.len,
		.follow = true,
		.actions = d.actions,
		.actions_len = d.actions_len,
		.bridge_id = b->id,
		.m = conn_reply_begin(c),
		.text = &text,
	};
	w.ct_next = attrs_bytes(a, ATTR_CT_NEXT, &w.n_ct_next);
	if (trace_walk(&w)) {
		msg_free(w.m);
		err_set(&e, ENOMEM, "trace: no memory");
		conn_reply_error(c, &e, NULL, NULL);
		return;
	}
	msg_put_str(w.m, ATTR_TRACE_TEXT, str_cstr(&text));
	str_free(&text);
	conn_reply_end(c);
}
