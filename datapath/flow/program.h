/* SPDX-License-Identifier: BSD-3-Clause */
/* Programs: what resolve compiles for a flow and exec runs for each of its packets.
 *
 * A program is an array of 8-byte words: an op word, then the op's data words. It is immutable once
 * published; the memory belongs to the megaflow (or pending context) that holds it, and is freed by
 * the poll thread that installed it after the burst that may still run it.
 * Poll threads read; resolve writes. */
#pragma once
#include "datapath/flow/key.h"

enum prog_op_code {
#define PROG_OP(id, ...) OP_##id,
#include "datapath/flow/ops.def"
#undef PROG_OP
	OP_N
};

struct prog_op {
	uint8_t code;    /* enum prog_op_code */
	uint8_t n_words; /* data words that follow */
	uint16_t a;
	uint32_t b;
};
_Static_assert(sizeof(struct prog_op) == 8, "one word");

union prog_word {
	struct prog_op op;
	uint64_t u64;
	uint8_t bytes[8];
	void *ptr;
};

/* Data of OP_SET: bytes to change, relative to a header. */
struct prog_set {
	uint8_t anchor;  /* enum field_anchor */
	uint8_t ofs;     /* bytes from the anchor */
	uint8_t n_bytes; /* 1..16 */
	uint8_t csum;    /* enum field_csum */
	uint32_t pad;
	uint8_t value[16], mask[16];
};

/* Data of OP_CONTROLLER; userdata follows, padded to 8. The registers are those the action saw. */
struct prog_controller {
	uint32_t bridge_id, of_in_port;
	uint64_t cookie;
	uint32_t meter_id;  /* 0xffffffff: none */
	uint32_t frozen_id; /* pause: where to go on; else 0 */
	uint16_t max_len, userdata_len;
	uint8_t table, pause, pad[2];
	uint8_t regs[sizeof(struct flow_regs)]; /* struct flow_regs, unaligned */
};
_Static_assert(sizeof(struct prog_controller) % 8 == 0, "whole words");

/* Data of OP_GROUP_SELECT. Then, for each bucket: a struct prog_bucket followed by its ops. The
 * bucket is chosen by the packet's symmetric L3/L4 hash (or the fields in the match of `fields`,
 * when the selection method names some) scaled to total_weight. */
struct prog_bucket {
	uint32_t n_words, upto; /* of its ops; upper end of its share of total_weight */
	uint64_t *counts; /* packets and bytes that chose it: atomic, relaxed; pinned likewise */
};

struct prog_select {
	uint32_t total_weight, basis;
	const struct minimatch
		*fields; /* NULL: symmetric 5-tuple; pinned by the megaflow's credits */
};

/* Data of OP_CT, whose `a` has the flags; what follows it in the program runs on the packet after
 * tracking. */
enum {
	PROG_CT_COMMIT = 1,
	PROG_CT_FORCE = 2,
	PROG_CT_NAT = 4,
	PROG_CT_MARK = 8,
	PROG_CT_LABEL = 16
};
struct prog_ct {
	uint32_t bridge_id;
	uint16_t zone, alg;
	uint32_t mark, mark_mask;
	uint8_t label[16], label_mask[16];
	uint16_t nat_flags; /* NAT_* of action.h */
	uint8_t nat_family, pad;
	uint16_t nat_port_min, nat_port_max;
	uint8_t nat_min[16], nat_max[16];
};
_Static_assert(sizeof(struct prog_ct) % 8 == 0, "whole words");

enum { PROG_MAX_WORDS = 4096 };

struct program {
	uint16_t n_words;
	uint16_t flags;    /* PROG_* */
	uint32_t out_port; /* PROG_SINGLE_OUTPUT: the datapath port */
	union prog_word word[];
};
enum {
	PROG_SINGLE_OUTPUT = 1, /* the whole program is one OP_OUTPUT */
	PROG_DROP = 2,          /* the whole program is one OP_DROP */
	PROG_POLICED = 8,       /* POLICY_IN and POLICY_OUT, nothing else */
	PROG_NEEDS_L4 = 4,      /* some op needs offsets beyond L2: parse fully first */
};

/* Builder used by resolve; grows up to PROG_MAX_WORDS, then says so. */
struct prog_builder {
	union prog_word *word; /* owned by the builder's thread, reused */
	uint32_t n_words, cap;
	bool overflow; /* the packet is dropped with reason `program_too_long` */
};

/* Makes the published form; p has room for b->n_words words. */
void program_fill(struct program *p, const struct prog_builder *b);
/* The same in memory of the calling thread, valid until its next call. */
struct program *program_scratch(const struct prog_builder *b);
struct str;
/* As Open vSwitch tells datapath actions:
 * "set(eth(dst=02:00:00:00:00:01)),push_vlan(vid=10,pcp=0),3". ip_proto is the packet's, to name
 * ports by their protocol; 0 when it is not known (program_text.c). */
void program_format(const struct program *p, uint8_t ip_proto, struct str *out);

static inline union prog_word *prog_put(struct prog_builder *b, enum prog_op_code code, uint16_t a,
					uint32_t arg, uint8_t n_data_words);
#include "datapath/flow/program_inline.h"
