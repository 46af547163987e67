/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/storage.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "datapath/base/clock.h"
#include "datapath/base/log.h"
#include "ovsdb-lite/exec.h"
#include "ovsdb-lite/json_text.h"

LOG_MODULE(ovsdb_storage);

enum { COMPACT_MIN_BYTES = 10 << 20 };

struct ovsdb_storage {
	struct ovsdb_log *log;
	off_t compact_size; /* of the file after the last compaction, or at start */
	/* compaction in a child */
	pid_t child;
	int pipe_fd;
	struct event *event;
	struct ovsdb_log *snapshot;
	char *snapshot_path;
	off_t fork_size; /* log size when the child took its picture */
	ovsdb_compacted_cb done;
	void *aux;
};

/* --- records: writing ------------------------------------------------------------------------- */

static bool is_default(const struct ovsdb_datum *d, const struct ovsdb_column *c)
{
	return d == c->dflt || ovsdb_datum_eq(d, c->dflt);
}

/* Columns that tell a row from a new one with defaults, or a modified one from its old self. */
static bool put_columns(struct str *out, const struct ovsdb_txn_row *r, bool diff)
{
	const struct ovsdb_table_schema *t = r->row->table->schema;
	struct ovsdb_datum *const *new = r->row->fields;
	bool any = false;

	for (size_t i = 0; i < t->n_columns; i++) {
		const struct ovsdb_column *c = &t->columns[i];

		if (!c->persistent ||
		    (r->inserted ? new[i] == c->dflt || ovsdb_datum_eq(new[i], c->dflt)
				 : !ovsdb_txn_row_has(r, (int)i)))
			continue;
		if (any)
			str_putc(out, ',');
		any = true;
		str_putc(out, '"');
		str_puts(out, c->name);
		str_put(out, "\":", 2);
		if (diff && !r->inserted && ovsdb_type_is_composite(&c->type)) {
			struct ovsdb_datum *d = ovsdb_datum_diff(r->old[i], new[i]);

			ovsdb_datum_put_json(out, d);
			ovsdb_datum_unref(d);
		} else {
			ovsdb_datum_put_json(out, new[i]);
		}
	}
	return any;
}

static bool is_too_large(const struct ovsdb_datum *old, const struct ovsdb_datum *new,
			 const struct ovsdb_type *type)
{
	if (type->n_max == UINT32_MAX)
		return false;
	struct ovsdb_datum *d = ovsdb_datum_diff(old, new);
	bool too_large = d->n > type->n_max;
	ovsdb_datum_unref(d);
	return too_large;
}

/* Should sets and maps be written as differences? Only where there are any; and not if one of them
 * was at a default that is not empty, because ovsdb-server 3.1 reads such a difference as the value
 * itself, nor if a difference has more elements than the column may have, which it cannot read. */
static bool want_diff(const struct ovsdb_txn *t)
{
	bool any = false;

	for (size_t i = 0; i < t->rows.len; i++) {
		const struct ovsdb_txn_row *r = t->rows.at[i];
		const struct ovsdb_table_schema *s = r->row->table->schema;

		for (size_t k = 0; !r->inserted && !r->deleted && k < s->n_columns; k++) {
			const struct ovsdb_column *c = &s->columns[k];

			if (!ovsdb_txn_row_has(r, (int)k) || !ovsdb_type_is_composite(&c->type))
				continue;
			if ((c->dflt->n && is_default(r->old[k], c)) ||
			    is_too_large(r->old[k], r->row->fields[k], &c->type))
				return false;
			any = true;
		}
	}
	return any;
}

static void put_table_name(struct str *out, const char *name)
{
	str_putc(out, '"');
	str_puts(out, name);
	str_put(out, "\":{", 3);
}

static bool put_row(struct str *out, const struct ovsdb_txn_row *r, bool diff)
{
	char uuid[UUID_TEXT_BYTES];
	size_t mark = out->len;

	uuid_format(ovsdb_row_id(r->row), uuid);
	str_putc(out, '"');
	str_puts(out, uuid);
	str_put(out, "\":", 2);
	if (r->deleted) {
		str_puts(out, "null");
		return true;
	}
	str_putc(out, '{');
	if (!put_columns(out, r, diff) && !r->inserted) {
		out->len = mark; /* only ephemeral columns changed */
		return false;
	}
	str_putc(out, '}');
	return true;
}

