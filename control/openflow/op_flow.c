/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules: flow mods to operations, statistics from dumps. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "control/openflow/action_check.h"
#include "control/openflow/op.h"
#include "datapath/flow/tun_opt.h"

static enum ofp_err check_table(const struct flow_mod *fm, uint8_t version)
{
	if (fm->table < OFP_TABLES)
		return OFPERR_OK;
	if (fm->table != OFPTT_ALL)
		return version == OFP10 ? OFPERR_BRC_BAD_TABLE_ID : OFPERR_FMFC_BAD_TABLE_ID;
	return OFPERR_OK;
}

static void put_op(const char *bridge, const struct flow_mod *fm, struct msg *out)
{
	size_t at = msg_op_begin(out, API_OP_RULE_MOD);
	bool add = fm->command == OFPFC_ADD;
	msg_put_str(out, ATTR_BRIDGE, bridge);
	msg_put_u8(out, ATTR_COMMAND, fm->command); /* API_MOD_* counts like OFPFC_* */
	msg_put_u8(out, ATTR_TABLE, add && fm->table == OFPTT_ALL ? 0 : fm->table);
	msg_put_u16(out, ATTR_PRIORITY, fm->priority);
	api_put_match(out, ATTR_MATCH, &fm->match);
	if (add) {
		msg_put_u64(out, ATTR_COOKIE, fm->new_cookie);
	} else {
		if (fm->cookie_mask) {
			msg_put_u64(out, ATTR_COOKIE, fm->cookie);
			msg_put_u64(out, ATTR_COOKIE_MASK, fm->cookie_mask);
		}
		if (fm->sets_cookie && fm->command < OFPFC_DELETE)
			msg_put_u64(out, ATTR_NEW_COOKIE, fm->new_cookie);
	}
	msg_put_u32(out, ATTR_RULE_FLAGS, fm->flags);
	if (fm->command < OFPFC_DELETE) {
		msg_put_u16(out, ATTR_IDLE_TIMEOUT_S, fm->idle_timeout_s);
		msg_put_u16(out, ATTR_HARD_TIMEOUT_S, fm->hard_timeout_s);
		msg_put_u16(out, ATTR_IMPORTANCE, fm->importance);
		msg_put_bytes(out, ATTR_ACTIONS, fm->actions.data, fm->actions.len);
	}
	if (fm->out_port != OFP_PORT_ANY)
		msg_put_u32(out, ATTR_OUT_PORT, fm->out_port);
	if (fm->out_group != OFPG_ANY)
		msg_put_u32(out, ATTR_OUT_GROUP, fm->out_group);
	msg_nest_end(out, at);
}

static bool is_mapped(struct ofswitch *sw, unsigned field)
{
	if (field < FIELD_TUN_METADATA0 || field > FIELD_TUN_METADATA63)
		return true;
	VEC_FOR_EACH (t, &sw->tlv)
		if (t->index == field - FIELD_TUN_METADATA0)
			return true;
	return false;
}

/* Tunnel options that an action names without anybody having mapped them. */
static bool action_is_mapped(struct ofswitch *sw, const struct action *a)
{
	const union {
		struct action a;
		struct action_set_field set;
		struct action_move move;
		struct action_stack stack;
		struct action_output_reg output;
		struct action_delete_field delete;
	} *u = (const void *)a;
	size_t n;
	const uint8_t *list = action_nested(a, &n);
	switch (a->type) {
	case ACTION_SET_FIELD:
	case ACTION_LOAD:
		return is_mapped(sw, u->set.field);
	case ACTION_MOVE:
		return is_mapped(sw, u->move.src.field) && is_mapped(sw, u->move.dst.field);
	case ACTION_STACK_PUSH:
	case ACTION_STACK_POP:
		return is_mapped(sw, u->stack.sf.field);
	case ACTION_OUTPUT_REG:
		return is_mapped(sw, u->output.src.field);
	case ACTION_DELETE_FIELD:
		return is_mapped(sw, u->delete.field);
	default:
		break;
	}
	if (list)
		ACTION_FOR_EACH(inner, list, n)
	if (!action_is_mapped(sw, inner))
		return false;
	return true;
}

