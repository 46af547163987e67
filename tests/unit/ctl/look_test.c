/* SPDX-License-Identifier: BSD-3-Clause */
/* What top, drops and doctor compute from readings, and the capture file's blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/ctl/cpu_list.h"
#include "tools/ctl/history.h"
#include "tools/ctl/pcapng.h"
#include "tools/ctl/sample.h"

static void cores_are_read_and_written_as_linux_does(void **state)
{
	static const char *const good[] = {"", "0", "1-3", "0,2-4,63-65", "1023"};
	static const char *const bad[] = {"x", "1-", "-1", "1,,2", "1;2", "1-x"};
	struct cpu_list l, other;
	for (size_t i = 0; i < SL_ARRAY_SIZE(good); i++) {
		assert_true(cpu_list_parse(good[i], &l));
		assert_string_equal(cpu_list_text(&l), good[i]);
	}
	for (size_t i = 0; i < SL_ARRAY_SIZE(bad); i++)
		assert_false(cpu_list_parse(bad[i], &l));
	assert_true(cpu_list_parse("0-99999999999", &l)); /* more than there can be: cut off */
	assert_true(cpu_list_parse("4-6", &other) && cpu_list_overlap(&l, &other));
	assert_true(cpu_list_parse("5-9", &l));
	l = cpu_list_without(&l, &other);
	assert_string_equal(cpu_list_text(&l), "7-9");
	assert_false(cpu_list_overlap(&l, &other) || cpu_list_is_empty(&l));
	assert_false(cpu_list_has(&l, 100000));
}

static void rates_are_differences(void **state)
{
	struct sample before = {.at_us = 1000000}, now = {.at_us = 3000000}, never = {0};
	sample_add(&before, "a", 10);
	sample_add(&before, "gone", 1);
	sample_add(&before, "reset", 100);
	sample_add(&now, "reset", 5);
	sample_add(&now, "new", 8);
	sample_add(&now, "a", 30);
	assert_true(sample_rate(&before, &now, "a") == 10);
	assert_true(sample_rate(&before, &now, "new") == 4); /* began at 0 meanwhile */
	assert_true(sample_rate(&before, &now, "reset") == 0);
	assert_true(sample_rate(&before, &now, "gone") == 0);
	assert_true(sample_rate(&never, &now, "a") == 0);
	assert_true(sample_rate(&now, &before, "a") == 0);
	assert_int_equal(sample_get(&now, "a"), 30);
	assert_int_equal(sample_get(&never, "a"), 0);
	sample_free(&before);
	sample_free(&now);
}

static void a_minute_is_kept(void **state)
{
	struct history h = {0};
	struct str s = STR_INIT;
	const struct history_line *l = NULL;
	for (int i = 0; i < 3; i++)
		l = history_add(&h, "x", i * 7);
	history_sparkline(l, 5, &s);
	assert_string_equal(str_cstr(&s), "   ▅█"); /* nothing is a blank */
	for (int i = 0; i < 200; i++)
		l = history_add(&h, "x", 1);
	assert_int_equal(l->n, HISTORY_LEN);
	str_clear(&s);
	history_sparkline(l, 3, &s);
	assert_string_equal(str_cstr(&s), "███");
	history_sweep(&h);
	assert_int_equal(h.lines.len, 1);
	history_sweep(&h); /* nothing was added in between */
	assert_int_equal(h.lines.len, 0);
	str_free(&s);
	history_free(&h);
}

/* Every block says its length twice, and the lengths add up to the file. */
static void capture_files_are_whole_blocks(void **state)
{
	char path[] = "/tmp/sluice-pcapng-XXXXXX";
	int fd = mkstemp(path);
	struct pcapng_options o = {.path = path, .snaplen = 100};
	struct pcapng *p = NULL;
	struct err e = {0};
	uint8_t file[4096], frame[61] = {1};
	size_t n, blocks = 0;
	FILE *f;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(pcapng_open(&o, &p, &e), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
			pcapng_write(p,
				     &(struct pcapng_packet){.port = i % 2 ? "p1" : "port two",
							     .time_ns = 1000u + (unsigned)i,
							     .data = frame,
							     .len = 58u + (unsigned)i,
							     .wire_len = 1500,
							     .direction = 1,
							     .comment = i ? "why" : ""},
				     &e),
			0);
	assert_int_equal(pcapng_close(p, 7, &e), 0);
	f = fopen(path, "rb");
	assert_non_null(f);
	n = fread(file, 1, sizeof file, f);
	fclose(f);
	unlink(path);
	for (size_t at = 0; at < n; blocks++) {
		uint32_t first, last;
		memcpy(&first, file + at + 4, 4);
		assert_true(first >= 12 && first % 4 == 0 && at + first <= n);
		memcpy(&last, file + at + first - 4, 4);
		assert_int_equal(first, last);
		at += first;
	}
	assert_int_equal(blocks, 1 + 2 + 4 + 2); /* section, interfaces, packets, statistics */
	o.path = "/no/such/place/file";
	assert_int_not_equal(pcapng_open(&o, &p, &e), 0);
	assert_non_null(strstr(e.text, "/no/such/place/file"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cores_are_read_and_written_as_linux_does),
		cmocka_unit_test(rates_are_differences),
		cmocka_unit_test(a_minute_is_kept),
		cmocka_unit_test(capture_files_are_whole_blocks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