static void put_meta(struct str *out, const char *comment, bool diff)
{
	if (diff)
		str_puts(out, "\"_is_diff\":true,");
	if (comment && *comment) {
		str_puts(out, "\"_comment\":");
		json_put_string(out, comment, strlen(comment));
		str_putc(out, ',');
	}
	str_puts(out, "\"_date\":");
	json_put_int(out, (int64_t)clock_wall_ms());
	str_putc(out, '}');
}

bool ovsdb_storage_put_record(struct str *out, const struct ovsdb_txn *t, const char *comment)
{
	bool diff = want_diff(t), any = false;
	size_t n = t->rows.len;

	str_putc(out, '{');
	for (size_t i = 0; i < n; i++) {
		const struct ovsdb_table *table = t->rows.at[i]->row->table;
		bool first = true, seen = false;

		/* Rows are grouped by table: the first row of a table writes all of them. */
		for (size_t k = 0; k < i && !seen; k++)
			seen = t->rows.at[k]->row->table == table;
		if (seen)
			continue;
		for (size_t k = i; k < n; k++) {
			const struct ovsdb_txn_row *r = t->rows.at[k];
			size_t mark = out->len;

			if (r->row->table != table || !ovsdb_txn_row_is_changed(r))
				continue;
			if (first)
				put_table_name(out, table->schema->name);
			else
				str_putc(out, ',');
			if (put_row(out, r, diff))
				first = false;
			else
				out->len = mark;
		}
		if (!first) {
			str_puts(out, "},");
			any = true;
		}
	}
	put_meta(out, comment, diff);
	return any;
}

int ovsdb_storage_append(struct ovsdb_storage *s, const struct ovsdb_txn *t, const char *comment,
			 struct err *e)
{
	static struct str out; /* kept: its memory is that of the largest record so far */
	int rc = 0;

	str_clear(&out);
	if (ovsdb_storage_put_record(&out, t, comment))
		rc = ovsdb_log_append(s->log, out.s, out.len, e);
	if (out.cap > 1 << 20)
		str_free(&out);
	return rc;
}

/* --- snapshots -------------------------------------------------------------------------------- */

static void put_row_contents(struct str *out, const struct ovsdb_row *row)
{
	const struct ovsdb_table_schema *t = row->table->schema;
	char uuid[UUID_TEXT_BYTES];
	bool any = false;

	uuid_format(ovsdb_row_id(row), uuid);
	str_putc(out, '"');
	str_puts(out, uuid);
	str_put(out, "\":{", 3);
	for (size_t i = 0; i < t->n_columns; i++) {
		const struct ovsdb_column *c = &t->columns[i];

		if (!c->persistent || is_default(row->fields[i], c))
			continue;
		str_put(out, any ? ",\"" : "\"", any ? 2 : 1);
		any = true;
		str_puts(out, c->name);
		str_put(out, "\":", 2);
		ovsdb_datum_put_json(out, row->fields[i]);
	}
	str_putc(out, '}');
}

static int write_snapshot(struct ovsdb_log *log, const struct ovsdb_db *db, const char *comment,
			  struct err *e)
{
	struct str out = STR_INIT;

	ovsdb_schema_put_json(&out, db->schema);
	int rc = ovsdb_log_append(log, out.s, out.len, e);
	str_clear(&out);
	str_putc(&out, '{');
	for (size_t i = 0; i < db->schema->n_tables; i++) {
		const struct ovsdb_table *t = &db->tables[i];
		bool first = true;

		if (!t->rows.count)
			continue;
		put_table_name(&out, t->schema->name);
		HMAP_FOR_EACH (row, struct ovsdb_row, node, &t->rows) {
			if (!first)
				str_putc(&out, ',');
			first = false;
			put_row_contents(&out, row);
		}
		str_puts(&out, "},");
	}
	put_meta(&out, comment, false);
	if (!rc && ovsdb_db_n_rows(db))
		rc = ovsdb_log_append(log, out.s, out.len, e);
	str_free(&out);
	return rc;
}

int ovsdb_storage_create(const char *path, const struct ovsdb_schema *schema, struct err *e)
{
	struct str out = STR_INIT;
	struct ovsdb_log *log;
	int rc = ovsdb_log_open(&log, path, OVSDB_LOG_CREATE, e);

	if (rc)
		return rc;
	ovsdb_schema_put_json(&out, schema);
	rc = ovsdb_log_append(log, out.s, out.len, e);
	if (!rc)
		rc = ovsdb_log_sync(log);
	str_free(&out);
	ovsdb_log_close(log);
	if (rc)
		unlink(path);
	return rc;
}

