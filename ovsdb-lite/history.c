/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/history.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ENTRIES = 100, MAX_ROWS = 10000 };

struct old_row {
	struct ovsdb_table *table;
	struct uuid uuid;
	struct ovsdb_row *old; /* NULL: the transaction inserted it */
};

struct entry {
	struct list node;
	struct uuid before; /* id of the contents this transaction started from */
	VEC(struct old_row) rows;
};

void history_init(struct history *h)
{
	*h = (struct history){0};
	list_init(&h->entries);
	uuid_generate(&h->last_id);
}

static void drop_oldest(struct history *h)
{
	struct entry *e = LIST_ENTRY(list_pop_front(&h->entries), struct entry, node);

	h->n_entries--;
	h->n_rows -= e->rows.len;
	VEC_FOR_EACH (r, &e->rows)
		ovsdb_row_free(r->old);
	vec_free(&e->rows);
	free(e);
}

void history_free(struct history *h)
{
	while (!list_is_empty(&h->entries))
		drop_oldest(h);
}

void history_add(struct history *h, const struct ovsdb_change *changes, size_t n)
{
	struct entry *e = xzalloc(sizeof *e);

	e->before = h->last_id;
	vec_reserve(&e->rows, n);
	for (size_t i = 0; i < n; i++) {
		const struct ovsdb_change *ch = &changes[i];
		struct old_row r = {ch->table, *ovsdb_row_id(ch->new ? ch->new : ch->old), ch->old};

		vec_push(&e->rows, r);
	}
	uuid_generate(&h->last_id);
	list_push_back(&h->entries, &e->node);
	h->n_entries++;
	h->n_rows += n;
}

void history_trim(struct history *h)
{
	while (h->n_entries > MAX_ENTRIES || (h->n_rows > MAX_ROWS && h->n_entries))
		drop_oldest(h);
}

struct seen {
	struct hmap_node node;
	const struct old_row *row;
};

static bool first_sight(struct hmap *map, const struct old_row *r)
{
	uint64_t hash = uuid_hash(&r->uuid) ^ (uintptr_t)r->table;

	HMAP_FOR_EACH_WITH_HASH (s, struct seen, node, hash, map)
		if (s->row->table == r->table && uuid_eq(&s->row->uuid, &r->uuid))
			return false;
	struct seen *s = xmalloc(sizeof *s);
	s->row = r;
	hmap_insert(map, &s->node, hash);
	return true;
}

static int by_table(const void *a_, const void *b_)
{
	const struct ovsdb_change *a = a_, *b = b_;

	return a->table < b->table ? -1 : a->table > b->table;
}

bool history_since(const struct history *h, const struct uuid *since, ovsdb_change_vec *changes)
{
	struct hmap map = {0};
	bool found = false;

	if (uuid_eq(&h->last_id, since))
		return true;
	LIST_FOR_EACH (e, struct entry, node, &h->entries) {
		found |= uuid_eq(&e->before, since);
		for (size_t i = 0; found && i < e->rows.len; i++) {
			const struct old_row *r = &e->rows.at[i];
			struct ovsdb_change ch = {r->table, r->old, NULL};

			if (!first_sight(&map, r))
				continue;
			ch.new = ovsdb_table_find(r->table, &r->uuid);
			if (ch.old || ch.new)
				vec_push(changes, ch);
		}
	}
	HMAP_FOR_EACH_SAFE (s, struct seen, node, &map)
		free(s);
	hmap_destroy(&map);
	if (changes->len)
		qsort(changes->at, changes->len, sizeof *changes->at, by_table);
	return found;
}

/* --- pictures --------------------------------------------------------------------------------- */

static struct ovsdb_row *picture(const struct ovsdb_txn_row *r)
{
	const struct ovsdb_row *row = r->row;
	struct ovsdb_datum *const *old = ovsdb_txn_row_old(r);
	size_t n = row->table->schema->n_columns;
	struct ovsdb_row *p = xmalloc(sizeof *p + n * sizeof p->fields[0]);

	memset(p, 0, sizeof *p);
	p->table = row->table;
	p->uuid = row->uuid;
	p->version = row->version;
	if (r->old)
		p->version.atom.uuid = r->old_version;
	for (size_t i = 0; i < n; i++)
		p->fields[i] = ovsdb_datum_ref(old[i]);
	return p;
}

void history_changes(const struct ovsdb_txn *t, ovsdb_change_vec *changes)
{
	bool sorted = true;

	vec_reserve(changes, t->rows.len);
	for (size_t i = 0; i < t->rows.len; i++) {
		const struct ovsdb_txn_row *r = t->rows.at[i];
		struct ovsdb_change ch = {.table = r->row->table};

		if (!ovsdb_txn_row_is_changed(r))
			continue;
		ch.old = r->inserted ? NULL : picture(r);
		ch.new = r->deleted ? NULL : r->row;
		if (changes->len && changes->at[changes->len - 1].table != ch.table)
			sorted = false;
		vec_push(changes, ch);
	}
	if (!sorted)
		qsort(changes->at, changes->len, sizeof *changes->at, by_table);
}
