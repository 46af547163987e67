/* SPDX-License-Identifier: BSD-3-Clause */
/* Log levels of both daemons, and the datapath's events as they happen. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/command.h"
#include "tools/ctl/handlers.h"
#include "tools/ctl/table.h"

static const struct table_column log_columns[] = {{"DAEMON", "daemon", TABLE_TEXT},
						  {"MODULE", "module", TABLE_TEXT},
						  {"LEVEL", "level", TABLE_TEXT},
						  {NULL, NULL, TABLE_TEXT}};

static void put_module(struct attrs a, void *aux)
{
	struct table *t = aux;
	table_row(t);
	table_text(t, "datapath");
	table_text(t, attrs_str(a, ATTR_NAME, ""));
	table_text(t, attrs_str(a, ATTR_LEVEL, ""));
}

/* The text of vlog/list: a heading, then "module  level …" lines. */
static void put_list(struct table *t, char *text)
{
	char *save = NULL, module[64], level[16];
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, " %63s %15s", module, level) != 2 || strspn(module, "- ") ||
		    !strcmp(module, "console"))
			continue;
		table_row(t);
		table_text(t, "sluiced");
		table_text(t, module);
		table_text(t, level);
	}
}

int cmd_log_show(struct command_call *c)
{
	struct table *t = table_create(c, "modules", log_columns);
	char *text = NULL;
	struct msg m;
	int rc;
	msg_init(&m, API_LOG, 0);
	rc = command_dump(c, &m, put_module, t);
	if (!rc)
		rc = command_sluiced(c, "vlog/list", NULL, 0, &text);
	if (!rc)
		put_list(t, text);
	free(text);
	if (rc)
		table_discard(t);
	else
		table_finish(t);
	return rc;
}

static int set_datapath(struct command_call *c)
{
	struct api_client *client = command_datapath(c, false);
	struct err e = {0};
	struct msg m;
	int rc;
	if (!client)
		return EXIT_FAILED;
	msg_init(&m, API_LOG, 0);
	msg_put_str(&m, ATTR_LEVEL, c->argv[0]);
	rc = api_call(client, &m, NULL, NULL, &e);
	api_close(client);
	return rc ? command_fail("datapath: %s", e.text) : EXIT_OK;
}

int cmd_log_level(struct command_call *c)
{
	bool both = !command_option(c, "datapath") == !command_option(c, "sluiced");
	const char *spec = c->argv[0];
	char *reply = NULL;
	int rc = EXIT_OK;
	if (both || command_option(c, "datapath"))
		rc = set_datapath(c);
	if (!rc && (both || command_option(c, "sluiced")))
		rc = command_sluiced(c, "vlog/set", &spec, 1, &reply);
	free(reply);
	return rc;
}

/* ---- events ---- */

struct watching {
	const struct command_call *c;
	unsigned left; /* 0: no end */
	bool done;
};

static void print_event(struct attrs a, void *aux)
{
	struct watching *w = aux;
	uint64_t kind = attrs_u64(a, ATTR_EVENT, API_EVENT_N);
	struct str s = STR_INIT;
	if (w->done)
		return;
	attrs_format_json(a, &s);
	if (w->c->json)
		puts(str_cstr(&s));
	else
		printf("%-12s %s\n", kind < API_EVENT_N ? api_event_names[kind] : "?",
		       str_cstr(&s));
	fflush(stdout);
	str_free(&s);
	w->done = w->left && !--w->left;
}

int cmd_events(struct command_call *c)
{
	const char *count = command_option(c, "count");
	struct watching w = {.c = c};
	struct api_client *client;
	struct err e = {0};
	struct msg m;
	uint64_t n = 0;
	int rc;
	if (count && !parse_u64(count, 10, UINT32_MAX, &n))
		return command_usage(c, "--count %s: not a number", count);
	w.left = (unsigned)n;
	client = command_datapath(c, false);
	if (!client)
		return EXIT_FAILED;
	api_on_event(client, print_event, &w);
	msg_init(&m, API_SUBSCRIBE, 0);
	msg_put_u64(&m, ATTR_EVENT_MASK, (1ull << API_EVENT_N) - 1);
	rc = api_call(client, &m, NULL, NULL, &e);
	while (!rc && !w.done) {
		struct pollfd p = {.fd = api_client_fd(client), .events = POLLIN};
		poll(&p, 1, -1);
		if (api_client_run(client))
			rc = err_set(&e, ECONNRESET, "the datapath has gone");
	}
	api_close(client);
	return rc ? command_fail_err(&e) : EXIT_OK;
}
