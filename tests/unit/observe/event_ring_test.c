/* SPDX-License-Identifier: BSD-3-Clause */
/* The ring between an observer and the main thread: what goes in comes out, in order and whole, and
 * what does not fit is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "datapath/observe/event_ring.h"

struct record {
	struct event_head head;
	uint64_t number;
	uint8_t bytes[];
};

static bool put(struct event_ring *r, uint64_t number, uint32_t n, uint32_t spare)
{
	struct record *e = event_ring_reserve(r, 1, (uint32_t)sizeof *e + n, spare);

	if (!e)
		return false;
	e->number = number;
	memset(e->bytes, (int)(number & 0xff), n);
	event_ring_commit(r);
	return true;
}

static uint32_t size_of(uint64_t number)
{
	return (uint32_t)(number * 2654435761u >> 7) % 70000;
}

static void take(struct event_ring *r, uint64_t number)
{
	const struct record *e = (const void *)event_ring_peek(r);
	uint32_t n = size_of(number);

	assert_non_null(e);
	assert_int_equal(e->head.bytes, SL_ALIGN_UP(sizeof *e + n, 8u));
	assert_int_equal(e->number, number);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(e->bytes[i], number & 0xff);
	event_ring_next(r);
}

static void what_goes_in_comes_out(void **state)
{
	struct event_ring *r = event_ring_create();
	uint64_t in = 0, out = 0;

	assert_null(event_ring_peek(r));
	while (in < 2000) {
		while (put(r, in, size_of(in), 0))
			in++;
		assert_true(in > out + 50); /* many times around, with every rest at the end */
		assert_true(r->head - r->tail <= EVENT_RING_BYTES);
		while (out < in - in % 7)
			take(r, out++);
	}
	while (out < in)
		take(r, out++);
	assert_null(event_ring_peek(r));
	event_ring_destroy(r);
}

static void room_is_kept(void **state)
{
	struct event_ring *r = event_ring_create();
	uint64_t n = 0;

	while (put(r, n, 1000, 1 << 20))
		n++;
	assert_true(n * 1016 > EVENT_RING_BYTES - (1 << 20) - 2000);
	assert_true(put(r, n, 1000, 0)); /* the rest of a story still fits */
	event_ring_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_goes_in_comes_out),
		cmocka_unit_test(room_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
