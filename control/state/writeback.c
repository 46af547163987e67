/* SPDX-License-Identifier: BSD-3-Clause */
/* Column by column as ovs-vswitchd.conf.db(5) describes them. */
#include "control/state/writeback.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/state/ofport.h"
#include "control/state/port_type.h"
#include "datapath/base/hash.h"
#include "datapath/base/log.h"
#include "datapath/base/str.h"
#include "ovsdb-lite/client.h"

LOG_MODULE(writeback);

static void committed(struct ovsdb_client *c, const struct ovsdb_client_txn_result *r, void *aux)
{
	struct written *written = aux; /* NULL: of columns that are compared every time */
	if (written && r->status != OVSDB_TXN_SUCCESS && r->status != OVSDB_TXN_UNCHANGED)
		written_forget_all(written);
	if (r->status == OVSDB_TXN_ERROR)
		LOG_LIMIT(log_err, 5, "database: status could not be written: %s", r->error);
}

/* ---- string maps ---- */

struct pairs {
	char *text; /* what keys and values point into */
	VEC(const char *) keys;
	VEC(const char *) values;
	char *notes;
};

static void pairs_add(struct pairs *p, const char *key, const char *value)
{
	VEC_FOR_EACH (k, &p->keys)
		if (!strcmp(*k, key))
			return;
	vec_push(&p->keys, key);
	vec_push(&p->values, value);
}

/* "key=value key=value" */
static void pairs_split(struct pairs *p, const char *detail)
{
	char *save = NULL;
	p->text = xstrdup(detail);
	for (char *w = strtok_r(p->text, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		char *eq = strchr(w, '=');
		if (!eq)
			continue;
		*eq = '\0';
		pairs_add(p, w, eq + 1);
	}
}

/* The notes about a row as one text under the key "note". */
static void pairs_note(struct pairs *p, const struct rows_notes *notes, const char *table,
		       const char *name)
{
	size_t count;
	const struct rows_note *n = rows_notes_of(notes, table, name, &count);
	struct str s = STR_INIT;
	for (size_t i = 0; i < count; i++)
		if (n[i].kind != ROWS_UNSUPPORTED)
			str_printf(&s, "%s%s", s.len ? "; " : "", n[i].text);
	if (s.len) {
		p->notes = str_steal(&s);
		pairs_add(p, "note", p->notes);
	}
	str_free(&s);
}

static void pairs_set(struct pairs *p, struct ovsdb_client_txn *t, const struct ovsdb_row *row,
		      const char *table)
{
	ovsdb_client_txn_set_map(t, *ovsdb_row_uuid(row), table, "status", p->keys.at, p->values.at,
				 p->keys.len);
	vec_free(&p->keys);
	vec_free(&p->values);
	free(p->text);
	free(p->notes);
}

/* ---- what a row is written from ---- */

static uint64_t mix(uint64_t digest, uint64_t more)
{
	return hash_u64(digest * 31 + more);
}

static uint64_t notes_digest(const struct rows_notes *notes, const char *table, const char *name)
{
	size_t count;
	const struct rows_note *n = rows_notes_of(notes, table, name, &count);
	uint64_t digest = count;
	for (size_t i = 0; i < count; i++)
		digest = mix(digest, hash_string(n[i].text));
	return digest;
}

/* ---- interfaces ---- */

static void set_number(struct ovsdb_client_txn *t, struct uuid row, const char *column, bool known,
		       uint64_t value)
{
	if (known)
		ovsdb_client_txn_set_int(t, row, "Interface", column, (int64_t)value);
	else
		ovsdb_client_txn_clear(t, row, "Interface", column);
}

static void set_text(struct ovsdb_client_txn *t, struct uuid row, const char *column,
		     const char *value)
{
	ovsdb_client_txn_set_string(t, row, "Interface", column, value);
}

static void set_status(const struct writeback *w, struct ovsdb_client_txn *t,
		       const struct ovsdb_row *iface, const struct port_status *st)
{
	struct uuid u = *ovsdb_row_uuid(iface);
	struct pairs pairs = {0};
	char mac[18];

	snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", st->mac[0], st->mac[1],
		 st->mac[2], st->mac[3], st->mac[4], st->mac[5]);
	set_text(t, u, "mac_in_use", st->known ? mac : NULL);
	set_text(t, u, "admin_state", !st->known ? NULL : st->admin_up ? "up" : "down");
	set_text(t, u, "link_state", !st->known ? NULL : st->link_up ? "up" : "down");
	set_text(t, u, "duplex",
		 !st->known || !st->link_speed_bps ? NULL
		 : st->full_duplex                 ? "full"
						   : "half");
	set_number(t, u, "link_speed", st->known && st->link_speed_bps, st->link_speed_bps);
	set_number(t, u, "link_resets", st->known, st->link_resets);
	set_number(t, u, "mtu", st->known && st->mtu, st->mtu);
	set_number(t, u, "ifindex", st->known && st->ifindex, st->ifindex);
	pairs_split(&pairs, st->detail);
	if (st->state[0])
		pairs_add(&pairs, "state", st->state);
	pairs_note(&pairs, w->notes, "Interface", ovsdb_row_string(iface, "name", ""));
	pairs_set(&pairs, t, iface, "Interface");
}

