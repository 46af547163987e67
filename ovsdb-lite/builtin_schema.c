/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/builtin_schema.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/json_text.h"

enum { ROOT = 1, IMMUTABLE = 2, EPHEMERAL = 4 };
enum row_kind { ROW_TABLE, ROW_COLUMN, ROW_INDEX };

struct def_row {
	enum row_kind kind;
	const char *name, *type;
	unsigned flags, max_rows;
};

#define TABLE(name, flags, max)   {ROW_TABLE, #name, NULL, flags, max},
#define COLUMN(name, type, flags) {ROW_COLUMN, #name, type, flags, 0},
#define INDEX(columns)            {ROW_INDEX, columns, NULL, 0, 0},
static const struct def_row open_vswitch[] = {
#include "ovsdb-lite/schema_open_vswitch.def"
};
static const struct def_row sluice[] = {
#include "ovsdb-lite/schema_sluice.def"
};
#undef TABLE
#undef COLUMN
#undef INDEX

static const struct {
	const char *name, *version;
	const char *cksum; /* that of Open vSwitch's file: the same schema, nothing to convert */
	const struct def_row *rows;
	size_t n;
} schemas[] = {
	{"Open_vSwitch", "8.3.1", "3012963480 26720", open_vswitch, SL_ARRAY_SIZE(open_vswitch)},
	{"Sluice", "1.0.0", "", sluice, SL_ARRAY_SIZE(sluice)},
};

/* --- types: the notation is explained on top of the .def files ----------------------------------
 */

static void put_word(struct str *out, const char **p)
{
	const char *s = *p;

	while (isalnum((unsigned char)**p) || **p == '_')
		(*p)++;
	str_put(out, s, (size_t)(*p - s));
}

static const char *json_type_name(const char *s, size_t n)
{
	static const char *const names[][2] = {
		{"int", "integer"},   {"real", "real"}, {"bool", "boolean"},
		{"string", "string"}, {"uuid", "uuid"},
	};

	for (size_t i = 0; i < SL_ARRAY_SIZE(names); i++)
		if (strlen(names[i][0]) == n && !memcmp(names[i][0], s, n))
			return names[i][1];
	return "?"; /* the schema parser refuses it, and the unit test sees that */
}

static void put_reference(struct str *out, const char **p)
{
	bool weak = **p == '~';

	*p += weak ? 2 : 1;
	str_puts(out, "{\"type\":\"uuid\",\"refTable\":\"");
	put_word(out, p);
	str_puts(out, weak ? "\",\"refType\":\"weak\"}" : "\"}");
}

/* "(low..high)" */
static void put_range(struct str *out, const char **p, const char *type)
{
	const char *what = !strcmp(type, "integer")  ? "Integer"
			   : !strcmp(type, "string") ? "Length"
						     : "Real";
	const char *low = *p + 1, *dots = strstr(low, ".."), *high = dots + 2;
	const char *end = strchr(high, ')');

	if (dots > low)
		str_printf(out, ",\"min%s\":%.*s", what, (int)(dots - low), low);
	if (end > high)
		str_printf(out, ",\"max%s\":%.*s", what, (int)(end - high), high);
	*p = end + 1;
}

/* "{a|b}" */
static void put_allowed(struct str *out, const char **p, const char *type)
{
	const char *quote = !strcmp(type, "string") ? "\"" : "";
	bool first = true;

	str_puts(out, ",\"enum\":[\"set\",[");
	for ((*p)++; **p != '}'; first = false) {
		size_t n = strcspn(*p, "|}");

		str_printf(out, "%s%s%.*s%s", first ? "" : ",", quote, (int)n, *p, quote);
		*p += n;
		if (**p == '|')
			(*p)++;
	}
	(*p)++;
	str_puts(out, "]]");
}

