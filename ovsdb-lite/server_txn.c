/* SPDX-License-Identifier: BSD-3-Clause */
/* "transact" from request to reply: execution, waiting, commit, durability; and "convert". */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/base/log.h"
#include "ovsdb-lite/json_text.h"
#include "ovsdb-lite/server_priv.h"

LOG_MODULE(ovsdb_txn);

static void transaction_free(struct transaction *tr)
{
	list_remove(&tr->node);
	list_remove(&tr->session_node);
	if (tr->timer) {
		event_free(tr->timer);
		if (tr->session)
			tr->session->n_waiting--;
	}
	json_decref(tr->id);
	json_decref(tr->params);
	free(tr->results);
	free(tr);
}

static struct transaction *transaction_new(struct session *c, struct served_db *d, const json_t *id)
{
	struct transaction *tr = xzalloc(sizeof *tr);

	tr->session = c;
	tr->db = d;
	tr->id = json_incref((json_t *)id);
	list_init(&tr->node);
	list_push_back(&c->transactions, &tr->session_node);
	return tr;
}

/* --- commit ----------------------------------------------------------------------------------- */

static struct ovsdb_error *io_error(const struct err *e)
{
	return ovsdb_error("I/O error", "%s", e->text);
}

static void tell_watch(const struct served_db *d, const struct ovsdb_txn *t,
		       const struct session *by)
{
	const struct ovsdb_server *s = d->server;

	if (!s->watch.fn || !by || strcmp(d->name, s->watch.db))
		return;
	VEC_FOR_EACH (row, &t->rows)
		if (!strcmp((*row)->row->table->schema->name, s->watch.table)) {
			s->watch.fn(&by->peer, s->watch.aux);
			return;
		}
}

struct ovsdb_error *txn_commit(struct served_db *d, struct ovsdb_txn *t, const char *comment,
			       const struct session *by, bool *changed)
{
	struct ovsdb_error *e = ovsdb_txn_check(t);
	struct err err = {0};

	*changed = false;
	if (!e && t->is_changed && d->storage &&
	    ovsdb_storage_append(d->storage, t, comment, &err) < 0) {
		LOG_LIMIT(log_err, 10, "%s", err.text);
		e = io_error(&err);
	}
	if (e || !t->is_changed) {
		ovsdb_txn_abort(t);
		return e;
	}
	*changed = true;
	if (remote_is_affected(d->server, d, t)) {
		d->server->remotes_stale = true;
		server_defer(d->server);
	}
	monitor_publish(d, t);
	tell_watch(d, t, by);
	ovsdb_txn_apply(t);
	d->rerun = !list_is_empty(&d->waiting);
	d->server->n_transactions++;
	if (d->storage && ovsdb_storage_wants_compaction(d->storage))
		ovsdb_server_compact(d->server, d->name, NULL);
	return NULL;
}

static void on_synced(int rc, void *aux)
{
	struct transaction *tr = aux;
	struct session *c = tr->session;

	if (c && rc < 0) {
		char *error =
			xasprintf("[{\"error\":\"I/O error\",\"details\":\"%s: sync failed: %s\"}]",
				  tr->db ? tr->db->name : "database", strerror(-rc));

		log_err("%s: sync failed: %s", tr->db ? tr->db->name : "database", strerror(-rc));
		session_reply(c, tr->id, error, strlen(error));
		free(error);
	} else if (c) {
		session_reply(c, tr->id, tr->results, strlen(tr->results));
	}
	transaction_free(tr);
}

/* Answers now, or when the log is on disk. Takes x->results. */
static void reply(struct session *c, struct served_db *d, const json_t *id, struct ovsdb_exec *x,
		  bool sync)
{
	str_putc(&x->results, ']');
	if (!sync) {
		session_reply(c, id, x->results.s, x->results.len);
		return;
	}
	int rc = ovsdb_log_flush(ovsdb_storage_log(d->storage));
	struct transaction *tr = transaction_new(c, d, id);
	tr->results = str_steal(&x->results);
	if (rc < 0) {
		on_synced(rc, tr);
		return;
	}
	syncer_request(d->syncer, ovsdb_log_fd(ovsdb_storage_log(d->storage)), on_synced, tr);
}

/* --- execution -------------------------------------------------------------------------------- */

