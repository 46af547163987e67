/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/json_text.h"
#include "ovsdb-lite/type.h"

static struct ovsdb_type type_of(const char *text)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
	struct ovsdb_type t;

	assert_null(ovsdb_type_parse(&t, json));
	json_decref(json);
	return t;
}

static struct ovsdb_datum *parse(const char *type, const char *text, char **error)
{
	struct ovsdb_type t = type_of(type);
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
	struct ovsdb_datum *d;
	struct ovsdb_error *e = ovsdb_datum_parse(&d, &t, json, NULL);

	if (error)
		*error = e ? ovsdb_error_text(e) : NULL;
	ovsdb_error_free(e);
	json_decref(json);
	ovsdb_type_clear(&t);
	return d;
}

static void assert_text(struct ovsdb_datum *d, const char *expected)
{
	struct str s = STR_INIT;

	assert_non_null(d);
	ovsdb_datum_put_json(&s, d);
	assert_string_equal(str_cstr(&s), expected);
	str_free(&s);
	ovsdb_datum_unref(d);
}

static const char ints[] = "{\"key\":\"integer\",\"min\":0,\"max\":\"unlimited\"}";
static const char map[] =
	"{\"key\":\"string\",\"value\":\"string\",\"min\":0,\"max\":\"unlimited\"}";

static void values_are_sorted_and_written_canonically(void **state)
{
	static const struct {
		const char *type, *in, *out;
	} rows[] = {
		{ints, "[\"set\",[3,1,2]]", "[\"set\",[1,2,3]]"},
		{ints, "[\"set\",[7]]", "7"},
		{ints, "7", "7"},
		{ints, "[\"set\",[]]", "[\"set\",[]]"},
		{ints, "1.0", "1"},
		{ints, "1e3", "1000"},
		{map, "[\"map\",[[\"b\",\"1\"],[\"a\",\"2\"]]]",
		 "[\"map\",[[\"a\",\"2\"],[\"b\",\"1\"]]]"},
		{"\"real\"", "0.1", "0.1"},
		{"\"real\"", "5", "5"},
		{"\"boolean\"", "true", "true"},
		{"\"string\"", "\"q\\\"\\u0007\\n\\u00e9\"", "\"q\\\"\\u0007\\n\xc3\xa9\""},
		{"\"uuid\"", "[\"uuid\",\"0A000000-0000-4000-8000-00000000000f\"]",
		 "[\"uuid\",\"0a000000-0000-4000-8000-00000000000f\"]"},
	};

	for (size_t i = 0; i < SL_ARRAY_SIZE(rows); i++)
		assert_text(parse(rows[i].type, rows[i].in, NULL), rows[i].out);
}

static void bad_values_are_refused_in_the_words_of_the_rfc(void **state)
{
	static const struct {
		const char *type, *in, *error;
	} rows[] = {
		{"\"integer\"", "\"x\"", "syntax \"\"x\"\": syntax error: expected integer"},
		{"\"integer\"", "1.5", "syntax \"1.5\": syntax error: expected integer"},
		{ints, "[\"set\",[1,1]]", "ovsdb error: set contains duplicate"},
		{"{\"key\":{\"type\":\"integer\",\"minInteger\":1,\"maxInteger\":5}}", "9",
		 "constraint violation: 9 is not in the valid range 1 to 5 (inclusive)"},
		{"{\"key\":{\"type\":\"integer\",\"minInteger\":1}}", "0",
		 "constraint violation: 0 is less than minimum allowed value 1"},
		{"{\"key\":{\"type\":\"string\",\"maxLength\":2}}", "\"abc\"",
		 "constraint violation: \"abc\" length 3 is greater than maximum allowed length 2"},
		{"{\"key\":{\"type\":\"string\",\"enum\":[\"set\",[\"a\",\"b\"]]}}", "\"c\"",
		 "constraint violation: c is not one of the allowed values ([a, b])"},
	};

	for (size_t i = 0; i < SL_ARRAY_SIZE(rows); i++) {
		char *error;

		assert_null(parse(rows[i].type, rows[i].in, &error));
		assert_string_equal(error, rows[i].error);
		free(error);
	}
}

