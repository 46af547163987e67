/* SPDX-License-Identifier: BSD-3-Clause */
/* Drops of moments and of memory that runs out, which a running switch sees once a year: a poll
 * thread without a loop (as in a replay), whose iterations are made here, one by one, so that the
 * moment can be chosen. Each test counts what is lost at a port, and that nothing else is. */
#include <errno.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "datapath/conntrack/conntrack.h"
#include "datapath/core/pool.h"
#include "datapath/core/rcu.h"
#include "datapath/observe/record.h"
#include "datapath/poll/poll_priv.h"
#include "datapath/port/port.h"
#include "tests/unit/resolve/rules.h"

enum { PORTS = 4, UPCALLS_HELD = 4095 };

static struct record_play play;
static struct port *ports[PORTS + 1];
static struct bridge *br;
static bool no_memory;

/* Memory runs out when a test says so. */
void *aligned_alloc(size_t align, size_t n)
{
	return no_memory ? NULL : memalign(align, n);
}

int posix_memalign(void **p, size_t align, size_t n)
{
	*p = aligned_alloc(align, n);
	return *p ? 0 : ENOMEM;
}

void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t ofs)
{
	if (!no_memory)
		return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, ofs);
	errno = ENOMEM;
	return MAP_FAILED;
}

static uint16_t rx_burst(struct port *p, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	return 0;
}

static uint16_t tx_burst(struct port *p, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	rte_pktmbuf_free_bulk(pkts, n);
	return n;
}

static const struct port_class fake_class = {
	.type = "fake", .rx_burst = rx_burst, .tx_burst = tx_burst};

static void add(uint32_t id)
{
	struct err e = {0};
	struct port *p = aligned_alloc(SL_CACHE_LINE, SL_ALIGN_UP(sizeof *p, SL_CACHE_LINE));

	memset(p, 0, sizeof *p);
	p->class = &fake_class;
	p->id = id;
	p->n_rxq = p->n_txq = 1;
	p->max_frame_bytes = 2000;
	snprintf(p->name, sizeof p->name, "p%u", id);
	ports[id] = p;
	assert_int_equal(counters_port_create(id), 0);
	assert_int_equal(poll_port_add(p, NULL, &e), 0);
}

/* UDP over IPv4; `n` tells one from another. */
static struct rte_mbuf *packet(uint16_t n)
{
	uint8_t f[64] = {2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 50};

	f[22] = 64;
	f[23] = 17;
	memcpy(f + 26, "\x0a\0\0\1\x0a\0\0\2", 8);
	store_be16(f + 34, n);
	store_be16(f + 36, 53);
	store_be16(f + 38, 30);
	struct rte_mbuf *m = pool_from_bytes(f, sizeof f);
	assert_non_null(m);
	return m;
}

static struct poll_thread *thread(void)
{
	return poll_thread_at[0];
}

static void receive(uint32_t port, unsigned n, uint16_t first)
{
	for (unsigned i = 0; i < n; i++)
		thread()->burst.pkt[i] = packet((uint16_t)(first + i));
	poll_process(thread(), port, n);
}

static void begin(void)
{
	assert_true(poll_replay_begin(0));
}

static uint64_t dropped(uint32_t port, enum drop_reason why)
{
	struct port_counters c;

	counters_sum(port, &c);
	return c.drop[why];
}

static uint64_t all_dropped(void)
{
	uint64_t n = 0;

	for (uint32_t id = 0; id <= PORTS + 1; id++)
		for (unsigned why = 1; why < DROP_N; why++)
			n += dropped(id, (enum drop_reason)why);
	return n;
}

static uint64_t before, before_all;

static void expect_drops(uint32_t port, enum drop_reason why)
{
	before = dropped(port, why);
	before_all = all_dropped();
}

static void dropped_only(uint32_t port, enum drop_reason why, uint64_t n)
{
	assert_int_equal(dropped(port, why) - before, n);
	assert_int_equal(all_dropped() - before_all, n);
}

static void inject(struct bridge *b, const char *acts)
{
	struct action_buf buf = {0};
	struct err e = {0};
	struct rte_mbuf *m = packet(1);
	struct poll_inject in = {.bridge_id = b->id,
				 .of_in_port = 1,
				 .packet = rte_pktmbuf_mtod(m, void *),
				 .packet_len = m->pkt_len};

	if (actions_parse(acts, NULL, &buf, &e))
		fail_msg("%s: %s", acts, e.text);
	in.actions = buf.data;
	in.actions_len = buf.len;
	assert_int_equal(poll_inject(&in), 0);
	rte_pktmbuf_free(m);
	action_buf_free(&buf);
}

/* ---- what is gone when it is needed ---- */

static void packet_out_of(const char *acts, enum drop_reason why)
{
	expect_drops(1, why);
	inject(br, acts);
	begin();
	poll_replay_end();
	dropped_only(1, why, 1);
}

static void a_group_and_a_meter_that_are_gone(void **state)
{
	packet_out_of("group:77", DROP_GROUP_MISSING);
	packet_out_of("meter:77", DROP_METER_MISSING);
}

static void a_bridge_that_is_gone(void **state)
{
	struct bridge *gone = make_bridge("gone");
	struct err e = {0};
	struct txn t;

	expect_drops(0, DROP_BRIDGE_GONE);
	inject(gone, "output:2");
	txn_begin(&t);
	assert_int_equal(bridge_del(&t, "gone", &e), 0);
	txn_commit(&t);
	begin();
	poll_replay_end();
	dropped_only(0, DROP_BRIDGE_GONE, 1);
}

