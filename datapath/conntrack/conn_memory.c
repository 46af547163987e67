/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/conntrack/conn_memory.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "datapath/base/block_stock.h"
#include "datapath/conntrack/ct_limits.h"
#include "datapath/core/rcu.h"

enum {
	SMALL_BYTES = 64 << 10, /* what buckets are cut from while they are few */
	COLLECT = 8,            /* handfuls at a time */
	CHUNK_BYTES = CONN_CHUNK * sizeof(struct ct_conn),
	CHUNKS_PER_BLOCK = BLOCK_STOCK_BYTES / CHUNK_BYTES,
	/* As many as there may be connections, a quarter that wait, and what threads have in hand.
	 */
	BLOCKS_MAX = CT_MAX_LARGEST / 4 * 5 / (CHUNKS_PER_BLOCK * CONN_CHUNK) + 16,
};

struct handful { /* connections that are no more */
	struct handful *next;
	struct rcu_moment since; /* when the last of them went */
	unsigned n;              /* fewer than there is room for: of a thread that ended */
	struct ct_conn *at[CONN_CHUNK];
	uint16_t port_id[CONN_CHUNK];
};

static struct block_stock stock;
static rte_spinlock_t lock = RTE_SPINLOCK_INITIALIZER;
static uint8_t *block[BLOCKS_MAX];               /* of connections; W: lock */
static uint32_t n_chunks;                        /* W: lock (release)  R: main */
static struct handful *waiting;                  /* oldest first; W: lock */
static struct handful **waiting_last = &waiting; /* likewise */
static struct handful *used;                     /* free to be used again; W: lock */
static struct handful *spare;                    /* empty ones; W: lock */
static uint8_t *bucket_block;                    /* W: lock */
static size_t bucket_left;                       /* likewise */
static uint64_t n_bytes;                         /* atomic */

static __thread struct { /* what this thread has in hand */
	struct ct_conn *at[CONN_CHUNK];
	unsigned n; /* taken from the end */
	struct handful *dying;
	unsigned n_dying;
} mine;

static uint8_t *next_chunk(void)
{
	uint32_t i = n_chunks;
	uint8_t **b = &block[i / CHUNKS_PER_BLOCK];

	if (i / CHUNKS_PER_BLOCK >= BLOCKS_MAX || i * CONN_CHUNK >= ct_limits_existing_max())
		return NULL;
	if (!*b && !(*b = block_stock_take(&stock)))
		return NULL;
	return *b + (size_t)(i % CHUNKS_PER_BLOCK) * CHUNK_BYTES;
}

/* Under the lock: nobody walks a chunk before its `live` are clear. */
static bool take_chunk(void)
{
	struct ct_conn *c = (struct ct_conn *)(void *)next_chunk();

	if (!c)
		return false;
	memset(c, 0, CHUNK_BYTES);
	for (unsigned i = 0; i < CONN_CHUNK; i++) {
		c[i].node[CONN_REPLY].dir = CONN_REPLY;
		mine.at[CONN_CHUNK - 1 - i] = &c[i];
	}
	mine.n = CONN_CHUNK;
	__atomic_add_fetch(&n_bytes, CHUNK_BYTES, __ATOMIC_RELAXED);
	__atomic_store_n(&n_chunks, n_chunks + 1, __ATOMIC_RELEASE);
	return true;
}

/* By runs: those of a flood are all of one port. */
static void book_waiting(const struct handful *h, int sign)
{
	unsigned from = 0;

	for (unsigned i = 1; i <= h->n; i++)
		if (i == h->n || h->port_id[i] != h->port_id[from]) {
			ct_limits_wait(h->port_id[from], sign * (int)(i - from));
			from = i;
		}
}

/* Under the lock. */
static void collect(unsigned max)
{
	for (struct handful *h; max-- && (h = waiting) && rcu_has_passed(&h->since);) {
		waiting = h->next;
		if (!waiting)
			waiting_last = &waiting;
		book_waiting(h, -1);
		h->next = used;
		used = h;
	}
}

void conn_memory_collect(void)
{
	if (!rte_spinlock_trylock(&lock))
		return; /* somebody else does */
	collect(COLLECT);
	spin_unlock(&lock);
}

