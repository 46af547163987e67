/* SPDX-License-Identifier: BSD-3-Clause */
/* One question to a policy. Pure. */
#include "control/policy/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy/source.h"
#include "control/policy/values.h"

/* ---- the ends ---- */

static void set_addr(struct policy_end *end, const struct policy_prefix *p)
{
	end->family = p->family;
	memcpy(end->addr, p->addr, sizeof end->addr);
}

static bool take_address(struct policy_end *end, const struct policy_prefix *list, size_t n,
			 uint8_t family)
{
	for (size_t i = 0; i < n; i++)
		if (!list[i].except && (!family || list[i].family == family)) {
			set_addr(end, &list[i]);
			return true;
		}
	return false;
}

/* The endpoint that has the address, seen from a network (-1: none): index or -1. */
static int owner(const struct policy *p, int network, uint8_t family, const uint8_t addr[16])
{
	int found = -1, n = 0;
	for (size_t i = 0; i < p->endpoints.len; i++) {
		const struct policy_endpoint *ep = &p->endpoints.at[i];
		if (ep->flags & POLICY_IS_HOST ||
		    !policy_prefixes_match(ep->prefixes.at, ep->prefixes.len, family, addr))
			continue;
		if (ep->network >= 0 && ep->network == network)
			return (int)i;
		found = (int)i;
		n++;
	}
	return n == 1 ? found : -1;
}

static bool is_host_address(const struct policy *p, uint8_t family, const uint8_t addr[16])
{
	return policy_prefixes_match(p->host.at, p->host.len, family, addr);
}

static int unknown_end(const struct policy *p, const char *word, struct err *e)
{
	struct near m = {.word = word};
	char hint[160];
	VEC_FOR_EACH (ep, &p->endpoints)
		near_consider(&m, ep->name);
	return err_set(e, EINVAL, "endpoint \"%s\" is not defined%s", word,
		       near_hint(&m, hint, sizeof hint));
}

static int end_of_service(const struct policy *p, const char *name, uint8_t family,
			  struct policy_end *end, struct err *e)
{
	int i = policy_find_service(p, name);
	const struct policy_host_service *v;
	if (i < 0)
		return err_set(e, EINVAL, "service \"%s\" of the host is not defined", name);
	v = &p->services.at[i];
	if (v->prefixes.len)
		take_address(end, v->prefixes.at, v->prefixes.len, family);
	else
		take_address(end, p->host.at, p->host.len, family);
	return 0;
}

static const char *const outside4 = "198.51.100.1", *const outside6 = "2001:db8:ffff::1";

void policy_end_resolve(const struct policy *p, struct policy_end *end)
{
	int i = owner(p, -1, end->family, end->addr);
	if (is_host_address(p, end->family, end->addr)) {
		end->kind = POLICY_END_HOST;
	} else if (i >= 0) {
		end->kind = POLICY_END_ENDPOINT;
		end->endpoint = i;
	}
}

static int parse_end(const struct policy *p, const char *word, uint8_t family,
		     struct policy_end *end, struct err *e)
{
	int i = policy_find_endpoint(p, word);
	struct policy_prefix prefix;
	*end = (struct policy_end){.endpoint = -1};
	if (!strcmp(word, "host") || !strncmp(word, "host:", 5)) {
		end->kind = POLICY_END_HOST;
		if (word[4])
			return end_of_service(p, word + 5, family, end, e);
		take_address(end, p->host.at, p->host.len, family);
		return 0;
	}
	if (i >= 0) {
		const struct policy_endpoint *ep = &p->endpoints.at[i];
		end->kind = POLICY_END_ENDPOINT;
		end->endpoint = i;
		take_address(end, ep->prefixes.at, ep->prefixes.len, family);
		return 0;
	}
	VEC_FOR_EACH (c, &p->cidrs)
		if (!strcmp(c->name, word) &&
		    take_address(end, c->prefixes.at, c->prefixes.len, family)) {
			policy_end_resolve(p, end);
			return 0;
		}
	if (!strcmp(word, "outside"))
		word = family == 6 ? outside6 : outside4;
	if (policy_parse_prefix(word, false, &prefix))
		return unknown_end(p, word, e);
	set_addr(end, &prefix);
	policy_end_resolve(p, end);
	return 0;
}

static int parse_both(const struct policy *p, const char *from, const char *to, uint8_t family,
		      struct policy_question *out, struct err *e)
{
	int rc = parse_end(p, from, family, &out->from, e);
	return rc ? rc : parse_end(p, to, family, &out->to, e);
}

