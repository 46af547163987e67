/* SPDX-License-Identifier: BSD-3-Clause */
/* Grants: an allow between two ends for a while. Each end that is an endpoint gets a rule of its
 * own, so that a grant opens both edges it has to pass. Pure. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy/policy_priv.h"
#include "control/policy/reader.h"

struct grant_fill {
	struct reader *r;
	struct policy_grant *g;
	struct node from, to, ports, at;
	bool log;
};

static int grant_key(struct source *s, const char *key, struct node at, struct node value,
		     void *aux)
{
	struct grant_fill *f = aux;
	const char *v = node_text(value);
	struct policy_grant *g = f->g;
	if (!strcmp(key, "ports")) {
		f->ports = value;
		return 0;
	}
	if (!strcmp(key, "log"))
		return node_bool(s, value, "log", &f->log);
	if (!v)
		return source_fail(s, value, "grant %s: %s: a single value is wanted here", g->name,
				   key);
	if (!strcmp(key, "from")) {
		f->from = value;
		g->from = xstrdup(v);
	} else if (!strcmp(key, "to")) {
		f->to = value;
		g->to = xstrdup(v);
	} else if (!strcmp(key, "reason")) {
		g->reason = xstrdup(v);
	} else if (!strcmp(key, "by")) {
		g->by = xstrdup(v);
	} else if (!strcmp(key, "validFrom") || !strcmp(key, "validUntil")) {
		if (!policy_parse_time(v, key[5] == 'F' ? &g->valid_from_ms : &g->valid_until_ms))
			return source_fail(s, value,
					   "grant %s: %s: a time such as 2026-11-22T18:00:00Z is "
					   "wanted here",
					   g->name, key);
	} else {
		return source_fail(s, at,
				   "grant %s: unknown key \"%s\": from, to, ports, validFrom, "
				   "validUntil, reason, by and log are known",
				   g->name, key);
	}
	return 0;
}

/* The endpoints that an end's word stands for; the host's own endpoint counts when policies select
 * it, because only then its edge asks anything. */
static int endpoints_of(struct grant_fill *f, const char *word, struct node at, endpoint_set set)
{
	struct reader *r = f->r;
	int rc;
	if (!strncmp(word, "host", 4) && (!word[4] || word[4] == ':')) {
		VEC_FOR_EACH (ep, &r->p->endpoints)
			if (ep->flags & POLICY_IS_HOST && ep->isolated)
				set[ep - r->p->endpoints.at] = 1;
		return 0;
	}
	rc = reader_select_word(r, word, at, set);
	return rc < 0 ? rc : 0; /* neither endpoint nor group: a prefix, which has no edge */
}

static int add_end(struct grant_fill *f, enum policy_direction dir, const char *own,
		   struct node own_at, struct node peer)
{
	struct reader *r = f->r;
	struct rule_parts parts = {.at = f->at,
				   .direction = dir,
				   .tier = POLICY_ALLOWS,
				   .verdict = POLICY_ALLOW,
				   .log = f->log,
				   .valid_from_ms = f->g->valid_from_ms,
				   .valid_until_ms = f->g->valid_until_ms};
	struct peers_read peers = {0};
	struct peers_pieces pieces = {0};
	struct policy_services services = {0};
	endpoint_set set = reader_set_create(r);
	char name[96];
	int rc;
	snprintf(name, sizeof name, "grant/%s", f->g->name);
	parts.name = name;
	rc = reader_services(r, f->ports, &services);
	rc = rc ? rc : reader_peers(r, peer, dir, &peers, &pieces);
	rc = rc ? rc : endpoints_of(f, own, own_at, set);
	if (!rc)
		rc = reader_add_rule(r, &parts, set, &peers, &pieces, &services);
	else
		policy_peers_free(&peers.peers);
	vec_free(&pieces.at);
	vec_free(&services.list);
	free(set);
	return rc;
}

static int note_services(struct grant_fill *f)
{
	struct policy_services list = {0};
	int rc = reader_services(f->r, f->ports, &list);
	vec_append(&f->g->services, list.list.at, list.list.len);
	vec_free(&list.list);
	return rc;
}

/* An error says which grant it is about: who must revoke it does not count lines. */
static int name_error(struct source *s, const char *name, int rc)
{
	char already[ERR_TEXT_BYTES];
	struct err why;

	if (!rc || !s->e)
		return rc;
	snprintf(already, sizeof already, "grant %s: ", name);
	if (strstr(s->e->text, already))
		return rc;
	why = *s->e;
	err_clear(s->e);
	return err_set(s->e, why.code, "%.*s (grant %s)", ERR_TEXT_BYTES - 100, why.text, name);
}

static int add_grant(struct source *s, const char *name, struct node at, struct node value,
		     void *aux)
{
	struct reader *r = aux;
	struct policy_grant g = {0};
	struct grant_fill f = {.r = r, .at = at};
	int rc = reader_check_name(r, "grant", name, at);
	if (rc)
		return rc;
	VEC_FOR_EACH (twin, &r->p->grants)
		if (!strcmp(twin->name, name))
			return source_fail(s, at, "grant \"%s\" is there twice", name);
	g.name = xstrdup(name);
	vec_push(&r->p->grants, g);
	f.g = &vec_last(&r->p->grants);
	rc = node_each_pair(s, value, "grant", grant_key, &f);
	if (!rc && (!f.from.n || !f.to.n || !f.g->valid_until_ms))
		rc = source_fail(s, at, "grant %s: from, to and validUntil are needed", name);
	rc = rc ? rc : note_services(&f);
	if (rc || f.g->valid_until_ms <= r->now_ms)
		return name_error(s, name, rc);
	rc = add_end(&f, POLICY_EGRESS, f.g->from, f.from, f.to);
	rc = rc ? rc : add_end(&f, POLICY_INGRESS, f.g->to, f.to, f.from);
	return name_error(s, name, rc);
}

int reader_grants(struct reader *r)
{
	return reader_each(r, "grants", add_grant, r);
}
