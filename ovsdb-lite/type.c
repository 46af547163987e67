/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/type.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/json_text.h"

static const char *const names[] = {"void", "integer", "real", "boolean", "string", "uuid"};

const char *ovsdb_atomic_type_name(enum ovsdb_atomic_type t)
{
	return names[t];
}

static bool atomic_from_name(const char *s, enum ovsdb_atomic_type *t)
{
	for (size_t i = OVSDB_INTEGER; i < SL_ARRAY_SIZE(names); i++)
		if (!strcmp(s, names[i])) {
			*t = (enum ovsdb_atomic_type)i;
			return true;
		}
	return false;
}

void ovsdb_base_type_init(struct ovsdb_base_type *b, enum ovsdb_atomic_type t)
{
	*b = (struct ovsdb_base_type){
		.type = t,
		.int_min = INT64_MIN,
		.int_max = INT64_MAX,
		.real_min = -DBL_MAX,
		.real_max = DBL_MAX,
		.max_len = UINT32_MAX,
	};
}

void ovsdb_base_type_copy(struct ovsdb_base_type *dst, const struct ovsdb_base_type *src)
{
	*dst = *src;
	if (src->allowed)
		dst->allowed = ovsdb_datum_ref(src->allowed);
	if (src->ref_table)
		dst->ref_table = xstrdup(src->ref_table);
}

void ovsdb_base_type_clear(struct ovsdb_base_type *b)
{
	ovsdb_datum_unref(b->allowed);
	free(b->ref_table);
	b->allowed = NULL;
	b->ref_table = NULL;
}

void ovsdb_type_clear(struct ovsdb_type *t)
{
	ovsdb_base_type_clear(&t->key);
	ovsdb_base_type_clear(&t->value);
}

/* --- <base-type> ------------------------------------------------------------------------------ */

static void parse_enum(struct ovsdb_parser *p, struct ovsdb_base_type *b, const json_t *json)
{
	struct ovsdb_type set = {.n_min = 1, .n_max = UINT32_MAX};

	if (!json)
		return;
	ovsdb_base_type_init(&set.key, b->type);
	ovsdb_base_type_init(&set.value, OVSDB_VOID);
	struct ovsdb_error *e = ovsdb_datum_parse(&b->allowed, &set, json, NULL);
	if (e && !p->error)
		p->error = e;
	else
		ovsdb_error_free(e);
}

static void parse_int_range(struct ovsdb_parser *p, struct ovsdb_base_type *b)
{
	unsigned t = OVSDB_M_INTEGER | OVSDB_M_OPTIONAL;
	const json_t *min = ovsdb_parser_member(p, "minInteger", t);
	const json_t *max = ovsdb_parser_member(p, "maxInteger", t);

	if (min)
		b->int_min = json_integer_value(min);
	if (max)
		b->int_max = json_integer_value(max);
	if (b->int_min > b->int_max)
		ovsdb_parser_fail(p, "minInteger exceeds maxInteger");
}

static void parse_real_range(struct ovsdb_parser *p, struct ovsdb_base_type *b)
{
	unsigned t = OVSDB_M_INTEGER | OVSDB_M_REAL | OVSDB_M_OPTIONAL;
	const json_t *min = ovsdb_parser_member(p, "minReal", t);
	const json_t *max = ovsdb_parser_member(p, "maxReal", t);

	if (min)
		b->real_min = json_number_value(min);
	if (max)
		b->real_max = json_number_value(max);
	if (b->real_min > b->real_max)
		ovsdb_parser_fail(p, "minReal exceeds maxReal");
}

static void parse_length(struct ovsdb_parser *p, const char *name, uint32_t *out)
{
	const json_t *j = ovsdb_parser_member(p, name, OVSDB_M_INTEGER | OVSDB_M_OPTIONAL);

	if (!j)
		return;
	json_int_t v = json_integer_value(j);
	if (v < 0 || v >= UINT32_MAX)
		ovsdb_parser_fail(p, "%s out of valid range 0 to %u", name, UINT32_MAX - 1);
	else
		*out = (uint32_t)v;
}

static void parse_ref(struct ovsdb_parser *p, struct ovsdb_base_type *b)
{
	const json_t *table = ovsdb_parser_member(p, "refTable", OVSDB_M_ID | OVSDB_M_OPTIONAL);

	if (!table)
		return;
	const json_t *kind = ovsdb_parser_member(p, "refType", OVSDB_M_STRING | OVSDB_M_OPTIONAL);
	const char *s = kind ? json_string_value(kind) : "strong";

	b->ref_table = xstrdup(json_string_value(table));
	b->ref_kind = !strcmp(s, "strong") ? OVSDB_REF_STRONG : OVSDB_REF_WEAK;
	if (strcmp(s, "strong") && strcmp(s, "weak"))
		ovsdb_parser_fail(p, "refType must be \"strong\" or \"weak\" (not \"%s\")", s);
}

