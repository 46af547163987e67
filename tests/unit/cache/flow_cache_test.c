/* SPDX-License-Identifier: BSD-3-Clause */
/* The flow cache against a made-up decision function: every hit must give what the function says
 * for that packet, at every instruction set, whatever masks came before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "datapath/cache/classify.h"
#include "datapath/cache/lattice.h"
#include "datapath/core/rcu.h"
#include "datapath/core/version.h"
#include "datapath/resolve/resolve.h"

enum { PACKETS = 4096, FRAME = 64 };

static struct burst *new_burst(void)
{
	struct burst *b = aligned_alloc(64, SL_ALIGN_UP(sizeof *b, 64));

	assert_non_null(b);
	memset(b, 0, sizeof *b);
	return b;
}

static struct rte_mbuf mbufs[BURST_MAX];
static uint8_t frames[PACKETS][FRAME + 64];

/* Ethernet, perhaps a tag, IPv4, UDP; few values per field, so that entries are shared. */
static void make_frames(unsigned seed)
{
	srandom(seed);
	for (unsigned i = 0; i < PACKETS; i++) {
		uint8_t *f = frames[i], *ip;
		unsigned at = 12;

		memset(f, 0, sizeof frames[i]);
		f[5] = (uint8_t)(random() % 5);
		f[0] = 2;
		f[11] = (uint8_t)(random() % 5);
		f[6] = 2;
		if (random() % 3 == 0) {
			store_be16(f + at, 0x8100);
			store_be16(f + at + 2, (uint16_t)(random() % 3));
			at += 4;
		}
		store_be16(f + at, 0x0800);
		ip = f + at + 2;
		ip[0] = 0x45;
		store_be16(ip + 2, (uint16_t)(FRAME - at - 2));
		ip[8] = (uint8_t)(1 + random() % 80);
		ip[9] = 17;
		store_be32(ip + 12, 0x0a000000u + (uint32_t)(random() % 2000));
		store_be32(ip + 16, 0x0a010000u + (uint32_t)(random() % 2000));
		store_be16(ip + 20, (uint16_t)(random() % 50));
		store_be16(ip + 22, (uint16_t)(random() % 50));
		store_be16(ip + 24, (uint16_t)(FRAME - at - 22));
	}
}

static void point_at(unsigned slot, unsigned frame)
{
	struct rte_mbuf *m = &mbufs[slot];

	memset(m, 0, sizeof *m);
	m->buf_addr = frames[frame];
	m->data_len = FRAME;
	m->pkt_len = FRAME;
	m->nb_segs = 1;
}

static union prog_word words[8];

/* What "the tables" decide: which fields they read depends on what they have read so far, as real
 * pipelines do. Returns the output port. */
static uint32_t decide(const struct flow_key *k, unsigned variant, struct resolve_result *r)
{
	struct flow_key *m = &r->mask;
	uint32_t out = 1 + k->eth_dst[5];

	memset(r, 0, sizeof *r);
	r->cacheable = true;
	r->mask_lines = 1;
	m->in_port = m->recirc_id = UINT32_MAX;
	memset(m->eth_dst, 0xff, 6);
	if (!variant && k->eth_dst[5] == 1) { /* still a shallow port */
		m->vlan[0].tci = 0xffff;
		out = out * 31 + be16_to_cpu(k->vlan[0].tci) % 5;
	}
	if (variant > 0 && k->eth_dst[5] > 1) {
		m->ip_dst = cpu_to_be32(0xffffff00);
		m->eth_type = 0xffff;
		out = out * 31 + (be32_to_cpu(k->ip_dst) >> 8) % 7;
		if (variant > 1 && out % 3 == 0) {
			m->tp_dst = 0xffff;
			m->ip_proto = 0xff;
			out = out * 31 + be16_to_cpu(k->tp_dst) % 5;
		}
		if (variant > 2 && out % 5 == 0) {
			m->ip_src = cpu_to_be32(0xffff8000u >> (out % 8) << (out % 8));
			m->vlan[0].tci = cpu_to_be16(0x1fff);
			out = out * 31 + (be32_to_cpu(k->ip_src) >> 15) +
			      be16_to_cpu(k->vlan[0].tci) % 3;
		}
	}
	out = 1 + out % 1000;
	words[0].op = (struct prog_op){.code = OP_OUTPUT, .b = out};
	r->prog.word = words;
	r->prog.n_words = 1;
	return out;
}

