/* SPDX-License-Identifier: BSD-3-Clause */
/* Values read against a type: RFC 7047 §5.1 notation, §3.2 constraints. The JSON comes from any
 * client; every count is bounded by the message it arrived in. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/json_text.h"
#include "ovsdb-lite/type.h"

/* --- constraints ------------------------------------------------------------------------------ */

static struct ovsdb_error *check_range(const char *value, const char *min, const char *max)
{
	if (min && max)
		return ovsdb_error("constraint violation",
				   "%s is not in the valid range %s to %s (inclusive)", value, min,
				   max);
	if (min)
		return ovsdb_error("constraint violation",
				   "%s is less than minimum allowed value %s", value, min);
	return ovsdb_error("constraint violation", "%s is greater than maximum allowed value %s",
			   value, max);
}

static struct ovsdb_error *check_int(int64_t v, const struct ovsdb_base_type *b)
{
	char value[24], min[24], max[24];

	if (v >= b->int_min && v <= b->int_max)
		return NULL;
	snprintf(value, sizeof value, "%" PRId64, v);
	snprintf(min, sizeof min, "%" PRId64, b->int_min);
	snprintf(max, sizeof max, "%" PRId64, b->int_max);
	return check_range(value, b->int_min != INT64_MIN ? min : NULL,
			   b->int_max != INT64_MAX ? max : NULL);
}

static struct ovsdb_error *check_real(double v, const struct ovsdb_base_type *b)
{
	struct ovsdb_base_type plain;
	char value[40], min[40], max[40];

	if (v >= b->real_min && v <= b->real_max)
		return NULL;
	ovsdb_base_type_init(&plain, OVSDB_REAL);
	snprintf(value, sizeof value, "%.*g", 15, v);
	snprintf(min, sizeof min, "%.*g", 15, b->real_min);
	snprintf(max, sizeof max, "%.*g", 15, b->real_max);
	return check_range(value, b->real_min != plain.real_min ? min : NULL,
			   b->real_max != plain.real_max ? max : NULL);
}

static size_t count_characters(const struct ovsdb_string *s)
{
	size_t n = 0;

	for (uint32_t i = 0; i < s->len; i++)
		n += ((unsigned char)s->s[i] & 0xc0) != 0x80;
	return n;
}

static struct ovsdb_error *check_string(const struct ovsdb_string *s,
					const struct ovsdb_base_type *b)
{
	size_t n;

	if (!b->min_len && s->len <= b->max_len)
		return NULL;
	n = count_characters(s);
	if (n < b->min_len)
		return ovsdb_error("constraint violation",
				   "\"%s\" length %zu is less than minimum allowed length %u", s->s,
				   n, b->min_len);
	if (n > b->max_len)
		return ovsdb_error("constraint violation",
				   "\"%s\" length %zu is greater than maximum allowed length %u",
				   s->s, n, b->max_len);
	return NULL;
}

struct ovsdb_error *ovsdb_atom_check(const union ovsdb_atom *a, const struct ovsdb_base_type *b)
{
	if (b->allowed) {
		struct str value = STR_INIT, set = STR_INIT;

		if (ovsdb_datum_find(b->allowed, a) >= 0)
			return NULL;
		ovsdb_atom_put_text(&value, a, b->type);
		ovsdb_datum_put_text(&set, b->allowed);
		if (b->allowed->n == 1) {
			str_putc(&set, ']');
			struct str bracketed = STR_INIT;
			str_printf(&bracketed, "[%s", str_cstr(&set));
			str_free(&set);
			set = bracketed;
		}
		struct ovsdb_error *e = ovsdb_error("constraint violation",
						    "%s is not one of the allowed values (%s)",
						    str_cstr(&value), str_cstr(&set));
		str_free(&value);
		str_free(&set);
		return e;
	}
	switch (b->type) {
	case OVSDB_INTEGER:
		return check_int(a->integer, b);
	case OVSDB_REAL:
		return check_real(a->real, b);
	case OVSDB_STRING:
		return check_string(a->string, b);
	case OVSDB_VOID:
	case OVSDB_BOOLEAN:
	case OVSDB_UUID:
		return NULL;
	}
	return NULL;
}

