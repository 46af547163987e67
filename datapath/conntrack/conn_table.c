/* SPDX-License-Identifier: BSD-3-Clause */
/* Invariants of a shard: n_nodes live nodes are in the buckets, each in that of its hash, its slot
 * naming its address and hash; FIRST_BUCKETS <= n_buckets <= BUCKETS_MAX. A split moves entries
 * between two buckets while readers walk: a reader that found nothing compares `splits` and looks
 * again when it changed or is odd. What a reader finds is compared with the node itself. */
#include "datapath/conntrack/conn_table.h"

#include <errno.h>

#include "datapath/conntrack/conn_memory.h"
#include "datapath/core/rcu.h"

enum {
	FIRST_BUCKETS_LOG = 2,
	FIRST_BUCKETS = 1 << FIRST_BUCKETS_LOG,
	BUCKETS_MAX = CT_HASH_TURNED, /* higher bits do not choose a bucket */
	SEGMENTS = 22 - FIRST_BUCKETS_LOG + 1,
	SLOTS = 7,
	/* Entries per bucket on average. Three leave one bucket in twelve with a second line; four
	 * would save 11 bytes a connection and make it one in seven. */
	LOAD = 3,
};

/* An entry: bits 6 to 46 of a node's address, the lower 6 bits of its hash below, 17 more above. */
#define ENTRY_ADDR 0x00007fffffffffc0ull
enum { ENTRY_HIGH_SHIFT = 47, ENTRY_LOW_BITS = 6 };

struct bucket {
	uint64_t slot[SLOTS]; /* 0: free; W: shard lock (release)  R: any */
	struct bucket *next;  /* when seven are not enough; W: shard lock (release)  R: any */
} SL_CACHE_ALIGNED;
_Static_assert(sizeof(struct bucket) == SL_CACHE_LINE, "one line");

struct shard {
	rte_spinlock_t lock;
	uint32_t splits;    /* odd: a split is going on; W: lock  R: any */
	uint32_t n_buckets; /* W: lock (release)  R: any */
	uint32_t n_nodes;   /* W: lock */
	uint32_t links;     /* nodes ever linked; W: lock (release)  R: any */
	/* Segment 0 is `first`, segment i > 0 has FIRST_BUCKETS << (i - 1); W: lock */
	struct bucket *segment[SEGMENTS];
	struct bucket *spare; /* W: lock */
	struct bucket first[FIRST_BUCKETS];
} SL_CACHE_ALIGNED;

static struct shard shards[CONN_SHARDS];

static inline unsigned shard_of(uint64_t hash)
{
	return (unsigned)(hash >> 56);
}

static inline uint64_t entry_of(const struct conn_node *n, uint32_t hash)
{
	return (uintptr_t)n | (hash & ((1 << ENTRY_LOW_BITS) - 1)) |
	       (uint64_t)(hash >> ENTRY_LOW_BITS) << ENTRY_HIGH_SHIFT;
}

static inline struct conn_node *node_of(uint64_t entry)
{
	return (struct conn_node *)(uintptr_t)(entry & ENTRY_ADDR);
}

static inline uint32_t hash_of(uint64_t entry)
{
	return (uint32_t)(entry & ((1 << ENTRY_LOW_BITS) - 1)) |
	       (uint32_t)(entry >> ENTRY_HIGH_SHIFT) << ENTRY_LOW_BITS;
}

static inline struct bucket *bucket_at(struct shard *s, uint32_t i)
{
	unsigned seg;

	if (i < FIRST_BUCKETS)
		return &s->first[i];
	seg = 32u - FIRST_BUCKETS_LOG - (unsigned)__builtin_clz(i);
	return &s->segment[seg][i - ((uint32_t)FIRST_BUCKETS << (seg - 1))];
}

static inline uint32_t index_of(uint32_t hash, uint32_t n_buckets)
{
	uint32_t mask = UINT32_MAX >> __builtin_clz(n_buckets - 1), i = hash & mask;

	return i < n_buckets ? i : i & (mask >> 1);
}

static inline uint32_t buckets(const struct shard *s)
{
	uint32_t n = __atomic_load_n(&s->n_buckets, __ATOMIC_ACQUIRE);

	return n ? n : FIRST_BUCKETS;
}

