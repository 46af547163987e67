/* SPDX-License-Identifier: BSD-3-Clause */
/* Checksums, virtio-net headers and segmentation: against a slow reference, and segments put
 * together again must be the original. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "datapath/core/limits.h"
#include "datapath/offload/checksum.h"
#include "datapath/offload/offload.h"
#include "datapath/offload/vnet.h"
#include "tests/unit/offload/packets.h"

static struct packet pk;

static const struct packet_spec shapes[] = {
	{.proto = IPPROTO_TCP, .payload = 1},
	{.proto = IPPROTO_TCP, .payload = 1001, .tcp_opt = 12},
	{.proto = IPPROTO_TCP, .payload = 5000, .ip_opt = 8, .vlans = 1},
	{.proto = IPPROTO_TCP, .payload = 65000, .vlans = 2, .tcp_opt = 40},
	{.proto = IPPROTO_UDP, .payload = 0},
	{.proto = IPPROTO_UDP, .payload = 333, .vlans = 1},
	{.proto = IPPROTO_SCTP, .payload = 52},
	{.proto = IPPROTO_SCTP, .payload = 3001},
	{.proto = IPPROTO_TCP, .payload = 777, .ipv6 = true},
	{.proto = IPPROTO_TCP, .payload = 9001, .ipv6 = true, .ip_opt = 16, .vlans = 1},
	{.proto = IPPROTO_UDP, .payload = 1400, .ipv6 = true},
	{.proto = IPPROTO_SCTP, .payload = 16, .ipv6 = true},
};

/* The whole L4 checksum of flat bytes is right, by the slow way. */
static bool right(const uint8_t *p, const struct packet *k, const struct packet_spec *s,
		  uint32_t l4_bytes)
{
	const uint8_t *l3 = p + k->l2, *l4 = l3 + k->l3;

	if (s->proto == IPPROTO_SCTP) {
		static uint8_t copy[70000];
		uint32_t crc, zero = 0;

		memcpy(copy, l4, l4_bytes);
		memcpy(copy + 8, &zero, 4);
		memcpy(&crc, l4 + 8, 4);
		return crc == slow_crc32c(copy, l4_bytes);
	}
	return slow_sum(l4, l4_bytes, slow_pseudo(l3, s->ipv6, s->proto, l4_bytes)) == 0xffff;
}

static void flatten(const struct rte_mbuf *m, uint8_t *to)
{
	for (; m; m = m->next) {
		memcpy(to, rte_pktmbuf_mtod(m, void *), m->data_len);
		to += m->data_len;
	}
}

static void headers_are_found(void **state)
{
	for (unsigned i = 0; i < SL_ARRAY_SIZE(shapes); i++) {
		struct headers h;

		packet_make(&pk, &shapes[i]);
		struct rte_mbuf *m = packet_mbuf(&pk, 2000, 2000);
		headers_parse(m, &h);
		assert_true(h.l4_ok);
		assert_int_equal(h.ipv6, shapes[i].ipv6);
		assert_int_equal(h.n_vlans, shapes[i].vlans);
		assert_int_equal(h.l2_len, pk.l2);
		assert_int_equal(h.l3_len, pk.l3);
		assert_int_equal(h.l4_len, pk.l4);
		assert_int_equal(h.l4_data, pk.l4 + shapes[i].payload);
		rte_pktmbuf_free(m);
	}
}

/* Whatever the bytes, nothing outside the first segment is read (ASan watches) and lengths stay
 * inside. */
