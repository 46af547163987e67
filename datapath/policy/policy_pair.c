/* SPDX-License-Identifier: BSD-3-Clause */
/* The shortest way: what a thread has seen pass both edges between two policed ports passes again
 * for a second by half a line of its own, instead of six shared ones. Only steady packets of TCP
 * and UDP over IPv4 come here. A policy, port or rule that changes raises the generation, which an
 * entry must equal; whatever else ends a connection is noticed when the second is over. Poll
 * threads. */
#include "datapath/policy/policy_edge_priv.h"
#include "datapath/policy/policy_live.h"

/* 32,768 sets of four: 20,000 entries (10,000 connections both ways) leave 0.3 % of them without
 * room; with two in a set it was 12 %, and each of those cost what a connection costs. */
enum { SETS_LOG = 15, WAYS = 4 };

struct pair {
	struct policy_pair_key key; /* edges: in port << 20 | out port << 8 | IP protocol */
	uint32_t generation;        /* low bits; 0: free */
	uint32_t slot[2];           /* of the edge it came by, of the one it leaves by */
	uint32_t checked_ms;        /* against the connections */
};
_Static_assert(sizeof(struct pair) == 32 && PORT_ID_MAX <= 1 << 12, "two in a line");

struct set {
	struct pair way[WAYS]; /* the newest first */
};

static struct set *sets_of[THREADS_ALL]; /* W, R: its thread */

static struct set *table_of(unsigned thread_idx)
{
	if (SL_UNLIKELY(!sets_of[thread_idx]))
		sets_of[thread_idx] = edge_make_table(sizeof(struct set) << SETS_LOG);
	return sets_of[thread_idx];
}

static inline uint32_t hash_of(const struct policy_pair_key *k)
{
	uint64_t h = ((uint64_t)k->src << 32 | k->dst) * 0x9e3779b97f4a7c15ull;

	h = (h ^ ((uint64_t)k->edges << 32 | k->ports)) * 0xc4ceb9fe1a85ec53ull;
	return (uint32_t)(h >> (64 - SETS_LOG));
}

static inline uint32_t edges_of(uint32_t in_port, uint32_t out_port, uint8_t proto)
{
	return in_port << 20 | out_port << 8 | proto;
}

static inline struct pair *find(struct set *s, const struct policy_pair_key *k, uint32_t generation,
				uint64_t now_ms)
{
	for (unsigned i = 0; i < WAYS; i++) {
		struct pair *e = &s->way[i];

		if (!((e->key.src ^ k->src) | (e->key.dst ^ k->dst) | (e->key.ports ^ k->ports) |
		      (e->key.edges ^ k->edges) | (e->generation ^ generation)) &&
		    (uint32_t)now_ms - e->checked_ms < EDGE_RECENT_MS)
			return e;
	}
	return NULL;
}

static inline uint32_t generation_of(const struct policy *p)
{
	return (uint32_t)__atomic_load_n(&p->generation, __ATOMIC_ACQUIRE);
}

static void set_tuple(struct ct_tuple *t, const struct policy_pair_key *k, uint32_t port_id)
{
	ct_tuple_set4(t, k->src, k->dst, k->ports, POLICY_CONTEXT + port_id, (uint8_t)k->edges);
}

/* The connections at both edges, of packets that no entry knows. */
static void prefetch_conns(const struct policy_pairs *b, const uint8_t *todo, unsigned n)
{
	struct conntrack_hint hint[CONNTRACK_BATCH];

	for (unsigned at = 0; at < n;) {
		unsigned k = 0;

		for (; at < n && k + 2 <= CONNTRACK_BATCH; at++) {
			set_tuple(&hint[k++].tuple, &b->key[todo[at]], b->in_port);
			set_tuple(&hint[k++].tuple, &b->key[todo[at]], b->out_port);
		}
		conntrack_prefetch(b->thread_idx, hint, k, true);
	}
}

