/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets through a kernel descriptor that carries a virtio-net header in front of each: a tap, or
 * a packet socket with PACKET_VNET_HDR. One system call a packet, none of which blocks. Poll
 * threads. For datapath/port only. */
#pragma once
#include <linux/virtio_net.h>

#include "datapath/port/rx_chain.h"

/* Reads a packet. False: there is none. Else *m is the packet, the caller's, or NULL when there
 * were no buffers and it is lost; *bytes its length. */
bool vnet_fd_read(int fd, struct rx_chain *c, int numa_node, struct virtio_net_hdr *hdr,
		  struct rte_mbuf **m, uint32_t *bytes);
/* Applies the header to the packet. False: it was dropped and counted, m freed; for m NULL under
 * `absent`. */
bool vnet_fd_accept(struct port *p, struct rte_mbuf *m, const struct virtio_net_hdr *hdr,
		    enum drop_reason absent, uint32_t bytes);
/* As port_class.tx_burst. What the kernel refuses for good is added to *errors. */
uint16_t vnet_fd_send(int fd, struct rte_mbuf **pkts, uint16_t n, uint64_t *errors);
