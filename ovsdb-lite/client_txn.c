/* SPDX-License-Identifier: BSD-3-Clause */
/* Transactions of a client: collected row by row, compared with the replica, sent as one
 * "transact", matched with the reply. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/client_priv.h"
#include "ovsdb-lite/json_text.h"

enum row_kind { ROW_CHANGE, ROW_INSERT, ROW_DELETE };

struct value {
	const struct ovsdb_column *column;
	struct ovsdb_datum *datum;
};

struct mutation {
	const struct ovsdb_column *column;
	bool insert; /* else delete */
	struct ovsdb_datum *datum;
};

/* Everything the transaction does to one row. */
struct row_ops {
	struct hmap_node node; /* by uuid */
	struct uuid uuid;
	struct ovsdb_table *table;
	enum row_kind kind;
	VEC(struct value) values;
	VEC(struct mutation) mutations;
	VEC(const struct ovsdb_column *) verifies;
	const struct ovsdb_column *increment;
	struct uuid real;  /* of an inserted row, from the reply */
	int64_t insert_op; /* index of its operation */
};

struct ovsdb_client_txn {
	struct list node; /* client->txns or client->done */
	struct ovsdb_client *client;
	int64_t id;
	unsigned generation; /* of the replica whose tables and columns it points at */
	struct hmap rows;
	VEC(struct row_ops *) order;
	struct str comment;
	bool durable, asserts;
	char *error;
	enum ovsdb_client_txn_status status; /* of one that finished without being sent */
	ovsdb_client_txn_cb done;
	void *aux;
	int64_t n_ops, increment_op; /* index of the select; -1 = none */
};

/* --- life ---------------------------------------------------------------------------------------
 */

struct ovsdb_client_txn *ovsdb_client_txn_create(struct ovsdb_client *c)
{
	struct ovsdb_client_txn *t = xzalloc(sizeof *t);

	t->client = c;
	t->generation = c->generation;
	t->increment_op = -1;
	list_init(&t->node);
	return t;
}

static void txn_free(struct ovsdb_client_txn *t)
{
	VEC_FOR_EACH (r, &t->order) {
		VEC_FOR_EACH (v, &(*r)->values)
			ovsdb_datum_unref(v->datum);
		VEC_FOR_EACH (m, &(*r)->mutations)
			ovsdb_datum_unref(m->datum);
		vec_free(&(*r)->values);
		vec_free(&(*r)->mutations);
		vec_free(&(*r)->verifies);
		free(*r);
	}
	vec_free(&t->order);
	hmap_destroy(&t->rows);
	list_remove(&t->node);
	str_free(&t->comment);
	free(t->error);
	free(t);
}

void ovsdb_client_txn_abort(struct ovsdb_client_txn *t)
{
	if (t)
		txn_free(t);
}

static void SL_PRINTF(2, 3) set_error(struct ovsdb_client_txn *t, const char *fmt, ...)
{
	struct str s = STR_INIT;
	va_list ap;

	if (t->error)
		return;
	va_start(ap, fmt);
	str_vprintf(&s, fmt, ap);
	va_end(ap);
	t->error = str_steal(&s);
}

/* --- collecting ---------------------------------------------------------------------------------
 */

static struct row_ops *find_ops(const struct ovsdb_client_txn *t, const struct uuid *uuid)
{
	HMAP_FOR_EACH_WITH_HASH (r, struct row_ops, node, uuid_hash(uuid), &t->rows)
		if (uuid_eq(&r->uuid, uuid))
			return r;
	return NULL;
}

/* NULL after noting the error. */
static struct row_ops *get_ops(struct ovsdb_client_txn *t, const struct uuid *uuid,
			       const char *table)
{
	struct row_ops *r = find_ops(t, uuid);

	if (t->generation != t->client->generation) {
		set_error(t, "the schema changed meanwhile");
		return NULL;
	}
	if (r)
		return r;
	struct ovsdb_table *tab = t->client->db ? ovsdb_db_table(t->client->db, table) : NULL;
	if (!tab) {
		if (t->client->db)
			set_error(t, "no table %s", table);
		else
			set_error(t, "not connected");
		return NULL;
	}
	r = xzalloc(sizeof *r);
	r->uuid = *uuid;
	r->table = tab;
	r->insert_op = -1;
	hmap_insert(&t->rows, &r->node, uuid_hash(uuid));
	vec_push(&t->order, r);
	return r;
}

