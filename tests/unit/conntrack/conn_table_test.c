/* SPDX-License-Identifier: BSD-3-Clause */
/* Several threads insert, find and remove the same few tuples, while slots are used again: nobody
 * finds a connection that is not the one asked for, and at the end nothing is left. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "datapath/base/hash.h"
#include "datapath/conntrack/conn_memory.h"
#include "datapath/conntrack/conn_table.h"
#include "datapath/conntrack/ct_limits.h"
#include "datapath/core/rcu.h"

enum { THREADS = 3, TUPLES = 3000, ROUNDS = 150000 };

static uint64_t inserted, removed, wrong;

static struct ct_tuple tuple_of(uint32_t i)
{
	struct ct_tuple t;

	ct_tuple_set4(&t, cpu_to_be32(i), UINT32_MAX, 0, 7, 17);
	return t;
}

static void look(const struct ct_tuple *t)
{
	struct conn_node *n = conn_table_find(t);

	if (n && !ct_tuple_equal(&n->tuple, t))
		__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
}

/* Half of the time as a burst does it: looked for first, and not again when nothing came. */
static int insert(const struct ct_tuple *t, bool looked_for)
{
	struct ct_conn init = {.timeout_ms = 1000}, *c;
	struct ct_tuple r = ct_tuple_reverse(t);
	uint64_t hash = ct_tuple_hash(t);
	struct conn_absence a;

	if (!looked_for)
		return conn_table_insert(t, hash, &r, &init, &c);
	if (conn_table_look(t, hash, &a))
		return -1;
	return conn_table_insert_plain(t, hash, &a, &init, &c);
}

static void *worker(void *arg)
{
	unsigned idx = (unsigned)(uintptr_t)arg;
	uint64_t seed = idx + 1;

	rcu_thread_online(idx);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct ct_tuple t, r;
		struct conn_node *n;

		seed = hash_u64(seed + 0x9e3779b97f4a7c15ull);
		t = tuple_of((uint32_t)(seed % TUPLES));
		r = ct_tuple_reverse(&t);
		look(&r);
		if (seed >> 60 < 6) {
			n = conn_table_find(&t);
			if (n && conn_table_remove(conn_of(n)))
				__atomic_add_fetch(&removed, 1, __ATOMIC_RELAXED);
		} else if (!insert(&t, seed >> 59 & 1)) {
			__atomic_add_fetch(&inserted, 1, __ATOMIC_RELAXED);
		}
		if (i % 32 == 0)
			rcu_quiescent(idx);
	}
	conn_memory_leave();
	rcu_thread_offline(idx);
	return NULL;
}

static void threads_agree(void **state)
{
	struct conn_cursor at = {0, 0};
	struct ct_conn *c[CONN_CHUNK];
	pthread_t thread[THREADS];
	uint64_t left = 0;
	unsigned n;

	rcu_init();
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, worker, (void *)i), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(wrong, 0);
	assert_true(conn_table_check_invariants());
	while (conn_table_next(&at, c, &n))
		for (unsigned i = 0; i < n; i++, left++)
			assert_true(conn_table_remove(c[i]));
	assert_int_equal(left, inserted - removed);
	assert_true(inserted > TUPLES);
	/* Slots were used again and again: memory for no more than there were at once. */
	assert_true(conn_table_bytes() < (64u << 20));
}

/* One port makes and removes connections as fast as it can while another thread does not come to
 * the end of its burst: memory stays bounded, the port is refused, others are not. */
static void turnover_is_bounded(void **state)
{
	enum { MAX = 10000, MADE = 200000, FLOOD = 3, OTHER = 4 };
	struct ct_conn init = {.timeout_ms = 1000, .port_id = FLOOD}, *c, *victim;
	uint64_t before = conn_table_bytes();
	uint32_t made = 0;

	ct_limits_set_max(MAX);
	rcu_thread_online(1); /* and stays in its burst */
	rcu_main_enter();
	for (uint32_t i = 0; i < MADE; i++) {
		struct ct_tuple t = tuple_of(TUPLES + i), r = ct_tuple_reverse(&t);

		if (ct_limits_book(7, FLOOD, &victim) != DROP_NONE)
			continue;
		assert_int_equal(conn_table_insert(&t, ct_tuple_hash(&t), &r, &init, &c), 0);
		assert_true(conn_table_remove(c));
		ct_limits_unbook(7, FLOOD);
		made++;
	}
	assert_int_equal(ct_limits_book(7, FLOOD, &victim), DROP_CT_TURNOVER);
	assert_int_equal(ct_limits_book(7, OTHER, &victim), DROP_NONE);
	assert_true(made >= 4096 && made < 4096 + 64);
	rcu_thread_offline(1);
	assert_int_equal(ct_limits_book(7, FLOOD, &victim), DROP_CT_TURNOVER);
	rcu_main_leave();
	assert_int_equal(ct_limits_book(7, FLOOD, &victim), DROP_NONE);
	assert_true(conn_table_bytes() - before < 2 * 4096 * sizeof(struct ct_conn));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(threads_agree),
					   cmocka_unit_test(turnover_is_bounded)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
