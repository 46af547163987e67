/* SPDX-License-Identifier: BSD-3-Clause */
/* Atoms and datums: memory, order, set arithmetic. Text and JSON are in datum_text.c. */
#include "ovsdb-lite/datum.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/hash.h"

struct ovsdb_string *ovsdb_string_new(const char *s, size_t len)
{
	struct ovsdb_string *p = xmalloc(sizeof *p + len + 1);

	p->refs = 1;
	p->len = (uint32_t)len;
	memcpy(p->s, s, len);
	p->s[len] = '\0';
	return p;
}

void ovsdb_string_unref(struct ovsdb_string *s)
{
	if (s && !--s->refs)
		free(s);
}

int ovsdb_atom_cmp(const union ovsdb_atom *a, const union ovsdb_atom *b, enum ovsdb_atomic_type t)
{
	switch (t) {
	case OVSDB_VOID:
		return 0;
	case OVSDB_INTEGER:
		return a->integer < b->integer ? -1 : a->integer > b->integer;
	case OVSDB_REAL:
		return a->real < b->real ? -1 : a->real > b->real;
	case OVSDB_BOOLEAN:
		return a->boolean - b->boolean;
	case OVSDB_STRING:
		return a->string == b->string ? 0 : strcmp(a->string->s, b->string->s);
	case OVSDB_UUID:
		return uuid_cmp(&a->uuid, &b->uuid);
	}
	return 0;
}

uint64_t ovsdb_atom_hash(const union ovsdb_atom *a, enum ovsdb_atomic_type t, uint64_t basis)
{
	switch (t) {
	case OVSDB_VOID:
		return basis;
	case OVSDB_INTEGER:
		return hash_u64(basis * 31 + (uint64_t)a->integer);
	case OVSDB_REAL: {
		double d = a->real == 0 ? 0 : a->real; /* -0 equals 0 */
		uint64_t bits;

		memcpy(&bits, &d, sizeof bits);
		return hash_u64(basis * 31 + bits);
	}
	case OVSDB_BOOLEAN:
		return hash_u64(basis * 31 + a->boolean + 1);
	case OVSDB_STRING:
		return hash_u64(basis * 31 + hash_bytes(a->string->s, a->string->len));
	case OVSDB_UUID:
		return hash_u64(basis * 31 + uuid_hash(&a->uuid));
	}
	return basis;
}

union ovsdb_atom ovsdb_atom_copy(const union ovsdb_atom *a, enum ovsdb_atomic_type t)
{
	if (t == OVSDB_STRING)
		a->string->refs++;
	return *a;
}

void ovsdb_atom_clear(union ovsdb_atom *a, enum ovsdb_atomic_type t)
{
	if (t == OVSDB_STRING)
		ovsdb_string_unref(a->string);
}

/* --- memory ----------------------------------------------------------------------------------- */

struct ovsdb_datum *ovsdb_datum_alloc(size_t n, enum ovsdb_atomic_type kt,
				      enum ovsdb_atomic_type vt)
{
	size_t atoms = vt == OVSDB_VOID ? n : 2 * n;
	struct ovsdb_datum *d = xmalloc(sizeof *d + atoms * sizeof d->atoms[0]);

	d->refs = 1;
	d->n = (uint32_t)n & OVSDB_DATUM_MAX_N;
	d->key_type = kt & 15;
	d->value_type = vt & 15;
	return d;
}

struct ovsdb_datum *ovsdb_datum_empty(enum ovsdb_atomic_type key, enum ovsdb_atomic_type value)
{
	return ovsdb_datum_alloc(0, key, value);
}

struct ovsdb_datum *ovsdb_datum_from_int(int64_t v)
{
	struct ovsdb_datum *d = ovsdb_datum_alloc(1, OVSDB_INTEGER, OVSDB_VOID);

	d->atoms[0].integer = v;
	return d;
}

