/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/monitor.h"

#include <stdlib.h>
#include <string.h>

/* --- specs ------------------------------------------------------------------------------------ */

static struct ovsdb_monitor_spec *spec_new(struct ovsdb_monitor_set *set, int version)
{
	struct ovsdb_monitor_spec *s = xzalloc(sizeof *s);

	s->set = set;
	s->refs = 1;
	s->version = version;
	s->tables = xcalloc(set->db->schema->n_tables, sizeof *s->tables);
	list_init(&s->subscribers);
	return s;
}

static struct ovsdb_monitor_table *spec_table(struct ovsdb_monitor_spec *s,
					      struct ovsdb_table *table)
{
	struct ovsdb_monitor_table **slot = &s->tables[table->schema->number];

	if (!*slot) {
		*slot = xzalloc(sizeof **slot);
		(*slot)->spec = s;
		(*slot)->table = table;
		list_init(&(*slot)->node);
	}
	return *slot;
}

static void spec_free(struct ovsdb_monitor_spec *s)
{
	for (size_t i = 0; i < s->set->db->schema->n_tables; i++) {
		struct ovsdb_monitor_table *mt = s->tables[i];

		if (!mt)
			continue;
		list_remove(&mt->node);
		vec_free(&mt->columns);
		ovsdb_condition_free(&mt->condition);
		free(mt);
	}
	ovsdb_buf_unref(s->initial);
	free(s->tables);
	free(s->key);
	free(s);
}

void ovsdb_monitor_unref(struct ovsdb_monitor_spec *s)
{
	if (!s || --s->refs)
		return;
	hmap_remove(&s->set->specs, &s->node);
	spec_free(s);
}

static char *make_key(const struct ovsdb_monitor_spec *s)
{
	struct str key = STR_INIT;

	str_printf(&key, "%d", s->version);
	for (size_t i = 0; i < s->set->db->schema->n_tables; i++) {
		const struct ovsdb_monitor_table *mt = s->tables[i];

		if (!mt)
			continue;
		str_printf(&key, "|%zu/%u:", i, mt->select);
		VEC_FOR_EACH (c, &mt->columns)
			str_printf(&key, "%d/%u,", c->index, c->select);
		ovsdb_condition_put_key(&key, &mt->condition);
	}
	return str_steal(&key);
}

/* Registers a finished spec, or drops it for an equal one. */
static struct ovsdb_monitor_spec *intern(struct ovsdb_monitor_spec *s)
{
	s->key = make_key(s);
	uint64_t hash = hash_string(s->key);

	HMAP_FOR_EACH_WITH_HASH (other, struct ovsdb_monitor_spec, node, hash, &s->set->specs)
		if (!strcmp(other->key, s->key)) {
			other->refs++;
			spec_free(s);
			return other;
		}
	hmap_insert(&s->set->specs, &s->node, hash);
	for (size_t i = 0; i < s->set->db->schema->n_tables; i++)
		if (s->tables[i])
			list_push_back(&s->tables[i]->table->monitors, &s->tables[i]->node);
	return s;
}

/* --- parsing ---------------------------------------------------------------------------------- */

static struct ovsdb_error *add_column(struct ovsdb_monitor_table *mt, const json_t *json, int index,
				      unsigned select)
{
	struct ovsdb_monitor_column c = {index, select};
	size_t at = 0;

	while (at < mt->columns.len && mt->columns.at[at].index < index)
		at++;
	if (at < mt->columns.len && mt->columns.at[at].index == index)
		return ovsdb_syntax_error(json, NULL, "column %s mentioned more than once",
					  ovsdb_table_schema_at(mt->table->schema, index)->name);
	vec_push(&mt->columns, c);
	memmove(&mt->columns.at[at + 1], &mt->columns.at[at],
		(mt->columns.len - 1 - at) * sizeof c);
	mt->columns.at[at] = c;
	return NULL;
}

