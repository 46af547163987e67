/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands behind `sluice apply`, `export` and the port and bridge commands: one transaction on
 * the database each, answered when the datapath has tried it (cur_cfg has arrived). When a port
 * that was well, or is new, has an error then, the change is taken back as a whole, and the error
 * is the answer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/sluiced.h"
#include "control/state/knobs.h"
#include "control/state/net.h"
#include "ovsdb-lite/client.h"
#include "ovsdb-lite/unixctl.h"

struct waiter {
	struct list link; /* in sluiced.waiters, once committed */
	struct sluiced *d;
	struct unixctl_call *call;
	struct str text;   /* the answer when all is well */
	struct str error;  /* the answer when the change has been taken back */
	struct net asked;  /* whose ports' errors matter */
	struct net before; /* what to go back to */
	bool can_go_back;
	int64_t cfg;
};

static void answer(struct waiter *w, const char *error)
{
	if (error)
		unixctl_error(w->call, error);
	else
		unixctl_reply(w->call, str_cstr(&w->text));
	net_free(&w->asked);
	net_free(&w->before);
	str_free(&w->text);
	str_free(&w->error);
	free(w);
}

static void commit(struct waiter *w, struct ovsdb_client_txn *t, const char *comment);

/* What is wrong with a port that was asked for. Half of a patch pair is fine: the other half may
 * come with the next command, and until then its row says what is missing. */
static const char *error_of(struct sluiced *d, const char *port)
{
	const struct port_state *st = engine_port(d->engine, port);
	const struct ovsdb_row *row = ovsdb_client_find(d->db, "Interface", "name", port);

	if (st && !st->error && st->peer_error)
		return "";
	return row ? ovsdb_row_string(row, "error", "") : "";
}

static void note_error(const struct waiter *w, const struct net_object *o, struct str *errors)
{
	const char *error = error_of(w->d, o->name);
	struct err e = {0};
	if (!error[0])
		return;
	net_err(&w->asked, o->where, &e, EIO, "%s", error);
	str_printf(errors, "%s%s", errors->len ? "\n" : "", e.text);
}

/* Writes what was before. False: it stays as it is, because somebody has changed more meanwhile, or
 * the difference cannot be said. */
static bool go_back(struct waiter *w)
{
	const struct ovsdb_row *root = ovsdb_client_singleton(w->d->db, "Open_vSwitch");
	struct ovsdb_client_txn *t;
	struct str changes = STR_INIT;
	struct err e = {0};
	bool good;
	if (!w->can_go_back || !root || ovsdb_row_int(root, "next_cfg", 0) != w->cfg)
		return false;
	t = ovsdb_client_txn_create(w->d->db);
	good = !net_diff(&w->before, w->d->db, NET_RESTORE, "", t, &changes, &e);
	str_free(&changes);
	w->can_go_back = false;
	if (good)
		commit(w, t, "sluice apply: taken back");
	else
		ovsdb_client_txn_abort(t);
	return good;
}

static void check_ports(struct waiter *w)
{
	struct str errors = STR_INIT;
	VEC_FOR_EACH (b, &w->asked.bridges) {
		note_error(w, &b->o, &errors);
		VEC_FOR_EACH (p, &b->ports)
			note_error(w, p, &errors);
	}
	if (w->error.len) {
		answer(w, str_cstr(&w->error));
	} else if (!errors.len) {
		answer(w, NULL);
	} else {
		str_puts(&w->error, str_cstr(&errors));
		if (!go_back(w))
			answer(w, str_cstr(&w->error));
	}
	str_free(&errors);
}

void commands_net_check(struct sluiced *d)
{
	const struct ovsdb_row *root = ovsdb_client_singleton(d->db, "Open_vSwitch");
	LIST_FOR_EACH_SAFE (w, struct waiter, link, &d->waiters)
		if (root && ovsdb_row_int(root, "cur_cfg", 0) >= w->cfg) {
			list_remove(&w->link);
			check_ports(w);
		}
}

void commands_net_abort(struct sluiced *d)
{
	LIST_FOR_EACH_SAFE (w, struct waiter, link, &d->waiters) {
		list_remove(&w->link);
		answer(w, "sluiced is stopping");
	}
}

static void committed(struct ovsdb_client *c, const struct ovsdb_client_txn_result *r, void *aux)
{
	struct waiter *w = aux;
	switch (r->status) {
	case OVSDB_TXN_SUCCESS:
		w->cfg = r->increment;
		list_push_back(&w->d->waiters, &w->link);
		commands_net_check(w->d);
		break;
	case OVSDB_TXN_UNCHANGED:
		answer(w, w->error.len ? str_cstr(&w->error) : NULL);
		break;
	case OVSDB_TXN_TRY_AGAIN:
		answer(w, "the database was changed by someone else meanwhile: try again");
		break;
	case OVSDB_TXN_NOT_LOCKED:
		answer(w, "another daemon has the database's lock");
		break;
	case OVSDB_TXN_DISCONNECTED:
		answer(w, "the connection to the database was lost");
		break;
	case OVSDB_TXN_ERROR:
		answer(w, r->error);
		break;
	}
}