struct ovsdb_datum *ovsdb_datum_from_real(double v)
{
	struct ovsdb_datum *d = ovsdb_datum_alloc(1, OVSDB_REAL, OVSDB_VOID);

	d->atoms[0].real = v;
	return d;
}

struct ovsdb_datum *ovsdb_datum_from_bool(bool v)
{
	struct ovsdb_datum *d = ovsdb_datum_alloc(1, OVSDB_BOOLEAN, OVSDB_VOID);

	d->atoms[0].boolean = v;
	return d;
}

struct ovsdb_datum *ovsdb_datum_from_string(const char *s)
{
	struct ovsdb_datum *d = ovsdb_datum_alloc(1, OVSDB_STRING, OVSDB_VOID);

	d->atoms[0].string = ovsdb_string_new(s, strlen(s));
	return d;
}

struct ovsdb_datum *ovsdb_datum_from_uuid(const struct uuid *u)
{
	struct ovsdb_datum *d = ovsdb_datum_alloc(1, OVSDB_UUID, OVSDB_VOID);

	d->atoms[0].uuid = *u;
	return d;
}

static struct ovsdb_datum *copy(const struct ovsdb_datum *d)
{
	struct ovsdb_datum *c = ovsdb_datum_alloc(d->n, d->key_type, d->value_type);

	for (uint32_t i = 0; i < d->n; i++)
		c->atoms[i] = ovsdb_atom_copy(&d->atoms[i], d->key_type);
	if (d->value_type != OVSDB_VOID)
		for (uint32_t i = 0; i < d->n; i++)
			c->atoms[d->n + i] = ovsdb_atom_copy(&d->atoms[d->n + i], d->value_type);
	return c;
}

struct ovsdb_datum *ovsdb_datum_ref(const struct ovsdb_datum *d)
{
	struct ovsdb_datum *m = (struct ovsdb_datum *)d;

	if (d->refs == OVSDB_DATUM_BORROWED)
		return copy(d);
	m->refs++;
	return m;
}

void ovsdb_datum_unref(struct ovsdb_datum *d)
{
	if (!d || d->refs == OVSDB_DATUM_BORROWED || --d->refs)
		return;
	if (d->key_type == OVSDB_STRING)
		for (uint32_t i = 0; i < d->n; i++)
			ovsdb_string_unref(d->atoms[i].string);
	if (d->value_type == OVSDB_STRING)
		for (uint32_t i = 0; i < d->n; i++)
			ovsdb_string_unref(d->atoms[d->n + i].string);
	free(d);
}

/* --- sorting ---------------------------------------------------------------------------------- */

struct pair {
	union ovsdb_atom key, value;
	uint32_t order; /* keeps equal keys in the given order */
};

static int cmp_pairs(const void *a_, const void *b_, void *type)
{
	const struct pair *a = a_, *b = b_;
	int c = ovsdb_atom_cmp(&a->key, &b->key, *(enum ovsdb_atomic_type *)type);

	return c ? c : (a->order < b->order ? -1 : a->order > b->order);
}

static bool is_sorted(const union ovsdb_atom *keys, size_t n, enum ovsdb_atomic_type t)
{
	for (size_t i = 1; i < n; i++)
		if (ovsdb_atom_cmp(&keys[i - 1], &keys[i], t) >= 0)
			return false;
	return true;
}

