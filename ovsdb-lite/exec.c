/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/exec.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/condition.h"
#include "ovsdb-lite/json_text.h"
#include "ovsdb-lite/mutation.h"

enum { N_WAIT = 1 }; /* what an operation returns beside an error: "not yet" */

/* --- rows and columns ------------------------------------------------------------------------- */

struct ovsdb_error *ovsdb_row_parse(const struct ovsdb_table_schema *t, const json_t *json,
				    struct ovsdb_symtab *symbols,
				    struct ovsdb_error *(*fn)(const struct ovsdb_column *c,
							      struct ovsdb_datum *value, void *aux),
				    void *aux)
{
	const char *name;
	json_t *value;

	if (!json_is_object(json))
		return ovsdb_syntax_error(json, NULL, "row must be JSON object");
	json_object_foreach((json_t *)json, name, value)
	{
		const struct ovsdb_column *c = ovsdb_table_schema_column(t, name);
		struct ovsdb_datum *d;

		if (!c)
			return ovsdb_syntax_error(json, "unknown column",
						  "No column %s in table %s.", name, t->name);
		struct ovsdb_error *e = ovsdb_datum_parse(&d, &c->type, value, symbols);
		if (!e)
			e = fn(c, d, aux);
		if (e)
			return e;
	}
	return NULL;
}

void ovsdb_row_put_json(struct str *out, const struct ovsdb_row *row,
			struct ovsdb_datum *const *fields, const int *columns, size_t n)
{
	const struct ovsdb_table_schema *t = row->table->schema;
	size_t count = columns ? n : t->n_columns + 2;

	str_putc(out, '{');
	for (size_t i = 0; i < count; i++) {
		int index = columns ? columns[i] : (int)i - 2;
		const struct ovsdb_column *c = ovsdb_table_schema_at(t, index);

		str_put(out, i ? ",\"" : "\"", i ? 2 : 1);
		str_puts(out, c->name);
		str_put(out, "\":", 2);
		ovsdb_datum_put_json(out, index >= 0 ? fields[index] : ovsdb_row_field(row, index));
	}
	str_putc(out, '}');
}

/* "columns" of select and wait: NULL json = all. *out is NULL for all. */
static struct ovsdb_error *parse_columns(const struct ovsdb_table_schema *t, const json_t *json,
					 int **out, size_t *n)
{
	size_t i;
	json_t *e;

	*out = NULL;
	*n = 0;
	if (!json)
		return NULL;
	int *columns = xcalloc(json_array_size(json), sizeof *columns);
	json_array_foreach(json, i, e)
	{
		const char *name = json_string_value(e);
		const struct ovsdb_column *c = name ? ovsdb_table_schema_column(t, name) : NULL;
		bool dup = false;

		for (size_t k = 0; c && k < *n; k++)
			dup |= columns[k] == c->index;
		if (!c || dup) {
			free(columns);
			return c || !name
				       ? ovsdb_syntax_error(
						 json, NULL,
						 "array of distinct column names expected")
				       : ovsdb_syntax_error(json, NULL,
							    "%s is not a valid column name", name);
		}
		columns[(*n)++] = c->index;
	}
	*out = columns;
	return NULL;
}

static void put_count(struct ovsdb_exec *x, size_t n)
{
	str_puts(&x->results, "{\"count\":");
	json_put_int(&x->results, (int64_t)n);
	str_putc(&x->results, '}');
}

/* "table" and "where", which most operations have. */
static void common_members(struct ovsdb_exec *x, struct ovsdb_parser *p, const json_t **where)
{
	const json_t *table = ovsdb_parser_member(p, "table", OVSDB_M_STRING);

	x->table = table ? ovsdb_db_table(x->db, json_string_value(table)) : NULL;
	if (table && !x->table)
		ovsdb_parser_fail(p, "No table named %s.", json_string_value(table));
	if (where)
		*where = ovsdb_parser_member(p, "where", OVSDB_M_ARRAY);
}

static struct ovsdb_error *check_writable(const struct ovsdb_exec *x, const char *op)
{
	if (!x->is_reserved)
		return NULL;
	return ovsdb_error("not allowed",
			   "%s operation not allowed on table in reserved database %s", op,
			   x->db->schema->name);
}

/* --- insert ----------------------------------------------------------------------------------- */

