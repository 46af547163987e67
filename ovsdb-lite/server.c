/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath/base/clock.h"
#include "datapath/base/log.h"
#include "ovsdb-lite/json_text.h"
#include "ovsdb-lite/server_priv.h"
#include "ovsdb-lite/unixctl.h"

LOG_MODULE(ovsdb_server);

static const char server_schema[] =
	"{\"name\":\"_Server\",\"version\":\"1.2.0\",\"cksum\":\"3009684573 744\",\"tables\":"
	"{\"Database\":{\"columns\":{"
	"\"name\":{\"type\":\"string\"},"
	"\"model\":{\"type\":{\"key\":{\"type\":\"string\",\"enum\":[\"set\",[\"clustered\","
	"\"relay\",\"standalone\"]]}}},"
	"\"connected\":{\"type\":\"boolean\"},"
	"\"leader\":{\"type\":\"boolean\"},"
	"\"schema\":{\"type\":{\"key\":\"string\",\"min\":0}},"
	"\"cid\":{\"type\":{\"key\":\"uuid\",\"min\":0}},"
	"\"sid\":{\"type\":{\"key\":\"uuid\",\"min\":0}},"
	"\"index\":{\"type\":{\"key\":\"integer\",\"min\":0}}}}}}";

/* --- deferred work and time ------------------------------------------------------------------- */

static void on_deferred(evutil_socket_t fd, short what, void *aux)
{
	struct ovsdb_server *s = aux;

	LIST_FOR_EACH_SAFE (c, struct session, node, &s->sessions)
		if (c->is_doomed)
			session_destroy(c);
	if (s->remotes_stale) {
		s->remotes_stale = false;
		remote_follow_databases(s);
	}
}

void server_defer(struct ovsdb_server *s)
{
	event_active(s->deferred, EV_TIMEOUT, 1);
}

/* What clients are about to hear of is in the files first. */
static void flush_logs(void *aux)
{
	struct ovsdb_server *s = aux;

	VEC_FOR_EACH (d, &s->dbs)
		if ((*d)->storage)
			ovsdb_log_flush(ovsdb_storage_log((*d)->storage));
}

static void on_tick(evutil_socket_t fd, short what, void *aux)
{
	struct ovsdb_server *s = aux;
	uint64_t now_ms = clock_mono_ms();

	LIST_FOR_EACH (c, struct session, node, &s->sessions)
		session_tick(c, now_ms);
}

/* --- databases -------------------------------------------------------------------------------- */

struct served_db *server_find_db(const struct ovsdb_server *s, const char *name)
{
	for (size_t i = 0; i < s->dbs.len; i++)
		if (!strcmp(s->dbs.at[i]->name, name))
			return s->dbs.at[i];
	return NULL;
}

bool ovsdb_server_has_db(const struct ovsdb_server *s, const char *name)
{
	return server_find_db(s, name) != NULL;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct served_db *const *)a)->name, (*(struct served_db *const *)b)->name);
}

static void set(struct ovsdb_txn *t, struct ovsdb_row *row, const char *column,
		struct ovsdb_datum *value)
{
	ovsdb_txn_set(t, row, ovsdb_table_schema_column(row->table->schema, column)->index, value);
}

static struct ovsdb_row *find_database_row(struct ovsdb_table *t, const char *name)
{
	int index = ovsdb_table_schema_column(t->schema, "name")->index;

	HMAP_FOR_EACH (row, struct ovsdb_row, node, &t->rows)
		if (!strcmp(row->fields[index]->atoms[0].string->s, name))
			return row;
	return NULL;
}

/* Keeps _Server.Database in line with the database; a closing one loses its row. */
void server_update_database_row(struct ovsdb_server *s, struct served_db *d)
{
	struct ovsdb_table *table = ovsdb_db_table(s->server_db->db, "Database");
	struct ovsdb_txn *t = ovsdb_txn_begin(s->server_db->db);
	struct ovsdb_row *row = find_database_row(table, d->name);
	struct str schema = STR_INIT;
	struct uuid uuid;
	bool changed;

	if (d->is_closing) {
		if (row)
			ovsdb_txn_delete(t, row);
	} else {
		if (!row) {
			uuid_generate(&uuid);
			row = ovsdb_txn_insert(t, table, &uuid);
		}
		ovsdb_schema_put_json(&schema, d->db->schema);
		set(t, row, "name", ovsdb_datum_from_string(d->name));
		set(t, row, "model", ovsdb_datum_from_string("standalone"));
		set(t, row, "connected", ovsdb_datum_from_bool(true));
		set(t, row, "leader", ovsdb_datum_from_bool(true));
		set(t, row, "schema", ovsdb_datum_from_string(str_cstr(&schema)));
		str_free(&schema);
	}
	ovsdb_error_free(txn_commit(s->server_db, t, NULL, NULL, &changed));
}

