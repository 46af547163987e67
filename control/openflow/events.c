/* SPDX-License-Identifier: BSD-3-Clause */
/* What the datapath tells unasked: rules that came and went, packets for controllers. Keeps the
 * shadow. */
#include <stdlib.h>
#include <string.h>

#include "control/openflow/op.h"
#include "datapath/base/log.h"

LOG_MODULE(openflow);

/* Flow removed (§7.4.2): to those who want it, of rules that asked for it. */
static void send_flow_removed(struct ofswitch *sw, const struct flow_stats *fs)
{
	LIST_FOR_EACH_SAFE (c, struct ofconn, node, &sw->conns) {
		uint8_t reason = fs->removed_reason;
		/* before 1.4 there is no word for eviction, before 1.1 none for groups */
		if (c->version < OFP14 && reason > OFPRR_GROUP_DELETE)
			reason = OFPRR_DELETE;
		if (!ofconn_wants(c, ASYNC_FLOW_REMOVED, reason))
			continue;
		struct ofbuf b = {0};
		struct flow_stats copy = *fs;
		bool nxm = c->version == OFP10 && c->nxm_flow_removed;
		copy.removed_reason = reason;
		size_t at = nxm ? ofbuf_begin_nx(&b, OFP10, NX_EXPERIMENTER, NXT_FLOW_REMOVED, 0)
				: ofbuf_begin(&b, c->version, OFPT_FLOW_REMOVED, 0);
		flow_removed_put(&b, ofconn_format(c, nxm), &copy);
		ofbuf_end(&b, at);
		ofconn_send_free(c, &b);
	}
}

/* A copy of what the rule did until now, in ch->old_actions; the caller frees it. */
static void *keep_old_actions(const struct ofswitch *sw, struct attrs rule, struct rule_change *ch)
{
	struct attrs old;
	if (!monitors_are_there(sw) || !shadow_find_rule(sw->shadow, rule, &old))
		return NULL;
	const void *actions = attrs_bytes(old, ATTR_ACTIONS, &ch->old_len);
	void *copy = actions ? xmemdup(actions, ch->old_len) : NULL;
	ch->old_actions = copy;
	return copy;
}

/* A million rules may have gone at once: what nobody wants to know is not decoded. */
static bool is_anyones_business(const struct ofswitch *sw, struct attrs rule)
{
	uint64_t flags = attrs_u64(rule, ATTR_RULE_FLAGS, 0);
	return !(flags & OF_RULE_HIDDEN) && (flags & OFPFF_SEND_FLOW_REM || monitors_are_there(sw));
}

static void rule_added(struct ofswitch *sw, struct attrs event, struct attrs rule, uint64_t version)
{
	struct flow_stats fs;
	bool modified = !strcmp(attrs_str(event, ATTR_STATE, "added"), "modified");
	struct rule_change ch = {.fs = &fs,
				 .event = modified ? OFPFME_MODIFIED : OFPFME_ADDED,
				 .origin = attrs_u64(event, ATTR_ORIGIN, 0)};
	void *old = keep_old_actions(sw, rule, &ch);
	shadow_put_rule(sw->shadow, rule, version);
	if (is_anyones_business(sw, rule) && rule_from_attrs(rule, &fs))
		monitors_rule_event(sw, &ch);
	free(old);
	table_states_rule_changed(sw, (uint8_t)attrs_u64(rule, ATTR_TABLE, 0));
}

static void tell_removed(struct ofswitch *sw, struct attrs event, struct attrs rule)
{
	struct flow_stats fs;
	if (is_anyones_business(sw, rule) && rule_from_attrs(rule, &fs)) {
		fs.removed_reason =
			(uint8_t)attrs_u64(event, ATTR_REMOVED_REASON, fs.removed_reason);
		monitors_rule_event(
			sw, &(struct rule_change){.fs = &fs,
						  .event = OFPFME_REMOVED,
						  .origin = attrs_u64(event, ATTR_ORIGIN, 0)});
		if (fs.flags & OFPFF_SEND_FLOW_REM)
			send_flow_removed(sw, &fs);
	}
}

static void on_reload(evutil_socket_t fd, short what, void *aux)
{
	struct ofswitch *sw = aux;
	(void)fd;
	(void)what;
	if (sw->client)
		shadow_load(sw);
}

/* One transaction may leave us unsure of many rules: the tables are read once for all of them. */
static void load_soon(struct ofswitch *sw)
{
	struct timeval soon = {.tv_usec = 20000};
	if (!sw->reload)
		sw->reload = event_new(sw->base, -1, 0, on_reload, sw);
	if (!event_pending(sw->reload, EV_TIMEOUT, NULL))
		event_add(sw->reload, &soon);
}