static const char *error_of(const struct writeback *w, const char *name,
			    const struct port_state *st, const struct ovsdb_row *iface)
{
	const struct rows_note *n = rows_notes_find(w->notes, "Interface", name, ROWS_UNSUPPORTED);
	if (n)
		return n->text;
	if (st && port_state_error(st))
		return port_state_error(st);
	if (!engine_client(w->engine) && ovsdb_row_int(iface, "ofport", -1) < 0)
		return engine_datapath_error(w->engine);
	return NULL;
}

static void write_interface(const struct writeback *w, struct ovsdb_client_txn *t,
			    const struct ovsdb_row *iface)
{
	static const struct port_status nothing;
	const char *name = ovsdb_row_string(iface, "name", "");
	const struct config_port *p = config_find_port(engine_desired(w->engine), name);
	const struct port_state *st = engine_port(w->engine, name);
	const char *error = error_of(w, name, st, iface);
	bool there = p && st && st->status.known;
	uint64_t digest = mix(notes_digest(w->notes, "Interface", name), there ? p->ofport : 0);

	digest = mix(digest, error ? hash_string(error) : 0);
	digest = mix(digest, there ? hash_bytes(&st->status, sizeof st->status) : 0);
	if (written_is(w->written, ovsdb_row_uuid(iface), digest))
		return;
	set_text(t, *ovsdb_row_uuid(iface), "error", error);
	if (there)
		ovsdb_client_txn_set_int(t, *ovsdb_row_uuid(iface), "Interface", "ofport",
					 ofport_to_db(p->ofport));
	else if (error)
		ovsdb_client_txn_set_int(t, *ovsdb_row_uuid(iface), "Interface", "ofport", -1);
	/* While the datapath is away, the last known state stays. */
	if (there || error)
		set_status(w, t, iface, there ? &st->status : &nothing);
}

/* ---- the other tables ---- */

static void write_bridge(const struct writeback *w, struct ovsdb_client_txn *t,
			 const struct ovsdb_row *row)
{
	const char *name = ovsdb_row_string(row, "name", "");
	const struct config_bridge *b = config_find_bridge(engine_desired(w->engine), name);
	const struct engine_problem *problems;
	size_t n_problems = engine_problems(w->engine, &problems);
	struct pairs pairs = {0};
	char id[17];
	if (!b)
		return;
	snprintf(id, sizeof id, "%016" PRIx64, b->datapath_id);
	ovsdb_client_txn_set_string(t, *ovsdb_row_uuid(row), "Bridge", "datapath_id", id);
	ovsdb_client_txn_set_string(t, *ovsdb_row_uuid(row), "Bridge", "datapath_version",
				    "sluice " SLUICE_VERSION);
	for (size_t i = 0; i < n_problems; i++)
		if (!strcmp(problems[i].subject, name))
			pairs_add(&pairs, "error", problems[i].text);
	pairs_note(&pairs, w->notes, "Bridge", name);
	pairs_set(&pairs, t, row, "Bridge");
}

