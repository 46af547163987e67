/* SPDX-License-Identifier: BSD-3-Clause */
/* A database on disk: its schema and transactions as records of a log file, read back at start,
 * appended by each commit, compacted when the file has grown. Event-loop thread. */
#pragma once
#include "ovsdb-lite/log_file.h"
#include "ovsdb-lite/txn.h"

struct event_base;
struct ovsdb_storage;

/* Reads the file into a new database. */
int ovsdb_storage_open(struct ovsdb_storage **out, struct ovsdb_db **db, const char *path,
		       struct err *e);
/* Makes a file that holds this (empty) schema. */
int ovsdb_storage_create(const char *path, const struct ovsdb_schema *schema, struct err *e);
void ovsdb_storage_close(struct ovsdb_storage *s);
struct ovsdb_log *ovsdb_storage_log(struct ovsdb_storage *s);

/* Appends a checked transaction. Nothing is written if nothing persistent changed. */
int ovsdb_storage_append(struct ovsdb_storage *s, const struct ovsdb_txn *t, const char *comment,
			 struct err *e);

/* Writes schema and contents to a new file beside and renames it; blocks (used by convert, where
 * the contents themselves change). */
int ovsdb_storage_rewrite(struct ovsdb_storage *s, const struct ovsdb_db *db, const char *comment,
			  struct err *e);

/* The same in a forked child, while the parent goes on serving and appending; done is called from
 * the loop. -EBUSY while one runs. */
typedef void (*ovsdb_compacted_cb)(int rc, const char *error, void *aux);
int ovsdb_storage_compact(struct ovsdb_storage *s, const struct ovsdb_db *db,
			  struct event_base *base, ovsdb_compacted_cb done, void *aux,
			  struct err *e);
/* Has the file grown enough since the last compaction that it is worth doing? */
bool ovsdb_storage_wants_compaction(const struct ovsdb_storage *s);

/* The record of one transaction as text, for tests and for history; false if it would be empty. */
bool ovsdb_storage_put_record(struct str *out, const struct ovsdb_txn *t, const char *comment);
