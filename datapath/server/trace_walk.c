/* SPDX-License-Identifier: BSD-3-Clause */
/* The resolver does the walking; this listens to it, and goes on where it would send the packet
 * round again: with the frozen state by value, and with the connection's state as assumed by the
 * client or as the tracker has it. Main thread. */
#include "datapath/server/trace_walk.h"

#include <errno.h>
#include <stdlib.h>

#include "datapath/base/clock.h"
#include "datapath/base/str.h"
#include "datapath/core/thread.h"
#include "datapath/exec/select.h"
#include "datapath/policy/policy_edge.h"
#include "datapath/policy/policy_stats.h"
#include "datapath/resolve/trace_sink.h"
#include "datapath/server/registry.h"
#include "datapath/server/trace_walk_priv.h"
#include "datapath/table/bridge.h"
#include "datapath/table/mac_table.h"
#include "datapath/table/rule.h"

enum { INDENT = 4 };
#define RULER "===========================================================================\n"

/* ---- steps ---- */

/* Loops between tables are cut off by resolve; their story is by this. */
static bool line(struct walker *t, unsigned depth)
{
	if (!t->w->text) {
		str_clear(t->text);
		return true;
	}
	if (t->ended != DROP_NONE)
		return false;
	if (t->text->len > TRACE_TEXT_MAX)
		return false;
	for (unsigned i = 0; i < depth * INDENT; i++)
		str_putc(t->text, ' ');
	return true;
}

/* 0: too many. End with end_step(). */
static size_t step(struct walker *t, const char *kind, unsigned depth)
{
	struct msg *m = t->w->m;

	if (t->n_steps >= TRACE_STEPS_MAX || t->ended != DROP_NONE)
		return 0;
	t->n_steps++;
	size_t at = msg_nest_begin(m, ATTR_STEP);
	msg_put_str(m, ATTR_STEP_KIND, kind);
	msg_put_u16(m, ATTR_DEPTH, (uint16_t)depth);
	return at;
}

static void end_step(struct walker *t, size_t at)
{
	msg_nest_end(t->w->m, at);
}

static void on_bridge(void *aux, unsigned depth, const struct bridge *b,
		      const struct bridge_port *p)
{
	struct walker *t = aux;
	size_t before, at = step(t, "bridge", depth);

	t->bridge = b;
	if (at) {
		msg_put_str(t->w->m, ATTR_BRIDGE, b->name);
		if (p)
			msg_put_str(t->w->m, ATTR_PORT, p->c.name);
		end_step(t, at);
	}
	if (!line(t, 0))
		return;
	str_putc(t->text, '\n');
	line(t, depth);
	before = t->text->len;
	str_printf(t->text, "bridge(\"%s\")", b->name);
	size_t n = t->text->len - before;
	str_putc(t->text, '\n');
	line(t, depth);
	while (n--)
		str_putc(t->text, '-');
	str_putc(t->text, '\n');
}

static void put_rule(struct walker *t, const struct rule *rule)
{
	struct text_ports names = trace_names(t);
	struct str s = STR_INIT;
	struct match match;

	rule_match(rule, &match);
	match_format(&match, &names, &s);
	msg_put_u16(t->w->m, ATTR_PRIORITY, rule->priority);
	msg_put_u64(t->w->m, ATTR_COOKIE, rule->cookie);
	trace_text_put(t, ATTR_MATCH_TEXT, &s);
	str_free(&s);
}

