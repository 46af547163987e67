/* SPDX-License-Identifier: BSD-3-Clause */
/* The language: what is read, and one error with its line for everything that is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/policy/check.h"

static struct policy *read_text(const char *text, struct err *e)
{
	struct policy_text t = {"policy.yaml", text, strlen(text)};
	struct policy *p;
	int rc = policy_read(&p, &t, 1, 1000000, e);
	assert_int_equal(!rc, !e->code);
	assert_int_equal(!rc, p != NULL);
	return p;
}

#define HEAD                                                                                       \
	"networks:\n  n: {cidrs: [10.0.0.0/24]}\n"                                                 \
	"endpoints:\n  web1: {network: n, addresses: 10.0.0.1, labels: {app: web}}\n"              \
	"  db1: {network: n, addresses: 10.0.0.2}\n"

static void test_errors(void **state)
{
	static const struct {
		const char *text, *error;
	} bad[] = {
		{HEAD "policies:\n  p: {endpoints: web9}\n",
		 "policy.yaml:7: endpoint \"web9\" is not defined (did you mean \"web1\"?)"},
		{HEAD
		 "policies:\n  p:\n    endpoints: all\n    ingress:\n      - from: [host:dsn]\n"
		 "host: {services: {dns: {ports: udp/53}}}\n",
		 "policy.yaml:10: service \"dsn\" of the host is not defined (did you mean "
		 "\"dns\"?)"},
		{HEAD "polices:\n  p: {endpoints: all}\n",
		 "policy.yaml:6: unknown section \"polices\" (did you mean \"policies\"?)"},
		{HEAD "  web2: {network: n, addresses: 10.0.0.1}\n",
		 "policy.yaml:6: endpoint \"web2\": address 10.0.0.1 belongs to \"web1\" (line 4) "
		 "already"},
		{HEAD "  web2: {network: n, addresses: 10.0.0.0/28}\n",
		 "policy.yaml:6: endpoint \"web2\": address 10.0.0.1 belongs to \"web1\" (line 4) "
		 "already"},
		{HEAD "  web2: {port: web1}\n", "policy.yaml:6: endpoint \"web2\": port web1 "
						"belongs to \"web1\" (line 4) already"},
		{HEAD "  web2: {network: n, addresses: 10.0.9.1}\n",
		 "policy.yaml:6: endpoint \"web2\": address 10.0.9.1 is not in network n "
		 "(10.0.0.0/24)"},
		{HEAD "host: {addresses: 10.0.0.1}\n",
		 "policy.yaml:4: endpoint \"web1\": address 10.0.0.1 is the host's"},
		{HEAD "groups:\n  a: {groups: b}\n  b: {groups: [c]}\n  c: a\n",
		 "policy.yaml:7: group \"a\" contains itself"},
		{"profiles:\n  a: {profile: b}\n  b: {profile: a}\nendpoints: {x: {profile: a}}\n",
		 "policy.yaml:2: profile \"b\" uses itself"},
		{HEAD
		 "policies:\n  p:\n    endpoints: all\n    ingress:\n      - ports: [tcp/70000]\n",
		 "policy.yaml:10: tcp/70000 is impossible: a port is 1 to 65535, a range "
		 "FIRST-LAST"},
		{HEAD "policies:\n  p:\n    endpoints: all\n    ingress:\n"
		      "      - ports: [{protocol: TCP, port: 0}]\n",
		 "policy.yaml:10: port 0 is impossible: 1 to 65535 is wanted"},
		{HEAD "policies:\n  p:\n    endpoints: all\n    ingress:\n"
		      "      - ports: [{protocol: TCP, port: 90, endPort: 80}]\n",
		 "policy.yaml:10: endPort 80 is impossible: 90 to 65535 is wanted"},
		{HEAD "policies:\n  p:\n    endpoints: all\n    ingress:\n      - {to: [db1]}\n",
		 "policy.yaml:10: ingress rules have `from`, not `to`"},
		{HEAD "policies:\n  p:\n    endpoints: all\n    ingress:\n"
		      "      - {action: Deny, from: [db1]}\n",
		 "policy.yaml:10: policies only allow: Deny belongs to adminPolicies or baseline"},
		{HEAD
		 "adminPolicies:\n  p:\n    endpoints: all\n    priority: 1\n    ingress: [{}]\n",
		 "policy.yaml:10: action: Allow, Deny or Pass must be said"},
		{HEAD "policies:\n  p: {endpoints: all}\n  p: {endpoints: all}\n",
		 "policy.yaml:8: policies: \"p\" is there twice (line 7)"},
		{HEAD "policies:\n  p:\n    endpoints: {matchLabel: {a: b}}\n",
		 "policy.yaml:8: unknown key \"matchLabel\": matchLabels, matchExpressions, "
		 "network, "
		 "names and groups are known"},
		{HEAD
		 "policies:\n  p:\n    endpoints: {matchExpressions: [{key: a, operator: In}]}\n",
		 "policy.yaml:8: matchExpressions: In needs values"},
		{HEAD "cidrs: {c: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}\n",
		 "policy.yaml:6: ipBlock: an except is not inside its cidr"},
		{HEAD "cidrs: {c: 10.0.0.1/8}\n",
		 "policy.yaml:6: cidrs: 10.0.0.1/8: bits behind the prefix must be zero"},
		{HEAD "grants:\n  g: {from: host, to: web1}\n",
		 "policy.yaml:7: grant g: from, to and validUntil are needed"},
		{"endpoints:\n  web1: {macs: ff:ff:ff:ff:ff:ff}\n",
		 "policy.yaml:2: endpoint web1: ff:ff:ff:ff:ff:ff is a group address, which no "
		 "endpoint has"},
		{"endpoints:\n  web1: {limits: {rateOut: fast}}\n",
		 "policy.yaml:2: endpoint web1: rateOut: 100mbit (kbit, mbit, gbit) is wanted "
		 "here"},
		{"endpoints:\n  host: {}\n",
		 "policy.yaml:2: endpoint \"host\": that word has a meaning already"},
		{"endpoints: [a, b]\n",
		 "policy.yaml:1: endpoints: a mapping (key: value) is wanted here"},
		{"a: [\n", "policy.yaml:2: did not find expected node content"},
		{HEAD "---\nendpoints: {web1: {}}\n",
		 "policy.yaml:7: endpoint \"web1\": is there twice (line 4)"},
		{HEAD "groups: {a: \"x\\ny\\a\"}\n",
		 "policy.yaml:6: endpoint \"x?y?\" is not defined"},
		{HEAD "cidrs: {web1: 10.0.0.0/8}\n",
		 "policy.yaml:6: cidr \"web1\": an endpoint has that name"},
		{HEAD "cidrs: {c: 10.0.0.0/8}\ngroups: {c: web1}\n",
		 "policy.yaml:6: cidr \"c\": a group has that name"},
		{HEAD "cidrs: {c: 10.0.0.0/8}\n---\ncidrs: {c: 10.0.0.0/8}\n",
		 "policy.yaml:8: cidr \"c\": is there twice"},
		{"endpoints:\n  web1: {macs: '00:00:00:00:00:00'}\n",
		 "policy.yaml:2: endpoint web1: 00:00:00:00:00:00 is no address"},
		{HEAD "grants:\n  g: {from: host, to: web1, validUntil: '2027-02-29T00:00:00Z'}\n",
		 "policy.yaml:7: grant g: validUntil: a time such as 2026-11-22T18:00:00Z is "
		 "wanted here"},
		{HEAD
		 "grants:\n  g: {from: host, to: web1, validUntil: '2027-02-28T00:00:00+24:00'}\n",
		 "policy.yaml:7: grant g: validUntil: a time such as 2026-11-22T18:00:00Z is "
		 "wanted here"},
	};
	for (size_t i = 0; i < SL_ARRAY_SIZE(bad); i++) {
		struct err e = {0};
		assert_null(read_text(bad[i].text, &e));
		assert_string_equal(e.text, bad[i].error);
	}
}

/* One error, quickly, whatever the size. */
static void test_large(void **state)
{
	size_t n = 10 << 20;
	char *text = malloc(n + 1);
	struct policy_text t = {"policy.yaml", text, n};
	struct policy *p;
	struct err e = {0};
	memset(text, ' ', n);
	text[n] = '\0';
	assert_int_not_equal(policy_read(&p, &t, 1, 0, &e), 0);
	assert_string_equal(e.text, "policy.yaml:1: 10.0 MB: a policy has at most 4 MB");
	/* Parsed, these would take longer than anybody waits. */
	for (unsigned i = 0; i < 3; i++) {
		t.len = POLICY_TEXT_MAX;
		for (size_t k = 0; k < t.len; k++)
			text[k] = "[{- "[i < 2 ? i : 2 + k % 2];
		err_clear(&e);
		assert_int_not_equal(policy_read(&p, &t, 1, 0, &e), 0);
		assert_string_equal(e.text, "policy.yaml:1: more than 64 lists and mappings inside "
					    "each other");
	}
	/* Aliases: 40 bytes a rule become millions of peers. */
	e = (struct err){0};
	t.len = (size_t)sprintf(text, "endpoints:\n  a: {}\npolicies:\n  p:\n    endpoints: a\n"
				      "    ingress: &r\n      - from: &f [");
	for (int i = 0; i < 20000; i++)
		t.len += (size_t)sprintf(text + t.len, "a,");
	t.len += (size_t)sprintf(text + t.len, "a]\n");
	for (int i = 0; i < 20000; i++)
		t.len += (size_t)sprintf(text + t.len, "      - from: *f\n");
	assert_int_not_equal(policy_read(&p, &t, 1, 0, &e), 0);
	assert_non_null(strstr(e.text, "too many parts"));
	free(text);
}

