/* SPDX-License-Identifier: BSD-3-Clause */
/* Where sessions come from: listening sockets, outgoing connections, and columns of a database that
 * name either. A remote that cannot be opened is tried again with back-off; it never stops the
 * others. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath/base/log.h"
#include "ovsdb-lite/address.h"
#include "ovsdb-lite/server_priv.h"

LOG_MODULE(ovsdb_remote);

enum { PROBE_MS = 5000, MIN_BACKOFF_MS = 1000, MAX_BACKOFF_MS = 8000, ACCEPT_BURST = 16 };

struct remote {
	struct list node;
	struct ovsdb_server *server;
	char *text;
	bool is_db;         /* "db:DB,TABLE,COLUMN": makes other remotes, opens nothing */
	struct remote *via; /* the db: remote this one comes from; NULL: added by hand */
	struct uuid row;    /* … and the row whose target it is (zero: a string column) */
	bool wanted;        /* mark while following databases */
	struct address address;
	uint64_t probe_ms, max_backoff_ms, backoff_ms;
	int fd;              /* listening, or connecting; -1 */
	struct event *event; /* on fd */
	struct event *timer; /* next attempt */
	unsigned n_sessions;
	/* of a db: remote: the tables it looks at, as of the last look */
	const struct ovsdb_db *watched_db;
	const struct ovsdb_table *watched[2];
};

static void start(struct remote *r);

/* --- TLS -------------------------------------------------------------------------------------- */

/* A path, or the contents of a column of the first row: "db:DB,TABLE,COLUMN". */
static const char *resolve(const struct ovsdb_server *s, const char *spec)
{
	char db[64], table[64], column[64];
	const struct served_db *d;

	if (!spec)
		return "";
	if (strncmp(spec, "db:", 3))
		return spec;
	if (sscanf(spec, "db:%63[^,],%63[^,],%63s", db, table, column) != 3 ||
	    !(d = server_find_db(s, db)))
		return "";
	struct ovsdb_table *t = ovsdb_db_table(d->db, table);
	const struct ovsdb_column *c = t ? ovsdb_table_schema_column(t->schema, column) : NULL;
	const struct hmap_node *first = t ? hmap_first(&t->rows) : NULL;
	if (!c || !first)
		return "";
	const struct ovsdb_datum *v =
		ovsdb_row_field(SL_CONTAINER_OF(first, struct ovsdb_row, node), c->index);
	return v->key_type == OVSDB_STRING && v->n ? v->atoms[0].string->s : "";
}

static int load_tls(struct ovsdb_server *s, struct err *e)
{
	return tls_config_load(&s->tls, resolve(s, s->tls.private_key),
			       resolve(s, s->tls.certificate), resolve(s, s->tls.ca_cert), e);
}

/* --- opening ---------------------------------------------------------------------------------- */

