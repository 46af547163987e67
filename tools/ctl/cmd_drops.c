/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice drops: what is dropped, where, why and what to do, the busiest first. Two looks at the
 * counters give the rate; OpenFlow rules whose actions drop are listed with table and cookie, rules
 * of the policy by name. Asks datapath.sock, so it works while sluiced is away. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath/base/clock.h"
#include "datapath/api/drop_text.h"
#include "tools/ctl/dropped.h"
#include "tools/ctl/handlers.h"
#include "tools/ctl/rate.h"
#include "tools/ctl/rule_text.h"
#include "tools/ctl/sample.h"
#include "tools/ctl/table.h"

struct drop_row {
	char *port, *bridge, *reason;
	uint64_t count;
	double rate; /* packets per second */
};
struct rule_row { /* a rule whose action list is empty */
	char *bridge, *match;
	uint64_t table, priority, cookie, count;
	double rate;
};
struct policy_row { /* a rule of the network policy that denies, or a guard */
	char *name;
	uint64_t count;
	double rate;
};
struct look {               /* one reading of all counters */
	const char *bridge; /* whose rules are being read */
	VEC(struct drop_row) drops;
	VEC(struct rule_row) rules;
	VEC(struct policy_row) policy;
	VEC(char *) bridges;
	struct sample counts;
};

static void look_free(struct look *l)
{
	VEC_FOR_EACH (d, &l->drops) {
		free(d->port);
		free(d->bridge);
		free(d->reason);
	}
	VEC_FOR_EACH (r, &l->rules) {
		free(r->bridge);
		free(r->match);
	}
	VEC_FOR_EACH (p, &l->policy)
		free(p->name);
	VEC_FOR_EACH (b, &l->bridges)
		free(*b);
	vec_free(&l->policy);
	vec_free(&l->drops);
	vec_free(&l->rules);
	vec_free(&l->bridges);
	sample_free(&l->counts);
	*l = (struct look){0};
}

static char *drop_key(const struct drop_row *d)
{
	return xasprintf("d %s %s", d->port, d->reason);
}

static char *rule_key(const struct rule_row *r)
{
	return xasprintf("r %s %u %u %s", r->bridge, (unsigned)r->table, (unsigned)r->priority,
			 r->match);
}

static char *policy_key(const struct policy_row *p)
{
	return xasprintf("p %s", p->name);
}

static void count(struct look *l, char *key, uint64_t value)
{
	sample_add(&l->counts, key, value);
	free(key);
}

static void take_drop(struct attrs a, void *aux)
{
	struct look *l = aux;
	struct drop_row d = {.port = xstrdup(attrs_str(a, ATTR_PORT, "")),
			     .bridge = xstrdup(attrs_str(a, ATTR_BRIDGE, "")),
			     .reason = xstrdup(attrs_str(a, ATTR_REASON, "")),
			     .count = attrs_u64(a, ATTR_COUNT, 0)};
	count(l, drop_key(&d), d.count);
	vec_push(&l->drops, d);
}

static void take_bridge(struct attrs a, void *aux)
{
	struct look *l = aux;
	vec_push(&l->bridges, xstrdup(attrs_str(a, ATTR_NAME, "")));
}

static void take_rule(struct attrs a, void *aux)
{
	struct look *l = aux;
	size_t len;
	const void *actions = attrs_bytes(a, ATTR_ACTIONS, &len);
	if ((actions && len) || !attrs_u64(a, ATTR_PKTS, 0))
		return;
	struct rule_row r = {.bridge = xstrdup(l->bridge),
			     .match = rule_match_text(a),
			     .table = attrs_u64(a, ATTR_TABLE, 0),
			     .priority = attrs_u64(a, ATTR_PRIORITY, 0),
			     .cookie = attrs_u64(a, ATTR_COOKIE, 0),
			     .count = attrs_u64(a, ATTR_PKTS, 0)};
	count(l, rule_key(&r), r.count);
	vec_push(&l->rules, r);
}

static void take_policy(struct attrs a, void *aux)
{
	enum { DENY = 1 }; /* of VERDICT */
	struct look *l = aux;
	struct policy_row p = {.count = attrs_u64(a, ATTR_PKTS, 0)};
	if (attrs_u64(a, ATTR_VERDICT, 0) != DENY || !p.count)
		return;
	p.name = xstrdup(attrs_str(a, ATTR_NAME, ""));
	count(l, policy_key(&p), p.count);
	vec_push(&l->policy, p);
}

