/* SPDX-License-Identifier: BSD-3-Clause */
/* Questions to a policy: check, matrix, diff, test. Nothing here asks sluiced. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy/check.h"
#include "datapath/base/clock.h"
#include "tools/ctl/handlers.h"
#include "tools/ctl/policy_load.h"
#include "tools/ctl/policy_svg.h"
#include "tools/ctl/table.h"

enum { MATRIX_MAX = 400 };

static void print_json(json_t *o)
{
	json_dumpf(o, stdout, JSON_INDENT(1) | JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(o);
}

/* ---- check ---- */

/* The service that the options ask for, *assumed when none does; NULL after an error message. */
static char *service_asked(const struct command_call *c, bool *assumed)
{
	static const char *const ports[] = {"tcp", "udp", "sctp"};
	const char *v = command_option(c, "icmp");
	char *out = NULL;
	int n = command_option(c, "ping") != NULL;
	for (size_t i = 0; i < SL_ARRAY_SIZE(ports); i++)
		if (command_option(c, ports[i])) {
			n++;
			out = xasprintf("%s/%s", ports[i], command_option(c, ports[i]));
		}
	if (v) {
		n++;
		free(out);
		out = xasprintf("icmp%s/%s", command_option(c, "ipv6") ? "v6" : "", v);
	}
	v = command_option(c, "proto");
	if (v) {
		n++;
		free(out);
		out = xasprintf("proto/%s", v);
	}
	if (n > 1) {
		command_fail("one service at a time, please");
		free(out);
		return NULL;
	}
	*assumed = !n;
	return out ? out : xstrdup("ping");
}

static void describe_edge(const struct policy *p, const struct policy_edge *e)
{
	if (!e->asked)
		return;
	printf("  %s of %-14s %-6s %s", e->direction == POLICY_INGRESS ? "ingress" : "egress ",
	       p->endpoints.at[e->endpoint].name, e->allow ? "allow" : "deny", e->name);
	/* A grant that a command made is on no line of the file. */
	if (e->rule >= 0 && p->rules.at[e->rule].line && strncmp(e->name, "grant/", 6))
		printf("  (line %u)", p->rules.at[e->rule].line);
	putchar('\n');
}

static json_t *edge_json(const struct policy *p, const struct policy_edge *e)
{
	if (!e->asked)
		return json_null();
	return json_pack("{s:s, s:s, s:s, s:s, s:i}", "endpoint", p->endpoints.at[e->endpoint].name,
			 "direction", e->direction == POLICY_INGRESS ? "ingress" : "egress",
			 "verdict", e->allow ? "allow" : "deny", "rule", e->name, "line",
			 e->rule >= 0 ? (int)p->rules.at[e->rule].line : 0);
}

static void describe(const struct policy *p, const struct policy_question *q, const char *from,
		     const char *to, bool assumed)
{
	struct policy_service s = {.proto = q->proto, .first = q->port, .last = q->port};
	struct str text = STR_INIT, change = STR_INIT;
	struct policy_answer a;
	policy_answer(p, q, &a);
	policy_format_service(&s, &text);
	printf("%s: %s -> %s %s\n  decided by %s\n", a.allow ? "allow" : "deny", from, to,
	       str_cstr(&text), a.name);
	if (assumed)
		puts("  no service was named, so this is about ping; --tcp PORT, --udp PORT, "
		     "--sctp "
		     "PORT, --icmp TYPE or --proto N asks about another");
	describe_edge(p, &a.egress);
	describe_edge(p, &a.ingress);
	if (policy_suggest(p, q, &change))
		printf("the smallest addition that would %s it:\n%s", a.allow ? "deny" : "allow",
		       str_cstr(&change));
	else
		printf("no addition changes that: %s\n", str_cstr(&change));
	str_free(&text);
	str_free(&change);
}

static void describe_json(const struct policy *p, const struct policy_question *q, const char *from,
			  const char *to, bool assumed)
{
	struct policy_service s = {.proto = q->proto, .first = q->port, .last = q->port};
	struct str text = STR_INIT, change = STR_INIT;
	struct policy_answer a;
	bool can = policy_suggest(p, q, &change);
	policy_answer(p, q, &a);
	policy_format_service(&s, &text);
	print_json(json_pack("{s:{s:s, s:s, s:s, s:b, s:s, s:s, s:o, s:o, s:s?, s:s?}}", "check",
			     "from", from, "to", to, "service", str_cstr(&text), "service_assumed",
			     assumed, "verdict", a.allow ? "allow" : "deny", "rule", a.name,
			     "egress", edge_json(p, &a.egress), "ingress", edge_json(p, &a.ingress),
			     "change", can ? str_cstr(&change) : NULL, "no_change",
			     can ? NULL : str_cstr(&change)));
	str_free(&text);
	str_free(&change);
}

