/* SPDX-License-Identifier: BSD-3-Clause */
/* When a queue of a real poll thread gets its turn: after the thread's core was taken away in the
 * middle of a burst, beside silent queues, and while the thread is about to sleep. Ports here are
 * a counter of packets and an eventfd; what is asserted are iterations, not times, except where the
 * fault is a sleep. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_eal.h>

#include "datapath/base/clock.h"
#include "datapath/core/pool.h"
#include "datapath/core/rcu.h"
#include "datapath/poll/poll.h"
#include "datapath/port/port.h"

enum {
	PORTS = 256,
	MORE_PORTS = 5,
	LARGEST = 65535 + 14 + 8, /* bytes */
	STALL_MS = 100,
	HOUSEKEEPING_MS = 500, /* how long a thread sleeps that missed a call */
};

struct fake {             /* a port's device */
	unsigned waiting; /* packets; atomic */
	int wake;
	unsigned stall_ms; /* of the next burst; W: main before waiting */
	bool large;        /* the packet: W: main before waiting */
};
static struct fake fake[PORTS + MORE_PORTS + 1];
static struct port *ports[PORTS + MORE_PORTS + 1];

/* The thread is held in rx_arm, that is between its last look at its queues and its sleep. */
static enum { FREE, WANTED, HELD } hold; /* W: main FREE → WANTED → FREE; thread → HELD */
static struct fake *arrives;             /* … or a packet arrives there then */
/* W: thread: calls of rx_arm(); when that packet came; at the last burst */
static unsigned n_armed, armed_before, armed_now;

static void put(struct fake *f)
{
	__atomic_add_fetch(&f->waiting, 1, __ATOMIC_SEQ_CST);
	assert_int_equal(eventfd_write(f->wake, 1), 0);
}

static uint16_t rx_burst(struct port *p, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	static const uint8_t frame[LARGEST] = {6, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x12, 0x34};
	struct fake *f = p->priv;

	if (!__atomic_load_n(&f->waiting, __ATOMIC_SEQ_CST))
		return 0;
	__atomic_sub_fetch(&f->waiting, 1, __ATOMIC_SEQ_CST);
	armed_now = n_armed;
	usleep(f->stall_ms * 1000);
	f->stall_ms = 0;
	pkts[0] = pool_from_bytes(frame, f->large ? LARGEST : 64);
	return pkts[0] != NULL;
}

static uint16_t tx_burst(struct port *p, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	rte_pktmbuf_free_bulk(pkts, n);
	return n;
}

static int rx_fd(struct port *p, uint16_t q)
{
	return ((struct fake *)p->priv)->wake;
}

static bool rx_arm(struct port *p, uint16_t q)
{
	struct fake *f = p->priv;
	eventfd_t n;

	(void)!eventfd_read(f->wake, &n);
	n_armed++;
	if (p->id == PORTS && __atomic_load_n(&hold, __ATOMIC_SEQ_CST) == WANTED) {
		__atomic_store_n(&hold, HELD, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&hold, __ATOMIC_SEQ_CST) == HELD)
			sched_yield();
	}
	if (__atomic_load_n(&arrives, __ATOMIC_SEQ_CST) == f) {
		put(f);
		armed_before = n_armed;
		__atomic_store_n(&arrives, NULL, __ATOMIC_SEQ_CST);
	}
	return !__atomic_load_n(&f->waiting, __ATOMIC_SEQ_CST);
}

static void rx_disarm(struct port *p, uint16_t q)
{
	eventfd_t n;

	(void)!eventfd_read(((struct fake *)p->priv)->wake, &n);
}

static const struct port_class fake_class = {
	.type = "fake",
	.rx_burst = rx_burst,
	.tx_burst = tx_burst,
	.rx_fd = rx_fd,
	.rx_arm = rx_arm,
	.rx_disarm = rx_disarm,
};

static void add(uint32_t id)
{
	struct fake *f = &fake[id];
	struct err e = {0};
	struct port *p = aligned_alloc(SL_CACHE_LINE, SL_ALIGN_UP(sizeof *p, SL_CACHE_LINE));

	memset(p, 0, sizeof *p);
	f->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	p->class = &fake_class;
	p->id = id;
	p->n_rxq = p->n_txq = 1;
	p->priv = f;
	snprintf(p->name, sizeof p->name, "p%u", id);
	ports[id] = p;
	assert_int_equal(counters_port_create(id), 0);
	assert_int_equal(poll_port_add(p, NULL, &e), 0);
}

static uint64_t received(uint32_t id)
{
	return __atomic_load_n(&counters_of(0, id)->rx_pkts, __ATOMIC_RELAXED);
}

static struct poll_thread_info thread(void)
{
	struct poll_thread_info i;

	assert_true(poll_thread_info(0, &i));
	return i;
}

static void wait_for(uint32_t id, uint64_t n)
{
	uint64_t until = clock_mono_ms() + 20000;

	while (received(id) < n) {
		if (clock_mono_ms() > until)
			fail_msg("port %u: a packet stays in its queue", id);
		sched_yield();
	}
}

