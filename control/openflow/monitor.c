/* SPDX-License-Identifier: BSD-3-Clause */
/* Flow monitors in three dialects: Nicira's (1.0 to 1.2), ONF extension 187 (1.3), and 1.4
 * (§7.3.5.18). */
#include <stdlib.h>
#include <string.h>

#include "control/openflow/op.h"
#include "datapath/base/log.h"

LOG_MODULE(openflow);

enum monitor_dialect { DIALECT_NX, DIALECT_ONF, DIALECT_14 };
enum { MONITORS_MAX = 64, QUEUE_BYTES_MAX = 64 << 20, PAUSE_BYTES = 1 << 20 };

static struct flow_monitor *find(struct ofconn *c, uint32_t id)
{
	LIST_FOR_EACH (mon, struct flow_monitor, node, &c->monitors)
		if (mon->id == id)
			return mon;
	return NULL;
}

static void free_monitor(struct flow_monitor *mon)
{
	list_remove(&mon->node);
	free(mon);
}

void monitors_free(struct ofconn *c)
{
	LIST_FOR_EACH_SAFE (mon, struct flow_monitor, node, &c->monitors)
		free_monitor(mon);
}

/* ---- does a rule concern a monitor? ---- */

static bool is_within(const struct match *rule, const struct match *select)
{
	const uint64_t *rm = (const void *)&rule->mask, *rv = (const void *)&rule->value;
	const uint64_t *sm = (const void *)&select->mask, *sv = (const void *)&select->value;
	for (size_t i = 0; i < sizeof(struct flow) / 8; i++)
		if ((rm[i] & sm[i]) != sm[i] || (rv[i] ^ sv[i]) & sm[i])
			return false;
	return true;
}

static bool outputs_to(const void *list, size_t len, uint32_t port, uint32_t group)
{
	ACTION_FOR_EACH(a, list, len)
	{
		size_t n;
		const uint8_t *nested = action_nested(a, &n);
		if (a->type == ACTION_OUTPUT &&
		    ((const struct action_output *)(const void *)a)->port == port)
			return true;
		if (a->type == ACTION_GROUP &&
		    ((const struct action_group *)(const void *)a)->group_id == group)
			return true;
		if (nested && outputs_to(nested, n, port, group))
			return true;
	}
	return false;
}

static bool change_outputs_to(const struct rule_change *ch, uint32_t port, uint32_t group)
{
	return outputs_to(ch->fs->actions, ch->fs->actions_len, port, group) ||
	       outputs_to(ch->old_actions, ch->old_len, port, group);
}

static bool selects(const struct flow_selection *s, const struct rule_change *ch)
{
	if (s->table != OFPTT_ALL && s->table != ch->fs->table)
		return false;
	if (!is_within(&ch->fs->match, &s->match))
		return false;
	if (s->out_port != OFP_PORT_ANY && !change_outputs_to(ch, s->out_port, OFPG_ANY))
		return false;
	return s->out_group == OFPG_ANY || change_outputs_to(ch, OFP_PORT_UNSET, s->out_group);
}

/* ---- updates ---- */

static void put_update_nx(struct ofbuf *b, uint8_t dialect, uint16_t flags, uint8_t version,
			  const struct flow_stats *fs, uint16_t event)
{
	uint16_t wire = event == OFPFME_REMOVED    ? NXFME_DELETED
			: event == OFPFME_MODIFIED ? NXFME_MODIFIED
						   : NXFME_ADDED;
	ofbuf_u16(b, wire);
	ofbuf_u16(b, event == OFPFME_REMOVED ? fs->removed_reason : 0);
	ofbuf_u16(b, fs->priority);
	ofbuf_u16(b, fs->idle_timeout_s);
	ofbuf_u16(b, fs->hard_timeout_s);
	size_t len_at = b->len;
	ofbuf_u16(b, 0);
	ofbuf_u8(b, fs->table);
	ofbuf_u8(b, 0);
	ofbuf_u64(b, fs->cookie);
	size_t match = b->len;
	if (dialect == DIALECT_ONF) {
		ofp_match_put(b, &fs->match, version);
		ofbuf_set_u16(b, len_at, load_be16(b->data + match + 2));
	} else {
		oxm_match_put(b, &fs->match, version);
		ofbuf_set_u16(b, len_at, (uint16_t)(b->len - match));
		ofbuf_pad(b, match, 8);
	}
	if (flags & OFPFMF_INSTRUCTIONS)
		ofp_rule_actions_put(b, version, fs->actions, fs->actions_len);
}

