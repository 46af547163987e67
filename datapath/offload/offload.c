/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/offload/offload.h"

#include <errno.h>
#include <netinet/in.h>

#include "datapath/core/limits.h"
#include "datapath/offload/checksum.h"

/* The offloads a packet needs from its port, as enum offload_tx. */
static uint32_t needed(const struct rte_mbuf *m)
{
	uint64_t l4 = m->ol_flags & RTE_MBUF_F_TX_L4_MASK;
	uint32_t need = 0;

	if (l4 == RTE_MBUF_F_TX_TCP_CKSUM)
		need = OFFLOAD_TX_TCP_CKSUM;
	else if (l4 == RTE_MBUF_F_TX_UDP_CKSUM)
		need = OFFLOAD_TX_UDP_CKSUM;
	else if (l4 == RTE_MBUF_F_TX_SCTP_CKSUM)
		need = OFFLOAD_TX_SCTP_CKSUM;
	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG)
		need |= OFFLOAD_TX_TSO;
	return need;
}

static bool too_long(const struct rte_mbuf *m, uint32_t max_frame_bytes)
{
	uint32_t frame = offload_frame_bytes(m);

	if (frame <= max_frame_bytes)
		return false;
	struct headers h;
	headers_parse(m, &h);
	return frame > max_frame_bytes + 4u * h.n_vlans;
}

int offload_complete(struct rte_mbuf *m)
{
	struct headers h = {.l2_len = m->l2_len, .l3_len = m->l3_len, .l4_len = m->l4_len};
	uint64_t l4 = m->ol_flags & RTE_MBUF_F_TX_L4_MASK;
	uint32_t start = (uint32_t)m->l2_len + m->l3_len;

	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG)
		return -EINVAL;
	if (!l4)
		return 0;
	h.ipv4 = m->ol_flags & RTE_MBUF_F_TX_IPV4;
	h.ipv6 = !h.ipv4;
	h.ip_proto = l4 == RTE_MBUF_F_TX_TCP_CKSUM   ? IPPROTO_TCP
		     : l4 == RTE_MBUF_F_TX_UDP_CKSUM ? IPPROTO_UDP
						     : IPPROTO_SCTP;
	h.l4_ok = start + (l4 == RTE_MBUF_F_TX_UDP_CKSUM ? 8 : 12) <= m->data_len;
	/* Up to the end of the IP packet: SCTP's CRC, unlike a sum, sees the padding of short
	 * frames. */
	if (h.l4_ok && l4 == RTE_MBUF_F_TX_SCTP_CKSUM) {
		struct headers seen;

		headers_parse(m, &seen);
		h.l4_data = SL_MIN(seen.l4_data, m->pkt_len - start);
	} else if (h.l4_ok) {
		h.l4_data = m->pkt_len - start;
	}
	bool done = checksum_l4(m, &h, true);
	m->ol_flags &= ~OFFLOAD_TX_FLAGS;
	if (!done)
		return -EINVAL;
	m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	return 0;
}

static void emit_in_bursts(const struct offload_sink *s, struct rte_mbuf **pkts, unsigned n)
{
	for (unsigned i = 0; i < n; i += BURST_MAX)
		s->emit(s->aux, pkts + i, SL_MIN(n - i, (unsigned)BURST_MAX));
}

static void segment_and_emit(struct rte_mbuf *m, uint32_t tx_offloads, const struct offload_sink *s)
{
	static __thread struct rte_mbuf *segments[OFFLOAD_SEGMENTS_MAX];
	int n = offload_segment(m, tx_offloads & OFFLOAD_TX_TCP_CKSUM, segments,
				OFFLOAD_SEGMENTS_MAX);

	if (n < 0) {
		s->drop(s->aux, m,
			n == -ENOMEM ? DROP_TX_SEGMENT_NO_MBUF : DROP_TX_SEGMENT_UNSUPPORTED);
		return;
	}
	if (s->segmented)
		s->segmented(s->aux, m, (unsigned)n);
	rte_pktmbuf_free(m);
	emit_in_bursts(s, segments, (unsigned)n);
}

void offload_fixup(struct rte_mbuf **pkts, unsigned n, uint32_t tx_offloads,
		   uint32_t max_frame_bytes, const struct offload_sink *s)
{
	unsigned from = 0; /* pkts[from .. i) can go as they are */

	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];
		uint32_t missing = needed(m) & ~tx_offloads;
		bool drop = too_long(m, max_frame_bytes);

		if (!drop && !missing)
			continue;
		if (!drop && !(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG)) {
			offload_complete(m);
			continue;
		}
		emit_in_bursts(s, pkts + from, i - from);
		from = i + 1;
		if (drop)
			s->drop(s->aux, m, DROP_TX_MTU);
		else
			segment_and_emit(m, tx_offloads, s);
	}
	emit_in_bursts(s, pkts + from, n - from);
}

bool offload_sum_ok(void *mbuf)
{
	struct rte_mbuf *m = mbuf;
	struct headers h;

	if (offload_pending(m) ||
	    (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		return true;
	headers_parse(m, &h);
	return !h.l4_ok || h.fragment || checksum_l4_ok(m, &h);
}
