/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-net headers ⇄ what an mbuf needs (offload.h). Used by vhost-user, tap and packet sockets.
 * Nothing a header says is believed: offsets and lengths come from the packet itself. Poll threads.
 */
#pragma once
#include <linux/virtio_net.h>
#include <rte_mbuf.h>

#include "datapath/core/drop.h"

/* Reads *hdr (a private copy, so that a guest cannot change it meanwhile) for packet m, whose
 * headers are in its first segment. Sets the mbuf's flags and lengths. A checksum at an unusual
 * place (inside a tunnel of the guest's own) is completed here. DROP_NONE, or
 * DROP_RX_VHOST_BAD_OFFLOAD; m then stays the caller's. */
enum drop_reason vnet_to_mbuf(const struct virtio_net_hdr *hdr, struct rte_mbuf *m);

static inline bool vnet_is_plain(const struct virtio_net_hdr *hdr)
{
	return !(hdr->flags | hdr->gso_type);
}

/* The reverse, for a packet that offload_fixup() let through. */
void vnet_from_mbuf(const struct rte_mbuf *m, struct virtio_net_hdr *hdr);
