/* SPDX-License-Identifier: BSD-3-Clause */
/* Buffers for a read of a packet of any length up to 64 KiB: a row of empty mbufs with their
 * iovecs, of which a packet takes as many as it fills. Only those are replaced, so that a small
 * packet costs one buffer and no rebuilding. One poll thread per chain. */
#pragma once
#include <sys/uio.h>

#include "datapath/core/pool.h"
#include "datapath/core/thread.h"
#include "datapath/port/port.h"

enum {
	RX_CHAIN_MAX = 32, /* 32 * 2176 > 65535 + Ethernet, two tags */
};

struct rx_chain {
	struct rte_mbuf *m[RX_CHAIN_MAX]; /* full, or the first `missing` are NULL */
	struct iovec iov[1 + RX_CHAIN_MAX];
	uint16_t missing; /* valid once started */
	bool started;
	uint8_t scratch[64]; /* where a packet goes that has no buffer */
};

/* Replaces what the last packets took. False without buffers. */
bool rx_chain_fill(struct rx_chain *c, int numa_node);
/* The iovecs to read into, the first being `hdr`; without buffers (ready false) the packet is cut.
 */
struct iovec *rx_chain_iov(struct rx_chain *c, bool ready, void *hdr, size_t hdr_bytes);
static inline int rx_chain_n_iov(const struct rx_chain *c, bool ready)
{
	return ready ? 1 + RX_CHAIN_MAX : 2;
}
/* The packet of `bytes` that was read. */
struct rte_mbuf *rx_chain_take(struct rx_chain *c, uint32_t bytes);
void rx_chain_free(struct rx_chain *c);
