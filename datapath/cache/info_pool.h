/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory for one thread's struct mf_info: the poll thread takes, the main thread gives back,
 * neither waits for the other and neither calls malloc, whose arenas have locks that both would
 * need.
 *
 * Pieces are multiples of 64 bytes, cut from blocks of 2 MB that are never given back before the
 * pool goes. The main thread keeps some blocks ready with their pages in place: a page that is
 * touched for the first time costs the poll thread thousands of cycles. */
#pragma once
#include "datapath/base/util.h"

struct info_pool;

int info_pool_create(struct info_pool **out); /* main */
/* main, when the thread has ended; after a grace period, for infos that are still on their way back
 */
void info_pool_destroy(struct info_pool *p);
/* Owner. 64-byte aligned, not cleared; NULL without memory. The first 16 bytes of a piece are the
 * pool's, from here to the end. */
void *info_pool_get(struct info_pool *p, size_t n_bytes);
/* Any thread. */
void info_pool_put(struct info_pool *p, void *piece);
/* main, every few milliseconds: blocks for what the thread will need next. */
void info_pool_prepare(struct info_pool *p);

struct info_piece {              /* what a piece begins with */
	struct info_piece *next; /* W: who has it free */
	uint32_t units;          /* of 64 bytes; 0: too big for a block, from malloc */
	uint32_t pad;
};
