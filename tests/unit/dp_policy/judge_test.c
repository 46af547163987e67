/* SPDX-License-Identifier: BSD-3-Clause */
/* The classifier against a plain reading of docs/decisions/policy.md: random policies, random
 * questions; every rule is looked at in order, every prefix compared bit by bit. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the four that it needs */
#include <cmocka.h>

#include "datapath/policy/policy.h"

enum { ENDPOINTS = 12, PEERS = 8, RULES = 40, HOST_ID = 500 };

static uint64_t seed = 1;
static uint32_t rnd(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % n;
}

struct made {
	struct policy_endpoint_spec ep[ENDPOINTS];
	struct policy_prefix ep_prefix[ENDPOINTS][3];
	struct policy_peers_spec peers[PEERS];
	struct policy_prefix peer_prefix[PEERS][6];
	uint32_t peer_ids[PEERS][ENDPOINTS];
	struct policy_rule_spec rule[RULES];
	struct policy_service service[RULES][3];
	uint32_t rule_ids[RULES][ENDPOINTS];
	char name[RULES][16];
	struct policy_network_spec net[2];
	struct policy_spec spec;
};

/* Few different addresses, so that things meet. */
static void random_addr(uint8_t family, uint8_t out[16])
{
	memset(out, 0, 16);
	if (family == 4) {
		out[0] = 10;
		out[1] = (uint8_t)rnd(2);
		out[2] = (uint8_t)(rnd(2) * 128);
		out[3] = (uint8_t)rnd(4);
	} else {
		out[0] = 0xfd;
		out[7] = (uint8_t)rnd(2);
		out[15] = (uint8_t)rnd(4);
	}
}

static struct policy_prefix random_prefix(bool host_length)
{
	static const uint8_t bits4[] = {0, 8, 16, 17, 24, 31, 32}, bits6[] = {0, 8, 64, 127, 128};
	struct policy_prefix p = {.family = rnd(2) ? 4 : 6, .except = !host_length && !rnd(4)};

	random_addr(p.family, p.addr);
	p.bits = p.family == 4 ? bits4[rnd(sizeof bits4)] : bits6[rnd(sizeof bits6)];
	if (host_length)
		p.bits = p.family == 4 ? 32 : 128;
	return p;
}

static size_t random_ids(uint32_t *out)
{
	size_t n = 0;

	for (uint32_t i = 0; i < ENDPOINTS; i++)
		if (!rnd(3))
			out[n++] = i == 0 ? HOST_ID : 100 + i;
	return n;
}

static struct policy_service random_service(void)
{
	static const uint8_t protos[] = {1, 6, 17, 47, 0xff};
	struct policy_service s = {.proto = protos[rnd(sizeof protos)], .first = (uint16_t)rnd(6)};

	s.last = rnd(2) ? s.first : (uint16_t)(s.first + rnd(5));
	return s;
}