int cmd_policy_check(struct command_call *c)
{
	const char *from = command_option(c, "from"), *to = command_option(c, "to");
	struct policy_question q;
	struct policy *p;
	struct err e = {0};
	bool assumed = false;
	char *service;
	int rc;
	if (!from || !to)
		return command_usage(c, "--from and --to are needed");
	service = service_asked(c, &assumed);
	p = service ? policy_load(c) : NULL;
	if (!p) {
		free(service);
		return EXIT_FAILED;
	}
	rc = policy_ask(p, from, to, command_option(c, "ipv6") ? 6 : 0, service, clock_wall_ms(),
			&q, &e);
	if (rc)
		rc = command_fail_err(&e);
	else if (c->json)
		describe_json(p, &q, from, to, assumed);
	else
		describe(p, &q, from, to, assumed);
	policy_free(p);
	free(service);
	return rc;
}

/* ---- matrix ---- */

/* Keeps only the ends named on the command line. */
static int keep_named(const struct command_call *c, const struct policy *p, uint8_t family,
		      struct policy_subjects *s)
{
	struct err e = {0};
	if (!c->argc)
		return EXIT_OK;
	policy_subjects_free(s);
	for (int i = 0; i < c->argc; i++) {
		struct policy_question q;
		if (policy_ask(p, c->argv[i], c->argv[i], family, "tcp", 0, &q, &e))
			return command_fail_err(&e);
		vec_push(&s->list, (struct policy_subject){xstrdup(c->argv[i]), q.from});
	}
	return EXIT_OK;
}

static char *cell_text(const struct policy *p, const struct policy_classes *classes,
		       const struct policy_subject *from, const struct policy_subject *to)
{
	struct policy_cell cell = {0};
	struct str text = STR_INIT;
	if (!strcmp(from->name, to->name)) {
		str_putc(&text, '.');
	} else {
		policy_cell_fill(p, classes, &from->end, &to->end, clock_wall_ms(), &cell);
		policy_cell_format(&cell, &text);
	}
	policy_cell_free(&cell);
	return str_steal(&text);
}

static json_t *services_json(const struct policy_service *list, size_t n)
{
	json_t *out = json_array();
	for (size_t i = 0; i < n; i++) {
		struct str text = STR_INIT;
		policy_format_service(&list[i], &text);
		json_array_append_new(out, json_string(str_cstr(&text)));
		str_free(&text);
	}
	return out;
}

static void matrix_json(const struct policy *p, const struct policy_classes *classes,
			const struct policy_subjects *s)
{
	json_t *list = json_array();
	VEC_FOR_EACH (from, &s->list)
		VEC_FOR_EACH (to, &s->list) {
			struct policy_cell cell = {0};
			struct str text = STR_INIT;
			if (from == to)
				continue;
			policy_cell_fill(p, classes, &from->end, &to->end, clock_wall_ms(), &cell);
			policy_cell_format(&cell, &text);
			json_array_append_new(
				list,
				json_pack("{s:s, s:s, s:s, s:o, s:o}", "from", from->name, "to",
					  to->name, "allowed", str_cstr(&text), "allow",
					  services_json(cell.allow.at, cell.allow.len), "deny",
					  services_json(cell.deny.at, cell.deny.len)));
			str_free(&text);
			policy_cell_free(&cell);
		}
	print_json(json_pack("{s:o}", "matrix", list));
}

static void matrix_table(const struct command_call *c, const struct policy *p,
			 const struct policy_classes *classes, const struct policy_subjects *s)
{
	struct table_column *columns = xcalloc(s->list.len + 2, sizeof *columns);
	struct table *t;
	columns[0] = (struct table_column){"FROM \\ TO", "from", TABLE_TEXT};
	for (size_t i = 0; i < s->list.len; i++)
		columns[i + 1] =
			(struct table_column){s->list.at[i].name, s->list.at[i].name, TABLE_TEXT};
	t = table_create(c, "matrix", columns);
	VEC_FOR_EACH (from, &s->list) {
		table_row(t);
		table_text(t, from->name);
		VEC_FOR_EACH (to, &s->list) {
			char *text = cell_text(p, classes, from, to);
			table_text(t, text);
			free(text);
		}
	}
	table_finish(t);
	free(columns);
}

static void matrix_svg(const struct policy *p, const struct policy_classes *classes,
		       const struct policy_subjects *s)
{
	size_t n = s->list.len;
	const char **names = xcalloc(n + 1, sizeof *names);
	char **cells = xcalloc(n * n + 1, sizeof *cells);
	for (size_t i = 0; i < n; i++) {
		names[i] = s->list.at[i].name;
		for (size_t j = 0; j < n; j++)
			cells[i * n + j] = cell_text(p, classes, &s->list.at[i], &s->list.at[j]);
	}
	policy_svg_print(stdout, names, cells, n);
	for (size_t i = 0; i < n * n; i++)
		free(cells[i]);
	free(cells);
	free(names);
}

