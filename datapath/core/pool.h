/* SPDX-License-Identifier: BSD-3-Clause */
/* Packet buffers: one mempool per NUMA node, one data room size (jumbo frames are chains).
 * Created by the main or device thread; used by poll threads. */
#pragma once
#include "datapath/base/util.h"

struct rte_mempool;
struct rte_mbuf;
struct err;

enum { POOL_DATA_ROOM = 2176, POOL_MBUF_BYTES = POOL_DATA_ROOM + 128 /* headroom */ };

/* n_mbufs: for each node, fixed for the life of the process. -errno with err set. */
int pool_init(unsigned n_mbufs, struct err *e);
struct rte_mempool *pool_get(int numa_node); /* created on first use; falls back to another node;
						NULL only without memory */
void pool_usage(unsigned *in_use, unsigned *total);
/* A copy with its own data, same headers, lengths and offload flags; NULL when no buffer is free.
 * Chains are copied segment by segment into as few buffers as possible. */
struct rte_mbuf *pool_copy(const struct rte_mbuf *m);
/* A packet from bytes; NULL when no buffer is free. */
struct rte_mbuf *pool_from_bytes(const void *data, uint32_t len);
/* Makes the first `n` bytes contiguous in the first segment (n <= POOL_DATA_ROOM). False when no
 * buffer is free or the packet is shorter; the packet is then unchanged. */
bool pool_linearise(struct rte_mbuf *m, uint32_t n);
