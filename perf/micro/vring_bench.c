/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's split ring, without the guest: what vhost_ring.c costs per packet when every line is in
 * this core's caches or comes from memory, none from another core. The guest's part is done in
 * advance: descriptors and the available ring stay as they are, only the index moves on. "copy" is
 * a copy between two buffers of that size for comparison. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>

#include "datapath/base/err.h"
#include "datapath/core/limits.h"
#include "datapath/core/pool.h"
#include "datapath/port/vhost_ring.h"
#include "perf/micro/bench.h"

enum {
	SIZE = 1024,        /* of a ring */
	BUFFER = 2048,      /* of the guest: what a driver posts for receiving */
	BIG_BUFFER = 32768, /* piece of a large frame that is sent */
	HDR = 12,
	GPA = 1 << 20,
	LINKED = 3,      /* descriptors of a large frame */
	BIG_CHAINS = 32, /* large frames that a sender has under way: 2 MB, as rings of buffers */
	BIG_BURST = 4,
};

struct guest {
	struct vhost_ring ring;
	struct guest_mem mem;
	uint8_t *base;
	uint32_t frame; /* bytes of a packet, without the header */
	uint16_t burst;
	struct rte_mbuf *pkts[BURST_MAX]; /* to send into the ring */
};

static void *room(size_t bytes)
{
	void *p = aligned_alloc(4096, SL_ALIGN_UP(bytes, (size_t)4096));

	if (!p)
		abort();
	return memset(p, 0, bytes);
}

/* A ring whose entries each are `links` descriptors of `bytes` each. */
static void lay_out(struct guest *g, uint32_t bytes, uint16_t links, uint16_t flags)
{
	struct vhost_ring *r = &g->ring;

	memset(g, 0, sizeof *g);
	r->desc = room(SIZE * sizeof *r->desc);
	r->avail = room(sizeof *r->avail + (SIZE + 1) * 2);
	r->used = room(sizeof *r->used + SIZE * sizeof(struct vring_used_elem) + 2);
	r->mem = &g->mem;
	r->size = SIZE;
	r->hdr_bytes = HDR;
	r->mergeable = r->guest_csum = true;
	r->callfd = -1;
	g->base = room((size_t)SIZE * bytes);
	g->mem.n = 1;
	g->mem.r[0] = (struct guest_region){GPA, (uint64_t)SIZE * bytes, g->base};
	for (uint16_t i = 0; i < SIZE; i++) {
		bool more = i % links + 1 < links && i + 1 < SIZE;
		r->desc[i] = (struct vring_desc){GPA + (uint64_t)i * bytes, bytes,
						 (uint16_t)(flags | (more ? VRING_DESC_F_NEXT : 0)),
						 (uint16_t)(i + 1)};
		r->avail->ring[i] = (uint16_t)(links == 1 ? i : i % BIG_CHAINS * links);
	}
	r->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
}

static void set_piece(struct guest *g, uint16_t i, uint32_t bytes)
{
	g->ring.desc[i].len = bytes;
}

static void lay_out_sender(struct guest *g, uint32_t frame)
{
	bool big = frame > BIG_BUFFER;

	lay_out(g, big ? BIG_BUFFER : SL_ALIGN_UP(frame + HDR, 2048u), big ? LINKED : 1, 0);
	g->frame = frame;
	g->burst = big ? BIG_BURST : BURST_MAX;
	for (uint16_t i = 0; i < SIZE; i++)
		if (!big)
			set_piece(g, i, frame + HDR);
		else
			set_piece(g, i,
				  i % LINKED == 2 ? frame + HDR - 2 * (BIG_BUFFER - 1024)
						  : BIG_BUFFER - 1024);
}

/* The guest sends n packets. */
static void receive(void *ctx, uint64_t n)
{
	struct guest *g = ctx;
	struct rte_mempool *pool = pool_get(0);
	struct vhost_rx_drops drops = {0};
	struct rte_mbuf *m[BURST_MAX];

	for (uint64_t i = 0; i < n;) {
		g->ring.avail->idx = (uint16_t)(g->ring.last_avail + g->burst);
		uint16_t got = vhost_ring_rx(&g->ring, pool, m, BURST_MAX, &drops);
		if (!got) {
			fprintf(stderr, "error: nothing received\n");
			exit(1);
		}
		rte_pktmbuf_free_bulk(m, got);
		i += got;
	}
}