static int open_snapshot(struct ovsdb_storage *s, struct ovsdb_log **out, struct err *e)
{
	free(s->snapshot_path);
	s->snapshot_path = xasprintf("%s.tmp", ovsdb_log_path(s->log));
	return ovsdb_log_open(out, s->snapshot_path, OVSDB_LOG_TEMPORARY, e);
}

int ovsdb_storage_rewrite(struct ovsdb_storage *s, const struct ovsdb_db *db, const char *comment,
			  struct err *e)
{
	struct ovsdb_log *snapshot;
	int rc;

	if (s->child)
		return err_set(e, EBUSY, "%s: compaction is running", ovsdb_log_path(s->log));
	rc = open_snapshot(s, &snapshot, e);
	if (rc)
		return rc;
	rc = write_snapshot(snapshot, db, comment, e);
	if (rc) {
		unlink(s->snapshot_path);
		ovsdb_log_close(snapshot);
		return rc;
	}
	rc = ovsdb_log_replace(s->log, snapshot, e);
	s->compact_size = ovsdb_log_size(s->log);
	return rc;
}

/* --- compaction in a child -------------------------------------------------------------------- */

/* The child sees the database as it was at fork(), for the price of the pages that change. It
 * reports by one line on the pipe: "ok SIZE" or the reason. */
static void child_main(struct ovsdb_log *snapshot, const struct ovsdb_db *db, int fd)
{
	struct err e = {0};
	char line[ERR_TEXT_BYTES + 8];
	int n;

	if (write_snapshot(snapshot, db, "compacting database online", &e) == 0 &&
	    ovsdb_log_sync(snapshot) == 0) /* which flushes */
		n = snprintf(line, sizeof line, "ok %lld", (long long)ovsdb_log_size(snapshot));
	else
		n = snprintf(line, sizeof line, "%s", *e.text ? e.text : "sync failed");
	_exit(write(fd, line, (size_t)SL_MIN(n, (int)sizeof line - 1)) < 0);
}

static int adopt_snapshot(struct ovsdb_storage *s, struct err *e)
{
	/* The parent's handle knows nothing of what the child wrote; reopen by size. */
	int rc = ovsdb_log_copy_tail(s->log, s->fork_size, s->snapshot, e);

	if (rc)
		return rc;
	struct ovsdb_log *snapshot = s->snapshot;
	s->snapshot = NULL;
	return ovsdb_log_replace(s->log, snapshot, e);
}

static void child_done(evutil_socket_t fd, short what, void *aux)
{
	struct ovsdb_storage *s = aux;
	char line[ERR_TEXT_BYTES + 8];
	struct err e = {0};
	long long size;
	int rc = -EIO;

	ssize_t n = read(s->pipe_fd, line, sizeof line - 1);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	line[n > 0 ? n : 0] = '\0';
	if (sscanf(line, "ok %lld", &size) == 1) {
		ovsdb_log_set_size(s->snapshot, size);
		rc = adopt_snapshot(s, &e);
	} else {
		err_set(&e, EIO, "%s", *line ? line : "compaction process died");
	}
	if (rc) {
		unlink(s->snapshot_path);
		ovsdb_log_close(s->snapshot);
		log_warn("%s: compaction failed: %s", ovsdb_log_path(s->log), e.text);
	}
	s->snapshot = NULL;
	s->compact_size = ovsdb_log_size(s->log);
	event_free(s->event);
	s->event = NULL;
	close(s->pipe_fd);
	s->pipe_fd = -1;
	waitpid(s->child, NULL, 0);
	s->child = 0;
	if (s->done)
		s->done(rc, e.text, s->aux);
}

int ovsdb_storage_compact(struct ovsdb_storage *s, const struct ovsdb_db *db,
			  struct event_base *base, ovsdb_compacted_cb done, void *aux,
			  struct err *e)
{
	int fds[2], rc;

	if (s->child)
		return err_set(e, EBUSY, "%s: compaction is running already",
			       ovsdb_log_path(s->log));
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_set(e, errno, "pipe: %s", strerror(errno));
	rc = open_snapshot(s, &s->snapshot, e);
	if (rc)
		goto fail;
	s->fork_size = ovsdb_log_size(s->log);
	s->child = fork();
	if (s->child == 0)
		child_main(s->snapshot, db, fds[1]);
	if (s->child < 0) {
		rc = err_set(e, errno, "fork: %s", strerror(errno));
		s->child = 0;
		ovsdb_log_close(s->snapshot);
		s->snapshot = NULL;
		goto fail;
	}
	close(fds[1]);
	s->pipe_fd = fds[0];
	s->done = done;
	s->aux = aux;
	s->event = event_new(base, fds[0], EV_READ | EV_PERSIST, child_done, s);
	event_add(s->event, NULL);
	return 0;
fail:
	close(fds[0]);
	close(fds[1]);
	return rc;
}

