/* SPDX-License-Identifier: BSD-3-Clause */
/* Random policies: what is written as text goes through reader and checker, and the same policy as
 * plain structs through a naive evaluator that knows neither. Every suggestion is read back
 * together with its policy and must turn the answer over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/policy/check.h"

enum { ENDPOINTS = 6, POLICIES = 5, RULES = 3, ROUNDS = 700, QUESTIONS = 30 };

static uint64_t seed = 0x243f6a8885a308d3;
static unsigned pick(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 20) % n);
}

/* ---- the policy as plain structs ---- */

struct plain_rule {
	int action; /* 0 allow 1 deny 2 pass */
	enum { ANY, NAMES, LABEL, HOST, BLOCK, OUTSIDE } peers;
	unsigned names; /* bit per endpoint */
	int label;
	bool except;
	int proto; /* 0: every service */
	unsigned first, last;
};
struct plain_policy {
	int tier, priority;
	enum { ALL, SOME, LABELLED, NOT_LABELLED, THE_HOST } who;
	unsigned names;
	int label;
	int types; /* bits: isolated directions; -1: not said */
	int n[2];
	struct plain_rule rule[2][RULES];
};
struct plain {
	int label[ENDPOINTS]; /* 0 none, 1, 2 */
	int n;
	struct plain_policy policy[POLICIES];
};

static bool selects(const struct plain *w, const struct plain_policy *p, int who) /* -1: host */
{
	if (who < 0 || p->who == THE_HOST)
		return who < 0 && p->who == THE_HOST;
	switch (p->who) {
	case ALL:
		return true;
	case SOME:
		return p->names >> who & 1;
	case LABELLED:
		return w->label[who] == p->label;
	case NOT_LABELLED:
		return w->label[who] != p->label;
	case THE_HOST:
		return false;
	}
	return false;
}

/* Ends: 0… endpoints with 10.0.0.(10 + i), -1 the host, -2 192.0.2.1, -3 192.0.2.200. */
static bool peer_is(const struct plain *w, const struct plain_rule *r, int peer)
{
	switch (r->peers) {
	case ANY:
		return peer != -1;
	case NAMES:
		return peer >= 0 && r->names >> peer & 1;
	case LABEL:
		return peer >= 0 && w->label[peer] == r->label;
	case HOST:
		return peer == -1;
	case BLOCK: /* 192.0.2.0/24, perhaps without its upper half */
		return peer == -2 || (peer == -3 && !r->except);
	case OUTSIDE:
		return peer < -1;
	}
	return false;
}

static bool serves(const struct plain_rule *r, int proto, unsigned port)
{
	return !r->proto || (r->proto == proto && port >= r->first && port <= r->last);
}

/* 1 allow, 0 deny. */
static int edge(const struct plain *w, int who, int dir, int peer, int proto, unsigned port)
{
	int best = 1 << 20, verdict = -1;
	bool isolated = false, allowed = false;
	for (int i = 0; i < w->n; i++) {
		const struct plain_policy *p = &w->policy[i];
		if (!selects(w, p, who))
			continue;
		if (p->tier == 1 && (p->types < 0 ? dir == 0 || p->n[1] : p->types >> dir & 1))
			isolated = true;
		for (int k = 0; k < p->n[dir]; k++) {
			const struct plain_rule *r = &p->rule[dir][k];
			if (!peer_is(w, r, peer) || !serves(r, proto, port))
				continue;
			if (p->tier == 1)
				allowed = true;
			else if (p->tier == 0 && p->priority < best) {
				best = p->priority;
				verdict = r->action;
			}
		}
	}
	if (verdict == 0 || verdict == 1)
		return verdict == 0;
	if (allowed)
		return 1;
	if ((peer == -1 && who >= 0) || isolated)
		return 0;
	for (int i = 0; i < w->n; i++) {
		const struct plain_policy *p = &w->policy[i];
		for (int k = 0; p->tier == 2 && selects(w, p, who) && k < p->n[dir]; k++)
			if (peer_is(w, &p->rule[dir][k], peer) &&
			    serves(&p->rule[dir][k], proto, port))
				return p->rule[dir][k].action == 0;
	}
	return 1;
}