/* A burst of frames: mixed, or (every third) with the addresses and type of one, as a single
 * sender's are, and with the same tag in every other of those; one in four of them has a stranger
 * somewhere. */
static void choose_burst(struct burst *b, unsigned round)
{
	unsigned first = (unsigned)random() % PACKETS, other = (unsigned)random() % (4 * BURST_MAX);
	size_t alike = round % 2 ? 14 : 18;

	for (unsigned i = 0; i < BURST_MAX; i++) {
		unsigned frame = (unsigned)random() % PACKETS;

		while (round % 3 == 0 && i != other && memcmp(frames[frame], frames[first], alike))
			frame = (frame + 1) % PACKETS;
		point_at(i, frame);
		b->pkt[i] = &mbufs[i];
	}
}

static void every_hit_is_right(const char *isa, unsigned variant)
{
	struct flow_cache *c;
	struct burst *b = new_burst();
	struct resolve_result r, want;
	unsigned hits = 0, misses = 0, one_flow = 0;

	flow_cache_select_isa(isa);
	if (strcmp(flow_cache_isa(), isa)) {
		free(b);
		return; /* this CPU cannot; the others are compared */
	}
	assert_int_equal(flow_cache_create(0, 4096, &c), 0);
	struct port_cache *pc = flow_cache_port(c, 7);
	make_frames(variant + 1);
	for (unsigned round = 0; round < 600; round++) {
		uint32_t version = 1, now = round * 3;

		memset(b, 0xee, sizeof *b); /* nothing may rely on what an older burst left */
		b->measure = false;
		b->n = BURST_MAX;
		choose_burst(b, round);
		uint64_t by_cache = c->sig_hits + c->table_hits;
		flow_cache_classify(c, pc, b, version, now);
		struct megaflow *found[BURST_MAX];
		memcpy(found, b->mf, sizeof found);
		one_flow += pc->n_masks && b->one_flow;
		by_cache = c->sig_hits + c->table_hits - by_cache;
		for (unsigned i = 0; i < BURST_MAX; i++) {
			flow_cache_extract(b, i, 7, EXTRACT_FULL);
			uint32_t out = decide(&b->key[i], variant, &want);

			by_cache -= found[i] || b->stale[i];
			if (found[i]) {
				hits++;
				assert_int_equal(found[i]->out_port, out);
			}
		}
		assert_int_equal(by_cache, 0);
		for (unsigned i = 0; i < BURST_MAX; i++) {
			struct megaflow *stale;

			if (found[i])
				continue;
			uint32_t out = decide(&b->key[i], variant, &r);
			struct megaflow *mf = flow_cache_find(c, pc, &b->key[i], b->lines[i],
							      version, now, &stale);
			if (!mf) {
				misses++;
				mf = flow_cache_install(c, pc, &b->key[i], b->lines[i], &r, stale,
							version, now);
			}
			assert_true(!mf || mf->out_port == out);
		}
		flow_cache_recycle(c);
		flow_cache_sweep(c, now);
		flow_cache_check_invariants(c);
		assert_true(pc->n_masks <= MASKS_PER_PORT);
	}
	assert_true(hits > misses);
	/* only a shallow port has them */
	assert_true((one_flow > 0) == (!variant && strcmp(isa, "scalar")));
	flow_cache_destroy(c);
	rcu_run(UINT32_MAX);
	free(b);
}

static const char *const isas[] = {"scalar", "sse42", "avx2", "avx512"};

static void hits_are_right_at_every_isa(void **state)
{
	for (unsigned i = 0; i < SL_ARRAY_SIZE(isas); i++)
		for (unsigned variant = 0; variant < 4; variant++)
			every_hit_is_right(isas[i], variant);
}

