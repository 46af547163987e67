/* SPDX-License-Identifier: BSD-3-Clause */
/* Making notes while rows are read (rows.h says what a note is). Pure. */
#pragma once
#include "control/state/rows.h"

/* Takes `text`; copies name and key; table and column are static texts. */
void rows_note_add(struct rows_notes *n, enum rows_note_kind kind, const char *table,
		   const char *name, const char *column, const char *key, char *text);
void rows_notes_sort(struct rows_notes *n);
/* The columns of inert_columns.def that this row sets. */
void rows_note_inert(struct rows_notes *n, const char *table, const char *name,
		     const struct ovsdb_row *row);
/* What is wrong with the keys of other_config. */
void rows_note_knobs(struct rows_notes *n, const char *table, const char *name,
		     const struct ovsdb_row *row);