static void arithmetic_on_sets_and_maps(void **state)
{
	struct ovsdb_datum *a = parse(ints, "[\"set\",[1,2,3]]", NULL);
	struct ovsdb_datum *b = parse(ints, "[\"set\",[2,4]]", NULL);
	struct ovsdb_datum *m = parse(map, "[\"map\",[[\"a\",\"1\"],[\"b\",\"2\"]]]", NULL);
	struct ovsdb_datum *n = parse(map, "[\"map\",[[\"b\",\"3\"],[\"c\",\"4\"]]]", NULL);

	assert_text(ovsdb_datum_union(a, b, false), "[\"set\",[1,2,3,4]]");
	assert_text(ovsdb_datum_subtract(a, b), "[\"set\",[1,3]]");
	assert_text(ovsdb_datum_diff(a, b), "[\"set\",[1,3,4]]");
	assert_text(ovsdb_datum_union(m, n, false),
		    "[\"map\",[[\"a\",\"1\"],[\"b\",\"2\"],[\"c\",\"4\"]]]");
	assert_text(ovsdb_datum_union(m, n, true),
		    "[\"map\",[[\"a\",\"1\"],[\"b\",\"3\"],[\"c\",\"4\"]]]");
	assert_text(ovsdb_datum_subtract(m, n), "[\"map\",[[\"a\",\"1\"],[\"b\",\"2\"]]]");
	assert_true(ovsdb_datum_excludes_all(m, n));
	ovsdb_datum_unref(a);
	ovsdb_datum_unref(b);
	ovsdb_datum_unref(m);
	ovsdb_datum_unref(n);
}

/* apply(old, diff(old, new)) == new, whatever the two are. */
static void differences_lead_from_old_to_new(void **state)
{
	srand(7);
	for (int i = 0; i < 500; i++) {
		struct ovsdb_datum *d[2];

		for (int k = 0; k < 2; k++) {
			union ovsdb_atom keys[10], values[10];
			size_t n = (size_t)rand() % 10;

			for (size_t j = 0; j < n; j++) {
				keys[j].integer = rand() % 8;
				values[j].integer = rand() % 3;
			}
			d[k] = ovsdb_datum_build(keys, values, n, OVSDB_INTEGER,
						 i % 2 ? OVSDB_INTEGER : OVSDB_VOID, false);
		}
		struct ovsdb_datum *diff = ovsdb_datum_diff(d[0], d[1]);
		struct ovsdb_datum *back = ovsdb_datum_apply_diff(d[0], diff);
		assert_true(ovsdb_datum_eq(back, d[1]));
		ovsdb_datum_unref(diff);
		ovsdb_datum_unref(back);
		ovsdb_datum_unref(d[0]);
		ovsdb_datum_unref(d[1]);
	}
}

static void scanner_finds_ends_in_any_pieces(void **state)
{
	static const char text[] = " {\"a\":\"}\\\"{\",\"b\":[1,{}]}\n[2]";

	for (size_t piece = 1; piece < sizeof text; piece++) {
		struct json_scan s = {0};
		unsigned found = 0;

		for (size_t at = 0; at < sizeof text - 1;) {
			size_t n = SL_MIN(piece, sizeof text - 1 - at), used = 0;
			enum json_scan_result r = json_scan(&s, text + at, n, 10, &used);

			assert_true(r == JSON_SCAN_MORE || r == JSON_SCAN_DONE);
			found += r == JSON_SCAN_DONE;
			at += used;
		}
		assert_int_equal(found, 2);
	}
	struct json_scan s = {0};
	size_t used;
	assert_int_equal(json_scan(&s, "[[[", 3, 2, &used), JSON_SCAN_TOO_DEEP);
	s = (struct json_scan){0};
	assert_int_equal(json_scan(&s, "x", 1, 2, &used), JSON_SCAN_GARBAGE);
}

static void members_are_walked_without_parsing(void **state)
{
	static const char text[] = "{ \"a\" : {\"x\":[1,\"}\"]}, \"b\":null,\"c\":\"s\" } ";
	static const char *const expected[][2] = {
		{"a", "{\"x\":[1,\"}\"]}"}, {"b", "null"}, {"c", "\"s\""}};
	struct json_members m;
	const char *k, *v;
	size_t nk, nv, i = 0;

	json_members_init(&m, text, sizeof text - 1);
	for (; json_members_next(&m, &k, &nk, &v, &nv) > 0; i++) {
		assert_true(nk == 1 && *k == *expected[i][0]);
		assert_true(nv >= strlen(expected[i][1]) &&
			    !memcmp(v, expected[i][1], strlen(expected[i][1])));
	}
	assert_int_equal(i, 3);
	for (size_t cut = 0; cut < sizeof text - 3; cut++) {
		int r;

		json_members_init(&m, text, cut);
		while ((r = json_members_next(&m, &k, &nk, &v, &nv)) > 0)
			;
		assert_int_equal(r, -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_sorted_and_written_canonically),
		cmocka_unit_test(bad_values_are_refused_in_the_words_of_the_rfc),
		cmocka_unit_test(arithmetic_on_sets_and_maps),
		cmocka_unit_test(differences_lead_from_old_to_new),
		cmocka_unit_test(scanner_finds_ends_in_any_pieces),
		cmocka_unit_test(members_are_walked_without_parsing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