/* A plain packet, or nearly one: one field in four of those that decide is wrong or odd. */
static void make_plain(uint8_t *p, struct rte_mbuf *m)
{
	const uint16_t types[] = {0x0800, 0x0800, 0x0800, 0x0806, 0x86dd, 0x8100, 0x0042};
	const uint8_t protos[] = {6, 17, 6, 17, 1, 132, 0};
	uint16_t len = (uint16_t)(40 + random() % 80);
	bool odd = random() % 2;
	uint8_t *ip = p + 14;

	for (unsigned i = 0; i < 128; i++)
		p[i] = (uint8_t)random();
	store_be16(p + 12, types[odd ? random() % 7 : 0]);
	ip[0] = odd && random() % 4 == 0 ? (uint8_t)random() : 0x45;
	store_be16(ip + 6, odd && random() % 4 == 0 ? (uint16_t)random() : 0x4000);
	store_be16(ip + 2, odd && random() % 2 ? (uint16_t)(random() % 130)
					       : (uint16_t)(len - 14 - random() % 3));
	ip[8] = (uint8_t)(random() % 40);
	ip[9] = protos[odd ? random() % 7 : random() % 2];
	if (!odd || random() % 2)
		ip[32] = (uint8_t)(5 + random() % 3) << 4 | (uint8_t)(random() % 16);
	memset(m, 0, sizeof *m);
	m->buf_addr = p;
	m->data_len = len;
	m->pkt_len = len + (odd && random() % 4 == 0 ? (unsigned)random() % 100000 : 0);
	m->nb_segs = 1;
}

/* What the look-up makes of a packet by short cuts is what the plain parser makes of it. */
static void keys_are_right_at_every_isa(void **state)
{
	static uint8_t bytes[BURST_MAX][128];
	struct burst *b = new_burst();

	for (unsigned isa = 0; isa < SL_ARRAY_SIZE(isas); isa++) {
		struct resolve_result r;
		struct flow_cache *c;

		flow_cache_select_isa(isas[isa]);
		if (strcmp(flow_cache_isa(), isas[isa]))
			continue;
		assert_int_equal(flow_cache_create(0, 64, &c), 0);
		struct port_cache *pc = flow_cache_port(c, 7);
		make_plain(bytes[0], &mbufs[0]);
		b->pkt[0] = &mbufs[0];
		flow_cache_extract(b, 0, 7, EXTRACT_FULL);
		decide(&b->key[0], 0, &r);
		memset(&r.mask, 0xff, FLOW_LINE_BYTES);
		assert_non_null(flow_cache_install(c, pc, &b->key[0], 1, &r, NULL, 1, 0));
		assert_int_equal(pc->relevant.depth, DEPTH_L4);
		for (unsigned round = 0; round < 2000; round++) {
			b->n = BURST_MAX;
			for (unsigned i = 0; i < BURST_MAX; i++) {
				make_plain(bytes[i], &mbufs[i]);
				b->pkt[i] = &mbufs[i];
			}
			memset(b->key, 0xee, sizeof b->key);
			memset(b->ofs, 0xee, sizeof b->ofs);
			flow_cache_classify(c, pc, b, 1, 0);
			for (unsigned i = 0; i < BURST_MAX; i++) {
				const struct rte_mbuf *m = b->pkt[i];
				struct flow_offsets ofs;
				struct flow_key key;

				memset(&key, 0, sizeof key);
				flow_extract_reference(bytes[i], m->data_len, m->pkt_len, &key,
						       &ofs);
				key.in_port = 7;
				assert_memory_equal(&b->key[i], &key, FLOW_LINE_BYTES);
				assert_int_equal(b->ofs[i].l4, ofs.l4);
				assert_int_equal(b->ofs[i].payload, ofs.payload);
				assert_int_equal(b->ofs[i].tail_pad, ofs.tail_pad);
				assert_int_equal(b->ofs[i].ip_version, ofs.ip_version);
				assert_true(b->hash[i] ==
					    classify_now->hash_relevant(c, &pc->relevant, &key));
			}
		}
		flow_cache_destroy(c);
		rcu_run(UINT32_MAX);
	}
	flow_cache_select_isa(NULL);
	free(b);
}

