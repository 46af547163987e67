/* SPDX-License-Identifier: BSD-3-Clause */
/* Meters: rates and bursts over simulated time, the band that applies, remarking, commands; and the
 * MAC table's limits and shares. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/table/bridge.h"
#include "datapath/table/flow_mod.h"
#include "datapath/table/mac_table.h"
#include "datapath/table/meter.h"
#include "datapath/table/table_events.h"

static struct bridge *bridge;

static int setup(void **state)
{
	struct bridge_config c;
	struct txn t;

	bridge_config_init(&c);
	c.open = true;
	c.mac_table_size = 20;
	txn_begin(&t);
	bridge_set(&t, "br0", &c, &bridge, NULL);
	for (uint32_t i = 1; i <= 3; i++) {
		struct bridge_port_config p;

		bridge_port_config_init(&p);
		p.name[0] = (char)('a' + i);
		p.port_id = p.ofport = i;
		p.mac_limit = i == 1 ? 5 : 0;
		bridge_port_set(&t, bridge, &p, NULL);
	}
	txn_commit(&t);
	return 0;
}

static int teardown(void **state)
{
	bridge_destroy_all();
	tables_run(1);
	tables_run(1);
	return 0;
}

static int mod(const struct meter_mod *mm, uint32_t *ofp)
{
	struct txn t;
	int r;

	txn_begin(&t);
	r = meter_mod(&t, bridge, mm, ofp, NULL);
	if (r)
		txn_abort(&t);
	else
		txn_commit(&t);
	return r;
}

/* Packets that pass in `seconds` when `pps` of `bytes` bytes arrive evenly. */
static unsigned passed(struct meter *m, unsigned pps, unsigned seconds, uint32_t bytes)
{
	static uint64_t start_ns = 1000000000000ull;
	unsigned n = 0;

	start_ns += 1000000000000ull;
	for (uint64_t i = 0; i < (uint64_t)pps * seconds; i++)
		n += !meter_run(m, bytes, start_ns + i * 1000000000ull / pps);
	return n;
}

static void near(unsigned got, unsigned want)
{
	if (got + want / 50 + 1 < want || got > want + want / 50 + 1)
		fail_msg("%u is not about %u", got, want);
}

static void rates_and_bursts(void **state)
{
	struct meter_mod mm = {.command = METER_MOD_ADD,
			       .flags = METER_PKTPS | METER_BURST,
			       .id = 1,
			       .n_bands = 1,
			       .band = {{METER_BAND_DROP, 0, 1000, 100}}};
	uint32_t ofp;

	assert_int_equal(mod(&mm, &ofp), 0);
	/* 10 s at 1000/s and a burst of 100 */
	near(passed(meter_find(bridge, 1), 5000, 10, 64), 10 * 1000 + 100);
	near(passed(meter_find(bridge, 1), 900, 10, 64), 9000);
	/* 1000 kbit/s: 125 packets of 1000 bytes a second, and 8 kbit at once */
	mm = (struct meter_mod){.command = METER_MOD_MODIFY,
				.flags = METER_KBPS | METER_BURST,
				.id = 1,
				.n_bands = 1,
				.band = {{METER_BAND_DROP, 0, 1000, 80}}};
	assert_int_equal(mod(&mm, &ofp), 0);
	near(passed(meter_find(bridge, 1), 1000, 10, 1000), 1250 + 10);
	assert_int_equal(meter_find(bridge, 1)->pkts, 5000 * 10 + 900 * 10 + 1000 * 10);
}

