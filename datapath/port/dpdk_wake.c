/* SPDX-License-Identifier: BSD-3-Clause */
/* Three ways to learn that an ethernet device has packets, in this order: the descriptor that the
 * driver names and that is a socket or tap itself (net_tap); the interrupt behind the descriptor
 * that the driver names (NICs); a socket that appeared while the device was probed and started
 * (net_af_packet, net_af_xdp). The last two are other people's promises, so the poll side believes
 * them only while they keep them (enum port_wake).
 *
 * An interrupt stays enabled over many sleeps, until it fires or packets are found: enabling it is
 * an access to the device. */
#include "datapath/port/dpdk_wake.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_log.h>

#ifndef AF_XDP
#define AF_XDP 44
#endif

enum fd_kind { FD_OTHER, FD_PACKETS, FD_EVENT };

void dpdk_fds_look(struct dpdk_fds *f)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;

	memset(f, 0, sizeof *f);
	while (dir && (e = readdir(dir))) {
		unsigned long fd = strtoul(e->d_name, NULL, 10);

		if (e->d_name[0] != '.' && fd != (unsigned long)dirfd(dir) && fd < WAKE_FDS_MAX)
			f->open[fd / 64] |= 1ull << fd % 64;
	}
	if (dir)
		closedir(dir);
}

/* Readable exactly while packets wait: packet and XDP sockets, taps. */
static enum fd_kind kind_of(int fd)
{
	char path[32], target[64];
	int domain;
	socklen_t len = sizeof domain;

	if (!getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len))
		return domain == AF_PACKET || domain == AF_XDP ? FD_PACKETS : FD_OTHER;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(path, target, sizeof target - 1);
	target[n < 0 ? 0 : n] = 0;
	if (!strcmp(target, "/dev/net/tun"))
		return FD_PACKETS;
	return !strcmp(target, "anon_inode:[eventfd]") ? FD_EVENT : FD_OTHER;
}

static bool find_named_loudly(struct dpdk_wake *w, enum fd_kind want)
{
	for (uint16_t q = 0; q < w->n; q++) {
		int fd = rte_eth_dev_rx_intr_ctl_q_get_fd(w->id, q);

		if (fd < 0 || kind_of(fd) != want)
			return false;
		/* An interrupt that cannot be switched is none. */
		if (want == FD_EVENT &&
		    (rte_eth_dev_rx_intr_enable(w->id, q) || rte_eth_dev_rx_intr_disable(w->id, q)))
			return false;
		w->q[q].fd = fd;
	}
	return true;
}

/* ethdev calls it an error when a device has no interrupt to ask for. */
static bool find_named(struct dpdk_wake *w, enum fd_kind want)
{
	int log = rte_log_register("lib.ethdev");
	int level = log >= 0 ? rte_log_get_level((uint32_t)log) : -1;

	if (level >= 0)
		rte_log_set_level((uint32_t)log, RTE_LOG_EMERG);
	bool found = find_named_loudly(w, want);
	if (level >= 0)
		rte_log_set_level((uint32_t)log, (uint32_t)level);
	return found;
}

/* Drivers open one socket per queue, in order. With any other number nobody knows which is whose.
 */
static bool find_opened(struct dpdk_wake *w, const struct dpdk_fds *before)
{
	struct dpdk_fds now;
	uint16_t n = 0;

	dpdk_fds_look(&now);
	for (int fd = 0; fd < WAKE_FDS_MAX; fd++) {
		uint64_t bit = 1ull << fd % 64;

		if (!(now.open[fd / 64] & ~before->open[fd / 64] & bit) ||
		    kind_of(fd) != FD_PACKETS)
			continue;
		if (n == w->n)
			return false;
		w->q[n++].fd = fd;
	}
	return n == w->n;
}

void dpdk_wake_find(struct dpdk_wake *w, struct port *p, uint16_t id, const struct dpdk_fds *before)
{
	*w = (struct dpdk_wake){.id = id, .n = SL_MIN(p->n_rxq, (uint16_t)QUEUES_MAX)};
	w->can_count = rte_eth_rx_queue_count(id, 0) >= 0;
	p->rx_wake = PORT_WAKE_DRIVER;
	if (find_named(w, FD_PACKETS) || find_opened(w, before))
		return;
	p->rx_wake = PORT_WAKE_INTERRUPT;
	if (find_named(w, FD_EVENT)) {
		for (uint16_t q = 0; q < w->n; q++) /* read without knowing whether it fired */
			fcntl(w->q[q].fd, F_SETFL, fcntl(w->q[q].fd, F_GETFL) | O_NONBLOCK);
		return;
	}
	p->rx_wake = PORT_WAKE_SURE;
	for (uint16_t q = 0; q < QUEUES_MAX; q++)
		w->q[q].fd = -1;
}

bool dpdk_wake_arm(struct dpdk_wake *w, uint16_t q)
{
	bool fresh = !w->q[q].on;

	if (fresh) {
		rte_eth_dev_rx_intr_enable(w->id, q);
		w->q[q].on = true;
	}
	/* What came before the interrupt was enabled raises none. A driver that cannot count gets
	 * one more look before the thread sleeps. */
	return w->can_count ? rte_eth_rx_queue_count(w->id, q) <= 0 : !fresh;
}

void dpdk_wake_mask(struct dpdk_wake *w, uint16_t q)
{
	rte_eth_dev_rx_intr_disable(w->id, q);
	w->q[q].on = false;
}

void dpdk_wake_disarm(struct dpdk_wake *w, uint16_t q)
{
	uint64_t count;

	if (w->q[q].on && read(w->q[q].fd, &count, sizeof count) == (ssize_t)sizeof count)
		dpdk_wake_mask(w, q);
}
