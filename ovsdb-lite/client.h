/* SPDX-License-Identifier: BSD-3-Clause */
/* A client of one OVSDB database: keeps a replica of the tables it asked for, reports every change,
 * and sends transactions. The same code speaks to the embedded server (over a socket pair) and to
 * an external one (unix:, tcp:, ssl:), with monitor_cond_since, monitor_cond or monitor, whichever
 * the server understands; it reconnects by itself with back-off 1–8 s.
 *
 * Everything runs on the thread of the event base given at creation; callbacks come from that loop,
 * never from inside a call the user makes. Rows are borrowed: valid until the callback that reports
 * their deletion returns (or the client reconnects to a server with other contents, which reports
 * the differences the same way).
 *
 *	struct ovsdb_client *c;
 *	struct ovsdb_client_config cfg = {.base = base, .server = srv, .db = "Open_vSwitch",
 *					  .on_change = changed, .on_state = state, .aux = me};
 *	ovsdb_client_create(&c, &cfg, &err);
 *	…
 *	OVSDB_CLIENT_FOR_EACH(row, c, "Bridge")
 *		printf("%s\n", ovsdb_row_string(row, "name", ""));
 *
 *	struct ovsdb_client_txn *t = ovsdb_client_txn_create(c);
 *	ovsdb_client_txn_set_int(t, uuid_of_iface, "Interface", "ofport", 5);
 *	ovsdb_client_txn_commit(t, done, me);
 */
#pragma once
#include "datapath/base/err.h"
#include "ovsdb-lite/datum.h"

struct event_base;
struct ovsdb_client;
struct ovsdb_client_txn;
struct ovsdb_row;
struct ovsdb_server;

enum ovsdb_client_state {
	OVSDB_CLIENT_DISCONNECTED,
	OVSDB_CLIENT_CONNECTED, /* the replica is complete; initial rows were reported just before
				 */
	OVSDB_CLIENT_LOCKED,    /* owns the lock asked for by ovsdb_client_lock() */
	OVSDB_CLIENT_LOCK_LOST, /* somebody else owns it, or stole it */
};

enum ovsdb_client_change_kind { OVSDB_ROW_INSERTED, OVSDB_ROW_MODIFIED, OVSDB_ROW_DELETED };

/* One row that differs after an update. For INSERTED `old` is NULL; for DELETED `row` still has the
 * last contents (and is freed after the callback), `old` is NULL. For MODIFIED the getters work on
 * `old` too: it holds the previous value of every column. */
struct ovsdb_client_change {
	enum ovsdb_client_change_kind kind;
	const char *table;
	const struct ovsdb_row *row;
	const struct ovsdb_row *old;
};
/* Did this column change? Always true for INSERTED and DELETED. */
bool ovsdb_client_change_has(const struct ovsdb_client_change *ch, const char *column);
/* The columns of a MODIFIED row that differ, one by one; *at starts as 0. NULL: no more. */
const char *ovsdb_client_change_next(const struct ovsdb_client_change *ch, size_t *at);

/* All changes of one update message (one transaction of the server, or the first contents). */
typedef void (*ovsdb_client_change_cb)(struct ovsdb_client *c,
				       const struct ovsdb_client_change *changes, size_t n,
				       void *aux);
typedef void (*ovsdb_client_state_cb)(struct ovsdb_client *c, enum ovsdb_client_state state,
				      void *aux);

/* What to follow. NULL tables = every table and column of the schema. */
struct ovsdb_client_table_spec {
	const char *table;
	const char *const *columns; /* NULL-terminated; NULL = all but _version */
};

struct ovsdb_client_config {
	struct event_base *base;
	struct ovsdb_server *server; /* the embedded server, or … */
	const char *remote;          /* … "unix:FILE", "tcp:IP:PORT", "ssl:IP:PORT" */
	const char *private_key, *certificate, *ca_cert; /* PEM files, for ssl: */
	const char *db;
	const struct ovsdb_client_table_spec *tables;
	size_t n_tables;
	ovsdb_client_change_cb on_change; /* may be NULL */
	ovsdb_client_state_cb on_state;   /* may be NULL */
	void *aux;
};

/* Copies what it needs of cfg. 0 or -errno (bad remote) with e set; a server that is not there yet
 * is no error. */
int ovsdb_client_create(struct ovsdb_client **out, const struct ovsdb_client_config *cfg,
			struct err *e);
