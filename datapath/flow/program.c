/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/flow/program.h"

#include <string.h>

void program_fill(struct program *p, const struct prog_builder *b)
{
	const struct prog_op *first = b->n_words ? &b->word[0].op : NULL;

	p->n_words = (uint16_t)b->n_words;
	p->flags = 0;
	p->out_port = 0;
	if (b->n_words)
		memcpy(p->word, b->word, b->n_words * sizeof *b->word);
	if (b->n_words == 2 && first->code == OP_POLICY_IN && b->word[1].op.code == OP_POLICY_OUT)
		p->flags = PROG_POLICED;
	if (b->n_words != 1u + (first ? first->n_words : 0))
		return;
	if (first && first->code == OP_OUTPUT) {
		p->flags = PROG_SINGLE_OUTPUT;
		p->out_port = first->b;
	} else if (first && first->code == OP_DROP) {
		p->flags = PROG_DROP;
	}
}

struct program *program_scratch(const struct prog_builder *b)
{
	static __thread uint64_t room[(sizeof(struct program) / 8) + PROG_MAX_WORDS];
	struct program *p = (struct program *)room;

	program_fill(p, b);
	return p;
}
