/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/ctl/trace_text.h"

#include <string.h>

#include "datapath/api/drop_text.h"
#include "datapath/flow/key.h"
#include "datapath/flow/match_text.h"
#include "tools/ctl/rule_text.h"

enum { INDENT = 2, OF_PORT_LOCAL = 65534 };

static bool is(struct attrs step, const char *kind)
{
	return !strcmp(attrs_str(step, ATTR_STEP_KIND, ""), kind);
}

static void put_mac(struct attrs a, struct str *out)
{
	size_t len = 0;
	const uint8_t *m = attrs_bytes(a, ATTR_MAC, &len);
	if (m && len == 6)
		str_printf(out, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
			   m[5]);
}

static void put_states(uint64_t state, struct str *out)
{
	static const char *const names[] = {"new", "est", "rel",  "rpl",
					    "inv", "trk", "snat", "dnat"};
	const char *sep = "";
	for (unsigned i = 0; i < SL_ARRAY_SIZE(names); i++)
		if (state & 1u << i) {
			str_printf(out, "%s%s", sep, names[i]);
			sep = "|";
		}
	if (!state)
		str_puts(out, "none");
}

static void put_drop(struct attrs a, struct str *out)
{
	const char *reason = attrs_str(a, ATTR_REASON, "");
	const struct drop_text *why = drop_text_find(reason);
	str_printf(out, "dropped: %s: %s", reason, why->help);
}

/* ---- steps ---- */

static void put_table(struct attrs s, struct str *out)
{
	const char *match = attrs_str(s, ATTR_MATCH_TEXT, "");
	str_printf(out, "table %u: ", (unsigned)attrs_u64(s, ATTR_TABLE, 0));
	if (!attrs_has(s, ATTR_PRIORITY)) {
		str_puts(out, "no rule matches");
		return;
	}
	str_printf(out, "priority %u, %s", (unsigned)attrs_u64(s, ATTR_PRIORITY, 0),
		   match[0] ? match : "any packet");
	if (attrs_u64(s, ATTR_COOKIE, 0))
		str_printf(out, ", cookie 0x%llx",
			   (unsigned long long)attrs_u64(s, ATTR_COOKIE, 0));
}

static void put_ct(struct attrs s, struct str *out)
{
	str_printf(out, "connection tracking in zone %u%s", (unsigned)attrs_u64(s, ATTR_CT_ZONE, 0),
		   attrs_u64(s, ATTR_COMMIT, 0) ? ", commit" : "");
	if (attrs_has(s, ATTR_CT_STATE)) {
		str_puts(out, ": ");
		put_states(attrs_u64(s, ATTR_CT_STATE, 0), out);
	}
}

static void put_mac_step(struct attrs s, struct str *out)
{
	str_puts(out, "address ");
	put_mac(s, out);
	str_printf(out, " in VLAN %u ", (unsigned)attrs_u64(s, ATTR_VLAN, 0));
	if (attrs_has(s, ATTR_PORT))
		str_printf(out, "is behind %s", attrs_str(s, ATTR_PORT, ""));
	else
		str_puts(out, "is not known: flooded");
}

static void put_learn(struct attrs s, struct str *out)
{
	str_puts(out, "would learn that ");
	put_mac(s, out);
	str_printf(out, " in VLAN %u is behind %s", (unsigned)attrs_u64(s, ATTR_VLAN, 0),
		   attrs_str(s, ATTR_PORT, ""));
}

static void put_cache(struct attrs s, struct str *out)
{
	str_printf(out, "cache: %s", attrs_str(s, ATTR_LEVEL, ""));
	if (attrs_u64(s, ATTR_RECIRC_ID, 0)) {
		str_printf(out, ", context %u, state ", (unsigned)attrs_u64(s, ATTR_RECIRC_ID, 0));
		put_states(attrs_u64(s, ATTR_CT_STATE, 0), out);
	}
}

static void put_policy(struct attrs s, struct str *out)
{
	str_printf(out, "policy, %s %s: %s by \"%s\" (%s)",
		   attrs_u64(s, ATTR_DIRECTION, 0) ? "from" : "to", attrs_str(s, ATTR_PORT, ""),
		   attrs_has(s, ATTR_REASON) ? "refused" : "passes", attrs_str(s, ATTR_NAME, ""),
		   attrs_str(s, ATTR_DETAIL, ""));
}

