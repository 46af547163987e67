/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
#include <stdlib.h>

/* Appends one op and returns its data words (zeroed), or a scratch area once overflowed. */
static inline union prog_word *prog_put(struct prog_builder *b, enum prog_op_code code, uint16_t a,
					uint32_t arg, uint8_t n_data_words)
{
	uint32_t need = b->n_words + 1u + n_data_words;

	if (need > PROG_MAX_WORDS) {
		b->overflow = true;
		b->n_words = 0;
		need = 1u + n_data_words;
	}
	if (need > b->cap) {
		b->cap = SL_MAX(need, SL_MAX(b->cap * 2u, 256u));
		b->word = xrealloc(b->word, b->cap * sizeof *b->word);
	}
	b->word[b->n_words].op =
		(struct prog_op){.code = (uint8_t)code, .n_words = n_data_words, .a = a, .b = arg};
	for (uint32_t i = 0; i < n_data_words; i++)
		b->word[b->n_words + 1 + i].u64 = 0;
	b->n_words = need;
	return &b->word[need - n_data_words];
}