static int read_policy(struct api_client *client, struct look *l, struct err *e)
{
	struct msg m;
	msg_init(&m, API_POLICY_HITS, 0);
	return command_dump_on(client, &m, take_policy, l, e);
}

static int read_rules(struct api_client *client, struct look *l, struct err *e)
{
	struct msg m;
	int rc;
	msg_init(&m, API_BRIDGES, 0);
	rc = command_dump_on(client, &m, take_bridge, l, e);
	for (size_t i = 0; !rc && i < l->bridges.len; i++) {
		l->bridge = l->bridges.at[i];
		msg_init(&m, API_RULES, 0);
		msg_put_str(&m, ATTR_BRIDGE, l->bridge);
		rc = command_dump_on(client, &m, take_rule, l, e);
		if (rc == -ENOENT) { /* removed meanwhile */
			err_clear(e);
			rc = 0;
		}
	}
	return rc;
}

static int take_look(struct api_client *client, const char *port, struct look *l, struct err *e)
{
	struct msg m;
	int rc;
	msg_init(&m, API_DROPS, 0);
	if (port)
		msg_put_str(&m, ATTR_PORT, port);
	l->counts.at_us = clock_mono_us();
	rc = command_dump_on(client, &m, take_drop, l, e);
	/* A rule's packets may come from any port. */
	if (!rc && !port)
		rc = read_rules(client, l, e);
	if (!rc && !port)
		rc = read_policy(client, l, e);
	return rc;
}

/* ---- order: what happens now, then what happened most ---- */

static int compare(double rate_a, double rate_b, uint64_t a, uint64_t b)
{
	if (fabs(rate_a - rate_b) > 1e-9)
		return rate_a < rate_b ? 1 : -1;
	return a < b ? 1 : a > b ? -1 : 0;
}

static int by_drop(const void *pa, const void *pb)
{
	const struct drop_row *a = pa, *b = pb;
	int c = compare(a->rate, b->rate, a->count, b->count);
	return c ? c : strcmp(a->port, b->port);
}

static int by_policy(const void *pa, const void *pb)
{
	const struct policy_row *a = pa, *b = pb;
	return compare(a->rate, b->rate, a->count, b->count);
}

static int by_rule(const void *pa, const void *pb)
{
	const struct rule_row *a = pa, *b = pb;
	return compare(a->rate, b->rate, a->count, b->count);
}

static void rate(struct look *before, struct look *now)
{
	VEC_FOR_EACH (d, &now->drops) {
		char *key = drop_key(d);
		d->rate = sample_rate(&before->counts, &now->counts, key);
		free(key);
	}
	VEC_FOR_EACH (r, &now->rules) {
		char *key = rule_key(r);
		r->rate = sample_rate(&before->counts, &now->counts, key);
		free(key);
	}
	VEC_FOR_EACH (p, &now->policy) {
		char *key = policy_key(p);
		p->rate = sample_rate(&before->counts, &now->counts, key);
		free(key);
	}
	if (now->policy.len)
		qsort(now->policy.at, now->policy.len, sizeof *now->policy.at, by_policy);
	if (now->drops.len)
		qsort(now->drops.at, now->drops.len, sizeof *now->drops.at, by_drop);
	if (now->rules.len)
		qsort(now->rules.at, now->rules.len, sizeof *now->rules.at, by_rule);
}

/* ---- output ---- */

static const struct table_column drop_columns[] = {
	{"PORT", "port", TABLE_TEXT},          {"BRIDGE", "bridge", TABLE_TEXT},
	{"REASON", "reason", TABLE_TEXT},      {"PACKETS", "count", TABLE_NUMBER},
	{"PER SECOND", "rate", TABLE_FIGURE},  {"WHAT HAPPENED", "help", TABLE_PROSE},
	{"WHAT TO DO", "remedy", TABLE_PROSE}, {NULL, NULL, TABLE_TEXT},
};

