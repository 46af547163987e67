/* SPDX-License-Identifier: BSD-3-Clause */
/* The rows a client holds: brought up to date by update messages, read by typed getters. */
#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/client_priv.h"

/* --- applying updates ---------------------------------------------------------------------------
 */

struct batch {
	struct ovsdb_client *c;
	VEC(struct ovsdb_client_change) changes;
	VEC(struct ovsdb_row *) garbage; /* deleted rows and pictures of old ones */
};

static void add_change(struct batch *b, enum ovsdb_client_change_kind kind, struct ovsdb_row *row,
		       struct ovsdb_row *old)
{
	struct ovsdb_client_change ch = {kind, row->table->schema->name, row, old};

	vec_push(&b->changes, ch);
}

/* on_change, then the old rows go. */
static void finish(struct batch *b)
{
	struct ovsdb_client *c = b->c;

	if (b->changes.len && c->on_change)
		c->on_change(c, b->changes.at, b->changes.len, c->aux);
	VEC_FOR_EACH (row, &b->garbage)
		ovsdb_row_free(*row);
	vec_free(&b->garbage);
	vec_free(&b->changes);
}

static struct ovsdb_row *picture(const struct ovsdb_row *row)
{
	struct ovsdb_row *p = ovsdb_row_create(row->table, ovsdb_row_id(row));

	for (size_t i = 0; i < row->table->schema->n_columns; i++) {
		ovsdb_datum_unref(p->fields[i]);
		p->fields[i] = ovsdb_datum_ref(row->fields[i]);
	}
	p->version = row->version;
	return p;
}

/* The indexes of the schema serve ovsdb_client_find(). Rows are not in them while they change. */
static void index_row(struct ovsdb_row *row)
{
	const struct ovsdb_table_schema *s = row->table->schema;

	for (size_t i = 0; i < s->n_indexes; i++)
		hmap_insert(&row->table->indexes[i], &row->index[i].node,
			    ovsdb_row_index_hash(row->fields, &s->indexes[i]));
}

static void unindex_row(struct ovsdb_row *row)
{
	for (size_t i = 0; i < row->table->schema->n_indexes; i++)
		hmap_remove(&row->table->indexes[i], &row->index[i].node);
}

static bool put_columns(struct ovsdb_row *row, const json_t *json, bool diff)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)json, name, value)
	{
		const struct ovsdb_column *c = ovsdb_table_schema_column(row->table->schema, name);
		struct ovsdb_datum *d;

		if (!c)
			return false;
		struct ovsdb_type type = c->type; /* shallow; a difference has any size */
		if (diff && ovsdb_type_is_composite(&type)) {
			type.n_min = 0;
			type.n_max = UINT32_MAX;
		}
		struct ovsdb_error *e = ovsdb_datum_parse(&d, &type, value, NULL);
		if (e) {
			ovsdb_error_free(e);
			return false;
		}
		if (c->index < 0) {
			if (c->index == OVSDB_COL_VERSION)
				row->version.atom = d->atoms[0];
			ovsdb_datum_unref(d);
			continue;
		}
		struct ovsdb_datum **slot = &row->fields[c->index];
		if (diff && ovsdb_type_is_composite(&c->type)) {
			struct ovsdb_datum *merged = ovsdb_datum_apply_diff(*slot, d);

			ovsdb_datum_unref(d);
			d = merged;
		}
		if (d != *slot &&
		    ovsdb_datum_eq(d, *slot)) { /* keep what is there: cheap compares */
			ovsdb_datum_unref(d);
			continue;
		}
		ovsdb_datum_unref(*slot);
		*slot = d;
	}
	return true;
}

/* Puts the columns of `json` into the row; as differences where `diff`. */
static bool set_columns(struct ovsdb_row *row, const json_t *json, bool diff)
{
	unindex_row(row);
	bool ok = put_columns(row, json, diff);
	index_row(row);
	return ok;
}

static bool same_fields(const struct ovsdb_row *a, const struct ovsdb_row *b)
{
	return !memcmp(a->fields, b->fields, a->table->schema->n_columns * sizeof a->fields[0]);
}

/* New contents of a row, whole (insert, initial) or as differences (modify). */
static bool put_row(struct batch *b, struct ovsdb_table *t, const struct uuid *uuid,
		    const json_t *json, bool diff)
{
	struct ovsdb_row *row = ovsdb_table_find(t, uuid);

	if (!row) {
		row = ovsdb_row_create(t, uuid);
		ovsdb_table_insert(t, row);
		index_row(row);
		add_change(b, OVSDB_ROW_INSERTED, row, NULL);
		return set_columns(row, json, false);
	}
	struct ovsdb_row *old = picture(row);
	vec_push(&b->garbage, old);
	if (!set_columns(row, json, diff))
		return false;
	if (!same_fields(old, row))
		add_change(b, OVSDB_ROW_MODIFIED, row, old);
	return true;
}

