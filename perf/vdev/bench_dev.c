/* SPDX-License-Identifier: BSD-3-Clause */
/* net_bench: an Ethernet device that is generator and sink at once, so that one poll core can be
 * measured without a second one to feed it. This file is the ethdev side: probe, queues, counters.
 * Runs on whatever thread the application configures devices with; the bursts are in bench_rx.c
 * and bench_tx.c. Loaded with -d into any DPDK program of the version it was built for. */
#include <errno.h>
#include <ethdev_vdev.h>
#include <fcntl.h>
#include <rte_cycles.h>
#include <rte_malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "perf/vdev/bench_priv.h"

RTE_LOG_REGISTER_DEFAULT(bench_log, NOTICE);
#define BENCH_LOG(level, ...) rte_log(RTE_LOG_##level, bench_log, "net_bench: " __VA_ARGS__)

enum { MAX_FRAME_BYTES = 9600 + 64, MAX_MTU = 9600 - RTE_ETHER_HDR_LEN };

static int configure(struct rte_eth_dev *dev)
{
	struct bench_dev *b = dev->data->dev_private;
	b->csum_wanted = dev->data->dev_conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_CHECKSUM;
	b->shm->rx_queues = dev->data->nb_rx_queues;
	b->shm->tx_queues = dev->data->nb_tx_queues;
	return 0;
}

static int start(struct rte_eth_dev *dev)
{
	dev->data->dev_link.link_status = RTE_ETH_LINK_UP;
	for (uint16_t i = 0; i < dev->data->nb_rx_queues; i++)
		dev->data->rx_queue_state[i] = RTE_ETH_QUEUE_STATE_STARTED;
	for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++)
		dev->data->tx_queue_state[i] = RTE_ETH_QUEUE_STATE_STARTED;
	return 0;
}

static int stop(struct rte_eth_dev *dev)
{
	dev->data->dev_link.link_status = RTE_ETH_LINK_DOWN;
	for (uint16_t i = 0; i < dev->data->nb_rx_queues; i++)
		dev->data->rx_queue_state[i] = RTE_ETH_QUEUE_STATE_STOPPED;
	for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++)
		dev->data->tx_queue_state[i] = RTE_ETH_QUEUE_STATE_STOPPED;
	return 0;
}

static int infos_get(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
	struct bench_dev *b = dev->data->dev_private;
	info->max_mac_addrs = 1;
	info->max_rx_pktlen = MAX_FRAME_BYTES;
	info->max_mtu = MAX_MTU;
	info->min_mtu = RTE_ETHER_MIN_MTU;
	info->min_rx_bufsize = 0;
	info->max_rx_queues = b->args.queues;
	info->max_tx_queues = b->args.queues;
	info->rx_offload_capa = RTE_ETH_RX_OFFLOAD_SCATTER;
	if (b->args.csum)
		info->rx_offload_capa |= RTE_ETH_RX_OFFLOAD_CHECKSUM;
	if (b->args.rss) {
		info->rx_offload_capa |= RTE_ETH_RX_OFFLOAD_RSS_HASH;
		info->flow_type_rss_offloads = RTE_ETH_RSS_PROTO_MASK;
	} else {
		/* Applications that ask for several queues ask for a hash to choose by. */
		info->flow_type_rss_offloads = RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP;
	}
	info->tx_offload_capa = RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	if (b->args.mss) { /* so that one setting fits it and the port that it is forwarded to */
		info->rx_offload_capa |= RTE_ETH_RX_OFFLOAD_TCP_LRO;
		info->tx_offload_capa |= RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
					 RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
	}
	return 0;
}

static int rx_queue_setup(struct rte_eth_dev *dev, uint16_t i, uint16_t n_desc, unsigned socket,
			  const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	struct bench_dev *b = dev->data->dev_private;
	struct bench_rxq *q = rte_zmalloc_socket(NULL, sizeof *q, RTE_CACHE_LINE_SIZE, (int)socket);
	if (!q)
		return -ENOMEM;
	bench_rxq_init(q, b, i, dev->data->nb_rx_queues, pool, n_desc);
	b->rxq[i] = q;
	dev->data->rx_queues[i] = q;
	return 0;
}

static int tx_queue_setup(struct rte_eth_dev *dev, uint16_t i, uint16_t n_desc, unsigned socket,
			  const struct rte_eth_txconf *conf)
{
	struct bench_dev *b = dev->data->dev_private;
	struct bench_txq *q = rte_zmalloc_socket(NULL, sizeof *q, RTE_CACHE_LINE_SIZE, (int)socket);
	if (!q)
		return -ENOMEM;
	q->counters = &b->shm->tx[i];
	q->counters->first_tsc = 0;
	q->control = &b->shm->control;
	q->verify = b->args.verify;
	b->txq[i] = q;
	dev->data->tx_queues[i] = q;
	return 0;
}

