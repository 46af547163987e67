/* SPDX-License-Identifier: BSD-3-Clause */
/* BRIDGES, PORTS, PORT_STATS, DROPS. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/core/counters.h"
#include "datapath/poll/poll.h"
#include "datapath/server/dump.h"
#include "datapath/server/registry.h"
#include "datapath/server/request.h"
#include "datapath/table/bridge.h"

void dump_filter_init(struct dump_filter *f, struct attrs a)
{
	*f = (struct dump_filter){0};
	strncpy(f->bridge, attrs_str(a, ATTR_BRIDGE, ""), sizeof f->bridge - 1);
	strncpy(f->port, attrs_str(a, ATTR_PORT, ""), sizeof f->port - 1);
}

bool dump_wants_port(const struct dump_filter *f, const struct port_object *p)
{
	return (!*f->port || !strcmp(f->port, p->o.name)) &&
	       (!*f->bridge || !strcmp(f->bridge, attrs_str(p->o.config->attrs, ATTR_BRIDGE, "")));
}

bool dump_refused(struct conn *c, const struct dump_filter *f)
{
	struct err e = {0};

	if (*f->port && !registry_port(f->port))
		err_set(&e, ENOENT, "port %s: not found", f->port);
	else if (*f->bridge && !registry_bridge(f->bridge))
		err_set(&e, ENOENT, "bridge %s: not found", f->bridge);
	if (e.code)
		conn_reply_error(c, &e, NULL, NULL);
	return e.code;
}

struct bridge *dump_bridge_after(uint32_t id)
{
	while (++id < BRIDGE_ID_MAX)
		if (bridge_by_id(id))
			return bridge_by_id(id);
	return NULL;
}

/* ---- bridges ---- */

struct bridge_dump {
	struct dump d;
	uint32_t last;
	struct dump_filter filter;
};

static void put_config(struct msg *m, const struct config *c)
{
	ATTR_FOR_EACH (a, c->attrs)
		msg_put_bytes(m, (enum api_attr)a->id, a->value, a->len);
}

static void put_bridge(struct msg *m, const struct bridge *b, const struct config *c)
{
	size_t at = msg_nest_begin(m, ATTR_OBJECT);

	msg_put_str(m, ATTR_NAME, b->name);
	put_config(m, c);
	size_t status = msg_nest_begin(m, ATTR_STATUS);
	msg_put_u32(m, ATTR_BRIDGE_ID, b->id);
	msg_put_u8(m, ATTR_OPEN, rcu_load(&b->config)->open);
	msg_put_u32(m, ATTR_N_TABLES,
		    b->config->n_tables ? b->config->n_tables : BRIDGE_TABLES_DEFAULT);
	msg_nest_end(m, status);
	msg_nest_end(m, at);
}

static bool step_bridges(struct dump *d, struct msg *m)
{
	struct bridge_dump *s = SL_CONTAINER_OF(d, struct bridge_dump, d);
	struct bridge *b = NULL;

	while (dump_has_room(m) && (b = dump_bridge_after(s->last))) {
		const struct object *o = registry_bridge_committed(b->name);

		s->last = b->id;
		if (o && (!*s->filter.bridge || !strcmp(s->filter.bridge, b->name)))
			put_bridge(m, b, o->config);
	}
	return dump_bridge_after(s->last);
}

static void free_bridges(struct dump *d)
{
	free(SL_CONTAINER_OF(d, struct bridge_dump, d));
}

void request_BRIDGES(struct conn *c, struct attrs a)
{
	struct bridge_dump *s = xzalloc(sizeof *s);

	s->d = (struct dump){step_bridges, free_bridges};
	dump_filter_init(&s->filter, a);
	if (dump_refused(c, &s->filter))
		free(s);
	else
		conn_dump(c, &s->d);
}

/* ---- ports ---- */

struct port_dump {
	struct dump d;
	uint32_t last;
	struct dump_filter filter;
	void (*put)(struct msg *m, struct port_object *p);
};

static bool step_ports(struct dump *d, struct msg *m)
{
	struct port_dump *s = SL_CONTAINER_OF(d, struct port_dump, d);
	struct port_object *p = NULL;

	while (dump_has_room(m) && (p = registry_port_after(s->last))) {
		s->last = p->id;
		if (dump_wants_port(&s->filter, p))
			s->put(m, p);
	}
	return registry_port_after(s->last);
}

static void free_ports(struct dump *d)
{
	free(SL_CONTAINER_OF(d, struct port_dump, d));
}

static void dump_ports(struct conn *c, struct attrs a,
		       void (*put)(struct msg *m, struct port_object *p))
{
	struct port_dump *s = xzalloc(sizeof *s);

	s->d = (struct dump){step_ports, free_ports};
	s->put = put;
	dump_filter_init(&s->filter, a);
	if (dump_refused(c, &s->filter))
		free(s);
	else
		conn_dump(c, &s->d);
}

