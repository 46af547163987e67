/* SPDX-License-Identifier: BSD-3-Clause */
/* A refresh job carries copies of id and device pointer. The device thread closes ports in the
 * order of jobs, so a device in a refresh job submitted before its close is still open; the main
 * thread drops results of ports that changed hands since. */
#include "datapath/server/port_watch.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/log.h"
#include "datapath/base/vec.h"
#include "datapath/observe/record.h"
#include "datapath/poll/poll.h"
#include "datapath/server/device.h"
#include "datapath/server/events.h"
#include "datapath/server/recorded_port.h"
#include "datapath/table/bridge.h"

LOG_MODULE(port);

struct refreshed {
	uint32_t id;
	struct port *port;
	struct port_status status;
};
static struct {
	struct device_job job;
	VEC(struct refreshed) ports;
	bool running, again;
} refresh;

void port_announce(const struct port_object *p, const char *state)
{
	struct msg *m = events_begin(API_EVENT_PORT);

	msg_put_str(m, ATTR_PORT, p->o.name);
	msg_put_u32(m, ATTR_PORT_ID, p->id);
	msg_put_u8(m, ATTR_LINK_UP, p->status.link == PORT_LINK_UP);
	msg_put_str(m, ATTR_STATE, state);
	events_end();
}

void port_watch_link(const struct port_object *p)
{
	bridge_port_link(p->id, p->status.link == PORT_LINK_UP);
}

static void run_refresh(struct device_job *j)
{
	VEC_FOR_EACH (r, &refresh.ports) {
		if (r->port->class->refresh)
			r->port->class->refresh(r->port);
		r->status = r->port->status;
	}
}

/* Without the device counters, which move all the time. */
static bool looks_same(const struct port_status *a, const struct port_status *b)
{
	return a->link == b->link && a->admin_up == b->admin_up && a->mtu == b->mtu &&
	       a->link_speed_bps == b->link_speed_bps && a->ifindex == b->ifindex &&
	       !memcmp(a->mac, b->mac, sizeof a->mac) && !strcmp(a->detail, b->detail);
}

static void take(const struct refreshed *r)
{
	struct port_object *p = registry_port_by_id(r->id);

	if (!p || p->port != r->port || !p->o.exists)
		return;
	bool link_moved =
		p->status.link != r->status.link || p->status.link_resets != r->status.link_resets;
	bool moved = link_moved || !looks_same(&p->status, &r->status);

	if (record_is_live() && moved)
		recorded_port_moved(p->port, &r->status);
	p->status = r->status;
	if (link_moved) {
		port_watch_link(p);
		log_info("port %s: link %s", p->o.name,
			 p->status.link == PORT_LINK_UP ? "up" : "down");
	}
	if (moved)
		port_announce(p, link_moved ? "link" : "changed");
}

static void refreshed(struct device_job *j)
{
	VEC_FOR_EACH (r, &refresh.ports)
		take(r);
	refresh.running = false;
	if (refresh.again) {
		refresh.again = false;
		port_watch_refresh();
	}
}

void port_watch_refresh(void)
{
	if (refresh.running) {
		refresh.again = true;
		return;
	}
	vec_clear(&refresh.ports);
	for (struct port_object *p = registry_port_after(0); p; p = registry_port_after(p->id))
		if (p->port)
			vec_push(&refresh.ports, (struct refreshed){.id = p->id, .port = p->port});
	if (!refresh.ports.len)
		return;
	refresh.running = true;
	refresh.job.run = run_refresh;
	refresh.job.done = refreshed;
	device_submit(&refresh.job);
}

/* ---- news from classes ---- */

struct port_news {
	struct loop_post post;
	uint32_t id;
	const struct port *port; /* to compare only */
	enum port_event ev;
};

static void handle_news(struct loop_post *post)
{
	struct port_news *n = SL_CONTAINER_OF(post, struct port_news, post);
	struct port_object *p = registry_port_by_id(n->id);

	if (p && p->port == n->port && p->o.exists) {
		switch (n->ev) {
		case PORT_EVENT_QUEUES:
			if (p->published)
				poll_port_requeue(p->port);
			port_watch_refresh();
			break;
		case PORT_EVENT_REMOVED:
			log_warn("port %s: its device has gone", p->o.name);
			port_announce(p, "changed");
			port_watch_refresh();
			break;
		case PORT_EVENT_LINK:
		case PORT_EVENT_STATUS:
			port_watch_refresh();
			break;
		}
	}
	free(n);
}

void port_watch_event(struct port *p, enum port_event ev)
{
	struct port_news *n = xmalloc(sizeof *n);

	*n = (struct port_news){.id = p->id, .port = p, .ev = ev, .post.fn = handle_news};
	loop_post(&n->post);
}