static void remove_row(struct batch *b, struct ovsdb_row *row)
{
	unindex_row(row);
	ovsdb_table_remove(row->table, row);
	add_change(b, OVSDB_ROW_DELETED, row, NULL);
	vec_push(&b->garbage, row);
}

static bool apply_row(struct batch *b, struct ovsdb_table *t, const struct uuid *uuid,
		      const json_t *json, int version)
{
	const json_t *new;

	if (version == 1) {
		new = json_object_get(json, "new");
		if (new)
			return put_row(b, t, uuid, new, false);
	} else {
		new = json_object_get(json, "initial");
		if (!new)
			new = json_object_get(json, "insert");
		if (new)
			return put_row(b, t, uuid, new, false);
		new = json_object_get(json, "modify");
		if (new)
			return put_row(b, t, uuid, new, true);
	}
	struct ovsdb_row *row = ovsdb_table_find(t, uuid);
	if (row)
		remove_row(b, row);
	return true;
}

/* A full picture came: defaults are left out of it, and rows may be missing. */
static void begin_whole(struct batch *b, const json_t *updates)
{
	struct ovsdb_db *db = b->c->db;
	char text[UUID_TEXT_BYTES];

	for (size_t i = 0; i < db->schema->n_tables; i++) {
		struct ovsdb_table *t = &db->tables[i];
		const json_t *rows = json_object_get(updates, t->schema->name);

		HMAP_FOR_EACH_SAFE (row, struct ovsdb_row, node, &t->rows) {
			uuid_format(ovsdb_row_id(row), text);
			if (!json_object_get(rows, text))
				remove_row(b, row);
		}
	}
}

/* A row in a full picture: columns it does not mention are at their defaults. */
static bool replace_row(struct batch *b, struct ovsdb_row *row, const json_t *json, int version)
{
	const json_t *new = json_object_get(json, version == 1 ? "new" : "initial");
	const struct ovsdb_table_schema *s = row->table->schema;
	struct ovsdb_row *old = picture(row);

	vec_push(&b->garbage, old);
	unindex_row(row);
	for (size_t i = 0; i < s->n_columns; i++)
		if (!json_object_get(new, s->columns[i].name)) {
			ovsdb_datum_unref(row->fields[i]);
			row->fields[i] = ovsdb_datum_ref(s->columns[i].dflt);
		}
	index_row(row);
	if (!set_columns(row, new, false))
		return false;
	for (size_t i = 0; i < s->n_columns; i++)
		if (!ovsdb_datum_eq(old->fields[i], row->fields[i])) {
			add_change(b, OVSDB_ROW_MODIFIED, row, old);
			break;
		}
	return true;
}

bool replica_apply(struct ovsdb_client *c, const json_t *updates, int version, bool whole)
{
	struct batch b = {.c = c};
	const char *table, *key;
	json_t *rows, *json;
	bool ok = json_is_object(updates);

	if (ok && whole)
		begin_whole(&b, updates);
	json_object_foreach((json_t *)updates, table, rows)
	{
		struct ovsdb_table *t = ovsdb_db_table(c->db, table);

		json_object_foreach(rows, key, json)
		{
			struct uuid uuid;

			ok = ok && t && uuid_parse(key, &uuid);
			if (!ok)
				break;
			struct ovsdb_row *row = whole ? ovsdb_table_find(t, &uuid) : NULL;
			ok = row ? replace_row(&b, row, json, version)
				 : apply_row(&b, t, &uuid, json, version);
		}
	}
	finish(&b);
	return ok;
}

void replica_reset(struct ovsdb_client *c, struct ovsdb_schema *schema)
{
	struct batch b = {.c = c};

	for (size_t i = 0; c->db && i < c->db->schema->n_tables; i++)
		HMAP_FOR_EACH_SAFE (row, struct ovsdb_row, node, &c->db->tables[i].rows)
			remove_row(&b, row);
	finish(&b);
	ovsdb_db_destroy(c->db);
	c->db = ovsdb_db_create(schema);
	c->generation++;
	c->last_txn = (struct uuid){0, 0};
}

/* --- rows ---------------------------------------------------------------------------------------
 */

static struct ovsdb_table *table_of(const struct ovsdb_client *c, const char *name)
{
	return c->db ? ovsdb_db_table(c->db, name) : NULL;
}

