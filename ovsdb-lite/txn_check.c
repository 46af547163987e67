/* SPDX-License-Identifier: BSD-3-Clause */
/* What a commit checks and what it entails, one pass each (RFC 7047 §3.2 "refType", "isRoot",
 * "maxRows", "indexes"; §4.1.3 deferred constraints). The work is proportional to the rows the
 * transaction touches, never to the tables. */
#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/txn_priv.h"

static void set_changed(struct ovsdb_txn_row *r, int column)
{
	r->changed[column / 64] |= 1ull << (column % 64);
}

/* --- pass 1: what really changed -------------------------------------------------------------- */

static bool find_changes(struct ovsdb_txn_row *r)
{
	struct ovsdb_row *row = r->row;
	size_t n = row->table->schema->n_columns;
	bool any = false;

	if (r->inserted || r->deleted)
		return r->inserted != r->deleted;
	for (size_t i = 0; r->old && i < n; i++) {
		if (r->old[i] == row->fields[i])
			continue;
		if (ovsdb_datum_eq(r->old[i], row->fields[i])) {
			ovsdb_datum_unref(row->fields[i]);
			row->fields[i] = ovsdb_datum_ref(r->old[i]);
			continue;
		}
		set_changed(r, (int)i);
		any = true;
	}
	return any;
}

/* --- pass 2: strong reference counts ---------------------------------------------------------- */

typedef struct ovsdb_error *(*ref_fn)(struct ovsdb_txn *t, struct ovsdb_txn_row *src, int column,
				      const struct ovsdb_base_type *base, const struct uuid *dst,
				      int delta);

/* Calls fn with -1 for each uuid only in old and +1 for each only in new. */
static struct ovsdb_error *key_deltas(struct ovsdb_txn *t, struct ovsdb_txn_row *src, int column,
				      const struct ovsdb_base_type *base,
				      const struct ovsdb_datum *old, const struct ovsdb_datum *new,
				      ref_fn fn)
{
	uint32_t i = 0, j = 0, n = old ? old->n : 0, m = new ? new->n : 0;
	struct ovsdb_error *e = NULL;

	while (!e && (i < n || j < m)) {
		int c = i == n   ? 1
			: j == m ? -1
				 : uuid_cmp(&old->atoms[i].uuid, &new->atoms[j].uuid);

		if (c < 0)
			e = fn(t, src, column, base, &old->atoms[i++].uuid, -1);
		else if (c > 0)
			e = fn(t, src, column, base, &new->atoms[j++].uuid, 1);
		else
			i++, j++;
	}
	return e;
}

/* Values are not sorted by themselves, so all of old go and all of new come. */
static struct ovsdb_error *value_deltas(struct ovsdb_txn *t, struct ovsdb_txn_row *src, int column,
					const struct ovsdb_base_type *base,
					const struct ovsdb_datum *old,
					const struct ovsdb_datum *new, ref_fn fn)
{
	struct ovsdb_error *e = NULL;

	for (uint32_t i = 0; !e && new &&i < new->n; i++)
		e = fn(t, src, column, base, &new->atoms[new->n + i].uuid, 1);
	for (uint32_t i = 0; !e && old && i < old->n; i++)
		e = fn(t, src, column, base, &old->atoms[old->n + i].uuid, -1);
	return e;
}

static struct ovsdb_error *column_deltas(struct ovsdb_txn *t, struct ovsdb_txn_row *src, int column,
					 enum ovsdb_ref kind, const struct ovsdb_datum *old,
					 const struct ovsdb_datum *new, ref_fn fn)
{
	const struct ovsdb_type *type = &src->row->table->schema->columns[column].type;
	struct ovsdb_error *e = NULL;

	if (old == new)
		return NULL;
	if (type->key.ref_kind == kind)
		e = key_deltas(t, src, column, &type->key, old, new, fn);
	if (!e && type->value.ref_kind == kind)
		e = value_deltas(t, src, column, &type->value, old, new, fn);
	return e;
}

