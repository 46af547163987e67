/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/port/vnet_fd.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

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

/* As write(): bytes, or -1 with errno. *unsendable: the chain is too long for one call. */
static ssize_t send_one(int fd, struct rte_mbuf *m, bool *unsendable)
{
	struct virtio_net_hdr hdr;
	struct iovec iov[TX_IOV_MAX];
	int n;

	vnet_from_mbuf(m, &hdr);
	/* In front of the packet, where nobody else looks: of two pieces the kernel makes 350
	 * cycles more. */
	if (m->nb_segs == 1 && RTE_MBUF_DIRECT(m) && rte_mbuf_refcnt_read(m) == 1 &&
	    rte_pktmbuf_headroom(m) >= sizeof hdr) {
		uint8_t *from = rte_pktmbuf_mtod(m, uint8_t *) - sizeof hdr;

		memcpy(from, &hdr, sizeof hdr);
		return write(fd, from, sizeof hdr + m->data_len);
	}
	n = iov_of(m, &hdr, iov);
	*unsendable = n < 0;
	return n < 0 ? -1 : writev(fd, iov, n);
}

uint16_t vnet_fd_send(int fd, struct rte_mbuf **pkts, uint16_t n, uint64_t *errors)
{
	uint16_t i;

	for (i = 0; i < n; i++) {
		bool unsendable = false;

		if (send_one(fd, pkts[i], &unsendable) < 0) {
			if (!unsendable && (errno == EAGAIN || errno == ENOBUFS))
				break; /* no room now */
			__atomic_add_fetch(errors, 1, __ATOMIC_RELAXED);
		}
	}
	rte_pktmbuf_free_bulk(pkts, i);
	return i;
}