static void rx_queue_release(struct rte_eth_dev *dev, uint16_t i)
{
	struct bench_dev *b = dev->data->dev_private;
	rte_free(b->rxq[i]);
	b->rxq[i] = NULL;
	dev->data->rx_queues[i] = NULL;
}

static void tx_queue_release(struct rte_eth_dev *dev, uint16_t i)
{
	struct bench_dev *b = dev->data->dev_private;
	rte_free(b->txq[i]);
	b->txq[i] = NULL;
	dev->data->tx_queues[i] = NULL;
}

static void read_stats(const struct bench_dev *b, struct rte_eth_stats *s)
{
	memset(s, 0, sizeof *s);
	for (unsigned i = 0; i < BENCH_MAX_QUEUES; i++) {
		const struct bench_rx_counters *r = &b->shm->rx[i];
		const struct bench_tx_counters *t = &b->shm->tx[i];
		s->ipackets += r->pkts;
		s->ibytes += r->bytes;
		s->imissed += r->missed_pkts;
		s->rx_nombuf += r->no_mbuf_pkts;
		s->opackets += t->pkts;
		s->obytes += t->bytes;
	}
}

static int stats_get(struct rte_eth_dev *dev, struct rte_eth_stats *s)
{
	const struct bench_dev *b = dev->data->dev_private;
	read_stats(b, s);
	s->ipackets -= b->base.ipackets;
	s->ibytes -= b->base.ibytes;
	s->imissed -= b->base.imissed;
	s->rx_nombuf -= b->base.rx_nombuf;
	s->opackets -= b->base.opackets;
	s->obytes -= b->base.obytes;
	return 0;
}

static int stats_reset(struct rte_eth_dev *dev)
{
	struct bench_dev *b = dev->data->dev_private;
	read_stats(b, &b->base);
	return 0;
}

static int accept_mtu(struct rte_eth_dev *dev, uint16_t mtu)
{
	return 0;
}

static int accept_mac(struct rte_eth_dev *dev, struct rte_ether_addr *mac)
{
	return 0;
}

static int accept_mode(struct rte_eth_dev *dev)
{
	return 0;
}

static int link_update(struct rte_eth_dev *dev, int wait)
{
	return 0;
}

static int accept_rss(struct rte_eth_dev *dev, struct rte_eth_rss_conf *conf)
{
	return 0;
}

static int dev_close(struct rte_eth_dev *dev)
{
	struct bench_dev *b = dev->data->dev_private;
	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return 0;
	/* ethdev frees the arrays of queues, not the queues */
	for (uint16_t i = 0; i < BENCH_MAX_QUEUES; i++) {
		rte_free(b->rxq[i]);
		rte_free(b->txq[i]);
		b->rxq[i] = NULL;
		b->txq[i] = NULL;
	}
	bench_source_close(&b->main);
	bench_source_close(&b->attack);
	if (b->shm) {
		munmap(b->shm, sizeof *b->shm);
		if (!b->args.shm[0])
			unlink(b->shm_path);
	}
	b->shm = NULL;
	dev->data->mac_addrs = NULL; /* part of dev_private */
	return 0;
}

static const struct eth_dev_ops ops = {
	.dev_configure = configure,
	.dev_start = start,
	.dev_stop = stop,
	.dev_close = dev_close,
	.dev_infos_get = infos_get,
	.rx_queue_setup = rx_queue_setup,
	.tx_queue_setup = tx_queue_setup,
	.rx_queue_release = rx_queue_release,
	.tx_queue_release = tx_queue_release,
	.stats_get = stats_get,
	.stats_reset = stats_reset,
	.mtu_set = accept_mtu,
	.mac_addr_set = accept_mac,
	.promiscuous_enable = accept_mode,
	.promiscuous_disable = accept_mode,
	.allmulticast_enable = accept_mode,
	.allmulticast_disable = accept_mode,
	.rss_hash_update = accept_rss,
	.link_update = link_update,
};

/* Maps the counters' file. One that is there already with the same layout keeps its counters and
 * its control line: a restarted switch goes on where it was killed. */