struct ovsdb_datum *ovsdb_datum_build(union ovsdb_atom *keys, union ovsdb_atom *values, size_t n,
				      enum ovsdb_atomic_type kt, enum ovsdb_atomic_type vt,
				      bool strict)
{
	struct ovsdb_datum *d = ovsdb_datum_alloc(n, kt, vt);
	size_t out = 0;

	if (is_sorted(keys, n, kt)) {
		if (n)
			memcpy(d->atoms, keys, n * sizeof *keys);
		if (n && vt != OVSDB_VOID)
			memcpy(d->atoms + n, values, n * sizeof *values);
		return d;
	}
	struct pair *pairs = xcalloc(n, sizeof *pairs);
	for (size_t i = 0; i < n; i++) {
		pairs[i].key = keys[i];
		if (vt != OVSDB_VOID)
			pairs[i].value = values[i];
		pairs[i].order = (uint32_t)i;
	}
	qsort_r(pairs, n, sizeof *pairs, cmp_pairs, &kt);
	for (size_t i = 0; i < n; i++) {
		if (out && !ovsdb_atom_cmp(&pairs[out - 1].key, &pairs[i].key, kt)) {
			ovsdb_atom_clear(&pairs[out - 1].key, kt);
			ovsdb_atom_clear(&pairs[out - 1].value, vt);
			pairs[out - 1] = pairs[i];
		} else {
			pairs[out++] = pairs[i];
		}
	}
	d->n = (uint32_t)out & OVSDB_DATUM_MAX_N;
	for (size_t i = 0; i < out; i++) {
		d->atoms[i] = pairs[i].key;
		if (vt != OVSDB_VOID)
			d->atoms[out + i] = pairs[i].value;
	}
	free(pairs);
	if (strict && out != n) {
		ovsdb_datum_unref(d);
		return NULL;
	}
	return d;
}

/* --- comparing -------------------------------------------------------------------------------- */

int ovsdb_datum_cmp(const struct ovsdb_datum *a, const struct ovsdb_datum *b)
{
	if (a == b)
		return 0;
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	for (uint32_t i = 0; i < a->n; i++) {
		int c = ovsdb_atom_cmp(&a->atoms[i], &b->atoms[i], a->key_type);
		if (c)
			return c;
	}
	if (a->value_type != OVSDB_VOID)
		for (uint32_t i = 0; i < a->n; i++) {
			int c = ovsdb_atom_cmp(&a->atoms[a->n + i], &b->atoms[a->n + i],
					       a->value_type);
			if (c)
				return c;
		}
	return 0;
}

bool ovsdb_datum_eq(const struct ovsdb_datum *a, const struct ovsdb_datum *b)
{
	return !ovsdb_datum_cmp(a, b);
}

uint64_t ovsdb_datum_hash(const struct ovsdb_datum *d, uint64_t basis)
{
	for (uint32_t i = 0; i < d->n; i++)
		basis = ovsdb_atom_hash(&d->atoms[i], d->key_type, basis);
	if (d->value_type != OVSDB_VOID)
		for (uint32_t i = 0; i < d->n; i++)
			basis = ovsdb_atom_hash(&d->atoms[d->n + i], d->value_type, basis);
	return basis;
}

ssize_t ovsdb_datum_find(const struct ovsdb_datum *d, const union ovsdb_atom *key)
{
	size_t lo = 0, hi = d->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = ovsdb_atom_cmp(&d->atoms[mid], key, d->key_type);

		if (!c)
			return (ssize_t)mid;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return -1;
}

/* Does d hold element i of e, value included when both are maps? */
static bool holds(const struct ovsdb_datum *d, const struct ovsdb_datum *e, uint32_t i)
{
	ssize_t at = ovsdb_datum_find(d, &e->atoms[i]);

	if (at < 0)
		return false;
	return d->value_type == OVSDB_VOID || e->value_type == OVSDB_VOID ||
	       !ovsdb_atom_cmp(&d->atoms[d->n + at], &e->atoms[e->n + i], d->value_type);
}

