/* SPDX-License-Identifier: BSD-3-Clause */
/* DROPPED: the dropped packets that the poll threads remember. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>

#include "datapath/base/vec.h"
#include "datapath/core/drop_memory.h"
#include "datapath/core/past_names.h"
#include "datapath/core/thread.h"
#include "datapath/observe/observer.h"
#include "datapath/policy/policy_stats.h"
#include "datapath/server/dump.h"
#include "datapath/server/registry.h"
#include "datapath/server/request.h"

struct place { /* where one was when the dump began */
	uint64_t tsc;
	uint32_t seq;
	uint16_t thread, i;
};
struct dropped_dump {
	struct dump d;
	VEC(struct place) places;
	size_t next;
	uint64_t wall_ns, tsc; /* the same instant by both clocks */
};
struct selection {
	const char *port;        /* NULL: any */
	enum drop_reason reason; /* DROP_NONE: any */
};

static const char *port_name(uint32_t id, uint64_t tsc)
{
	return id ? past_name_at(PAST_PORT, id, tsc) : "";
}

static bool is_selected(const struct selection *s, const struct dropped_packet *p)
{
	if (s->reason != DROP_NONE && s->reason != p->reason)
		return false;
	return !s->port || !strcmp(s->port, port_name(p->port_id, p->tsc)) ||
	       !strcmp(s->port, port_name(p->from_port, p->tsc));
}

static int by_time(const void *pa, const void *pb)
{
	const struct place *a = pa, *b = pb;

	return a->tsc < b->tsc ? -1 : a->tsc > b->tsc;
}

static void find_places(struct dropped_dump *s, const struct selection *sel)
{
	for (uint16_t t = 0; t < THREADS_ALL; t++)
		for (uint16_t i = 0; i < DROP_MEMORY_PACKETS; i++) {
			struct dropped_packet p;

			if (drop_memory_read(t, i, &p) && is_selected(sel, &p))
				vec_push(&s->places, (struct place){p.tsc, p.seq, t, i});
		}
	if (s->places.len)
		qsort(s->places.at, s->places.len, sizeof *s->places.at, by_time);
}

static void put_rule(struct msg *m, const struct dropped_packet *p)
{
	const char *bridge =
		p->origin.bridge_id ? past_name_at(PAST_BRIDGE, p->origin.bridge_id, p->tsc) : "";

	if (!*bridge)
		return;
	msg_put_str(m, ATTR_BRIDGE, bridge);
	msg_put_u8(m, ATTR_TABLE, p->origin.table);
	msg_put_u64(m, ATTR_COOKIE, p->origin.cookie);
}

/* Decisions of the policy that have no rule have a name all the same. */
static const char *denied_by(const struct dropped_packet *p)
{
	if (p->policy_slot)
		return policy_slot_name(p->policy_slot - 1);
	for (uint32_t i = 1; i < POLICY_SLOT_RULES; i++)
		if (policy_builtins[i].drop == p->reason)
			return policy_builtins[i].name;
	return "";
}

static void put_packet(struct msg *m, const struct dropped_dump *s, const struct dropped_packet *p)
{
	double ago_ns = (double)(int64_t)(s->tsc - p->tsc) * 1e9 / (double)rte_get_tsc_hz();
	size_t at = msg_nest_begin(m, ATTR_OBJECT);

	msg_put_u64(m, ATTR_TIME_NS, s->wall_ns - (uint64_t)(int64_t)ago_ns);
	msg_put_str(m, ATTR_PORT, port_name(p->port_id, p->tsc));
	msg_put_str(m, ATTR_FROM_PORT, port_name(p->from_port, p->tsc));
	msg_put_u8(m, ATTR_PACKET_DIRECTION, OBSERVE_DROP);
	if (p->cap_len)
		msg_put_bytes(m, ATTR_PACKET, p->bytes, p->cap_len);
	msg_put_u32(m, ATTR_PACKET_LEN, p->pkt_len);
	if (p->count > 1)
		msg_put_u64(m, ATTR_COUNT, p->count);
	msg_put_str(m, ATTR_PACKET_VERDICT, "dropped");
	msg_put_str(m, ATTR_REASON, drop_infos[p->reason].name);
	if (drop_infos[p->reason].family == DROP_FAMILY_POLICY)
		msg_put_str(m, ATTR_DENIED_BY, denied_by(p));
	put_rule(m, p);
	msg_nest_end(m, at);
}

static bool step_dropped(struct dump *d, struct msg *m)
{
	struct dropped_dump *s = SL_CONTAINER_OF(d, struct dropped_dump, d);

	for (; s->next < s->places.len && dump_has_room(m); s->next++) {
		const struct place *at = &s->places.at[s->next];
		struct dropped_packet p;

		/* Another one may be there by now. */
		if (drop_memory_read(at->thread, at->i, &p) && p.seq == at->seq)
			put_packet(m, s, &p);
	}
	return s->next < s->places.len;
}

static void free_dump(struct dump *d)
{
	struct dropped_dump *s = SL_CONTAINER_OF(d, struct dropped_dump, d);

	vec_free(&s->places);
	free(s);
}

static int select_by(struct attrs a, struct selection *s, struct err *e)
{
	const char *reason = attrs_str(a, ATTR_REASON, NULL);

	s->port = attrs_str(a, ATTR_PORT, NULL);
	for (int i = 1; reason && i < DROP_N; i++)
		if (!strcmp(drop_infos[i].name, reason))
			s->reason = (enum drop_reason)i;
	if (reason && s->reason == DROP_NONE)
		return err_set(e, EINVAL, "reason %s: there is none of this name", reason);
	return 0;
}

void request_DROPPED(struct conn *c, struct attrs a)
{
	struct dropped_dump *s = xzalloc(sizeof *s);
	uint64_t limit = attrs_u64(a, ATTR_LIMIT, 0);
	struct selection sel = {0};
	struct timespec ts;
	struct err e = {0};

	s->d = (struct dump){step_dropped, free_dump};
	clock_gettime(CLOCK_REALTIME, &ts);
	s->wall_ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	s->tsc = rte_rdtsc();
	if (!select_by(a, &sel, &e))
		find_places(s, &sel);
	/* A port that is gone is known by what it lost. */
	if (!e.code && sel.port && !s->places.len && !registry_port(sel.port))
		err_set(&e, ENOENT, "port %s: not found", sel.port);
	if (e.code) {
		free_dump(&s->d);
		conn_reply_error(c, &e, NULL, NULL);
		return;
	}
	if (limit && s->places.len > limit)
		s->next = s->places.len - limit;
	conn_dump(c, &s->d);
}
