/* SPDX-License-Identifier: BSD-3-Clause */
/* Transactions of a client: collected row by row, compared with the replica, sent as one
 * "transact", matched with the reply. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/client_txn_priv.h"
#include "ovsdb-lite/json_text.h"

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

void client_txn_set_error(struct ovsdb_client_txn *t, const char *fmt, ...)
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

struct row_ops *client_txn_find_ops(const struct ovsdb_client_txn *t, const struct uuid *uuid)
{
	HMAP_FOR_EACH_WITH_HASH (r, struct row_ops, node, uuid_hash(uuid), &t->rows)
		if (uuid_eq(&r->uuid, uuid))
			return r;
	return NULL;
}

/* NULL after noting the error. */
struct row_ops *client_txn_get_ops(struct ovsdb_client_txn *t, const struct uuid *uuid,
				   const char *table)
{
	struct row_ops *r = client_txn_find_ops(t, uuid);

	if (t->generation != t->client->generation) {
		client_txn_set_error(t, "the schema changed meanwhile");
		return NULL;
	}
	if (r)
		return r;
	struct ovsdb_table *tab = t->client->db ? ovsdb_db_table(t->client->db, table) : NULL;
	if (!tab) {
		if (t->client->db)
			client_txn_set_error(t, "no table %s", table);
		else
			client_txn_set_error(t, "not connected");
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

const struct ovsdb_column *client_txn_get_column(struct ovsdb_client_txn *t,
						 const struct row_ops *r, const char *name)
{
	const struct ovsdb_column *c = ovsdb_table_schema_column(r->table->schema, name);

	if (!c)
		client_txn_set_error(t, "%s: no column %s", r->table->schema->name, name);
	return c;
}

/* What the column holds now: as set in this transaction, else in the replica, else unknown. */
const struct ovsdb_datum *client_txn_present(const struct row_ops *r, const struct ovsdb_column *c)
{
	const struct ovsdb_row *row = ovsdb_table_find(r->table, &r->uuid);

	VEC_FOR_EACH (v, &r->values)
		if (v->column == c)
			return v->datum;
	if (r->kind == ROW_INSERT)
		return c->dflt;
	return row ? ovsdb_row_field(row, c->index) : NULL;
}

void client_txn_store(struct row_ops *r, const struct ovsdb_column *c, struct ovsdb_datum *d)
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
	struct row_ops *r = client_txn_get_ops(t, &uuid, table);
	if (r)
		r->kind = ROW_INSERT;
	return uuid;
}

void ovsdb_client_txn_delete(struct ovsdb_client_txn *t, struct uuid row, const char *table)
{
	struct row_ops *r = client_txn_get_ops(t, &row, table);

	if (r)
		r->kind = ROW_DELETE;
}

void ovsdb_client_txn_verify(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			     const char *column)
{
	struct row_ops *r = client_txn_get_ops(t, &row, table);
	const struct ovsdb_column *c = r ? client_txn_get_column(t, r, column) : NULL;

	if (c)
		vec_push(&r->verifies, c);
}

void ovsdb_client_txn_increment(struct ovsdb_client_txn *t, struct uuid row, const char *table,
				const char *column)
{
	struct row_ops *r = client_txn_get_ops(t, &row, table);
	const struct ovsdb_column *c = r ? client_txn_get_column(t, r, column) : NULL;

	if (c && c->type.key.type != OVSDB_INTEGER)
		client_txn_set_error(t, "%s.%s: not an integer", table, column);
	else if (c)
		r->increment = c;
}

void ovsdb_client_txn_set_datum(struct ovsdb_client_txn *t, struct uuid row, const char *table,
				const char *column, struct ovsdb_datum *value)
{
	struct row_ops *r = client_txn_get_ops(t, &row, table);
	const struct ovsdb_column *c = r ? client_txn_get_column(t, r, column) : NULL;

	if (!c) {
		ovsdb_datum_unref(value);
		return;
	}
	if (value->key_type != c->type.key.type || value->value_type != c->type.value.type) {
		client_txn_set_error(t, "%s.%s: a value of type %s%s%s was given", table, column,
				     ovsdb_atomic_type_name(value->key_type),
				     value->value_type != OVSDB_VOID ? " to " : "",
				     value->value_type != OVSDB_VOID
					     ? ovsdb_atomic_type_name(value->value_type)
					     : "");
		ovsdb_datum_unref(value);
		return;
	}
	const struct ovsdb_datum *old = client_txn_present(r, c);
	if (old && r->kind != ROW_DELETE && ovsdb_datum_eq(old, value))
		ovsdb_datum_unref(value);
	else
		client_txn_store(r, c, value);
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
	} else if (!client_txn_put_request(&s, t)) {
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
		client_txn_set_error(t, "%s", str_cstr(&s));
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
		client_txn_set_error(t, "%s: %s", tag, details ? details : "");
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
	const struct row_ops *ops = client_txn_find_ops(r->txn, temporary);

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
