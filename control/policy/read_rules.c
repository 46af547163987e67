/* SPDX-License-Identifier: BSD-3-Clause */
/* Policies of the three tiers: whom they select, what their rules allow or deny. Pure. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "control/policy/policy_priv.h"
#include "control/policy/reader.h"
#include "control/policy/values.h"

enum { RULE_BYTES = 256, PRIORITY_MAX = 1000 };

/* ---- ports ---- */

struct port_map {
	const char *protocol;
	struct node port, end, type, code;
};

static int port_key(struct source *s, const char *key, struct node at, struct node value, void *aux)
{
	struct port_map *m = aux;
	if (!strcmp(key, "protocol"))
		m->protocol = node_text(value);
	else if (!strcmp(key, "port"))
		m->port = value;
	else if (!strcmp(key, "endPort"))
		m->end = value;
	else if (!strcmp(key, "type"))
		m->type = value;
	else if (!strcmp(key, "code"))
		m->code = value;
	else
		return source_fail(s, at,
				   "ports: unknown key \"%s\": protocol, port, endPort, type and "
				   "code are known",
				   key);
	return 0;
}

static bool number(struct node n, uint64_t max, uint64_t *v)
{
	const char *word = node_text(n);
	return word && parse_u64(word, 10, max, v);
}

static int ports_of(struct source *s, struct node item, const struct port_map *m, uint8_t proto,
		    struct policy_service *out)
{
	const char *word = node_text(m->port);
	uint64_t end;
	if (m->type.n || m->code.n)
		return source_fail(s, item, "ports: only ICMP and ICMPv6 have type and code");
	if (!value_has_ports(proto) && (m->port.n || m->end.n))
		return source_fail(s, item, "ports: only TCP, UDP and SCTP have ports");
	if (!m->port.n)
		return m->end.n ? source_fail(s, item, "ports: endPort needs port") : 0;
	if (!word || !value_port_range(word, &out->first, &out->last))
		return source_fail(s, m->port, "port %s is impossible: 1 to 65535 is wanted",
				   word ? word : "");
	if (m->end.n && (!number(m->end, UINT16_MAX, &end) || end < out->first))
		return source_fail(s, m->end, "endPort %s is impossible: %u to 65535 is wanted",
				   node_text(m->end) ? node_text(m->end) : "", out->first);
	if (m->end.n)
		out->last = (uint16_t)end;
	return 0;
}

static int types_of(struct source *s, struct node item, const struct port_map *m,
		    struct policy_service *out)
{
	uint64_t type, code = 0;
	if (m->port.n || m->end.n)
		return source_fail(s, item, "ports: ICMP has type and code, not ports");
	if (!m->type.n)
		return m->code.n ? source_fail(s, item, "ports: code needs type") : 0;
	if (!number(m->type, 255, &type) || (m->code.n && !number(m->code, 255, &code)))
		return source_fail(s, item, "ports: a type is 0 to 255, and so is a code");
	out->first = (uint16_t)(type << 8 | code);
	out->last = m->code.n ? out->first : (uint16_t)(type << 8 | 0xff);
	return 0;
}

static int add_port_map(struct source *s, struct node item, struct policy_services *out)
{
	struct port_map m = {.protocol = "TCP"};
	struct policy_service v = {.last = UINT16_MAX};
	int rc = node_each_pair(s, item, "ports", port_key, &m);
	if (rc)
		return rc;
	if (!m.protocol || !value_proto(m.protocol, &v.proto))
		return source_fail(s, item,
				   "protocol %s is not known: TCP, UDP, SCTP, ICMP, ICMPv6 or a "
				   "number",
				   m.protocol ? m.protocol : "");
	rc = value_has_types(v.proto) ? types_of(s, item, &m, &v)
				      : ports_of(s, item, &m, v.proto, &v);
	vec_push(&out->list, v);
	return rc;
}

struct services_fill {
	struct reader *r;
	struct policy_services *out;
};

static int add_port(struct source *s, struct node item, void *aux)
{
	struct services_fill *f = aux;
	const char *word = node_text(item), *why;
	int rc = reader_spend(f->r, item, 6);
	if (rc)
		return rc;
	if (node_is_map(item))
		return add_port_map(s, item, f->out);
	if (!word)
		return source_fail(s, item, "ports: tcp/443, or {protocol, port}, is wanted here");
	why = policy_parse_service(word, f->out);
	return why ? source_fail(s, item, "%s is impossible: %s", word, why) : 0;
}

int reader_services(struct reader *r, struct node n, struct policy_services *out)
{
	return node_each_item(&r->s, n, add_port, &(struct services_fill){r, out});
}

/* ---- adding a rule ---- */