static void on_table(void *aux, unsigned depth, const struct bridge *b, uint8_t table,
		     const struct rule *rule, uint32_t conj_id, const struct flow *flow)
{
	struct walker *t = aux;
	struct text_ports names = trace_names(t);
	struct match m;
	size_t at = step(t, "table", depth);

	t->bridge = b;
	if (at) {
		msg_put_str(t->w->m, ATTR_BRIDGE, b->name);
		msg_put_u8(t->w->m, ATTR_TABLE, table);
		if (rule)
			put_rule(t, rule);
		end_step(t, at);
	}
	if (!line(t, depth))
		return;
	str_printf(t->text, "%2u. ", table);
	if (!rule) {
		str_puts(t->text, "No match.\n");
		return;
	}
	if (conj_id)
		str_printf(t->text, "conj_id=%u, ", conj_id);
	rule_match(rule, &m);
	size_t before = t->text->len;
	match_format(&m, &names, t->text);
	if (t->text->len != before)
		str_puts(t->text, ", ");
	str_printf(t->text, "priority %u", rule->priority);
	if (rule->cookie)
		str_printf(t->text, ", cookie 0x%llx", (unsigned long long)rule->cookie);
	str_putc(t->text, '\n');
}

static void on_action(void *aux, unsigned depth, const struct action *a, const struct flow *flow)
{
	struct walker *t = aux;
	struct text_ports names = trace_names(t);
	struct str s = STR_INIT;
	size_t at = step(t, "action", depth);

	actions_format(a, ACTION_PADDED(a->len), &names, &s);
	if (at) {
		trace_text_put(t, ATTR_ACTION_TEXT, &s);
		end_step(t, at);
	}
	if (line(t, depth + 1))
		str_printf(t->text, "%s\n", str_cstr(&s));
	str_free(&s);
}

static void on_resubmit(void *aux, unsigned depth, uint8_t table, uint32_t of_in_port)
{
	struct walker *t = aux;
	size_t at = step(t, "resubmit", depth);

	if (!at)
		return;
	msg_put_u8(t->w->m, ATTR_TABLE, table);
	msg_put_u32(t->w->m, ATTR_IN_PORT, of_in_port);
	end_step(t, at);
}

static void on_group(void *aux, unsigned depth, uint32_t group_id, uint32_t bucket_id, bool chosen)
{
	struct walker *t = aux;
	size_t at = step(t, "group", depth);

	if (at) {
		msg_put_u32(t->w->m, ATTR_GROUP_ID, group_id);
		msg_put_u32(t->w->m, ATTR_BUCKET_ID, bucket_id);
		msg_put_u8(t->w->m, ATTR_CHOSEN, chosen);
		end_step(t, at);
	}
	if (line(t, depth + 1))
		str_printf(t->text, " -> group %u: %s bucket %u\n", group_id,
			   chosen ? "using" : "passing over", bucket_id);
}

static uint32_t choose(void *aux, const struct prog_select *s, const struct flow_key *key)
{
	static const uint8_t none[FLOW_LINE_BYTES];
	uint16_t lines = 1u << FLOW_LINE_BASE;

	for (unsigned l = 1; l < FLOW_KEY_LINES; l++)
		if (memcmp((const uint8_t *)key + l * FLOW_LINE_BYTES, none, sizeof none))
			lines |= (uint16_t)(1u << l);
	return select_point(s, key, lines);
}

static void on_mac(void *aux, unsigned depth, const uint8_t mac[6], uint16_t vlan,
		   const struct mac_entry *e)
{
	struct walker *t = aux;
	size_t at = step(t, "mac", depth);
	const struct port_object *p =
		e ? registry_port_by_id(__atomic_load_n(&e->port_id, __ATOMIC_RELAXED)) : NULL;

	if (at) {
		msg_put_bytes(t->w->m, ATTR_MAC, mac, 6);
		msg_put_u16(t->w->m, ATTR_VLAN, vlan);
		if (p)
			msg_put_str(t->w->m, ATTR_PORT, p->o.name);
		end_step(t, at);
	}
	if (line(t, depth + 1))
		str_puts(t->text, e ? " -> forwarding to learned port\n"
				    : " -> no learned MAC for destination, flooding\n");
}

