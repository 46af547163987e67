/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/json_text.h"

struct name_node {
	struct hmap_node node;
	const struct ovsdb_column *column;
};

/* --- memory ----------------------------------------------------------------------------------- */

static void column_clear(struct ovsdb_column *c)
{
	free(c->name);
	ovsdb_datum_unref(c->dflt);
	ovsdb_type_clear(&c->type);
}

static void table_clear(struct ovsdb_table_schema *t)
{
	for (size_t i = 0; i < t->n_columns; i++)
		column_clear(&t->columns[i]);
	column_clear(&t->uuid);
	column_clear(&t->version);
	for (size_t i = 0; i < t->n_indexes; i++)
		free(t->indexes[i].columns);
	HMAP_FOR_EACH_SAFE (n, struct name_node, node, &t->by_name)
		free(n);
	hmap_destroy(&t->by_name);
	free(t->columns);
	free(t->indexes);
	free(t->strong);
	free(t->weak);
	free(t->index_columns);
	free(t->name);
}

struct ovsdb_schema *ovsdb_schema_ref(struct ovsdb_schema *s)
{
	s->refs++;
	return s;
}

void ovsdb_schema_unref(struct ovsdb_schema *s)
{
	if (!s || --s->refs)
		return;
	for (size_t i = 0; i < s->n_tables; i++)
		table_clear(&s->tables[i]);
	free(s->tables);
	free(s->name);
	free(s->version);
	free(s->cksum);
	free(s);
}

/* --- lookup ----------------------------------------------------------------------------------- */

