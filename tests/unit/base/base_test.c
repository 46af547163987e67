/* SPDX-License-Identifier: BSD-3-Clause */
/* The containers and helpers of datapath/base. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "datapath/base/err.h"
#include "datapath/base/hash.h"
#include "datapath/base/hmap.h"
#include "datapath/base/list.h"
#include "datapath/base/log.h"
#include "datapath/base/str.h"
#include "datapath/base/vec.h"

LOG_MODULE(base_test);

struct item {
	struct hmap_node node;
	struct list link;
	int value;
};

static void hmap_keeps_what_was_inserted(void **state)
{
	struct hmap m = {0};
	enum { N = 5000 };
	struct item *items = calloc(N, sizeof *items);

	for (int i = 0; i < N; i++) {
		items[i].value = i;
		hmap_insert(&m, &items[i].node, hash_u64((uint64_t)i));
	}
	for (int i = 0; i < N; i += 2)
		hmap_remove(&m, &items[i].node);
	assert_int_equal(m.count, N / 2);
	for (int i = 0; i < N; i++) {
		bool found = false;

		HMAP_FOR_EACH_WITH_HASH (it, struct item, node, hash_u64((uint64_t)i), &m)
			found |= it->value == i;
		assert_int_equal(found, i % 2);
	}
	size_t seen = 0;
	HMAP_FOR_EACH_SAFE (it, struct item, node, &m) {
		hmap_remove(&m, &it->node);
		seen++;
	}
	assert_int_equal(seen, N / 2);
	assert_null(hmap_first(&m));
	hmap_destroy(&m);
	free(items);
}

static void siphash_has_its_published_shape(void **state)
{
	/* Different keys, lengths and bytes give different values; equal input the same. */
	const uint64_t k1[2] = {1, 2}, k2[2] = {1, 3};

	assert_true(hash_bytes_keyed("abc", 3, k1) == hash_bytes_keyed("abc", 3, k1));
	assert_true(hash_bytes_keyed("abc", 3, k1) != hash_bytes_keyed("abc", 3, k2));
	assert_true(hash_bytes_keyed("abc", 3, k1) != hash_bytes_keyed("abc\0", 4, k1));
	assert_true(hash_bytes_keyed("", 0, k1) != hash_bytes_keyed("\0", 1, k1));
}

static void lists_keep_order(void **state)
{
	struct list l;
	struct item a = {.value = 1}, b = {.value = 2}, c = {.value = 3};
	int sum = 0;

	list_init(&l);
	list_push_back(&l, &b.link);
	list_push_front(&l, &a.link);
	list_push_back(&l, &c.link);
	LIST_FOR_EACH_SAFE (it, struct item, link, &l) {
		sum = sum * 10 + it->value;
		list_remove(&it->link);
	}
	assert_int_equal(sum, 123);
	assert_true(list_is_empty(&l));
}

static void strings_and_vectors_grow(void **state)
{
	struct str s = STR_INIT;
	VEC(int) v = {0};

	for (int i = 0; i < 1000; i++) {
		str_printf(&s, "%d,", i);
		vec_push(&v, i);
	}
	str_chomp(&s, ',');
	assert_string_equal(s.s + s.len - 4, ",999");
	vec_remove(&v, 0);
	vec_swap_remove(&v, 0);
	assert_int_equal(v.at[0], 999);
	assert_int_equal(v.len, 998);
	str_free(&s);
	vec_free(&v);
}

static void the_first_error_stays(void **state)
{
	struct err e = {0};

	assert_int_equal(err_set(&e, EINVAL, "port %s: no such type", "p1"), -EINVAL);
	err_set(&e, ENOENT, "later");
	err_prefix(&e, "net.yaml:%d", 7);
	assert_string_equal(e.text, "net.yaml:7: port p1: no such type");
	assert_int_equal(e.code, EINVAL);
}

static void numbers_parse_strictly(void **state)
{
	uint64_t v;

	assert_true(parse_u64("0x10", 0, 100, &v) && v == 16);
	assert_false(parse_u64("101", 10, 100, &v));
	assert_false(parse_u64("-1", 10, 100, &v));
	assert_false(parse_u64("", 10, 100, &v));
	assert_false(parse_u64(" 1", 10, 100, &v));
	assert_false(parse_u64("1x", 10, 100, &v));
}

static void log_levels_follow_the_spec(void **state)
{
	struct err e = {0};

	assert_int_equal(log_set_levels("base_test:dbg", &e), 0);
	assert_int_equal(log_this_module.level, LOG_DBG);
	assert_int_equal(log_set_levels("ANY:file:info", &e), 0);
	assert_int_equal(log_this_module.to_console, LOG_DBG);
	assert_int_equal(log_this_module.to_file, LOG_INFO);
	assert_int_equal(log_set_levels("console:off", &e), 0);
	assert_int_equal(log_set_levels("file:dbg", &e), 0);
	assert_int_equal(log_this_module.to_console, LOG_OFF);
	assert_int_equal(log_this_module.level, LOG_DBG);
	assert_int_equal(log_set_levels("nonsense:info", &e), -EINVAL);
	assert_int_equal(log_set_levels("base_test:off", &(struct err){0}), 0);
	log_err("not shown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hmap_keeps_what_was_inserted),
		cmocka_unit_test(siphash_has_its_published_shape),
		cmocka_unit_test(lists_keep_order),
		cmocka_unit_test(strings_and_vectors_grow),
		cmocka_unit_test(the_first_error_stays),
		cmocka_unit_test(numbers_parse_strictly),
		cmocka_unit_test(log_levels_follow_the_spec),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
