/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports and queues: descriptions, statistics, port mods, port status. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/openflow/op.h"
#include "control/openflow/oxm.h"
#include "control/openflow/port_msg.h"

/* ---- descriptions ---- */

struct desc_walk {
	struct ofmulti mp;
	uint32_t wanted; /* OFP_PORT_ANY: all */
};

static void put_desc(const struct ofswitch_port *port, void *aux)
{
	struct desc_walk *w = aux;
	if (w->wanted != OFP_PORT_ANY && w->wanted != port->ofport)
		return;
	ofmulti_reserve(&w->mp, 80);
	port_put(&w->mp.b, w->mp.version, port);
}

enum ofp_err handle_port_desc(struct ofconn *c, const struct ofmsg *m)
{
	struct desc_walk w = {.wanted = OFP_PORT_ANY};
	struct ofcur body = m->body;
	if (m->version >= OFP15)
		w.wanted = ofcur_u32(&body);
	if (!ofp_port_is_possible(w.wanted))
		return OFPERR_BAC_BAD_OUT_PORT;
	ofmulti_init(&w.mp, m);
	c->sw->ops.for_each_port(c->sw->ops_aux, put_desc, &w);
	ofmulti_end(&w.mp);
	ofconn_send_free(c, &w.mp.b);
	return OFPERR_OK;
}

/* ---- statistics ---- */

struct stats_port {
	uint32_t ofport;
	char name[64];
};
struct stats_request {
	struct dump_request d;
	uint32_t wanted;
	VEC(struct stats_port) ports;
};

static void note_port(const struct ofswitch_port *port, void *aux)
{
	struct stats_request *s = aux;
	struct stats_port p = {.ofport = port->ofport};
	strncpy(p.name, port->name, sizeof p.name - 1);
	if (s->wanted == OFP_PORT_ANY || s->wanted == port->ofport)
		vec_push(&s->ports, p);
}

static void release_stats(struct ofrequest *r)
{
	vec_free(&SL_CONTAINER_OF(r, struct stats_request, d.r)->ports);
}

/* Ports that share an event; the datapath tells by name. */
static void put_stats(struct ofrequest *r, struct attrs a)
{
	struct stats_request *s = SL_CONTAINER_OF(r, struct stats_request, d.r);
	const char *name = attrs_str(a, ATTR_NAME, attrs_str(a, ATTR_PORT, ""));
	VEC_FOR_EACH (p, &s->ports) {
		if (strcmp(p->name, name))
			continue;
		struct port_stats out = {
			.ofport = p->ofport,
			.rx_pkts = attrs_u64(a, ATTR_RX_PKTS, 0),
			.tx_pkts = attrs_u64(a, ATTR_TX_PKTS, 0),
			.rx_bytes = attrs_u64(a, ATTR_RX_BYTES, 0),
			.tx_bytes = attrs_u64(a, ATTR_TX_BYTES, 0),
			.rx_dropped = attrs_u64(a, ATTR_RX_MISSED, 0),
			.tx_dropped = attrs_u64(a, ATTR_DROPPED, 0),
			.rx_errors = attrs_u64(a, ATTR_RX_ERRORS, 0),
			.tx_errors = attrs_u64(a, ATTR_TX_ERRORS, 0),
			.duration_ms = attrs_u64(a, ATTR_DURATION_MS, 0),
		};
		ofmulti_reserve(&r->multi, 120);
		port_stats_put(&r->multi.b, r->multi.version, &out);
		return;
	}
}

enum ofp_err handle_port_stats(struct ofconn *c, const struct ofmsg *m)
{
	struct ofcur body = m->body;
	uint32_t wanted;
	if (m->version == OFP10)
		ofp_port_from10(ofcur_u16(&body), &wanted);
	else if (!ofp_port_is_possible(wanted = ofcur_u32(&body)))
		return OFPERR_BAC_BAD_OUT_PORT;
	struct stats_request *s = xzalloc(sizeof *s);
	s->wanted = wanted;
	c->sw->ops.for_each_port(c->sw->ops_aux, note_port, s);
	s->d.r.release = release_stats;
	s->d.entry = put_stats;
	struct msg api;
	msg_init(&api, API_PORT_STATS, 0);
	msg_put_str(&api, ATTR_BRIDGE, c->sw->bridge);
	return dump_start(&s->d, c, m, &api);
}

/* ---- port mod (§7.3.4.2) ---- */

