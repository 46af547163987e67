/* SPDX-License-Identifier: BSD-3-Clause */
/* fail-mode standalone: when a bridge that has controllers has heard none of them for three probe
 * intervals, one rule above all others makes it a learning switch; with the first controller that
 * comes back the rule goes. Service controllers do not count. Event loop thread. */
#include <stdlib.h>

#include "control/openflow/op.h"
#include "datapath/base/clock.h"
#include "datapath/base/log.h"

LOG_MODULE(openflow);

enum {
	PRIORITY = 0xf0f0, /* Open vSwitch's: rules above it stay in force */
	INTERVALS = 3,
};

struct fail_open {
	struct event *timer;
	uint64_t heard_ms; /* when a controller was there last */
	bool is_open;      /* the rule is there */
};

static void ignore(struct ofrequest *r, struct attrs a, bool more, const struct err *err)
{
	(void)a;
	if (!more && err)
		LOG_LIMIT(log_warn, 5, "%s: fail-open: %s", r->sw->bridge, err->text);
}

static bool set_rule(struct ofswitch *sw, bool there)
{
	struct ofrequest *r = xzalloc(sizeof *r);
	struct action_buf actions = {0};
	struct match any;
	struct msg m;
	r->on_reply = ignore;
	match_init(&any);
	action_put_output(&actions, OFP_PORT_NORMAL, 0);
	msg_init(&m, API_TRANSACTION, 0);
	size_t at = msg_op_begin(&m, API_OP_RULE_MOD);
	msg_put_str(&m, ATTR_BRIDGE, sw->bridge);
	msg_put_u8(&m, ATTR_COMMAND, there ? API_MOD_ADD : API_MOD_DELETE_STRICT);
	msg_put_u8(&m, ATTR_TABLE, 0);
	msg_put_u16(&m, ATTR_PRIORITY, PRIORITY);
	api_put_match(&m, ATTR_MATCH, &any);
	msg_put_u32(&m, ATTR_RULE_FLAGS, OF_RULE_HIDDEN);
	if (there)
		msg_put_bytes(&m, ATTR_ACTIONS, actions.data, actions.len);
	msg_nest_end(&m, at);
	action_buf_free(&actions);
	return ofrequest_send(r, sw, NULL, NULL, &m, false);
}

struct controllers {
	unsigned n; /* that matter */
	bool any_connected;
	int probe_ms; /* the longest */
};

static struct controllers look(const struct ofswitch *sw)
{
	struct controllers c = {.probe_ms = 0};
	VEC_FOR_EACH (r, &sw->remotes) {
		struct ofswitch_status st;
		if (!*r || !remote_config(*r)->primary)
			continue;
		remote_status(*r, &st);
		c.n++;
		c.any_connected |= st.is_connected;
		c.probe_ms = SL_MAX(c.probe_ms, remote_config(*r)->inactivity_probe_ms);
	}
	return c;
}

void fail_open_run(struct ofswitch *sw)
{
	struct fail_open *f = sw->fail_open;
	struct controllers c = look(sw);
	uint64_t now = clock_mono_ms(), limit_ms = INTERVALS * (uint64_t)SL_MAX(c.probe_ms, 1000);
	bool applies = sw->fail_mode == OFSWITCH_FAIL_STANDALONE && c.n;
	if (!applies || c.any_connected)
		f->heard_ms = now;
	bool open = applies && now - f->heard_ms >= limit_ms;
	/* "not yet" is no reason to take away what an earlier process of ours left. */
	bool close = !applies || c.any_connected;
	if (!sw->client || (f->is_open ? !close : !open))
		return;
	if (open)
		log_warn("%s: no controller for %llu s: switches by itself", sw->bridge,
			 (unsigned long long)(now - f->heard_ms) / 1000);
	else
		log_warn("%s: a controller is there again", sw->bridge);
	if (set_rule(sw, open))
		f->is_open = open;
}

void fail_open_saw(struct ofswitch *sw, struct attrs rule)
{
	if (attrs_u64(rule, ATTR_RULE_FLAGS, 0) & OF_RULE_HIDDEN &&
	    attrs_u64(rule, ATTR_PRIORITY, 0) == PRIORITY)
		sw->fail_open->is_open = true;
}

static void on_timer(evutil_socket_t fd, short what, void *aux)
{
	(void)fd;
	(void)what;
	fail_open_run(aux);
}

void fail_open_start(struct ofswitch *sw)
{
	struct timeval every = {.tv_sec = 1};
	sw->fail_open = xzalloc(sizeof *sw->fail_open);
	sw->fail_open->heard_ms = clock_mono_ms();
	sw->fail_open->timer = event_new(sw->base, -1, EV_PERSIST, on_timer, sw);
	event_add(sw->fail_open->timer, &every);
}

void fail_open_stop(struct ofswitch *sw)
{
	event_free(sw->fail_open->timer);
	free(sw->fail_open);
}