static void write_port(const struct writeback *w, struct ovsdb_client_txn *t,
		       const struct ovsdb_row *row)
{
	const char *name = ovsdb_row_string(row, "name", "");
	struct pairs pairs = {0};
	if (written_is(w->written, ovsdb_row_uuid(row), notes_digest(w->notes, "Port", name)))
		return;
	pairs_note(&pairs, w->notes, "Port", name);
	pairs_set(&pairs, t, row, "Port");
}

/* What ovn-controller and others ask before they use it. */
static void write_datapath(struct ovsdb_client_txn *t, const struct ovsdb_row *row)
{
	static const char *const able[][2] = {
		{"ct_clear", "true"},          {"ct_label", "true"},       {"ct_mark", "true"},
		{"ct_orig_tuple", "true"},     {"ct_orig_tuple6", "true"}, {"ct_state", "true"},
		{"ct_state_nat", "true"},      {"ct_timeout", "true"},     {"ct_zone", "true"},
		{"masked_set_action", "true"}, {"max_vlan_headers", "2"},  {"recirc", "true"},
	};
	const char *keys[SL_ARRAY_SIZE(able)], *values[SL_ARRAY_SIZE(able)];
	for (size_t i = 0; i < SL_ARRAY_SIZE(able); i++) {
		keys[i] = able[i][0];
		values[i] = able[i][1];
	}
	ovsdb_client_txn_set_map(t, *ovsdb_row_uuid(row), "Datapath", "capabilities", keys, values,
				 SL_ARRAY_SIZE(able));
}

void writeback_commit(const struct writeback *w, uint64_t seq)
{
	const struct ovsdb_row *root = ovsdb_client_singleton(w->db, "Open_vSwitch");
	struct ovsdb_client_txn *t;
	if (!root)
		return;
	t = ovsdb_client_txn_create(w->db);
	OVSDB_CLIENT_FOR_EACH (row, w->db, "Bridge")
		write_bridge(w, t, row);
	OVSDB_CLIENT_FOR_EACH (row, w->db, "Port")
		write_port(w, t, row);
	OVSDB_CLIENT_FOR_EACH (row, w->db, "Interface")
		write_interface(w, t, row);
	OVSDB_CLIENT_FOR_EACH (row, w->db, "Datapath")
		write_datapath(t, row);
	if ((int64_t)seq > ovsdb_row_int(root, "cur_cfg", 0))
		ovsdb_client_txn_set_int(t, *ovsdb_row_uuid(root), "Open_vSwitch", "cur_cfg",
					 (int64_t)seq);
	ovsdb_client_txn_commit(t, committed, w->written);
}

/* The value of KEY= in /etc/os-release, or "unknown". */
static void os_release(const char *key, char *out, size_t size)
{
	FILE *f = fopen("/etc/os-release", "re");
	char line[256];
	size_t n = strlen(key);
	snprintf(out, size, "unknown");
	while (f && fgets(line, sizeof line, f)) {
		char *v = line + n + 1;
		if (strncmp(line, key, n) || line[n] != '=')
			continue;
		v += *v == '"';
		v[strcspn(v, "\"\n")] = '\0';
		snprintf(out, size, "%s", v);
	}
	if (f)
		fclose(f);
}

