/* SPDX-License-Identifier: BSD-3-Clause */
/* One ofswitch per bridge. The ports that a switch was told of are kept here, so that what the
 * engine reports as a whole becomes single port-status messages. */
#include "control/daemon/switches.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/saved_flows.h"
#include "control/daemon/sluiced.h"
#include "control/openflow/ofswitch.h"
#include "control/state/knobs.h"
#include "datapath/base/hash.h"
#include "datapath/base/log.h"
#include "ovsdb-lite/client.h"

LOG_MODULE(switches);

enum { ADDED, DELETED, MODIFIED };                             /* OFPPR_* */
enum { CONFIG_DOWN = 1, STATE_LINK_DOWN = 1, STATE_LIVE = 4 }; /* OFPPC_*, OFPPS_* */

struct sw {
	struct hmap_node node; /* by hash_string(name) */
	struct switches *all;
	char *name;
	struct ofswitch *of;
	VEC(struct ofswitch_port) told; /* sorted by name; names are ours */
	size_t told_before;             /* how many of them, while new ones are put behind */
	VEC(struct uuid) controllers;   /* rows, in the order given to the switch */
	bool wants_defaults;            /* made in the datapath without any rules */
	bool wanted;
};

struct switches {
	struct sluiced *d;
	struct hmap by_name;
};

uint64_t switches_events(void)
{
	return OFSWITCH_EVENTS;
}

static struct sw *find(const struct switches *s, const char *name)
{
	HMAP_FOR_EACH_WITH_HASH (sw, struct sw, node, hash_string(name), &s->by_name)
		if (!strcmp(sw->name, name))
			return sw;
	return NULL;
}

/* ---- ports ---- */

static uint32_t features_of(uint64_t bps)
{
	static const struct {
		uint64_t bps;
		uint32_t bit; /* OFPPF_*_FD */
	} speeds[] = {{10000000ull, 1 << 1},    {100000000ull, 1 << 3},
		      {1000000000ull, 1 << 5},  {10000000000ull, 1 << 6},
		      {40000000000ull, 1 << 7}, {100000000000ull, 1 << 8}};
	for (size_t i = 0; i < SL_ARRAY_SIZE(speeds); i++)
		if (speeds[i].bps == bps)
			return speeds[i].bit;
	return 0;
}

static bool describe(const struct engine *e, const struct config_port *p, struct ofswitch_port *out)
{
	const struct port_state *st = engine_port(e, p->name);
	if (!st || !st->status.known)
		return false;
	*out = (struct ofswitch_port){
		.ofport = p->ofport,
		.name = p->name,
		.config = st->flags,
		.state = st->status.link_up && !(st->flags & CONFIG_DOWN) ? STATE_LIVE
									  : STATE_LINK_DOWN,
		.curr = features_of(st->status.link_speed_bps),
		.curr_speed_kbps = (uint32_t)(st->status.link_speed_bps / 1000),
		.max_speed_kbps = (uint32_t)(st->status.link_speed_bps / 1000),
	};
	memcpy(out->mac, st->status.mac, 6);
	return true;
}

static void for_each_port(void *aux, ofswitch_port_fn fn, void *fn_aux)
{
	struct sw *sw = aux;
	const struct engine *e = sw->all->d->engine;
	VEC_FOR_EACH (p, &engine_desired(e)->ports) {
		struct ofswitch_port port;
		if (!strcmp((*p)->bridge, sw->name) && describe(e, *p, &port))
			fn(&port, fn_aux);
	}
}

static int port_mod(void *aux, uint32_t ofport, const uint8_t mac[6], uint32_t config,
		    uint32_t mask)
{
	struct sw *sw = aux;
	struct engine *e = sw->all->d->engine;
	VEC_FOR_EACH (p, &engine_desired(e)->ports) {
		const struct port_state *st = engine_port(e, (*p)->name);
		if (strcmp((*p)->bridge, sw->name) || (*p)->ofport != ofport)
			continue;
		if (st && memcmp(st->status.mac, mac, 6))
			return -EADDRNOTAVAIL;
		return engine_port_mod(e, (*p)->name, config, mask);
	}
	return -ENODEV;
}

