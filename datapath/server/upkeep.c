/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/server/upkeep.h"

#include <stdio.h>

#include "datapath/base/clock.h"
#include "datapath/base/log.h"
#include "datapath/conntrack/conntrack.h"
#include "datapath/exec/fragments.h"
#include "datapath/policy/policy_live.h"
#include "datapath/poll/poll.h"
#include "datapath/resolve/frozen.h"
#include "datapath/server/conn.h"
#include "datapath/server/events.h"
#include "datapath/server/loop.h"
#include "datapath/server/port_rates.h"
#include "datapath/server/port_watch.h"
#include "datapath/server/registry.h"
#include "datapath/server/rule_attrs.h"
#include "datapath/table/bridge.h"
#include "datapath/table/flow_table.h"
#include "datapath/table/table_events.h"

LOG_MODULE(server);

static void put_where(struct msg *m, uint32_t bridge_id, uint32_t port_id)
{
	const struct bridge *b = bridge_by_id(bridge_id);
	const struct port_object *p = registry_port_by_id(port_id);

	msg_put_str(m, ATTR_BRIDGE, b ? b->name : "");
	msg_put_str(m, ATTR_PORT, p ? p->o.name : "");
}

static void mac_news(void *aux, enum table_mac_event ev, uint32_t bridge_id, uint32_t port_id,
		     uint16_t vlan, const uint8_t mac[6])
{
	static const char *const states[] = {
		[MAC_EVENT_LEARNT] = "learnt",
		[MAC_EVENT_MOVED] = "moved",
		[MAC_EVENT_EXPIRED] = "expired",
		[MAC_EVENT_REMOVED] = "removed",
	};
	struct msg *m = events_begin(API_EVENT_MAC);

	put_where(m, bridge_id, port_id);
	msg_put_u16(m, ATTR_VLAN, vlan);
	msg_put_bytes(m, ATTR_MAC, mac, 6);
	msg_put_str(m, ATTR_STATE, states[ev]);
	events_end();
}

static void limit_news(void *aux, uint32_t bridge_id, uint32_t port_id, const char *detail)
{
	struct msg *m = events_begin(API_EVENT_LIMIT);

	put_where(m, bridge_id, port_id);
	msg_put_str(m, ATTR_DETAIL, detail);
	events_end();
	LOG_LIMIT(log_info, 5, "limit reached: %s", detail);
}

static void put_rule(struct msg *m, const struct rule *r)
{
	const struct bridge *b = bridge_by_id(flow_table_bridge_of(r));

	msg_put_str(m, ATTR_BRIDGE, b ? b->name : "");
	size_t at = msg_nest_begin(m, ATTR_RULE);
	rule_attrs_put(m, r, clock_mono_ms());
	msg_nest_end(m, at);
}

/* A million rules may come in one transaction: nobody pays for telling them to nobody. */
static bool wanted(enum api_event kind, bool quiet)
{
	if (conn_has_subscriber(kind, quiet))
		return true;
	events_skip();
	return false;
}

static void end_rule_event(bool quiet)
{
	if (quiet)
		events_end_quiet();
	else
		events_end();
}

static void rule_added(void *aux, const struct rule *r, bool modified, bool by_learn,
		       struct table_cause cause)
{
	if (!wanted(API_EVENT_RULE_ADDED, cause.quiet))
		return;
	struct msg *m = events_begin(API_EVENT_RULE_ADDED);
	put_rule(m, r);
	msg_put_str(m, ATTR_STATE, modified ? "modified" : "added");
	if (by_learn)
		msg_put_flag(m, ATTR_LEARNED);
	if (cause.origin)
		msg_put_u64(m, ATTR_ORIGIN, cause.origin);
	msg_put_u64(m, ATTR_VERSION, r->added);
	end_rule_event(cause.quiet);
}

static bool collected; /* in this iteration of the loop */

static void rule_removed(void *aux, const struct rule *r, enum rule_removed_reason reason,
			 struct table_cause cause)
{
	/* controllers are told its last counts */
	bool quiet = cause.quiet && !(r->flags & RULE_SEND_FLOW_REM);

	if (!wanted(API_EVENT_RULE_REMOVED, quiet))
		return;
	/* Its last packets are counted in the caches. Once for all that go in one iteration. */
	if (r->flags & RULE_SEND_FLOW_REM && !collected) {
		poll_credit_collect();
		collected = true;
	}
	struct msg *m = events_begin(API_EVENT_RULE_REMOVED);
	put_rule(m, r);
	msg_put_u8(m, ATTR_REMOVED_REASON, (uint8_t)reason);
	if (cause.origin)
		msg_put_u64(m, ATTR_ORIGIN, cause.origin);
	msg_put_u64(m, ATTR_VERSION, r->removed);
	msg_put_u64(m, ATTR_ADDED_VERSION, r->added);
	end_rule_event(quiet);
}

static const struct table_sink sink = {
	.mac = mac_news,
	.limit = limit_news,
	.rule_added = rule_added,
	.rule_removed = rule_removed,
};

/* Poll threads write no log and no event: what they refused is told once a second. */
static void connection_news(void)
{
	static struct conntrack_stats told;
	struct conntrack_stats now;
	char detail[128];

	conntrack_stats(&now);
	if (now.nat_exhausted != told.nat_exhausted || now.refused != told.refused) {
		snprintf(detail, sizeof detail,
			 "connections: %llu refused by limits, %llu without a free translation",
			 (unsigned long long)(now.refused - told.refused),
			 (unsigned long long)(now.nat_exhausted - told.nat_exhausted));
		limit_news(NULL, 0, 0, detail);
	}
	told = now;
}

static void every_second(uint64_t now_ms)
{
	poll_credit_collect();
	poll_tick(now_ms);
	connection_news();
	frozen_expire(now_ms);
	port_watch_refresh();
}

static void every_10_ms(uint64_t now_ms)
{
	static unsigned n;

	if (n++ % 10 == 0)
		port_rates_changed(); /* by a policy that fell back to the one before it */
	poll_upkeep(now_ms);
	conntrack_upkeep((uint32_t)now_ms);
	fragments_expire((uint32_t)now_ms);
}

bool upkeep_tell(void)
{
	collected = false;
	return tables_tell(CONN_EVENTS_WITH_ANSWER);
}

static bool each_iteration(uint64_t now_ms)
{
	collected = false;
	port_rates_apply();
	bool more = tables_run(now_ms);

	conn_tell_events(now_ms);
	return more;
}

void upkeep_start(void)
{
	static struct loop_timer second, often;

	table_events_sink(&sink);
	loop_each(each_iteration);
	loop_timer_start(&second, 1000, every_second);
	loop_timer_start(&often, 10, every_10_ms);
}
