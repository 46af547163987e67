/* SPDX-License-Identifier: BSD-3-Clause */
/* Properties over random pipelines and packets:
 *  - mask: flipping any bit that the mask does not have changes nothing of the outcome;
 *  - program: what it does to another packet of the same entry is what a fresh resolution of that
 *    packet would do;
 *  - re-stamp: when version_affects() says that changes do not concern an entry, a fresh resolution
 *    gives the same. */
#include "datapath/base/str.h"
#include "tests/unit/resolve/flip.h"
#include "tests/unit/resolve/rules.h"

static uint64_t seed = 42;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % n;
}

static struct resolver *resolver;
static struct resolve_result result, other_result;
static struct run run_a, run_b;
static struct bridge *br;

/* ---- random rules ---- */
enum { TABLES = 5, PORTS = 8 };

static const char *pick(const char *const *list, unsigned n)
{
	return list[rnd(n)];
}
#define PICK(list) pick(list, SL_ARRAY_SIZE(list))

static const char *random_match(void)
{
	static const char *const matches[] = {
		"",
		"ip",
		"arp",
		"tcp",
		"udp",
		"ipv6",
		"icmp",
		"tcp6",
		"ip,nw_dst=10.0.0.0/24",
		"ip,nw_dst=10.0.1.0/24",
		"ip,nw_dst=10.0.0.2",
		"ip,nw_src=10.0.0.0/30",
		"tcp,tp_dst=80",
		"udp,tp_dst=0x50/0xfff0",
		"tcp,tp_src=1",
		"dl_dst=02:00:00:00:00:02",
		"dl_src=02:00:00:00:00:01",
		"dl_vlan=5",
		"vlan_tci=0",
		"vlan_tci=0x1000/0x1000",
		"ip,nw_ttl=1",
		"ip,nw_ttl=63",
		"ip,nw_tos=0",
		"reg0=1",
		"reg1=2",
		"in_port=1",
		"in_port=2",
		"metadata=3",
		"arp,arp_op=1",
		"arp,arp_spa=10.0.0.1",
		"dl_vlan=5,dl_vlan_pcp=1",
		"ip,ip_frag=no",
		"ipv6,ipv6_dst=2001:db8::/33",
		"reg0=1/1",
		"tcp,tcp_flags=+syn",
		"ip,nw_ecn=0",
		"dl_dst=01:00:00:00:00:00/01:00:00:00:00:00",
		"conj_id=1",
	};

	return PICK(matches);
}

static void random_action(char *out, size_t n, unsigned table, unsigned depth)
{
	static const char *const simple[] = {
		"output:1",
		"output:2",
		"output:3",
		"output:4",
		"output:5",
		"in_port",
		"normal",
		"mod_dl_dst:02:00:00:00:00:09",
		"mod_dl_src:02:00:00:00:00:08",
		"flood",
		"mod_nw_dst:10.0.1.7",
		"mod_nw_src:10.0.1.8",
		"mod_nw_tos:32",
		"mod_tp_dst:80",
		"mod_tp_src:1",
		"dec_ttl",
		"mod_nw_ttl:9",
		"strip_vlan",
		"mod_vlan_vid:5",
		"mod_vlan_pcp:1",
		"push_vlan:0x8100",
		"load:1->NXM_NX_REG0[]",
		"load:2->NXM_NX_REG1[0..3]",
		"move:NXM_OF_IP_SRC[0..3]->NXM_NX_REG0[0..3]",
		"move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
		"push:NXM_OF_ETH_SRC[]",
		"pop:NXM_OF_ETH_DST[]",
		"push:NXM_NX_REG0[]",
		"pop:NXM_NX_REG1[]",
		"move:NXM_OF_VLAN_TCI[]->NXM_NX_REG1[0..15]",
		"load:0x1007->NXM_OF_VLAN_TCI[]",
		"group:1",
		"group:2",
		"group:3",
		"controller",
		"exit",
		"set_field:0x3->metadata",
		"move:NXM_OF_IP_TOS[]->NXM_NX_REG1[0..7]",
		"set_field:2001:db8::9->ipv6_dst",
		"set_field:1/0x3->reg0",
		"mod_nw_ecn:1",
		"multipath(symmetric_l4,0,modulo_n,2,0,NXM_NX_REG0[0..7])",
		"output:NXM_NX_REG0[]",
		"set_field:2->arp_op",
		"move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[]",
		"load:0->NXM_OF_IN_PORT[]",
		"set_field:02:00:00:00:00:01/ff:ff:00:00:00:00->eth_src",
		"move:NXM_NX_IP_TTL[]->NXM_NX_REG0[0..7]",
		"bundle(eth_src,0,hrw,ofport,slaves:2,3,4)",
	};

	if (depth < 2 && !rnd(7)) {
		char inner[512];

		random_action(inner, sizeof inner, table, depth + 1);
		snprintf(out, n, "clone(%s,output:%u)", inner, 1 + rnd(PORTS));
	} else if (table + 1 < TABLES && !rnd(4)) {
		snprintf(out, n, "resubmit(,%u)", table + 1 + rnd(TABLES - table - 1));
	} else {
		snprintf(out, n, "%s", PICK(simple));
	}
}

