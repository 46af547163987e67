/* SPDX-License-Identifier: BSD-3-Clause */
/* From observers to clients: keeps the set of probes, and streams what the journals report. What a
 * client does not read in time is dropped and counted. Main thread. */
#include "datapath/server/capture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>

#include "datapath/base/clock.h"
#include "datapath/core/rcu.h"
#include "datapath/policy/policy_stats.h"
#include "datapath/poll/poll.h"
#include "datapath/server/loop.h"
#include "datapath/server/registry.h"
#include "datapath/server/request.h"
#include "datapath/table/bridge.h"

enum {
	DRAIN_MS = 5,
	FINISH_MS = 20, /* what threads had in hand when a capture was stopped is in by then */
	NOTE_BYTES = 64 << 10,
};

struct capture {
	uint32_t id;       /* 0: free */
	struct conn *conn; /* NULL: has ended */
	struct probe *probe;
	bool live, stopped;
	uint64_t limit, sent, lost; /* lost: the client lagged */
	uint64_t finish_ms;         /* once stopped */
	struct msg note;            /* being filled; data NULL: none */
	unsigned n_objects;
};

static struct capture captures[PROBES_MAX]; /* by slot */
static struct probe_set *current;           /* published; NULL: none */
static uint32_t last_id;
static struct loop_timer timer;
static bool timer_runs;
static uint64_t wall_ns, tsc_then; /* the same instant by both clocks */

/* ---- the set of probes ---- */

static void free_set(void *p)
{
	free(p);
}

static void free_probe(void *p)
{
	struct probe *probe = p;

	bpf_filter_destroy(probe->filter);
	free(probe);
}

static void want(struct probe_set *set, const struct probe *p)
{
	set->any_wants |= p->wants;
	for (uint32_t id = 0; id < PORT_ID_MAX; id++)
		if (p->all_ports || (p->port[id / 8] >> (id % 8) & 1))
			set->port_wants[id] |= p->wants;
}

/* Publishes what the captures that are not stopped want. */
static int publish(void)
{
	struct probe_set *set = xzalloc(sizeof *set), *old = current;
	bool any = false;

	for (unsigned s = 0; s < PROBES_MAX; s++) {
		if (!captures[s].id || captures[s].stopped)
			continue;
		set->probe[s] = captures[s].probe;
		want(set, set->probe[s]);
		any = true;
	}
	if (!any) {
		free(set);
		set = NULL;
	}
	int rc = poll_observe(set);
	if (rc) {
		free(set);
		return rc;
	}
	current = set;
	if (old)
		rcu_defer(free_set, old);
	return 0;
}

/* ---- notes ---- */

static uint64_t wall_of(uint64_t tsc)
{
	int64_t ago = (int64_t)(tsc_then - tsc);

	return wall_ns - (uint64_t)((double)ago * 1e9 / (double)rte_get_tsc_hz());
}

static uint64_t span_ns(uint64_t tsc)
{
	return (uint64_t)((double)tsc * 1e9 / (double)rte_get_tsc_hz());
}

static void put_port(struct msg *m, enum api_attr id, uint32_t port_id)
{
	const struct port_object *p = registry_port_by_id(port_id);

	msg_put_str(m, id, p ? p->o.name : "");
}

static void put_outputs(struct msg *m, const struct packet_report *r)
{
	for (unsigned i = 0; i < r->n_outputs; i++) {
		const struct packet_output *o = &r->output[i];
		size_t at = msg_nest_begin(m, ATTR_OUTPUT);

		put_port(m, ATTR_PORT, o->port_id);
		msg_put_u32(m, ATTR_PACKET_LEN, o->pkt_len);
		msg_put_u64(m, ATTR_TIME_NS, wall_of(o->tsc));
		if (o->reason != DROP_NONE)
			msg_put_str(m, ATTR_REASON, drop_infos[o->reason].name);
		msg_nest_end(m, at);
	}
}

