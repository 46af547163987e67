/* SPDX-License-Identifier: BSD-3-Clause */
/* Main thread only; reads connections under RCU, writes none. */
#include "datapath/conntrack/ct_peek.h"

#include <string.h>

#include "datapath/conntrack/tracker.h"

/* On a copy: the connection stays as it is. False: the packet begins another one. */
static bool follow(struct ct_conn *c, const struct ct_packet *p, unsigned dir,
		   struct conntrack_meta *m)
{
	struct ct_conn copy;

	if (p->related) {
		m->state |= CT_STATE_REL | (dir == CONN_REPLY ? CT_STATE_RPL : 0);
		return true;
	}
	rte_spinlock_lock(&c->lock);
	memcpy(&copy, c, sizeof copy);
	spin_unlock(&c->lock);
	switch (tracker_update(&copy, p, dir, conntrack_window_check(), &ct_timeouts_default)) {
	case TRACKER_OK:
		m->state |= CT_STATE_EST | (dir == CONN_REPLY ? CT_STATE_RPL : 0);
		break;
	case TRACKER_NEW:
		m->state |= CT_STATE_NEW;
		break;
	case TRACKER_INVALID:
		m->state = CT_STATE_TRK | CT_STATE_INV;
		break;
	case TRACKER_REPLACE:
		return false;
	}
	return true;
}

/* What is known without the packet's own flags. */
static void assume(const struct ct_conn *c, unsigned dir, struct conntrack_meta *m)
{
	if (dir == CONN_REPLY)
		m->state |= CT_STATE_EST | CT_STATE_RPL;
	else
		m->state |= c->phase >= CONN_BIDIR ? CT_STATE_EST : CT_STATE_NEW;
}

bool ct_peek(const struct ct_tuple *k, const struct ct_packet *p, uint32_t context,
	     const struct ct_nat *nat, uint32_t now_ms, struct conntrack_meta *m,
	     struct ct_rewrite *rw)
{
	struct conn_node *n = k ? conn_table_find(k) : NULL;
	struct ct_conn *c = n ? conn_of(n) : NULL;

	memset(m, 0, sizeof *m);
	rw->any = false;
	m->context = context;
	m->orig = &m->own;
	if (k)
		m->own = *k;
	if (c && conn_left_ms(c, now_ms) > 0) {
		m->state = CT_STATE_TRK | (c->related ? CT_STATE_REL : 0);
		if (!p)
			assume(c, n->dir, m);
		else if (!follow(c, p, n->dir, m))
			c = NULL;
	} else {
		c = NULL;
	}
	if (!c) {
		m->state = CT_STATE_TRK |
			   (k && (!p || tracker_may_begin(p)) ? CT_STATE_NEW : CT_STATE_INV);
		return false;
	}
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

bool ct_peek_translation(const struct ct_tuple *k, const struct ct_nat *nat,
			 struct conntrack_meta *m, struct ct_rewrite *rw)
{
	struct ct_tuple reply;
	struct ct_nat_search s;
	struct ct_conn c;

	ct_nat_begin(&s, nat, k);
	while (ct_nat_next(&s, &reply)) {
		if (conn_table_find(&reply))
			continue;
		memset(&c, 0, sizeof c);
		c.nat = nat->flags;
		c.node[CONN_ORIG].tuple = *k;
		c.node[CONN_REPLY].tuple = reply;
		c.node[CONN_REPLY].dir = CONN_REPLY;
		m->state |= ct_nat_state(&c, CONN_ORIG);
		ct_nat_rewrite(&c, CONN_ORIG, rw);
		return true;
	}
	return false;
}