struct ovsdb_error *ovsdb_datum_check(const struct ovsdb_datum *d, const struct ovsdb_type *t)
{
	struct ovsdb_error *e = NULL;

	if (d->n < t->n_min || d->n > t->n_max)
		return ovsdb_error("constraint violation", "%u elements where %u to %u are allowed",
				   d->n, t->n_min, t->n_max);
	for (uint32_t i = 0; i < d->n && !e; i++) {
		e = ovsdb_atom_check(&d->atoms[i], &t->key);
		if (!e && ovsdb_type_is_map(t))
			e = ovsdb_atom_check(&d->atoms[d->n + i], &t->value);
	}
	return e;
}

/* --- atoms ------------------------------------------------------------------------------------ */

static struct ovsdb_error *parse_uuid(struct uuid *u, const json_t *json,
				      struct ovsdb_symtab *symbols)
{
	const char *kind = json_string_value(json_array_get(json, 0));
	const char *text = json_string_value(json_array_get(json, 1));

	if (json_array_size(json) == 2 && kind && text) {
		if (!strcmp(kind, "uuid"))
			return uuid_parse(text, u)
				       ? NULL
				       : ovsdb_syntax_error(json, NULL,
							    "\"%s\" is not a valid UUID", text);
		if (symbols && !strcmp(kind, "named-uuid")) {
			if (!ovsdb_is_id(text))
				return ovsdb_syntax_error(json, NULL,
							  "named-uuid string is not a valid <id>");
			*u = ovsdb_symtab_get(symbols, text)->uuid;
			return NULL;
		}
	}
	return ovsdb_syntax_error(json, NULL, "expected [\"uuid\", <string>]");
}

/* 1.0 and 1e3 are integers too (other servers read them so). */
static bool integral(const json_t *json, int64_t *out)
{
	double d = json_real_value(json);

	if (!json_is_real(json) || d != floor(d) || fabs(d) > 9007199254740992.0)
		return false;
	*out = (int64_t)d;
	return true;
}

struct ovsdb_error *ovsdb_atom_parse(union ovsdb_atom *out, const struct ovsdb_base_type *b,
				     const json_t *json, struct ovsdb_symtab *symbols)
{
	struct ovsdb_error *e;
	bool ok = false;

	switch (b->type) {
	case OVSDB_VOID:
		return NULL;
	case OVSDB_INTEGER:
		ok = json_is_integer(json);
		if (ok)
			out->integer = json_integer_value(json);
		else
			ok = integral(json, &out->integer);
		break;
	case OVSDB_REAL:
		ok = json_is_number(json);
		if (ok)
			out->real = json_number_value(json);
		break;
	case OVSDB_BOOLEAN:
		ok = json_is_boolean(json);
		if (ok)
			out->boolean = json_is_true(json);
		break;
	case OVSDB_STRING:
		ok = json_is_string(json);
		if (ok)
			out->string =
				ovsdb_string_new(json_string_value(json), json_string_length(json));
		break;
	case OVSDB_UUID:
		e = parse_uuid(&out->uuid, json, symbols);
		if (e)
			return e;
		ok = true;
		break;
	}
	if (!ok)
		return ovsdb_syntax_error(json, NULL, "expected %s",
					  ovsdb_atomic_type_name(b->type));
	e = ovsdb_atom_check(out, b);
	if (e)
		ovsdb_atom_clear(out, b->type);
	return e;
}

/* --- sets and maps ---------------------------------------------------------------------------- */

/* The inner array of ["set", […]] or ["map", […]]. */
static struct ovsdb_error *unwrap(const json_t *json, const char *class, const json_t **inner)
{
	const char *kind = json_string_value(json_array_get(json, 0));