static inline struct bucket *bucket_of(struct shard *s, uint64_t hash)
{
	return bucket_at(s, index_of((uint32_t)hash, buckets(s)));
}

static inline bool may_be(uint64_t entry, uint64_t want)
{
	return !((entry ^ want) & ~ENTRY_ADDR) && entry & ENTRY_ADDR;
}

/* ---- looking ---- */
static struct conn_node *walk(const struct bucket *b, const struct ct_tuple *t, uint32_t hash)
{
	uint64_t want = entry_of(NULL, hash & (2 * CT_HASH_TURNED - 1));

	for (; b; b = rcu_load(&b->next))
		for (unsigned i = 0; i < SLOTS; i++) {
			uint64_t e = rcu_load(&b->slot[i]);
			struct conn_node *n = node_of(e);

			if (may_be(e, want) && ct_tuple_equal(&n->tuple, t) && conn_node_is_live(n))
				return n;
		}
	return NULL;
}

/* Is there an entry that may be of either direction of a connection that is not translated? */
static bool has_alike(const struct bucket *b, uint32_t hash)
{
	uint64_t want = entry_of(NULL, hash & (2 * CT_HASH_TURNED - 1));

	_Static_assert(CT_HASH_TURNED == 1u << (63 - ENTRY_HIGH_SHIFT + ENTRY_LOW_BITS),
		       "the direction is bit 63");
	for (; b; b = rcu_load(&b->next))
		for (unsigned i = 0; i < SLOTS; i++) {
			uint64_t e = rcu_load(&b->slot[i]);

			if (SL_UNLIKELY(!(((e ^ want) & ~ENTRY_ADDR) << 1) && e & ENTRY_ADDR))
				return true;
		}
	return false;
}

struct conn_node *conn_table_look(const struct ct_tuple *t, uint64_t hash, struct conn_absence *a)
{
	struct shard *s = &shards[shard_of(hash)];
	uint32_t splits = __atomic_load_n(&s->splits, __ATOMIC_ACQUIRE);

	a->links = __atomic_load_n(&s->links, __ATOMIC_ACQUIRE);
	a->known = false;
	if (SL_UNLIKELY(has_alike(bucket_of(s, hash), (uint32_t)hash)))
		return conn_table_find_hashed(t, hash);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (SL_UNLIKELY(splits & 1 || splits != __atomic_load_n(&s->splits, __ATOMIC_RELAXED)))
		return conn_table_find_hashed(t, hash);
	a->known = true;
	return NULL;
}

bool conn_table_is_absent(uint64_t hash, const struct conn_absence *a)
{
	return a->known &&
	       a->links == __atomic_load_n(&shards[shard_of(hash)].links, __ATOMIC_ACQUIRE);
}

struct conn_node *conn_table_find_hashed(const struct ct_tuple *t, uint64_t hash)
{
	struct shard *s = &shards[shard_of(hash)];

	for (;;) {
		uint32_t splits = __atomic_load_n(&s->splits, __ATOMIC_ACQUIRE);
		struct conn_node *n = walk(bucket_of(s, hash), t, (uint32_t)hash);

		if (SL_LIKELY(n != NULL))
			return n;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (!(splits & 1) && splits == __atomic_load_n(&s->splits, __ATOMIC_RELAXED))
			return NULL;
	}
}

struct conn_node *conn_table_find(const struct ct_tuple *t)
{
	return conn_table_find_hashed(t, ct_tuple_hash(t));
}

void conn_table_prefetch(uint64_t hash)
{
	__builtin_prefetch(bucket_of(&shards[shard_of(hash)], hash));
}

void conn_table_prefetch_node(uint64_t hash)
{
	const struct bucket *b = bucket_of(&shards[shard_of(hash)], hash);
	uint64_t want = entry_of(NULL, (uint32_t)hash & (2 * CT_HASH_TURNED - 1));

	__builtin_prefetch(b->next);
	for (unsigned i = 0; i < SLOTS; i++) {
		uint64_t e = rcu_load(&b->slot[i]);

		if (may_be(e, want)) {
			__builtin_prefetch(node_of(e));
			return;
		}
	}
}

/* ---- buckets, under the shard's lock ---- */
static void clear_bucket(struct bucket *b)
{
	memset(b, 0, sizeof *b);
}