static struct ovsdb_error *add_columns(struct ovsdb_monitor_table *mt, const json_t *json,
				       unsigned select)
{
	const struct ovsdb_table_schema *t = mt->table->schema;
	struct ovsdb_error *e = NULL;
	size_t i;
	json_t *name;

	if (!json) { /* all but _uuid */
		for (int c = OVSDB_COL_VERSION; c < (int)t->n_columns && !e; c++)
			e = add_column(mt, NULL, c, select);
		return e;
	}
	json_array_foreach(json, i, name)
	{
		if (!json_is_string(name))
			return ovsdb_syntax_error(json, NULL, "array of column names expected");
		const struct ovsdb_column *c =
			ovsdb_table_schema_column(t, json_string_value(name));
		if (!c)
			return ovsdb_syntax_error(json, NULL, "%s is not a valid column name",
						  json_string_value(name));
		e = add_column(mt, json, c->index, select);
		if (e)
			return e;
	}
	return NULL;
}

static struct ovsdb_error *parse_select(const json_t *json, const char *table, unsigned *select)
{
	static const struct {
		const char *name;
		unsigned bit;
	} flags[] = {
		{"initial", OVSDB_SELECT_INITIAL},
		{"insert", OVSDB_SELECT_INSERT},
		{"delete", OVSDB_SELECT_DELETE},
		{"modify", OVSDB_SELECT_MODIFY},
	};
	struct ovsdb_parser p;

	*select = OVSDB_SELECT_ALL;
	if (!json)
		return NULL;
	char *what = xasprintf("table %s select", table);
	ovsdb_parser_init(&p, json, what);
	for (size_t i = 0; i < SL_ARRAY_SIZE(flags); i++)
		if (json_is_false(ovsdb_parser_member(&p, flags[i].name,
						      OVSDB_M_BOOLEAN | OVSDB_M_OPTIONAL)))
			*select &= ~flags[i].bit;
	struct ovsdb_error *e = ovsdb_parser_finish(&p);
	free(what);
	return e;
}

static struct ovsdb_error *parse_request(struct ovsdb_monitor_table *mt, const json_t *json,
					 int version)
{
	const char *table = mt->table->schema->name;
	char *what = xasprintf("table %s", table);
	const json_t *where = NULL;
	struct ovsdb_parser p;
	unsigned select;

	ovsdb_parser_init(&p, json, what);
	if (version > 1)
		where = ovsdb_parser_member(&p, "where", OVSDB_M_ARRAY | OVSDB_M_OPTIONAL);
	const json_t *columns =
		ovsdb_parser_member(&p, "columns", OVSDB_M_ARRAY | OVSDB_M_OPTIONAL);
	const json_t *sel = ovsdb_parser_member(&p, "select", OVSDB_M_OBJECT | OVSDB_M_OPTIONAL);
	struct ovsdb_error *e = ovsdb_parser_finish(&p);
	free(what);
	if (!e)
		e = parse_select(sel, table, &select);
	if (!e) {
		mt->select |= select; /* also without columns: that follows which rows exist */
		e = add_columns(mt, columns, select);
	}
	if (!e && !json_array_size(where)) {
		mt->every_row = true; /* whatever other requests for the table restrict */
	} else if (!e) {
		struct ovsdb_condition c;

		e = ovsdb_condition_parse(&c, mt->table->schema, where, NULL);
		if (!e) {
			vec_append(&mt->condition.clauses, c.clauses.at, c.clauses.len);
			vec_free(&c.clauses);
		}
	}
	return e;
}

/* One request object, or an array of them. */
static struct ovsdb_error *parse_table(struct ovsdb_monitor_spec *s, struct ovsdb_table *table,
				       const json_t *json)
{
	struct ovsdb_monitor_table *mt = spec_table(s, table);
	struct ovsdb_error *e = NULL;

	if (!json_is_array(json))
		return parse_request(mt, json, s->version);
	for (size_t i = 0; i < json_array_size(json) && !e; i++)
		e = parse_request(mt, json_array_get(json, i), s->version);
	if (mt->every_row)
		ovsdb_condition_free(&mt->condition);
	return e;
}

