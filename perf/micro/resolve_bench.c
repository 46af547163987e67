/* SPDX-License-Identifier: BSD-3-Clause */
/* A cache miss through 1, 5, 10 and 20 tables, in small tables and in one of 100,000 rules; pipe5
 * (port security, L2, ACL, 100 routes with TTL and MAC rewrite, output); NORMAL; rule changes, one
 * transaction each and all in one; memory per rule (stderr). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/flow/action.h"
#include "datapath/resolve/resolve.h"
#include "datapath/table/bridge.h"
#include "datapath/table/flow_mod.h"
#include "datapath/table/table_events.h"
#include "perf/micro/bench.h"

static struct resolver *resolver;
static struct resolve_result result;
static uint32_t next_id = 1;

static struct bridge *make_bridge(const char *name)
{
	struct bridge_config c;
	struct bridge *b = NULL;
	struct txn t;

	bridge_config_init(&c);
	c.open = true;
	txn_begin(&t);
	bridge_set(&t, name, &c, &b, NULL);
	for (unsigned i = 0; i < 8; i++) {
		struct bridge_port_config p;

		bridge_port_config_init(&p);
		snprintf(p.name, sizeof p.name, "p%u", next_id);
		p.port_id = next_id++;
		p.ofport = i + 1;
		bridge_port_set(&t, b, &p, NULL);
	}
	txn_commit(&t);
	return b;
}

static uint32_t first_port(const struct bridge *b)
{
	return b->ports->at[0]->c.port_id;
}

static struct flow_key packet(uint32_t port, uint32_t i)
{
	struct flow_key k;

	memset(&k, 0, sizeof k);
	k.in_port = port;
	k.eth_src[0] = k.eth_dst[0] = 2;
	k.eth_src[5] = 1;
	k.eth_dst[5] = 2;
	k.eth_type = cpu_to_be16(0x0800);
	k.ip_ttl = 64;
	k.ttl_class = 15;
	k.ip_proto = 17;
	k.ip_src = cpu_to_be32(0x0a000001 + i % 251);
	k.ip_dst = cpu_to_be32(0x0b000000 + i * 2654435761u % 100 * 256 + 7);
	k.tp_src = cpu_to_be16((uint16_t)(1000 + i));
	k.tp_dst = cpu_to_be16(2000);
	return k;
}

static void put_rule(struct txn *t, struct bridge *b, uint8_t command, uint8_t table,
		     uint16_t priority, const struct match *m, const struct action_buf *acts)
{
	struct minimatch *mm = minimatch_create(m);
	struct flow_mod fm;
	struct err e = {0};

	flow_mod_init(&fm);
	fm.command = command;
	fm.table = table;
	fm.priority = priority;
	fm.match = mm;
	if (acts) {
		fm.actions = acts->data;
		fm.actions_len = (uint32_t)acts->len;
	}
	if (flow_mod(t, b, &fm, NULL, NULL, &e)) {
		fprintf(stderr, "%s\n", e.text);
		exit(1);
	}
	free(mm);
}

static void put_resubmit(struct action_buf *a, uint8_t table)
{
	struct action_resubmit *r = action_buf_put(a, ACTION_RESUBMIT, sizeof *r);

	r->in_port = OFP_PORT_IN_PORT;
	r->table = table;
}

/* ---- a chain of tables, each with a few masks ---- */
static struct bridge *make_chain(const char *name, unsigned n_tables)
{
	struct bridge *b = make_bridge(name);
	struct txn t;

	txn_begin(&t);
	for (unsigned table = 0; table < n_tables; table++) {
		struct action_buf acts = {0};
		struct match m;

		if (table + 1 < n_tables)
			put_resubmit(&acts, (uint8_t)(table + 1));
		else
			action_put_output(&acts, 2, 0);
		match_init(&m);
		m.value.key.eth_type = cpu_to_be16(0x0800);
		m.mask.key.eth_type = 0xffff;
		for (unsigned i = 0; i < 50; i++) { /* addresses that do not match */
			m.value.key.ip_src = cpu_to_be32(0x0c000000 + i);
			m.mask.key.ip_src = 0xffffffff;
			put_rule(&t, b, FLOW_MOD_ADD, (uint8_t)table, 200, &m, NULL);
		}
		m.value.key.ip_src = m.mask.key.ip_src = 0;
		m.value.key.ip_proto = 6;
		m.mask.key.ip_proto = 0xff;
		put_rule(&t, b, FLOW_MOD_ADD, (uint8_t)table, 150, &m, NULL);
		match_init(&m);
		m.value.key.ip_dst = cpu_to_be32(0x0b000000);
		m.mask.key.ip_dst = cpu_to_be32(0xff000000);
		m.value.key.eth_type = cpu_to_be16(0x0800);
		m.mask.key.eth_type = 0xffff;
		put_rule(&t, b, FLOW_MOD_ADD, (uint8_t)table, 100, &m, &acts);
		action_buf_free(&acts);
	}
	txn_commit(&t);
	return b;
}

/* ---- pipe5 ---- */
static struct bridge *make_pipe5(void)
{
	struct bridge *b = make_bridge("pipe5");
	struct action_buf acts = {0};
	struct match m;
	struct txn t;

