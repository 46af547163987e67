/* SPDX-License-Identifier: BSD-3-Clause */
/* From one policed port to another and nothing else: a burst at once. Poll thread. */
#pragma once
#include "datapath/exec/exec.h"
#include "datapath/policy/policy_edge.h"

/* A PROG_POLICED program's burst, and from packet i on those that both edges know, sent. Returns the
 * first that they do not, or n: the program has to be run for that one. The caller counts what was
 * sent. */
void exec_policed_begin(struct exec *x, const struct program *prog, struct rte_mbuf *const *pkt,
			unsigned n, struct policy_pairs *b);
unsigned exec_policed(struct exec *x, struct policy_pairs *b, struct rte_mbuf *const *pkt,
		      unsigned i);