/* NULL after an error reply. */
static struct ovsdb_client_txn *begin(struct sluiced *d, struct unixctl_call *call)
{
	if (!ovsdb_client_is_connected(d->db) || !ovsdb_client_singleton(d->db, "Open_vSwitch")) {
		unixctl_error(call, "the database is not connected");
		return NULL;
	}
	return ovsdb_client_txn_create(d->db);
}

static struct waiter *waiter_new(struct sluiced *d, struct unixctl_call *call)
{
	struct waiter *w = xzalloc(sizeof *w);
	list_init(&w->link);
	w->d = d;
	w->call = call;
	return w;
}

static void commit(struct waiter *w, struct ovsdb_client_txn *t, const char *comment)
{
	const struct ovsdb_row *root = ovsdb_client_singleton(w->d->db, "Open_vSwitch");
	ovsdb_client_txn_increment(t, *ovsdb_row_uuid(root), "Open_vSwitch", "next_cfg");
	ovsdb_client_txn_comment(t, comment);
	ovsdb_client_txn_commit(t, committed, w);
}

/* ---- apply ---- */

struct request {
	unsigned flags; /* NET_* */
	bool dry_run, whole;
	const char *owner;
};

static bool read_flags(const char *text, struct request *r)
{
	static const struct {
		const char *word;
		unsigned flag;
	} words[] = {{"merge", NET_MERGE},
		     {"prune", NET_PRUNE},
		     {"create", NET_CREATE},
		     {"existing", NET_EXISTING}};
	char *copy = xstrdup(text), *save = NULL;
	bool good = true;
	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		bool known = !strcmp(w, "dry-run") || !strcmp(w, "whole");
		r->dry_run |= !strcmp(w, "dry-run");
		r->whole |= !strcmp(w, "whole");
		for (size_t i = 0; i < SL_ARRAY_SIZE(words); i++)
			if (!strcmp(w, words[i].word)) {
				r->flags |= words[i].flag;
				known = true;
			}
		good &= known;
	}
	free(copy);
	r->owner = r->flags & NET_MERGE ? "sluice" : "net.yaml";
	return good;
}

/* A port that has an error already is no reason to take anything back: its device went away, and
 * the rest must be changeable all the same. Without a datapath every port has one. */
static bool may_go_back(const struct waiter *w)
{
	if (!engine_client(w->d->engine))
		return false;
	VEC_FOR_EACH (b, &w->asked.bridges) {
		if (error_of(w->d, b->o.name)[0])
			return false;
		VEC_FOR_EACH (p, &b->ports)
			if (error_of(w->d, p->name)[0])
				return false;
	}
	return true;
}

/* Empties *n when it keeps it. */
static void run_apply(struct sluiced *d, struct unixctl_call *call, const struct request *r,
		      struct net *n)
{
	struct ovsdb_client_txn *t = begin(d, call);
	struct str text = STR_INIT;
	struct err e = {0};
	struct waiter *w;
	if (!t)
		return;
	if (net_diff(n, d->db, r->flags, r->owner, t, &text, &e)) {
		unixctl_error(call, e.text);
	} else if (r->dry_run || !text.len) {
		unixctl_reply(call, str_cstr(&text));
	} else {
		w = waiter_new(d, call);
		w->text = text;
		text = (struct str)STR_INIT;
		w->asked = *n;
		*n = (struct net){0};
		w->can_go_back = may_go_back(w) && !net_snapshot(&w->before, d->db, &e);
		commit(w, t, "sluice apply");
		return;
	}
	ovsdb_client_txn_abort(t);
	str_free(&text);
}

/* net/apply FLAGS FILE TEXT */
static void apply(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	struct request r = {0};
	struct net n = {0};
	struct err e = {0};
	if (!read_flags(argv[1], &r)) {
		unixctl_error(call, "net/apply: unknown flag");
		return;
	}
	if (d->options->dummy == DUMMY_SYSTEM || d->options->dummy == DUMMY_OVERRIDE)
		r.flags |= NET_NO_DEVICES;
	if (net_parse(&n, argv[2], argv[3], strlen(argv[3]), r.whole, &e))
		unixctl_error(call, e.text);
	else
		run_apply(d, call, &r, &n);
	net_free(&n);
}

static void export(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	struct str text = STR_INIT;
	net_export(d->db, &text);
	unixctl_reply(call, str_cstr(&text));
	str_free(&text);
}

