/* SPDX-License-Identifier: BSD-3-Clause */
/* The flat form of a rewrite against the interpreter: the same bytes, lengths and offsets for every
 * combination of rewriting ops on random packets; what is not flat is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "datapath/core/pool.h"
#include "datapath/exec/exec.h"
#include "datapath/exec/flat.h"
#include "datapath/flow/field.h"
#include "datapath/offload/checksum.h"

#include <rte_eal.h>

enum { OUT_PORT = 7, ROUNDS = 60000 };

static struct exec *exec;

static uint8_t any_byte(void)
{
	return (uint8_t)random();
}

/* ---- packets ---- */

struct frame {
	uint8_t bytes[256];
	uint32_t len;
	unsigned n_tags;
	bool v6;
	uint8_t proto;
};

static void finish_sums(struct frame *f)
{
	struct rte_mbuf *m = pool_from_bytes(f->bytes, f->len);
	struct headers h;

	assert_non_null(m);
	headers_parse(m, &h);
	if (h.l4_ok)
		checksum_l4(m, &h, false);
	memcpy(f->bytes, rte_pktmbuf_mtod(m, void *), f->len);
	rte_pktmbuf_free(m);
}

static unsigned put_tags(struct frame *f)
{
	unsigned at = 12;

	for (unsigned i = 0; i < f->n_tags; i++, at += 4) {
		store_be16(f->bytes + at, random() % 4 ? 0x8100 : 0x88a8);
		store_be16(f->bytes + at + 2, (uint16_t)random());
	}
	return at;
}

static void make_frame(struct frame *f)
{
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6,
					 99};
	unsigned payload = (unsigned)random() % 40, l4_bytes;

	memset(f, 0, sizeof *f);
	for (unsigned i = 0; i < sizeof f->bytes; i++)
		f->bytes[i] = any_byte();
	f->n_tags = (unsigned)random() % 3;
	f->v6 = random() % 3 == 0;
	f->proto = protos[random() % 5];
	unsigned at = put_tags(f);
	store_be16(f->bytes + at, f->v6 ? 0x86dd : 0x0800);
	uint8_t *ip = f->bytes + at + 2, *l4 = ip + (f->v6 ? 40 : 20);
	l4_bytes = (f->proto == IPPROTO_TCP ? 20 : 8) + payload;
	f->len = (uint32_t)(l4 - f->bytes) + l4_bytes;
	if (f->v6) {
		ip[0] = (uint8_t)(0x60 | (ip[0] & 15));
		store_be16(ip + 4, (uint16_t)l4_bytes);
		ip[6] = f->proto;
		ip[7] = (uint8_t)(5 + random() % 250);
	} else {
		ip[0] = 0x45;
		store_be16(ip + 2, (uint16_t)(20 + l4_bytes));
		store_be16(ip + 6, random() % 8 ? 0 : random() % 2 ? 0x2000 : 0x2005);
		ip[8] = (uint8_t)(5 + random() % 250);
		ip[9] = f->proto;
		checksum_ipv4_header(ip);
	}
	if (f->proto == IPPROTO_TCP)
		l4[12] = 0x50;
	if (f->proto == IPPROTO_UDP)
		store_be16(l4 + 4, (uint16_t)l4_bytes);
	finish_sums(f);
	if (f->proto == IPPROTO_UDP && random() % 8 == 0)
		memset(l4 + 6, 0, 2); /* sent without a checksum */
	if (random() % 16 == 0)
		f->len = 14 + (uint32_t)random() % (f->len - 14); /* cut short */
}

/* ---- programs ---- */

static void put_set(struct prog_builder *b, uint8_t anchor, uint8_t ofs, uint8_t n, uint8_t csum)
{
	struct prog_set *s = (struct prog_set *)prog_put(b, OP_SET, 0, 0, 5);
	bool whole = random() % 2;

	*s = (struct prog_set){.anchor = anchor, .ofs = ofs, .n_bytes = n, .csum = csum};
	for (unsigned i = 0; i < n; i++) {
		s->mask[i] = whole || !i ? 0xff : random() % 2 ? any_byte() : 0;
		s->value[i] = any_byte() & s->mask[i];
	}
}

