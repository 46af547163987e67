/* SPDX-License-Identifier: BSD-3-Clause */
/* Whole rules as text: lines as ovs-ofctl dump-flows prints them read back and print the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/err.h"
#include "datapath/base/str.h"
#include "datapath/flow/flow_text.h"

static const struct {
	const char *in, *out;
} rows[] = {
	{"table=3,priority=7,tcp,in_port=1,actions=output:2",
	 "cookie=0x0, table=3, priority=7,tcp,in_port=1 actions=output:2"},
	{"actions=drop", "cookie=0x0, actions=drop"},
	{"priority=0 actions=NORMAL", "cookie=0x0, priority=0 actions=NORMAL"},
	{"cookie=0x12,idle_timeout=5,hard_timeout=6,importance=9,send_flow_rem,check_overlap,ip,"
	 "action=1,2",
	 "cookie=0x12, idle_timeout=5, hard_timeout=6, send_flow_rem check_overlap importance=9, "
	 "ip actions=output:1,output:2"},
	{" cookie=0x5, duration=3.105s, table=0, n_packets=7, n_bytes=42, idle_age=3, hard_age=1, "
	 "priority=100,arp actions=learn(table=1,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]),resubmit(,1)",
	 "cookie=0x5, table=0, priority=100,arp "
	 "actions=learn(table=1,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]),resubmit(,1)"},
	{"priority=32768,ip,actions=write_actions(output:1),goto_table:2",
	 "cookie=0x0, ip actions=write_actions(output:1),goto_table:2"},
};

static void rules_read_and_print(void **state)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(rows); i++) {
		struct flow_text f, again;
		struct err e = {0};
		struct str s = STR_INIT, t = STR_INIT;

		if (flow_text_parse(rows[i].in, NULL, &f, &e))
			fail_msg("%s: %s", rows[i].in, e.text);
		flow_text_format(&f, NULL, NULL, &s);
		assert_string_equal(str_cstr(&s), rows[i].out);
		assert_int_equal(flow_text_parse(str_cstr(&s), NULL, &again, &e), 0);
		flow_text_format(&again, NULL, NULL, &t);
		assert_string_equal(str_cstr(&t), rows[i].out);
		flow_text_free(&f);
		flow_text_free(&again);
		str_free(&s);
		str_free(&t);
	}
}

static void errors_count_columns_from_the_start(void **state)
{
	static const struct {
		const char *in, *error;
	} bad[] = {
		{"ip,foo=1,actions=drop", "column 4: unknown field \"foo\""},
		{"ip,actions=output:1,bar", "column 21: unknown action \"bar\""},
		{"table=300,actions=drop", "column 1: table: \"300\" is not a number up to 255"},
		{"tp_src=5 actions=drop", "column 1: tcp_src: needs a match on TCP"},
		{"send_flow", "column 1: \"send_flow\" needs a value"},
		{"cookie=x", "column 1: cookie: \"x\" is not a number up to 18446744073709551615"},
	};

	for (size_t i = 0; i < SL_ARRAY_SIZE(bad); i++) {
		struct flow_text f;
		struct err e = {0};

		assert_int_not_equal(flow_text_parse(bad[i].in, NULL, &f, &e), 0);
		assert_string_equal(e.text, bad[i].error);
	}
}

static void filters_and_counters(void **state)
{
	const struct flow_text_stats stats = {.duration_ns = 3105000000,
					      .n_packets = 7,
					      .n_bytes = 42,
					      .idle_age_s = 2,
					      .hard_age_s = UINT32_MAX};
	struct flow_text f;
	struct err e = {0};
	struct str s = STR_INIT;

	assert_int_equal(flow_text_parse("cookie=1/-1,out_port=LOCAL,out_group=4", NULL, &f, &e),
			 0);
	assert_true(f.has_cookie && f.cookie == 1 && f.cookie_mask == UINT64_MAX);
	assert_int_equal(f.out_port, OFP_PORT_LOCAL);
	assert_int_equal(f.out_group, 4);
	assert_false(f.has_actions);
	assert_int_equal(f.table, FLOW_TEXT_ALL_TABLES);
	flow_text_free(&f);
	assert_int_equal(flow_text_parse("table=0,actions=drop", NULL, &f, &e), 0);
	flow_text_format(&f, &stats, NULL, &s);
	assert_string_equal(str_cstr(&s), "cookie=0x0, duration=3.105s, table=0, n_packets=7, "
					  "n_bytes=42, idle_age=2, actions=drop");
	flow_text_free(&f);
	str_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_read_and_print),
		cmocka_unit_test(errors_count_columns_from_the_start),
		cmocka_unit_test(filters_and_counters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
