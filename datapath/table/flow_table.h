/* SPDX-License-Identifier: BSD-3-Clause */
/* The OpenFlow tables of a bridge: one classifier each, their settings, and what goes over all
 * rules: dumps, timeouts, cookies. Lookups: any thread under RCU. Everything else holds the version
 * lock, itself or through a txn. */
#pragma once
#include "datapath/base/err.h"
#include "datapath/table/classifier.h"
#include "datapath/table/table_events.h"

struct bridge;
struct flow_tables;
struct txn;

/* What a packet that no rule matches meets (values of TABLE_MISS). */
enum table_miss { TABLE_MISS_CONTROLLER, TABLE_MISS_CONTINUE, TABLE_MISS_DROP, TABLE_MISS_DEFAULT };

enum { RULES_MAX = 4 << 20 /* of a bridge */, TABLE_NAME_BYTES = 32, TABLE_ALL = 255 };

struct flow_table_config {
	char name[TABLE_NAME_BYTES];
	uint32_t config; /* OFPTC_* as the controller set them; kept and returned */
	uint8_t miss;    /* enum table_miss; DEFAULT: drop, as OpenFlow 1.3+ */
	bool eviction;   /* evict the least important rule instead of refusing */
	uint8_t vacancy_down, vacancy_up; /* percent; 0: off */
	uint32_t max_entries;             /* 0: no limit of its own */
};

struct flow_table {
	struct classifier cls;
	struct flow_table_config config; /* W: commit  R: main; `miss` by any thread */
	uint64_t matched_gone;           /* packets of rules that are gone  W: lock holder */
	struct credit_target *missed;    /* packets that matched nothing */
	uint32_t n_live;                 /* rules, in the writers' view */
	bool used;                       /* something was committed  W: lock holder  R: any */
	VEC(struct flow_slot {
		uint64_t seq;
		struct rule *r; /* NULL: removed */
	})
	slots; /* by seq; writers' view */
	size_t n_holes;
	uint64_t next_seq;
};

/* NULL: nothing was ever set in that table. */
struct flow_table *flow_table_get(const struct bridge *b, uint8_t table);
/* Packets looked up and matched so far; the credits must have been collected. O(rules). */
void flow_table_counts(const struct bridge *b, uint8_t table, uint64_t *lookups, uint64_t *matched);
uint32_t flow_table_bridge_of(const struct rule *r); /* its bridge's id, which may be gone */
uint32_t flow_tables_n_rules(const struct bridge *b);
int flow_table_set(struct txn *t, struct bridge *b, uint8_t table,
		   const struct flow_table_config *c, struct err *e);
void flow_table_config_get(const struct bridge *b, uint8_t table, struct flow_table_config *out);

/* ---- dumps: main thread, no txn open ---- */
struct rule_filter {
	uint8_t table;                 /* TABLE_ALL */
	const struct minimatch *match; /* NULL: all; else rules that are within it */
	bool strict;                   /* only exactly `match` with `priority` */
	bool hidden;                   /* also hidden rules */
	uint16_t priority;
	uint64_t cookie, cookie_mask;
	uint32_t out_port, out_group; /* OFP_PORT_ANY, 0xffffffff: any */
};
void rule_filter_init(struct rule_filter *f); /* everything that is not hidden */
/* The next rule after *cursor (0 at first), in order of table and addition; NULL at the end. The
 * rule stays valid until the next tables_run(); the cursor for longer, whatever is added or removed
 * meanwhile. */
const struct rule *rule_next(const struct bridge *b, const struct rule_filter *f, uint64_t *cursor);

/* Main thread: timeouts. Credits must be up to date to within the accuracy wanted (poll threads'
 * counts are collected every second). Called by tables_run(). True: there are more that are due. */
bool flow_tables_expire(struct bridge *b, uint64_t now_ms);

/* Memory of rules and their tables, bytes; for STATUS. */
size_t flow_tables_memory(const struct bridge *b);
