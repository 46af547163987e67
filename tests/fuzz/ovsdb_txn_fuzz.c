/* SPDX-License-Identifier: BSD-3-Clause */
/* The text of one "transact" params array against a small database that keeps its contents between
 * inputs; after each, reference counts and indexes must agree with the rows. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/exec.h"
#include "ovsdb-lite/history.h"
#include "ovsdb-lite/json_text.h"
#include "ovsdb-lite/storage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char schema_text[] =
	"{\"name\":\"T\",\"tables\":{\"R\":{\"isRoot\":true,\"indexes\":[[\"s\"]],\"columns\":{"
	"\"s\":{\"type\":\"string\"},\"i\":{\"type\":{\"key\":\"integer\",\"min\":0,\"max\":3}},"
	"\"m\":{\"type\":{\"key\":\"string\",\"value\":\"real\",\"min\":0,\"max\":\"unlimited\"}},"
	"\"k\":{\"type\":{\"key\":{\"type\":\"uuid\",\"refTable\":\"K\"},\"min\":0,\"max\":"
	"\"unlimited\"}}}},\"K\":{\"columns\":{\"n\":{\"type\":{\"key\":{\"type\":\"integer\","
	"\"minInteger\":0,\"maxInteger\":9}}},\"w\":{\"type\":{\"key\":{\"type\":\"uuid\","
	"\"refTable\":\"R\",\"refType\":\"weak\"},\"min\":0,\"max\":2}},\"x\":{\"type\":{\"key\":"
	"{\"type\":\"uuid\",\"refTable\":\"K\"},\"min\":0,\"max\":1}}}}}}";

static struct ovsdb_db *make_db(void)
{
	struct ovsdb_schema *schema;
	json_t *json = json_parse(schema_text, sizeof schema_text - 1, NULL);

	if (ovsdb_schema_parse(&schema, json))
		abort();
	json_decref(json);
	struct ovsdb_db *db = ovsdb_db_create(schema);
	ovsdb_schema_unref(schema);
	return db;
}

/* References from R.k and K.x, counted anew. */
static void check(struct ovsdb_db *db)
{
	struct ovsdb_table *r = ovsdb_db_table(db, "R"), *k = ovsdb_db_table(db, "K");
	int rk = ovsdb_table_schema_column(r->schema, "k")->index;
	int kx = ovsdb_table_schema_column(k->schema, "x")->index;
	int kw = ovsdb_table_schema_column(k->schema, "w")->index;

	HMAP_FOR_EACH (kid, struct ovsdb_row, node, &k->rows) {
		union ovsdb_atom a = {.uuid = *ovsdb_row_id(kid)};
		uint32_t n = 0;

		HMAP_FOR_EACH (row, struct ovsdb_row, node, &r->rows)
			n += ovsdb_datum_find(row->fields[rk], &a) >= 0;
		HMAP_FOR_EACH (other, struct ovsdb_row, node, &k->rows)
			n += other != kid && ovsdb_datum_find(other->fields[kx], &a) >= 0;
		if (n != kid->n_refs || !n)
			abort();
		for (uint32_t i = 0; i < kid->fields[kw]->n; i++)
			if (!ovsdb_table_find(r, &kid->fields[kw]->atoms[i].uuid))
				abort();
	}
	if (r->indexes[0].count != r->rows.count || db->txn)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ovsdb_db *db;
	static unsigned n_inputs;
	char why[JSON_ERROR_TEXT_LENGTH];

	if (db && ++n_inputs % 1000 == 0) {
		ovsdb_db_destroy(db);
		db = NULL;
	}
	if (!db)
		db = make_db();
	json_t *json = json_parse((const char *)data, size, why);
	if (!json_is_array(json)) {
		json_decref(json);
		return 0;
	}
	struct ovsdb_exec x = {.db = db, .params = json};
	struct ovsdb_error *e = NULL;
	if (ovsdb_exec_run(&x) == OVSDB_EXEC_OK && !(e = ovsdb_txn_check(x.txn)) &&
	    x.txn->is_changed) {
		struct str record = STR_INIT;
		ovsdb_change_vec changes = {0};

		ovsdb_storage_put_record(&record, x.txn, "fuzz");
		json_t *back = json_parse(record.s, record.len, why);
		if (!back)
			abort(); /* what is written must be readable */
		json_decref(back);
		str_free(&record);
		history_changes(x.txn, &changes);
		VEC_FOR_EACH (ch, &changes)
			ovsdb_row_free(ch->old);
		vec_free(&changes);
		ovsdb_txn_apply(x.txn);
	} else {
		ovsdb_txn_abort(x.txn);
	}
	ovsdb_error_free(e);
	ovsdb_exec_free(&x);
	json_decref(json);
	check(db);
	return 0;
}
