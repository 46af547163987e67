/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets for tests, built byte by byte, and a slow checksum to compare with. */
#pragma once
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "datapath/base/err.h"
#include "datapath/core/pool.h"

struct packet_spec {
	unsigned vlans;
	bool ipv6;
	uint8_t proto;    /* IPPROTO_TCP, UDP, SCTP */
	unsigned ip_opt;  /* bytes of IPv4 options, or of an IPv6 hop-by-hop header */
	unsigned tcp_opt; /* bytes */
	unsigned payload; /* bytes */
	uint8_t tcp_flags;
};

struct packet {
	uint8_t bytes[70000];
	uint32_t len, l2, l3, l4; /* lengths of the parts */
};

static inline void eal_start(void)
{
	char *argv[] = {"test",        "--no-huge",      "-m", "192", "--no-pci",
			"--no-shconf", "--no-telemetry", "-l", "0",   "--log-level=4"};
	struct err e = {0};

	if (rte_eal_init(10, argv) < 0 || pool_init(4096, &e) < 0) {
		fprintf(stderr, "EAL: %s\n", e.text);
		abort();
	}
}

/* RFC 1071 as the text has it, one byte pair after the other. */
static inline uint16_t slow_sum(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static inline uint16_t slow_pseudo(const uint8_t *l3, bool ipv6, uint8_t proto, uint32_t l4_bytes)
{
	uint32_t sum = slow_sum(ipv6 ? l3 + 8 : l3 + 12, ipv6 ? 32 : 8, 0);

	return slow_sum(NULL, 0, sum + proto + (l4_bytes >> 16) + (l4_bytes & 0xffff));
}

/* Bit by bit, reflected polynomial. */
static inline uint32_t slow_crc32c(const uint8_t *p, size_t n)
{
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		for (int b = 0; b < 8; b++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static inline void packet_make(struct packet *k, const struct packet_spec *s)
{
	uint8_t *p = k->bytes;

	memset(p, 0, 256);
	memcpy(p, "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02", 12);
	k->l2 = 14 + 4 * s->vlans;
	for (unsigned i = 0; i < s->vlans; i++) {
		store_be16(p + 12 + 4 * i, 0x8100);
		store_be16(p + 14 + 4 * i, (uint16_t)(10 + i));
	}
	store_be16(p + k->l2 - 2, s->ipv6 ? 0x86dd : 0x0800);
	k->l4 = s->proto == IPPROTO_TCP ? 20 + s->tcp_opt : s->proto == IPPROTO_UDP ? 8 : 12;
	k->l3 = (s->ipv6 ? 40 : 20) + s->ip_opt;
	uint8_t *l3 = p + k->l2, *l4 = l3 + k->l3;
	uint32_t l4_bytes = k->l4 + s->payload;
	if (s->ipv6) {
		l3[0] = 0x60;
		store_be16(l3 + 4, (uint16_t)(l4_bytes + s->ip_opt));
		l3[6] = s->ip_opt ? IPPROTO_HOPOPTS : s->proto;
		l3[7] = 64;
		for (int i = 0; i < 32; i++)
			l3[8 + i] = (uint8_t)(0x20 + i);
		if (s->ip_opt) {
			l3[40] = s->proto;
			l3[41] = (uint8_t)(s->ip_opt / 8 - 1);
		}
	} else {
		l3[0] = (uint8_t)(0x40 | k->l3 / 4);
		store_be16(l3 + 2, (uint16_t)(k->l3 + l4_bytes));
		store_be16(l3 + 4, 0xfffe); /* the id wraps */
		l3[8] = 64;
		l3[9] = s->proto;
		memcpy(l3 + 12, "\x0a\x00\x00\x01\x0a\x00\x00\x02", 8);
		memset(l3 + 20, 1, s->ip_opt);
		store_be16(l3 + 10, (uint16_t)~slow_sum(l3, k->l3, 0));
	}
	store_be16(l4, 1234);
	store_be16(l4 + 2, 80);
	if (s->proto == IPPROTO_TCP) {
		store_be32(l4 + 4, 0xffffff00); /* the sequence number wraps */
		l4[12] = (uint8_t)(k->l4 / 4 << 4);
		l4[13] = s->tcp_flags;
		memset(l4 + 20, 1, s->tcp_opt);
	} else if (s->proto == IPPROTO_UDP) {
		store_be16(l4 + 4, (uint16_t)l4_bytes);
	}
	for (unsigned i = 0; i < s->payload; i++)
		l4[k->l4 + i] = (uint8_t)rand();
	k->len = k->l2 + k->l3 + l4_bytes;
}

/* Where the L4 checksum lies. */
static inline uint8_t *packet_l4_field(uint8_t *p, const struct packet *k, uint8_t proto)
{
	return p + k->l2 + k->l3 + (proto == IPPROTO_TCP ? 16 : proto == IPPROTO_UDP ? 6 : 8);
}

/* A chain with `first` bytes in the first buffer, the rest in pieces of `piece`. */
static inline struct rte_mbuf *packet_mbuf(const struct packet *k, uint32_t first, uint32_t piece)
{
	struct rte_mbuf *head = NULL, *tail = NULL;

	for (uint32_t off = 0; off < k->len;) {
		uint32_t n = SL_MIN(head ? piece : first, k->len - off);
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool_get(0));

		if (!m)
			abort();
		memcpy(rte_pktmbuf_append(m, (uint16_t)n), k->bytes + off, n);
		off += n;
		if (head) {
			tail->next = m;
			head->nb_segs++;
			head->pkt_len += n;
		} else {
			head = m;
		}
		tail = m;
	}
	return head;
}