static const struct ovsdb_column *get_column(struct ovsdb_client_txn *t, const struct row_ops *r,
					     const char *name)
{
	const struct ovsdb_column *c = ovsdb_table_schema_column(r->table->schema, name);

	if (!c)
		set_error(t, "%s: no column %s", r->table->schema->name, name);
	return c;
}

/* What the column holds now: as set in this transaction, else in the replica, else unknown. */
static const struct ovsdb_datum *present(const struct row_ops *r, const struct ovsdb_column *c)
{
	const struct ovsdb_row *row = ovsdb_table_find(r->table, &r->uuid);

	VEC_FOR_EACH (v, &r->values)
		if (v->column == c)
			return v->datum;
	if (r->kind == ROW_INSERT)
		return c->dflt;
	return row ? ovsdb_row_field(row, c->index) : NULL;
}

static void store(struct row_ops *r, const struct ovsdb_column *c, struct ovsdb_datum *d)
{
	struct value new = {c, d};

	VEC_FOR_EACH (v, &r->values)
		if (v->column == c) {
			ovsdb_datum_unref(v->datum);
			v->datum = d;
			return;
		}
	vec_push(&r->values, new);
}

void ovsdb_client_txn_comment(struct ovsdb_client_txn *t, const char *text)
{
	if (t->comment.len)
		str_putc(&t->comment, '\n');
	str_puts(&t->comment, text);
}

void ovsdb_client_txn_durable(struct ovsdb_client_txn *t)
{
	t->durable = true;
}

struct uuid ovsdb_client_txn_insert(struct ovsdb_client_txn *t, const char *table)
{
	struct uuid uuid;

	uuid_generate(&uuid);
	struct row_ops *r = get_ops(t, &uuid, table);
	if (r)
		r->kind = ROW_INSERT;
	return uuid;
}

void ovsdb_client_txn_delete(struct ovsdb_client_txn *t, struct uuid row, const char *table)
{
	struct row_ops *r = get_ops(t, &row, table);

	if (r)
		r->kind = ROW_DELETE;
}

void ovsdb_client_txn_verify(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			     const char *column)
{
	struct row_ops *r = get_ops(t, &row, table);
	const struct ovsdb_column *c = r ? get_column(t, r, column) : NULL;

	if (c)
		vec_push(&r->verifies, c);
}

void ovsdb_client_txn_increment(struct ovsdb_client_txn *t, struct uuid row, const char *table,
				const char *column)
{
	struct row_ops *r = get_ops(t, &row, table);
	const struct ovsdb_column *c = r ? get_column(t, r, column) : NULL;

	if (c && c->type.key.type != OVSDB_INTEGER)
		set_error(t, "%s.%s: not an integer", table, column);
	else if (c)
		r->increment = c;
}

void ovsdb_client_txn_set_datum(struct ovsdb_client_txn *t, struct uuid row, const char *table,
				const char *column, struct ovsdb_datum *value)
{
	struct row_ops *r = get_ops(t, &row, table);
	const struct ovsdb_column *c = r ? get_column(t, r, column) : NULL;

	if (!c) {
		ovsdb_datum_unref(value);
		return;
	}
	if (value->key_type != c->type.key.type || value->value_type != c->type.value.type) {
		set_error(t, "%s.%s: a value of type %s%s%s was given", table, column,
			  ovsdb_atomic_type_name(value->key_type),
			  value->value_type != OVSDB_VOID ? " to " : "",
			  value->value_type != OVSDB_VOID
				  ? ovsdb_atomic_type_name(value->value_type)
				  : "");
		ovsdb_datum_unref(value);
		return;
	}
	const struct ovsdb_datum *old = present(r, c);
	if (old && r->kind != ROW_DELETE && ovsdb_datum_eq(old, value))
		ovsdb_datum_unref(value);
	else
		store(r, c, value);
}

