/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "datapath/base/err.h"
#include "datapath/server/options.h"

static int parse(struct options *o, struct err *e, ...)
{
	char *argv[32] = {"sluice-datapath"};
	int n = 1;
	va_list ap;

	va_start(ap, e);
	while ((argv[n] = va_arg(ap, char *)))
		n++;
	va_end(ap);
	err_clear(e);
	return options_parse(n, argv, o, e);
}

static void defaults_and_environment(void **state)
{
	struct options o;
	struct err e;

	unsetenv("SLUICE_RUNDIR");
	assert_int_equal(parse(&o, &e, NULL), 0);
	assert_string_equal(o.rundir, "/run/sluice");
	assert_int_equal(o.main_core, -1);
	assert_int_equal(o.memory_mb, 40);
	assert_int_equal(o.n_cores, 0);
	assert_false(o.detach || o.no_huge);
	setenv("SLUICE_RUNDIR", "/tmp/x", 1);
	assert_int_equal(parse(&o, &e, NULL), 0);
	assert_string_equal(o.rundir, "/tmp/x");
	assert_int_equal(parse(&o, &e, "--rundir", "/tmp/y", NULL), 0);
	assert_string_equal(o.rundir, "/tmp/y");
}

static void everything_at_once(void **state)
{
	struct options o;
	struct err e;

	assert_int_equal(parse(&o, &e, "--cores=1,4-6", "--main-core", "2", "--memory=512",
			       "--no-huge", "--eal", "-a 0000:01:00.0", "--detach", "--pidfile",
			       "--log-file=/tmp/log", "-vANY:file:dbg", NULL),
			 0);
	assert_int_equal(o.n_cores, 4);
	assert_int_equal(o.cores[3], 6);
	assert_int_equal(o.main_core, 2);
	assert_int_equal(o.memory_mb, 512);
	assert_string_equal(o.eal, "-a 0000:01:00.0");
	assert_string_equal(o.pidfile, "");
	assert_string_equal(o.logfile, "/tmp/log");
	assert_true(o.detach && o.no_huge);
}

static void mistakes_are_named(void **state)
{
	static const struct {
		char *arg, *text;
	} bad[] = {
		{"--cores=", "cores"},
		{"--cores=4-1", "4-1"},
		{"--cores=1,x", "1,x"},
		{"--cores=1-3,2", "twice"},
		{"--cores=0-64", "more"},
		{"--memory=15", "--memory=15"},
		{"--memory=1g", "--memory"},
		{"--main-core=-1", "-1"},
		{"--rundir", "argument"},
		{"--wrong", "--wrong"},
		{"-x", "-x"},
		{"word", "word"},
		{"-vno:such", "no"},
	};
	for (size_t i = 0; i < SL_ARRAY_SIZE(bad); i++) {
		struct options o;
		struct err e;

		assert_true(parse(&o, &e, bad[i].arg, NULL) < 0);
		assert_non_null(strstr(e.text, bad[i].text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_and_environment),
		cmocka_unit_test(everything_at_once),
		cmocka_unit_test(mistakes_are_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
