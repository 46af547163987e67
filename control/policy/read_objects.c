/* SPDX-License-Identifier: BSD-3-Clause */
/* Networks, the host, profiles and endpoints, named CIDRs. What a network says holds for its
 * endpoints unless their profile, or they, say otherwise. Pure. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy/policy_priv.h"
#include "control/policy/reader.h"
#include "control/policy/values.h"

enum { PROFILE_DEPTH_MAX = 16 };

/* ---- limits and guards, which networks, profiles and endpoints share ---- */

enum limit_kind { RATE, COUNT_PER_S, COUNT, TIME_MS };
static const struct {
	const char *key, *rule_key;
	size_t offset;
	enum limit_kind kind;
} limits[] = {
#define LIMIT(member, attr, key, rule_key, kind)                                                   \
	{key, rule_key, offsetof(struct policy_limits, member), kind},
#include "control/policy/policy_limits.def"
#undef LIMIT
};

static bool parse_limit(enum limit_kind kind, const char *word, uint64_t *v)
{
	switch (kind) {
	case RATE:
		return value_rate(word, v);
	case COUNT_PER_S:
		return value_per_s(word, v);
	case COUNT:
		return parse_u64(word, 10, UINT32_MAX, v);
	case TIME_MS:
		return policy_parse_duration(word, v) && *v <= 60000;
	}
	return false;
}

static const char *limit_example(enum limit_kind kind)
{
	switch (kind) {
	case RATE:
		return "100mbit (kbit, mbit, gbit)";
	case COUNT_PER_S:
		return "1000/s (also 10k/s)";
	case COUNT:
		return "a number";
	case TIME_MS:
		return "100ms, at most 60s";
	}
	return "";
}

int reader_limit(struct reader *r, struct policy_limits *l, bool of_rule, const char *key,
		 struct node value, const char *what)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(limits); i++) {
		const char *name = of_rule ? limits[i].rule_key : limits[i].key;
		const char *word = node_text(value);
		uint64_t v;
		if (!name[0] || strcmp(name, key))
			continue;
		if (!word || !parse_limit(limits[i].kind, word, &v) || !v)
			return source_fail(&r->s, value, "%s: %s: %s is wanted here", what, key,
					   limit_example(limits[i].kind));
		memcpy((char *)l + limits[i].offset, &v, sizeof v);
		return 1;
	}
	return 0;
}

static const struct {
	const char *key;
	uint32_t bit;
} guards[] = {
#define GUARD(id, bit, key, doc) {key, bit},
#include "control/policy/policy_guards.def"
#undef GUARD
};

/* What may be said of an endpoint beside its identity. */
struct traits {
	struct policy_limits *limits;
	uint32_t *guards, *said;
	const char *what;
	struct reader *r;
};

static int unknown_key(struct reader *r, const char *what, const char *key, struct node at,
		       const char *const *known, size_t n)
{
	struct near m = {.word = key};
	char hint[160];
	for (size_t i = 0; i < n; i++)
		near_consider(&m, known[i]);
	return source_fail(&r->s, at, "%s: unknown key \"%s\"%s", what, key,
			   near_hint(&m, hint, sizeof hint));
}

static int add_limit(struct source *s, const char *key, struct node at, struct node value,
		     void *aux)
{
	struct traits *t = aux;
	int rc = reader_limit(t->r, t->limits, false, key, value, t->what);
	const char *known[SL_ARRAY_SIZE(limits)];
	if (rc)
		return rc < 0 ? rc : 0;
	for (size_t i = 0; i < SL_ARRAY_SIZE(limits); i++)
		known[i] = limits[i].key;
	return unknown_key(t->r, "limits", key, at, known, SL_ARRAY_SIZE(limits));
}

static int add_guard(struct source *s, const char *key, struct node at, struct node value,
		     void *aux)
{
	struct traits *t = aux;
	const char *known[SL_ARRAY_SIZE(guards)];
	bool on;
	for (size_t i = 0; i < SL_ARRAY_SIZE(guards); i++) {
		known[i] = guards[i].key;
		if (strcmp(guards[i].key, key))
			continue;
		if (node_bool(s, value, key, &on))
			return -EINVAL;
		*t->said |= guards[i].bit;
		*t->guards = on ? *t->guards | guards[i].bit : *t->guards & ~guards[i].bit;
		return 0;
	}
	return unknown_key(t->r, "guards", key, at, known, SL_ARRAY_SIZE(guards));
}