static struct ovsdb_error *base_parse(struct ovsdb_base_type *b, const json_t *json)
{
	struct ovsdb_parser p;
	enum ovsdb_atomic_type t = OVSDB_VOID;

	ovsdb_base_type_init(b, OVSDB_VOID);
	if (json_is_string(json)) {
		if (!atomic_from_name(json_string_value(json), &t))
			return ovsdb_syntax_error(json, NULL, "\"%s\" is not an atomic-type",
						  json_string_value(json));
		ovsdb_base_type_init(b, t);
		return NULL;
	}
	ovsdb_parser_init(&p, json, "ovsdb type");
	const json_t *type = ovsdb_parser_member(&p, "type", OVSDB_M_STRING);
	if (type && !atomic_from_name(json_string_value(type), &t))
		ovsdb_parser_fail(&p, "\"%s\" is not an atomic-type", json_string_value(type));
	if (p.error)
		return ovsdb_parser_finish(&p);
	ovsdb_base_type_init(b, t);
	parse_enum(&p, b, ovsdb_parser_member(&p, "enum", OVSDB_M_ANY | OVSDB_M_OPTIONAL));
	switch (t) {
	case OVSDB_INTEGER:
		parse_int_range(&p, b);
		break;
	case OVSDB_REAL:
		parse_real_range(&p, b);
		break;
	case OVSDB_STRING:
		parse_length(&p, "minLength", &b->min_len);
		parse_length(&p, "maxLength", &b->max_len);
		if (b->min_len > b->max_len)
			ovsdb_parser_fail(&p, "minLength exceeds maxLength");
		break;
	case OVSDB_UUID:
		parse_ref(&p, b);
		break;
	case OVSDB_VOID:
	case OVSDB_BOOLEAN:
		break;
	}
	struct ovsdb_error *e = ovsdb_parser_finish(&p);
	if (e)
		ovsdb_base_type_clear(b);
	return e;
}

static bool is_plain(const struct ovsdb_base_type *b)
{
	return !b->allowed && b->int_min == INT64_MIN && b->int_max == INT64_MAX &&
	       b->real_min == -DBL_MAX && b->real_max == DBL_MAX && !b->min_len &&
	       b->max_len == UINT32_MAX && !b->ref_table;
}

static void base_put(struct str *out, const struct ovsdb_base_type *b)
{
	if (is_plain(b)) {
		str_printf(out, "\"%s\"", names[b->type]);
		return;
	}
	str_printf(out, "{\"type\":\"%s\"", names[b->type]);
	if (b->allowed) {
		str_puts(out, ",\"enum\":");
		ovsdb_datum_put_json(out, b->allowed);
	}
	if (b->int_min != INT64_MIN)
		str_printf(out, ",\"minInteger\":%" PRId64, b->int_min);
	if (b->int_max != INT64_MAX)
		str_printf(out, ",\"maxInteger\":%" PRId64, b->int_max);
	if (b->real_min != -DBL_MAX) {
		str_puts(out, ",\"minReal\":");
		json_put_real(out, b->real_min);
	}
	if (b->real_max != DBL_MAX) {
		str_puts(out, ",\"maxReal\":");
		json_put_real(out, b->real_max);
	}
	if (b->min_len)
		str_printf(out, ",\"minLength\":%u", b->min_len);
	if (b->max_len != UINT32_MAX)
		str_printf(out, ",\"maxLength\":%u", b->max_len);
	if (b->ref_table)
		str_printf(out, ",\"refTable\":\"%s\"%s", b->ref_table,
			   b->ref_kind == OVSDB_REF_WEAK ? ",\"refType\":\"weak\"" : "");
	str_putc(out, '}');
}

static bool base_eq(const struct ovsdb_base_type *a, const struct ovsdb_base_type *b)
{
	struct str x = STR_INIT, y = STR_INIT;

	base_put(&x, a);
	base_put(&y, b);
	bool eq = !strcmp(str_cstr(&x), str_cstr(&y));
	str_free(&x);
	str_free(&y);
	return eq;
}

/* --- <type> ----------------------------------------------------------------------------------- */

static void parse_count(struct ovsdb_parser *p, const char *name, bool unlimited_ok, uint32_t *out)
{
	const json_t *j =
		ovsdb_parser_member(p, name, OVSDB_M_INTEGER | OVSDB_M_STRING | OVSDB_M_OPTIONAL);

	if (!j)
		return;
	if (json_is_integer(j) && json_integer_value(j) >= 0 && json_integer_value(j) < UINT32_MAX)
		*out = (uint32_t)json_integer_value(j);
	else if (unlimited_ok && json_is_string(j) && !strcmp(json_string_value(j), "unlimited"))
		*out = UINT32_MAX;
	else
		ovsdb_parser_fail(p, "bad min or max value");
}

struct ovsdb_error *ovsdb_type_parse(struct ovsdb_type *t, const json_t *json)
{
	struct ovsdb_parser p;
	struct ovsdb_error *e;

