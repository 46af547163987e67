/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/condition.h"

#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/txn.h"

static const char *const function_names[] = {
#define X(id, name) name,
	OVSDB_FUNCTIONS(X)
#undef X
};

static bool function_from_name(const char *s, enum ovsdb_function *f)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(function_names); i++)
		if (!strcmp(s, function_names[i])) {
			*f = (enum ovsdb_function)i;
			return true;
		}
	return false;
}

static struct ovsdb_error *type_mismatch(const json_t *json, const struct ovsdb_column *c,
					 const char *op)
{
	char *type = ovsdb_type_english(&c->type);
	struct ovsdb_error *e = ovsdb_syntax_error(
		json, NULL,
		"Type mismatch: \"%s\" operator may not be applied to column %s of type %s.", op,
		c->name, type);

	free(type);
	return e;
}

/* Adjusts the column's type to that of the argument; false if the function does not fit it. */
static bool argument_type(struct ovsdb_type *t, enum ovsdb_function f)
{
	switch (f) {
	case OVSDB_F_LT:
	case OVSDB_F_LE:
	case OVSDB_F_GT:
	case OVSDB_F_GE:
		if ((!ovsdb_type_is_scalar(t) && !ovsdb_type_is_optional_scalar(t)) ||
		    (t->key.type != OVSDB_INTEGER && t->key.type != OVSDB_REAL))
			return false;
		t->n_min = 1;
		return true;
	case OVSDB_F_INCLUDES:
		if (!ovsdb_type_is_scalar(t))
			t->n_min = 0;
		return true;
	case OVSDB_F_EXCLUDES:
		if (!ovsdb_type_is_scalar(t)) {
			t->n_min = 0;
			t->n_max = UINT32_MAX;
		}
		return true;
	case OVSDB_F_EQ:
	case OVSDB_F_NE:
	case OVSDB_F_TRUE:
	case OVSDB_F_FALSE:
		return true;
	}
	return false;
}

static struct ovsdb_error *clause_parse(struct ovsdb_clause *cl, const struct ovsdb_table_schema *t,
					const json_t *json, struct ovsdb_symtab *symbols)
{
	const char *column = json_string_value(json_array_get(json, 0));
	const char *function = json_string_value(json_array_get(json, 1));

	*cl = (struct ovsdb_clause){0};
	if (json_is_boolean(json)) {
		cl->function = json_is_true(json) ? OVSDB_F_TRUE : OVSDB_F_FALSE;
		return NULL;
	}
	if (json_array_size(json) != 3 || !column || !function)
		return ovsdb_syntax_error(json, NULL, "Parse error in condition.");
	const struct ovsdb_column *c = ovsdb_table_schema_column(t, column);
	if (!c)
		return ovsdb_syntax_error(json, "unknown column", "No column %s in table %s.",
					  column, t->name);
	if (!function_from_name(function, &cl->function))
		return ovsdb_error("unknown function", "No function named %s.", function);
	struct ovsdb_type type = c->type; /* shallow: only the counts are changed */
	if (!argument_type(&type, cl->function))
		return type_mismatch(json, c, function);
	cl->column = c->index;
	return ovsdb_datum_parse(&cl->arg, &type, json_array_get(json, 2), symbols);
}

struct ovsdb_error *ovsdb_condition_parse(struct ovsdb_condition *c,
					  const struct ovsdb_table_schema *t, const json_t *json,
					  struct ovsdb_symtab *symbols)
{
	size_t i;
	json_t *clause;

	*c = (struct ovsdb_condition){0};
	json_array_foreach(json, i, clause)
	{
		struct ovsdb_clause cl;
		struct ovsdb_error *e = clause_parse(&cl, t, clause, symbols);

		if (e) {
			ovsdb_condition_free(c);
			return e;
		}
		vec_push(&c->clauses, cl);
	}
	return NULL;
}

void ovsdb_condition_free(struct ovsdb_condition *c)
{
	VEC_FOR_EACH (cl, &c->clauses)
		ovsdb_datum_unref(cl->arg);
	vec_free(&c->clauses);
}

void ovsdb_condition_put_key(struct str *out, const struct ovsdb_condition *c)
{
	VEC_FOR_EACH (cl, &c->clauses) {
		str_printf(out, "[%d%s", cl->column, function_names[cl->function]);
		if (cl->arg)
			ovsdb_datum_put_json(out, cl->arg);
		str_putc(out, ']');
	}
}

