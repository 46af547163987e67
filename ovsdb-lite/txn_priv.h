/* SPDX-License-Identifier: BSD-3-Clause */
/* Between txn.c and txn_check.c. */
#pragma once
#include "ovsdb-lite/txn.h"

/* Finds or makes the record of what the transaction does to the row. */
struct ovsdb_txn_row *txn_stage(struct ovsdb_txn *t, struct ovsdb_row *row);
struct ovsdb_row *txn_find_deleted(const struct ovsdb_txn *t, const struct ovsdb_table *table,
				   const struct uuid *uuid);
void txn_undo_indexes(struct ovsdb_txn *t);
/* Brings the weak links in line with the row's new fields. Nothing may fail after this. */
void txn_link_weak(struct ovsdb_txn_row *r);
