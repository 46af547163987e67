/* SPDX-License-Identifier: BSD-3-Clause */
/* Any DPDK ethernet device: options:dpdk-devargs is a PCI address, a virtual device with its
 * arguments (net_pcap0,…, net_memif0,…), the name of a port that EAL already has, or
 * class=eth,mac=…. Devices that were probed here are removed with the port.
 *
 * Transmit queues: one per thread when the device has enough, else shared under a spinlock. A
 * sleeping thread is woken as dpdk_wake.h finds possible, else it looks when its timer fires. */
#include "datapath/port/port_dpdk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_spinlock.h>

#include "datapath/base/log.h"
#include "datapath/core/pool.h"
#include "datapath/port/dpdk_drivers.h"
#include "datapath/port/dpdk_memif.h"
#include "datapath/port/dpdk_wake.h"
#include "datapath/port/port_priv.h"

LOG_MODULE(dpdk);

enum {
	DESC_DEFAULT = 512, /* the pool is small by default; OVS's 2048 would take 5 MB a queue */
	FRAME_OVERHEAD = 14 + 4 + 8, /* Ethernet, FCS, two tags */
};

struct dpdk {
	uint16_t id; /* of the ethdev */
	bool probed; /* by us: removed at close */
	bool started;
	bool removed; /* W: EAL's interrupt thread */
	char devargs[512];
	uint32_t mtu;
	uint16_t n_rxq_wanted, n_rx_desc, n_tx_desc;
	bool lsc;
	struct dpdk_wake wake;
	uint64_t tx_errors;                 /* atomic: refused by tx_prepare */
	rte_spinlock_t tx_lock[QUEUES_MAX]; /* used when queues are shared */
};

/* ethdevs that are a port of ours. Device thread. */
static bool in_use[RTE_MAX_ETHPORTS];

static bool find_matching(const char *devargs, uint16_t *id)
{
	struct rte_dev_iterator it;
	uint16_t found = RTE_MAX_ETHPORTS, i;

	RTE_ETH_FOREACH_MATCHING_DEV(i, devargs, &it)
	{
		found = i;
		rte_eth_iterator_cleanup(&it);
		break;
	}
	*id = found;
	return found != RTE_MAX_ETHPORTS;
}

static int locate(struct dpdk *d, const char *name, struct err *e)
{
	char dev[128];

	if (!strncmp(d->devargs, "class=eth", 9)) {
		if (find_matching(d->devargs, &d->id))
			return 0;
		return err_set(e, ENODEV, "port %s: options:dpdk-devargs: %s: no such device", name,
			       d->devargs);
	}
	snprintf(dev, sizeof dev, "%.*s", (int)strcspn(d->devargs, ","), d->devargs);
	if (!rte_eth_dev_get_port_by_name(dev, &d->id))
		return dpdk_memif_take(d->id, name, d->devargs, &d->probed, e);
	dpdk_drivers_want(d->devargs);
	int ret = rte_dev_probe(d->devargs);
	if (ret < 0 && dpdk_drivers_want_all())
		ret = rte_dev_probe(d->devargs);
	if (ret < 0)
		return err_set(e, ret == -1 ? ENODEV : -ret,
			       "port %s: options:dpdk-devargs: %s: cannot be probed: %s", name,
			       d->devargs, strerror(ret == -1 ? ENODEV : -ret));
	d->probed = true;
	if (!rte_eth_dev_get_port_by_name(dev, &d->id) || find_matching(d->devargs, &d->id))
		return 0;
	return err_set(e, ENODEV, "port %s: options:dpdk-devargs: %s: has no ethernet port", name,
		       d->devargs);
}

static int on_event(uint16_t id, enum rte_eth_event_type ev, void *aux, void *ret)
{
	struct port *p = aux;
	struct dpdk *d = p->priv;

	if (ev == RTE_ETH_EVENT_INTR_RMV) {
		__atomic_store_n(&d->removed, true, __ATOMIC_RELEASE);
		port_event_post(p, PORT_EVENT_REMOVED);
	} else {
		port_event_post(p, PORT_EVENT_STATUS); /* the device thread refreshes */
	}
	return 0;
}

