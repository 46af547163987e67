/* SPDX-License-Identifier: BSD-3-Clause */
/* GROUPS, METERS. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/flow/action.h"
#include "datapath/poll/poll.h"
#include "datapath/server/dump.h"
#include "datapath/server/group_attrs.h"
#include "datapath/server/request.h"
#include "datapath/table/bridge.h"
#include "datapath/table/flow_table.h"
#include "datapath/table/group.h"
#include "datapath/table/meter.h"

/* Counting who uses a group walks all rules: not done for each of many groups over many rules. */
enum { REF_COUNT_RULES_MAX = 20000 };

struct group_dump {
	struct dump d;
	uint32_t bridge_id;
	char bridge[PORT_NAME_BYTES];
	uint32_t id; /* only this one; UINT32_MAX: all */
	uint32_t pos;
	bool done;
	/* Next object into m; false at the end. */
	bool (*put)(struct group_dump *s, const struct bridge *b, struct msg *m);
};

static bool may_count(const struct group_dump *s, const struct bridge *b)
{
	return s->id != UINT32_MAX || flow_tables_n_rules(b) <= REF_COUNT_RULES_MAX;
}

static void put_bucket(struct msg *m, const struct group_bucket *k, bool select)
{
	size_t at = msg_nest_begin(m, ATTR_BUCKET);
	uint64_t pkts = k->stats->credit.pkts, bytes = k->stats->credit.bytes;

	if (select) {
		pkts = __atomic_load_n(&k->stats->chosen[0], __ATOMIC_RELAXED);
		bytes = __atomic_load_n(&k->stats->chosen[1], __ATOMIC_RELAXED);
	}

	msg_put_u32(m, ATTR_BUCKET_ID, k->id);
	msg_put_u16(m, ATTR_WEIGHT, k->weight);
	msg_put_u32(m, ATTR_WATCH_PORT, k->watch_port);
	msg_put_u32(m, ATTR_WATCH_GROUP, k->watch_group);
	msg_put_bytes(m, ATTR_ACTIONS, k->actions, k->actions_len);
	msg_put_u64(m, ATTR_PKTS, pkts);
	msg_put_u64(m, ATTR_BYTES_COUNT, bytes);
	msg_nest_end(m, at);
}

void group_attrs_put(struct msg *m, const struct group *g)
{
	static const char *const methods[] = {
		[GROUP_METHOD_DEFAULT] = "",
		[GROUP_METHOD_DP_HASH] = "dp_hash",
		[GROUP_METHOD_HASH] = "hash",
	};

	msg_put_u32(m, ATTR_GROUP_ID, g->id);
	msg_put_u8(m, ATTR_GROUP_TYPE, g->type);
	msg_put_str(m, ATTR_SELECTION_METHOD, methods[g->method]);
	msg_put_u64(m, ATTR_SELECTION_PARAM, g->param);
	if (g->fields)
		msg_put_bytes(m, ATTR_SELECTION_FIELDS, g->fields, minimatch_size(g->fields));
	for (uint32_t i = 0; i < g->n_buckets; i++)
		put_bucket(m, &g->bucket[i], g->type == GROUP_SELECT);
	msg_put_bytes(m, ATTR_BLOB, g->blob, g->blob_len);
}

static bool put_group(struct group_dump *s, const struct bridge *b, struct msg *m)
{
	const struct group *g = s->id != UINT32_MAX ? group_next(b, s->id) : group_iter(b, &s->pos);

	s->done = s->id != UINT32_MAX;
	if (!g)
		return false;
	size_t at = msg_nest_begin(m, ATTR_OBJECT);
	group_attrs_put(m, g);
	msg_put_u64(m, ATTR_PKTS, g->stats->credit.pkts);
	msg_put_u64(m, ATTR_BYTES_COUNT, g->stats->credit.bytes);
	msg_put_u64(m, ATTR_DURATION_MS, clock_mono_ms() - g->created_ms);
	if (may_count(s, b))
		msg_put_u32(m, ATTR_REF_COUNT, group_ref_count(b, g->id));
	msg_nest_end(m, at);
	return true;
}