struct ovsdb_error *ovsdb_monitor_parse(struct ovsdb_monitor_spec **out,
					struct ovsdb_monitor_set *set, const json_t *requests,
					int version)
{
	struct ovsdb_error *e = NULL;
	const char *name;
	json_t *json;

	if (!json_is_object(requests))
		return ovsdb_syntax_error(requests, NULL, "monitor-requests must be object");
	struct ovsdb_monitor_spec *s = spec_new(set, version);
	json_object_foreach((json_t *)requests, name, json)
	{
		struct ovsdb_table *table = ovsdb_db_table(set->db, name);

		e = table ? parse_table(s, table, json)
			  : ovsdb_syntax_error(NULL, NULL, "no table named %s", name);
		if (e)
			break;
	}
	if (e)
		spec_free(s);
	else
		*out = intern(s);
	return e;
}

static void copy_condition(struct ovsdb_condition *to, const struct ovsdb_condition *from)
{
	for (size_t i = 0; i < from->clauses.len; i++) {
		struct ovsdb_clause cl = from->clauses.at[i];

		if (cl.arg)
			cl.arg = ovsdb_datum_ref(cl.arg);
		vec_push(&to->clauses, cl);
	}
}

static struct ovsdb_error *parse_condition_change(struct ovsdb_monitor_table *mt,
						  const json_t *json)
{
	const json_t *one = json_is_array(json) ? json_array_get(json, 0) : json;
	struct ovsdb_condition c = {0};
	struct ovsdb_parser p;

	if (json_is_array(json) && !one)
		return NULL;
	char *what = xasprintf("table %s", mt->table->schema->name);
	ovsdb_parser_init(&p, one, what);
	const json_t *where = ovsdb_parser_member(&p, "where", OVSDB_M_ARRAY | OVSDB_M_OPTIONAL);
	struct ovsdb_error *e = ovsdb_parser_finish(&p);
	free(what);
	if (!e && where)
		e = ovsdb_condition_parse(&c, mt->table->schema, where, NULL);
	if (e)
		return e;
	ovsdb_condition_free(&mt->condition);
	mt->condition = c;
	return NULL;
}

struct ovsdb_error *ovsdb_monitor_with_conditions(struct ovsdb_monitor_spec **out,
						  const struct ovsdb_monitor_spec *from,
						  const json_t *requests)
{
	struct ovsdb_monitor_set *set = from->set;
	struct ovsdb_error *e = NULL;
	const char *name;
	json_t *json;

	if (!json_is_object(requests))
		return ovsdb_syntax_error(requests, NULL,
					  "monitor-cond-change-requests must be object");
	struct ovsdb_monitor_spec *s = spec_new(set, from->version);
	for (size_t i = 0; i < set->db->schema->n_tables; i++) {
		const struct ovsdb_monitor_table *src = from->tables[i];

		if (!src)
			continue;
		struct ovsdb_monitor_table *mt = spec_table(s, src->table);
		mt->select = src->select;
		vec_append(&mt->columns, src->columns.at, src->columns.len);
		copy_condition(&mt->condition, &src->condition);
	}
	json_object_foreach((json_t *)requests, name, json)
	{
		struct ovsdb_table *table = ovsdb_db_table(set->db, name);
		struct ovsdb_monitor_table *mt = table ? s->tables[table->schema->number] : NULL;

		if (!table)
			e = ovsdb_syntax_error(NULL, NULL, "no table named %s", name);
		else if (!mt)
			e = ovsdb_syntax_error(NULL, NULL, "no table named %s in monitor session",
					       name);
		else
			e = parse_condition_change(mt, json);
		if (e)
			break;
	}
	if (e)
		spec_free(s);
	else
		*out = intern(s);
	return e;
}

/* --- text ------------------------------------------------------------------------------------- */

/* Opens and closes the two levels of braces around rows only when there is a row. */
struct writer {
	struct str text;
	const struct ovsdb_table *table;
	bool any_table;
};