bool ovsdb_storage_wants_compaction(const struct ovsdb_storage *s)
{
	off_t size = ovsdb_log_size(s->log);

	return !s->child && size > COMPACT_MIN_BYTES && size > 2 * s->compact_size;
}

/* --- records: reading ------------------------------------------------------------------------- */

struct loader {
	struct ovsdb_db *db;
	struct ovsdb_row *row;
	bool diff, fresh; /* fresh: a new row, whose values are given whole */
};

static struct ovsdb_error *load_field(const struct ovsdb_column *c, struct ovsdb_datum *value,
				      void *aux)
{
	struct loader *l = aux;

	if (c->index < 0) {
		ovsdb_datum_unref(value);
		return NULL;
	}
	struct ovsdb_datum **slot = &l->row->fields[c->index];
	/* A new row gives its values whole. */
	if (l->diff && !l->fresh && ovsdb_type_is_composite(&c->type)) {
		struct ovsdb_datum *d = ovsdb_datum_apply_diff(*slot, value);

		ovsdb_datum_unref(value);
		value = d;
	}
	if (ovsdb_datum_eq(value, c->dflt)) { /* back to the shared one */
		ovsdb_datum_unref(value);
		value = ovsdb_datum_ref(c->dflt);
	}
	ovsdb_datum_unref(*slot);
	*slot = value;
	return NULL;
}

/* Values in the file are not held to [n_min, n_max]: a diff may have fewer or more elements. */
static struct ovsdb_error *load_row(struct loader *l, struct ovsdb_table *t, const json_t *json)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)json, name, value)
	{
		const struct ovsdb_column *c = ovsdb_table_schema_column(t->schema, name);
		struct ovsdb_datum *d;

		if (!c)
			return ovsdb_syntax_error(NULL, "unknown column",
						  "No column %s in table %s.", name,
						  t->schema->name);
		struct ovsdb_type type = c->type; /* shallow */
		if (l->diff && ovsdb_type_is_composite(&type)) {
			type.n_min = 0;
			type.n_max = UINT32_MAX;
		}
		struct ovsdb_error *e = ovsdb_datum_parse(&d, &type, value, NULL);
		if (!e)
			e = load_field(c, d, l);
		if (e)
			return e;
	}
	return NULL;
}

static struct ovsdb_error *load_one(struct loader *l, struct ovsdb_table *t, const char *key,
				    size_t key_len, const char *text, size_t len)
{
	char uuid_text[UUID_TEXT_BYTES], why[JSON_ERROR_TEXT_LENGTH];
	struct uuid uuid;
	struct ovsdb_error *e = NULL;

	if (key_len != 36)
		return ovsdb_error(NULL, "bad row uuid");
	memcpy(uuid_text, key, 36);
	uuid_text[36] = '\0';
	if (!uuid_parse(uuid_text, &uuid))
		return ovsdb_error(NULL, "\"%s\" is not a valid UUID", uuid_text);
	l->row = ovsdb_table_find(t, &uuid);
	if (len == 4 && !memcmp(text, "null", 4)) {
		if (!l->row)
			return ovsdb_error(NULL, "deletes row %s that does not exist", uuid_text);
		ovsdb_table_remove(t, l->row);
		ovsdb_row_free(l->row);
		return NULL;
	}
	json_t *json = json_parse(text, len, why);
	if (!json_is_object(json)) {
		json_decref(json);
		return ovsdb_error(NULL, "row %s: %s", uuid_text, json ? "not an object" : why);
	}
	l->fresh = !l->row;
	if (l->fresh) {
		l->row = ovsdb_row_create(t, &uuid);
		uuid_generate(&l->row->version.atom.uuid);
		ovsdb_table_insert(t, l->row);
	}
	e = load_row(l, t, json);
	json_decref(json);
	return e;
}

static bool find_diff_flag(const char *text, size_t len)
{
	const char *key, *value;
	struct json_members m;
	size_t nk, nv;

	if (!memmem(text, len, "\"_is_diff\"", 10))
		return false;
	json_members_init(&m, text, len);
	while (json_members_next(&m, &key, &nk, &value, &nv) > 0)
		if (nk == 8 && !memcmp(key, "_is_diff", 8))
			return nv == 4 && !memcmp(value, "true", 4);
	return false;
}

