/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user ports: a virtual machine's network card over shared memory. dpdkvhostuserclient
 * connects to the socket that the hypervisor made (options:vhost-server-path) and outlives both
 * sides' restarts; dpdkvhostuser makes the socket, <rundir>/<name>. The guest decides how many
 * queues there are, at any time.
 *
 * Split rings are our own (vhost_ring.c). Packed rings, by option, go through rte_vhost's data
 * path; its receive flags (RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS: what was claimed, not what it
 * parsed) are translated back to a virtio-net header and judged like any other. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <rte_vhost.h>

#include "datapath/core/pool.h"
#include "datapath/offload/vnet.h"
#include "datapath/port/vhost_dev.h"

enum { RARP_BYTES = 60 };

static const struct port_option_info options_client[] = {
	{"vhost-server-path", OPT_PATH, 0, 0, 0, false, "socket the hypervisor listens on"},
	{"vhost-packed", OPT_BOOL, 0, 1, 0, false,
	 "offer packed rings (a QEMU before 8 cannot restore them when the datapath dies)"},
	{NULL, OPT_STRING, 0, 0, 0, false, NULL},
};
static const struct port_option_info options_server[] = {
	{"vhost-packed", OPT_BOOL, 0, 1, 0, false, "offer packed rings"},
	{NULL, OPT_STRING, 0, 0, 0, false, NULL},
};

static int check_client(const struct port_config *c, struct err *e)
{
	const char *path = port_option(c, "vhost-server-path");

	if (!path || !*path)
		return err_set(e, EINVAL, "port %s: options:vhost-server-path: missing", c->name);
	if (strlen(path) >= sizeof((struct vhost_dev *)0)->path)
		return err_set(e, EINVAL, "port %s: options:vhost-server-path: too long", c->name);
	return 0;
}

static int check_server(const struct port_config *c, struct err *e)
{
	if (strchr(c->name, '/'))
		return err_set(e, EINVAL, "port %s: the name is a file's and has no /", c->name);
	return 0;
}

static void set_status(struct port *p)
{
	struct vhost_dev *d = p->priv;
	int n = 0, vid = __atomic_load_n(&d->vid, __ATOMIC_ACQUIRE);
	struct rte_vhost_vring ring_0 = {0};
	char *at = p->status.detail;
	size_t room = sizeof p->status.detail;

	n = snprintf(at, room, "mode=%s status=%s socket=%.100s", d->client ? "client" : "server",
		     d->running ? "connected" : "disconnected", d->path);
	if (d->running)
		rte_vhost_get_vhost_vring(vid, 0, &ring_0);
	if (d->running && n > 0 && (size_t)n < room)
		n += snprintf(at + n, room - (size_t)n,
			      " num_of_vrings=%u numa=%d vring_0_size=%u features=0x%llx",
			      rte_vhost_get_vring_num(vid), p->numa_node, ring_0.size,
			      (unsigned long long)d->features);
	if (d->quarantined && n > 0 && (size_t)n < room)
		snprintf(at + n, room - (size_t)n, " quarantined=true");
}

static void refresh(struct port *p)
{
	struct vhost_dev *d = p->priv;

	vhost_dev_check(d);
	p->status.tx_errors = __atomic_load_n(&d->tx_refused, __ATOMIC_RELAXED);
	set_status(p);
}

static int open_common(struct port *p, const struct port_config *c, bool client, const char *path,
		       struct err *e)
{
	size_t bytes = SL_ALIGN_UP(sizeof(struct vhost_dev), SL_CACHE_LINE);
	struct vhost_dev *d = aligned_alloc(SL_CACHE_LINE, bytes);

	if (!d)
		return -ENOMEM;
	memset(d, 0, bytes);
	p->priv = d;
	d->port = p;
	d->client = client;
	snprintf(d->path, sizeof d->path, "%s", path);
	d->disabled_features = 1ull << VIRTIO_NET_F_HOST_UFO | 1ull << VIRTIO_NET_F_GUEST_UFO |
			       1ull << VIRTIO_F_IN_ORDER | 1ull << VIRTIO_F_IOMMU_PLATFORM;
	if (!port_option_bool(p->class, c, "vhost-packed"))
		d->disabled_features |= 1ull << VIRTIO_F_RING_PACKED;
	p->shared_txq = true;
	p->n_txq = 1;
	port_set_mtu(p, c->mtu ? c->mtu : 1500);
	int ret = vhost_dev_open(d, e);
	if (ret) {
		free(d);
		return ret;
	}
	set_status(p);
	return 0;
}

static int open_client(struct port *p, const struct port_config *c, struct err *e)
{
	return open_common(p, c, true, port_option(c, "vhost-server-path"), e);
}

static int open_server(struct port *p, const struct port_config *c, struct err *e)
{
	const char *dir = port_rundir ? port_rundir : "/run/sluice";
	char path[sizeof((struct vhost_dev *)0)->path];

	int n = snprintf(path, sizeof path, "%s/%s", dir, c->name);
	if (n < 0 || (size_t)n >= sizeof path)
		return err_set(e, EINVAL, "port %s: the socket's path is too long", c->name);
	return open_common(p, c, false, path, e);
}