size_t ovsdb_client_count(const struct ovsdb_client *c, const char *table)
{
	const struct ovsdb_table *t = table_of(c, table);

	return t ? t->rows.count : 0;
}

const struct ovsdb_row *ovsdb_client_first(const struct ovsdb_client *c, const char *table)
{
	const struct ovsdb_table *t = table_of(c, table);

	return t ? HMAP_ENTRY(hmap_first(&t->rows), struct ovsdb_row, node) : NULL;
}

const struct ovsdb_row *ovsdb_client_next(const struct ovsdb_client *c, const struct ovsdb_row *row)
{
	return HMAP_ENTRY(hmap_next(&row->table->rows, &row->node), struct ovsdb_row, node);
}

const struct ovsdb_row *ovsdb_client_get(const struct ovsdb_client *c, const char *table,
					 const struct uuid *uuid)
{
	const struct ovsdb_table *t = table_of(c, table);

	return t ? ovsdb_table_find(t, uuid) : NULL;
}

/* The index over this column alone; NULL: there is none. */
static const struct hmap *index_of(const struct ovsdb_table *t, const struct ovsdb_column *c)
{
	for (size_t i = 0; i < t->schema->n_indexes; i++)
		if (t->schema->indexes[i].n == 1 && t->schema->indexes[i].columns[0] == c->index)
			return &t->indexes[i];
	return NULL;
}

static const struct ovsdb_row *find_indexed(const struct hmap *map, const struct ovsdb_column *c,
					    const char *value)
{
	const struct ovsdb_row *found = NULL;
	struct ovsdb_datum *d = ovsdb_datum_from_string(value);

	HMAP_FOR_EACH_WITH_HASH (n, struct ovsdb_index_node, node, ovsdb_index_hash_of(d), map)
		if (ovsdb_datum_eq(n->row->fields[c->index], d)) {
			found = n->row;
			break;
		}
	ovsdb_datum_unref(d);
	return found;
}

const struct ovsdb_row *ovsdb_client_find(const struct ovsdb_client *c, const char *table,
					  const char *column, const char *value)
{
	const struct ovsdb_table *t = table_of(c, table);
	const struct ovsdb_column *col = t ? ovsdb_table_schema_column(t->schema, column) : NULL;
	const struct hmap *map = col ? index_of(t, col) : NULL;

	if (map && col->type.key.type == OVSDB_STRING)
		return find_indexed(map, col, value);
	OVSDB_CLIENT_FOR_EACH (row, c, table) {
		const char *s = ovsdb_row_string(row, column, NULL);

		if (s && !strcmp(s, value))
			return row;
	}
	return NULL;
}

bool ovsdb_client_has_column(const struct ovsdb_client *c, const char *table, const char *column)
{
	const struct ovsdb_table *t = table_of(c, table);

	return t && ovsdb_table_schema_column(t->schema, column);
}

const char *ovsdb_client_change_next(const struct ovsdb_client_change *ch, size_t *at)
{
	const struct ovsdb_table_schema *s = ch->row->table->schema;

	while (ch->old && *at < s->n_columns) {
		size_t i = (*at)++;

		if (ch->old->fields[i] != ch->row->fields[i] &&
		    !ovsdb_datum_eq(ch->old->fields[i], ch->row->fields[i]))
			return s->columns[i].name;
	}
	return NULL;
}

bool ovsdb_client_change_has(const struct ovsdb_client_change *ch, const char *column)
{
	const struct ovsdb_datum *a, *b;

	if (!ch->old)
		return true;
	a = ovsdb_row_datum(ch->old, column);
	b = ovsdb_row_datum(ch->row, column);
	return a != b && a && b && !ovsdb_datum_eq(a, b);
}

/* --- columns ------------------------------------------------------------------------------------
 */

const struct uuid *ovsdb_row_uuid(const struct ovsdb_row *row)
{
	return ovsdb_row_id(row);
}

const char *ovsdb_row_table_name(const struct ovsdb_row *row)
{
	return row->table->schema->name;
}

const struct ovsdb_datum *ovsdb_row_datum(const struct ovsdb_row *row, const char *column)
{
	const struct ovsdb_column *c = ovsdb_table_schema_column(row->table->schema, column);

	return c ? ovsdb_row_field(row, c->index) : NULL;
}

/* i-th key of a column of this type; NULL if there is none. */
static const union ovsdb_atom *key_at(const struct ovsdb_row *row, const char *column, size_t i,
				      enum ovsdb_atomic_type type)
{
	const struct ovsdb_datum *d = ovsdb_row_datum(row, column);

	return d && d->key_type == type && i < d->n ? &d->atoms[i] : NULL;
}