static bool take_handful(void)
{
	struct handful *h;

	if (!used)
		collect(1);
	h = used;
	if (!h)
		return false;
	used = h->next;
	memcpy(mine.at, h->at, h->n * sizeof mine.at[0]);
	mine.n = h->n;
	h->next = spare;
	spare = h;
	return true;
}

static void fetch(const struct ct_conn *c)
{
	for (unsigned l = 0; l < sizeof *c; l += SL_CACHE_LINE)
		__builtin_prefetch((const uint8_t *)c + l, 1);
}

struct ct_conn *conn_memory_take(void)
{
	if (SL_UNLIKELY(!mine.n)) {
		rte_spinlock_lock(&lock);
		bool have = take_handful() || take_chunk();
		spin_unlock(&lock);
		if (!have)
			return NULL;
	}
	if (mine.n > 2)
		fetch(mine.at[mine.n - 3]);
	return mine.at[--mine.n];
}

void conn_memory_untake(struct ct_conn *c)
{
	mine.at[mine.n++] = c;
}

static struct handful *empty_handful(void)
{
	struct handful *h;

	rte_spinlock_lock(&lock);
	h = spare;
	if (h)
		spare = h->next;
	spin_unlock(&lock);
	return h ? h : malloc(sizeof *h);
}

/* What died by this thread, until nobody can hold it. */
static void let_wait(void)
{
	struct handful *h = mine.dying;

	h->n = mine.n_dying;
	h->next = NULL;
	book_waiting(h, 1);
	rte_spinlock_lock(&lock);
	h->since = rcu_now(); /* inside: their order is that of the list */
	*waiting_last = h;
	waiting_last = &h->next;
	spin_unlock(&lock);
	mine.dying = NULL;
	mine.n_dying = 0;
}

void conn_memory_retire(struct ct_conn *c)
{
	struct handful *h = mine.dying;

	if (!h && !(h = mine.dying = empty_handful()))
		return; /* without memory for 352 bytes: lost */
	h->at[mine.n_dying] = c;
	h->port_id[mine.n_dying] = c->port_id;
	if (++mine.n_dying < CONN_CHUNK)
		return;
	let_wait();
}

void conn_memory_leave(void)
{
	struct handful *h;

	if (mine.n_dying)
		let_wait();
	if (!mine.n || !(h = empty_handful()))
		return;
	h->n = mine.n;
	memcpy(h->at, mine.at, mine.n * sizeof h->at[0]);
	mine.n = 0;
	rte_spinlock_lock(&lock);
	h->next = used;
	used = h;
	spin_unlock(&lock);
}

static bool refill_buckets(void)
{
	bool many = __atomic_load_n(&n_bytes, __ATOMIC_RELAXED) > 2 * BLOCK_STOCK_BYTES;
	size_t n = many ? (size_t)BLOCK_STOCK_BYTES : (size_t)SMALL_BYTES;

	bucket_block = many ? block_stock_take(&stock) : aligned_alloc(SL_CACHE_LINE, n);
	bucket_left = bucket_block ? n : 0;
	return bucket_block;
}

/* So large only beyond a million connections: pages come when they are touched. */
static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void *conn_memory_buckets(size_t bytes)
{
	void *p = NULL;

	if (bytes > SMALL_BYTES) {
		p = map(bytes);
	} else {
		rte_spinlock_lock(&lock);
		if (bucket_left >= bytes || refill_buckets()) {
			bucket_left -= bytes;
			p = bucket_block + bucket_left;
		}
		spin_unlock(&lock);
	}
	if (p)
		__atomic_add_fetch(&n_bytes, bytes, __ATOMIC_RELAXED);
	return p;
}

void conn_memory_prepare(void)
{
	/* The first connection makes the first block itself: who tracks nothing pays nothing. */
	if (__atomic_load_n(&stock.n_taken, __ATOMIC_RELAXED))
		block_stock_prepare(&stock);
}

uint64_t conn_memory_bytes(void)
{
	return __atomic_load_n(&n_bytes, __ATOMIC_RELAXED);
}

struct ct_conn *conn_memory_chunk(uint32_t i)
{
	if (i >= __atomic_load_n(&n_chunks, __ATOMIC_ACQUIRE))
		return NULL;
	return (struct ct_conn *)(void *)(block[i / CHUNKS_PER_BLOCK] +
					  (size_t)(i % CHUNKS_PER_BLOCK) * CHUNK_BYTES);
}
