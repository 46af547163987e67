/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/db.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/list.h"

_Static_assert(offsetof(struct ovsdb_uuid_datum, atom) == offsetof(struct ovsdb_datum, atoms),
	       "a uuid datum can be read as a datum");

struct ovsdb_db *ovsdb_db_create(struct ovsdb_schema *schema)
{
	struct ovsdb_db *db = xzalloc(sizeof *db);

	db->schema = ovsdb_schema_ref(schema);
	db->tables = xcalloc(schema->n_tables, sizeof *db->tables);
	for (size_t i = 0; i < schema->n_tables; i++) {
		struct ovsdb_table *t = &db->tables[i];

		t->schema = &schema->tables[i];
		t->db = db;
		t->indexes = xcalloc(t->schema->n_indexes, sizeof *t->indexes);
		list_init(&t->monitors);
	}
	return db;
}

void ovsdb_db_destroy(struct ovsdb_db *db)
{
	if (!db)
		return;
	for (size_t i = 0; i < db->schema->n_tables; i++) {
		struct ovsdb_table *t = &db->tables[i];

		HMAP_FOR_EACH_SAFE (row, struct ovsdb_row, node, &t->rows)
			ovsdb_row_free(row);
		hmap_destroy(&t->rows);
		for (size_t k = 0; k < t->schema->n_indexes; k++)
			hmap_destroy(&t->indexes[k]);
		free(t->indexes);
		HMAP_FOR_EACH_SAFE (l, struct ovsdb_weak_link, node, &t->weak_links)
			free(l);
		hmap_destroy(&t->weak_links);
	}
	free(db->tables);
	ovsdb_schema_unref(db->schema);
	free(db);
}

struct ovsdb_table *ovsdb_db_table(const struct ovsdb_db *db, const char *name)
{
	const struct ovsdb_table_schema *s = ovsdb_schema_table(db->schema, name);

	return s ? &db->tables[s->number] : NULL;
}

size_t ovsdb_db_n_rows(const struct ovsdb_db *db)
{
	size_t n = 0;

	for (size_t i = 0; i < db->schema->n_tables; i++)
		n += db->tables[i].rows.count;
	return n;
}

static void init_uuid_datum(struct ovsdb_uuid_datum *d)
{
	*d = (struct ovsdb_uuid_datum){
		.refs = OVSDB_DATUM_BORROWED,
		.n = 1,
		.key_type = OVSDB_UUID,
		.value_type = OVSDB_VOID,
	};
}

struct ovsdb_row *ovsdb_row_create(struct ovsdb_table *t, const struct uuid *uuid)
{
	const struct ovsdb_table_schema *s = t->schema;
	size_t fields = s->n_columns * sizeof(struct ovsdb_datum *);
	struct ovsdb_row *row = xmalloc(sizeof *row + fields + s->n_indexes * sizeof *row->index);

	memset(row, 0, sizeof *row);
	row->table = t;
	init_uuid_datum(&row->uuid);
	init_uuid_datum(&row->version);
	row->uuid.atom.uuid = *uuid;
	row->version.atom.uuid = (struct uuid){0, 0};
	for (size_t i = 0; i < s->n_columns; i++)
		row->fields[i] = ovsdb_datum_ref(s->columns[i].dflt);
	row->index = (struct ovsdb_index_node *)((char *)row->fields + fields);
	for (size_t i = 0; i < s->n_indexes; i++)
		row->index[i] = (struct ovsdb_index_node){.row = row};
	return row;
}

void ovsdb_row_free(struct ovsdb_row *row)
{
	if (!row)
		return;
	for (size_t i = 0; i < row->table->schema->n_columns; i++)
		ovsdb_datum_unref(row->fields[i]);
	free(row);
}

void ovsdb_table_insert(struct ovsdb_table *t, struct ovsdb_row *row)
{
	hmap_insert(&t->rows, &row->node, uuid_hash(ovsdb_row_id(row)));
}

void ovsdb_table_remove(struct ovsdb_table *t, struct ovsdb_row *row)
{
	hmap_remove(&t->rows, &row->node);
}

struct ovsdb_row *ovsdb_table_find(const struct ovsdb_table *t, const struct uuid *uuid)
{
	HMAP_FOR_EACH_WITH_HASH (row, struct ovsdb_row, node, uuid_hash(uuid), &t->rows)
		if (uuid_eq(ovsdb_row_id(row), uuid))
			return row;
	return NULL;
}

enum { INDEX_HASH_BASIS = 0x5155 };

uint64_t ovsdb_index_hash_of(const struct ovsdb_datum *value)
{
	return ovsdb_datum_hash(value, INDEX_HASH_BASIS);
}

uint64_t ovsdb_row_index_hash(struct ovsdb_datum *const *fields,
			      const struct ovsdb_index_schema *ix)
{
	uint64_t h = INDEX_HASH_BASIS;

	for (size_t i = 0; i < ix->n; i++)
		h = ovsdb_datum_hash(fields[ix->columns[i]], h);
	return h;
}
