/* SPDX-License-Identifier: BSD-3-Clause */
/* The operations of one "transact" request (RFC 7047 §5.2), executed against a staged transaction.
 * Committing (checks, log, monitors) is the caller's; this writes the results' JSON. */
#pragma once
#include "ovsdb-lite/txn.h"

enum ovsdb_exec_status {
	OVSDB_EXEC_OK,     /* ready to be checked and committed */
	OVSDB_EXEC_FAILED, /* an operation failed; results say which */
	OVSDB_EXEC_WAIT,   /* a "wait" does not hold yet: abort, run again after a change */
};

struct ovsdb_exec {
	/* in */
	struct ovsdb_db *db;
	const json_t *params; /* [<db-name>, <op>…] */
	int64_t elapsed_ms;   /* since the request came in */
	bool is_reserved;     /* the _Server database: nobody may write */
	bool (*owns_lock)(const char *name, void *aux);
	void *aux;
	/* out */
	struct ovsdb_txn *txn; /* always set; the caller checks and applies, or aborts */
	bool durable;
	struct str comment; /* of all "comment" operations, one a line */
	struct str results; /* "[…" without the closing bracket: the commit may add an error */
	size_t n_results;
	int64_t timeout_ms; /* OVSDB_EXEC_WAIT: deadline of the wait, INT64_MAX = none */
	/* private */
	struct ovsdb_symtab symbols;
	struct ovsdb_table *table;
};

enum ovsdb_exec_status ovsdb_exec_run(struct ovsdb_exec *x);
/* Adds the error of a failed commit as one more result, and frees it. */
void ovsdb_exec_add_error(struct ovsdb_exec *x, struct ovsdb_error *e);
void ovsdb_exec_free(struct ovsdb_exec *x); /* not the txn */

/* The <row> of an operation, column by column: fn gets a parsed value (its reference) or an error
 * stops it. Also used for log records. */
struct ovsdb_error *ovsdb_row_parse(const struct ovsdb_table_schema *t, const json_t *json,
				    struct ovsdb_symtab *symbols,
				    struct ovsdb_error *(*fn)(const struct ovsdb_column *c,
							      struct ovsdb_datum *value, void *aux),
				    void *aux);
/* {"col":value,…} of the given columns (NULL = all, _uuid and _version first). */
void ovsdb_row_put_json(struct str *out, const struct ovsdb_row *row,
			struct ovsdb_datum *const *fields, const int *columns, size_t n);
