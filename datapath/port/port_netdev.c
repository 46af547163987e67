/* SPDX-License-Identifier: BSD-3-Clause */
/* Kernel network devices, such as one end of a veth: a packet socket per queue with a TPACKET_V2
 * receive ring and virtio-net headers, so that checksums and TCP segments pass unfinished both
 * ways. (TPACKET_V3 has no virtio-net headers and hands over whole blocks, which costs latency.)
 *
 * A ring slot is 2 KiB. The kernel queues what is longer (GSO frames up to 64 KiB, jumbo) to the
 * socket as well and marks its slot TP_STATUS_COPY; it is then read straight into buffers, in
 * order, one system call and one copy for up to 64 KiB, and the ring stays small.
 *
 * Transmission is one system call a packet, past the queueing disciplines. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_memcpy.h>

#include "datapath/base/log.h"
#include "datapath/core/pool.h"
#include "datapath/port/netif.h"
#include "datapath/port/netif_block.h"
#include "datapath/port/port_priv.h"
#include "datapath/port/vnet_fd.h"

LOG_MODULE(netdev);

enum {
	SLOT_BYTES = 2048,
	SLOTS_DEFAULT = 1024,
	SLOTS_MAX = 32768,
	BLOCK_BYTES = 65536,
	SOCKET_BYTES = 16 << 20, /* both ways; frames of 64 KiB wait here */
	VLAN_BYTES = 4,
};

struct netdev_queue {
	int fd;
	uint32_t n_slots, next; /* next slot to look at; poll thread of the queue */
	uint8_t *ring;
	struct rx_chain rx; /* for long frames */
} SL_CACHE_ALIGNED;

struct netdev {
	uint16_t n_queues;
	int sock, ifindex;
	bool gone;
	bool blocked;       /* the host's stack does not see the interface's frames */
	uint64_t tx_errors; /* atomic: what the kernel refused */
	uint64_t rx_missed; /* device thread: what the rings had no room for */
	struct netdev_queue q[];
};

static int ring_open(struct netdev_queue *q, uint32_t n_slots)
{
	struct tpacket_req req = {.tp_block_size = BLOCK_BYTES, .tp_frame_size = SLOT_BYTES};

	q->n_slots = SL_ALIGN_UP(n_slots, BLOCK_BYTES / SLOT_BYTES);
	req.tp_frame_nr = q->n_slots;
	req.tp_block_nr = q->n_slots / (BLOCK_BYTES / SLOT_BYTES);
	if (setsockopt(q->fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof req))
		return -errno;
	q->ring = mmap(NULL, (size_t)q->n_slots * SLOT_BYTES, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, q->fd, 0);
	if (q->ring == MAP_FAILED) {
		q->ring = NULL;
		return -errno;
	}
	return 0;
}

static int set_options(int fd, int ifindex)
{
	int v2 = TPACKET_V2, one = 1, bytes = SOCKET_BYTES;
	struct packet_mreq promisc = {.mr_ifindex = ifindex, .mr_type = PACKET_MR_PROMISC};

	if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &v2, sizeof v2) ||
	    setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) ||
	    setsockopt(fd, SOL_PACKET, PACKET_COPY_THRESH, &one, sizeof one) ||
	    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) ||
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promisc, sizeof promisc))
		return -errno;
	/* Without the privilege the system's limit holds, and long frames may be dropped sooner. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
	return 0;
}

static int open_queue(struct netdev_queue *q, int ifindex, uint32_t n_slots, bool fanout)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET,
				 .sll_protocol = cpu_to_be16(ETH_P_ALL),
				 .sll_ifindex = ifindex};
	int ret;

	q->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (q->fd < 0)
		return -errno;
	ret = set_options(q->fd, ifindex);
	if (!ret)
		ret = ring_open(q, n_slots);
	if (!ret && bind(q->fd, (struct sockaddr *)&at, sizeof at))
		ret = -errno;
	int group = (ifindex & 0xffff) | PACKET_FANOUT_HASH << 16;
	if (!ret && fanout && setsockopt(q->fd, SOL_PACKET, PACKET_FANOUT, &group, sizeof group))
		ret = -errno;
	return ret;
}

static void release(struct netdev *d)
{
	for (uint16_t i = 0; i < d->n_queues; i++) {
		struct netdev_queue *q = &d->q[i];

		rx_chain_free(&q->rx);
		if (q->ring)
			munmap(q->ring, (size_t)q->n_slots * SLOT_BYTES);
		if (q->fd >= 0)
			close(q->fd);
	}
	if (d->sock >= 0)
		close(d->sock);
	free(d);
}

static void write_sysctl(const char *family, const char *name, const char *key, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof path, "/proc/sys/net/%s/conf/%s/%s", family, name, key);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	ssize_t n = write(fd, value, strlen(value));
	(void)n;
	close(fd);
}

/* The interface is ours: the host's own stack shall not see or answer what arrives on it (ARP for
 * any local address, DHCP, IPv6 link-local), which would be a way round the switch and its policy.
 * A kernel that cannot drop behind the packet sockets is at least told not to answer. */