static void close_vhost(struct port *p)
{
	vhost_dev_close(p->priv);
	free(p->priv);
}

static int set(struct port *p, const struct port_config *c, struct err *e)
{
	struct vhost_dev *d = p->priv;
	bool packed = !(d->disabled_features & 1ull << VIRTIO_F_RING_PACKED);

	if ((d->client && strcmp(d->path, port_option(c, "vhost-server-path"))) ||
	    packed != port_option_bool(p->class, c, "vhost-packed"))
		return -EOPNOTSUPP;
	port_set_mtu(p, c->mtu ? c->mtu : 1500);
	return 0;
}

static struct rte_mbuf *make_rarp(const struct vhost_dev *d, int numa)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool_get(numa));
	uint8_t *b = m ? (uint8_t *)rte_pktmbuf_append(m, RARP_BYTES) : NULL;

	if (!b)
		return NULL;
	memset(b, 0, RARP_BYTES);
	memset(b, 0xff, 6);
	memcpy(b + 6, d->rarp_mac, 6);
	store_be16(b + 12, 0x8035);
	store_be16(b + 14, 1);      /* Ethernet */
	store_be16(b + 16, 0x0800); /* IPv4 */
	b[18] = 6;
	b[19] = 4;
	store_be16(b + 20, 3); /* request reverse */
	memcpy(b + 22, d->rarp_mac, 6);
	memcpy(b + 32, d->rarp_mac, 6);
	return m;
}

static void count_drops(struct port *p, const struct vhost_rx_drops *x)
{
	if (SL_LIKELY(!(x->bad_chain.pkts | x->bad_offload.pkts | x->truncated.pkts |
			x->no_mbuf.pkts)))
		return;
	if (x->bad_chain.pkts)
		port_rx_drop(p, DROP_RX_VHOST_BAD_CHAIN, x->bad_chain.pkts, x->bad_chain.bytes);
	if (x->bad_offload.pkts)
		port_rx_drop(p, DROP_RX_VHOST_BAD_OFFLOAD, x->bad_offload.pkts,
			     x->bad_offload.bytes);
	if (x->truncated.pkts)
		port_rx_drop(p, DROP_RX_TRUNCATED, x->truncated.pkts, x->truncated.bytes);
	if (x->no_mbuf.pkts)
		port_rx_drop(p, DROP_RX_NO_MBUF, x->no_mbuf.pkts, x->no_mbuf.bytes);
}

/* What rte_vhost read from the guest's header, as a header again. */
static enum drop_reason judge_packed(struct rte_mbuf *m)
{
	struct virtio_net_hdr hdr = {0};
	struct headers h;

	if (m->pkt_len < 14)
		return DROP_RX_TRUNCATED;
	if (!(m->ol_flags & (RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_NONE)))
		return DROP_NONE;
	headers_parse(m, &h);
	if ((m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE) {
		hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		hdr.csum_start = (uint16_t)(h.l2_len + h.l3_len);
		hdr.csum_offset = h.ip_proto == 6 ? 16 : h.ip_proto == 17 ? 6 : 8;
	}
	if (m->ol_flags & RTE_MBUF_F_RX_LRO) {
		hdr.gso_type = h.ipv4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
		hdr.gso_size = m->tso_segsz;
	}
	m->ol_flags = 0;
	return vnet_to_mbuf(&hdr, m);
}

static uint16_t rx_packed(struct port *p, struct vhost_dev *d, uint16_t pair,
			  struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t got = rte_vhost_dequeue_burst(d->vid, (uint16_t)(2 * pair + 1),
					       pool_get(p->numa_node), pkts, n),
		 kept = 0;

	for (uint16_t i = 0; i < got; i++) {
		enum drop_reason why = judge_packed(pkts[i]);

		if (why == DROP_NONE) {
			pkts[kept++] = pkts[i];
			continue;
		}
		port_rx_drop_packet(p, why, pkts[i], pkts[i]->pkt_len);
	}
	/* What rte_vhost itself throws away it does not tell. */
	if (!got)
		__atomic_store_n(&p->rx_discarded, true, __ATOMIC_RELAXED);
	return kept;
}

static uint16_t rx_burst(struct port *p, uint16_t pair, struct rte_mbuf **pkts, uint16_t n)
{
	struct vhost_dev *d = p->priv;
	uint16_t got = 0;

	if (SL_UNLIKELY(pair >= QUEUES_MAX))
		return 0;
	struct vhost_queue *q = vhost_rx_queue(d, pair);
	if (!__atomic_load_n(&q->ready, __ATOMIC_ACQUIRE) || !rte_spinlock_trylock(&q->lock))
		return 0;
	if (SL_LIKELY(__atomic_load_n(&q->ready, __ATOMIC_ACQUIRE))) {
		if (SL_UNLIKELY(!pair && __atomic_load_n(&d->rarp_pending, __ATOMIC_ACQUIRE))) {
			__atomic_store_n(&d->rarp_pending, false, __ATOMIC_RELEASE);
			pkts[0] = make_rarp(d, p->numa_node);
			got = pkts[0] ? 1 : 0;
		}
		if (SL_LIKELY(!d->packed)) {
			struct vhost_rx_drops drops = {0};

			got += vhost_ring_rx(&q->ring, pool_get(p->numa_node), pkts + got,
					     (uint16_t)(n - got), &drops);
			count_drops(p, &drops);
		} else {
			got += rx_packed(p, d, pair, pkts + got, (uint16_t)(n - got));
		}
		if (SL_UNLIKELY(q->ring.broken || d->faulted))
			__atomic_store_n(&p->tx_state, DROP_TX_QUARANTINED, __ATOMIC_RELEASE);
	}
	rte_spinlock_unlock(&q->lock);
	return got;
}

static struct vhost_queue *pick_tx(struct vhost_dev *d, uint16_t thread)
{
	uint16_t n = __atomic_load_n(&d->n_tx, __ATOMIC_ACQUIRE);