static void test_profiles_and_labels(void **state)
{
	struct err e = {0};
	struct policy *p =
		read_text("networks:\n  n: {limits: {rateOut: 1gbit, macs: 4}}\n"
			  "profiles:\n"
			  "  base: {network: n, labels: {app: x, tier: low}, limits: "
			  "{rateOut: 10mbit}, guards: {protected: true}}\n"
			  "  web: {profile: base, labels: {app: web}}\n"
			  "endpoints:\n"
			  "  w: {profile: web, macs: \"02:00:00:00:00:01\", labels: {z: a}}\n",
			  &e);
	const struct policy_endpoint *w;
	assert_non_null(p);
	assert_int_equal(p->endpoints.len, 1);
	w = &p->endpoints.at[0];
	assert_string_equal(w->port, "w");
	assert_int_equal(w->labels.len, 3);
	assert_string_equal(w->labels.at[0].value, "web");
	assert_string_equal(w->labels.at[1].value, "low");
	assert_int_equal(w->limits.out_kbps, 10000);
	assert_int_equal(w->limits.macs, 4);
	assert_int_equal(w->flags, POLICY_PROTECTED | POLICY_CHECK_MACS);
	policy_free(p);
}

/* Kubernetes: policyTypes defaults to Ingress, and Egress if there are egress rules. */
static void test_isolation(void **state)
{
	static const struct {
		const char *policy;
		int isolated;
	} rows[] = {{"{endpoints: all}", 1},
		    {"{endpoints: all, egress: []}", 3},
		    {"{endpoints: all, policyTypes: [Egress]}", 2},
		    {"{endpoints: all, policyTypes: [], ingress: [{}]}", 0},
		    {"{endpoints: {matchLabels: {app: none}}}", 0},
		    {"{endpoints: {}}", 1}};
	for (size_t i = 0; i < SL_ARRAY_SIZE(rows); i++) {
		char *text = xasprintf("endpoints: {a: {}}\npolicies: {p: %s}\n", rows[i].policy);
		struct err e = {0};
		struct policy *p = read_text(text, &e);
		assert_non_null(p);
		assert_int_equal(p->endpoints.at[0].isolated, rows[i].isolated);
		policy_free(p);
		free(text);
	}
}