void ovsdb_client_txn_set_int(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			      const char *column, int64_t value)
{
	ovsdb_client_txn_set_datum(t, row, table, column, ovsdb_datum_from_int(value));
}

void ovsdb_client_txn_set_real(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			       const char *column, double value)
{
	ovsdb_client_txn_set_datum(t, row, table, column, ovsdb_datum_from_real(value));
}

void ovsdb_client_txn_set_bool(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			       const char *column, bool value)
{
	ovsdb_client_txn_set_datum(t, row, table, column, ovsdb_datum_from_bool(value));
}

void ovsdb_client_txn_set_string(struct ovsdb_client_txn *t, struct uuid row, const char *table,
				 const char *column, const char *value)
{
	if (value)
		ovsdb_client_txn_set_datum(t, row, table, column, ovsdb_datum_from_string(value));
	else
		ovsdb_client_txn_clear(t, row, table, column);
}

void ovsdb_client_txn_set_ref(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			      const char *column, struct uuid value)
{
	ovsdb_client_txn_set_datum(t, row, table, column, ovsdb_datum_from_uuid(&value));
}

static struct ovsdb_string *text(const char *s)
{
	return ovsdb_string_new(s, strlen(s));
}

void ovsdb_client_txn_set_refs(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			       const char *column, const struct uuid *values, size_t n)
{
	union ovsdb_atom *keys = xcalloc(n, sizeof *keys);

	for (size_t i = 0; i < n; i++)
		keys[i].uuid = values[i];
	ovsdb_client_txn_set_datum(t, row, table, column,
				   ovsdb_datum_build(keys, NULL, n, OVSDB_UUID, OVSDB_VOID, false));
	free(keys);
}

void ovsdb_client_txn_set_strings(struct ovsdb_client_txn *t, struct uuid row, const char *table,
				  const char *column, const char *const *values, size_t n)
{
	union ovsdb_atom *keys = xcalloc(n, sizeof *keys);

	for (size_t i = 0; i < n; i++)
		keys[i].string = text(values[i]);
	ovsdb_client_txn_set_datum(
		t, row, table, column,
		ovsdb_datum_build(keys, NULL, n, OVSDB_STRING, OVSDB_VOID, false));
	free(keys);
}

void ovsdb_client_txn_set_ints(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			       const char *column, const int64_t *values, size_t n)
{
	union ovsdb_atom *keys = xcalloc(n, sizeof *keys);

	for (size_t i = 0; i < n; i++)
		keys[i].integer = values[i];
	ovsdb_client_txn_set_datum(
		t, row, table, column,
		ovsdb_datum_build(keys, NULL, n, OVSDB_INTEGER, OVSDB_VOID, false));
	free(keys);
}

void ovsdb_client_txn_set_map(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			      const char *column, const char *const *keys,
			      const char *const *values, size_t n)
{
	union ovsdb_atom *k = xcalloc(n, sizeof *k), *v = xcalloc(n, sizeof *v);

	for (size_t i = 0; i < n; i++) {
		k[i].string = text(keys[i]);
		v[i].string = text(values[i]);
	}
	ovsdb_client_txn_set_datum(t, row, table, column,
				   ovsdb_datum_build(k, v, n, OVSDB_STRING, OVSDB_STRING, false));
	free(k);
	free(v);
}

void ovsdb_client_txn_set_int_map(struct ovsdb_client_txn *t, struct uuid row, const char *table,
				  const char *column, const char *const *keys,
				  const int64_t *values, size_t n)
{
	union ovsdb_atom *k = xcalloc(n, sizeof *k), *v = xcalloc(n, sizeof *v);

	for (size_t i = 0; i < n; i++) {
		k[i].string = text(keys[i]);
		v[i].integer = values[i];
	}
	ovsdb_client_txn_set_datum(t, row, table, column,
				   ovsdb_datum_build(k, v, n, OVSDB_STRING, OVSDB_INTEGER, false));
	free(k);
	free(v);
}