/* Kinds are words on the wire: a newer datapath may have more. */
static void put_step(struct attrs s, struct str *out)
{
	if (is(s, "rx"))
		str_printf(out, "received on %s", attrs_str(s, ATTR_PORT, ""));
	else if (is(s, "cache"))
		put_cache(s, out);
	else if (is(s, "bridge"))
		str_printf(out, "bridge %s, from port %s", attrs_str(s, ATTR_BRIDGE, ""),
			   attrs_str(s, ATTR_PORT, "(controller)"));
	else if (is(s, "table"))
		put_table(s, out);
	else if (is(s, "action"))
		str_puts(out, attrs_str(s, ATTR_ACTION_TEXT, ""));
	else if (is(s, "resubmit"))
		str_printf(out, "→ table %u, in_port %u", (unsigned)attrs_u64(s, ATTR_TABLE, 0),
			   (unsigned)attrs_u64(s, ATTR_IN_PORT, 0));
	else if (is(s, "group"))
		str_printf(out, "→ group %u: bucket %u %s",
			   (unsigned)attrs_u64(s, ATTR_GROUP_ID, 0),
			   (unsigned)attrs_u64(s, ATTR_BUCKET_ID, 0),
			   attrs_u64(s, ATTR_CHOSEN, 0) ? "is used" : "is passed over");
	else if (is(s, "mac"))
		put_mac_step(s, out);
	else if (is(s, "learn"))
		put_learn(s, out);
	else if (is(s, "ct"))
		put_ct(s, out);
	else if (is(s, "recirc"))
		str_printf(out, "→ suspended, goes on in table %u",
			   (unsigned)attrs_u64(s, ATTR_TABLE, 0));
	else if (is(s, "resume")) {
		str_puts(out, "goes on with connection state ");
		put_states(attrs_u64(s, ATTR_CT_STATE, 0), out);
		str_puts(out, attrs_has(s, ATTR_ASSUMED) ? " (assumed)" : " (looked up)");
	} else if (is(s, "output"))
		str_printf(out, "► out of %s", attrs_str(s, ATTR_PORT, ""));
	else if (is(s, "controller"))
		str_printf(out, "► to controller %u",
			   (unsigned)attrs_u64(s, ATTR_CONTROLLER_ID, 0));
	else if (is(s, "run"))
		str_printf(out, "program: %s", attrs_str(s, ATTR_PROGRAM_TEXT, ""));
	else if (is(s, "drop")) {
		str_puts(out, "✕ ");
		put_drop(s, out);
	} else if (is(s, "policy"))
		put_policy(s, out);
	else if (is(s, "note"))
		str_puts(out, attrs_str(s, ATTR_DETAIL, ""));
	else
		str_puts(out, attrs_str(s, ATTR_STEP_KIND, ""));
}

/* What a rule's actions do stands below the rule. */
static bool is_of_rule(struct attrs s)
{
	static const char *const own[] = {"rx",     "cache", "bridge", "table",
					  "resume", "run",   "done"};
	for (size_t i = 0; i < SL_ARRAY_SIZE(own); i++)
		if (is(s, own[i]))
			return false;
	return true;
}

void trace_text_steps(struct attrs answer, struct str *out)
{
	if (!attrs_has(answer, ATTR_STEP)) /* an older datapath */
		str_puts(out, attrs_str(answer, ATTR_TRACE_TEXT, ""));
	ATTR_FOR_EACH (it, answer) {
		struct attrs s = attr_nest(it);
		if (it->id != ATTR_STEP)
			continue;
		if (attrs_has(s, ATTR_SINCE_NS))
			str_printf(out, "%9.1f us ", (double)attrs_u64(s, ATTR_SINCE_NS, 0) / 1e3);
		for (uint64_t i = 0; i < (attrs_u64(s, ATTR_DEPTH, 0) + !is(s, "bridge")) * INDENT;
		     i++)
			str_putc(out, ' ');
		if (is_of_rule(s))
			str_puts(out, "  ");
		put_step(s, out);
		str_putc(out, '\n');
	}
}

/* ---- the result ---- */

static bool has_step(struct attrs answer, const char *kind)
{
	ATTR_FOR_EACH (it, answer)
		if (it->id == ATTR_STEP && is(attr_nest(it), kind))
			return true;
	return false;
}

const char *trace_text_drop(struct attrs answer)
{
	const char *reason = NULL, *first = NULL;
	if (has_step(answer, "output") || has_step(answer, "controller"))
		return NULL;
	ATTR_FOR_EACH (it, answer) {
		if (it->id == ATTR_STEP && is(attr_nest(it), "drop") && !first)
			first = attrs_str(attr_nest(it), ATTR_REASON, "");
		if (it->id == ATTR_PART && attrs_has(attr_nest(it), ATTR_REASON))
			reason = attrs_str(attr_nest(it), ATTR_REASON, "");
	}
	if (!reason)
		reason = first;
	return reason ? reason : attrs_str(answer, ATTR_REASON, NULL);
}

