/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/port/vnet_fd.h"

#include <errno.h>

#include "datapath/offload/vnet.h"
#include "datapath/port/port_priv.h"

enum { TX_IOV_MAX = 1 + 64 };

bool vnet_fd_read(int fd, struct rx_chain *c, int numa_node, struct virtio_net_hdr *hdr,
		  struct rte_mbuf **m, uint32_t *bytes)
{
	bool ready = rx_chain_fill(c, numa_node);
	struct iovec *iov = rx_chain_iov(c, ready, hdr, sizeof *hdr);
	ssize_t len = readv(fd, iov, rx_chain_n_iov(c, ready));

	if (len < (ssize_t)sizeof *hdr)
		return false;
	*bytes = (uint32_t)len - (uint32_t)sizeof *hdr;
	*m = ready ? rx_chain_take(c, *bytes) : NULL;
	return true;
}

bool vnet_fd_accept(struct port *p, struct rte_mbuf *m, const struct virtio_net_hdr *hdr,
		    enum drop_reason absent, uint32_t bytes)
{
	enum drop_reason why = m ? vnet_to_mbuf(hdr, m) : absent;

	if (SL_LIKELY(why == DROP_NONE))
		return true;
	port_rx_drop_packet(p, why, m, bytes);
	return false;
}

/* Number of iovecs, or -1 when the chain is too long. */
static int iov_of(const struct rte_mbuf *m, struct virtio_net_hdr *hdr, struct iovec *iov)
{
	int n = 1;

	if (m->nb_segs >= TX_IOV_MAX)
		return -1;
	iov[0] = (struct iovec){hdr, sizeof *hdr};
	for (; m; m = m->next)
		iov[n++] = (struct iovec){rte_pktmbuf_mtod(m, void *), m->data_len};
	return n;
}

uint16_t vnet_fd_send(int fd, struct rte_mbuf **pkts, uint16_t n, uint64_t *errors)
{
	uint16_t i;

	for (i = 0; i < n; i++) {
		struct virtio_net_hdr hdr;
		struct iovec iov[TX_IOV_MAX];

		vnet_from_mbuf(pkts[i], &hdr);
		int n_iov = iov_of(pkts[i], &hdr, iov);
		if (n_iov < 0 || writev(fd, iov, n_iov) < 0) {
			if (n_iov >= 0 && (errno == EAGAIN || errno == ENOBUFS))
				break; /* no room now */
			__atomic_add_fetch(errors, 1, __ATOMIC_RELAXED);
		}
	}
	rte_pktmbuf_free_bulk(pkts, i);
	return i;
}