static int push_rule(struct reader *r, const struct rule_parts *parts, endpoint_set set, int peers,
		     const struct policy_service *services, size_t n)
{
	struct policy_rule rule = {
		.name = xstrdup(parts->name),
		.direction = parts->direction,
		.tier = parts->tier,
		.verdict = parts->verdict,
		.log = parts->log,
		.priority = parts->priority,
		.peers = peers,
		.valid_from_ms = parts->valid_from_ms,
		.valid_until_ms = parts->valid_until_ms,
		.limits = parts->limits,
		.line = node_line(parts->at),
	};
	for (size_t i = 0; i < r->p->endpoints.len; i++)
		if (set[i])
			vec_push(&rule.endpoints, (uint32_t)i);
	vec_append(&rule.services, services, n);
	vec_push(&r->p->rules, rule);
	if (r->p->rules.len > POLICY_RULES_MAX)
		return source_fail(&r->s, parts->at, "more than %d rules", POLICY_RULES_MAX);
	return reader_spend(r, parts->at,
			    RULE_BYTES + rule.endpoints.len * 4 + n * sizeof *services);
}

static bool is_empty(const struct policy_peers *p)
{
	return !p->flags && !p->prefixes.len && !p->endpoints.len;
}

/* Does the set of endpoints have anybody in it? A rule about nobody is not sent. */
static bool has_any(const struct reader *r, endpoint_set set)
{
	return memchr(set, 1, r->p->endpoints.len) != NULL;
}

int reader_add_rule(struct reader *r, const struct rule_parts *parts, endpoint_set set,
		    struct peers_read *peers, const struct peers_pieces *pieces,
		    const struct policy_services *services)
{
	int rc = reader_work(r, parts->at, r->p->endpoints.len);
	if (rc || !has_any(r, set)) {
		policy_peers_free(&peers->peers);
		return rc;
	}
	if (peers->anybody)
		return push_rule(r, parts, set, -1, services->list.at, services->list.len);
	if (!is_empty(&peers->peers) || !pieces->at.len)
		rc = push_rule(r, parts, set, reader_add_peers(r, &peers->peers), services->list.at,
			       services->list.len);
	for (size_t i = 0; i < pieces->at.len && !rc; i++) {
		const struct policy_host_service *v = &r->p->services.at[pieces->at.at[i].service];
		struct policy_peers one = {0};
		if (services->list.len)
			return source_fail(&r->s, parts->at,
					   "host:%s brings its own ports: leave `ports` out, or "
					   "say `host`",
					   v->name);
		reader_service_peers(r, pieces->at.at[i].service, &one);
		rc = push_rule(r, parts, set, reader_add_peers(r, &one), v->services.at,
			       v->services.len);
	}
	return rc;
}

/* ---- one rule of a policy ---- */

struct policy_fill {
	struct reader *r;
	const char *name;
	struct node at;
	enum policy_tier tier;
	uint32_t priority;
	endpoint_set set;
	enum policy_direction direction;
	unsigned index;
};

struct rule_fill {
	struct policy_fill *in;
	struct rule_parts parts;
	struct peers_read peers;
	struct peers_pieces pieces;
	struct policy_services services;
	bool has_action;
};

static int set_action(struct source *s, struct node value, struct rule_fill *f)
{
	static const char *const actions[] = {"Allow", "Deny", "Pass"};
	const char *v = node_text(value);
	f->has_action = true;
	for (unsigned i = 0; v && i < SL_ARRAY_SIZE(actions); i++) {
		if (strcasecmp(actions[i], v))
			continue;
		f->parts.verdict = i;
		if (f->in->tier == POLICY_ALLOWS && i != POLICY_ALLOW)
			return source_fail(s, value,
					   "policies only allow: %s belongs to adminPolicies or "
					   "baseline",
					   actions[i]);
		if (f->in->tier == POLICY_BASELINE && i == POLICY_PASS)
			return source_fail(s, value,
					   "there is nothing behind the baseline to "
					   "pass to");
		return 0;
	}
	return source_fail(s, value, "action: Allow, Deny or Pass is wanted here");
}

static int set_time(struct source *s, struct node value, const char *key, uint64_t *ms)
{
	const char *v = node_text(value);
	if (v && policy_parse_time(v, ms))
		return 0;
	return source_fail(s, value, "%s: a time such as 2026-11-22T18:00:00Z is wanted here", key);
}

static int limit_key(struct source *s, const char *key, struct node at, struct node value,
		     void *aux)
{
	struct rule_fill *f = aux;
	int rc = reader_limit(f->in->r, &f->parts.limits, true, key, value, "limits");
	if (!rc)
		return source_fail(s, at,
				   "limits of a rule: unknown key \"%s\": rate, packets, burst, "
				   "connections and newConnections are known",
				   key);
	return rc < 0 ? rc : 0;
}

