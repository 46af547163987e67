/* SPDX-License-Identifier: BSD-3-Clause */
/* Invariants of a shard: n_nodes live nodes are in the chains, each in the bucket of its hash;
 * FIRST_BUCKETS <= n_buckets <= max(FIRST_BUCKETS, n_nodes at its highest). A split moves nodes
 * between two chains while readers walk: a reader that found nothing compares `splits` and looks
 * again when it changed or is odd. */
#include "datapath/conntrack/conn_table.h"

#include <errno.h>
#include <stdlib.h>

#include "datapath/base/block_stock.h"
#include "datapath/core/rcu.h"

enum { FIRST_BUCKETS_LOG = 5, FIRST_BUCKETS = 1 << FIRST_BUCKETS_LOG, SEGMENTS = 22 };
enum { CHUNKS_STEP = 64 };

struct shard {
	rte_spinlock_t lock;
	uint32_t splits;    /* odd: a split is going on; W: lock  R: any */
	uint32_t n_buckets; /* W: lock (release)  R: any */
	uint32_t n_nodes;   /* W: lock */
	/* Segment 0 has FIRST_BUCKETS heads, segment i > 0 FIRST_BUCKETS << (i - 1); W: lock */
	struct conn_node **segment[SEGMENTS];
	struct ct_conn *free, *dead; /* W: lock */
	struct ct_conn **chunk;      /* array; W: lock; old ones freed after a grace period */
	uint32_t n_chunks, cap_chunks;
	struct conn_node *first[FIRST_BUCKETS];
} SL_CACHE_ALIGNED;

static struct shard shards[CONN_SHARDS];
static uint64_t n_bytes; /* atomic */

static inline unsigned shard_of(uint64_t hash)
{
	return (unsigned)(hash >> 56);
}

static inline struct conn_node **head_of(struct shard *s, uint32_t i)
{
	unsigned seg;

	if (i < FIRST_BUCKETS)
		return &s->first[i];
	seg = 32u - FIRST_BUCKETS_LOG - (unsigned)__builtin_clz(i);
	return &s->segment[seg][i - ((uint32_t)FIRST_BUCKETS << (seg - 1))];
}

static inline uint32_t bucket_of(uint32_t hash, uint32_t n_buckets)
{
	uint32_t mask = UINT32_MAX >> __builtin_clz(n_buckets - 1), i = hash & mask;

	return i < n_buckets ? i : i & (mask >> 1);
}

static inline uint32_t buckets(const struct shard *s)
{
	uint32_t n = __atomic_load_n(&s->n_buckets, __ATOMIC_ACQUIRE);

	return n ? n : FIRST_BUCKETS;
}

static struct conn_node *walk(struct shard *s, const struct ct_tuple *t, uint32_t hash)
{
	struct conn_node *n = rcu_load(head_of(s, bucket_of(hash, buckets(s))));

	while (n && !(n->hash == hash && ct_tuple_equal(&n->tuple, t) && conn_node_is_live(n)))
		n = rcu_load(&n->next);
	return n;
}

struct conn_node *conn_table_find_hashed(const struct ct_tuple *t, uint64_t hash)
{
	struct shard *s = &shards[shard_of(hash)];

	for (;;) {
		uint32_t splits = __atomic_load_n(&s->splits, __ATOMIC_ACQUIRE);
		struct conn_node *n = walk(s, t, (uint32_t)hash);

		if (SL_LIKELY(n != NULL))
			return n;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (!(splits & 1) && splits == __atomic_load_n(&s->splits, __ATOMIC_RELAXED))
			return NULL;
	}
}

void conn_table_prefetch(uint64_t hash)
{
	struct shard *s = &shards[shard_of(hash)];

	__builtin_prefetch(head_of(s, bucket_of((uint32_t)hash, buckets(s))));
}

void conn_table_prefetch_node(uint64_t hash)
{
	struct shard *s = &shards[shard_of(hash)];

	__builtin_prefetch(rcu_load(head_of(s, bucket_of((uint32_t)hash, buckets(s)))));
}

struct conn_node *conn_table_find(const struct ct_tuple *t)
{
	return conn_table_find_hashed(t, ct_tuple_hash(t));
}

/* ---- memory, under the shard's lock ---- */
/* Chunks are cut from blocks that the kernel may back with huge pages: connections lie all over
 * memory, and a look-up that also misses the TLB twice costs several times as much. */
static struct block_stock stock;

void conn_table_prepare(void)
{
	/* The first connection makes the first block itself: who tracks nothing pays nothing. */
	if (__atomic_load_n(&stock.n_taken, __ATOMIC_RELAXED))
		block_stock_prepare(&stock);
}

static struct ct_conn *cut_chunk(void)
{
	static rte_spinlock_t lock = RTE_SPINLOCK_INITIALIZER;
	static uint8_t *block;
	static size_t left;
	const size_t bytes = CONN_CHUNK * sizeof(struct ct_conn);
	void *c = NULL;

