/* SPDX-License-Identifier: BSD-3-Clause */
/* Which rows' state columns are known to be up to date, and from what they were written, so that a
 * change of one port among a thousand does not compare the columns of all. A row is forgotten as
 * soon as it changes in the database, whoever changed it. Event-loop thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct ovsdb_client_change;
struct uuid;
struct written;

struct written *written_create(void);
void written_destroy(struct written *w); /* NULL is fine */
/* Was this row last written from something with this digest? If not, it is now. */
bool written_is(struct written *w, const struct uuid *row, uint64_t digest);
void written_forget(struct written *w, const struct ovsdb_client_change *change);
void written_forget_all(struct written *w); /* a write has failed */
