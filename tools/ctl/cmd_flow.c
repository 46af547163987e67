/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules in the syntax of ovs-ofctl. Dumps ask datapath.sock and work while sluiced is away; changes
 * go through sluiced, all or nothing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/openflow/object_text.h"
#include "datapath/api/match_attr.h"
#include "datapath/base/hash.h"
#include "datapath/base/hmap.h"
#include "datapath/flow/flow_text.h"
#include "tools/ctl/handlers.h"
#include "tools/ctl/rules.h"
#include "tools/ctl/table.h"

/* ---- dump ---- */

static const struct table_column columns[] = {
	{"TABLE", "table", TABLE_NUMBER},
	{"PRIORITY", "priority", TABLE_NUMBER},
	{"MATCH", "match", TABLE_TEXT},
	{"ACTIONS", "actions", TABLE_TEXT},
	{"COOKIE", "cookie", TABLE_TEXT},
	{"PACKETS", "packets", TABLE_NUMBER},
	{"BYTES", "bytes", TABLE_NUMBER},
	{"IDLE TIMEOUT", "idle_timeout", TABLE_NUMBER},
	{"HARD TIMEOUT", "hard_timeout", TABLE_NUMBER},
	{NULL, NULL, TABLE_TEXT},
};

struct lines {
	struct table *t; /* NULL: lines */
	const struct text_ports *ports;
	bool stats;
	struct str *out; /* NULL: standard output */
	const char *prefix;
};

static void put_json(struct lines *l, struct attrs a)
{
	struct str match = STR_INIT, actions = STR_INIT;
	char cookie[24];
	struct match m;
	size_t n;
	const void *list = attrs_bytes(a, ATTR_ACTIONS, &n);
	if (api_get_match(a, ATTR_MATCH, &m))
		match_format(&m, l->ports, &match);
	actions_format(list, list ? n : 0, l->ports, &actions);
	snprintf(cookie, sizeof cookie, "0x%llx", (unsigned long long)attrs_u64(a, ATTR_COOKIE, 0));
	table_row(l->t);
	table_number(l->t, attrs_u64(a, ATTR_TABLE, 0));
	table_number(l->t, attrs_u64(a, ATTR_PRIORITY, 0));
	table_text(l->t, str_cstr(&match));
	table_text(l->t, str_cstr(&actions));
	table_text(l->t, cookie);
	table_number(l->t, attrs_u64(a, ATTR_PKTS, 0));
	table_number(l->t, attrs_u64(a, ATTR_BYTES_COUNT, 0));
	table_number(l->t, attrs_u64(a, ATTR_IDLE_TIMEOUT_S, 0));
	table_number(l->t, attrs_u64(a, ATTR_HARD_TIMEOUT_S, 0));
	str_free(&match);
	str_free(&actions);
}

static void put_rule(struct attrs a, void *aux)
{
	enum { HIDDEN = 0x10000 };
	struct lines *l = aux;
	if (attrs_u64(a, ATTR_RULE_FLAGS, 0) & HIDDEN)
		return;
	if (l->t) {
		put_json(l, a);
		return;
	}
	struct str s = STR_INIT;
	str_puts(&s, l->prefix ? l->prefix : " ");
	rule_text_format(a, l->ports, l->stats, &s);
	str_putc(&s, '\n');
	if (l->out)
		str_puts(l->out, str_cstr(&s));
	else
		fputs(str_cstr(&s), stdout);
	str_free(&s);
}

/* What a filter selects; as in a non-strict delete. */
static int put_filter(const char *text, const struct text_ports *ports, struct msg *m)
{
	struct flow_text f;
	struct err e = {0};
	if (flow_text_parse(text, ports, &f, &e))
		return rules_fail(text, e.text);
	if (f.table != FLOW_TEXT_ALL_TABLES)
		msg_put_u8(m, ATTR_TABLE, f.table);
	api_put_match(m, ATTR_MATCH, &f.match);
	if (f.has_cookie) {
		msg_put_u64(m, ATTR_COOKIE, f.cookie);
		msg_put_u64(m, ATTR_COOKIE_MASK, f.cookie_mask ? f.cookie_mask : UINT64_MAX);
	}
	if (f.out_port != OFP_PORT_ANY)
		msg_put_u32(m, ATTR_OUT_PORT, f.out_port);
	if (f.out_group != OFP_PORT_ANY)
		msg_put_u32(m, ATTR_OUT_GROUP, f.out_group);
	flow_text_free(&f);
	return EXIT_OK;
}

int cmd_flow_dump(struct command_call *c)
{
	struct rule_ports ports;
	struct lines l = {.stats = !command_option(c, "no-stats")};
	struct msg m;
	int rc = rule_ports_load(c, c->argv[0], &ports);
	if (rc)
		return rc;
	if (command_option(c, "names"))
		l.ports = &ports.text;
	msg_init(&m, API_RULES, 0);
	msg_put_str(&m, ATTR_BRIDGE, c->argv[0]);
	rc = c->argc > 1 ? put_filter(c->argv[1], &ports.text, &m) : EXIT_OK;
	if (!rc && c->json)
		l.t = table_create(c, "flows", columns);
	if (rc)
		msg_free(&m);
	else
		rc = command_dump(c, &m, put_rule, &l);
	if (l.t && rc)
		table_discard(l.t);
	else if (l.t)
		table_finish(l.t);
	rule_ports_free(&ports);
	return rc;
}