static void make(struct made *m)
{
	memset(m, 0, sizeof *m);
	for (unsigned i = 0; i < 2; i++)
		m->net[i] = (struct policy_network_spec){.id = i + 1, .name = "net"};
	for (unsigned i = 0; i < ENDPOINTS; i++) {
		struct policy_endpoint_spec *e = &m->ep[i];

		e->id = i == 0 ? HOST_ID : 100 + i;
		e->flags = i == 0 ? POLICY_IS_HOST : 0;
		e->name = e->port = "";
		e->has_network = i != 0 && rnd(4);
		e->network_id = 1 + rnd(2);
		e->isolated = (uint8_t)rnd(4);
		e->prefixes = m->ep_prefix[i];
		e->n_prefixes = rnd(4);
		for (unsigned k = 0; k < e->n_prefixes; k++)
			m->ep_prefix[i][k] = random_prefix(true);
	}
	for (unsigned i = 0; i < PEERS; i++) {
		struct policy_peers_spec *p = &m->peers[i];

		p->id = 10 + i;
		p->flags = rnd(4) ? 0 : rnd(4);
		p->prefixes = m->peer_prefix[i];
		p->n_prefixes = rnd(7);
		for (unsigned k = 0; k < p->n_prefixes; k++)
			m->peer_prefix[i][k] = random_prefix(false);
		p->endpoint_ids = m->peer_ids[i];
		p->n_endpoint_ids = random_ids(m->peer_ids[i]);
	}
	for (unsigned i = 0; i < RULES; i++) {
		struct policy_rule_spec *r = &m->rule[i];

		snprintf(m->name[i], sizeof m->name[i], "rule%u", i);
		r->name = m->name[i];
		r->direction = (uint8_t)rnd(2);
		r->tier = (uint8_t)rnd(3);
		r->verdict = r->tier == POLICY_TIER_ALLOWS ? POLICY_ALLOW : (uint8_t)rnd(3);
		r->priority = rnd(4);
		r->has_peers = rnd(5);
		r->peers_id = 10 + rnd(PEERS);
		r->endpoint_ids = m->rule_ids[i];
		r->n_endpoint_ids = random_ids(m->rule_ids[i]);
		r->services = m->service[i];
		r->n_services = rnd(4);
		for (unsigned k = 0; k < r->n_services; k++)
			m->service[i][k] = random_service();
	}
	m->spec = (struct policy_spec){.networks = m->net,
				       .n_networks = 2,
				       .endpoints = m->ep,
				       .n_endpoints = ENDPOINTS,
				       .peers = m->peers,
				       .n_peers = PEERS,
				       .rules = m->rule,
				       .n_rules = RULES};
}

/* ---- the plain reading ---- */
static bool covers(const struct policy_prefix *p, uint8_t family, const uint8_t *addr)
{
	if (p->family != family)
		return false;
	for (unsigned i = 0; i < p->bits; i++)
		if ((p->addr[i / 8] ^ addr[i / 8]) & (0x80 >> i % 8))
			return false;
	return true;
}

static bool in_prefixes(const struct policy_prefix *p, size_t n, uint8_t family,
			const uint8_t *addr, bool full_only)
{
	int best = -1;
	bool in = false;

	for (size_t i = 0; i < n; i++) {
		if (!covers(&p[i], family, addr) ||
		    (full_only && p[i].bits != (family == 4 ? 32 : 128)))
			continue;
		if (p[i].bits > best || (p[i].bits == best && p[i].except)) {
			best = p[i].bits;
			in = !p[i].except;
		}
	}
	return in;
}