static bool same_family(const struct policy_question *q)
{
	return !q->from.family || !q->to.family || q->from.family == q->to.family;
}

static int set_service(struct policy_question *q, const char *service, struct err *e)
{
	uint8_t family = q->to.family ? q->to.family : q->from.family;
	struct policy_services list = {0};
	const char *why = policy_parse_service(service, &list);
	const struct policy_service *s;
	if (why) {
		vec_free(&list.list);
		return err_set(e, EINVAL, "%s is impossible: %s", service, why);
	}
	s = &list.list.at[list.list.len > 1 && family == 6]; /* ping: one for each family */
	q->proto = s->proto == POLICY_PROTO_ANY ? POLICY_PROTO_TCP : s->proto;
	q->port = s->first;
	vec_free(&list.list);
	return 0;
}

int policy_ask(const struct policy *p, const char *from, const char *to, uint8_t family,
	       const char *service, uint64_t now_ms, struct policy_question *out, struct err *e)
{
	int rc;
	*out = (struct policy_question){.now_ms = now_ms};
	if (family) {
		rc = parse_both(p, from, to, family, out, e);
	} else {
		rc = parse_both(p, from, to, 4, out, e);
		if (!rc && (!out->from.family || !out->to.family || !same_family(out))) {
			/* One has no IPv4 address: both may have IPv6 ones. */
			struct policy_question q4 = *out;
			rc = parse_both(p, from, to, 6, out, e);
			if (!rc && (!out->from.family || !out->to.family || !same_family(out)))
				*out = q4;
		}
	}
	if (!rc && !same_family(out))
		rc = err_set(e, EINVAL, "%s and %s have no address of the same family", from, to);
	return rc ? rc : set_service(out, service, e);
}

void policy_end_format(const struct policy *p, const struct policy_end *end, struct str *out)
{
	struct policy_prefix a = {.family = end->family, .len = end->family == 4 ? 32 : 128};
	if (end->kind == POLICY_END_ENDPOINT) {
		str_puts(out, p->endpoints.at[end->endpoint].name);
	} else if (end->kind == POLICY_END_HOST) {
		str_puts(out, "host");
	} else if (end->family) {
		memcpy(a.addr, end->addr, sizeof a.addr);
		policy_format_prefix(&a, out);
	} else {
		str_puts(out, "outside");
	}
}

/* ---- an edge ---- */

/* Who the other end is, as this edge can know it. */
static struct policy_end peer_seen(const struct policy *p, const struct policy_endpoint *self,
				   const struct policy_end *other, bool is_source)
{
	struct policy_end seen = *other;
	int i;
	if (other->kind == POLICY_END_HOST || self->flags & POLICY_IS_HOST)
		return seen;
	i = other->family ? owner(p, self->network, other->family, other->addr) : -1;
	if (i >= 0) {
		seen.kind = POLICY_END_ENDPOINT;
		seen.endpoint = i;
	} else if (!is_source) {
		seen.kind = POLICY_END_OUTSIDE; /* an address that nobody has declared */
		seen.endpoint = -1;
	}
	return seen;
}

/* Prefixes name the host only by its full address. */
static bool names_host(const struct policy_peers *s, const struct policy_end *peer)
{
	if (s->flags & POLICY_PEER_HOST)
		return true;
	VEC_FOR_EACH (x, &s->prefixes)
		if (!x->except && x->family == peer->family &&
		    x->len == (x->family == 4 ? 32 : 128) &&
		    policy_prefix_covers(x, peer->family, peer->addr))
			return true;
	return false;
}

static bool peer_fits(const struct policy *p, const struct policy_rule *r,
		      const struct policy_end *peer)
{
	const struct policy_peers *s = r->peers < 0 ? NULL : &p->peers.at[r->peers];
	if (peer->kind == POLICY_END_HOST)
		return s && names_host(s, peer);
	if (!s || s->flags & POLICY_PEER_NOT_HOST)
		return true;
	if (peer->kind == POLICY_END_ENDPOINT)
		VEC_FOR_EACH (e, &s->endpoints)
			if (*e == (uint32_t)peer->endpoint)
				return true;
	return peer->family &&
	       policy_prefixes_match(s->prefixes.at, s->prefixes.len, peer->family, peer->addr);
}

static bool service_fits(const struct policy_rule *r, const struct policy_question *q)
{
	VEC_FOR_EACH (s, &r->services)
		if ((s->proto == POLICY_PROTO_ANY || s->proto == q->proto) && q->port >= s->first &&
		    q->port <= s->last)
			return true;
	return !r->services.len;
}