/* Packets until the thread has nothing to do with and has slept. */
static void let_sleep(void)
{
	uint64_t sleeps = thread().sleeps;

	while (thread().sleeps == sleeps) {
		put(&fake[1]);
		usleep(2000);
	}
}

/* The thread's core is somebody else's for a while in the middle of a burst. That is not the
 * queue's debt: its next packet, after it has been silent, does not wait for a hundred thousand
 * rounds, nor does it earn more slowly than queues that are polled every time. */
static void a_stall_is_not_paid_for(void **state)
{
	for (unsigned round = 0; round < 3; round++) {
		uint32_t id = 100 + round;
		uint64_t before = received(id), iterations;

		fake[id].stall_ms = STALL_MS;
		put(&fake[id]);
		wait_for(id, before + 1);
		usleep(15000); /* it is silent now */
		iterations = thread().iterations;
		put(&fake[id]);
		wait_for(id, before + 2);
		iterations = thread().iterations - iterations;
		if (iterations > 50000)
			fail_msg("%lu iterations until its turn", iterations);
	}
}

/* What the thread finds when it wants to sleep is polled next, among however many queues. */
static void found_when_falling_asleep(void **state)
{
	for (unsigned round = 0; round < 20; round++) {
		uint32_t id = 5 + 12 * round;
		uint64_t before = received(id);

		__atomic_store_n(&arrives, &fake[id], __ATOMIC_SEQ_CST);
		put(&fake[1]);
		wait_for(id, before + 1);
		assert_null(__atomic_load_n(&arrives, __ATOMIC_SEQ_CST));
		assert_in_range(armed_now - armed_before, 0, PORTS);
	}
}

/* A port comes, with a packet in its queue, when the thread has made its list of descriptors and is
 * not asleep yet: it sleeps neither over the port nor over its packet. */
static void a_call_while_falling_asleep(void **state)
{
	for (uint32_t id = PORTS + 1; id <= PORTS + MORE_PORTS; id++) {
		let_sleep();
		__atomic_store_n(&hold, WANTED, __ATOMIC_SEQ_CST);
		put(&fake[1]);
		while (__atomic_load_n(&hold, __ATOMIC_SEQ_CST) != HELD)
			sched_yield();
		fake[id].waiting = 1;
		add(id);
		__atomic_store_n(&hold, FREE, __ATOMIC_SEQ_CST);
		uint64_t since = clock_mono_ms();
		wait_for(id, 1);
		assert_in_range(clock_mono_ms() - since, 0, HOUSEKEEPING_MS / 2);
	}
}

/* Short bursts here and there, each when the thread may be asleep, awake, or in between. */
static void bursts(void **state)
{
	uint64_t sent[PORTS + 1] = {0};
	unsigned at = 1;

	for (uint32_t id = 1; id <= PORTS; id++)
		sent[id] = received(id) + fake[id].waiting;
	for (unsigned i = 0; i < 3000; i++) {
		at = at * 1103515245 + 12345;
		uint32_t id = 2 + (at >> 16) % (PORTS - 2);

		for (unsigned n = 1 + i % 3; n; n--, sent[id]++)
			put(&fake[id]);
		if (i % 4 == 0)
			wait_for(id, sent[id]);
		if (i % 8 == 0)
			usleep(150 + (at >> 8) % 100); /* the thread sleeps after 200 */
	}
	for (uint32_t id = 2; id <= PORTS; id++)
		wait_for(id, sent[id]);
	assert_true(thread().sleeps > 10);
}

/* What waits for its rate has its turn however large the packet and low the rate, and however many
 * ports have a rate. */
static void rates(void **state)
{
	struct port_counters c;

	for (uint32_t id = 1; id <= PORTS + MORE_PORTS; id++) {
		uint64_t before = received(id);

		poll_port_set_rate(id, 1000000, 0, 0);
		fake[id].large = true;
		put(&fake[id]);
		wait_for(id, before + 1);
		counters_sum(id, &c);
		assert_int_equal(c.drop[DROP_POLICY_LIMIT_OUT], 0);
	}
}

static int start(void **state)
{
	struct err e = {0};
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	const uint16_t core = (uint16_t)(cores - 1);

	rcu_init();
	if (pool_init(8192, &e) || poll_init(&e) || poll_set_cores(&core, 1, &e))
		return -1;
	for (uint32_t id = 1; id <= PORTS; id++)
		add(id);
	return 0;
}

static int stop(void **state)
{
	poll_stop();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stall_is_not_paid_for),
		cmocka_unit_test(found_when_falling_asleep),
		cmocka_unit_test(a_call_while_falling_asleep),
		cmocka_unit_test(bursts),
		cmocka_unit_test(rates),
	};
	char *argv[] = {"test",        "--no-huge",      "-m", "64", "--no-pci",
			"--no-shconf", "--no-telemetry", "-l", "0",  "--log-level=4"};

	if (rte_eal_init(10, argv) < 0)
		return 1;
	return cmocka_run_group_tests(tests, start, stop);
}