struct served_db *server_install_db(struct ovsdb_server *s, struct ovsdb_db *db,
				    struct ovsdb_storage *storage, const char *path)
{
	struct served_db *d = xzalloc(sizeof *d);

	d->server = s;
	d->name = xstrdup(db->schema->name);
	d->path = path ? xstrdup(path) : NULL;
	d->db = db;
	d->storage = storage;
	d->monitors.db = db;
	list_init(&d->waiting);
	history_init(&d->history);
	if (storage)
		d->syncer = syncer_create(s->base);
	vec_push(&s->dbs, d);
	qsort(s->dbs.at, s->dbs.len, sizeof *s->dbs.at, by_name);
	return d;
}

int ovsdb_server_open_db(struct ovsdb_server *s, const char *path, struct err *e)
{
	struct ovsdb_storage *storage;
	struct ovsdb_db *db;

	VEC_FOR_EACH (d, &s->dbs)
		if ((*d)->path && !strcmp((*d)->path, path))
			return err_set(e, EEXIST, "%s: already open", path);
	int rc = ovsdb_storage_open(&storage, &db, path, e);
	if (rc)
		return rc;
	if (server_find_db(s, db->schema->name)) {
		rc = err_set(e, EEXIST, "%s: duplicate database name: %s", path, db->schema->name);
		ovsdb_storage_close(storage);
		ovsdb_db_destroy(db);
		return rc;
	}
	struct served_db *d = server_install_db(s, db, storage, path);
	server_update_database_row(s, d);
	s->remotes_stale = true;
	server_defer(s);
	return 0;
}

int ovsdb_server_open_or_create_db(struct ovsdb_server *s, const char *path,
				   const struct ovsdb_schema *schema, struct err *e)
{
	int rc = 0;

	if (access(path, F_OK) < 0)
		rc = ovsdb_storage_create(path, schema, e);
	if (!rc)
		rc = ovsdb_server_open_db(s, path, e);
	if (rc)
		return rc;
	struct served_db *d = server_find_db(s, schema->name);
	if (!d || !d->path || strcmp(d->path, path))
		return err_set(e, EINVAL, "%s: holds another database than %s", path, schema->name);
	uint64_t have = ovsdb_schema_version_number(d->db->schema->version);
	uint64_t want = ovsdb_schema_version_number(schema->version);
	if (have >= want)
		return 0;
	log_info("%s: converting from schema version %s to %s", path, d->db->schema->version,
		 schema->version);
	return txn_convert_db(d, (struct ovsdb_schema *)schema, e);
}

static void db_destroy(struct served_db *d)
{
	monitor_db_gone(d);
	txn_db_gone(d);
	VEC_FOR_EACH (call, &d->compact_calls)
		unixctl_error(*call, "database was closed");
	vec_free(&d->compact_calls);
	syncer_destroy(d->syncer);
	ovsdb_storage_close(d->storage);
	history_free(&d->history);
	ovsdb_db_destroy(d->db);
	hmap_destroy(&d->monitors.specs);
	free(d->name);
	free(d->path);
	free(d);
}

int ovsdb_server_close_db(struct ovsdb_server *s, const char *name, struct err *e)
{
	struct served_db *d = server_find_db(s, name);

	if (!d)
		return err_set(e, ENOENT, "Failed to find the database.");
	if (d->is_reserved)
		return err_set(e, EPERM, "Cannot remove reserved database.");
	for (size_t i = 0; i < s->dbs.len; i++)
		if (s->dbs.at[i] == d) {
			vec_remove(&s->dbs, i);
			break;
		}
	d->is_closing = true;
	server_update_database_row(s, d);
	LIST_FOR_EACH (c, struct session, node, &s->sessions)
		if (!c->change_aware)
			session_doom(c, "a database was removed");
	db_destroy(d);
	s->remotes_stale = true;
	server_defer(s);
	return 0;
}

static void on_compacted(int rc, const char *error, void *aux)
{
	struct served_db *d = aux;

	VEC_FOR_EACH (call, &d->compact_calls) {
		if (rc)
			unixctl_error(*call, error);
		else
			unixctl_reply(*call, "");
	}
	vec_clear(&d->compact_calls);
}