static void random_rule(char *out, size_t n)
{
	/* Overlapping rules of one priority are undefined: none have the same here. */
	static unsigned last_priority;
	unsigned table = rnd(TABLES), n_actions = rnd(5);
	unsigned priority = (last_priority += 7919) % 60000;
	size_t at = (size_t)snprintf(out, n, "table=%u,priority=%u,%s%sactions=", table, priority,
				     random_match(), ",");

	if (!n_actions)
		snprintf(out + at, n - at, "drop");
	for (unsigned i = 0; i < n_actions; i++) {
		char one[1024];

		random_action(one, sizeof one, table, 0);
		at += (size_t)snprintf(out + at, n - at, "%s%s", i ? "," : "", one);
	}
	if (n_actions && table + 1 < TABLES && !rnd(4))
		snprintf(out + at, n - at, ",goto_table:%u", table + 1);
}

/* ---- random packets ---- */
static struct flow_key random_packet(void)
{
	struct flow_key k =
		eth_packet(1 + rnd(PORTS), (uint8_t)(1 + rnd(3)), (uint8_t)(1 + rnd(3)));

	if (!rnd(10))
		memset(k.eth_dst, 0xff, 6);
	k.ip_ttl = (uint8_t)(rnd(3) ? 64 : rnd(4));
	k.ttl_class = SL_MIN(k.ip_ttl, 15);
	k.ip_src = cpu_to_be32(0x0a000000 | rnd(4));
	k.ip_dst = cpu_to_be32(0x0a000000 | rnd(2) << 8 | rnd(4));
	k.ip_tos = (uint8_t)(rnd(2) ? 0 : rnd(256));
	k.tp_src = cpu_to_be16((uint16_t)rnd(3));
	k.tp_dst = cpu_to_be16((uint16_t)(rnd(2) ? 80 : rnd(100)));
	switch (rnd(6)) {
	case 0:
		k.eth_type = cpu_to_be16(0x0806);
		k.ip_proto = (uint8_t)(1 + rnd(2));
		k.ip_ttl = k.ttl_class = k.ip_tos = 0;
		k.tp_src = k.tp_dst = 0;
		memcpy(k.arp_sha, k.eth_src, 6);
		break;
	case 1:
		k.eth_type = cpu_to_be16(0x86dd);
		k.ip_src = k.ip_dst = 0;
		k.ip_proto = 6;
		k.ipv6_dst[0] = 0x20;
		k.ipv6_dst[1] = 0x01;
		k.ipv6_dst[15] = (uint8_t)rnd(3);
		break;
	case 2:
		k.ip_proto = 6;
		k.tcp_flags = cpu_to_be16((uint16_t)rnd(4));
		break;
	case 3:
		k.ip_proto = 1;
		break;
	}
	if (!rnd(3))
		tag_packet(&k, (uint16_t)(4 + rnd(3)), (uint8_t)rnd(3));
	return k;
}

static char rules[64][2048];
static unsigned n_rules;

static const char *describe(const struct flow_key *k)
{
	static struct str s;
	struct flow f;

	memset(&f, 0, sizeof f);
	f.key = *k;
	str_clear(&s);
	flow_format(&f, NULL, &s);
	return str_cstr(&s);
}

static void compare_runs(const struct flow_key *a, const struct flow_key *b, const char *what)
{
	bool same = run_a.n == run_b.n;

	for (unsigned i = 0; same && i < run_a.n; i++) {
		/* key contents that programs do not produce are those of the packet itself */
		run_a.out[i].key.ttl_class = run_b.out[i].key.ttl_class = 0;
		same = run_a.out[i].port == run_b.out[i].port &&
		       !memcmp(&run_a.out[i].key, &run_b.out[i].key, sizeof run_a.out[i].key);
	}
	if (same)
		return;
	fprintf(stderr, "packet  %s\n", describe(a));
	fprintf(stderr, "flipped %s\n", describe(b));
	fprintf(stderr, "mask    %s\n", describe(&result.mask));
	for (unsigned i = 0; i < SL_MAX(run_a.n, run_b.n); i++) {
		if (i < run_a.n)
			fprintf(stderr, "cached %u: %s\n", run_a.out[i].port,
				describe(&run_a.out[i].key));
		if (i < run_b.n)
			fprintf(stderr, "fresh  %u: %s\n", run_b.out[i].port,
				describe(&run_b.out[i].key));
	}
	for (unsigned i = 0; i < n_rules; i++)
		fprintf(stderr, "rule %s\n", rules[i]);
	fail_msg("%s", what);
}

static unsigned n_flips;

