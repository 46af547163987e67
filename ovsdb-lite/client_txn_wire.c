/* SPDX-License-Identifier: BSD-3-Clause */
/* A collected transaction as the text of its "transact" request (RFC 7047 §5.2). */
#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/client_txn_priv.h"
#include "ovsdb-lite/json_text.h"

static void put_symbol(struct str *s, const struct uuid *u)
{
	char uuid[UUID_TEXT_BYTES];

	uuid_format(u, uuid);
	for (char *p = uuid; *p; p++)
		if (*p == '-')
			*p = '_';
	str_printf(s, "row%s", uuid);
}

static void put_atom(struct str *s, const struct ovsdb_client_txn *t, const union ovsdb_atom *a,
		     enum ovsdb_atomic_type type)
{
	const struct row_ops *r = type == OVSDB_UUID ? client_txn_find_ops(t, &a->uuid) : NULL;

	if (!r || r->kind != ROW_INSERT) {
		ovsdb_atom_put_json(s, a, type);
		return;
	}
	str_puts(s, "[\"named-uuid\",\"");
	put_symbol(s, &a->uuid);
	str_puts(s, "\"]");
}

static void put_value(struct str *s, const struct ovsdb_client_txn *t, const struct ovsdb_datum *d)
{
	if (d->key_type != OVSDB_UUID && d->value_type != OVSDB_UUID) {
		ovsdb_datum_put_json(s, d);
		return;
	}
	str_puts(s, d->value_type == OVSDB_VOID ? "[\"set\",[" : "[\"map\",[");
	for (uint32_t i = 0; i < d->n; i++) {
		str_puts(s, i ? "," : "");
		if (d->value_type != OVSDB_VOID)
			str_putc(s, '[');
		put_atom(s, t, &d->atoms[i], d->key_type);
		if (d->value_type != OVSDB_VOID) {
			str_putc(s, ',');
			put_atom(s, t, &d->atoms[d->n + i], d->value_type);
			str_putc(s, ']');
		}
	}
	str_puts(s, "]]");
}

static void begin_op(struct str *s, struct ovsdb_client_txn *t, const char *op,
		     const struct row_ops *r)
{
	char uuid[UUID_TEXT_BYTES];

	t->n_ops++;
	str_printf(s, ",{\"op\":\"%s\"", op);
	if (!r)
		return;
	str_printf(s, ",\"table\":\"%s\"", r->table->schema->name);
	if (r->kind == ROW_INSERT)
		return;
	uuid_format(&r->uuid, uuid);
	str_printf(s, ",\"where\":[[\"_uuid\",\"==\",[\"uuid\",\"%s\"]]]", uuid);
}

static void put_verifies(struct str *s, struct ovsdb_client_txn *t, struct row_ops *r)
{
	const struct ovsdb_row *row = ovsdb_table_find(r->table, &r->uuid);

	VEC_FOR_EACH (c, &r->verifies) {
		if (!row || r->kind == ROW_INSERT)
			continue;
		begin_op(s, t, "wait", r);
		str_printf(
			s,
			",\"timeout\":0,\"until\":\"==\",\"columns\":[\"%s\"],\"rows\":[{\"%s\":",
			(*c)->name, (*c)->name);
		ovsdb_datum_put_json(s, ovsdb_row_field(row, (*c)->index));
		str_puts(s, "}]}");
	}
}

static void put_row(struct str *s, struct ovsdb_client_txn *t, struct row_ops *r)
{
	if (r->kind == ROW_CHANGE && !r->values.len)
		return;
	if (r->kind == ROW_INSERT)
		r->insert_op = t->n_ops;
	begin_op(s, t,
		 r->kind == ROW_INSERT   ? "insert"
		 : r->kind == ROW_DELETE ? "delete"
					 : "update",
		 r);
	if (r->kind == ROW_DELETE) {
		str_putc(s, '}');
		return;
	}
	if (r->kind == ROW_INSERT) {
		str_puts(s, ",\"uuid-name\":\"");
		put_symbol(s, &r->uuid);
		str_putc(s, '"');
	}
	str_puts(s, ",\"row\":{");
	for (size_t i = 0; i < r->values.len; i++) {
		str_printf(s, "%s\"%s\":", i ? "," : "", r->values.at[i].column->name);
		put_value(s, t, r->values.at[i].datum);
	}
	str_puts(s, "}}");
}

static void put_mutations(struct str *s, struct ovsdb_client_txn *t, struct row_ops *r)
{
	if (r->kind != ROW_CHANGE || (!r->mutations.len && !r->increment))
		return;
	begin_op(s, t, "mutate", r);
	str_puts(s, ",\"mutations\":[");
	for (size_t i = 0; i < r->mutations.len; i++) {
		const struct mutation *m = &r->mutations.at[i];

		str_printf(s, "%s[\"%s\",\"%s\",", i ? "," : "", m->column->name,
			   m->insert ? "insert" : "delete");
		if (m->datum->n == 1 && m->datum->value_type == OVSDB_VOID &&
		    m->datum->key_type != OVSDB_UUID) {
			str_puts(s, "[\"set\",["); /* a bare key is no set to a map column */
			ovsdb_atom_put_json(s, &m->datum->atoms[0], m->datum->key_type);
			str_puts(s, "]]");
		} else {
			put_value(s, t, m->datum);
		}
		str_putc(s, ']');
	}
	if (r->increment)
		str_printf(s, "%s[\"%s\",\"+=\",1]", r->mutations.len ? "," : "",
			   r->increment->name);
	str_puts(s, "]}");
	if (r->increment) {
		t->increment_op = t->n_ops;
		begin_op(s, t, "select", r);
		str_printf(s, ",\"columns\":[\"%s\"]}", r->increment->name);
	}
}

/* false: nothing to do. */
bool client_txn_put_request(struct str *s, struct ovsdb_client_txn *t)
{
	struct ovsdb_client *c = t->client;

	str_printf(s, "[\"%s\"", c->db_name);
	if (c->lock) {
		begin_op(s, t, "assert", NULL);
		str_printf(s, ",\"lock\":\"%s\"}", c->lock);
	}
	VEC_FOR_EACH (r, &t->order)
		put_verifies(s, t, *r);
	int64_t before = t->n_ops;
	VEC_FOR_EACH (r, &t->order) {
		put_row(s, t, *r);
		put_mutations(s, t, *r);
	}
	if (t->n_ops == before)
		return false;
	if (t->comment.len) {
		begin_op(s, t, "comment", NULL);
		str_puts(s, ",\"comment\":");
		json_put_string(s, t->comment.s, t->comment.len);
		str_putc(s, '}');
	}
	if (t->durable) {
		begin_op(s, t, "commit", NULL);
		str_puts(s, ",\"durable\":true}");
	}
	str_putc(s, ']');
	return true;
}
