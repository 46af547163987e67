/* SPDX-License-Identifier: BSD-3-Clause */
/* The layout of tunnel options in the key: 64 words of 4 bytes, field i at word i as long as that
 * fits. See tun_opt.h for threads. */
#include "datapath/flow/tun_opt.h"

#include <errno.h>
#include <stdatomic.h>

#include "datapath/base/err.h"
#include "datapath/flow/key.h"

enum { WORDS = 64 };

/* Per field: word << 8 | words; 0 stands for the default (word i, one word). Read by any thread. */
static _Atomic uint16_t place[TUN_OPT_FIELDS];
static uint32_t uses[TUN_OPT_FIELDS]; /* bridges that map the field; configuration thread only */
/* Is the word taken by a field in use? Written by the configuration thread, read by any. */
static _Atomic uint8_t word_used[WORDS];

struct tun_opt_place tun_opt_place(unsigned i)
{
	uint16_t p = atomic_load_explicit(&place[i], memory_order_relaxed);
	unsigned word = p ? p >> 8 : i, words = p ? p & 0xff : 1;

	return (struct tun_opt_place){
		.offset = (uint16_t)(offsetof(struct flow, key.tun_opt) + 4 * word),
		.n_bytes = (uint16_t)(4 * words),
	};
}

unsigned tun_opt_word(unsigned i)
{
	return (tun_opt_place(i).offset - (unsigned)offsetof(struct flow, key.tun_opt)) / 4;
}

bool tun_opt_is_there(unsigned i)
{
	return atomic_load_explicit(&place[i], memory_order_relaxed) ||
	       !atomic_load_explicit(&word_used[i], memory_order_relaxed);
}

static bool is_free(unsigned word, unsigned n)
{
	if (word + n > WORDS)
		return false;
	for (unsigned w = word; w < word + n; w++)
		if (word_used[w])
			return false;
	return true;
}

static int find_room(unsigned i, unsigned n)
{
	if (is_free(i, n))
		return (int)i;
	/* From the end, where few fields have their first choice. */
	for (int w = WORDS - (int)n; w >= 0; w--)
		if (is_free((unsigned)w, n))
			return w;
	return -1;
}

enum { ANYWHERE = -1 };

static int acquire(unsigned i, unsigned n_bytes, int word, struct err *e)
{
	unsigned n = n_bytes / 4;

	if (i >= TUN_OPT_FIELDS || n_bytes % 4 || !n_bytes || n_bytes > TUN_OPT_MAX_BYTES)
		return err_set(e, EINVAL, "tun_metadata%u: option length %u is not 4, 8, … 124", i,
			       n_bytes);
	if (uses[i]) {
		if (tun_opt_place(i).n_bytes != n_bytes)
			return err_set(e, EEXIST, "tun_metadata%u: in use with options of %u bytes",
				       i, tun_opt_place(i).n_bytes);
		if (word != ANYWHERE && tun_opt_word(i) != (unsigned)word)
			return err_set(e, EEXIST, "tun_metadata%u: in use in another place", i);
		uses[i]++;
		return 0;
	}
	if (word == ANYWHERE)
		word = find_room(i, n);
	else if (!is_free((unsigned)word, n))
		word = -1;
	if (word < 0)
		return err_set(e, ENOSPC, "tun_metadata%u: no room for %u bytes of option", i,
			       n_bytes);
	for (unsigned w = 0; w < n; w++)
		word_used[(unsigned)word + w] = 1;
	uses[i] = 1;
	atomic_store_explicit(&place[i], (uint16_t)((unsigned)word << 8 | n), memory_order_relaxed);
	return 0;
}

int tun_opt_acquire(unsigned i, unsigned n_bytes, struct err *e)
{
	return acquire(i, n_bytes, ANYWHERE, e);
}

int tun_opt_acquire_at(unsigned i, unsigned n_bytes, unsigned word, struct err *e)
{
	return acquire(i, n_bytes, (int)SL_MIN(word, (unsigned)WORDS), e);
}

void tun_opt_release(unsigned i)
{
	struct tun_opt_place p;
	unsigned word;

	if (i >= TUN_OPT_FIELDS || !uses[i] || --uses[i])
		return;
	p = tun_opt_place(i);
	word = tun_opt_word(i);
	for (unsigned w = 0; w < p.n_bytes / 4u; w++)
		word_used[word + w] = 0;
	atomic_store_explicit(&place[i], 0, memory_order_relaxed);
}