static void a_port_that_is_gone(void **state)
{
	expect_drops(2, DROP_TX_PORT_GONE);
	add_flow(br, "priority=9,in_port=1,udp,tp_src=700 actions=output:2");
	begin();
	receive(1, 1, 700);
	__atomic_store_n(&port_array[2], NULL, __ATOMIC_RELEASE);
	poll_replay_end();
	dropped_only(2, DROP_TX_PORT_GONE, 1);
	__atomic_store_n(&port_array[2], ports[2], __ATOMIC_RELEASE);
}

/* ---- what is full ---- */

static void the_queue_for_controllers(void **state)
{
	struct poll_upcall *u;

	expect_drops(1, DROP_CONTROLLER_QUEUE);
	add_flow(br, "priority=9,in_port=1,udp,tp_src=600 actions=CONTROLLER:64");
	for (unsigned i = 0; i < UPCALLS_HELD + 3; i++) {
		begin();
		receive(1, 1, 600);
		poll_replay_end();
	}
	dropped_only(1, DROP_CONTROLLER_QUEUE, 3);
	while ((u = poll_upcall_next()))
		free(u);
}

static void the_queue_of_a_port_for_misses(void **state)
{
	expect_drops(1, DROP_MISS_BUDGET);
	begin();
	for (unsigned i = 0; i < MISS_QUEUE_PKTS; i++)
		miss_enqueue(thread(), 1, packet((uint16_t)(1000 + i)));
	receive(1, 5, 3000); /* behind those that wait */
	dropped_only(1, DROP_MISS_BUDGET, 5);
	poll_replay_end();
	dropped_only(1, DROP_MISS_BUDGET, 5);
	assert_int_equal(miss_held(thread(), 1), 0);
}

/* ---- memory runs out ---- */

static void no_buffer_for_a_copy(void **state)
{
	static struct rte_mbuf *held[65536];
	unsigned n = 0;

	expect_drops(1, DROP_COPY_NO_MBUF);
	add_flow(br, "priority=9,in_port=1,udp,tp_src=500 "
		     "actions=output:2,mod_dl_dst:02:00:00:00:00:77,output:3");
	thread()->burst.pkt[0] = packet(500);
	while (n < SL_ARRAY_SIZE(held) && (held[n] = rte_pktmbuf_alloc(pool_get(0))))
		n++;
	begin();
	poll_process(thread(), 1, 1);
	poll_replay_end();
	rte_pktmbuf_free_bulk(held, n);
	dropped_only(1, DROP_COPY_NO_MBUF, 1);
}

static void no_memory_for_a_flow_cache(void **state)
{
	expect_drops(4, DROP_MISS_NO_MEMORY);
	begin();
	no_memory = true;
	receive(4, 3, 1);
	no_memory = false;
	dropped_only(4, DROP_MISS_NO_MEMORY, 3);
	poll_replay_end();
}

static void no_memory_for_connections(void **state)
{
	expect_drops(1, DROP_CT_NO_MEMORY);
	add_flow(br, "priority=9,in_port=1,udp,tp_src=400 actions=ct(commit),output:2");
	begin();
	receive(1, 1, 1); /* the port's cache is there */
	no_memory = true;
	receive(1, 1, 400);
	no_memory = false;
	poll_replay_end();
	dropped_only(1, DROP_CT_NO_MEMORY, 1);
}

/* ---- the thread goes; the last test ---- */

static void the_thread_is_taken_away(void **state)
{
	expect_drops(1, DROP_POLL_STOPPED);
	begin();
	for (unsigned i = 0; i < 3; i++)
		miss_enqueue(thread(), 1, packet((uint16_t)i));
	version_idle(0);
	inject(br, "output:2");
	inject(br, "output:2");
	poll_stop();
	dropped_only(1, DROP_POLL_STOPPED, 5);
}

static int start(void **state)
{
	static const uint16_t core = 0;
	struct err e = {0};

	rcu_init();
	record_play(&play);
	if (pool_init(8192, &e) || poll_init(&e) || poll_set_cores(&core, 1, &e))
		return -1;
	br = make_bridge("br");
	assert_int_equal(counters_port_create(0), 0);
	for (uint32_t id = 1; id <= PORTS; id++) {
		add(id);
		add_plain(br, id);
	}
	add_flow(br, "priority=1 actions=NORMAL");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_memory_for_a_flow_cache),
		cmocka_unit_test(no_memory_for_connections),
		cmocka_unit_test(a_group_and_a_meter_that_are_gone),
		cmocka_unit_test(a_bridge_that_is_gone),
		cmocka_unit_test(a_port_that_is_gone),
		cmocka_unit_test(the_queue_for_controllers),
		cmocka_unit_test(the_queue_of_a_port_for_misses),
		cmocka_unit_test(no_buffer_for_a_copy),
		cmocka_unit_test(the_thread_is_taken_away),
	};
	char *argv[] = {"test",        "--no-huge",      "-m", "64", "--no-pci",
			"--no-shconf", "--no-telemetry", "-l", "0",  "--log-level=4"};

	if (rte_eal_init(10, argv) < 0)
		return 1;
	return cmocka_run_group_tests(tests, start, NULL);
}