static void put_band(struct msg *m, const struct meter_band *k)
{
	size_t at = msg_nest_begin(m, ATTR_BAND);

	msg_put_u16(m, ATTR_BAND_TYPE, k->type);
	msg_put_u32(m, ATTR_RATE, k->rate);
	msg_put_u32(m, ATTR_BURST, k->burst);
	msg_put_u8(m, ATTR_PREC_LEVEL, k->prec_level);
	msg_put_u64(m, ATTR_PKTS, __atomic_load_n(&k->pkts, __ATOMIC_RELAXED));
	msg_put_u64(m, ATTR_BYTES_COUNT, __atomic_load_n(&k->bytes, __ATOMIC_RELAXED));
	msg_nest_end(m, at);
}

void meter_attrs_put(struct msg *m, const struct meter *k)
{
	msg_put_u32(m, ATTR_METER_ID, k->id);
	msg_put_u16(m, ATTR_METER_FLAGS, k->flags);
	for (unsigned i = 0; i < k->n_bands; i++)
		put_band(m, &k->band[i]);
	msg_put_bytes(m, ATTR_BLOB, k->blob, k->blob_len);
}

static bool put_meter(struct group_dump *s, const struct bridge *b, struct msg *m)
{
	const struct meter *k = s->id != UINT32_MAX ? meter_find(b, s->id) : meter_iter(b, &s->pos);

	s->done = s->id != UINT32_MAX;
	if (!k)
		return false;
	size_t at = msg_nest_begin(m, ATTR_OBJECT);
	meter_attrs_put(m, k);
	msg_put_u64(m, ATTR_PKTS, __atomic_load_n(&k->pkts, __ATOMIC_RELAXED));
	msg_put_u64(m, ATTR_BYTES_COUNT, __atomic_load_n(&k->bytes, __ATOMIC_RELAXED));
	msg_put_u64(m, ATTR_DURATION_MS, clock_mono_ms() - k->created_ms);
	if (may_count(s, b))
		msg_put_u32(m, ATTR_REF_COUNT, meter_ref_count(b, k->id));
	msg_nest_end(m, at);
	return true;
}

static bool step(struct dump *d, struct msg *m)
{
	struct group_dump *s = SL_CONTAINER_OF(d, struct group_dump, d);
	const struct bridge *b = bridge_by_id(s->bridge_id);

	if (!b || strcmp(b->name, s->bridge)) /* went during the dump */
		return false;
	while (dump_has_room(m))
		if (s->done || !s->put(s, b, m))
			return false;
	return true;
}

static void free_groups(struct dump *d)
{
	free(SL_CONTAINER_OF(d, struct group_dump, d));
}

static void start(struct conn *c, struct attrs a, enum api_attr id,
		  bool (*put)(struct group_dump *s, const struct bridge *b, struct msg *m))
{
	const char *name = attrs_str(a, ATTR_BRIDGE, "");
	const struct bridge *b = bridge_find(name);
	struct group_dump *s;
	struct err e = {0};

	if (!b) {
		err_set(&e, ENOENT, "bridge %s: not found", name);
		conn_reply_error(c, &e, NULL, NULL);
		return;
	}
	s = xzalloc(sizeof *s);
	s->d = (struct dump){step, free_groups};
	s->bridge_id = b->id;
	strcpy(s->bridge, b->name);
	s->id = (uint32_t)attrs_u64(a, id, UINT32_MAX);
	s->put = put;
	poll_credit_collect();
	conn_dump(c, &s->d);
}

void request_GROUPS(struct conn *c, struct attrs a)
{
	start(c, a, ATTR_GROUP_ID, put_group);
}

void request_METERS(struct conn *c, struct attrs a)
{
	start(c, a, ATTR_METER_ID, put_meter);
}
