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

/* 16,384 lines of four, and for those that do not fit the line beside. 20,000 entries (10,000
 * connections both ways) leave 0.6 % of them to the other line; with half as many lines it was 6 %,
 * nearly every burst had one, and waited for it. */
enum { LINES_LOG = 14, WAYS = 4 };

/* kind << STAMP_BITS | time of the look at the connections, in STAMP_MS. */
enum { STAMP_BITS = 20, STAMP_MS_LOG = 3 };
enum { KINDS = 1 << (32 - STAMP_BITS), KINDS_MOST = KINDS / 4 * 3 };
struct line { /* one entry is one column */
	uint32_t src[WAYS], dst[WAYS], ports[WAYS];
	uint32_t note[WAYS]; /* 0: free */
} SL_CACHE_ALIGNED;
_Static_assert(sizeof(struct line) == SL_CACHE_LINE && PORT_ID_MAX <= 1 << 12, "one line");

/* What many entries have in common: 3,072 of them are the pairs of 55 guests that all talk to all
 * by one protocol. When there are more, all begin anew. */
struct kind {
	uint32_t edges;   /* in port << 20 | out port << 8 | IP protocol; 0: free */
	uint32_t slot[2]; /* of the edge it came by, of the one it leaves by */
};

/* Entries name kinds, and both are of one generation and one era: what changes it empties the
 * table. Kind 0 is none. */
struct policy_pair_table {
	struct line line[1 << LINES_LOG];
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
	memset(t->line, 0, sizeof t->line);
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
	return (uint32_t)(h >> (64 - LINES_LOG));
}

static inline uint32_t edges_of(uint32_t in_port, uint32_t out_port, uint8_t proto)
{
	return in_port << 20 | out_port << 8 | proto;
}

/* Bit per way with those addresses and ports. Free ones are nobody's: their kind has no edges. */
#if defined(__SSE2__)
static inline unsigned alike(const struct line *l, const struct policy_pair_key *k)
{
	const __m128i key = _mm_loadu_si128((const __m128i *)(const void *)k);
	const __m128i *row = (const __m128i *)(const void *)l;
	__m128i eq = _mm_cmpeq_epi32(_mm_load_si128(row), _mm_shuffle_epi32(key, 0x00));

	eq = _mm_and_si128(eq,
			   _mm_cmpeq_epi32(_mm_load_si128(row + 1), _mm_shuffle_epi32(key, 0x55)));
	eq = _mm_and_si128(eq,
			   _mm_cmpeq_epi32(_mm_load_si128(row + 2), _mm_shuffle_epi32(key, 0xaa)));
	return (unsigned)_mm_movemask_ps(_mm_castsi128_ps(eq));
}
#else
static inline unsigned alike(const struct line *l, const struct policy_pair_key *k)
{
	unsigned m = 0;

	for (unsigned i = 0; i < WAYS; i++)
		m |= (unsigned)!((l->src[i] ^ k->src) | (l->dst[i] ^ k->dst) |
				 (l->ports[i] ^ k->ports))
		     << i;
	return m;
}
#endif

/* The way of the entry with that key, however old; WAYS: none. */
static inline unsigned way_of(const struct policy_pair_table *t, const struct line *l,
			      const struct policy_pair_key *k)
{
	for (unsigned m = alike(l, k); m; m &= m - 1) {
		unsigned i = (unsigned)__builtin_ctz(m);

		if (SL_LIKELY(t->kind[l->note[i] >> STAMP_BITS].edges == k->edges))
			return i;
	}
	return WAYS;
}

static inline bool is_recent(uint32_t note, uint32_t stamp)
{
	return ((stamp - note) & ((1u << STAMP_BITS) - 1)) < EDGE_RECENT_MS >> STAMP_MS_LOG;
}

/* Its kind; 0: not known, or too long ago. */
static inline uint16_t find_in(const struct policy_pair_table *t, const struct line *l,
			       const struct policy_pair_key *k, uint32_t stamp)
{
	unsigned i = way_of(t, l, k);

	return SL_LIKELY(i < WAYS && is_recent(l->note[i], stamp))
		       ? (uint16_t)(l->note[i] >> STAMP_BITS)
		       : 0;
}

