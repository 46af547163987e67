/* SPDX-License-Identifier: BSD-3-Clause */
/* Over libsmartcols. */
#include "tools/ctl/table.h"

#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>

struct table {
	struct libscols_table *t;
	struct libscols_line *line;
	size_t cell;
	bool json;
	const struct table_column *columns;
};

static void add_column(struct table *t, const struct table_column *c)
{
	struct libscols_column *column =
		scols_table_new_column(t->t, t->json ? c->name : c->title, 0,
				       c->kind == TABLE_NUMBER && !t->json ? SCOLS_FL_RIGHT : 0);
	if (c->kind == TABLE_NUMBER)
		scols_column_set_json_type(column, SCOLS_JSON_NUMBER);
	else if (c->kind == TABLE_BOOL)
		scols_column_set_json_type(column, SCOLS_JSON_BOOLEAN);
}

struct table *table_create(const struct command_call *c, const char *name,
			   const struct table_column *columns)
{
	struct table *t = xzalloc(sizeof *t);
	t->json = c->json;
	t->columns = columns;
	t->t = scols_new_table();
	scols_table_enable_json(t->t, c->json);
	scols_table_set_name(t->t, name);
	for (; columns->title; columns++)
		add_column(t, columns);
	return t;
}

void table_row(struct table *t)
{
	t->line = scols_table_new_line(t->t, NULL);
	t->cell = 0;
}

void table_text(struct table *t, const char *value)
{
	if (value && (value[0] || t->json))
		scols_line_set_data(t->line, t->cell, value);
	t->cell++;
}

void table_number(struct table *t, uint64_t value)
{
	char text[24];
	snprintf(text, sizeof text, "%llu", (unsigned long long)value);
	table_text(t, text);
}

void table_bool(struct table *t, bool value)
{
	table_text(t, t->json ? (value ? "1" : "0") : (value ? "yes" : "no"));
}

void table_mac(struct table *t, struct attrs a, enum api_attr id)
{
	size_t len;
	const uint8_t *m = attrs_bytes(a, id, &len);
	char text[18] = "";
	if (m && len == 6)
		snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3],
			 m[4], m[5]);
	table_text(t, text);
}

void table_finish(struct table *t)
{
	scols_print_table(t->t);
	if (t->json)
		putchar('\n');
	scols_unref_table(t->t);
	free(t);
}

void table_discard(struct table *t)
{
	scols_unref_table(t->t);
	free(t);
}