void ovsdb_client_destroy(struct ovsdb_client *c); /* pending transactions: done() is not called */
bool ovsdb_client_is_connected(const struct ovsdb_client *c);
const char *ovsdb_client_last_error(const struct ovsdb_client *c); /* "" if none */

/* Asks for a lock, again after every reconnect; on_state says who has it. While a lock is asked
 * for, commits carry an "assert" so that a daemon that lost it cannot write. NULL gives it up. */
void ovsdb_client_lock(struct ovsdb_client *c, const char *name);
bool ovsdb_client_has_lock(const struct ovsdb_client *c);

/* --- the replica ------------------------------------------------------------------------------ */
size_t ovsdb_client_count(const struct ovsdb_client *c, const char *table);
const struct ovsdb_row *ovsdb_client_first(const struct ovsdb_client *c, const char *table);
const struct ovsdb_row *ovsdb_client_next(const struct ovsdb_client *c,
					  const struct ovsdb_row *row);
#define OVSDB_CLIENT_FOR_EACH(row, c, table)                                                       \
	for (const struct ovsdb_row *row = ovsdb_client_first(c, table); row;                      \
	     row = ovsdb_client_next(c, row))
/* The only row of a singleton table, NULL if there is none. */
#define ovsdb_client_singleton ovsdb_client_first
const struct ovsdb_row *ovsdb_client_get(const struct ovsdb_client *c, const char *table,
					 const struct uuid *uuid);
/* A row whose string column has this value, e.g. Bridge by name; a scan unless the schema has an
 * index over this column alone. */
const struct ovsdb_row *ovsdb_client_find(const struct ovsdb_client *c, const char *table,
					  const char *column, const char *value);
bool ovsdb_client_has_column(const struct ovsdb_client *c, const char *table, const char *column);

/* --- reading a row: typed, by column name; a column the server does not have reads as empty ----
 */
const struct uuid *ovsdb_row_uuid(const struct ovsdb_row *row);
const char *ovsdb_row_table_name(const struct ovsdb_row *row);
/* Borrowed; NULL if there is no such column. */
const struct ovsdb_datum *ovsdb_row_datum(const struct ovsdb_row *row, const char *column);
/* First element, or the default when the column is empty or of another type. */
int64_t ovsdb_row_int(const struct ovsdb_row *row, const char *column, int64_t dflt);
double ovsdb_row_real(const struct ovsdb_row *row, const char *column, double dflt);
bool ovsdb_row_bool(const struct ovsdb_row *row, const char *column, bool dflt);
const char *ovsdb_row_string(const struct ovsdb_row *row, const char *column, const char *dflt);
/* Number of elements, and the i-th (in order), for sets and for the keys of maps. */
size_t ovsdb_row_n(const struct ovsdb_row *row, const char *column);
int64_t ovsdb_row_int_at(const struct ovsdb_row *row, const char *column, size_t i);
const char *ovsdb_row_string_at(const struct ovsdb_row *row, const char *column, size_t i);
bool ovsdb_row_has_string(const struct ovsdb_row *row, const char *column, const char *value);
/* string→string maps (other_config, options, external_ids, …). */
const char *ovsdb_row_map(const struct ovsdb_row *row, const char *column, const char *key,
			  const char *dflt);
int64_t ovsdb_row_map_int(const struct ovsdb_row *row, const char *column, const char *key,
			  int64_t dflt);
bool ovsdb_row_map_bool(const struct ovsdb_row *row, const char *column, const char *key,
			bool dflt); /* "true" or "false", else dflt */
/* i-th pair of a string→string map; value may be NULL. */
const char *ovsdb_row_map_at(const struct ovsdb_row *row, const char *column, size_t i,
			     const char **value);
/* The i-th row referenced by a column (set of references, or values of a map of references); NULL
 * if that row is not in the replica. The referenced table comes from the schema. */
const struct ovsdb_row *ovsdb_row_ref_at(const struct ovsdb_client *c, const struct ovsdb_row *row,
					 const char *column, size_t i);

/* --- transactions ------------------------------------------------------------------------------
 * Built first, sent by commit. A set_* on a row of the replica that would change nothing is left
 * out, so writing the same state again costs nothing; a transaction with nothing left completes as
 * UNCHANGED without a message. Bad table or column names make commit complete as ERROR with a text.
 * A new row is named by the uuid that insert() returns; the server may or may not keep that uuid:
 * the result maps it to the real one. */
