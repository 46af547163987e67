/* SPDX-License-Identifier: BSD-3-Clause */
/* The shortest way: what a thread has seen pass both edges between two policed ports passes again
 * for a second by half a line of its own, instead of six shared ones. Only steady packets of TCP
 * and UDP over IPv4 come here. A policy, port or rule that changes raises the generation, which an
 * entry must equal; whatever else ends a connection is noticed when the second is over. Poll
 * threads. */
#include "datapath/policy/policy_edge_priv.h"
#include "datapath/policy/policy_live.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* 8,192 sets of eight, four to a line: half a megabyte of first lines, which with what else a burst
 * touches fits a second-level cache. 20,000 entries (10,000 connections both ways) leave 6 % of
 * them to second lines and none without room. */
enum { SETS_LOG = 13, WAYS = 8, LINE_WAYS = 4 };

/* kind << STAMP_BITS | time of the look at the connections, in STAMP_MS. */
enum { STAMP_BITS = 20, STAMP_MS_LOG = 3 };
enum { KINDS = 1 << (32 - STAMP_BITS), KINDS_MOST = KINDS / 4 * 3 };
struct policy_pair {
	uint32_t src, dst, ports;
	uint32_t note; /* 0: free */
};
_Static_assert(sizeof(struct policy_pair) == 16 && PORT_ID_MAX <= 1 << 12, "four in a line");

struct set {
	struct policy_pair way[WAYS]; /* a new one first */
};

/* What many entries have in common: 3,072 of them are the pairs of 55 guests that all talk to all
 * by one protocol. When there are more, all begin anew. */
struct kind {
	uint32_t edges;   /* in port << 20 | out port << 8 | IP protocol; 0: free */
	uint32_t slot[2]; /* of the edge it came by, of the one it leaves by */
};

/* Entries name kinds, and both are of one generation and one era: what changes it empties the
 * table. Kind 0 is none. */
struct policy_pair_table {
	struct set set[1 << SETS_LOG];
	struct kind kind[KINDS]; /* by hash, the next free one */
	uint32_t n_kinds;
	uint32_t generation; /* low bits */
	uint32_t era;        /* in which stamps are unambiguous */
};

static struct policy_pair_table *tables[THREADS_ALL]; /* W, R: its thread */

static inline uint32_t generation_of(const struct policy *p)
{
	return (uint32_t)__atomic_load_n(&p->generation, __ATOMIC_ACQUIRE);
}

static inline uint32_t stamp_of(uint64_t now_ms)
{
	return now_ms >> STAMP_MS_LOG & ((1u << STAMP_BITS) - 1);
}

static void clear(struct policy_pair_table *t)
{
	memset(t->set, 0, sizeof t->set);
	memset(t->kind, 0, sizeof t->kind);
	t->n_kinds = 0;
}

/* Of the generation and era that are now; NULL without memory. */
static struct policy_pair_table *table_of(unsigned thread_idx, uint64_t now_ms)
{
	struct policy_pair_table *t = tables[thread_idx];
	uint32_t generation = generation_of(policy_now());
	uint32_t era = (uint32_t)(now_ms >> (STAMP_MS_LOG + STAMP_BITS));

	if (SL_UNLIKELY(!t)) {
		t = tables[thread_idx] = edge_make_table(sizeof *t);
		if (!t)
			return NULL;
	}
	if (SL_UNLIKELY(t->generation != generation || t->era != era)) {
		clear(t);
		t->generation = generation;
		t->era = era;
	}
	return t;
}

static inline uint32_t hash_of(const struct policy_pair_key *k)
{
	uint64_t h = (k->w[0] << 32 | k->w[0] >> 32) * 0x9e3779b97f4a7c15ull;

	h = (h ^ k->w[1]) * 0xc4ceb9fe1a85ec53ull;
	return (uint32_t)(h >> (64 - SETS_LOG));
}

static inline uint32_t edges_of(uint32_t in_port, uint32_t out_port, uint8_t proto)
{
	return in_port << 20 | out_port << 8 | proto;
}

/* Without its edges: bit 4 i for way i of a line. Free ones are like nobody: no packet's addresses
 * and ports are all 0 and its kind too. */
