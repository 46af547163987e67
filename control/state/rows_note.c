/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/state/rows_note.h"

#include <stdlib.h>
#include <string.h>

#include "control/state/knobs.h"
#include "ovsdb-lite/client.h"

const char *rows_note_kind_name(enum rows_note_kind kind)
{
	switch (kind) {
	case ROWS_UNKNOWN_KEY:
		return "unknown_key";
	case ROWS_BAD_VALUE:
		return "bad_value";
	case ROWS_INERT:
		return "inert";
	case ROWS_UNSUPPORTED:
		return "unsupported";
	}
	return "";
}

void rows_note_add(struct rows_notes *n, enum rows_note_kind kind, const char *table,
		   const char *name, const char *column, const char *key, char *text)
{
	struct rows_note note = {.table = table,
				 .name = xstrdup(name),
				 .column = column,
				 .key = key ? xstrdup(key) : NULL,
				 .text = text,
				 .kind = kind,
				 .order = n->notes.len};
	vec_push(&n->notes, note);
}

void rows_notes_free(struct rows_notes *n)
{
	VEC_FOR_EACH (it, &n->notes) {
		free(it->name);
		free(it->key);
		free(it->text);
	}
	vec_free(&n->notes);
}

static int by_row(const struct rows_note *a, const char *table, const char *name)
{
	int r = strcmp(a->table, table);
	return r ? r : strcmp(a->name, name);
}

static int compare(const void *va, const void *vb)
{
	const struct rows_note *a = va, *b = vb;
	int r = by_row(a, b->table, b->name);
	return r ? r : a->order < b->order ? -1 : a->order > b->order;
}

void rows_notes_sort(struct rows_notes *n)
{
	if (n->notes.len)
		qsort(n->notes.at, n->notes.len, sizeof *n->notes.at, compare);
}

const struct rows_note *rows_notes_of(const struct rows_notes *notes, const char *table,
				      const char *name, size_t *n)
{
	size_t low = 0, high = notes->notes.len;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (by_row(&notes->notes.at[mid], table, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	while (high < notes->notes.len && !by_row(&notes->notes.at[high], table, name))
		high++;
	*n = high - low;
	return *n ? &notes->notes.at[low] : NULL;
}

const struct rows_note *rows_notes_find(const struct rows_notes *notes, const char *table,
					const char *name, enum rows_note_kind kind)
{
	size_t n;
	const struct rows_note *first = rows_notes_of(notes, table, name, &n);
	for (size_t i = 0; i < n; i++)
		if (first[i].kind == kind)
			return &first[i];
	return NULL;
}

/* Is a column set to something other than "off"? */
static bool is_set(const struct ovsdb_row *row, const char *column)
{
	const struct ovsdb_datum *d = ovsdb_row_datum(row, column);
	if (!d || !d->n)
		return false;
	if (d->key_type == OVSDB_BOOLEAN)
		return d->atoms[0].boolean;
	if (d->key_type == OVSDB_INTEGER)
		return d->atoms[0].integer != 0;
	return true;
}

void rows_note_inert(struct rows_notes *n, const char *table, const char *name,
		     const struct ovsdb_row *row)
{
	static const struct {
		const char *table, *column, *why;
	} inert[] = {
#define INERT(t, column, why) {#t, column, why},
#include "control/state/inert_columns.def"
#undef INERT
	};
	for (size_t i = 0; i < SL_ARRAY_SIZE(inert); i++)
		if (!strcmp(inert[i].table, table) && is_set(row, inert[i].column))
			rows_note_add(n, ROWS_INERT, inert[i].table, name, inert[i].column, NULL,
				      xasprintf("%s: %s", inert[i].column, inert[i].why));
}

static void note_knob(struct rows_notes *n, const char *table, const char *name, const char *key,
		      const char *value)
{
	const struct knob *k = knob_find(table, key);
	struct str why = STR_INIT;
	if (!k && !strncmp(key, "ovn-", 4))
		return; /* notes that OVN's controller keeps for itself */
	if (!k)
		rows_note_add(n, ROWS_UNKNOWN_KEY, table, name, "other_config", key,
			      xasprintf("other_config:%s: unknown key, without effect", key));
	else if (!knob_check(k, value, &why))
		rows_note_add(n, ROWS_BAD_VALUE, table, name, "other_config", key,
			      xasprintf("other_config:%s: %s", key, str_cstr(&why)));
	else if (k->when == KNOB_INERT)
		rows_note_add(n, ROWS_INERT, table, name, "other_config", key,
			      xasprintf("other_config:%s: without effect: %s", key, k->doc));
	str_free(&why);
}

void rows_note_knobs(struct rows_notes *n, const char *table, const char *name,
		     const struct ovsdb_row *row)
{
	for (size_t i = 0; i < ovsdb_row_n(row, "other_config"); i++) {
		const char *value, *key = ovsdb_row_map_at(row, "other_config", i, &value);
		note_knob(n, table, name, key, value);
	}
}