static void print_drops(const struct look *l)
{
	const struct command_call text = {.json = false};
	struct table *t = table_create(&text, "drops", drop_columns);
	VEC_FOR_EACH (d, &l->drops) {
		const struct drop_text *why = drop_text_find(d->reason);
		char number[32];
		table_row(t);
		table_text(t, d->port);
		table_text(t, d->bridge);
		table_text(t, d->reason);
		table_number(t, d->count);
		table_text(t, rate_text(d->rate, number, sizeof number));
		table_text(t, why->help);
		table_text(t, why->remedy);
	}
	table_finish(t);
}

static const struct table_column rule_columns[] = {
	{"BRIDGE", "bridge", TABLE_TEXT},       {"TABLE", "table", TABLE_NUMBER},
	{"PRIORITY", "priority", TABLE_FIGURE}, {"COOKIE", "cookie", TABLE_TEXT},
	{"PACKETS", "count", TABLE_NUMBER},     {"PER SECOND", "rate", TABLE_FIGURE},
	{"MATCH", "match", TABLE_TEXT},         {NULL, NULL, TABLE_TEXT},
};

static void print_rules(const struct look *l)
{
	const struct command_call text = {.json = false};
	struct table *t;
	if (!l->rules.len)
		return;
	puts("\nOpenFlow rules that drop:");
	t = table_create(&text, "rules", rule_columns);
	VEC_FOR_EACH (r, &l->rules) {
		char number[32];
		table_row(t);
		table_text(t, r->bridge);
		table_number(t, r->table);
		table_number(t, r->priority);
		snprintf(number, sizeof number, "0x%llx", (unsigned long long)r->cookie);
		table_text(t, number);
		table_number(t, r->count);
		table_text(t, rate_text(r->rate, number, sizeof number));
		table_text(t, r->match);
	}
	table_finish(t);
}

static const struct table_column policy_columns[] = {
	{"RULE", "rule", TABLE_TEXT},
	{"PACKETS", "count", TABLE_NUMBER},
	{"PER SECOND", "rate", TABLE_FIGURE},
	{NULL, NULL, TABLE_TEXT},
};

static void print_policy(const struct look *l)
{
	const struct command_call text = {.json = false};
	struct table *t;
	if (!l->policy.len)
		return;
	puts("\nRules of the policy that drop:");
	t = table_create(&text, "policy", policy_columns);
	VEC_FOR_EACH (p, &l->policy) {
		char number[32];
		table_row(t);
		table_text(t, p->name);
		table_number(t, p->count);
		table_text(t, rate_text(p->rate, number, sizeof number));
	}
	table_finish(t);
}

static json_t *look_json(const struct look *l)
{
	json_t *drops = json_array(), *rules = json_array(), *policy = json_array();
	VEC_FOR_EACH (d, &l->drops) {
		const struct drop_text *why = drop_text_find(d->reason);
		json_array_append_new(drops,
				      json_pack("{s:s, s:s, s:s, s:s, s:I, s:o, s:s, s:s}", "port",
						d->port, "bridge", d->bridge, "reason", d->reason,
						"family", why->family, "count",
						(json_int_t)d->count, "rate", rate_json(d->rate),
						"help", why->help, "remedy", why->remedy));
	}
	VEC_FOR_EACH (r, &l->rules) {
		char cookie[24];
		snprintf(cookie, sizeof cookie, "0x%llx", (unsigned long long)r->cookie);
		json_array_append_new(rules,
				      json_pack("{s:s, s:I, s:I, s:s, s:s, s:I, s:o}", "bridge",
						r->bridge, "table", (json_int_t)r->table,
						"priority", (json_int_t)r->priority, "cookie",
						cookie, "match", r->match, "count",
						(json_int_t)r->count, "rate", rate_json(r->rate)));
	}
	VEC_FOR_EACH (p, &l->policy)
		json_array_append_new(policy,
				      json_pack("{s:s, s:I, s:o}", "rule", p->name, "count",
						(json_int_t)p->count, "rate", rate_json(p->rate)));
	return json_pack("{s:o, s:o, s:o}", "drops", drops, "rules", rules, "policy", policy);
}

