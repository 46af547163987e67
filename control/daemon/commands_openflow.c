/* SPDX-License-Identifier: BSD-3-Clause */
/* ofproto/list, bridge/dump-flows, bridge/reconnect: the OpenFlow side of bridges, in the text form
 * of ovs-appctl. Event loop thread. */
#include <string.h>

#include "control/daemon/sluiced.h"
#include "control/daemon/switches.h"
#include "control/openflow/ofswitch.h"
#include "datapath/base/str.h"
#include "ovsdb-lite/unixctl.h"

static void put_name(struct ofswitch *of, void *aux)
{
	str_printf(aux, "%s\n", ofswitch_bridge(of));
}

static void list(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	struct str text = STR_INIT;
	switches_for_each(d->switches, put_name, &text);
	unixctl_reply(call, str_cstr(&text));
	str_free(&text);
}

static void dumped(const char *text, const struct err *error, void *aux)
{
	if (error)
		unixctl_error(aux, error->text);
	else
		unixctl_reply(aux, text);
}

/* The last argument is the bridge; options before it ask for what the datapath does not have. */
static void dump_flows(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	struct ofswitch *of = switches_find(d->switches, argv[argc - 1]);
	if (of)
		ofswitch_dump_flows(of, true, dumped, call);
	else
		unixctl_error(call, "Unknown bridge");
}

static void reconnect_one(struct ofswitch *of, void *aux)
{
	ofswitch_reconnect(of);
}

static void reconnect(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	struct ofswitch *of = argc > 1 ? switches_find(d->switches, argv[1]) : NULL;
	if (argc > 1 && !of) {
		unixctl_error(call, "Unknown bridge");
		return;
	}
	if (of)
		ofswitch_reconnect(of);
	else
		switches_for_each(d->switches, reconnect_one, NULL);
	unixctl_reply(call, "");
}

void commands_openflow_register(struct sluiced *d, struct unixctl *ctl)
{
	unixctl_register(ctl, "ofproto/list", "", 0, 0, list, d);
	unixctl_register(ctl, "bridge/dump-flows", "[--offload-stats] bridge", 1, 2, dump_flows, d);
	unixctl_register(ctl, "bridge/reconnect", "[bridge]", 0, 1, reconnect, d);
}