static void highest_band_applies(void **state)
{
	struct meter_mod mm = {
		.command = METER_MOD_ADD,
		.flags = METER_PKTPS | METER_BURST,
		.id = 2,
		.n_bands = 2,
		.band = {{METER_BAND_DSCP_REMARK, 1, 10, 1}, {METER_BAND_DROP, 0, 20, 1}}};
	const struct meter_band *b;
	struct meter *m;
	unsigned dropped = 0, remarked = 0;

	assert_int_equal(mod(&mm, NULL), 0);
	m = meter_find(bridge, 2);
	for (unsigned i = 0; i < 1000; i++) {
		b = meter_run(m, 100, 1000000000ull + i * 10000000ull); /* 100/s for 10 s */
		dropped += b && b->type == METER_BAND_DROP;
		remarked += b && b->type == METER_BAND_DSCP_REMARK;
	}
	near(dropped, 800);
	near(1000 - dropped - remarked, 100);
	assert_int_equal(meter_remark_dscp(&m->band[0], 10), 12); /* AF11 to AF12 */
	assert_int_equal(meter_remark_dscp(&m->band[0], 14), 14); /* AF13 stays */
	assert_int_equal(meter_remark_dscp(&m->band[0], 46), 46); /* EF is no class of these */
}

static void commands(void **state)
{
	struct meter_mod mm = {.command = METER_MOD_ADD,
			       .flags = METER_PKTPS,
			       .id = 3,
			       .n_bands = 1,
			       .band = {{METER_BAND_DROP, 0, 10, 0}}};
	struct action_meter a = {.a = {ACTION_METER, sizeof a, 0}, .meter_id = 3};
	struct flow_mod fm;
	struct match all;
	struct txn t;
	uint32_t ofp;

	match_init(&all);
	flow_mod_init(&fm);
	fm.match = minimatch_create(&all);
	fm.actions = (const uint8_t *)&a;
	fm.actions_len = sizeof a;
	txn_begin(&t);
	assert_int_equal(flow_mod(&t, bridge, &fm, NULL, &ofp, NULL), -ENOENT);
	assert_int_equal(ofp, FM_ERR_INVALID_METER);
	txn_abort(&t);
	/* meter and rule in one transaction */
	txn_begin(&t);
	assert_int_equal(meter_mod(&t, bridge, &mm, &ofp, NULL), 0);
	assert_int_equal(flow_mod(&t, bridge, &fm, NULL, &ofp, NULL), 0);
	txn_commit(&t);
	assert_int_equal(mod(&mm, &ofp), -EEXIST);
	assert_int_equal(ofp, MM_ERR_METER_EXISTS);
	assert_int_equal(meter_ref_count(bridge, 3), 1);
	mm.id = 4;
	mm.command = METER_MOD_MODIFY;
	assert_int_equal(mod(&mm, &ofp), -ENOENT);
	mm.command = METER_MOD_ADD;
	mm.band[0].rate = 0;
	assert_int_equal(mod(&mm, &ofp), -EINVAL);
	assert_int_equal(ofp, MM_ERR_BAD_RATE);
	/* the rule goes with its meter, unless the transaction does not happen */
	mm.id = 0xffffffff;
	mm.command = METER_MOD_DELETE;
	txn_begin(&t);
	assert_int_equal(meter_mod(&t, bridge, &mm, &ofp, NULL), 0);
	txn_abort(&t);
	assert_int_equal(flow_tables_n_rules(bridge), 1);
	assert_non_null(meter_find(bridge, 3));
	assert_int_equal(mod(&mm, &ofp), 0);
	assert_int_equal(flow_tables_n_rules(bridge), 0);
	assert_null(meter_find(bridge, 3));
	free((void *)fm.match);
}

/* The table of meters shrinks below the place that a walk has reached. */
static void delete_all_of_many(void **state)
{
	struct meter_mod mm = {.command = METER_MOD_ADD,
			       .flags = METER_PKTPS,
			       .n_bands = 1,
			       .band = {{METER_BAND_DROP, 0, 10, 0}}};
	uint32_t ofp;

	for (mm.id = 1; mm.id <= 200; mm.id++)
		assert_int_equal(mod(&mm, &ofp), 0);
	mm.command = METER_MOD_DELETE;
	mm.id = 0xffffffff;
	assert_int_equal(mod(&mm, &ofp), 0);
	for (uint32_t id = 1; id <= 200; id++)
		assert_null(meter_find(bridge, id));
}