static int rule_key(struct source *s, const char *key, struct node at, struct node value, void *aux)
{
	struct rule_fill *f = aux;
	const char *peers = f->in->direction == POLICY_INGRESS ? "from" : "to";
	bool log = false;
	int rc;
	if (!strcmp(key, peers))
		return reader_peers(f->in->r, value, f->in->direction, &f->peers, &f->pieces);
	if (!strcmp(key, "ports"))
		return reader_services(f->in->r, value, &f->services);
	if (!strcmp(key, "action"))
		return set_action(s, value, f);
	if (!strcmp(key, "log")) {
		rc = node_bool(s, value, "log", &log);
		f->parts.log = log;
		return rc;
	}
	if (!strcmp(key, "limits"))
		return node_each_pair(s, value, "limits", limit_key, f);
	if (!strcmp(key, "validFrom"))
		return set_time(s, value, key, &f->parts.valid_from_ms);
	if (!strcmp(key, "validUntil"))
		return set_time(s, value, key, &f->parts.valid_until_ms);
	if (!strcmp(key, "description"))
		return 0;
	if (!strcmp(key, "from") || !strcmp(key, "to"))
		return source_fail(s, at, "%s rules have `%s`, not `%s`",
				   f->in->direction == POLICY_INGRESS ? "ingress" : "egress", peers,
				   key);
	return source_fail(s, at,
			   "unknown key \"%s\" of a rule: %s, ports, %slog, limits, validFrom, "
			   "validUntil and description are known",
			   key, peers, f->in->tier == POLICY_ALLOWS ? "" : "action, ");
}

static int add_rule(struct source *s, struct node item, void *aux)
{
	struct policy_fill *in = aux;
	struct rule_fill f = {.in = in, .peers.anybody = true};
	char name[128];
	int rc;
	snprintf(name, sizeof name, "%s/%s[%u]", in->name,
		 in->direction == POLICY_INGRESS ? "ingress" : "egress", in->index++);
	f.parts = (struct rule_parts){.name = name,
				      .at = item,
				      .direction = in->direction,
				      .tier = in->tier,
				      .priority = in->priority};
	rc = node_is_map(item) || node_is_null(item)
		     ? node_each_pair(s, item, "rule", rule_key, &f)
		     : source_fail(s, item,
				   "a rule such as {%s: [...], ports: [...]} is wanted here",
				   in->direction == POLICY_INGRESS ? "from" : "to");
	if (!rc && in->tier != POLICY_ALLOWS && !f.has_action)
		rc = source_fail(s, item, "action: Allow, Deny%s must be said",
				 in->tier == POLICY_ADMIN ? " or Pass" : "");
	if (!rc && f.parts.valid_until_ms && f.parts.valid_from_ms >= f.parts.valid_until_ms)
		rc = source_fail(s, item, "validUntil is not after validFrom");
	if (!rc)
		rc = reader_add_rule(in->r, &f.parts, in->set, &f.peers, &f.pieces, &f.services);
	else
		policy_peers_free(&f.peers.peers);
	vec_free(&f.pieces.at);
	vec_free(&f.services.list);
	return rc;
}

/* ---- policies ---- */

static int add_type(struct source *s, struct node item, void *aux)
{
	uint8_t *bits = aux;
	const char *v = node_text(item);
	if (v && !strcasecmp(v, "Ingress"))
		*bits |= 1 << POLICY_INGRESS;
	else if (v && !strcasecmp(v, "Egress"))
		*bits |= 1 << POLICY_EGRESS;
	else
		return source_fail(s, item, "policyTypes: Ingress or Egress is wanted here");
	return 0;
}

static int check_policy_key(struct source *s, const char *key, struct node at, struct node value,
			    void *aux)
{
	static const char *const known[] = {"endpoints",   "ingress",     "egress",
					    "description", "policyTypes", "priority"};
	struct policy_fill *f = aux;
	struct near m = {.word = key};
	char hint[160];
	for (size_t i = 0; i < SL_ARRAY_SIZE(known); i++) {
		near_consider(&m, known[i]);
		if (strcmp(known[i], key))
			continue;
		if (!strcmp(key, "policyTypes") && f->tier != POLICY_ALLOWS)
			return source_fail(s, at,
					   "policy %s: only policies isolate, so only they "
					   "have policyTypes",
					   f->name);
		if (!strcmp(key, "priority") && f->tier != POLICY_ADMIN)
			return source_fail(s, at, "policy %s: only adminPolicies have a priority",
					   f->name);
		return 0;
	}
	return source_fail(s, at, "policy %s: unknown key \"%s\"%s", f->name, key,
			   near_hint(&m, hint, sizeof hint));
}

