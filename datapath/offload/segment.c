/* SPDX-License-Identifier: BSD-3-Clause */
/* Software segmentation of TCP over IPv4 and IPv6. Payload is copied, not attached: one buffer per
 * segment of 1500 bytes, so that every port takes the result, and a copy of 1448 bytes costs about
 * what attaching and freeing an indirect buffer would. Poll threads. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include <rte_memcpy.h>

#include "datapath/core/pool.h"
#include "datapath/offload/checksum.h"
#include "datapath/offload/offload.h"

enum { TCP_FLAG_FIN = 0x01, TCP_FLAG_PSH = 0x08, TCP_FLAG_CWR = 0x80 };

/* Reads on through a chain. */
struct cursor {
	const struct rte_mbuf *seg;
	uint32_t off;
};

static void read_to(struct cursor *c, struct rte_mbuf *to, uint32_t n)
{
	uint8_t *dst = rte_pktmbuf_mtod_offset(to, uint8_t *, to->data_len);

	to->data_len = (uint16_t)(to->data_len + n);
	while (n) {
		uint32_t k = SL_MIN(n, (uint32_t)c->seg->data_len - c->off);

		rte_memcpy(dst, rte_pktmbuf_mtod_offset(c->seg, const void *, c->off), k);
		dst += k;
		n -= k;
		c->off += k;
		if (c->off == c->seg->data_len && c->seg->next) {
			c->seg = c->seg->next;
			c->off = 0;
		}
	}
}

/* A segment with the headers of m and `payload` bytes from the cursor. NULL without buffers. */
static struct rte_mbuf *build(const struct rte_mbuf *m, uint32_t headers, struct cursor *c,
			      uint32_t payload, struct rte_mempool *pool)
{
	struct rte_mbuf *s = rte_pktmbuf_alloc(pool), *tail = s;

	if (!s)
		return NULL;
	memcpy(rte_pktmbuf_mtod(s, void *), rte_pktmbuf_mtod(m, const void *), headers);
	s->data_len = (uint16_t)headers;
	s->pkt_len = headers + payload;
	s->port = m->port;
	s->hash = m->hash;
	s->packet_type = m->packet_type;
	for (;;) {
		uint32_t n = SL_MIN(payload, (uint32_t)rte_pktmbuf_tailroom(tail));

		read_to(c, tail, n);
		payload -= n;
		if (!payload)
			return s;
		tail->next = rte_pktmbuf_alloc(pool);
		if (!tail->next) {
			rte_pktmbuf_free(s);
			return NULL;
		}
		tail = tail->next;
		s->nb_segs++;
	}
}

/* Lengths, id, sequence, flags, checksums of segment i. */
static void finish(const struct rte_mbuf *m, struct rte_mbuf *s, unsigned i, uint32_t sent,
		   bool last, bool leave_csum)
{
	uint8_t *l3 = rte_pktmbuf_mtod_offset(s, uint8_t *, m->l2_len);
	uint8_t *tcp = l3 + m->l3_len;
	struct headers h = {.l2_len = m->l2_len,
			    .l3_len = m->l3_len,
			    .l4_len = m->l4_len,
			    .ip_proto = IPPROTO_TCP,
			    .ipv4 = m->ol_flags & RTE_MBUF_F_TX_IPV4,
			    .l4_ok = true};

	h.ipv6 = !h.ipv4;
	h.l4_data = s->pkt_len - m->l2_len - m->l3_len;
	if (h.ipv4) {
		store_be16(l3 + 2, (uint16_t)(s->pkt_len - m->l2_len));
		store_be16(l3 + 4, (uint16_t)(load_be16(l3 + 4) + i));
		checksum_ipv4_header(l3);
	} else {
		store_be16(l3 + 4, (uint16_t)(s->pkt_len - m->l2_len - 40));
	}
	store_be32(tcp + 4, load_be32(tcp + 4) + sent);
	if (i)
		tcp[13] &= (uint8_t)~TCP_FLAG_CWR;
	if (!last)
		tcp[13] &= (uint8_t) ~(TCP_FLAG_FIN | TCP_FLAG_PSH);
	if (!leave_csum) {
		checksum_l4(s, &h, false);
		return;
	}
	uint16_t c = checksum_pseudo(s, &h, h.l4_data);
	memcpy(tcp + 16, &c, 2);
	s->l2_len = m->l2_len;
	s->l3_len = m->l3_len;
	s->l4_len = m->l4_len;
	s->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM | (h.ipv4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6);
}

int offload_segment(const struct rte_mbuf *m, bool leave_csum, struct rte_mbuf **out, unsigned max)
{
	uint32_t headers = (uint32_t)m->l2_len + m->l3_len + m->l4_len;

	if (!(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) ||
	    !(m->ol_flags & (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6)) || m->l2_len < 14 ||
	    m->l3_len < 20 || m->l4_len < 20 || headers > m->data_len || headers >= m->pkt_len ||
	    m->tso_segsz < OFFLOAD_MSS_MIN)
		return -ENOTSUP;
	uint32_t payload = m->pkt_len - headers, mss = m->tso_segsz;
	unsigned n = SL_DIV_ROUND_UP(payload, mss);
	if (n > max)
		return -E2BIG;
	struct rte_mempool *pool = pool_get(m->pool->socket_id);
	struct cursor c = {m, headers};
	if (headers == m->data_len && m->next)
		c = (struct cursor){m->next, 0};
	for (unsigned i = 0; i < n; i++) {
		uint32_t sent = i * mss, k = SL_MIN(mss, payload - sent);

		out[i] = build(m, headers, &c, k, pool);
		if (!out[i]) {
			rte_pktmbuf_free_bulk(out, i);
			return -ENOMEM;
		}
		finish(m, out[i], i, sent, i == n - 1, leave_csum);
	}
	return (int)n;
}
