/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost_ring.c on a ring in ordinary memory: what the guest finds in its buffers and used entries,
 * to the byte. Behaviour over a socket is test_port_vhost.py's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <linux/virtio_net.h>

#include "datapath/core/limits.h"
#include "datapath/port/vhost_ring.h"
#include "tests/unit/offload/packets.h"

enum { SIZE = 64, BUFFER = 2048, GPA = 1 << 20, FILL = 0xa5 };

static struct {
	struct vring_desc desc[SIZE];
	struct {
		uint16_t flags, idx, ring[SIZE + 1];
	} avail;
	struct {
		uint16_t flags, idx;
		struct vring_used_elem ring[SIZE];
		uint16_t event;
	} used;
	uint8_t buffer[SIZE][BUFFER] __attribute__((aligned(64)));
} guest;
static struct guest_mem memory = {1, {{GPA, sizeof guest.buffer, guest.buffer[0]}}};
static struct vhost_ring ring;

static uint64_t address(unsigned i)
{
	return GPA + (uint64_t)i * BUFFER;
}

static void ring_start(uint8_t hdr_bytes, uint16_t flags)
{
	memset(&guest, 0, sizeof guest);
	memset(guest.buffer, FILL, sizeof guest.buffer);
	for (uint16_t i = 0; i < SIZE; i++) {
		guest.desc[i] = (struct vring_desc){address(i), BUFFER, flags, 0};
		guest.avail.ring[i] = i;
	}
	ring = (struct vhost_ring){.desc = guest.desc,
				   .avail = (void *)&guest.avail,
				   .used = (void *)&guest.used,
				   .mem = &memory,
				   .size = SIZE,
				   .mergeable = true,
				   .guest_csum = true,
				   .hdr_bytes = hdr_bytes,
				   .callfd = -1};
}

static void send_frame(unsigned i, const void *hdr, const uint8_t *frame, uint32_t bytes)
{
	memcpy(guest.buffer[i], hdr, ring.hdr_bytes);
	memcpy(guest.buffer[i] + ring.hdr_bytes, frame, bytes);
	guest.desc[i].len = ring.hdr_bytes + bytes;
	guest.avail.idx++;
}

static unsigned in_use(void)
{
	unsigned n, total;

	pool_usage(&n, &total);
	return n;
}

static struct rte_mbuf *tcp_packet(struct packet *k, unsigned payload, uint64_t flags)
{
	struct rte_mbuf *m;

	packet_make(k, &(struct packet_spec){.proto = IPPROTO_TCP, .payload = payload});
	m = packet_mbuf(k, 1500, 1500);
	m->ol_flags = flags;
	m->l2_len = k->l2;
	m->l3_len = k->l3;
	m->l4_len = k->l4;
	return m;
}

static void header_is(unsigned buffer, const struct virtio_net_hdr *want, uint16_t buffers)
{
	struct virtio_net_hdr_mrg_rxbuf got = {.num_buffers = buffers};

	memcpy(&got, guest.buffer[buffer], ring.hdr_bytes);
	assert_memory_equal(&got.hdr, want, sizeof *want);
	assert_int_equal(got.num_buffers, buffers);
}

static void transmit_one(uint64_t flags, bool guest_csum, const struct virtio_net_hdr *want)
{
	static struct packet k;
	uint32_t refused = 0;

	for (uint8_t bytes = 10; bytes <= 12; bytes += 2) {
		struct rte_mbuf *m = tcp_packet(&k, 100, flags);

		ring_start(bytes, VRING_DESC_F_WRITE);
		ring.guest_csum = guest_csum;
		guest.avail.idx = 1;
		assert_int_equal(vhost_ring_tx(&ring, &m, 1, &refused), 1);
		assert_int_equal(refused, 0);
		header_is(0, want, 1);
		assert_memory_equal(guest.buffer[0] + bytes, k.bytes, k.len);
		assert_int_equal(guest.buffer[0][bytes + k.len], FILL);
		assert_int_equal(guest.used.idx, 1);
		assert_int_equal(guest.used.ring[0].id, 0);
		assert_int_equal(guest.used.ring[0].len, bytes + k.len);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(in_use(), 0);
}

static void test_headers_say_what_the_packet_needs(void **state)
{
	const struct virtio_net_hdr plain = {0}, valid = {.flags = VIRTIO_NET_HDR_F_DATA_VALID},
				    sum = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					   .csum_start = 34,
					   .csum_offset = 16};
	uint64_t pending = RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4;

	(void)state;
	transmit_one(0, true, &plain);
	transmit_one(RTE_MBUF_F_RX_L4_CKSUM_GOOD, true, &valid);
	transmit_one(RTE_MBUF_F_RX_L4_CKSUM_GOOD, false, &plain);
	transmit_one(RTE_MBUF_F_RX_L4_CKSUM_BAD, true, &plain);
	transmit_one(RTE_MBUF_F_RX_L4_CKSUM_MASK, true, &plain);
	transmit_one(pending, true, &sum);
	transmit_one(pending | RTE_MBUF_F_RX_L4_CKSUM_GOOD, true, &sum);
}

