/* SPDX-License-Identifier: BSD-3-Clause */
/* ofproto/trace and ofproto/trace-packet-out: read which packet is meant, in any of the forms that
 * ovs-appctl's users know, and print what the datapath tells of its way. The text is the datapath's
 * (server/trace.c). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/ask.h"
#include "control/daemon/sluiced.h"
#include "control/openflow/action_check.h"
#include "control/openflow/spec.h"
#include "datapath/api/match_attr.h"
#include "datapath/flow/action_text.h"
#include "datapath/flow/extract.h"
#include "datapath/flow/key_text.h"
#include "datapath/flow/match_text.h"
#include "datapath/flow/packet_build.h"
#include "ovsdb-lite/unixctl.h"

enum { FRAME_MAX = 9216 };

struct described {
	const char *bridge;
	uint32_t ofport;
	struct match m;
	uint8_t frame[FRAME_MAX];
	size_t len; /* 0: no packet */
	bool is_packet_out;
	struct action_buf actions;
};

struct names { /* of the ports of one bridge */
	const struct config *config;
	const char *bridge;
};

static bool by_name(void *aux, const char *name, uint32_t *port)
{
	const struct names *n = aux;
	const struct config_port *p = config_find_port(n->config, name);
	if (!p || strcmp(p->bridge, n->bridge))
		return false;
	*port = p->ofport;
	return true;
}

static bool parse_frame(const char *hex, struct described *out)
{
	size_t n = strlen(hex);
	if (n % 2 || n / 2 > FRAME_MAX || strspn(hex, "0123456789abcdefABCDEF") != n)
		return false;
	for (size_t i = 0; i < n / 2; i++) {
		unsigned byte;
		sscanf(hex + 2 * i, "%2x", &byte);
		out->frame[i] = (uint8_t)byte;
	}
	out->len = n / 2;
	return true;
}

/* The port that has the datapath's number. */
static int place(struct sluiced *d, uint32_t port_id, struct described *out, struct err *e)
{
	VEC_FOR_EACH (p, &engine_desired(d->engine)->ports) {
		const struct port_state *st = engine_port(d->engine, (*p)->name);
		if (!st || !st->status.known || st->status.id != port_id)
			continue;
		out->bridge = (*p)->bridge;
		out->ofport = (*p)->ofport;
		return 0;
	}
	return err_set(e, ENODEV, "Unknown datapath port %u", port_id);
}

/* `bridge` NULL: the flow is in the datapath's words and says by its port where it is. */
static int describe(struct sluiced *d, const char *bridge, const char *flow, const char *packet,
		    struct described *out, struct err *e)
{
	struct names n = {engine_desired(d->engine), bridge};
	const struct text_ports ports = {.by_name = by_name, .aux = &n};
	int rc;
	if (bridge) {
		rc = match_parse(flow, &ports, NULL, NULL, &out->m, e);
		out->bridge = bridge;
		out->ofport = be32_to_cpu(out->m.value.regs.in_port);
	} else {
		rc = key_parse(flow, &out->m, e);
		if (!rc)
			rc = place(d, out->m.value.key.in_port, out, e);
	}
	if (rc) {
		err_prefix(e, "Bad openflow flow syntax: %s", flow);
		return rc;
	}
	if (packet && !parse_frame(packet, out))
		return err_set(e, EINVAL, "Trailing garbage in packet data: %s", packet);
	return 0;
}

/* The actions of a packet-out; whoever says nothing of a port has none. `consistent`: what they do
 * must fit the packet, as from OpenFlow 1.1 on. */
static int take_actions(struct sluiced *d, struct described *t, const char *text, bool consistent,
			struct err *e)
{
	struct names n = {engine_desired(d->engine), t->bridge};
	const struct text_ports ports = {.by_name = by_name, .aux = &n};
	struct match known = t->m;
	struct flow_offsets ofs;
	enum ofp_err wrong;
	t->is_packet_out = true;
	if (!t->m.mask.regs.in_port && !t->ofport)
		t->ofport = OFP_PORT_ANY;
	if (actions_parse(text, &ports, &t->actions, e)) {
		err_prefix(e, "Bad actions syntax");
		return -EINVAL;
	}
	ACTION_FOR_EACH(a, t->actions.data, t->actions.len)
	{
		if (action_infos[a->type].flags & ACT_INSTRUCTION && a->type != ACTION_METER)
			return err_set(e, EINVAL, "%s instruction not allowed here",
				       action_infos[a->type].name);
	}
	if (t->len >= 14)
		flow_extract(t->frame, (uint32_t)t->len, (uint32_t)t->len, &known.value.key, &ofs);
	memset(&known.mask.key, 0xff, sizeof known.mask.key);
	wrong = action_check(t->actions.data, t->actions.len, &known, ACTION_CHECK_NO_TABLE,
			     consistent ? OFP13 : OFP10);
	return wrong ? err_set(e, EINVAL, "Bad actions: %s", ofp_err_text(wrong)) : 0;
}

