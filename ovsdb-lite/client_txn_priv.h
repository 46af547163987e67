/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of client transactions: what is collected, shared by client_txn.c (life, collecting,
 * completion), client_txn_set.c (typed values) and client_txn_wire.c (the request). Event-loop
 * thread. */
#pragma once
#include "ovsdb-lite/client_priv.h"

enum row_kind { ROW_CHANGE, ROW_INSERT, ROW_DELETE };

struct value {
	const struct ovsdb_column *column;
	struct ovsdb_datum *datum;
};

struct mutation {
	const struct ovsdb_column *column;
	bool insert; /* else delete */
	struct ovsdb_datum *datum;
};

/* Everything the transaction does to one row. */
struct row_ops {
	struct hmap_node node; /* by uuid */
	struct uuid uuid;
	struct ovsdb_table *table;
	enum row_kind kind;
	VEC(struct value) values;
	VEC(struct mutation) mutations;
	VEC(const struct ovsdb_column *) verifies;
	const struct ovsdb_column *increment;
	struct uuid real;  /* of an inserted row, from the reply */
	int64_t insert_op; /* index of its operation */
};

struct ovsdb_client_txn {
	struct list node; /* client->txns or client->done */
	struct ovsdb_client *client;
	int64_t id;
	unsigned generation; /* of the replica whose tables and columns it points at */
	struct hmap rows;
	VEC(struct row_ops *) order;
	struct str comment;
	bool durable, asserts;
	char *error;
	enum ovsdb_client_txn_status status; /* of one that finished without being sent */
	ovsdb_client_txn_cb done;
	void *aux;
	int64_t n_ops, increment_op; /* index of the select; -1 = none */
};

/* client_txn.c. NULL: the transaction does nothing to this row. */
struct row_ops *client_txn_find_ops(const struct ovsdb_client_txn *t, const struct uuid *uuid);
/* NULL after client_txn_set_error(): no such table, row or column. */
struct row_ops *client_txn_get_ops(struct ovsdb_client_txn *t, const struct uuid *uuid,
				   const char *table);
const struct ovsdb_column *client_txn_get_column(struct ovsdb_client_txn *t,
						 const struct row_ops *r, const char *name);
/* What the column holds: as set in this transaction, else in the replica; borrowed; NULL: unknown.
 */
const struct ovsdb_datum *client_txn_present(const struct row_ops *r, const struct ovsdb_column *c);
void client_txn_store(struct row_ops *r, const struct ovsdb_column *c,
		      struct ovsdb_datum *d); /* takes d */
void client_txn_set_error(struct ovsdb_client_txn *t, const char *fmt, ...) SL_PRINTF(2, 3);

/* client_txn_wire.c: the "params"; false: nothing to send. */
bool client_txn_put_request(struct str *s, struct ovsdb_client_txn *t);
