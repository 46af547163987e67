/* SPDX-License-Identifier: BSD-3-Clause */
/* control/state/knobs.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/state/knobs.h"

static void every_default_is_allowed(void **state)
{
	for (size_t i = 0; i < KNOB_N; i++) {
		struct str why = STR_INIT;
		if (knobs[i].def[0] && !knob_check(&knobs[i], knobs[i].def, &why))
			fail_msg("%s: %s", knobs[i].key, str_cstr(&why));
		assert_ptr_equal(knob_find(knobs[i].table, knobs[i].key), &knobs[i]);
		assert_true(knobs[i].doc[0]);
		str_free(&why);
	}
}

static void values(void **state)
{
	struct str why = STR_INIT;
	assert_int_equal(knob_int(KNOB_MAC_AGING_TIME, "60"), 60);
	assert_int_equal(knob_int(KNOB_MAC_AGING_TIME, "0"), 300);
	assert_int_equal(knob_int(KNOB_MAC_AGING_TIME, "99999"), 300);
	assert_int_equal(knob_int(KNOB_MAC_AGING_TIME, NULL), 300);
	assert_int_equal(knob_int(KNOB_FORWARD_BPDU, "true"), 1);
	assert_int_equal(knob_int(KNOB_FORWARD_BPDU, "yes"), 0);
	assert_false(knob_check(&knobs[KNOB_MAC_AGING_TIME], "0", &why));
	assert_string_equal(str_cstr(&why), "\"0\" is not a number from 1 to 3600 s");
	str_free(&why);
	assert_null(knob_find("Bridge", "no-such-key"));
}

static void masks(void **state)
{
	uint16_t cores[64];
	assert_int_equal(knob_parse_mask("0x6", cores, 64), 2);
	assert_int_equal(cores[0], 1);
	assert_int_equal(cores[1], 2);
	assert_int_equal(knob_parse_mask("100000000", cores, 64), 1);
	assert_int_equal(cores[0], 32);
	assert_int_equal(knob_parse_mask("", cores, 64), -1);
	assert_int_equal(knob_parse_mask("0x", cores, 64), -1);
	assert_int_equal(knob_parse_mask("12g", cores, 64), -1);
	assert_int_equal(knob_parse_mask("ff", cores, 4), -1);
}

static void macs(void **state)
{
	uint8_t m[6];
	assert_true(knob_parse_mac("02:00:aB:00:00:01", m));
	assert_int_equal(m[2], 0xab);
	assert_true(knob_parse_mac("0200ab000001", m));
	assert_false(knob_parse_mac("02:00:ab:00:00", m));
	assert_false(knob_parse_mac("02:00:ab:00:00:01:", m));
	assert_false(knob_parse_mac("02:00:ab:00:00:0g", m));
	assert_false(knob_parse_mac("", m));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_default_is_allowed),
		cmocka_unit_test(values),
		cmocka_unit_test(masks),
		cmocka_unit_test(macs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