/* net/delete bridge|port NAME */
static void delete (struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	enum net_scope scope = !strcmp(argv[1], "bridge") ? NET_BRIDGE : NET_PORT;
	struct ovsdb_client_txn *t = begin(d, call);
	struct err e = {0};
	if (!t)
		return;
	if (net_delete(d->db, scope, argv[2], t, &e)) {
		unixctl_error(call, e.text);
		ovsdb_client_txn_abort(t);
		return;
	}
	commit(waiter_new(d, call), t, "sluice delete");
}

static void port_to_bridge(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	const struct config_port *p;
	char *error;
	OVSDB_CLIENT_FOR_EACH (b, d->db, "Bridge")
		for (size_t i = 0; i < ovsdb_row_n(b, "ports"); i++) {
			const struct ovsdb_row *port = ovsdb_row_ref_at(d->db, b, "ports", i);
			if (port && !strcmp(ovsdb_row_string(port, "name", ""), argv[1])) {
				unixctl_reply(call, ovsdb_row_string(b, "name", ""));
				return;
			}
		}
	p = config_find_port(engine_desired(d->engine), argv[1]);
	if (p) {
		unixctl_reply(call, p->bridge);
		return;
	}
	error = xasprintf("port %s: not found", argv[1]);
	unixctl_error(call, error);
	free(error);
}

/* net/attached: "port namespace interface" per line, of what `sluice attach` has made. */
static void attached(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	struct str text = STR_INIT;
	OVSDB_CLIENT_FOR_EACH (row, d->db, "Interface") {
		const char *ns = ovsdb_row_map(row, "external_ids", "sluice-attached", NULL);
		if (ns)
			str_printf(&text, "%s %s %s\n", ovsdb_row_string(row, "name", ""), ns,
				   ovsdb_row_map(row, "external_ids", "sluice-attached-as", ""));
	}
	unixctl_reply(call, str_cstr(&text));
	str_free(&text);
}

/* ---- static MAC entries ---- */

char *commands_net_static_macs(const char *old, const char *entry, bool add)
{
	struct str out = STR_INIT;
	char *copy = xstrdup(old), *save = NULL;
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		if (strcmp(w, entry))
			str_printf(&out, "%s%s", out.len ? " " : "", w);
	if (add)
		str_printf(&out, "%s%s", out.len ? " " : "", entry);
	free(copy);
	return str_steal(&out);
}

void commands_net_set_mac(struct sluiced *d, struct unixctl_call *call, const char *port,
			  const char *vlan, const char *mac, bool add)
{
	const struct ovsdb_row *row = ovsdb_client_find(d->db, "Port", "name", port);
	const char *key = knobs[KNOB_SLUICE_STATIC_MACS].key;
	struct ovsdb_client_txn *t;
	uint64_t number;
	uint8_t m[6];
	char *entry, *list;
	if (!row || !parse_u64(vlan, 10, 4095, &number) || !knob_parse_mac(mac, m)) {
		entry = !row ? xasprintf("port %s: not found", port)
			     : xasprintf("\"%s\" \"%s\": a VLAN (0 to 4095) and a hardware address "
					 "are wanted",
					 vlan, mac);
		unixctl_error(call, entry);
		free(entry);
		return;
	}
	t = begin(d, call);
	if (!t)
		return;
	entry = xasprintf("%u/%02x:%02x:%02x:%02x:%02x:%02x", (unsigned)number, m[0], m[1], m[2],
			  m[3], m[4], m[5]);
	list = commands_net_static_macs(ovsdb_row_map(row, "other_config", key, ""), entry, add);
	if (list[0])
		ovsdb_client_txn_map_put(t, *ovsdb_row_uuid(row), "Port", "other_config", key,
					 list);
	else
		ovsdb_client_txn_map_delete(t, *ovsdb_row_uuid(row), "Port", "other_config", key);
	free(list);
	free(entry);
	commit(waiter_new(d, call), t, "static MAC entry");
}

/* net/mac-add PORT VLAN MAC */
static void mac_add(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	commands_net_set_mac(aux, call, argv[1], argv[2], argv[3], true);
}

void commands_net_register(struct sluiced *d, struct unixctl *ctl)
{
	unixctl_register(ctl, "net/apply", "flags file text", 3, 3, apply, d);
	unixctl_register(ctl, "net/export", "", 0, 0, export, d);
	unixctl_register(ctl, "net/delete", "bridge|port name", 2, 2, delete, d);
	unixctl_register(ctl, "net/port-to-bridge", "port", 1, 1, port_to_bridge, d);
	unixctl_register(ctl, "net/attached", "", 0, 0, attached, d);
	unixctl_register(ctl, "net/mac-add", "port vlan mac", 3, 3, mac_add, d);
}
