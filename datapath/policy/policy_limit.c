/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits: rates of an endpoint's packets, of new connections, of what a rule allows. Poll threads.
 */
#include "datapath/policy/policy_edge_priv.h"

#include <string.h>

#include "datapath/base/clock.h"

static bool exceeds(bool dry, struct rate_limiter *l, uint64_t units, uint64_t now_ns)
{
	return dry ? rate_limiter_would_exceed(l, units, now_ns)
		   : rate_limiter_exceeds(l, units, now_ns);
}

enum policy_slot_id edge_check_rates(struct policy_endpoint *ep, const struct policy_packet *q,
				     bool egress)
{
	uint64_t now_ns = clock_mono_ns(), bits = q->pkt_len * 8ull;
	bool dry = q->peek;

	if (!egress)
		return exceeds(dry, &ep->in_pkts, 1, now_ns) ||
				       exceeds(dry, &ep->in_bits, bits, now_ns)
			       ? POLICY_SLOT_LIMIT_IN
			       : POLICY_SLOT_NONE;
	if (q->len >= 6 && q->data[0] & 1) {
		static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

		if (!memcmp(q->data, all, 6)) {
			if (exceeds(dry, &ep->broadcasts, 1, now_ns))
				return POLICY_SLOT_LIMIT_BROADCAST;
		} else if (exceeds(dry, &ep->multicasts, 1, now_ns)) {
			return POLICY_SLOT_LIMIT_MULTICAST;
		}
	} else if (q->hints & POLICY_HINT_FLOODED && exceeds(dry, &ep->unknown, 1, now_ns)) {
		return POLICY_SLOT_LIMIT_UNKNOWN;
	}
	return exceeds(dry, &ep->out_pkts, 1, now_ns) || exceeds(dry, &ep->out_bits, bits, now_ns)
		       ? POLICY_SLOT_LIMIT_OUT
		       : POLICY_SLOT_NONE;
}

enum policy_slot_id edge_check_new(const struct policy *p, uint32_t port_id,
				   const struct policy_answer *a, bool dry)
{
	struct policy_endpoint *ep = (struct policy_endpoint *)endpoint_of(p, port_id);
	struct policy_rule *r = a->rule;

	if (ep && ep->limits.conns && policy_edge_conns(edge_of(p, port_id)) >= ep->limits.conns)
		return POLICY_SLOT_LIMIT_CONNS;
	if (r && r->limits.conns && policy_slot_conns_add(r->slot, 0) >= r->limits.conns)
		return POLICY_SLOT_LIMIT_RULE;
	if (ep && ep->new_conns.cost_ps && exceeds(dry, &ep->new_conns, 1, clock_mono_ns()))
		return POLICY_SLOT_LIMIT_CONNS_PER_S;
	if (r && r->new_conns.cost_ps && exceeds(dry, &r->new_conns, 1, clock_mono_ns()))
		return POLICY_SLOT_LIMIT_RULE;
	return POLICY_SLOT_NONE;
}

bool edge_rule_is_over_rate(const struct policy *p, uint32_t slot, uint32_t bytes, bool dry)
{
	uint32_t lo = 0, hi = p->n_limited;
	uint64_t now_ns;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (p->rules[p->limited[mid]].slot < slot)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == p->n_limited || p->rules[p->limited[lo]].slot != slot)
		return false;
	now_ns = clock_mono_ns();
	struct policy_rule *r = &p->rules[p->limited[lo]];
	return exceeds(dry, &r->pkts, 1, now_ns) || exceeds(dry, &r->bits, bytes * 8ull, now_ns);
}