static bool one_in(unsigned n)
{
	return (unsigned)random() % n == 0;
}

/* What resolve can make, in its order, for a packet like this one. */
static void make_program(struct prog_builder *b, const struct frame *f)
{
	unsigned pops = one_in(2) ? 0 : (unsigned)random() % (f->n_tags + 1);
	unsigned pushes = (unsigned)random() % 3, tags;

	if (f->n_tags - pops + pushes > 2)
		pushes = 2 - (f->n_tags - pops);
	tags = f->n_tags - pops + pushes;
	b->n_words = 0;
	for (unsigned i = 0; i < pops; i++)
		prog_put(b, OP_POP_VLAN, 0, 0, 0);
	for (unsigned i = 0; i < pushes; i++)
		prog_put(b, OP_PUSH_VLAN, cpu_to_be16(0x8100), (uint16_t)random(), 0);
	if (tags > 0 && one_in(3))
		put_set(b, HDR_VLAN, 0, 2, CSUM_NONE);
	if (tags > 1 && one_in(3))
		put_set(b, HDR_VLAN2, 0, 2, CSUM_NONE);
	if (one_in(2))
		put_set(b, HDR_ETH, one_in(2) ? 0 : 6, 6, CSUM_NONE);
	else if (one_in(2))
		put_set(b, HDR_ETH, 0, 12, CSUM_NONE);
	for (unsigned n = (unsigned)random() % 3; n; n--)
		prog_put(b, OP_DEC_TTL, 0, 0, 0);
	if (!f->v6) {
		if (one_in(3))
			put_set(b, HDR_L3, 1, 1, CSUM_IP);
		if (one_in(3))
			put_set(b, HDR_L3, 8, 1, CSUM_IP);
		if (one_in(2))
			put_set(b, HDR_L3, 12, 8, CSUM_PSEUDO);
	} else {
		if (one_in(3))
			put_set(b, HDR_L3, 0, 4, CSUM_NONE);
		if (one_in(3))
			put_set(b, HDR_L3, 7, 1, CSUM_NONE);
		if (one_in(2))
			put_set(b, HDR_L3, 8, 16, CSUM_PSEUDO6);
		if (one_in(2))
			put_set(b, HDR_L3, 24, 16, CSUM_PSEUDO6);
	}
	if ((f->proto == IPPROTO_TCP || f->proto == IPPROTO_UDP) && one_in(2))
		put_set(b, HDR_L4, 0, 4, CSUM_L4);
	if (f->proto == (f->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) && one_in(2))
		put_set(b, HDR_L4, one_in(2), 1, CSUM_L4);
	prog_put(b, OP_OUTPUT, 0, OUT_PORT, 0);
}

/* ---- comparison ---- */

/* The packet as the interpreter leaves it; NULL when it dropped it. */
static struct rte_mbuf *interpret(const struct prog_builder *b, const struct frame *f)
{
	struct packet p = {.m = pool_from_bytes(f->bytes, f->len)};
	struct tx_stage *s = exec->stage[OUT_PORT];
	struct rte_mbuf *m;

	assert_non_null(p.m);
	exec_run(exec, program_scratch(b), &p);
	if (!s->n)
		return NULL;
	m = s->pkt[0];
	s->n = 0;
	exec->n_pending = 0;
	return m;
}

