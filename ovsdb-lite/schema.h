/* SPDX-License-Identifier: BSD-3-Clause */
/* Database schema (RFC 7047 §3.2). Made once, then shared by reference and never changed; a
 * conversion makes another one. Columns of a table are sorted by name and numbered from 0; the two
 * that every row has, _uuid and _version, are -2 and -1 so that a row's array holds only the
 * others. */
#pragma once
#include "datapath/base/vec.h"
#include "ovsdb-lite/type.h"

enum { OVSDB_COL_UUID = -2, OVSDB_COL_VERSION = -1 };

struct ovsdb_column {
	char *name;
	int index; /* position in the table's columns, or OVSDB_COL_* */
	bool is_mutable, persistent;
	struct ovsdb_type type;
	struct ovsdb_datum *dflt; /* shared by all rows that were given nothing */
};

struct ovsdb_index_schema {
	int *columns; /* column numbers, in the order of the schema */
	size_t n;
};

struct ovsdb_table_schema {
	char *name;
	size_t number; /* position in the schema's tables */
	bool is_mutable, is_root;
	uint32_t max_rows; /* UINT32_MAX = unlimited */
	struct ovsdb_column *columns;
	size_t n_columns;
	struct ovsdb_column uuid, version;
	struct ovsdb_index_schema *indexes;
	size_t n_indexes;
	/* Columns that refer to rows, so that commits look at no other. */
	int *strong, *weak;
	size_t n_strong, n_weak;
	uint64_t *index_columns; /* bit map: columns that are in an index */
	struct hmap by_name;     /* of struct name_node, see schema.c */
};

struct ovsdb_schema {
	unsigned refs;
	char *name, *version, *cksum;      /* version and cksum "" if absent */
	struct ovsdb_table_schema *tables; /* sorted by name */
	size_t n_tables;
};

struct ovsdb_error *ovsdb_schema_parse(struct ovsdb_schema **out, const json_t *json);
struct ovsdb_schema *ovsdb_schema_ref(struct ovsdb_schema *s);
void ovsdb_schema_unref(struct ovsdb_schema *s); /* NULL is fine */
void ovsdb_schema_put_json(struct str *out, const struct ovsdb_schema *s);
bool ovsdb_schema_eq(const struct ovsdb_schema *a, const struct ovsdb_schema *b);
const struct ovsdb_table_schema *ovsdb_schema_table(const struct ovsdb_schema *s, const char *name);
const struct ovsdb_column *ovsdb_table_schema_column(const struct ovsdb_table_schema *t,
						     const char *name);
static inline const struct ovsdb_column *ovsdb_table_schema_at(const struct ovsdb_table_schema *t,
							       int index)
{
	return index >= 0 ? &t->columns[index] : index == OVSDB_COL_UUID ? &t->uuid : &t->version;
}
/* A version text "1.2.3" as a comparable number; 0 if malformed. */
uint64_t ovsdb_schema_version_number(const char *version);
