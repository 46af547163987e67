/* SPDX-License-Identifier: BSD-3-Clause */
/* Texts → policy. Sections are read in the order in which they refer to each other, whatever the
 * order in the file; the first error ends it. Pure. */
#include "control/policy/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy/policy_priv.h"

enum { WORK_MAX = 400 * 1000 * 1000 };

static const char *const sections[] = {"networks", "host",          "profiles", "endpoints",
				       "groups",   "cidrs",         "policies", "baseline",
				       "grants",   "adminPolicies", "version",  "established"};

int reader_each(struct reader *r, const char *section, node_pair_fn fn, void *aux)
{
	int rc = 0;
	for (size_t i = 0; i < r->s.docs.len && !rc; i++) {
		struct node value = node_get(source_root(&r->s, i), section);
		if (value.n)
			rc = node_each_pair(&r->s, value, section, fn, aux);
	}
	return rc;
}

int reader_check_name(struct reader *r, const char *what, const char *name, struct node at)
{
	static const char *const reserved[] = {"host", "all", "anybody", "outside", "true"};
	struct policy_prefix prefix;
	size_t n = strlen(name);
	if (n > 63)
		return source_fail(&r->s, at, "%s \"%.63s…\": a name has at most 63 bytes", what,
				   name);
	if (strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != n)
		return source_fail(&r->s, at,
				   "%s \"%s\": a name consists of letters, digits, '.', '_' and "
				   "'-'",
				   what, name);
	for (size_t i = 0; i < SL_ARRAY_SIZE(reserved); i++)
		if (!strcmp(reserved[i], name))
			return source_fail(&r->s, at, "%s \"%s\": that word has a meaning already",
					   what, name);
	if (!policy_parse_prefix(name, false, &prefix))
		return source_fail(&r->s, at, "%s \"%s\": that is an address", what, name);
	return 0;
}

int reader_spend(struct reader *r, struct node at, size_t bytes)
{
	r->encoded += bytes;
	if (r->encoded > POLICY_ENCODED_MAX)
		return source_fail(&r->s, at, "the policy is too large: more than %d MB compiled",
				   POLICY_ENCODED_MAX >> 20);
	return 0;
}

int reader_work(struct reader *r, struct node at, size_t steps)
{
	r->work += steps;
	if (r->work > WORK_MAX)
		return source_fail(&r->s, at,
				   "the policy is too large: too many selections of too "
				   "many endpoints");
	return 0;
}

static int check_section(struct source *s, const char *key, struct node at, struct node value,
			 void *aux)
{
	struct reader *r = aux;
	struct near m = {.word = key};
	const char *v = node_text(value);
	char hint[160];
	for (size_t i = 0; i < SL_ARRAY_SIZE(sections); i++) {
		near_consider(&m, sections[i]);
		if (strcmp(sections[i], key))
			continue;
		if (!strcmp(key, "version") && (!v || strcmp(v, "1")))
			return source_fail(s, value, "version: 1 is the only one there is");
		if (!strcmp(key, "established")) {
			if (!v || (strcmp(v, "cut") && strcmp(v, "keep")))
				return source_fail(s, value,
						   "established: cut or keep is wanted here");
			r->p->keep_established = !strcmp(v, "keep");
		}
		return 0;
	}
	return source_fail(s, at, "unknown section \"%s\"%s", key,
			   near_hint(&m, hint, sizeof hint));
}

static int check_sections(struct reader *r)
{
	int rc = 0;
	for (size_t i = 0; i < r->s.docs.len && !rc; i++)
		rc = node_each_pair(&r->s, source_root(&r->s, i), "policy", check_section, r);
	return rc;
}

/* The host is an endpoint without a port; the last one, so that it can go again when nobody speaks
 * of it. */
static void add_host(struct reader *r)
{
	struct policy_endpoint ep = {
		.name = xstrdup("host"), .network = -1, .flags = POLICY_IS_HOST};
	vec_append(&ep.prefixes, r->p->host.at, r->p->host.len);
	vec_push(&r->p->endpoints, ep);
}

static void drop_idle_host(struct policy *p)
{
	struct policy_endpoint *ep = &vec_last(&p->endpoints);
	uint32_t index = (uint32_t)(p->endpoints.len - 1);
	bool used = ep->isolated || ep->prefixes.len;
	VEC_FOR_EACH (r, &p->rules)
		used |= r->endpoints.len && vec_last(&r->endpoints) == index;
	if (used)
		return;
	policy_endpoint_free(ep);
	p->endpoints.len--;
}

static int read_all(struct reader *r)
{
	int rc = check_sections(r);
	rc = rc ? rc : reader_objects(r);
	if (rc)
		return rc;
	add_host(r);
	rc = reader_groups(r);
	rc = rc ? rc : reader_rules(r);
	if (rc)
		return rc;
	drop_idle_host(r->p);
	policy_assign_ids(r->p);
	return 0;
}

int policy_read(struct policy **out, const struct policy_text *texts, size_t n, uint64_t now_ms,
		struct err *e)
{
	struct reader r = {.p = xzalloc(sizeof *r.p), .now_ms = now_ms};
	struct err own = {0};
	int rc = source_load(&r.s, texts, n, e ? e : &own);
	*out = NULL;
	rc = rc ? rc : read_all(&r);
	VEC_FOR_EACH (g, &r.groups)
		free(g->members);
	vec_free(&r.groups);
	vec_free(&r.names);
	vec_free(&r.profiles);
	vec_free(&r.policies);
	source_free(&r.s);
	if (rc)
		policy_free(r.p);
	else
		*out = r.p;
	return rc;
}
