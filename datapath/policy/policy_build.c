/* SPDX-License-Identifier: BSD-3-Clause */
/* From the specification to what poll threads read. Main thread; refuses a policy as a whole, with
 * one error. Endpoints with the same rules in a direction share one list, so that "all guests may"
 * costs what one guest would. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/hash.h"
#include "datapath/base/hmap.h"
#include "datapath/base/vec.h"
#include "datapath/policy/policy.h"

/* ---- numbers of the specification to indices ---- */
struct id_map {
	struct id_slot {
		uint32_t id, index;
	} * at;
	size_t n;
};

static int compare_ids(const void *a, const void *b)
{
	const struct id_slot *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int finish_ids(struct id_map *m, const char *what, struct err *e)
{
	if (m->n)
		qsort(m->at, m->n, sizeof *m->at, compare_ids);
	for (size_t i = 1; i < m->n; i++)
		if (m->at[i].id == m->at[i - 1].id)
			return err_set(e, EEXIST, "policy: %s %u: is there twice", what,
				       m->at[i].id);
	return 0;
}

static uint32_t find_id(const struct id_map *m, uint32_t id)
{
	size_t lo = 0, hi = m->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (m->at[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < m->n && m->at[lo].id == id ? m->at[lo].index : POLICY_NONE;
}

struct build {
	struct policy *p;
	const struct policy_spec *s;
	struct err *e;
	struct id_map networks, endpoints, peers;
	uint32_t *rank; /* rules of the specification in order of evaluation */
};

static uint32_t either(uint32_t a, uint32_t b)
{
	return SL_MIN(a, b);
}
static uint32_t ambiguous(uint32_t a, uint32_t b)
{
	return a == b ? a : POLICY_AMBIGUOUS;
}

static int check_prefixes(const struct policy_prefix *p, size_t n, const char *what,
			  const char *name, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if ((p[i].family != 4 && p[i].family != 6) ||
		    p[i].bits > (p[i].family == 4 ? 32 : 128))
			return err_set(e, EINVAL, "policy: %s %s: prefix %zu is malformed", what,
				       name, i);
	return 0;
}

/* Value 1 in, none out. An `except` of the same length wins. */
static struct policy_lpm *set_of(const struct policy_prefix *p, size_t n)
{
	struct policy_lpm_entry *list = xcalloc(SL_MAX(n, (size_t)1), sizeof *list);
	struct policy_lpm *l;

	for (size_t i = 0; i < n; i++)
		list[i] = (struct policy_lpm_entry){p[i], p[i].except ? 0 : 1};
	l = policy_lpm_create(list, n, either);
	free(list);
	return l;
}

static struct policy_lpm *full_set_of(const struct policy_prefix *p, size_t n)
{
	struct policy_prefix *full = xcalloc(SL_MAX(n, (size_t)1), sizeof *full);
	struct policy_lpm *l;
	size_t n_full = 0;

	for (size_t i = 0; i < n; i++)
		if (p[i].bits == (p[i].family == 4 ? 32 : 128))
			full[n_full++] = p[i];
	l = set_of(full, n_full);
	free(full);
	return l;
}

/* ---- networks ---- */
static int build_networks(struct build *b)
{
	const struct policy_spec *s = b->s;

	if (s->n_networks > POLICY_NETWORKS_MAX)
		return err_set(b->e, E2BIG, "policy: more than %d networks", POLICY_NETWORKS_MAX);
	b->p->networks = xcalloc(SL_MAX(s->n_networks, (size_t)1), sizeof *b->p->networks);
	b->networks.at = xcalloc(SL_MAX(s->n_networks, (size_t)1), sizeof *b->networks.at);
	for (size_t i = 0; i < s->n_networks; i++) {
		const struct policy_network_spec *n = &s->networks[i];
		struct policy_network *out = &b->p->networks[i];

		if (check_prefixes(n->prefixes, n->n_prefixes, "network", n->name, b->e))
			return -EINVAL;
		b->p->n_networks++;
		out->name = xstrdup(n->name);
		out->flags = n->flags;
		out->n_ethertypes = n->n_ethertypes;
		if (n->n_ethertypes)
			out->ethertypes =
				xmemdup(n->ethertypes, n->n_ethertypes * sizeof *n->ethertypes);
		out->prefixes = set_of(n->prefixes, n->n_prefixes);
		b->networks.at[b->networks.n++] = (struct id_slot){n->id, (uint32_t)i};
	}
	return finish_ids(&b->networks, "network", b->e);
}

/* ---- endpoints ---- */
static int compare_macs(const void *a, const void *b)
{
	return memcmp(a, b, 6);
}

static void set_limiters(struct policy_endpoint *ep)
{
	const struct policy_limits *l = &ep->limits;

	rate_limiter_init(&ep->in_bits, l->in_kbps * 1000, l->burst_ms, RATE_LEAST_BITS);
	rate_limiter_init(&ep->out_bits, l->out_kbps * 1000, l->burst_ms, RATE_LEAST_BITS);
	rate_limiter_init(&ep->in_pkts, l->in_pps, l->burst_ms, 1);
	rate_limiter_init(&ep->out_pkts, l->out_pps, l->burst_ms, 1);
	rate_limiter_init(&ep->broadcasts, l->broadcast_pps, l->burst_ms, 1);
	rate_limiter_init(&ep->multicasts, l->multicast_pps, l->burst_ms, 1);
	rate_limiter_init(&ep->unknown, l->unknown_pps, l->burst_ms, 1);
	rate_limiter_init(&ep->new_conns, l->conns_per_s, l->burst_ms, 1);
}

/* One address of each family that is its own. */
static void choose_own(const struct policy_endpoint_spec *s, struct policy_endpoint *out)
{
	for (size_t i = s->n_prefixes; i-- > 0;) {
		const struct policy_prefix *x = &s->prefixes[i];

		if (!x->except && x->family == 4)
			memcpy(out->own4, x->addr, 4);
		else if (!x->except)
			memcpy(out->own6, x->addr, 16);
	}
}

static int build_endpoint(struct build *b, const struct policy_endpoint_spec *s,
			  struct policy_endpoint *out)
{
	out->network = POLICY_NONE;
	if (s->has_network) {
		out->network = find_id(&b->networks, s->network_id);
		if (out->network == POLICY_NONE)
			return err_set(b->e, ENOENT, "policy: endpoint %s: network %u: not there",
				       s->name, s->network_id);
	}
	if (check_prefixes(s->prefixes, s->n_prefixes, "endpoint", s->name, b->e))
		return -EINVAL;
	out->name = xstrdup(s->name);
	out->port = xstrdup(s->port ? s->port : "");
	out->flags = s->flags;
	out->isolated = s->isolated & 3;
	out->limits = s->limits;
	set_limiters(out);
	out->addresses = set_of(s->prefixes, s->n_prefixes);
	choose_own(s, out);
	if (s->n_macs) {
		out->macs = xmemdup(s->macs, s->n_macs * 6);
		out->n_macs = s->n_macs;
		qsort(out->macs, out->n_macs, 6, compare_macs);
	}
	return 0;
}

/* Two endpoints of one port would be two answers to "who is that?". */
static int compare_ports(const void *a, const void *b)
{
	return strcmp((*(struct policy_endpoint *const *)a)->port,
		      (*(struct policy_endpoint *const *)b)->port);
}

static int check_ports(struct build *b)
{
	struct policy *p = b->p;
	struct policy_endpoint **by_port = xcalloc(p->n_endpoints + 1, sizeof *by_port);
	int rc = 0;

	for (uint32_t i = 0; i < p->n_endpoints; i++)
		by_port[i] = &p->endpoints[i];
	qsort(by_port, p->n_endpoints, sizeof *by_port, compare_ports);
	for (uint32_t i = 1; i < p->n_endpoints && !rc; i++)
		if (*by_port[i]->port && !compare_ports(&by_port[i - 1], &by_port[i]))
			rc = err_set(b->e, EEXIST, "policy: endpoints %s and %s: both on port %s",
				     by_port[i - 1]->name, by_port[i]->name, by_port[i]->port);
	free(by_port);
	return rc;
}

static int build_endpoints(struct build *b)
{
	const struct policy_spec *s = b->s;

	if (s->n_endpoints > POLICY_ENDPOINTS_MAX)
		return err_set(b->e, E2BIG, "policy: more than %d endpoints", POLICY_ENDPOINTS_MAX);
	b->p->endpoints = xcalloc(SL_MAX(s->n_endpoints, (size_t)1), sizeof *b->p->endpoints);
	b->endpoints.at = xcalloc(SL_MAX(s->n_endpoints, (size_t)1), sizeof *b->endpoints.at);
	for (size_t i = 0; i < s->n_endpoints; i++) {
		int rc = build_endpoint(b, &s->endpoints[i], &b->p->endpoints[i]);

		if (rc)
			return rc;
		b->p->n_endpoints++;
		b->endpoints.at[b->endpoints.n++] =
			(struct id_slot){s->endpoints[i].id, (uint32_t)i};
		if (!(s->endpoints[i].flags & POLICY_IS_HOST))
			continue;
		if (b->p->host != POLICY_NONE)
			return err_set(b->e, EEXIST, "policy: endpoints %s and %s: both the host",
				       b->p->endpoints[b->p->host].name, s->endpoints[i].name);
		b->p->host = (uint32_t)i;
	}
	return finish_ids(&b->endpoints, "endpoint", b->e) ?: check_ports(b);
}

/* Who has which address: per network, and over all where that is one endpoint. */
static void build_addresses(struct build *b)
{
	VEC(struct policy_lpm_entry) all = {0};
	VEC(struct policy_lpm_entry) one = {0};

	for (size_t i = 0; i < b->s->n_endpoints; i++)
		for (size_t k = 0; k < b->s->endpoints[i].n_prefixes; k++) {
			const struct policy_prefix *x = &b->s->endpoints[i].prefixes[k];

			vec_push(&all, (struct policy_lpm_entry){*x, x->except ? POLICY_LPM_NONE
									       : (uint32_t)i});
		}
	b->p->addresses = policy_lpm_create(all.at, all.len, ambiguous);
	for (uint32_t n = 0; n < b->p->n_networks; n++) {
		size_t at = 0;

		vec_clear(&one);
		for (uint32_t i = 0; i < b->p->n_endpoints; i++) {
			size_t len = b->s->endpoints[i].n_prefixes;

			if (b->p->endpoints[i].network == n)
				vec_append(&one, all.at + at, len);
			at += len;
		}
		b->p->networks[n].addresses = policy_lpm_create(one.at, one.len, ambiguous);
	}
	vec_free(&all);
	vec_free(&one);
}

static void build_macs(struct build *b)
{
	struct policy *p = b->p;
	size_t n = 0;

	for (uint32_t i = 0; i < p->n_endpoints; i++)
		if (p->endpoints[i].flags & POLICY_CHECK_MACS)
			n += p->endpoints[i].n_macs;
	p->macs = xcalloc(SL_MAX(n, (size_t)1), 6);
	for (uint32_t i = 0; i < p->n_endpoints; i++) {
		const struct policy_endpoint *ep = &p->endpoints[i];

		if (!(ep->flags & POLICY_CHECK_MACS) || !ep->n_macs)
			continue;
		memcpy(p->macs[p->n_macs], ep->macs, ep->n_macs * 6);
		p->n_macs += ep->n_macs;
	}
	if (p->n_macs)
		qsort(p->macs, p->n_macs, 6, compare_macs);
}

/* ---- peers ---- */
static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int build_peer_set(struct build *b, const struct policy_peers_spec *s,
			  struct policy_peers *out)
{
	char name[16];

	snprintf(name, sizeof name, "%u", s->id);
	if (check_prefixes(s->prefixes, s->n_prefixes, "peers", name, b->e))
		return -EINVAL;
	out->flags = s->flags;
	out->prefixes = set_of(s->prefixes, s->n_prefixes);
	out->full = full_set_of(s->prefixes, s->n_prefixes);
	out->endpoints = xcalloc(SL_MAX(s->n_endpoint_ids, (size_t)1), sizeof *out->endpoints);
	for (size_t i = 0; i < s->n_endpoint_ids; i++) {
		uint32_t ep = find_id(&b->endpoints, s->endpoint_ids[i]);

		if (ep == POLICY_NONE)
			return err_set(b->e, ENOENT, "policy: peers %u: endpoint %u: not there",
				       s->id, s->endpoint_ids[i]);
		out->has_host |= ep == b->p->host;
		out->endpoints[out->n_endpoints++] = ep;
	}
	if (out->n_endpoints)
		qsort(out->endpoints, out->n_endpoints, sizeof *out->endpoints, compare_u32);
	return 0;
}

static int build_peers(struct build *b)
{
	const struct policy_spec *s = b->s;

	if (s->n_peers > POLICY_PEERS_MAX)
		return err_set(b->e, E2BIG, "policy: more than %d sets of peers", POLICY_PEERS_MAX);
	b->p->peers = xcalloc(SL_MAX(s->n_peers, (size_t)1), sizeof *b->p->peers);
	b->peers.at = xcalloc(SL_MAX(s->n_peers, (size_t)1), sizeof *b->peers.at);
	for (size_t i = 0; i < s->n_peers; i++) {
		int rc;

		b->p->n_peers++;
		rc = build_peer_set(b, &s->peers[i], &b->p->peers[i]);
		if (rc)
			return rc;
		b->peers.at[b->peers.n++] = (struct id_slot){s->peers[i].id, (uint32_t)i};
	}
	return finish_ids(&b->peers, "peers", b->e);
}

/* ---- rules ---- */
static int compare_rules(const void *a, const void *b, void *aux)
{
	const struct policy_rule_spec *rules = aux;
	uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
	const struct policy_rule_spec *x = &rules[i], *y = &rules[k];

	if (x->tier != y->tier)
		return x->tier < y->tier ? -1 : 1;
	if (x->tier == POLICY_TIER_ADMIN && x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return i < k ? -1 : 1;
}

static int check_rule(struct build *b, const struct policy_rule_spec *s)
{
	if (s->direction > POLICY_EGRESS || s->tier > POLICY_TIER_BASELINE ||
	    s->verdict > POLICY_PASS)
		return err_set(b->e, EINVAL, "policy: rule %s: direction, tier or verdict unknown",
			       s->name);
	if (s->tier == POLICY_TIER_ALLOWS && s->verdict != POLICY_ALLOW)
		return err_set(b->e, EINVAL, "policy: rule %s: only allows are additive", s->name);
	for (size_t i = 0; i < s->n_services; i++)
		if (s->services[i].first > s->services[i].last)
			return err_set(b->e, EINVAL, "policy: rule %s: ports %u to %u", s->name,
				       s->services[i].first, s->services[i].last);
	return 0;
}

static int build_rule(struct build *b, const struct policy_rule_spec *s, struct policy_rule *out)
{
	const struct policy_limits *l = &s->limits;
	int rc = check_rule(b, s);

	if (rc)
		return rc;
	if (s->has_peers) {
		uint32_t i = find_id(&b->peers, s->peers_id);

		if (i == POLICY_NONE)
			return err_set(b->e, ENOENT, "policy: rule %s: peers %u: not there",
				       s->name, s->peers_id);
		out->peers = &b->p->peers[i];
	}
	out->slot = policy_slot_take(s->name);
	if (out->slot == POLICY_SLOT_NONE)
		return err_set(b->e, E2BIG, "policy: more than %d rule names", POLICY_SLOTS_MAX);
	out->name = xstrdup(s->name);
	out->tier = s->tier;
	out->verdict = s->verdict;
	out->direction = s->direction;
	out->log = s->log;
	out->valid_from_ms = s->valid_from_ms;
	out->valid_until_ms = s->valid_until_ms;
	out->n_services = s->n_services;
	if (s->n_services)
		out->services = xmemdup(s->services, s->n_services * sizeof *s->services);
	out->limits = *l;
	out->limited = l->out_kbps || l->out_pps;
	rate_limiter_init(&out->bits, l->out_kbps * 1000, l->burst_ms, RATE_LEAST_BITS);
	rate_limiter_init(&out->pkts, l->out_pps, l->burst_ms, 1);
	rate_limiter_init(&out->new_conns, l->conns_per_s, l->burst_ms, 1);
	return 0;
}

static int compare_slots(const void *a, const void *b, void *aux)
{
	const struct policy_rule *rules = aux;
	uint32_t x = rules[*(const uint32_t *)a].slot, y = rules[*(const uint32_t *)b].slot;

	return (x > y) - (x < y);
}

static void build_limited(struct policy *p)
{
	for (uint32_t i = 0; i < p->n_rules; i++)
		p->n_limited += p->rules[i].limited;
	p->limited = xcalloc(p->n_limited + 1, sizeof *p->limited);
	p->n_limited = 0;
	for (uint32_t i = 0; i < p->n_rules; i++)
		if (p->rules[i].limited)
			p->limited[p->n_limited++] = i;
	qsort_r(p->limited, p->n_limited, sizeof *p->limited, compare_slots, p->rules);
}

static int build_rules(struct build *b)
{
	const struct policy_spec *s = b->s;

	if (s->n_rules > POLICY_RULES_MAX)
		return err_set(b->e, E2BIG, "policy: more than %d rules", POLICY_RULES_MAX);
	b->p->rules = xcalloc(SL_MAX(s->n_rules, (size_t)1), sizeof *b->p->rules);
	b->rank = xcalloc(SL_MAX(s->n_rules, (size_t)1), sizeof *b->rank);
	for (size_t i = 0; i < s->n_rules; i++)
		b->rank[i] = (uint32_t)i;
	if (s->n_rules)
		qsort_r(b->rank, s->n_rules, sizeof *b->rank, compare_rules, (void *)s->rules);
	for (size_t i = 0; i < s->n_rules; i++) {
		int rc;

		b->p->n_rules++;
		rc = build_rule(b, &s->rules[b->rank[i]], &b->p->rules[i]);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- rule lists ---- */
struct owner { /* an endpoint in one direction */
	uint64_t digest;
	uint32_t n; /* rules */
	uint32_t list;
};

struct list_node {
	struct hmap_node node;
	uint32_t list, n;
};

static int for_each_owner(struct build *b, struct owner *owners,
			  int (*fn)(struct build *b, struct owner *o, uint32_t rule))
{
	for (uint32_t i = 0; i < b->p->n_rules; i++) {
		const struct policy_rule_spec *s = &b->s->rules[b->rank[i]];

		for (size_t k = 0; k < s->n_endpoint_ids; k++) {
			uint32_t ep = find_id(&b->endpoints, s->endpoint_ids[k]);
			int rc;

			if (ep == POLICY_NONE)
				return err_set(b->e, ENOENT,
					       "policy: rule %s: endpoint %u: not there", s->name,
					       s->endpoint_ids[k]);
			rc = fn(b, &owners[ep * 2u + s->direction], i);
			if (rc)
				return rc;
		}
	}
	return 0;
}

static int digest_rule(struct build *b, struct owner *o, uint32_t rule)
{
	uint64_t v[2] = {o->digest, rule};

	o->digest = hash_bytes(v, sizeof v);
	o->n++;
	return 0;
}

static bool is_single(const struct policy_service *s)
{
	return s->first == s->last && s->proto != 0xff;
}

static int append_rule(struct build *b, struct owner *o, uint32_t rule)
{
	const struct policy_rule *r = &b->p->rules[rule];
	struct policy_list *l;
	bool generic = !r->n_services;

	if (o->list == POLICY_NONE)
		return 0; /* another one with the same rules makes it */
	l = &b->p->lists[o->list];
	for (size_t i = 0; i < r->n_services; i++) {
		const struct policy_service *s = &r->services[i];

		if (is_single(s))
			l->entry[l->n++] =
				(struct policy_entry){(uint32_t)s->proto << 16 | s->first, rule};
		else
			generic = true;
	}
	if (generic)
		l->entry[l->n++] = (struct policy_entry){POLICY_NONE, rule};
	return 0;
}

static int count_entries(struct build *b, struct owner *o, uint32_t rule)
{
	if (o->list != POLICY_NONE)
		b->p->lists[o->list].n += (uint32_t)SL_MAX(b->p->rules[rule].n_services, (size_t)1);
	return 0;
}

static int compare_entries(const void *a, const void *b)
{
	const struct policy_entry *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (x->rule > y->rule) - (x->rule < y->rule);
}

/* Gives each different list a number; only its first owner fills it. */
static void number_lists(struct build *b, struct owner *owners, size_t n)
{
	struct hmap seen = {0};
	uint32_t *dir_list[2] = {NULL, NULL};

	dir_list[0] = xcalloc(n / 2 + 1, sizeof **dir_list);
	dir_list[1] = xcalloc(n / 2 + 1, sizeof **dir_list);
	b->p->lists = xcalloc(n + 1, sizeof *b->p->lists);
	for (size_t i = 0; i < n; i++) {
		struct owner *o = &owners[i];
		uint32_t list = POLICY_NONE;

		o->list = POLICY_NONE;
		if (!o->n) {
			dir_list[i % 2][i / 2] = POLICY_NONE;
			continue;
		}
		HMAP_FOR_EACH_WITH_HASH (it, struct list_node, node, o->digest, &seen)
			if (it->n == o->n)
				list = it->list;
		if (list == POLICY_NONE) {
			struct list_node *node = xzalloc(sizeof *node);

			list = o->list = node->list = b->p->n_lists++;
			node->n = o->n;
			hmap_insert(&seen, &node->node, o->digest);
		}
		dir_list[i % 2][i / 2] = list;
	}
	for (size_t i = 0; i < n; i++)
		if (dir_list[i % 2][i / 2] != POLICY_NONE)
			b->p->endpoints[i / 2].list[i % 2] = &b->p->lists[dir_list[i % 2][i / 2]];
	HMAP_FOR_EACH_SAFE (it, struct list_node, node, &seen)
		free(it);
	hmap_destroy(&seen);
	free(dir_list[0]);
	free(dir_list[1]);
}

static int allocate_lists(struct build *b)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < b->p->n_lists; i++)
		total += b->p->lists[i].n;
	if (total > POLICY_ENTRIES_MAX)
		return err_set(b->e, E2BIG,
			       "policy: its rules times the endpoints that differ come to %llu, "
			       "more than %d",
			       (unsigned long long)total, POLICY_ENTRIES_MAX);
	for (uint32_t i = 0; i < b->p->n_lists; i++) {
		struct policy_list *l = &b->p->lists[i];

		l->entry = xcalloc(SL_MAX(l->n, 1u), sizeof *l->entry);
		l->n = 0;
	}
	return 0;
}

static int build_lists(struct build *b)
{
	size_t n = (size_t)b->p->n_endpoints * 2;
	struct owner *owners = xcalloc(n + 1, sizeof *owners);
	int rc = for_each_owner(b, owners, digest_rule);

	if (!rc) {
		number_lists(b, owners, n);
		for_each_owner(b, owners, count_entries);
		rc = allocate_lists(b);
	}
	if (!rc)
		for_each_owner(b, owners, append_rule);
	for (uint32_t i = 0; i < b->p->n_lists && !rc; i++) {
		struct policy_list *l = &b->p->lists[i];

		qsort(l->entry, l->n, sizeof *l->entry, compare_entries);
		while (l->n_generic < l->n && l->entry[l->n - 1 - l->n_generic].key == POLICY_NONE)
			l->n_generic++;
	}
	free(owners);
	return rc;
}

/* ---- all of it ---- */
int policy_create(struct policy **out, const struct policy_spec *s, struct err *e)
{
	struct policy *p = xzalloc(sizeof *p);
	struct build b = {.p = p, .s = s, .e = e};
	int rc;

	p->host = POLICY_NONE;
	p->next_change_ms = UINT64_MAX;
	p->confirm_ms = s->confirm_ms;
	p->keep_established = s->keep_established;
	if (s->hash)
		memcpy(p->hash, s->hash, sizeof p->hash);
	for (uint32_t i = 0; i < PORT_ID_MAX; i++)
		p->port[i].endpoint = POLICY_NONE;
	rc = build_networks(&b) ?: build_endpoints(&b) ?: build_peers(&b) ?: build_rules(&b)
		     ?: build_lists(&b);
	if (!rc) {
		build_addresses(&b);
		build_macs(&b);
		build_limited(p);
		p->document_len = s->document_len;
		if (s->document_len)
			p->document = xmemdup(s->document, s->document_len);
	}
	free(b.networks.at);
	free(b.endpoints.at);
	free(b.peers.at);
	free(b.rank);
	if (rc) {
		policy_destroy(p);
		return rc;
	}
	*out = p;
	return 0;
}

void policy_destroy(struct policy *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < p->n_networks; i++) {
		free(p->networks[i].name);
		free(p->networks[i].ethertypes);
		policy_lpm_destroy(p->networks[i].prefixes);
		policy_lpm_destroy(p->networks[i].addresses);
	}
	for (uint32_t i = 0; i < p->n_endpoints; i++) {
		free(p->endpoints[i].name);
		free(p->endpoints[i].port);
		free(p->endpoints[i].macs);
		policy_lpm_destroy(p->endpoints[i].addresses);
	}
	for (uint32_t i = 0; i < p->n_peers; i++) {
		policy_lpm_destroy(p->peers[i].prefixes);
		policy_lpm_destroy(p->peers[i].full);
		free(p->peers[i].endpoints);
	}
	for (uint32_t i = 0; i < p->n_rules; i++) {
		policy_slot_put(p->rules[i].slot);
		free(p->rules[i].name);
		free(p->rules[i].services);
	}
	for (uint32_t i = 0; i < p->n_lists; i++)
		free(p->lists[i].entry);
	free(p->lists);
	free(p->networks);
	free(p->endpoints);
	free(p->peers);
	free(p->rules);
	free(p->limited);
	policy_lpm_destroy(p->addresses);
	free(p->macs);
	free(p->document);
	free(p);
}
