/* SPDX-License-Identifier: BSD-3-Clause */
/* Column values (RFC 7047 §5.1 <atom>, <set>, <map>): immutable, reference counted and sorted, so
 * that rows, staged changes, history and client replicas share them instead of copying. A row that
 * holds only defaults costs one pointer per column. Event-loop thread only. */
#pragma once
#include <jansson.h>

#include "datapath/base/str.h"
#include "ovsdb-lite/uuid.h"

enum ovsdb_atomic_type {
	OVSDB_VOID, /* the value half of a set */
	OVSDB_INTEGER,
	OVSDB_REAL,
	OVSDB_BOOLEAN,
	OVSDB_STRING,
	OVSDB_UUID,
};

/* Immutable text, shared by reference. */
struct ovsdb_string {
	uint32_t refs;
	uint32_t len;
	char s[]; /* len bytes and a NUL; never a NUL inside (the parser refuses it) */
};

union ovsdb_atom {
	int64_t integer;
	double real;
	bool boolean;
	struct ovsdb_string *string;
	struct uuid uuid;
};

enum { OVSDB_DATUM_MAX_N = (1 << 24) - 1 };

/* n keys, then for maps n values, both in key order. Keys are distinct. */
struct ovsdb_datum {
	uint32_t refs; /* OVSDB_DATUM_BORROWED: lives inside a row, ref() copies it */
	uint32_t n : 24;
	uint32_t key_type : 4;   /* enum ovsdb_atomic_type */
	uint32_t value_type : 4; /* OVSDB_VOID for sets */
	union ovsdb_atom atoms[];
};
#define OVSDB_DATUM_BORROWED UINT32_MAX

/* One uuid as a datum, for the columns that live inside a row (_uuid, _version). */
struct ovsdb_uuid_datum {
	uint32_t refs;
	uint32_t n : 24;
	uint32_t key_type : 4;
	uint32_t value_type : 4;
	union ovsdb_atom atom;
};

static inline const union ovsdb_atom *ovsdb_datum_keys(const struct ovsdb_datum *d)
{
	return d->atoms;
}
static inline const union ovsdb_atom *ovsdb_datum_values(const struct ovsdb_datum *d)
{
	return d->atoms + d->n;
}

/* --- strings and atoms ---------------------------------------------------------------------- */
struct ovsdb_string *ovsdb_string_new(const char *s, size_t len);
static inline struct ovsdb_string *ovsdb_string_ref(struct ovsdb_string *s)
{
	s->refs++;
	return s;
}
void ovsdb_string_unref(struct ovsdb_string *s);

int ovsdb_atom_cmp(const union ovsdb_atom *a, const union ovsdb_atom *b, enum ovsdb_atomic_type t);
uint64_t ovsdb_atom_hash(const union ovsdb_atom *a, enum ovsdb_atomic_type t, uint64_t basis);
/* The copy holds its own reference on a string. */
union ovsdb_atom ovsdb_atom_copy(const union ovsdb_atom *a, enum ovsdb_atomic_type t);
void ovsdb_atom_clear(union ovsdb_atom *a, enum ovsdb_atomic_type t);

/* --- making datums --------------------------------------------------------------------------- */
/* All constructors return one reference; atoms handed in as arrays are taken over. */
struct ovsdb_datum *ovsdb_datum_empty(enum ovsdb_atomic_type key, enum ovsdb_atomic_type value);
struct ovsdb_datum *ovsdb_datum_from_int(int64_t v);
struct ovsdb_datum *ovsdb_datum_from_real(double v);
struct ovsdb_datum *ovsdb_datum_from_bool(bool v);
struct ovsdb_datum *ovsdb_datum_from_string(const char *s);
struct ovsdb_datum *ovsdb_datum_from_uuid(const struct uuid *u);
/* Sorts. Duplicate keys: returns NULL and frees the atoms when `strict`, else the last one wins. */
struct ovsdb_datum *ovsdb_datum_build(union ovsdb_atom *keys, union ovsdb_atom *values, size_t n,
				      enum ovsdb_atomic_type kt, enum ovsdb_atomic_type vt,
				      bool strict);
/* A blank of n elements for the caller to fill in sorted order. */
struct ovsdb_datum *ovsdb_datum_alloc(size_t n, enum ovsdb_atomic_type kt,
				      enum ovsdb_atomic_type vt);

struct ovsdb_datum *ovsdb_datum_ref(const struct ovsdb_datum *d);
void ovsdb_datum_unref(struct ovsdb_datum *d); /* NULL is fine */

/* --- reading and computing ------------------------------------------------------------------- */
bool ovsdb_datum_eq(const struct ovsdb_datum *a, const struct ovsdb_datum *b);
int ovsdb_datum_cmp(const struct ovsdb_datum *a, const struct ovsdb_datum *b);
uint64_t ovsdb_datum_hash(const struct ovsdb_datum *d, uint64_t basis);
/* Index of the key, or -1. */
ssize_t ovsdb_datum_find(const struct ovsdb_datum *d, const union ovsdb_atom *key);
/* Is every element (key, and for maps the pair) of a in b? in none of b? */
bool ovsdb_datum_includes_all(const struct ovsdb_datum *a, const struct ovsdb_datum *b);
bool ovsdb_datum_excludes_all(const struct ovsdb_datum *a, const struct ovsdb_datum *b);

/* a with b's elements added; for maps an existing key keeps a's value unless `replace`. */
struct ovsdb_datum *ovsdb_datum_union(const struct ovsdb_datum *a, const struct ovsdb_datum *b,
				      bool replace);
/* a without b's elements. For a map a, b may be a set of keys or a map of pairs. */
struct ovsdb_datum *ovsdb_datum_subtract(const struct ovsdb_datum *a, const struct ovsdb_datum *b);
/* The "modify" form of update2 (and of the log's "_is_diff"): symmetric difference of sets; for
 * maps the pairs added or changed with their new value, and removed ones with their old. */
struct ovsdb_datum *ovsdb_datum_diff(const struct ovsdb_datum *old, const struct ovsdb_datum *new);
struct ovsdb_datum *ovsdb_datum_apply_diff(const struct ovsdb_datum *old,
					   const struct ovsdb_datum *diff);

/* --- JSON (text out, jansson in; parsing with constraints is in type.h) ----------------------- */
void ovsdb_atom_put_json(struct str *out, const union ovsdb_atom *a, enum ovsdb_atomic_type t);
/* RFC 7047 <value>: a bare atom for one element, else ["set",[…]] or ["map",[…]]. */
void ovsdb_datum_put_json(struct str *out, const struct ovsdb_datum *d);
/* For people: strings bare when they are plain words. */
void ovsdb_atom_put_text(struct str *out, const union ovsdb_atom *a, enum ovsdb_atomic_type t);
void ovsdb_datum_put_text(struct str *out, const struct ovsdb_datum *d);
