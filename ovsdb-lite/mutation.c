/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/mutation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const mutator_names[] = {
#define X(id, name) name,
	OVSDB_MUTATORS(X)
#undef X
};

static bool mutator_from_name(const char *s, enum ovsdb_mutator *m)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(mutator_names); i++)
		if (!strcmp(s, mutator_names[i])) {
			*m = (enum ovsdb_mutator)i;
			return true;
		}
	return false;
}

static struct ovsdb_error *type_mismatch(const json_t *json, const struct ovsdb_mutation *m)
{
	char *type = ovsdb_type_english(&m->column->type);
	struct ovsdb_error *e = ovsdb_syntax_error(
		json, NULL,
		"Type mismatch: \"%s\" operator may not be applied to column %s of type %s.",
		mutator_names[m->mutator], m->column->name, type);

	free(type);
	return e;
}

static struct ovsdb_error *parse_number(struct ovsdb_mutation *m, const json_t *json,
					const json_t *arg, struct ovsdb_symtab *symbols)
{
	const struct ovsdb_type *t = &m->column->type;
	struct ovsdb_type scalar = {.n_min = 1, .n_max = 1};

	if (ovsdb_type_is_map(t) || (t->key.type != OVSDB_INTEGER &&
				     (t->key.type != OVSDB_REAL || m->mutator == OVSDB_M_MOD_)))
		return type_mismatch(json, m);
	ovsdb_base_type_init(&scalar.key, t->key.type);
	ovsdb_base_type_init(&scalar.value, OVSDB_VOID);
	return ovsdb_datum_parse(&m->arg, &scalar, arg, symbols);
}

static struct ovsdb_error *parse_elements(struct ovsdb_mutation *m, const json_t *json,
					  const json_t *arg, struct ovsdb_symtab *symbols)
{
	struct ovsdb_type t = m->column->type; /* shallow */
	struct ovsdb_error *e;

	if (ovsdb_type_is_scalar(&t))
		return type_mismatch(json, m);
	t.n_min = 0;
	if (m->mutator == OVSDB_M_DELETE_)
		t.n_max = UINT32_MAX;
	e = ovsdb_datum_parse(&m->arg, &t, arg, symbols);
	if (e && ovsdb_type_is_map(&t) && m->mutator == OVSDB_M_DELETE_) {
		ovsdb_error_free(e); /* pairs or bare keys: a map's elements go by either */
		ovsdb_base_type_init(&t.value, OVSDB_VOID);
		e = ovsdb_datum_parse(&m->arg, &t, arg, symbols);
	}
	return e;
}

static struct ovsdb_error *mutation_parse(struct ovsdb_mutation *m,
					  const struct ovsdb_table_schema *t, const json_t *json,
					  struct ovsdb_symtab *symbols)
{
	const char *column = json_string_value(json_array_get(json, 0));
	const char *mutator = json_string_value(json_array_get(json, 1));
	const json_t *arg = json_array_get(json, 2);

	*m = (struct ovsdb_mutation){0};
	if (json_array_size(json) != 3 || !column || !mutator)
		return ovsdb_syntax_error(json, NULL, "Parse error in mutation.");
	m->column = ovsdb_table_schema_column(t, column);
	if (!m->column)
		return ovsdb_syntax_error(json, "unknown column", "No column %s in table %s.",
					  column, t->name);
	if (!m->column->is_mutable)
		return ovsdb_syntax_error(json, "constraint violation",
					  "Cannot mutate immutable column %s in table %s.", column,
					  t->name);
	if (!mutator_from_name(mutator, &m->mutator))
		return ovsdb_error("unknown mutator", "No mutator named %s.", mutator);
	switch (m->mutator) {
	case OVSDB_M_ADD_:
	case OVSDB_M_SUB_:
	case OVSDB_M_MUL_:
	case OVSDB_M_DIV_:
	case OVSDB_M_MOD_:
		return parse_number(m, json, arg, symbols);
	case OVSDB_M_INSERT_:
	case OVSDB_M_DELETE_:
		return parse_elements(m, json, arg, symbols);
	}
	return NULL;
}

struct ovsdb_error *ovsdb_mutations_parse(struct ovsdb_mutations *m,
					  const struct ovsdb_table_schema *t, const json_t *json,
					  struct ovsdb_symtab *symbols)
{
	size_t i;
	json_t *j;

	*m = (struct ovsdb_mutations){0};
	json_array_foreach(json, i, j)
	{
		struct ovsdb_mutation one;
		struct ovsdb_error *e = mutation_parse(&one, t, j, symbols);

		if (e) {
			ovsdb_mutations_free(m);
			return e;
		}
		vec_push(&m->list, one);
	}
	return NULL;
}

void ovsdb_mutations_free(struct ovsdb_mutations *m)
{
	VEC_FOR_EACH (one, &m->list)
		ovsdb_datum_unref(one->arg);
	vec_free(&m->list);
}

