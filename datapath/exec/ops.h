/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the op functions of this folder. */
#pragma once
#include "datapath/exec/exec.h"

enum exec_next {
	EXEC_ON,   /* the packet is still in hand */
	EXEC_GONE, /* sent, dropped, absorbed or put aside */
};

#define PROG_OP(id, ...)                                                                           \
	enum exec_next exec_##id(struct exec *x, struct packet *p, const union prog_word *w,       \
				 bool last);
#include "datapath/flow/ops.def"
#undef PROG_OP

void exec_words(struct exec *x, const union prog_word *w, uint32_t n, struct packet *p);
bool exec_copy(struct exec *x, const struct packet *p, struct packet *copy);
enum exec_next exec_dropped(struct exec *x, struct packet *p, enum drop_reason why);
void exec_created(struct exec *x, const struct packet *p, int64_t n);
void exec_truncate(struct rte_mbuf *m, uint32_t len);
