/* SPDX-License-Identifier: BSD-3-Clause */
/* A net.yaml against the Open_vSwitch database. One walk makes the differences as text, as
 * operations of a transaction, or both; it asks the replica only, so a walk without transaction is
 * the dry run.
 *
 * Ownership: external_ids:sluice-owner of Bridge and Port names who made the row; what has another
 * owner, or none, is left alone unless NET_PRUNE. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/state/net.h"
#include "control/state/net_column.h"
#include "datapath/base/str.h"
#include "ovsdb-lite/client.h"

#define OWNER_KEY "sluice-owner"

struct walk {
	const struct net *net;
	const struct ovsdb_client *db;
	unsigned flags;
	const char *owner;
	struct ovsdb_client_txn *txn;
	struct str *text;
	struct err *e;
	struct uuid root;
};

/* ---- rows ---- */

static const struct ovsdb_row *find(const struct walk *w, const char *table, const char *name)
{
	return ovsdb_client_find(w->db, table, "name", name);
}

static const struct ovsdb_row *bridge_of(const struct ovsdb_client *db,
					 const struct ovsdb_row *port)
{
	OVSDB_CLIENT_FOR_EACH (b, db, "Bridge")
		for (size_t i = 0; i < ovsdb_row_n(b, "ports"); i++)
			if (ovsdb_row_ref_at(db, b, "ports", i) == port)
				return b;
	return NULL;
}

static const char *owner_of(const struct ovsdb_row *row)
{
	return ovsdb_row_map(row, "external_ids", OWNER_KEY, NULL);
}

/* May this walk change a row that is there? A command of a person may; a file only its own. */
static bool mine(const struct walk *w, const struct ovsdb_row *row)
{
	const char *owner = owner_of(row);
	return w->flags & (NET_PRUNE | NET_MERGE | NET_RESTORE) ||
	       (owner && !strcmp(owner, w->owner));
}

static int not_mine(const struct walk *w, const struct net_object *o, const char *kind,
		    const struct ovsdb_row *row, const char *difference)
{
	const char *owner = owner_of(row);
	return net_err(w->net, o->where, w->e, EPERM,
		       "%s %s: it belongs to %s and differs (%s); --prune takes it over", kind,
		       o->name, owner ? owner : "another tool such as ovs-vsctl", difference);
}

/* To whom a row goes that is made; NULL: nobody. */
static const char *future_owner(const struct walk *w, const char *table, const char *name)
{
	if (!(w->flags & NET_RESTORE))
		return w->owner;
	VEC_FOR_EACH (o, &w->net->owners)
		if (!strcmp(o->table, table) && !strcmp(o->name, name))
			return o->owner;
	return NULL;
}

static void write_owner(const struct walk *w, struct uuid row, const char *table, const char *name)
{
	const char *owner = future_owner(w, table, name);
	if (owner)
		ovsdb_client_txn_map_put(w->txn, row, table, "external_ids", OWNER_KEY, owner);
}

static void restore_owner(const struct walk *w, const struct ovsdb_row *row, const char *name)
{
	const char *table = ovsdb_row_table_name(row), *have = owner_of(row);
	const char *owner = future_owner(w, table, name);
	if (!w->txn || (have == owner) || (have && owner && !strcmp(have, owner)))
		return;
	if (owner)
		write_owner(w, *ovsdb_row_uuid(row), table, name);
	else
		ovsdb_client_txn_map_delete(w->txn, *ovsdb_row_uuid(row), table, "external_ids",
					    OWNER_KEY);
}

static void take_ownership(const struct walk *w, const struct ovsdb_row *row, const char *kind,
			   const char *name)
{
	const char *owner = owner_of(row);
	if (w->flags & NET_RESTORE)
		restore_owner(w, row, name);
	if (!(w->flags & NET_PRUNE) || (owner && !strcmp(owner, w->owner)))
		return;
	str_printf(w->text, "~ %s %s: owner %s -> %s\n", kind, name, owner ? owner : "(none)",
		   w->owner);
	if (w->txn)
		ovsdb_client_txn_map_put(w->txn, *ovsdb_row_uuid(row), ovsdb_row_table_name(row),
					 "external_ids", OWNER_KEY, w->owner);
}

/* ---- settings of an object that is there ---- */

struct target { /* rows that an object's keys are written to */
	const struct net_object *o;
	const char *kind;
	const struct ovsdb_row *owned; /* carries the owner; NULL: nobody asks */
	const struct ovsdb_row *rows[2];
};