	memset(t, 0, sizeof *t);
	t->n_min = t->n_max = 1;
	ovsdb_base_type_init(&t->key, OVSDB_VOID);
	ovsdb_base_type_init(&t->value, OVSDB_VOID);
	if (json_is_string(json))
		return base_parse(&t->key, json);
	if (!json_is_object(json))
		return ovsdb_syntax_error(json, NULL, "type must be a string or an object");

	ovsdb_parser_init(&p, json, "ovsdb type");
	const json_t *key = ovsdb_parser_member(&p, "key", OVSDB_M_STRING | OVSDB_M_OBJECT);
	const json_t *value = ovsdb_parser_member(
		&p, "value", OVSDB_M_STRING | OVSDB_M_OBJECT | OVSDB_M_OPTIONAL);
	parse_count(&p, "min", false, &t->n_min);
	parse_count(&p, "max", true, &t->n_max);
	e = ovsdb_parser_finish(&p);
	if (!e)
		e = base_parse(&t->key, key);
	if (!e && value)
		e = base_parse(&t->value, value);
	if (!e && (t->n_min > 1 || !t->n_max || t->n_min > t->n_max))
		e = ovsdb_syntax_error(json, NULL, "ovsdb type fails constraint checks");
	if (e)
		ovsdb_type_clear(t);
	return e;
}

void ovsdb_type_put_json(struct str *out, const struct ovsdb_type *t)
{
	if (ovsdb_type_is_scalar(t) && is_plain(&t->key)) {
		base_put(out, &t->key);
		return;
	}
	str_puts(out, "{\"key\":");
	base_put(out, &t->key);
	if (ovsdb_type_is_map(t)) {
		str_puts(out, ",\"value\":");
		base_put(out, &t->value);
	}
	if (t->n_min != 1)
		str_printf(out, ",\"min\":%u", t->n_min);
	if (t->n_max == UINT32_MAX)
		str_puts(out, ",\"max\":\"unlimited\"");
	else if (t->n_max != 1)
		str_printf(out, ",\"max\":%u", t->n_max);
	str_putc(out, '}');
}

bool ovsdb_type_eq(const struct ovsdb_type *a, const struct ovsdb_type *b)
{
	return a->n_min == b->n_min && a->n_max == b->n_max && base_eq(&a->key, &b->key) &&
	       base_eq(&a->value, &b->value);
}

char *ovsdb_type_english(const struct ovsdb_type *t)
{
	struct str s = STR_INIT;
	const char *key = names[t->key.type], *value = names[t->value.type];

	if (ovsdb_type_is_scalar(t))
		return xstrdup(key);
	str_puts(&s, ovsdb_type_is_map(t) ? "map of" : "set of");
	if (t->n_max == UINT32_MAX && t->n_min)
		str_printf(&s, " %u or more", t->n_min);
	else if (t->n_max != UINT32_MAX && t->n_min)
		str_printf(&s, " %u to %u", t->n_min, t->n_max);
	else if (t->n_max != UINT32_MAX)
		str_printf(&s, " up to %u", t->n_max);
	if (ovsdb_type_is_map(t))
		str_printf(&s, " (%s, %s) pairs", key, value);
	else
		str_printf(&s, " %ss", key);
	return str_steal(&s);
}

/* Even an enum defaults to the type's zero: only what a client writes is checked against it. */
static union ovsdb_atom default_atom(enum ovsdb_atomic_type t)
{
	union ovsdb_atom a = {.uuid = {0, 0}};

	if (t == OVSDB_STRING)
		a.string = ovsdb_string_new("", 0);
	else if (t == OVSDB_REAL)
		a.real = 0;
	return a;
}

struct ovsdb_datum *ovsdb_type_default(const struct ovsdb_type *t)
{
	struct ovsdb_datum *d = ovsdb_datum_alloc(t->n_min, t->key.type, t->value.type);

	if (t->n_min) {
		d->atoms[0] = default_atom(t->key.type);
		if (ovsdb_type_is_map(t))
			d->atoms[1] = default_atom(t->value.type);
	}
	return d;
}

/* --- symbols ---------------------------------------------------------------------------------- */

void ovsdb_symtab_free(struct ovsdb_symtab *t)
{
	HMAP_FOR_EACH_SAFE (s, struct ovsdb_symbol, node, &t->map)
		free(s);
	hmap_destroy(&t->map);
}

struct ovsdb_symbol *ovsdb_symtab_get(struct ovsdb_symtab *t, const char *name)
{
	uint64_t hash = hash_string(name);
	size_t len = strlen(name);

	HMAP_FOR_EACH_WITH_HASH (s, struct ovsdb_symbol, node, hash, &t->map)
		if (!strcmp(s->name, name))
			return s;
	struct ovsdb_symbol *s = xzalloc(sizeof *s + len + 1);
	memcpy(s->name, name, len + 1);
	uuid_generate(&s->uuid);
	hmap_insert(&t->map, &s->node, hash);
	return s;
}