struct insert {
	struct ovsdb_datum **fields; /* NULL = not given */
};

static struct ovsdb_error *collect_field(const struct ovsdb_column *c, struct ovsdb_datum *value,
					 void *aux)
{
	struct insert *in = aux;

	if (c->index < 0) /* given by some clients; the server chooses */
		ovsdb_datum_unref(value);
	else
		in->fields[c->index] = value;
	return NULL;
}

static struct ovsdb_error *insert_uuid(struct ovsdb_exec *x, const json_t *uuid,
				       const json_t *uuid_name, struct uuid *out)
{
	struct ovsdb_symbol *s = NULL;

	if (uuid) {
		if (!uuid_parse(json_string_value(uuid), out))
			return ovsdb_syntax_error(uuid, NULL, "bad uuid");
		if (ovsdb_txn_uuid_is_used(x->txn, x->table, out))
			return ovsdb_syntax_error(
				uuid, "duplicate uuid",
				"This UUID would duplicate a UUID already present within the table "
				"or deleted within the same transaction.");
	}
	if (uuid_name) {
		s = ovsdb_symtab_get(&x->symbols, json_string_value(uuid_name));
		if (s->created)
			return ovsdb_syntax_error(uuid_name, "duplicate uuid-name",
						  "This \"uuid-name\" appeared on an earlier "
						  "\"insert\" operation.");
		s->created = true;
		if (uuid)
			s->uuid = *out;
		*out = s->uuid;
	}
	if (!uuid && !uuid_name)
		uuid_generate(out);
	return NULL;
}

static struct ovsdb_error *check_defaults(const struct ovsdb_table_schema *t,
					  struct ovsdb_datum **fields)
{
	struct ovsdb_error *e = NULL;

	for (size_t i = 0; i < t->n_columns && !e; i++)
		if (!fields[i] && t->columns[i].dflt->n)
			e = ovsdb_datum_check(t->columns[i].dflt, &t->columns[i].type);
	return e;
}

static struct ovsdb_error *op_insert(struct ovsdb_exec *x, struct ovsdb_parser *p, int *status)
{
	char text[UUID_TEXT_BYTES];
	struct uuid uuid;

	common_members(x, p, NULL);
	const json_t *id = ovsdb_parser_member(p, "uuid", OVSDB_M_STRING | OVSDB_M_OPTIONAL);
	const json_t *name = ovsdb_parser_member(p, "uuid-name", OVSDB_M_ID | OVSDB_M_OPTIONAL);
	const json_t *row_json = ovsdb_parser_member(p, "row", OVSDB_M_OBJECT);
	struct ovsdb_error *e = ovsdb_parser_finish(p);
	if (!e)
		e = insert_uuid(x, id, name, &uuid);
	if (e)
		return e;
	size_t n = x->table->schema->n_columns;
	struct insert in = {xcalloc(n, sizeof *in.fields)};
	e = ovsdb_row_parse(x->table->schema, row_json, &x->symbols, collect_field, &in);
	if (!e)
		e = check_defaults(x->table->schema, in.fields);
	if (!e)
		e = check_writable(x, "insert");
	if (e) {
		for (size_t i = 0; i < n; i++)
			ovsdb_datum_unref(in.fields[i]);
	} else {
		struct ovsdb_row *row = ovsdb_txn_insert(x->txn, x->table, &uuid);

		for (size_t i = 0; i < n; i++)
			if (in.fields[i])
				ovsdb_txn_set(x->txn, row, (int)i, in.fields[i]);
		uuid_format(&uuid, text);
		str_printf(&x->results, "{\"uuid\":[\"uuid\",\"%s\"]}", text);
	}
	free(in.fields);
	return e;
}

/* --- sets of rows: select's distinct results, wait's comparison ------------------------------- */

struct row_set {
	struct hmap map;
	const int *columns;
	size_t n;
};
struct row_ref {
	struct hmap_node node;
	const struct ovsdb_row *row;
};

static uint64_t hash_row(const struct row_set *s, const struct ovsdb_row *row)
{
	uint64_t h = 1;

	for (size_t i = 0; i < s->n; i++)
		h = ovsdb_datum_hash(ovsdb_row_field(row, s->columns[i]), h);
	return h;
}

