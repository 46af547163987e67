/* SPDX-License-Identifier: BSD-3-Clause */
/* Pieces never overlap, come back through any thread, and are used again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/cache/info_pool.h"

enum { PIECES = 20000, HEAD = sizeof(struct info_piece) };

static struct {
	uint8_t *p;
	size_t n;
} held[PIECES];

static size_t size_of(unsigned i)
{
	return HEAD + 1 + i * 37 % 2600; /* the biggest do not fit any class */
}

static void fill(unsigned i)
{
	memset(held[i].p + HEAD, (int)(i & 0xff), held[i].n - HEAD);
}

static void check(unsigned i)
{
	for (size_t b = HEAD; b < held[i].n; b++)
		assert_int_equal(held[i].p[b], i & 0xff);
}

static void pieces_do_not_overlap(void **state)
{
	struct info_pool *p;

	assert_int_equal(info_pool_create(&p), 0);
	for (unsigned round = 0; round < 3; round++) {
		info_pool_prepare(p);
		for (unsigned i = 0; i < PIECES; i++) {
			held[i].n = size_of(i + round);
			held[i].p = info_pool_get(p, held[i].n);
			assert_non_null(held[i].p);
			assert_int_equal((uintptr_t)held[i].p % 64, 0);
			fill(i);
		}
		for (unsigned i = 0; i < PIECES; i++) {
			check(i);
			info_pool_put(p, held[i].p);
		}
	}
	info_pool_destroy(p);
}

static void a_piece_is_used_again(void **state)
{
	struct info_pool *p;
	void *first;

	assert_int_equal(info_pool_create(&p), 0);
	first = info_pool_get(p, 300);
	info_pool_put(p, first);
	assert_ptr_equal(info_pool_get(p, 310), first);
	info_pool_destroy(p);
}

static void *give_back(void *aux)
{
	struct info_pool *p = aux;

	for (unsigned i = 0; i < PIECES; i++) {
		void *x;

		while (!(x = __atomic_exchange_n(&held[i].p, NULL, __ATOMIC_ACQUIRE)))
			;
		info_pool_put(p, x);
		if (i % 512 == 0)
			info_pool_prepare(p);
	}
	return NULL;
}

static void another_thread_gives_back(void **state)
{
	struct info_pool *p;
	pthread_t t;

	memset(held, 0, sizeof held);
	assert_int_equal(info_pool_create(&p), 0);
	assert_int_equal(pthread_create(&t, NULL, give_back, p), 0);
	for (unsigned i = 0; i < PIECES; i++) {
		uint8_t *x = info_pool_get(p, size_of(i));

		assert_non_null(x);
		memset(x + HEAD, 0x55, size_of(i) - HEAD);
		__atomic_store_n(&held[i].p, x, __ATOMIC_RELEASE);
	}
	pthread_join(t, NULL);
	info_pool_destroy(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_do_not_overlap),
		cmocka_unit_test(a_piece_is_used_again),
		cmocka_unit_test(another_thread_gives_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
