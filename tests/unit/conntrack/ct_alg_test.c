/* SPDX-License-Identifier: BSD-3-Clause */
/* What FTP's lines announce, and how long announcements are kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/conntrack/ct_alg.h"
#include "datapath/conntrack/ct_expect.h"

static const struct {
	const char *line;
	bool reply, found;
	uint8_t family;
	uint16_t port;
	uint8_t last; /* byte of the address */
} lines[] = {
	{"PORT 10,0,0,1,4,210\r\n", false, true, 4, 1234, 1},
	{"port 10,0,0,7,255,255\r\n", false, true, 4, 65535, 7},
	{"PORT 10,0,0,1,4,210\r\n", true, false, 0, 0, 0},
	{"PORT 10,0,0,1,4\r\n", false, false, 0, 0, 0},
	{"PORT 10,0,0,256,4,1\r\n", false, false, 0, 0, 0},
	{"PORT 10,0,0,1,99999999999999999999,1\r\n", false, false, 0, 0, 0},
	{"PORT 10,0,0,1,0,0\r\n", false, false, 0, 0, 0},
	{"PORT ", false, false, 0, 0, 0},
	{"EPRT |1|10.0.0.9|2000|\r\n", false, true, 4, 2000, 9},
	{"EPRT !2!::5!2001!\r\n", false, true, 6, 2001, 5},
	{"EPRT |3|10.0.0.9|2000|\r\n", false, false, 0, 0, 0},
	{"EPRT |2|10.0.0.9|2000|\r\n", false, false, 0, 0, 0},
	{"EPRT |1|10.0.0.9|2000", false, false, 0, 0, 0},
	{"EPRT |1|10.0.0.9|70000|\r\n", false, false, 0, 0, 0},
	{"227 Entering Passive Mode (10,0,0,2,4,211).\r\n", true, true, 4, 1235, 2},
	{"227 =10,0,0,2,4,211\r\n", true, true, 4, 1235, 2},
	{"227 Entering Passive Mode\r\n", true, false, 0, 0, 0},
	{"229 Entering Extended Passive Mode (|||1236|)\r\n", true, true, 0, 1236, 0},
	{"229 x (||1236|)\r\n", true, false, 0, 0, 0},
	{"229 x (|||1236", true, false, 0, 0, 0},
	{"229 x (", true, false, 0, 0, 0},
	{"226 done (10,0,0,2,4,211)\r\n", true, false, 0, 0, 0},
	{"", true, false, 0, 0, 0},
};

static void test_lines(void **state)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(lines); i++) {
		struct ct_alg_ftp f;
		bool found = ct_alg_ftp_parse(lines[i].line, (uint32_t)strlen(lines[i].line),
					      lines[i].reply, &f);

		if (found != lines[i].found)
			fail_msg("%s", lines[i].line);
		if (!found)
			continue;
		assert_int_equal(f.family, lines[i].family);
		assert_int_equal(f.port, lines[i].port);
		if (f.family)
			assert_int_equal(f.addr[f.family == 4 ? 3 : 15], lines[i].last);
	}
}

/* Cut short anywhere, a line announces what it announces whole, or nothing. */
static void test_cut_lines(void **state)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(lines); i++)
		for (uint32_t n = 0; n < strlen(lines[i].line); n++) {
			struct ct_alg_ftp f;
			char *exact = malloc(n + 1);

			assert_non_null(exact);
			memcpy(exact, lines[i].line, n);
			ct_alg_ftp_parse(exact, n, lines[i].reply, &f);
			free(exact);
		}
}

static struct ct_expectation expectation(uint32_t dst, uint32_t context)
{
	struct ct_expectation e = {.mark = dst, .until_ms = 1000};

	ct_tuple_set4(&e.tuple, 1, dst, 0, context, 6);
	e.tuple.dst_port = cpu_to_be16(2000);
	return e;
}

static void test_announcements(void **state)
{
	struct ct_expectation e = expectation(2, 5), got;
	struct ct_tuple t = e.tuple, other;

	t.src_port = cpu_to_be16(20);
	assert_false(ct_expect_find(&t, 0, false, &got));
	ct_expect_add(&e);
	ct_expect_add(&e);
	assert_int_equal(ct_expect_count(), 1);
	assert_true(ct_expect_find(&t, 0, false, &got));
	assert_int_equal(got.mark, 2);
	other = t;
	other.context = 6;
	assert_false(ct_expect_find(&other, 0, false, &got));
	other = t;
	other.dst_port = cpu_to_be16(2001);
	assert_false(ct_expect_find(&other, 0, false, &got));
	assert_true(ct_expect_find(&t, 999, true, &got));
	assert_false(ct_expect_find(&t, 999, true, &got));
	ct_expect_add(&e);
	assert_false(ct_expect_find(&t, 1000, true, &got));
	assert_int_equal(ct_expect_count(), 0);
}

static void test_bounded(void **state)
{
	unsigned before;

	for (uint32_t i = 0; i < 100000; i++) {
		struct ct_expectation e = expectation(i, i & 1 ? 5 : 6);

		ct_expect_add(&e);
	}
	before = ct_expect_count();
	assert_in_range(before, 1000, 2048);
	ct_expect_flush(5);
	assert_in_range(ct_expect_count(), before / 4, before - before / 4);
	ct_expect_flush(-1);
	assert_int_equal(ct_expect_count(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_cut_lines),
		cmocka_unit_test(test_announcements),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