/* What a flow leaves open counts as 0, as in Open vSwitch. */
static void send_request(struct ask *a, struct described *t)
{
	struct msg m;
	memset(&t->m.mask, 0, sizeof t->m.mask);
	memset(&t->m.mask.key, 0xff, sizeof t->m.mask.key);
	memset(&t->m.mask.regs, 0xff, sizeof t->m.mask.regs);
	t->m.value.key.in_port = 0;
	msg_init(&m, API_TRACE, 0);
	msg_put_str(&m, ATTR_BRIDGE, t->bridge);
	msg_put_u32(&m, ATTR_IN_PORT, t->ofport);
	api_put_match(&m, ATTR_MATCH, &t->m);
	if (t->len)
		msg_put_bytes(&m, ATTR_PACKET, t->frame, t->len);
	if (t->is_packet_out)
		msg_put_bytes(&m, ATTR_ACTIONS, t->actions.len ? (const void *)t->actions.data : "",
			      t->actions.len);
	ask_send_whole(a, &m, ATTR_TRACE_TEXT);
	ask_end(a);
}

struct words {
	const char *at[5];
	int n;
	bool generate, consistent;
};

/* False: too many. Options that change nothing here are passed over; --ct-next needs a value. */
static bool sort_words(int argc, const char *argv[], int max, struct words *w)
{
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i];
		if (!strcmp(a, "-generate") || !strcmp(a, "--generate"))
			w->generate = true;
		else if (!strcmp(a, "-consistent") || !strcmp(a, "--consistent"))
			w->consistent = true;
		else if (!strcmp(a, "--ct-next"))
			i++;
		else if (a[0] == '-' && a[1] == '-')
			continue;
		else if (w->n == max)
			return false;
		else
			w->at[w->n++] = a;
	}
	return w->n > 0;
}

/* [BRIDGE|DATAPATH] FLOW [PACKET]: n words. */
static int take_words(struct sluiced *d, const struct words *w, int n, struct described *t,
		      struct err *e)
{
	const char *bridge = NULL;
	if (n > 1 && config_find_bridge(engine_desired(d->engine), w->at[0]))
		bridge = w->at[0];
	/* "[dp] flow [packet]": a flow has brackets */
	int flow = bridge || !strchr(w->at[0], '(') ? 1 : 0;
	if (n <= flow)
		return err_set(e, EINVAL, "Must specify bridge name");
	if (n > flow + 2)
		return err_set(e, EINVAL, "Too many arguments");
	if (!bridge && !strchr(w->at[flow], '('))
		return err_set(e, ENODEV, "%s: unknown bridge", w->at[0]);
	int rc = describe(d, bridge, w->at[flow], flow + 1 < n ? w->at[flow + 1] : NULL, t, e);
	if (!rc && w->generate && !t->len)
		t->len = packet_compose(&t->m.value, 0, t->frame, sizeof t->frame);
	return rc;
}

static void trace(struct unixctl_call *call, int argc, const char *argv[], struct sluiced *d,
		  bool is_packet_out)
{
	struct words w = {.n = 0};
	struct described *t;
	struct err e = {0};
	if (!sort_words(argc, argv, 3 + is_packet_out, &w) || w.n <= is_packet_out) {
		unixctl_error(call, is_packet_out ? "usage: ofproto/trace-packet-out [options] "
						    "BRIDGE|DATAPATH FLOW [PACKET] ACTIONS"
						  : "usage: ofproto/trace [options] "
						    "BRIDGE|DATAPATH FLOW [PACKET]");
		return;
	}
	t = aligned_alloc(64, SL_ALIGN_UP(sizeof *t, 64));
	if (!t)
		abort();
	memset(t, 0, sizeof *t);
	if (!take_words(d, &w, w.n - is_packet_out, t, &e) && is_packet_out)
		take_actions(d, t, w.at[w.n - 1], w.consistent, &e);
	struct ask *a = e.code ? NULL : ask_begin(d, call);
	if (e.code)
		unixctl_error(call, e.text);
	if (a)
		send_request(a, t);
	action_buf_free(&t->actions);
	free(t);
}

static void trace_arrived(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	trace(call, argc, argv, aux, false);
}

static void trace_packet_out(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	trace(call, argc, argv, aux, true);
}

void commands_trace_register(struct sluiced *d, struct unixctl *ctl)
{
	unixctl_register(ctl, "ofproto/trace",
			 "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]", 1,
			 8, trace_arrived, d);
	unixctl_register(ctl, "ofproto/trace-packet-out",
			 "[-consistent] {[dp_name] odp_flow | bridge br_flow} [OPTIONS...] "
			 "[-generate|packet] actions",
			 2, 9, trace_packet_out, d);
}