static void put_update_14(struct ofbuf *b, uint16_t flags, uint8_t version,
			  const struct flow_stats *fs, uint16_t event)
{
	ofbuf_u16(b, event);
	ofbuf_u8(b, fs->table);
	ofbuf_u8(b, event == OFPFME_REMOVED ? fs->removed_reason : 0);
	ofbuf_u16(b, fs->idle_timeout_s);
	ofbuf_u16(b, fs->hard_timeout_s);
	ofbuf_u16(b, fs->priority);
	ofbuf_zeros(b, 4);
	ofbuf_u64(b, fs->cookie);
	ofp_match_put(b, &fs->match, version);
	if (flags & OFPFMF_INSTRUCTIONS)
		ofp_instructions_put(b, version, fs->actions, fs->actions_len);
}

static void put_update(struct ofmulti *mp, uint8_t dialect, uint16_t flags,
		       const struct flow_stats *fs, uint16_t event)
{
	struct ofbuf *b = &mp->b;
	size_t at = b->len;
	ofbuf_u16(b, 0);
	if (dialect == DIALECT_14)
		put_update_14(b, flags, mp->version, fs, event);
	else
		put_update_nx(b, dialect, flags, mp->version, fs, event);
	ofbuf_set_u16(b, at, (uint16_t)(b->len - at));
	ofmulti_fit(mp, at);
}

static bool is_wanted(const struct flow_monitor *mon, uint16_t event)
{
	return mon->flags & (event == OFPFME_ADDED     ? OFPFMF_ADD
			     : event == OFPFME_REMOVED ? OFPFMF_REMOVED
						       : OFPFMF_MODIFY);
}

/* The flags of all monitors that the event concerns; 0: none. One update serves them all. */
static uint16_t flags_for(struct ofconn *c, const struct rule_change *ch)
{
	uint16_t flags = 0;
	LIST_FOR_EACH (mon, struct flow_monitor, node, &c->monitors)
		if (is_wanted(mon, ch->event) && selects(&mon->select, ch))
			flags |= mon->flags;
	return flags;
}

static void as_request(const struct ofconn *c, uint8_t dialect, struct ofmsg *m)
{
	*m = (struct ofmsg){.version = c->version,
			    .kind = dialect == DIALECT_14    ? OFMSG_MP
				    : dialect == DIALECT_ONF ? OFMSG_ONFMP
							     : OFMSG_NXMP,
			    .number = dialect == DIALECT_14    ? (uint32_t)OFPMP_FLOW_MONITOR
				      : dialect == DIALECT_ONF ? (uint32_t)ONFST_FLOW_MONITOR
							       : (uint32_t)NXST_FLOW_MONITOR};
}

/* ---- readers that are slower than the changes ----
 * As in Open vSwitch: after PAUSED only removals are told; once the reader has caught up, what was
 * added or modified meanwhile follows, from the shadow, and RESUMED ends it. */

/* A message of its own; 1.4 has an entry of the multipart reply instead. Returns where it begins.
 */
static size_t put_state(struct ofbuf *b, uint8_t version, uint8_t dialect, bool paused)
{
	if (dialect == DIALECT_ONF)
		return ofbuf_begin_nx(b, version, ONF_EXPERIMENTER,
				      paused ? ONFT_FLOW_MONITOR_PAUSED : ONFT_FLOW_MONITOR_RESUMED,
				      0);
	if (dialect == DIALECT_NX)
		return ofbuf_begin_nx(b, version, NX_EXPERIMENTER,
				      paused ? NXT_FLOW_MONITOR_PAUSED : NXT_FLOW_MONITOR_RESUMED,
				      0);
	ofbuf_u16(b, 8);
	ofbuf_u16(b, paused ? OFPFME_PAUSED : OFPFME_RESUMED);
	ofbuf_zeros(b, 4);
	return 0;
}

static uint8_t dialect_of(const struct ofconn *c)
{
	return LIST_ITEM(c->monitors.next, struct flow_monitor, node)->dialect;
}

