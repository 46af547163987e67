/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/flow/program.h"

#include <string.h>

#include "datapath/base/str.h"

static const char *const names[OP_N] = {
#define PROG_OP(id, ...) [OP_##id] = #id,
#include "datapath/flow/ops.def"
#undef PROG_OP
};

void program_fill(struct program *p, const struct prog_builder *b)
{
	const struct prog_op *first = b->n_words ? &b->word[0].op : NULL;

	p->n_words = (uint16_t)b->n_words;
	p->flags = 0;
	p->out_port = 0;
	if (b->n_words)
		memcpy(p->word, b->word, b->n_words * sizeof *b->word);
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

void program_format(const struct program *p, struct str *out)
{
	for (uint32_t i = 0, next; i < p->n_words; i = next) {
		const struct prog_op *op = &p->word[i].op;

		/* The buckets of a select belong to it. */
		next = i + 1u + (op->code == OP_GROUP_SELECT ? op->b : op->n_words);
		if (i)
			str_putc(out, ',');
		for (const char *s = names[op->code]; *s; s++)
			str_putc(out, *s >= 'A' && *s <= 'Z' ? (char)(*s + 32) : *s);
		switch ((enum prog_op_code)op->code) {
		case OP_OUTPUT:
		case OP_RECIRC:
		case OP_TRUNC:
		case OP_SET_QUEUE:
		case OP_METER:
			str_printf(out, "(%u)", op->b);
			break;
		case OP_DROP:
			str_printf(out, "(%u)", op->a);
			break;
		case OP_PUSH_VLAN:
			str_printf(out, "(0x%04x,%u)", be16_to_cpu(op->a),
				   be16_to_cpu((be16_t)op->b) & VLAN_VID_MASK);
			break;
		case OP_CT: {
			const struct prog_ct *c = (const struct prog_ct *)&p->word[i + 1];

			str_printf(out, "(zone=%u%s%s)", c->zone,
				   op->a & PROG_CT_COMMIT ? ",commit" : "",
				   op->a & PROG_CT_NAT ? ",nat" : "");
			break;
		}
		case OP_SET:
		case OP_POP_VLAN:
		case OP_DEC_TTL:
		case OP_PUSH_MPLS:
		case OP_POP_MPLS:
		case OP_SET_MPLS:
		case OP_COPY_BEGIN:
		case OP_COPY_END:
		case OP_CONTROLLER:
		case OP_GROUP_SELECT:
		case OP_CHECK_LEN:
		case OP_CT_CLEAR:
		case OP_N:
			break;
		}
	}
}
