/* SPDX-License-Identifier: BSD-3-Clause */
/* JSON written straight to text, and the scanner that finds where one JSON value ends in a byte
 * stream (RFC 7047 messages follow each other without a delimiter). Any thread. */
#pragma once
#include <jansson.h>

#include "datapath/base/str.h"

void json_put_int(struct str *out, int64_t v);
void json_put_real(struct str *out, double v); /* shortest text that reads back the same */
void json_put_string(struct str *out, const char *s, size_t len);
/* Keys in order, no spaces: what the "syntax" member of an error carries. NULL writes null. */
void json_put_value(struct str *out, const json_t *j);

/* Finds the end of one JSON object or array in a growing buffer. Start from {0}; feed the bytes not
 * yet seen; state carries over. It checks nothing but brackets and strings: what it cuts out is
 * then parsed strictly. */
struct json_scan {
	unsigned depth;
	bool in_string, escaped;
};
enum json_scan_result {
	JSON_SCAN_MORE,    /* all bytes used, value not complete */
	JSON_SCAN_DONE,    /* *used bytes up to and including the closing bracket */
	JSON_SCAN_GARBAGE, /* a byte outside brackets that cannot start a message */
	JSON_SCAN_TOO_DEEP,
};
enum json_scan_result json_scan(struct json_scan *s, const char *p, size_t n, unsigned max_depth,
				size_t *used);

/* Strict parse of n bytes: an object or array (json_parse.c). Integers beyond 64 bits become reals,
 * as in other servers; of equal keys the last counts. NULL on error with a text in `why`, which may
 * be NULL. */
json_t *json_parse(const char *p, size_t n, char why[JSON_ERROR_TEXT_LENGTH]);

/* Walks the members of the JSON object in text[0..len) without parsing the values, so that a record
 * of a hundred thousand rows can be read row by row. Start from {0}. */
struct json_members {
	const char *p, *end;
	bool started;
};
void json_members_init(struct json_members *m, const char *text, size_t len);
/* 1 and the raw key (without quotes, escapes left alone) and value text; 0 at the end; -1: broken.
 */
int json_members_next(struct json_members *m, const char **key, size_t *key_len, const char **value,
		      size_t *value_len);