	if (!n)
		return NULL;
	return vhost_tx_queue(d, d->tx_map[thread % n]);
}

static uint16_t tx_burst(struct port *p, uint16_t thread, struct rte_mbuf **pkts, uint16_t n)
{
	struct vhost_dev *d = p->priv;
	struct vhost_queue *q = pick_tx(d, sl_thread_idx);
	uint32_t refused = 0;
	uint16_t sent = 0;

	if (!q)
		return 0;
	rte_spinlock_lock(&q->lock);
	if (SL_LIKELY(__atomic_load_n(&q->ready, __ATOMIC_ACQUIRE))) {
		sent = !d->packed ? vhost_ring_tx(&q->ring, pkts, n, &refused)
				  : rte_vhost_enqueue_burst(d->vid, (uint16_t)(q - d->q), pkts, n);
		if (SL_UNLIKELY(q->ring.broken || d->faulted))
			__atomic_store_n(&p->tx_state, DROP_TX_QUARANTINED, __ATOMIC_RELEASE);
	}
	rte_spinlock_unlock(&q->lock);
	if (SL_UNLIKELY(refused))
		__atomic_add_fetch(&d->tx_refused, refused, __ATOMIC_RELAXED);
	rte_pktmbuf_free_bulk(pkts, sent);
	return sent;
}

static void tx_flush(struct port *p, uint16_t thread)
{
	struct vhost_dev *d = p->priv;
	struct vhost_queue *q = d->packed ? NULL : pick_tx(d, sl_thread_idx);

	if (!q || q->ring.signalled == q->ring.last_used)
		return;
	rte_spinlock_lock(&q->lock);
	if (q->ready)
		vhost_ring_signal(&q->ring);
	rte_spinlock_unlock(&q->lock);
}

static int rx_fd(struct port *p, uint16_t pair)
{
	struct vhost_dev *d = p->priv;

	return pair < QUEUES_MAX ? vhost_rx_queue(d, pair)->epfd : -1;
}

static bool rx_arm(struct port *p, uint16_t pair)
{
	struct vhost_dev *d = p->priv;
	struct epoll_event ev;
	bool quiet = true;

	if (pair >= QUEUES_MAX)
		return true;
	struct vhost_queue *q = vhost_rx_queue(d, pair);
	if (q->epfd >= 0)
		epoll_wait(q->epfd, &ev, 1, 0); /* forget the kicks so far */
	if (!rte_spinlock_trylock(&q->lock))
		return false;
	if (q->ready && !d->packed) {
		quiet = vhost_ring_arm(&q->ring);
	} else if (q->ready) {
		uint16_t ring = (uint16_t)(2 * pair + 1);

		rte_vhost_enable_guest_notification(d->vid, ring, 1);
		quiet = !rte_vhost_rx_queue_count(d->vid, ring);
	}
	rte_spinlock_unlock(&q->lock);
	return quiet;
}

static void rx_disarm(struct port *p, uint16_t pair)
{
	struct vhost_dev *d = p->priv;

	if (pair >= QUEUES_MAX)
		return;
	struct vhost_queue *q = vhost_rx_queue(d, pair);
	if (!rte_spinlock_trylock(&q->lock))
		return;
	if (q->ready && !d->packed)
		vhost_ring_disarm(&q->ring);
	else if (q->ready)
		rte_vhost_enable_guest_notification(d->vid, (uint16_t)(2 * pair + 1), 0);
	rte_spinlock_unlock(&q->lock);
}

#define VHOST_CLASS(type_, options_, check_, open_)                                                \
	{                                                                                          \
		.type = type_, .options = options_, .check = check_, .open = open_,                \
		.close = close_vhost, .set = set, .refresh = refresh, .rx_burst = rx_burst,        \
		.tx_burst = tx_burst, .tx_flush = tx_flush, .rx_fd = rx_fd, .rx_arm = rx_arm,      \
		.rx_disarm = rx_disarm                                                             \
	}

const struct port_class port_class_vhost_client =
	VHOST_CLASS("dpdkvhostuserclient", options_client, check_client, open_client);
const struct port_class port_class_vhost_server =
	VHOST_CLASS("dpdkvhostuser", options_server, check_server, open_server);
