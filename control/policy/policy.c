/* SPDX-License-Identifier: BSD-3-Clause */
/* A policy as a whole: freeing, finding, stable ids. An id is a hash of what it stands for, so that
 * counters and connections keep theirs when something else changes; the rare collision takes the
 * next number. Pure. */
#include <stdlib.h>
#include <string.h>

#include "control/policy/policy_priv.h"
#include "datapath/base/hash.h"

static void free_labels(struct policy_endpoint *ep)
{
	VEC_FOR_EACH (l, &ep->labels) {
		free(l->key);
		free(l->value);
	}
	vec_free(&ep->labels);
}

void policy_endpoint_free(struct policy_endpoint *ep)
{
	free(ep->name);
	free(ep->port);
	vec_free(&ep->macs);
	vec_free(&ep->prefixes);
	free_labels(ep);
}

void policy_peers_free(struct policy_peers *p)
{
	vec_free(&p->prefixes);
	vec_free(&p->endpoints);
}

void policy_rule_free(struct policy_rule *r)
{
	free(r->name);
	vec_free(&r->endpoints);
	vec_free(&r->services);
}

static void free_grant(struct policy_grant *g)
{
	free(g->name);
	free(g->from);
	free(g->to);
	free(g->reason);
	free(g->by);
	vec_free(&g->services);
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	VEC_FOR_EACH (n, &p->networks) {
		free(n->name);
		vec_free(&n->ethertypes);
		vec_free(&n->prefixes);
	}
	VEC_FOR_EACH (ep, &p->endpoints)
		policy_endpoint_free(ep);
	VEC_FOR_EACH (s, &p->peers)
		policy_peers_free(s);
	VEC_FOR_EACH (r, &p->rules)
		policy_rule_free(r);
	VEC_FOR_EACH (v, &p->services) {
		free(v->name);
		vec_free(&v->prefixes);
		vec_free(&v->services);
	}
	VEC_FOR_EACH (c, &p->cidrs) {
		free(c->name);
		vec_free(&c->prefixes);
	}
	VEC_FOR_EACH (g, &p->grants)
		free_grant(g);
	vec_free(&p->networks);
	vec_free(&p->endpoints);
	vec_free(&p->peers);
	vec_free(&p->rules);
	vec_free(&p->services);
	vec_free(&p->cidrs);
	vec_free(&p->grants);
	vec_free(&p->host);
	free(p);
}

int policy_find_endpoint(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->endpoints.len; i++)
		if (!strcmp(p->endpoints.at[i].name, name))
			return (int)i;
	return -1;
}

int policy_find_service(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->services.len; i++)
		if (!strcmp(p->services.at[i].name, name))
			return (int)i;
	return -1;
}

/* ---- ids ---- */

static uint32_t hash32(const void *bytes, size_t n)
{
	static const uint64_t key[2] = {0x736c75696365, 0x706f6c696379};
	return (uint32_t)hash_bytes_keyed(bytes, n, key);
}

struct wish {
	uint32_t id;
	size_t at;
};

static int by_wish(const void *a, const void *b)
{
	const struct wish *x = a, *y = b;
	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

/* Makes the ids of n objects different and not 0; `want` gives the wish of one, `set` stores it. */
static void assign(struct policy *p, size_t n, uint32_t (*want)(const struct policy *p, size_t i),
		   void (*set)(struct policy *p, size_t i, uint32_t id))
{
	struct wish *w = xcalloc(n + 1, sizeof *w);
	uint32_t last = 0;
	for (size_t i = 0; i < n; i++)
		w[i] = (struct wish){want(p, i) >> 1, i}; /* room above the highest wish */
	qsort(w, n, sizeof *w, by_wish);
	for (size_t i = 0; i < n; i++) {
		last = w[i].id > last ? w[i].id : last + 1;
		set(p, w[i].at, last);
	}
	free(w);
}

static uint32_t want_network(const struct policy *p, size_t i)
{
	return hash32(p->networks.at[i].name, strlen(p->networks.at[i].name));
}
static void set_network(struct policy *p, size_t i, uint32_t id)
{
	p->networks.at[i].id = id;
}
static uint32_t want_endpoint(const struct policy *p, size_t i)
{
	return hash32(p->endpoints.at[i].name, strlen(p->endpoints.at[i].name));
}
static void set_endpoint(struct policy *p, size_t i, uint32_t id)
{
	p->endpoints.at[i].id = id;
}
/* By content: prefixes, flags and the names of the endpoints. */
static uint32_t want_peers(const struct policy *p, size_t i)
{
	const struct policy_peers *s = &p->peers.at[i];
	uint32_t h = hash32(s->prefixes.at, s->prefixes.len * sizeof *s->prefixes.at) ^
		     s->flags * 0x9e3779b1u;
	VEC_FOR_EACH (e, &s->endpoints)
		h = h * 31 + p->endpoints.at[*e].id;
	return h;
}
static void set_peers(struct policy *p, size_t i, uint32_t id)
{
	p->peers.at[i].id = id;
}
/* Rules that share a name are told apart by their place, through `assign`. */
static uint32_t want_rule(const struct policy *p, size_t i)
{
	const struct policy_rule *r = &p->rules.at[i];
	return hash32(r->name, strlen(r->name)) + r->direction * 0x9e3779b1u;
}
static void set_rule(struct policy *p, size_t i, uint32_t id)
{
	p->rules.at[i].id = id;
}

void policy_assign_ids(struct policy *p)
{
	assign(p, p->networks.len, want_network, set_network);
	assign(p, p->endpoints.len, want_endpoint, set_endpoint);
	assign(p, p->peers.len, want_peers, set_peers);
	assign(p, p->rules.len, want_rule, set_rule);
}