bool ovsdb_datum_includes_all(const struct ovsdb_datum *a, const struct ovsdb_datum *b)
{
	if (a->n > b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (!holds(b, a, i))
			return false;
	return true;
}

bool ovsdb_datum_excludes_all(const struct ovsdb_datum *a, const struct ovsdb_datum *b)
{
	for (uint32_t i = 0; i < a->n; i++)
		if (holds(b, a, i))
			return false;
	return true;
}

/* --- arithmetic: all of it is one merge of two sorted sequences ------------------------------- */

struct out {
	struct ovsdb_datum *d; /* values sit at atoms[cap…] until finish() */
	size_t n, cap;
};

static struct out begin(const struct ovsdb_datum *like, size_t cap)
{
	return (struct out){ovsdb_datum_alloc(cap, like->key_type, like->value_type), 0, cap};
}

/* Appends element i of `src`. */
static void take(struct out *o, const struct ovsdb_datum *src, size_t i)
{
	o->d->atoms[o->n] = ovsdb_atom_copy(&src->atoms[i], src->key_type);
	if (src->value_type != OVSDB_VOID)
		o->d->atoms[o->cap + o->n] =
			ovsdb_atom_copy(&src->atoms[src->n + i], src->value_type);
	o->n++;
}

static struct ovsdb_datum *finish(struct out *o)
{
	struct ovsdb_datum *d = o->d;

	if (d->value_type != OVSDB_VOID && o->n < o->cap)
		memmove(d->atoms + o->n, d->atoms + o->cap, o->n * sizeof d->atoms[0]);
	d->n = (uint32_t)o->n & OVSDB_DATUM_MAX_N;
	if (o->n + 8 < o->cap) /* do not keep a large set's memory for a small one */
		d = xrealloc(d, sizeof *d + o->n * (d->value_type != OVSDB_VOID ? 2 : 1) *
						    sizeof d->atoms[0]);
	return d;
}

static bool same_value(const struct ovsdb_datum *a, size_t i, const struct ovsdb_datum *b, size_t j)
{
	return a->value_type == OVSDB_VOID || b->value_type == OVSDB_VOID ||
	       !ovsdb_atom_cmp(&a->atoms[a->n + i], &b->atoms[b->n + j], a->value_type);
}

/* What happens to keys in only one side, and to keys in both. */
enum merge { MERGE_UNION, MERGE_UNION_REPLACE, MERGE_DIFF, MERGE_APPLY };

static struct ovsdb_datum *merge(const struct ovsdb_datum *a, const struct ovsdb_datum *b,
				 enum merge how)
{
	struct out o = begin(a, a->n + b->n);
	size_t i = 0, j = 0;

	while (i < a->n || j < b->n) {
		int c = i == a->n   ? 1
			: j == b->n ? -1
				    : ovsdb_atom_cmp(&a->atoms[i], &b->atoms[j], a->key_type);

		if (c < 0) {
			take(&o, a, i++);
			continue;
		}
		if (c > 0) {
			take(&o, b, j++);
			continue;
		}
		switch (how) {
		case MERGE_UNION:
			take(&o, a, i);
			break;
		case MERGE_UNION_REPLACE:
			take(&o, b, j);
			break;
		case MERGE_DIFF:
		case MERGE_APPLY:
			/* same in both: unchanged (diff) or removed (apply) */
			if (!same_value(a, i, b, j))
				take(&o, b, j);
			break;
		}
		i++;
		j++;
	}
	return finish(&o);
}

struct ovsdb_datum *ovsdb_datum_union(const struct ovsdb_datum *a, const struct ovsdb_datum *b,
				      bool replace)
{
	return merge(a, b, replace ? MERGE_UNION_REPLACE : MERGE_UNION);
}

struct ovsdb_datum *ovsdb_datum_subtract(const struct ovsdb_datum *a, const struct ovsdb_datum *b)
{
	struct out o = begin(a, a->n);

	for (uint32_t i = 0; i < a->n; i++)
		if (!holds(b, a, i))
			take(&o, a, i);
	return finish(&o);
}

struct ovsdb_datum *ovsdb_datum_diff(const struct ovsdb_datum *old, const struct ovsdb_datum *new)
{
	return merge(old, new, MERGE_DIFF);
}

struct ovsdb_datum *ovsdb_datum_apply_diff(const struct ovsdb_datum *old,
					   const struct ovsdb_datum *diff)
{
	return merge(old, diff, MERGE_APPLY);
}