static const struct ovsdb_row *row_for(const struct target *t, const struct net_key *k)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(t->rows); i++)
		if (t->rows[i] && !strcmp(ovsdb_row_table_name(t->rows[i]), k->table))
			return t->rows[i];
	return NULL;
}

static int change(struct walk *w, const struct target *t, const struct net_key *k, const char *sub,
		  const char *want)
{
	const struct ovsdb_row *row = row_for(t, k);
	char *have = row ? net_row_value(w->db, row, k, sub) : NULL;
	char *sorted = want && k->kind == NET_TARGETS ? net_sorted_words(want) : NULL;
	const char *goal = sorted ? sorted : want;
	bool is_default = !have && goal && !strcmp(goal, k->def);
	char line[256];
	int rc = 0;

	if (row && !is_default && strcmp(have ? have : "", goal ? goal : "")) {
		snprintf(line, sizeof line, "%s%s%s: %s -> %s", k->name, sub ? "." : "",
			 sub ? sub : "", have ? have : "(none)", goal ? goal : "(none)");
		if (t->owned && !mine(w, t->owned)) {
			rc = not_mine(w, t->o, t->kind, t->owned, line);
		} else {
			str_printf(w->text, "~ %s %s: %s\n", t->kind, t->o->name, line);
			if (w->txn)
				net_write_value(w->txn, *ovsdb_row_uuid(row), k, sub, goal);
		}
	}
	free(sorted);
	free(have);
	return rc;
}

/* Is this map entry said by a key of its own? */
static bool has_alias(const struct net_key *map, const char *sub)
{
	for (size_t i = 0; i < net_n_keys; i++)
		if (net_keys[i].scope == map->scope && !strcmp(net_keys[i].map_key, sub) &&
		    !strcmp(net_keys[i].column, map->column))
			return true;
	return false;
}

/* Entries of a map that the file governs and does not mention. */
static int clear_entries(struct walk *w, const struct target *t, const struct net_key *k)
{
	const struct ovsdb_row *row = row_for(t, k);
	int rc = 0;
	/* Other programs keep their own external_ids and other_config there. */
	if (!row || (strcmp(k->column, "options") && !(w->flags & NET_RESTORE)))
		return 0;
	for (size_t i = 0; i < ovsdb_row_n(row, k->column) && !rc; i++) {
		const char *sub = ovsdb_row_map_at(row, k->column, i, NULL);
		if (!has_alias(k, sub) && !net_setting_find(t->o, k->name, sub))
			rc = change(w, t, k, sub, NULL);
	}
	return rc;
}

static int compare(struct walk *w, const struct target *t, enum net_scope scope)
{
	int rc = 0;
	VEC_FOR_EACH (s, &t->o->settings)
		if (!rc)
			rc = change(w, t, s->key, s->sub, s->value);
	for (size_t i = 0; i < net_n_keys && !rc && !(w->flags & NET_MERGE); i++) {
		const struct net_key *k = &net_keys[i];
		if (k->scope != scope)
			continue;
		if (k->kind == NET_MAP)
			rc = clear_entries(w, t, k);
		else if (!net_setting_find(t->o, k->name, NULL))
			rc = change(w, t, k, NULL, NULL);
	}
	return rc;
}

/* ---- new objects ---- */

static void write_settings(struct walk *w, const struct net_object *o, const char *table,
			   struct uuid row)
{
	VEC_FOR_EACH (s, &o->settings)
		if (w->txn && s->value && !strcmp(s->key->table, table))
			net_write_value(w->txn, row, s->key, s->sub, s->value);
}

static void print_new(struct walk *w, const char *kind, const struct net_object *o,
		      const char *bridge)
{
	str_printf(w->text, "+ %s %s%s%s", kind, o->name, bridge ? " on " : "",
		   bridge ? bridge : "");
	VEC_FOR_EACH (s, &o->settings)
		if (s->value)
			str_printf(w->text, " %s%s%s=%s", s->key->name, s->sub ? "." : "",
				   s->sub ? s->sub : "", s->value);
	str_putc(w->text, '\n');
}

