/* SPDX-License-Identifier: BSD-3-Clause */
/* The flow caches: entries with what they match, what they do and the rules that decided it. Asks
 * datapath.sock. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/api/match_attr.h"
#include "datapath/flow/key_text.h"
#include "datapath/flow/match_text.h"
#include "tools/ctl/handlers.h"
#include "tools/ctl/table.h"

static const struct table_column columns[] = {
	{"CORE", "core", TABLE_NUMBER},       {"MATCH", "match", TABLE_TEXT},
	{"PACKETS", "packets", TABLE_NUMBER}, {"BYTES", "bytes", TABLE_NUMBER},
	{"IDLE MS", "idle_ms", TABLE_NUMBER}, {"ACTIONS", "actions", TABLE_TEXT},
	{"RULES", "rules", TABLE_TEXT},       {NULL, NULL, TABLE_TEXT},
};

static const char *port_name(void *aux, uint32_t port_id)
{
	return aux;
}

/* "table=0,priority=5,cookie=0x1,tcp" */
static void put_rule(struct attrs r, struct str *out)
{
	struct match m;
	uint64_t cookie = attrs_u64(r, ATTR_COOKIE, 0);
	if (!api_get_match(r, ATTR_MATCH, &m))
		return;
	str_printf(out, "%stable=%u,priority=%u", out->len ? "; " : "",
		   (unsigned)attrs_u64(r, ATTR_TABLE, 0), (unsigned)attrs_u64(r, ATTR_PRIORITY, 0));
	if (cookie)
		str_printf(out, ",cookie=0x%llx", (unsigned long long)cookie);
	size_t before = out->len;
	str_putc(out, ',');
	match_format(&m, NULL, out);
	if (out->len == before + 1)
		str_chomp(out, ',');
}

static void put_entry(struct attrs a, void *aux)
{
	struct table *t = aux;
	struct str key = STR_INIT, rules = STR_INIT;
	const char *port = attrs_str(a, ATTR_PORT, "");
	struct match m;
	if (!api_get_match(a, ATTR_KEY_LINES, &m))
		return;
	key_format(&m, *port ? port_name : NULL, (void *)port, &key);
	ATTR_FOR_EACH (it, a)
		if (it->id == ATTR_RULE)
			put_rule(attr_nest(it), &rules);
	table_row(t);
	table_number(t, attrs_u64(a, ATTR_CORE, 0));
	table_text(t, str_cstr(&key));
	table_number(t, attrs_u64(a, ATTR_PKTS, 0));
	table_number(t, attrs_u64(a, ATTR_BYTES_COUNT, 0));
	table_number(t, attrs_u64(a, ATTR_IDLE_AGE_MS, 0));
	table_text(t, attrs_str(a, ATTR_PROGRAM_TEXT, ""));
	table_text(t, str_cstr(&rules));
	str_free(&key);
	str_free(&rules);
}

int cmd_cache_show(struct command_call *c)
{
	struct table *t = table_create(c, "entries", columns);
	struct msg m;
	msg_init(&m, API_MEGAFLOWS, 0);
	if (command_option(c, "bridge"))
		msg_put_str(&m, ATTR_BRIDGE, command_option(c, "bridge"));
	if (command_option(c, "port"))
		msg_put_str(&m, ATTR_PORT, command_option(c, "port"));
	int rc = command_dump(c, &m, put_entry, t);
	if (rc)
		table_discard(t);
	else
		table_finish(t);
	return rc;
}

int cmd_cache_flush(struct command_call *c)
{
	char *reply = NULL;
	int rc = command_sluiced(c, "revalidator/purge", NULL, 0, &reply);
	free(reply);
	return rc;
}