/* n more second lines in s->spare. */
static bool have_spare(struct shard *s, unsigned n)
{
	for (struct bucket *b = s->spare; b && n; b = b->next)
		n--;
	while (n--) {
		struct bucket *b = conn_memory_buckets(sizeof *b);

		if (!b)
			return false;
		b->next = s->spare;
		s->spare = b;
	}
	return true;
}

static struct bucket *take_spare(struct shard *s)
{
	struct bucket *b = s->spare;

	s->spare = b->next;
	clear_bucket(b);
	return b;
}

struct place { /* of an entry in the lines of a bucket */
	struct bucket *b;
	unsigned i;
};

/* The next free one from *at on; false: no memory. */
static bool find_free(struct shard *s, struct place *at)
{
	for (;; at->b = at->b->next, at->i = 0) {
		for (; at->i < SLOTS; at->i++)
			if (!at->b->slot[at->i])
				return true;
		if (at->b->next)
			continue;
		if (!have_spare(s, 1))
			return false;
		rcu_store(&at->b->next, take_spare(s));
	}
}

static bool has_room_for(struct shard *s, uint32_t i)
{
	unsigned seg;

	if (i >= BUCKETS_MAX)
		return false;
	seg = 32u - FIRST_BUCKETS_LOG - (unsigned)__builtin_clz(i);
	if (!s->segment[seg])
		s->segment[seg] = conn_memory_buckets(((size_t)FIRST_BUCKETS << (seg - 1)) *
						      sizeof(struct bucket));
	return s->segment[seg];
}

/* Where the next entry of a bucket that is dealt out goes. */
struct dealer {
	struct bucket *b;
	unsigned n;
};

static void deal(struct shard *s, struct dealer *d, uint64_t e)
{
	if (d->n == SLOTS) {
		if (!d->b->next)
			rcu_store(&d->b->next, take_spare(s));
		d->b = d->b->next;
		d->n = 0;
	}
	rcu_store(&d->b->slot[d->n++], e);
}

/* Nothing behind d any more. */
static void end_deal(struct shard *s, struct dealer *d)
{
	struct bucket *rest = d->b->next, *next;

	for (unsigned i = d->n; i < SLOTS; i++)
		rcu_store(&d->b->slot[i], 0);
	rcu_store(&d->b->next, NULL);
	for (; rest; rest = next) { /* a reader there looks again, see above */
		next = rest->next;
		rest->next = s->spare;
		s->spare = rest;
	}
}

/* The next split comes some hundred connections later: time enough for its lines to come. */
static void prefetch_split(struct shard *s)
{
	uint32_t n = buckets(s), mask = UINT32_MAX >> __builtin_clz(n);

	__builtin_prefetch(bucket_at(s, n & (mask >> 1)), 1);
	if (n < BUCKETS_MAX && s->segment[32u - FIRST_BUCKETS_LOG - (unsigned)__builtin_clz(n)])
		__builtin_prefetch(bucket_at(s, n), 1);
}

