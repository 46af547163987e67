/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory of drops: what a flood may push out and what it may not, and the names of numbers that
 * were used again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <rte_cycles.h>

#include "datapath/core/drop_memory.h"
#include "datapath/core/past_names.h"

static unsigned thread; /* each test has a memory of its own */

static void note(uint32_t port, enum drop_reason why, uint32_t tag)
{
	drop_memory_note(thread, &(struct drop_note){.why = why,
						     .port_id = port,
						     .from_port = port,
						     .count = 1,
						     .pkt_len = tag});
}

static unsigned kept(uint32_t port, enum drop_reason why, uint32_t *newest)
{
	struct dropped_packet p;
	unsigned n = 0;
	uint64_t last = 0;

	for (unsigned i = 0; i < DROP_MEMORY_PACKETS; i++)
		if (drop_memory_read(thread, i, &p) && p.port_id == port && p.reason == why) {
			n++;
			if (newest && p.tsc >= last)
				*newest = p.pkt_len;
			last = SL_MAX(last, p.tsc);
		}
	return n;
}

static int begin(void **state)
{
	thread++;
	return drop_memory_thread_create(thread);
}

static void a_flood_pushes_out_itself_only(void **state)
{
	uint32_t newest = 0;

	for (uint32_t i = 0; i < 40; i++) {
		note(1, DROP_TABLE_MISS, i);
		drop_memory_tick(thread);
	}
	for (uint32_t ms = 0; ms < 4000; ms++) {
		for (uint32_t i = 0; i < 100; i++)
			note(2, DROP_NO_ACTIONS, ms);
		drop_memory_tick(thread);
	}
	drop_memory_check_invariants(thread);
	assert_int_equal(kept(1, DROP_TABLE_MISS, &newest), 40);
	assert_int_equal(newest, 39);
	assert_true(kept(2, DROP_NO_ACTIONS, &newest) >
		    DROP_MEMORY_PACKETS - 3 * DROP_MEMORY_CHUNK);
	assert_int_equal(newest, 3999);
}

static void of_a_millisecond_only_some(void **state)
{
	for (uint32_t i = 0; i < 1000; i++)
		note(1, DROP_TABLE_MISS, i);
	assert_int_equal(kept(1, DROP_TABLE_MISS, NULL), DROPS_PER_MS);
	/* Many kinds at once leave one for each. */
	for (uint32_t port = 2; port < 102; port++)
		for (uint32_t i = 0; i < 100; i++)
			note(port, DROP_TABLE_MISS, i);
	for (uint32_t port = 2; port < 102; port++)
		assert_in_range(kept(port, DROP_TABLE_MISS, NULL), 1, DROPS_PER_MS);
	assert_int_equal(kept(101, DROP_TABLE_MISS, NULL), 1);
	drop_memory_tick(thread);
	note(1, DROP_TABLE_MISS, 7);
	assert_int_equal(kept(1, DROP_TABLE_MISS, NULL), DROPS_PER_MS + 1);
	drop_memory_check_invariants(thread);
}

static void more_kinds_than_there_is_room_for(void **state)
{
	uint32_t newest;

	for (uint32_t round = 0; round < 3; round++)
		for (uint32_t port = 1; port < 1000; port++) {
			for (uint32_t i = 0; i < 5; i++)
				note(port, port % 2 ? DROP_TABLE_MISS : DROP_NO_ACTIONS, i);
			drop_memory_tick(thread);
			if (port % 100 == 0)
				drop_memory_check_invariants(thread);
		}
	drop_memory_check_invariants(thread);
	newest = 0;
	assert_int_equal(kept(999, DROP_TABLE_MISS, &newest), 5);
	assert_int_equal(newest, 4);
}

static void a_flood_makes_room_for_other_floods(void **state)
{
	unsigned least = DROP_MEMORY_PACKETS;

	for (uint32_t ms = 0; ms < 20000; ms++) {
		uint32_t port = ms < 2000 ? 1 : ms % 8 + 1;

		for (uint32_t i = 0; i < 20; i++)
			note(port, DROP_TABLE_MISS, ms);
		drop_memory_tick(thread);
	}
	drop_memory_check_invariants(thread);
	for (uint32_t port = 1; port <= 8; port++)
		least = SL_MIN(least, kept(port, DROP_TABLE_MISS, NULL));
	assert_true(least >= DROP_MEMORY_PACKETS / 8 - 2 * DROP_MEMORY_CHUNK);
}

static void a_thread_without_memory(void **state)
{
	struct dropped_packet p;

	drop_memory_note(40, &(struct drop_note){.why = DROP_TABLE_MISS});
	drop_memory_tick(40);
	assert_false(drop_memory_read(40, 0, &p));
}

static void names_of_numbers(void **state)
{
	uint64_t before = rte_rdtsc(), first, second;

	past_name_set(PAST_PORT, 7, "web");
	first = rte_rdtsc();
	past_name_set(PAST_PORT, 7, "web");
	past_name_set(PAST_BRIDGE, 7, "br0");
	past_name_set(PAST_PORT, 7, "db");
	second = rte_rdtsc();
	assert_string_equal(past_name_at(PAST_PORT, 7, before), "");
	assert_string_equal(past_name_at(PAST_PORT, 7, first), "web");
	assert_string_equal(past_name_at(PAST_PORT, 7, second), "db");
	past_name_set(PAST_PORT, 7, "mail");
	assert_string_equal(past_name_at(PAST_PORT, 7, first), "");
	assert_string_equal(past_name_at(PAST_PORT, 7, second), "db");
	assert_string_equal(past_name_at(PAST_BRIDGE, 7, second), "br0");
	assert_string_equal(past_name_at(PAST_PORT, PORT_ID_MAX, second), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_flood_pushes_out_itself_only, begin),
		cmocka_unit_test_setup(of_a_millisecond_only_some, begin),
		cmocka_unit_test_setup(more_kinds_than_there_is_room_for, begin),
		cmocka_unit_test_setup(a_flood_makes_room_for_other_floods, begin),
		cmocka_unit_test(a_thread_without_memory),
		cmocka_unit_test(names_of_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
