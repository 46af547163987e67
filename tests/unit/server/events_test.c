/* SPDX-License-Identifier: BSD-3-Clause */
/* The event ring: numbers, bounds, and what a late reader is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "datapath/server/events.h"

static void add(enum api_event kind, size_t payload)
{
	uint8_t *bytes = xzalloc(payload);

	msg_put_bytes(events_begin(kind), ATTR_PACKET, bytes, payload);
	events_end();
	free(bytes);
}

static int teardown(void **state)
{
	events_destroy();
	return 0;
}

static void numbers_go_up(void **state)
{
	uint64_t first = events_next_seq();
	enum api_event kind;

	add(API_EVENT_MAC, 8);
	add(API_EVENT_PORT, 8);
	assert_true(events_next_seq() == first + 2);
	const struct msg *m = events_get(first + 1, &kind);
	assert_non_null(m);
	assert_int_equal(kind, API_EVENT_PORT);
	assert_int_equal(msg_check(m->data, m->len, NULL), 0);
	assert_true(attrs_u64(msg_attrs(m->data), ATTR_EVENT_SEQ, 0) == first + 1);
	assert_null(events_get(first + 2, &kind));
	assert_null(events_get(0, &kind));
}

static void the_count_is_bounded(void **state)
{
	for (int i = 0; i < EVENTS_MAX + 100; i++)
		add(API_EVENT_MAC, 8);
	assert_true(events_next_seq() - events_first_seq() == EVENTS_MAX);
}

static void the_bytes_are_bounded(void **state)
{
	uint64_t bytes = 0;
	enum api_event kind;

	for (int i = 0; i < 100; i++)
		add(API_EVENT_PACKET_IN, 1 << 20);
	for (uint64_t s = events_first_seq(); s < events_next_seq(); s++)
		bytes += events_get(s, &kind)->len;
	assert_true(bytes <= EVENTS_BYTES_MAX);
	assert_true(bytes >= EVENTS_BYTES_MAX - (2 << 20));
	/* One that is larger than everything is there alone. */
	add(API_EVENT_PACKET_IN, EVENTS_BYTES_MAX + 1);
	assert_true(events_next_seq() - events_first_seq() == 1);
}

static void what_was_skipped_cannot_be_asked_for(void **state)
{
	add(API_EVENT_MAC, 8);
	uint64_t before = events_next_seq();
	assert_true(events_complete_from() <= before - 1);
	events_skip();
	assert_true(events_complete_from() == before);
	add(API_EVENT_MAC, 8);
	assert_true(events_complete_from() == before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(numbers_go_up, teardown),
		cmocka_unit_test_teardown(the_count_is_bounded, teardown),
		cmocka_unit_test_teardown(the_bytes_are_bounded, teardown),
		cmocka_unit_test_teardown(what_was_skipped_cannot_be_asked_for, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