static void on_learn(void *aux, unsigned depth, const uint8_t m[6], uint16_t vlan,
		     const struct bridge_port *p)
{
	struct walker *t = aux;
	size_t at = step(t, "learn", depth);

	if (at) {
		msg_put_bytes(t->w->m, ATTR_MAC, m, 6);
		msg_put_u16(t->w->m, ATTR_VLAN, vlan);
		msg_put_str(t->w->m, ATTR_PORT, p->c.name);
		end_step(t, at);
	}
	if (line(t, depth + 1))
		str_printf(t->text,
			   " -> would learn that %02x:%02x:%02x:%02x:%02x:%02x is on port %s in "
			   "VLAN %u\n",
			   m[0], m[1], m[2], m[3], m[4], m[5], p->c.name, vlan);
}

enum { NO_TABLE = 255 };

static void end_here(struct walker *t, unsigned depth, enum drop_reason why, uint32_t slot);

/* ct() without a table: the packet goes on as it is, but for a translation. */
static void track_in_passing(struct walker *t, unsigned depth, const struct prog_ct *c,
			     uint16_t flags, const struct flow *flow)
{
	struct flow seen = *flow;
	enum drop_reason why;

	trace_flow_translate(&seen.key, &t->translation);
	why = trace_track(&t->bytes, &seen, c, flags, NULL, &t->translation);
	t->translation_depth = depth;
	if (why != DROP_NONE)
		end_here(t, depth, why, 0);
}

static void on_ct(void *aux, unsigned depth, const struct prog_ct *c, uint16_t flags,
		  uint8_t recirc_table, const struct flow *flow)
{
	struct walker *t = aux;
	size_t at = step(t, "ct", depth);

	t->ct_pending = recirc_table != NO_TABLE;
	t->ct = *c;
	t->ct_flags = flags;
	if (at) {
		msg_put_u16(t->w->m, ATTR_CT_ZONE, c->zone);
		msg_put_u8(t->w->m, ATTR_COMMIT, !!(flags & PROG_CT_COMMIT));
		if (recirc_table != NO_TABLE)
			msg_put_u8(t->w->m, ATTR_TABLE, recirc_table);
		end_step(t, at);
	}
	if (line(t, depth + 1))
		str_printf(t->text, " -> connection tracking in zone %u%s\n", c->zone,
			   flags & PROG_CT_COMMIT ? ", commit" : "");
	if (recirc_table == NO_TABLE && t->w->follow)
		track_in_passing(t, depth, c, flags, flow);
}

/* The packet's own fields as it leaves, without what only the switch knows of it. */
static void put_leaving(struct walker *t, const struct flow *flow)
{
	struct str text = STR_INIT;
	struct flow f;

	memcpy(&f, flow, sizeof f);
	memset(&f.regs, 0, sizeof f.regs);
	memset(f.line[FLOW_LINE_TUNNEL], 0, FLOW_LINE_BYTES);
	memset(f.line[FLOW_LINE_CT], 0, FLOW_LINE_BYTES);
	f.key.in_port = f.key.recirc_id = 0;
	f.key.ct_state = 0;
	f.key.ct_zone = 0;
	f.key.ct_mark = 0;
	f.key.tun_id = 0;
	flow_format(&f, NULL, &text);
	msg_put_str(t->w->m, ATTR_FLOW_TEXT, str_cstr(&text));
	str_free(&text);
}

static void put_drop(struct walker *t, unsigned depth, enum drop_reason reason, uint32_t slot)
{
	size_t at = step(t, "drop", depth);

	if (at) {
		msg_put_str(t->w->m, ATTR_REASON, drop_infos[reason].name);
		if (slot)
			msg_put_str(t->w->m, ATTR_DENIED_BY, policy_slot_name(slot - 1));
		end_step(t, at);
	}
	if (line(t, depth + 1))
		str_printf(t->text, " >> dropped: %s: %s\n", drop_infos[reason].name,
			   drop_infos[reason].help);
}

static void end_here(struct walker *t, unsigned depth, enum drop_reason why, uint32_t slot)
{
	if (t->ended != DROP_NONE)
		return;
	put_drop(t, depth, why, slot);
	t->ended = why;
	t->ended_slot = slot;
}

