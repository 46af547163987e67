/* SPDX-License-Identifier: BSD-3-Clause */
/* pipeline-host: tables, a poll thread and dummy ports on a pipe, for test_resolve_differential.py.
 * Packets go the whole way: parser, cache, resolve, exec, transmit. A line in, lines out:
 *   bridges N PORTS [PORT:TAG…]  makes bridges 0..N-1, access ports where tags are given  → ok
 *   reset B                      no rules, groups and learnt addresses                    → ok
 *   flow B TEXT                                                            → ok | refused
 *   group B ID TYPE BUCKET|BUCKET…  0 all, 1 select, 2 indirect, 3 fast failover          → ok
 *   vlan_limit N                                                                          → ok
 *   forget                       empties the flow cache                                   → ok
 *   packet B PORT HEX            is received with the others by the next "run"          (nothing)
 *   run [flips]                  → "out B PORT HEX", "drop B REASON" …, "."; with "flips" also
 *       "flip B TEXT" when a packet that differs from one of the run only in bits that its mask
 *       leaves open would not get what the entry gives it, and "audit B TEXT" when an entry is not
 *       what the tables say now
 *   counts                       → hits misses audited different flips
 * Main thread: this pipe. Every hit of the poll thread is audited. */
#include <sched.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>

#include "datapath/base/clock.h"
#include "datapath/base/str.h"
#include "datapath/core/pool.h"
#include "datapath/core/rcu.h"
#include "datapath/core/thread.h"
#include "datapath/flow/extract.h"
#include "datapath/poll/poll.h"
#include "tests/unit/resolve/flip.h"
#include "tests/unit/resolve/rules.h"

enum {
	LINE_BYTES = 1 << 17,
	FRAME_BYTES = 4096,
	BRIDGES_MAX = 256,
	PORTS_MAX = 16,
	BATCH_MAX = 1024
};

struct host_bridge {
	struct bridge *b;
	struct port *port[PORTS_MAX + 1]; /* by OpenFlow number */
};
struct waiting {
	unsigned bridge, port;
	uint32_t len;
	uint8_t data[FRAME_BYTES];
};
static struct host_bridge bridge[BRIDGES_MAX];
static unsigned n_bridges, n_ports, n_waiting;
static struct waiting waiting[BATCH_MAX];
static struct resolver *resolver;
static struct resolve_result result, other_result;
static struct run run_a, run_b;
static uint64_t n_received, n_flips, seed = 7;

/* There is no test around this that cmocka's fail_msg() could end. */
#undef fail_msg
#define fail_msg(...)                                                                              \
	(fprintf(stderr, "pipeline-host: "), fprintf(stderr, __VA_ARGS__), fprintf(stderr, "\n"),  \
	 _exit(1))

static uint32_t rnd(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % n;
}

/* ---- start ---- */

static void start_datapath(void)
{
	char cores[16];
	char *argv[] = {"pipeline-host", "--no-huge",      "-m", "256", "--no-pci",
			"--no-shconf",   "--no-telemetry", "-l", cores, "--log-level=4"};
	cpu_set_t set;
	uint16_t core[2];
	unsigned n = 0;
	struct err e = {0};

	sched_getaffinity(0, sizeof set, &set);
	for (uint16_t i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &set))
			core[n++] = i;
	snprintf(cores, sizeof cores, "%u", core[0]);
	if (rte_eal_init(SL_ARRAY_SIZE(argv), argv) < 0)
		fail_msg("EAL");
	rcu_init();
	if (pool_init(32768, &e) || poll_init(&e) || poll_set_cores(&core[n - 1], 1, &e))
		fail_msg("%s", e.text);
	sched_setaffinity(0, sizeof set, &set);
	poll_audit_set(1);
	resolver = resolver_create(THREAD_MAIN);
}

static void upkeep(void)
{
	test_now_ms = clock_mono_ms();
	while (tables_run(test_now_ms))
		;
	rcu_run(1000);
	poll_upkeep(test_now_ms);
}