static uint32_t tx_offloads_of(uint64_t capa)
{
	uint32_t o = 0;

	if (capa & RTE_ETH_TX_OFFLOAD_TCP_CKSUM)
		o |= OFFLOAD_TX_TCP_CKSUM;
	if (capa & RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
		o |= OFFLOAD_TX_UDP_CKSUM;
	if (capa & RTE_ETH_TX_OFFLOAD_SCTP_CKSUM)
		o |= OFFLOAD_TX_SCTP_CKSUM;
	if ((capa & RTE_ETH_TX_OFFLOAD_TCP_TSO) && (capa & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) &&
	    (capa & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) && (capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS))
		o |= OFFLOAD_TX_TSO;
	return o;
}

static void fill_conf(const struct port *p, const struct rte_eth_dev_info *info, bool rx_interrupt,
		      struct rte_eth_conf *conf)
{
	const struct dpdk *d = p->priv;
	uint64_t rx_want = RTE_ETH_RX_OFFLOAD_CHECKSUM;
	uint64_t tx_want = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
			   RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_SCTP_CKSUM |
			   RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS;

	memset(conf, 0, sizeof *conf);
	if (d->mtu + FRAME_OVERHEAD > POOL_DATA_ROOM)
		rx_want |= RTE_ETH_RX_OFFLOAD_SCATTER;
	conf->rxmode.mtu = d->mtu;
	if (p->n_rxq > 1) {
		conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf->rx_adv_conf.rss_conf.rss_hf =
			info->flow_type_rss_offloads &
			(RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_SCTP);
		rx_want |= RTE_ETH_RX_OFFLOAD_RSS_HASH;
	}
	conf->rxmode.offloads = rx_want & info->rx_offload_capa;
	conf->txmode.offloads = tx_want & info->tx_offload_capa;
	conf->intr_conf.lsc = d->lsc && (*info->dev_flags & RTE_ETH_DEV_INTR_LSC);
	conf->intr_conf.rxq = rx_interrupt;
	conf->intr_conf.rmv = !!(*info->dev_flags & RTE_ETH_DEV_INTR_RMV);
}

static int setup_queues(struct port *p, const struct rte_eth_dev_info *info)
{
	struct dpdk *d = p->priv;
	uint16_t n_rx_desc = d->n_rx_desc, n_tx_desc = d->n_tx_desc;
	struct rte_mempool *pool = pool_get(p->numa_node);
	int ret = rte_eth_dev_adjust_nb_rx_tx_desc(d->id, &n_rx_desc, &n_tx_desc);

	for (uint16_t q = 0; !ret && q < p->n_txq; q++)
		ret = rte_eth_tx_queue_setup(d->id, q, n_tx_desc, (unsigned)p->numa_node, NULL);
	for (uint16_t q = 0; !ret && q < p->n_rxq; q++)
		ret = rte_eth_rx_queue_setup(d->id, q, n_rx_desc, (unsigned)p->numa_node, NULL,
					     pool);
	return ret;
}

static void set_mac(struct dpdk *d, const struct port_config *c)
{
	static const uint8_t none[6];
	struct rte_ether_addr mac;

	if (!memcmp(c->mac, none, 6))
		return;
	memcpy(mac.addr_bytes, c->mac, 6);
	int ret = rte_eth_dev_default_mac_addr_set(d->id, &mac);
	if (ret)
		log_warn("port %s: mac: %s", c->name, rte_strerror(-ret));
}

/* Configures and starts; on failure *step says at what. */
static int bring_up(struct port *p, const struct port_config *c,
		    const struct rte_eth_dev_info *info, bool rx_interrupt, const char **step)
{
	struct dpdk *d = p->priv;
	uint16_t n_txq = c->n_txq ? c->n_txq : 1;
	struct rte_eth_conf conf;

	p->n_rxq = SL_MIN(SL_MIN(d->n_rxq_wanted, info->max_rx_queues), (uint16_t)QUEUES_MAX);
	p->n_txq = SL_MIN(SL_MIN(n_txq, info->max_tx_queues), (uint16_t)QUEUES_MAX);
	/* One end's transmit queues are the other's receive queues, and it takes no more than it
	 * has. */
	if (dpdk_memif_is(info))
		p->n_txq = SL_MIN(p->n_txq, p->n_rxq);
	*step = "configuring";
	fill_conf(p, info, rx_interrupt, &conf);
	int ret = rte_eth_dev_configure(d->id, p->n_rxq, p->n_txq, &conf);
	if (ret && p->n_rxq != p->n_txq) { /* some virtual devices pair their queues */
		p->n_rxq = p->n_txq = SL_MIN(p->n_rxq, p->n_txq);
		fill_conf(p, info, rx_interrupt, &conf);
		ret = rte_eth_dev_configure(d->id, p->n_rxq, p->n_txq, &conf);
	}
	if (ret)
		return ret;
	p->shared_txq = p->n_txq < n_txq;
	*step = "setting up queues";
	ret = setup_queues(p, info);
	if (ret)
		return ret;
	set_mac(d, c);
	*step = "starting";
	ret = rte_eth_dev_start(d->id);
	if (!ret)
		p->tx_offloads = tx_offloads_of(conf.txmode.offloads);
	return ret;
}

static int start(struct port *p, const struct port_config *c, const struct dpdk_fds *before,
		 struct err *e)
{
	struct dpdk *d = p->priv;
	struct rte_eth_dev_info info;
	const char *step = "reading its capabilities";
	int ret = rte_eth_dev_info_get(d->id, &info);

	if (!ret && info.max_mtu && d->mtu > info.max_mtu)
		return err_set(e, EINVAL, "port %s: mtu_request %u: the device allows %u", p->name,
			       d->mtu, info.max_mtu);
	p->numa_node = SL_MAX(rte_eth_dev_socket_id(d->id), 0);
	/* Drivers without receive interrupts ignore the wish, or refuse it here or there. */
	if (!ret) {
		ret = bring_up(p, c, &info, true, &step);
		if (ret)
			ret = bring_up(p, c, &info, false, &step);
	}
	if (ret)
		return err_set(e, -ret, "port %s: %s: %s: %s", p->name, d->devargs, step,
			       rte_strerror(-ret));
	d->started = true;
	dpdk_wake_find(&d->wake, p, d->id, before);
	rte_eth_promiscuous_enable(d->id);
	rte_eth_allmulticast_enable(d->id);
	if (!c->admin_up)
		rte_eth_dev_set_link_down(d->id);
	port_set_mtu(p, d->mtu);
	return 0;
}

void port_dpdk_close(struct port *p)
{
	struct dpdk *d = p->priv;
	struct rte_eth_dev_info info = {0};

	if (d->id < RTE_MAX_ETHPORTS) {
		rte_eth_dev_callback_unregister(d->id, RTE_ETH_EVENT_INTR_LSC, on_event, p);
		rte_eth_dev_callback_unregister(d->id, RTE_ETH_EVENT_INTR_RMV, on_event, p);
		rte_eth_dev_info_get(d->id, &info);
		bool stop = d->started && !d->removed, keep = !d->probed;

		in_use[d->id] = false;
		if (d->probed && dpdk_memif_is(&info))
			keep = dpdk_memif_end(d->id, d->devargs, stop);
		else if (stop)
			rte_eth_dev_stop(d->id);
		/* Removing the device closes its port. One that was there before us stays probed.
		 */
		if (!keep && info.device) {
			int ret = rte_dev_remove(info.device);

			if (ret)
				log_warn("port %s: %s: not removed: %s", p->name, d->devargs,
					 rte_strerror(-ret));
		}
	}
	free(d);
}

int port_dpdk_open(struct port *p, const struct port_config *c, const char *devargs, struct err *e)
{
	struct dpdk *d = xzalloc(sizeof *d);
	struct dpdk_fds before;
	int ret;

	p->priv = d;
	d->id = RTE_MAX_ETHPORTS;
	d->mtu = c->mtu ? c->mtu : 1500;
	d->n_rxq_wanted = c->n_rxq ? c->n_rxq : 1;
	d->n_rx_desc = c->n_rxq_desc ? c->n_rxq_desc : DESC_DEFAULT;
	d->n_tx_desc = c->n_txq_desc ? c->n_txq_desc : DESC_DEFAULT;
	d->lsc = port_option_bool(p->class, c, "dpdk-lsc-interrupt");
	for (unsigned i = 0; i < QUEUES_MAX; i++)
		rte_spinlock_init(&d->tx_lock[i]);
	if (strlen(devargs) >= sizeof d->devargs) {
		free(d);
		return err_set(e, EINVAL, "port %s: options:dpdk-devargs: too long", c->name);
	}
	strcpy(d->devargs, devargs);
	dpdk_fds_look(&before);
	ret = locate(d, c->name, e);
	if (!ret && in_use[d->id]) {
		free(d);
		return err_set(e, EBUSY, "port %s: options:dpdk-devargs: %s: is another port's",
			       c->name, devargs);
	}
	if (ret) {
		d->id = RTE_MAX_ETHPORTS;
		port_dpdk_close(p);
		return ret;
	}
	in_use[d->id] = true;
	ret = start(p, c, &before, e);
	if (ret) {
		port_dpdk_close(p);
		return ret;
	}
	rte_eth_dev_callback_register(d->id, RTE_ETH_EVENT_INTR_LSC, on_event, p);
	rte_eth_dev_callback_register(d->id, RTE_ETH_EVENT_INTR_RMV, on_event, p);
	port_dpdk_refresh(p);
	return 0;
}

/* vmxnet3 of DPDK 22.11 takes a new MTU while it runs, receives nothing from then on and can no
 * longer be detached (tests/system/test_nic_lab.py). */
static bool mtu_needs_reopen(const struct dpdk *d)
{
	struct rte_eth_dev_info info;

	return rte_eth_dev_info_get(d->id, &info) || !strcmp(info.driver_name, "net_vmxnet3");
}

int port_dpdk_set(struct port *p, const struct port_config *c, const char *devargs, struct err *e)
{
	struct dpdk *d = p->priv;
	uint32_t mtu = c->mtu ? c->mtu : 1500;

	if (strcmp(devargs, d->devargs) || (c->n_rxq ? c->n_rxq : 1) != d->n_rxq_wanted ||
	    (c->n_rxq_desc ? c->n_rxq_desc : DESC_DEFAULT) != d->n_rx_desc ||
	    (c->n_txq_desc ? c->n_txq_desc : DESC_DEFAULT) != d->n_tx_desc)
		return -EOPNOTSUPP;
	if (mtu != d->mtu) {
		/* Beyond one buffer the device must be configured for scattered receive. */
		if (mtu + FRAME_OVERHEAD > POOL_DATA_ROOM &&
		    d->mtu + FRAME_OVERHEAD <= POOL_DATA_ROOM)
			return -EOPNOTSUPP;
		if (mtu_needs_reopen(d))
			return -EOPNOTSUPP;
		int ret = rte_eth_dev_set_mtu(d->id, (uint16_t)mtu);
		if (ret == -EINVAL)
			return err_set(e, EINVAL, "port %s: mtu_request %u: refused by the device",
				       p->name, mtu);
		if (ret && ret != -ENOTSUP) /* -EBUSY: wants to be stopped */
			return -EOPNOTSUPP;
		d->mtu = mtu;
		port_set_mtu(p, mtu);
	}
	set_mac(d, c);
	if (c->admin_up != p->status.admin_up) {
		int ret = c->admin_up ? rte_eth_dev_set_link_up(d->id)
				      : rte_eth_dev_set_link_down(d->id);

		if (ret && ret != -ENOTSUP)
			return err_set(e, -ret, "port %s: link: %s", p->name, rte_strerror(-ret));
	}
	return 0;
}

void port_dpdk_refresh(struct port *p)
{
	struct dpdk *d = p->priv;
	struct rte_eth_link link;
	struct rte_eth_stats s;
	struct rte_ether_addr mac;
	struct rte_eth_dev_info info;

	if (d->removed) {
		port_set_link(p, false);
		return;
	}
	if (!rte_eth_link_get_nowait(d->id, &link)) {
		p->status.link_speed_bps = link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN
						   ? 0
						   : link.link_speed * 1000000ull;
		p->status.full_duplex = link.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
		port_set_link(p, link.link_status == RTE_ETH_LINK_UP);
	}
	if (!rte_eth_stats_get(d->id, &s)) {
		p->status.rx_errors = s.ierrors;
		p->status.rx_missed = s.imissed + s.rx_nombuf;
		p->status.tx_errors = s.oerrors + __atomic_load_n(&d->tx_errors, __ATOMIC_RELAXED);
	}
	if (!rte_eth_macaddr_get(d->id, &mac))
		memcpy(p->status.mac, mac.addr_bytes, 6);
	if (!rte_eth_dev_info_get(d->id, &info)) {
		p->status.ifindex = (int32_t)info.if_index;
		snprintf(p->status.detail, sizeof p->status.detail,
			 "port_no=%u driver_name=%s numa_id=%d max_rx_queues=%u max_tx_queues=%u "
			 "rx_csum_offload=%s wake=%s",
			 d->id, info.driver_name, p->numa_node, info.max_rx_queues,
			 info.max_tx_queues,
			 info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_TCP_CKSUM ? "true" : "false",
			 d->wake.q[0].fd < 0                 ? "timer"
			 : p->rx_wake == PORT_WAKE_INTERRUPT ? "interrupt"
							     : "socket");
	}
}

uint16_t port_dpdk_rx_burst(struct port *p, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	struct dpdk *d = p->priv;
	uint16_t got;

	if (q >= p->n_rxq)
		return 0;
	got = rte_eth_rx_burst(d->id, q, pkts, n);
	if (got)
		dpdk_wake_busy(&d->wake, q);
	return got;
}

/* Start values of checksums as the device wants them. Moves what it refuses to the end of the
 * burst and frees it there; returns how many remain. */
static uint16_t prepare(struct dpdk *d, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t done = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];

		if ((m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) && (m->ol_flags & RTE_MBUF_F_TX_IPV4))
			m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	}
	while (done < n) {
		done = (uint16_t)(done + rte_eth_tx_prepare(d->id, q, pkts + done, n - done));
		if (done == n)
			break;
		rte_pktmbuf_free(pkts[done]);
		memmove(pkts + done, pkts + done + 1, (size_t)(n - done - 1) * sizeof *pkts);
		n--;
		__atomic_add_fetch(&d->tx_errors, 1, __ATOMIC_RELAXED);
	}
	return n;
}