static bool row_set_has(const struct row_set *s, const struct ovsdb_row *row, uint64_t hash)
{
	HMAP_FOR_EACH_WITH_HASH (r, struct row_ref, node, hash, &s->map) {
		size_t i;

		for (i = 0; i < s->n; i++)
			if (!ovsdb_datum_eq(ovsdb_row_field(r->row, s->columns[i]),
					    ovsdb_row_field(row, s->columns[i])))
				break;
		if (i == s->n)
			return true;
	}
	return false;
}

/* false if an equal row is there already. */
static bool row_set_add(struct row_set *s, const struct ovsdb_row *row)
{
	uint64_t hash = hash_row(s, row);

	if (row_set_has(s, row, hash))
		return false;
	struct row_ref *r = xmalloc(sizeof *r);
	r->row = row;
	hmap_insert(&s->map, &r->node, hash);
	return true;
}

static void row_set_free(struct row_set *s)
{
	HMAP_FOR_EACH_SAFE (r, struct row_ref, node, &s->map)
		free(r);
	hmap_destroy(&s->map);
}

/* --- select ----------------------------------------------------------------------------------- */

struct select {
	struct ovsdb_exec *x;
	struct row_set set;
	bool dedup, any;
};

static bool select_row(struct ovsdb_row *row, void *aux)
{
	struct select *s = aux;

	if (s->dedup && !row_set_add(&s->set, row))
		return true;
	if (s->any)
		str_putc(&s->x->results, ',');
	s->any = true;
	ovsdb_row_put_json(&s->x->results, row, row->fields, s->set.columns, s->set.n);
	return true;
}

static struct ovsdb_error *op_select(struct ovsdb_exec *x, struct ovsdb_parser *p, int *status)
{
	struct ovsdb_condition cond = {0};
	const json_t *where;
	int *columns = NULL;
	size_t n = 0;

	common_members(x, p, &where);
	const json_t *cols = ovsdb_parser_member(p, "columns", OVSDB_M_ARRAY | OVSDB_M_OPTIONAL);
	struct ovsdb_error *e = ovsdb_parser_finish(p);
	if (!e)
		e = ovsdb_condition_parse(&cond, x->table->schema, where, &x->symbols);
	if (!e)
		e = parse_columns(x->table->schema, cols, &columns, &n);
	if (!e) {
		struct select s = {.x = x, .set = {.columns = columns, .n = n}};

		s.dedup = columns != NULL;
		for (size_t i = 0; i < n; i++)
			if (columns[i] == OVSDB_COL_UUID)
				s.dedup = false;
		str_puts(&x->results, "{\"rows\":[");
		ovsdb_condition_for_each(&cond, x->table, select_row, &s);
		str_puts(&x->results, "]}");
		row_set_free(&s.set);
	}
	free(columns);
	ovsdb_condition_free(&cond);
	return e;
}

/* --- update, mutate, delete ------------------------------------------------------------------- */

struct update {
	struct ovsdb_exec *x;
	const json_t *op; /* for the error */
	struct ovsdb_datum **fields;
	struct ovsdb_mutations mutations;
	struct ovsdb_error *error;
	size_t n_rows;
};

static struct ovsdb_error *collect_update(const struct ovsdb_column *c, struct ovsdb_datum *value,
					  void *aux)
{
	struct update *u = aux;

	if (!c->is_mutable) {
		ovsdb_datum_unref(value);
		return ovsdb_syntax_error(u->op, "constraint violation",
					  "Cannot update immutable column %s in table %s.", c->name,
					  u->x->table->schema->name);
	}
	u->fields[c->index] = value;
	return NULL;
}

static bool update_row(struct ovsdb_row *row, void *aux)
{
	struct update *u = aux;

	u->n_rows++;
	for (size_t i = 0; i < row->table->schema->n_columns; i++)
		if (u->fields[i] && !ovsdb_datum_eq(row->fields[i], u->fields[i]))
			ovsdb_txn_set(u->x->txn, row, (int)i, ovsdb_datum_ref(u->fields[i]));
	return true;
}

static struct ovsdb_error *op_update(struct ovsdb_exec *x, struct ovsdb_parser *p, int *status)
{
	struct ovsdb_condition cond = {0};
	struct update u = {.x = x, .op = p->object};
	const json_t *where;