static bool same_port(const struct ofswitch_port *a, const struct ofswitch_port *b)
{
	return a->ofport == b->ofport && !memcmp(a->mac, b->mac, 6) && a->config == b->config &&
	       a->state == b->state && a->curr == b->curr &&
	       a->curr_speed_kbps == b->curr_speed_kbps;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct ofswitch_port *)a)->name,
		      ((const struct ofswitch_port *)b)->name);
}

static struct ofswitch_port *told_of(struct sw *sw, const struct ofswitch_port *port)
{
	return sw->told_before ? bsearch(port, sw->told.at, sw->told_before, sizeof *port, by_name)
			       : NULL;
}

static void tell(const struct ofswitch_port *port, void *aux)
{
	struct sw *sw = aux;
	struct ofswitch_port *old = told_of(sw, port);
	struct ofswitch_port copy = *port;
	if (old && same_port(old, port))
		return;
	ofswitch_port_changed(sw->of, port, old ? MODIFIED : ADDED);
	copy.name = old ? old->name : xstrdup(port->name);
	if (old)
		*old = copy;
	else
		vec_push(&sw->told, copy);
}

static void tell_of_gone(struct sw *sw)
{
	const struct engine *e = sw->all->d->engine;
	for (size_t i = sw->told.len; i-- > 0;) {
		struct ofswitch_port *t = &sw->told.at[i], now;
		const struct config_port *p = config_find_port(engine_desired(e), t->name);
		if (p && !strcmp(p->bridge, sw->name) && describe(e, p, &now))
			continue;
		ofswitch_port_changed(sw->of, t, DELETED);
		free((char *)(uintptr_t)t->name);
		vec_remove(&sw->told, i);
	}
}

void switches_ports_changed(struct switches *s)
{
	if (!engine_client(s->d->engine))
		return; /* a restart of the datapath is no news for controllers */
	HMAP_FOR_EACH (sw, struct sw, node, &s->by_name) {
		tell_of_gone(sw);
		sw->told_before = sw->told.len;
		for_each_port(sw, tell, sw);
		if (sw->told.len > sw->told_before)
			qsort(sw->told.at, sw->told.len, sizeof *sw->told.at, by_name);
	}
}

/* ---- controllers ---- */

static void write_controller(struct ovsdb_client_txn *t, struct uuid row,
			     const struct ofswitch_status *st)
{
	const char *keys[4], *values[4];
	char connected[16], disconnected[16];
	size_t n = 0;
	keys[n] = "state";
	values[n++] = st->state;
	if (st->last_error[0]) {
		keys[n] = "last_error";
		values[n++] = st->last_error;
	}
	if (st->sec_since_connect >= 0) {
		snprintf(connected, sizeof connected, "%d", st->sec_since_connect);
		keys[n] = "sec_since_connect";
		values[n++] = connected;
	}
	if (st->sec_since_disconnect >= 0) {
		snprintf(disconnected, sizeof disconnected, "%d", st->sec_since_disconnect);
		keys[n] = "sec_since_disconnect";
		values[n++] = disconnected;
	}
	ovsdb_client_txn_set_bool(t, row, "Controller", "is_connected", st->is_connected);
	ovsdb_client_txn_set_string(t, row, "Controller", "role", st->role[0] ? st->role : NULL);
	ovsdb_client_txn_set_map(t, row, "Controller", "status", keys, values, n);
}

static void status_changed(void *aux)
{
	struct sw *sw = aux;
	struct ovsdb_client *db = sw->all->d->db;
	struct ovsdb_client_txn *t;
	struct ofswitch_status st;
	if (!sw->of || !db || !ovsdb_client_is_connected(db))
		return;
	t = ovsdb_client_txn_create(db);
	for (size_t i = 0; i < sw->controllers.len; i++)
		if (ovsdb_client_get(db, "Controller", &sw->controllers.at[i]) &&
		    ofswitch_controller_status(sw->of, i, &st))
			write_controller(t, sw->controllers.at[i], &st);
	ovsdb_client_txn_commit(t, NULL, NULL);
}