/* One more bucket: the entries of the one whose hashes it shares are dealt out anew. */
static void split(struct shard *s)
{
	uint32_t n = buckets(s), mask = UINT32_MAX >> __builtin_clz(n), lines = 0;
	struct bucket *from = bucket_at(s, n & (mask >> 1)), *to;
	struct dealer stay = {from, 0}, go;

	for (const struct bucket *b = from->next; b; b = b->next)
		lines++;
	if (!has_room_for(s, n) || !have_spare(s, lines))
		return; /* longer chains, no failure */
	to = bucket_at(s, n);
	clear_bucket(to);
	go = (struct dealer){to, 0};
	__atomic_store_n(&s->splits, s->splits + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	for (struct bucket *b = from; b; b = b->next)
		for (unsigned i = 0; i < SLOTS; i++) {
			uint64_t e = b->slot[i];

			if (e)
				deal(s, (hash_of(e) & mask) == n ? &go : &stay, e);
		}
	end_deal(s, &stay);
	end_deal(s, &go);
	__atomic_store_n(&s->n_buckets, n + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&s->splits, s->splits + 1, __ATOMIC_RELEASE);
	prefetch_split(s);
}

/* ---- nodes, under the shard's lock ---- */
static void fill_node(struct conn_node *n, const struct ct_tuple *t, uint64_t hash)
{
	n->tuple = *t;
	n->hash = (uint32_t)hash & (2 * CT_HASH_TURNED - 1);
	n->shard = (uint8_t)shard_of(hash);
}

/* *at: where to begin to look for a free place in the node's bucket. */
static bool link_node(struct shard *s, struct conn_node *n, struct place *at)
{
	if (!find_free(s, at))
		return false;
	__atomic_store_n(&n->live, 1, __ATOMIC_RELEASE);
	rcu_store(&at->b->slot[at->i], entry_of(n, n->hash));
	s->n_nodes++;
	/* Last: who reads it finds the entry. */
	__atomic_store_n(&s->links, s->links + 1, __ATOMIC_RELEASE);
	return true;
}

static void clear_slot(struct bucket *b, uint64_t entry)
{
	for (; b; b = b->next)
		for (unsigned i = 0; i < SLOTS; i++)
			if (b->slot[i] == entry) {
				rcu_store(&b->slot[i], 0);
				return;
			}
}

static void unlink_node(struct shard *s, struct conn_node *n)
{
	clear_slot(bucket_of(s, n->hash), entry_of(n, n->hash));
	__atomic_store_n(&n->live, 0, __ATOMIC_RELEASE);
	s->n_nodes--;
}

static void grow(struct shard *s)
{
	if (s->n_nodes > buckets(s) * LOAD)
		split(s);
}

static void lock_two(unsigned a, unsigned b)
{
	rte_spinlock_lock(&shards[SL_MIN(a, b)].lock);
	if (a != b)
		rte_spinlock_lock(&shards[SL_MAX(a, b)].lock);
}

static void unlock_two(unsigned a, unsigned b)
{
	spin_unlock(&shards[a].lock);
	if (a != b)
		spin_unlock(&shards[b].lock);
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
	memcpy(c->shift, init->shift, sizeof c->shift);
}

static bool link_both(struct ct_conn *c, struct shard *a, struct shard *b)
{
	struct conn_node *orig = &c->node[CONN_ORIG], *reply = &c->node[CONN_REPLY];
	struct place at = {bucket_of(b, reply->hash), 0}, from = {bucket_of(a, orig->hash), 0};

	if (!link_node(b, reply, &at))
		return false;
	/* Most are not translated: both are in one bucket. */
	if (link_node(a, orig, from.b == bucket_of(b, reply->hash) ? &at : &from))
		return true;
	unlink_node(b, reply);
	return false;
}

static void unlink_both(struct ct_conn *c, struct shard *a, struct shard *b)
{
	struct conn_node *orig = &c->node[CONN_ORIG], *reply = &c->node[CONN_REPLY];
	struct bucket *at = bucket_of(a, orig->hash);
	uint64_t entry[2] = {entry_of(orig, orig->hash), entry_of(reply, reply->hash)};
	unsigned left = 2;

	if (at != bucket_of(b, reply->hash)) {
		unlink_node(a, orig);
		unlink_node(b, reply);
		return;
	}
	for (; at && left; at = at->next)
		for (unsigned i = 0; i < SLOTS; i++)
			if (at->slot[i] == entry[0] || at->slot[i] == entry[1]) {
				rcu_store(&at->slot[i], 0);
				left--;
			}
	__atomic_store_n(&orig->live, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&reply->live, 0, __ATOMIC_RELEASE);
	a->n_nodes -= 2;
}

struct insertion {
	const struct ct_tuple *orig, *reply;
	uint64_t hash[2];
	const struct conn_absence *absence; /* of both; or NULL */
};

static int is_taken(const struct insertion *n, struct shard *a, struct shard *b)
{
	if (n->absence && conn_table_is_absent(n->hash[0], n->absence))
		return 0;
	if (walk(bucket_of(a, n->hash[0]), n->orig, (uint32_t)n->hash[0]))
		return -EEXIST;
	return walk(bucket_of(b, n->hash[1]), n->reply, (uint32_t)n->hash[1]) ? -EADDRINUSE : 0;
}

static int insert(const struct insertion *n, const struct ct_conn *init, struct ct_conn **out)
{
	unsigned a = shard_of(n->hash[0]), b = shard_of(n->hash[1]);
	struct ct_conn *c = NULL;
	int rc;

	lock_two(a, b);
	rc = is_taken(n, &shards[a], &shards[b]);
	if (!rc && !(c = conn_memory_take()))
		rc = -ENOMEM;
	if (c) {
		fill(c, init);
		fill_node(&c->node[CONN_ORIG], n->orig, n->hash[0]);
		fill_node(&c->node[CONN_REPLY], n->reply, n->hash[1]);
		if (link_both(c, &shards[a], &shards[b])) {
			*out = c;
			grow(&shards[a]);
			grow(&shards[b]);
		} else {
			conn_memory_untake(c);
			rc = -ENOMEM;
		}
	}
	unlock_two(a, b);
	return rc;
}

int conn_table_insert_plain(const struct ct_tuple *orig, uint64_t hash,
			    const struct conn_absence *absence, const struct ct_conn *init,
			    struct ct_conn **out)
{
	struct ct_tuple reply = ct_tuple_reverse(orig);
	struct insertion n = {orig, &reply, {hash, ct_tuple_hash_reverse(orig, hash)}, absence};

	*out = NULL;
	if (ct_tuple_equal(orig, &reply))
		return conn_table_find_hashed(orig, hash) ? -EEXIST : -EADDRINUSE;
	return insert(&n, init, out);
}

int conn_table_insert(const struct ct_tuple *orig, uint64_t hash, const struct ct_tuple *reply,
		      const struct ct_conn *init, struct ct_conn **out)
{
	struct ct_tuple plain = ct_tuple_reverse(orig);
	struct insertion n = {orig, reply, {hash, 0}, NULL};

	*out = NULL;
	if (ct_tuple_equal(&plain, reply))
		return conn_table_insert_plain(orig, hash, NULL, init, out);
	if (ct_tuple_equal(orig, reply))
		return conn_table_find_hashed(orig, hash) ? -EEXIST : -EADDRINUSE;
	n.hash[1] = ct_tuple_hash(reply);
	return insert(&n, init, out);
}

bool conn_table_remove(struct ct_conn *c)
{
	unsigned a = c->node[CONN_ORIG].shard, b = c->node[CONN_REPLY].shard;
	bool mine;

	lock_two(a, b);
	mine = c->node[CONN_ORIG].live;
	if (mine) {
		unlink_both(c, &shards[a], &shards[b]);
	}
	unlock_two(a, b);
	if (mine)
		conn_memory_retire(c);
	return mine;
}

void conn_table_prefetch_remove(const struct ct_conn *c)
{
	__builtin_prefetch(&c->node[CONN_ORIG], 1);
	__builtin_prefetch(&c->node[CONN_REPLY], 1);
	__builtin_prefetch(&c->lock, 1);
	__builtin_prefetch(&c->label, 1);
}

void conn_table_prefetch_remove_bucket(const struct ct_conn *c)
{
	const struct conn_node *n = &c->node[CONN_ORIG];

	__builtin_prefetch(bucket_of(&shards[n->shard], n->hash), 1);
}

/* ---- main ---- */
void conn_table_prepare(void)
{
	conn_memory_prepare();
}

bool conn_table_next(struct conn_cursor *at, struct ct_conn *out[CONN_CHUNK], unsigned *n)
{
	struct ct_conn *c = conn_memory_chunk(at->chunk);

	*n = 0;
	if (!c)
		return false;
	at->chunk++;
	for (unsigned i = 0; i < CONN_CHUNK; i++)
		if (conn_node_is_live(&c[i].node[CONN_ORIG]))
			out[(*n)++] = &c[i];
	return true;
}

uint64_t conn_table_bytes(void)
{
	return sizeof shards + conn_memory_bytes();
}

static bool entry_is_right(const struct shard *s, uint32_t bucket, uint64_t e)
{
	const struct conn_node *n = node_of(e);

	return n->live && n->shard == s - shards && n->hash == hash_of(e) &&
	       index_of(n->hash, buckets(s)) == bucket;
}

bool conn_table_check_invariants(void)
{
	for (unsigned i = 0; i < CONN_SHARDS; i++) {
		struct shard *s = &shards[i];
		uint32_t found = 0;

		for (uint32_t k = 0; k < buckets(s); k++)
			for (struct bucket *b = bucket_at(s, k); b; b = b->next)
				for (unsigned j = 0; j < SLOTS; j++) {
					if (!b->slot[j])
						continue;
					if (!entry_is_right(s, k, b->slot[j]))
						return false;
					found++;
				}
		if (found != s->n_nodes || s->splits & 1)
			return false;
	}
	return true;
}
