/* SPDX-License-Identifier: BSD-3-Clause */
/* Internet checksums and CRC32C in software, and updates of a checksum after a rewrite. Any thread;
 * no state. Values are as they lie in the packet: no conversion is needed or done. */
#pragma once
#include <rte_mbuf.h>

#include "datapath/offload/headers.h"

/* Sum over `len` bytes from `off`, folded to 16 bits, not inverted; crosses segments. The caller
 * has checked off + len <= pkt_len. */
uint16_t checksum_sum(const struct rte_mbuf *m, uint32_t off, uint32_t len);
/* Sum of the pseudo header, folded, not inverted: what a sender leaves in the checksum field of a
 * packet whose checksum somebody else completes. `l4_bytes`: header and payload. */
uint16_t checksum_pseudo(const struct rte_mbuf *m, const struct headers *h, uint32_t l4_bytes);
/* Writes the IPv4 header checksum. The header is in the first segment. */
void checksum_ipv4_header(uint8_t *ip);
/* Completes the L4 checksum of a TCP, UDP or SCTP packet: `partial` says that the field already
 * holds the pseudo header's sum. False when the packet has no such header. */
bool checksum_l4(struct rte_mbuf *m, const struct headers *h, bool partial);
/* True when the L4 checksum is right, or absent (UDP over IPv4, 0). */
bool checksum_l4_ok(const struct rte_mbuf *m, const struct headers *h);

/* RFC 1624: the checksum field `c` after the 16-bit word `from` became `to`. */
static inline be16_t checksum_update16(be16_t c, be16_t from, be16_t to)
{
	uint32_t sum = (uint16_t)~c + (uint32_t)(uint16_t)~from + to;

	sum = (sum & 0xffff) + (sum >> 16);
	return (be16_t) ~((sum & 0xffff) + (sum >> 16));
}
static inline be16_t checksum_update32(be16_t c, be32_t from, be32_t to)
{
	c = checksum_update16(c, (be16_t)from, (be16_t)to);
	return checksum_update16(c, (be16_t)(from >> 16), (be16_t)(to >> 16));
}
/* `words` 16-bit words; from and to need no alignment. */
be16_t checksum_update(be16_t c, const void *from, const void *to, unsigned words);
/* The same for a field that holds a pseudo header's sum (not inverted) and not yet a checksum. */
static inline be16_t checksum_partial_update16(be16_t c, be16_t from, be16_t to)
{
	return (be16_t)~checksum_update16((be16_t)~c, from, to);
}
