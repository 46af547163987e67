/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/offload/vnet.h"

#include <netinet/in.h>
#include <string.h>

#include "datapath/offload/checksum.h"
#include "datapath/offload/offload.h"

enum { TCP_FLAG_CWR = 0x80 };

/* The checksum is somewhere we do not follow (a tunnel in the guest, an unknown protocol): do
 * exactly what the header asks for, within the packet. */
static enum drop_reason complete_anywhere(struct rte_mbuf *m, uint32_t start, uint32_t offset)
{
	uint32_t at = start + offset;

	if (start >= m->pkt_len || at + 2 > m->pkt_len || at + 2 > m->data_len)
		return DROP_RX_VHOST_BAD_OFFLOAD;
	uint16_t c = (uint16_t)~checksum_sum(m, start, m->pkt_len - start);
	if (!c)
		c = 0xffff;
	memcpy(rte_pktmbuf_mtod_offset(m, void *, at), &c, 2);
	return DROP_NONE;
}

static void set_lengths(struct rte_mbuf *m, const struct headers *h, uint64_t flags)
{
	m->l2_len = h->l2_len;
	m->l3_len = h->l3_len;
	m->l4_len = h->l4_len & 0xff;
	m->ol_flags |= flags | (h->ipv4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6);
}

static enum drop_reason want_csum(const struct virtio_net_hdr *hdr, struct rte_mbuf *m,
				  const struct headers *h)
{
	uint32_t l4 = (uint32_t)h->l2_len + h->l3_len;
	uint64_t flag = 0;

	if (h->l4_ok && !h->fragment && hdr->csum_start == l4) {
		if (h->ip_proto == IPPROTO_TCP && hdr->csum_offset == 16)
			flag = RTE_MBUF_F_TX_TCP_CKSUM;
		else if (h->ip_proto == IPPROTO_UDP && hdr->csum_offset == 6)
			flag = RTE_MBUF_F_TX_UDP_CKSUM;
		else if (h->ip_proto == IPPROTO_SCTP && hdr->csum_offset == 8)
			flag = RTE_MBUF_F_TX_SCTP_CKSUM;
	}
	if (!flag)
		return complete_anywhere(m, hdr->csum_start, hdr->csum_offset);
	set_lengths(m, h, flag);
	return DROP_NONE;
}

static enum drop_reason want_gso(const struct virtio_net_hdr *hdr, struct rte_mbuf *m,
				 const struct headers *h)
{
	uint8_t type = hdr->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	uint32_t headers = (uint32_t)h->l2_len + h->l3_len + h->l4_len;
	bool right_ip = (type == VIRTIO_NET_HDR_GSO_TCPV4 && h->ipv4) ||
			(type == VIRTIO_NET_HDR_GSO_TCPV6 && h->ipv6);

	if (!right_ip || !h->l4_ok || h->fragment || h->ip_proto != IPPROTO_TCP ||
	    hdr->gso_size < OFFLOAD_MSS_MIN || m->pkt_len <= headers)
		return DROP_RX_VHOST_BAD_OFFLOAD;
	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
		/* Against the specification, but some drivers do it: put the pseudo sum in place.
		 */
		uint16_t c = checksum_pseudo(m, h, m->pkt_len - h->l2_len - h->l3_len);

		memcpy(rte_pktmbuf_mtod_offset(m, void *, (uint32_t)h->l2_len + h->l3_len + 16), &c,
		       2);
		set_lengths(m, h, RTE_MBUF_F_TX_TCP_CKSUM);
	} else if ((m->ol_flags & RTE_MBUF_F_TX_L4_MASK) != RTE_MBUF_F_TX_TCP_CKSUM) {
		return DROP_RX_VHOST_BAD_OFFLOAD;
	}
	if (m->pkt_len - headers > hdr->gso_size) {
		m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
		m->tso_segsz = hdr->gso_size;
	}
	return DROP_NONE;
}

enum drop_reason vnet_to_mbuf(const struct virtio_net_hdr *hdr, struct rte_mbuf *m)
{
	struct headers h;
	enum drop_reason why = DROP_NONE;

	if (vnet_is_plain(hdr))
		return DROP_NONE;
	if (hdr->flags & VIRTIO_NET_HDR_F_DATA_VALID)
		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && !hdr->gso_type)
		return DROP_NONE;
	headers_parse(m, &h);
	if (hdr->gso_type && hdr->csum_start != (uint32_t)h.l2_len + h.l3_len &&
	    (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return DROP_RX_VHOST_BAD_OFFLOAD;
	if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		why = want_csum(hdr, m, &h);
	if (why == DROP_NONE && hdr->gso_type)
		why = want_gso(hdr, m, &h);
	return why;
}

void vnet_from_mbuf(const struct rte_mbuf *m, struct virtio_net_hdr *hdr)
{
	uint64_t l4 = m->ol_flags & RTE_MBUF_F_TX_L4_MASK;

	memset(hdr, 0, sizeof *hdr);
	if (!offload_pending(m)) {
		if ((m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
			hdr->flags = VIRTIO_NET_HDR_F_DATA_VALID;
		return;
	}
	hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->csum_start = (uint16_t)(m->l2_len + m->l3_len);
	hdr->csum_offset = l4 == RTE_MBUF_F_TX_TCP_CKSUM   ? 16
			   : l4 == RTE_MBUF_F_TX_UDP_CKSUM ? 6
							   : 8;
	if (!(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG))
		return;
	hdr->hdr_len = (uint16_t)(hdr->csum_start + m->l4_len);
	hdr->gso_size = m->tso_segsz;
	hdr->gso_type = m->ol_flags & RTE_MBUF_F_TX_IPV4 ? VIRTIO_NET_HDR_GSO_TCPV4
							 : VIRTIO_NET_HDR_GSO_TCPV6;
	/* Without this a receiver that segments again would repeat CWR in every segment. */
	const uint8_t *tcp = rte_pktmbuf_mtod_offset(m, const uint8_t *, hdr->csum_start);
	if (tcp[13] & TCP_FLAG_CWR)
		hdr->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
}