/* ---- changes ---- */

static int change(struct command_call *c, const char *command)
{
	const char *spec = c->argc > 1 ? c->argv[1] : "";
	char *input = strcmp(spec, "-") ? NULL : rules_read("-");
	int rc = EXIT_USAGE;
	if (input || strcmp(spec, "-"))
		rc = rules_apply(c, c->argv[0], command, input ? input : spec);
	free(input);
	return rc;
}

int cmd_flow_add(struct command_call *c)
{
	return change(c, "add");
}

int cmd_flow_mod(struct command_call *c)
{
	return change(c, command_option(c, "strict") ? "modify_strict" : "modify");
}

int cmd_flow_del(struct command_call *c)
{
	return change(c, command_option(c, "strict") ? "delete_strict" : "delete");
}

/* ---- diff and replace ---- */

/* A rule by what names it (table, priority, match) and by all that was set. */
struct entry {
	struct hmap_node node;
	char *key, *line;
	bool wanted, there;
};
struct difference {
	struct hmap entries;
	VEC(struct entry *) in_order; /* of the file, then of the switch */
	bool differs;
};

static struct entry *find_entry(struct difference *d, const char *key)
{
	uint64_t hash = hash_string(key);
	HMAP_FOR_EACH_WITH_HASH (e, struct entry, node, hash, &d->entries)
		if (!strcmp(e->key, key))
			return e;
	struct entry *e = xzalloc(sizeof *e);
	e->key = xstrdup(key);
	hmap_insert(&d->entries, &e->node, hash);
	vec_push(&d->in_order, e);
	return e;
}

static void format_key(const struct flow_text *f, struct str *out)
{
	str_printf(out, "table=%u,priority=%u", f->table == FLOW_TEXT_ALL_TABLES ? 0 : f->table,
		   f->priority);
	size_t before = out->len;
	str_putc(out, ',');
	match_format(&f->match, NULL, out);
	if (out->len == before + 1)
		str_chomp(out, ',');
}

/* `line` with numbers for ports, table always said. */
static void format_line(struct flow_text *f, struct str *out)
{
	if (f->table == FLOW_TEXT_ALL_TABLES)
		f->table = 0;
	f->flags &= (uint16_t) ~(RULE_CHECK_OVERLAP | RULE_RESET_COUNTS);
	flow_text_format(f, NULL, NULL, out);
}

/* wanted: of the file; else of the switch. What both have the same is marked as both. */
static void enter(struct difference *d, struct flow_text *f, bool wanted)
{
	struct str key = STR_INIT, line = STR_INIT;
	format_key(f, &key);
	format_line(f, &line);
	struct entry *e = find_entry(d, str_cstr(&key));
	if (wanted) {
		free(e->line);
		e->line = str_steal(&line);
		e->wanted = true;
	} else if (e->line && !strcmp(e->line, str_cstr(&line))) {
		e->there = true;
		str_free(&line);
	} else {
		d->differs = true;
		printf("-%s\n", str_cstr(&line));
		str_free(&line);
	}
	str_free(&key);
}

static int enter_file(struct difference *d, const char *text, const struct text_ports *ports)
{
	unsigned number = 0;
	for (const char *at = text, *next; *at; at = next) {
		size_t n = strcspn(at, "\n");
		char *line = xstrndup(at, n);
		struct flow_text f;
		struct err e = {0};
		next = at[n] ? at + n + 1 : at + n;
		number++;
		char *comment = line[strspn(line, " \t")] == '#' ? line : strstr(line, " #");
		if (comment)
			*comment = '\0';
		bool blank = !line[strspn(line, " \t\r")];
		int rc = blank ? 0 : flow_text_parse(line, ports, &f, &e);
		if (!rc && !blank && !f.has_actions)
			rc = err_set(&e, EINVAL, "column 1: actions= is missing");
		free(line);
		if (rc) {
			err_prefix(&e, "line %u", number);
			return rules_fail(text, e.text);
		}
		if (!blank) {
			enter(d, &f, true);
			flow_text_free(&f);
		}
	}
	return EXIT_OK;
}

/* The lines of the dump go through the same parser, so that equal rules give equal text. */
static void enter_rule(struct attrs a, void *aux)
{
	enum { HIDDEN = 0x10000 };
	struct str s = STR_INIT;
	struct flow_text f;
	struct err e = {0};
	if (attrs_u64(a, ATTR_RULE_FLAGS, 0) & HIDDEN)
		return;
	rule_text_format(a, NULL, false, &s);
	if (flow_text_parse(str_cstr(&s), NULL, &f, &e)) {
		command_fail("%s: %s", str_cstr(&s), e.text);
	} else {
		enter(aux, &f, false);
		flow_text_free(&f);
	}
	str_free(&s);
}