static void garbage_headers_stay_inside(void **state)
{
	for (int round = 0; round < 20000; round++) {
		const struct packet_spec *s = &shapes[(unsigned)rand() % SL_ARRAY_SIZE(shapes)];
		struct headers h;

		packet_make(&pk, s);
		for (int i = rand() % 6; i >= 0; i--)
			pk.bytes[12 + rand() % 80] = (uint8_t)rand();
		pk.len = SL_MIN(pk.len, (uint32_t)(rand() % 150 + 1));
		struct rte_mbuf *m = packet_mbuf(&pk, 1 + (uint32_t)rand() % pk.len, 64);
		headers_parse(m, &h);
		if (h.l4_ok)
			assert_true(h.l2_len + h.l3_len + h.l4_len <= m->data_len);
		if (h.ipv4 || h.ipv6)
			assert_true(h.l2_len + h.l3_len + h.l4_data <= m->pkt_len);
		struct virtio_net_hdr hdr = {.flags = (uint8_t)(rand() & 3),
					     .gso_type = (uint8_t)(rand() % 6),
					     .gso_size = (uint16_t)rand(),
					     .hdr_len = (uint16_t)rand(),
					     .csum_start = (uint16_t)(rand() % 160),
					     .csum_offset = (uint16_t)(rand() % 20)};
		if (vnet_to_mbuf(&hdr, m) == DROP_NONE && (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG)) {
			struct rte_mbuf *out[256];
			int n = offload_segment(m, rand() & 1, out, 256);

			assert_true(n != 0 && n <= 256);
			if (n > 0)
				rte_pktmbuf_free_bulk(out, (unsigned)n);
		}
		rte_pktmbuf_free(m);
	}
}

static void checksums_match_the_reference(void **state)
{
	static uint8_t flat[70000];

	for (unsigned i = 0; i < SL_ARRAY_SIZE(shapes) * 4; i++) {
		const struct packet_spec *s = &shapes[i / 4];
		static const uint32_t pieces[4] = {2176, 100, 1, 33};
		struct headers h;

		if (i % 4 == 2 && s->payload > 3000)
			continue; /* one buffer a byte */
		packet_make(&pk, s);
		struct rte_mbuf *m = packet_mbuf(&pk, 160, pieces[i % 4]);
		headers_parse(m, &h);
		assert_true(checksum_l4(m, &h, false));
		assert_true(checksum_l4_ok(m, &h));
		flatten(m, flat);
		assert_true(right(flat, &pk, s, pk.l4 + s->payload));
		packet_l4_field(rte_pktmbuf_mtod(m, uint8_t *), &pk, s->proto)[0] ^= 0x10;
		assert_false(checksum_l4_ok(m, &h));
		rte_pktmbuf_free(m);
	}
}

static void updates_equal_a_new_checksum(void **state)
{
	for (int round = 0; round < 5000; round++) {
		uint8_t b[40];

		for (unsigned i = 0; i < sizeof b; i++)
			b[i] = (uint8_t)rand();
		uint16_t before = (uint16_t)~slow_sum(b, sizeof b, 0);
		uint8_t to[8];
		unsigned words = 1 + (unsigned)rand() % 4, at = 2 * ((unsigned)rand() % 16);
		for (unsigned i = 0; i < sizeof to; i++)
			to[i] = (uint8_t)rand();
		be16_t c = checksum_update(cpu_to_be16(before), b + at, to, words);
		memcpy(b + at, to, 2 * words);
		uint16_t after = (uint16_t)~slow_sum(b, sizeof b, 0);
		/* 0 and 0xffff are the same number in this arithmetic. */
		assert_int_equal(be16_to_cpu(c) % 0xffff, after % 0xffff);
	}
}

static struct virtio_net_hdr vnet_for(const struct packet *k, const struct packet_spec *s,
				      uint16_t mss)
{
	return (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = (uint16_t)(k->l2 + k->l3),
		.csum_offset = s->proto == IPPROTO_TCP   ? 16
			       : s->proto == IPPROTO_UDP ? 6
							 : 8,
		.gso_size = mss,
		.gso_type = !mss      ? VIRTIO_NET_HDR_GSO_NONE
			    : s->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6
				      : VIRTIO_NET_HDR_GSO_TCPV4,
	};
}

static void put_pseudo(struct packet *k, const struct packet_spec *s)
{
	if (s->proto != IPPROTO_SCTP)
		store_be16(packet_l4_field(k->bytes, k, s->proto),
			   slow_pseudo(k->bytes + k->l2, s->ipv6, s->proto, k->l4 + s->payload));
}