static bool evaluate(const struct ovsdb_clause *cl, const struct ovsdb_datum *field)
{
	const struct ovsdb_datum *arg = cl->arg;
	int c;

	switch (cl->function) {
	case OVSDB_F_FALSE:
		return false;
	case OVSDB_F_TRUE:
		return true;
	case OVSDB_F_EQ:
		return ovsdb_datum_eq(field, arg);
	case OVSDB_F_NE:
		return !ovsdb_datum_eq(field, arg);
	case OVSDB_F_INCLUDES:
		return ovsdb_datum_includes_all(arg, field);
	case OVSDB_F_EXCLUDES:
		return ovsdb_datum_excludes_all(arg, field);
	case OVSDB_F_LT:
	case OVSDB_F_LE:
	case OVSDB_F_GE:
	case OVSDB_F_GT:
		if (!field->n) /* an absent optional value compares with nothing */
			return false;
		c = ovsdb_atom_cmp(&field->atoms[0], &arg->atoms[0], field->key_type);
		return cl->function == OVSDB_F_LT   ? c < 0
		       : cl->function == OVSDB_F_LE ? c <= 0
		       : cl->function == OVSDB_F_GE ? c >= 0
						    : c > 0;
	}
	return false;
}

static const struct ovsdb_datum *field_of(const struct ovsdb_clause *cl,
					  const struct ovsdb_row *row)
{
	if (cl->function == OVSDB_F_TRUE || cl->function == OVSDB_F_FALSE)
		return NULL;
	return ovsdb_row_field(row, cl->column);
}

bool ovsdb_condition_all(const struct ovsdb_condition *c, const struct ovsdb_row *row)
{
	VEC_FOR_EACH (cl, &c->clauses)
		if (!evaluate(cl, field_of(cl, row)))
			return false;
	return true;
}

bool ovsdb_condition_any(const struct ovsdb_condition *c, const struct ovsdb_row *row)
{
	VEC_FOR_EACH (cl, &c->clauses)
		if (evaluate(cl, field_of(cl, row)))
			return true;
	return !c->clauses.len;
}

/* --- finding rows ----------------------------------------------------------------------------- */

typedef VEC(struct ovsdb_row *) row_vec;

static const struct ovsdb_clause *eq_clause(const struct ovsdb_condition *c, int column)
{
	VEC_FOR_EACH (cl, &c->clauses)
		if (cl->function == OVSDB_F_EQ && cl->column == column)
			return cl;
	return NULL;
}

/* An index all of whose columns are compared for equality; its hash from the arguments. */
static bool usable_index(const struct ovsdb_condition *c, const struct ovsdb_table *t,
			 size_t *which, uint64_t *hash)
{
	for (size_t i = 0; i < t->schema->n_indexes; i++) {
		const struct ovsdb_index_schema *ix = &t->schema->indexes[i];
		uint64_t h = 0x5155; /* as ovsdb_row_index_hash() */
		size_t k;

		for (k = 0; k < ix->n; k++) {
			const struct ovsdb_clause *cl = eq_clause(c, ix->columns[k]);

			if (!cl)
				break;
			h = ovsdb_datum_hash(cl->arg, h);
		}
		if (k == ix->n) {
			*which = i;
			*hash = h;
			return true;
		}
	}
	return false;
}

/* The index knows committed values only: rows staged in this table are candidates as well. */
static void find_by_index(struct ovsdb_table *t, size_t which, uint64_t hash, row_vec *out)
{
	HMAP_FOR_EACH_WITH_HASH (n, struct ovsdb_index_node, node, hash, &t->indexes[which])
		if (!n->row->staged)
			vec_push(out, n->row);
	if (!t->is_touched || !t->db->txn)
		return;
	VEC_FOR_EACH (r, &t->db->txn->rows)
		if ((*r)->row->table == t && !(*r)->deleted)
			vec_push(out, (*r)->row);
}

void ovsdb_condition_for_each(const struct ovsdb_condition *c, struct ovsdb_table *t,
			      bool (*fn)(struct ovsdb_row *row, void *aux), void *aux)
{
	const struct ovsdb_clause *by_uuid = eq_clause(c, OVSDB_COL_UUID);
	row_vec rows = {0};
	uint64_t hash;
	size_t which;

	if (by_uuid) {
		struct ovsdb_row *row = ovsdb_table_find(t, &by_uuid->arg->atoms[0].uuid);

		if (row && ovsdb_condition_all(c, row))
			fn(row, aux);
		return;
	}
	if (c->clauses.len && usable_index(c, t, &which, &hash)) {
		find_by_index(t, which, hash, &rows);
		for (size_t i = 0; i < rows.len; i++)
			if (ovsdb_condition_all(c, rows.at[i]) && !fn(rows.at[i], aux))
				break;
		vec_free(&rows);
		return;
	}
	HMAP_FOR_EACH_SAFE (row, struct ovsdb_row, node, &t->rows)
		if (ovsdb_condition_all(c, row) && !fn(row, aux))
			break;
}