	common_members(x, p, &where);
	const json_t *row = ovsdb_parser_member(p, "row", OVSDB_M_OBJECT);
	struct ovsdb_error *e = ovsdb_parser_finish(p);
	if (e)
		return e;
	u.fields = xcalloc(x->table->schema->n_columns, sizeof *u.fields);
	e = ovsdb_row_parse(x->table->schema, row, &x->symbols, collect_update, &u);
	if (!e)
		e = ovsdb_condition_parse(&cond, x->table->schema, where, &x->symbols);
	if (!e)
		e = check_writable(x, "update");
	if (!e) {
		ovsdb_condition_for_each(&cond, x->table, update_row, &u);
		put_count(x, u.n_rows);
	}
	for (size_t i = 0; i < x->table->schema->n_columns; i++)
		ovsdb_datum_unref(u.fields[i]);
	free(u.fields);
	ovsdb_condition_free(&cond);
	return e;
}

static bool mutate_row(struct ovsdb_row *row, void *aux)
{
	struct update *u = aux;

	u->n_rows++;
	u->error = ovsdb_mutations_execute(&u->mutations, u->x->txn, row);
	return !u->error;
}

static struct ovsdb_error *op_mutate(struct ovsdb_exec *x, struct ovsdb_parser *p, int *status)
{
	struct ovsdb_condition cond = {0};
	struct update u = {.x = x};
	const json_t *where;

	common_members(x, p, &where);
	const json_t *mutations = ovsdb_parser_member(p, "mutations", OVSDB_M_ARRAY);
	struct ovsdb_error *e = ovsdb_parser_finish(p);
	if (!e)
		e = ovsdb_mutations_parse(&u.mutations, x->table->schema, mutations, &x->symbols);
	if (!e)
		e = ovsdb_condition_parse(&cond, x->table->schema, where, &x->symbols);
	if (!e)
		e = check_writable(x, "mutate");
	if (!e) {
		ovsdb_condition_for_each(&cond, x->table, mutate_row, &u);
		e = u.error;
		if (!e)
			put_count(x, u.n_rows);
	}
	ovsdb_mutations_free(&u.mutations);
	ovsdb_condition_free(&cond);
	return e;
}

static bool delete_row(struct ovsdb_row *row, void *aux)
{
	struct update *u = aux;

	u->n_rows++;
	ovsdb_txn_delete(u->x->txn, row);
	return true;
}

static struct ovsdb_error *op_delete(struct ovsdb_exec *x, struct ovsdb_parser *p, int *status)
{
	struct ovsdb_condition cond = {0};
	struct update u = {.x = x};
	const json_t *where;

	common_members(x, p, &where);
	struct ovsdb_error *e = ovsdb_parser_finish(p);
	if (!e)
		e = ovsdb_condition_parse(&cond, x->table->schema, where, &x->symbols);
	if (!e)
		e = check_writable(x, "delete");
	if (!e) {
		ovsdb_condition_for_each(&cond, x->table, delete_row, &u);
		put_count(x, u.n_rows);
	}
	ovsdb_condition_free(&cond);
	return e;
}

/* --- wait ------------------------------------------------------------------------------------- */

struct expected {
	struct ovsdb_row *row;
};

static struct ovsdb_error *collect_expected(const struct ovsdb_column *c, struct ovsdb_datum *value,
					    void *aux)
{
	struct ovsdb_row *row = ((struct expected *)aux)->row;

	if (c->index == OVSDB_COL_UUID) {
		row->uuid.atom = value->atoms[0];
		ovsdb_datum_unref(value);
	} else if (c->index == OVSDB_COL_VERSION) {
		row->version.atom = value->atoms[0];
		ovsdb_datum_unref(value);
	} else {
		ovsdb_datum_unref(row->fields[c->index]);
		row->fields[c->index] = value;
	}
	return NULL;
}

struct compare {
	struct row_set expected, actual;
	bool differ;
};

static bool compare_row(struct ovsdb_row *row, void *aux)
{
	struct compare *c = aux;

	if (!row_set_has(&c->expected, row, hash_row(&c->expected, row))) {
		c->differ = true;
		return false;
	}
	row_set_add(&c->actual, row);
	return true;
}