enum ovsdb_client_txn_status {
	OVSDB_TXN_SUCCESS,
	OVSDB_TXN_UNCHANGED, /* nothing to send */
	OVSDB_TXN_TRY_AGAIN, /* a verify()/wait failed: rebuild from the newer replica */
	OVSDB_TXN_NOT_LOCKED,
	OVSDB_TXN_DISCONNECTED, /* unknown whether it was executed */
	OVSDB_TXN_ERROR,        /* text says why */
};
struct ovsdb_client_txn_result {
	enum ovsdb_client_txn_status status;
	const char *error; /* "" unless ERROR */
	int64_t increment; /* new value of the column given to ovsdb_client_txn_increment() */
	const struct ovsdb_client_txn *txn;
};
typedef void (*ovsdb_client_txn_cb)(struct ovsdb_client *c,
				    const struct ovsdb_client_txn_result *result, void *aux);

struct ovsdb_client_txn *ovsdb_client_txn_create(struct ovsdb_client *c);
void ovsdb_client_txn_abort(struct ovsdb_client_txn *t); /* instead of commit; frees it */
/* Takes t. done may be NULL; it is called from the loop, after the replica shows the changes. */
void ovsdb_client_txn_commit(struct ovsdb_client_txn *t, ovsdb_client_txn_cb done, void *aux);
/* Inside done: the real uuid of an inserted row; NULL if unknown. */
const struct uuid *ovsdb_client_txn_inserted(const struct ovsdb_client_txn_result *r,
					     const struct uuid *temporary);

void ovsdb_client_txn_comment(struct ovsdb_client_txn *t, const char *text);
void ovsdb_client_txn_durable(struct ovsdb_client_txn *t); /* reply only after fsync */
struct uuid ovsdb_client_txn_insert(struct ovsdb_client_txn *t, const char *table);
void ovsdb_client_txn_delete(struct ovsdb_client_txn *t, struct uuid row, const char *table);
/* The transaction fails with TRY_AGAIN unless the column still has the replica's value. */
void ovsdb_client_txn_verify(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			     const char *column);
/* column += 1 on a scalar integer; the new value comes back in the result. */
void ovsdb_client_txn_increment(struct ovsdb_client_txn *t, struct uuid row, const char *table,
				const char *column);

/* Whole column. _datum takes the reference; the others build it. References to rows inserted in
 * this transaction are written with the uuid that insert() returned. */
void ovsdb_client_txn_set_datum(struct ovsdb_client_txn *t, struct uuid row, const char *table,
				const char *column, struct ovsdb_datum *value);
void ovsdb_client_txn_set_int(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			      const char *column, int64_t value);
void ovsdb_client_txn_set_real(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			       const char *column, double value);
void ovsdb_client_txn_set_bool(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			       const char *column, bool value);
void ovsdb_client_txn_set_string(struct ovsdb_client_txn *t, struct uuid row, const char *table,
				 const char *column, const char *value); /* NULL: clear */
void ovsdb_client_txn_set_ref(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			      const char *column, struct uuid value);
void ovsdb_client_txn_set_refs(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			       const char *column, const struct uuid *values, size_t n);
void ovsdb_client_txn_set_strings(struct ovsdb_client_txn *t, struct uuid row, const char *table,
				  const char *column, const char *const *values, size_t n);
void ovsdb_client_txn_set_ints(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			       const char *column, const int64_t *values, size_t n);
/* string→string, and string→integer (Interface.statistics). */
void ovsdb_client_txn_set_map(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			      const char *column, const char *const *keys,
			      const char *const *values, size_t n);
void ovsdb_client_txn_set_int_map(struct ovsdb_client_txn *t, struct uuid row, const char *table,
				  const char *column, const char *const *keys,
				  const int64_t *values, size_t n);
void ovsdb_client_txn_clear(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			    const char *column); /* empty set or map */

/* Part of a column, as "mutate": other writers' elements are left alone. */
void ovsdb_client_txn_map_put(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			      const char *column, const char *key, const char *value);
void ovsdb_client_txn_map_delete(struct ovsdb_client_txn *t, struct uuid row, const char *table,
				 const char *column, const char *key);
void ovsdb_client_txn_add_ref(struct ovsdb_client_txn *t, struct uuid row, const char *table,
			      const char *column, struct uuid value);
void ovsdb_client_txn_remove_ref(struct ovsdb_client_txn *t, struct uuid row, const char *table,
				 const char *column, struct uuid value);