static void put_base(struct str *out, const char **p)
{
	if (**p == '@' || **p == '~') {
		put_reference(out, p);
		return;
	}
	const char *s = *p;
	while (isalpha((unsigned char)**p))
		(*p)++;
	const char *type = json_type_name(s, (size_t)(*p - s));
	str_printf(out, "{\"type\":\"%s\"", type);
	if (**p == '(')
		put_range(out, p, type);
	else if (**p == '{')
		put_allowed(out, p, type);
	str_putc(out, '}');
}

static void put_type(struct str *out, const char *p)
{
	str_puts(out, "{\"key\":");
	put_base(out, &p);
	if (!strncmp(p, " => ", 4)) {
		p += 4;
		str_puts(out, ",\"value\":");
		put_base(out, &p);
	}
	while (*p == ' ')
		p++;
	if (*p == '?' || *p == '*')
		str_puts(out, ",\"min\":0");
	if (*p == '*' || *p == '+')
		str_printf(out, ",\"max\":%s", p[1] ? p + 1 : "\"unlimited\"");
	str_putc(out, '}');
}

/* --- schemas ------------------------------------------------------------------------------------
 */

static void put_index(struct str *out, const char *columns)
{
	str_putc(out, '[');
	for (const char *p = columns; *p;) {
		str_puts(out, p == columns ? "\"" : ",\"");
		put_word(out, &p);
		str_putc(out, '"');
		while (*p == ' ')
			p++;
	}
	str_putc(out, ']');
}

static size_t put_table(struct str *out, const struct def_row *rows, size_t n)
{
	size_t i = 1;
	bool any = false;

	str_printf(out, "\"%s\":{", rows[0].name);
	if (rows[0].flags & ROOT)
		str_puts(out, "\"isRoot\":true,");
	if (rows[0].max_rows)
		str_printf(out, "\"maxRows\":%u,", rows[0].max_rows);
	str_puts(out, "\"columns\":{");
	for (; i < n && rows[i].kind == ROW_COLUMN; i++) {
		str_printf(out, "%s\"%s\":{", i > 1 ? "," : "", rows[i].name);
		if (rows[i].flags & IMMUTABLE)
			str_puts(out, "\"mutable\":false,");
		if (rows[i].flags & EPHEMERAL)
			str_puts(out, "\"ephemeral\":true,");
		str_puts(out, "\"type\":");
		put_type(out, rows[i].type);
		str_putc(out, '}');
	}
	str_putc(out, '}');
	for (; i < n && rows[i].kind == ROW_INDEX; i++, any = true) {
		str_puts(out, any ? "," : ",\"indexes\":[");
		put_index(out, rows[i].name);
	}
	str_puts(out, any ? "]}" : "}");
	return i;
}

bool ovsdb_builtin_schema_put_json(struct str *out, const char *name)
{
	for (size_t k = 0; k < SL_ARRAY_SIZE(schemas); k++) {
		if (strcmp(schemas[k].name, name))
			continue;
		str_printf(out, "{\"name\":\"%s\",\"version\":\"%s\",", name, schemas[k].version);
		if (*schemas[k].cksum)
			str_printf(out, "\"cksum\":\"%s\",", schemas[k].cksum);
		str_puts(out, "\"tables\":{");
		for (size_t i = 0; i < schemas[k].n;) {
			if (i)
				str_putc(out, ',');
			i += put_table(out, schemas[k].rows + i, schemas[k].n - i);
		}
		str_puts(out, "}}");
		return true;
	}
	return false;
}

struct ovsdb_schema *ovsdb_builtin_schema(const char *name)
{
	struct ovsdb_schema *schema = NULL;
	struct str text = STR_INIT;

	if (ovsdb_builtin_schema_put_json(&text, name)) {
		json_t *json = json_parse(text.s, text.len, NULL);

		ovsdb_error_free(ovsdb_schema_parse(&schema, json));
		json_decref(json);
	}
	str_free(&text);
	return schema;
}

const char *ovsdb_builtin_schema_version(const char *name)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(schemas); i++)
		if (!strcmp(schemas[i].name, name))
			return schemas[i].version;
	return NULL;
}