static struct ovsdb_error *load_record(struct ovsdb_db *db, const char *text, size_t len)
{
	struct loader l = {.db = db, .diff = find_diff_flag(text, len)};
	struct json_members m, rows;
	const char *key, *value, *row_key, *row;
	size_t nk, nv, nrk, nr;
	int more, more_rows;

	json_members_init(&m, text, len);
	while ((more = json_members_next(&m, &key, &nk, &value, &nv)) > 0) {
		char name[256];

		if (nk && *key == '_') /* _date, _comment, _is_diff */
			continue;
		snprintf(name, sizeof name, "%.*s", (int)SL_MIN(nk, sizeof name), key);
		struct ovsdb_table *t = ovsdb_db_table(db, name);
		if (!t)
			return ovsdb_error("unknown table", "No table named %s.", name);
		json_members_init(&rows, value, nv);
		while ((more_rows = json_members_next(&rows, &row_key, &nrk, &row, &nr)) > 0) {
			struct ovsdb_error *e = load_one(&l, t, row_key, nrk, row, nr);

			if (e)
				return e;
		}
		if (more_rows < 0)
			return ovsdb_error(NULL, "table %s: malformed JSON", name);
	}
	return more < 0 ? ovsdb_error(NULL, "malformed JSON") : NULL;
}

/* References, garbage, indexes: as if one transaction had inserted every row. */
static struct ovsdb_error *settle(struct ovsdb_db *db)
{
	struct ovsdb_txn *t = ovsdb_txn_begin(db);

	for (size_t i = 0; i < db->schema->n_tables; i++)
		HMAP_FOR_EACH (row, struct ovsdb_row, node, &db->tables[i].rows)
			ovsdb_txn_adopt(t, row);
	struct ovsdb_error *e = ovsdb_txn_check(t);
	if (e)
		ovsdb_txn_abort(t);
	else
		ovsdb_txn_apply(t);
	return e;
}

static struct ovsdb_schema *load_schema(const char *text, size_t len, struct ovsdb_error **e)
{
	char why[JSON_ERROR_TEXT_LENGTH];
	json_t *json = json_parse(text, len, why);
	struct ovsdb_schema *schema = NULL;

	*e = json ? ovsdb_schema_parse(&schema, json) : ovsdb_error(NULL, "%s", why);
	json_decref(json);
	return schema;
}

static int load(struct ovsdb_log *log, struct ovsdb_db **out, struct err *err)
{
	struct ovsdb_error *e = NULL;
	struct ovsdb_schema *schema;
	struct ovsdb_db *db;
	const char *text;
	size_t len, n = 1;
	int rc = ovsdb_log_read(log, &text, &len, err);

	if (rc <= 0)
		return rc ? rc : err_set(err, EINVAL, "file holds no schema");
	schema = load_schema(text, len, &e);
	if (e)
		return ovsdb_error_to_err(e, err);
	db = ovsdb_db_create(schema);
	ovsdb_schema_unref(schema);
	while (!e && (rc = ovsdb_log_read(log, &text, &len, err)) > 0) {
		n++;
		e = load_record(db, text, len);
	}
	if (e) {
		rc = ovsdb_error_to_err(e, err);
		err_prefix(err, "record %zu", n);
	} else if (!rc) {
		rc = ovsdb_error_to_err(settle(db), err);
	}
	if (rc)
		ovsdb_db_destroy(db);
	else
		*out = db;
	return rc;
}

int ovsdb_storage_open(struct ovsdb_storage **out, struct ovsdb_db **db, const char *path,
		       struct err *e)
{
	struct ovsdb_log *log;
	int rc = ovsdb_log_open(&log, path, OVSDB_LOG_READ_WRITE, e);

	if (rc)
		return rc;
	rc = load(log, db, e);
	if (rc) {
		err_prefix(e, "%s", path);
		ovsdb_log_close(log);
		return rc;
	}
	ovsdb_log_end_reading(log);
	struct ovsdb_storage *s = xzalloc(sizeof *s);
	s->log = log;
	s->pipe_fd = -1;
	s->compact_size = ovsdb_log_size(log);
	*out = s;
	return 0;
}

void ovsdb_storage_close(struct ovsdb_storage *s)
{
	if (!s)
		return;
	if (s->child) {
		/* Its picture is thrown away: the log has everything. */
		event_free(s->event);
		close(s->pipe_fd);
		waitpid(s->child, NULL, 0);
		unlink(s->snapshot_path);
		ovsdb_log_close(s->snapshot);
	}
	ovsdb_log_close(s->log);
	free(s->snapshot_path);
	free(s);
}

struct ovsdb_log *ovsdb_storage_log(struct ovsdb_storage *s)
{
	return s->log;
}
