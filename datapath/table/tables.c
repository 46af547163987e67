/* SPDX-License-Identifier: BSD-3-Clause */
/* The tables' event queue and their periodic work. The queue is filled under the version lock by
 * main and by learn actions on poll threads; everything else here is the main thread's. */
#include "datapath/base/hash.h"
#include "datapath/table/bridge.h"
#include "datapath/table/flow_table.h"
#include "datapath/table/mac_table.h"
#include "datapath/table/table_events.h"
#include "datapath/table/txn_priv.h"

enum {
	/* Room for a transaction of a million rules beside what may wait from the one before. */
	EVENTS_MAX = TXN_BACKLOG + (1 << 20),
	EXPIRE_EVERY_MS = 100,
	LIMIT_SLOTS = 256
};

enum event_kind { EVENT_MAC, EVENT_RULE_ADDED, EVENT_RULE_REMOVED, EVENT_LIMIT };

struct event {
	uint8_t kind, what; /* enum event_kind; its argument */
	bool flag;
	uint8_t mac[6];
	uint16_t vlan;
	uint32_t bridge_id, port_id;
	const void *p;            /* rule, or a constant text */
	struct table_cause cause; /* of rules */
};

static const struct table_sink *sink;
static VEC(struct event) queue; /* [0, delivered) are done with */
static size_t delivered;
static uint64_t n_delivered; /* events ever */
/* One report a second per (bridge, port, text). */
static struct {
	uint64_t key, until_ms;
} limit_seen[LIMIT_SLOTS];

void table_events_sink(const struct table_sink *s)
{
	sink = s;
}

static void push(struct event ev)
{
	if (sink && queue.len - delivered < EVENTS_MAX)
		vec_push(&queue, ev);
}

void table_event_mac(enum table_mac_event ev, uint32_t bridge_id, uint32_t port_id, uint16_t vlan,
		     const uint8_t mac[6])
{
	struct event e = {.kind = EVENT_MAC,
			  .what = (uint8_t)ev,
			  .vlan = vlan,
			  .bridge_id = bridge_id,
			  .port_id = port_id};

	memcpy(e.mac, mac, 6);
	push(e);
}

void table_event_rule_added(struct rule *r, struct table_cause cause)
{
	push((struct event){.kind = EVENT_RULE_ADDED,
			    .what = r->by_modify,
			    .flag = r->is_learnt,
			    .p = r,
			    .cause = cause});
}

void table_event_rule_removed(struct rule *r, struct table_cause cause)
{
	if (r->removed_reason == RULE_REMOVED_REPLACED)
		return;
	push((struct event){
		.kind = EVENT_RULE_REMOVED, .what = r->removed_reason, .p = r, .cause = cause});
}

void table_event_limit(uint32_t bridge_id, uint32_t port_id, const char *detail, uint64_t now_ms)
{
	uint64_t key = hash_u64((uint64_t)bridge_id << 32 | port_id) ^ (uintptr_t)detail;
	uint32_t i = (uint32_t)hash_u64(key) % LIMIT_SLOTS;

	if (limit_seen[i].key == key && now_ms < limit_seen[i].until_ms)
		return;
	limit_seen[i].key = key;
	limit_seen[i].until_ms = now_ms + 1000;
	push((struct event){
		.kind = EVENT_LIMIT, .bridge_id = bridge_id, .port_id = port_id, .p = detail});
}

static void deliver(const struct event *ev)
{
	switch ((enum event_kind)ev->kind) {
	case EVENT_MAC:
		if (sink->mac)
			sink->mac(sink->aux, ev->what, ev->bridge_id, ev->port_id, ev->vlan,
				  ev->mac);
		break;
	case EVENT_RULE_ADDED:
		if (sink->rule_added)
			sink->rule_added(sink->aux, ev->p, ev->what, ev->flag, ev->cause);
		break;
	case EVENT_RULE_REMOVED:
		if (sink->rule_removed)
			sink->rule_removed(sink->aux, ev->p, ev->what, ev->cause);
		break;
	case EVENT_LIMIT:
		if (sink->limit)
			sink->limit(sink->aux, ev->bridge_id, ev->port_id, ev->p);
		break;
	}
}

uint64_t table_events_end(void)
{
	return n_delivered + (queue.len - delivered);
}

static void deliver_queued(size_t n)
{
	for (size_t end = delivered + n; delivered < end; delivered++)
		if (sink)
			deliver(&queue.at[delivered]);
	n_delivered += n;
	n = queue.len - delivered;
	if (delivered && delivered >= n) { /* else moving would cost more than was gained */
		memmove(queue.at, queue.at + delivered, n * sizeof queue.at[0]);
		queue.len = n;
		delivered = 0;
	}
	if (!queue.len && queue.cap > 65536)
		vec_free(&queue);
}

uint64_t table_events_deliver(void)
{
	static struct txn_slice slice;
	size_t done = 0, n;

	txn_slice_begin(&slice, queue.len - delivered);
	for (; (n = txn_slice_next(&slice, done)); done += n)
		deliver_queued(n);
	txn_slice_end(&slice, queue.len - delivered);
	return n_delivered;
}

bool tables_tell(size_t max)
{
	version_lock();
	size_t n = queue.len - delivered;
	if (n <= max)
		deliver_queued(n);
	version_unlock();
	return n <= max;
}

struct expiry {
	uint64_t now_ms;
	bool more;
};

static void expire_bridge(struct bridge *b, void *aux)
{
	struct expiry *x = aux;

	mac_table_expire(b->macs, x->now_ms);
	x->more |= flow_tables_expire(b, x->now_ms);
}

static uint64_t expire_at_ms;

void tables_restart(void)
{
	expire_at_ms = 0;
}

bool tables_run(uint64_t now_ms)
{
	bool more = mac_table_drain(now_ms);

	if (now_ms >= expire_at_ms || now_ms + EXPIRE_EVERY_MS < expire_at_ms) {
		struct expiry x = {.now_ms = now_ms};

		bridge_for_each(expire_bridge, &x);
		/* a million may end at once: the rest of them in the next iteration */
		expire_at_ms = x.more ? now_ms : now_ms + EXPIRE_EVERY_MS;
		more |= x.more;
	}
	version_lock();
	uint64_t told = table_events_deliver();
	more |= told != table_events_end();
	version_unlock();
	return txn_reclaim(told) || more;
}