static struct str *begin_row(struct writer *w, const struct ovsdb_table *table,
			     const struct ovsdb_row *row)
{
	char uuid[UUID_TEXT_BYTES];

	if (w->table != table) {
		if (w->table)
			str_putc(&w->text, '}');
		str_putc(&w->text, w->any_table ? ',' : '{');
		str_putc(&w->text, '"');
		str_puts(&w->text, table->schema->name);
		str_put(&w->text, "\":{", 3);
		w->table = table;
		w->any_table = true;
	} else {
		str_putc(&w->text, ',');
	}
	uuid_format(ovsdb_row_id(row), uuid);
	str_putc(&w->text, '"');
	str_put(&w->text, uuid, 36);
	str_put(&w->text, "\":", 2);
	return &w->text;
}

static void end_rows(struct writer *w)
{
	if (w->table)
		str_putc(&w->text, '}');
	str_puts(&w->text, w->any_table ? "}" : "{}");
}

static bool differs(const struct ovsdb_datum *a, const struct ovsdb_datum *b)
{
	return a != b && !ovsdb_datum_eq(a, b);
}

static void put_name(struct str *out, const struct ovsdb_column *c, bool *any)
{
	str_put(out, *any ? ",\"" : "\"", *any ? 2 : 1);
	*any = true;
	str_puts(out, c->name);
	str_put(out, "\":", 2);
}

/* Every column of this kind of change, as in update; or those that are not default, as in update2.
 */
static void put_all(struct str *out, const struct ovsdb_monitor_table *mt,
		    const struct ovsdb_row *row, unsigned select, bool skip_defaults)
{
	bool any = false;

	str_putc(out, '{');
	for (size_t i = 0; i < mt->columns.len; i++) {
		const struct ovsdb_monitor_column *mc = &mt->columns.at[i];
		const struct ovsdb_column *c = ovsdb_table_schema_at(mt->table->schema, mc->index);
		const struct ovsdb_datum *d = ovsdb_row_field(row, mc->index);

		if (!(mc->select & select) || (skip_defaults && !differs(d, c->dflt)))
			continue;
		put_name(out, c, &any);
		ovsdb_datum_put_json(out, d);
	}
	str_putc(out, '}');
}

static bool any_changed(const struct ovsdb_monitor_table *mt, const struct ovsdb_row *old,
			const struct ovsdb_row *new)
{
	VEC_FOR_EACH (mc, &mt->columns)
		if (mc->select & OVSDB_SELECT_MODIFY &&
		    differs(ovsdb_row_field(old, mc->index), ovsdb_row_field(new, mc->index)))
			return true;
	return false;
}

/* Old values (update) or differences (update2) of the columns that changed. */
static void put_changed(struct str *out, const struct ovsdb_monitor_table *mt,
			const struct ovsdb_row *old, const struct ovsdb_row *new, bool diff)
{
	bool any = false;

	str_putc(out, '{');
	for (size_t i = 0; i < mt->columns.len; i++) {
		const struct ovsdb_monitor_column *mc = &mt->columns.at[i];
		const struct ovsdb_column *c = ovsdb_table_schema_at(mt->table->schema, mc->index);
		const struct ovsdb_datum *a = ovsdb_row_field(old, mc->index);
		const struct ovsdb_datum *b = ovsdb_row_field(new, mc->index);

		if (!(mc->select & OVSDB_SELECT_MODIFY) || !differs(a, b))
			continue;
		put_name(out, c, &any);
		if (!diff) {
			ovsdb_datum_put_json(out, a);
		} else if (ovsdb_type_is_composite(&c->type)) {
			struct ovsdb_datum *d = ovsdb_datum_diff(a, b);

			ovsdb_datum_put_json(out, d);
			ovsdb_datum_unref(d);
		} else {
			ovsdb_datum_put_json(out, b);
		}
	}
	str_putc(out, '}');
}