static void test_a_large_frame_is_spread_over_buffers(void **state)
{
	static struct packet k;
	struct rte_mbuf *m = tcp_packet(
		&k, 9000, RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_SEG);
	const struct virtio_net_hdr want = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					    .hdr_len = 54,
					    .gso_size = 1448,
					    .csum_start = 34,
					    .csum_offset = 16};
	uint32_t refused = 0, at = 0;

	(void)state;
	m->tso_segsz = 1448;
	ring_start(12, VRING_DESC_F_WRITE);
	guest.avail.idx = 4; /* not enough: it has to wait, and nothing is used up */
	assert_int_equal(vhost_ring_tx(&ring, &m, 1, &refused), 0);
	assert_int_equal(guest.used.idx, 0);
	guest.avail.idx = 5;
	assert_int_equal(vhost_ring_tx(&ring, &m, 1, &refused), 1);
	assert_int_equal(guest.used.idx, 5);
	header_is(0, &want, 5);
	for (unsigned i = 0; i < 5; i++) {
		uint32_t skip = i ? 0 : 12, n = guest.used.ring[i].len - skip;

		assert_int_equal(guest.used.ring[i].id, i);
		assert_memory_equal(guest.buffer[i] + skip, k.bytes + at, n);
		at += n;
	}
	assert_int_equal(at, k.len);
	rte_pktmbuf_free(m);
	assert_int_equal(in_use(), 0);
}

static void test_received_in_order_and_used_once(void **state)
{
	const struct virtio_net_hdr_mrg_rxbuf plain = {0};
	struct rte_mbuf *pkts[BURST_MAX];
	struct vhost_rx_drops drops = {0};
	uint8_t frame[200];

	(void)state;
	ring_start(12, 0);
	for (unsigned round = 0; round < 3 * SIZE; round += 16) { /* round the ring */
		for (unsigned i = 0; i < 16; i++) {
			memset(frame, (int)(round + i), sizeof frame);
			send_frame((round + i) % SIZE, &plain, frame, 60 + i);
		}
		assert_int_equal(vhost_ring_waiting(&ring), 16);
		assert_int_equal(vhost_ring_rx(&ring, pool_get(0), pkts, BURST_MAX, &drops), 16);
		assert_int_equal(guest.used.idx, round + 16);
		for (unsigned i = 0; i < 16; i++) {
			memset(frame, (int)(round + i), sizeof frame);
			assert_int_equal(pkts[i]->pkt_len, 60 + i);
			assert_memory_equal(rte_pktmbuf_mtod(pkts[i], void *), frame, 60 + i);
			assert_int_equal(guest.used.ring[(round + i) % SIZE].id,
					 (round + i) % SIZE);
			rte_pktmbuf_free(pkts[i]);
		}
	}
	assert_int_equal(in_use(), 0);
}

