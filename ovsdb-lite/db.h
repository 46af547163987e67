/* SPDX-License-Identifier: BSD-3-Clause */
/* A database in memory: tables of rows, found by uuid and by the schema's indexes. The server's
 * databases change only through txn.h; the client's replica uses the rows without indexes.
 * Event-loop thread only. */
#pragma once
#include "datapath/base/list.h"
#include "ovsdb-lite/schema.h"

struct ovsdb_txn_row;

struct ovsdb_index_node {
	struct hmap_node node; /* by the hash of the index's columns */
	struct ovsdb_row *row;
};

struct ovsdb_row {
	struct hmap_node node; /* in table->rows, or in txn->deleted while a deletion is staged */
	struct ovsdb_table *table;
	struct ovsdb_txn_row *staged; /* what the open transaction does to this row, or NULL */
	struct ovsdb_uuid_datum uuid, version;
	uint32_t n_refs; /* strong references from other rows, as of the last commit */
	struct ovsdb_index_node *index; /* one per index of the table; inside this allocation */
	struct ovsdb_datum *fields[];   /* one reference each, by column number */
};

/* "src's column holds a weak reference to dst", kept by the table of dst. */
struct ovsdb_weak_link {
	struct hmap_node node; /* by dst */
	struct uuid dst;
	struct ovsdb_row *src;
	int column;
};

struct ovsdb_table {
	const struct ovsdb_table_schema *schema;
	struct ovsdb_db *db;
	struct hmap rows;       /* ovsdb_row by uuid, staged changes included */
	struct hmap *indexes;   /* ovsdb_index_node, as of the last commit */
	struct hmap weak_links; /* ovsdb_weak_link to rows of this table, as of the last commit */
	struct list monitors;   /* monitor_table.node: who wants to hear of changes */
	bool is_touched;        /* the open transaction has staged something here */
};

struct ovsdb_db {
	struct ovsdb_schema *schema; /* one reference */
	struct ovsdb_table *tables;  /* in the order of the schema */
	struct ovsdb_txn *txn;       /* open transaction, at most one */
	uint64_t n_commits;          /* that changed something */
};

struct ovsdb_db *ovsdb_db_create(struct ovsdb_schema *schema); /* takes its own reference */
void ovsdb_db_destroy(struct ovsdb_db *db);
struct ovsdb_table *ovsdb_db_table(const struct ovsdb_db *db, const char *name);
size_t ovsdb_db_n_rows(const struct ovsdb_db *db);

/* All columns at their defaults, not in the table yet. */
struct ovsdb_row *ovsdb_row_create(struct ovsdb_table *t, const struct uuid *uuid);
void ovsdb_row_free(struct ovsdb_row *row); /* not in the table any more */
void ovsdb_table_insert(struct ovsdb_table *t, struct ovsdb_row *row);
void ovsdb_table_remove(struct ovsdb_table *t, struct ovsdb_row *row);
struct ovsdb_row *ovsdb_table_find(const struct ovsdb_table *t, const struct uuid *uuid);

/* Column by number, _uuid and _version included; borrowed. */
static inline const struct ovsdb_datum *ovsdb_row_field(const struct ovsdb_row *row, int index)
{
	if (index >= 0)
		return row->fields[index];
	return (const struct ovsdb_datum *)(index == OVSDB_COL_UUID ? &row->uuid : &row->version);
}
static inline const struct uuid *ovsdb_row_id(const struct ovsdb_row *row)
{
	return &row->uuid.atom.uuid;
}
static inline void ovsdb_row_set_version(struct ovsdb_row *row, const struct uuid *v)
{
	row->version.atom.uuid = *v;
}
uint64_t ovsdb_row_index_hash(struct ovsdb_datum *const *fields,
			      const struct ovsdb_index_schema *ix);
/* The same for an index over one column that has this value. */
uint64_t ovsdb_index_hash_of(const struct ovsdb_datum *value);
