/* SPDX-License-Identifier: BSD-3-Clause */
/* The Open_vSwitch database → the desired configuration, and notes about what in it cannot be done.
 * Reads the client's replica; event-loop thread. */
#pragma once
#include "control/state/config.h"

struct ovsdb_client;
struct ovsdb_row;
struct uuid;

/* --enable-dummy[=system|override] of sluiced: which types become dummy ports. */
enum rows_dummy { DUMMY_NONE, DUMMY_ALLOWED, DUMMY_SYSTEM, DUMMY_OVERRIDE };

enum rows_note_kind {
	ROWS_UNKNOWN_KEY, /* stored, and nobody knows what for */
	ROWS_BAD_VALUE,   /* the default is used instead */
	ROWS_INERT,       /* a key or column without effect here */
	ROWS_UNSUPPORTED, /* Interface: it is not made; the text is its error */
};
/* "unknown_key" … */
const char *rows_note_kind_name(enum rows_note_kind kind);

/* Something that a row asks for and does not get. */
struct rows_note {
	const char *table; /* static text, as `column` */
	char *name;        /* of the row */
	const char *column;
	char *key; /* of a map; NULL: the whole column */
	char *text;
	enum rows_note_kind kind;
	size_t order; /* in which it was made */
};
struct rows_notes { /* sorted by table and name once rows_read() is over */
	VEC(struct rows_note) notes;
};
void rows_notes_free(struct rows_notes *n);
/* The notes about a row: the first of *n in a row; NULL: none. */
const struct rows_note *rows_notes_of(const struct rows_notes *notes, const char *table,
				      const char *name, size_t *n);
/* First note of that kind about that row; NULL: none. */
const struct rows_note *rows_notes_find(const struct rows_notes *n, const char *table,
					const char *name, enum rows_note_kind kind);

/* Fills *out (zeroed by the caller); not sorted. */
void rows_read(const struct ovsdb_client *db, enum rows_dummy dummy, struct config *out,
	       struct rows_notes *notes);

/* Default for a bridge without other_config:datapath-id or hwaddr: the same as long as its row
 * lives. */
void rows_bridge_mac(const struct uuid *bridge, uint8_t mac[6]);
