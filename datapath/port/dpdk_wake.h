/* SPDX-License-Identifier: BSD-3-Clause */
/* What wakes a thread that sleeps on an ethernet device's receive queue: the queue's interrupt, or
 * the kernel socket or tap that a virtual device reads from. For datapath/port only. */
#pragma once
#include "datapath/port/port.h"

enum { WAKE_FDS_MAX = 4096 };

struct dpdk_fds { /* which descriptors are open; bit = descriptor */
	uint64_t open[WAKE_FDS_MAX / 64];
};

struct dpdk_wake {
	uint16_t id, n; /* ethdev; queues */
	bool can_count; /* the driver says how many packets wait */
	struct dpdk_wake_queue {
		int fd;  /* -1: nothing to wait for. W: device thread, before publication */
		bool on; /* interrupt enabled. R, W: the queue's poll thread */
	} q[QUEUES_MAX];
};

/* Device thread. The descriptors open now; opening a device between two of these shows its own. */
void dpdk_fds_look(struct dpdk_fds *f);
/* Device thread, device started: finds what each queue can be waited for with. `before`: from
 * before the probe. Sets p->rx_wake. */
void dpdk_wake_find(struct dpdk_wake *w, struct port *p, uint16_t id,
		    const struct dpdk_fds *before);

/* Poll thread, as port_class's calls. */
bool dpdk_wake_arm(struct dpdk_wake *w, uint16_t q);
void dpdk_wake_disarm(struct dpdk_wake *w, uint16_t q);
/* Packets come: no more interrupts until the next arm. */
static inline void dpdk_wake_busy(struct dpdk_wake *w, uint16_t q);

void dpdk_wake_mask(struct dpdk_wake *w, uint16_t q);

static inline void dpdk_wake_busy(struct dpdk_wake *w, uint16_t q)
{
	if (SL_UNLIKELY(w->q[q].on))
		dpdk_wake_mask(w, q);
}