/* Bursts smaller than what waits, round the ring. */
static void test_in_portions(void **state)
{
	const struct virtio_net_hdr_mrg_rxbuf plain = {0};
	struct rte_mbuf *pkts[BURST_MAX];
	struct vhost_rx_drops drops = {0};
	unsigned sent = 0, got = 0;
	uint8_t frame[200];

	(void)state;
	ring_start(12, 0);
	for (unsigned round = 0; round < 200; round++) {
		for (; sent - got < SIZE - round % 7; sent++) {
			memset(frame, (int)sent, sizeof frame);
			guest.avail.ring[sent % SIZE] = (uint16_t)(sent * 5 % SIZE);
			send_frame(sent * 5 % SIZE, &plain, frame, 60 + sent % 50);
		}
		uint16_t n =
			vhost_ring_rx(&ring, pool_get(0), pkts, (uint16_t)(1 + round % 13), &drops);
		assert_int_equal(n, SL_MIN(1 + round % 13, sent - got));
		for (unsigned i = 0; i < n; i++, got++) {
			memset(frame, (int)got, sizeof frame);
			assert_int_equal(pkts[i]->pkt_len, 60 + got % 50);
			assert_memory_equal(rte_pktmbuf_mtod(pkts[i], void *), frame,
					    pkts[i]->pkt_len);
			assert_int_equal(guest.used.ring[got % SIZE].id, got * 5 % SIZE);
		}
		rte_pktmbuf_free_bulk(pkts, n);
		assert_int_equal(guest.used.idx, (uint16_t)got);
	}
	assert_int_equal(in_use(), 0);
}

/* Long frames come in bursts of bytes: the guest has the first buffers back before the last frame
 * is copied. */
static void test_long_frames_in_short_bursts(void **state)
{
	struct rte_mbuf *pkts[BURST_MAX];
	struct vhost_rx_drops drops = {0};
	const unsigned want[] = {5, 5, 2, 0}; /* of 16,000 bytes: the fifth passes 64 KiB */
	unsigned used = 0;

	(void)state;
	ring_start(12, 0);
	memset(guest.buffer, 0, sizeof guest.buffer);
	for (unsigned i = 0; i < 12; i++)
		guest.desc[i] = (struct vring_desc){address(i), 12 + 16000, 0, 0};
	guest.avail.idx = 12;
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(vhost_ring_rx(&ring, pool_get(0), pkts, BURST_MAX, &drops),
				 want[i]);
		used += want[i];
		assert_int_equal(guest.used.idx, used);
		for (unsigned k = 0; k < want[i]; k++)
			assert_int_equal(pkts[k]->pkt_len, 16000);
		rte_pktmbuf_free_bulk(pkts, want[i]);
	}
	assert_int_equal(drops.bad_chain.pkts + drops.no_mbuf.pkts, 0);
	assert_int_equal(in_use(), 0);
}

/* The same to the guest, short packets and some that take several buffers. */
static void test_sent_in_portions(void **state)
{
	static struct packet k[2];
	struct rte_mbuf *m[2] = {tcp_packet(&k[0], 100, 0), tcp_packet(&k[1], 5000, 0)};
	unsigned used = 0, burst, seen;
	uint32_t refused = 0;

	(void)state;
	ring_start(12, VRING_DESC_F_WRITE);
	for (unsigned i = 0; i < SIZE; i++)
		guest.avail.ring[i] = (uint16_t)(i * 3 % SIZE);
	for (unsigned round = 0; round < 200; round++) {
		struct rte_mbuf *pkts[4];

		burst = 1 + round % 4;
		for (unsigned i = 0; i < burst; i++)
			pkts[i] = m[(round + i) % 5 == 0];
		if ((int16_t)(used + 12 + round % 5 - guest.avail.idx) > 0)
			guest.avail.idx = (uint16_t)(used + 12 + round % 5);
		memset(guest.buffer, FILL, sizeof guest.buffer);
		assert_int_equal(vhost_ring_tx(&ring, pkts, (uint16_t)burst, &refused), burst);
		for (unsigned i = 0; i < burst; i++) {
			const struct packet *p = &k[(round + i) % 5 == 0];

			for (seen = 0; seen < p->len + 12; used++) {
				unsigned at = used * 3 % SIZE;
				uint32_t len = guest.used.ring[used % SIZE].len;
				unsigned hdr = seen ? 0 : 12;

				assert_int_equal(guest.used.ring[used % SIZE].id, at);
				assert_memory_equal(guest.buffer[at] + hdr,
						    p->bytes + seen - (seen ? 12 : 0), len - hdr);
				seen += len;
			}
			assert_int_equal(seen, p->len + 12);
		}
		assert_int_equal(guest.used.idx, (uint16_t)used);
	}
	assert_int_equal(refused, 0);
	rte_pktmbuf_free_bulk(m, 2);
	assert_int_equal(in_use(), 0);
}

static void start_with_five_frames(void)
{
	const struct virtio_net_hdr_mrg_rxbuf plain = {0};
	const uint8_t frame[60] = {1};

	ring_start(12, 0);
	for (unsigned i = 0; i < 5; i++)
		send_frame(i, &plain, frame, sizeof frame);
}