/* Kubernetes: without policyTypes a policy isolates ingress always, egress if it has such rules. */
static int isolate(struct policy_fill *f, struct node value)
{
	struct node types = node_get(value, "policyTypes");
	uint8_t bits = 0;
	int rc = 0;
	if (f->tier != POLICY_ALLOWS)
		return 0;
	if (types.n)
		rc = node_each_item(&f->r->s, types, add_type, &bits);
	else
		bits = (uint8_t)(1 << POLICY_INGRESS |
				 (node_get(value, "egress").n ? 1 << POLICY_EGRESS : 0));
	for (size_t i = 0; i < f->r->p->endpoints.len && !rc; i++)
		if (f->set[i])
			f->r->p->endpoints.at[i].isolated |= bits;
	return rc;
}

static int set_priority(struct policy_fill *f, struct node value)
{
	struct node n = node_get(value, "priority");
	uint64_t v;
	if (f->tier != POLICY_ADMIN)
		return 0;
	if (!n.n)
		return source_fail(&f->r->s, f->at,
				   "policy %s: priority (0 to %d, low ones first) is needed",
				   f->name, PRIORITY_MAX);
	if (!number(n, PRIORITY_MAX, &v))
		return source_fail(&f->r->s, n, "policy %s: a priority is 0 to %d", f->name,
				   PRIORITY_MAX);
	f->priority = (uint32_t)v;
	return 0;
}

static int read_policy(struct policy_fill *f, struct node value)
{
	struct source *s = &f->r->s;
	struct node endpoints = node_get(value, "endpoints");
	int rc = node_each_pair(s, value, f->name, check_policy_key, f);
	if (!rc && !endpoints.n)
		rc = source_fail(s, f->at,
				 "policy %s: endpoints must be said (all, a name, a "
				 "group, labels)",
				 f->name);
	rc = rc ? rc : reader_select(f->r, endpoints, f->set);
	rc = rc ? rc : isolate(f, value);
	rc = rc ? rc : set_priority(f, value);
	f->direction = POLICY_INGRESS;
	rc = rc ? rc : node_each_item(s, node_get(value, "ingress"), add_rule, f);
	f->direction = POLICY_EGRESS;
	f->index = 0;
	return rc ? rc : node_each_item(s, node_get(value, "egress"), add_rule, f);
}

struct tier_fill {
	struct reader *r;
	enum policy_tier tier;
};

static int add_policy(struct source *s, const char *name, struct node at, struct node value,
		      void *aux)
{
	struct tier_fill *t = aux;
	struct policy_fill f = {.r = t->r, .name = name, .at = at, .tier = t->tier};
	int rc = reader_check_name(t->r, "policy", name, at);
	if (!rc && (!strcmp(name, "grant") || !strcmp(name, "default") || !strcmp(name, "guard") ||
		    !strcmp(name, "limit")))
		rc = source_fail(s, at, "policy \"%s\": that name is taken by the switch itself",
				 name);
	if (rc)
		return rc;
	vec_push(&t->r->policies, (struct named){name, at, value});
	f.set = reader_set_create(t->r);
	rc = read_policy(&f, value);
	free(f.set);
	return rc;
}

static int by_policy_name(const void *a, const void *b)
{
	return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

static int check_policy_names(struct reader *r)
{
	if (r->policies.len)
		qsort(r->policies.at, r->policies.len, sizeof *r->policies.at, by_policy_name);
	for (size_t i = 1; i < r->policies.len; i++) {
		const struct named *a = &r->policies.at[i - 1], *b = &r->policies.at[i];
		if (!strcmp(a->name, b->name))
			return source_fail(&r->s,
					   node_line(a->key) > node_line(b->key) ? a->key : b->key,
					   "policy \"%s\" is there twice", a->name);
	}
	return 0;
}

/* The order of evaluation: by tier, then by priority, then as written. */
static int compare_rules(const void *a, const void *b)
{
	const struct policy_rule *x = a, *y = b;
	if (x->tier != y->tier)
		return x->tier < y->tier ? -1 : 1;
	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id; /* for now: the place in the file */
}

int reader_rules(struct reader *r)
{
	int rc = reader_each(r, "adminPolicies", add_policy, &(struct tier_fill){r, POLICY_ADMIN});
	rc = rc ? rc
		: reader_each(r, "policies", add_policy, &(struct tier_fill){r, POLICY_ALLOWS});
	rc = rc ? rc : reader_grants(r);
	rc = rc ? rc
		: reader_each(r, "baseline", add_policy, &(struct tier_fill){r, POLICY_BASELINE});
	for (size_t i = 0; i < r->p->rules.len; i++)
		r->p->rules.at[i].id = (uint32_t)i;
	if (r->p->rules.len)
		qsort(r->p->rules.at, r->p->rules.len, sizeof *r->p->rules.at, compare_rules);
	return rc ? rc : check_policy_names(r);
}