	rte_spinlock_lock(&lock);
	if (left < bytes) {
		block = block_stock_take(&stock);
		left = block ? BLOCK_STOCK_BYTES : 0;
	}
	if (left) {
		left -= bytes;
		c = block + left;
		__atomic_add_fetch(&n_bytes, bytes, __ATOMIC_RELAXED);
	}
	rte_spinlock_unlock(&lock);
	return c;
}

static bool add_chunk(struct shard *s, uint8_t home)
{
	struct ct_conn *c, **list;

	if (s->n_chunks == s->cap_chunks) {
		uint32_t cap = s->cap_chunks ? s->cap_chunks * 2 : CHUNKS_STEP;

		list = malloc(cap * sizeof *list);
		if (!list)
			return false;
		if (s->n_chunks)
			memcpy(list, s->chunk, s->n_chunks * sizeof *list);
		rcu_free_later(s->chunk);
		s->chunk = list;
		s->cap_chunks = cap;
	}
	c = cut_chunk();
	if (!c)
		return false;
	memset(c, 0, CONN_CHUNK * sizeof *c);
	for (unsigned i = 0; i < CONN_CHUNK; i++) {
		c[i].home = home;
		c[i].node[CONN_REPLY].dir = CONN_REPLY;
		c[i].free_next = s->free;
		s->free = &c[i];
	}
	s->chunk[s->n_chunks] = c;
	__atomic_store_n(&s->n_chunks, s->n_chunks + 1, __ATOMIC_RELEASE);
	return true;
}

static struct ct_conn *take(struct shard *s, uint8_t home)
{
	struct ct_conn *c;

	if (!s->free && !add_chunk(s, home))
		return NULL;
	c = s->free;
	s->free = c->free_next;
	return c;
}

/* ---- chains, under the shard's lock ---- */
static bool has_room_for(struct shard *s, uint32_t bucket)
{
	unsigned seg = 32u - FIRST_BUCKETS_LOG - (unsigned)__builtin_clz(bucket);
	size_t n = (size_t)FIRST_BUCKETS << (seg - 1);

	if (seg >= SEGMENTS)
		return false;
	if (s->segment[seg])
		return true;
	s->segment[seg] = calloc(n, sizeof(struct conn_node *));
	if (s->segment[seg])
		__atomic_add_fetch(&n_bytes, n * sizeof(struct conn_node *), __ATOMIC_RELAXED);
	return s->segment[seg];
}

