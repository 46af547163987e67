/* SPDX-License-Identifier: BSD-3-Clause */
/* flow/…: changes of rules, groups and meters in text, and the rules that a bridge starts with when
 * nobody remembers others: what the sluice command calls. Event loop thread. */
#include <stdlib.h>

#include "control/daemon/saved_flows.h"
#include "control/daemon/sluiced.h"
#include "control/daemon/switches.h"
#include "control/openflow/ofswitch.h"
#include "ovsdb-lite/unixctl.h"

static void applied(const struct err *error, void *aux)
{
	if (error)
		unixctl_error(aux, error->text);
	else
		unixctl_reply(aux, "");
}

static struct ofswitch *find(struct sluiced *d, struct unixctl_call *call, const char *bridge)
{
	struct ofswitch *of = switches_find(d->switches, bridge);
	char *text = of ? NULL : xasprintf("bridge %s: not found", bridge);
	if (!of)
		unixctl_error(call, text);
	free(text);
	return of;
}

static void apply(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct ofswitch *of = find(aux, call, argv[1]);
	if (of)
		ofswitch_apply_text(of, argv[3], argv[2], applied, call);
}

/* ---- the rules a bridge starts with ---- */

static void answer(struct unixctl_call *call, const struct err *e)
{
	if (e->code)
		unixctl_error(call, e->text);
	else
		unixctl_reply(call, "");
}

static void keep(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	struct err e = {0};
	if (!find(d, call, argv[1]))
		return;
	saved_flows_write(d->options->dbdir, argv[1], argv[2], &e);
	answer(call, &e);
}

static void forget(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	struct err e = {0};
	if (!find(d, call, argv[1]))
		return;
	saved_flows_remove(d->options->dbdir, argv[1], &e);
	answer(call, &e);
}

static void restore(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	struct ofswitch *of = find(d, call, argv[1]);
	struct err e = {0};
	if (!of)
		return;
	char *text = saved_flows_read(d->options->dbdir, argv[1], &e);
	if (text)
		ofswitch_apply_text(of, text, "restore", applied, call);
	else
		unixctl_error(call, e.text);
	free(text);
}

void commands_flow_register(struct sluiced *d, struct unixctl *ctl)
{
	unixctl_register(ctl, "flow/apply", "bridge command text", 3, 3, apply, d);
	unixctl_register(ctl, "flow/keep", "bridge text", 2, 2, keep, d);
	unixctl_register(ctl, "flow/forget", "bridge", 1, 1, forget, d);
	unixctl_register(ctl, "flow/restore", "bridge", 1, 1, restore, d);
}
