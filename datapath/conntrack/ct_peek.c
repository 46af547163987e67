/* SPDX-License-Identifier: BSD-3-Clause */
/* Main thread only; reads connections under RCU, writes none. */
#include "datapath/conntrack/ct_peek.h"

#include <string.h>

bool ct_peek(const struct ct_tuple *k, uint32_t context, bool nat, uint32_t now_ms,
	     struct conntrack_meta *m, struct ct_rewrite *rw)
{
	struct conn_node *n = k ? conn_table_find(k) : NULL;
	const struct ct_conn *c = n ? conn_of(n) : NULL;

	memset(m, 0, sizeof *m);
	rw->any = false;
	m->context = context;
	m->state = CT_STATE_TRK | (k ? CT_STATE_NEW : CT_STATE_INV);
	m->orig = &m->own;
	if (k)
		m->own = *k;
	if (!c || conn_left_ms(c, now_ms) <= 0)
		return false;
	m->state = CT_STATE_TRK | (c->related ? CT_STATE_REL : 0);
	if (n->dir == CONN_REPLY)
		m->state |= CT_STATE_EST | CT_STATE_RPL;
	else
		m->state |= c->phase >= CONN_BIDIR ? CT_STATE_EST : CT_STATE_NEW;
	m->mark = __atomic_load_n(&c->mark, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t word = __atomic_load_n(&c->label[i], __ATOMIC_RELAXED);

		memcpy(m->label + i * sizeof word, &word, sizeof word);
	}
	m->own = c->node[CONN_ORIG].tuple;
	if (nat) {
		m->state |= ct_nat_state(c, n->dir);
		ct_nat_rewrite(c, n->dir, rw);
	}
	return true;
}