int ovsdb_server_compact(struct ovsdb_server *s, const char *name, struct err *e)
{
	int rc = 0;

	VEC_FOR_EACH (d, &s->dbs)
		if ((*d)->storage && (!name || !strcmp((*d)->name, name))) {
			int one = ovsdb_storage_compact((*d)->storage, (*d)->db, s->base,
							on_compacted, *d, e);
			rc = rc ? rc : one;
		}
	return rc;
}

/* --- life ------------------------------------------------------------------------------------- */

static void set_limits(struct ovsdb_server_limits *l, const struct ovsdb_server_limits *given)
{
	*l = *given;
	l->max_message_bytes = l->max_message_bytes ? l->max_message_bytes : 64u << 20;
	l->max_backlog_bytes = l->max_backlog_bytes ? l->max_backlog_bytes : 64u << 20;
	l->max_sessions = l->max_sessions ? l->max_sessions : 1024;
	l->max_depth = l->max_depth ? l->max_depth : 1000;
	l->max_monitors = l->max_monitors ? l->max_monitors : 256;
	l->max_waiting = l->max_waiting ? l->max_waiting : 256;
}

static void install_server_db(struct ovsdb_server *s)
{
	struct ovsdb_schema *schema = NULL;
	json_t *json = json_loads(server_schema, 0, NULL);

	ovsdb_error_free(ovsdb_schema_parse(&schema, json));
	json_decref(json);
	s->server_db = server_install_db(s, ovsdb_db_create(schema), NULL, NULL);
	s->server_db->is_reserved = true;
	ovsdb_schema_unref(schema);
	server_update_database_row(s, s->server_db);
}

struct ovsdb_server *ovsdb_server_create(struct event_base *base,
					 const struct ovsdb_server_limits *limits)
{
	struct ovsdb_server *s = xzalloc(sizeof *s);
	struct timeval second = {1, 0};

	s->base = base;
	set_limits(&s->limits, limits);
	stream_hub_init(&s->hub, base);
	s->hub.before_write = flush_logs;
	s->hub.aux = s;
	list_init(&s->sessions);
	list_init(&s->remotes);
	uuid_generate(&s->id);
	s->deferred = event_new(base, -1, 0, on_deferred, s);
	s->tick = event_new(base, -1, EV_PERSIST, on_tick, s);
	event_add(s->tick, &second);
	install_server_db(s);
	return s;
}

void ovsdb_server_watch(struct ovsdb_server *s, const char *db, const char *table,
			ovsdb_server_watch_fn fn, void *aux)
{
	free(s->watch.db);
	free(s->watch.table);
	s->watch.db = fn ? xstrdup(db) : NULL;
	s->watch.table = fn ? xstrdup(table) : NULL;
	s->watch.fn = fn;
	s->watch.aux = aux;
}

unsigned ovsdb_server_n_sessions(const struct ovsdb_server *s)
{
	return s->n_sessions;
}

void ovsdb_server_destroy(struct ovsdb_server *s)
{
	if (!s)
		return;
	LIST_FOR_EACH (c, struct session, node, &s->sessions)
		stream_flush(c->stream);
	LIST_FOR_EACH_SAFE (c, struct session, node, &s->sessions)
		session_destroy(c);
	remote_destroy_all(s);
	VEC_FOR_EACH (d, &s->dbs)
		db_destroy(*d);
	vec_free(&s->dbs);
	hmap_destroy(&s->locks);
	event_free(s->tick);
	event_free(s->deferred);
	stream_hub_destroy(&s->hub);
	tls_config_free(&s->tls);
	free(s->watch.db);
	free(s->watch.table);
	free(s);
}

void ovsdb_server_attach(struct ovsdb_server *s, int fd, const char *name)
{
	session_create(s, fd, NULL, name, NULL, 0);
}

void ovsdb_server_set_tls(struct ovsdb_server *s, const char *private_key, const char *certificate,
			  const char *ca_cert)
{
	free(s->tls.private_key);
	free(s->tls.certificate);
	free(s->tls.ca_cert);
	s->tls.private_key = xstrdup(private_key ? private_key : "");
	s->tls.certificate = xstrdup(certificate ? certificate : "");
	s->tls.ca_cert = xstrdup(ca_cert ? ca_cert : "");
	s->remotes_stale = true;
	server_defer(s);
}

int ovsdb_server_restrict_tls(struct ovsdb_server *s, const char *protocols, const char *ciphers,
			      bool bootstrap, struct err *e)
{
	s->tls.protocols = protocols;
	s->tls.ciphers = ciphers;
	s->tls.bootstrap = bootstrap;
	return tls_config_check(&s->tls, e);
}
