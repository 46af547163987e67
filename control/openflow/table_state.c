/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tables of the bridge are set to: limits and names from the Flow_Table rows, eviction,
 * miss and vacancy events from table mods. Kept for replay, and compared with the number of rules
 * after each change for TABLE_STATUS (§7.4.5). The datapath is asked at the start and after table
 * mods; what the rows want is sent when it differs, so that a restart writes nothing. Event loop
 * thread only. */
#include <stdlib.h>
#include <string.h>

#include "control/openflow/op.h"
#include "control/openflow/table_msg.h"
#include "datapath/base/log.h"

LOG_MODULE(openflow);

enum { RETRY_MS = 200 };

struct wanted {
	bool evicts, no_longer; /* evict; it did until now */
	uint32_t max_entries;
	char name[OFP_TABLE_NAME_BYTES];
};

struct table_states {
	bool known; /* the datapath has told */
	bool asked; /* a request is under way */
	struct event *retry;
	struct wanted wanted[OFP_TABLES];
	struct table_state now[OFP_TABLES];
	uint8_t next[OFP_TABLES]; /* OFPTR_*: which of the two is told next; 0: none is wanted */
};

void table_states_destroy(struct table_states *ts)
{
	if (ts && ts->retry)
		event_free(ts->retry);
	free(ts);
}

void table_state_get(struct table_state *t, struct attrs a)
{
	*t = (struct table_state){
		.active = (uint32_t)attrs_u64(a, ATTR_ACTIVE_COUNT, 0),
		.lookups = attrs_u64(a, ATTR_LOOKUPS, 0),
		.matched = attrs_u64(a, ATTR_MATCHED, 0),
		.config = (uint32_t)attrs_u64(a, ATTR_TABLE_CONFIG, 0),
		.miss = (uint8_t)attrs_u64(a, ATTR_TABLE_MISS, TABLE_MISS_DEFAULT),
		.max_entries = (uint32_t)attrs_u64(a, ATTR_MAX_ENTRIES, 0),
		.eviction = (uint8_t)attrs_u64(a, ATTR_EVICTION, 0),
		.vacancy_down = (uint8_t)attrs_u64(a, ATTR_VACANCY_DOWN, 0),
		.vacancy_up = (uint8_t)attrs_u64(a, ATTR_VACANCY_UP, 0),
	};
	strncpy(t->name, attrs_str(a, ATTR_NAME, ""), sizeof t->name - 1);
}

uint8_t table_vacancy(const struct table_state *t)
{
	if (!t->max_entries)
		return 100;
	if (t->active >= t->max_entries)
		return 0;
	return (uint8_t)((t->max_entries - t->active) * 100ull / t->max_entries);
}

/* ---- vacancy events ---- */

static void rearm(struct ofswitch *sw, unsigned id)
{
	struct table_states *ts = sw->tables;
	struct table_state *t = &ts->now[id];
	t->active = shadow_rules_in(sw->shadow, (uint8_t)id);
	ts->next[id] = !t->vacancy_up                     ? 0
		       : table_vacancy(t) < t->vacancy_up ? OFPTR_VACANCY_UP
							  : OFPTR_VACANCY_DOWN;
}

static void send_status(struct ofswitch *sw, uint8_t id, uint8_t reason)
{
	LIST_FOR_EACH_SAFE (c, struct ofconn, node, &sw->conns) {
		if (c->version < OFP14 || !ofconn_wants(c, ASYNC_TABLE_STATUS, reason))
			continue;
		struct ofbuf b = {0};
		size_t at = ofbuf_begin(&b, c->version, OFPT14_TABLE_STATUS, 0);
		ofbuf_u8(&b, reason);
		ofbuf_zeros(&b, 7);
		table_desc_put(&b, id, &sw->tables->now[id]);
		ofbuf_end(&b, at);
		ofconn_send_free(c, &b);
	}
}

void table_states_rule_changed(struct ofswitch *sw, uint8_t id)
{
	struct table_states *ts = sw->tables;
	if (!ts || id >= OFP_TABLES || !ts->next[id])
		return;
	struct table_state *t = &ts->now[id];
	t->active = shadow_rules_in(sw->shadow, id);
	uint8_t vacancy = table_vacancy(t);
	uint8_t is = vacancy < t->vacancy_down ? OFPTR_VACANCY_DOWN
		     : vacancy > t->vacancy_up ? OFPTR_VACANCY_UP
					       : 0;
	if (is != ts->next[id])
		return;
	send_status(sw, id, is);
	ts->next[id] = is == OFPTR_VACANCY_DOWN ? OFPTR_VACANCY_UP : OFPTR_VACANCY_DOWN;
}

/* ---- what the rows want ---- */

static void retry_later(struct ofswitch *sw);

static bool differs(const struct wanted *w, const struct table_state *t)
{
	return w->max_entries != t->max_entries || strcmp(w->name, t->name) != 0 ||
	       (w->evicts && !t->eviction) || (w->no_longer && t->eviction);
}

static void put_wanted(struct ofswitch *sw, struct msg *m, unsigned id)
{
	const struct wanted *w = &sw->tables->wanted[id];
	size_t at = msg_op_begin(m, API_OP_TABLE_SET);
	msg_put_str(m, ATTR_BRIDGE, sw->bridge);
	msg_put_u8(m, ATTR_TABLE, (uint8_t)id);
	msg_put_str(m, ATTR_NAME, w->name);
	msg_put_u32(m, ATTR_MAX_ENTRIES, w->max_entries);
	if (w->evicts || w->no_longer) /* else it is the controllers' */
		msg_put_u8(m, ATTR_EVICTION, w->evicts);
	msg_nest_end(m, at);
}