static void keep_host_off(struct netdev *d, const char *name)
{
	int ret = netif_block(d->ifindex);

	d->blocked = !ret;
	write_sysctl("ipv6", name, "disable_ipv6", "1");
	if (d->blocked)
		return;
	log_info("port %s: the host's stack cannot be cut off: %s: it is told not to answer", name,
		 strerror(-ret));
	write_sysctl("ipv4", name, "arp_ignore", "8");
	write_sysctl("ipv4", name, "rp_filter", "1");
}

static int configure(struct port *p, const struct port_config *c, struct err *e)
{
	static const uint8_t none[6];
	struct netdev *d = p->priv;
	int ret = 0;

	if (memcmp(c->mac, none, 6))
		ret = netif_set_mac(d->sock, p->name, c->mac);
	if (ret)
		return err_set(e, -ret, "port %s: mac: %s", p->name, strerror(-ret));
	if (c->mtu)
		ret = netif_set_mtu(d->sock, p->name, c->mtu);
	if (ret)
		return err_set(e, -ret, "port %s: mtu_request %u: %s", p->name, c->mtu,
			       strerror(-ret));
	ret = netif_set_up(d->sock, p->name, c->admin_up);
	if (ret)
		return err_set(e, -ret, "port %s: up: %s", p->name, strerror(-ret));
	uint32_t mtu;
	if (!netif_get_mtu(d->sock, p->name, &mtu))
		port_set_mtu(p, mtu);
	return 0;
}

static void count_missed(struct port *p)
{
	struct netdev *d = p->priv;

	for (uint16_t i = 0; i < d->n_queues; i++) {
		struct tpacket_stats s;
		socklen_t len = sizeof s;

		if (!getsockopt(d->q[i].fd, SOL_PACKET, PACKET_STATISTICS, &s, &len))
			d->rx_missed += s.tp_drops; /* reading clears it */
	}
	p->status.rx_missed = d->rx_missed;
	p->status.tx_errors = __atomic_load_n(&d->tx_errors, __ATOMIC_RELAXED);
}

static void refresh(struct port *p)
{
	struct netdev *d = p->priv;
	char driver[32] = "";
	int ifindex = 0;

	count_missed(p);
	/* A new interface of the same name is not the one the sockets are bound to. */
	if (netif_ifindex(d->sock, p->name, &ifindex) || ifindex != d->ifindex) {
		port_set_link(p, false);
		if (!d->gone) {
			d->gone = true;
			port_event_post(p, PORT_EVENT_REMOVED);
		}
		snprintf(p->status.detail, sizeof p->status.detail, "error=removed");
		return;
	}
	netif_refresh(p, d->sock, p->name);
	netif_driver(d->sock, p->name, driver);
	snprintf(p->status.detail, sizeof p->status.detail, "driver_name=%s host_stack=%s", driver,
		 d->blocked ? "cut-off" : "silenced");
}

static int check(const struct port_config *c, struct err *e)
{
	if (strlen(c->name) >= IFNAMSIZ)
		return err_set(e, EINVAL, "port %s: the kernel allows %d characters", c->name,
			       IFNAMSIZ - 1);
	return 0;
}

static int open_netdev(struct port *p, const struct port_config *c, struct err *e)
{
	uint16_t n = c->n_rxq ? c->n_rxq : 1;
	uint32_t slots = c->n_rxq_desc ? SL_MIN(c->n_rxq_desc, (uint16_t)SLOTS_MAX) : SLOTS_DEFAULT;
	size_t bytes = sizeof(struct netdev) + n * sizeof(struct netdev_queue);
	struct netdev *d = aligned_alloc(SL_CACHE_LINE, SL_ALIGN_UP(bytes, SL_CACHE_LINE));
	int ret;

	if (!d)
		return -ENOMEM;
	memset(d, 0, bytes);
	p->priv = d;
	d->sock = netif_socket_in(-1);
	ret = d->sock < 0 ? d->sock : netif_ifindex(d->sock, c->name, &d->ifindex);
	if (ret) {
		release(d);
		return err_set(e, -ret, "port %s: %s", c->name,
			       ret == -ENODEV ? "no such network interface" : strerror(-ret));
	}
	ret = configure(p, c, e);
	while (!ret && d->n_queues < n)
		ret = open_queue(&d->q[d->n_queues++], d->ifindex, slots, n > 1);
	if (ret) {
		release(d);
		return err_set(e, -ret, "port %s: packet socket: %s", c->name, strerror(-ret));
	}
	keep_host_off(d, c->name);
	p->n_rxq = p->n_txq = n;
	p->shared_txq = true; /* the kernel locks */
	p->tx_offloads = OFFLOAD_TX_TCP_CKSUM | OFFLOAD_TX_UDP_CKSUM | OFFLOAD_TX_TSO;
	refresh(p);
	return 0;
}

static void close_netdev(struct port *p)
{
	struct netdev *d = p->priv;

	if (d->blocked && !d->gone)
		netif_unblock(d->ifindex);
	release(d);
}