/* 1: taken. */
static int read_traits(struct traits *t, const char *key, struct node value)
{
	int rc;
	if (!strcmp(key, "limits"))
		rc = node_each_pair(&t->r->s, value, t->what, add_limit, t);
	else if (!strcmp(key, "guards"))
		rc = node_each_pair(&t->r->s, value, t->what, add_guard, t);
	else
		return 0;
	return rc ? rc : 1;
}

/* ---- networks ---- */

struct ethertypes_fill {
	struct reader *r;
	struct policy_network *n;
};

static int add_ethertype(struct source *s, struct node item, void *aux)
{
	struct ethertypes_fill *f = aux;
	const char *word = node_text(item);
	uint64_t v;
	if (!word || !parse_u64(word, 0, UINT16_MAX, &v) || v < 0x600)
		return source_fail(s, item,
				   "network %s: an ethertype is 0x0600 to 0xffff, such as 0x88cc",
				   f->n->name);
	if (v == 0x800 || v == 0x86dd || v == 0x806)
		return source_fail(s, item, "network %s: IPv4, IPv6 and ARP need not be listed",
				   f->n->name);
	vec_push(&f->n->ethertypes, (uint16_t)v);
	return 0;
}

static int network_key(struct source *s, const char *key, struct node at, struct node value,
		       void *aux)
{
	static const struct {
		const char *key;
		uint32_t bit;
	} flags[] = {{"dhcp", POLICY_DHCP},
		     {"dhcpv6", POLICY_DHCPV6},
		     {"slaac", POLICY_SLAAC},
		     {"hostRoutes", POLICY_HOST_ROUTES}};
	static const char *const known[] = {"cidrs", "ethertypes", "limits",     "guards",
					    "dhcp",  "dhcpv6",     "hostRoutes", "slaac"};
	struct ethertypes_fill *f = aux;
	struct policy_network *n = f->n;
	struct traits t = {&n->limits, &n->guards, &n->guards_said, "network", f->r};
	int rc = read_traits(&t, key, value);
	bool on = false;
	if (rc)
		return rc < 0 ? rc : 0;
	for (size_t i = 0; i < SL_ARRAY_SIZE(flags); i++)
		if (!strcmp(flags[i].key, key)) {
			rc = node_bool(s, value, key, &on);
			n->flags |= on ? flags[i].bit : 0;
			return rc;
		}
	if (!strcmp(key, "ethertypes"))
		return node_each_item(s, value, add_ethertype, f);
	if (!strcmp(key, "cidrs")) {
		struct policy_prefixes list = {0};
		rc = reader_prefixes(f->r, value, "a network's cidrs", true, &list);
		vec_append(&n->prefixes, list.list.at, list.list.len);
		vec_free(&list.list);
		return rc;
	}
	return unknown_key(f->r, "network", key, at, known, SL_ARRAY_SIZE(known));
}

static int find_network(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->networks.len; i++)
		if (!strcmp(p->networks.at[i].name, name))
			return (int)i;
	return -1;
}

static int add_network(struct source *s, const char *name, struct node at, struct node value,
		       void *aux)
{
	struct reader *r = aux;
	struct policy_network n = {.line = node_line(at)};
	int rc = reader_check_name(r, "network", name, at);
	if (rc)
		return rc;
	if (find_network(r->p, name) >= 0)
		return source_fail(s, at, "network \"%s\" is there twice", name);
	n.name = xstrdup(name);
	vec_push(&r->p->networks, n);
	return node_each_pair(s, value, "network", network_key,
			      &(struct ethertypes_fill){r, &vec_last(&r->p->networks)});
}

/* ---- the host ---- */

static int add_service_ports(struct reader *r, struct node value, struct policy_host_service *v)
{
	struct policy_services list = {0};
	int rc = reader_services(r, value, &list);
	vec_append(&v->services, list.list.at, list.list.len);
	vec_free(&list.list);
	return rc;
}

static void add_host_prefix(struct policy *p, const struct policy_prefix *prefix)
{
	VEC_FOR_EACH (h, &p->host)
		if (!memcmp(h, prefix, sizeof *h))
			return;
	vec_push(&p->host, *prefix);
}

