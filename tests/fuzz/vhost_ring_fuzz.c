/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's ring memory is the input: whatever lies in descriptors, indices and indirect tables,
 * reading from it and writing to it stays inside guest memory, ends, and gives whole packets. */
#include <assert.h>
#include <string.h>

#include <rte_eal.h>

#include "datapath/core/limits.h"
#include "datapath/port/vhost_ring.h"
#include "tests/unit/offload/packets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEM = 16384, GPA = 0x10000 };
static uint8_t mem[MEM] __attribute__((aligned(4096)));

static void setup(struct vhost_ring *r, const struct guest_mem *gm, const uint8_t *data)
{
	uint16_t size = (uint16_t)(8u << (data[0] & 3));

	memset(r, 0, sizeof *r);
	r->size = size;
	r->desc = (void *)mem;
	r->avail = (void *)(mem + 16u * size);
	r->used = (void *)(mem + 16u * size + 512);
	r->mem = gm;
	r->event_idx = data[0] & 4;
	r->mergeable = data[0] & 8;
	r->guest_csum = data[0] & 16;
	r->hdr_bytes = data[0] & 32 ? 12 : 10;
	r->last_avail = r->last_used = data[1];
	r->callfd = -1;
}

static void check(struct rte_mbuf **pkts, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		rte_mbuf_sanity_check(pkts[i], 1);
		assert(pkts[i]->pkt_len >= 14 && pkts[i]->pkt_len <= 65535 + 22);
		if (pkts[i]->ol_flags & RTE_MBUF_F_TX_TCP_SEG)
			assert(pkts[i]->tso_segsz >= 48);
		rte_pktmbuf_free(pkts[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool started;
	/* Two regions with a gap, so that buffers can end and go on. */
	const struct guest_mem gm = {
		2, {{GPA, MEM / 2, mem}, {GPA + MEM / 2 + 4096, MEM / 2, mem + MEM / 2}}};
	struct vhost_ring r;
	struct vhost_rx_drops drops = {0};
	struct rte_mbuf *pkts[BURST_MAX];
	uint32_t refused = 0;
	unsigned in_use, total;

	if (!started)
		eal_start();
	started = true;
	if (size < 4)
		return 0;
	memset(mem, 0, sizeof mem);
	memcpy(mem, data + 2, SL_MIN(size - 2, sizeof mem));
	setup(&r, &gm, data);
	check(pkts, vhost_ring_rx(&r, pool_get(0), pkts, 3, &drops));
	memcpy(mem, data + 2, SL_MIN(size - 2, sizeof mem)); /* behind our back */
	r.avail->idx = (uint16_t)(r.last_avail + (data[1] & 7));
	check(pkts, vhost_ring_rx(&r, pool_get(0), pkts, BURST_MAX, &drops));
	vhost_ring_arm(&r);
	vhost_ring_disarm(&r);

	memset(mem, 0, sizeof mem);
	memcpy(mem, data + 2, SL_MIN(size - 2, sizeof mem));
	setup(&r, &gm, data);
	for (unsigned i = 0; i < 4; i++) {
		pkts[i] = rte_pktmbuf_alloc(pool_get(0));
		memset(rte_pktmbuf_append(pkts[i], (uint16_t)(60 + 600 * i)), (int)i, 60 + 600 * i);
	}
	assert(vhost_ring_tx(&r, pkts, 1, &refused) <= 1);
	memcpy(mem, data + 2, SL_MIN(size - 2, sizeof mem));
	r.avail->idx = (uint16_t)(r.last_avail + (data[1] >> 3));
	assert(vhost_ring_tx(&r, pkts, 4, &refused) <= 4);
	vhost_ring_signal(&r);
	rte_pktmbuf_free_bulk(pkts, 4);
	pool_usage(&in_use, &total);
	assert(!in_use);
	return 0;
}