static void free_difference(struct difference *d)
{
	VEC_FOR_EACH (e, &d->in_order) {
		hmap_remove(&d->entries, &(*e)->node);
		free((*e)->key);
		free((*e)->line);
		free(*e);
	}
	vec_free(&d->in_order);
	hmap_destroy(&d->entries);
}

/* Prints the lines that go and come; *changes (may be NULL) gets the commands. */
static int compare(struct command_call *c, bool *differs, struct str *changes)
{
	struct difference d = {.differs = false};
	struct rule_ports ports;
	char *text = rules_read(c->argv[1]);
	int rc = text ? rule_ports_load(c, c->argv[0], &ports) : EXIT_USAGE; /* 1: they differ */
	if (rc) {
		free(text);
		return rc;
	}
	rc = enter_file(&d, text, &ports.text);
	if (!rc) {
		struct msg m;
		msg_init(&m, API_RULES, 0);
		msg_put_str(&m, ATTR_BRIDGE, c->argv[0]);
		rc = command_dump(c, &m, enter_rule, &d);
	}
	VEC_FOR_EACH (p, &d.in_order) {
		const struct entry *e = *p;
		if (rc || (e->wanted && e->there))
			continue;
		d.differs = true;
		if (e->wanted)
			printf("+%s\n", e->line);
		if (changes && e->wanted)
			str_printf(changes, "add %s\n", e->line);
		else if (changes)
			str_printf(changes, "delete_strict %s\n", e->key);
	}
	*differs = d.differs;
	free_difference(&d);
	rule_ports_free(&ports);
	free(text);
	return rc;
}

int cmd_flow_diff(struct command_call *c)
{
	bool differs;
	int rc = compare(c, &differs, NULL);
	return rc ? rc : differs ? EXIT_FAILED : EXIT_OK;
}

int cmd_flow_replace(struct command_call *c)
{
	struct str changes = STR_INIT;
	bool differs;
	int rc = compare(c, &differs, &changes);
	if (!rc && changes.len)
		rc = rules_apply(c, c->argv[0], "add", str_cstr(&changes));
	str_free(&changes);
	return rc;
}

/* ---- save and restore ---- */

static void save_group(struct attrs a, void *aux)
{
	str_puts(aux, "group add ");
	group_text_format(a, NULL, false, aux);
	str_putc(aux, '\n');
}

static void save_meter(struct attrs a, void *aux)
{
	str_puts(aux, "meter add ");
	meter_text_format(a, false, aux);
	str_putc(aux, '\n');
}

static int save_kind(struct command_call *c, enum api_message type, command_object_fn fn, void *aux)
{
	struct msg m;
	msg_init(&m, type, 0);
	msg_put_str(&m, ATTR_BRIDGE, c->argv[0]);
	return command_dump(c, &m, fn, aux);
}

/* Meters first, groups next: rules may only name what is there. Groups may name groups that come
 * later. */
static int save_text(struct command_call *c, struct str *out)
{
	struct lines l = {.out = out, .prefix = "flow add "};
	str_printf(out, "# rules, groups and meters of bridge %s: sluice flow save\n", c->argv[0]);
	int rc = rule_options_load(c, c->argv[0], out);
	if (!rc)
		rc = save_kind(c, API_METERS, save_meter, out);
	if (!rc)
		rc = save_kind(c, API_GROUPS, save_group, out);
	return rc ? rc : save_kind(c, API_RULES, put_rule, &l);
}

static int call_sluiced(struct command_call *c, const char *method, const char *text)
{
	const char *params[] = {c->argv[0], text};
	char *reply = NULL;
	int rc = command_sluiced(c, method, params, text ? 2 : 1, &reply);
	free(reply);
	return rc;
}

int cmd_flow_save(struct command_call *c)
{
	struct str text = STR_INIT;
	if (command_option(c, "forget"))
		return call_sluiced(c, "flow/forget", NULL);
	int rc = save_text(c, &text);
	if (!rc && c->argc == 1) {
		rc = call_sluiced(c, "flow/keep", str_cstr(&text));
	} else if (!rc) {
		FILE *f = strcmp(c->argv[1], "-") ? fopen(c->argv[1], "we") : stdout;
		if (!f || fputs(str_cstr(&text), f) < 0 || fflush(f))
			rc = command_fail("%s: %s", c->argv[1], strerror(errno));
		if (f && f != stdout && fclose(f) && !rc)
			rc = command_fail("%s: %s", c->argv[1], strerror(errno));
	}
	str_free(&text);
	return rc;
}

int cmd_flow_restore(struct command_call *c)
{
	if (c->argc == 1)
		return call_sluiced(c, "flow/restore", NULL);
	char *saved = rules_read(c->argv[1]);
	if (!saved)
		return EXIT_USAGE;
	int rc = rules_apply(c, c->argv[0], "restore", saved);
	free(saved);
	return rc;
}