/* One row's <row-update> or <row-update2>, or nothing. old and new as the client sees them. */
static void put_change(struct writer *w, const struct ovsdb_monitor_table *mt,
		       const struct ovsdb_row *old, const struct ovsdb_row *new, bool is_initial)
{
	bool v2 = mt->spec->version > 1;
	struct str *out;

	if (old && new) {
		if (!(mt->select & OVSDB_SELECT_MODIFY) || !any_changed(mt, old, new))
			return;
		out = begin_row(w, mt->table, new);
		str_puts(out, v2 ? "{\"modify\":" : "{\"old\":");
		put_changed(out, mt, old, new, v2);
		if (!v2) {
			str_puts(out, ",\"new\":");
			put_all(out, mt, new, OVSDB_SELECT_MODIFY, false);
		}
	} else if (new) {
		unsigned select = is_initial ? OVSDB_SELECT_INITIAL : OVSDB_SELECT_INSERT;

		if (!(mt->select & select))
			return;
		out = begin_row(w, mt->table, new);
		str_puts(out, !v2 ? "{\"new\":" : is_initial ? "{\"initial\":" : "{\"insert\":");
		put_all(out, mt, new, select, v2);
	} else {
		if (!(mt->select & OVSDB_SELECT_DELETE))
			return;
		out = begin_row(w, mt->table, old);
		str_puts(out, v2 ? "{\"delete\":" : "{\"old\":");
		if (v2)
			str_puts(out, "null");
		else
			put_all(out, mt, old, OVSDB_SELECT_DELETE, false);
	}
	str_putc(out, '}');
}

static struct ovsdb_buf *to_buf(struct writer *w)
{
	end_rows(w);
	struct ovsdb_buf *b = ovsdb_buf_new(w->text.s, w->text.len);
	str_free(&w->text);
	return b;
}

struct ovsdb_buf *ovsdb_monitor_initial(struct ovsdb_monitor_spec *s)
{
	struct writer w = {0};

	if (!s->initial || s->initial_commit != s->set->db->n_commits) {
		for (size_t i = 0; i < s->set->db->schema->n_tables; i++) {
			const struct ovsdb_monitor_table *mt = s->tables[i];

			if (!mt || !(mt->select & OVSDB_SELECT_INITIAL))
				continue;
			HMAP_FOR_EACH (row, struct ovsdb_row, node, &mt->table->rows)
				if (ovsdb_condition_any(&mt->condition, row))
					put_change(&w, mt, NULL, row, true);
		}
		ovsdb_buf_unref(s->initial);
		s->initial = to_buf(&w);
		s->initial_commit = s->set->db->n_commits;
	}
	s->initial->refs++;
	return s->initial;
}

struct ovsdb_buf *ovsdb_monitor_update(const struct ovsdb_monitor_spec *s,
				       const struct ovsdb_change *changes, size_t n)
{
	struct writer w = {0};

	for (size_t i = 0; i < n; i++) {
		const struct ovsdb_change *ch = &changes[i];
		const struct ovsdb_monitor_table *mt = s->tables[ch->table->schema->number];

		if (!mt)
			continue;
		const struct ovsdb_row *old =
			ch->old && ovsdb_condition_any(&mt->condition, ch->old) ? ch->old : NULL;
		const struct ovsdb_row *new =
			ch->new &&ovsdb_condition_any(&mt->condition, ch->new) ? ch->new : NULL;
		if (old || new)
			put_change(&w, mt, old, new, false);
	}
	if (w.any_table)
		return to_buf(&w);
	str_free(&w.text);
	return NULL;
}

struct ovsdb_buf *ovsdb_monitor_transition(const struct ovsdb_monitor_spec *from,
					   const struct ovsdb_monitor_spec *to)
{
	struct writer w = {0};

	for (size_t i = 0; from != to && i < to->set->db->schema->n_tables; i++) {
		const struct ovsdb_monitor_table *a = from->tables[i], *b = to->tables[i];

		if (!b)
			continue;
		HMAP_FOR_EACH (row, struct ovsdb_row, node, &b->table->rows) {
			bool was = ovsdb_condition_any(&a->condition, row);
			bool is = ovsdb_condition_any(&b->condition, row);

			if (was != is)
				put_change(&w, b, was ? row : NULL, is ? row : NULL, false);
		}
	}
	if (w.any_table)
		return to_buf(&w);
	str_free(&w.text);
	return NULL;
}