static struct ovsdb_error *count_ref(struct ovsdb_txn *t, struct ovsdb_txn_row *src, int column,
				     const struct ovsdb_base_type *base, const struct uuid *dst,
				     int delta)
{
	struct ovsdb_table *table = &t->db->tables[base->ref->number];
	const struct ovsdb_row *from = src->row;
	char a[UUID_TEXT_BYTES], b[UUID_TEXT_BYTES];

	if (table == from->table && uuid_eq(dst, ovsdb_row_id(from)))
		return NULL; /* a row does not keep itself alive */
	struct ovsdb_row *row = ovsdb_table_find(table, dst);
	if (!row)
		row = txn_find_deleted(t, table, dst);
	if (!row) {
		uuid_format(ovsdb_row_id(from), a);
		uuid_format(dst, b);
		return ovsdb_error("referential integrity violation",
				   "Table %s column %s row %s references nonexistent row %s in "
				   "table %s.",
				   from->table->schema->name,
				   from->table->schema->columns[column].name, a, b,
				   table->schema->name);
	}
	txn_stage(t, row)->ref_delta += delta;
	return NULL;
}

static struct ovsdb_error *count_refs(struct ovsdb_txn *t, struct ovsdb_txn_row *r)
{
	const struct ovsdb_table_schema *s = r->row->table->schema;
	struct ovsdb_datum *const *old = ovsdb_txn_row_old(r), *const *new = ovsdb_txn_row_new(r);
	struct ovsdb_error *e = NULL;

	for (size_t i = 0; i < s->n_strong && !e; i++) {
		int c = s->strong[i];

		e = column_deltas(t, r, c, OVSDB_REF_STRONG, old ? old[c] : NULL,
				  new ? new[c] : NULL, count_ref);
	}
	return e;
}

static int64_t refs_of(const struct ovsdb_txn_row *r)
{
	return (int64_t)r->row->n_refs + r->ref_delta;
}

static struct ovsdb_error *check_deleted(const struct ovsdb_txn_row *r)
{
	char uuid[UUID_TEXT_BYTES];

	if (!r->deleted || refs_of(r) == 0)
		return NULL;
	uuid_format(ovsdb_row_id(r->row), uuid);
	return ovsdb_error("referential integrity violation",
			   "cannot delete %s row %s because of %lld remaining reference(s)",
			   r->row->table->schema->name, uuid, (long long)refs_of(r));
}

/* --- pass 3: garbage -------------------------------------------------------------------------- */

typedef VEC(struct ovsdb_txn_row *) row_queue;

static void enqueue(row_queue *q, struct ovsdb_txn_row *r)
{
	if (r->queued)
		return;
	r->queued = true;
	vec_push(q, r);
}

/* One reference less from r, which goes away; who loses it may be garbage as well. */
static void release_ref(struct ovsdb_txn *t, const struct ovsdb_txn_row *r,
			const struct ovsdb_base_type *base, const struct uuid *dst, row_queue *q)
{
	struct ovsdb_table *table = &t->db->tables[base->ref->number];

	if (table == r->row->table && uuid_eq(dst, ovsdb_row_id(r->row)))
		return; /* never counted */
	struct ovsdb_row *row = ovsdb_table_find(table, dst);
	if (!row)
		row = txn_find_deleted(t, table, dst);
	if (!row)
		return;
	struct ovsdb_txn_row *d = txn_stage(t, row);
	d->ref_delta--;
	enqueue(q, d);
}

static void release_refs(struct ovsdb_txn *t, const struct ovsdb_txn_row *r, row_queue *q)
{
	const struct ovsdb_table_schema *s = r->row->table->schema;

	for (size_t i = 0; i < s->n_strong; i++) {
		const struct ovsdb_type *type = &s->columns[s->strong[i]].type;
		const struct ovsdb_datum *d = r->row->fields[s->strong[i]];

		for (uint32_t k = 0; k < d->n; k++) {
			if (type->key.ref_kind == OVSDB_REF_STRONG)
				release_ref(t, r, &type->key, &d->atoms[k].uuid, q);
			if (type->value.ref_kind == OVSDB_REF_STRONG)
				release_ref(t, r, &type->value, &d->atoms[d->n + k].uuid, q);
		}
	}
}

/* Rows the transaction touched are the only ones whose count can have reached zero; collecting one
 * puts those it referred to on the queue. */