void ovsdb_client_txn_clear(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			    const char *column)
{
	struct row_ops *r = get_ops(t, &row, table);
	const struct ovsdb_column *c = r ? get_column(t, r, column) : NULL;

	if (c)
		ovsdb_client_txn_set_datum(t, row, table, column,
					   ovsdb_datum_empty(c->type.key.type, c->type.value.type));
}

/* Takes d. A column already set here (or of a new row) is changed in place. */
static void mutate(struct ovsdb_client_txn *t, struct row_ops *r, const struct ovsdb_column *c,
		   bool insert, struct ovsdb_datum *d)
{
	struct mutation m = {c, insert, d};
	bool staged = r->kind == ROW_INSERT;

	VEC_FOR_EACH (v, &r->values)
		staged |= v->column == c;
	if (!staged) {
		vec_push(&r->mutations, m);
		return;
	}
	const struct ovsdb_datum *old = present(r, c);
	store(r, c, insert ? ovsdb_datum_union(old, d, true) : ovsdb_datum_subtract(old, d));
	ovsdb_datum_unref(d);
}

static const struct ovsdb_column *string_map(struct ovsdb_client_txn *t, const struct row_ops *r,
					     const char *name)
{
	const struct ovsdb_column *c = r ? get_column(t, r, name) : NULL;

	if (c && (c->type.key.type != OVSDB_STRING || c->type.value.type != OVSDB_STRING)) {
		set_error(t, "%s.%s: not a map of strings", r->table->schema->name, name);
		return NULL;
	}
	return c;
}

void ovsdb_client_txn_map_put(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			      const char *column, const char *key, const char *value)
{
	struct row_ops *r = get_ops(t, &row, table);
	const struct ovsdb_column *c = string_map(t, r, column);

	if (!c)
		return;
	union ovsdb_atom k = {.string = text(key)}, v = {.string = text(value)};
	struct ovsdb_datum *pair = ovsdb_datum_build(&k, &v, 1, OVSDB_STRING, OVSDB_STRING, false);
	const struct ovsdb_datum *old = present(r, c);
	if (old && !r->mutations.len && ovsdb_datum_includes_all(pair, old)) {
		ovsdb_datum_unref(pair);
		return;
	}
	mutate(t, r, c, false, ovsdb_datum_from_string(key)); /* insert keeps an existing key */
	mutate(t, r, c, true, pair);
}

void ovsdb_client_txn_map_delete(struct ovsdb_client_txn *t, struct uuid row, const char *table,
				 const char *column, const char *key)
{
	struct row_ops *r = get_ops(t, &row, table);
	const struct ovsdb_column *c = string_map(t, r, column);

	if (!c)
		return;
	struct ovsdb_datum *d = ovsdb_datum_from_string(key);
	const struct ovsdb_datum *old = present(r, c);
	if (old && !r->mutations.len && ovsdb_datum_find(old, &d->atoms[0]) < 0)
		ovsdb_datum_unref(d);
	else
		mutate(t, r, c, false, d);
}

static void change_ref(struct ovsdb_client_txn *t, const struct uuid *row, const char *table,
		       const char *column, const struct uuid *value, bool add)
{
	struct row_ops *r = get_ops(t, row, table);
	const struct ovsdb_column *c = r ? get_column(t, r, column) : NULL;

	if (!c)
		return;
	if (c->type.key.type != OVSDB_UUID || ovsdb_type_is_map(&c->type)) {
		set_error(t, "%s.%s: not a set of references", table, column);
		return;
	}
	union ovsdb_atom a = {.uuid = *value};
	const struct ovsdb_datum *old = present(r, c);
	if (old && !r->mutations.len && (ovsdb_datum_find(old, &a) >= 0) == add)
		return;
	mutate(t, r, c, add, ovsdb_datum_from_uuid(value));
}

void ovsdb_client_txn_add_ref(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			      const char *column, struct uuid value)
{
	change_ref(t, &row, table, column, &value, true);
}

void ovsdb_client_txn_remove_ref(struct ovsdb_client_txn *t, struct uuid row, const char *table,
				 const char *column, struct uuid value)
{
	change_ref(t, &row, table, column, &value, false);
}