/* One more bucket: the nodes of the one whose hashes it shares are dealt out anew. */
static void split(struct shard *s)
{
	uint32_t n = buckets(s), mask = UINT32_MAX >> __builtin_clz(n);
	struct conn_node **from, **to, *list, *next;

	if (!has_room_for(s, n))
		return; /* longer chains, no failure */
	from = head_of(s, n & (mask >> 1));
	to = head_of(s, n);
	__atomic_store_n(&s->splits, s->splits + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	list = *from;
	rcu_store(from, NULL);
	for (; list; list = next) {
		struct conn_node **head = (list->hash & mask) == n ? to : from;

		next = list->next;
		rcu_store(&list->next, *head);
		rcu_store(head, list);
	}
	__atomic_store_n(&s->n_buckets, n + 1, __ATOMIC_RELEASE);
	/* The next one will be split when some hundred connections more have come. */
	mask = UINT32_MAX >> __builtin_clz(n + 1);
	__builtin_prefetch(*head_of(s, (n + 1) & (mask >> 1)));
	__atomic_store_n(&s->splits, s->splits + 1, __ATOMIC_RELEASE);
}

static void link_node(struct shard *s, struct conn_node *n)
{
	struct conn_node **head = head_of(s, bucket_of(n->hash, buckets(s)));

	n->next = *head;
	__atomic_store_n(&n->live, 1, __ATOMIC_RELEASE);
	rcu_store(head, n);
	if (++s->n_nodes > buckets(s))
		split(s);
}

static void unlink_node(struct shard *s, struct conn_node *n)
{
	struct conn_node **at = head_of(s, bucket_of(n->hash, buckets(s)));

	while (*at && *at != n)
		at = &(*at)->next;
	if (*at)
		rcu_store(at, n->next); /* n->next stays: a reader may stand on n */
	__atomic_store_n(&n->live, 0, __ATOMIC_RELEASE);
	s->n_nodes--;
}

static void lock_two(unsigned a, unsigned b)
{
	rte_spinlock_lock(&shards[SL_MIN(a, b)].lock);
	if (a != b)
		rte_spinlock_lock(&shards[SL_MAX(a, b)].lock);
}

static void unlock_two(unsigned a, unsigned b)
{
	rte_spinlock_unlock(&shards[a].lock);
	if (a != b)
		rte_spinlock_unlock(&shards[b].lock);
}

static void fill_node(struct conn_node *n, const struct ct_tuple *t, uint64_t hash)
{
	n->tuple = *t;
	n->hash = (uint32_t)hash;
	n->shard = (uint8_t)shard_of(hash);
}

/* Takes over what is the connection's own; the slot keeps its place and links. */
static void fill(struct ct_conn *c, const struct ct_conn *init)
{
	rte_spinlock_init(&c->lock);
	c->mark = init->mark;
	memcpy(c->label, init->label, sizeof c->label);
	c->timeout_ms = init->timeout_ms;
	c->port_id = init->port_id;
	c->nat = init->nat;
	c->alg = init->alg;
	c->related = init->related;
	c->phase = init->phase;
	c->half_open = 0;
	list_init(&c->half_link);
	memcpy(c->side, init->side, sizeof c->side);
}

int conn_table_insert(const struct ct_tuple *orig, const struct ct_tuple *reply,
		      const struct ct_conn *init, struct ct_conn **out)
{
	uint64_t h[2] = {ct_tuple_hash(orig), ct_tuple_hash(reply)};
	unsigned a = shard_of(h[0]), b = shard_of(h[1]);
	struct ct_conn *c = NULL;
	int rc = 0;

	lock_two(a, b);
	if (walk(&shards[a], orig, (uint32_t)h[0]))
		rc = -EEXIST;
	else if (ct_tuple_equal(orig, reply) || walk(&shards[b], reply, (uint32_t)h[1]))
		rc = -EADDRINUSE;
	else if (!(c = take(&shards[a], (uint8_t)a)))
		rc = -ENOMEM;
	if (c) {
		fill(c, init);
		fill_node(&c->node[CONN_ORIG], orig, h[0]);
		fill_node(&c->node[CONN_REPLY], reply, h[1]);
		link_node(&shards[b], &c->node[CONN_REPLY]);
		link_node(&shards[a], &c->node[CONN_ORIG]);
	}
	unlock_two(a, b);
	*out = c;
	return rc;
}

bool conn_table_remove(struct ct_conn *c)
{
	unsigned a = c->node[CONN_ORIG].shard, b = c->node[CONN_REPLY].shard;
	bool mine;

	lock_two(a, b);
	mine = c->node[CONN_ORIG].live;
	if (mine) {
		unlink_node(&shards[a], &c->node[CONN_ORIG]);
		unlink_node(&shards[b], &c->node[CONN_REPLY]);
		c->free_next = shards[a].dead;
		shards[a].dead = c;
	}
	unlock_two(a, b);
	return mine;
}

static void give_back(void *p)
{
	struct ct_conn *first = p, *last = p;
	struct shard *s = &shards[first->home];

	while (last->free_next)
		last = last->free_next;
	rte_spinlock_lock(&s->lock);
	last->free_next = s->free;
	s->free = first;
	rte_spinlock_unlock(&s->lock);
}

void conn_table_reclaim(void)
{
	for (unsigned i = 0; i < CONN_SHARDS; i++) {
		struct shard *s = &shards[i];
		struct ct_conn *dead;

		if (!__atomic_load_n(&s->dead, __ATOMIC_RELAXED))
			continue;
		rte_spinlock_lock(&s->lock);
		dead = s->dead;
		s->dead = NULL;
		rte_spinlock_unlock(&s->lock);
		rcu_defer(give_back, dead);
	}
}

bool conn_table_next(struct conn_cursor *at, struct ct_conn *out[CONN_CHUNK], unsigned *n)
{
	struct ct_conn *c;

	*n = 0;
	for (; at->shard < CONN_SHARDS; at->shard++, at->chunk = 0) {
		struct shard *s = &shards[at->shard];

		if (at->chunk >= __atomic_load_n(&s->n_chunks, __ATOMIC_ACQUIRE))
			continue;
		rte_spinlock_lock(&s->lock); /* the array may be replaced */
		c = s->chunk[at->chunk++];
		rte_spinlock_unlock(&s->lock);
		for (unsigned i = 0; i < CONN_CHUNK; i++)
			if (conn_node_is_live(&c[i].node[CONN_ORIG]))
				out[(*n)++] = &c[i];
		return true;
	}
	return false;
}

uint64_t conn_table_bytes(void)
{
	return sizeof shards + __atomic_load_n(&n_bytes, __ATOMIC_RELAXED);
}

bool conn_table_check_invariants(void)
{
	for (unsigned i = 0; i < CONN_SHARDS; i++) {
		struct shard *s = &shards[i];
		uint32_t found = 0;

		for (uint32_t b = 0; b < buckets(s); b++)
			for (struct conn_node *n = *head_of(s, b); n; n = n->next, found++)
				if (!n->live || n->shard != i ||
				    bucket_of(n->hash, buckets(s)) != b)
					return false;
		if (found != s->n_nodes || s->splits & 1)
			return false;
	}
	return true;
}
