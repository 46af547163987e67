/* SPDX-License-Identifier: BSD-3-Clause */
/* json_parse() against jansson's own parser: the same values, the same refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/json_text.h"

/* jansson: when one integer does not fit, it can only make all of them reals (*inexact). */
static json_t *judge(const char *text, size_t len, bool *inexact)
{
	json_error_t error;
	json_t *j = json_loadb(text, len, 0, &error);

	*inexact = !j && json_error_code(&error) == json_error_numeric_overflow;
	if (*inexact)
		j = json_loadb(text, len, JSON_DECODE_INT_AS_REAL, &error);
	return j;
}

static void compare(const char *text, size_t len)
{
	char why[JSON_ERROR_TEXT_LENGTH] = "";
	bool inexact;
	json_t *ours = json_parse(text, len, why), *theirs = judge(text, len, &inexact);

	if (!ours != !theirs)
		fail_msg("%.*s: %s here, %s there", (int)len, text, ours ? "good" : why,
			 theirs ? "good" : "bad");
	if (ours && !inexact && !json_equal(ours, theirs))
		fail_msg("%.*s: other value", (int)len, text);
	assert_true(ours || why[0]);
	json_decref(ours);
	json_decref(theirs);
}

static const char *const samples[] = {
	"{}",
	"[]",
	"[[],{},[{}]]",
	" [ 1 , 2 ]\n",
	"[0,-0,1,-1,10,123456789012345678,1234567890123456789,-9223372036854775808]",
	"[9223372036854775807]",
	"[9223372036854775808]",
	"[-9223372036854775809]",
	"[123456789012345678901234567890123456789012345678901234567890123456789012345678901234]",
	"[0.5,-0.0,1e3,1E-3,1.25e+10,1e308]",
	"[1e999]",
	"[01]",
	"[-]",
	"[1.]",
	"[.5]",
	"[1e]",
	"[+1]",
	"[0x10]",
	"[1e-999]",
	"[true,false,null]",
	"[tru]",
	"[truefalse]",
	"[nul",
	"[NaN]",
	"{\"a\":1,\"b\":[\"x\"],\"a\":2}",
	"{\"a\" : {\"b\" : {\"c\" : null}}}",
	"{\"\":1}",
	"{\"a\\tb\":{\"c\\u0041\":\"d\\\\e\"}}",
	"[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20ac\\ud83d\\ude00\"]",
	"[\"\\ud83d\"]",
	"[\"\\ude00\"]",
	"[\"\\ud83d\\u0041\"]",
	"[\"\\u0000\"]",
	"[\"\\u12\"]",
	"[\"\\x\"]",
	"[\"\\",
	"[\"abc",
	"[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"]",
	"[\"\xc0\x80\"]",
	"[\"\xe0\x80\x80\"]",
	"[\"\xed\xa0\x80\"]",
	"[\"\xf4\x90\x80\x80\"]",
	"[\"\xf0\x80\x80\x80\"]",
	"[\"\xc3\"]",
	"[\"\xc3",
	"[\"\x80\"]",
	"[\"\xff\"]",
	"[\"a\nb\"]",
	"[\"a\x01\"]",
	"[1,]",
	"[,1]",
	"[1 2]",
	"[1}",
	"{\"a\"}",
	"{\"a\":}",
	"{\"a\":1,}",
	"{a:1}",
	"{1:1}",
	"{\"a\":1]",
	"[1]x",
	"[1][2]",
	"1",
	"\"a\"",
	"null",
	"",
	"   ",
	"[",
	"{",
	"]",
	"{\"id\":2,\"method\":\"transact\",\"params\":[\"Open_vSwitch\",{\"op\":\"update\","
	"\"table\":"
	"\"Queue\",\"where\":[[\"_uuid\",\"==\",[\"uuid\",\"0b1c3f5e-27c2-4d3a-9e0f-1a2b3c4d5e6f\"]"
	"]],\"row\":{\"external_ids\":[\"map\",[[\"k\",\"v\"]]],\"dscp\":12}}]}",
};

static void samples_agree(void **state)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(samples); i++)
		compare(samples[i], strlen(samples[i]));
	compare("[1]\0", 4);
	compare("[\"\0\"]", 5);
	compare("[\0]", 3);
}

/* Every beginning of every sample, and random damage. */
static void damaged_samples_agree(void **state)
{
	static const char bytes[] = "{}[]\",:\\u0e-+.9 tfn\n\x01\x80\xc3\xed\xf0\xff";

	srandom(1);
	for (size_t i = 0; i < SL_ARRAY_SIZE(samples); i++) {
		size_t len = strlen(samples[i]);

		for (size_t n = 0; n < len; n++)
			compare(samples[i], n);
		for (int k = 0; k < 2000 && len; k++) {
			char *copy = xmemdup(samples[i], len);

			for (long edits = random() % 3; edits >= 0; edits--)
				copy[(size_t)random() % len] =
					bytes[(size_t)random() % (sizeof bytes - 1)];
			compare(copy, len);
			free(copy);
		}
	}
}

/* One integer too large makes itself a real and leaves its neighbours alone. */
static void large_integers_are_reals_alone(void **state)
{
	static const char text[] = "[1,18446744073709551616,2]";
	json_t *j = json_parse(text, sizeof text - 1, NULL);

	assert_true(json_is_integer(json_array_get(j, 0)));
	assert_true(json_is_real(json_array_get(j, 1)));
	assert_true(json_real_value(json_array_get(j, 1)) == 18446744073709551616.0);
	assert_true(json_is_integer(json_array_get(j, 2)));
	json_decref(j);
}

static void nesting_is_bounded(void **state)
{
	enum { N = 100000 };
	char why[JSON_ERROR_TEXT_LENGTH], *deep = xmalloc(N);

	memset(deep, '[', N);
	assert_null(json_parse(deep, N, why));
	assert_non_null(strstr(why, "nested too deeply"));
	for (int i = 0; i < N; i += 5)
		memcpy(deep + i, "{\"a\":", 5);
	assert_null(json_parse(deep, N, why));
	free(deep);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_agree),
		cmocka_unit_test(damaged_samples_agree),
		cmocka_unit_test(large_integers_are_reals_alone),
		cmocka_unit_test(nesting_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