static void rule_removed(struct ofswitch *sw, struct attrs event, struct attrs rule)
{
	enum shadow_answer a = shadow_del_rule(sw->shadow, rule, attrs_u64(event, ATTR_VERSION, 0),
					       attrs_u64(event, ATTR_ADDED_VERSION, 0));
	tell_removed(sw, event, rule);
	if (a == SHADOW_UNSURE)
		load_soon(sw);
	table_states_rule_changed(sw, (uint8_t)attrs_u64(rule, ATTR_TABLE, 0));
}

/* ---- what we did ourselves ---- */

static void tell_emptied(struct attrs rule, void *aux)
{
	struct ofswitch *sw = aux;
	uint64_t flags = attrs_u64(rule, ATTR_RULE_FLAGS, 0);
	if (!(flags & (OF_RULE_HIDDEN | OFPFF_SEND_FLOW_REM))) /* of these the datapath tells */
		tell_removed(sw, (struct attrs){0}, rule);
}

void shadow_apply(struct ofswitch *sw, struct shadow_plan *plan, uint64_t version)
{
	/* one may have begun to listen while the transaction was under way */
	bool monitored = monitors_are_there(sw);
	for (size_t i = 0; i < shadow_plan_len(plan); i++) {
		struct attrs rule;
		uint8_t table;
		bool adds = shadow_plan_adds(plan, i, &table, &rule);
		if (monitored && adds)
			rule_added(sw, (struct attrs){0}, rule, version);
		else if (monitored)
			shadow_for_each_in(sw->shadow, table, tell_emptied, sw);
		shadow_plan_do(sw->shadow, plan, i, version, OF_RULE_HIDDEN);
		for (unsigned t = 0; t < OFP_TABLES; t++)
			if (table == t || table == OFPTT_ALL)
				table_states_rule_changed(sw, (uint8_t)t);
	}
}

/* ---- what is told later ---- */

static void on_asked(struct ofrequest *r, struct attrs a, bool more, const struct err *err)
{
	(void)more;
	if (!err)
		shadow_answered(r->sw, (struct attrs){0}, a);
}

/* The answer to a transaction without operations says whether all news of those before have come.
 */
static void ask_whether_told(evutil_socket_t fd, short what, void *aux)
{
	struct ofswitch *sw = aux;
	(void)fd;
	(void)what;
	if (!sw->client || !shadow_has_pending(sw->shadow))
		return;
	struct ofrequest *r = xzalloc(sizeof *r);
	struct msg m;
	r->on_reply = on_asked;
	msg_init(&m, API_TRANSACTION, 0);
	ofrequest_send(r, sw, NULL, NULL, &m, false);
}

void shadow_answered(struct ofswitch *sw, struct attrs transaction, struct attrs answer)
{
	struct timeval soon = {.tv_usec = 200000};
	if (sw->replaying)
		return; /* what is pending was done to another datapath */
	if (!attrs_has(answer, ATTR_UNTOLD))
		shadow_told(sw->shadow);
	else if (transaction.len)
		shadow_pend(sw->shadow, transaction, attrs_u64(answer, ATTR_VERSION, 0));
	if (!shadow_has_pending(sw->shadow))
		return;
	if (!sw->ask)
		sw->ask = event_new(sw->base, -1, 0, ask_whether_told, sw);
	if (!event_pending(sw->ask, EV_TIMEOUT, NULL))
		event_add(sw->ask, &soon);
}

void ofswitch_event(struct ofswitch *sw, struct attrs event)
{
	const struct attr *nest = attrs_find(event, ATTR_RULE);
	struct attrs rule = nest ? attr_nest(nest) : event;
	const char *bridge = attrs_str(event, ATTR_BRIDGE, attrs_str(rule, ATTR_BRIDGE, ""));
	if (attrs_u64(event, ATTR_EVENT, UINT64_MAX) == API_EVENT_LOST && sw->client) {
		/* Which rules they spoke of nobody knows: what a dead datapath would be given
		 * back is read anew. */
		LOG_LIMIT(log_info, 5, "%s: changes went by too fast: reading the tables again",
			  sw->bridge);
		shadow_load(sw);
		return;
	}
	if (strcmp(bridge, sw->bridge))
		return;
	switch (attrs_u64(event, ATTR_EVENT, UINT64_MAX)) {
	case API_EVENT_PACKET_IN:
		packet_in_event(sw, event);
		break;
	case API_EVENT_RULE_ADDED:
		rule_added(sw, event, rule, attrs_u64(event, ATTR_VERSION, 0));
		break;
	case API_EVENT_RULE_REMOVED:
		rule_removed(sw, event, rule);
		break;
	default:
		break; /* others' business */
	}
}

/* ---- loading the shadow ---- */

struct load {
	struct ofrequest r;
	enum api_op op;
	uint64_t reading;       /* rules */
	struct shadow *objects; /* groups and meters, taken when all are there */
};

static void release_load(struct ofrequest *r)
{
	shadow_destroy(SL_CONTAINER_OF(r, struct load, r)->objects);
}