/* What the policy says at the edge of a port. False: the packet does not pass it. */
static bool ask_edge(struct walker *t, unsigned depth, const struct bridge_port *p, bool egress,
		     uint8_t hints, const struct flow *flow)
{
	struct policy_finding v =
		trace_edge(&t->bytes, flow, t->w->flow->key.in_port, p->c.port_id, egress, hints);
	size_t at = step(t, "policy", depth);

	if (at) {
		msg_put_str(t->w->m, ATTR_PORT, p->c.name);
		msg_put_u8(t->w->m, ATTR_DIRECTION, egress);
		msg_put_str(t->w->m, ATTR_NAME, policy_slot_name(v.slot));
		msg_put_str(t->w->m, ATTR_DETAIL, policy_ground_texts[v.ground]);
		if (v.drop != DROP_NONE)
			msg_put_str(t->w->m, ATTR_REASON, drop_infos[v.drop].name);
		end_step(t, at);
	}
	if (line(t, depth + 1))
		str_printf(t->text, " -> policy: %s %s: %s by \"%s\" (%s)\n",
			   egress ? "from" : "to", p->c.name,
			   v.drop == DROP_NONE ? "passes" : "refused", policy_slot_name(v.slot),
			   policy_ground_texts[v.ground]);
	if (v.drop == DROP_NONE)
		return true;
	if (egress) /* the packet, not just a copy */
		end_here(t, depth, v.drop, v.slot + 1);
	else
		put_drop(t, depth, v.drop, v.slot + 1);
	return false;
}

static void on_output(void *aux, unsigned depth, const struct bridge_port *p,
		      const struct flow *flow)
{
	struct walker *t = aux;
	struct flow leaving = *flow;
	size_t at;

	if (depth < t->translation_depth) /* that was a copy's */
		t->translation.any = false;
	trace_flow_translate(&leaving.key, &t->translation);
	if (t->ended == DROP_NONE && t->w->follow && resolve_has_edge(p) &&
	    !ask_edge(t, depth, p, false, 0, &leaving))
		return;
	at = step(t, "output", depth);
	if (at) {
		msg_put_str(t->w->m, ATTR_PORT, p->c.name);
		msg_put_u32(t->w->m, ATTR_OFPORT, p->c.ofport);
		msg_put_str(t->w->m, ATTR_BRIDGE, p->bridge->name);
		put_leaving(t, &leaving);
		end_step(t, at);
	}
	if (line(t, depth + 1))
		str_printf(t->text, " >> output to port %s\n", p->c.name);
}

static void on_controller(void *aux, unsigned depth, uint16_t controller_id, uint8_t reason)
{
	struct walker *t = aux;
	size_t at = step(t, "controller", depth);

	if (at) {
		msg_put_u16(t->w->m, ATTR_CONTROLLER_ID, controller_id);
		msg_put_u8(t->w->m, ATTR_PACKET_IN_REASON, reason);
		end_step(t, at);
	}
	if (line(t, depth + 1))
		str_printf(t->text, " >> to controller %u\n", controller_id);
}

static void on_drop(void *aux, unsigned depth, enum drop_reason reason)
{
	put_drop(aux, depth, reason, 0);
}

static void on_end(void *t_, unsigned depth SL_UNUSED, const struct flow *flow)
{
	struct walker *t = t_;

	t->last = *flow;
}

static void on_note(void *aux, unsigned depth, const char *text)
{
	struct walker *t = aux;
	size_t at = step(t, "note", depth);

	if (at) {
		msg_put_str(t->w->m, ATTR_DETAIL, text);
		end_step(t, at);
	}
	if (line(t, depth + 1))
		str_printf(t->text, " -> %s\n", text);
}

/* ---- going round ---- */

static void on_frozen(void *aux, unsigned depth, const struct frozen_state *s,
		      const struct flow *flow)
{
	struct walker *t = aux;

	free(t->frozen);
	t->frozen = aligned_alloc(SL_CACHE_LINE, SL_ALIGN_UP(s->len, (size_t)SL_CACHE_LINE));
	if (!t->frozen)
		return;
	memcpy(t->frozen, s, s->len);
	t->frozen_flow = *flow;
}

