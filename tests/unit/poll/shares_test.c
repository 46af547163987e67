/* SPDX-License-Identifier: BSD-3-Clause */
/* What a real poll thread charges to whom. Ports here always have packets and say how long a look
 * at one of their queues takes; what is asserted are shares of the cycles that the thread itself
 * counts, so the machine may be busy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_cycles.h>
#include <rte_eal.h>

#include "datapath/base/clock.h"
#include "datapath/core/pool.h"
#include "datapath/core/rcu.h"
#include "datapath/core/thread.h"
#include "datapath/poll/poll.h"
#include "datapath/port/port_priv.h"

enum { PORTS = 3 };
static const uint64_t enough_tsc = 600 * 1000 * 1000; /* many times what a queue may owe */

struct fake { /* W: main, while the thread has no queue of it */
	uint64_t look_tsc;
	unsigned packets; /* of a look; 0: it throws them away */
};
static struct fake fake[PORTS + 1];
static struct port *ports[PORTS + 1];

static uint16_t rx_burst(struct port *p, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	static const uint8_t frame[64] = {6, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x12, 0x34};
	struct fake *f = p->priv;
	uint64_t until = rte_rdtsc() + f->look_tsc;
	uint16_t got = 0;

	while (rte_rdtsc() < until)
		;
	while (got < SL_MIN(f->packets, n) && (pkts[got] = pool_from_bytes(frame, sizeof frame)))
		got++;
	if (!f->packets)
		port_rx_drop(p, DROP_RX_VHOST_BAD_CHAIN, 1, 0);
	return got;
}

static uint16_t tx_burst(struct port *p, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	rte_pktmbuf_free_bulk(pkts, n);
	return n;
}

static const struct port_class fake_class = {
	.type = "fake",
	.rx_burst = rx_burst,
	.tx_burst = tx_burst,
};

static void add(uint32_t id, unsigned n_queues, uint64_t look_tsc, unsigned packets)
{
	struct err e = {0};
	struct port *p = aligned_alloc(SL_CACHE_LINE, SL_ALIGN_UP(sizeof *p, SL_CACHE_LINE));

	memset(p, 0, sizeof *p);
	fake[id] = (struct fake){look_tsc, packets};
	p->class = &fake_class;
	p->id = id;
	p->n_rxq = (uint16_t)n_queues;
	p->n_txq = 1;
	p->priv = &fake[id];
	snprintf(p->name, sizeof p->name, "p%u", id);
	ports[id] = p;
	assert_int_equal(counters_port_create(id), 0);
	assert_int_equal(poll_port_add(p, NULL, &e), 0);
}

static void passed(void *flag)
{
	*(bool *)flag = true;
}

/* Two grace periods: the thread has let go of a port that was removed. */
static void let_go(void)
{
	for (unsigned i = 0; i < 2; i++) {
		bool over = false;

		rcu_defer(passed, &over);
		while (!over) {
			rcu_run(1000);
			usleep(1000);
		}
	}
}

static int remove_all(void **state)
{
	for (uint32_t id = 1; id <= PORTS; id++) {
		if (!ports[id])
			continue;
		poll_port_remove(ports[id]);
		let_go();
		counters_port_destroy(id);
		free(ports[id]);
		ports[id] = NULL;
	}
	return 0;
}

static uint64_t cycles_of(uint32_t id)
{
	static struct poll_thread_info t;
	uint64_t sum = 0;

	assert_true(poll_thread_info(0, &t));
	for (unsigned q = 0; q < t.n_rxq; q++)
		if (t.rxq[q].port_id == id)
			sum += t.rxq[q].cycles;
	return sum;
}

/* Of the cycles of ports 1 and 2 the first one's, in percent. */
static unsigned share_of_first(void)
{
	uint64_t a = cycles_of(1), b = cycles_of(2), until = clock_mono_ms() + 60000, da, db;

	do {
		usleep(1000);
		da = cycles_of(1) - a;
		db = cycles_of(2) - b;
		assert_true(clock_mono_ms() < until);
	} while (da + db < enough_tsc);
	return (unsigned)(da * 100 / (da + db));
}