enum ofp_err handle_port_mod(struct ofconn *c, const struct ofmsg *m)
{
	struct ofcur body = m->body;
	uint32_t port;
	if (m->version == OFP10) {
		if (!ofp_port_from10(ofcur_u16(&body), &port))
			return OFPERR_PMFC_BAD_PORT;
	} else {
		port = ofcur_u32(&body);
		ofcur_skip(&body, 4);
		if (!ofp_port_is_possible(port))
			return OFPERR_BAC_BAD_OUT_PORT;
	}
	const uint8_t *mac = ofcur_bytes(&body, 6);
	if (m->version > OFP10)
		ofcur_skip(&body, 2);
	uint32_t config = ofcur_u32(&body), mask = ofcur_u32(&body);
	uint32_t known = m->version == OFP10 ? 0x7f
					     : OFPPC_PORT_DOWN | OFPPC_NO_RECV | OFPPC_NO_FWD |
						       OFPPC_NO_PACKET_IN;
	if (body.short_read || !mac)
		return OFPERR_BRC_BAD_LEN;
	int rc =
		c->sw->ops.port_mod(c->sw->ops_aux, port, mac, config & mask & known, mask & known);
	return rc == -EADDRNOTAVAIL ? OFPERR_PMFC_BAD_HW_ADDR
	       : rc                 ? OFPERR_PMFC_BAD_PORT
				    : OFPERR_OK;
}

/* ---- port status (§7.4.3) ---- */

void ofswitch_port_changed(struct ofswitch *sw, const struct ofswitch_port *port, uint8_t reason)
{
	LIST_FOR_EACH_SAFE (c, struct ofconn, node, &sw->conns) {
		if (!ofconn_wants(c, ASYNC_PORT_STATUS, reason))
			continue;
		struct ofbuf b = {0};
		size_t at = ofbuf_begin(&b, c->version, OFPT_PORT_STATUS, 0);
		ofbuf_u8(&b, reason);
		ofbuf_zeros(&b, 7);
		port_put(&b, c->version, port);
		ofbuf_end(&b, at);
		ofconn_send_free(c, &b);
	}
}

/* ---- queues (§7.3.5.11, 1.0 §5.3.4) ---- */

struct queue_walk {
	struct ofbuf *b;
	struct ofmulti *mp;
	uint8_t version;
	uint32_t port, queue; /* OFP_PORT_ANY, OFPQ_ALL: any */
	bool found_port;
	unsigned n;
};

static void find_port(const struct ofswitch_port *port, void *aux)
{
	struct queue_walk *w = aux;
	w->found_port |= w->port == OFP_PORT_ANY || w->port == port->ofport;
}

static bool queue_is_wanted(const struct queue_walk *w, const struct ofswitch_queue *q)
{
	return (w->port == OFP_PORT_ANY || w->port == q->ofport) &&
	       (w->queue == OFPQ_ALL || w->queue == q->queue_id);
}

static void count_queue(const struct ofswitch_queue *q, void *aux)
{
	struct queue_walk *w = aux;
	w->n += queue_is_wanted(w, q);
}

/* Rates are in tenths of a percent of the port's speed; what is not limited says "disabled". */
static void put_rates(struct ofbuf *b, bool wide)
{
	for (uint16_t type = OFPQT_MIN_RATE; type <= OFPQT_MAX_RATE; type++) {
		ofbuf_u16(b, type);
		ofbuf_u16(b, wide ? 16 : 8);
		ofbuf_zeros(b, wide ? 4 : 0);
		ofbuf_u16(b, OFPQ_RATE_DISABLED);
		ofbuf_zeros(b, wide ? 6 : 2);
	}
}

static void put_queue_config(const struct ofswitch_queue *q, void *aux)
{
	struct queue_walk *w = aux;
	if (!queue_is_wanted(w, q))
		return;
	size_t at = w->b->len;
	ofbuf_u32(w->b, q->queue_id);
	if (w->version >= OFP12)
		ofbuf_u32(w->b, q->ofport);
	size_t len_at = w->b->len;
	ofbuf_u16(w->b, 0);
	ofbuf_zeros(w->b, w->version >= OFP12 ? 6 : 2);
	put_rates(w->b, true);
	ofbuf_set_u16(w->b, len_at, (uint16_t)(w->b->len - at));
}

struct port_queues {
	struct ofconn *c;
	ofswitch_queue_fn fn;
	struct queue_walk *w;
	uint32_t port;
	bool has_some;
};

static void visit_queue(const struct ofswitch_queue *q, void *aux)
{
	struct port_queues *p = aux;
	if (q->ofport != p->port)
		return;
	p->has_some = true;
	p->fn(q, p->w);
}

static void visit_port(const struct ofswitch_port *port, void *aux)
{
	struct port_queues *p = aux;
	p->port = port->ofport;
	p->has_some = false;
	if (p->c->sw->ops.for_each_queue)
		p->c->sw->ops.for_each_queue(p->c->sw->ops_aux, visit_queue, p);
	/* every port has the queue that packets go to when nobody sets one */
	struct ofswitch_queue only = {.ofport = port->ofport};
	if (!p->has_some)
		p->fn(&only, p->w);
}

static void walk_queues(struct ofconn *c, ofswitch_queue_fn fn, struct queue_walk *w)
{
	struct port_queues p = {.c = c, .fn = fn, .w = w};
	c->sw->ops.for_each_port(c->sw->ops_aux, visit_port, &p);
}