#if defined(__SSE2__)
static inline unsigned alike(const struct policy_pair *e, const struct policy_pair_key *k)
{
	const __m128i *line = (const __m128i *)(const void *)e;
	const __m128i key = _mm_loadu_si128((const __m128i *)(const void *)k);
	__m128i low = _mm_packs_epi32(_mm_cmpeq_epi32(_mm_load_si128(line), key),
				      _mm_cmpeq_epi32(_mm_load_si128(line + 1), key));
	__m128i high = _mm_packs_epi32(_mm_cmpeq_epi32(_mm_load_si128(line + 2), key),
				       _mm_cmpeq_epi32(_mm_load_si128(line + 3), key));
	unsigned m = (unsigned)_mm_movemask_epi8(_mm_packs_epi16(low, high));

	return m & m >> 1 & m >> 2 & 0x1111;
}
#else
static inline unsigned alike(const struct policy_pair *e, const struct policy_pair_key *k)
{
	unsigned m = 0;

	for (unsigned i = 0; i < LINE_WAYS; i++)
		m |= (unsigned)!((e[i].src ^ k->src) | (e[i].dst ^ k->dst) |
				 (e[i].ports ^ k->ports))
		     << 4 * i;
	return m;
}
#endif

/* The entry with that key in one line, however old. */
static inline struct policy_pair *entry_in(const struct policy_pair_table *t, struct policy_pair *e,
					   const struct policy_pair_key *k)
{
	for (unsigned m = alike(e, k); m; m &= m - 1) {
		struct policy_pair *at = e + __builtin_ctz(m) / LINE_WAYS;

		if (SL_LIKELY(t->kind[at->note >> STAMP_BITS].edges == k->edges))
			return at;
	}
	return NULL;
}

/* Its kind; 0: not known, or too long ago. */
static inline uint16_t find_in(const struct policy_pair_table *t, struct policy_pair *line,
			       const struct policy_pair_key *k, uint32_t stamp)
{
	const struct policy_pair *e = entry_in(t, line, k);
	uint32_t ago;

	if (SL_UNLIKELY(!e))
		return 0;
	ago = (stamp - e->note) & ((1u << STAMP_BITS) - 1);
	return SL_LIKELY(ago < EDGE_RECENT_MS >> STAMP_MS_LOG) ? (uint16_t)(e->note >> STAMP_BITS)
							       : 0;
}

static inline uint16_t find(struct policy_pair_table *t, uint32_t at,
			    const struct policy_pair_key *k, uint32_t stamp)
{
	uint16_t kind = find_in(t, t->set[at].way, k, stamp);

	return kind ? kind : find_in(t, &t->set[at].way[LINE_WAYS], k, stamp);
}

static void set_tuple(struct ct_tuple *t, const struct policy_pair_key *k, uint32_t edge)
{
	ct_tuple_set4(t, k->src, k->dst, k->ports, POLICY_CONTEXT + edge, (uint8_t)k->edges);
}

/* The connections at both edges, of packets that no entry knows. */
static void prefetch_conns(const struct policy_pairs *b, const uint8_t *todo, unsigned n)
{
	const struct policy *p = policy_now();
	uint32_t in = edge_of(p, b->in_port), out = edge_of(p, b->out_port);
	struct conntrack_hint hint[CONNTRACK_BATCH];

	for (unsigned at = 0; at < n;) {
		unsigned k = 0;

		for (; at < n && k + 2 <= CONNTRACK_BATCH; at++) {
			set_tuple(&hint[k++].tuple, &b->key[todo[at]], in);
			set_tuple(&hint[k++].tuple, &b->key[todo[at]], out);
		}
		conntrack_prefetch(b->thread_idx, hint, k, true);
	}
}

/* Packets that were not in the first lines of their sets. */
static void find_late(struct policy_pairs *b, struct policy_pair_table *t, uint32_t late,
		      uint32_t stamp)
{
	uint8_t todo[POLICY_PAIRS_MAX];
	unsigned n_todo = 0;

	for (; late; late &= late - 1) {
		unsigned i = (unsigned)__builtin_ctz(late);

		b->kind[i] = find_in(t, &t->set[b->at[i]].way[LINE_WAYS], &b->key[i], stamp);
		if (!b->kind[i])
			todo[n_todo++] = (uint8_t)i;
	}
	if (SL_UNLIKELY(n_todo))
		prefetch_conns(b, todo, n_todo);
}