static void put_packet(struct msg *m, const struct packet_report *r, const struct capture *c)
{
	const struct bridge_port *p = bridge_port_by_id(r->port_id);
	uint32_t n = SL_MIN(r->cap_len, c->probe->snaplen);
	const struct bridge *b = r->origin.bridge_id ? bridge_by_id(r->origin.bridge_id) : NULL;

	msg_put_u64(m, ATTR_TIME_NS, wall_of(r->direction == OBSERVE_IN ? r->rx_tsc : r->tsc));
	put_port(m, ATTR_PORT, r->port_id);
	if (p)
		msg_put_u32(m, ATTR_OFPORT, p->c.ofport);
	msg_put_u8(m, ATTR_PACKET_DIRECTION, r->direction);
	if (r->direction != OBSERVE_IN)
		put_port(m, ATTR_FROM_PORT, r->from_port);
	msg_put_bytes(m, ATTR_PACKET, r->bytes, n);
	if (n < r->pkt_len)
		msg_put_u32(m, ATTR_PACKET_LEN, r->pkt_len);
	msg_put_str(m, ATTR_PACKET_VERDICT, packet_verdict_names[r->verdict]);
	if (r->verdict == VERDICT_DROPPED)
		msg_put_str(m, ATTR_REASON, drop_infos[r->reason].name);
	if (r->policy_slot)
		msg_put_str(m, ATTR_DENIED_BY, policy_slot_name(r->policy_slot - 1));
	if (b) {
		msg_put_str(m, ATTR_BRIDGE, b->name);
		msg_put_u8(m, ATTR_TABLE, r->origin.table);
		msg_put_u64(m, ATTR_COOKIE, r->origin.cookie);
	}
	if (r->level)
		msg_put_str(m, ATTR_LEVEL, cache_level_names[r->level]);
	msg_put_u64(m, ATTR_RESIDENCE_NS, r->tsc > r->rx_tsc ? span_ns(r->tsc - r->rx_tsc) : 0);
	put_outputs(m, r);
}

static struct msg *open_note(struct capture *c)
{
	if (!c->note.data) {
		msg_init(&c->note, c->live ? API_TRACED : API_CAPTURED, 0);
		msg_put_u32(&c->note, ATTR_CAPTURE_ID, c->id);
	}
	return &c->note;
}

static void send_note(struct capture *c, unsigned slot, bool finished)
{
	uint64_t seen, lost;
	struct msg *m = open_note(c);

	poll_observe_counts(slot, c->id, &seen, &lost);
	msg_put_u64(m, ATTR_SEEN, seen);
	msg_put_u64(m, ATTR_LOST, lost + c->lost);
	if (finished)
		msg_put_flag(m, ATTR_FINISHED);
	if (!c->conn)
		msg_free(m);
	else if (!conn_send_note(c->conn, m))
		c->lost += c->n_objects;
	c->note = (struct msg){0};
	c->n_objects = 0;
}

static void stop(struct capture *c)
{
	if (c->stopped)
		return;
	c->stopped = true;
	c->finish_ms = clock_mono_ms() + FINISH_MS;
	publish();
}

static void report_to(struct capture *c, unsigned slot, const struct packet_report *r)
{
	if (!c->id || !c->conn || (c->limit && c->sent >= c->limit))
		return;
	struct msg *m = open_note(c);
	size_t at = msg_nest_begin(m, ATTR_OBJECT);

	put_packet(m, r, c);
	if (c->live)
		trace_live_put(m, r);
	msg_nest_end(m, at);
	c->n_objects++;
	c->sent++;
	if (m->len > NOTE_BYTES)
		send_note(c, slot, false);
}

static void on_report(void *aux, const struct packet_report *r)
{
	for (uint32_t s = r->probes; s; s &= s - 1) {
		unsigned slot = (unsigned)__builtin_ctz(s);

		report_to(&captures[slot], slot, r);
	}
}

/* ---- life ---- */

static void finish(struct capture *c, unsigned slot)
{
	send_note(c, slot, true);
	rcu_defer(free_probe, c->probe);
	*c = (struct capture){0};
}