	*inner = json_array_get(json, 1);
	if (json_array_size(json) != 2 || !kind || strcmp(kind, class) || !json_is_array(*inner))
		return ovsdb_syntax_error(json, NULL, "expected [\"%s\", <array>]", class);
	return NULL;
}

static struct ovsdb_error *check_count(const json_t *json, const char *class, size_t n,
				       const struct ovsdb_type *t)
{
	if ((n >= t->n_min && n <= t->n_max) && n <= OVSDB_DATUM_MAX_N)
		return NULL;
	if (t->n_min == t->n_max)
		return ovsdb_syntax_error(json, NULL, "%s must have exactly %s but %zu are present",
					  class, t->n_min == 1 ? "one member" : "no members", n);
	if (t->n_max == UINT32_MAX)
		return ovsdb_syntax_error(json, NULL,
					  "%s must have %u or more members but %zu are present",
					  class, t->n_min, n);
	return ovsdb_syntax_error(json, NULL, "%s must have %u to %u members but %zu are present",
				  class, t->n_min, t->n_max, n);
}

static struct ovsdb_error *parse_element(union ovsdb_atom *key, union ovsdb_atom *value,
					 const struct ovsdb_type *t, const json_t *json,
					 struct ovsdb_symtab *symbols)
{
	if (!ovsdb_type_is_map(t))
		return ovsdb_atom_parse(key, &t->key, json, symbols);
	if (!json_is_array(json) || json_array_size(json) != 2)
		return ovsdb_syntax_error(json, NULL, "expected 2-element array");
	struct ovsdb_error *e = ovsdb_atom_parse(key, &t->key, json_array_get(json, 0), symbols);
	if (e)
		return e;
	e = ovsdb_atom_parse(value, &t->value, json_array_get(json, 1), symbols);
	if (e)
		ovsdb_atom_clear(key, t->key.type);
	return e;
}

static struct ovsdb_error *parse_elements(struct ovsdb_datum **out, const struct ovsdb_type *t,
					  const json_t *inner, struct ovsdb_symtab *symbols)
{
	bool map = ovsdb_type_is_map(t);
	size_t n = json_array_size(inner), i;
	union ovsdb_atom small[16], *atoms = n <= 8 ? small : xcalloc(2 * n, sizeof *atoms);
	struct ovsdb_error *e = NULL;

	for (i = 0; i < n && !e; i++)
		e = parse_element(&atoms[i], &atoms[n + i], t, json_array_get(inner, i), symbols);
	if (e) {
		for (size_t k = 0; k + 1 < i; k++) {
			ovsdb_atom_clear(&atoms[k], t->key.type);
			ovsdb_atom_clear(&atoms[n + k], t->value.type);
		}
	} else {
		*out = ovsdb_datum_build(atoms, atoms + n, n, t->key.type, t->value.type, true);
		if (!*out)
			e = ovsdb_error(NULL, map ? "map contains duplicate key"
						  : "set contains duplicate");
	}
	if (atoms != small)
		free(atoms);
	return e;
}

struct ovsdb_error *ovsdb_datum_parse(struct ovsdb_datum **out, const struct ovsdb_type *t,
				      const json_t *json, struct ovsdb_symtab *symbols)
{
	bool map = ovsdb_type_is_map(t);
	const char *class = map ? "map" : "set";
	const char *kind = json_string_value(json_array_get(json, 0));
	const json_t *inner;

	*out = NULL;
	if (!map && !(kind && !strcmp(kind, "set"))) {
		union ovsdb_atom a;
		struct ovsdb_error *e = ovsdb_atom_parse(&a, &t->key, json, symbols);

		if (!e) {
			*out = ovsdb_datum_alloc(1, t->key.type, OVSDB_VOID);
			(*out)->atoms[0] = a;
		}
		return e;
	}
	struct ovsdb_error *e = unwrap(json, class, &inner);
	if (!e)
		e = check_count(json, class, json_array_size(inner), t);
	return e ? e : parse_elements(out, t, inner, symbols);
}
