/* SPDX-License-Identifier: BSD-3-Clause */
/* <condition> lists (RFC 7047 §5.1): "where" of operations (all clauses hold) and of monitors (any
 * clause holds, none = true). */
#pragma once
#include "ovsdb-lite/db.h"

#define OVSDB_FUNCTIONS(X)                                                                         \
	X(FALSE, "false")                                                                          \
	X(TRUE, "true")                                                                            \
	X(LT, "<")                                                                                 \
	X(LE, "<=")                                                                                \
	X(EQ, "==")                                                                                \
	X(GE, ">=")                                                                                \
	X(GT, ">")                                                                                 \
	X(NE, "!=")                                                                                \
	X(INCLUDES, "includes")                                                                    \
	X(EXCLUDES, "excludes")

enum ovsdb_function {
#define X(id, name) OVSDB_F_##id,
	OVSDB_FUNCTIONS(X)
#undef X
};

struct ovsdb_clause {
	enum ovsdb_function function;
	int column; /* not for TRUE and FALSE */
	struct ovsdb_datum *arg;
};
struct ovsdb_condition {
	VEC(struct ovsdb_clause) clauses;
};

/* `json` is an array. On error the condition is empty. */
struct ovsdb_error *ovsdb_condition_parse(struct ovsdb_condition *c,
					  const struct ovsdb_table_schema *t, const json_t *json,
					  struct ovsdb_symtab *symbols);
void ovsdb_condition_free(struct ovsdb_condition *c);
bool ovsdb_condition_all(const struct ovsdb_condition *c, const struct ovsdb_row *row);
bool ovsdb_condition_any(const struct ovsdb_condition *c, const struct ovsdb_row *row);
/* Same text for the same meaning as written: key for sharing monitors. */
void ovsdb_condition_put_key(struct str *out, const struct ovsdb_condition *c);

/* Calls fn for each row that meets all clauses, in no particular order, until it returns false.
 * Uses the uuid or a unique index when a clause allows. fn may modify or delete the row. */
void ovsdb_condition_for_each(const struct ovsdb_condition *c, struct ovsdb_table *t,
			      bool (*fn)(struct ovsdb_row *row, void *aux), void *aux);