static void digest(const char *text, uint8_t out[32], bool document)
{
	struct err e = {0};
	struct policy *p = read_text(text, &e);
	assert_non_null(p);
	policy_digest(p, document ? text : "", document ? strlen(text) : 0, out);
	policy_free(p);
}

static void test_digest(void **state)
{
	uint8_t a[32], b[32], c[32];
	digest(HEAD "policies: {p: {endpoints: all}}\n", a, false);
	digest("policies: {p: {endpoints: [web1, db1]}}\n" HEAD, b, false);
	assert_memory_equal(a, b, 32); /* the same policy in other words */
	digest(HEAD "policies: {p: {endpoints: web1}}\n", c, false);
	assert_memory_not_equal(a, c, 32);
	digest(HEAD "policies: {p: {endpoints: all}}\n", b, true);
	assert_memory_not_equal(a, b, 32); /* the text is part of what is sent */
}

static uint32_t id_of(const char *text, const char *name)
{
	struct err e = {0};
	struct policy *p = read_text(text, &e);
	uint32_t id = 0;
	assert_non_null(p);
	VEC_FOR_EACH (ep, &p->endpoints)
		if (!strcmp(ep->name, name))
			id = ep->id;
	policy_free(p);
	assert_int_not_equal(id, 0);
	return id;
}