static struct ovsdb_error *build_expected(struct ovsdb_exec *x, const json_t *rows,
					  struct row_set *set, struct ovsdb_row **all, size_t *n)
{
	struct uuid zero = {0, 0};
	struct ovsdb_error *e = NULL;
	size_t i;
	json_t *j;

	json_array_foreach(rows, i, j)
	{
		struct expected ex = {ovsdb_row_create(x->table, &zero)};

		all[(*n)++] = ex.row;
		e = ovsdb_row_parse(x->table->schema, j, &x->symbols, collect_expected, &ex);
		if (e)
			break;
		row_set_add(set, ex.row);
	}
	return e;
}

static struct ovsdb_error *wait_verdict(struct ovsdb_exec *x, bool holds, int64_t timeout_ms,
					int *status)
{
	if (holds) {
		str_puts(&x->results, "{}");
		return NULL;
	}
	if (x->elapsed_ms >= timeout_ms) {
		if (x->elapsed_ms)
			return ovsdb_error("timed out", "\"wait\" timed out after %" PRId64 " ms",
					   x->elapsed_ms);
		return ovsdb_error("timed out", "\"where\" clause test failed");
	}
	x->timeout_ms = timeout_ms;
	*status = N_WAIT;
	return NULL;
}

static struct ovsdb_error *op_wait(struct ovsdb_exec *x, struct ovsdb_parser *p, int *status)
{
	struct ovsdb_condition cond = {0};
	const json_t *where;
	int *columns = NULL;
	size_t n_columns = 0, n = 0;
	int64_t timeout_ms = INT64_MAX;
	bool equal = false;

	const json_t *timeout = ovsdb_parser_member(
		p, "timeout", OVSDB_M_INTEGER | OVSDB_M_REAL | OVSDB_M_OPTIONAL);
	common_members(x, p, &where);
	const json_t *cols = ovsdb_parser_member(p, "columns", OVSDB_M_ARRAY | OVSDB_M_OPTIONAL);
	const json_t *until = ovsdb_parser_member(p, "until", OVSDB_M_STRING);
	const json_t *rows = ovsdb_parser_member(p, "rows", OVSDB_M_ARRAY);
	struct ovsdb_error *e = ovsdb_parser_finish(p);
	if (!e)
		e = ovsdb_condition_parse(&cond, x->table->schema, where, &x->symbols);
	if (!e)
		e = parse_columns(x->table->schema, cols, &columns, &n_columns);
	if (!e) {
		equal = !strcmp(json_string_value(until), "==");
		if (!equal && strcmp(json_string_value(until), "!="))
			e = ovsdb_syntax_error(until, NULL, "\"until\" must be \"==\" or \"!=\"");
	}
	if (e)
		goto out;
	if (!columns) {
		n_columns = x->table->schema->n_columns + 2;
		columns = xcalloc(n_columns, sizeof *columns);
		for (size_t i = 0; i < n_columns; i++)
			columns[i] = (int)i - 2;
	}
	struct compare c = {.expected = {.columns = columns, .n = n_columns},
			    .actual = {.columns = columns, .n = n_columns}};
	struct ovsdb_row **all = xcalloc(json_array_size(rows), sizeof(struct ovsdb_row *));
	e = build_expected(x, rows, &c.expected, all, &n);
	if (!e && timeout) {
		double t = json_number_value(timeout);

		timeout_ms = t >= 9e15 ? INT64_MAX : (int64_t)t;
		if (t < 0)
			e = ovsdb_syntax_error(timeout, NULL, "timeout must be nonnegative");
	}
	if (!e) {
		ovsdb_condition_for_each(&cond, x->table, compare_row, &c);
		bool same = !c.differ && c.actual.map.count == c.expected.map.count;

		e = wait_verdict(x, same == equal, timeout_ms, status);
	}
	row_set_free(&c.expected);
	row_set_free(&c.actual);
	for (size_t i = 0; i < n; i++)
		ovsdb_row_free(all[i]);
	free(all);
out:
	free(columns);
	ovsdb_condition_free(&cond);
	return e;
}

/* --- commit, abort, comment, assert ----------------------------------------------------------- */

static struct ovsdb_error *op_commit(struct ovsdb_exec *x, struct ovsdb_parser *p, int *status)
{
	const json_t *durable = ovsdb_parser_member(p, "durable", OVSDB_M_BOOLEAN);
	struct ovsdb_error *e = ovsdb_parser_finish(p);