static void pause_updates(struct ofconn *c)
{
	struct ofmsg m;
	struct ofmulti mp = {.version = c->version};
	as_request(c, dialect_of(c), &m);
	if (dialect_of(c) == DIALECT_14)
		ofmulti_init(&mp, &m);
	mp.part = put_state(&mp.b, c->version, dialect_of(c), true);
	ofmulti_end(&mp);
	ofconn_send_free(c, &mp.b);
	c->monitors_paused = true;
	c->paused_at = shadow_time(c->sw->shadow) - 1; /* with what is being told now */
}

struct catching_up {
	struct ofconn *c;
	struct ofmulti mp;
};

static void put_missed(struct attrs rule, bool added, void *aux)
{
	struct catching_up *cu = aux;
	uint16_t event = added ? OFPFME_ADDED : OFPFME_MODIFIED;
	struct flow_stats fs;
	if (attrs_u64(rule, ATTR_RULE_FLAGS, 0) & OF_RULE_HIDDEN || !rule_from_attrs(rule, &fs))
		return;
	uint16_t flags = flags_for(cu->c, &(struct rule_change){.fs = &fs, .event = event});
	if (flags)
		put_update(&cu->mp, dialect_of(cu->c), flags, &fs, event);
}

void monitors_caught_up(struct ofconn *c)
{
	if (!c->monitors_paused || c->closing)
		return;
	c->monitors_paused = false;
	if (list_is_empty(&c->monitors))
		return;
	struct catching_up cu = {.c = c};
	struct ofmsg m;
	uint8_t dialect = dialect_of(c);
	as_request(c, dialect, &m);
	ofmulti_init(&cu.mp, &m);
	shadow_for_each_since(c->sw->shadow, c->paused_at, put_missed, &cu);
	ofmulti_reserve(&cu.mp, 8);
	if (dialect != DIALECT_14)
		ofmulti_end(&cu.mp);
	size_t at = put_state(&cu.mp.b, c->version, dialect, false);
	if (dialect != DIALECT_14)
		cu.mp.part = at;
	ofmulti_end(&cu.mp);
	ofconn_send_free(c, &cu.mp.b);
}

static void drop_reader(struct ofconn *c, struct evbuffer *out)
{
	LOG_LIMIT(log_warn, 5, "%s<->%s: does not read its flow updates: closing", c->sw->bridge,
		  c->peer);
	c->closing = true;
	evbuffer_unfreeze(out, 1);
	evbuffer_drain(out, evbuffer_get_length(out));
	evbuffer_freeze(out, 1);
	bufferevent_trigger(c->bev, EV_WRITE, BEV_OPT_DEFER_CALLBACKS | BEV_TRIG_IGNORE_WATERMARKS);
}

/* ---- a connection's own changes ----
 * They come back with the origin that the operation was given: connection, a count, transaction id.
 * Who did not ask for them in full gets one line for all that a message of his has done (OpenFlow
 * 1.4.1 §7.3.5.17.1, OFPFME_ABBREV). ovs-ofctl says with OFPFMF_ONLY_OWN that it wants its own
 * changes too, not that it wants no others; Open vSwitch understands it, and so do we. */

enum { ORIGIN_CONN_SHIFT = 40, ORIGIN_COUNT_SHIFT = 32 };

uint64_t monitors_origin(struct ofconn *c, uint32_t xid)
{
	if (list_is_empty(&c->monitors))
		return 0;
	return (uint64_t)c->id << ORIGIN_CONN_SHIFT |
	       (uint64_t)c->origin_count++ << ORIGIN_COUNT_SHIFT | xid;
}

static void put_abbreviation(struct ofmulti *mp, uint8_t dialect, uint64_t origin)
{
	ofbuf_u16(&mp->b, 8);
	ofbuf_u16(&mp->b, dialect == DIALECT_14 ? (uint16_t)OFPFME_ABBREV : (uint16_t)NXFME_ABBREV);
	ofbuf_u32(&mp->b, (uint32_t)origin);
}

