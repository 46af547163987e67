/* SPDX-License-Identifier: BSD-3-Clause */
/* TRACE: resolves a described packet with side effects off and tells each step, in the shape of
 * ovs-appctl ofproto/trace. Main thread: what it reads is reclaimed by this thread only, so nothing
 * goes while it looks. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/base/str.h"
#include "datapath/core/thread.h"
#include "datapath/flow/action_text.h"
#include "datapath/flow/extract.h"
#include "datapath/resolve/frozen.h"
#include "datapath/resolve/resolve.h"
#include "datapath/resolve/trace_sink.h"
#include "datapath/server/registry.h"
#include "datapath/server/request.h"
#include "datapath/server/rule_attrs.h"
#include "datapath/table/bridge.h"
#include "datapath/table/mac_table.h"
#include "datapath/table/rule.h"

enum { TEXT_BYTES_MAX = 1 << 20, INDENT = 4 };

struct trace { /* of the request in work */
	struct str text;
	const struct bridge *bridge; /* the packet is there now: whose port names count */
};

/* ---- names ---- */

static const char *port_name(void *aux, uint32_t ofport)
{
	const struct trace *t = aux;
	const struct bridge_port *p = t->bridge ? bridge_port_by_ofport(t->bridge, ofport) : NULL;

	return p ? p->c.name : NULL;
}

static struct text_ports names_of(struct trace *t)
{
	return (struct text_ports){.name_of = port_name, .aux = t};
}

/* ---- steps ---- */

/* Loops between tables are cut off by resolve; their text is by this. */
static bool line(struct trace *t, unsigned depth)
{
	if (t->text.len > TEXT_BYTES_MAX)
		return false;
	for (unsigned i = 0; i < depth * INDENT; i++)
		str_putc(&t->text, ' ');
	return true;
}

static void on_bridge(void *aux, unsigned depth, const struct bridge *b,
		      const struct bridge_port *p)
{
	struct trace *t = aux;
	size_t before;

	t->bridge = b;
	str_putc(&t->text, '\n');
	line(t, depth);
	before = t->text.len;
	str_printf(&t->text, "bridge(\"%s\")", b->name);
	size_t n = t->text.len - before;
	str_putc(&t->text, '\n');
	line(t, depth);
	while (n--)
		str_putc(&t->text, '-');
	str_putc(&t->text, '\n');
}

static void on_table(void *aux, unsigned depth, const struct bridge *b, uint8_t table,
		     const struct rule *rule, uint32_t conj_id, const struct flow *flow)
{
	struct trace *t = aux;
	struct text_ports names = names_of(t);
	struct match m;

	t->bridge = b;
	if (!line(t, depth))
		return;
	str_printf(&t->text, "%2u. ", table);
	if (!rule) {
		str_puts(&t->text, "No match.\n");
		return;
	}
	if (conj_id)
		str_printf(&t->text, "conj_id=%u, ", conj_id);
	rule_match(rule, &m);
	size_t before = t->text.len;
	match_format(&m, &names, &t->text);
	if (t->text.len != before)
		str_puts(&t->text, ", ");
	str_printf(&t->text, "priority %u", rule->priority);
	if (rule->cookie)
		str_printf(&t->text, ", cookie 0x%llx", (unsigned long long)rule->cookie);
	str_putc(&t->text, '\n');
}

static void on_action(void *aux, unsigned depth, const struct action *a, const struct flow *flow)
{
	struct trace *t = aux;
	struct text_ports names = names_of(t);

	if (!line(t, depth + 1))
		return;
	actions_format(a, ACTION_PADDED(a->len), &names, &t->text);
	str_putc(&t->text, '\n');
}

static void on_group(void *aux, unsigned depth, uint32_t group_id, uint32_t bucket_id, bool chosen)
{
	struct trace *t = aux;

	if (line(t, depth + 1))
		str_printf(&t->text, " -> group %u: %s bucket %u\n", group_id,
			   chosen ? "using" : "passing over", bucket_id);
}

static void on_mac(void *aux, unsigned depth, const uint8_t mac[6], uint16_t vlan,
		   const struct mac_entry *e)
{
	struct trace *t = aux;

	if (line(t, depth + 1))
		str_puts(&t->text, e ? " -> forwarding to learned port\n"
				     : " -> no learned MAC for destination, flooding\n");
}

static void on_learn(void *aux, unsigned depth, const uint8_t m[6], uint16_t vlan,
		     const struct bridge_port *p)
{
	struct trace *t = aux;

	if (line(t, depth + 1))
		str_printf(&t->text,
			   " -> would learn that %02x:%02x:%02x:%02x:%02x:%02x is on port %s in "
			   "VLAN %u\n",
			   m[0], m[1], m[2], m[3], m[4], m[5], p->c.name, vlan);
}

static void on_ct(void *aux, unsigned depth, uint16_t zone, bool commit, uint8_t recirc_table)
{
	struct trace *t = aux;

	if (line(t, depth + 1))
		str_printf(&t->text, " -> connection tracking in zone %u%s\n", zone,
			   commit ? ", commit" : "");
}

static void on_output(void *aux, unsigned depth, const struct bridge_port *p,
		      const struct flow *flow)
{
	struct trace *t = aux;

	if (line(t, depth + 1))
		str_printf(&t->text, " >> output to port %s\n", p->c.name);
}

static void on_controller(void *aux, unsigned depth, uint16_t controller_id, uint8_t reason)
{
	struct trace *t = aux;

	if (line(t, depth + 1))
		str_printf(&t->text, " >> to controller %u\n", controller_id);
}

static void on_recirc(void *aux, unsigned depth, uint32_t frozen_id, uint8_t table)
{
	struct trace *t = aux;

	if (line(t, depth + 1))
		str_printf(&t->text, " -> suspended, goes on in table %u\n", table);
}