void policy_pairs_begin(struct policy_pairs *b, struct rte_mbuf *const *pkt, unsigned n,
			uint32_t in_port, uint32_t out_port, uint64_t now_ms, unsigned thread_idx)
{
	struct set *table = table_of(thread_idx);
	uint32_t generation = generation_of(policy_now());
	uint8_t todo[POLICY_PAIRS_MAX];
	unsigned n_todo = 0;

	b->in_port = in_port;
	b->out_port = out_port;
	b->now_ms = now_ms;
	b->thread_idx = thread_idx;
	b->n = n;
	b->steady = 0;
	for (unsigned i = 0; i < n && table; i++) {
		struct policy_pair_key *k = &b->key[i];
		struct plain4 p;

		if (!read_steady4(rte_pktmbuf_mtod(pkt[i], const uint8_t *), pkt[i]->data_len,
				  pkt[i]->pkt_len, &p))
			continue;
		*k = (struct policy_pair_key){p.src, p.dst, p.ports,
					      edges_of(in_port, out_port, p.proto)};
		b->steady |= 1u << i;
		b->at[i] = hash_of(k);
		__builtin_prefetch(&table[b->at[i]]);
		__builtin_prefetch(&table[b->at[i]].way[2]);
	}
	for (uint32_t rest = b->steady; rest; rest &= rest - 1) {
		unsigned i = (unsigned)__builtin_ctz(rest);

		if (!find(&table[b->at[i]], &b->key[i], generation, now_ms))
			todo[n_todo++] = (uint8_t)i;
	}
	if (SL_UNLIKELY(n_todo))
		prefetch_conns(b, todo, n_todo);
}

/* The connections let it pass: so do they the next ones. NULL: one of them does not. */
static struct pair *make(const struct policy *p, const struct policy_pairs *b, unsigned i,
			 uint32_t generation)
{
	struct set *s = &sets_of[b->thread_idx][b->at[i]];
	struct ct_conn *in, *out;
	unsigned dir_in, dir_out;
	struct ct_tuple t;

	if (limits_of(p, b->in_port, true) || limits_of(p, b->out_port, false))
		return NULL;
	set_tuple(&t, &b->key[i], b->in_port);
	in = edge_find(p, &t, 0, b->in_port, true, b->now_ms, b->thread_idx, &dir_in);
	if (!in)
		return NULL;
	set_tuple(&t, &b->key[i], b->out_port);
	out = edge_find(p, &t, 0, b->out_port, false, b->now_ms, b->thread_idx, &dir_out);
	if (!out)
		return NULL;
	conn_touch(in, dir_in, (uint32_t)b->now_ms);
	conn_touch(out, dir_out, (uint32_t)b->now_ms);
	memmove(&s->way[1], &s->way[0], (WAYS - 1) * sizeof s->way[0]);
	s->way[0] = (struct pair){.key = b->key[i],
				  .generation = generation,
				  .slot = {__atomic_load_n(&in->mark, __ATOMIC_RELAXED),
					   __atomic_load_n(&out->mark, __ATOMIC_RELAXED)},
				  .checked_ms = (uint32_t)b->now_ms};
	return &s->way[0];
}

struct tally { /* packets in a row that the same two rules let pass */
	uint32_t slot[2];
	uint64_t pkts, bytes;
};

static void count(const struct policy_pairs *b, const struct tally *n)
{
	for (unsigned i = 0; i < 2 && n->pkts; i++)
		policy_count_pkts(b->thread_idx, n->slot[i], n->pkts, n->bytes, b->now_ms);
}

unsigned policy_pairs_know(struct policy_pairs *b, struct rte_mbuf *const *pkt, unsigned i)
{
	const struct policy *p = policy_now();
	uint32_t generation = generation_of(p);
	struct set *table = sets_of[b->thread_idx];
	struct tally n = {0};

	for (; i < b->n && b->steady >> i & 1; i++) {
		struct pair *e = find(&table[b->at[i]], &b->key[i], generation, b->now_ms);

		if (SL_UNLIKELY(!e) && !(e = make(p, b, i, generation)))
			break;
		if (SL_UNLIKELY(e->slot[0] != n.slot[0] || e->slot[1] != n.slot[1])) {
			count(b, &n);
			n = (struct tally){.slot = {e->slot[0], e->slot[1]}};
		}
		n.pkts++;
		n.bytes += pkt[i]->pkt_len;
	}
	count(b, &n);
	return i;
}

void edge_forget_pair(unsigned thread_idx, uint32_t src, uint32_t dst, uint32_t ports,
		      uint32_t in_port, uint32_t out_port, uint8_t proto)
{
	struct policy_pair_key k = {src, dst, ports, edges_of(in_port, out_port, proto)};
	struct set *s = sets_of[thread_idx];

	for (unsigned i = 0; i < WAYS && s; i++) {
		struct pair *e = &s[hash_of(&k)].way[i];

		if (!memcmp(&e->key, &k, sizeof k))
			e->generation = 0;
	}
}
