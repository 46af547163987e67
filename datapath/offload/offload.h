/* SPDX-License-Identifier: BSD-3-Clause */
/* Checksum and segmentation offloads inside the switch.
 *
 * What a packet still needs travels in its mbuf:
 * - ol_flags RTE_MBUF_F_TX_{TCP,UDP,SCTP}_CKSUM with RTE_MBUF_F_TX_IPV4 or _IPV6: the L4 checksum
 *   is to be completed. For TCP and UDP the field holds the sum of the pseudo header with the full
 *   L4 length, as virtio has it (a NIC that wants another start value gets it from
 *   rte_eth_tx_prepare in port/port_dpdk.c).
 * - RTE_MBUF_F_TX_TCP_SEG, always together with TCP_CKSUM: to be cut into tso_segsz bytes of
 *   payload each.
 * - l2_len, l3_len and l4_len are then right. Who pushes or pops a tag, or changes any of these
 *   headers' lengths, calls offload_l2_moved().
 * - RTE_MBUF_F_RX_L4_CKSUM_GOOD: somebody verified the L4 checksum; a rewrite that updates it
 *   incrementally leaves that true.
 * A packet without these flags needs nothing and is complete.
 *
 * Poll threads; no locks, no state but a per-thread scratch array. */
#pragma once
#include <rte_mbuf.h>

#include "datapath/core/drop.h"
#include "datapath/offload/headers.h"

/* What a port's tx_burst takes as it is. Bits of their own, because mbuf's L4 flags are a field of
 * two bits and not a set. */
enum offload_tx {
	OFFLOAD_TX_TCP_CKSUM = 1,
	OFFLOAD_TX_UDP_CKSUM = 2,
	OFFLOAD_TX_SCTP_CKSUM = 4,
	OFFLOAD_TX_TSO = 8, /* TCP over IPv4 and IPv6 */
	OFFLOAD_TX_ALL = 15,
};

/* Any of these: the packet still needs work. */
#define OFFLOAD_PENDING (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG)
/* All that this module keeps in ol_flags for transmission. */
#define OFFLOAD_TX_FLAGS (OFFLOAD_PENDING | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6)

static inline bool offload_pending(const struct rte_mbuf *m)
{
	return m->ol_flags & OFFLOAD_PENDING;
}
/* After `delta` bytes were pushed into (or, negative, popped from) the L2 header. */
static inline void offload_l2_moved(struct rte_mbuf *m, int delta)
{
	if (offload_pending(m))
		m->l2_len = (uint64_t)((int)m->l2_len + delta) & 0x7f;
}
/* True when the L4 checksum field holds a pseudo header's sum: update it after a rewrite of an
 * address with checksum_partial_update16() and leave it alone after a rewrite of a port. */
static inline bool offload_is_partial(const struct rte_mbuf *m)
{
	return offload_pending(m) &&
	       (m->ol_flags & RTE_MBUF_F_TX_L4_MASK) != RTE_MBUF_F_TX_SCTP_CKSUM;
}
/* Bytes of the longest frame the packet will be on the wire. */
static inline uint32_t offload_frame_bytes(const struct rte_mbuf *m)
{
	if (!(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG))
		return m->pkt_len;
	uint32_t seg = (uint32_t)m->l2_len + m->l3_len + m->l4_len + m->tso_segsz;
	return SL_MIN(seg, m->pkt_len);
}

/* First test at an output: false for a burst that can go as it is. *bytes: sum of pkt_len, which an
 * output counts. 3 instructions a packet. */
static inline bool offload_burst_needs_work(struct rte_mbuf *const *pkts, unsigned n,
					    uint32_t max_frame_bytes, uint64_t *bytes)
{
	uint64_t flags = 0, sum = 0;
	uint32_t longest = 0;

	for (unsigned i = 0; i < n; i++) {
		uint32_t len = pkts[i]->pkt_len;

		flags |= pkts[i]->ol_flags;
		sum += len;
		longest = SL_MAX(longest, len);
	}
	*bytes = sum;
	return (flags & OFFLOAD_PENDING) || longest > max_frame_bytes;
}

struct offload_sink {
	/* Takes n <= BURST_MAX packets that the port can take, in order. */
	void (*emit)(void *aux, struct rte_mbuf **pkts, unsigned n);
	/* Takes a packet that cannot go: TX_MTU, TX_SEGMENT_NO_MBUF, TX_SEGMENT_UNSUPPORTED. */
	void (*drop)(void *aux, struct rte_mbuf *pkt, enum drop_reason why);
	/* `original` (still whole; m->port is its ingress port) becomes n_segments packets: n - 1
	 * were created. May be NULL. */
	void (*segmented)(void *aux, const struct rte_mbuf *original, unsigned n_segments);
	void *aux;
};
/* Makes a burst fit a port that takes `tx_offloads` (enum offload_tx) and frames of
 * max_frame_bytes, tags (up to two) not counted: completes checksums, segments, drops what is too
 * long. Takes all packets. Packets that are shared (refcnt > 1) and need writing must have been
 * copied by the caller. */
void offload_fixup(struct rte_mbuf **pkts, unsigned n, uint32_t tx_offloads,
		   uint32_t max_frame_bytes, const struct offload_sink *sink);
/* Completes the checksum in software, so that the packet needs nothing more (before it is put into
 * a tunnel, captured, or sent to a controller). Not for a packet with TCP_SEG: -EINVAL. */
int offload_complete(struct rte_mbuf *m);
/* Is the transport checksum of the packet (a struct rte_mbuf) right, absent, or still to be made?
 * As the trackers' (*sum_ok)(aux). A fragment's covers the whole datagram and is not looked at. */
bool offload_sum_ok(void *mbuf);

/* One large TCP packet into segments, ready to send; borrows m. Headers repeat with lengths, IP id,
 * sequence number and flags (CWR only first; FIN, PSH only last) set; checksums are left pending
 * when `leave_csum`, else completed. Returns the number written to out (<= max) or -ENOMEM without
 * buffers, -ENOTSUP when m is not TCP with sane lengths, -E2BIG when max is too small. */
int offload_segment(const struct rte_mbuf *m, bool leave_csum, struct rte_mbuf **out, unsigned max);
enum { OFFLOAD_SEGMENTS_MAX = 1400, OFFLOAD_MSS_MIN = 48 /* as Linux: below, it is an attack */ };