static struct uuid insert_port(struct walk *w, const struct net_object *o, const char *type)
{
	struct uuid iface = ovsdb_client_txn_insert(w->txn, "Interface");
	struct uuid port = ovsdb_client_txn_insert(w->txn, "Port");
	ovsdb_client_txn_set_string(w->txn, iface, "Interface", "name", o->name);
	if (type)
		ovsdb_client_txn_set_string(w->txn, iface, "Interface", "type", type);
	ovsdb_client_txn_set_string(w->txn, port, "Port", "name", o->name);
	ovsdb_client_txn_set_refs(w->txn, port, "Port", "interfaces", &iface, 1);
	write_owner(w, port, "Port", o->name);
	write_settings(w, o, "Interface", iface);
	write_settings(w, o, "Port", port);
	return port;
}

static int check_device(const struct walk *w, const struct net_object *o, const char *bridge)
{
	const struct net_setting *set = net_setting_find(o, "type", NULL);
	const char *type = set ? set->value : NULL;
	bool system = (!type && strcmp(o->name, bridge)) || (type && !strcmp(type, "system"));
	if (w->flags & (NET_NO_DEVICES | NET_RESTORE) || !system || if_nametoindex(o->name))
		return 0;
	return net_err(w->net, o->where, w->e, ENODEV,
		       "port %s: there is no network device of this name%s", o->name,
		       type ? "" : " (type: says what it is, when it is none)");
}

static int check_peer(const struct walk *w, const struct net_object *o)
{
	const struct net_setting *peer = net_setting_find(o, "peer", NULL);
	/* One command makes one end: the first of a pair has no peer yet. */
	if (w->flags & (NET_RESTORE | NET_MERGE) || !peer || !peer->value ||
	    find(w, "Interface", peer->value))
		return 0;
	VEC_FOR_EACH (b, &w->net->bridges)
		VEC_FOR_EACH (p, &b->ports)
			if (!strcmp(p->name, peer->value))
				return 0;
	return net_err(w->net, peer->where, w->e, ENOENT, "port %s: its peer %s is nowhere",
		       o->name, peer->value);
}

static int add_port(struct walk *w, const struct net_object *o, const char *bridge,
		    struct uuid bridge_row)
{
	int rc = check_device(w, o, bridge);
	if (!rc)
		rc = check_peer(w, o);
	if (rc)
		return rc;
	print_new(w, "port", o, bridge);
	if (w->txn)
		ovsdb_client_txn_add_ref(
			w->txn, bridge_row, "Bridge", "ports",
			insert_port(w, o, strcmp(o->name, bridge) ? NULL : "internal"));
	return 0;
}

static int check_cores(const struct walk *w)
{
	const struct net_setting *cores = net_setting_find(&w->net->poll, "cores", NULL);
	uint8_t bits[NET_CORE_MAX / 8 + 1] = {0};
	long n = sysconf(_SC_NPROCESSORS_CONF);
	if (w->flags & (NET_NO_DEVICES | NET_RESTORE) || !cores || !cores->value || n <= 0 ||
	    !net_ranges_parse(cores->value, bits, NET_CORE_MAX))
		return 0;
	for (unsigned i = (unsigned)n; i <= NET_CORE_MAX; i++)
		if (bits[i / 8] & 1u << i % 8)
			return net_err(w->net, cores->where, w->e, ENODEV,
				       "poll: cores: this machine has no core %u", i);
	return 0;
}

/* ---- a walk ---- */

static int move_port(struct walk *w, const struct net_object *o, const struct ovsdb_row *port,
		     const struct ovsdb_row *from, const char *to, struct uuid to_row)
{
	if (!mine(w, port))
		return not_mine(w, o, "port", port, "it is on another bridge");
	str_printf(w->text, "~ port %s: bridge %s -> %s\n", o->name,
		   from ? ovsdb_row_string(from, "name", "") : "(none)", to);
	if (!w->txn)
		return 0;
	if (from)
		ovsdb_client_txn_remove_ref(w->txn, *ovsdb_row_uuid(from), "Bridge", "ports",
					    *ovsdb_row_uuid(port));
	ovsdb_client_txn_add_ref(w->txn, to_row, "Bridge", "ports", *ovsdb_row_uuid(port));
	return 0;
}

