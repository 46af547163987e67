/* SPDX-License-Identifier: BSD-3-Clause */
/* Values given as C types become datums; parts of a column become mutations. */
#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/client_txn_priv.h"

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
	struct row_ops *r = client_txn_get_ops(t, &row, table);
	const struct ovsdb_column *c = r ? client_txn_get_column(t, r, column) : NULL;

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
	const struct ovsdb_datum *old = client_txn_present(r, c);
	client_txn_store(r, c,
			 insert ? ovsdb_datum_union(old, d, true) : ovsdb_datum_subtract(old, d));
	ovsdb_datum_unref(d);
}

static const struct ovsdb_column *string_map(struct ovsdb_client_txn *t, const struct row_ops *r,
					     const char *name)
{
	const struct ovsdb_column *c = r ? client_txn_get_column(t, r, name) : NULL;

	if (c && (c->type.key.type != OVSDB_STRING || c->type.value.type != OVSDB_STRING)) {
		client_txn_set_error(t, "%s.%s: not a map of strings", r->table->schema->name,
				     name);
		return NULL;
	}
	return c;
}

void ovsdb_client_txn_map_put(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			      const char *column, const char *key, const char *value)
{
	struct row_ops *r = client_txn_get_ops(t, &row, table);
	const struct ovsdb_column *c = string_map(t, r, column);

	if (!c)
		return;
	union ovsdb_atom k = {.string = text(key)}, v = {.string = text(value)};
	struct ovsdb_datum *pair = ovsdb_datum_build(&k, &v, 1, OVSDB_STRING, OVSDB_STRING, false);
	const struct ovsdb_datum *old = client_txn_present(r, c);
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
	struct row_ops *r = client_txn_get_ops(t, &row, table);
	const struct ovsdb_column *c = string_map(t, r, column);

	if (!c)
		return;
	struct ovsdb_datum *d = ovsdb_datum_from_string(key);
	const struct ovsdb_datum *old = client_txn_present(r, c);
	if (old && !r->mutations.len && ovsdb_datum_find(old, &d->atoms[0]) < 0)
		ovsdb_datum_unref(d);
	else
		mutate(t, r, c, false, d);
}

static void change_ref(struct ovsdb_client_txn *t, const struct uuid *row, const char *table,
		       const char *column, const struct uuid *value, bool add)
{
	struct row_ops *r = client_txn_get_ops(t, row, table);
	const struct ovsdb_column *c = r ? client_txn_get_column(t, r, column) : NULL;

	if (!c)
		return;
	if (c->type.key.type != OVSDB_UUID || ovsdb_type_is_map(&c->type)) {
		client_txn_set_error(t, "%s.%s: not a set of references", table, column);
		return;
	}
	union ovsdb_atom a = {.uuid = *value};
	const struct ovsdb_datum *old = client_txn_present(r, c);
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