static int host_addresses(struct reader *r, struct node value, const char *what,
			  struct policy_prefixes *out)
{
	int rc = reader_prefixes(r, value, what, true, out);
	VEC_FOR_EACH (it, &out->list) {
		if (!rc && it->len != (it->family == 4 ? 32 : 128))
			rc = source_fail(&r->s, value,
					 "%s: addresses are wanted here, not prefixes", what);
		if (!rc)
			add_host_prefix(r->p, it);
	}
	return rc;
}

struct service_fill {
	struct reader *r;
	struct policy_host_service *v;
};

static int service_key(struct source *s, const char *key, struct node at, struct node value,
		       void *aux)
{
	static const char *const known[] = {"addresses", "ports"};
	struct service_fill *f = aux;
	struct policy_prefixes list = {0};
	int rc;
	if (!strcmp(key, "ports"))
		return add_service_ports(f->r, value, f->v);
	if (strcmp(key, "addresses"))
		return unknown_key(f->r, "service", key, at, known, SL_ARRAY_SIZE(known));
	rc = host_addresses(f->r, value, "a service's addresses", &list);
	vec_append(&f->v->prefixes, list.list.at, list.list.len);
	vec_free(&list.list);
	return rc;
}

static int add_service(struct source *s, const char *name, struct node at, struct node value,
		       void *aux)
{
	struct reader *r = aux;
	struct policy_host_service v = {0};
	int rc = reader_check_name(r, "service", name, at);
	if (rc)
		return rc;
	if (policy_find_service(r->p, name) >= 0)
		return source_fail(s, at, "service \"%s\" is there twice", name);
	v.name = xstrdup(name);
	vec_push(&r->p->services, v);
	return node_each_pair(s, value, "service", service_key,
			      &(struct service_fill){r, &vec_last(&r->p->services)});
}

static int host_key(struct source *s, const char *key, struct node at, struct node value, void *aux)
{
	static const char *const known[] = {"addresses", "services"};
	struct reader *r = aux;
	struct policy_prefixes list = {0};
	int rc;
	if (!strcmp(key, "services"))
		return node_each_pair(s, value, "services", add_service, r);
	if (strcmp(key, "addresses"))
		return unknown_key(r, "host", key, at, known, SL_ARRAY_SIZE(known));
	rc = host_addresses(r, value, "the host's addresses", &list);
	vec_free(&list.list);
	return rc;
}

/* ---- named prefixes ---- */

static int add_cidr(struct source *s, const char *name, struct node at, struct node value,
		    void *aux)
{
	struct reader *r = aux;
	struct policy_cidr c = {.line = node_line(at)};
	struct policy_prefixes list = {0};
	int rc = reader_check_name(r, "cidrs", name, at);
	if (!rc)
		rc = node_is_map(value) ? reader_ip_block(r, value, &list)
					: reader_prefixes(r, value, "cidrs", true, &list);
	c.name = xstrdup(name);
	vec_append(&c.prefixes, list.list.at, list.list.len);
	vec_free(&list.list);
	vec_push(&r->p->cidrs, c);
	return rc;
}

/* ---- endpoints ---- */

struct endpoint_fill {
	struct reader *r;
	struct policy_endpoint *ep;
	uint32_t guards, said;
	char what[96];
	int depth;
	bool in_profile;
};

static int add_mac(struct source *s, struct node item, void *aux)
{
	struct endpoint_fill *f = aux;
	const char *word = node_text(item);
	struct policy_mac mac;
	if (!word || !value_mac(word, &mac))
		return source_fail(s, item,
				   "%s: %s is not a MAC address, such as 02:00:00:00:00:01",
				   f->what, word ? word : "this");
	if (!memcmp(mac.byte, (uint8_t[6]){0}, 6))
		return source_fail(s, item, "%s: %s is no address", f->what, word);
	if (mac.byte[0] & 1)
		return source_fail(s, item, "%s: %s is a group address, which no endpoint has",
				   f->what, word);
	vec_push(&f->ep->macs, mac);
	return 0;
}