static void on_drop(void *aux, unsigned depth, enum drop_reason reason)
{
	struct trace *t = aux;

	if (line(t, depth + 1))
		str_printf(&t->text, " >> dropped: %s: %s\n", drop_infos[reason].name,
			   drop_infos[reason].help);
}

static void on_note(void *aux, unsigned depth, const char *text)
{
	struct trace *t = aux;

	if (line(t, depth + 1))
		str_printf(&t->text, " -> %s\n", text);
}

/* ---- request and answer ---- */

struct described { /* the packet of the request */
	struct flow flow;
	const void *packet;
	size_t len;
};

static int describe(struct attrs a, const struct bridge *b, struct described *d, struct err *e)
{
	uint32_t ofport = (uint32_t)attrs_u64(a, ATTR_IN_PORT, 0);
	const struct bridge_port *p = bridge_port_by_ofport(b, ofport);
	static struct rule_match_buf buf;
	struct flow_offsets ofs;
	const struct minimatch *mm;
	struct match m;

	memset(d, 0, sizeof *d);
	if (!p)
		return err_set(e, ENOENT, "trace: bridge %s has no port %u", b->name, ofport);
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
	d->flow.key.in_port = p->c.port_id;
	d->flow.key.ttl_class = SL_MIN(d->flow.key.ip_ttl, 15);
	d->flow.key.recirc_id = 0;
	d->flow.regs.in_port = cpu_to_be32(ofport);
	return 0;
}

static void put_megaflow(struct trace *t, const struct described *d, const struct resolve_result *r,
			 struct msg *m)
{
	struct text_ports names = names_of(t);
	struct match full;

	match_init(&full);
	for (unsigned l = 0; l < FLOW_KEY_LINES; l++)
		if (r->mask_lines & (1u << l))
			memcpy(full.mask.line[l],
			       (const uint8_t *)&r->mask + (size_t)l * FLOW_LINE_BYTES,
			       FLOW_LINE_BYTES);
	for (size_t i = 0; i < sizeof full.value.key; i++)
		((uint8_t *)&full.value)[i] = (uint8_t)(((const uint8_t *)&d->flow)[i] &
							((const uint8_t *)&full.mask)[i]);
	struct minimatch *mm = minimatch_create(&full);
	msg_put_bytes(m, ATTR_KEY_LINES, mm, minimatch_size(mm));
	free(mm);
	/* People know ports by OpenFlow number and name. */
	full.value.key.in_port = full.mask.key.in_port = 0;
	full.value.key.recirc_id = full.mask.key.recirc_id = 0;
	full.value.regs.in_port = d->flow.regs.in_port;
	full.mask.regs.in_port = UINT32_MAX;
	str_puts(&t->text, "\nMegaflow: recirc_id=0,");
	match_format(&full, &names, &t->text);
	str_putc(&t->text, '\n');
}

static void answer(struct conn *c, struct trace *t, const struct bridge *b,
		   const struct described *d, const struct resolve_result *r)
{
	struct msg *m = conn_reply_begin(c);
	struct str program = STR_INIT;

	t->bridge = b;
	put_megaflow(t, d, r, m);
	if (r->drop == DROP_NONE) {
		program_format(program_scratch(&r->prog), d->flow.key.ip_proto, &program);
	} else {
		str_puts(&program, "drop");
	}
	str_printf(&t->text, "Datapath actions: %s\n", str_cstr(&program));
	msg_put_str(m, ATTR_TRACE_TEXT, str_cstr(&t->text));
	msg_put_str(m, ATTR_PROGRAM_TEXT, str_cstr(&program));
	if (r->drop != DROP_NONE) {
		msg_put_str(m, ATTR_REASON, drop_infos[r->drop].name);
		msg_put_u64(m, ATTR_COOKIE, r->drop_cookie);
	}
	str_free(&program);
	conn_reply_end(c);
}

void request_TRACE(struct conn *c, struct attrs a)
{
	static struct resolver *resolver; /* scratch memory, kept for the next one */
	static struct resolve_result result;
	const char *name = attrs_str(a, ATTR_BRIDGE, "");
	const struct bridge *b = bridge_find(name);
	struct trace t = {.text = STR_INIT, .bridge = b};
	struct described d;
	struct err e = {0};
	const struct resolve_tracer tracer = {
		.aux = &t,
		.bridge = on_bridge,
		.table = on_table,
		.action = on_action,
		.group = on_group,
		.mac = on_mac,
		.learn = on_learn,
		.ct = on_ct,
		.output = on_output,
		.controller = on_controller,
		.recirc = on_recirc,
		.drop = on_drop,
		.note = on_note,
	};

	if (!b)
		err_set(&e, ENOENT, "bridge %s: not found", name);
	else if (!resolver && !(resolver = resolver_create(THREAD_MAIN)))
		err_set(&e, ENOMEM, "trace: no memory");
	else
		describe(a, b, &d, &e);
	if (e.code) {
		conn_reply_error(c, &e, NULL, NULL);
		return;
	}
	struct text_ports names = names_of(&t);
	str_puts(&t.text, "Flow: ");
	flow_format(&d.flow, &names, &t.text);
	str_putc(&t.text, '\n');
	const struct resolve_request req = {
		.key = &d.flow.key,
		.packet = d.packet,
		.packet_len = (uint32_t)d.len,
		.version = version_now(),
		.now_ms = clock_mono_ms(),
		.side_effects = false,
		.tracer = (struct resolve_tracer *)&tracer,
	};
	resolve(resolver, &req, &result);
	answer(c, &t, b, &d, &result);
	str_free(&t.text);
}
