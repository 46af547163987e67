/* SPDX-License-Identifier: BSD-3-Clause */
/* ovsdb-server/… and memory/show on the control socket. */
#include <errno.h>
#include <string.h>

#include "ovsdb-lite/server_priv.h"
#include "ovsdb-lite/unixctl.h"

static void reply_rc(struct unixctl_call *call, int rc, const struct err *e)
{
	if (rc)
		unixctl_error(call, e->text);
	else
		unixctl_reply(call, "");
}

static void list_dbs(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct ovsdb_server *s = aux;
	struct str out = STR_INIT;

	VEC_FOR_EACH (d, &s->dbs)
		str_printf(&out, "%s\n", (*d)->name);
	unixctl_reply(call, str_cstr(&out));
	str_free(&out);
}

/* Answers when the compaction is done. */
static void compact(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct ovsdb_server *s = aux;
	const char *name = argc > 1 ? argv[1] : NULL;
	struct served_db *last = NULL;
	struct err e = {0};

	VEC_FOR_EACH (d, &s->dbs) {
		if (name && strcmp(name, (*d)->name))
			continue;
		if ((*d)->storage && (!last || name))
			last = *d;
	}
	if (name && !server_find_db(s, name)) {
		unixctl_error(call, "no database by that name");
		return;
	}
	if (!last) {
		unixctl_reply(call, "");
		return;
	}
	int rc = ovsdb_server_compact(s, name, &e);
	if (rc && rc != -EBUSY) {
		unixctl_error(call, e.text);
		return;
	}
	vec_push(&last->compact_calls, call);
}

static void add_remote(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct err e = {0};

	reply_rc(call, ovsdb_server_add_remote(aux, argv[1], &e), &e);
}

static void remove_remote(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct err e = {0};

	reply_rc(call, ovsdb_server_remove_remote(aux, argv[1], &e), &e);
}

static void list_remotes(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct str out = STR_INIT;

	ovsdb_server_list_remotes(aux, &out);
	unixctl_reply(call, str_cstr(&out));
	str_free(&out);
}

static void sync_status(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	unixctl_reply(call, "state: active\n");
}

static void add_db(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct err e = {0};

	reply_rc(call, ovsdb_server_open_db(aux, argv[1], &e), &e);
}

static void remove_db(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct err e = {0};

	reply_rc(call, ovsdb_server_close_db(aux, argv[1], &e), &e);
}

static void storage_status(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	if (server_find_db(aux, argv[1]))
		unixctl_reply(call, "status: ok");
	else
		unixctl_error(call, "Failed to find the database.");
}

static void reconnect(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct ovsdb_server *s = aux;

	LIST_FOR_EACH (c, struct session, node, &s->sessions)
		session_doom(c, "asked to reconnect");
	unixctl_reply(call, "");
}

static void memory_show(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct ovsdb_server *s = aux;
	struct str out = STR_INIT;
	size_t rows = 0, monitors = 0, backlog = 0, history = 0;

	VEC_FOR_EACH (d, &s->dbs) {
		rows += ovsdb_db_n_rows((*d)->db);
		history += (*d)->history.n_rows;
	}
	LIST_FOR_EACH (c, struct session, node, &s->sessions) {
		monitors += c->monitors.count;
		backlog += stream_backlog(c->stream);
	}
	str_printf(&out, "backlog:%zu history-rows:%zu monitors:%zu rows:%zu sessions:%u\n",
		   backlog, history, monitors, rows, s->n_sessions);
	unixctl_reply(call, str_cstr(&out));
	str_free(&out);
}

void ovsdb_server_register_commands(struct ovsdb_server *s, struct unixctl *ctl)
{
	static const struct {
		const char *name, *usage;
		int min, max;
		unixctl_handler fn;
	} commands[] = {
		{"ovsdb-server/list-dbs", "", 0, 0, list_dbs},
		{"ovsdb-server/compact", "[DB]", 0, 1, compact},
		{"ovsdb-server/add-remote", "REMOTE", 1, 1, add_remote},
		{"ovsdb-server/remove-remote", "REMOTE", 1, 1, remove_remote},
		{"ovsdb-server/list-remotes", "", 0, 0, list_remotes},
		{"ovsdb-server/sync-status", "", 0, 0, sync_status},
		{"ovsdb-server/add-db", "DB", 1, 1, add_db},
		{"ovsdb-server/remove-db", "DB", 1, 1, remove_db},
		{"ovsdb-server/get-db-storage-status", "DB", 1, 1, storage_status},
		{"ovsdb-server/reconnect", "", 0, 0, reconnect},
		{"memory/show", "", 0, 0, memory_show},
	};

	for (size_t i = 0; i < SL_ARRAY_SIZE(commands); i++)
		unixctl_register(ctl, commands[i].name, commands[i].usage, commands[i].min,
				 commands[i].max, commands[i].fn, s);
}