static void on_set(struct ofrequest *r, struct attrs a, bool more, const struct err *err)
{
	(void)a;
	if (more)
		return;
	r->sw->tables->asked = false;
	if (err) {
		LOG_LIMIT(log_dbg, 5, "%s: settings of tables: %s", r->sw->bridge, err->text);
		retry_later(r->sw);
	} else {
		table_states_load(r->sw);
	}
}

static void send_wanted(struct ofswitch *sw)
{
	struct table_states *ts = sw->tables;
	struct msg m;
	unsigned n = 0;
	if (!ts->known || ts->asked || !sw->client)
		return;
	msg_init(&m, API_TRANSACTION, 0);
	for (unsigned i = 0; i < OFP_TABLES; i++)
		if (differs(&ts->wanted[i], &ts->now[i])) {
			put_wanted(sw, &m, i);
			n++;
		}
	if (!n) {
		msg_free(&m);
		return;
	}
	struct ofrequest *r = xzalloc(sizeof *r);
	r->on_reply = on_set;
	ts->asked = ofrequest_send(r, sw, NULL, NULL, &m, false);
}

static void on_tables(struct ofrequest *r, struct attrs a, bool more, const struct err *err)
{
	struct ofswitch *sw = r->sw;
	struct table_states *ts = sw->tables;
	ATTR_FOR_EACH (o, a) {
		uint64_t id = o->id == ATTR_OBJECT ? attrs_u64(attr_nest(o), ATTR_TABLE, 255) : 255;
		if (err || id >= OFP_TABLES)
			continue;
		table_state_get(&ts->now[id], attr_nest(o));
		rearm(sw, (unsigned)id);
	}
	if (more)
		return;
	ts->asked = false;
	if (err) /* a bridge that is about to be made */
		retry_later(sw);
	else
		ts->known = true;
	send_wanted(sw);
}

void table_states_load(struct ofswitch *sw)
{
	struct msg m;
	if (!sw->tables || !sw->client)
		return;
	struct ofrequest *r = xzalloc(sizeof *r);
	r->on_reply = on_tables;
	msg_init(&m, API_TABLES, 0);
	msg_put_str(&m, ATTR_BRIDGE, sw->bridge);
	sw->tables->asked = ofrequest_send(r, sw, NULL, NULL, &m, false);
}

static void on_retry(evutil_socket_t fd, short what, void *aux)
{
	(void)fd, (void)what;
	table_states_load(aux);
}

static void retry_later(struct ofswitch *sw)
{
	struct timeval soon = {.tv_usec = RETRY_MS * 1000};
	struct table_states *ts = sw->tables;
	if (!ts->retry)
		ts->retry = event_new(sw->base, -1, 0, on_retry, sw);
	if (!event_pending(ts->retry, EV_TIMEOUT, NULL))
		event_add(ts->retry, &soon);
}

void table_states_configure(struct ofswitch *sw, const struct ofswitch_table_config *tables,
			    size_t n)
{
	if (!sw->tables)
		sw->tables = xzalloc(sizeof *sw->tables);
	struct table_states *ts = sw->tables;
	for (unsigned i = 0; i < OFP_TABLES; i++)
		ts->wanted[i] = (struct wanted){.no_longer = ts->wanted[i].evicts};
	for (size_t i = 0; i < n; i++) {
		if (tables[i].id >= OFP_TABLES)
			continue;
		struct wanted *w = &ts->wanted[tables[i].id];
		w->evicts = tables[i].evicts;
		w->no_longer &= !w->evicts;
		w->max_entries = tables[i].max_entries;
		strncpy(w->name, tables[i].name, sizeof w->name - 1);
	}
	if (!ts->known && !ts->asked)
		table_states_load(sw);
	else
		send_wanted(sw);
}

/* ---- replay ---- */

size_t table_states_replay(struct ofswitch *sw, struct msg *m)
{
	static const struct table_state none = {.miss = TABLE_MISS_DEFAULT};
	size_t n = 0;
	for (unsigned i = 0; sw->tables && sw->tables->known && i < OFP_TABLES; i++) {
		struct table_state t = sw->tables->now[i];
		t.active = 0;
		t.lookups = t.matched = 0;
		if (!memcmp(&t, &none, sizeof t))
			continue;
		size_t at = msg_op_begin(m, API_OP_TABLE_SET);
		msg_put_str(m, ATTR_BRIDGE, sw->bridge);
		msg_put_u8(m, ATTR_TABLE, (uint8_t)i);
		msg_put_str(m, ATTR_NAME, t.name);
		msg_put_u32(m, ATTR_TABLE_CONFIG, t.config);
		msg_put_u8(m, ATTR_TABLE_MISS, t.miss);
		msg_put_u32(m, ATTR_MAX_ENTRIES, t.max_entries);
		msg_put_u8(m, ATTR_EVICTION, t.eviction);
		msg_put_u8(m, ATTR_VACANCY_DOWN, t.vacancy_down);
		msg_put_u8(m, ATTR_VACANCY_UP, t.vacancy_up);
		msg_nest_end(m, at);
		n++;
	}
	return n;
}