static int add_label(struct source *s, const char *key, struct node at, struct node value,
		     void *aux)
{
	struct endpoint_fill *f = aux;
	const char *v = node_text(value);
	if (!v || strlen(v) > 253 || strlen(key) > 253)
		return source_fail(s, value, "%s: label %s: a text of at most 253 bytes is wanted",
				   f->what, key);
	VEC_FOR_EACH (l, &f->ep->labels)
		if (!strcmp(l->key, key)) { /* the endpoint's own after its profile's */
			free(l->value);
			l->value = xstrdup(v);
			return 0;
		}
	vec_push(&f->ep->labels, (struct policy_label){xstrdup(key), xstrdup(v)});
	return 0;
}

static int set_network(struct endpoint_fill *f, struct node value)
{
	const char *name = node_text(value);
	struct policy *p = f->r->p;
	struct near m = {.word = name ? name : ""};
	char hint[160];
	int i = name ? find_network(p, name) : -1;
	if (i >= 0) {
		f->ep->network = i;
		return 0;
	}
	VEC_FOR_EACH (n, &p->networks)
		near_consider(&m, n->name);
	return source_fail(&f->r->s, value, "%s: network \"%s\" is not defined%s", f->what,
			   name ? name : "", near_hint(&m, hint, sizeof hint));
}

static int endpoint_key(struct source *s, const char *key, struct node at, struct node value,
			void *aux);

static int use_profile(struct endpoint_fill *f, struct node value)
{
	const char *name = node_text(value);
	struct near m = {.word = name ? name : ""};
	char hint[160];
	VEC_FOR_EACH (it, &f->r->profiles) {
		int rc;
		near_consider(&m, it->name);
		if (!name || strcmp(it->name, name))
			continue;
		if (++f->depth > PROFILE_DEPTH_MAX)
			return source_fail(&f->r->s, value, "profile \"%s\" uses itself", name);
		rc = reader_fill_endpoint(f, it->value, true);
		f->depth--;
		return rc;
	}
	return source_fail(&f->r->s, value, "%s: profile \"%s\" is not defined%s", f->what,
			   name ? name : "", near_hint(&m, hint, sizeof hint));
}

int reader_fill_endpoint(struct endpoint_fill *f, struct node value, bool in_profile)
{
	struct node profile = node_get(value, "profile");
	bool before = f->in_profile;
	int rc = profile.n ? use_profile(f, profile) : 0;
	f->in_profile = in_profile;
	rc = rc ? rc : node_each_pair(&f->r->s, value, f->what, endpoint_key, f);
	f->in_profile = before;
	return rc;
}

static int set_addresses(struct endpoint_fill *f, struct node value)
{
	struct policy_prefixes list = {0};
	int rc = reader_prefixes(f->r, value, f->what, true, &list);
	vec_append(&f->ep->prefixes, list.list.at, list.list.len);
	vec_free(&list.list);
	return rc;
}

static int endpoint_key(struct source *s, const char *key, struct node at, struct node value,
			void *aux)
{
	static const char *const known[] = {"profile", "network", "labels", "limits",
					    "guards",  "port",    "macs",   "addresses"};
	struct endpoint_fill *f = aux;
	struct traits t = {&f->ep->limits, &f->guards, &f->said, f->what, f->r};
	int rc = read_traits(&t, key, value);
	if (rc)
		return rc < 0 ? rc : 0;
	if (!strcmp(key, "profile"))
		return 0; /* used before the other keys */
	if (!strcmp(key, "network"))
		return set_network(f, value);
	if (!strcmp(key, "labels"))
		return node_each_pair(s, value, "labels", add_label, f);
	if (!f->in_profile && (!strcmp(key, "macs") || !strcmp(key, "mac")))
		return node_each_item(s, value, add_mac, f);
	if (!f->in_profile && (!strcmp(key, "addresses") || !strcmp(key, "address")))
		return set_addresses(f, value);
	if (!f->in_profile && !strcmp(key, "port")) {
		const char *word = node_text(value);
		if (!word || !word[0])
			return source_fail(s, value, "%s: port: a port's name is wanted here",
					   f->what);
		free(f->ep->port);
		f->ep->port = xstrdup(word);
		return 0;
	}
	return unknown_key(f->r, f->what, key, at, known,
			   SL_ARRAY_SIZE(known) - (f->in_profile ? 3 : 0));
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct policy_label *)a)->key, ((const struct policy_label *)b)->key);
}