/* --- writing the request ------------------------------------------------------------------------
 */

static void put_symbol(struct str *s, const struct uuid *u)
{
	char uuid[UUID_TEXT_BYTES];

	uuid_format(u, uuid);
	for (char *p = uuid; *p; p++)
		if (*p == '-')
			*p = '_';
	str_printf(s, "row%s", uuid);
}

static void put_atom(struct str *s, const struct ovsdb_client_txn *t, const union ovsdb_atom *a,
		     enum ovsdb_atomic_type type)
{
	const struct row_ops *r = type == OVSDB_UUID ? find_ops(t, &a->uuid) : NULL;

	if (!r || r->kind != ROW_INSERT) {
		ovsdb_atom_put_json(s, a, type);
		return;
	}
	str_puts(s, "[\"named-uuid\",\"");
	put_symbol(s, &a->uuid);
	str_puts(s, "\"]");
}

static void put_value(struct str *s, const struct ovsdb_client_txn *t, const struct ovsdb_datum *d)
{
	if (d->key_type != OVSDB_UUID && d->value_type != OVSDB_UUID) {
		ovsdb_datum_put_json(s, d);
		return;
	}
	str_puts(s, d->value_type == OVSDB_VOID ? "[\"set\",[" : "[\"map\",[");
	for (uint32_t i = 0; i < d->n; i++) {
		str_puts(s, i ? "," : "");
		if (d->value_type != OVSDB_VOID)
			str_putc(s, '[');
		put_atom(s, t, &d->atoms[i], d->key_type);
		if (d->value_type != OVSDB_VOID) {
			str_putc(s, ',');
			put_atom(s, t, &d->atoms[d->n + i], d->value_type);
			str_putc(s, ']');
		}
	}
	str_puts(s, "]]");
}

static void begin_op(struct str *s, struct ovsdb_client_txn *t, const char *op,
		     const struct row_ops *r)
{
	char uuid[UUID_TEXT_BYTES];

	t->n_ops++;
	str_printf(s, ",{\"op\":\"%s\"", op);
	if (!r)
		return;
	str_printf(s, ",\"table\":\"%s\"", r->table->schema->name);
	if (r->kind == ROW_INSERT)
		return;
	uuid_format(&r->uuid, uuid);
	str_printf(s, ",\"where\":[[\"_uuid\",\"==\",[\"uuid\",\"%s\"]]]", uuid);
}

static void put_verifies(struct str *s, struct ovsdb_client_txn *t, struct row_ops *r)
{
	const struct ovsdb_row *row = ovsdb_table_find(r->table, &r->uuid);

	VEC_FOR_EACH (c, &r->verifies) {
		if (!row || r->kind == ROW_INSERT)
			continue;
		begin_op(s, t, "wait", r);
		str_printf(
			s,
			",\"timeout\":0,\"until\":\"==\",\"columns\":[\"%s\"],\"rows\":[{\"%s\":",
			(*c)->name, (*c)->name);
		ovsdb_datum_put_json(s, ovsdb_row_field(row, (*c)->index));
		str_puts(s, "}]}");
	}
}

static void put_row(struct str *s, struct ovsdb_client_txn *t, struct row_ops *r)
{
	if (r->kind == ROW_CHANGE && !r->values.len)
		return;
	if (r->kind == ROW_INSERT)
		r->insert_op = t->n_ops;
	begin_op(s, t,
		 r->kind == ROW_INSERT   ? "insert"
		 : r->kind == ROW_DELETE ? "delete"
					 : "update",
		 r);
	if (r->kind == ROW_DELETE) {
		str_putc(s, '}');
		return;
	}
	if (r->kind == ROW_INSERT) {
		str_puts(s, ",\"uuid-name\":\"");
		put_symbol(s, &r->uuid);
		str_putc(s, '"');
	}
	str_puts(s, ",\"row\":{");
	for (size_t i = 0; i < r->values.len; i++) {
		str_printf(s, "%s\"%s\":", i ? "," : "", r->values.at[i].column->name);
		put_value(s, t, r->values.at[i].datum);
	}
	str_puts(s, "}}");
}

