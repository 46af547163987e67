/* SPDX-License-Identifier: BSD-3-Clause */
/* <mutation> lists (RFC 7047 §5.1). */
#pragma once
#include "ovsdb-lite/txn.h"

#define OVSDB_MUTATORS(X)                                                                          \
	X(ADD, "+=")                                                                               \
	X(SUB, "-=")                                                                               \
	X(MUL, "*=")                                                                               \
	X(DIV, "/=")                                                                               \
	X(MOD, "%=")                                                                               \
	X(INSERT, "insert")                                                                        \
	X(DELETE, "delete")

enum ovsdb_mutator {
#define X(id, name) OVSDB_M_##id##_,
	OVSDB_MUTATORS(X)
#undef X
};

struct ovsdb_mutation {
	const struct ovsdb_column *column;
	enum ovsdb_mutator mutator;
	struct ovsdb_datum *arg;
};
struct ovsdb_mutations {
	VEC(struct ovsdb_mutation) list;
};

struct ovsdb_error *ovsdb_mutations_parse(struct ovsdb_mutations *m,
					  const struct ovsdb_table_schema *t, const json_t *json,
					  struct ovsdb_symtab *symbols);
void ovsdb_mutations_free(struct ovsdb_mutations *m);
/* All of them, in order, on one row. */
struct ovsdb_error *ovsdb_mutations_execute(const struct ovsdb_mutations *m, struct ovsdb_txn *txn,
					    struct ovsdb_row *row);