static void sample_clocks(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	tsc_then = rte_rdtsc();
	wall_ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void drain(uint64_t now_ms)
{
	unsigned live = 0;
	bool all = false;

	sample_clocks();
	for (unsigned s = 0; s < PROBES_MAX; s++)
		all |= !current && captures[s].id && now_ms >= captures[s].finish_ms;
	poll_observe_drain(now_ms, all);
	for (unsigned s = 0; s < PROBES_MAX; s++) {
		struct capture *c = &captures[s];

		if (!c->id)
			continue;
		if (c->note.data)
			send_note(c, s, false);
		if (!c->stopped && (!c->conn || (c->limit && c->sent >= c->limit)))
			stop(c);
		if (c->stopped && now_ms >= c->finish_ms)
			finish(c, s);
		live += c->id != 0;
	}
	if (!live) {
		loop_timer_stop(&timer);
		timer_runs = false;
	}
}

static void on_conn_end(struct conn *conn)
{
	for (unsigned s = 0; s < PROBES_MAX; s++)
		if (captures[s].conn == conn)
			captures[s].conn = NULL; /* the next drain ends it */
}

void capture_start(void)
{
	poll_observe_sink(on_report, NULL);
	conn_ended = on_conn_end;
}

/* ---- requests ---- */

static int take_ports(struct attrs a, struct probe *p, struct err *e)
{
	p->all_ports = true;
	ATTR_FOR_EACH (it, a) {
		if (it->id != ATTR_PORT)
			continue;
		const char *name = (const char *)it->value;
		const struct port_object *o = registry_port(name);

		if (!o || !o->port)
			return err_set(e, ENOENT, "port %s: not found", name);
		p->all_ports = false;
		p->port[o->port->id / 8] |= (uint8_t)(1u << (o->port->id % 8));
	}
	return 0;
}

static int make_probe(struct attrs a, bool live, struct probe *p, struct err *e)
{
	uint64_t directions = attrs_u64(a, ATTR_DIRECTIONS, OBSERVE_IN | OBSERVE_OUT);
	size_t n;
	const void *filter = attrs_bytes(a, ATTR_FILTER, &n);

	if (!directions || directions & ~(uint64_t)(OBSERVE_IN | OBSERVE_OUT | OBSERVE_DROP))
		return err_set(e, EINVAL, "capture: directions: %llu is not 1 to 7",
			       (unsigned long long)directions);
	p->wants = live ? OBSERVE_TRACE : (uint8_t)directions;
	p->snaplen = (uint32_t)attrs_u64(a, ATTR_SNAPLEN, 0);
	if (!p->snaplen || p->snaplen > SNAPLEN_MAX || live)
		p->snaplen = SNAPLEN_MAX;
	p->sample = (uint32_t)attrs_u64(a, ATTR_SAMPLE, 1);
	p->limit = attrs_u64(a, ATTR_LIMIT, live ? 1 : 0);
	if (take_ports(a, p, e))
		return -e->code;
	return filter ? bpf_filter_create(filter, n, &p->filter, e) : 0;
}

static void start(struct conn *conn, struct attrs a, bool live)
{
	struct probe *p = xzalloc(sizeof *p);
	struct capture *c = NULL;
	struct err e = {0};

	for (unsigned s = 0; s < PROBES_MAX && !c; s++)
		if (!captures[s].id)
			c = &captures[s];
	if (!c)
		err_set(&e, EBUSY, "capture: %d run already", PROBES_MAX);
	else
		make_probe(a, live, p, &e);
	if (!e.code) {
		p->id = ++last_id;
		*c = (struct capture){
			.id = p->id, .conn = conn, .probe = p, .live = live, .limit = p->limit};
		if (publish()) {
			*c = (struct capture){0};
			err_set(&e, ENOMEM, "capture: no memory");
		}
	}
	if (e.code) {
		free_probe(p);
		conn_reply_error(conn, &e, NULL, NULL);
		return;
	}
	if (!timer_runs)
		loop_timer_start(&timer, DRAIN_MS, drain);
	timer_runs = true;
	msg_put_u32(conn_reply_begin(conn), ATTR_CAPTURE_ID, c->id);
	conn_reply_end(conn);
}

void request_CAPTURE(struct conn *c, struct attrs a)
{
	start(c, a, false);
}

void request_TRACE_LIVE(struct conn *c, struct attrs a)
{
	start(c, a, true);
}

void request_CAPTURE_STOP(struct conn *conn, struct attrs a)
{
	uint64_t id = attrs_u64(a, ATTR_CAPTURE_ID, 0);
	struct err e = {0};

	for (unsigned s = 0; s < PROBES_MAX; s++)
		if (id && captures[s].id == id && captures[s].conn == conn) {
			stop(&captures[s]);
			conn_reply_ok(conn);
			return;
		}
	err_set(&e, ENOENT, "capture %llu: not one of this connection", (unsigned long long)id);
	conn_reply_error(conn, &e, NULL, NULL);
}