static void collect_garbage(struct ovsdb_txn *t)
{
	row_queue q = {0};

	for (size_t i = 0; i < t->rows.len; i++)
		enqueue(&q, t->rows.at[i]);
	while (q.len) {
		struct ovsdb_txn_row *r = q.at[--q.len];

		r->queued = false;
		if (r->row->table->schema->is_root || r->deleted || refs_of(r) > 0)
			continue;
		release_refs(t, r, &q);
		ovsdb_txn_delete(t, r->row);
	}
	vec_free(&q);
}

/* --- pass 4: maxRows -------------------------------------------------------------------------- */

static struct ovsdb_error *check_max_rows(struct ovsdb_txn *t)
{
	for (size_t i = 0; i < t->rows.len; i++) {
		const struct ovsdb_table *table = t->rows.at[i]->row->table;

		if (table->rows.count > table->schema->max_rows)
			return ovsdb_error("constraint violation",
					   "transaction causes \"%s\" table to contain %zu rows, "
					   "greater than the schema-defined limit of %u row(s)",
					   table->schema->name, table->rows.count,
					   table->schema->max_rows);
	}
	return NULL;
}

/* --- pass 5: weak references ------------------------------------------------------------------ */

static bool is_dangling(const struct ovsdb_txn *t, const struct ovsdb_base_type *b,
			const struct uuid *u)
{
	return b->ref_kind == OVSDB_REF_WEAK &&
	       !ovsdb_table_find(&t->db->tables[b->ref->number], u);
}

/* Removes from a column what refers to rows that do not exist. */
static struct ovsdb_error *prune_column(struct ovsdb_txn *t, struct ovsdb_row *row, int column)
{
	const struct ovsdb_column *c = &row->table->schema->columns[column];
	const struct ovsdb_datum *d = row->fields[column];
	bool map = ovsdb_type_is_map(&c->type);
	uint32_t n = 0;
	char uuid[UUID_TEXT_BYTES];

	for (uint32_t i = 0; i < d->n; i++)
		n += !is_dangling(t, &c->type.key, &d->atoms[i].uuid) &&
		     !(map && is_dangling(t, &c->type.value, &d->atoms[d->n + i].uuid));
	if (n == d->n)
		return NULL;
	if (n < c->type.n_min) {
		uuid_format(ovsdb_row_id(row), uuid);
		return ovsdb_error("constraint violation",
				   "Weak reference column \"%s\" in \"%s\" row %s%s would be left "
				   "empty by deleting references to rows that do not exist, but "
				   "this column is not allowed to be empty.",
				   c->name, row->table->schema->name, uuid,
				   row->staged && row->staged->inserted
					   ? " (inserted within this transaction)"
					   : "");
	}
	struct ovsdb_datum *kept = ovsdb_datum_alloc(n, d->key_type, d->value_type);
	for (uint32_t i = 0, k = 0; i < d->n; i++) {
		if (is_dangling(t, &c->type.key, &d->atoms[i].uuid) ||
		    (map && is_dangling(t, &c->type.value, &d->atoms[d->n + i].uuid)))
			continue;
		kept->atoms[k] = ovsdb_atom_copy(&d->atoms[i], d->key_type);
		if (map)
			kept->atoms[n + k] = ovsdb_atom_copy(&d->atoms[d->n + i], d->value_type);
		k++;
	}
	ovsdb_txn_set(t, row, column, kept);
	struct ovsdb_txn_row *r = row->staged;
	if (!r->inserted) {
		if (ovsdb_datum_eq(r->old[column], kept))
			r->changed[column / 64] &= ~(1ull << (column % 64));
		else
			set_changed(r, column);
	}
	return NULL;
}

static struct ovsdb_error *prune_referrers(struct ovsdb_txn *t, const struct ovsdb_row *gone)
{
	struct ovsdb_error *e = NULL;

	HMAP_FOR_EACH_WITH_HASH (l, struct ovsdb_weak_link, node, uuid_hash(ovsdb_row_id(gone)),
				 &gone->table->weak_links) {
		if (!uuid_eq(&l->dst, ovsdb_row_id(gone)) ||
		    (l->src->staged && l->src->staged->deleted))
			continue;
		e = prune_column(t, l->src, l->column);
		if (e)
			break;
	}
	return e;
}