/* Random masks: more kinds than a port may have. */
static void masks_are_bounded_and_lookups_right(void **state)
{
	struct flow_cache *c;
	struct burst *b = new_burst();
	unsigned hits = 0, total = 0;

	flow_cache_select_isa(NULL);
	assert_int_equal(flow_cache_create(0, 1 << 16, &c), 0);
	struct port_cache *pc = flow_cache_port(c, 9);
	make_frames(77);
	for (unsigned n = 0; n < 60000; n++) {
		unsigned i = (unsigned)random() % PACKETS;
		struct megaflow *stale;

		point_at(0, i);
		b->pkt[0] = &mbufs[0];
		b->n = 1;
		flow_cache_classify(c, pc, b, 1, n / 100);
		total++;
		struct megaflow *mf = b->mf[0];
		flow_cache_extract(b, 0, 9, EXTRACT_FULL);
		/* The decision reads the frame's number by many different masks: exact on dst MAC,
		 * plus prefix lengths and ports that depend on the source MAC. */
		struct resolve_result r;
		uint32_t out = decide(&b->key[0], 3, &r);
		unsigned kind = b->key[0].eth_src[5] * 7u + b->key[0].ip_ttl;
		memset(r.mask.eth_src, 0xff, 6);
		r.mask.ip_ttl = 0xff;
		r.mask.ip_src |= cpu_to_be32(~0u << (kind % 33 == 32 ? 0 : 31 - kind % 32));
		if (kind & 1)
			r.mask.tp_src = 0xffff;
		if (kind & 2)
			r.mask.tp_dst = 0xffff;
		if (kind & 4)
			r.mask.ip_tos = 0xff;
		if (mf) {
			hits++;
			assert_int_equal(mf->out_port, out);
		} else if (!flow_cache_find(c, pc, &b->key[0], b->lines[0], 1, n / 100, &stale)) {
			flow_cache_install(c, pc, &b->key[0], b->lines[0], &r, stale, 1, n / 100);
		}
		flow_cache_recycle(c);
		assert_true(pc->n_masks <= MASKS_PER_PORT);
	}
	flow_cache_check_invariants(c);
	assert_true(pc->n_masks > 8);
	assert_true(hits * 10 > total * 9);
	flow_cache_flush(c);
	assert_int_equal(c->n_flows, 0);
	flow_cache_check_invariants(c);
	flow_cache_destroy(c);
	free(b);
}

static void rounding_only_adds_bits(void **state)
{
	srandom(5);
	for (unsigned n = 0; n < 20000; n++) {
		struct flow_key a = {0}, m;
		uint8_t *p = (uint8_t *)&a;
		uint16_t lines = 1;

		for (unsigned i = 0; i < 20; i++)
			p[(unsigned)random() % 128] |= (uint8_t)(1u << (random() % 8));
		lines |= 1u << FLOW_LINE_IPV6;
		m = a;
		enum lattice how = n & 1 ? LATTICE_FINE : LATTICE_COARSE;
		lattice_round_up(&m, lines, how);
		for (unsigned i = 0; i < 128; i++)
			assert_int_equal(p[i] & ~((uint8_t *)&m)[i], 0);
		struct flow_key again = m;
		lattice_round_up(&again, lines, how);
		assert_memory_equal(&again, &m, sizeof m);
	}
}

static void freed(struct credit_target *t)
{
	t->pkts = UINT64_MAX;
}