/* The guest receives n packets. */
static void transmit(void *ctx, uint64_t n)
{
	struct guest *g = ctx;
	uint32_t refused = 0;

	for (uint64_t i = 0; i < n;) {
		g->ring.avail->idx = (uint16_t)(g->ring.last_avail + SIZE);
		uint16_t sent = vhost_ring_tx(&g->ring, g->pkts, g->burst, &refused);
		if (!sent || refused) {
			fprintf(stderr, "error: nothing sent\n");
			exit(1);
		}
		vhost_ring_signal(&g->ring);
		i += sent;
	}
}

/* From one guest to another, nothing in between. */
struct both {
	struct guest from, to;
};

static void forward(void *ctx, uint64_t n)
{
	struct both *b = ctx;
	struct vhost_rx_drops drops = {0};
	struct rte_mbuf *m[BURST_MAX];
	uint32_t refused = 0;

	for (uint64_t i = 0; i < n;) {
		b->from.ring.avail->idx = (uint16_t)(b->from.ring.last_avail + b->from.burst);
		b->to.ring.avail->idx = (uint16_t)(b->to.ring.last_avail + SIZE);
		uint16_t got = vhost_ring_rx(&b->from.ring, pool_get(0), m, BURST_MAX, &drops);
		uint16_t sent = vhost_ring_tx(&b->to.ring, m, got, &refused);
		if (!sent || refused) {
			fprintf(stderr, "error: nothing forwarded\n");
			exit(1);
		}
		vhost_ring_signal(&b->to.ring);
		rte_pktmbuf_free_bulk(m, got);
		i += sent;
	}
}

static void copy(void *ctx, uint64_t n)
{
	struct both *b = ctx;

	for (uint64_t i = 0; i < n; i++) {
		memcpy(b->to.base + (i & 7) * b->from.frame, b->from.base + (i & 7) * b->from.frame,
		       b->from.frame);
		bench_use(b->to.base[0]);
	}
}

static void fill_packets(struct guest *g, uint32_t frame)
{
	for (unsigned i = 0; i < BURST_MAX; i++) {
		uint8_t *bytes = room(frame);
		g->pkts[i] = pool_from_bytes(bytes, frame);
		free(bytes);
		if (!g->pkts[i])
			abort();
	}
}

static void run_size(uint32_t frame, uint64_t n)
{
	static struct both b;
	char name[64];

	lay_out_sender(&b.from, frame);
	lay_out(&b.to, BUFFER, 1, VRING_DESC_F_WRITE);
	b.to.burst = b.from.burst;
	fill_packets(&b.to, frame);
	snprintf(name, sizeof name, "from the guest, %u bytes", frame);
	bench_run(name, receive, &b.from, n);
	snprintf(name, sizeof name, "to the guest, %u bytes", frame);
	bench_run(name, transmit, &b.to, n);
	snprintf(name, sizeof name, "guest to guest, %u bytes", frame);
	bench_run(name, forward, &b, n);
	snprintf(name, sizeof name, "copy of %u bytes", frame);
	bench_run(name, copy, &b, n);
	rte_pktmbuf_free_bulk(b.to.pkts, BURST_MAX);
}

int main(int argc, char **argv)
{
	static char *eal[] = {
		"vring_bench", "--no-huge",      "-m",       "192",     "--no-pci",
		"--no-shconf", "--no-telemetry", "--lcores", "0@(0-1)", "--log-level=4",
		NULL};
	struct err e = {0};

	bench_init(argc, argv, "vring");
	if (rte_eal_init(10, eal) < 0 || pool_init(8192, &e) < 0) {
		fprintf(stderr, "error: EAL: %s\n", e.text);
		return 1;
	}
	run_size(60, 16384);
	run_size(1514, 4096);
	run_size(9014, 512);
	run_size(65226, 128);
	return bench_end();
}
