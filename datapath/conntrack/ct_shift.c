/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/conntrack/ct_shift.h"

void ct_shift_packet(struct ct_conn *c, struct ct_packet *p, unsigned dir, bool translated,
		     struct ct_rewrite *rw)
{
	struct conn_shift own, other;

	if (c->node[CONN_ORIG].tuple.proto != 6 || p->fragment)
		return;
	rte_spinlock_lock(&c->lock);
	own = c->shift[dir];
	other = c->shift[!dir];
	spin_unlock(&c->lock);
	if (!(own.before | own.after | other.before | other.after))
		return;
	if (translated) {
		p->seq -= ct_shift_back(&own, p->seq);
		return;
	}
	rw->shifted = true;
	rw->acked = other;
	rw->seq = p->seq + ct_shift_out(&own, p->seq);
	if (p->flags & TCP_ACK)
		p->ack -= ct_shift_back(&other, p->ack);
	rw->ack = p->ack;
}

bool ct_shift_add(struct ct_conn *c, unsigned dir, uint32_t seq, int n)
{
	struct conn_shift *s = &c->shift[dir];
	bool ok = true;

	rte_spinlock_lock(&c->lock);
	if (s->before == s->after || (int32_t)(seq - s->pos) > 0) {
		if (n) {
			s->pos = seq;
			s->before = s->after;
			s->after += (uint32_t)n;
		}
	} else {
		ok = seq == s->pos && s->after - s->before == (uint32_t)n;
	}
	spin_unlock(&c->lock);
	return ok;
}
