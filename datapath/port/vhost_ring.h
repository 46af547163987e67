/* SPDX-License-Identifier: BSD-3-Clause */
/* A split virtqueue of a guest, used by one thread at a time: packets out of it and into it, with
 * one copy. Control (addresses, descriptors, feature bits) comes from rte_vhost's control plane;
 * this is the data path on top of it.
 *
 * Everything in guest memory may change at any moment: descriptors, indirect tables and the
 * virtio-net header are copied once and then judged; chains are bounded in steps, pieces and bytes.
 * Invariants (vhost_ring_check): size is a power of two <= 32768; last_used - signalled <= what was
 * used since the last signal; 0 <= (avail->idx - last_avail) <= size, else the ring is broken and
 * nothing is done with it any more. */
#pragma once
#include <linux/vhost.h>
#include <linux/virtio_ring.h>
#include <rte_mbuf.h>

#include "datapath/base/util.h"
#include "datapath/core/drop.h"

enum { GUEST_REGIONS_MAX = 8, RING_SIZE_MAX = 32768 };

struct guest_mem {
	uint32_t n;
	struct guest_region {
		uint64_t gpa, size;
		uint8_t *hva;
	} r[GUEST_REGIONS_MAX];
};

struct vhost_ring {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	const struct guest_mem *mem;
	uint32_t region; /* that the last address was in: tried first */
	uint16_t size, last_avail, last_used;
	uint16_t signalled; /* used index at the last signal */
	bool signalled_valid;
	bool event_idx, mergeable, guest_csum;
	bool log;          /* live migration: note what we write */
	bool broken;       /* the guest broke the protocol; until it starts the queue anew */
	uint8_t hdr_bytes; /* 10, or 12 */
	int callfd;
	int vid; /* for the log */
	uint16_t index;
};

struct vhost_rx_drops {
	struct {
		uint32_t pkts;
		uint64_t bytes;
	} bad_chain, bad_offload, truncated, no_mbuf;
};

/* Packets the guest sent, at most n <= BURST_MAX. Without buffers they stay in the ring. */
uint16_t vhost_ring_rx(struct vhost_ring *r, struct rte_mempool *pool, struct rte_mbuf **pkts,
		       uint16_t n, struct vhost_rx_drops *drops);
/* Packets to the guest, as many as it has room for; copied, not freed. *refused counts packets that
 * can never fit its buffers; they are among those returned as taken. */
uint16_t vhost_ring_tx(struct vhost_ring *r, struct rte_mbuf *const *pkts, uint16_t n,
		       uint32_t *refused);
/* Tells the guest about what was used since the last signal, if it wants to know. */
void vhost_ring_signal(struct vhost_ring *r);

/* Asks the guest to kick. False when packets are there already. */
bool vhost_ring_arm(struct vhost_ring *r);
/* Asks it not to. */
void vhost_ring_disarm(struct vhost_ring *r);
/* Packets waiting, or 0. */
uint16_t vhost_ring_waiting(const struct vhost_ring *r);