static void on_load(struct ofrequest *r, struct attrs a, bool more, const struct err *err)
{
	struct load *l = SL_CONTAINER_OF(r, struct load, r);
	if (err) {
		LOG_LIMIT(log_dbg, 5, "%s: reading the datapath's tables: %s", r->sw->bridge,
			  err->text);
		if (l->op == API_OP_RULE_MOD)
			shadow_read_drop(r->sw->shadow, l->reading);
		return;
	}
	ATTR_FOR_EACH (o, a) {
		if (o->id != ATTR_OBJECT && o->id != ATTR_RULE)
			continue;
		if (l->op == API_OP_RULE_MOD) {
			struct attrs rule = attr_nest(o);
			shadow_read_put(r->sw->shadow, l->reading, rule,
					attrs_u64(rule, ATTR_ADDED_VERSION, 0));
			fail_open_saw(r->sw, attr_nest(o));
		} else {
			shadow_put_object(l->objects, l->op, attr_nest(o));
		}
	}
	if (more)
		return;
	/* A new datapath that has not taken the replay yet has only what came since. */
	bool part = r->sw->replaying;
	if (l->op == API_OP_RULE_MOD && part)
		shadow_read_drop(r->sw->shadow, l->reading);
	else if (l->op == API_OP_RULE_MOD)
		shadow_read_end(r->sw->shadow, l->reading);
	else if (part)
		shadow_add_objects(r->sw->shadow, l->op, l->objects);
	else
		shadow_take_objects(r->sw->shadow, l->op, l->objects);
}

static void on_version(struct ofrequest *r, struct attrs a, bool more, const struct err *err)
{
	struct load *l = SL_CONTAINER_OF(r, struct load, r);
	(void)more;
	if (!err)
		shadow_read_at(r->sw->shadow, l->reading, attrs_u64(a, ATTR_VERSION, 0));
}

static uint64_t begin_reading(struct ofswitch *sw)
{
	struct load *l = xzalloc(sizeof *l);
	struct msg m;
	uint64_t reading = l->reading = shadow_read_begin(sw->shadow);
	l->r.on_reply = on_version;
	msg_init(&m, API_STATUS, 0);
	ofrequest_send(&l->r, sw, NULL, NULL, &m, false);
	return reading;
}

static void load(struct ofswitch *sw, enum api_message message, enum api_op op)
{
	struct load *l = xzalloc(sizeof *l);
	struct msg m;
	l->r.on_reply = on_load;
	l->r.release = release_load;
	l->op = op;
	if (op == API_OP_RULE_MOD)
		l->reading = begin_reading(sw);
	else
		l->objects = shadow_create();
	msg_init(&m, message, 0);
	msg_put_str(&m, ATTR_BRIDGE, sw->bridge);
	if (op == API_OP_RULE_MOD) {
		msg_put_u32(&m, ATTR_RULE_FLAGS, OF_RULE_HIDDEN);
		msg_put_u64(&m, ATTR_ADDED_VERSION, 0);
	}
	ofrequest_send(&l->r, sw, NULL, NULL, &m, false);
}

static void load_objects(struct ofswitch *sw)
{
	load(sw, API_GROUPS, API_OP_GROUP_MOD);
	load(sw, API_METERS, API_OP_METER_MOD);
}

static void on_bridges(struct ofrequest *r, struct attrs a, bool more, const struct err *err)
{
	(void)more;
	if (err)
		return;
	ATTR_FOR_EACH (o, a) {
		struct attrs bridge = attr_nest(o);
		if (o->id != ATTR_OBJECT || strcmp(attrs_str(bridge, ATTR_NAME, ""), r->sw->bridge))
			continue;
		tlv_map_adopt(r->sw, bridge);
		r->sw->frag_mode = (uint16_t)attrs_u64(bridge, ATTR_FRAG_MODE, OFPC_FRAG_NORMAL);
	}
}

void bridge_state_load(struct ofswitch *sw)
{
	struct ofrequest *r = xzalloc(sizeof *r);
	struct msg m;
	r->on_reply = on_bridges;
	msg_init(&m, API_BRIDGES, 0);
	ofrequest_send(r, sw, NULL, NULL, &m, false);
}

void shadow_load(struct ofswitch *sw)
{
	bridge_state_load(sw);
	load(sw, API_RULES, API_OP_RULE_MOD);
	load_objects(sw);
	table_states_load(sw);
}

static void on_refresh(evutil_socket_t fd, short what, void *aux)
{
	struct ofswitch *sw = aux;
	(void)fd;
	(void)what;
	if (sw->client)
		load_objects(sw);
}

void shadow_refresh_soon(struct ofswitch *sw)
{
	struct timeval soon = {.tv_usec = 50000};
	if (!sw->refresh)
		sw->refresh = event_new(sw->base, -1, 0, on_refresh, sw);
	if (!event_pending(sw->refresh, EV_TIMEOUT, NULL))
		event_add(sw->refresh, &soon);
}
