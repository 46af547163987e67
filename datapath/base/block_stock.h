/* SPDX-License-Identifier: BSD-3-Clause */
/* Blocks of 2 MB with their pages in place, made by one thread for others that must not wait for
 * the kernel: a page that is touched for the first time costs thousands of cycles. Grows with
 * demand: twice what went between two preparations, one when nothing does. */
#pragma once
#include "datapath/base/util.h"

enum { BLOCK_STOCK_BYTES = 2 << 20, BLOCK_STOCK_MAX = 8 };

struct block_stock {               /* all zero: empty */
	void *at[BLOCK_STOCK_MAX]; /* W: both (atomic) */
	uint32_t n_taken;          /* W: takers (atomic)  R: preparer */
	uint32_t seen_taken, want; /* W: preparer */
};

/* The preparing thread, every few milliseconds. */
void block_stock_prepare(struct block_stock *s);
/* Any thread. Made on the spot when there is none; NULL without memory. 2 MB aligned; not cleared;
 * free() gives it back. */
void *block_stock_take(struct block_stock *s);
void block_stock_free(struct block_stock *s); /* what was never taken */
