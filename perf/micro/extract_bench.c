/* SPDX-License-Identifier: BSD-3-Clause */
/* Packet to flow key: each depth, each kind of header chain; a burst's worth of packets that lie in
 * the first-level cache, so this is the parser's own cost. */
#include <stdio.h>
#include <stdlib.h>

#include "datapath/flow/extract.h"
#include "perf/gen/packet_set.h"
#include "perf/micro/bench.h"

enum { PACKETS = 32 };

struct extraction {
	struct packet_set set;
	enum extract_depth depth;
	struct flow_key key SL_CACHE_ALIGNED;
	struct flow_offsets ofs;
};

static void depth_given(void *ctx, uint64_t n)
{
	struct extraction *x = ctx;
	uint32_t bytes = x->set.uniform_bytes;
	for (uint64_t i = 0; i < n; i++) {
		const uint8_t *p = packet_set_at(&x->set, i % PACKETS);
		bench_use(flow_extract_depth(x->depth, p, bytes, bytes, &x->key, &x->ofs));
	}
}

static void l2_only(void *ctx, uint64_t n)
{
	struct extraction *x = ctx;
	for (uint64_t i = 0; i < n; i++) {
		flow_extract_l2(packet_set_at(&x->set, i % PACKETS), x->set.uniform_bytes, &x->key);
		bench_use(0);
	}
}

static void reference(void *ctx, uint64_t n)
{
	struct extraction *x = ctx;
	uint32_t bytes = x->set.uniform_bytes;
	for (uint64_t i = 0; i < n; i++) {
		const uint8_t *p = packet_set_at(&x->set, i % PACKETS);
		bench_use(flow_extract_reference(p, bytes, bytes, &x->key, &x->ofs));
	}
}

static const struct {
	const char *name;
	struct packet_set_spec spec;
} kinds[] = {
	{"UDP/IPv4", {.kind = PACKET_SET_L2, .flows = PACKETS}},
	{"TCP/IPv4", {.kind = PACKET_SET_L2, .flows = PACKETS, .tcp = true}},
	{"UDP/IPv4/VLAN", {.kind = PACKET_SET_L2, .flows = PACKETS, .vlan = 10}},
	{"TCP/IPv6", {.kind = PACKET_SET_L2, .flows = PACKETS, .tcp = true, .ipv6 = true}},
	{"ARP", {.kind = PACKET_SET_ARP, .flows = PACKETS}},
	{"neighbour solicitation", {.kind = PACKET_SET_ND, .flows = PACKETS}},
	{"VXLAN, outer only", {.kind = PACKET_SET_VXLAN, .flows = PACKETS}},
};

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		bench_fn *fn;
		enum extract_depth depth;
	} ways[] = {{"full", depth_given, EXTRACT_FULL},
		    {"line 0", depth_given, EXTRACT_L4},
		    {"L2 key line", depth_given, EXTRACT_L2},
		    {"L2, 32 bytes", l2_only, EXTRACT_L2},
		    {"reference", reference, EXTRACT_FULL}};
	static struct extraction x;
	char name[64];
	bench_init(argc, argv, "extract");
	for (size_t k = 0; k < SL_ARRAY_SIZE(kinds); k++) {
		struct err e = {0};
		if (packet_set_build(&x.set, &kinds[k].spec, &e)) {
			fprintf(stderr, "error: %s\n", e.text);
			return 1;
		}
		for (size_t w = 0; w < SL_ARRAY_SIZE(ways); w++) {
			x.depth = ways[w].depth;
			snprintf(name, sizeof name, "%s, %s", kinds[k].name, ways[w].name);
			bench_run(name, ways[w].fn, &x, 2000000);
		}
		packet_set_free(&x.set);
	}
	return bench_end();
}