static bool lists(const uint32_t *ids, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

static bool names_peer(const struct made *m, const struct policy_rule_spec *r,
		       const struct policy_question *q)
{
	const struct policy_peers_spec *p = &m->peers[r->peers_id - 10];
	bool host = q->peer_kind == POLICY_HOST;

	if (!r->has_peers)
		return !host;
	if (host ? p->flags & POLICY_PEER_HOST : p->flags & POLICY_PEER_ANY)
		return true;
	if (host && lists(p->endpoint_ids, p->n_endpoint_ids, HOST_ID))
		return true;
	if (q->peer_kind == POLICY_ENDPOINT &&
	    lists(p->endpoint_ids, p->n_endpoint_ids, m->ep[q->peer].id))
		return true;
	return in_prefixes(p->prefixes, p->n_prefixes, q->family, q->peer_addr, host);
}

static bool names_service(const struct policy_rule_spec *r, const struct policy_question *q)
{
	for (size_t i = 0; i < r->n_services; i++) {
		const struct policy_service *s = &r->services[i];

		if ((s->proto == 0xff || s->proto == q->proto) && s->first <= q->service &&
		    s->last >= q->service)
			return true;
	}
	return !r->n_services;
}

/* The rule of that tier that comes first among those that apply; NULL: none. */
static const struct policy_rule_spec *first(const struct made *m, uint8_t tier, uint32_t self,
					    const struct policy_question *q)
{
	const struct policy_rule_spec *best = NULL;

	for (unsigned i = 0; i < RULES; i++) {
		const struct policy_rule_spec *r = &m->rule[i];

		if (r->tier != tier || r->direction != q->direction ||
		    !lists(r->endpoint_ids, r->n_endpoint_ids, self) || !names_peer(m, r, q) ||
		    !names_service(r, q))
			continue;
		if (!best || (tier == POLICY_TIER_ADMIN && r->priority < best->priority))
			best = r;
	}
	return best;
}

static const char *reference(const struct made *m, uint32_t self, const struct policy_question *q,
			     bool *allow)
{
	const struct policy_endpoint_spec *e = &m->ep[self];
	const struct policy_rule_spec *r = first(m, POLICY_TIER_ADMIN, e->id, q);

	*allow = r && r->verdict == POLICY_ALLOW;
	if (r && r->verdict != POLICY_PASS)
		return r->name;
	*allow = true;
	r = first(m, POLICY_TIER_ALLOWS, e->id, q);
	if (r)
		return r->name;
	*allow = false;
	if (q->peer_kind == POLICY_HOST && !(e->flags & POLICY_IS_HOST))
		return "default/host-deny";
	if (e->isolated & (1u << q->direction))
		return "default/isolated";
	r = first(m, POLICY_TIER_BASELINE, e->id, q);
	*allow = !r || r->verdict != POLICY_DENY;
	return r && r->verdict != POLICY_PASS ? r->name : "default/allow";
}

static uint32_t reference_owner(const struct made *m, uint32_t network, uint8_t family,
				const uint8_t *addr)
{
	for (unsigned round = network == POLICY_NONE; round < 2; round++) {
		uint32_t found = POLICY_NONE;
		unsigned n = 0;

		for (uint32_t i = 0; i < ENDPOINTS; i++) {
			const struct policy_endpoint_spec *e = &m->ep[i];

			if (!round && (!e->has_network || e->network_id != network + 1))
				continue;
			if (!in_prefixes(e->prefixes, e->n_prefixes, family, addr, false))
				continue;
			found = i;
			n++;
		}
		if (n)
			return n == 1 ? found : POLICY_NONE;
	}
	return POLICY_NONE;
}

static void check(const struct made *m, const struct policy *p)
{
	uint32_t self = rnd(ENDPOINTS), network = rnd(3);
	uint8_t addr[16];
	static const uint8_t protos[] = {1, 6, 17, 47};
	struct policy_question q = {.self = &p->endpoints[self],
				    .direction = (uint8_t)rnd(2),
				    .peer_kind = (uint8_t)rnd(3),
				    .family = rnd(2) ? 4 : 6,
				    .proto = protos[rnd(sizeof protos)],
				    .service = (uint16_t)rnd(8),
				    .peer = 1 + rnd(ENDPOINTS - 1),
				    .peer_addr = addr};
	struct policy_answer got;
	const char *want;
	bool allow;

	random_addr(q.family, addr);
	got = policy_judge(p, &q);
	want = reference(m, self, &q, &allow);
	assert_string_equal(policy_slot_name(got.slot), want);
	assert_int_equal(got.allow, allow);
	assert_int_equal(got.drop == DROP_NONE, allow);
	network = network == 2 ? POLICY_NONE : network;
	assert_int_equal(policy_owner(p, network, q.family, addr),
			 reference_owner(m, network, q.family, addr));
}

static struct policy *create(const struct made *m)
{
	struct policy *p = NULL;
	struct err e = {0};

	if (policy_create(&p, &m->spec, &e))
		fail_msg("%s", e.text);
	for (uint32_t i = 0; i < p->n_rules; i++)
		p->rules[i].active = 1;
	return p;
}

static void test_verdicts_equal_the_plain_reading(void **state)
{
	struct made *m = malloc(sizeof *m);

	for (unsigned i = 0; i < 400; i++) {
		struct policy *p;

		make(m);
		p = create(m);
		for (unsigned k = 0; k < 500; k++)
			check(m, p);
		policy_destroy(p);
	}
	free(m);
}

static void test_rules_out_of_their_time_do_not_count(void **state)
{
	static const uint32_t id = 101;
	struct policy_rule_spec r = {.name = "grant",
				     .tier = POLICY_TIER_ALLOWS,
				     .endpoint_ids = &id,
				     .n_endpoint_ids = 1};
	struct policy_endpoint_spec e = {.id = id, .name = "e", .port = "p", .isolated = 1};
	struct policy_spec s = {.endpoints = &e, .n_endpoints = 1, .rules = &r, .n_rules = 1};
	uint8_t addr[16] = {10};
	struct policy *p;
	struct err err = {0};

	assert_int_equal(policy_create(&p, &s, &err), 0);
	struct policy_question q = {.self = &p->endpoints[0], .family = 4, .peer_addr = addr};
	assert_false(policy_judge(p, &q).allow);
	p->rules[0].active = 1;
	assert_true(policy_judge(p, &q).allow);
	policy_destroy(p);
}

static void test_same_rules_share_one_list(void **state)
{
	enum { N = 3000 };
	static struct policy_endpoint_spec e[N];
	static struct policy_rule_spec r[1000];
	static uint32_t ids[N];
	struct policy_spec s = {.endpoints = e, .n_endpoints = N, .rules = r, .n_rules = 1000};
	struct policy *p;
	struct err err = {0};

	for (uint32_t i = 0; i < N; i++) {
		ids[i] = i;
		e[i] = (struct policy_endpoint_spec){.id = i, .name = "e", .port = ""};
	}
	for (uint32_t i = 0; i < 1000; i++)
		r[i] = (struct policy_rule_spec){.name = "r",
						 .tier = POLICY_TIER_ALLOWS,
						 .endpoint_ids = ids,
						 .n_endpoint_ids = N};
	assert_int_equal(policy_create(&p, &s, &err), 0);
	assert_int_equal(p->n_lists, 1);
	assert_int_equal(p->lists[0].n, 1000);
	policy_destroy(p);
	/* A rule more for each of them makes 3,000 lists of 1,001; with 6,000 rules it is too
	 * much and is refused. */
	static struct policy_rule_spec many[9000];
	for (uint32_t i = 0; i < 9000; i++)
		many[i] = i < 6000 ? r[0]
				   : (struct policy_rule_spec){.name = "own",
							       .tier = POLICY_TIER_ALLOWS,
							       .endpoint_ids = &ids[i - 6000],
							       .n_endpoint_ids = 1};
	s.rules = many;
	s.n_rules = 9000;
	assert_int_equal(policy_create(&p, &s, &err), -E2BIG);
}

static void test_counts_stay_with_the_name(void **state)
{
	uint32_t a = policy_slot_take("kept"), b;
	struct policy_hit h;

	policy_count(3, a, 100, true, 7);
	policy_count(4, a, 50, false, 9);
	policy_slot_put(a);
	b = policy_slot_take("kept");
	assert_int_equal(a, b);
	policy_slot_sum(b, &h);
	assert_int_equal(h.pkts, 2);
	assert_int_equal(h.bytes, 150);
	assert_int_equal(h.conns, 1);
	assert_int_equal(h.last_ms, 9);
	policy_slot_put(b);
}

static void test_rates(void **state)
{
	struct rate_limiter l;
	unsigned passed = 0;

	rate_limiter_init(&l, 1000, 100, 1);
	for (uint64_t ns = 1000000000; ns < 2000000000; ns += 100000)
		passed += !rate_limiter_exceeds(&l, 1, ns);
	assert_in_range(passed, 1095, 1102); /* 1,000 a second and a burst of 100 */
	rate_limiter_init(&l, 0, 0, 1);
	assert_false(rate_limiter_exceeds(&l, 1 << 30, 5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts_equal_the_plain_reading),
		cmocka_unit_test(test_rules_out_of_their_time_do_not_count),
		cmocka_unit_test(test_same_rules_share_one_list),
		cmocka_unit_test(test_counts_stay_with_the_name),
		cmocka_unit_test(test_rates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
