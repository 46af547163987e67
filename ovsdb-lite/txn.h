/* SPDX-License-Identifier: BSD-3-Clause */
/* A transaction: changes staged in place, so that later operations see them, then checked in named
 * passes, then made permanent or undone. The order of use is
 *
 *	begin → insert/set/delete … → check → (write the log, tell the monitors) → apply
 *	                            ↘ abort at any point before apply
 */
#pragma once
#include "ovsdb-lite/db.h"

/* What happens to one row. A row is inserted, deleted or modified; inserted and deleted in one
 * transaction (or collected at its end) leaves no trace. */
struct ovsdb_txn_row {
	struct ovsdb_row *row;
	struct ovsdb_datum **old; /* fields before the first change; NULL: not changed by set() */
	struct uuid old_version;
	int64_t ref_delta; /* to be added to row->n_refs */
	bool inserted, deleted;
	bool queued;        /* on the collector's work list */
	bool index_changed; /* removed from the indexes under its old values */
	uint64_t changed[]; /* bit map of columns whose value differs; valid after check */
};

struct ovsdb_txn {
	struct ovsdb_db *db;
	VEC(struct ovsdb_txn_row *) rows;
	struct hmap deleted; /* ovsdb_row by uuid: staged deletions, of every table */
	bool is_changed;     /* after check: there is something to commit */
};

struct ovsdb_txn *ovsdb_txn_begin(struct ovsdb_db *db);
struct ovsdb_row *ovsdb_txn_insert(struct ovsdb_txn *t, struct ovsdb_table *table,
				   const struct uuid *uuid);
/* A row already put into its table by a loader: as if this transaction had inserted it. */
void ovsdb_txn_adopt(struct ovsdb_txn *t, struct ovsdb_row *row);
/* Takes the reference on value. The value was checked against the column's type. */
void ovsdb_txn_set(struct ovsdb_txn *t, struct ovsdb_row *row, int column,
		   struct ovsdb_datum *value);
void ovsdb_txn_delete(struct ovsdb_txn *t, struct ovsdb_row *row);
/* Was a row of this name in the table when the transaction began, or is there one now? */
bool ovsdb_txn_uuid_is_used(const struct ovsdb_txn *t, const struct ovsdb_table *table,
			    const struct uuid *uuid);

/* Commit-time checks and consequences: reference counts, garbage collection, maxRows, weak
 * references, unique indexes. NULL: ready (is_changed says whether for anything). On an error the
 * caller aborts. */
struct ovsdb_error *ovsdb_txn_check(struct ovsdb_txn *t);
void ovsdb_txn_apply(struct ovsdb_txn *t); /* frees t */
void ovsdb_txn_abort(struct ovsdb_txn *t); /* frees t; NULL is fine */

/* After check: the fields before and after; NULL when the row did not or will not exist. */
static inline struct ovsdb_datum *const *ovsdb_txn_row_old(const struct ovsdb_txn_row *r)
{
	return r->inserted ? NULL : r->old ? r->old : r->row->fields;
}
static inline struct ovsdb_datum *const *ovsdb_txn_row_new(const struct ovsdb_txn_row *r)
{
	return r->deleted ? NULL : r->row->fields;
}
static inline bool ovsdb_txn_row_has(const struct ovsdb_txn_row *r, int column)
{
	return r->changed[column / 64] >> (column % 64) & 1;
}
bool ovsdb_txn_row_is_changed(const struct ovsdb_txn_row *r);