static void counts_reach_their_targets_exactly(void **state)
{
	struct flow_cache *c;
	struct burst *b = new_burst();
	struct credit_target target;
	uint64_t sent = 0;

	credit_init(&target, freed);
	flow_cache_select_isa(NULL);
	assert_int_equal(flow_cache_create(0, 64, &c), 0); /* small: evictions happen */
	struct port_cache *pc = flow_cache_port(c, 3);
	make_frames(3);
	for (unsigned n = 0; n < 20000; n++) {
		struct resolve_result r;
		struct megaflow *stale, *mf;

		point_at(0, (unsigned)random() % PACKETS);
		b->pkt[0] = &mbufs[0];
		flow_cache_extract(b, 0, 3, EXTRACT_FULL);
		mf = flow_cache_find(c, pc, &b->key[0], b->lines[0], 1, n, &stale);
		if (!mf) {
			decide(&b->key[0], 3, &r);
			r.mask.ip_src = UINT32_MAX;
			r.n_credits = 1;
			r.credits[0] = &target;
			mf = flow_cache_install(c, pc, &b->key[0], b->lines[0], &r, stale, 1, n);
			if (!mf)
				flow_cache_credit_once(c, &r, 100, n);
		}
		if (mf) {
			mf->pkts++;
			mf->bytes += 100;
		}
		sent++;
		flow_cache_recycle(c);
		if (n % 97 == 0) {
			flow_cache_collect(c, n);
			assert_int_equal(target.pkts, sent);
			assert_int_equal(target.bytes, sent * 100);
		}
	}
	flow_cache_destroy(c);
	assert_int_equal(target.pkts, sent);
	rcu_run(UINT32_MAX);
	assert_int_equal(target.refs, 1);
	free(b);
}

/* Entries are re-stamped when a change does not concern them, and found stale when it does. */
static void changes_reach_only_who_they_concern(void **state)
{
	struct flow_cache *c;
	struct burst *b = new_burst();
	struct resolve_result r;
	struct megaflow *stale;
	struct match m;

	flow_cache_select_isa(NULL);
	assert_int_equal(flow_cache_create(0, 64, &c), 0);
	struct port_cache *pc = flow_cache_port(c, 3);
	make_frames(4);
	point_at(0, 0);
	b->pkt[0] = &mbufs[0];
	b->n = 1;
	flow_cache_extract(b, 0, 3, EXTRACT_FULL);
	decide(&b->key[0], 0, &r);
	r.deps = version_dep(CHANGE_TABLE, 1, 0);
	uint32_t v = (uint32_t)version_now();
	struct megaflow *mf = flow_cache_install(c, pc, &b->key[0], b->lines[0], &r, NULL, v, 0);
	assert_non_null(mf);

	match_init(&m);
	memset(m.mask.key.eth_dst, 0xff, 6);
	memcpy(m.value.key.eth_dst, "\2\0\0\0\0\x77", 6); /* another destination */
	struct change other = {CHANGE_TABLE, version_dep(CHANGE_TABLE, 1, 0), minimatch_create(&m)};
	version_lock();
	v = (uint32_t)version_commit(&other, 1);
	version_unlock();
	flow_cache_classify(c, pc, b, v, 0);
	assert_ptr_equal(b->mf[0], mf);
	assert_int_equal(mf->stamp, v);

	memcpy(m.value.key.eth_dst, b->key[0].eth_dst, 6);
	struct change mine = {CHANGE_TABLE, version_dep(CHANGE_TABLE, 1, 0), minimatch_create(&m)};
	version_lock();
	v = (uint32_t)version_commit(&mine, 1);
	version_unlock();
	flow_cache_classify(c, pc, b, v, 0);
	assert_null(b->mf[0]);
	assert_ptr_equal(b->stale[0], mf);
	flow_cache_extract(b, 0, 3, EXTRACT_FULL);
	assert_ptr_equal(flow_cache_install(c, pc, &b->key[0], b->lines[0], &r, mf, v, 0), mf);
	assert_ptr_equal(flow_cache_find(c, pc, &b->key[0], b->lines[0], v, 0, &stale), mf);
	flow_cache_destroy(c);
	rcu_run(UINT32_MAX);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rounding_only_adds_bits),
		cmocka_unit_test(hits_are_right_at_every_isa),
		cmocka_unit_test(keys_are_right_at_every_isa),
		cmocka_unit_test(masks_are_bounded_and_lookups_right),
		cmocka_unit_test(counts_reach_their_targets_exactly),
		cmocka_unit_test(changes_reach_only_who_they_concern),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
