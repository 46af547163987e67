/* SPDX-License-Identifier: BSD-3-Clause */
/* News from the tables for the server: learnt addresses, rules that came and went, limits.
 *
 * Writers (main, and poll threads in learn actions; under the version lock) append to a bounded
 * queue; tables_run() on the main thread hands each one to the sink, in order. */
#pragma once
#include "datapath/base/util.h"

struct bridge;
struct mac_entry;
struct rule;

enum table_mac_event { MAC_EVENT_LEARNT, MAC_EVENT_MOVED, MAC_EVENT_EXPIRED, MAC_EVENT_REMOVED };

/* Why a rule went: OpenFlow 1.5.1 §7.4.5 enum ofp_flow_removed_reason. */
enum rule_removed_reason {
	RULE_REMOVED_IDLE,
	RULE_REMOVED_HARD,
	RULE_REMOVED_DELETE,
	RULE_REMOVED_GROUP_DELETE,
	RULE_REMOVED_METER_DELETE,
	RULE_REMOVED_EVICTION,
	RULE_REMOVED_REPLACED = 255, /* by another rule: no event */
};

/* Of the operation that made the change (txn.h). */
struct table_cause {
	uint64_t origin;
	bool quiet; /* who asked for it knows */
};

struct table_sink {
	void (*mac)(void *aux, enum table_mac_event ev, uint32_t bridge_id, uint32_t port_id,
		    uint16_t vlan, const uint8_t mac[6]);
	/* `modified`: by a modify command; a rule that replaces another was added. `by_learn`: a
	 * learn action did it, not a transaction of the control daemon. The rule stays valid during
	 * the call. Of a rule that is replaced only its
	 * replacement is told. */
	void (*rule_added)(void *aux, const struct rule *r, bool modified, bool by_learn,
			   struct table_cause cause);
	void (*rule_removed)(void *aux, const struct rule *r, enum rule_removed_reason reason,
			     struct table_cause cause);
	/* A quota was reached: at most one call a second per port and kind. port_id 0: the bridge.
	 */
	void (*limit)(void *aux, uint32_t bridge_id, uint32_t port_id, const char *detail);
	void *aux;
};

/* Main, before any table changes; NULL: nobody listens. Borrowed. */
void table_events_sink(const struct table_sink *sink);

/* ---- for the table code, under the version lock ---- */
void table_event_mac(enum table_mac_event ev, uint32_t bridge_id, uint32_t port_id, uint16_t vlan,
		     const uint8_t mac[6]);
void table_event_rule_added(struct rule *r, struct table_cause cause);
void table_event_rule_removed(struct rule *r, struct table_cause cause);
void table_event_limit(uint32_t bridge_id, uint32_t port_id, const char *detail, uint64_t now_ms);

/* Main thread, every loop iteration: learn requests, expiry (at most every 100 ms), events,
 * reclamation. Returns true when more is waiting. */
bool tables_run(uint64_t now_ms);
/* Main thread: delivers what is queued, if that is at most `max` events. False: it was more. */
bool tables_tell(size_t max);
/* A recording begins: its next run looks for what has expired, whenever the last one did. */
void tables_restart(void);