static struct ovsdb_error *prune_weak(struct ovsdb_txn *t)
{
	struct ovsdb_error *e = NULL;

	for (size_t i = 0; i < t->rows.len && !e; i++) {
		struct ovsdb_txn_row *r = t->rows.at[i];
		const struct ovsdb_table_schema *s = r->row->table->schema;

		if (r->deleted) {
			e = prune_referrers(t, r->row);
			continue;
		}
		for (size_t k = 0; k < s->n_weak && !e; k++)
			if (r->inserted || ovsdb_txn_row_has(r, s->weak[k]))
				e = prune_column(t, r->row, s->weak[k]);
	}
	return e;
}

static void unlink_weak(struct ovsdb_table *table, const struct ovsdb_row *src, int column,
			const struct uuid *dst)
{
	HMAP_FOR_EACH_WITH_HASH (l, struct ovsdb_weak_link, node, uuid_hash(dst),
				 &table->weak_links) {
		if (l->src != src || l->column != column || !uuid_eq(&l->dst, dst))
			continue;
		hmap_remove(&table->weak_links, &l->node);
		free(l);
		return;
	}
}

static struct ovsdb_error *link_delta(struct ovsdb_txn *t, struct ovsdb_txn_row *src, int column,
				      const struct ovsdb_base_type *base, const struct uuid *dst,
				      int delta)
{
	struct ovsdb_table *table = &src->row->table->db->tables[base->ref->number];

	if (delta < 0) {
		unlink_weak(table, src->row, column, dst);
		return NULL;
	}
	struct ovsdb_weak_link *l = xmalloc(sizeof *l);
	*l = (struct ovsdb_weak_link){.dst = *dst, .src = src->row, .column = column};
	hmap_insert(&table->weak_links, &l->node, uuid_hash(dst));
	return NULL;
}

void txn_link_weak(struct ovsdb_txn_row *r)
{
	const struct ovsdb_table_schema *s = r->row->table->schema;
	struct ovsdb_datum *const *old = ovsdb_txn_row_old(r), *const *new = ovsdb_txn_row_new(r);

	for (size_t i = 0; i < s->n_weak; i++) {
		int c = s->weak[i];

		column_deltas(NULL, r, c, OVSDB_REF_WEAK, old ? old[c] : NULL, new ? new[c] : NULL,
			      link_delta);
	}
}

/* --- pass 6: unique indexes ------------------------------------------------------------------- */

static bool touches_index(const struct ovsdb_txn_row *r)
{
	const struct ovsdb_table_schema *s = r->row->table->schema;

	if (!s->n_indexes)
		return false;
	if (r->inserted || r->deleted)
		return r->inserted != r->deleted;
	for (size_t i = 0; i <= s->n_columns / 64; i++)
		if (r->changed[i] & s->index_columns[i])
			return true;
	return false;
}

static void index_remove(struct ovsdb_row *row)
{
	for (size_t i = 0; i < row->table->schema->n_indexes; i++)
		hmap_remove(&row->table->indexes[i], &row->index[i].node);
}

static void index_add(struct ovsdb_row *row, struct ovsdb_datum *const *fields)
{
	for (size_t i = 0; i < row->table->schema->n_indexes; i++)
		hmap_insert(&row->table->indexes[i], &row->index[i].node,
			    ovsdb_row_index_hash(fields, &row->table->schema->indexes[i]));
}

static struct ovsdb_row *find_twin(struct ovsdb_row *row, size_t i)
{
	const struct ovsdb_index_schema *ix = &row->table->schema->indexes[i];

	HMAP_FOR_EACH_WITH_HASH (n, struct ovsdb_index_node, node, row->index[i].node.hash,
				 &row->table->indexes[i]) {
		bool same = n->row != row;

		for (size_t k = 0; k < ix->n && same; k++)
			same = ovsdb_datum_eq(n->row->fields[ix->columns[k]],
					      row->fields[ix->columns[k]]);
		if (same)
			return n->row;
	}
	return NULL;
}

