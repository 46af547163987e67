/* SPDX-License-Identifier: BSD-3-Clause */
/* CONNS, CT_INFO. */
#include <errno.h>
#include <stdlib.h>

#include "datapath/base/clock.h"
#include "datapath/exec/fragments.h"
#include "datapath/policy/policy_live.h"
#include "datapath/server/ct_attrs.h"
#include "datapath/server/dump.h"
#include "datapath/server/registry.h"
#include "datapath/server/request.h"

struct conn_dump {
	struct dump d;
	struct conntrack_filter filter;
	uint32_t edge; /* of the policy; 0: no edge, but zones */
	struct conn_cursor at;
};

/* The edge's contexts are two. */
static bool is_wanted(struct conn_dump *s, const struct ct_conn *c)
{
	uint32_t context = c->node[CONN_ORIG].tuple.context;

	if (s->edge) {
		if (context != POLICY_CONTEXT + s->edge && context != POLICY_CONTEXT_2 + s->edge)
			return false;
		s->filter.context = context;
	}
	return conntrack_matches(c, &s->filter);
}

static bool step(struct dump *d, struct msg *m)
{
	/* A reply message need not be full: with few connections most chunks have none. */
	enum { CHUNKS_PER_STEP = 4096 };
	struct conn_dump *s = SL_CONTAINER_OF(d, struct conn_dump, d);
	uint32_t now_ms = (uint32_t)clock_mono_ms();
	struct ct_conn *c[CONN_CHUNK];
	unsigned n;

	for (unsigned i = 0; i < CHUNKS_PER_STEP && dump_has_room(m); i++) {
		if (!conn_table_next(&s->at, c, &n))
			return false;
		for (unsigned k = 0; k < n; k++)
			if (is_wanted(s, c[k]) && conn_left_ms(c[k], now_ms) > 0)
				ct_attrs_put(m, c[k], now_ms);
	}
	return true;
}

static void free_conns(struct dump *d)
{
	free(SL_CONTAINER_OF(d, struct conn_dump, d));
}

void request_CONNS(struct conn *c, struct attrs a)
{
	struct conn_dump *s = xzalloc(sizeof *s);
	const char *name = attrs_str(a, ATTR_PORT, NULL);
	const struct port_object *port = name ? registry_port(name) : NULL;
	struct err e = {0};

	s->d = (struct dump){step, free_conns};
	if (port)
		s->edge = policy_now()->port[port->id].edge;
	if (name && !port)
		err_set(&e, ENOENT, "port %s: not found", name);
	if (e.code || ct_attrs_filter(a, &s->filter, &e)) {
		conn_reply_error(c, &e, NULL, NULL);
		free(s);
		return;
	}
	conn_dump(c, &s->d);
}

/* ---- counts and limits ---- */
static void put_limit(struct msg *m, int zone, uint32_t limit)
{
	const struct ct_timeouts *timeouts = conntrack_timeouts(zone);
	size_t at = msg_nest_begin(m, ATTR_OBJECT);

	if (zone >= 0)
		msg_put_u16(m, ATTR_CT_ZONE, (uint16_t)zone);
	msg_put_u32(m, ATTR_CT_LIMIT, limit);
	msg_put_u32(m, ATTR_CT_COUNT,
		    zone < 0 ? ct_limits_count() : ct_limits_zone_count((uint16_t)zone));
	if (timeouts)
		msg_put_bytes(m, ATTR_CT_TIMEOUTS, timeouts, sizeof *timeouts);
	msg_nest_end(m, at);
}

static void put_datagrams(struct msg *m)
{
	enum { SHOWN_MAX = 128 };
	struct fragments_shown shown[SHOWN_MAX];
	unsigned n = fragments_list(shown, SHOWN_MAX);

	for (unsigned i = 0; i < n; i++) {
		const struct fragments_shown *s = &shown[i];
		size_t at = msg_nest_begin(m, ATTR_DATAGRAM);

		ct_attrs_put_tuple(m, ATTR_CT_ORIG, &s->key);
		msg_put_u8(m, ATTR_CT_PROTO, s->key.proto);
		msg_put_u16(m, ATTR_CT_ZONE, (uint16_t)s->key.context);
		msg_put_u32(m, ATTR_IP_ID, s->id);
		msg_put_u64(m, ATTR_COUNT, s->n);
		msg_put_str(m, ATTR_STATE,
			    s->has_first  ? "first frag"
			    : s->has_last ? "last frag"
					  : "other frag");
		msg_nest_end(m, at);
	}
}

static void put_fragments(struct msg *m)
{
	struct fragments_status s;

	fragments_status(&s);
	msg_put_u32(m, ATTR_FRAGMENT_MAX, s.max);
	msg_put_u32(m, ATTR_FRAGMENT_HELD, s.held);
	for (unsigned f = 0; f < FRAGMENTS_FAMILIES; f++) {
		uint64_t counts[] = {s.of[f].accepted,  s.of[f].completed,  s.of[f].expired,
				     s.of[f].too_small, s.of[f].overlapped, s.of[f].purged};
		size_t at = msg_nest_begin(m, ATTR_FRAGMENT_FAMILY);

		msg_put_u8(m, ATTR_IP_VERSION, f == FRAGMENTS_V4 ? 4 : 6);
		msg_put_u8(m, ATTR_FRAGMENT_ENABLED, s.of[f].enabled);
		msg_put_u32(m, ATTR_FRAGMENT_MIN_BYTES, s.of[f].min_bytes);
		msg_put_bytes(m, ATTR_FRAGMENT_COUNTS, counts, sizeof counts);
		msg_nest_end(m, at);
	}
	put_datagrams(m);
}

static void put_summary(struct msg *m)
{
	struct conntrack_stats s;
	size_t at = msg_nest_begin(m, ATTR_OBJECT);
	char detail[256];

	conntrack_stats(&s);
	msg_put_u32(m, ATTR_CT_MAX, ct_limits_max());
	msg_put_u32(m, ATTR_CT_COUNT, ct_limits_count());
	msg_put_u32(m, ATTR_CT_HALF_OPEN, ct_limits_half_open());
	msg_put_u8(m, ATTR_CT_WINDOW_CHECK, conntrack_window_check());
	msg_put_u64(m, ATTR_MEMORY_BYTES, conn_table_bytes());
	snprintf(detail, sizeof detail,
		 "created=%llu expired=%llu evicted=%llu refused=%llu invalid=%llu "
		 "nat_exhausted=%llu",
		 (unsigned long long)s.created, (unsigned long long)s.expired,
		 (unsigned long long)s.evicted, (unsigned long long)s.refused,
		 (unsigned long long)s.invalid, (unsigned long long)s.nat_exhausted);
	msg_put_str(m, ATTR_DETAIL, detail);
	put_fragments(m);
	msg_nest_end(m, at);
}

void request_CT_INFO(struct conn *c, struct attrs a)
{
	struct msg *m = conn_reply_begin(c);

	put_summary(m);
	put_limit(m, -1, ct_limits_zone(-1));
	for (int i = 0; i <= CT_ZONE_MAX; i++)
		if (ct_limits_zone(i) != CT_LIMIT_NONE || ct_limits_zone_count((uint16_t)i) ||
		    conntrack_timeouts(i))
			put_limit(m, i, ct_limits_zone(i));
	conn_reply_end(c);
}
