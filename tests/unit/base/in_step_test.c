/* SPDX-License-Identifier: BSD-3-Clause */
/* When is spinning tried? What the clock does meanwhile is not ours to say: on a busy machine a
 * look may take long, and then a rest follows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "datapath/base/in_step.h"
#include "datapath/base/util.h"

static bool look(void *n)
{
	unsigned *looks = n;

	return ++*looks == 3;
}

static bool never(void *n)
{
	++*(unsigned *)n;
	return false;
}

static void short_waits(struct in_step *s, unsigned n)
{
	while (n--)
		in_step_waited(s, in_step_now_us());
}

static void waits_must_be_short_in_a_row(void **state)
{
	struct in_step s = {.limit_us = 1000 * 1000};
	unsigned n = 0;

	assert_false(in_step_spin(&s, look, &n));
	short_waits(&s, 3);
	assert_false(in_step_spin(&s, look, &n));
	in_step_waited(&s, in_step_now_us() - 5 * 1000 * 1000);
	short_waits(&s, 3);
	assert_false(in_step_spin(&s, look, &n));
	assert_int_equal(n, 0);
	short_waits(&s, 1);
	assert_true(in_step_spin(&s, look, &n) || s.rests_until_us);
	assert_true(n == 3 || s.rests_until_us);
}

static void more_are_needed_when_it_was_for_nothing(void **state)
{
	struct in_step s = {.limit_us = 20};
	unsigned n = 0;

	s.short_waits = 4;
	assert_false(in_step_spin(&s, never, &n));
	assert_true(n >= 1);
	assert_int_equal(s.needed, 16);
	s.short_waits = 15;
	s.rests_until_us = n = 0;
	assert_false(in_step_spin(&s, never, &n));
	assert_int_equal(n, 0);
	for (unsigned i = 0; i < 9; i++) {
		s.short_waits = 256;
		s.rests_until_us = 0;
		assert_false(in_step_spin(&s, never, &n));
	}
	assert_int_equal(s.needed, 256);
	for (unsigned i = 0; i < 3; i++) {
		s.short_waits = 256;
		s.rests_until_us = 0;
		n = 2;
		assert_true(in_step_spin(&s, look, &n));
	}
	assert_int_equal(s.needed, 32);
}

static void it_rests_when_others_had_the_processor(void **state)
{
	struct in_step s = {.limit_us = 20, .short_waits = 256};
	unsigned n = 2;

	s.rests_until_us = UINT64_MAX;
	assert_false(in_step_spin(&s, look, &n));
	assert_int_equal(n, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_must_be_short_in_a_row),
		cmocka_unit_test(more_are_needed_when_it_was_for_nothing),
		cmocka_unit_test(it_rests_when_others_had_the_processor),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