void writeback_commit_identity(const struct writeback *w)
{
	const struct ovsdb_row *root = ovsdb_client_singleton(w->db, "Open_vSwitch");
	const char *datapaths[] = {"netdev", "system"}, *types[32];
	size_t n = 0;
	const char *dpdk = engine_info(w->engine)->dpdk_version;
	struct ovsdb_client_txn *t;
	static char name[64], version[64]; /* of the host: they do not change */
	struct uuid u;

	if (!root)
		return;
	u = *ovsdb_row_uuid(root);
	t = ovsdb_client_txn_create(w->db);
	for (size_t i = 0; i < port_type_count() && n < SL_ARRAY_SIZE(types); i++)
		if (w->dummies || strcmp(port_type_name(i), "dummy") != 0)
			types[n++] = port_type_name(i);
	if (!name[0]) {
		os_release("ID", name, sizeof name);
		os_release("VERSION_ID", version, sizeof version);
	}
	ovsdb_client_txn_set_strings(t, u, "Open_vSwitch", "iface_types", types, n);
	ovsdb_client_txn_set_strings(t, u, "Open_vSwitch", "datapath_types", datapaths,
				     SL_ARRAY_SIZE(datapaths));
	ovsdb_client_txn_set_string(t, u, "Open_vSwitch", "ovs_version", WRITEBACK_OVS_VERSION);
	if (w->db_version)
		ovsdb_client_txn_set_string(t, u, "Open_vSwitch", "db_version", w->db_version);
	ovsdb_client_txn_set_string(t, u, "Open_vSwitch", "system_type", name);
	ovsdb_client_txn_set_string(t, u, "Open_vSwitch", "system_version", version);
	ovsdb_client_txn_set_bool(t, u, "Open_vSwitch", "dpdk_initialized",
				  engine_client(w->engine) != NULL);
	if (dpdk[0])
		ovsdb_client_txn_set_string(t, u, "Open_vSwitch", "dpdk_version", dpdk);
	ovsdb_client_txn_commit(t, committed, NULL);
}

/* ---- statistics ---- */

struct counting {
	struct writeback w;
	struct ovsdb_client_txn *txn;
};

static void drops_of(struct attrs a, int64_t *rx, int64_t *tx)
{
	*rx = (int64_t)attrs_u64(a, ATTR_RX_MISSED, 0);
	*tx = 0;
	ATTR_FOR_EACH (it, a) {
		struct attrs drop = attr_nest(it);
		if (it->id != ATTR_DROP)
			continue;
		if (strncmp(attrs_str(drop, ATTR_REASON, ""), "tx_", 3))
			*rx += (int64_t)attrs_u64(drop, ATTR_COUNT, 0);
		else
			*tx += (int64_t)attrs_u64(drop, ATTR_COUNT, 0);
	}
}

static void write_counters(struct counting *c, struct attrs a)
{
	static const struct {
		const char *key;
		enum api_attr attr;
	} map[] = {
		{"rx_packets", ATTR_RX_PKTS},  {"rx_bytes", ATTR_RX_BYTES},
		{"rx_errors", ATTR_RX_ERRORS}, {"tx_packets", ATTR_TX_PKTS},
		{"tx_bytes", ATTR_TX_BYTES},   {"tx_errors", ATTR_TX_ERRORS},
	};
	enum { N = SL_ARRAY_SIZE(map) };
	const char *keys[N + 2], *name = attrs_str(a, ATTR_NAME, attrs_str(a, ATTR_PORT, ""));
	int64_t values[N + 2];
	const struct ovsdb_row *iface = ovsdb_client_find(c->w.db, "Interface", "name", name);
	if (!iface)
		return;
	for (size_t i = 0; i < N; i++) {
		keys[i] = map[i].key;
		values[i] = (int64_t)attrs_u64(a, map[i].attr, 0);
	}
	keys[N] = "rx_dropped";
	keys[N + 1] = "tx_dropped";
	drops_of(a, &values[N], &values[N + 1]);
	ovsdb_client_txn_set_int_map(c->txn, *ovsdb_row_uuid(iface), "Interface", "statistics",
				     keys, values, N + 2);
}

static void got_counters(struct attrs a, bool more, const struct err *error, void *aux)
{
	struct counting *c = aux;
	if (!c->txn && !error)
		c->txn = ovsdb_client_txn_create(c->w.db);
	if (!error)
		ATTR_FOR_EACH (it, a)
			if (it->id == ATTR_OBJECT)
				write_counters(c, attr_nest(it));
	if (more)
		return;
	if (c->txn)
		ovsdb_client_txn_commit(c->txn, committed, NULL);
	free(c);
}

void writeback_statistics(const struct writeback *w)
{
	struct api_client *client = engine_client(w->engine);
	struct counting *c;
	struct msg m;
	if (!client)
		return;
	c = xzalloc(sizeof *c);
	c->w = *w;
	msg_init(&m, API_PORT_STATS, 0);
	api_send(client, &m, got_counters, c);
}