static void tell(struct ofconn *c, const struct rule_change *ch, uint16_t flags)
{
	struct ofmsg m;
	struct ofmulti mp;
	uint8_t dialect = dialect_of(c);
	bool in_full = ch->origin >> ORIGIN_CONN_SHIFT != c->id || c->monitors_paused ||
		       flags & (OFPFMF_NO_ABBREV | OFPFMF_ONLY_OWN);
	if (!in_full && c->abbreviated == ch->origin)
		return;
	as_request(c, dialect, &m);
	ofmulti_init(&mp, &m);
	if (in_full) {
		put_update(&mp, dialect, flags, ch->fs, ch->event);
	} else {
		c->abbreviated = ch->origin;
		put_abbreviation(&mp, dialect, ch->origin);
	}
	ofmulti_end(&mp);
	ofconn_send_free(c, &mp.b);
}

bool monitors_are_there(const struct ofswitch *sw)
{
	LIST_FOR_EACH (c, struct ofconn, node, &sw->conns)
		if (!list_is_empty(&c->monitors))
			return true;
	return false;
}

void monitors_rule_event(struct ofswitch *sw, const struct rule_change *ch)
{
	LIST_FOR_EACH_SAFE (c, struct ofconn, node, &sw->conns) {
		uint16_t flags = c->version && !c->closing ? flags_for(c, ch) : 0;
		if (!flags)
			continue;
		struct evbuffer *out = bufferevent_get_output(c->bev);
		if (evbuffer_get_length(out) > QUEUE_BYTES_MAX) {
			drop_reader(c, out);
			continue;
		}
		if (!c->monitors_paused && evbuffer_get_length(out) > PAUSE_BYTES)
			pause_updates(c);
		if (c->monitors_paused && ch->event != OFPFME_REMOVED)
			continue;
		tell(c, ch, flags);
	}
}

/* ---- requests ---- */

struct initial {
	struct dump_request d;
	VEC(uint32_t) ids; /* monitors of the request that want what is there */
};

static void release_initial(struct ofrequest *r)
{
	vec_free(&SL_CONTAINER_OF(r, struct initial, d.r)->ids);
}

static void put_initial(struct ofrequest *r, struct attrs a)
{
	struct initial *in = SL_CONTAINER_OF(r, struct initial, d.r);
	struct flow_stats fs;
	if (attrs_u64(a, ATTR_RULE_FLAGS, 0) & OF_RULE_HIDDEN || !rule_from_attrs(a, &fs))
		return;
	VEC_FOR_EACH (id, &in->ids) {
		struct flow_monitor *mon = find(r->conn, *id);
		if (mon && selects(&mon->select, &(struct rule_change){.fs = &fs})) {
			put_update(&r->multi, mon->dialect, mon->flags, &fs, OFPFME_INITIAL);
			return;
		}
	}
}

static enum ofp_err add(struct ofconn *c, const struct flow_monitor *want)
{
	if (find(c, want->id))
		return OFPERR_MOFC_MONITOR_EXISTS;
	if (list_size(&c->monitors) >= MONITORS_MAX)
		return OFPERR_MOFC_UNKNOWN;
	struct flow_monitor *mon = aligned_alloc(64, SL_ALIGN_UP(sizeof *mon, 64));
	*mon = *want;
	list_push_back(&c->monitors, &mon->node);
	return OFPERR_OK;
}