	if (e)
		return e;
	x->durable |= json_is_true(durable);
	str_puts(&x->results, "{}");
	return NULL;
}

static struct ovsdb_error *op_abort(struct ovsdb_exec *x, struct ovsdb_parser *p, int *status)
{
	struct ovsdb_error *e = ovsdb_parser_finish(p);

	return e ? e : ovsdb_error("aborted", "aborted by request");
}

static struct ovsdb_error *op_comment(struct ovsdb_exec *x, struct ovsdb_parser *p, int *status)
{
	const json_t *text = ovsdb_parser_member(p, "comment", OVSDB_M_STRING);
	struct ovsdb_error *e = ovsdb_parser_finish(p);

	if (e)
		return e;
	if (x->comment.len)
		str_putc(&x->comment, '\n');
	str_puts(&x->comment, json_string_value(text));
	str_puts(&x->results, "{}");
	return NULL;
}

static struct ovsdb_error *op_assert(struct ovsdb_exec *x, struct ovsdb_parser *p, int *status)
{
	const json_t *lock = ovsdb_parser_member(p, "lock", OVSDB_M_ID);
	struct ovsdb_error *e = ovsdb_parser_finish(p);

	if (e)
		return e;
	if (!x->owns_lock || !x->owns_lock(json_string_value(lock), x->aux))
		return ovsdb_error("not owner", "Asserted lock %s not held.",
				   json_string_value(lock));
	str_puts(&x->results, "{}");
	return NULL;
}

/* --- the request ------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	struct ovsdb_error *(*fn)(struct ovsdb_exec *x, struct ovsdb_parser *p, int *status);
} operations[] = {
	{"insert", op_insert}, {"select", op_select}, {"update", op_update},
	{"mutate", op_mutate}, {"delete", op_delete}, {"wait", op_wait},
	{"commit", op_commit}, {"abort", op_abort},   {"comment", op_comment},
	{"assert", op_assert},
};

static struct ovsdb_error *run_operation(struct ovsdb_exec *x, const json_t *op, size_t i, size_t n,
					 int *status)
{
	struct ovsdb_parser p;

	ovsdb_parser_init_nth(&p, op, "ovsdb operation", i, n);
	const json_t *name = ovsdb_parser_member(&p, "op", OVSDB_M_ID);
	if (!name)
		return ovsdb_parser_finish(&p);
	for (size_t k = 0; k < SL_ARRAY_SIZE(operations); k++)
		if (!strcmp(operations[k].name, json_string_value(name)))
			return operations[k].fn(x, &p, status);
	ovsdb_parser_fail(&p, "No operation \"%s\"", json_string_value(name));
	return ovsdb_parser_finish(&p);
}

enum ovsdb_exec_status ovsdb_exec_run(struct ovsdb_exec *x)
{
	size_t n = json_array_size(x->params);
	struct ovsdb_error *e = NULL;

	x->txn = ovsdb_txn_begin(x->db);
	str_putc(&x->results, '[');
	for (size_t i = 1; i < n; i++) {
		int status = 0;

		if (i > 1)
			str_putc(&x->results, ',');
		if (e) {
			str_puts(&x->results, "null");
			x->n_results++;
			continue;
		}
		size_t mark = x->results.len;
		struct ovsdb_error *failed =
			run_operation(x, json_array_get(x->params, i), i, n - 1, &status);
		if (status == N_WAIT)
			return OVSDB_EXEC_WAIT;
		if (failed) {
			x->results.len = mark;
			ovsdb_error_put_json(&x->results, failed);
			e = failed;
		}
		x->n_results++;
	}
	if (!e)
		return OVSDB_EXEC_OK;
	ovsdb_error_free(e);
	return OVSDB_EXEC_FAILED;
}

void ovsdb_exec_add_error(struct ovsdb_exec *x, struct ovsdb_error *e)
{
	if (x->n_results++)
		str_putc(&x->results, ',');
	ovsdb_error_put_json(&x->results, e);
	ovsdb_error_free(e);
}

void ovsdb_exec_free(struct ovsdb_exec *x)
{
	ovsdb_symtab_free(&x->symbols);
	str_free(&x->comment);
	str_free(&x->results);
}