static void close_fd(struct remote *r)
{
	if (r->event)
		event_free(r->event);
	r->event = NULL;
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

static void retry_later(struct remote *r, const char *why)
{
	r->backoff_ms = r->backoff_ms ? SL_MIN(r->backoff_ms * 2, r->max_backoff_ms)
				      : SL_MIN((uint64_t)MIN_BACKOFF_MS, r->max_backoff_ms);
	struct timeval tv = {(time_t)(r->backoff_ms / 1000),
			     (suseconds_t)(r->backoff_ms % 1000 * 1000)};

	LOG_LIMIT(log_warn, 6, "%s: %s; next attempt in %llu ms", r->text, why,
		  (unsigned long long)r->backoff_ms);
	event_add(r->timer, &tv);
}

static void begin_session(struct remote *r, int fd)
{
	struct ovsdb_server *s = r->server;
	struct err e = {0};
	SSL *ssl = NULL;

	if (s->n_sessions >= s->limits.max_sessions) {
		LOG_LIMIT(log_warn, 6, "%s: refused: %u sessions are open", r->text, s->n_sessions);
		close(fd);
		return;
	}
	if (r->address.tls) {
		if (load_tls(s, &e) < 0 || !(ssl = tls_session(&s->tls, r->address.passive))) {
			LOG_LIMIT(log_err, 6, "%s: %s", r->text, e.text);
			close(fd);
			return;
		}
	}
	r->n_sessions++;
	session_create(s, fd, ssl,
		       address_is_unix(&r->address) ? "unix"
		       : r->address.tls             ? "ssl"
						    : "tcp",
		       r, r->probe_ms);
	if (r->via) {
		s->remotes_stale = true; /* is_connected changes */
		server_defer(s);
	}
}

static void on_accept(evutil_socket_t fd, short what, void *aux)
{
	struct remote *r = aux;
	int on = 1;

	for (int i = 0; i < ACCEPT_BURST; i++) {
		int peer = accept4(r->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (peer < 0) {
			if (errno == EMFILE || errno == ENFILE)
				LOG_LIMIT(log_warn, 6, "%s: accept: %s", r->text, strerror(errno));
			return;
		}
		if (!address_is_unix(&r->address))
			setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		begin_session(r, peer);
	}
}

static void on_connected(evutil_socket_t fd, short what, void *aux)
{
	struct remote *r = aux;
	int error = 0, peer = r->fd;
	socklen_t len = sizeof error;

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		close_fd(r);
		retry_later(r, strerror(error));
		return;
	}
	r->fd = -1;
	close_fd(r);
	r->backoff_ms = 0;
	begin_session(r, peer);
}

static int open_remote(struct remote *r, struct err *e)
{
	int rc = r->address.tls ? load_tls(r->server, e) : 0;

	if (rc)
		return rc;
	r->fd = r->address.passive ? address_listen(&r->address, e)
				   : address_connect(&r->address, e);
	if (r->fd < 0)
		return r->fd;
	if (r->address.passive)
		r->event = event_new(r->server->base, r->fd, EV_READ | EV_PERSIST, on_accept, r);
	else
		r->event = event_new(r->server->base, r->fd, EV_WRITE, on_connected, r);
	event_add(r->event, NULL);
	return 0;
}

static void start(struct remote *r)
{
	struct err e = {0};

	if (r->fd < 0 && !r->is_db && open_remote(r, &e) < 0)
		retry_later(r, e.text);
}

static void on_timer(evutil_socket_t fd, short what, void *aux)
{
	start(aux);
}

/* --- adding and removing ---------------------------------------------------------------------- */

static struct remote *find(const struct ovsdb_server *s, const char *text, const struct remote *via)
{
	LIST_FOR_EACH (r, struct remote, node, &s->remotes)
		if (!strcmp(r->text, text) && r->via == via)
			return r;
	return NULL;
}

static struct remote *create(struct ovsdb_server *s, const char *text, struct remote *via)
{
	struct remote *r = xzalloc(sizeof *r);

	r->server = s;
	r->text = xstrdup(text);
	r->via = via;
	r->fd = -1;
	r->max_backoff_ms = MAX_BACKOFF_MS;
	r->timer = event_new(s->base, -1, 0, on_timer, r);
	list_push_back(&s->remotes, &r->node);
	return r;
}

static void destroy(struct remote *r)
{
	struct ovsdb_server *s = r->server;

	LIST_FOR_EACH (c, struct session, node, &s->sessions)
		if (c->remote == r) {
			c->remote = NULL;
			session_doom(c, "remote was removed");
		}
	if (r->fd >= 0 && r->address.passive && address_is_unix(&r->address))
		unlink(((struct sockaddr_un *)&r->address.sa)->sun_path);
	close_fd(r);
	event_free(r->timer);
	list_remove(&r->node);
	free(r->text);
	free(r);
}

/* A db: remote must name what is there when it is added; later the database may come and go. */
static int check_column(const struct ovsdb_server *s, const char *text, struct err *e)
{
	char db[64], table[64], column[64];

	if (sscanf(text, "db:%63[^,],%63[^,],%63s", db, table, column) != 3)
		return err_set(e, EINVAL, "\"%s\": invalid syntax", text);
	const struct served_db *d = server_find_db(s, db);
	if (!d)
		return err_set(e, ENOENT, "\"%s\": no database named %s", text, db);
	const struct ovsdb_table *t = ovsdb_db_table(d->db, table);
	if (!t)
		return err_set(e, ENOENT, "\"%s\": no table named %s", text, table);
	if (!ovsdb_table_schema_column(t->schema, column))
		return err_set(e, ENOENT, "\"%s\": table \"%s\" has no column \"%s\"", text, table,
			       column);
	return 0;
}

int ovsdb_server_add_remote(struct ovsdb_server *s, const char *text, struct err *e)
{
	struct address a;
	bool is_db = !strncmp(text, "db:", 3);

	if (find(s, text, NULL))
		return 0;
	int rc = is_db ? check_column(s, text, e) : address_parse(&a, text, e);
	if (rc)
		return rc;
	struct remote *r = create(s, text, NULL);
	r->is_db = is_db;
	if (is_db) {
		remote_follow_databases(s);
		return 0;
	}
	r->address = a;
	r->probe_ms = address_is_unix(&a) ? 0 : PROBE_MS;
	if (!a.passive) {
		start(r);
		return 0;
	}
	rc = open_remote(r, e);
	if (rc) {
		err_prefix(e, "%s", text);
		destroy(r);
	}
	return rc;
}

int ovsdb_server_remove_remote(struct ovsdb_server *s, const char *text, struct err *e)
{
	struct remote *r = find(s, text, NULL);

	if (!r)
		return err_set(e, ENOENT, "no such remote");
	LIST_FOR_EACH_SAFE (child, struct remote, node, &s->remotes)
		if (child->via == r)
			destroy(child);
	destroy(r);
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void ovsdb_server_list_remotes(const struct ovsdb_server *s, struct str *out)
{
	VEC(char *) all = {0};

	LIST_FOR_EACH (r, struct remote, node, &s->remotes)
		if (!r->via)
			vec_push(&all, r->text);
	if (all.len)
		qsort(all.at, all.len, sizeof *all.at, by_text);
	VEC_FOR_EACH (text, &all)
		str_printf(out, "%s\n", *text);
	vec_free(&all);
}

void remote_destroy_all(struct ovsdb_server *s)
{
	LIST_FOR_EACH_SAFE (r, struct remote, node, &s->remotes)
		destroy(r);
}

void remote_session_gone(struct session *c)
{
	struct remote *r = c->remote;

	if (!r)
		return;
	r->n_sessions--;
	if (!r->address.passive)
		retry_later(r, "connection lost");
	if (r->via) {
		r->server->remotes_stale = true;
		server_defer(r->server);
	}
}

/* --- remotes named by a database -------------------------------------------------------------- */

/* Only the tables that name remotes matter: most commits touch neither. */
bool remote_is_affected(const struct ovsdb_server *s, const struct served_db *d,
			const struct ovsdb_txn *t)
{
	LIST_FOR_EACH (r, struct remote, node, &s->remotes) {
		if (!r->is_db || r->watched_db != d->db)
			continue;
		VEC_FOR_EACH (row, &t->rows)
			if ((*row)->row->table == r->watched[0] ||
			    (*row)->row->table == r->watched[1])
				return true;
	}
	return false;
}

static int64_t int_column(const struct ovsdb_row *row, const char *name, int64_t dflt)
{
	const struct ovsdb_column *c = ovsdb_table_schema_column(row->table->schema, name);

	if (!c || c->type.key.type != OVSDB_INTEGER || !row->fields[c->index]->n)
		return dflt;
	return row->fields[c->index]->atoms[0].integer;
}

static void want(struct remote *db_remote, const char *target, const struct ovsdb_row *row)
{
	struct ovsdb_server *s = db_remote->server;
	struct remote *r = find(s, target, db_remote);
	struct err e = {0};
	struct address a;

	if (address_parse(&a, target, &e) < 0) {
		LOG_LIMIT(log_warn, 6, "%s: %s", db_remote->text, e.text);
		return;
	}
	bool fresh = !r;
	if (fresh) {
		r = create(s, target, db_remote);
		r->address = a;
	}
	r->wanted = true;
	r->row = row ? *ovsdb_row_id(row) : (struct uuid){0, 0};
	r->probe_ms = row && !address_is_unix(&a)
			      ? (uint64_t)SL_MAX(int_column(row, "inactivity_probe", PROBE_MS), 0)
		      : address_is_unix(&a) ? 0
					    : PROBE_MS;
	r->max_backoff_ms =
		row ? (uint64_t)SL_MAX(int_column(row, "max_backoff", MAX_BACKOFF_MS), 1000)
		    : MAX_BACKOFF_MS;
	LIST_FOR_EACH (c, struct session, node, &s->sessions)
		if (c->remote == r)
			c->probe_ms = r->probe_ms;
	if (fresh)
		start(r);
}

static void want_target_of(struct remote *r, const struct ovsdb_row *row)
{
	const struct ovsdb_column *c = ovsdb_table_schema_column(row->table->schema, "target");

	if (!c || c->type.key.type != OVSDB_STRING)
		return;
	for (uint32_t i = 0; i < row->fields[c->index]->n; i++)
		want(r, row->fields[c->index]->atoms[i].string->s, row);
}

/* The table and column a db: remote names; NULL if they do not exist. */
static const struct ovsdb_column *find_column(struct remote *r, struct served_db **d,
					      struct ovsdb_table **t)
{
	char db[64], table[64], column[64];

	if (sscanf(r->text, "db:%63[^,],%63[^,],%63s", db, table, column) != 3)
		return NULL;
	*d = server_find_db(r->server, db);
	*t = *d ? ovsdb_db_table((*d)->db, table) : NULL;
	return *t ? ovsdb_table_schema_column((*t)->schema, column) : NULL;
}

static void follow(struct remote *r)
{
	struct served_db *d;
	struct ovsdb_table *t;
	const struct ovsdb_column *c = find_column(r, &d, &t);

	r->watched_db = NULL;
	if (!c || c->index < 0)
		return;
	const struct ovsdb_base_type *b =
		c->type.value.type == OVSDB_VOID ? &c->type.key : &c->type.value;
	r->watched_db = d->db;
	r->watched[0] = t;
	r->watched[1] = b->ref ? &d->db->tables[b->ref->number] : t;
	HMAP_FOR_EACH (row, struct ovsdb_row, node, &t->rows) {
		const struct ovsdb_datum *v = row->fields[c->index];
		const union ovsdb_atom *atoms =
			b == &c->type.key ? ovsdb_datum_keys(v) : ovsdb_datum_values(v);

		for (uint32_t i = 0; i < v->n; i++) {
			if (b->type == OVSDB_STRING) {
				want(r, atoms[i].string->s, NULL);
			} else if (b->ref) {
				struct ovsdb_row *dst = ovsdb_table_find(
					&d->db->tables[b->ref->number], &atoms[i].uuid);

				if (dst)
					want_target_of(r, dst);
			}
		}
	}
}

/* is_connected and status of the row a remote comes from, if its table has them. */
static void put_status(struct ovsdb_txn *t, struct ovsdb_row *row, const struct remote *r)
{
	const struct ovsdb_column *c =
		ovsdb_table_schema_column(row->table->schema, "is_connected");

	if (c && c->type.key.type == OVSDB_BOOLEAN)
		ovsdb_txn_set(t, row, c->index, ovsdb_datum_from_bool(r->n_sessions > 0));
	c = ovsdb_table_schema_column(row->table->schema, "status");
	if (!c || c->type.key.type != OVSDB_STRING || c->type.value.type != OVSDB_STRING)
		return;
	union ovsdb_atom keys[3], values[3];
	char text[24];
	size_t n = 0;
	if (r->fd >= 0 && r->address.passive && !address_is_unix(&r->address)) {
		snprintf(text, sizeof text, "%u", address_bound_port(r->fd));
		keys[n].string = ovsdb_string_new("bound_port", 10);
		values[n++].string = ovsdb_string_new(text, strlen(text));
	}
	if (r->n_sessions > 1) {
		snprintf(text, sizeof text, "%u", r->n_sessions);
		keys[n].string = ovsdb_string_new("n_connections", 13);
		values[n++].string = ovsdb_string_new(text, strlen(text));
	}
	const char *state = r->n_sessions ? "ACTIVE" : r->fd >= 0 ? "IDLE" : "BACKOFF";
	keys[n].string = ovsdb_string_new("state", 5);
	values[n++].string = ovsdb_string_new(state, strlen(state));
	ovsdb_txn_set(t, row, c->index,
		      ovsdb_datum_build(keys, values, n, OVSDB_STRING, OVSDB_STRING, false));
}

static void write_status(struct remote *db_remote)
{
	struct served_db *d;
	struct ovsdb_table *t;
	const struct ovsdb_column *c = find_column(db_remote, &d, &t);
	bool changed;

	if (!c)
		return;
	const struct ovsdb_base_type *b =
		c->type.value.type == OVSDB_VOID ? &c->type.key : &c->type.value;
	if (!b->ref)
		return;
	struct ovsdb_txn *txn = ovsdb_txn_begin(d->db);
	LIST_FOR_EACH (r, struct remote, node, &db_remote->server->remotes) {
		if (r->via != db_remote)
			continue;
		struct ovsdb_row *row = ovsdb_table_find(&d->db->tables[b->ref->number], &r->row);
		if (row)
			put_status(txn, row, r);
	}
	ovsdb_error_free(txn_commit(d, txn, NULL, NULL, &changed));
	txn_run_waiting(d);
}

void remote_follow_databases(struct ovsdb_server *s)
{
	LIST_FOR_EACH (r, struct remote, node, &s->remotes)
		r->wanted = !r->via;
	for (struct list *i = s->remotes.next; i != &s->remotes; i = i->next) {
		struct remote *r = LIST_ENTRY(i, struct remote, node);

		if (r->is_db)
			follow(r);
	}
	LIST_FOR_EACH_SAFE (r, struct remote, node, &s->remotes)
		if (!r->wanted)
			destroy(r);
	LIST_FOR_EACH (r, struct remote, node, &s->remotes)
		if (r->is_db)
			write_status(r);
	s->remotes_stale = false; /* our own status writes are no reason to look again */
}
