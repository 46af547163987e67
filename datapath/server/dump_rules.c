/* SPDX-License-Identifier: BSD-3-Clause */
/* RULES, RULES_SUM, TABLES. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/poll/poll.h"
#include "datapath/server/dump.h"
#include "datapath/server/request.h"
#include "datapath/server/rule_attrs.h"
#include "datapath/table/bridge.h"
#include "datapath/table/flow_table.h"

struct rule_dump {
	struct dump d;
	struct rule_match_buf match; /* aligned: the filter points into it */
	struct rule_filter filter;
	uint32_t bridge_id;
	char bridge[PORT_NAME_BYTES];
	uint64_t cursor;
	bool versions;           /* RULES: the client asked for them */
	unsigned table;          /* TABLES: next */
	uint64_t n, pkts, bytes; /* RULES_SUM: so far */
};

enum { SUM_STEP_RULES = 4096 };

/* NULL when the bridge went during the dump: it ends there. */
static struct bridge *bridge_of(const struct rule_dump *s)
{
	struct bridge *b = bridge_by_id(s->bridge_id);

	return b && !strcmp(b->name, s->bridge) ? b : NULL;
}

static bool step_rules(struct dump *d, struct msg *m)
{
	struct rule_dump *s = SL_CONTAINER_OF(d, struct rule_dump, d);
	const struct bridge *b = bridge_of(s);
	uint64_t now_ms = clock_mono_ms();

	while (b && dump_has_room(m)) {
		const struct rule *r = rule_next(b, &s->filter, &s->cursor);

		if (!r)
			return false;
		size_t at = msg_nest_begin(m, ATTR_OBJECT);
		rule_attrs_put(m, r, now_ms);
		if (s->versions)
			msg_put_u64(m, ATTR_ADDED_VERSION, r->added);
		msg_nest_end(m, at);
	}
	return b;
}

static void free_rules(struct dump *d)
{
	free(SL_CONTAINER_OF(d, struct rule_dump, d));
}

/* NULL: answered with an error. */
static struct rule_dump *begin(struct conn *c, struct attrs a,
			       bool (*step)(struct dump *d, struct msg *m))
{
	const char *name = attrs_str(a, ATTR_BRIDGE, "");
	const struct bridge *b = bridge_find(name);
	struct rule_dump *s = aligned_alloc(64, SL_ALIGN_UP(sizeof *s, 64));
	struct err e = {0};

	if (!s)
		err_set(&e, ENOMEM, "rules: no memory");
	else if (!b)
		err_set(&e, ENOENT, "bridge %s: not found", name);
	else {
		memset(s, 0, sizeof *s);
		rule_attrs_filter(a, &s->match, &s->filter, &e);
		/* one that selects everything need not be asked of each rule */
		if (!e.code && !s->filter.match->lines && !s->filter.strict)
			s->filter.match = NULL;
	}
	if (e.code) {
		free(s);
		conn_reply_error(c, &e, NULL, NULL);
		return NULL;
	}
	s->d = (struct dump){step, free_rules};
	s->versions = attrs_has(a, ATTR_ADDED_VERSION);
	s->bridge_id = b->id;
	strcpy(s->bridge, b->name);
	poll_credit_collect();
	return s;
}

void request_RULES(struct conn *c, struct attrs a)
{
	struct rule_dump *s = begin(c, a, step_rules);

	if (s)
		conn_dump(c, &s->d);
}

/* Some thousands a step: a million rules take a second. */
static bool step_sum(struct dump *d, struct msg *m)
{
	struct rule_dump *s = SL_CONTAINER_OF(d, struct rule_dump, d);
	const struct bridge *b = bridge_of(s);
	const struct rule *r = NULL;

	for (int i = 0; i < SUM_STEP_RULES && b; i++) {
		r = rule_next(b, &s->filter, &s->cursor);
		if (!r)
			break;
		s->pkts += r->stats->credit.pkts;
		s->bytes += r->stats->credit.bytes;
		s->n++;
	}
	if (r)
		return true;
	msg_put_u64(m, ATTR_PKTS, s->pkts);
	msg_put_u64(m, ATTR_BYTES_COUNT, s->bytes);
	msg_put_u64(m, ATTR_COUNT, s->n);
	return false;
}

void request_RULES_SUM(struct conn *c, struct attrs a)
{
	struct rule_dump *s = begin(c, a, step_sum);

	if (s)
		conn_dump(c, &s->d);
}

static void put_table(struct msg *m, const struct bridge *b, uint8_t table)
{
	const struct flow_table *ft = flow_table_get(b, table);
	uint64_t lookups, matched;

	flow_table_counts(b, table, &lookups, &matched);
	size_t at = msg_nest_begin(m, ATTR_OBJECT);
	rule_attrs_put_table(m, b, table);
	msg_put_u32(m, ATTR_ACTIVE_COUNT, ft ? ft->n_live : 0);
	msg_put_u64(m, ATTR_LOOKUPS, lookups);
	msg_put_u64(m, ATTR_MATCHED, matched);
	msg_nest_end(m, at);
}

/* One table a step: its counts may mean walking all its rules. */
static bool step_tables(struct dump *d, struct msg *m)
{
	struct rule_dump *s = SL_CONTAINER_OF(d, struct rule_dump, d);
	const struct bridge *b = bridge_of(s);
	bool walked = false;

	while (b && !walked && s->table < BRIDGE_TABLES_DEFAULT && dump_has_room(m)) {
		uint8_t table = (uint8_t)s->table++;
		const struct flow_table *ft = flow_table_get(b, table);

		if (s->filter.table != TABLE_ALL && s->filter.table != table)
			continue;
		put_table(m, b, table);
		walked = ft && ft->n_live > 10000;
	}
	return b && s->table < BRIDGE_TABLES_DEFAULT;
}

void request_TABLES(struct conn *c, struct attrs a)
{
	struct rule_dump *s = begin(c, a, step_tables);

	if (s)
		conn_dump(c, &s->d);
}