/* The entry of k, used for a packet that only its mask makes equal. */
static void check_flip(const struct flow_key *k)
{
	struct flow_key f, donor = random_packet();

	resolve_key(resolver, k, false, &result);
	f = flip_outside(k, &result.mask, &donor, rnd);
	run_program(&run_a, &result.prog, &f);
	resolve_key(resolver, &f, false, &other_result);
	assert_int_equal(result.drop, other_result.drop);
	run_program(&run_b, &other_result.prog, &f);
	compare_runs(k, &f, "another packet of the entry goes elsewhere");
	assert_int_equal(result.n_credits, other_result.n_credits);
	n_flips++;
}

static void random_change(void)
{
	if (n_rules && !rnd(3)) {
		unsigned i = rnd(n_rules);
		char *acts = strstr(rules[i], "actions=");

		if (acts)
			*acts = '\0';
		try_flow(br, FLOW_MOD_DELETE_STRICT, rules[i], NULL);
		memmove(rules[i], rules[n_rules - 1], sizeof rules[i]);
		n_rules--;
	} else if (n_rules < SL_ARRAY_SIZE(rules)) {
		random_rule(rules[n_rules], sizeof rules[n_rules]);
		add_flow(br, rules[n_rules]);
		n_rules++;
	}
}

static void random_bridge(void)
{
	static const char *const buckets[] = {"mod_dl_dst:02:00:00:00:00:21,output:2",
					      "mod_nw_src:9.9.9.9,output:3", "strip_vlan,output:4"};
	static const uint32_t watch[] = {2, 3, 4};
	unsigned n = 5 + rnd(40);

	br = make_bridge("br0");
	for (uint32_t i = 1; i <= PORTS; i++) {
		if (i % 3 == 0)
			add_access(br, i, 5);
		else
			add_plain(br, i);
	}
	add_group(br, 1, GROUP_ALL, 3, buckets, NULL);
	add_group(br, 2, GROUP_SELECT, 3, buckets, NULL);
	add_group(br, 3, GROUP_FAST_FAILOVER, 3, buckets, watch);
	n_rules = 0;
	for (unsigned i = 0; i < n; i++)
		random_change();
	/* Some learnt addresses. */
	for (unsigned i = 0; i < 4; i++) {
		struct flow_key k = random_packet();

		mac_table_learn(br->id, k.eth_src, (uint16_t)(rnd(2) ? 5 : 0), k.in_port, false);
	}
	tables_run(test_now_ms);
}

static void destroy_bridge(void)
{
	bridge_destroy_all();
	for (unsigned i = 0; i < 3; i++)
		tables_run(test_now_ms);
}

static unsigned rounds(unsigned n)
{
	const char *s = getenv("SLUICE_TEST_SCALE");

	return n * (s ? (unsigned)atoi(s) : 1);
}

static void masks_are_never_too_wide(void **state)
{
	for (unsigned round = 0; round < rounds(400); round++) {
		random_bridge();
		for (unsigned i = 0; i < 100; i++) {
			struct flow_key k = random_packet();

			check_flip(&k);
		}
		destroy_bridge();
	}
	assert_int_equal(n_flips, rounds(400) * 100);
}

static void restamped_entries_equal_fresh_ones(void **state)
{
	unsigned kept = 0, affected = 0;

	for (unsigned round = 0; round < rounds(200); round++) {
		random_bridge();
		for (unsigned i = 0; i < 60; i++) {
			struct flow_key k = random_packet();
			struct flow_key mask, written, f, donor;
			struct version_subject s = {.key = &k, .mask = &mask, .written = &written};
			uint64_t since;
			static union prog_word prog[PROG_MAX_WORDS];
			struct prog_builder p = {.word = prog};

			resolve_key(resolver, &k, false, &result);
			mask = result.mask;
			memset(&written, 0, sizeof written);
			if (result.written_lines)
				written = result.written;
			s.deps = result.deps;
			s.lines = result.mask_lines;
			p.n_words = result.prog.n_words;
			memcpy(prog, result.prog.word, p.n_words * sizeof prog[0]);
			since = version_now();
			for (unsigned c = rnd(3) + 1; c; c--) {
				if (rnd(4)) {
					random_change();
				} else {
					struct flow_key l = random_packet();

					mac_table_learn(br->id, l.eth_src,
							(uint16_t)(rnd(2) ? 5 : 0), l.in_port,
							false);
					tables_run(test_now_ms);
				}
			}
			if (version_affects(&s, since, version_now())) {
				affected++;
				continue;
			}
			kept++;
			donor = random_packet();
			f = flip_outside(&k, &mask, &donor, rnd);
			run_a.n = 0;
			run_program(&run_a, &p, &f);
			resolve_key(resolver, &f, false, &other_result);
			run_program(&run_b, &other_result.prog, &f);
			compare_runs(&k, &f, "an entry that nothing concerned has changed");
		}
		destroy_bridge();
	}
	/* Both kinds must occur, else this proves nothing. */
	assert_true(kept > 1000);
	assert_true(affected > 1000);
}

static int setup(void **state)
{
	resolver = resolver_create(0);
	return 0;
}

static int teardown(void **state)
{
	resolver_destroy(resolver);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(masks_are_never_too_wide, setup, teardown),
		cmocka_unit_test_setup_teardown(restamped_entries_equal_fresh_ones, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
