/* SPDX-License-Identifier: BSD-3-Clause */
/* struct ovsdb_error: a refusal as RFC 7047 §3.1 <error> words it: "error" (a fixed term a client
 * may act on), "details" (for people) and "syntax" (the JSON at fault). NULL is success. */
#pragma once
#include <jansson.h>

#include "datapath/base/err.h"
#include "datapath/base/str.h"

struct ovsdb_error {
	char *tag;     /* "constraint violation" */
	char *details; /* may be NULL */
	char *syntax;  /* JSON text, may be NULL */
};

/* The caller owns the result. `tag` NULL means "ovsdb error". */
struct ovsdb_error *ovsdb_error(const char *tag, const char *fmt, ...) SL_PRINTF(2, 3);
/* With the offending JSON (may be NULL); `tag` NULL means "syntax error". */
struct ovsdb_error *ovsdb_syntax_error(const json_t *json, const char *tag, const char *fmt, ...)
	SL_PRINTF(3, 4);
void ovsdb_error_free(struct ovsdb_error *e); /* NULL is fine */
void ovsdb_error_put_json(struct str *out, const struct ovsdb_error *e);
/* "syntax "X": tag: details" */
char *ovsdb_error_text(const struct ovsdb_error *e);
/* Moves the text into *err (code EINVAL), frees e; 0 when e is NULL. */
int ovsdb_error_to_err(struct ovsdb_error *e, struct err *err);

/* Member access for objects with a fixed set of members: the first problem is remembered, members
 * nobody asked for are one. */
struct ovsdb_parser {
	const char *what; /* "table schema for table Bridge"; borrowed */
	size_t nth, of;   /* "… 1 of 2" behind it, unless `of` is 0 */
	const json_t *object;
	unsigned seen; /* members asked for and present */
	struct ovsdb_error *error;
	const char *names[12];
};
enum ovsdb_member {
	OVSDB_M_OBJECT = 1 << JSON_OBJECT,
	OVSDB_M_ARRAY = 1 << JSON_ARRAY,
	OVSDB_M_STRING = 1 << JSON_STRING,
	OVSDB_M_INTEGER = 1 << JSON_INTEGER,
	OVSDB_M_REAL = 1 << JSON_REAL,
	OVSDB_M_BOOLEAN = 1 << JSON_TRUE | 1 << JSON_FALSE,
	OVSDB_M_NULL = 1 << JSON_NULL,
	OVSDB_M_ID = 1 << 9, /* a string that is an <id> */
	OVSDB_M_ANY = 0xff,
	OVSDB_M_OPTIONAL = 1 << 10,
};
void ovsdb_parser_init(struct ovsdb_parser *p, const json_t *object, const char *what);
void ovsdb_parser_init_nth(struct ovsdb_parser *p, const json_t *object, const char *what,
			   size_t nth, size_t of);
/* `name` is a literal. NULL when absent or of another type. */
const json_t *ovsdb_parser_member(struct ovsdb_parser *p, const char *name, unsigned types);
void ovsdb_parser_fail(struct ovsdb_parser *p, const char *fmt, ...) SL_PRINTF(2, 3);
/* Complains about members never asked for; hands the error over. */
struct ovsdb_error *ovsdb_parser_finish(struct ovsdb_parser *p);

bool ovsdb_is_id(const char *s); /* [a-zA-Z_][a-zA-Z0-9_]* */