/* Limits and guards of the network come first. */
static void start_from_network(struct endpoint_fill *f, const struct policy_network *n)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(limits); i++) {
		uint64_t own, its;
		memcpy(&own, (char *)&f->ep->limits + limits[i].offset, sizeof own);
		memcpy(&its, (const char *)&n->limits + limits[i].offset, sizeof its);
		if (!own)
			memcpy((char *)&f->ep->limits + limits[i].offset, &its, sizeof its);
	}
	f->guards |= n->guards & n->guards_said & ~f->said;
	f->said |= n->guards_said;
}

static int finish_endpoint(struct endpoint_fill *f, struct node at)
{
	struct policy_endpoint *ep = f->ep;
	if (ep->network >= 0)
		start_from_network(f, &f->r->p->networks.at[ep->network]);
	ep->flags = f->guards;
	if (ep->macs.len && !(f->said & POLICY_CHECK_MACS))
		ep->flags |= POLICY_CHECK_MACS;
	if (ep->prefixes.len && !(f->said & POLICY_CHECK_ADDRESSES))
		ep->flags |= POLICY_CHECK_ADDRESSES;
	if (ep->flags & POLICY_CHECK_MACS && !ep->macs.len)
		return source_fail(&f->r->s, at, "%s: checkMacs needs macs", f->what);
	/* Without addresses of its own an endpoint may use those of its network. */
	if (ep->flags & POLICY_CHECK_ADDRESSES && !ep->prefixes.len &&
	    (ep->network < 0 || !f->r->p->networks.at[ep->network].prefixes.len))
		return source_fail(&f->r->s, at,
				   "%s: checkAddresses needs addresses, or a network with cidrs",
				   f->what);
	if (ep->labels.len)
		qsort(ep->labels.at, ep->labels.len, sizeof *ep->labels.at, by_key);
	if (!ep->port)
		ep->port = xstrdup(ep->name);
	return 0;
}

static int add_endpoint(struct source *s, const char *name, struct node at, struct node value,
			void *aux)
{
	struct reader *r = aux;
	struct policy_endpoint ep = {.network = -1, .line = node_line(at)};
	struct endpoint_fill f = {.r = r};
	int rc = reader_check_name(r, "endpoint", name, at);
	if (rc)
		return rc;
	if (r->p->endpoints.len >= POLICY_ENDPOINTS_MAX)
		return source_fail(s, at, "more than %d endpoints", POLICY_ENDPOINTS_MAX);
	ep.name = xstrdup(name);
	vec_push(&r->p->endpoints, ep);
	f.ep = &vec_last(&r->p->endpoints);
	snprintf(f.what, sizeof f.what, "endpoint %s", name);
	rc = reader_fill_endpoint(&f, value, false);
	rc = rc ? rc : finish_endpoint(&f, at);
	return rc ? rc : reader_spend(r, at, 256 + f.ep->macs.len * 8 + f.ep->prefixes.len * 24);
}

static int note_profile(struct source *s, const char *name, struct node at, struct node value,
			void *aux)
{
	struct reader *r = aux;
	vec_push(&r->profiles, (struct named){name, at, value});
	return 0;
}

/* Profiles nobody uses have errors too. */
static int check_profiles(struct reader *r)
{
	int rc = 0;
	for (size_t i = 0; i < r->profiles.len && !rc; i++) {
		struct policy_endpoint ep = {.network = -1};
		struct endpoint_fill f = {.r = r, .ep = &ep};
		for (size_t j = 0; j < i && !rc; j++)
			if (!strcmp(r->profiles.at[i].name, r->profiles.at[j].name))
				rc = source_fail(&r->s, r->profiles.at[i].key,
						 "profile \"%s\" is there twice",
						 r->profiles.at[i].name);
		snprintf(f.what, sizeof f.what, "profile %s", r->profiles.at[i].name);
		rc = rc ? rc : reader_fill_endpoint(&f, r->profiles.at[i].value, true);
		policy_endpoint_free(&ep);
	}
	return rc;
}

int reader_objects(struct reader *r)
{
	int rc = reader_each(r, "networks", add_network, r);
	rc = rc ? rc : reader_each(r, "host", host_key, r);
	rc = rc ? rc : reader_each(r, "profiles", note_profile, r);
	rc = rc ? rc : check_profiles(r);
	rc = rc ? rc : reader_each(r, "endpoints", add_endpoint, r);
	rc = rc ? rc : reader_check_identity(r);
	return rc ? rc : reader_each(r, "cidrs", add_cidr, r);
}
