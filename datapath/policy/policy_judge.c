/* SPDX-License-Identifier: BSD-3-Clause */
/* The classifier that decides about the first packet of a connection, in the order of
 * docs/decisions/policy.md. A list is sorted by service: the rules for exactly this port and those
 * for ranges are two runs, merged by rule number, so that rules about other ports cost nothing.
 * Poll threads; reads only. */
#include <string.h>

#include "datapath/policy/policy.h"

struct policy_answer policy_builtin(enum policy_slot_id id)
{
	uint8_t drop = policy_builtins[id].drop;

	return (struct policy_answer){.allow = drop == DROP_NONE, .slot = id, .drop = drop};
}

static bool has_endpoint(const struct policy_peers *p, uint32_t endpoint)
{
	size_t lo = 0, hi = p->n_endpoints;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (p->endpoints[mid] < endpoint)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < p->n_endpoints && p->endpoints[lo] == endpoint;
}

static bool peer_fits(const struct policy_peers *p, const struct policy_question *q)
{
	if (q->peer_kind == POLICY_HOST)
		return p && (p->flags & POLICY_PEER_HOST || p->has_host ||
			     (p->full && policy_lpm_find(p->full, q->family, q->peer_addr) == 1));
	if (!p || p->flags & POLICY_PEER_ANY)
		return true;
	if (q->peer_kind == POLICY_ENDPOINT && has_endpoint(p, q->peer))
		return true;
	return policy_lpm_find(p->prefixes, q->family, q->peer_addr) == 1;
}

static bool service_fits(const struct policy_rule *r, const struct policy_question *q)
{
	for (size_t i = 0; i < r->n_services; i++) {
		const struct policy_service *s = &r->services[i];

		if ((s->proto == 0xff || s->proto == q->proto) && q->service >= s->first &&
		    q->service <= s->last)
			return true;
	}
	return !r->n_services;
}

static const struct policy_entry *find_key(const struct policy_list *l, uint32_t key,
					   const struct policy_entry **end)
{
	uint32_t lo = 0, hi = l->n - l->n_generic;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (l->entry[mid].key < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (hi = lo; hi < l->n - l->n_generic && l->entry[hi].key == key;)
		hi++;
	*end = &l->entry[hi];
	return &l->entry[lo];
}

/* What holds when no administrator's rule and no allow decided; DROP_NONE in .drop and
 * POLICY_SLOT_ALLOW: the baseline is asked. */
static struct policy_answer standard(const struct policy_question *q)
{
	bool self_is_host = q->self && q->self->flags & POLICY_IS_HOST;

	if (q->peer_kind == POLICY_HOST && !self_is_host)
		return policy_builtin(POLICY_SLOT_HOST_DENY);
	if (q->self && q->self->isolated & (1u << q->direction))
		return policy_builtin(POLICY_SLOT_ISOLATED);
	return policy_builtin(POLICY_SLOT_ALLOW);
}

static struct policy_answer by_rule(struct policy_rule *r)
{
	bool allow = r->verdict == POLICY_ALLOW;

	return (struct policy_answer){.allow = allow,
				      .slot = r->slot,
				      .rule = r,
				      .drop = allow ? DROP_NONE : DROP_POLICY_DENIED};
}

struct policy_answer policy_judge(const struct policy *p, const struct policy_question *q)
{
	const struct policy_list *l = q->self ? q->self->list[q->direction] : NULL;
	const struct policy_entry *a, *a_end, *b, *b_end;
	struct policy_answer otherwise = standard(q);
	bool passed = false;

	if (!l)
		return otherwise;
	a = find_key(l, (uint32_t)q->proto << 16 | q->service, &a_end);
	b = &l->entry[l->n - l->n_generic];
	b_end = &l->entry[l->n];
	while (a < a_end || b < b_end) {
		const struct policy_entry *e =
			b == b_end || (a < a_end && a->rule < b->rule) ? a++ : b++;
		struct policy_rule *r = &p->rules[e->rule];

		if (passed && r->tier == POLICY_TIER_ADMIN)
			continue;
		if (r->tier == POLICY_TIER_BASELINE && !otherwise.allow)
			break;
		if (!__atomic_load_n(&r->active, __ATOMIC_RELAXED) || !peer_fits(r->peers, q) ||
		    (e->key == POLICY_NONE && !service_fits(r, q)))
			continue;
		if (r->verdict != POLICY_PASS)
			return by_rule(r);
		if (r->tier == POLICY_TIER_BASELINE)
			break;
		passed = true;
	}
	return otherwise;
}

uint32_t policy_owner(const struct policy *p, uint32_t network, uint8_t family, const uint8_t *addr)
{
	uint32_t owner = POLICY_NONE;

	if (network != POLICY_NONE)
		owner = policy_lpm_find(p->networks[network].addresses, family, addr);
	if (owner == POLICY_NONE)
		owner = policy_lpm_find(p->addresses, family, addr);
	return owner == POLICY_AMBIGUOUS ? POLICY_NONE : owner;
}

bool policy_mac_is(const uint8_t (*macs)[6], size_t n, const uint8_t mac[6])
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = memcmp(macs[mid], mac, 6);

		if (!c)
			return true;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}
