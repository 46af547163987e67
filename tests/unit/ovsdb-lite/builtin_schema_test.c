/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "ovsdb-lite/builtin_schema.h"
#include "ovsdb-lite/json_text.h"

static const char installed[] = "/usr/share/openvswitch/vswitch.ovsschema";

static char *text_of(const struct ovsdb_schema *s)
{
	struct str out = STR_INIT;

	ovsdb_schema_put_json(&out, s);
	return str_steal(&out);
}

/* Semantically: both are read by the same parser and written in its canonical order. */
static void open_vswitch_is_the_installed_one(void **state)
{
	json_t *json = json_load_file(installed, 0, NULL);
	struct ovsdb_schema *theirs, *ours = ovsdb_builtin_schema("Open_vSwitch");

	assert_non_null(json); /* openvswitch-switch is a test dependency */
	assert_null(ovsdb_schema_parse(&theirs, json));
	assert_non_null(ours);
	char *a = text_of(theirs), *b = text_of(ours);
	assert_string_equal(a, b);
	assert_int_equal(ours->n_tables, 19);
	free(a);
	free(b);
	ovsdb_schema_unref(theirs);
	ovsdb_schema_unref(ours);
	json_decref(json);
}

static void sluice_is_a_schema(void **state)
{
	struct ovsdb_schema *s = ovsdb_builtin_schema("Sluice");

	assert_non_null(s);
	assert_non_null(ovsdb_schema_table(s, "Policy"));
	assert_int_equal(ovsdb_schema_table(s, "Sluice")->max_rows, 1);
	ovsdb_schema_unref(s);
	assert_null(ovsdb_builtin_schema("Other"));
}

static void a_schema_survives_being_written(void **state)
{
	struct ovsdb_schema *a = ovsdb_builtin_schema("Open_vSwitch"), *b;
	char *text = text_of(a);
	json_t *json = json_parse(text, strlen(text), NULL);

	assert_null(ovsdb_schema_parse(&b, json));
	assert_true(ovsdb_schema_eq(a, b));
	json_decref(json);
	free(text);
	ovsdb_schema_unref(a);
	ovsdb_schema_unref(b);
}

static void bad_schemas_are_refused(void **state)
{
	static const char *const texts[] = {
		"[]",
		"{}",
		"{\"name\":\"x\"}",
		"{\"name\":\"x\",\"tables\":[]}",
		"{\"name\":\"1\",\"tables\":{}}",
		"{\"name\":\"x\",\"version\":\"1.2\",\"tables\":{}}",
		"{\"name\":\"x\",\"tables\":{\"t\":{}}}",
		"{\"name\":\"x\",\"tables\":{\"_t\":{\"columns\":{\"a\":{\"type\":\"string\"}}}}}",
		"{\"name\":\"x\",\"tables\":{\"t\":{\"columns\":{\"_a\":{\"type\":\"string\"}}}}}",
		"{\"name\":\"x\",\"tables\":{\"t\":{\"columns\":{\"a\":{\"type\":\"text\"}}}}}",
		"{\"name\":\"x\",\"tables\":{\"t\":{\"columns\":{\"a\":{\"type\":\"string\"}},"
		"\"indexes\":[[\"b\"]]}}}",
		"{\"name\":\"x\",\"tables\":{\"t\":{\"columns\":{\"a\":{\"type\":\"string\"}},"
		"\"maxRows\":0}}}",
		"{\"name\":\"x\",\"tables\":{\"t\":{\"columns\":{\"a\":{\"type\":{\"key\":"
		"{\"type\":\"uuid\",\"refTable\":\"none\"}}}}}}}",
		"{\"name\":\"x\",\"tables\":{\"t\":{\"columns\":{\"a\":{\"type\":{\"key\":"
		"\"string\",\"min\":2}}}}}}",
		"{\"name\":\"x\",\"tables\":{\"t\":{\"columns\":{\"a\":{\"type\":{\"key\":"
		"{\"type\":\"integer\",\"minInteger\":5,\"maxInteger\":4}}}}}}}",
	};

	for (size_t i = 0; i < SL_ARRAY_SIZE(texts); i++) {
		json_t *json = json_parse(texts[i], strlen(texts[i]), NULL);
		struct ovsdb_schema *s;
		struct ovsdb_error *e = ovsdb_schema_parse(&s, json);

		assert_non_null(e);
		assert_null(s);
		ovsdb_error_free(e);
		json_decref(json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_vswitch_is_the_installed_one),
		cmocka_unit_test(sluice_is_a_schema),
		cmocka_unit_test(a_schema_survives_being_written),
		cmocka_unit_test(bad_schemas_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