/* true: answered (or synced and to be answered); false: has to wait. */
static bool execute(struct session *c, struct served_db *d, const json_t *id, const json_t *params,
		    uint64_t start_ms, int64_t *timeout_ms)
{
	struct ovsdb_exec x = {
		.db = d->db,
		.params = params,
		.elapsed_ms = (int64_t)(clock_mono_ms() - start_ms),
		.is_reserved = d->is_reserved,
		.owns_lock = lock_is_owner,
		.aux = c,
	};
	enum ovsdb_exec_status status = ovsdb_exec_run(&x);
	bool changed = false;

	if (status == OVSDB_EXEC_OK) {
		struct ovsdb_error *e = txn_commit(d, x.txn, str_cstr(&x.comment), c, &changed);

		if (e)
			ovsdb_exec_add_error(&x, e);
	} else {
		ovsdb_txn_abort(x.txn);
	}
	if (status != OVSDB_EXEC_WAIT)
		reply(c, d, id, &x, x.durable && changed && d->syncer);
	*timeout_ms = x.timeout_ms;
	ovsdb_exec_free(&x);
	return status != OVSDB_EXEC_WAIT;
}

void txn_run_waiting(struct served_db *d)
{
	while (d->rerun) {
		d->rerun = false;
		LIST_FOR_EACH_SAFE (tr, struct transaction, node, &d->waiting) {
			int64_t timeout_ms;

			if (execute(tr->session, d, tr->id, tr->params, tr->start_ms, &timeout_ms))
				transaction_free(tr);
		}
	}
}

static void on_timeout(evutil_socket_t fd, short what, void *aux)
{
	struct transaction *tr = aux;
	struct served_db *d = tr->db;
	int64_t timeout_ms;

	if (execute(tr->session, d, tr->id, tr->params, tr->start_ms, &timeout_ms)) {
		transaction_free(tr);
		txn_run_waiting(d);
	} else {
		struct timeval tv = {0, 1000}; /* woken a moment early */

		event_add(tr->timer, &tv);
	}
}

static void wait_again(struct session *c, struct served_db *d, const json_t *id,
		       const json_t *params, uint64_t start_ms, int64_t timeout_ms)
{
	struct transaction *tr = transaction_new(c, d, id);

	tr->params = json_incref((json_t *)params);
	tr->start_ms = start_ms;
	list_push_back(&d->waiting, &tr->node);
	c->n_waiting++;
	tr->timer = event_new(c->server->base, -1, 0, on_timeout, tr);
	if (timeout_ms < INT64_MAX) {
		struct timeval tv = {timeout_ms / 1000, timeout_ms % 1000 * 1000};

		event_add(tr->timer, &tv);
	}
}

void txn_request(struct session *c, struct served_db *d, const json_t *id, const json_t *params)
{
	uint64_t now_ms = clock_mono_ms();
	int64_t timeout_ms;

	if (!execute(c, d, id, params, now_ms, &timeout_ms)) {
		if (c->n_waiting < c->server->limits.max_waiting)
			wait_again(c, d, id, params, now_ms, timeout_ms);
		else
			session_reply_error(c, id,
					    ovsdb_error("resources exhausted",
							"too many waiting transactions"));
	}
	txn_run_waiting(d);
}

bool txn_cancel(struct session *c, const json_t *id)
{
	static const char canceled[] = "{\"id\":";

	LIST_FOR_EACH (tr, struct transaction, session_node, &c->transactions) {
		if (!tr->timer || !id || !json_equal(tr->id, (json_t *)id))
			continue;
		struct str s = STR_INIT;
		str_puts(&s, canceled);
		json_put_value(&s, id);
		str_puts(&s, ",\"result\":null,\"error\":\"canceled\"}");
		stream_send(c->stream, s.s, s.len);
		str_free(&s);
		transaction_free(tr);
		return true;
	}
	return false;
}

void txn_session_gone(struct session *c)
{
	LIST_FOR_EACH_SAFE (tr, struct transaction, session_node, &c->transactions) {
		if (tr->timer) {
			transaction_free(tr);
		} else {
			list_remove(&tr->session_node);
			tr->session = NULL; /* on_synced() finds nobody to tell */
		}
	}
}

void txn_db_gone(struct served_db *d)
{
	LIST_FOR_EACH_SAFE (tr, struct transaction, node, &d->waiting) {
		session_reply_error(tr->session, tr->id,
				    ovsdb_error("canceled", "database is gone or was converted"));
		transaction_free(tr);
	}
}

