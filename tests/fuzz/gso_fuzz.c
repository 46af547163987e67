/* SPDX-License-Identifier: BSD-3-Clause */
/* A virtio-net header (10 bytes) and a packet: accepted or refused, and what is accepted can be
 * segmented and completed for a port without offloads; nothing leaks. */
#include <assert.h>
#include <string.h>

#include <rte_eal.h>

#include "datapath/offload/offload.h"
#include "datapath/offload/vnet.h"
#include "tests/unit/offload/packets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void emit(void *aux, struct rte_mbuf **pkts, unsigned n)
{
	uint32_t max = *(uint32_t *)aux;

	for (unsigned i = 0; i < n; i++) {
		assert(!offload_pending(pkts[i]));
		assert(pkts[i]->pkt_len <= max + 8);
	}
	rte_pktmbuf_free_bulk(pkts, n);
}

static void drop(void *aux, struct rte_mbuf *m, enum drop_reason why)
{
	assert(why == DROP_TX_MTU || why == DROP_TX_SEGMENT_NO_MBUF ||
	       why == DROP_TX_SEGMENT_UNSUPPORTED);
	rte_pktmbuf_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct packet pk;
	static bool started;
	struct virtio_net_hdr hdr;
	uint32_t max = 1514;
	const struct offload_sink sink = {emit, drop, NULL, &max};
	unsigned in_use, total;

	if (!started)
		eal_start();
	started = true;
	if (size < sizeof hdr + 15 || size > 60000)
		return 0;
	memcpy(&hdr, data, sizeof hdr);
	pk.len = (uint32_t)(size - sizeof hdr);
	memcpy(pk.bytes, data + sizeof hdr, pk.len);
	struct rte_mbuf *m = packet_mbuf(&pk, 256, 200);
	if (vnet_to_mbuf(&hdr, m) == DROP_NONE)
		offload_fixup(&m, 1, 0, max, &sink);
	else
		rte_pktmbuf_free(m);
	pool_usage(&in_use, &total);
	assert(!in_use);
	return 0;
}
