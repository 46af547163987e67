/* SPDX-License-Identifier: BSD-3-Clause */
/* Staging and undoing; the commit passes are in txn_check.c. */
#include "ovsdb-lite/txn.h"

#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/txn_priv.h"

struct ovsdb_txn *ovsdb_txn_begin(struct ovsdb_db *db)
{
	struct ovsdb_txn *t = xzalloc(sizeof *t);

	t->db = db;
	db->txn = t;
	return t;
}

struct ovsdb_txn_row *txn_stage(struct ovsdb_txn *t, struct ovsdb_row *row)
{
	size_t words = row->table->schema->n_columns / 64 + 1;

	if (row->staged)
		return row->staged;
	struct ovsdb_txn_row *r = xzalloc(sizeof *r + words * sizeof r->changed[0]);
	r->row = row;
	row->staged = r;
	row->table->is_touched = true;
	vec_push(&t->rows, r);
	return r;
}

struct ovsdb_row *ovsdb_txn_insert(struct ovsdb_txn *t, struct ovsdb_table *table,
				   const struct uuid *uuid)
{
	struct ovsdb_row *row = ovsdb_row_create(table, uuid);

	uuid_generate(&row->version.atom.uuid);
	ovsdb_table_insert(table, row);
	txn_stage(t, row)->inserted = true;
	return row;
}

void ovsdb_txn_adopt(struct ovsdb_txn *t, struct ovsdb_row *row)
{
	txn_stage(t, row)->inserted = true;
}

void ovsdb_txn_set(struct ovsdb_txn *t, struct ovsdb_row *row, int column,
		   struct ovsdb_datum *value)
{
	struct ovsdb_txn_row *r = txn_stage(t, row);
	size_t n = row->table->schema->n_columns;

	if (!r->inserted && !r->old) {
		r->old = xcalloc(n, sizeof *r->old);
		for (size_t i = 0; i < n; i++)
			r->old[i] = ovsdb_datum_ref(row->fields[i]);
		r->old_version = row->version.atom.uuid;
	}
	ovsdb_datum_unref(row->fields[column]);
	row->fields[column] = value;
}

void ovsdb_txn_delete(struct ovsdb_txn *t, struct ovsdb_row *row)
{
	struct ovsdb_txn_row *r = txn_stage(t, row);

	r->deleted = true;
	ovsdb_table_remove(row->table, row);
	hmap_insert(&t->deleted, &row->node, uuid_hash(ovsdb_row_id(row)));
}

struct ovsdb_row *txn_find_deleted(const struct ovsdb_txn *t, const struct ovsdb_table *table,
				   const struct uuid *uuid)
{
	HMAP_FOR_EACH_WITH_HASH (row, struct ovsdb_row, node, uuid_hash(uuid), &t->deleted)
		if (row->table == table && uuid_eq(ovsdb_row_id(row), uuid))
			return row;
	return NULL;
}

bool ovsdb_txn_uuid_is_used(const struct ovsdb_txn *t, const struct ovsdb_table *table,
			    const struct uuid *uuid)
{
	return ovsdb_table_find(table, uuid) || txn_find_deleted(t, table, uuid);
}

bool ovsdb_txn_row_is_changed(const struct ovsdb_txn_row *r)
{
	if (r->inserted || r->deleted)
		return r->inserted != r->deleted;
	for (size_t i = 0; i <= r->row->table->schema->n_columns / 64; i++)
		if (r->changed[i])
			return true;
	return false;
}

static void free_fields(struct ovsdb_datum **fields, size_t n)
{
	for (size_t i = 0; fields && i < n; i++)
		ovsdb_datum_unref(fields[i]);
	free(fields);
}

/* --- ends ------------------------------------------------------------------------------------- */

static void finish(struct ovsdb_txn *t)
{
	hmap_destroy(&t->deleted);
	vec_free(&t->rows);
	t->db->txn = NULL;
	free(t);
}

void ovsdb_txn_apply(struct ovsdb_txn *t)
{
	if (t->is_changed)
		t->db->n_commits++;
	for (size_t i = 0; i < t->rows.len; i++)
		txn_link_weak(t->rows.at[i]);
	for (size_t i = 0; i < t->rows.len; i++) {
		struct ovsdb_txn_row *r = t->rows.at[i];
		struct ovsdb_row *row = r->row;

		row->table->is_touched = false;
		row->staged = NULL;
		row->n_refs = (uint32_t)((int64_t)row->n_refs + r->ref_delta);
		free_fields(r->old, row->table->schema->n_columns);
		if (r->deleted)
			ovsdb_row_free(row);
		free(r);
	}
	finish(t);
}

static void undo(struct ovsdb_txn *t, struct ovsdb_txn_row *r)
{
	struct ovsdb_row *row = r->row;
	size_t n = row->table->schema->n_columns;

	row->table->is_touched = false;
	row->staged = NULL;
	if (r->deleted) {
		hmap_remove(&t->deleted, &row->node);
		if (!r->inserted)
			ovsdb_table_insert(row->table, row);
	} else if (r->inserted) {
		ovsdb_table_remove(row->table, row);
	}
	if (r->inserted) {
		ovsdb_row_free(row);
	} else if (r->old) {
		for (size_t i = 0; i < n; i++) {
			ovsdb_datum_unref(row->fields[i]);
			row->fields[i] = r->old[i];
		}
		row->version.atom.uuid = r->old_version;
		free(r->old);
	}
	free(r);
}

void ovsdb_txn_abort(struct ovsdb_txn *t)
{
	if (!t)
		return;
	txn_undo_indexes(t);
	for (size_t i = t->rows.len; i-- > 0;)
		undo(t, t->rows.at[i]);
	finish(t);
}