/* Checksums of 0 and 0xffff are one number; which of them comes out depends on the steps taken. */
static bool same_bytes(const uint8_t *a, const uint8_t *b, uint32_t n, const struct flow_offsets *o)
{
	unsigned ip = o->ip_version == 4 ? o->l3 + 10u : UINT16_MAX;
	unsigned l4 = o->l4 ? o->l4 + (o->ip_proto == IPPROTO_TCP   ? 16u
				       : o->ip_proto == IPPROTO_UDP ? 6u
								    : 2u)
			    : UINT16_MAX;

	for (uint32_t i = 0; i < n; i++) {
		if (a[i] == b[i])
			continue;
		unsigned at = i == ip || i == ip + 1   ? ip
			      : i == l4 || i == l4 + 1 ? l4
						       : UINT16_MAX;
		if (at == UINT16_MAX || load_be16(a + at) % 0xffff || load_be16(b + at) % 0xffff)
			return false;
	}
	return true;
}

static void equals_the_interpreter(void **state)
{
	struct prog_builder b = {0};
	unsigned ran = 0, left = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct flat_rewrite f;
		struct flow_offsets ofs, after;
		struct flow_key key;
		struct frame frame;
		uint32_t out;

		srandom(i);
		make_frame(&frame);
		make_program(&b, &frame);
		assert_true(flat_rewrite_compile(&f, b.word, b.n_words, &out));
		assert_int_equal(out, OUT_PORT);
		struct rte_mbuf *want = interpret(&b, &frame);
		struct rte_mbuf *m = pool_from_bytes(frame.bytes, frame.len);
		flow_extract(frame.bytes, frame.len, frame.len, &key, &ofs);
		if (!flat_run(&f, m, &ofs)) {
			left++;
			assert_int_equal(m->pkt_len, frame.len);
			assert_memory_equal(rte_pktmbuf_mtod(m, void *), frame.bytes, frame.len);
		} else {
			const uint8_t *d = rte_pktmbuf_mtod(m, const uint8_t *);

			ran++;
			assert_non_null(want);
			assert_int_equal(m->pkt_len, want->pkt_len);
			assert_int_equal(m->data_len, want->data_len);
			assert_int_equal(m->data_off, want->data_off);
			flow_extract(d, m->data_len, m->pkt_len, &key, &after);
			if (!same_bytes(d, rte_pktmbuf_mtod(want, const uint8_t *), m->pkt_len,
					&after))
				fail_msg("packet %u differs", i);
		}
		rte_pktmbuf_free(m);
		rte_pktmbuf_free(want);
	}
	free(b.word);
	assert_true(ran > ROUNDS / 2);
	assert_true(left > ROUNDS / 100); /* headers that are not there */
}

/* With all of it rewritten, the sums are those of the packet that comes out. */
static void sums_are_right(void **state)
{
	struct prog_builder b = {0};

	for (unsigned i = 0; i < ROUNDS / 4; i++) {
		struct flat_rewrite f;
		struct flow_offsets ofs;
		struct flow_key key;
		struct frame frame;
		uint32_t out;

		srandom(i);
		make_frame(&frame);
		make_program(&b, &frame);
		flow_extract(frame.bytes, frame.len, frame.len, &key, &ofs);
		struct rte_mbuf *m = pool_from_bytes(frame.bytes, frame.len);
		bool was_right = offload_sum_ok(m);
		assert_true(flat_rewrite_compile(&f, b.word, b.n_words, &out));
		if (flat_run(&f, m, &ofs) && was_right && ofs.ip_version) {
			uint8_t *d = rte_pktmbuf_mtod(m, uint8_t *);
			uint8_t *ip = d + ofs.l3 + f.shift, field[2];

			assert_true(offload_sum_ok(m));
			memcpy(field, ip + 10, 2);
			if (ofs.ip_version == 4)
				checksum_ipv4_header(ip);
			assert_true(ofs.ip_version == 6 || (uint16_t)(load_be16(field) % 0xffff) ==
								   load_be16(ip + 10) % 0xffff);
		}
		rte_pktmbuf_free(m);
	}
	free(b.word);
}

