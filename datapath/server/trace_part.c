/* SPDX-License-Identifier: BSD-3-Clause */
/* What one look-up came to: the flow, the flow as its steps left it, the megaflow and why each
 * field is in its mask, the program or the reason of the drop. Main thread. */
#include <stdlib.h>
#include <string.h>

#include "datapath/base/str.h"
#include "datapath/flow/field.h"
#include "datapath/policy/policy_stats.h"
#include "datapath/server/trace_walk_priv.h"
#include "datapath/table/bridge.h"

static const char *port_name(void *aux, uint32_t ofport)
{
	const struct walker *t = aux;
	const struct bridge_port *p = t->bridge ? bridge_port_by_ofport(t->bridge, ofport) : NULL;

	return p ? p->c.name : NULL;
}

struct text_ports trace_names(struct walker *t)
{
	return (struct text_ports){.name_of = port_name, .aux = t};
}

void trace_text_put(struct walker *t, enum api_attr id, const struct str *s)
{
	msg_put_str(t->w->m, id, str_cstr(s));
}

static void put_why(struct walker *t, const struct flow_key *mask)
{
	const uint8_t *m = (const uint8_t *)mask;

	for (unsigned f = 0; f < FIELD_N; f++) {
		unsigned at = field_offset(&fields[f]), n = field_key_bytes(&fields[f]), i;

		if (fields[f].overlay || at + n > sizeof *mask)
			continue;
		for (i = at; i < at + n && !m[i]; i++)
			;
		if (i == at + n || !t->reader[i])
			continue;
		size_t nest = msg_nest_begin(t->w->m, ATTR_MASK_WHY);
		msg_put_str(t->w->m, ATTR_FIELD, fields[f].name);
		msg_put_u32(t->w->m, ATTR_STEP_INDEX, t->reader[i] - 1);
		msg_nest_end(t->w->m, nest);
	}
}

static void put_final_flow(struct walker *t, const struct flow *flow)
{
	struct text_ports names = trace_names(t);
	struct str before = STR_INIT, after = STR_INIT;

	/* These are the tables' own, not the packet's. */
	t->last.regs.actset_output = flow->regs.actset_output;
	t->last.regs.conj_id = flow->regs.conj_id;
	flow_format(flow, &names, &before);
	flow_format(&t->last, &names, &after);
	str_printf(t->text, "\nFinal flow: %s\n",
		   strcmp(str_cstr(&before), str_cstr(&after)) ? str_cstr(&after) : "unchanged");
	str_free(&before);
	str_free(&after);
}

/* The megaflow: its text, and the lines as an attribute of `m`. */
static void put_megaflow(struct walker *t, const struct flow *flow, uint32_t recirc,
			 const struct resolve_result *r)
{
	struct text_ports names = trace_names(t);
	struct match full;

	match_init(&full);
	for (unsigned l = 0; l < FLOW_KEY_LINES; l++)
		if (r->mask_lines & (1u << l))
			memcpy(full.mask.line[l],
			       (const uint8_t *)&r->mask + (size_t)l * FLOW_LINE_BYTES,
			       FLOW_LINE_BYTES);
	for (size_t i = 0; i < sizeof full.value.key; i++)
		((uint8_t *)&full.value)[i] =
			(uint8_t)(((const uint8_t *)flow)[i] & ((const uint8_t *)&full.mask)[i]);
	struct minimatch *mm = minimatch_create(&full);
	msg_put_bytes(t->w->m, ATTR_KEY_LINES, mm, minimatch_size(mm));
	free(mm);
	if (!t->w->text)
		return;
	put_final_flow(t, flow);
	/* People know ports by OpenFlow number and name. */
	full.value.key.in_port = full.mask.key.in_port = 0;
	full.value.key.recirc_id = full.mask.key.recirc_id = 0;
	full.value.regs.in_port = t->w->flow->regs.in_port;
	full.mask.regs.in_port = UINT32_MAX;
	str_printf(t->text, "Megaflow: recirc_id=%s%x,", recirc ? "0x" : "", recirc);
	match_format(&full, &names, t->text);
	str_putc(t->text, '\n');
}

static void put_outcome(struct walker *t, const struct flow *flow, const struct resolve_result *r)
{
	struct str program = STR_INIT;

	if (r->drop == DROP_NONE)
		program_format(program_scratch(&r->prog), flow->key.ip_proto, &program);
	else
		str_puts(&program, "drop");
	if (t->w->text)
		str_printf(t->text, "Datapath actions: %s\n", str_cstr(&program));
	trace_text_put(t, ATTR_PROGRAM_TEXT, &program);
	if (t->ended != DROP_NONE) {
		msg_put_str(t->w->m, ATTR_REASON, drop_infos[t->ended].name);
		if (t->ended_slot)
			msg_put_str(t->w->m, ATTR_DENIED_BY, policy_slot_name(t->ended_slot - 1));
		else
			msg_put_u64(t->w->m, ATTR_COOKIE, r->origin.cookie);
	} else if (r->drop != DROP_NONE) {
		msg_put_str(t->w->m, ATTR_REASON, drop_infos[r->drop].name);
		msg_put_u64(t->w->m, ATTR_COOKIE, r->drop_cookie);
	}
	str_free(&program);
}

void trace_part_put(struct walker *t, const struct flow *flow, unsigned nth,
		    const struct resolve_result *r)
{
	struct str *text = t->w->text;
	struct text_ports names = trace_names(t);
	struct str s = STR_INIT;
	size_t at = msg_nest_begin(t->w->m, ATTR_PART);

	msg_put_u32(t->w->m, ATTR_RECIRC_ID, nth);
	msg_put_u8(t->w->m, ATTR_CT_STATE, flow->key.ct_state);
	flow_format(flow, &names, &s);
	trace_text_put(t, ATTR_FLOW_TEXT, &s);
	str_free(&s);
	put_megaflow(t, flow, nth, r);
	put_outcome(t, flow, r);
	put_why(t, &r->mask);
	msg_nest_end(t->w->m, at);
	if (!nth) { /* what readers know from before there were parts */
		struct trace_walk quiet = *t->w;
		const struct trace_walk *w = t->w;

		quiet.text = NULL;
		t->w = &quiet;
		put_megaflow(t, flow, 0, r);
		put_outcome(t, flow, r);
		t->w = w;
	}
	if (text && text->len > TRACE_TEXT_MAX)
		str_puts(text, "(cut here)\n");
}

void trace_flow_put(struct walker *t, const struct flow *flow)
{
	struct text_ports names = trace_names(t);

	if (!t->w->text)
		return;
	str_puts(t->text, "Flow: ");
	flow_format(flow, &names, t->text);
	str_putc(t->text, '\n');
}