static void on_recirc(void *aux, unsigned depth, uint32_t frozen_id, uint8_t table)
{
	struct walker *t = aux;
	size_t at = step(t, "recirc", depth);

	if (at) {
		msg_put_u32(t->w->m, ATTR_RECIRC_ID, frozen_id);
		msg_put_u8(t->w->m, ATTR_TABLE, table);
		end_step(t, at);
	}
	if (line(t, depth + 1))
		str_printf(t->text, " -> suspended, goes on in table %u\n", table);
	if (t->w->follow && t->frozen && t->n_later < TRACE_PARTS_MAX && t->ended == DROP_NONE) {
		struct later *l = &t->later[t->n_later++];

		*l = (struct later){.state = t->frozen,
				    .flow = t->frozen_flow,
				    .tracked = t->ct_pending,
				    .ct = t->ct,
				    .ct_flags = t->ct_flags};
		if (depth >= t->translation_depth)
			trace_flow_translate(&l->flow.key, &t->translation);
		t->frozen = NULL;
	}
	t->ct_pending = false;
}

/* The connection's state as the look-up after ct() sees it. True: assumed. */
static bool track(struct walker *t, struct later *l, unsigned nth)
{
	bool assumed = nth < t->w->n_ct_next;
	struct ct_rewrite rw;

	trace_track(&t->bytes, &l->flow, &l->ct, l->ct_flags, assumed ? &t->w->ct_next[nth] : NULL,
		    &rw);
	return assumed;
}

/* ---- why a field is in the mask ---- */

static void on_mask(void *aux, const struct flow *wc, bool by_next)
{
	struct walker *t = aux;
	const uint64_t *now = (const uint64_t *)&wc->key, *seen = (const uint64_t *)&t->seen;

	for (unsigned w = 0; w < sizeof t->seen / 8; w++) {
		if (!(now[w] & ~seen[w]))
			continue;
		for (unsigned i = w * 8; i < w * 8 + 8; i++)
			if (((const uint8_t *)&wc->key)[i] & ~((const uint8_t *)&t->seen)[i] &&
			    !t->reader[i])
				t->reader[i] = SL_MAX(t->n_steps + by_next, 1u);
	}
	t->seen = wc->key;
}

/* A new look-up begins: nothing of its mask has been read. */
static void begin_part(struct walker *t)
{
	memset(t->reader, 0, sizeof t->reader);
	memset(&t->seen, 0, sizeof t->seen);
	/* Port and context are always in it; nobody reads them. */
	t->seen.in_port = t->seen.recirc_id = UINT32_MAX;
	t->ct_pending = false;
	t->translation.any = false;
	t->translation_depth = 0;
	t->ended = DROP_NONE;
	t->ended_slot = 0;
}

static void put_resume(struct walker *t, const struct later *l, unsigned nth, bool assumed)
{
	size_t at = step(t, "resume", 0);

	if (at) {
		msg_put_u32(t->w->m, ATTR_RECIRC_ID, nth);
		if (l->tracked)
			msg_put_u8(t->w->m, ATTR_CT_STATE, l->flow.key.ct_state);
		if (assumed)
			msg_put_flag(t->w->m, ATTR_ASSUMED);
		msg_put_u8(t->w->m, ATTR_TABLE, l->state->table);
		end_step(t, at);
	}
	if (!t->w->text)
		return;
	str_puts(t->text, "\n" RULER);
	str_printf(t->text, "recirc(0x%x) - ", nth);
	if (l->tracked) {
		struct match m;
		struct str s = STR_INIT;

		match_init(&m);
		m.value.key.ct_state = l->flow.key.ct_state;
		m.mask.key.ct_state = l->flow.key.ct_state;
		match_format(&m, NULL, &s);
		str_printf(t->text, "resume conntrack with %s%s", str_cstr(&s),
			   assumed ? "" : " (use --ct-next to customize)");
		str_free(&s);
	} else {
		str_puts(t->text, "resume after parsing again");
	}
	str_puts(t->text, "\n" RULER "\n");
}

