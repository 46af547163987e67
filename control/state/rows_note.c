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
				 .kind = kind};
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

const struct rows_note *rows_notes_find(const struct rows_notes *n, const char *table,
					const char *name, enum rows_note_kind kind)
{
	VEC_FOR_EACH (it, &n->notes)
		if (it->kind == kind && !strcmp(it->table, table) && !strcmp(it->name, name))
			return it;
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