static void print(const struct command_call *c, const struct look *l, bool watch)
{
	if (c->json) {
		print_json(look_json(l), watch);
		return;
	}
	if (watch)
		fputs(isatty(STDOUT_FILENO) ? "\033[H\033[2J" : "", stdout);
	if (!l->drops.len)
		puts("nothing was dropped");
	else
		print_drops(l);
	print_rules(l);
	print_policy(l);
	if (watch && !isatty(STDOUT_FILENO))
		putchar('\n');
	fflush(stdout);
}

static int print_all_reasons(const struct command_call *c)
{
	static const struct table_column columns[] = {
		{"REASON", "reason", TABLE_TEXT},
		{"AT", "family", TABLE_TEXT},
		{"WHAT HAPPENED", "help", TABLE_PROSE},
		{"WHAT TO DO", "remedy", TABLE_PROSE},
		{NULL, NULL, TABLE_TEXT},
	};
	struct table *t = table_create(c, "reasons", columns);
	for (size_t i = 1; i < n_drop_texts; i++) { /* the first row is "not dropped" */
		table_row(t);
		table_text(t, drop_texts[i].name);
		table_text(t, drop_texts[i].family);
		table_text(t, drop_texts[i].help);
		table_text(t, drop_texts[i].remedy);
	}
	table_finish(t);
	return EXIT_OK;
}

static json_t *last_json(const struct dropped_list *l)
{
	json_t *all = json_array();
	VEC_FOR_EACH (d, &l->all)
		json_array_append_new(all, dropped_json(d));
	return json_pack("{s:o}", "dropped", all);
}

static int print_last(const struct command_call *c, const char *port)
{
	enum { LAST = 20 };
	const char *count = command_option(c, "count");
	struct dropped_select s = {.port = port, .reason = command_option(c, "reason")};
	struct dropped_list l = {0};
	struct api_client *client;
	struct str line = STR_INIT;
	struct err e = {0};
	uint64_t n = LAST;
	int rc;
	if (count && (!parse_u64(count, 10, UINT32_MAX, &n) || !n))
		return command_usage(c, "--count %s: not a number from 1 to %u", count, UINT32_MAX);
	s.limit = (uint32_t)n;
	client = command_datapath(c, false);
	if (!client)
		return EXIT_FAILED;
	rc = dropped_read(client, &s, &l, &e);
	api_close(client);
	if (!rc && c->json)
		print_json(last_json(&l), false);
	else if (!rc && !l.all.len)
		puts("no dropped packet is remembered");
	else if (!rc)
		VEC_FOR_EACH (d, &l.all) {
			str_clear(&line);
			dropped_line(d, &line);
			puts(str_cstr(&line));
		}
	str_free(&line);
	dropped_free(&l);
	return rc ? command_fail_input(&e) : EXIT_OK;
}

static int follow(const struct command_call *c, struct api_client *client, const char *port,
		  uint64_t interval_us, uint64_t times)
{
	bool watch = command_option(c, "watch");
	struct look before = {0}, now = {0};
	struct err e = {0};
	int rc = take_look(client, port, &before, &e);
	for (uint64_t i = 0; !rc && (!times || i < times) && !ferror(stdout); i++) {
		usleep((useconds_t)interval_us);
		rc = take_look(client, port, &now, &e);
		if (rc)
			break;
		rate(&before, &now);
		print(c, &now, watch);
		look_free(&before);
		before = now;
		now = (struct look){0};
	}
	look_free(&before);
	look_free(&now);
	return rc ? command_fail_input(&e) : EXIT_OK;
}

int cmd_drops(struct command_call *c)
{
	const char *port = command_option(c, "port") ? command_option(c, "port")
						     : (c->argc ? c->argv[0] : NULL);
	bool watch = command_option(c, "watch");
	uint64_t interval_us, times = !watch;
	struct api_client *client;
	int rc;
	if (command_option(c, "all"))
		return print_all_reasons(c);
	if (command_option(c, "last"))
		return print_last(c, port);
	if (command_option(c, "reason"))
		return command_usage(c, "--reason needs --last");
	rc = rate_options(c, watch ? 1.0 : 0.5, &interval_us, watch ? &times : NULL);
	if (rc)
		return rc;
	client = command_datapath(c, false);
	if (!client)
		return EXIT_FAILED;
	rc = follow(c, client, port, interval_us, times);
	api_close(client);
	return rc;
}