/* --- conversion to another schema ------------------------------------------------------------- */

/* A value of the old column as one of the new: the same JSON, read against the new type. */
static struct ovsdb_error *convert_datum(struct ovsdb_datum **out, const struct ovsdb_datum *d,
					 const struct ovsdb_column *c)
{
	struct str text = STR_INIT;

	ovsdb_datum_put_json(&text, d);
	json_t *json = json_loadb(text.s, text.len, JSON_DECODE_ANY, NULL);
	/* A set of one is written as its atom, which is right for every type it may become. */
	struct ovsdb_error *e = ovsdb_datum_parse(out, &c->type, json, NULL);
	json_decref(json);
	str_free(&text);
	return e;
}

static struct ovsdb_error *convert_row(struct ovsdb_txn *t, struct ovsdb_table *to,
				       const struct ovsdb_row *from)
{
	const struct ovsdb_table_schema *src = from->table->schema;
	struct ovsdb_row *row = ovsdb_txn_insert(t, to, ovsdb_row_id(from));

	for (size_t i = 0; i < src->n_columns; i++) {
		const struct ovsdb_column *c =
			ovsdb_table_schema_column(to->schema, src->columns[i].name);
		struct ovsdb_datum *d;

		if (!c || !c->persistent || !src->columns[i].persistent)
			continue;
		struct ovsdb_error *e = convert_datum(&d, from->fields[i], c);
		if (e)
			return e;
		ovsdb_txn_set(t, row, c->index, d);
	}
	return NULL;
}

static struct ovsdb_error *convert_contents(struct ovsdb_db *to, const struct ovsdb_db *from)
{
	struct ovsdb_txn *t = ovsdb_txn_begin(to);
	struct ovsdb_error *e = NULL;

	for (size_t i = 0; i < from->schema->n_tables && !e; i++) {
		struct ovsdb_table *table = ovsdb_db_table(to, from->schema->tables[i].name);

		if (!table)
			continue;
		HMAP_FOR_EACH (row, struct ovsdb_row, node, &from->tables[i].rows) {
			e = convert_row(t, table, row);
			if (e)
				break;
		}
	}
	if (!e)
		e = ovsdb_txn_check(t);
	if (e)
		ovsdb_txn_abort(t);
	else
		ovsdb_txn_apply(t);
	return e;
}

static struct ovsdb_error *convert(struct served_db *d, struct ovsdb_schema *schema)
{
	struct ovsdb_db *db = ovsdb_db_create(schema);
	struct ovsdb_error *e = convert_contents(db, d->db);
	struct err err = {0};

	if (!e && d->storage &&
	    ovsdb_storage_rewrite(d->storage, db, "converting database schema", &err) < 0)
		e = io_error(&err);
	if (e) {
		ovsdb_db_destroy(db);
		return e;
	}
	monitor_db_gone(d);
	txn_db_gone(d);
	history_free(&d->history);
	history_init(&d->history);
	ovsdb_db_destroy(d->db);
	d->db = db;
	d->monitors.db = db;
	server_update_database_row(d->server, d);
	d->server->remotes_stale = true;
	server_defer(d->server);
	return NULL;
}

int txn_convert_db(struct served_db *d, struct ovsdb_schema *schema, struct err *e)
{
	return ovsdb_error_to_err(convert(d, schema), e);
}

void txn_convert(struct session *c, struct served_db *d, const json_t *id, const json_t *params)
{
	struct ovsdb_schema *schema = NULL;
	struct ovsdb_error *e;

	if (json_array_size(params) != 2)
		e = ovsdb_syntax_error(params, NULL, "array expected");
	else
		e = ovsdb_schema_parse(&schema, json_array_get(params, 1));
	if (!e && strcmp(schema->name, d->name))
		e = ovsdb_error("unknown database", "conversion would rename database %s to %s",
				d->name, schema->name);
	if (!e && d->is_reserved)
		e = ovsdb_error("not allowed", "conversion of reserved database %s", d->name);
	if (!e)
		e = convert(d, schema);
	ovsdb_schema_unref(schema);
	if (e)
		session_reply_error(c, id, e);
	else
		session_reply(c, id, "{}", 2);
}