static struct port *open_port(const char *name, uint32_t id)
{
	struct port_config c = {.type = "dummy", .mtu = 1500, .n_txq = 2, .admin_up = true};
	struct err e = {0};
	struct port *p;

	snprintf(c.name, sizeof c.name, "%s", name);
	if (counters_port_create(id) || port_open(id, &c, &p, &e) || poll_port_add(p, NULL, &e))
		fail_msg("%s", e.text);
	return p;
}

static void make_bridges(char *args)
{
	char *save = NULL, name[16];
	unsigned tags[PORTS_MAX + 1] = {0};
	uint32_t id = 1;

	n_bridges = (unsigned)atoi(strtok_r(args, " ", &save));
	n_ports = (unsigned)atoi(strtok_r(NULL, " ", &save));
	for (char *w; (w = strtok_r(NULL, " ", &save));)
		tags[atoi(w) % PORTS_MAX] = (unsigned)atoi(strchr(w, ':') + 1);
	for (unsigned i = 0; i < n_bridges; i++) {
		snprintf(name, sizeof name, "br%u", i);
		bridge[i].b = make_bridge(name);
		for (unsigned k = 1; k <= n_ports; k++, id++) {
			struct bridge_port_config c;

			snprintf(name, sizeof name, "b%up%u", i, k);
			bridge[i].port[k] = open_port(name, id);
			c = port_config(name, id);
			c.ofport = k;
			if (tags[k]) {
				c.vlan_mode = VLAN_MODE_ACCESS;
				c.tag = (uint16_t)tags[k];
			}
			add_port(bridge[i].b, &c);
		}
	}
}

/* ---- rules ---- */

static void reset_bridge(struct bridge *b)
{
	struct group_mod gm = {.command = GROUP_MOD_DELETE, .id = GROUP_ID_ALL};
	const struct mac_filter all = {.vlan = -1};
	struct flow_mod fm;
	struct match m;
	struct txn t;
	struct err e = {0};

	flow_mod_init(&fm);
	match_init(&m);
	fm.command = FLOW_MOD_DELETE;
	fm.table = TABLE_ALL;
	fm.match = minimatch_create(&m);
	txn_begin(&t);
	if (flow_mod(&t, b, &fm, NULL, NULL, &e) || group_mod(&t, b, &gm, NULL, &e))
		fail_msg("%s", e.text);
	mac_table_flush(&t, b->macs, &all);
	txn_commit(&t);
	free((void *)fm.match);
	add_flow(b, "table=0,priority=0,actions=drop"); /* not an untouched bridge */
}

static void put_group(struct bridge *b, char *args)
{
	const char *bucket[16];
	uint32_t watch[16];
	char *save = NULL;
	uint32_t id = (uint32_t)atoi(strtok_r(args, " ", &save));
	int type = atoi(strtok_r(NULL, " ", &save));
	unsigned n = 0;

	for (char *w; n < 16 && (w = strtok_r(NULL, "|", &save)); n++) {
		bucket[n] = w;
		watch[n] = n + 1;
	}
	add_group(b, id, (enum group_type)type, n, bucket,
		  type == GROUP_FAST_FAILOVER ? watch : NULL);
}

/* ---- packets ---- */

static void put_packet(unsigned b, char *args)
{
	struct waiting *w = &waiting[n_waiting];
	char *hex;

	if (n_waiting == BATCH_MAX)
		fail_msg("too many packets for one run");
	w->bridge = b;
	w->port = (unsigned)strtoul(args, &hex, 10);
	w->len = 0;
	for (hex++; hex[0] && hex[1] && w->len < FRAME_BYTES; hex += 2)
		w->data[w->len++] = (uint8_t)strtoul((char[]){hex[0], hex[1], '\0'}, NULL, 16);
	n_waiting++;
}

