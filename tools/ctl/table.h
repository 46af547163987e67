/* SPDX-License-Identifier: BSD-3-Clause */
/* What a read prints: aligned columns for people, or JSON with the same content. */
#pragma once
#include "tools/ctl/command.h"

enum table_kind {
	TABLE_TEXT,
	TABLE_NUMBER,
	TABLE_BOOL,
	TABLE_FIGURE, /* text like "1.2k": to the right */
	TABLE_PROSE,  /* sentences: on a terminal that is too narrow they take several lines */
};
struct table_column {
	const char *title; /* for people: "RX PACKETS" */
	const char *name;  /* in JSON: "rx_packets" */
	enum table_kind kind;
};

struct table;
/* `name` is the key of the list in JSON. Columns end with title NULL. */
struct table *table_create(const struct command_call *c, const char *name,
			   const struct table_column *columns);
void table_row(struct table *t);
/* Fills the next cell of the last row; NULL or "" leaves it empty. */
void table_text(struct table *t, const char *value);
void table_number(struct table *t, uint64_t value);
void table_bool(struct table *t, bool value);
void table_mac(struct table *t, struct attrs a, enum api_attr id);
void table_discard(struct table *t); /* frees without printing */
/* Prints and frees. */
void table_finish(struct table *t);
