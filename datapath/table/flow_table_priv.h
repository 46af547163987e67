/* SPDX-License-Identifier: BSD-3-Clause */
/* Between flow_table.c, flow_mod.c and flow_expire.c; all under the version lock. */
#pragma once
#include "datapath/base/hmap.h"
#include "datapath/table/flow_table.h"
#include "datapath/table/txn.h"

struct cookie_group { /* rules with one cookie, all tables */
	struct hmap_node node;
	uint64_t cookie;
	struct list rules;
};

struct learn_ref { /* rules whose learn actions own (table, cookie): delete_learned */
	struct hmap_node node;
	uint64_t cookie;
	uint8_t table;
	uint32_t n;
};

struct flow_timer {
	uint64_t due_ms;
	struct rule *r;
};

struct flow_tables {
	uint32_t bridge_id;
	struct flow_table *at[TABLE_ALL]; /* W: lock holder (release)  R: any; live as the bridge */
	struct hmap cookies, learn_refs;
	VEC(struct flow_timer) timers; /* binary heap by due_ms; rule->timer_at - 1 */
	VEC(struct rule *) fin_rules;  /* with a fin_timeout not yet applied */
	uint64_t fin_at_ms;
	uint32_t n_rules; /* live */
	size_t bytes;     /* of rules */
};

struct flow_tables *flow_tables_create(uint32_t bridge_id);
void flow_tables_destroy(struct flow_tables *ts);

/* The table, created when it is not there. */
struct flow_table *flow_table_need(struct flow_tables *ts, uint8_t table);
struct flow_slot *flow_slot_find(struct flow_table *ft, uint64_t seq);

/* Puts a rule in, invisible before the txn commits. `r` has cookie, stats and the rest; `old`
 * (NULL or live) gives its place up. Takes r. */
void flow_rule_add(struct txn *t, struct flow_tables *ts, struct rule *r, const struct cls_key *k,
		   struct rule *old);
void flow_rule_remove(struct txn *t, struct flow_tables *ts, struct rule *r,
		      enum rule_removed_reason reason);
struct cookie_group *flow_cookie_find(const struct flow_tables *ts, uint64_t cookie);

bool flow_filter_selects(const struct rule_filter *f, const struct cls_key *k,
			 const struct rule *r); /* k NULL: the match is not looked at */

/* When it expires as things are, clock_mono_ms(); UINT64_MAX: never. */
uint64_t flow_rule_due_ms(const struct rule *r);
void flow_timer_add(struct flow_tables *ts, struct rule *r);
void flow_timer_remove(struct flow_tables *ts, struct rule *r);
/* Rules whose timeouts a FIN or RST shortens, until one was seen. */
void flow_fin_add(struct flow_tables *ts, struct rule *r);
void flow_fin_remove(struct flow_tables *ts, struct rule *r);
