/* SPDX-License-Identifier: BSD-3-Clause */
/* Log levels of both daemons. */
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