static void partial_checksums_go_through_and_complete(void **state)
{
	static uint8_t flat[70000];

	for (unsigned i = 0; i < SL_ARRAY_SIZE(shapes); i++) {
		const struct packet_spec *s = &shapes[i];
		struct virtio_net_hdr in, out;

		packet_make(&pk, s);
		put_pseudo(&pk, s);
		in = vnet_for(&pk, s, 0);
		struct rte_mbuf *m = packet_mbuf(&pk, 2000, 2000);
		assert_int_equal(vnet_to_mbuf(&in, m), DROP_NONE);
		assert_true(offload_pending(m));
		vnet_from_mbuf(m, &out);
		assert_memory_equal(&in, &out, sizeof in);
		assert_int_equal(offload_complete(m), 0);
		assert_false(offload_pending(m));
		flatten(m, flat);
		assert_true(right(flat, &pk, s, pk.l4 + s->payload));
		vnet_from_mbuf(m, &out);
		assert_int_equal(out.flags, VIRTIO_NET_HDR_F_DATA_VALID);
		rte_pktmbuf_free(m);
	}
}

static void lying_headers_are_refused(void **state)
{
	const struct packet_spec tcp = {.proto = IPPROTO_TCP, .payload = 5000};
	const struct packet_spec udp = {.proto = IPPROTO_UDP, .payload = 5000};
	struct virtio_net_hdr good, bad;
	struct rte_mbuf *m;

	packet_make(&pk, &tcp);
	good = vnet_for(&pk, &tcp, 1448);
	m = packet_mbuf(&pk, 2000, 2000);
#define REFUSED(...)                                                                               \
	do {                                                                                       \
		bad = good;                                                                        \
		__VA_ARGS__;                                                                       \
		assert_int_equal(vnet_to_mbuf(&bad, m), DROP_RX_VHOST_BAD_OFFLOAD);                \
		m->ol_flags = 0;                                                                   \
	} while (0)
	REFUSED(bad.gso_size = 0);
	REFUSED(bad.gso_size = 1);
	REFUSED(bad.gso_type = VIRTIO_NET_HDR_GSO_UDP);
	REFUSED(bad.gso_type = VIRTIO_NET_HDR_GSO_TCPV6);
	REFUSED(bad.gso_type = 77);
	REFUSED(bad.csum_start = 0);
	REFUSED(bad.csum_start = 0xffff);
	REFUSED(bad.csum_offset = 0xffff);
	REFUSED(bad.csum_offset = 6);
	REFUSED(bad.csum_start = 0xffff, bad.gso_type = 0);
	bad = good;
	bad.hdr_len = 0xffff; /* not read at all */
	assert_int_equal(vnet_to_mbuf(&bad, m), DROP_NONE);
	rte_pktmbuf_free(m);
	packet_make(&pk, &udp);
	m = packet_mbuf(&pk, 2000, 2000);
	REFUSED((void)0);
	rte_pktmbuf_free(m);
#undef REFUSED
}

/* A checksum inside a guest's own tunnel: completed where the header says. */
static void a_checksum_elsewhere_is_completed(void **state)
{
	const struct packet_spec outer = {.proto = IPPROTO_UDP, .payload = 200};
	struct virtio_net_hdr hdr;

	packet_make(&pk, &outer);
	uint32_t start = pk.l2 + pk.l3 + 8 + 50;
	store_be16(pk.bytes + start + 16, 0x1234);
	hdr = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				      .csum_start = (uint16_t)start,
				      .csum_offset = 16};
	uint16_t want = (uint16_t)~slow_sum(pk.bytes + start, pk.len - start, 0);
	struct rte_mbuf *m = packet_mbuf(&pk, 2000, 2000);
	assert_int_equal(vnet_to_mbuf(&hdr, m), DROP_NONE);
	assert_false(offload_pending(m));
	assert_int_equal(load_be16(rte_pktmbuf_mtod_offset(m, void *, start + 16)), want);
	rte_pktmbuf_free(m);
}

struct collected {
	struct rte_mbuf *at[OFFLOAD_SEGMENTS_MAX];
	unsigned n, segments, n_drop, biggest;
	enum drop_reason why;
};
static void collect(void *aux, struct rte_mbuf **pkts, unsigned n)
{
	struct collected *c = aux;

	c->biggest = SL_MAX(c->biggest, n);
	memcpy(c->at + c->n, pkts, n * sizeof *pkts);
	c->n += n;
}
static void collect_drop(void *aux, struct rte_mbuf *m, enum drop_reason why)
{
	struct collected *c = aux;

	c->n_drop++;
	c->why = why;
	rte_pktmbuf_free(m);
}
static void collect_segmented(void *aux, const struct rte_mbuf *m, unsigned n)
{
	((struct collected *)aux)->segments = n;
}
static struct collected got;
static const struct offload_sink sink = {collect, collect_drop, collect_segmented, &got};