static uint16_t send_burst(struct port *p, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	struct dpdk *d = p->priv;
	uint64_t flags = 0;
	uint16_t refused = 0;

	for (uint16_t i = 0; i < n; i++)
		flags |= pkts[i]->ol_flags;
	if (SL_UNLIKELY(flags & OFFLOAD_PENDING)) {
		uint16_t left = prepare(d, q, pkts, n);

		refused = n - left;
		n = left;
	}
	uint16_t sent = rte_eth_tx_burst(d->id, q, pkts, n);
	if (SL_LIKELY(!refused))
		return sent;
	/* The refused ones count as taken; what was not sent must lie behind what is reported. */
	memmove(pkts + sent + refused, pkts + sent, (size_t)(n - sent) * sizeof *pkts);
	return sent + refused;
}

uint16_t port_dpdk_tx_burst(struct port *p, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	struct dpdk *d = p->priv;

	if (SL_LIKELY(!p->shared_txq))
		return send_burst(p, q, pkts, n);
	rte_spinlock_lock(&d->tx_lock[q]);
	uint16_t sent = send_burst(p, q, pkts, n);
	rte_spinlock_unlock(&d->tx_lock[q]);
	return sent;
}

int port_dpdk_rx_fd(struct port *p, uint16_t q)
{
	struct dpdk *d = p->priv;

	return q < p->n_rxq ? d->wake.q[q].fd : -1;
}