int cmd_policy_matrix(struct command_call *c)
{
	uint8_t family = command_option(c, "ipv6") ? 6 : 4;
	struct policy_subjects subjects = {0};
	struct policy_classes classes = {0};
	struct policy *p = policy_load(c);
	int rc;
	if (!p)
		return EXIT_FAILED;
	policy_subjects_fill(p, family, &subjects);
	policy_classes_add(&classes, p);
	policy_classes_finish(&classes);
	rc = keep_named(c, p, family, &subjects);
	if (!rc && subjects.list.len > MATRIX_MAX)
		rc = command_fail("%zu ends are too many for a matrix: name at most %d of them",
				  subjects.list.len, MATRIX_MAX);
	else if (!rc && c->json)
		matrix_json(p, &classes, &subjects);
	else if (!rc && command_option(c, "svg"))
		matrix_svg(p, &classes, &subjects);
	else if (!rc)
		matrix_table(c, p, &classes, &subjects);
	policy_subjects_free(&subjects);
	vec_free(&classes.list);
	policy_free(p);
	return rc;
}

/* ---- diff ---- */

static const struct table_column diff_columns[] = {
	{"CHANGE", "change", TABLE_TEXT},   {"FROM", "from", TABLE_TEXT}, {"TO", "to", TABLE_TEXT},
	{"SERVICE", "service", TABLE_TEXT}, {NULL, NULL, TABLE_TEXT},
};

static void put_difference(const char *from, const char *to, const struct policy_service *s,
			   bool allowed_now, void *aux)
{
	struct table *t = aux;
	struct str text = STR_INIT;
	policy_diff_format(s, &text);
	table_row(t);
	table_text(t, allowed_now ? "+ allow" : "- deny");
	table_text(t, from);
	table_text(t, to);
	table_text(t, str_cstr(&text));
	str_free(&text);
}

int cmd_policy_diff(struct command_call *c)
{
	struct policy *old = policy_load(c), *new = old ? policy_load_file(c->argv[0]) : NULL;
	struct table *t;
	size_t n;
	if (!new) {
		policy_free(old);
		return EXIT_FAILED;
	}
	if (old->endpoints.len + new->endpoints.len > 2 * MATRIX_MAX) {
		policy_free(old);
		policy_free(new);
		return command_fail("more than %d endpoints: too many to compare all pairs",
				    MATRIX_MAX);
	}
	t = table_create(c, "differences", diff_columns);
	n = policy_diff(old, new, clock_wall_ms(), put_difference, t);
	if (n || c->json) {
		table_finish(t);
	} else {
		table_discard(t);
		puts("no difference: both allow the same connections");
	}
	policy_free(old);
	policy_free(new);
	return EXIT_OK;
}

/* ---- test ---- */

static const struct table_column test_columns[] = {
	{"LINE", "line", TABLE_NUMBER},
	{"FROM", "from", TABLE_TEXT},
	{"TO", "to", TABLE_TEXT},
	{"SERVICE", "service", TABLE_TEXT},
	{"EXPECTED", "expected", TABLE_TEXT},
	{"VERDICT", "verdict", TABLE_TEXT},
	{"RULE", "rule", TABLE_TEXT},
	{"RESULT", "result", TABLE_TEXT},
	{NULL, NULL, TABLE_TEXT},
};

/* True: as expected. */
static bool put_expectation(struct table *t, const struct policy *p,
			    const struct policy_expectation *x)
{
	struct policy_answer a = {.name = ""};
	struct policy_question q;
	struct err e = {0};
	bool good = !policy_ask(p, x->from, x->to, x->family, x->service, clock_wall_ms(), &q, &e);
	if (good)
		policy_answer(p, &q, &a);
	good = good && a.allow == x->allow && (!x->rule || !strcmp(x->rule, a.name));
	table_row(t);
	table_number(t, x->line);
	table_text(t, x->from);
	table_text(t, x->to);
	table_text(t, x->service);
	table_text(t, x->allow ? "allow" : "deny");
	table_text(t, e.code ? "error" : a.allow ? "allow" : "deny");
	table_text(t, e.code ? e.text : a.name);
	table_text(t, good ? "ok" : "MISMATCH");
	return good;
}

int cmd_policy_test(struct command_call *c)
{
	struct policy_expectations all = {0};
	struct policy_text text = {.name = c->argv[0]};
	struct err e = {0};
	size_t bad = 0;
	char *content = policy_load_read(c->argv[0], &text.len);
	struct policy *p = content ? policy_load(c) : NULL;
	struct table *t;
	int rc = EXIT_OK;
	if (!p) {
		free(content);
		return EXIT_FAILED;
	}
	text.text = content;
	if (policy_expectations_read(&all, &text, &e)) {
		rc = command_fail_err(&e);
	} else {
		t = table_create(c, "tests", test_columns);
		VEC_FOR_EACH (x, &all.list)
			bad += !put_expectation(t, p, x);
		table_finish(t);
		if (bad)
			rc = command_fail("%zu of %zu expectations do not hold", bad, all.list.len);
	}
	policy_expectations_free(&all);
	policy_free(p);
	free(content);
	return rc;
}
