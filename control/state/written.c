/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/state/written.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/hmap.h"
#include "ovsdb-lite/client.h"
#include "ovsdb-lite/uuid.h"

struct entry {
	struct hmap_node node; /* by uuid_hash() */
	struct uuid row;
	uint64_t digest;
};

struct written {
	struct hmap rows;
};

struct written *written_create(void)
{
	return xzalloc(sizeof(struct written));
}

void written_destroy(struct written *w)
{
	if (!w)
		return;
	written_forget_all(w);
	hmap_destroy(&w->rows);
	free(w);
}

static struct entry *find(const struct written *w, const struct uuid *row)
{
	HMAP_FOR_EACH_WITH_HASH (e, struct entry, node, uuid_hash(row), &w->rows)
		if (uuid_eq(&e->row, row))
			return e;
	return NULL;
}

bool written_is(struct written *w, const struct uuid *row, uint64_t digest)
{
	struct entry *e = find(w, row);
	if (e && e->digest == digest)
		return true;
	if (!e) {
		e = xzalloc(sizeof *e);
		e->row = *row;
		hmap_insert(&w->rows, &e->node, uuid_hash(row));
	}
	e->digest = digest;
	return false;
}

static void drop(struct written *w, struct entry *e)
{
	hmap_remove(&w->rows, &e->node);
	free(e);
}

void written_forget(struct written *w, const struct ovsdb_client_change *change)
{
	struct entry *e = find(w, ovsdb_row_uuid(change->row));
	const char *column;
	size_t at = 0;
	if (!e)
		return;
	if (change->kind != OVSDB_ROW_MODIFIED) {
		drop(w, e);
		return;
	}
	while ((column = ovsdb_client_change_next(change, &at)))
		if (strcmp(column, "statistics")) { /* not written from here, and often */
			drop(w, e);
			return;
		}
}

void written_forget_all(struct written *w)
{
	HMAP_FOR_EACH_SAFE (e, struct entry, node, &w->rows)
		drop(w, e);
}