static inline uint16_t find(struct policy_pair_table *t, uint32_t at,
			    const struct policy_pair_key *k, uint32_t stamp)
{
	uint16_t kind = find_in(t, &t->line[at], k, stamp);

	return kind ? kind : find_in(t, &t->line[at ^ 1], k, stamp);
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

/* Packets that were not in their lines. */
static void find_late(struct policy_pairs *b, struct policy_pair_table *t, uint32_t late,
		      uint32_t stamp)
{
	uint8_t todo[POLICY_PAIRS_MAX];
	unsigned n_todo = 0;

	for (; late; late &= late - 1) {
		unsigned i = (unsigned)__builtin_ctz(late);

		b->kind[i] = find_in(t, &t->line[b->at[i] ^ 1], &b->key[i], stamp);
		if (!b->kind[i])
			todo[n_todo++] = (uint8_t)i;
	}
	if (SL_UNLIKELY(n_todo))
		prefetch_conns(b, todo, n_todo);
}

/* Notes which packets of the burst are known. The line beside is asked for by the few that were not
 * in theirs. */
static void find_all(struct policy_pairs *b, struct policy_pair_table *t, uint32_t stamp)
{
	uint32_t late = 0;

	for (uint32_t rest = b->steady; rest; rest &= rest - 1) {
		unsigned i = (unsigned)__builtin_ctz(rest);

		b->kind[i] = find_in(t, &t->line[b->at[i]], &b->key[i], stamp);
		if (SL_UNLIKELY(!b->kind[i])) {
			__builtin_prefetch(&t->line[b->at[i] ^ 1]);
			late |= 1u << i;
		}
	}
	if (late)
		find_late(b, t, late, stamp);
}

/* The kind of all packets of a burst, which all have these edges, when it is one and each is in its
 * line; else 0. Most bursts: what they have in common is compared once. */
static inline uint16_t common_kind(const struct policy_pairs *b, const struct policy_pair_table *t,
				   uint32_t edges, uint32_t stamp)
{
	uint32_t any = 0, all = UINT32_MAX;

	for (unsigned i = 0; i < b->n; i++) {
		const struct line *l = &t->line[b->at[i]];
		unsigned m = alike(l, &b->key[i]);
		uint32_t note;

		if (SL_UNLIKELY(!m))
			return 0;
		note = l->note[__builtin_ctz(m)];
		if (SL_UNLIKELY(!is_recent(note, stamp)))
			return 0;
		any |= note;
		all &= note;
	}
	return (any ^ all) >> STAMP_BITS || t->kind[all >> STAMP_BITS].edges != edges
		       ? 0
		       : (uint16_t)(all >> STAMP_BITS);
}

void policy_pairs_begin(struct policy_pairs *b, struct rte_mbuf *const *pkt, unsigned n,
			uint32_t in_port, uint32_t out_port, uint64_t now_ms, unsigned thread_idx)
{
	const uint32_t everyone = UINT32_MAX >> (POLICY_PAIRS_MAX - n);
	const uint32_t edges = edges_of(in_port, out_port, 0), stamp = stamp_of(now_ms);
	struct policy_pair_table *t = table_of(thread_idx, now_ms);
	uint32_t odd = t ? 0 : everyone, any = 0, all = UINT32_MAX;
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n && t; i++) {
		const struct rte_mbuf *m = pkt[i];
		struct policy_pair_key *k = &b->key[i];
		struct plain4 p;

		bytes += m->pkt_len;
		if (SL_UNLIKELY(!read_steady4(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len,
					      m->pkt_len, &p))) {
			odd |= 1u << i;
			continue;
		}
		any |= p.proto;
		all &= p.proto;
		/* in whole words: they are read soon */
		k->w[0] = p.src | (uint64_t)p.dst << 32;
		k->w[1] = p.ports | (uint64_t)(edges | p.proto) << 32;
		b->at[i] = hash_of(k);
		__builtin_prefetch(&t->line[b->at[i]]);
	}
	b->in_port = in_port;
	b->out_port = out_port;
	b->now_ms = now_ms;
	b->thread_idx = thread_idx;
	b->n = n;
	b->steady = everyone & ~odd;
	b->bytes = bytes;
	b->common = !odd && any == all ? common_kind(b, t, edges | any, stamp) : 0;
	if (!b->common && b->steady)
		find_all(b, t, stamp);
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

struct place {
	struct line *l;
	unsigned way;
};

static struct place place_of_entry(struct policy_pair_table *t, uint32_t at,
				   const struct policy_pair_key *k)
{
	struct line *l = &t->line[at];
	unsigned i = way_of(t, l, k);

	if (i < WAYS)
		return (struct place){l, i};
	l = &t->line[at ^ 1];
	return (struct place){l, way_of(t, l, k)};
}

/* A way that is free, or of no use any more. */
static unsigned free_way(const struct line *l, uint32_t stamp)
{
	unsigned i = 0;

	while (i < WAYS && l->note[i] && is_recent(l->note[i], stamp))
		i++;
	return i;
}

/* The first column, the others moved on. */
static unsigned push_out(struct line *l)
{
	const size_t n = (WAYS - 1) * sizeof l->src[0];

	memmove(&l->src[1], &l->src[0], n);
	memmove(&l->dst[1], &l->dst[0], n);
	memmove(&l->ports[1], &l->ports[0], n);
	memmove(&l->note[1], &l->note[0], n);
	return 0;
}

/* Where it was, else where nobody is, else in front. */
static void put(struct policy_pair_table *t, uint32_t at, const struct policy_pair_key *k,
		uint32_t note, uint32_t stamp)
{
	struct place p = place_of_entry(t, at, k);

	if (p.way == WAYS)
		p = (struct place){&t->line[at], free_way(&t->line[at], stamp)};
	if (p.way == WAYS)
		p = (struct place){&t->line[at ^ 1], free_way(&t->line[at ^ 1], stamp)};
	if (p.way == WAYS)
		p = (struct place){&t->line[at], push_out(&t->line[at])};
	p.l->src[p.way] = k->src;
	p.l->dst[p.way] = k->dst;
	p.l->ports[p.way] = k->ports;
	p.l->note[p.way] = note;
}

/* The connections let it pass: so do they the next ones. Its kind; 0: one of them does not. */
static uint16_t make(const struct policy *p, const struct policy_pairs *b, unsigned i,
		     struct policy_pair_table *tab)
{
	const struct policy_pair_key *key = &b->key[i];
	uint32_t in_edge = edge_of(p, b->in_port), out_edge = edge_of(p, b->out_port);
	uint32_t stamp = stamp_of(b->now_ms);
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
	put(tab, b->at[i], key, (uint32_t)kind << STAMP_BITS | stamp, stamp);
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
	struct place p;

	if (!t)
		return;
	while ((p = place_of_entry(t, hash_of(&k), &k)).way < WAYS)
		p.l->note[p.way] = 0;
}