static struct rte_mbuf *gso_packet(const struct packet_spec *s, uint16_t mss, uint32_t piece)
{
	struct virtio_net_hdr hdr;

	packet_make(&pk, s);
	put_pseudo(&pk, s);
	hdr = vnet_for(&pk, s, mss);
	struct rte_mbuf *m = packet_mbuf(&pk, 160, piece);
	assert_int_equal(vnet_to_mbuf(&hdr, m), DROP_NONE);
	return m;
}

static void free_collected(void)
{
	rte_pktmbuf_free_bulk(got.at, got.n);
	memset(&got, 0, sizeof got);
}

static void check_segments(const struct packet_spec *s, uint16_t mss, bool partial)
{
	uint32_t headers = pk.l2 + pk.l3 + pk.l4, seen = 0;
	unsigned want = SL_DIV_ROUND_UP(s->payload, mss);
	static uint8_t flat[70000];

	assert_int_equal(got.n, want);
	assert_int_equal(got.segments, want > 1 ? want : 0);
	for (unsigned i = 0; i < got.n; i++) {
		struct rte_mbuf *m = got.at[i];
		uint32_t payload = SL_MIN((uint32_t)mss, s->payload - seen);
		uint8_t *l3 = flat + pk.l2, *tcp = l3 + pk.l3;
		uint8_t flags = s->tcp_flags;

		rte_mbuf_sanity_check(m, 1);
		assert_int_equal(m->pkt_len, headers + payload);
		if (partial)
			assert_int_equal(offload_complete(m), 0);
		assert_false(offload_pending(m));
		flatten(m, flat);
		assert_memory_equal(flat, pk.bytes, pk.l2);
		assert_memory_equal(flat + headers, pk.bytes + headers + seen, payload);
		assert_true(right(flat, &pk, s, pk.l4 + payload));
		if (s->ipv6) {
			assert_int_equal(load_be16(l3 + 4), pk.l3 - 40 + pk.l4 + payload);
		} else {
			assert_int_equal(slow_sum(l3, pk.l3, 0), 0xffff);
			assert_int_equal(load_be16(l3 + 2), pk.l3 + pk.l4 + payload);
			assert_int_equal(load_be16(l3 + 4), (0xfffe + i) & 0xffff);
		}
		assert_int_equal(load_be32(tcp + 4), 0xffffff00 + seen);
		if (i)
			flags &= (uint8_t)~0x80;
		if (i != got.n - 1)
			flags &= (uint8_t)~0x09;
		if (got.n > 1)
			assert_int_equal(tcp[13], flags);
		seen += payload;
	}
	assert_int_equal(seen, s->payload);
}

static void segments_make_up_the_original(void **state)
{
	static const uint16_t sizes[] = {48, 536, 1448, 8948, 65000};

	for (unsigned i = 0; i < SL_ARRAY_SIZE(shapes); i++) {
		struct packet_spec s = shapes[i];

		if (s.proto != IPPROTO_TCP)
			continue;
		s.tcp_flags = 0x99; /* CWR ACK PSH FIN */
		for (unsigned j = 0; j < SL_ARRAY_SIZE(sizes) * 2; j++) {
			uint16_t mss = sizes[j / 2];
			struct rte_mbuf *m = gso_packet(&s, mss, j % 2 ? 2048 : 333);

			offload_fixup(&m, 1, j % 2 ? OFFLOAD_TX_TCP_CKSUM : 0, 70000, &sink);
			assert_int_equal(got.n_drop, 0);
			assert_true(got.biggest <= BURST_MAX);
			check_segments(&s, mss, j % 2);
			free_collected();
		}
	}
	unsigned in_use, total;
	pool_usage(&in_use, &total);
	assert_int_equal(in_use, 0);
}