/* Tunnel options without a mapping, and the hash that only groups may look at. */
static enum ofp_err check_fields(struct ofswitch *sw, const struct flow_mod *fm)
{
	uint16_t lines = match_lines(&fm->match);
	if (fm->match.mask.regs.dp_hash)
		return OFPERR_BRC_EPERM;
	if (lines >> FLOW_LINE_TUN_OPT0 & 15)
		for (unsigned id = FIELD_TUN_METADATA0; id <= FIELD_TUN_METADATA63; id++)
			if (!is_mapped(sw, id) && tun_opt_is_there(id - FIELD_TUN_METADATA0) &&
			    !field_is_wildcard(&fields[id], &fm->match))
				return OFPERR_NXFMFC_INVALID_TLV_FIELD;
	ACTION_FOR_EACH(a, fm->actions.data, fm->actions.len)
	if (!action_is_mapped(sw, a))
		return OFPERR_NXFMFC_INVALID_TLV_FIELD;
	return OFPERR_OK;
}

enum ofp_err flow_mod_to_op(struct ofswitch *sw, struct flow_mod *fm, uint8_t version,
			    struct msg *out)
{
	enum ofp_err err = check_table(fm, version);
	if (!err)
		err = check_fields(sw, fm);
	if (!err && fm->command < OFPFC_DELETE)
		err = action_check(fm->actions.data, fm->actions.len, &fm->match, fm->table,
				   version);
	if (!err && fm->names_buffer) /* no packet is kept that the rule could be applied to */
		err = OFPERR_BRC_BUFFER_UNKNOWN;
	if (!err)
		put_op(sw->bridge, fm, out);
	return err;
}

static enum ofp_err flow_mod_op(struct ofconn *c, const struct ofmsg *m, bool nxm, struct msg *out)
{
	struct flow_mod fm;
	enum ofp_err err = flow_mod_get(m->body, ofconn_format(c, nxm), &fm);
	if (!err)
		err = flow_mod_to_op(c->sw, &fm, m->version, out);
	flow_mod_free(&fm);
	return err;
}

enum ofp_err op_flow_mod(struct ofconn *c, const struct ofmsg *m, struct msg *out)
{
	return flow_mod_op(c, m, false, out);
}

enum ofp_err op_nx_flow_mod(struct ofconn *c, const struct ofmsg *m, struct msg *out)
{
	return flow_mod_op(c, m, true, out);
}

/* ---- statistics ---- */

bool rule_from_attrs(struct attrs a, struct flow_stats *out)
{
	const struct attr *match = NULL;
	memset(out, 0, offsetof(struct flow_stats, match));
	memset((uint8_t *)out + offsetof(struct flow_stats, actions), 0,
	       sizeof *out - offsetof(struct flow_stats, actions));
	ATTR_FOR_EACH (it, a) {
		uint64_t v = attr_u64(it);
		switch (it->id & ~ATTR_CRITICAL) {
		case ATTR_TABLE:
			out->table = (uint8_t)v;
			break;
		case ATTR_PRIORITY:
			out->priority = (uint16_t)v;
			break;
		case ATTR_IDLE_TIMEOUT_S:
			out->idle_timeout_s = (uint16_t)v;
			break;
		case ATTR_HARD_TIMEOUT_S:
			out->hard_timeout_s = (uint16_t)v;
			break;
		case ATTR_IMPORTANCE:
			out->importance = (uint16_t)v;
			break;
		case ATTR_RULE_FLAGS:
			out->flags = (uint16_t)v;
			break;
		case ATTR_COOKIE:
			out->cookie = v;
			break;
		case ATTR_PKTS:
			out->packets = v;
			break;
		case ATTR_BYTES_COUNT:
			out->bytes = v;
			break;
		case ATTR_DURATION_MS:
			out->duration_ms = v;
			break;
		case ATTR_IDLE_AGE_MS:
			out->idle_age_ms = v;
			break;
		case ATTR_HARD_AGE_MS:
			out->hard_age_ms = v;
			break;
		case ATTR_REMOVED_REASON:
			out->removed_reason = (uint8_t)v;
			break;
		case ATTR_ACTIONS:
			out->actions = it->value;
			out->actions_len = it->len;
			break;
		case ATTR_MATCH:
			match = it;
			break;
		default:
			break;
		}
	}
	return api_read_match(match, &out->match);
}

struct flow_dump {
	struct dump_request d;
	struct flow_mod_format format;
	bool counts_only;
};

