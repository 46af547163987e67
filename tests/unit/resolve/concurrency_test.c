/* SPDX-License-Identifier: BSD-3-Clause */
/* Poll threads resolve while the main thread changes rules in two tables at once, learns and
 * forgets addresses, and frees what was replaced: a packet sees both tables before or both after a
 * change, and after version_wait() never the old ones. */
#include <pthread.h>

#include "tests/unit/resolve/rules.h"

enum { READERS = 2, CHANGES = 4000, EXTRA = 64 };

static struct bridge *br;
static uint32_t stop, wrong, too_old;
static uint64_t resolved[READERS];
/* The change that every packet of a new burst must see at least. W: main  R: readers */
static uint32_t floor_generation;

static void read_packets(struct resolver *r, unsigned idx, struct resolve_result *out)
{
	struct flow_key k = eth_packet(1, 1, 2);
	uint32_t at_least = __atomic_load_n(&floor_generation, __ATOMIC_ACQUIRE);
	struct resolve_request req = {.key = &k, .now_ms = test_now_ms, .side_effects = true};

	req.version = version_burst_begin(idx);
	for (unsigned i = 0; i < 32; i++) {
		struct run run;
		uint32_t generation = 0;

		k.eth_src[5] = (uint8_t)i;
		k.ip_dst = cpu_to_be32(0x0a000000 + i % EXTRA);
		resolve(r, &req, out);
		run_program(&run, &out->prog, &k);
		if (run.n != 1 || run.out[0].port != 2) {
			__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
			continue;
		}
		generation = be32_to_cpu(run.out[0].key.ip_src);
		if (generation < at_least)
			__atomic_add_fetch(&too_old, 1, __ATOMIC_RELAXED);
		resolved[idx]++;
	}
	rcu_quiescent(idx);
}

static void *reader(void *arg)
{
	unsigned idx = (unsigned)(uintptr_t)arg;
	struct resolver *r = resolver_create(idx);
	struct resolve_result *out = calloc(1, sizeof *out);

	rcu_thread_online(idx);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		read_packets(r, idx, out);
	version_idle(idx);
	rcu_thread_offline(idx);
	resolver_destroy(r);
	free(out);
	return NULL;
}

static void put(struct txn *t, uint8_t command, const char *match_text, const char *actions)
{
	struct flow_mod fm;
	struct action_buf buf = {0};
	struct match m;
	struct err e = {0};

	flow_mod_init(&fm);
	fm.command = command;
	if (match_parse(match_text, NULL, rule_key, &fm, &m, &e) ||
	    actions_parse(actions, NULL, &buf, &e))
		fail_msg("%s", e.text);
	fm.match = minimatch_create(&m);
	fm.actions = buf.data;
	fm.actions_len = (uint32_t)buf.len;
	if (flow_mod(t, br, &fm, NULL, NULL, &e))
		fail_msg("%s", e.text);
	free((void *)fm.match);
	action_buf_free(&buf);
}

/* Table 0 says the generation, table 1 knows only that one. */
static uint64_t change(uint32_t generation)
{
	char actions[200], match[100];
	struct txn t;

	txn_begin(&t);
	snprintf(actions, sizeof actions,
		 "load:%u->NXM_NX_REG0[],set_field:0.0.0.0->ip_src,load:%u->NXM_OF_IP_SRC[],"
		 "resubmit(,1)",
		 generation, generation);
	put(&t, FLOW_MOD_ADD, "table=0,priority=10,ip", actions);
	snprintf(match, sizeof match, "table=1,priority=10,reg0=%u", generation - 1);
	put(&t, FLOW_MOD_DELETE_STRICT, match, "");
	snprintf(match, sizeof match, "table=1,priority=10,reg0=%u", generation);
	put(&t, FLOW_MOD_ADD, match, "output:2");
	/* Others come and go around them, with masks of their own. */
	snprintf(match, sizeof match, "table=1,priority=%u,ip,nw_dst=10.0.%u.%u/%u",
		 20 + generation % 7, generation % 3 + 1, generation % EXTRA, 24 + generation % 9);
	put(&t, generation & 64 ? FLOW_MOD_DELETE_STRICT : FLOW_MOD_ADD, match, "drop");
	return txn_commit(&t);
}

static void readers_see_all_or_nothing(void **state)
{
	pthread_t threads[READERS];
	struct txn t;
	uint64_t v;

	rcu_init();
	br = make_bridge("br0");
	for (uint32_t i = 1; i <= 3; i++)
		add_plain(br, i);
	txn_begin(&t);
	put(&t, FLOW_MOD_ADD, "table=1,priority=1", "output:3");
	txn_commit(&t);
	version_wait(change(1));
	for (uintptr_t i = 0; i < READERS; i++)
		pthread_create(&threads[i], NULL, reader, (void *)i);
	for (uint32_t g = 2; g < CHANGES; g++) {
		v = change(g);
		if (g % 16 == 0) {
			version_wait(v);
			__atomic_store_n(&floor_generation, g, __ATOMIC_RELEASE);
		}
		tables_run(test_now_ms);
		rcu_run(1000);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(wrong, 0);
	assert_int_equal(too_old, 0);
	for (unsigned i = 0; i < READERS; i++)
		assert_true(resolved[i] > 1000);
	bridge_destroy_all();
	for (unsigned i = 0; i < 4; i++) {
		tables_run(test_now_ms);
		rcu_run(100000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_see_all_or_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
