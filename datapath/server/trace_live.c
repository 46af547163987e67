/* SPDX-License-Identifier: BSD-3-Clause */
/* A traced packet's events as steps. Main thread. */
#include <rte_cycles.h>

#include "datapath/base/str.h"
#include "datapath/core/version.h"
#include "datapath/flow/extract.h"
#include "datapath/flow/program.h"
#include "datapath/policy/policy_edge.h"
#include "datapath/policy/policy_stats.h"
#include "datapath/poll/poll.h"
#include "datapath/server/capture.h"
#include "datapath/server/registry.h"
#include "datapath/server/request.h"
#include "datapath/server/trace_walk.h"
#include "datapath/table/bridge.h"

static size_t begin(struct msg *m, const char *kind, const struct packet_report *r,
		    const struct event_common *c)
{
	size_t at = msg_nest_begin(m, ATTR_STEP);
	uint64_t since = c->tsc > r->rx_tsc ? c->tsc - r->rx_tsc : 0;

	msg_put_str(m, ATTR_STEP_KIND, kind);
	msg_put_u16(m, ATTR_DEPTH, 0);
	msg_put_u64(m, ATTR_SINCE_NS, (uint64_t)((double)since * 1e9 / (double)rte_get_tsc_hz()));
	return at;
}

static void put_port(struct msg *m, uint32_t port_id)
{
	const struct port_object *p = registry_port_by_id(port_id);

	msg_put_str(m, ATTR_PORT, p ? p->o.name : "");
}

/* What the tables say of the packet of this look-up. Its key came with a slow look-up; of a hit it
 * is in the packet as it arrived. */
static void ask_tables(struct msg *m, const struct packet_report *r, const struct event_lookup *e)
{
	struct flow flow = {0};
	struct flow_offsets ofs;

	if (e->key_bytes)
		memcpy(&flow.key, e->data, sizeof flow.key);
	else if (!e->recirc_id && r->cap_len >= 14)
		flow_extract(r->bytes, r->cap_len, r->pkt_len, &flow.key, &ofs);
	else
		return;
	flow.key.in_port = e->c.port_id;
	flow.key.recirc_id = e->recirc_id;
	const struct bridge_port *p = bridge_port_by_id(e->c.port_id);
	if (p)
		flow.regs.in_port = cpu_to_be32(p->c.ofport);
	if (e->version != version_now())
		msg_put_flag(m, ATTR_STALE);
	const struct trace_walk w = {
		.flow = &flow, .packet = r->bytes, .packet_len = r->cap_len, .m = m};
	trace_walk(&w);
}

static void put_lookup(struct msg *m, const struct packet_report *r, const struct event_lookup *e)
{
	/* A packet-out brings its actions: no table was asked for it. */
	bool injected = e->level == LEVEL_INJECTED;
	size_t at = begin(m, injected ? "note" : "cache", r, &e->c);

	if (injected) {
		msg_put_str(m, ATTR_DETAIL, "a packet-out: runs the actions that came with it");
	} else {
		msg_put_str(m, ATTR_LEVEL, cache_level_names[e->level]);
		msg_put_u32(m, ATTR_RECIRC_ID, e->recirc_id);
		msg_put_u8(m, ATTR_CT_STATE, e->ct_state);
	}
	msg_nest_end(m, at);
	if (!injected)
		ask_tables(m, r, e);
	if (e->prog_words) {
		struct str text = STR_INIT;

		at = begin(m, "run", r, &e->c);
		program_format((const struct program *)(const void *)(e->data + e->key_bytes), 0,
			       &text);
		msg_put_str(m, ATTR_PROGRAM_TEXT, str_cstr(&text));
		str_free(&text);
		msg_nest_end(m, at);
	}
}

static void put_policy(struct msg *m, const struct packet_report *r, const struct event_note *e)
{
	size_t at = begin(m, "policy", r, &e->c);
	enum drop_reason why = (enum drop_reason)(e->detail & 0xffff);

	put_port(m, e->c.port_id);
	msg_put_u8(m, ATTR_DIRECTION, e->detail >> 24 & 1);
	msg_put_str(m, ATTR_NAME, policy_slot_name((uint32_t)e->wide));
	msg_put_str(m, ATTR_DETAIL, policy_ground_texts[e->detail >> 16 & 0xff]);
	if (why != DROP_NONE)
		msg_put_str(m, ATTR_REASON, drop_infos[why].name);
	msg_nest_end(m, at);
}

static void put_event(struct msg *m, const struct packet_report *r, const struct event_common *c)
{
	size_t at;

	switch ((enum observe_event)c->head.kind) {
	case EVENT_RX:
		at = begin(m, "rx", r, c);
		put_port(m, c->port_id);
		msg_nest_end(m, at);
		break;
	case EVENT_LOOKUP:
		put_lookup(m, r, (const struct event_lookup *)c);
		break;
	case EVENT_OUT:
		at = begin(m, "output", r, c);
		put_port(m, c->port_id);
		msg_put_u32(m, ATTR_PACKET_LEN, ((const struct event_out *)c)->pkt_len);
		msg_nest_end(m, at);
		break;
	case EVENT_DROP:
		at = begin(m, "drop", r, c);
		put_port(m, c->port_id);
		msg_put_str(m, ATTR_REASON,
			    drop_infos[((const struct event_drop *)c)->reason].name);
		if (((const struct event_drop *)c)->policy_slot)
			msg_put_str(
				m, ATTR_DENIED_BY,
				policy_slot_name(((const struct event_drop *)c)->policy_slot - 1));
		msg_nest_end(m, at);
		break;
	case EVENT_HELD:
		at = begin(m, "note", r, c);
		msg_put_str(m, ATTR_DETAIL, "waits for its resolution");
		msg_nest_end(m, at);
		break;
	case EVENT_ABSORBED:
		at = begin(m, "controller", r, c);
		msg_put_u16(m, ATTR_CONTROLLER_ID,
			    (uint16_t)((const struct event_note *)c)->detail);
		msg_nest_end(m, at);
		break;
	case EVENT_CT:
		at = begin(m, "ct", r, c);
		msg_put_u16(m, ATTR_CT_ZONE,
			    (uint16_t)(((const struct event_note *)c)->detail >> 16));
		msg_put_u8(m, ATTR_CT_STATE, (uint8_t)((const struct event_note *)c)->detail);
		msg_put_u32(m, ATTR_CT_MARK, (uint32_t)((const struct event_note *)c)->wide);
		msg_nest_end(m, at);
		break;
	case EVENT_POLICY:
		put_policy(m, r, (const struct event_note *)c);
		break;
	case EVENT_MARK:
	case EVENT_PAD:
		break;
	}
}

void trace_live_put(struct msg *m, const struct packet_report *r)
{
	for (unsigned i = 0; i < r->n_events; i++)
		put_event(m, r, r->event[i]);
}