static void dear_packets_take_half(void **state)
{
	add(1, 1, 500, BURST_MAX);
	add(2, 1, 50000, BURST_MAX);
	assert_in_range(share_of_first(), 44, 56);
}

/* A guest has no more time because it has more queues. */
static void queues_share_their_ports_time(void **state)
{
	add(1, 1, 1000, BURST_MAX);
	add(2, 6, 1000, BURST_MAX);
	assert_in_range(share_of_first(), 44, 56);
}

/* … and no less when all but one are silent. */
static void a_silent_queue_earns_nothing(void **state)
{
	add(1, 1, 1000, BURST_MAX);
	add(2, 5, 1000, BURST_MAX);
	__atomic_store_n(&ports[2]->n_rxq, 1, __ATOMIC_RELEASE); /* the others are disabled */
	assert_in_range(share_of_first(), 44, 56);
}

static void weights_are_of_ports(void **state)
{
	add(1, 4, 1000, BURST_MAX);
	add(2, 1, 1000, BURST_MAX);
	poll_port_set_weight(1, 3 * POLL_WEIGHT_DEFAULT);
	assert_in_range(share_of_first(), 68, 82);
}

/* Chains that are thrown away inside the port are no packets, but time. */
static void what_is_thrown_away_costs(void **state)
{
	add(1, 1, 500, BURST_MAX);
	add(2, 1, 20000, 0);
	assert_in_range(share_of_first(), 44, 56);
}

/* Packets of a port that were received: found, or resolved. What its rate refuses is neither. */
static uint64_t received(uint32_t id)
{
	struct port_counters c;

	counters_sum(id, &c);
	return c.cache_hits + c.misses;
}

/* Beside another flood, what waits for a flooding port's rate gets this rate, from the port's own
 * share. */
static void waiting_packets_are_served(void **state)
{
	enum { PPS = 2000, ENOUGH = 1000, DEPTH = 64 };
	uint64_t since = clock_mono_ms(), until = since + 60000;

	poll_port_set_rate(1, 0, PPS, 10);
	add(1, 1, 1000, BURST_MAX);
	add(2, 1, 1000, BURST_MAX);
	/* A burst is a small part of a share: both are paid off, and used up, in every round. */
	poll_port_set_weight(1, POLL_WEIGHT_MAX);
	poll_port_set_weight(2, POLL_WEIGHT_MAX);
	assert_in_range(share_of_first(), 44, 56);
	while (received(1) < ENOUGH) {
		assert_true(clock_mono_ms() < until);
		usleep(1000);
	}
	uint64_t got = received(1), ms = clock_mono_ms() - since + 1;

	print_message("%u received in %u ms\n", (unsigned)got, (unsigned)ms);
	assert_true(got <= PPS * ms / 1000 + DEPTH);
	poll_port_set_rate(1, 0, 0, 0);
}

static int start(void **state)
{
	struct err e = {0};
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	const uint16_t core = (uint16_t)(cores - 1);

	rcu_init();
	return pool_init(8192, &e) || poll_init(&e) || poll_set_cores(&core, 1, &e) ? -1 : 0;
}

static int stop(void **state)
{
	poll_stop();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(dear_packets_take_half, remove_all),
		cmocka_unit_test_teardown(queues_share_their_ports_time, remove_all),
		cmocka_unit_test_teardown(a_silent_queue_earns_nothing, remove_all),
		cmocka_unit_test_teardown(weights_are_of_ports, remove_all),
		cmocka_unit_test_teardown(what_is_thrown_away_costs, remove_all),
		cmocka_unit_test_teardown(waiting_packets_are_served, remove_all),
	};
	char *argv[] = {"test",        "--no-huge",      "-m", "64", "--no-pci",
			"--no-shconf", "--no-telemetry", "-l", "0",  "--log-level=4"};

	if (rte_eal_init(10, argv) < 0)
		return 1;
	return cmocka_run_group_tests(tests, start, stop);
}