static struct resolver *resolver; /* scratch memory, kept for the next one */
static struct resolve_result result;

/* The policy is asked before the tables, about what the tables will do with the packet: they are
 * walked in silence first. */
static void enter(struct walker *t, const struct resolve_request *req)
{
	const struct bridge_port *p = bridge_port_by_id(req->key->in_port);
	struct resolve_request quiet = *req;
	const struct prog_op *op;

	if (!p || !resolve_has_edge(p))
		return;
	quiet.tracer = NULL;
	resolve(resolver, &quiet, &result);
	op = result.prog.n_words ? &result.prog.word[0].op : NULL;
	if (op && op->code == OP_POLICY_IN)
		ask_edge(t, 0, p, true, (uint8_t)op->a, t->w->flow);
}

static void look_up(struct walker *t, struct resolve_tracer *tracer, const struct flow *flow,
		    const struct frozen_state *resume)
{
	const struct resolve_request req = {
		.key = &flow->key,
		.packet = t->w->packet,
		.packet_len = t->w->packet_len,
		.version = version_now(),
		.now_ms = clock_mono_ms(),
		.side_effects = false,
		.tracer = tracer,
		.resume = resume,
		.actions = resume ? NULL : t->w->actions,
		.actions_len = t->w->actions_len,
		.bridge_id = t->w->bridge_id,
		.of_in_port = be32_to_cpu(flow->regs.in_port),
		.regs = &flow->regs,
	};

	begin_part(t);
	trace_flow_put(t, flow);
	if (!resume && !req.actions && t->w->follow)
		enter(t, &req);
	resolve(resolver, &req, &result);
}

static void follow(struct walker *t, struct resolve_tracer *tracer)
{
	unsigned n_tracked = 0;

	for (unsigned i = 0; i < t->n_later; i++) {
		struct later *l = &t->later[i];
		bool assumed = l->tracked && track(t, l, n_tracked);

		n_tracked += l->tracked;
		t->bridge = bridge_by_id(l->state->bridge_id);
		put_resume(t, l, i + 1, assumed);
		l->flow.key.recirc_id = i + 1;
		look_up(t, tracer, &l->flow, l->state);
		trace_part_put(t, &l->flow, i + 1, &result);
	}
}

int trace_walk(const struct trace_walk *w)
{
	static struct walker walker;
	struct walker *t = &walker;
	struct resolve_tracer tracer = {
		.aux = t,
		.bridge = on_bridge,
		.table = on_table,
		.action = on_action,
		.resubmit = on_resubmit,
		.group = on_group,
		.mac = on_mac,
		.learn = on_learn,
		.ct = on_ct,
		.output = on_output,
		.controller = on_controller,
		.recirc = on_recirc,
		.drop = on_drop,
		.note = on_note,
		.end = on_end,
		.frozen = on_frozen,
		.mask = on_mask,
		.choose = choose,
	};
	const struct bridge_port *p = bridge_port_by_id(w->flow->key.in_port);

	if (!resolver && !(resolver = resolver_create(THREAD_MAIN)))
		return -ENOMEM;
	memset(t, 0, offsetof(struct walker, later));
	t->w = w;
	t->text = w->text ? w->text : &t->unwanted;
	t->bytes = (struct trace_bytes){w->packet, w->packet_len};
	t->bridge = w->actions ? bridge_by_id(w->bridge_id) : p ? p->bridge : NULL;
	look_up(t, &tracer, w->flow, NULL);
	if (w->follow) {
		trace_part_put(t, w->flow, 0, &result);
		follow(t, &tracer);
	}
	for (unsigned i = 0; i < t->n_later; i++)
		free(t->later[i].state);
	free(t->frozen);
	str_free(&t->unwanted);
	return 0;
}