static void put_status(struct msg *m, const struct port_object *p)
{
	const struct bridge_port *bp = bridge_port_by_id(p->id);
	const struct port_status *st = &p->status;
	size_t at = msg_nest_begin(m, ATTR_STATUS);

	msg_put_str(m, ATTR_STATE, p->port ? "open" : "lost");
	msg_put_u32(m, ATTR_MTU, st->mtu);
	msg_put_bytes(m, ATTR_MAC, st->mac, sizeof st->mac);
	msg_put_u8(m, ATTR_ADMIN_UP, st->admin_up);
	msg_put_u8(m, ATTR_LINK_UP, st->link == PORT_LINK_UP);
	msg_put_u64(m, ATTR_LINK_SPEED_BPS, st->link_speed_bps);
	msg_put_u32(m, ATTR_LINK_RESETS, st->link_resets);
	msg_put_u8(m, ATTR_FULL_DUPLEX, st->full_duplex);
	if (st->ifindex > 0)
		msg_put_u32(m, ATTR_IFINDEX, (uint32_t)st->ifindex);
	if (bp)
		msg_put_u32(m, ATTR_OFPORT, bp->c.ofport);
	if (p->port) {
		msg_put_u16(m, ATTR_N_RXQ, __atomic_load_n(&p->port->n_rxq, __ATOMIC_RELAXED));
		msg_put_u16(m, ATTR_N_TXQ, p->port->n_txq);
		msg_put_u64(m, ATTR_TX_OFFLOADS,
			    __atomic_load_n(&p->port->tx_offloads, __ATOMIC_RELAXED));
		if (p->port->numa_node >= 0)
			msg_put_u32(m, ATTR_NUMA, (uint32_t)p->port->numa_node);
	}
	if (*st->detail)
		msg_put_str(m, ATTR_DETAIL, st->detail);
	msg_nest_end(m, at);
}

static void put_port(struct msg *m, struct port_object *p)
{
	size_t at = msg_nest_begin(m, ATTR_OBJECT);

	msg_put_str(m, ATTR_NAME, p->o.name);
	msg_put_u32(m, ATTR_PORT_ID, p->id);
	put_config(m, p->o.config);
	put_status(m, p);
	msg_nest_end(m, at);
}

void request_PORTS(struct conn *c, struct attrs a)
{
	dump_ports(c, a, put_port);
}

/* ---- counters ---- */

static void put_drops(struct msg *m, const struct port_counters *k)
{
	uint64_t dropped = 0;

	for (int i = 0; i < DROP_N; i++)
		dropped += k->drop[i];
	msg_put_u64(m, ATTR_DROPPED, dropped);
	for (int i = 0; i < DROP_N; i++) {
		if (!k->drop[i])
			continue;
		size_t at = msg_nest_begin(m, ATTR_DROP);
		msg_put_str(m, ATTR_REASON, drop_infos[i].name);
		msg_put_u64(m, ATTR_COUNT, k->drop[i]);
		msg_nest_end(m, at);
	}
}

static void put_stats(struct msg *m, struct port_object *p)
{
	size_t at = msg_nest_begin(m, ATTR_OBJECT);
	struct port_counters k;

	counters_sum(p->id, &k);
	msg_put_str(m, ATTR_PORT, p->o.name);
	msg_put_u32(m, ATTR_PORT_ID, p->id);
	msg_put_str(m, ATTR_BRIDGE, attrs_str(p->o.config->attrs, ATTR_BRIDGE, ""));
	msg_put_u64(m, ATTR_RX_PKTS, k.rx_pkts);
	msg_put_u64(m, ATTR_RX_BYTES, k.rx_bytes);
	msg_put_u64(m, ATTR_TX_PKTS, k.tx_pkts);
	msg_put_u64(m, ATTR_TX_BYTES, k.tx_bytes);
	msg_put_u64(m, ATTR_RX_ERRORS, p->status.rx_errors);
	msg_put_u64(m, ATTR_TX_ERRORS, p->status.tx_errors);
	msg_put_u64(m, ATTR_RX_MISSED, p->status.rx_missed);
	msg_put_u64(m, ATTR_CREATED, k.created);
	msg_put_u64(m, ATTR_ABSORBED, k.absorbed);
	msg_put_u64(m, ATTR_SENT, k.sent);
	msg_put_u64(m, ATTR_HANDED, k.handed);
	msg_put_u64(m, ATTR_HELD, poll_held(p->id));
	msg_put_u64(m, ATTR_CACHE_HITS, k.cache_hits);
	msg_put_u64(m, ATTR_MEGAFLOW_HITS, k.megaflow_hits);
	msg_put_u64(m, ATTR_MISSES, k.misses);
	msg_put_u64(m, ATTR_MISS_QUEUED, k.miss_queued);
	msg_put_u64(m, ATTR_OVER_QUOTA, k.over_quota);
	msg_put_u64(m, ATTR_DURATION_MS, clock_mono_ms() - p->created_ms);
	put_drops(m, &k);
	msg_nest_end(m, at);
}

void request_PORT_STATS(struct conn *c, struct attrs a)
{
	dump_ports(c, a, put_stats);
}

static void put_port_drops(struct msg *m, struct port_object *p)
{
	struct port_counters k;

	counters_sum(p->id, &k);
	for (int i = 0; i < DROP_N; i++) {
		if (!k.drop[i])
			continue;
		size_t at = msg_nest_begin(m, ATTR_OBJECT);
		msg_put_str(m, ATTR_PORT, p->o.name);
		msg_put_str(m, ATTR_BRIDGE, attrs_str(p->o.config->attrs, ATTR_BRIDGE, ""));
		msg_put_str(m, ATTR_REASON, drop_infos[i].name);
		msg_put_u64(m, ATTR_COUNT, k.drop[i]);
		msg_nest_end(m, at);
	}
}

void request_DROPS(struct conn *c, struct attrs a)
{
	dump_ports(c, a, put_port_drops);
}