static void pending_offloads_are_left(void **state)
{
	struct prog_builder b = {0};
	struct flat_rewrite f;
	struct flow_offsets ofs;
	struct flow_key key;
	struct frame frame;
	uint32_t out;

	do {
		make_frame(&frame);
		flow_extract(frame.bytes, frame.len, frame.len, &key, &ofs);
	} while (!ofs.l4);
	prog_put(&b, OP_PUSH_VLAN, cpu_to_be16(0x8100), 0, 0);
	prog_put(&b, OP_OUTPUT, 0, OUT_PORT, 0);
	assert_true(flat_rewrite_compile(&f, b.word, b.n_words, &out));
	struct rte_mbuf *m = pool_from_bytes(frame.bytes, frame.len);
	m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
	assert_false(flat_run(&f, m, &ofs));
	m->ol_flags = 0;
	m->data_off = 2; /* no room in front */
	assert_false(flat_run(&f, m, &ofs));
	rte_pktmbuf_free(m);
	free(b.word);
}

static bool compiles(struct prog_builder *b)
{
	struct flat_rewrite f;
	uint32_t out;

	return flat_rewrite_compile(&f, b->word, b->n_words, &out);
}

static void other_programs_are_refused(void **state)
{
	struct prog_builder b = {0};

	prog_put(&b, OP_DROP, DROP_NO_ACTIONS, 0, 0);
	assert_false(compiles(&b));
	b.n_words = 0; /* two outputs */
	prog_put(&b, OP_OUTPUT, 0, 1, 0);
	prog_put(&b, OP_OUTPUT, 0, 2, 0);
	assert_false(compiles(&b));
	b.n_words = 0; /* no output */
	prog_put(&b, OP_DEC_TTL, 0, 0, 0);
	assert_false(compiles(&b));
	b.n_words = 0; /* a tag written and then hidden */
	put_set(&b, HDR_VLAN, 0, 2, CSUM_NONE);
	prog_put(&b, OP_PUSH_VLAN, cpu_to_be16(0x8100), 0, 0);
	prog_put(&b, OP_OUTPUT, 0, 1, 0);
	assert_false(compiles(&b));
	b.n_words = 0; /* a TTL written and then decremented */
	put_set(&b, HDR_L3, 8, 1, CSUM_IP);
	prog_put(&b, OP_DEC_TTL, 0, 0, 0);
	prog_put(&b, OP_OUTPUT, 0, 1, 0);
	assert_false(compiles(&b));
	b.n_words = 0; /* headers of both versions */
	put_set(&b, HDR_L3, 12, 8, CSUM_PSEUDO);
	put_set(&b, HDR_L3, 8, 16, CSUM_PSEUDO6);
	prog_put(&b, OP_OUTPUT, 0, 1, 0);
	assert_false(compiles(&b));
	b.n_words = 0;
	put_set(&b, HDR_L4, 0, 4, CSUM_SCTP);
	prog_put(&b, OP_OUTPUT, 0, 1, 0);
	assert_false(compiles(&b));
	b.n_words = 0;
	for (unsigned i = 0; i < FLAT_TAGS_MAX + 1; i++)
		prog_put(&b, OP_PUSH_VLAN, cpu_to_be16(0x8100), 0, 0);
	prog_put(&b, OP_OUTPUT, 0, 1, 0);
	assert_false(compiles(&b));
	free(b.word);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equals_the_interpreter),
		cmocka_unit_test(sums_are_right),
		cmocka_unit_test(pending_offloads_are_left),
		cmocka_unit_test(other_programs_are_refused),
	};
	char *argv[] = {"test",        "--no-huge",      "-m", "64", "--no-pci",
			"--no-shconf", "--no-telemetry", "-l", "0",  "--log-level=4"};
	struct err e = {0};

	if (rte_eal_init(10, argv) < 0 || pool_init(1024, &e) < 0)
		return 1;
	exec = exec_create(0);
	exec_stage_create(exec, OUT_PORT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
