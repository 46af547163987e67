/* SPDX-License-Identifier: BSD-3-Clause */
/* A burst from packet to megaflow, as the poll loop does it: extract, hash, look up, verify, at
 * 1 … 1M megaflows and with every instruction set that this CPU has. Packets are copied into 32
 * buffers first, as a port would deliver them; "copy only" is what that costs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/cache/flow_cache.h"
#include "datapath/resolve/resolve.h"
#include "perf/gen/packet_set.h"
#include "perf/micro/bench.h"

enum { IN_PORT = 1, OUT_PORT = 2, BUFFER_BYTES = 128 + 128 + 64, VERSION = 1 };

struct cache_run {
	struct flow_cache *cache;
	struct port_cache *port;
	struct packet_set set;
	uint32_t next;
	struct burst burst;
	uint64_t missed;
};

/* Buffers as DPDK's pools lay them out, without a pool. */
static void make_buffers(struct burst *b)
{
	for (unsigned i = 0; i < BURST_MAX; i++) {
		char *p = aligned_alloc(64, BUFFER_BYTES);
		struct rte_mbuf *m = memset(p, 0, BUFFER_BYTES);
		m->buf_addr = p + 128;
		m->buf_len = BUFFER_BYTES - 128;
		m->data_off = 128;
		m->nb_segs = 1;
		rte_mbuf_refcnt_set(m, 1);
		b->pkt[i] = m;
	}
}

static void fill_burst(struct cache_run *r)
{
	const struct packet_set *set = &r->set;
	for (unsigned i = 0; i < BURST_MAX; i++) {
		struct rte_mbuf *m = r->burst.pkt[i];
		memcpy(rte_pktmbuf_mtod(m, void *), packet_set_at(set, r->next), 64);
		m->data_len = 64;
		m->pkt_len = 64;
		r->next = r->next + 1 == set->count ? 0 : r->next + 1;
	}
	r->burst.n = BURST_MAX;
}

static void copy_only(void *ctx, uint64_t n)
{
	struct cache_run *r = ctx;
	for (uint64_t i = 0; i < n; i += BURST_MAX) {
		fill_burst(r);
		bench_use(r->burst.n);
	}
}

static void classify(void *ctx, uint64_t n)
{
	struct cache_run *r = ctx;
	for (uint64_t i = 0; i < n; i += BURST_MAX) {
		fill_burst(r);
		flow_cache_classify(r->cache, r->port, &r->burst, VERSION, 1);
		for (unsigned k = 0; k < BURST_MAX; k++)
			r->missed += r->burst.mf[k] == NULL;
	}
}

/* What a learning bridge reads of a packet, or a whole 5-tuple. */
static void make_mask(struct flow_key *mask, bool exact)
{
	memset(mask, 0, sizeof *mask);
	memset(&mask->in_port, 0xff, sizeof mask->in_port);
	memset(&mask->recirc_id, 0xff, sizeof mask->recirc_id);
	memset(mask->eth_dst, 0xff, sizeof mask->eth_dst);
	memset(mask->eth_src, 0xff, sizeof mask->eth_src);
	memset(mask->vlan, 0xff, sizeof mask->vlan);
	if (!exact)
		return;
	memset(&mask->eth_type, 0xff, sizeof mask->eth_type);
	mask->ip_proto = 0xff;
	memset(&mask->ip_src, 0xff, sizeof mask->ip_src);
	memset(&mask->ip_dst, 0xff, sizeof mask->ip_dst);
	memset(&mask->tp_src, 0xff, sizeof mask->tp_src);
	memset(&mask->tp_dst, 0xff, sizeof mask->tp_dst);
}

/* One megaflow per packet of the set that has none yet. Time passes as needed for the quota. */
static uint32_t install(struct cache_run *r, bool exact)
{
	static struct resolve_result result;
	uint32_t now_ms = 1;
	result.cacheable = true;
	result.mask_lines = 1;
	make_mask(&result.mask, exact);
	result.prog.n_words = 0;
	prog_put(&result.prog, OP_OUTPUT, 0, OUT_PORT, 0);
	for (uint32_t i = 0; i < r->set.count; i++) {
		struct flow_key key = {0};
		struct flow_offsets ofs;
		struct megaflow *stale = NULL;
		uint16_t lines = flow_extract(packet_set_at(&r->set, i), 64, 64, &key, &ofs);
		key.in_port = IN_PORT;
		if (flow_cache_find(r->cache, r->port, &key, lines, VERSION, now_ms, &stale))
			continue;
		now_ms++;
		if (!flow_cache_install(r->cache, r->port, &key, lines, &result, stale, VERSION,
					now_ms)) {
			fprintf(stderr, "error: megaflow %u: not installed\n", i);
			exit(1);
		}
	}
	return r->cache->n_flows;
}

static void open_run(struct cache_run *r, uint32_t flows, bool exact)
{
	const struct packet_set_spec spec = {.kind = PACKET_SET_L2, .flows = flows};
	struct err e = {0};
	if (packet_set_build(&r->set, &spec, &e) ||
	    flow_cache_create(0, SL_MAX(flows + 1, 1024), &r->cache)) {
		fprintf(stderr, "error: no memory for %u flows. %s\n", flows, e.text);
		exit(1);
	}
	r->port = flow_cache_port(r->cache, IN_PORT);
	r->next = 0;
	r->missed = 0;
	install(r, exact);
}

static void measure(struct cache_run *r, uint32_t flows, bool exact)
{
	static const char *const isas[] = {"scalar", "sse42", "avx2", "avx512"};
	char name[80];
	for (size_t i = 0; i < SL_ARRAY_SIZE(isas); i++) {
		flow_cache_select_isa(isas[i]);
		if (strcmp(flow_cache_isa(), isas[i]))
			continue; /* this CPU does not have it */
		open_run(r, flows, exact);
		snprintf(name, sizeof name, "%s, %u flows, %u megaflows, %s",
			 exact ? "5-tuple" : "L2", flows, r->cache->n_flows, isas[i]);
		bench_run(name, classify, r, SL_MAX(1000000u, 2 * flows));
		if (r->missed) {
			fprintf(stderr, "error: %s: %llu packets missed\n", name,
				(unsigned long long)r->missed);
			exit(1);
		}
		flow_cache_destroy(r->cache);
		packet_set_free(&r->set);
	}
}

int main(int argc, char **argv)
{
	static struct cache_run r;
	static const uint32_t flows[] = {1, 1000, 10000, 100000, 1000000};
	bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
	bench_init(argc, argv, "cache");
	make_buffers(&r.burst);
	for (size_t i = 0; i < (quick ? 2 : SL_ARRAY_SIZE(flows)); i++) {
		flow_cache_select_isa("scalar");
		open_run(&r, flows[i], false);
		char name[80];
		snprintf(name, sizeof name, "copy only, %u packets", flows[i]);
		bench_run(name, copy_only, &r, SL_MAX(1000000u, 2 * flows[i]));
		flow_cache_destroy(r.cache);
		packet_set_free(&r.set);
		measure(&r, flows[i], false);
		measure(&r, flows[i], true);
	}
	return bench_end();
}
