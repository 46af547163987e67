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

/* Lines of "module level …"; headings are passed over. */
static void put_list(struct table *t, const char *daemon, char *text)
{
	char *save = NULL, module[64], level[16];
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, " %63s %15s", module, level) != 2 || strspn(module, "- ") ||
		    !strcmp(module, "console"))
			continue;
		table_row(t);
		table_text(t, daemon);
		table_text(t, module);
		table_text(t, level);
	}
}

/* Both through sluiced, which holds the datapath's lease. */
int cmd_log_show(struct command_call *c)
{
	struct table *t = table_create(c, "modules", log_columns);
	char *datapath = NULL, *sluiced = NULL;
	int rc = command_sluiced(c, "datapath/log", NULL, 0, &datapath);
	if (!rc)
		rc = command_sluiced(c, "vlog/list", NULL, 0, &sluiced);
	if (rc) {
		table_discard(t);
	} else {
		put_list(t, "datapath", datapath);
		put_list(t, "sluiced", sluiced);
		table_finish(t);
	}
	free(datapath);
	free(sluiced);
	return rc;
}

int cmd_log_level(struct command_call *c)
{
	bool both = !command_option(c, "datapath") == !command_option(c, "sluiced");
	const char *spec = c->argv[0];
	char *reply = NULL;
	int rc = EXIT_OK;
	if (both || command_option(c, "datapath"))
		rc = command_sluiced(c, "datapath/log", &spec, 1, &reply);
	free(reply);
	reply = NULL;
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