static bool is_hidden(struct attrs a)
{
	return attrs_u64(a, ATTR_RULE_FLAGS, 0) & OF_RULE_HIDDEN;
}

static void put_rule(struct ofrequest *r, struct attrs a)
{
	struct flow_dump *d = SL_CONTAINER_OF(r, struct flow_dump, d.r);
	struct flow_stats fs;
	if (is_hidden(a) || !rule_from_attrs(a, &fs))
		return;
	size_t at = r->multi.b.len;
	if (d->counts_only)
		flow_counts_put(&r->multi.b, &fs);
	else
		flow_stats_put(&r->multi.b, d->format, &fs);
	ofmulti_fit(&r->multi, at);
}

static void put_selection(struct msg *out, const struct ofconn *c, const struct flow_selection *s)
{
	msg_put_str(out, ATTR_BRIDGE, c->sw->bridge);
	if (s->table != OFPTT_ALL)
		msg_put_u8(out, ATTR_TABLE, s->table);
	if (match_lines(&s->match))
		api_put_match(out, ATTR_MATCH, &s->match);
	if (s->cookie_mask) {
		msg_put_u64(out, ATTR_COOKIE, s->cookie);
		msg_put_u64(out, ATTR_COOKIE_MASK, s->cookie_mask);
	}
	if (s->out_port != OFP_PORT_ANY)
		msg_put_u32(out, ATTR_OUT_PORT, s->out_port);
	if (s->out_group != OFPG_ANY)
		msg_put_u32(out, ATTR_OUT_GROUP, s->out_group);
}

static enum ofp_err flow_stats(struct ofconn *c, const struct ofmsg *m, bool nxm, bool counts_only)
{
	struct flow_selection s;
	enum ofp_err err = flow_selection_get(m->body, ofconn_format(c, nxm), &s);
	if (err)
		return err;
	struct flow_dump *d = xzalloc(sizeof *d);
	struct msg api;
	d->d.entry = put_rule;
	d->format = ofconn_format(c, nxm);
	d->counts_only = counts_only;
	msg_init(&api, API_RULES, 0);
	put_selection(&api, c, &s);
	return dump_start(&d->d, c, m, &api);
}

enum ofp_err handle_flow_stats(struct ofconn *c, const struct ofmsg *m)
{
	return flow_stats(c, m, false, false);
}

enum ofp_err handle_nx_flow_stats(struct ofconn *c, const struct ofmsg *m)
{
	return flow_stats(c, m, true, false);
}

enum ofp_err handle_flow_counts(struct ofconn *c, const struct ofmsg *m)
{
	return flow_stats(c, m, false, true);
}

static void on_sum(struct ofrequest *r, struct attrs a, bool more, const struct err *err)
{
	if (err) {
		ofconn_send_quoted_error(r->conn, &r->quoted, ofrequest_error(a, err));
		return;
	}
	if (more)
		return;
	const struct attr *o = attrs_find(a, ATTR_OBJECT);
	if (o)
		a = attr_nest(o);
	flow_aggregate_put(&r->multi.b, r->multi.version, attrs_u64(a, ATTR_PKTS, 0),
			   attrs_u64(a, ATTR_BYTES_COUNT, 0),
			   (uint32_t)attrs_u64(a, ATTR_COUNT, 0));
	ofmulti_end(&r->multi);
	ofconn_send_free(r->conn, &r->multi.b);
}

static enum ofp_err aggregate(struct ofconn *c, const struct ofmsg *m, bool nxm)
{
	struct flow_selection s;
	enum ofp_err err = flow_selection_get(m->body, ofconn_format(c, nxm), &s);
	if (err)
		return err;
	struct ofrequest *r = xzalloc(sizeof *r);
	struct msg api;
	r->on_reply = on_sum;
	ofmulti_init(&r->multi, m);
	msg_init(&api, API_RULES_SUM, 0);
	put_selection(&api, c, &s);
	return ofrequest_send(r, c->sw, c, m, &api, true) ? OFPERR_OK : OFPERR_BRC_EPERM;
}

enum ofp_err handle_aggregate(struct ofconn *c, const struct ofmsg *m)
{
	return aggregate(c, m, false);
}

enum ofp_err handle_nx_aggregate(struct ofconn *c, const struct ofmsg *m)
{
	return aggregate(c, m, true);
}
