/* SPDX-License-Identifier: BSD-3-Clause */
/* Column types with their constraints (RFC 7047 §3.2 <type>, <base-type>) and the reading of
 * values against them (§5.1). Types are made once with their schema and then only read. */
#pragma once
#include "datapath/base/hmap.h"
#include "ovsdb-lite/datum.h"
#include "ovsdb-lite/error.h"

struct ovsdb_table_schema;

enum ovsdb_ref { OVSDB_REF_NONE, OVSDB_REF_STRONG, OVSDB_REF_WEAK };

struct ovsdb_base_type {
	enum ovsdb_atomic_type type;
	struct ovsdb_datum *allowed; /* "enum": a set, or NULL */
	int64_t int_min, int_max;    /* INT64_MIN, INT64_MAX when unconstrained */
	double real_min, real_max;   /* -DBL_MAX, DBL_MAX when unconstrained */
	uint32_t min_len, max_len;   /* characters of a string; 0, UINT32_MAX when unconstrained */
	char *ref_table;             /* uuid naming a row of this table, or NULL */
	const struct ovsdb_table_schema *ref; /* ref_table resolved, owned by the schema */
	enum ovsdb_ref ref_kind;
};

struct ovsdb_type {
	struct ovsdb_base_type key, value; /* value.type OVSDB_VOID: a set, not a map */
	uint32_t n_min, n_max;             /* n_min 0 or 1; UINT32_MAX = "unlimited" */
};

static inline bool ovsdb_type_is_map(const struct ovsdb_type *t)
{
	return t->value.type != OVSDB_VOID;
}
static inline bool ovsdb_type_is_scalar(const struct ovsdb_type *t)
{
	return !ovsdb_type_is_map(t) && t->n_min == 1 && t->n_max == 1;
}
static inline bool ovsdb_type_is_optional_scalar(const struct ovsdb_type *t)
{
	return !ovsdb_type_is_map(t) && t->n_min == 0 && t->n_max == 1;
}
static inline bool ovsdb_type_is_composite(const struct ovsdb_type *t)
{
	return t->n_max > 1;
}

const char *ovsdb_atomic_type_name(enum ovsdb_atomic_type t);
void ovsdb_base_type_init(struct ovsdb_base_type *b, enum ovsdb_atomic_type t); /* unconstrained */
void ovsdb_base_type_copy(struct ovsdb_base_type *dst, const struct ovsdb_base_type *src);
void ovsdb_base_type_clear(struct ovsdb_base_type *b);
void ovsdb_type_clear(struct ovsdb_type *t);
struct ovsdb_error *ovsdb_type_parse(struct ovsdb_type *t, const json_t *json);
void ovsdb_type_put_json(struct str *out, const struct ovsdb_type *t);
bool ovsdb_type_eq(const struct ovsdb_type *a, const struct ovsdb_type *b);
/* "set of up to 4096 integers" */
char *ovsdb_type_english(const struct ovsdb_type *t);
/* One reference to what a column of this type holds when nothing was given (§5.2.1). */
struct ovsdb_datum *ovsdb_type_default(const struct ovsdb_type *t);

/* --- named uuids of one transaction (§5.1 <named-uuid>) ----------------------------------------
 */
struct ovsdb_symbol {
	struct hmap_node node;
	struct uuid uuid;
	bool created; /* an insert with this uuid-name was executed */
	char name[];
};
struct ovsdb_symtab {
	struct hmap map;
};
void ovsdb_symtab_free(struct ovsdb_symtab *t);
/* Finds or makes; a name used before its insert gets the uuid the insert will use. */
struct ovsdb_symbol *ovsdb_symtab_get(struct ovsdb_symtab *t, const char *name);

/* --- reading values --------------------------------------------------------------------------- */
/* *out gets one reference. `symbols` NULL: named-uuids are refused. The count is held to
 * [n_min, n_max] of `t`; constraints of the atoms are checked. */
struct ovsdb_error *ovsdb_datum_parse(struct ovsdb_datum **out, const struct ovsdb_type *t,
				      const json_t *json, struct ovsdb_symtab *symbols);
struct ovsdb_error *ovsdb_atom_parse(union ovsdb_atom *out, const struct ovsdb_base_type *b,
				     const json_t *json, struct ovsdb_symtab *symbols);
struct ovsdb_error *ovsdb_atom_check(const union ovsdb_atom *a, const struct ovsdb_base_type *b);
/* Atoms and count of a value that was computed or comes from elsewhere. */
struct ovsdb_error *ovsdb_datum_check(const struct ovsdb_datum *d, const struct ovsdb_type *t);