static int naive(const struct plain *w, int from, int to, int proto, unsigned port)
{
	int good = 1;
	if (from >= -1)
		good &= edge(w, from, 1, to, proto, port);
	if (to >= -1)
		good &= edge(w, to, 0, from, proto, port);
	return good;
}

/* ---- making one, and its text ---- */

static void make_rule(struct plain_rule *r, int tier)
{
	*r = (struct plain_rule){.peers = pick(6),
				 .names = 1 + pick((1 << ENDPOINTS) - 1),
				 .label = 1 + (int)pick(2),
				 .except = pick(2)};
	r->action = tier == 1 ? 0 : (int)pick(tier == 0 ? 3 : 2);
	r->proto = (const int[]){0, 6, 6, 17}[pick(4)];
	r->first = 20 + pick(5);
	r->last = r->first + pick(4);
}

static void make(struct plain *w)
{
	memset(w, 0, sizeof *w);
	for (int i = 0; i < ENDPOINTS; i++)
		w->label[i] = (int)pick(3);
	w->n = 1 + (int)pick(POLICIES);
	for (int i = 0; i < w->n; i++) {
		struct plain_policy *p = &w->policy[i];
		p->tier = (const int[]){1, 1, 1, 0, 2}[pick(5)];
		p->priority = 10 + 10 * i; /* different: the order within one is tested elsewhere */
		p->who = pick(5);
		p->names = 1 + pick((1 << ENDPOINTS) - 1);
		p->label = 1 + (int)pick(2);
		p->types = (int)pick(5) - 1;
		for (int dir = 0; dir < 2; dir++) {
			p->n[dir] = (int)pick(RULES + 1);
			for (int k = 0; k < p->n[dir]; k++)
				make_rule(&p->rule[dir][k], p->tier);
			if (p->tier == 0 && p->n[dir] > 1)
				p->n[dir] = 1;
		}
	}
}

static void put_names(struct str *s, unsigned names)
{
	const char *comma = "[";
	for (int i = 0; i < ENDPOINTS; i++)
		if (names >> i & 1) {
			str_printf(s, "%se%d", comma, i);
			comma = ", ";
		}
	str_putc(s, ']');
}

static void put_peers(struct str *s, const struct plain_rule *r, int dir)
{
	if (r->peers == ANY)
		return;
	str_printf(s, "          %s: ", dir ? "to" : "from");
	switch (r->peers) {
	case NAMES:
		put_names(s, r->names);
		break;
	case LABEL:
		str_printf(s, "[{matchLabels: {l: v%d}}]", r->label);
		break;
	case HOST:
		str_puts(s, "[host]");
		break;
	case BLOCK:
		str_printf(s, "[{ipBlock: {cidr: 192.0.2.0/24%s}}]",
			   r->except ? ", except: [192.0.2.128/25]" : "");
		break;
	case OUTSIDE:
		str_puts(s, "[outside]");
		break;
	case ANY:
		break;
	}
	str_putc(s, '\n');
}

static void put_rule(struct str *s, const struct plain_policy *p, const struct plain_rule *r,
		     int dir)
{
	static const char *const actions[] = {"Allow", "Deny", "Pass"};
	str_puts(s, "        - description: x\n");
	if (p->tier != 1)
		str_printf(s, "          action: %s\n", actions[r->action]);
	put_peers(s, r, dir);
	if (r->proto)
		str_printf(s, "          ports: [%s/%u-%u]\n", r->proto == 6 ? "tcp" : "udp",
			   r->first, r->last);
}