/* Notes which packets of the burst are known. The second line of a set is asked for by the few that
 * were not in the first. */
static void find_all(struct policy_pairs *b, struct policy_pair_table *t)
{
	uint32_t stamp = stamp_of(b->now_ms), late = 0;
	unsigned any = 0, all = KINDS - 1;

	for (unsigned i = 0; i < b->n; i++) {
		struct set *s = &t->set[b->at[i]];
		uint16_t kind = b->steady >> i & 1 ? find_in(t, s->way, &b->key[i], stamp) : 0;

		b->kind[i] = kind;
		any |= kind;
		all &= kind;
		if (SL_UNLIKELY(!kind) && b->steady >> i & 1) {
			__builtin_prefetch(&s->way[LINE_WAYS]);
			late |= 1u << i;
		}
	}
	if (SL_UNLIKELY(late)) {
		find_late(b, t, late, stamp);
		all = KINDS - 1;
		for (unsigned i = any = 0; i < b->n; i++) {
			any |= b->kind[i];
			all &= b->kind[i];
		}
	}
	b->common = any == all ? (uint16_t)all : 0;
}

void policy_pairs_begin(struct policy_pairs *b, struct rte_mbuf *const *pkt, unsigned n,
			uint32_t in_port, uint32_t out_port, uint64_t now_ms, unsigned thread_idx)
{
	struct policy_pair_table *t = table_of(thread_idx, now_ms);
	uint32_t steady = 0;
	uint64_t bytes = 0;

	b->in_port = in_port;
	b->out_port = out_port;
	b->now_ms = now_ms;
	b->thread_idx = thread_idx;
	b->n = n;
	b->common = 0;
	for (unsigned i = 0; i < n && t; i++) {
		const struct rte_mbuf *m = pkt[i];
		struct policy_pair_key *k = &b->key[i];
		struct plain4 p;

		bytes += m->pkt_len;
		b->at[i] = 0;
		if (!read_steady4(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, m->pkt_len,
				  &p))
			continue;
		/* in whole words: they are read soon */
		k->w[0] = p.src | (uint64_t)p.dst << 32;
		k->w[1] = p.ports | (uint64_t)edges_of(in_port, out_port, p.proto) << 32;
		steady |= 1u << i;
		b->at[i] = hash_of(k);
		__builtin_prefetch(&t->set[b->at[i]]);
	}
	b->steady = steady;
	b->bytes = bytes;
	if (steady)
		find_all(b, t);
}

/* Its place or the free one that it may take. Never 0. */
static uint16_t place_of(const struct policy_pair_table *t, const struct kind *want)
{
	uint64_t h = (want->edges ^ (uint64_t)want->slot[0] << 32) * 0x9e3779b97f4a7c15ull;
	uint32_t i = (uint32_t)((h ^ want->slot[1]) * 0xc4ceb9fe1a85ec53ull >> STAMP_BITS >> 32);

	while (!i || (t->kind[i].edges && memcmp(&t->kind[i], want, sizeof *want)))
		i = (i + 1) % KINDS;
	return (uint16_t)i;
}

static uint16_t kind_of(struct policy_pair_table *t, const struct kind *want)
{
	uint16_t i = place_of(t, want);

	if (t->kind[i].edges)
		return i;
	if (t->n_kinds == KINDS_MOST) {
		clear(t);
		i = place_of(t, want);
	}
	t->n_kinds++;
	t->kind[i] = *want;
	return i;
}

/* Where it was, so that it stays in the line in which it is looked for first; else in front. */
static struct policy_pair *place_for(struct policy_pair_table *t, struct set *s,
				     const struct policy_pair_key *k)
{
	for (unsigned i = 0; i < WAYS; i += LINE_WAYS) {
		struct policy_pair *e = entry_in(t, &s->way[i], k);

		if (e)
			return e;
	}
	memmove(&s->way[1], &s->way[0], (WAYS - 1) * sizeof s->way[0]);
	return &s->way[0];
}