const struct ovsdb_table_schema *ovsdb_schema_table(const struct ovsdb_schema *s, const char *name)
{
	size_t lo = 0, hi = s->n_tables;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = strcmp(s->tables[mid].name, name);

		if (!c)
			return &s->tables[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const struct ovsdb_column *ovsdb_table_schema_column(const struct ovsdb_table_schema *t,
						     const char *name)
{
	uint64_t hash = hash_string(name);

	HMAP_FOR_EACH_WITH_HASH (n, struct name_node, node, hash, &t->by_name)
		if (!strcmp(n->column->name, name))
			return n->column;
	return NULL;
}

/* --- parsing ---------------------------------------------------------------------------------- */

static struct ovsdb_error *column_parse(struct ovsdb_column *c, const char *name,
					const json_t *json)
{
	struct ovsdb_parser p;
	char *what = xasprintf("schema for column %s", name);

	*c = (struct ovsdb_column){.is_mutable = true, .persistent = true};
	ovsdb_parser_init(&p, json, what);
	const json_t *is_mutable =
		ovsdb_parser_member(&p, "mutable", OVSDB_M_BOOLEAN | OVSDB_M_OPTIONAL);
	const json_t *ephemeral =
		ovsdb_parser_member(&p, "ephemeral", OVSDB_M_BOOLEAN | OVSDB_M_OPTIONAL);
	const json_t *type = ovsdb_parser_member(&p, "type", OVSDB_M_STRING | OVSDB_M_OBJECT);
	struct ovsdb_error *e = ovsdb_parser_finish(&p);
	free(what);
	if (!e)
		e = ovsdb_type_parse(&c->type, type);
	if (e)
		return e;
	c->name = xstrdup(name);
	c->is_mutable = !is_mutable || json_is_true(is_mutable);
	c->persistent = !json_is_true(ephemeral);
	c->dflt = ovsdb_type_default(&c->type);
	return NULL;
}

static int by_column_name(const void *a, const void *b)
{
	return strcmp(((const struct ovsdb_column *)a)->name,
		      ((const struct ovsdb_column *)b)->name);
}

static int by_table_name(const void *a, const void *b)
{
	return strcmp(((const struct ovsdb_table_schema *)a)->name,
		      ((const struct ovsdb_table_schema *)b)->name);
}

static void add_name(struct ovsdb_table_schema *t, const struct ovsdb_column *c)
{
	struct name_node *n = xzalloc(sizeof *n);

	n->column = c;
	hmap_insert(&t->by_name, &n->node, hash_string(c->name));
}

static void init_builtin(struct ovsdb_column *c, const char *name, int index)
{
	*c = (struct ovsdb_column){.name = xstrdup(name), .index = index};
	ovsdb_base_type_init(&c->type.key, OVSDB_UUID);
	ovsdb_base_type_init(&c->type.value, OVSDB_VOID);
	c->type.n_min = c->type.n_max = 1;
	c->dflt = ovsdb_type_default(&c->type);
}

static struct ovsdb_error *index_parse(struct ovsdb_table_schema *t, struct ovsdb_index_schema *ix,
				       const json_t *json)
{
	size_t i;
	json_t *e;

	if (!json_is_array(json) || !json_array_size(json))
		return ovsdb_syntax_error(json, NULL, "array of distinct column names expected");
	ix->columns = xcalloc(json_array_size(json), sizeof *ix->columns);
	json_array_foreach(json, i, e)
	{
		const char *name = json_string_value(e);
		const struct ovsdb_column *c = name ? ovsdb_table_schema_column(t, name) : NULL;

		if (!c)
			return ovsdb_syntax_error(json, NULL, "%s is not a valid column name",
						  name ? name : "?");
		if (!c->persistent || c->index < 0)
			return ovsdb_syntax_error(json, NULL,
						  "ephemeral columns (such as %s) may not be "
						  "indexed",
						  name);
		for (size_t k = 0; k < ix->n; k++)
			if (ix->columns[k] == c->index)
				return ovsdb_syntax_error(
					json, NULL, "array of distinct column names expected");
		ix->columns[ix->n++] = c->index;
		t->index_columns[c->index / 64] |= 1ull << (c->index % 64);
	}
	return NULL;
}

static struct ovsdb_error *columns_parse(struct ovsdb_table_schema *t, const json_t *json)
{
	const char *name;
	json_t *value;
	struct ovsdb_error *e = NULL;

	if (!json_object_size(json))
		return ovsdb_syntax_error(json, NULL, "table must have at least one column");
	t->columns = xcalloc(json_object_size(json), sizeof *t->columns);
	json_object_foreach((json_t *)json, name, value)
	{
		if (!ovsdb_is_id(name))
			return ovsdb_syntax_error(json, NULL, "%s is not a valid <id>", name);
		if (*name == '_')
			return ovsdb_syntax_error(json, NULL,
						  "names beginning with \"_\" are reserved");
		e = column_parse(&t->columns[t->n_columns], name, value);
		if (e)
			return e;
		t->n_columns++;
	}
	qsort(t->columns, t->n_columns, sizeof *t->columns, by_column_name);
	for (size_t i = 0; i < t->n_columns; i++) {
		t->columns[i].index = (int)i;
		add_name(t, &t->columns[i]);
	}
	t->index_columns = xcalloc(t->n_columns / 64 + 1, sizeof *t->index_columns);
	return NULL;
}

static struct ovsdb_error *table_parse(struct ovsdb_table_schema *t, const char *name,
				       const json_t *json, bool *root_given)
{
	struct ovsdb_parser p;
	char *what = xasprintf("table schema for table %s", name);

	t->name = xstrdup(name);
	t->max_rows = UINT32_MAX;
	init_builtin(&t->uuid, "_uuid", OVSDB_COL_UUID);
	init_builtin(&t->version, "_version", OVSDB_COL_VERSION);
	add_name(t, &t->uuid);
	add_name(t, &t->version);

	ovsdb_parser_init(&p, json, what);
	const json_t *columns = ovsdb_parser_member(&p, "columns", OVSDB_M_OBJECT);
	const json_t *is_mutable =
		ovsdb_parser_member(&p, "mutable", OVSDB_M_BOOLEAN | OVSDB_M_OPTIONAL);
	const json_t *max_rows =
		ovsdb_parser_member(&p, "maxRows", OVSDB_M_INTEGER | OVSDB_M_OPTIONAL);
	const json_t *is_root =
		ovsdb_parser_member(&p, "isRoot", OVSDB_M_BOOLEAN | OVSDB_M_OPTIONAL);
	const json_t *indexes =
		ovsdb_parser_member(&p, "indexes", OVSDB_M_ARRAY | OVSDB_M_OPTIONAL);
	if (max_rows) {
		json_int_t v = json_integer_value(max_rows);

		if (v <= 0 || v > UINT32_MAX)
			ovsdb_parser_fail(&p, "maxRows must be at least 1");
		else
			t->max_rows = (uint32_t)v;
	}
	struct ovsdb_error *e = ovsdb_parser_finish(&p);
	free(what);
	if (!e)
		e = columns_parse(t, columns);
	t->is_mutable = !is_mutable || json_is_true(is_mutable);
	t->is_root = json_is_true(is_root);
	*root_given |= t->is_root;
	if (e || !indexes)
		return e;
	t->indexes = xcalloc(json_array_size(indexes) + 1, sizeof *t->indexes);
	for (size_t i = 0; i < json_array_size(indexes) && !e; i++)
		e = index_parse(t, &t->indexes[t->n_indexes++], json_array_get(indexes, i));
	return e;
}

static struct ovsdb_error *resolve_base(struct ovsdb_schema *s, const struct ovsdb_column *c,
					struct ovsdb_base_type *b, const char *side)
{
	if (!b->ref_table)
		return NULL;
	b->ref = ovsdb_schema_table(s, b->ref_table);
	if (!b->ref)
		return ovsdb_syntax_error(NULL, NULL, "column %s %s refers to undefined table %s",
					  c->name, side, b->ref_table);
	if (b->ref_kind == OVSDB_REF_STRONG && !b->ref->is_root && !c->persistent)
		return ovsdb_syntax_error(
			NULL, NULL, "ephemeral column %s may not hold strong references", c->name);
	return NULL;
}

static struct ovsdb_error *resolve_refs(struct ovsdb_schema *s)
{
	struct ovsdb_error *e = NULL;

	for (size_t i = 0; i < s->n_tables && !e; i++) {
		struct ovsdb_table_schema *t = &s->tables[i];

		t->number = i;
		t->strong = xcalloc(t->n_columns, sizeof *t->strong);
		t->weak = xcalloc(t->n_columns, sizeof *t->weak);
		for (size_t k = 0; k < t->n_columns && !e; k++) {
			struct ovsdb_column *c = &t->columns[k];
			enum ovsdb_ref key = c->type.key.ref_kind, value = c->type.value.ref_kind;

			e = resolve_base(s, c, &c->type.key, "key");
			if (!e)
				e = resolve_base(s, c, &c->type.value, "value");
			if (key == OVSDB_REF_STRONG || value == OVSDB_REF_STRONG)
				t->strong[t->n_strong++] = (int)k;
			if (key == OVSDB_REF_WEAK || value == OVSDB_REF_WEAK)
				t->weak[t->n_weak++] = (int)k;
		}
	}
	return e;
}

uint64_t ovsdb_schema_version_number(const char *version)
{
	unsigned x, y, z;
	int n = 0;

	if (sscanf(version, "%5u.%5u.%5u%n", &x, &y, &z, &n) != 3 || version[n])
		return 0;
	return (uint64_t)x << 40 | (uint64_t)y << 20 | z;
}

static struct ovsdb_error *tables_parse(struct ovsdb_schema *s, const json_t *json)
{
	const char *name;
	json_t *value;
	bool root_given = false;
	struct ovsdb_error *e;

	s->tables = xcalloc(json_object_size(json) + 1, sizeof *s->tables);
	json_object_foreach((json_t *)json, name, value)
	{
		if (!ovsdb_is_id(name))
			return ovsdb_syntax_error(json, NULL, "%s is not a valid <id>", name);
		if (*name == '_')
			return ovsdb_syntax_error(json, NULL,
						  "names beginning with \"_\" are reserved");
		e = table_parse(&s->tables[s->n_tables++], name, value, &root_given);
		if (e)
			return e;
	}
	qsort(s->tables, s->n_tables, sizeof *s->tables, by_table_name);
	if (!root_given) /* schemas older than "isRoot" have no garbage collection */
		for (size_t i = 0; i < s->n_tables; i++)
			s->tables[i].is_root = true;
	return resolve_refs(s);
}

struct ovsdb_error *ovsdb_schema_parse(struct ovsdb_schema **out, const json_t *json)
{
	struct ovsdb_parser p;
	struct ovsdb_error *e;

	*out = NULL;
	ovsdb_parser_init(&p, json, "database schema");
	const json_t *name = ovsdb_parser_member(&p, "name", OVSDB_M_ID);
	const json_t *version =
		ovsdb_parser_member(&p, "version", OVSDB_M_STRING | OVSDB_M_OPTIONAL);
	const json_t *cksum = ovsdb_parser_member(&p, "cksum", OVSDB_M_STRING | OVSDB_M_OPTIONAL);
	const json_t *tables = ovsdb_parser_member(&p, "tables", OVSDB_M_OBJECT);
	if (version && !ovsdb_schema_version_number(json_string_value(version)) &&
	    strcmp(json_string_value(version), "0.0.0"))
		ovsdb_parser_fail(&p, "schema version \"%s\" not in format x.y.z",
				  json_string_value(version));
	e = ovsdb_parser_finish(&p);
	if (e)
		return e;
	struct ovsdb_schema *s = xzalloc(sizeof *s);
	s->refs = 1;
	s->name = xstrdup(json_string_value(name));
	s->version = xstrdup(version ? json_string_value(version) : "");
	s->cksum = xstrdup(cksum ? json_string_value(cksum) : "");
	e = tables_parse(s, tables);
	if (e)
		ovsdb_schema_unref(s);
	else
		*out = s;
	return e;
}

/* --- formatting ------------------------------------------------------------------------------- */

static void column_put(struct str *out, const struct ovsdb_column *c)
{
	str_printf(out, "\"%s\":{\"type\":", c->name);
	ovsdb_type_put_json(out, &c->type);
	if (!c->is_mutable)
		str_puts(out, ",\"mutable\":false");
	if (!c->persistent)
		str_puts(out, ",\"ephemeral\":true");
	str_putc(out, '}');
}

static bool all_roots(const struct ovsdb_schema *s)
{
	for (size_t i = 0; i < s->n_tables; i++)
		if (!s->tables[i].is_root)
			return false;
	return true;
}

static void table_put(struct str *out, const struct ovsdb_table_schema *t, bool show_root)
{
	str_printf(out, "\"%s\":{\"columns\":{", t->name);
	for (size_t i = 0; i < t->n_columns; i++) {
		if (i)
			str_putc(out, ',');
		column_put(out, &t->columns[i]);
	}
	str_putc(out, '}');
	if (t->n_indexes)
		str_puts(out, ",\"indexes\":[");
	for (size_t i = 0; i < t->n_indexes; i++) {
		str_puts(out, i ? ",[" : "[");
		for (size_t k = 0; k < t->indexes[i].n; k++)
			str_printf(out, "%s\"%s\"", k ? "," : "",
				   t->columns[t->indexes[i].columns[k]].name);
		str_putc(out, ']');
	}
	if (t->n_indexes)
		str_putc(out, ']');
	if (t->is_root && show_root)
		str_puts(out, ",\"isRoot\":true");
	if (t->max_rows != UINT32_MAX)
		str_printf(out, ",\"maxRows\":%u", t->max_rows);
	if (!t->is_mutable)
		str_puts(out, ",\"mutable\":false");
	str_putc(out, '}');
}

void ovsdb_schema_put_json(struct str *out, const struct ovsdb_schema *s)
{
	bool show_root = !all_roots(s);

	str_printf(out, "{\"name\":\"%s\"", s->name);
	if (*s->version)
		str_printf(out, ",\"version\":\"%s\"", s->version);
	if (*s->cksum) {
		str_puts(out, ",\"cksum\":");
		json_put_string(out, s->cksum, strlen(s->cksum));
	}
	str_puts(out, ",\"tables\":{");
	for (size_t i = 0; i < s->n_tables; i++) {
		if (i)
			str_putc(out, ',');
		table_put(out, &s->tables[i], show_root);
	}
	str_puts(out, "}}");
}

bool ovsdb_schema_eq(const struct ovsdb_schema *a, const struct ovsdb_schema *b)
{
	struct str x = STR_INIT, y = STR_INIT;

	ovsdb_schema_put_json(&x, a);
	ovsdb_schema_put_json(&y, b);
	bool eq = x.len == y.len && !memcmp(x.s, y.s, x.len);
	str_free(&x);
	str_free(&y);
	return eq;
}