static void put_policy(struct str *s, const struct plain_policy *p, int i)
{
	static const char *const types[] = {"[]", "[Ingress]", "[Egress]", "[Ingress, Egress]"};
	str_printf(s, "  p%d:\n    endpoints: ", i);
	switch (p->who) {
	case ALL:
		str_puts(s, "all\n");
		break;
	case SOME:
		put_names(s, p->names);
		str_putc(s, '\n');
		break;
	case LABELLED:
		str_printf(s, "{matchLabels: {l: v%d}}\n", p->label);
		break;
	case NOT_LABELLED:
		str_printf(s, "{matchExpressions: [{key: l, operator: NotIn, values: [v%d]}]}\n",
			   p->label);
		break;
	case THE_HOST:
		str_puts(s, "host\n");
		break;
	}
	if (p->tier == 0)
		str_printf(s, "    priority: %d\n", p->priority);
	if (p->tier == 1 && p->types >= 0)
		str_printf(s, "    policyTypes: %s\n", types[p->types]);
	for (int dir = 0; dir < 2; dir++) {
		if (p->n[dir])
			str_printf(s, "    %s:\n", dir ? "egress" : "ingress");
		for (int k = 0; k < p->n[dir]; k++)
			put_rule(s, p, &p->rule[dir][k], dir);
	}
}

static void put_text(struct str *s, const struct plain *w)
{
	static const char *const sections[] = {"adminPolicies", "policies", "baseline"};
	str_puts(s, "host: {addresses: 10.0.0.1}\nendpoints:\n");
	for (int i = 0; i < ENDPOINTS; i++) {
		str_printf(s, "  e%d: {addresses: 10.0.0.%d", i, 10 + i);
		if (w->label[i])
			str_printf(s, ", labels: {l: v%d}", w->label[i]);
		str_puts(s, "}\n");
	}
	for (int tier = 0; tier < 3; tier++) {
		bool first = true;
		for (int i = 0; i < w->n; i++) {
			if (w->policy[i].tier != tier)
				continue;
			if (first)
				str_printf(s, "%s:\n", sections[tier]);
			first = false;
			put_policy(s, &w->policy[i], i);
		}
	}
}

/* ---- comparing ---- */

static void name_end(int end, char *out, size_t size)
{
	if (end >= 0)
		snprintf(out, size, "e%d", end);
	else
		snprintf(out, size, "%s",
			 end == -1   ? "host"
			 : end == -2 ? "192.0.2.1"
				     : "192.0.2.200");
}

static bool verdict(const char *text, const char *more, const char *from, const char *to,
		    const char *service, struct str *suggestion, bool *can)
{
	struct policy_text texts[] = {{"policy", text, strlen(text)}, {"more", more, strlen(more)}};
	struct policy_question q;
	struct policy_answer a;
	struct policy *p;
	struct err e = {0};
	if (policy_read(&p, texts, 2, 1, &e))
		fail_msg("%s\n%s\n---\n%s", e.text, text, more);
	assert_int_equal(policy_ask(p, from, to, 4, service, 1, &q, &e), 0);
	policy_answer(p, &q, &a);
	if (suggestion)
		*can = policy_suggest(p, &q, suggestion);
	policy_free(p);
	return a.allow;
}

static void test_random(void **state)
{
	unsigned long asked = 0, allowed = 0, turned = 0;
	for (int round = 0; round < ROUNDS; round++) {
		struct str text = STR_INIT;
		struct plain w;
		make(&w);
		put_text(&text, &w);
		for (int i = 0; i < QUESTIONS; i++) {
			int from = (int)pick(ENDPOINTS + 3) - 3, to = (int)pick(ENDPOINTS + 3) - 3;
			int proto = pick(3) ? 6 : 17;
			unsigned port = 18 + pick(12);
			struct str suggestion = STR_INIT;
			char a[16], b[16], service[16];
			bool is, can = false;
			if (from == to)
				continue;
			name_end(from, a, sizeof a);
			name_end(to, b, sizeof b);
			snprintf(service, sizeof service, "%s/%u", proto == 6 ? "tcp" : "udp",
				 port);
			is = verdict(str_cstr(&text), "", a, b, service, &suggestion, &can);
			if (is != naive(&w, from, to, proto, port))
				fail_msg("%s -> %s %s: %d\n%s", a, b, service, is, str_cstr(&text));
			if (can) {
				if (verdict(str_cstr(&text), str_cstr(&suggestion), a, b, service,
					    NULL, NULL) == is)
					fail_msg("%s -> %s %s\n%s---\n%s", a, b, service,
						 str_cstr(&text), str_cstr(&suggestion));
				turned++;
			}
			assert_true(suggestion.len > 0);
			str_free(&suggestion);
			asked++;
			allowed += is;
		}
		str_free(&text);
	}
	printf("%lu questions, %lu allowed, %lu turned over by their suggestion\n", asked, allowed,
	       turned);
	assert_true(asked > 10000 && allowed > asked / 10 && allowed < asked * 9 / 10);
	assert_true(turned > asked / 2);
}