static bool learn(uint32_t port, uint8_t last)
{
	uint8_t mac[6] = {2, 0, 0, 0, (uint8_t)port, last};

	return mac_table_learn(bridge->id, mac, 7, port, false);
}

static void mac_limits_and_shares(void **state)
{
	uint32_t pos = 0, of_port1 = 0;
	const struct mac_entry *e;
	unsigned posted = 0;

	for (unsigned i = 0; i < 10; i++)
		assert_true(learn(1, (uint8_t)i));
	while (mac_table_drain(1000))
		;
	assert_int_equal(mac_table_count(bridge->macs), 5); /* the port's limit */
	for (unsigned i = 0; i < 100; i++)
		assert_true(learn(2, (uint8_t)i));
	while (mac_table_drain(1000))
		;
	assert_int_equal(mac_table_count(bridge->macs), 20); /* the bridge's */
	while ((e = mac_table_next(bridge->macs, &pos)))
		of_port1 += e->port_id == 1;
	assert_int_equal(of_port1, 5); /* nobody's entry was taken */
	/* one port's flood leaves room in the ring */
	while (learn(2, (uint8_t)posted))
		posted++;
	assert_true(posted < 1000);
	assert_true(learn(3, 1));
	while (mac_table_drain(1000))
		;
	assert_true(learn(2, 1));
	while (mac_table_drain(1000))
		;
}

static void learn_many(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_true(learn(2, (uint8_t)i));
	while (mac_table_drain(1000))
		;
	assert_int_equal(mac_table_count(bridge->macs), n);
}

static void size_macs(uint32_t n, uint32_t ageing_s)
{
	struct txn t;

	txn_begin(&t);
	mac_table_configure(&t, bridge->macs, n, ageing_s);
	txn_commit(&t);
}

static uint32_t flush_macs(void)
{
	const struct mac_filter all = {.vlan = -1};
	struct txn t;

	txn_begin(&t);
	uint32_t n = mac_table_flush(&t, bridge->macs, &all);
	txn_commit(&t);
	return n;
}

/* The table shrinks below the place that a walk has reached. */
static void flush_and_expire_all_of_many(void **state)
{
	size_macs(1000, 3);
	learn_many(200);
	assert_int_equal(flush_macs(), 200);
	assert_int_equal(mac_table_count(bridge->macs), 0);
	learn_many(200);
	mac_table_expire(bridge->macs, 5000);
	assert_int_equal(mac_table_count(bridge->macs), 0);
}

/* A table that came to its entries in another way has them in the same order. */
static void order_after_restart(void **state)
{
	uint8_t order[60][6];
	const struct mac_entry *e;
	uint32_t pos = 0;
	unsigned n = 0;
	struct txn t;

	size_macs(1000, 3);
	learn_many(200);
	flush_macs();
	learn_many(60);
	for (; (e = mac_table_next(bridge->macs, &pos)); n++)
		memcpy(order[n], e->mac, 6);
	mac_table_restart(bridge->macs);
	uint8_t again[60][6];
	pos = n = 0;
	for (; (e = mac_table_next(bridge->macs, &pos)); n++)
		memcpy(again[n], e->mac, 6);
	assert_int_equal(n, 60);
	flush_macs();
	tables_run(1);
	/* as a replay does */
	mac_table_restart(bridge->macs); /* empty */
	txn_begin(&t);
	for (unsigned i = 0; i < 60; i++) {
		struct mac_entry was = {.vlan = 7, .port_id = 2};

		memcpy(was.mac, order[i], 6);
		assert_true(mac_table_restore(&t, bridge->macs, &was));
	}
	txn_commit(&t);
	pos = 0;
	for (n = 0; (e = mac_table_next(bridge->macs, &pos)); n++)
		assert_memory_equal(again[n], e->mac, 6);
	assert_int_equal(n, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(rates_and_bursts),    T(highest_band_applies),  T(commands),
		T(delete_all_of_many),  T(mac_limits_and_shares), T(flush_and_expire_all_of_many),
		T(order_after_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
