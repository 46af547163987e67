/* SPDX-License-Identifier: BSD-3-Clause */
/* What watching costs in its parts: a filter's program and what goes before it, for packets that it
 * does not keep; and the addition that counts a dropped packet. */
#include <stdio.h>

#include "datapath/core/counters.h"
#include "datapath/observe/bpf_filter.h"
#include "perf/micro/bench.h"

enum { PACKETS = 32, BUFFER_BYTES = 128 };

/* tcpdump -y EN10MB -ddd 'host 192.0.2.77 and tcp' */
static const struct bpf_insn_wire host_tcp[] = {
	{40, 0, 0, 12},    {21, 0, 7, 2048},       {32, 0, 0, 26}, {21, 2, 0, 0xc000024d},
	{32, 0, 0, 30},    {21, 0, 3, 0xc000024d}, {48, 0, 0, 23}, {21, 0, 1, 6},
	{6, 0, 0, 262144}, {6, 0, 0, 0},
};
/* tcpdump -y EN10MB -ddd 'tcp port 8080' */
static const struct bpf_insn_wire tcp_8080[] = {
	{40, 0, 0, 12},     {21, 0, 6, 0x86dd}, {48, 0, 0, 20},    {21, 0, 15, 6},
	{40, 0, 0, 54},     {21, 12, 0, 8080},  {40, 0, 0, 56},    {21, 10, 11, 8080},
	{21, 0, 10, 0x800}, {48, 0, 0, 23},     {21, 0, 8, 6},     {40, 0, 0, 20},
	{69, 6, 0, 0x1fff}, {177, 0, 0, 14},    {72, 0, 0, 14},    {21, 2, 0, 8080},
	{72, 0, 0, 16},     {21, 0, 1, 8080},   {6, 0, 0, 262144}, {6, 0, 0, 0},
};

static struct ctx {
	struct bpf_filter *filter;
	struct rte_mbuf packet[PACKETS];
	uint8_t bytes[PACKETS][BUFFER_BYTES] __attribute__((aligned(64)));
	struct port_counters counters;
} ctx;

/* TCP over IPv4 from 10.0.0.x:1000 to 10.0.1.1:1001 */
static void make_packets(void)
{
	for (unsigned i = 0; i < PACKETS; i++) {
		uint8_t *p = ctx.bytes[i];

		p[12] = 8;
		p[14] = 0x45;
		p[23] = 6;
		p[26] = p[30] = 10;
		p[29] = (uint8_t)i;
		p[32] = p[33] = 1;
		p[34] = p[36] = 3;
		p[35] = 0xe8;
		p[37] = 0xe9;
		ctx.packet[i].buf_addr = p;
		ctx.packet[i].data_len = 60;
		ctx.packet[i].pkt_len = 60;
		ctx.packet[i].nb_segs = 1;
	}
}

static void whole_filter(void *aux, uint64_t n)
{
	struct rte_mbuf *burst[PACKETS];

	for (unsigned i = 0; i < PACKETS; i++)
		burst[i] = &ctx.packet[i];
	for (uint64_t i = 0; i < n; i += PACKETS)
		bench_use(bpf_filter_burst(ctx.filter, burst, PACKETS));
}

static void program(void *aux, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		bench_use(bpf_filter_run(ctx.filter, &ctx.packet[i % PACKETS]));
}

static void count_drop(void *aux, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		counter_add(&ctx.counters.drop[i & 31], 1);
}

static int with_filter(const char *what, const struct bpf_insn_wire *p, size_t bytes)
{
	char name[80];

	if (bpf_filter_create(p, bytes, &ctx.filter, NULL))
		return -1;
	snprintf(name, sizeof name, "%s: filter", what);
	bench_run(name, whole_filter, NULL, 4000000);
	snprintf(name, sizeof name, "%s: program", what);
	bench_run(name, program, NULL, 1000000);
	bpf_filter_destroy(ctx.filter);
	return 0;
}

int main(int argc, char **argv)
{
	bench_init(argc, argv, "observe");
	make_packets();
	if (with_filter("host A and tcp", host_tcp, sizeof host_tcp) ||
	    with_filter("tcp port 8080", tcp_8080, sizeof tcp_8080))
		return 1;
	bench_run("drop counter", count_drop, NULL, 20000000);
	return bench_end();
}