static void put_origin(struct str *s, const char *which, const struct ovsdb_row *row)
{
	const struct ovsdb_txn_row *r = row->staged;
	char uuid[UUID_TEXT_BYTES];

	uuid_format(ovsdb_row_id(row), uuid);
	str_printf(s, "  %s row, with UUID %s, %s", which, uuid,
		   r && r->inserted ? "was inserted by this transaction."
		   : r && touches_index(r)
			   ? "had the following index values before the transaction:"
			   : "existed in the database before this transaction and was not "
			     "modified by the transaction.");
}

static struct ovsdb_error *twin_error(const struct ovsdb_row *row, const struct ovsdb_row *twin,
				      size_t i)
{
	const struct ovsdb_table_schema *s = row->table->schema;
	const struct ovsdb_index_schema *ix = &s->indexes[i];
	struct str m = STR_INIT;

	str_printf(&m,
		   "Transaction causes multiple rows in \"%s\" table to have identical values (",
		   s->name);
	for (size_t k = 0; k < ix->n; k++) {
		if (k)
			str_puts(&m, ", ");
		ovsdb_datum_put_text(&m, row->fields[ix->columns[k]]);
	}
	str_puts(&m, ix->n > 1 ? ") for index on columns " : ") for index on column ");
	for (size_t k = 0; k < ix->n; k++)
		str_printf(&m, "%s\"%s\"", k ? (k + 1 == ix->n ? " and " : ", ") : "",
			   s->columns[ix->columns[k]].name);
	str_putc(&m, '.');
	put_origin(&m, "First", row);
	put_origin(&m, "Second", twin);
	struct ovsdb_error *e = ovsdb_error("constraint violation", "%s", str_cstr(&m));
	str_free(&m);
	return e;
}

static struct ovsdb_error *check_indexes(struct ovsdb_txn *t)
{
	for (size_t i = 0; i < t->rows.len; i++) {
		struct ovsdb_txn_row *r = t->rows.at[i];

		if (touches_index(r) && !r->inserted)
			index_remove(r->row);
	}
	for (size_t i = 0; i < t->rows.len; i++) {
		struct ovsdb_txn_row *r = t->rows.at[i];

		r->index_changed = touches_index(r);
		if (r->index_changed && !r->deleted)
			index_add(r->row, r->row->fields);
	}
	for (size_t i = 0; i < t->rows.len; i++) {
		struct ovsdb_txn_row *r = t->rows.at[i];

		for (size_t k = 0;
		     r->index_changed && !r->deleted && k < r->row->table->schema->n_indexes; k++) {
			const struct ovsdb_row *twin = find_twin(r->row, k);

			if (twin)
				return twin_error(r->row, twin, k);
		}
	}
	return NULL;
}

void txn_undo_indexes(struct ovsdb_txn *t)
{
	for (size_t i = 0; i < t->rows.len; i++) {
		struct ovsdb_txn_row *r = t->rows.at[i];

		if (r->index_changed && !r->deleted)
			index_remove(r->row);
	}
	for (size_t i = 0; i < t->rows.len; i++) {
		struct ovsdb_txn_row *r = t->rows.at[i];

		if (r->index_changed && !r->inserted)
			index_add(r->row, ovsdb_txn_row_old(r));
	}
}

/* ---------------------------------------------------------------------------------------------- */

struct ovsdb_error *ovsdb_txn_check(struct ovsdb_txn *t)
{
	struct ovsdb_error *e = NULL;
	size_t n = t->rows.len;

	for (size_t i = 0; i < n; i++)
		t->is_changed |= find_changes(t->rows.at[i]);
	if (!t->is_changed)
		return NULL;
	for (size_t i = 0; i < n && !e; i++)
		e = count_refs(t, t->rows.at[i]);
	for (size_t i = 0; i < n && !e; i++)
		e = check_deleted(t->rows.at[i]);
	if (e)
		return e;
	collect_garbage(t);
	e = check_max_rows(t);
	if (!e)
		e = prune_weak(t);
	if (!e)
		e = check_indexes(t);
	if (e)
		return e;
	t->is_changed = false;
	for (size_t i = 0; i < t->rows.len; i++) {
		struct ovsdb_txn_row *r = t->rows.at[i];
		bool changed = ovsdb_txn_row_is_changed(r);

		t->is_changed |= changed;
		if (changed && !r->inserted && !r->deleted)
			uuid_generate(&r->row->version.atom.uuid);
	}
	return NULL;
}