static void test_a_bad_chain_among_good_ones_is_given_back(void **state)
{
	struct rte_mbuf *pkts[BURST_MAX];
	struct vhost_rx_drops drops = {0};

	(void)state;
	start_with_five_frames();
	guest.desc[1].addr = GPA - 1;             /* no memory */
	guest.desc[2].flags = VRING_DESC_F_WRITE; /* not for reading */
	guest.desc[3].len = 12 + 13;              /* no Ethernet header */
	assert_int_equal(vhost_ring_rx(&ring, pool_get(0), pkts, BURST_MAX, &drops), 2);
	assert_int_equal(drops.bad_chain.pkts, 2);
	assert_int_equal(drops.truncated.pkts, 1);
	assert_int_equal(guest.used.idx, 5);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(guest.used.ring[i].id, i);
	rte_pktmbuf_free_bulk(pkts, 2);
	assert_int_equal(in_use(), 0);
}

static void test_an_impossible_head_breaks_the_ring_behind_the_good_ones(void **state)
{
	struct rte_mbuf *pkts[BURST_MAX];
	struct vhost_rx_drops drops = {0};

	(void)state;
	start_with_five_frames();
	guest.avail.ring[2] = SIZE;
	assert_int_equal(vhost_ring_rx(&ring, pool_get(0), pkts, BURST_MAX, &drops), 2);
	assert_true(ring.broken);
	assert_int_equal(drops.bad_chain.pkts, 1);
	assert_int_equal(guest.used.idx, 2);
	assert_int_equal(vhost_ring_rx(&ring, pool_get(0), pkts + 2, BURST_MAX - 2, &drops), 0);
	rte_pktmbuf_free_bulk(pkts, 2);
	assert_int_equal(in_use(), 0);

	start_with_five_frames(); /* it does not count before its turn */
	guest.avail.ring[4] = SIZE;
	assert_int_equal(vhost_ring_rx(&ring, pool_get(0), pkts, 2, &drops), 2);
	assert_int_equal(vhost_ring_rx(&ring, pool_get(0), pkts + 2, 2, &drops), 2);
	assert_false(ring.broken);
	assert_int_equal(vhost_ring_rx(&ring, pool_get(0), pkts + 4, 1, &drops), 0);
	assert_true(ring.broken);
	assert_int_equal(guest.used.idx, 4);
	rte_pktmbuf_free_bulk(pkts, 4);
	assert_int_equal(in_use(), 0);
}

/* The lines that are asked for in advance may lie behind the guest's memory, the copies may not. */
static void test_a_buffer_at_the_end_of_memory(void **state)
{
	static struct packet k;
	struct rte_mbuf *m = tcp_packet(&k, 6, 0);
	uint32_t refused = 0;

	(void)state;
	ring_start(12, VRING_DESC_F_WRITE);
	guest.desc[0].addr = GPA + sizeof guest.buffer - 72;
	guest.desc[0].len = 72;
	guest.desc[1].addr = GPA + sizeof guest.buffer - 40;
	guest.desc[1].len = 72; /* goes on behind it */
	guest.avail.idx = 1;
	assert_int_equal(vhost_ring_tx(&ring, &m, 1, &refused), 1);
	assert_memory_equal(guest.buffer[SIZE - 1] + BUFFER - 60, k.bytes, 60);
	guest.avail.idx = 2;
	assert_int_equal(vhost_ring_tx(&ring, &m, 1, &refused), 0);
	assert_true(ring.broken);
	assert_int_equal(guest.used.idx, 1);
	rte_pktmbuf_free(m);
	assert_int_equal(in_use(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers_say_what_the_packet_needs),
		cmocka_unit_test(test_a_large_frame_is_spread_over_buffers),
		cmocka_unit_test(test_received_in_order_and_used_once),
		cmocka_unit_test(test_in_portions),
		cmocka_unit_test(test_long_frames_in_short_bursts),
		cmocka_unit_test(test_sent_in_portions),
		cmocka_unit_test(test_a_bad_chain_among_good_ones_is_given_back),
		cmocka_unit_test(test_an_impossible_head_breaks_the_ring_behind_the_good_ones),
		cmocka_unit_test(test_a_buffer_at_the_end_of_memory),
	};

	eal_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