bool port_dpdk_rx_arm(struct port *p, uint16_t q)
{
	struct dpdk *d = p->priv;

	return p->rx_wake != PORT_WAKE_INTERRUPT || dpdk_wake_arm(&d->wake, q);
}

void port_dpdk_rx_disarm(struct port *p, uint16_t q)
{
	struct dpdk *d = p->priv;

	if (p->rx_wake == PORT_WAKE_INTERRUPT)
		dpdk_wake_disarm(&d->wake, q);
}

static const struct port_option_info options[] = {
	{"dpdk-devargs", OPT_STRING, 0, 0, 0, false,
	 "PCI address, virtual device with arguments, name, or class=eth,mac=…"},
	/* Off by default, as in Open vSwitch 3.1: with it ethdev never asks the device, and a
	 * driver that misses one interrupt reports a dead link as up for ever
	 * (tests/system/test_nic_lab.py). */
	{"dpdk-lsc-interrupt", OPT_BOOL, 0, 1, 0, false,
	 "link changes by interrupt instead of asking every second"},
	{NULL, OPT_STRING, 0, 0, 0, false, NULL},
};

static int check(const struct port_config *c, struct err *e)
{
	const char *devargs = port_option(c, "dpdk-devargs");

	if (!devargs || !*devargs)
		return err_set(e, EINVAL, "port %s: options:dpdk-devargs: missing", c->name);
	return 0;
}

static int open_dpdk(struct port *p, const struct port_config *c, struct err *e)
{
	return port_dpdk_open(p, c, port_option(c, "dpdk-devargs"), e);
}

static int set(struct port *p, const struct port_config *c, struct err *e)
{
	return port_dpdk_set(p, c, port_option(c, "dpdk-devargs"), e);
}

const struct port_class port_class_dpdk = {
	.type = "dpdk",
	.options = options,
	.check = check,
	.open = open_dpdk,
	.close = port_dpdk_close,
	.set = set,
	.refresh = port_dpdk_refresh,
	.rx_burst = port_dpdk_rx_burst,
	.tx_burst = port_dpdk_tx_burst,
	.rx_fd = port_dpdk_rx_fd,
	.rx_arm = port_dpdk_rx_arm,
	.rx_disarm = port_dpdk_rx_disarm,
};