static const struct ofswitch_ops switch_ops = {
	.for_each_port = for_each_port, .port_mod = port_mod, .status_changed = status_changed};

static uint32_t versions_of(const struct ovsdb_row *bridge)
{
	static const char *const names[] = {"OpenFlow10", "OpenFlow11", "OpenFlow12",
					    "OpenFlow13", "OpenFlow14", "OpenFlow15"};
	uint32_t bits = 0;
	for (size_t i = 0; i < SL_ARRAY_SIZE(names); i++)
		if (ovsdb_row_has_string(bridge, "protocols", names[i]))
			bits |= 1u << (i + 1);
	return bits;
}

static struct ofswitch_controller_config controller_of(const struct ovsdb_row *row)
{
	return (struct ofswitch_controller_config){
		.target = ovsdb_row_string(row, "target", ""),
		.primary = strcmp(ovsdb_row_string(row, "type", "primary"), "service") != 0,
		.inactivity_probe_ms = (int)ovsdb_row_int(row, "inactivity_probe", -1),
		.max_backoff_ms = (int)ovsdb_row_int(row, "max_backoff", -1),
		.packet_in_rate_limit = (int)ovsdb_row_int(row, "controller_rate_limit", 0),
		.packet_in_burst_limit = (int)ovsdb_row_int(row, "controller_burst_limit", 0),
		.no_async = !ovsdb_row_bool(row, "enable_async_messages", true),
	};
}

static struct ofswitch_table_config table_of(const struct ovsdb_row *row, int64_t id)
{
	return (struct ofswitch_table_config){
		.id = (uint8_t)id,
		.name = ovsdb_row_string(row, "name", ""),
		.max_entries = (uint32_t)ovsdb_row_int(row, "flow_limit", 0),
		.evicts = !strcmp(ovsdb_row_string(row, "overflow_policy", ""), "evict"),
	};
}

static void configure(struct sw *sw, const struct config_bridge *b)
{
	struct ovsdb_client *db = sw->all->d->db;
	const struct ovsdb_row *row = ovsdb_client_find(db, "Bridge", "name", sw->name), *ssl;
	VEC(struct ofswitch_controller_config) controllers = {0};
	VEC(struct ofswitch_table_config) tables = {0};
	struct ofswitch_config cfg = {.datapath_id = b->datapath_id};
	struct err e = {0};

	if (!row)
		return;
	vec_clear(&sw->controllers);
	/* While flows are restored, nobody else shall program the bridge. */
	for (size_t i = 0; b->open && i < ovsdb_row_n(row, "controller"); i++) {
		const struct ovsdb_row *c = ovsdb_row_ref_at(db, row, "controller", i);
		if (!c)
			continue;
		vec_push(&controllers, controller_of(c));
		vec_push(&sw->controllers, *ovsdb_row_uuid(c));
	}
	for (size_t i = 0; i < ovsdb_row_n(row, "flow_tables"); i++) {
		const struct ovsdb_row *t = ovsdb_row_ref_at(db, row, "flow_tables", i);
		if (t)
			vec_push(&tables, table_of(t, ovsdb_row_int_at(row, "flow_tables", i)));
	}
	ssl = ovsdb_client_singleton(db, "SSL");
	if (ssl) {
		cfg.tls.private_key = ovsdb_row_string(ssl, "private_key", NULL);
		cfg.tls.certificate = ovsdb_row_string(ssl, "certificate", NULL);
		cfg.tls.ca_cert = ovsdb_row_string(ssl, "ca_cert", NULL);
	}
	cfg.fail_mode = b->fail_secure ? OFSWITCH_FAIL_SECURE : OFSWITCH_FAIL_STANDALONE;
	cfg.versions = versions_of(row);
	cfg.controllers = controllers.at;
	cfg.n_controllers = controllers.len;
	cfg.tables = tables.at;
	cfg.n_tables = tables.len;
	cfg.dp_desc = ovsdb_row_map(row, "other_config", knobs[KNOB_DP_DESC].key, NULL);
	cfg.serial_desc = ovsdb_row_map(row, "other_config", knobs[KNOB_DP_SN].key, NULL);
	if (ofswitch_configure(sw->of, &cfg, &e))
		LOG_LIMIT(log_warn, 10, "bridge %s: %s", sw->name, e.text);
	vec_free(&controllers);
	vec_free(&tables);
}

