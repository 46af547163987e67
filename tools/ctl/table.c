/* SPDX-License-Identifier: BSD-3-Clause */
/* Over libsmartcols. */
#include "tools/ctl/table.h"

#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { PROSE_MIN = 18 }; /* columns: narrower ones are harder to read than a line too long */

struct table {
	struct libscols_table *t;
	struct libscols_line *line;
	size_t cell;
	bool json;
	const struct table_column *columns;
};

static void add_column(struct table *t, const struct table_column *c)
{
	bool right = c->kind == TABLE_NUMBER || c->kind == TABLE_FIGURE;
	struct libscols_column *column = scols_table_new_column(
		t->t, t->json ? c->name : c->title, 0, right && !t->json ? SCOLS_FL_RIGHT : 0);
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

/* ---- prose on a narrow terminal ---- */

static size_t width_of(const char *text)
{
	size_t n = 0;
	for (; text && *text; text++) /* continuation bytes of UTF-8 have no width */
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static struct libscols_cell *cell_of(struct libscols_line *line, struct libscols_column *column)
{
	return scols_line_get_column_cell(line, column);
}

static size_t widest(struct table *t, struct libscols_column *column, const char *title)
{
	struct libscols_iter *it = scols_new_iter(SCOLS_ITER_FORWARD);
	struct libscols_line *line;
	size_t most = width_of(title);
	while (!scols_table_next_line(t->t, it, &line))
		most = SL_MAX(most, width_of(scols_cell_get_data(cell_of(line, column))));
	scols_free_iter(it);
	return most;
}

/* The same words in lines of at most `width` characters, where they have blanks. */
static char *broken(const char *text, size_t width)
{
	char *out = xstrdup(text), *blank = NULL;
	size_t column = 0;
	for (char *p = out; *p; p++) {
		if (*p == ' ')
			blank = p;
		column += ((unsigned char)*p & 0xc0) != 0x80;
		if (column <= width || !blank)
			continue;
		*blank = '\n';
		column = 0;
		for (const char *q = blank + 1; q <= p; q++)
			column += ((unsigned char)*q & 0xc0) != 0x80;
		blank = NULL;
	}
	return out;
}

static void break_column(struct table *t, struct libscols_column *column, size_t width)
{
	struct libscols_iter *it = scols_new_iter(SCOLS_ITER_FORWARD);
	struct libscols_line *line;
	scols_column_set_flags(column, SCOLS_FL_WRAP);
	scols_column_set_safechars(column, "\n");
	scols_column_set_wrapfunc(column, scols_wrapnl_chunksize, scols_wrapnl_nextchunk, NULL);
	while (!scols_table_next_line(t->t, it, &line)) {
		struct libscols_cell *cell = cell_of(line, column);
		const char *text = scols_cell_get_data(cell);
		if (text)
			scols_cell_refer_data(cell, broken(text, width));
	}
	scols_free_iter(it);
}

/* What the columns of prose may share, on a terminal of so many columns. */
static void break_prose(struct table *t, size_t columns)
{
	size_t fixed = 0, wanted = 0, left = 0, n = 0, i = 0;
	for (const struct table_column *c = t->columns; c->title; c++, i++) {
		size_t w = widest(t, scols_table_get_column(t->t, i), c->title) + 1;
		if (c->kind == TABLE_PROSE) {
			wanted += w;
			n++;
		} else {
			fixed += w;
		}
	}
	if (!n || fixed + wanted <= columns)
		return;
	left = columns > fixed + n * PROSE_MIN ? columns - fixed : n * PROSE_MIN;
	i = 0;
	for (const struct table_column *c = t->columns; c->title; c++, i++) {
		struct libscols_column *column = scols_table_get_column(t->t, i);
		size_t share = left / SL_MAX(n, (size_t)1), w;
		if (c->kind != TABLE_PROSE)
			continue;
		w = SL_MIN(widest(t, column, c->title) + 1, share);
		break_column(t, column, SL_MAX(w, (size_t)PROSE_MIN) - 1);
		left -= SL_MIN(w, left);
		n--;
	}
}

void table_finish(struct table *t)
{
	struct winsize size;
	if (!t->json && isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) &&
	    size.ws_col)
		break_prose(t, size.ws_col);
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
