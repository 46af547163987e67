/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/cache/info_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
	UNIT = 64,
	UNITS_MAX = 32, /* bigger ones are rare: programs of hundreds of words */
	BLOCK_BYTES = 2 << 20,
	STOCK_MAX = 8,
};

struct block {
	struct block *next;
	uint8_t pad[UNIT - sizeof(struct block *)];
	uint8_t space[BLOCK_BYTES - UNIT];
};

struct info_pool {
	/* W: owner */
	struct info_piece *free[UNITS_MAX + 1];
	uint8_t *at, *end;    /* of the block that is being cut */
	struct block *blocks; /* all that were taken into use */
	uint32_t n_taken;     /* blocks, ever  R: main */
	/* W: any thread pushes, the owner takes all (atomic) */
	struct info_piece *returned SL_CACHE_ALIGNED;
	/* W: main fills empty places, the owner empties full ones (atomic) */
	struct block *stock[STOCK_MAX] SL_CACHE_ALIGNED;
	uint32_t seen_taken; /* W: main */
	uint32_t want;       /* how many to have ready; W: main */
};

int info_pool_create(struct info_pool **out)
{
	struct info_pool *p = aligned_alloc(SL_CACHE_LINE, sizeof *p);

	if (!p)
		return -ENOMEM;
	memset(p, 0, sizeof *p);
	p->want = 1;
	*out = p;
	return 0;
}

static struct block *make_block(void)
{
	struct block *b = aligned_alloc(BLOCK_BYTES, sizeof *b);

	_Static_assert(sizeof(struct block) == BLOCK_BYTES, "one huge page");
	if (b)
		madvise(b, sizeof *b, MADV_HUGEPAGE);
	return b;
}

void info_pool_prepare(struct info_pool *p)
{
	uint32_t taken = __atomic_load_n(&p->n_taken, __ATOMIC_RELAXED), used;

	used = taken - p->seen_taken;
	p->seen_taken = taken;
	/* Twice of what went since the last time; an idle thread has one block ready. */
	p->want = SL_MIN(SL_MAX(used * 2, SL_MAX(p->want / 2, 1u)), (uint32_t)STOCK_MAX);
	for (unsigned i = 0; i < p->want; i++) {
		struct block *b;

		if (__atomic_load_n(&p->stock[i], __ATOMIC_RELAXED) || !(b = make_block()))
			continue;
#ifdef MADV_POPULATE_WRITE
		if (madvise(b, sizeof *b, MADV_POPULATE_WRITE))
#endif
			for (size_t at = 0; at < sizeof *b; at += 4096)
				((volatile uint8_t *)b)[at] = 0;
		__atomic_store_n(&p->stock[i], b, __ATOMIC_RELEASE);
	}
}

static bool next_block(struct info_pool *p)
{
	struct block *b = NULL;

	for (unsigned i = 0; i < STOCK_MAX && !b; i++)
		if (__atomic_load_n(&p->stock[i], __ATOMIC_RELAXED))
			b = __atomic_exchange_n(&p->stock[i], NULL, __ATOMIC_ACQUIRE);
	if (!b && !(b = make_block()))
		return false;
	b->next = p->blocks;
	p->blocks = b;
	p->at = b->space;
	p->end = b->space + sizeof b->space;
	__atomic_store_n(&p->n_taken, p->n_taken + 1, __ATOMIC_RELAXED);
	return true;
}

static void take_returned(struct info_pool *p)
{
	struct info_piece *x = __atomic_exchange_n(&p->returned, NULL, __ATOMIC_ACQUIRE), *next;

	for (; x; x = next) {
		next = x->next;
		x->next = p->free[x->units];
		p->free[x->units] = x;
	}
}

void *info_pool_get(struct info_pool *p, size_t n_bytes)
{
	size_t units = SL_DIV_ROUND_UP(n_bytes, (size_t)UNIT);
	struct info_piece *x;

	if (SL_UNLIKELY(units > UNITS_MAX)) {
		x = aligned_alloc(UNIT, units * UNIT);
		if (x)
			x->units = 0;
		return x;
	}
	if (!p->free[units] && __atomic_load_n(&p->returned, __ATOMIC_RELAXED))
		take_returned(p);
	x = p->free[units];
	if (x) {
		p->free[units] = x->next;
		return x;
	}
	/* The rest of a block that is too short for this one is lost: 2 kB of 2 MB at most. */
	if ((size_t)(p->end - p->at) < units * UNIT && !next_block(p))
		return NULL;
	x = (void *)p->at;
	p->at += units * UNIT;
	x->units = (uint32_t)units;
	return x;
}

void info_pool_put(struct info_pool *p, void *piece)
{
	struct info_piece *x = piece;

	if (!x->units) {
		free(x);
		return;
	}
	x->next = __atomic_load_n(&p->returned, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&p->returned, &x->next, x, true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
}

void info_pool_destroy(struct info_pool *p)
{
	struct block *next;

	if (!p)
		return;
	for (unsigned i = 0; i < STOCK_MAX; i++)
		free(p->stock[i]);
	for (struct block *b = p->blocks; b; b = next) {
		next = b->next;
		free(b);
	}
	free(p);
}