static int open_shm(struct bench_dev *b, const char *name, struct err *e)
{
	if (b->args.shm[0])
		snprintf(b->shm_path, sizeof b->shm_path, "/dev/shm/%s", b->args.shm);
	else
		snprintf(b->shm_path, sizeof b->shm_path, "/dev/shm/sluice-bench.%d.%.32s",
			 getpid(), name);
	int fd = open(b->shm_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(e, errno, "%s: %s", b->shm_path, strerror(errno));
	struct stat st;
	bool usable = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid();
	if (!usable || ftruncate(fd, sizeof *b->shm)) {
		close(fd);
		return err_set(e, EPERM, "%s: not a file of ours", b->shm_path);
	}
	b->shm = mmap(NULL, sizeof *b->shm, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (b->shm == MAP_FAILED) {
		b->shm = NULL;
		return err_set(e, ENOMEM, "%s: cannot map", b->shm_path);
	}
	struct bench_shm *s = b->shm;
	if (s->magic != BENCH_SHM_MAGIC || s->version != BENCH_SHM_VERSION) {
		memset(s, 0, sizeof *s);
		s->control = (struct bench_control){.run = b->args.gate_open,
						    .attack_every = b->args.attack_every,
						    .rate_pps = b->args.rate_pps,
						    .limit_pkts = b->args.limit_pkts,
						    .sink_pps = b->args.sink_pps};
		s->version = BENCH_SHM_VERSION;
		s->bytes = sizeof *s;
		s->tsc_hz = rte_get_tsc_hz();
		snprintf(s->name, sizeof s->name, "%s", name);
		__atomic_store_n(&s->magic, BENCH_SHM_MAGIC, __ATOMIC_RELEASE);
	}
	s->pid = (uint64_t)getpid();
	s->starts++;
	s->opened_tsc = rte_rdtsc();
	return 0;
}

static void set_mac(struct bench_dev *b)
{
	uint64_t mac = b->args.mac ? b->args.mac : UINT64_C(0x02bec0000000) + b->port_id;
	for (unsigned i = 0; i < 6; i++)
		b->mac.addr_bytes[i] = (uint8_t)(mac >> (40 - 8 * i));
}

/* Everything that can be refused, before an ethdev exists. */
static int open_dev(struct bench_dev *b, const char *name, const char *text, struct err *e)
{
	int ret = bench_args_parse(&b->args, text, e);
	if (ret == 0)
		ret = bench_source_open(&b->main, &b->args.main, b->args.rss, e);
	if (ret == 0)
		ret = bench_source_open(&b->attack, &b->args.attack, b->args.rss, e);
	if (ret == 0 && b->args.mss)
		ret = bench_source_segment(&b->main, b->args.mss, e);
	if (ret == 0)
		ret = open_shm(b, name, e);
	if (ret) {
		bench_source_close(&b->main);
		bench_source_close(&b->attack);
	}
	return ret;
}

static int probe(struct rte_vdev_device *vdev)
{
	const char *name = rte_vdev_device_name(vdev);
	if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
		BENCH_LOG(ERR, "%s: primary processes only\n", name);
		return -ENOTSUP;
	}
	if (vdev->device.numa_node == SOCKET_ID_ANY)
		vdev->device.numa_node = (int)rte_socket_id();
	struct bench_dev opened = {0};
	struct err e = {0};
	int ret = open_dev(&opened, name, rte_vdev_device_args(vdev), &e);
	if (ret) {
		BENCH_LOG(ERR, "%s: %s\n", name, e.text);
		BENCH_LOG(INFO, "arguments:\n%s", bench_args_help());
		return ret;
	}
	struct rte_eth_dev *dev = rte_eth_vdev_allocate(vdev, sizeof opened);
	if (!dev) {
		bench_source_close(&opened.main);
		bench_source_close(&opened.attack);
		munmap(opened.shm, sizeof *opened.shm);
		return -ENOMEM;
	}
	struct bench_dev *b = dev->data->dev_private;
	*b = opened;
	b->port_id = dev->data->port_id;
	set_mac(b);
	dev->data->dev_link = (struct rte_eth_link){.link_speed = RTE_ETH_SPEED_NUM_100G,
						    .link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
						    .link_autoneg = RTE_ETH_LINK_FIXED,
						    .link_status = RTE_ETH_LINK_DOWN};
	dev->data->mac_addrs = &b->mac;
	dev->data->promiscuous = 1;
	dev->dev_ops = &ops;
	dev->rx_pkt_burst = bench_rx_burst;
	dev->tx_pkt_burst = bench_tx_burst;
	rte_eth_dev_probing_finish(dev);
	return 0;
}

static int remove_dev(struct rte_vdev_device *vdev)
{
	struct rte_eth_dev *dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));
	if (!dev)
		return 0;
	dev_close(dev);
	return rte_eth_dev_release_port(dev);
}

static struct rte_vdev_driver driver = {.probe = probe, .remove = remove_dev};
RTE_PMD_REGISTER_VDEV(net_bench, driver);