/* The connections let it pass: so do they the next ones. Its kind; 0: one of them does not. */
static uint16_t make(const struct policy *p, const struct policy_pairs *b, unsigned i,
		     struct policy_pair_table *tab)
{
	const struct policy_pair_key *key = &b->key[i];
	uint32_t in_edge = edge_of(p, b->in_port), out_edge = edge_of(p, b->out_port);
	struct ct_conn *in, *out;
	unsigned dir_in, dir_out;
	struct ct_tuple t;
	uint16_t kind;

	if (limits_of(p, b->in_port, true) || limits_of(p, b->out_port, false))
		return 0;
	set_tuple(&t, key, in_edge);
	in = edge_find(p, &t, 0, in_edge, true, b->now_ms, b->thread_idx, &dir_in);
	if (!in)
		return 0;
	set_tuple(&t, key, out_edge);
	out = edge_find(p, &t, 0, out_edge, false, b->now_ms, b->thread_idx, &dir_out);
	if (!out)
		return 0;
	conn_touch(in, dir_in, (uint32_t)b->now_ms);
	conn_touch(out, dir_out, (uint32_t)b->now_ms);
	kind = kind_of(tab, &(struct kind){key->edges,
					   {__atomic_load_n(&in->mark, __ATOMIC_RELAXED),
					    __atomic_load_n(&out->mark, __ATOMIC_RELAXED)}});
	*place_for(tab, &tab->set[b->at[i]], key) = (struct policy_pair){
		key->src, key->dst, key->ports, (uint32_t)kind << STAMP_BITS | stamp_of(b->now_ms)};
	return kind;
}

static void count(const struct policy_pairs *b, const struct kind *k, uint64_t pkts, uint64_t bytes)
{
	for (unsigned i = 0; i < 2 && pkts; i++)
		policy_count_pkts(b->thread_idx, k->slot[i], pkts, bytes, b->now_ms);
}

unsigned policy_pairs_know(struct policy_pairs *b, struct rte_mbuf *const *pkt, unsigned i)
{
	const struct policy *p = policy_now();
	struct policy_pair_table *t = tables[b->thread_idx];
	bool found = i == 0; /* nothing has been forgotten since begin */
	struct kind k = {0}; /* of the packets in a row that are not counted yet */
	uint64_t pkts = 0, bytes = 0;
	uint16_t of = 0;

	if (SL_LIKELY(b->common && i == 0)) {
		count(b, &t->kind[b->common], b->n, b->bytes);
		return b->n;
	}
	for (; i < b->n && b->steady >> i & 1; i++) {
		uint16_t kind = b->kind[i];

		if (SL_UNLIKELY(!found || !kind)) {
			found = false;
			if (t->generation != generation_of(p))
				break;
			kind = find(t, b->at[i], &b->key[i], stamp_of(b->now_ms));
			of = kind ? of : 0; /* kinds may begin anew */
			if (!kind && !(kind = make(p, b, i, t)))
				break;
		}
		if (SL_UNLIKELY(kind != of)) {
			count(b, &k, pkts, bytes);
			pkts = bytes = 0;
			of = kind;
			k = t->kind[kind];
		}
		pkts++;
		bytes += pkt[i]->pkt_len;
	}
	count(b, &k, pkts, bytes);
	return i;
}

void edge_forget_pair(unsigned thread_idx, uint32_t src, uint32_t dst, uint32_t ports,
		      uint32_t in_port, uint32_t out_port, uint8_t proto)
{
	struct policy_pair_key k = {
		.w = {src | (uint64_t)dst << 32,
		      ports | (uint64_t)edges_of(in_port, out_port, proto) << 32}};
	struct policy_pair_table *t = tables[thread_idx];
	struct policy_pair *e;

	for (unsigned i = 0; i < WAYS && t; i += LINE_WAYS)
		while ((e = entry_in(t, &t->set[hash_of(&k)].way[i], &k)))
			e->note = 0;
}