/* One entry; advances the cursor. *command: OFPFMC_*. */
static enum ofp_err get_entry(struct ofcur *c, uint8_t version, uint8_t dialect,
			      struct flow_monitor *mon, uint8_t *command)
{
	uint16_t match_len = 0;
	enum ofp_err err = OFPERR_OK;
	*command = OFPFMC_ADD;
	mon->dialect = dialect;
	mon->id = ofcur_u32(c);
	mon->select.out_group = OFPG_ANY;
	if (dialect == DIALECT_14) {
		mon->select.out_port = ofcur_u32(c);
		mon->select.out_group = ofcur_u32(c);
		mon->flags = ofcur_u16(c);
		mon->select.table = ofcur_u8(c);
		*command = ofcur_u8(c);
	} else if (dialect == DIALECT_NX) {
		mon->flags = ofcur_u16(c);
		if (!ofp_port_from10(ofcur_u16(c), &mon->select.out_port))
			err = OFPERR_BRC_BAD_PORT;
		match_len = ofcur_u16(c);
		mon->select.table = ofcur_u8(c);
		ofcur_skip(c, 5);
	} else {
		mon->flags = ofcur_u16(c);
		match_len = ofcur_u16(c);
		mon->select.out_port = ofcur_u32(c);
		mon->select.table = ofcur_u8(c);
		ofcur_skip(c, 3);
	}
	if (c->short_read)
		return OFPERR_BRC_BAD_LEN;
	if (!err && !ofp_port_is_possible(mon->select.out_port))
		err = OFPERR_BAC_BAD_OUT_PORT;
	if (err)
		return err;
	if (dialect == DIALECT_14) {
		err = ofp_match_get(c, version, &mon->select.match);
	} else {
		struct ofcur match = ofcur_sub(c, SL_ALIGN_UP((size_t)match_len, 8));
		if (match.short_read)
			return OFPERR_BRC_BAD_LEN;
		/* the extension of 1.3 has a whole struct ofp_match there */
		err = dialect == DIALECT_ONF
			      ? ofp_match_get(&match, version, &mon->select.match)
			      : oxm_match_get(match.p, match_len, true, &mon->select.match, NULL);
	}
	uint16_t known = dialect == DIALECT_14 ? 0x7f : 0x3f;
	if (!err && (mon->flags & ~known || !(mon->flags & (OFPFMF_ADD | OFPFMF_REMOVED |
							    OFPFMF_MODIFY | OFPFMF_INITIAL))))
		err = OFPERR_MOFC_BAD_FLAGS;
	if (!err && mon->select.table >= OFP_TABLES && mon->select.table != OFPTT_ALL)
		err = dialect == DIALECT_14 ? OFPERR_MOFC_BAD_TABLE_ID : OFPERR_BRC_BAD_TABLE_ID;
	return err;
}

static enum ofp_err run_entry(struct ofconn *c, const struct flow_monitor *want, uint8_t command,
			      struct initial *in)
{
	struct flow_monitor *old = find(c, want->id);
	if (command > OFPFMC_DELETE)
		return OFPERR_MOFC_BAD_COMMAND;
	if (command != OFPFMC_ADD && !old)
		return OFPERR_MOFC_UNKNOWN_MONITOR;
	if (command != OFPFMC_ADD)
		free_monitor(old);
	if (command == OFPFMC_DELETE)
		return OFPERR_OK;
	enum ofp_err err = add(c, want);
	if (!err && want->flags & OFPFMF_INITIAL)
		vec_push(&in->ids, want->id);
	return err;
}

static enum ofp_err monitor(struct ofconn *c, const struct ofmsg *m, uint8_t dialect)
{
	struct initial *in = xzalloc(sizeof *in);
	struct ofcur body = m->body;
	enum ofp_err err = OFPERR_OK;
	while (!err && ofcur_left(&body)) {
		struct flow_monitor want = {0};
		uint8_t command;
		err = get_entry(&body, m->version, dialect, &want, &command);
		if (!err)
			err = run_entry(c, &want, command, in);
	}
	in->d.r.release = release_initial;
	in->d.entry = put_initial;
	if (err || !in->ids.len) {
		if (!err) {
			struct ofmulti mp;
			ofmulti_init(&mp, m);
			ofmulti_end(&mp);
			ofconn_send_free(c, &mp.b);
		}
		vec_free(&in->ids);
		free(in);
		return err;
	}
	struct msg api;
	msg_init(&api, API_RULES, 0);
	msg_put_str(&api, ATTR_BRIDGE, c->sw->bridge);
	return dump_start(&in->d, c, m, &api);
}

enum ofp_err handle_nx_flow_monitor(struct ofconn *c, const struct ofmsg *m)
{
	return monitor(c, m, DIALECT_NX);
}

enum ofp_err handle_onf_flow_monitor(struct ofconn *c, const struct ofmsg *m)
{
	return monitor(c, m, DIALECT_ONF);
}

enum ofp_err handle_flow_monitor14(struct ofconn *c, const struct ofmsg *m)
{
	return monitor(c, m, DIALECT_14);
}

enum ofp_err handle_flow_monitor_cancel(struct ofconn *c, const struct ofmsg *m)
{
	struct flow_monitor *mon = find(c, load_be32(m->body.p));
	if (!mon)
		return OFPERR_MOFC_UNKNOWN_MONITOR;
	free_monitor(mon);
	return OFPERR_OK;
}