static void put_mutations(struct str *s, struct ovsdb_client_txn *t, struct row_ops *r)
{
	if (r->kind != ROW_CHANGE || (!r->mutations.len && !r->increment))
		return;
	begin_op(s, t, "mutate", r);
	str_puts(s, ",\"mutations\":[");
	for (size_t i = 0; i < r->mutations.len; i++) {
		const struct mutation *m = &r->mutations.at[i];

		str_printf(s, "%s[\"%s\",\"%s\",", i ? "," : "", m->column->name,
			   m->insert ? "insert" : "delete");
		if (m->datum->n == 1 && m->datum->value_type == OVSDB_VOID &&
		    m->datum->key_type != OVSDB_UUID) {
			str_puts(s, "[\"set\",["); /* a bare key is no set to a map column */
			ovsdb_atom_put_json(s, &m->datum->atoms[0], m->datum->key_type);
			str_puts(s, "]]");
		} else {
			put_value(s, t, m->datum);
		}
		str_putc(s, ']');
	}
	if (r->increment)
		str_printf(s, "%s[\"%s\",\"+=\",1]", r->mutations.len ? "," : "",
			   r->increment->name);
	str_puts(s, "]}");
	if (r->increment) {
		t->increment_op = t->n_ops;
		begin_op(s, t, "select", r);
		str_printf(s, ",\"columns\":[\"%s\"]}", r->increment->name);
	}
}

/* false: nothing to do. */
static bool put_request(struct str *s, struct ovsdb_client_txn *t)
{
	struct ovsdb_client *c = t->client;

	str_printf(s, "[\"%s\"", c->db_name);
	if (c->lock) {
		begin_op(s, t, "assert", NULL);
		str_printf(s, ",\"lock\":\"%s\"}", c->lock);
	}
	VEC_FOR_EACH (r, &t->order)
		put_verifies(s, t, *r);
	int64_t before = t->n_ops;
	VEC_FOR_EACH (r, &t->order) {
		put_row(s, t, *r);
		put_mutations(s, t, *r);
	}
	if (t->n_ops == before)
		return false;
	if (t->comment.len) {
		begin_op(s, t, "comment", NULL);
		str_puts(s, ",\"comment\":");
		json_put_string(s, t->comment.s, t->comment.len);
		str_putc(s, '}');
	}
	if (t->durable) {
		begin_op(s, t, "commit", NULL);
		str_puts(s, ",\"durable\":true}");
	}
	str_putc(s, ']');
	return true;
}

/* --- completion ---------------------------------------------------------------------------------
 */

static void complete(struct ovsdb_client_txn *t, enum ovsdb_client_txn_status status,
		     int64_t increment)
{
	struct ovsdb_client_txn_result r = {
		.status = status,
		.error = status == OVSDB_TXN_ERROR && t->error ? t->error : "",
		.increment = increment,
		.txn = t,
	};

	list_remove(&t->node);
	if (t->done)
		t->done(t->client, &r, t->aux);
	txn_free(t);
}

static void complete_later(struct ovsdb_client_txn *t, enum ovsdb_client_txn_status status)
{
	t->status = status;
	list_push_back(&t->client->done, &t->node);
	event_active(t->client->deferred, EV_TIMEOUT, 1);
}

void client_txn_finish_local(struct ovsdb_client *c)
{
	while (!list_is_empty(&c->done)) {
		struct ovsdb_client_txn *t =
			LIST_ENTRY(list_pop_front(&c->done), struct ovsdb_client_txn, node);

		complete(t, t->status, 0);
	}
}

