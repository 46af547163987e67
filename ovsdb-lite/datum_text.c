/* SPDX-License-Identifier: BSD-3-Clause */
/* Datums as JSON and as text. JSON is written straight into the output buffer: building a tree of
 * json_t first would double the cost of every reply and update. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/datum.h"
#include "ovsdb-lite/json_text.h"

static void put_uuid(struct str *out, const struct uuid *u)
{
	char text[UUID_TEXT_BYTES];

	uuid_format(u, text);
	str_put(out, "[\"uuid\",\"", 9);
	str_put(out, text, 36);
	str_put(out, "\"]", 2);
}

void ovsdb_atom_put_json(struct str *out, const union ovsdb_atom *a, enum ovsdb_atomic_type t)
{
	switch (t) {
	case OVSDB_VOID:
		return;
	case OVSDB_INTEGER:
		json_put_int(out, a->integer);
		return;
	case OVSDB_REAL:
		json_put_real(out, a->real);
		return;
	case OVSDB_BOOLEAN:
		str_puts(out, a->boolean ? "true" : "false");
		return;
	case OVSDB_STRING:
		json_put_string(out, a->string->s, a->string->len);
		return;
	case OVSDB_UUID:
		put_uuid(out, &a->uuid);
		return;
	}
}

void ovsdb_datum_put_json(struct str *out, const struct ovsdb_datum *d)
{
	if (d->value_type == OVSDB_VOID && d->n == 1) {
		ovsdb_atom_put_json(out, &d->atoms[0], d->key_type);
		return;
	}
	str_puts(out, d->value_type == OVSDB_VOID ? "[\"set\",[" : "[\"map\",[");
	for (uint32_t i = 0; i < d->n; i++) {
		if (i)
			str_putc(out, ',');
		if (d->value_type == OVSDB_VOID) {
			ovsdb_atom_put_json(out, &d->atoms[i], d->key_type);
			continue;
		}
		str_putc(out, '[');
		ovsdb_atom_put_json(out, &d->atoms[i], d->key_type);
		str_putc(out, ',');
		ovsdb_atom_put_json(out, &d->atoms[d->n + i], d->value_type);
		str_putc(out, ']');
	}
	str_put(out, "]]", 2);
}

/* A plain word reads best bare; anything that could be mistaken for something else is quoted. */
static bool is_plain(const char *s)
{
	struct uuid u;

	if (!isalpha((unsigned char)*s) && *s != '_')
		return false;
	for (const char *p = s; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '_' && *p != '-' && *p != '.')
			return false;
	return strcmp(s, "true") && strcmp(s, "false") && !uuid_parse(s, &u);
}

void ovsdb_atom_put_text(struct str *out, const union ovsdb_atom *a, enum ovsdb_atomic_type t)
{
	if (t == OVSDB_STRING && is_plain(a->string->s)) {
		str_put(out, a->string->s, a->string->len);
	} else if (t == OVSDB_UUID) {
		char text[UUID_TEXT_BYTES];

		uuid_format(&a->uuid, text);
		str_puts(out, text);
	} else {
		ovsdb_atom_put_json(out, a, t);
	}
}

void ovsdb_datum_put_text(struct str *out, const struct ovsdb_datum *d)
{
	bool map = d->value_type != OVSDB_VOID;

	if (d->n != 1 || map)
		str_putc(out, map ? '{' : '[');
	for (uint32_t i = 0; i < d->n; i++) {
		if (i)
			str_puts(out, ", ");
		ovsdb_atom_put_text(out, &d->atoms[i], d->key_type);
		if (map) {
			str_putc(out, '=');
			ovsdb_atom_put_text(out, &d->atoms[d->n + i], d->value_type);
		}
	}
	if (d->n != 1 || map)
		str_putc(out, map ? '}' : ']');
}
