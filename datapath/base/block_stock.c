/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/base/block_stock.h"

#include <stdlib.h>
#include <sys/mman.h>

static void *make(void)
{
	void *b = aligned_alloc(BLOCK_STOCK_BYTES, BLOCK_STOCK_BYTES);

	if (b)
		madvise(b, BLOCK_STOCK_BYTES, MADV_HUGEPAGE);
	return b;
}

static void put_pages(void *b)
{
	enum { PAGE = 4096 };

#ifdef MADV_POPULATE_WRITE
	if (!madvise(b, BLOCK_STOCK_BYTES, MADV_POPULATE_WRITE))
		return;
#endif
	for (size_t at = 0; at < BLOCK_STOCK_BYTES; at += PAGE)
		((volatile uint8_t *)b)[at] = 0;
}

void block_stock_prepare(struct block_stock *s)
{
	uint32_t taken = __atomic_load_n(&s->n_taken, __ATOMIC_RELAXED);
	uint32_t used = taken - s->seen_taken;

	s->seen_taken = taken;
	s->want = SL_MIN(SL_MAX(used * 2, SL_MAX(s->want / 2, 1u)), (uint32_t)BLOCK_STOCK_MAX);
	for (unsigned i = 0; i < s->want; i++) {
		void *b;

		if (__atomic_load_n(&s->at[i], __ATOMIC_RELAXED) || !(b = make()))
			continue;
		put_pages(b);
		__atomic_store_n(&s->at[i], b, __ATOMIC_RELEASE);
	}
}

void *block_stock_take(struct block_stock *s)
{
	void *b = NULL;

	for (unsigned i = 0; i < BLOCK_STOCK_MAX && !b; i++)
		if (__atomic_load_n(&s->at[i], __ATOMIC_RELAXED))
			b = __atomic_exchange_n(&s->at[i], NULL, __ATOMIC_ACQUIRE);
	__atomic_add_fetch(&s->n_taken, 1, __ATOMIC_RELAXED);
	return b ? b : make();
}

void block_stock_free(struct block_stock *s)
{
	for (unsigned i = 0; i < BLOCK_STOCK_MAX; i++)
		free(s->at[i]);
}