static bool is_about(const struct policy_rule *r, uint32_t endpoint)
{
	size_t lo = 0, hi = r->endpoints.len;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (r->endpoints.at[mid] < endpoint)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < r->endpoints.len && r->endpoints.at[lo] == endpoint;
}

/* The first rule of a tier that fits; -1: none. */
static int first_rule(const struct policy *p, const struct policy_question *q,
		      const struct policy_edge *edge, const struct policy_end *peer,
		      enum policy_tier tier)
{
	for (size_t i = 0; i < p->rules.len; i++) {
		const struct policy_rule *r = &p->rules.at[i];
		if (r->tier == tier && r->direction == edge->direction &&
		    is_about(r, (uint32_t)edge->endpoint) && q->now_ms >= r->valid_from_ms &&
		    (!r->valid_until_ms || q->now_ms < r->valid_until_ms) && service_fits(r, q) &&
		    peer_fits(p, r, peer))
			return (int)i;
	}
	return -1;
}

static bool decide(const struct policy *p, struct policy_edge *edge, int rule)
{
	if (rule < 0 || p->rules.at[rule].verdict == POLICY_PASS)
		return false;
	edge->rule = rule;
	edge->name = p->rules.at[rule].name;
	edge->allow = p->rules.at[rule].verdict == POLICY_ALLOW;
	return true;
}

static void built_in(struct policy_edge *edge, bool allow, const char *name)
{
	edge->rule = -1;
	edge->allow = allow;
	edge->name = name;
}

static void ask_edge(const struct policy *p, const struct policy_question *q, int endpoint,
		     const struct policy_end *other, enum policy_direction dir,
		     struct policy_edge *edge)
{
	const struct policy_endpoint *self = &p->endpoints.at[endpoint];
	bool is_host = self->flags & POLICY_IS_HOST;
	struct policy_end peer = peer_seen(p, self, other, dir == POLICY_INGRESS);
	*edge = (struct policy_edge){.asked = true,
				     .endpoint = endpoint,
				     .direction = dir,
				     .peer = peer.kind,
				     .rule = -1};
	if (peer.kind == POLICY_END_ENDPOINT && self->flags & POLICY_PROTECTED &&
	    p->endpoints.at[peer.endpoint].flags & POLICY_PROTECTED)
		built_in(edge, false, "guard/protected");
	else if (decide(p, edge, first_rule(p, q, edge, &peer, POLICY_ADMIN)) ||
		 decide(p, edge, first_rule(p, q, edge, &peer, POLICY_ALLOWS)))
		return;
	else if (peer.kind == POLICY_END_HOST && !is_host)
		built_in(edge, false, "default/host-deny");
	else if (self->isolated & 1 << dir)
		built_in(edge, false, "default/isolated");
	else if (!decide(p, edge, first_rule(p, q, edge, &peer, POLICY_BASELINE)))
		built_in(edge, true, "default/allow");
}

/* Whose rules are asked at an end: an endpoint's, the host's when policies speak of it. */
static int asked_at(const struct policy *p, const struct policy_end *end)
{
	if (end->kind == POLICY_END_ENDPOINT)
		return end->endpoint;
	if (end->kind == POLICY_END_HOST)
		for (size_t i = 0; i < p->endpoints.len; i++)
			if (p->endpoints.at[i].flags & POLICY_IS_HOST)
				return (int)i;
	return -1;
}

void policy_answer(const struct policy *p, const struct policy_question *q,
		   struct policy_answer *out)
{
	int from = asked_at(p, &q->from), to = asked_at(p, &q->to);
	*out = (struct policy_answer){.allow = true, .name = "default/allow"};
	if (from >= 0 && from == to)
		return; /* it does not leave the endpoint */
	if (from >= 0)
		ask_edge(p, q, from, &q->to, POLICY_EGRESS, &out->egress);
	if (to >= 0)
		ask_edge(p, q, to, &q->from, POLICY_INGRESS, &out->ingress);
	out->edge = to >= 0 ? &out->ingress : from >= 0 ? &out->egress : NULL;
	/* A denial decides, the sender's first; among allows the one that a rule made. */
	if (out->egress.asked && !out->egress.allow)
		out->edge = &out->egress;
	else if (out->ingress.asked && !out->ingress.allow)
		out->edge = &out->ingress;
	else if (out->egress.asked && out->egress.rule >= 0 &&
		 !(out->ingress.asked && out->ingress.rule >= 0))
		out->edge = &out->egress;
	if (out->edge) {
		out->allow = out->edge->allow;
		out->name = out->edge->name;
	}
}