static uint64_t received(void)
{
	uint64_t n = 0;

	for (uint32_t id = 1; id <= n_bridges * n_ports; id++)
		n += __atomic_load_n(&counters_of(0, id)->rx_pkts, __ATOMIC_RELAXED);
	return n;
}

static uint64_t held(void)
{
	uint64_t n = 0;

	for (uint32_t id = 1; id <= n_bridges * n_ports; id++)
		n += poll_held(id);
	return n;
}

/* Until everything that was received has left or was dropped. */
static void settle(void)
{
	uint64_t v, until = rte_rdtsc() + 20 * rte_get_tsc_hz();

	do {
		while (received() < n_received) {
			if (rte_rdtsc() > until)
				fail_msg("packets stay in their queues");
			sched_yield();
		}
		version_lock();
		v = version_commit(NULL, 0);
		version_unlock();
		version_wait(v); /* an iteration that began later has ended */
	} while (held());
	upkeep();
}

static void print_outputs(unsigned b, unsigned port)
{
	static const char digits[] = "0123456789abcdef";
	static uint8_t frame[16384];
	static char hex[2 * sizeof frame + 1];
	uint32_t n;

	while ((n = dummy_port_take(bridge[b].port[port], frame, sizeof frame))) {
		for (uint32_t i = 0; i < n; i++) {
			hex[2 * i] = digits[frame[i] >> 4];
			hex[2 * i + 1] = digits[frame[i] & 15];
		}
		hex[2 * n] = '\0';
		printf("out %u %u %s\n", b, port, hex);
	}
}

static void print_drops(unsigned b, unsigned port)
{
	static struct port_counters seen[PORT_ID_MAX];
	uint32_t id = bridge[b].port[port]->id;
	struct port_counters now;

	counters_sum(id, &now);
	for (unsigned r = 0; r < DROP_N; r++)
		if (now.drop[r] != seen[id].drop[r])
			printf("drop %u %s\n", b, drop_infos[r].name);
	seen[id] = now;
}

/* ---- bits that the mask leaves open ---- */

/* A mask is printed as if it were a packet. */
static void describe(const char *what, const struct flow_key *k)
{
	struct str s = STR_INIT;
	struct flow f;

	memset(&f, 0, sizeof f);
	f.key = *k;
	flow_format(&f, NULL, &s);
	printf(" %s %s", what, str_cstr(&s));
	str_free(&s);
}

static bool same_run(void)
{
	if (run_a.n != run_b.n)
		return false;
	for (unsigned i = 0; i < run_a.n; i++) {
		/* what programs do not keep up, because nothing that leaves shows it */
		run_a.out[i].key.ttl_class = run_b.out[i].key.ttl_class = 0;
		if (run_a.out[i].port != run_b.out[i].port ||
		    memcmp(&run_a.out[i].key, &run_b.out[i].key, sizeof run_a.out[i].key))
			return false;
	}
	return true;
}

static void check_flip(const struct waiting *w, const struct flow_key *donor)
{
	struct flow_key k, f;
	struct flow_offsets ofs;

	memset(&k, 0, sizeof k);
	flow_extract(w->data, w->len, w->len, &k, &ofs);
	k.in_port = bridge[w->bridge].port[w->port]->id;
	resolve_key(resolver, &k, false, &result);
	f = flip_outside(&k, &result.mask, donor, rnd);
	run_program(&run_a, &result.prog, &f);
	resolve_key(resolver, &f, false, &other_result);
	run_program(&run_b, &other_result.prog, &f);
	n_flips++;
	if (result.drop == other_result.drop && same_run())
		return;
	printf("flip %u", w->bridge);
	describe("packet", &k);
	describe("other", &f);
	describe("mask", &result.mask);
	printf("\n");
}

static void check_flips(void)
{
	for (unsigned i = 0; i < n_waiting; i++) {
		const struct waiting *d = &waiting[rnd(n_waiting)];
		struct flow_offsets ofs;
		struct flow_key donor;

		memset(&donor, 0, sizeof donor);
		flow_extract(d->data, d->len, d->len, &donor, &ofs);
		check_flip(&waiting[i], &donor);
	}
}

