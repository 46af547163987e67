/* SPDX-License-Identifier: BSD-3-Clause */
/* Dummy ports: no device. Frames are put in and read out by hand, through the api, for tests and
 * for --enable-dummy. Two bounded rings: what waits to be received, and the last frames sent. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_ring.h>

#include "datapath/core/pool.h"
#include "datapath/port/port_priv.h"

enum { RING = 1024 };

struct dummy {
	struct rte_ring *rx; /* W: anybody  R: the queue's poll thread */
	struct rte_ring *tx; /* W: poll threads  R: anybody; when full the oldest goes */
	int wake;            /* eventfd: frames were put into rx */
};

static void drain(struct rte_ring *r)
{
	struct rte_mbuf *m;

	while (r && !rte_ring_dequeue(r, (void **)&m))
		rte_pktmbuf_free(m);
	rte_ring_free(r);
}

static void close_dummy(struct port *p)
{
	struct dummy *d = p->priv;

	drain(d->rx);
	drain(d->tx);
	if (d->wake >= 0)
		close(d->wake);
	free(d);
}

static int open_dummy(struct port *p, const struct port_config *c, struct err *e)
{
	struct dummy *d = xzalloc(sizeof *d);
	char name[RTE_RING_NAMESIZE];

	p->priv = d;
	d->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	snprintf(name, sizeof name, "dummy%u-rx", p->id);
	d->rx = rte_ring_create(name, RING * 2, SOCKET_ID_ANY, 0);
	snprintf(name, sizeof name, "dummy%u-tx", p->id);
	d->tx = rte_ring_create(name, RING * 2, SOCKET_ID_ANY, 0);
	if (d->wake < 0 || !d->rx || !d->tx) {
		close_dummy(p);
		return err_set(e, ENOMEM, "port %s: no memory for its rings", p->name);
	}
	p->n_rxq = p->n_txq = 1;
	p->shared_txq = true;
	p->tx_offloads = 0;
	port_set_mtu(p, c->mtu ? c->mtu : 1500);
	memcpy(p->status.mac, c->mac, 6);
	if (!(c->mac[0] | c->mac[1] | c->mac[2] | c->mac[3] | c->mac[4] | c->mac[5]))
		memcpy(p->status.mac,
		       (uint8_t[]){0xaa, 0x55, 0xaa, 0x55, (uint8_t)(p->id >> 8), (uint8_t)p->id},
		       6);
	p->link = p->status.link = c->admin_up ? PORT_LINK_UP : PORT_LINK_DOWN;
	p->status.full_duplex = true;
	return 0;
}

static int set(struct port *p, const struct port_config *c, struct err *e)
{
	static const uint8_t none[6];

	port_set_mtu(p, c->mtu ? c->mtu : 1500);
	if (memcmp(c->mac, none, 6))
		memcpy(p->status.mac, c->mac, 6);
	port_set_link(p, c->admin_up);
	return 0;
}

static void refresh(struct port *p)
{
}

static uint16_t rx_burst(struct port *p, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	struct dummy *d = p->priv;

	return (uint16_t)rte_ring_dequeue_burst(d->rx, (void **)pkts, n, NULL);
}

static uint16_t tx_burst(struct port *p, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	struct dummy *d = p->priv;
	struct rte_mbuf *old;

	for (uint16_t i = 0; i < n; i++)
		while (rte_ring_count(d->tx) >= RING || rte_ring_enqueue(d->tx, pkts[i]))
			if (!rte_ring_dequeue(d->tx, (void **)&old))
				rte_pktmbuf_free(old);
	return n;
}

static int rx_fd(struct port *p, uint16_t q)
{
	return ((struct dummy *)p->priv)->wake;
}

static bool rx_arm(struct port *p, uint16_t q)
{
	struct dummy *d = p->priv;
	uint64_t n;
	ssize_t got = read(d->wake, &n, sizeof n); /* before the look at the ring */

	(void)got;
	return !rte_ring_count(d->rx);
}

static void rx_disarm(struct port *p, uint16_t q)
{
	rx_arm(p, q);
}

const struct port_class port_class_dummy = {
	.type = "dummy",
	.open = open_dummy,
	.close = close_dummy,
	.set = set,
	.refresh = refresh,
	.rx_burst = rx_burst,
	.tx_burst = tx_burst,
	.rx_fd = rx_fd,
	.rx_arm = rx_arm,
	.rx_disarm = rx_disarm,
};

int dummy_port_receive(struct port *p, const void *frame, uint32_t len)
{
	if (p->class != &port_class_dummy)
		return -ENODEV;
	struct dummy *d = p->priv;
	if (rte_ring_count(d->rx) >= RING)
		return -ENOBUFS;
	struct rte_mbuf *m = pool_from_bytes(frame, len);
	if (!m)
		return -ENOBUFS;
	if (rte_ring_enqueue(d->rx, m)) {
		rte_pktmbuf_free(m);
		return -ENOBUFS;
	}
	return eventfd_write(d->wake, 1) ? -errno : 0;
}

uint32_t dummy_port_take(struct port *p, void *buf, uint32_t size)
{
	struct rte_mbuf *m;

	if (p->class != &port_class_dummy)
		return 0;
	struct dummy *d = p->priv;
	if (rte_ring_dequeue(d->tx, (void **)&m))
		return 0;
	uint32_t n = SL_MIN(size, m->pkt_len);
	const void *bytes = rte_pktmbuf_read(m, 0, n, buf);
	if (bytes && bytes != buf)
		memcpy(buf, bytes, n);
	rte_pktmbuf_free(m);
	return bytes ? n : 0;
}