static int walk_port(struct walk *w, const struct net_object *o, const char *bridge,
		     struct uuid bridge_row)
{
	const struct ovsdb_row *port = find(w, "Port", o->name), *on;
	struct target t = {.o = o, .kind = "port", .owned = port, .rows = {port, NULL}};
	int rc = 0;
	if (!port && w->flags & NET_EXISTING)
		return net_err(w->net, o->where, w->e, ENOENT, "port %s: not found", o->name);
	if (!port)
		return add_port(w, o, bridge, bridge_row);
	if (w->flags & NET_CREATE)
		return net_err(w->net, o->where, w->e, EEXIST, "port %s: exists already", o->name);
	t.rows[1] = ovsdb_row_ref_at(w->db, port, "interfaces", 0);
	on = bridge_of(w->db, port);
	if (!on || strcmp(ovsdb_row_string(on, "name", ""), bridge))
		rc = move_port(w, o, port, on, bridge, bridge_row);
	/* A bridge's own port belongs to the bridge and is internal without being told. */
	if (!rc && !strcmp(o->name, bridge) && !net_setting_find(o, "type", NULL)) {
		unsigned flags = w->flags;
		w->flags |= NET_MERGE;
		rc = compare(w, &t, NET_PORT);
		w->flags = flags;
	} else if (!rc) {
		rc = compare(w, &t, NET_PORT);
	}
	if (!rc)
		take_ownership(w, port, "port", o->name);
	return rc;
}

static bool file_has_port(const struct net *n, const char *name)
{
	VEC_FOR_EACH (b, &n->bridges) {
		if (!strcmp(b->o.name, name))
			return true;
		VEC_FOR_EACH (p, &b->ports)
			if (!strcmp(p->name, name))
				return true;
	}
	return false;
}

static struct uuid add_bridge(struct walk *w, const struct net_bridge *b)
{
	const struct net_object local = {.name = b->o.name};
	bool has_local = false;
	struct uuid row = {0}, port;
	print_new(w, "bridge", &b->o, NULL);
	if (!w->txn)
		return row;
	row = ovsdb_client_txn_insert(w->txn, "Bridge");
	ovsdb_client_txn_set_string(w->txn, row, "Bridge", "name", b->o.name);
	write_owner(w, row, "Bridge", b->o.name);
	write_settings(w, &b->o, "Bridge", row);
	ovsdb_client_txn_add_ref(w->txn, w->root, "Open_vSwitch", "bridges", row);
	VEC_FOR_EACH (p, &b->ports)
		has_local |= !strcmp(p->name, b->o.name);
	if (!has_local) {
		port = insert_port(w, &local, "internal");
		ovsdb_client_txn_add_ref(w->txn, row, "Bridge", "ports", port);
	}
	return row;
}

static int walk_bridge(struct walk *w, const struct net_bridge *b)
{
	const struct ovsdb_row *row = find(w, "Bridge", b->o.name);
	struct target t = {.o = &b->o, .kind = "bridge", .owned = row, .rows = {row, NULL}};
	bool about_bridge = !b->ports.len;
	struct uuid u;
	int rc = 0;
	if (!row && (w->flags & NET_EXISTING || (w->flags & NET_CREATE && !about_bridge)))
		return net_err(w->net, b->o.where, w->e, ENOENT, "bridge %s: not found", b->o.name);
	if (row && w->flags & NET_CREATE && about_bridge)
		return net_err(w->net, b->o.where, w->e, EEXIST, "bridge %s: exists already",
			       b->o.name);
	if (row) {
		u = *ovsdb_row_uuid(row);
		/* An unowned bridge with nothing said about it only carries our ports. */
		if (mine(w, row) || b->o.settings.len)
			rc = compare(w, &t, NET_BRIDGE);
		if (!rc)
			take_ownership(w, row, "bridge", b->o.name);
	} else {
		u = add_bridge(w, b);
	}
	VEC_FOR_EACH (p, &b->ports)
		if (!rc)
			rc = walk_port(w, p, b->o.name, u);
	return rc;
}

static void remove_port(struct walk *w, const struct ovsdb_row *bridge,
			const struct ovsdb_row *port)
{
	str_printf(w->text, "- port %s on %s\n", ovsdb_row_string(port, "name", ""),
		   ovsdb_row_string(bridge, "name", ""));
	if (w->txn)
		ovsdb_client_txn_remove_ref(w->txn, *ovsdb_row_uuid(bridge), "Bridge", "ports",
					    *ovsdb_row_uuid(port));
}

static bool file_has_bridge(const struct net *n, const char *name)
{
	VEC_FOR_EACH (b, &n->bridges)
		if (!strcmp(b->o.name, name))
			return true;
	return false;
}