static void a_capable_port_gets_the_packet_whole(void **state)
{
	const struct packet_spec s = {.proto = IPPROTO_TCP, .payload = 60000, .tcp_flags = 0x90};
	struct rte_mbuf *m = gso_packet(&s, 1448, 2048), *same = m;
	struct virtio_net_hdr hdr;
	uint64_t bytes;

	assert_true(offload_burst_needs_work(&m, 1, 1514, &bytes));
	assert_int_equal(bytes, m->pkt_len);
	offload_fixup(&m, 1, OFFLOAD_TX_ALL, 1514, &sink);
	assert_int_equal(got.n, 1);
	assert_ptr_equal(got.at[0], same);
	vnet_from_mbuf(same, &hdr);
	assert_int_equal(hdr.gso_size, 1448);
	assert_int_equal(hdr.gso_type, VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN);
	assert_int_equal(hdr.hdr_len, 54);
	/* A tag moves everything by four. */
	offload_l2_moved(same, 4);
	vnet_from_mbuf(same, &hdr);
	assert_int_equal(hdr.csum_start, 38);
	free_collected();
}

static void what_is_too_long_is_dropped_with_its_reason(void **state)
{
	struct packet_spec s = {.proto = IPPROTO_UDP, .payload = 1500 - 28, .vlans = 2};
	struct rte_mbuf *m[3];

	packet_make(&pk, &s);
	m[0] = packet_mbuf(&pk, 2000, 2000); /* exactly fits, tags on top */
	s.payload++;
	packet_make(&pk, &s);
	m[1] = packet_mbuf(&pk, 2000, 2000);
	s = (struct packet_spec){.proto = IPPROTO_TCP, .payload = 9000};
	m[2] = gso_packet(&s, 1461, 2000); /* its segments are too long by one byte */
	offload_fixup(m, 3, OFFLOAD_TX_ALL, 1514, &sink);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.n_drop, 2);
	assert_int_equal(got.why, DROP_TX_MTU);
	free_collected();
}

static void without_buffers_the_drop_says_so(void **state)
{
	const struct packet_spec s = {.proto = IPPROTO_TCP, .payload = 60000};
	struct rte_mbuf *m = gso_packet(&s, 48, 2048), *hog[4096];
	unsigned n = 0;

	while (n < 4096 && (hog[n] = rte_pktmbuf_alloc(pool_get(0))))
		n++;
	rte_pktmbuf_free_bulk(hog, 100);
	offload_fixup(&m, 1, 0, 1514, &sink);
	assert_int_equal(got.n, 0);
	assert_int_equal(got.why, DROP_TX_SEGMENT_NO_MBUF);
	free_collected();
	rte_pktmbuf_free_bulk(hog + 100, n - 100);
}

static void a_mixed_burst_keeps_its_order(void **state)
{
	const struct packet_spec small = {.proto = IPPROTO_UDP, .payload = 10};
	const struct packet_spec big = {.proto = IPPROTO_TCP, .payload = 4000};
	struct rte_mbuf *m[BURST_MAX];

	for (unsigned i = 0; i < BURST_MAX; i++) {
		if (i % 5 == 4) {
			m[i] = gso_packet(&big, 1000, 2048);
		} else {
			packet_make(&pk, &small);
			m[i] = packet_mbuf(&pk, 2000, 2000);
		}
		m[i]->port = (uint16_t)i;
	}
	offload_fixup(m, BURST_MAX, 0, 1514, &sink);
	assert_int_equal(got.n, BURST_MAX + 6 * 3);
	for (unsigned i = 1; i < got.n; i++)
		assert_true(got.at[i - 1]->port <= got.at[i]->port);
	free_collected();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_found),
		cmocka_unit_test(garbage_headers_stay_inside),
		cmocka_unit_test(checksums_match_the_reference),
		cmocka_unit_test(updates_equal_a_new_checksum),
		cmocka_unit_test(partial_checksums_go_through_and_complete),
		cmocka_unit_test(lying_headers_are_refused),
		cmocka_unit_test(a_checksum_elsewhere_is_completed),
		cmocka_unit_test(segments_make_up_the_original),
		cmocka_unit_test(a_capable_port_gets_the_packet_whole),
		cmocka_unit_test(what_is_too_long_is_dropped_with_its_reason),
		cmocka_unit_test(without_buffers_the_drop_says_so),
		cmocka_unit_test(a_mixed_burst_keeps_its_order),
	};
	srand(1);
	eal_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