static int set(struct port *p, const struct port_config *c, struct err *e)
{
	struct netdev *d = p->priv;

	if ((c->n_rxq ? c->n_rxq : 1) != d->n_queues || d->gone)
		return -EOPNOTSUPP;
	return configure(p, c, e);
}

/* The tag that the kernel took out goes back in. */
static bool insert_vlan(struct rte_mbuf *m, const struct tpacket2_hdr *h, uint32_t status)
{
	uint16_t tpid = status & TP_STATUS_VLAN_TPID_VALID ? h->tp_vlan_tpid : ETH_P_8021Q;
	uint8_t *from = rte_pktmbuf_mtod(m, uint8_t *);
	uint8_t *to = (uint8_t *)rte_pktmbuf_prepend(m, VLAN_BYTES);

	if (!to)
		return false;
	memmove(to, from, 12);
	store_be16(to + 12, tpid);
	store_be16(to + 14, h->tp_vlan_tci);
	offload_l2_moved(m, VLAN_BYTES);
	return true;
}

/* A frame that did not fit its slot waits in the socket. */
static struct rte_mbuf *read_long(struct port *p, struct netdev_queue *q,
				  struct virtio_net_hdr *hdr, enum drop_reason *why)
{
	struct rte_mbuf *m = NULL;
	uint32_t bytes;

	*why = vnet_fd_read(q->fd, &q->rx, p->numa_node, hdr, &m, &bytes) ? DROP_RX_NO_MBUF
									  : DROP_RX_SOCKET_FULL;
	return m;
}

static struct rte_mbuf *read_slot(const struct tpacket2_hdr *h, struct virtio_net_hdr *hdr,
				  struct rte_mempool *pool, enum drop_reason *why)
{
	const uint8_t *data = (const uint8_t *)h + h->tp_mac;

	*why = DROP_RX_SOCKET_FULL; /* cut, and there was no room for the copy */
	if (h->tp_snaplen < h->tp_len || h->tp_mac + h->tp_snaplen > SLOT_BYTES)
		return NULL;
	*why = DROP_RX_NO_MBUF;
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	if (!m)
		return NULL;
	memcpy(hdr, data - sizeof *hdr, sizeof *hdr);
	rte_memcpy(rte_pktmbuf_mtod(m, void *), data, h->tp_snaplen);
	m->data_len = (uint16_t)h->tp_snaplen;
	m->pkt_len = h->tp_snaplen;
	return m;
}

static uint16_t rx_burst(struct port *p, uint16_t qi, struct rte_mbuf **pkts, uint16_t n)
{
	struct netdev *d = p->priv;
	uint16_t got = 0;

	if (qi >= d->n_queues)
		return 0;
	struct netdev_queue *q = &d->q[qi];
	struct rte_mempool *pool = pool_get(p->numa_node);
	for (uint16_t tries = 0; tries < n; tries++) {
		struct tpacket2_hdr *h = (void *)(q->ring + (size_t)q->next * SLOT_BYTES);
		uint32_t status = __atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE);
		struct virtio_net_hdr hdr;
		enum drop_reason why;

		if (!(status & TP_STATUS_USER))
			break;
		struct rte_mbuf *m = status & TP_STATUS_COPY ? read_long(p, q, &hdr, &why)
							     : read_slot(h, &hdr, pool, &why);
		uint32_t len = h->tp_len;
		bool ok = vnet_fd_accept(p, m, &hdr, why, len);
		if (ok && (status & TP_STATUS_VLAN_VALID) && !insert_vlan(m, h, status)) {
			port_rx_drop_packet(p, DROP_RX_NO_MBUF, m, len);
			ok = false;
		}
		__atomic_store_n(&h->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		q->next = q->next + 1 == q->n_slots ? 0 : q->next + 1;
		if (ok)
			pkts[got++] = m;
	}
	return got;
}

static uint16_t tx_burst(struct port *p, uint16_t qi, struct rte_mbuf **pkts, uint16_t n)
{
	struct netdev *d = p->priv;

	return vnet_fd_send(d->q[qi % d->n_queues].fd, pkts, n, &d->tx_errors);
}

static int rx_fd(struct port *p, uint16_t q)
{
	struct netdev *d = p->priv;

	return q < d->n_queues ? d->q[q].fd : -1;
}

static bool rx_arm(struct port *p, uint16_t qi)
{
	struct netdev *d = p->priv;

	if (qi >= d->n_queues)
		return true;
	struct netdev_queue *q = &d->q[qi];
	struct tpacket2_hdr *h = (void *)(q->ring + (size_t)q->next * SLOT_BYTES);
	return !(__atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER);
}

static void rx_disarm(struct port *p, uint16_t q)
{
}

const struct port_class port_class_netdev = {
	.type = "system",
	.check = check,
	.open = open_netdev,
	.close = close_netdev,
	.set = set,
	.refresh = refresh,
	.rx_burst = rx_burst,
	.tx_burst = tx_burst,
	.rx_fd = rx_fd,
	.rx_arm = rx_arm,
	.rx_disarm = rx_disarm,
};
