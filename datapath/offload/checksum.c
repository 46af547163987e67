/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/offload/checksum.h"

#include <netinet/in.h>
#include <string.h>

#include <rte_hash_crc.h>
#include <rte_ip.h>

static uint16_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Not rte_raw_cksum_mbuf(): in DPDK 22.11 it cuts a segment's sum to 16 bits before folding when
 * the segment starts at an odd offset. */
uint16_t checksum_sum(const struct rte_mbuf *m, uint32_t off, uint32_t len)
{
	uint64_t sum = 0;
	bool odd = false;

	while (m && off >= m->data_len) {
		off -= m->data_len;
		m = m->next;
	}
	for (; m && len; m = m->next, off = 0) {
		uint32_t n = SL_MIN(len, (uint32_t)m->data_len - off);
		uint16_t part = rte_raw_cksum(rte_pktmbuf_mtod_offset(m, const void *, off), n);

		sum += odd ? (uint16_t)(part << 8 | part >> 8) : part;
		odd ^= n & 1;
		len -= n;
	}
	return fold(sum);
}

uint16_t checksum_pseudo(const struct rte_mbuf *m, const struct headers *h, uint32_t l4_bytes)
{
	const uint8_t *l3 = rte_pktmbuf_mtod_offset(m, const uint8_t *, h->l2_len);
	uint64_t sum = (uint64_t)cpu_to_be32(l4_bytes) + cpu_to_be16(h->ip_proto);

	sum = (sum & 0xffffffff) + (sum >> 32);
	if (h->ipv4)
		sum += rte_raw_cksum(l3 + 12, 8);
	else
		sum += rte_raw_cksum(l3 + 8, 32);
	return fold(sum);
}

void checksum_ipv4_header(uint8_t *ip)
{
	uint16_t c = 0;

	memcpy(ip + 10, &c, 2);
	c = (uint16_t)~rte_raw_cksum(ip, (ip[0] & 15u) * 4);
	memcpy(ip + 10, &c, 2);
}

static uint32_t crc32c(const struct rte_mbuf *m, uint32_t off, uint32_t len)
{
	uint32_t crc = 0xffffffff;

	while (m && off >= m->data_len) {
		off -= m->data_len;
		m = m->next;
	}
	for (; m && len; m = m->next, off = 0) {
		uint32_t n = SL_MIN(len, (uint32_t)m->data_len - off);

		crc = rte_hash_crc(rte_pktmbuf_mtod_offset(m, const void *, off), n, crc);
		len -= n;
	}
	return ~crc;
}

static uint32_t field_offset(uint8_t ip_proto)
{
	if (ip_proto == IPPROTO_TCP)
		return 16;
	return ip_proto == IPPROTO_UDP ? 6 : 8; /* SCTP: 8, of 32 bits */
}

bool checksum_l4(struct rte_mbuf *m, const struct headers *h, bool partial)
{
	uint32_t l4 = (uint32_t)h->l2_len + h->l3_len;

	if (!h->l4_ok)
		return false;
	uint8_t *field = rte_pktmbuf_mtod_offset(m, uint8_t *, l4 + field_offset(h->ip_proto));
	if (h->ip_proto == IPPROTO_SCTP) {
		uint32_t crc = 0;

		memcpy(field, &crc, 4);
		crc = crc32c(m, l4, h->l4_data); /* little-endian on the wire (RFC 9260) */
		memcpy(field, &crc, 4);
		return true;
	}
	uint16_t c;
	if (!partial) {
		c = checksum_pseudo(m, h, h->l4_data);
		memcpy(field, &c, 2);
	}
	c = (uint16_t)~checksum_sum(m, l4, h->l4_data);
	if (!c && h->ip_proto == IPPROTO_UDP)
		c = 0xffff;
	memcpy(field, &c, 2);
	return true;
}

bool checksum_l4_ok(const struct rte_mbuf *m, const struct headers *h)
{
	uint32_t l4 = (uint32_t)h->l2_len + h->l3_len;

	if (!h->l4_ok)
		return false;
	const uint8_t *field =
		rte_pktmbuf_mtod_offset(m, const uint8_t *, l4 + field_offset(h->ip_proto));
	if (h->ip_proto == IPPROTO_SCTP) {
		/* CRC over the packet with a zero field, without writing to it. */
		const uint8_t *p = rte_pktmbuf_mtod_offset(m, const uint8_t *, l4);
		uint32_t crc = rte_hash_crc(p, 8, 0xffffffff), wire, zero = 0;

		crc = rte_hash_crc(&zero, 4, crc);
		for (uint32_t off = l4 + 12, end = l4 + h->l4_data; off < end;) {
			uint8_t buf[256];
			uint32_t n = SL_MIN(end - off, (uint32_t)sizeof buf);
			const void *q = rte_pktmbuf_read(m, off, n, buf);

			if (!q)
				return false;
			crc = rte_hash_crc(q, n, crc);
			off += n;
		}
		memcpy(&wire, field, 4);
		return wire == (uint32_t)~crc;
	}
	uint16_t c;
	memcpy(&c, field, 2);
	if (!c && h->ip_proto == IPPROTO_UDP && h->ipv4)
		return true;
	return fold((uint64_t)checksum_pseudo(m, h, h->l4_data) +
		    checksum_sum(m, l4, h->l4_data)) == 0xffff;
}

be16_t checksum_update(be16_t c, const void *from, const void *to, unsigned words)
{
	uint64_t sum = (uint16_t)~c;

	for (unsigned i = 0; i < words; i++) {
		uint16_t a, b;

		memcpy(&a, (const uint8_t *)from + 2 * i, 2);
		memcpy(&b, (const uint8_t *)to + 2 * i, 2);
		sum += (uint16_t)~a + (uint32_t)b;
	}
	return (be16_t)~fold(sum);
}