/* --- execution -------------------------------------------------------------------------------- */

enum outcome { FINE, BY_ZERO, OUT_OF_RANGE };

static enum outcome compute_int(int64_t *x, enum ovsdb_mutator m, int64_t y)
{
	switch (m) {
	case OVSDB_M_ADD_:
		return __builtin_add_overflow(*x, y, x) ? OUT_OF_RANGE : FINE;
	case OVSDB_M_SUB_:
		return __builtin_sub_overflow(*x, y, x) ? OUT_OF_RANGE : FINE;
	case OVSDB_M_MUL_:
		return __builtin_mul_overflow(*x, y, x) ? OUT_OF_RANGE : FINE;
	case OVSDB_M_DIV_:
		if (!y)
			return BY_ZERO;
		if (*x == INT64_MIN && y == -1)
			return OUT_OF_RANGE;
		*x /= y;
		return FINE;
	case OVSDB_M_MOD_:
		if (!y)
			return BY_ZERO;
		*x = y == -1 ? 0 : *x % y;
		return FINE;
	case OVSDB_M_INSERT_:
	case OVSDB_M_DELETE_:
		return FINE;
	}
	return FINE;
}

static enum outcome compute_real(double *x, enum ovsdb_mutator m, double y)
{
	double r = *x;

	switch (m) {
	case OVSDB_M_ADD_:
		r += y;
		break;
	case OVSDB_M_SUB_:
		r -= y;
		break;
	case OVSDB_M_MUL_:
		r *= y;
		break;
	case OVSDB_M_DIV_:
		if (y == 0)
			return BY_ZERO;
		r /= y;
		break;
	case OVSDB_M_MOD_:
	case OVSDB_M_INSERT_:
	case OVSDB_M_DELETE_:
		break;
	}
	if (!isfinite(r))
		return OUT_OF_RANGE;
	*x = r;
	return FINE;
}

static struct ovsdb_error *compute(struct ovsdb_datum **out, const struct ovsdb_mutation *m,
				   const struct ovsdb_datum *old)
{
	const struct ovsdb_base_type *base = &m->column->type.key;
	union ovsdb_atom *atoms = xcalloc(old->n, sizeof *atoms);
	struct ovsdb_error *e = NULL;

	for (uint32_t i = 0; i < old->n && !e; i++) {
		enum outcome o;

		atoms[i] = old->atoms[i];
		o = base->type == OVSDB_INTEGER
			    ? compute_int(&atoms[i].integer, m->mutator, m->arg->atoms[0].integer)
			    : compute_real(&atoms[i].real, m->mutator, m->arg->atoms[0].real);
		if (o == BY_ZERO)
			e = ovsdb_error("domain error", "Division by zero.");
		else if (o == OUT_OF_RANGE)
			e = ovsdb_error("range error",
					"Result of \"%s\" operation is out of range.",
					mutator_names[m->mutator]);
		else
			e = ovsdb_atom_check(&atoms[i], base);
	}
	if (!e) {
		*out = ovsdb_datum_build(atoms, NULL, old->n, base->type, OVSDB_VOID, true);
		if (!*out)
			e = ovsdb_error("constraint violation",
					"Result of \"%s\" operation contains duplicates.",
					mutator_names[m->mutator]);
	}
	free(atoms);
	return e;
}

static struct ovsdb_error *execute(const struct ovsdb_mutation *m, struct ovsdb_txn *txn,
				   struct ovsdb_row *row)
{
	const struct ovsdb_datum *old = row->fields[m->column->index];
	const struct ovsdb_type *t = &m->column->type;
	struct ovsdb_datum *new = NULL;
	struct ovsdb_error *e = NULL;

	switch (m->mutator) {
	case OVSDB_M_ADD_:
	case OVSDB_M_SUB_:
	case OVSDB_M_MUL_:
	case OVSDB_M_DIV_:
	case OVSDB_M_MOD_:
		e = compute(&new, m, old);
		break;
	case OVSDB_M_INSERT_:
		new = ovsdb_datum_union(old, m->arg, false);
		break;
	case OVSDB_M_DELETE_:
		new = ovsdb_datum_subtract(old, m->arg);
		break;
	}
	if (!e && (new->n < t->n_min || new->n > t->n_max)) {
		char *type = ovsdb_type_english(t);

		e = ovsdb_error("constraint violation", "Attempted to store %u elements in %s.",
				new->n, type);
		free(type);
	}
	if (e)
		ovsdb_datum_unref(new);
	else
		ovsdb_txn_set(txn, row, m->column->index, new);
	return e;
}

struct ovsdb_error *ovsdb_mutations_execute(const struct ovsdb_mutations *m, struct ovsdb_txn *txn,
					    struct ovsdb_row *row)
{
	struct ovsdb_error *e = NULL;

	for (size_t i = 0; i < m->list.len && !e; i++)
		e = execute(&m->list.at[i], txn, row);
	return e;
}
