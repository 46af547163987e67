/* SPDX-License-Identifier: BSD-3-Clause */
/* The tracker: looking up established connections through the thread's cache and through the table,
 * a whole established packet, and new connections. */
#include <stdio.h>
#include <string.h>

#include "datapath/conntrack/conntrack.h"
#include "perf/micro/bench.h"

enum { CONNS_MAX = 1000000, PACKET_BYTES = 64 };

struct set {
	uint32_t n; /* connections */
	uint32_t at;
};

static uint8_t packet[PACKET_BYTES];
static struct flow_offsets ofs;

static inline struct ct_tuple tuple_of(uint32_t i)
{
	struct ct_tuple t;

	ct_tuple_set4(&t, cpu_to_be32(0x0a000000 + i), cpu_to_be32(0x0b000000),
		      cpu_to_be32(1000u << 16 | 53), 1, 17);
	return t;
}

static inline uint32_t next_of(struct set *s)
{
	s->at = s->at + 1 < s->n ? s->at + 1 : 0;
	return s->at;
}

static void grow(uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		struct ct_tuple t = tuple_of(i), r = ct_tuple_reverse(&t);
		struct ct_conn init = {.timeout_ms = 1u << 30, .phase = CONN_BIDIR}, *c;

		conn_table_insert(&t, ct_tuple_hash(&t), &r, &init, &c);
	}
}

static void recent(void *ctx, uint64_t n)
{
	struct set *s = ctx;

	for (uint64_t i = 0; i < n; i++) {
		struct ct_tuple t = tuple_of(next_of(s));

		bench_use((uint64_t)conntrack_lookup(0, &t));
	}
}

static void table(void *ctx, uint64_t n)
{
	struct set *s = ctx;

	for (uint64_t i = 0; i < n; i++) {
		struct ct_tuple t = tuple_of(next_of(s));

		bench_use((uint64_t)conn_table_find(&t));
	}
}

static void set_packet(uint32_t i)
{
	store_be32(packet + 26, 0x0a000000 + i);
}

static struct conntrack_request request(void)
{
	return (struct conntrack_request){.data = packet,
					  .len = sizeof packet,
					  .pkt_len = sizeof packet,
					  .ofs = &ofs,
					  .context = 1,
					  .now_ms = 1000};
}

static void established(void *ctx, uint64_t n)
{
	struct set *s = ctx;
	struct conntrack_request q = request();
	struct ct_rewrite rw;

	for (uint64_t i = 0; i < n; i++) {
		struct conntrack_meta m = {0};

		set_packet(next_of(s));
		conntrack_run(&q, &m, &rw);
		bench_use(m.state);
	}
}

static void commit(void *ctx, uint64_t n)
{
	static uint32_t at;
	struct conntrack_request q = request();
	struct ct_rewrite rw;

	q.context = 2;
	q.commit = true;
	for (uint64_t i = 0; i < n; i++) {
		struct conntrack_meta m = {0};

		set_packet(at++);
		conntrack_run(&q, &m, &rw);
		bench_use(m.state);
	}
}

/* As poll threads do it: a burst is looked for, found to be new, and committed when it came round;
 * each takes the place of the oldest half-open one. */
static void flood(void *ctx, uint64_t n)
{
	static uint32_t at;
	static struct conntrack_hint hint[CONNTRACK_BATCH];
	struct conntrack_request q = request();
	struct ct_rewrite rw;

	q.context = 3;
	if (!at && n > 1000) /* until the first are pushed out */
		n += CT_MAX_DEFAULT / 8 + 50000;
	for (uint64_t i = 0; i < n; i += CONNTRACK_BATCH, at += CONNTRACK_BATCH) {
		for (uint32_t k = 0; k < CONNTRACK_BATCH; k++)
			ct_tuple_set4(&hint[k].tuple, cpu_to_be32(0x0a000000 + at + k),
				      cpu_to_be32(0x0b000000),
				      cpu_to_be16(1000) | (uint32_t)cpu_to_be16(53) << 16,
				      q.context, 17);
		conntrack_prefetch(0, hint, CONNTRACK_BATCH, true);
		for (unsigned pass = 0; pass < 2; pass++)
			for (uint32_t k = 0; k < CONNTRACK_BATCH; k++) {
				struct conntrack_meta m = {0};

				set_packet(at + k);
				q.hint = &hint[k];
				q.commit = pass;
				conntrack_run(&q, &m, &rw);
				bench_use(m.state);
			}
	}
}

static void make_packet(void)
{
	struct flow_key key;

	store_be16(packet + 12, 0x0800);
	packet[14] = 0x45;
	store_be16(packet + 16, PACKET_BYTES - 14);
	packet[22] = 64;
	packet[23] = 17;
	store_be32(packet + 26, 0x0a000000);
	store_be32(packet + 30, 0x0b000000);
	store_be16(packet + 34, 1000);
	store_be16(packet + 36, 53);
	store_be16(packet + 38, PACKET_BYTES - 34);
	flow_extract(packet, sizeof packet, sizeof packet, &key, &ofs);
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[] = {1, 1000, 100000, CONNS_MAX};
	uint32_t have = 0;

	bench_init(argc, argv, "conntrack");
	make_packet();
	conntrack_thread_create(0);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(sizes); i++) {
		struct set s = {.n = sizes[i]};
		char name[64];

		grow(have, sizes[i]);
		have = sizes[i];
		snprintf(name, sizeof name, "look-up, recent first, %u connections", s.n);
		bench_run(name, recent, &s, 1000000);
		snprintf(name, sizeof name, "look-up, table, %u connections", s.n);
		bench_run(name, table, &s, 1000000);
		snprintf(name, sizeof name, "established UDP packet, %u connections", s.n);
		bench_run(name, established, &s, 1000000);
	}
	bench_run("new UDP connection", commit, NULL, 50000);
	fprintf(stderr, "%llu bytes a connection at %u\n",
		(unsigned long long)(conn_table_bytes() / (CONNS_MAX + 50000)), CONNS_MAX);
	bench_run("new UDP connections in bursts, in a flood", flood, NULL, 3200);
	return bench_end();
}