void ovsdb_client_txn_commit(struct ovsdb_client_txn *t, ovsdb_client_txn_cb done, void *aux)
{
	struct ovsdb_client *c = t->client;
	struct str s = STR_INIT;

	t->done = done;
	t->aux = aux;
	if (!ovsdb_client_is_connected(c) || t->generation != c->generation) {
		complete_later(t, OVSDB_TXN_DISCONNECTED);
	} else if (t->error) {
		complete_later(t, OVSDB_TXN_ERROR);
	} else if (c->lock && !c->has_lock) {
		complete_later(t, OVSDB_TXN_NOT_LOCKED);
	} else if (!put_request(&s, t)) {
		complete_later(t, OVSDB_TXN_UNCHANGED);
	} else {
		t->id = c->next_id++;
		list_push_back(&c->txns, &t->node);
		client_send(c, t->id, "transact", s.s);
	}
	str_free(&s);
}

static enum ovsdb_client_txn_status judge(struct ovsdb_client_txn *t, const json_t *result,
					  const json_t *error)
{
	size_t i;
	json_t *op;

	if (error || !json_is_array(result)) {
		struct str s = STR_INIT;

		json_put_value(&s, error);
		set_error(t, "%s", str_cstr(&s));
		str_free(&s);
		return OVSDB_TXN_ERROR;
	}
	json_array_foreach(result, i, op)
	{
		const char *tag = json_string_value(json_object_get(op, "error"));
		const char *details = json_string_value(json_object_get(op, "details"));

		if (!tag)
			continue;
		if (!strcmp(tag, "timed out"))
			return OVSDB_TXN_TRY_AGAIN;
		if (!strcmp(tag, "not owner"))
			return OVSDB_TXN_NOT_LOCKED;
		set_error(t, "%s: %s", tag, details ? details : "");
		return OVSDB_TXN_ERROR;
	}
	return OVSDB_TXN_SUCCESS;
}

static int64_t read_increment(const struct ovsdb_client_txn *t, const json_t *result)
{
	const json_t *rows, *row;
	const char *name;
	json_t *value;

	if (t->increment_op < 0)
		return 0;
	rows = json_object_get(json_array_get(result, (size_t)t->increment_op), "rows");
	row = json_array_get(rows, 0);
	json_object_foreach((json_t *)row, name, value) return json_integer_value(value);
	return 0;
}

void client_txn_reply(struct ovsdb_client *c, int64_t id, const json_t *result, const json_t *error)
{
	LIST_FOR_EACH (t, struct ovsdb_client_txn, node, &c->txns) {
		if (t->id != id)
			continue;
		enum ovsdb_client_txn_status status = judge(t, result, error);
		for (size_t i = 0; status == OVSDB_TXN_SUCCESS && i < t->order.len; i++) {
			struct row_ops *r = t->order.at[i];
			const json_t *op = json_array_get(result, (size_t)SL_MAX(r->insert_op, 0));
			const char *uuid =
				json_string_value(json_array_get(json_object_get(op, "uuid"), 1));

			if (r->kind == ROW_INSERT && uuid)
				uuid_parse(uuid, &r->real);
		}
		complete(t, status, status == OVSDB_TXN_SUCCESS ? read_increment(t, result) : 0);
		return;
	}
}

const struct uuid *ovsdb_client_txn_inserted(const struct ovsdb_client_txn_result *r,
					     const struct uuid *temporary)
{
	const struct row_ops *ops = find_ops(r->txn, temporary);

	return ops && ops->kind == ROW_INSERT && !uuid_is_zero(&ops->real) ? &ops->real : NULL;
}

void client_txn_disconnected(struct ovsdb_client *c)
{
	struct list all;

	/* Callbacks may start new ones; those belong to the next connection. */
	list_init(&all);
	while (!list_is_empty(&c->txns))
		list_push_back(&all, list_pop_front(&c->txns));
	while (!list_is_empty(&all))
		complete(LIST_ENTRY(list_pop_front(&all), struct ovsdb_client_txn, node),
			 OVSDB_TXN_DISCONNECTED, 0);
}

void client_txn_free_all(struct ovsdb_client *c)
{
	while (!list_is_empty(&c->txns))
		txn_free(LIST_ENTRY(list_pop_front(&c->txns), struct ovsdb_client_txn, node));
	while (!list_is_empty(&c->done))
		txn_free(LIST_ENTRY(list_pop_front(&c->done), struct ovsdb_client_txn, node));
}