	txn_begin(&t);
	put_resubmit(&acts, 1);
	for (uint32_t port = 1; port <= 4; port++) { /* port security */
		match_init(&m);
		m.value.regs.in_port = cpu_to_be32(port);
		m.mask.regs.in_port = 0xffffffff;
		put_rule(&t, b, FLOW_MOD_ADD, 0, 100, &m, &acts);
	}
	acts.len = 0;
	put_resubmit(&acts, 2);
	match_init(&m); /* L2 */
	m.value.key.eth_dst[0] = 2;
	m.value.key.eth_dst[5] = 2;
	memset(m.mask.key.eth_dst, 0xff, 6);
	put_rule(&t, b, FLOW_MOD_ADD, 1, 100, &m, &acts);
	acts.len = 0;
	put_resubmit(&acts, 3);
	for (unsigned i = 0; i < 10; i++) { /* ACL */
		match_init(&m);
		m.value.key.eth_type = cpu_to_be16(0x0800);
		m.mask.key.eth_type = 0xffff;
		m.value.key.ip_proto = 6;
		m.mask.key.ip_proto = 0xff;
		m.value.key.tp_dst = cpu_to_be16((uint16_t)(20 + i));
		m.mask.key.tp_dst = 0xffff;
		put_rule(&t, b, FLOW_MOD_ADD, 2, 200, &m, NULL);
	}
	match_init(&m);
	put_rule(&t, b, FLOW_MOD_ADD, 2, 1, &m, &acts);
	for (unsigned i = 0; i < 100; i++) { /* routes */
		union field_value mac = {{2, 0, 0, 0, 1, (uint8_t)i}};

		acts.len = 0;
		action_buf_put(&acts, ACTION_DEC_TTL, sizeof(struct action_dec_ttl));
		action_put_set_field(&acts, ACTION_SET_FIELD, &fields[FIELD_ETH_DST], &mac, NULL);
		put_resubmit(&acts, 4);
		match_init(&m);
		m.value.key.eth_type = cpu_to_be16(0x0800);
		m.mask.key.eth_type = 0xffff;
		m.value.key.ip_dst = cpu_to_be32(0x0b000000 + i * 256);
		m.mask.key.ip_dst = cpu_to_be32(0xffffff00);
		put_rule(&t, b, FLOW_MOD_ADD, 3, 100, &m, &acts);
	}
	acts.len = 0;
	action_put_output(&acts, 2, 0);
	match_init(&m);
	put_rule(&t, b, FLOW_MOD_ADD, 4, 1, &m, &acts);
	txn_commit(&t);
	action_buf_free(&acts);
	return b;
}

/* ---- measured ---- */
static void misses(void *ctx, uint64_t n)
{
	const struct bridge *b = ctx;
	uint32_t port = first_port(b);

	for (uint64_t i = 0; i < n; i++) {
		struct flow_key k = packet(port, (uint32_t)i);
		struct resolve_request req = {.key = &k, .version = version_now(), .now_ms = 1000};

		resolve(resolver, &req, &result);
		bench_use(result.prog.n_words);
	}
}

static void ip_rule(struct match *m, uint32_t i)
{
	match_init(m);
	m->value.key.eth_type = cpu_to_be16(0x0800);
	m->mask.key.eth_type = 0xffff;
	m->value.key.ip_dst = cpu_to_be32(0x0d000000 + i);
	m->mask.key.ip_dst = 0xffffffff;
}

static void add_and_delete(void *ctx, uint64_t n)
{
	struct bridge *b = ctx;
	struct match m;
	struct txn t;

	for (uint64_t i = 0; i < n; i += 2) {
		ip_rule(&m, 0x100000 + (uint32_t)(i & 1023));
		txn_begin(&t);
		put_rule(&t, b, FLOW_MOD_ADD, 0, 500, &m, NULL);
		txn_commit(&t);
		txn_begin(&t);
		put_rule(&t, b, FLOW_MOD_DELETE_STRICT, 0, 500, &m, NULL);
		txn_commit(&t);
		if (!(i & 63))
			tables_run(1000);
	}
	tables_run(1000);
	tables_run(1000);
}

static void fill(struct bridge *b, uint32_t n, bool tell)
{
	struct action_buf acts = {0};
	struct match m;
	struct txn t;
	uint64_t start = clock_mono_us(), us;

	action_put_output(&acts, 2, 0);
	txn_begin(&t);
	for (uint32_t i = 0; i < n; i++) {
		ip_rule(&m, i);
		put_rule(&t, b, FLOW_MOD_ADD, 0, 100, &m, &acts);
	}
	txn_commit(&t);
	us = clock_mono_us() - start;
	action_buf_free(&acts);
	if (tell)
		fprintf(stderr,
			"%u rules in one transaction: %.2f s, %.0f rules/s, %zu bytes/rule\n", n,
			(double)us / 1e6, n * 1e6 / (double)us, flow_tables_memory(b) / n);
}

int main(int argc, char **argv)
{
	static const unsigned chains[] = {1, 5, 10, 20};
	bool quick = false;
	struct bridge *b;

	for (int i = 1; i < argc; i++)
		quick |= !strcmp(argv[i], "--quick");
	bench_init(argc, argv, "resolve");
	resolver = resolver_create(0);
	b = make_bridge("normal");
	bench_run("normal, unknown destination, 8 ports", misses, b, 100000);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(chains); i++) {
		char name[32];

		snprintf(name, sizeof name, "tables%u", chains[i]);
		b = make_chain(name, chains[i]);
		snprintf(name, sizeof name, "%u tables of 52 rules", chains[i]);
		bench_run(name, misses, b, 50000);
	}
	bench_run("pipe5", misses, make_pipe5(), 50000);
	b = make_chain("big", 10);
	fill(b, quick ? 1000 : 100000, !quick);
	bench_run("10 tables, 100,000 more rules in the first", misses, b, 50000);
	bench_run("rule added or removed, one transaction each", add_and_delete, b, 20000);
	bridge_destroy_all();
	tables_run(1000);
	resolver_destroy(resolver);
	return bench_end();
}
