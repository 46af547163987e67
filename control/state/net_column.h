/* SPDX-License-Identifier: BSD-3-Clause */
/* Values of net.yaml keys in columns of the database; net_row_value() is in net.h. */
#pragma once
#include "control/state/net.h"
#include "ovsdb-lite/uuid.h"

/* Adds the operation that writes `value` (canonical; NULL: the key's default) to `row`. `sub` is
 * the entry of a MAP, else NULL. */
void net_write_value(struct ovsdb_client_txn *t, struct uuid row, const struct net_key *k,
		     const char *sub, const char *value);
/* Words sorted, so that the order of rows or of a file does not matter. Caller frees. */
char *net_sorted_words(const char *words);