enum ofp_err handle_queue_get_config(struct ofconn *c, const struct ofmsg *m)
{
	struct ofcur body = m->body;
	struct ofbuf b = {0};
	struct queue_walk w = {.b = &b, .version = m->version, .queue = OFPQ_ALL};
	bool old = m->version == OFP10;
	if (old)
		ofp_port_from10(ofcur_u16(&body), &w.port);
	else
		w.port = ofcur_u32(&body);
	if (!old && !ofp_port_is_possible(w.port))
		return OFPERR_BAC_BAD_OUT_PORT;
	c->sw->ops.for_each_port(c->sw->ops_aux, find_port, &w);
	if (!w.found_port || (old && w.port == OFP_PORT_ANY))
		return OFPERR_QOFC_BAD_PORT;
	size_t at = ofconn_begin_reply(
		&b, m, old ? OFPT10_QUEUE_GET_CONFIG_REPLY : OFPT11_QUEUE_GET_CONFIG_REPLY);
	if (old)
		ofbuf_u16(&b, ofp_port_to10(w.port));
	else
		ofbuf_u32(&b, w.port);
	ofbuf_zeros(&b, old ? 6 : 4);
	walk_queues(c, put_queue_config, &w);
	ofbuf_end(&b, at);
	ofconn_send_free(c, &b);
	return OFPERR_OK;
}

static void put_queue_desc(const struct ofswitch_queue *q, void *aux)
{
	struct queue_walk *w = aux;
	if (!queue_is_wanted(w, q))
		return;
	ofmulti_reserve(w->mp, 32);
	ofbuf_u32(&w->mp->b, q->ofport);
	ofbuf_u32(&w->mp->b, q->queue_id);
	ofbuf_u16(&w->mp->b, 32);
	ofbuf_zeros(&w->mp->b, 6);
	put_rates(&w->mp->b, false);
}

enum ofp_err handle_queue_desc(struct ofconn *c, const struct ofmsg *m)
{
	struct ofcur body = m->body;
	struct ofmulti mp;
	struct queue_walk w = {.mp = &mp};
	w.port = ofcur_u32(&body);
	w.queue = ofcur_u32(&body);
	if (!ofp_port_is_possible(w.port))
		return OFPERR_BAC_BAD_OUT_PORT;
	c->sw->ops.for_each_port(c->sw->ops_aux, find_port, &w);
	if (!w.found_port)
		return OFPERR_QOFC_BAD_PORT;
	walk_queues(c, count_queue, &w);
	if (!w.n && w.queue != OFPQ_ALL)
		return OFPERR_QOFC_BAD_QUEUE;
	ofmulti_init(&mp, m);
	walk_queues(c, put_queue_desc, &w);
	ofmulti_end(&mp);
	ofconn_send_free(c, &mp.b);
	return OFPERR_OK;
}

/* The datapath counts no queues: all ones say so (§7.3.5.11). */
static void put_queue_stats(const struct ofswitch_queue *q, void *aux)
{
	struct queue_walk *w = aux;
	if (!queue_is_wanted(w, q))
		return;
	struct ofbuf *b = &w->mp->b;
	ofmulti_reserve(w->mp, 48);
	if (w->version >= OFP14) {
		ofbuf_u16(b, 48);
		ofbuf_zeros(b, 6);
	}
	if (w->version == OFP10) {
		ofbuf_u16(b, ofp_port_to10(q->ofport));
		ofbuf_zeros(b, 2);
	} else {
		ofbuf_u32(b, q->ofport);
	}
	ofbuf_u32(b, q->queue_id);
	for (int i = 0; i < 3; i++)
		ofbuf_u64(b, UINT64_MAX);
	if (w->version >= OFP13)
		ofbuf_u64(b, UINT64_MAX); /* duration */
}

enum ofp_err handle_queue_stats(struct ofconn *c, const struct ofmsg *m)
{
	struct ofcur body = m->body;
	struct ofmulti mp;
	struct queue_walk w = {.mp = &mp, .version = m->version};
	if (m->version == OFP10) {
		uint16_t port = ofcur_u16(&body);
		/* 1.0 asks for all ports with OFPP_ALL */
		if (port == (uint16_t)OFP_PORT_ALL)
			w.port = OFP_PORT_ANY;
		else
			ofp_port_from10(port, &w.port);
		ofcur_skip(&body, 2);
	} else {
		w.port = ofcur_u32(&body);
		if (!ofp_port_is_possible(w.port))
			return OFPERR_BAC_BAD_OUT_PORT;
	}
	w.queue = ofcur_u32(&body);
	c->sw->ops.for_each_port(c->sw->ops_aux, find_port, &w);
	if (!w.found_port)
		return OFPERR_QOFC_BAD_PORT;
	walk_queues(c, count_queue, &w);
	if (!w.n && w.queue != OFPQ_ALL)
		return OFPERR_QOFC_BAD_QUEUE;
	ofmulti_init(&mp, m);
	walk_queues(c, put_queue_stats, &w);
	ofmulti_end(&mp);
	ofconn_send_free(c, &mp.b);
	return OFPERR_OK;
}