static bool same_program(const struct poll_upcall *u)
{
	return u->packet_len == u->orig_len &&
	       !memcmp(u->data, u->data + u->packet_len, u->orig_len);
}

/* Entries that do not do what the tables say, as the audit found them. */
static void print_audit(void)
{
	struct poll_upcall *u;

	for (; (u = poll_upcall_next()); free(u)) {
		struct str s = STR_INIT;
		struct flow f = u->flow;

		if (u->kind == UPCALL_AUDIT && !same_program(u)) {
			flow_format(&f, NULL, &s);
			printf("audit %u %s:", (u->port_id - 1) / n_ports, str_cstr(&s));
			for (uint32_t i = 0; i < u->packet_len + u->orig_len; i += 8) {
				uint64_t w;

				memcpy(&w, u->data + i, sizeof w);
				if (i == u->packet_len)
					printf(" |");
				printf(" %lx", w);
			}
			printf("\n");
		}
		str_free(&s);
	}
}

static void run_packets(bool flips)
{
	for (unsigned i = 0; i < n_waiting; i++) {
		const struct waiting *w = &waiting[i];

		if (dummy_port_receive(bridge[w->bridge].port[w->port], w->data, w->len))
			fail_msg("no room for a packet");
		n_received++;
	}
	settle();
	for (unsigned b = 0; b < n_bridges; b++) {
		for (unsigned port = 1; port <= n_ports; port++) {
			print_outputs(b, port);
			print_drops(b, port);
		}
	}
	if (flips)
		check_flips();
	print_audit();
	n_waiting = 0;
	printf(".\n");
}

static void print_counts(void)
{
	uint64_t hits = 0, misses = 0, audited, different;
	uint32_t every;

	for (uint32_t id = 1; id <= n_bridges * n_ports; id++) {
		struct port_counters c;

		counters_sum(id, &c);
		hits += c.cache_hits;
		misses += c.misses;
	}
	poll_audit_counts(&every, &audited, &different);
	printf("%lu %lu %lu %lu %lu\n", hits, misses, audited, different, n_flips);
}

/* ---- the pipe ---- */

static void obey(char *line)
{
	char *args = line + strcspn(line, " ");
	unsigned b;

	if (*args)
		*args++ = '\0';
	if (!strcmp(line, "run")) {
		run_packets(!strcmp(args, "flips"));
		return;
	}
	if (!strcmp(line, "counts")) {
		print_counts();
		return;
	}
	if (!strcmp(line, "bridges")) {
		make_bridges(args);
	} else if (!strcmp(line, "vlan_limit")) {
		flow_extract_set_vlan_limit((uint8_t)atoi(args));
	} else if (!strcmp(line, "forget")) {
		poll_cache_flush();
	} else {
		b = (unsigned)strtoul(args, &args, 10);
		args += *args == ' ';
		if (b >= n_bridges)
			fail_msg("bridge %u?", b);
		if (!strcmp(line, "packet")) {
			put_packet(b, args);
			return;
		}
		if (!strcmp(line, "reset")) {
			reset_bridge(bridge[b].b);
		} else if (!strcmp(line, "group")) {
			put_group(bridge[b].b, args);
		} else if (!strcmp(line, "flow")) {
			bool ok = !try_flow(bridge[b].b, FLOW_MOD_ADD, args, NULL);

			printf("%s\n", ok ? "ok" : "refused");
			return;
		} else {
			fail_msg("%s?", line);
		}
		upkeep();
	}
	printf("ok\n");
}

int main(void)
{
	static char line[LINE_BYTES];

	start_datapath();
	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = '\0';
		obey(line);
		fflush(stdout);
	}
	_exit(0); /* the kernel is faster at taking a thousand ports apart */
}