static void test_ids_are_stable(void **state)
{
	assert_int_equal(id_of(HEAD, "web1"), id_of("endpoints:\n  a: {}\n  web1: {}\n", "web1"));
	assert_int_not_equal(id_of(HEAD, "web1"), id_of(HEAD, "db1"));
}

static void test_message_is_valid(void **state)
{
	struct err e = {0};
	struct policy *p = read_text(
		HEAD
		"host: {addresses: 10.0.0.254, services: {dns: {ports: udp/53}}}\n"
		"adminPolicies:\n  a: {endpoints: all, priority: 7, ingress: [{action: Deny}]}\n"
		"policies:\n  p:\n    endpoints: web1\n    egress:\n"
		"      - {to: [host:dns, db1], limits: {rate: 1mbit}, log: true}\n"
		"grants: {g: {from: host, to: web1, ports: tcp/22, validUntil: "
		"\"2100-01-01T00:00:00Z\"}}\n",
		&e);
	struct msg m;
	size_t rules = 0;
	assert_non_null(p);
	msg_init(&m, API_TRANSACTION, 0);
	policy_encode(p, "x", 1, 5000, &m);
	msg_finish(&m);
	assert_int_equal(msg_check(m.data, m.len, &e), 0);
	ATTR_FOR_EACH (op, msg_attrs(m.data))
		ATTR_FOR_EACH (it, attr_nest(op))
			rules += it->id == ATTR_POLICY_RULE;
	assert_int_equal(rules, 4); /* deny, two pieces of p, the grant */
	msg_free(&m);
	policy_free(p);
}

static void test_grants_end(void **state)
{
	const char *text = "endpoints: {a: {}}\ngrants: {g: {from: host, to: a, validUntil: "
			   "\"2026-01-01T00:00:00Z\"}}\n";
	struct policy_text t = {"p", text, strlen(text)};
	struct policy *p;
	struct err e = {0};
	uint64_t until;
	assert_true(policy_parse_time("2026-01-01T00:00:00Z", &until));
	assert_int_equal(policy_read(&p, &t, 1, until - 1, &e), 0);
	assert_int_equal(p->rules.len, 1);
	policy_free(p);
	assert_int_equal(policy_read(&p, &t, 1, until, &e), 0);
	assert_int_equal(p->rules.len, 0);
	policy_free(p);
}

static void test_words(void **state)
{
	static const char *const services[] = {"tcp/22",   "udp/1000-2000", "icmp/8",
					       "icmp/3/4", "icmpv6/128",    "sctp",
					       "proto/47", "tcp",           "any"};
	uint64_t ms;
	for (size_t i = 0; i < SL_ARRAY_SIZE(services); i++) {
		struct policy_services list = {0};
		struct str out = STR_INIT;
		assert_null(policy_parse_service(services[i], &list));
		policy_format_service(&list.list.at[0], &out);
		assert_string_equal(str_cstr(&out), services[i]);
		str_free(&out);
		vec_free(&list.list);
	}
	assert_true(policy_parse_time("1970-01-02T01:00:00+01:00", &ms) && ms == 86400000);
	assert_false(policy_parse_time("2026-01-01", &ms));
	assert_true(policy_parse_duration("30m", &ms) && ms == 1800000);
	assert_false(policy_parse_duration("30", &ms));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_profiles_and_labels),
		cmocka_unit_test(test_isolation),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_ids_are_stable),
		cmocka_unit_test(test_message_is_valid),
		cmocka_unit_test(test_grants_end),
		cmocka_unit_test(test_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