int64_t ovsdb_row_int(const struct ovsdb_row *row, const char *column, int64_t dflt)
{
	const union ovsdb_atom *a = key_at(row, column, 0, OVSDB_INTEGER);

	return a ? a->integer : dflt;
}

double ovsdb_row_real(const struct ovsdb_row *row, const char *column, double dflt)
{
	const union ovsdb_atom *a = key_at(row, column, 0, OVSDB_REAL);

	return a ? a->real : dflt;
}

bool ovsdb_row_bool(const struct ovsdb_row *row, const char *column, bool dflt)
{
	const union ovsdb_atom *a = key_at(row, column, 0, OVSDB_BOOLEAN);

	return a ? a->boolean : dflt;
}

const char *ovsdb_row_string(const struct ovsdb_row *row, const char *column, const char *dflt)
{
	const union ovsdb_atom *a = key_at(row, column, 0, OVSDB_STRING);

	return a ? a->string->s : dflt;
}

size_t ovsdb_row_n(const struct ovsdb_row *row, const char *column)
{
	const struct ovsdb_datum *d = ovsdb_row_datum(row, column);

	return d ? d->n : 0;
}

int64_t ovsdb_row_int_at(const struct ovsdb_row *row, const char *column, size_t i)
{
	const union ovsdb_atom *a = key_at(row, column, i, OVSDB_INTEGER);

	return a ? a->integer : 0;
}

const char *ovsdb_row_string_at(const struct ovsdb_row *row, const char *column, size_t i)
{
	const union ovsdb_atom *a = key_at(row, column, i, OVSDB_STRING);

	return a ? a->string->s : NULL;
}

/* Sorted as strings are, so a binary search by text needs no atom. */
static ssize_t find_string(const struct ovsdb_datum *d, const char *value)
{
	size_t lo = 0, hi = d && d->key_type == OVSDB_STRING ? d->n : 0;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = strcmp(d->atoms[mid].string->s, value);

		if (!c)
			return (ssize_t)mid;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return -1;
}

bool ovsdb_row_has_string(const struct ovsdb_row *row, const char *column, const char *value)
{
	return find_string(ovsdb_row_datum(row, column), value) >= 0;
}

const char *ovsdb_row_map(const struct ovsdb_row *row, const char *column, const char *key,
			  const char *dflt)
{
	const struct ovsdb_datum *d = ovsdb_row_datum(row, column);
	ssize_t i = d && d->value_type == OVSDB_STRING ? find_string(d, key) : -1;

	return i >= 0 ? d->atoms[d->n + (size_t)i].string->s : dflt;
}

int64_t ovsdb_row_map_int(const struct ovsdb_row *row, const char *column, const char *key,
			  int64_t dflt)
{
	const struct ovsdb_datum *d = ovsdb_row_datum(row, column);
	ssize_t i = d ? find_string(d, key) : -1;
	char *end;

	if (i < 0)
		return dflt;
	if (d->value_type == OVSDB_INTEGER)
		return d->atoms[d->n + (size_t)i].integer;
	if (d->value_type != OVSDB_STRING)
		return dflt;
	const char *s = d->atoms[d->n + (size_t)i].string->s;
	long long v = strtoll(s, &end, 0);
	return *s && !*end ? v : dflt;
}

bool ovsdb_row_map_bool(const struct ovsdb_row *row, const char *column, const char *key, bool dflt)
{
	const char *s = ovsdb_row_map(row, column, key, "");

	return !strcmp(s, "true") ? true : !strcmp(s, "false") ? false : dflt;
}

const char *ovsdb_row_map_at(const struct ovsdb_row *row, const char *column, size_t i,
			     const char **value)
{
	const struct ovsdb_datum *d = ovsdb_row_datum(row, column);

	if (!d || i >= d->n || d->key_type != OVSDB_STRING || d->value_type != OVSDB_STRING)
		return NULL;
	if (value)
		*value = d->atoms[d->n + i].string->s;
	return d->atoms[i].string->s;
}

const struct ovsdb_row *ovsdb_row_ref_at(const struct ovsdb_client *c, const struct ovsdb_row *row,
					 const char *column, size_t i)
{
	const struct ovsdb_column *col = ovsdb_table_schema_column(row->table->schema, column);
	const struct ovsdb_datum *d = col ? ovsdb_row_field(row, col->index) : NULL;

	if (!d || i >= d->n)
		return NULL;
	if (col->type.value.ref)
		return ovsdb_table_find(&c->db->tables[col->type.value.ref->number],
					&d->atoms[d->n + i].uuid);
	if (col->type.key.ref)
		return ovsdb_table_find(&c->db->tables[col->type.key.ref->number],
					&d->atoms[i].uuid);
	return NULL;
}
