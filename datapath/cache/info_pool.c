/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/cache/info_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/block_stock.h"

enum {
	UNIT = 64,
	UNITS_MAX = 32, /* bigger ones are rare: programs of hundreds of words */
};

struct block {
	struct block *next;
	uint8_t pad[UNIT - sizeof(struct block *)];
	uint8_t space[BLOCK_STOCK_BYTES - UNIT];
};

struct info_pool {
	/* W: owner */
	struct info_piece *free[UNITS_MAX + 1];
	uint8_t *at, *end;    /* of the block that is being cut; at: R: main (relaxed) */
	struct block *blocks; /* all that were taken into use */
	uint8_t *middle;      /* of the first block; NULL: there is none; R: main (acquire) */
	bool many;            /* blocks; R: main (relaxed) */
	/* W: any thread pushes, the owner takes all (atomic) */
	struct info_piece *returned SL_CACHE_ALIGNED;
	struct block_stock stock SL_CACHE_ALIGNED; /* main fills it, the owner empties it */
};

int info_pool_create(struct info_pool **out)
{
	struct info_pool *p = aligned_alloc(SL_CACHE_LINE, sizeof *p);

	if (!p)
		return -ENOMEM;
	memset(p, 0, sizeof *p);
	*out = p;
	return 0;
}

/* A small switch has the pages that it needs of one block and none ahead: 4 MB less. */
void info_pool_prepare(struct info_pool *p)
{
	const uint8_t *middle = __atomic_load_n(&p->middle, __ATOMIC_ACQUIRE);

	if (__atomic_load_n(&p->many, __ATOMIC_RELAXED) ||
	    (middle && __atomic_load_n(&p->at, __ATOMIC_RELAXED) > middle))
		block_stock_prepare(&p->stock);
}

static bool next_block(struct info_pool *p)
{
	bool first = !p->blocks;
	struct block *b = first ? aligned_alloc(BLOCK_STOCK_BYTES, BLOCK_STOCK_BYTES)
				: block_stock_take(&p->stock);

	_Static_assert(sizeof *b == BLOCK_STOCK_BYTES, "as the stock has them");
	if (!b)
		return false;
	b->next = p->blocks;
	p->blocks = b;
	__atomic_store_n(&p->many, !first, __ATOMIC_RELAXED);
	__atomic_store_n(&p->at, b->space, __ATOMIC_RELAXED);
	p->end = b->space + sizeof b->space;
	if (first)
		__atomic_store_n(&p->middle, b->space + sizeof b->space / 2, __ATOMIC_RELEASE);
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
	__atomic_store_n(&p->at, p->at + units * UNIT, __ATOMIC_RELAXED);
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
	block_stock_free(&p->stock);
	for (struct block *b = p->blocks; b; b = next) {
		next = b->next;
		free(b);
	}
	free(p);
}
