/* SPDX-License-Identifier: BSD-3-Clause */
/* Stands where control/openflow is not part of the tree yet: bridges without OpenFlow. Left out of
 * the build as soon as ofswitch.c is there. */
#include "control/openflow/ofswitch.h"
#include "datapath/base/err.h"

#include <stdlib.h>

struct ofswitch {
	char *bridge;
	struct api_client *client;
};

int ofswitch_create(struct ofswitch **out, struct event_base *base, struct api_client *client,
		    const char *bridge, const char *rundir, const struct ofswitch_ops *ops,
		    void *ops_aux, struct err *e)
{
	*out = xzalloc(sizeof **out);
	(*out)->bridge = xstrdup(bridge);
	(*out)->client = client;
	return 0;
}

void ofswitch_destroy(struct ofswitch *sw)
{
	free(sw->bridge);
	free(sw);
}

int ofswitch_configure(struct ofswitch *sw, const struct ofswitch_config *config, struct err *e)
{
	return 0;
}

void ofswitch_set_client(struct ofswitch *sw, struct api_client *client)
{
	sw->client = client;
}

void ofswitch_add_default_rules(struct ofswitch *sw,
				void (*done)(const struct err *error, void *aux), void *aux)
{
}

size_t ofswitch_replay(struct ofswitch *sw, struct msg *transaction)
{
	return 0;
}

void ofswitch_event(struct ofswitch *sw, struct attrs event)
{
}

void ofswitch_port_changed(struct ofswitch *sw, const struct ofswitch_port *port, uint8_t reason)
{
}

bool ofswitch_controller_status(const struct ofswitch *sw, size_t i, struct ofswitch_status *out)
{
	return false;
}