/* ---- by hand ---- */

static struct policy *read_text(const char *text)
{
	struct policy_text t = {"p", text, strlen(text)};
	struct policy *p;
	struct err e = {0};
	if (policy_read(&p, &t, 1, 1, &e))
		fail_msg("%s", e.text);
	return p;
}

static void expect(const struct policy *p, const char *from, const char *to, const char *service,
		   bool allow, const char *rule)
{
	struct policy_question q;
	struct policy_answer a;
	struct err e = {0};
	assert_int_equal(policy_ask(p, from, to, 0, service, 1, &q, &e), 0);
	policy_answer(p, &q, &a);
	if (a.allow != allow || strcmp(a.name, rule))
		fail_msg("%s -> %s %s: %d by %s", from, to, service, a.allow, a.name);
}

static void test_host_and_services(void **state)
{
	struct policy *p = read_text(
		"host:\n  addresses: 10.0.0.1\n  services:\n"
		"    dns: {addresses: 10.0.0.1, ports: [udp/53]}\n"
		"    metadata: {addresses: 169.254.169.254, ports: [tcp/80]}\n"
		"endpoints: {a: {addresses: 10.0.0.2}, b: {addresses: 10.0.0.3}}\n"
		"policies:\n  p:\n    endpoints: a\n    policyTypes: []\n    egress:\n"
		"      - to: [host:metadata]\n      - to: [{ipBlock: {cidr: 0.0.0.0/0}}]\n");
	expect(p, "a", "host:metadata", "tcp/80", true, "p/egress[0]");
	expect(p, "a", "169.254.169.254", "tcp/80", true, "p/egress[0]");
	expect(p, "a", "host", "tcp/80", false, "default/host-deny"); /* another address */
	expect(p, "a", "host:dns", "udp/53", false,
	       "default/host-deny"); /* 0.0.0.0/0 is not the host */
	expect(p, "a", "8.8.8.8", "udp/53", true, "p/egress[1]");
	expect(p, "b", "host:metadata", "tcp/80", false, "default/host-deny");
	policy_free(p);
}

/* Whatever one ipBlock leaves out, another may bring: a rule's peers are the union of all. */
static void test_blocks_add_up(void **state)
{
	enum { MIXTURES = 200, BLOCKS = 3, SPACE = 64 };
	unsigned dice = 7;
	for (unsigned round = 0; round < MIXTURES; round++) {
		bool wanted[SPACE] = {0};
		struct str text = STR_INIT;
		struct policy *p;
		str_puts(&text,
			 "endpoints: {a: {}}\npolicies: {p: {endpoints: a, ingress: [{from: [");
		for (unsigned b = 0; b < BLOCKS; b++) {
			unsigned bits = (unsigned)rand_r(&dice) % 4, more = bits, n = 64u >> bits;
			unsigned at = (unsigned)rand_r(&dice) % SPACE / n * n, out = SPACE, m = 0;
			str_printf(&text, "%s{ipBlock: {cidr: 192.0.2.%u/%u", b ? ", " : "", at,
				   26 + bits);
			if (rand_r(&dice) % 3) {
				more += (unsigned)rand_r(&dice) % 3;
				m = 64u >> more;
				out = at + (unsigned)rand_r(&dice) % n / m * m;
				str_printf(&text, ", except: [192.0.2.%u/%u]", out, 26 + more);
			}
			str_puts(&text, "}}");
			for (unsigned i = at; i < at + n; i++)
				wanted[i] |= i < out || i >= out + m;
		}
		str_puts(&text, "]}]}}\n");
		p = read_text(str_cstr(&text));
		for (unsigned i = 0; i < SPACE; i++) {
			char *from = xasprintf("192.0.2.%u", i);
			expect(p, from, "a", "tcp/1", wanted[i],
			       wanted[i] ? "p/ingress[0]" : "default/isolated");
			free(from);
		}
		policy_free(p);
		str_free(&text);
	}
}

