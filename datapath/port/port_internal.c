/* SPDX-License-Identifier: BSD-3-Clause */
/* Internal ports: a tap in the host's network stack, named after the port. Checksums and TCP
 * segments go through unfinished both ways (IFF_VNET_HDR). It may be moved into a namespace and
 * renamed there: everything works on the tap's descriptor or on a socket of the namespace it is in.
 *
 * The tap is persistent while the port exists: when this process dies, the interface keeps its
 * addresses, routes and namespace-wide configuration (without carrier), and the next open takes it
 * up again, wherever it is by then (tap_place.h). port_close() removes it.
 *
 * rx_burst and tx_burst are one system call a packet, so the poll loop calls rx_burst only when
 * epoll says so. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datapath/base/log.h"
#include "datapath/port/netif.h"
#include "datapath/port/port_priv.h"
#include "datapath/port/tap_place.h"
#include "datapath/port/vnet_fd.h"

LOG_MODULE(internal);

struct tap_queue {
	int fd;
	struct rx_chain rx; /* R, W: the poll thread of the queue */
};

struct tap {
	uint16_t n_queues;
	int sock;           /* of the namespace the tap is in; device thread */
	ino_t ns;           /* that namespace, to notice a move */
	uint64_t tx_errors; /* atomic: what the kernel refused */
	struct tap_queue q[QUEUES_MAX];
};

/* Makes t->sock a socket of the tap's namespace, and says what the tap is called there. */
static int locate(struct tap *t, char name[IFNAMSIZ])
{
	struct ifreq r = {0};
	struct stat st;
	int ret = 0, ns = ioctl(t->q[0].fd, TUNGETDEVNETNS);

	if (ns < 0)
		return -errno;
	if (!fstat(ns, &st) && (t->sock < 0 || st.st_ino != t->ns)) {
		int sock = netif_socket_in(ns);

		if (sock >= 0) {
			if (t->sock >= 0)
				close(t->sock);
			t->sock = sock;
			t->ns = st.st_ino;
		} else {
			ret = sock;
		}
	}
	close(ns);
	if (!ret && ioctl(t->q[0].fd, TUNGETIFF, &r))
		ret = -errno;
	if (!ret)
		snprintf(name, IFNAMSIZ, "%s", r.ifr_name);
	return ret;
}

static int open_queue(struct tap_queue *q, const char *name)
{
	struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE};
	int hdr_bytes = sizeof(struct virtio_net_hdr);

	q->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (q->fd < 0)
		return -errno;
	snprintf(r.ifr_name, IFNAMSIZ, "%.15s", name);
	if (ioctl(q->fd, TUNSETIFF, &r) || ioctl(q->fd, TUNSETVNETHDRSZ, &hdr_bytes) ||
	    ioctl(q->fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN))
		return -errno;
	return 0;
}

static void release(struct tap *t, bool remove)
{
	if (remove && t->n_queues)
		ioctl(t->q[0].fd, TUNSETPERSIST, 0);
	for (uint16_t i = 0; i < t->n_queues; i++) {
		rx_chain_free(&t->q[i].rx);
		close(t->q[i].fd);
	}
	if (t->sock >= 0)
		close(t->sock);
	free(t);
}

static int configure(struct port *p, const struct port_config *c, struct err *e)
{
	static const uint8_t none[6];
	struct tap *t = p->priv;
	char name[IFNAMSIZ];
	int ret = locate(t, name);

	if (ret)
		return err_set(e, -ret, "port %s: %s", p->name, strerror(-ret));
	if (memcmp(c->mac, none, 6)) {
		uint8_t now[6];

		if (netif_get_mac(t->sock, name, now) || memcmp(now, c->mac, 6))
			ret = netif_set_mac(t->sock, name, c->mac);
		if (ret)
			return err_set(e, -ret, "port %s: mac: %s", p->name, strerror(-ret));
	}
	uint32_t mtu = c->mtu ? c->mtu : 1500;
	ret = netif_set_mtu(t->sock, name, mtu);
	if (ret)
		return err_set(e, -ret, "port %s: mtu_request %u: %s", p->name, mtu,
			       strerror(-ret));
	port_set_mtu(p, mtu);
	if (c->admin_up) /* down is the host's business: ip link set down */
		ret = netif_set_up(t->sock, name, true);
	if (ret)
		return err_set(e, -ret, "port %s: up: %s", p->name, strerror(-ret));
	return 0;
}

static void refresh(struct port *p)
{
	struct tap *t = p->priv;
	char name[IFNAMSIZ];

	p->status.tx_errors = __atomic_load_n(&t->tx_errors, __ATOMIC_RELAXED);
	if (!locate(t, name) && !netif_refresh(p, t->sock, name))
		snprintf(p->status.detail, sizeof p->status.detail,
			 "driver_name=tun netns_inode=%lu name_there=%s", (unsigned long)t->ns,
			 name);
	else
		port_set_link(p, false);
}

