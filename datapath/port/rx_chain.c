/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/port/rx_chain.h"

bool rx_chain_fill(struct rx_chain *c, int numa_node)
{
	if (!c->started) {
		c->started = true;
		c->missing = RX_CHAIN_MAX;
	}
	if (SL_LIKELY(!c->missing))
		return true;
	if (rte_pktmbuf_alloc_bulk(pool_get(numa_node), c->m, c->missing)) {
		memset(c->m, 0, c->missing * sizeof *c->m);
		return false;
	}
	for (uint16_t i = 0; i < c->missing; i++) {
		c->iov[1 + i].iov_base = rte_pktmbuf_mtod(c->m[i], void *);
		c->iov[1 + i].iov_len = rte_pktmbuf_tailroom(c->m[i]);
	}
	c->missing = 0;
	return true;
}

struct iovec *rx_chain_iov(struct rx_chain *c, bool ready, void *hdr, size_t hdr_bytes)
{
	c->iov[0].iov_base = hdr;
	c->iov[0].iov_len = hdr_bytes;
	if (!ready) { /* m[0] is NULL, so its iovec is free for this */
		c->iov[1].iov_base = c->scratch;
		c->iov[1].iov_len = sizeof c->scratch;
	}
	return c->iov;
}

struct rte_mbuf *rx_chain_take(struct rx_chain *c, uint32_t bytes)
{
	struct rte_mbuf *head = c->m[0], *tail = NULL;
	uint32_t left = bytes;
	uint16_t used = 0;

	do {
		struct rte_mbuf *m = c->m[used];
		uint32_t n = SL_MIN(left, (uint32_t)c->iov[1 + used].iov_len);

		c->m[used++] = NULL;
		m->data_len = (uint16_t)n;
		left -= n;
		if (tail)
			tail->next = m;
		tail = m;
	} while (left && used < RX_CHAIN_MAX);
	head->pkt_len = bytes - left;
	head->nb_segs = used;
	c->missing = used;
	return head;
}

void rx_chain_free(struct rx_chain *c)
{
	if (c->started)
		for (unsigned i = c->missing; i < RX_CHAIN_MAX; i++)
			rte_pktmbuf_free(c->m[i]);
	memset(c, 0, sizeof *c);
}
