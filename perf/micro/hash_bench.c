/* SPDX-License-Identifier: BSD-3-Clause */
/* The hashes of datapath/base: the keyed one at the sizes of its tables, and the mixer. */
#include "datapath/base/hash.h"
#include "perf/micro/bench.h"

struct keyed {
	uint8_t bytes[256];
	size_t n;
};

/* Each hash feeds the next key: the latency that a lookup waits for. */
static void keyed_latency(void *ctx, uint64_t n)
{
	struct keyed *k = ctx;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t h = hash_bytes(k->bytes, k->n);
		__builtin_memcpy(k->bytes, &h, 6);
	}
	bench_use(k->bytes[0]);
}

/* Independent keys: what a burst of lookups pays. */
static void keyed_throughput(void *ctx, uint64_t n)
{
	struct keyed *k = ctx;
	for (uint64_t i = 0; i < n; i++) {
		k->bytes[0] = (uint8_t)i;
		bench_use(hash_bytes(k->bytes, k->n));
	}
}

static void mixer(void *ctx, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		bench_use(hash_u64(i));
}

int main(int argc, char **argv)
{
	static struct keyed k;
	bench_init(argc, argv, "hash");
	k.n = 8;
	bench_run("siphash 8 bytes (MAC, VLAN), latency", keyed_latency, &k, 1000000);
	bench_run("siphash 8 bytes (MAC, VLAN)", keyed_throughput, &k, 1000000);
	k.n = 16;
	bench_run("siphash 16 bytes (IPv4 5-tuple)", keyed_throughput, &k, 1000000);
	k.n = 40;
	bench_run("siphash 40 bytes (IPv6 5-tuple)", keyed_throughput, &k, 1000000);
	k.n = 64;
	bench_run("siphash 64 bytes (key line)", keyed_throughput, &k, 1000000);
	bench_run("hash_u64", mixer, NULL, 10000000);
	return bench_end();
}
