/* SPDX-License-Identifier: BSD-3-Clause */
/* Groups, meters and tables. Dumps ask datapath.sock; changes go through sluiced. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/openflow/object_text.h"
#include "datapath/base/vec.h"
#include "tools/ctl/handlers.h"
#include "tools/ctl/rules.h"
#include "tools/ctl/table.h"

/* ---- dumps ---- */

struct line {
	uint32_t id;
	char *spec;
	uint64_t users, packets, bytes;
};
struct lines {
	VEC(struct line) lines;
	bool stats, meters;
};

static const struct table_column object_columns[] = {
	{"ID", "id", TABLE_NUMBER},
	{"SPEC", "spec", TABLE_TEXT},
	{"USED BY", "ref_count", TABLE_NUMBER},
	{"PACKETS", "packets", TABLE_NUMBER},
	{"BYTES", "bytes", TABLE_NUMBER},
	{NULL, NULL, TABLE_TEXT},
};

static void put_object(struct attrs a, void *aux)
{
	struct lines *l = aux;
	struct str s = STR_INIT;
	if (l->meters)
		meter_text_format(a, l->stats, &s);
	else
		group_text_format(a, NULL, l->stats, &s);
	struct line line = {
		.id = (uint32_t)attrs_u64(a, l->meters ? ATTR_METER_ID : ATTR_GROUP_ID, 0),
		.spec = str_steal(&s),
		.users = attrs_u64(a, ATTR_REF_COUNT, 0),
		.packets = attrs_u64(a, ATTR_PKTS, 0),
		.bytes = attrs_u64(a, ATTR_BYTES_COUNT, 0),
	};
	vec_push(&l->lines, line);
}

static int by_id(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	return x->id < y->id ? -1 : x->id > y->id;
}

static void print_json(const struct command_call *c, const struct lines *l)
{
	struct table *t = table_create(c, l->meters ? "meters" : "groups", object_columns);
	VEC_FOR_EACH (line, &l->lines) {
		table_row(t);
		table_number(t, line->id);
		table_text(t, line->spec);
		table_number(t, line->users);
		table_number(t, line->packets);
		table_number(t, line->bytes);
	}
	table_finish(t);
}

/* By number, whatever the order in which the datapath has them. */
static int dump(struct command_call *c, bool meters)
{
	struct lines l = {.stats = !c->json && !command_option(c, "no-stats"), .meters = meters};
	struct msg m;
	msg_init(&m, meters ? API_METERS : API_GROUPS, 0);
	msg_put_str(&m, ATTR_BRIDGE, c->argv[0]);
	int rc = command_dump(c, &m, put_object, &l);
	if (l.lines.len)
		qsort(l.lines.at, l.lines.len, sizeof *l.lines.at, by_id);
	if (!rc && c->json)
		print_json(c, &l);
	VEC_FOR_EACH (line, &l.lines) {
		if (!rc && !c->json)
			printf(" %s\n", line->spec);
		free(line->spec);
	}
	vec_free(&l.lines);
	return rc;
}

int cmd_group_dump(struct command_call *c)
{
	return dump(c, false);
}

int cmd_meter_dump(struct command_call *c)
{
	return dump(c, true);
}

/* ---- changes ---- */

/* Standard input may have many lines; each is of this kind. */
static int change(struct command_call *c, const char *kind, const char *command)
{
	const char *spec = c->argc > 1 ? c->argv[1] : "";
	struct str text = STR_INIT;
	char *input = NULL, *save = NULL;
	if (!strcmp(spec, "-") && !(input = rules_read("-")))
		return EXIT_USAGE;
	if (!input)
		return rules_apply_kind(c, kind, command, spec);
	for (char *line = strtok_r(input, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		str_printf(&text, "%s %s %s\n", kind, command, line);
	int rc = rules_apply(c, c->argv[0], command, str_cstr(&text));
	str_free(&text);
	free(input);
	return rc;
}

int cmd_group_add(struct command_call *c)
{
	return change(c, "group", "add");
}

int cmd_group_mod(struct command_call *c)
{
	return change(c, "group", "modify");
}

int cmd_group_del(struct command_call *c)
{
	return change(c, "group", "delete");
}

int cmd_meter_add(struct command_call *c)
{
	return change(c, "meter", "add");
}

int cmd_meter_mod(struct command_call *c)
{
	return change(c, "meter", "modify");
}

int cmd_meter_del(struct command_call *c)
{
	return change(c, "meter", "delete");
}

/* ---- tables ---- */

static const struct table_column table_columns[] = {
	{"TABLE", "table", TABLE_NUMBER},     {"NAME", "name", TABLE_TEXT},
	{"RULES", "rules", TABLE_NUMBER},     {"LIMIT", "max_entries", TABLE_NUMBER},
	{"EVICTION", "eviction", TABLE_BOOL}, {"VACANCY", "vacancy", TABLE_TEXT},
	{"MISS", "miss", TABLE_TEXT},         {"LOOKUPS", "lookups", TABLE_NUMBER},
	{"MATCHED", "matched", TABLE_NUMBER}, {NULL, NULL, TABLE_TEXT},
};

struct tables {
	struct table *t;
	bool all;
};

static void put_table(struct attrs a, void *aux)
{
	static const char *const misses[] = {"controller", "continue", "drop", ""};
	struct tables *s = aux;
	uint64_t rules = attrs_u64(a, ATTR_ACTIVE_COUNT, 0),
		 miss = attrs_u64(a, ATTR_TABLE_MISS, 3), down = attrs_u64(a, ATTR_VACANCY_DOWN, 0),
		 up = attrs_u64(a, ATTR_VACANCY_UP, 0), limit = attrs_u64(a, ATTR_MAX_ENTRIES, 0);
	bool eviction = attrs_u64(a, ATTR_EVICTION, 0);
	char vacancy[24] = "";
	if (!s->all && !rules && miss == 3 && !up && !limit && !eviction &&
	    !attrs_u64(a, ATTR_LOOKUPS, 0))
		return;
	if (up)
		snprintf(vacancy, sizeof vacancy, "%u%%..%u%%", (unsigned)down, (unsigned)up);
	table_row(s->t);
	table_number(s->t, attrs_u64(a, ATTR_TABLE, 0));
	table_text(s->t, attrs_str(a, ATTR_NAME, ""));
	table_number(s->t, rules);
	table_number(s->t, limit);
	table_bool(s->t, eviction);
	table_text(s->t, vacancy);
	table_text(s->t, miss < SL_ARRAY_SIZE(misses) ? misses[miss] : "?");
	table_number(s->t, attrs_u64(a, ATTR_LOOKUPS, 0));
	table_number(s->t, attrs_u64(a, ATTR_MATCHED, 0));
}

int cmd_table_show(struct command_call *c)
{
	struct tables s = {.t = table_create(c, "tables", table_columns),
			   .all = command_option(c, "all")};
	struct msg m;
	msg_init(&m, API_TABLES, 0);
	msg_put_str(&m, ATTR_BRIDGE, c->argv[0]);
	int rc = command_dump(c, &m, put_table, &s);
	if (rc)
		table_discard(s.t);
	else
		table_finish(s.t);
	return rc;
}