static int check(const struct port_config *c, struct err *e)
{
	if (strlen(c->name) >= IFNAMSIZ)
		return err_set(e, EINVAL, "port %s: the kernel allows %d characters", c->name,
			       IFNAMSIZ - 1);
	return 0;
}

static int open_queues(struct tap *t, uint16_t n, const char *name)
{
	int ret = 0;

	while (!ret && t->n_queues < n) {
		struct tap_queue *q = &t->q[t->n_queues];

		ret = open_queue(q, name);
		if (q->fd >= 0)
			t->n_queues++;
	}
	return ret;
}

/* The tap of an earlier process, or a new one. */
static int open_tap(struct tap *t, uint16_t n, const char *port)
{
	char name[IFNAMSIZ];
	int ns, back, ret;

	if (!if_nametoindex(port) && !tap_place_find(port, &ns, name)) {
		ret = back = netif_enter(ns);
		if (back >= 0) {
			ret = open_queues(t, n, name);
			netif_leave(back);
		}
		close(ns);
		if (!ret)
			log_info("port %s: found as %s in another network namespace, or renamed",
				 port, name);
		return ret;
	}
	ret = open_queues(t, n, port);
	int marked = ret ? 0 : tap_place_mark(port, port);
	if (marked)
		log_info("port %s: cannot be marked, so it is lost when it is moved into a "
			 "namespace and this process dies: %s",
			 port, strerror(-marked));
	return ret;
}

static int open_internal(struct port *p, const struct port_config *c, struct err *e)
{
	struct tap *t = xzalloc(sizeof *t);
	uint16_t n = c->n_rxq ? c->n_rxq : 1;
	int ret;

	p->priv = t;
	t->sock = -1;
	ret = open_tap(t, n, c->name);
	if (!ret && ioctl(t->q[0].fd, TUNSETPERSIST, 1))
		ret = -errno;
	if (ret) {
		release(t, false);
		return err_set(e, -ret, "port %s: %s%s", c->name, strerror(-ret),
			       ret == -EBUSY || ret == -EINVAL
				       ? ": an interface of this name is in use"
			       : ret == -ENOENT ? ": /dev/net/tun (kernel module tun)"
						: "");
	}
	p->n_rxq = p->n_txq = n;
	p->shared_txq = true; /* the kernel locks */
	p->poll_on_event = true;
	p->tx_offloads = OFFLOAD_TX_TCP_CKSUM | OFFLOAD_TX_UDP_CKSUM | OFFLOAD_TX_TSO;
	ret = configure(p, c, e);
	if (ret) {
		release(t, true);
		return ret;
	}
	refresh(p);
	return 0;
}

static void close_internal(struct port *p)
{
	release(p->priv, true);
	tap_place_forget(p->name);
}

static int set(struct port *p, const struct port_config *c, struct err *e)
{
	struct tap *t = p->priv;

	if ((c->n_rxq ? c->n_rxq : 1) != t->n_queues)
		return -EOPNOTSUPP;
	return configure(p, c, e);
}

static uint16_t rx_burst(struct port *p, uint16_t qi, struct rte_mbuf **pkts, uint16_t n)
{
	struct tap *t = p->priv;
	uint16_t got = 0;

	if (qi >= t->n_queues)
		return 0;
	struct tap_queue *q = &t->q[qi];
	for (uint16_t tries = 0; tries < n; tries++) {
		struct virtio_net_hdr hdr;
		struct rte_mbuf *m;
		uint32_t bytes;

		if (!vnet_fd_read(q->fd, &q->rx, p->numa_node, &hdr, &m, &bytes))
			break;
		if (vnet_fd_accept(p, m, &hdr, DROP_RX_NO_MBUF, bytes))
			pkts[got++] = m;
	}
	return got;
}

static uint16_t tx_burst(struct port *p, uint16_t qi, struct rte_mbuf **pkts, uint16_t n)
{
	struct tap *t = p->priv;

	return vnet_fd_send(t->q[qi % t->n_queues].fd, pkts, n, &t->tx_errors);
}

static int rx_fd(struct port *p, uint16_t q)
{
	struct tap *t = p->priv;

	return q < t->n_queues ? t->q[q].fd : -1;
}

static bool rx_arm(struct port *p, uint16_t q)
{
	return true; /* the descriptor is level triggered */
}

static void rx_disarm(struct port *p, uint16_t q)
{
}

const struct port_class port_class_internal = {
	.type = "internal",
	.check = check,
	.open = open_internal,
	.close = close_internal,
	.set = set,
	.refresh = refresh,
	.rx_burst = rx_burst,
	.tx_burst = tx_burst,
	.rx_fd = rx_fd,
	.rx_arm = rx_arm,
	.rx_disarm = rx_disarm,
};
