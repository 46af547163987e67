/* SPDX-License-Identifier: BSD-3-Clause */
/* The last transactions of a database, so that a client that reconnects gets only what it missed
 * (monitor_cond_since). Values are shared with the rows; bounded by number of transactions and of
 * rows. Ids do not survive a restart of the server: an unknown id means "everything again". */
#pragma once
#include "ovsdb-lite/monitor.h"

struct history {
	struct list entries; /* oldest first */
	size_t n_entries, n_rows;
	struct uuid last_id; /* of the present contents */
};

void history_init(struct history *h);
void history_free(struct history *h);
/* After a commit. Takes the `old` rows of the changes. */
void history_add(struct history *h, const struct ovsdb_change *changes, size_t n);
/* Forgets what is beyond the bounds; apart from add() because monitors still read the changes. */
void history_trim(struct history *h);
/* What happened after `since`, net, grouped by table; the old rows are borrowed from h until the
 * next history_trim(). false: not known that far back. The caller frees changes->at. */
typedef VEC(struct ovsdb_change) ovsdb_change_vec;
bool history_since(const struct history *h, const struct uuid *since, ovsdb_change_vec *changes);

/* Changes of a checked transaction, grouped by table, with pictures of the rows before. */
void history_changes(const struct ovsdb_txn *t, ovsdb_change_vec *changes);
