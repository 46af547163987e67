/* SPDX-License-Identifier: BSD-3-Clause */
/* Expands the short type notation to RFC 7047 §3.2 JSON. The texts are our own: a malformed one is
 * found by the unit test that builds the whole schema. */
#include "control/state/vswitch_schema.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/log.h"
#include "datapath/base/util.h"
#include "ovsdb-lite/error.h"
#include "ovsdb-lite/schema.h"

LOG_MODULE(vswitch_schema);

enum { RO = 1, EPH = 2 };

static const struct row {
	const char *table;  /* set: a table begins */
	const char *column; /* else a column */
	const char *text;   /* index columns, or type */
	int a, b;           /* root and max rows, or flags */
} rows[] = {
#define SCHEMA(name, version, cksum)
#define TABLE(name, root, max, index) {name, NULL, index, root, max},
#define COLUMN(name, type, flags)     {NULL, name, type, flags, 0},
#include "control/state/vswitch_schema.def"
#undef SCHEMA
#undef TABLE
#undef COLUMN
};

static const struct {
	const char *name, *version, *cksum;
} schema = {
#define SCHEMA(name, version, cksum) name, version, cksum
#define TABLE(...)
#define COLUMN(...)
#include "control/state/vswitch_schema.def"
#undef SCHEMA
#undef TABLE
#undef COLUMN
};

/* "a,b" as ["set",["a","b"]] */
static json_t *choices(char *list)
{
	json_t *set = json_array();
	char *save = NULL;
	for (char *w = strtok_r(list, ",", &save); w; w = strtok_r(NULL, ",", &save))
		json_array_append_new(set, json_string(w));
	return json_pack("[s, o]", "set", set);
}

/* Cuts the text of a bracket that begins with `open` out of `s`; NULL: there is none. */
static char *cut(char *s, char open, char close)
{
	char *from = strchr(s, open), *to = from ? strchr(from, close) : NULL;
	if (!to)
		return NULL;
	*from = *to = '\0';
	return from + 1;
}

/* integer[0..5], string{a,b}, uuid(~T), … */
static json_t *base_type(char *s)
{
	char *range = cut(s, '[', ']'), *set = cut(s, '{', '}'), *ref = cut(s, '(', ')');
	json_t *o = json_pack("{s:s}", "type", s);
	if (range) {
		char *dots = strstr(range, "..");
		*dots = '\0';
		if (*range)
			json_object_set_new(o, "minInteger", json_integer(atoll(range)));
		if (dots[2])
			json_object_set_new(o, "maxInteger", json_integer(atoll(dots + 2)));
	}
	if (set)
		json_object_set_new(o, "enum", choices(set));
	if (ref) {
		json_object_set_new(o, "refType", json_string(*ref == '~' ? "weak" : "strong"));
		json_object_set_new(o, "refTable", json_string(ref + (*ref == '~')));
	}
	return o;
}

static void set_count(json_t *type, const char *count)
{
	const char *dots = strstr(count, "..");
	json_t *max = json_string("unlimited");
	int min = 0;
	if (!strcmp(count, "?") || !*count) {
		json_decref(max);
		max = json_integer(1);
		min = !*count;
	} else if (!strcmp(count, "+")) {
		min = 1;
	} else if (dots) {
		json_decref(max);
		max = json_integer(atoll(dots + 2));
		min = atoi(count);
	}
	json_object_set_new(type, "min", json_integer(min));
	json_object_set_new(type, "max", max);
}

/* "base", "base count", "base -> base count" */
static json_t *column_type(const char *text)
{
	char *copy = xstrdup(text), *arrow = strstr(copy, " -> "), *value = NULL, *count;
	json_t *type = json_object();
	if (arrow) {
		*arrow = '\0';
		value = arrow + 4;
	}
	count = strchr(value ? value : copy, ' ');
	if (count)
		*count++ = '\0';
	set_count(type, count ? count : "");
	json_object_set_new(type, "key", base_type(copy));
	if (value)
		json_object_set_new(type, "value", base_type(value));
	free(copy);
	return type;
}

static json_t *new_table(const struct row *r)
{
	json_t *t = json_pack("{s:{}}", "columns"), *index = json_array();
	char *copy = xstrdup(r->text), *save = NULL;
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		json_array_append_new(index, json_string(w));
	free(copy);
	if (json_array_size(index))
		json_object_set_new(t, "indexes", json_pack("[O]", index));
	json_decref(index);
	json_object_set_new(t, "isRoot", json_boolean(r->a));
	if (r->b)
		json_object_set_new(t, "maxRows", json_integer(r->b));
	return t;
}

json_t *vswitch_schema_json(void)
{
	json_t *tables = json_object(), *columns = NULL;
	for (size_t i = 0; i < SL_ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];
		json_t *c;
		if (r->table) {
			json_t *t = new_table(r);
			columns = json_object_get(t, "columns");
			json_object_set_new(tables, r->table, t);
			continue;
		}
		c = json_pack("{s:o}", "type", column_type(r->text));
		if (r->a & RO)
			json_object_set_new(c, "mutable", json_false());
		if (r->a & EPH)
			json_object_set_new(c, "ephemeral", json_true());
		json_object_set_new(columns, r->column, c);
	}
	return json_pack("{s:s, s:s, s:s, s:o}", "name", schema.name, "version", schema.version,
			 "cksum", schema.cksum, "tables", tables);
}

struct ovsdb_schema *vswitch_schema(void)
{
	json_t *json = vswitch_schema_json();
	struct ovsdb_schema *s = NULL;
	struct ovsdb_error *error = ovsdb_schema_parse(&s, json);
	if (error) {
		char *text = ovsdb_error_text(error);
		log_emer("the built-in schema is malformed: %s", text);
		free(text);
		abort();
	}
	json_decref(json);
	return s;
}