/* ---- switches ---- */

static void remove_switch(struct switches *s, struct sw *sw)
{
	hmap_remove(&s->by_name, &sw->node);
	ofswitch_destroy(sw->of);
	VEC_FOR_EACH (t, &sw->told)
		free((char *)(uintptr_t)t->name);
	vec_free(&sw->told);
	vec_free(&sw->controllers);
	free(sw->name);
	free(sw);
}

static struct sw *add_switch(struct switches *s, const char *name)
{
	struct sw *sw = xzalloc(sizeof *sw);
	struct err e = {0};
	sw->all = s;
	sw->name = xstrdup(name);
	if (ofswitch_create(&sw->of, s->d->base, engine_client(s->d->engine), name,
			    s->d->options->rundir, &switch_ops, sw, &e)) {
		LOG_LIMIT(log_err, 10, "bridge %s: no OpenFlow: %s", name, e.text);
		free(sw->name);
		free(sw);
		return NULL;
	}
	hmap_insert(&s->by_name, &sw->node, hash_string(name));
	return sw;
}

void switches_update(struct switches *s, const struct config *desired)
{
	HMAP_FOR_EACH_SAFE (sw, struct sw, node, &s->by_name)
		if (!config_find_bridge(desired, sw->name))
			remove_switch(s, sw);
	VEC_FOR_EACH (b, &desired->bridges) {
		struct sw *sw = find(s, (*b)->name);
		if (!sw)
			sw = add_switch(s, (*b)->name);
		if (sw)
			configure(sw, *b);
	}
}

void switches_set_client(struct switches *s, struct api_client *client)
{
	HMAP_FOR_EACH (sw, struct sw, node, &s->by_name)
		ofswitch_set_client(sw->of, client);
}

void switches_event(struct switches *s, struct attrs event)
{
	HMAP_FOR_EACH (sw, struct sw, node, &s->by_name)
		ofswitch_event(sw->of, event);
}

/* What this process remembers of them; else what was saved for a start from nothing. */
void switches_put_rules(struct switches *s, const char *bridge, struct msg *transaction)
{
	struct sw *sw = find(s, bridge);
	struct err e = {0};
	if (!sw)
		return;
	sw->wants_defaults = !ofswitch_replay(sw->of, transaction);
	if (!sw->wants_defaults)
		return;
	char *text = saved_flows_read(s->d->options->dbdir, bridge, &e);
	size_t before = transaction->len;
	if (text && ofswitch_put_text(sw->of, text, "add", transaction, &e)) {
		log_warn("bridge %s: saved flows: %s", bridge, e.text);
		transaction->len = before;
	} else if (text) {
		sw->wants_defaults = false;
		log_info("bridge %s: starts with its saved flows", bridge);
	}
	free(text);
}

void switches_bridge_made(struct switches *s, const char *bridge)
{
	struct sw *sw = find(s, bridge);
	if (sw)
		ofswitch_made(sw->of);
	if (sw && sw->wants_defaults)
		ofswitch_add_default_rules(sw->of, NULL, NULL);
}

struct ofswitch *switches_find(struct switches *s, const char *bridge)
{
	struct sw *sw = find(s, bridge);
	return sw ? sw->of : NULL;
}

void switches_for_each(struct switches *s, void (*fn)(struct ofswitch *of, void *aux), void *aux)
{
	HMAP_FOR_EACH (sw, struct sw, node, &s->by_name)
		fn(sw->of, aux);
}

struct switches *switches_create(struct sluiced *d)
{
	struct switches *s = xzalloc(sizeof *s);
	s->d = d;
	return s;
}

void switches_destroy(struct switches *s)
{
	if (!s)
		return;
	HMAP_FOR_EACH_SAFE (sw, struct sw, node, &s->by_name)
		remove_switch(s, sw);
	hmap_destroy(&s->by_name);
	free(s);
}
