/* SPDX-License-Identifier: BSD-3-Clause */
/* The commonest use of the tracker by the packet: a program that is ct(table=N) and nothing else.
 * What belongs to the op is prepared once, and packets are tracked where they will wait for their
 * next look-up, without being copied there. Poll thread. */
#pragma once
#include "datapath/conntrack/conntrack.h"
#include "datapath/exec/exec.h"

struct exec_ct {
	struct conntrack_request q;
	struct ct_nat nat;
	uint32_t recirc_id;
};

bool exec_is_ct_recirc(const struct program *prog);
void exec_ct_begin(struct exec *x, const struct program *prog, struct exec_ct *c);
/* Where to put the next packet; NULL: no room, exec_run() says what becomes of it. */
struct packet *exec_ct_next(struct exec *x);
/* p: what exec_ct_next() gave, filled in. */
void exec_ct_one(struct exec *x, struct exec_ct *c, struct packet *p);
