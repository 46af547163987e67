/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets that no rule matches: OpenFlow 1.0 (§3.4) sends them to the controller unless told
 * otherwise, 1.3 and later drop them. So the datapath sends them up while a controller of an old
 * version wants them; it forgets that when our connection to it ends. Event loop thread. */
#include "control/openflow/op.h"
#include "datapath/base/log.h"

LOG_MODULE(openflow);

static bool wanted(const struct ofswitch *sw)
{
	LIST_FOR_EACH (c, struct ofconn, node, &sw->conns)
		if (c->version < OFP13 && !c->controller_id &&
		    ofconn_wants(c, ASYNC_PACKET_IN, OFPR_NO_MATCH))
			return true;
	return false;
}

static void on_reply(struct ofrequest *r, struct attrs a, bool more, const struct err *err)
{
	static const struct timeval soon = {.tv_sec = 1};

	(void)a;
	if (more || !err)
		return;
	/* The bridge may come a moment later than its controller. */
	LOG_LIMIT(log_info, 5, "%s: misses to controllers: %s", r->sw->bridge, err->text);
	r->sw->misses_told = false;
	event_add(r->sw->misses_retry, &soon);
}

void misses_run(struct ofswitch *sw)
{
	bool on = wanted(sw);
	struct ofrequest *r;
	struct msg m;

	if (!sw->client || sw->misses_told == on)
		return;
	r = xzalloc(sizeof *r);
	r->on_reply = on_reply;
	msg_init(&m, API_MISS_UPCALLS, 0);
	msg_put_str(&m, ATTR_BRIDGE, sw->bridge);
	msg_put_str(&m, ATTR_STATE, on ? "on" : "off");
	sw->misses_told = on;
	ofrequest_send(r, sw, NULL, NULL, &m, false);
}

static void on_retry(evutil_socket_t fd, short what, void *aux)
{
	(void)fd;
	(void)what;
	misses_run(aux);
}

void misses_start(struct ofswitch *sw)
{
	sw->misses_retry = event_new(sw->base, -1, 0, on_retry, sw);
}

void misses_stop(struct ofswitch *sw)
{
	event_free(sw->misses_retry);
}