static void test_order_within_one_policy(void **state)
{
	struct policy *p =
		read_text("endpoints: {a: {addresses: 10.0.0.2}}\nadminPolicies:\n"
			  "  x:\n    endpoints: a\n    priority: 5\n    ingress:\n"
			  "      - {action: Pass, ports: tcp/22}\n"
			  "      - {action: Deny, ports: tcp/20-30}\n"
			  "baseline:\n  y: {endpoints: a, ingress: [{action: Deny, ports: "
			  "tcp/22}]}\n");
	expect(p, "outside", "a", "tcp/22", false, "y/ingress[0]");
	expect(p, "outside", "a", "tcp/23", false, "x/ingress[1]");
	expect(p, "outside", "a", "tcp/80", true, "default/allow");
	policy_free(p);
}

static void test_undeclared_addresses(void **state)
{
	struct policy *p = read_text("endpoints: {a: {}, b: {addresses: 10.0.0.3}}\npolicies:\n"
				     "  p: {endpoints: all, ingress: [{from: [a]}], egress: [{to: "
				     "[a]}]}\n");
	expect(p, "a", "b", "tcp/1", false, "default/isolated"); /* a may not open to b */
	expect(p, "b", "a", "tcp/1", false, "default/isolated"); /* nobody knows where a is */
	policy_free(p);
}

static void count(const char *from, const char *to, const struct policy_service *s, bool now,
		  void *aux)
{
	struct str *out = aux;
	str_printf(out, "%s%s>%s ", now ? "+" : "-", from, to);
	policy_diff_format(s, out);
	str_putc(out, '\n');
}

static void test_diff(void **state)
{
	struct policy *a = read_text("endpoints: {a: {addresses: 10.0.0.2}, b: {addresses: "
				     "10.0.0.3}}\npolicies: {p: {endpoints: b, ingress: [{from: a, "
				     "ports: [tcp/22, tcp/80]}]}}\n");
	struct policy *b = read_text("endpoints: {a: {addresses: 10.0.0.2}, b: {addresses: "
				     "10.0.0.3}}\npolicies: {q: {endpoints: b, ingress: [{from: a, "
				     "ports: [tcp/22, tcp/443-444]}]}}\n");
	struct str out = STR_INIT;
	assert_int_equal(policy_diff(a, b, 1, count, &out), 2);
	assert_string_equal(str_cstr(&out), "-a>b tcp/80\n+a>b tcp/443-444\n");
	assert_int_equal(policy_diff(a, a, 1, count, &out), 0);
	policy_free(b);
	/* A name that only one of them has is no change, nor is everything many. */
	str_clear(&out);
	b = read_text("endpoints: {a: {addresses: 10.0.0.2}, b: {addresses: 10.0.0.3}}\n"
		      "cidrs: {office: 192.0.2.0/24}\nhost: {services: {meta: {addresses: "
		      "169.254.169.254, "
		      "ports: tcp/80}}}\npolicies: {p: {endpoints: b, ingress: [{from: a, ports: "
		      "[tcp/22, tcp/80]}]}, q: {endpoints: a, ingress: [{from: office, ports: "
		      "tcp/1}]}}\n");
	assert_int_equal(policy_diff(a, b, 1, count, &out), 9);
	assert_string_equal(str_cstr(&out), "-b>a all\n-office>a icmp\n-office>a tcp/0\n"
					    "-office>a tcp/2-65535\n-office>a udp\n-office>a "
					    "icmpv6\n-office>a sctp\n-office>a other protocols\n"
					    "-outside>a all\n");
	str_free(&out);
	policy_free(a);
	policy_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_host_and_services),
		cmocka_unit_test(test_order_within_one_policy),
		cmocka_unit_test(test_undeclared_addresses),
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_blocks_add_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