/* The last rule looked at: the one whose actions ended the packet. */
static void put_last_rule(struct attrs answer, struct str *out)
{
	struct attrs last = {NULL, 0};
	ATTR_FOR_EACH (it, answer)
		if (it->id == ATTR_STEP && is(attr_nest(it), "table"))
			last = attr_nest(it);
	if (!last.data)
		return;
	if (!attrs_has(last, ATTR_PRIORITY))
		str_printf(out, ", in table %u, where no rule matches",
			   (unsigned)attrs_u64(last, ATTR_TABLE, 0));
	else
		str_printf(out, ", by the rule of table %u, priority %u, cookie 0x%llx",
			   (unsigned)attrs_u64(last, ATTR_TABLE, 0),
			   (unsigned)attrs_u64(last, ATTR_PRIORITY, 0),
			   (unsigned long long)attrs_u64(last, ATTR_COOKIE, 0));
}

const char *trace_text_denied_by(struct attrs answer)
{
	const char *rule = NULL;
	ATTR_FOR_EACH (it, answer) {
		struct attrs a = attr_nest(it);
		if ((it->id == ATTR_PART || (it->id == ATTR_STEP && is(a, "drop"))) &&
		    attrs_has(a, ATTR_DENIED_BY) && !rule)
			rule = attrs_str(a, ATTR_DENIED_BY, "");
	}
	return rule;
}

void trace_text_result(struct attrs answer, struct str *out)
{
	const char *reason = trace_text_drop(answer), *sep = "";
	if (reason) {
		const struct drop_text *why = drop_text_find(reason);
		const char *denied_by = trace_text_denied_by(answer);
		str_printf(out, "dropped: %s: %s", reason, why->help);
		if (denied_by && !strcmp(why->family, "policy"))
			str_printf(out, ", by the policy's \"%s\"", denied_by);
		else
			put_last_rule(answer, out);
		str_printf(out, "\n  what to do: %s", why->remedy);
		return;
	}
	ATTR_FOR_EACH (it, answer) {
		struct attrs s = attr_nest(it);
		if (it->id != ATTR_STEP || !(is(s, "output") || is(s, "controller")))
			continue;
		str_puts(out, sep);
		if (is(s, "output"))
			str_printf(out, "sent to %s", attrs_str(s, ATTR_PORT, ""));
		else
			str_puts(out, "to a controller");
		sep = ", ";
	}
	if (!sep[0])
		str_printf(out, "program: %s", attrs_str(answer, ATTR_PROGRAM_TEXT, "no output"));
	ATTR_FOR_EACH (it, answer)
		if (it->id == ATTR_STEP && is(attr_nest(it), "drop")) {
			str_puts(out, "; a copy is ");
			put_drop(attr_nest(it), out);
		}
}

/* ---- megaflows ---- */

static void put_why(struct attrs part, struct str *out)
{
	ATTR_FOR_EACH (it, part) {
		struct attrs w = attr_nest(it);
		if (it->id != ATTR_MASK_WHY)
			continue;
		str_printf(out, "    %-14s read", attrs_str(w, ATTR_FIELD, ""));
		if (attrs_has(w, ATTR_TABLE))
			str_printf(out, " in table %u", (unsigned)attrs_u64(w, ATTR_TABLE, 0));
		if (attrs_has(w, ATTR_STEP_INDEX))
			str_printf(out, " (step %u)",
				   (unsigned)attrs_u64(w, ATTR_STEP_INDEX, 0) + 1);
		str_putc(out, '\n');
	}
}

static void put_part(struct attrs part, struct str *out)
{
	struct match m;
	size_t before = out->len;
	str_puts(out, "  ");
	if (attrs_u64(part, ATTR_RECIRC_ID, 0)) {
		str_puts(out, "recirculated, state ");
		put_states(attrs_u64(part, ATTR_CT_STATE, 0), out);
		str_puts(out, ": ");
	}
	if (rule_match_of(part, ATTR_KEY_LINES, &m)) {
		m.value.key.in_port = m.mask.key.in_port = 0;
		m.value.key.recirc_id = m.mask.key.recirc_id = 0;
		before = out->len;
		match_format(&m, NULL, out);
		if (out->len == before)
			str_puts(out, "any packet of the port");
	}
	str_printf(out, " → %s\n", attrs_str(part, ATTR_PROGRAM_TEXT, "drop"));
	put_why(part, out);
}

void trace_text_megaflows(struct attrs answer, struct str *out)
{
	bool parts = false;
	ATTR_FOR_EACH (it, answer)
		if (it->id == ATTR_PART) {
			put_part(attr_nest(it), out);
			parts = true;
		}
	if (!parts)
		put_part(answer, out);
}