static bool only_ours(const struct walk *w, const struct ovsdb_row *bridge)
{
	for (size_t i = 0; i < ovsdb_row_n(bridge, "ports"); i++) {
		const struct ovsdb_row *p = ovsdb_row_ref_at(w->db, bridge, "ports", i);
		if (p && !mine(w, p))
			return false;
	}
	return true;
}

/* What this owner has made before and the file no longer has. */
static int remove_rest(struct walk *w)
{
	OVSDB_CLIENT_FOR_EACH (b, w->db, "Bridge") {
		const char *name = ovsdb_row_string(b, "name", "");
		bool gone = mine(w, b) && !file_has_bridge(w->net, name);
		if (gone && !only_ours(w, b))
			return err_set(w->e, EBUSY,
				       "bridge %s: it is not in the file but has ports of others; "
				       "--prune removes them",
				       name);
		for (size_t i = 0; i < ovsdb_row_n(b, "ports") && !gone; i++) {
			const struct ovsdb_row *p = ovsdb_row_ref_at(w->db, b, "ports", i);
			if (p && mine(w, p) &&
			    !file_has_port(w->net, ovsdb_row_string(p, "name", "")))
				remove_port(w, b, p);
		}
		if (!gone)
			continue;
		str_printf(w->text, "- bridge %s\n", name);
		if (w->txn)
			ovsdb_client_txn_remove_ref(w->txn, w->root, "Open_vSwitch", "bridges",
						    *ovsdb_row_uuid(b));
	}
	return 0;
}

int net_diff(const struct net *n, const struct ovsdb_client *db, unsigned flags, const char *owner,
	     struct ovsdb_client_txn *txn, struct str *text, struct err *e)
{
	const struct ovsdb_row *root = ovsdb_client_singleton(db, "Open_vSwitch");
	struct walk w = {n, db, flags, owner, txn, text, e, {0}};
	struct target t = {.o = &n->poll, .kind = "poll", .rows = {root, NULL}};
	int rc = 0;
	if (!root)
		return err_set(e, EAGAIN, "the database is not ready yet");
	w.root = *ovsdb_row_uuid(root);
	if (!(flags & NET_MERGE))
		rc = remove_rest(&w);
	if (!rc && n->has_poll)
		rc = check_cores(&w);
	if (!rc && n->has_poll)
		rc = compare(&w, &t, NET_POLL);
	VEC_FOR_EACH (b, &n->bridges)
		if (!rc)
			rc = walk_bridge(&w, b);
	return rc;
}

int net_delete(const struct ovsdb_client *db, enum net_scope scope, const char *name,
	       struct ovsdb_client_txn *txn, struct err *e)
{
	const struct ovsdb_row *root = ovsdb_client_singleton(db, "Open_vSwitch");
	const char *table = scope == NET_BRIDGE ? "Bridge" : "Port";
	const struct ovsdb_row *row = ovsdb_client_find(db, table, "name", name), *on;
	if (!row || !root)
		return err_set(e, ENOENT, "%s %s: not found",
			       scope == NET_BRIDGE ? "bridge" : "port", name);
	if (scope == NET_BRIDGE) {
		ovsdb_client_txn_remove_ref(txn, *ovsdb_row_uuid(root), "Open_vSwitch", "bridges",
					    *ovsdb_row_uuid(row));
		return 0;
	}
	on = bridge_of(db, row);
	if (on && !strcmp(ovsdb_row_string(on, "name", ""), name))
		return err_set(e, ENOTSUP, "port %s: it is the bridge's own; remove the bridge",
			       name);
	if (on)
		ovsdb_client_txn_remove_ref(txn, *ovsdb_row_uuid(on), "Bridge", "ports",
					    *ovsdb_row_uuid(row));
	return 0;
}

int net_snapshot(struct net *out, const struct ovsdb_client *db, struct err *e)
{
	static const char *const tables[] = {"Bridge", "Port"};
	struct str text = STR_INIT;
	int rc;
	net_export(db, &text);
	rc = net_parse(out, "", str_cstr(&text), text.len, true, e);
	str_free(&text);
	out->has_poll = true;
	for (size_t i = 0; i < SL_ARRAY_SIZE(tables) && !rc; i++)
		OVSDB_CLIENT_FOR_EACH (row, db, tables[i]) {
			const char *owner = owner_of(row);
			struct net_owner o = {tables[i], xstrdup(ovsdb_row_string(row, "name", "")),
					      owner ? xstrdup(owner) : NULL};
			vec_push(&out->owners, o);
		}
	return rc;
}
