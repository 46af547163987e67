/* SPDX-License-Identifier: BSD-3-Clause */
/* Which endpoints: words, lists of words, and label selectors with the meaning that Kubernetes
 * gives to matchLabels and matchExpressions. Groups are resolved when first used; one that is met
 * again while it is being resolved contains itself. Pure. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy/reader.h"

endpoint_set reader_set_create(const struct reader *r)
{
	return xzalloc(r->p->endpoints.len + 1); /* the host may come later */
}

/* ---- names ---- */

static int compare_word(const void *key, const void *element)
{
	const struct reader_name *n = element;
	return strcmp(key, n->name);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct reader_name *)a)->name, ((const struct reader_name *)b)->name);
}

static int find_name(const struct reader *r, const char *word)
{
	const struct reader_name *n = r->names.len ? bsearch(word, r->names.at, r->names.len,
							     sizeof *r->names.at, compare_word)
						   : NULL;
	return n ? (int)n->index : -1;
}

static int by_group_name(const void *a, const void *b)
{
	return strcmp(((const struct group *)a)->name, ((const struct group *)b)->name);
}

static int compare_group(const void *key, const void *element)
{
	return strcmp(key, ((const struct group *)element)->name);
}

static struct group *find_group(struct reader *r, const char *word)
{
	return r->groups.len ? bsearch(word, r->groups.at, r->groups.len, sizeof *r->groups.at,
				       compare_group)
			     : NULL;
}

int reader_unknown(struct reader *r, const char *kind, const char *word, struct node at)
{
	struct near m = {.word = word};
	char hint[160];
	VEC_FOR_EACH (n, &r->names)
		near_consider(&m, n->name);
	VEC_FOR_EACH (g, &r->groups)
		near_consider(&m, g->name);
	return source_fail(&r->s, at, "%s \"%s\" is not defined%s", kind, word,
			   near_hint(&m, hint, sizeof hint));
}

/* ---- label selectors ---- */

static const char *label_of(const struct policy_endpoint *ep, const char *key)
{
	VEC_FOR_EACH (l, &ep->labels)
		if (!strcmp(l->key, key))
			return l->value;
	return NULL;
}

struct selection {
	struct reader *r;
	endpoint_set set; /* what is left after each requirement */
};

static int match_label(struct source *s, const char *key, struct node at, struct node value,
		       void *aux)
{
	struct selection *sel = aux;
	const char *want = node_text(value);
	const struct policy *p = sel->r->p;
	if (!want)
		return source_fail(s, value, "matchLabels: %s: a single value is wanted here", key);
	for (size_t i = 0; i < p->endpoints.len; i++) {
		const char *is = label_of(&p->endpoints.at[i], key);
		sel->set[i] &= is && !strcmp(is, want);
	}
	return reader_work(sel->r, at, p->endpoints.len);
}

enum operator{ IN, NOT_IN, EXISTS, DOES_NOT_EXIST, N_OPERATORS };
static const char *const operators[N_OPERATORS] = {"In", "NotIn", "Exists", "DoesNotExist"};

struct expression {
	const char *key;
	int op;
	VEC(const char *) values;
	struct node values_node;
};

static int add_value(struct source *s, struct node item, void *aux)
{
	struct expression *x = aux;
	const char *v = node_text(item);
	if (!v)
		return source_fail(s, item, "values: a text is wanted here");
	vec_push(&x->values, v);
	return 0;
}

static int expression_key(struct source *s, const char *key, struct node at, struct node value,
			  void *aux)
{
	struct expression *x = aux;
	const char *v = node_text(value);
	if (!strcmp(key, "key")) {
		x->key = v;
		return v && v[0] ? 0 : source_fail(s, value, "key: a label's name is wanted here");
	}
	if (!strcmp(key, "values")) {
		x->values_node = value;
		return node_each_item(s, value, add_value, x);
	}
	if (strcmp(key, "operator"))
		return source_fail(s, at,
				   "matchExpressions: unknown key \"%s\": key, operator and "
				   "values are known",
				   key);
	for (x->op = 0; v && x->op < N_OPERATORS; x->op++)
		if (!strcmp(operators[x->op], v))
			return 0;
	return source_fail(s, value, "operator: In, NotIn, Exists or DoesNotExist is wanted here");
}

/* A missing label satisfies NotIn and DoesNotExist. */
static bool holds(const struct expression *x, const char *label)
{
	bool in = false;
	if (x->op == EXISTS || x->op == DOES_NOT_EXIST)
		return (label != NULL) == (x->op == EXISTS);
	VEC_FOR_EACH (v, &x->values)
		in |= label && !strcmp(label, *v);
	return in == (x->op == IN);
}

static int match_expression(struct source *s, struct node item, void *aux)
{
	struct selection *sel = aux;
	struct expression x = {.op = N_OPERATORS};
	const struct policy *p = sel->r->p;
	int rc = node_is_map(item) ? node_each_pair(s, item, "matchExpressions", expression_key, &x)
				   : source_fail(s, item,
						 "matchExpressions: {key, operator, values} is "
						 "wanted here");
	if (!rc && (!x.key || x.op == N_OPERATORS))
		rc = source_fail(s, item, "matchExpressions: key and operator are needed");
	if (!rc && (x.op == IN || x.op == NOT_IN) != (x.values.len > 0))
		rc = source_fail(s, item, "matchExpressions: %s %s values", operators[x.op],
				 x.values.len ? "has no" : "needs");
	for (size_t i = 0; i < p->endpoints.len && !rc; i++)
		sel->set[i] &= holds(&x, label_of(&p->endpoints.at[i], x.key));
	rc = rc ? rc : reader_work(sel->r, item, p->endpoints.len * (1 + x.values.len));
	vec_free(&x.values);
	return rc;
}

/* network: one name or several, of which one must be the endpoint's. */
struct network_match {
	struct reader *r;
	endpoint_set in;
};

static int match_network(struct source *s, struct node item, void *aux)
{
	struct network_match *m = aux;
	const struct policy *p = m->r->p;
	const char *name = node_text(item);
	struct near near = {.word = name ? name : ""};
	char hint[160];
	for (size_t n = 0; n < p->networks.len; n++) {
		near_consider(&near, p->networks.at[n].name);
		if (!name || strcmp(name, p->networks.at[n].name))
			continue;
		for (size_t i = 0; i < p->endpoints.len; i++)
			m->in[i] |= p->endpoints.at[i].network == (int)n;
		return reader_work(m->r, item, p->endpoints.len);
	}
	return source_fail(s, item, "network \"%s\" is not defined%s", name ? name : "",
			   near_hint(&near, hint, sizeof hint));
}

static int restrict_to(struct selection *sel, struct node value,
		       int (*fill)(struct reader *r, struct node n, endpoint_set into))
{
	endpoint_set in = reader_set_create(sel->r);
	int rc = fill(sel->r, value, in);
	for (size_t i = 0; i < sel->r->p->endpoints.len; i++)
		sel->set[i] &= in[i];
	free(in);
	return rc ? rc : reader_work(sel->r, value, sel->r->p->endpoints.len);
}

static int fill_networks(struct reader *r, struct node n, endpoint_set into)
{
	return node_each_item(&r->s, n, match_network, &(struct network_match){r, into});
}

static int requirement(struct source *s, const char *key, struct node at, struct node value,
		       void *aux)
{
	struct selection *sel = aux;
	if (!strcmp(key, "matchLabels"))
		return node_each_pair(s, value, "matchLabels", match_label, sel);
	if (!strcmp(key, "matchExpressions"))
		return node_each_item(s, value, match_expression, sel);
	if (!strcmp(key, "network"))
		return restrict_to(sel, value, fill_networks);
	if (!strcmp(key, "names") || !strcmp(key, "groups"))
		return restrict_to(sel, value, reader_select);
	return source_fail(s, at,
			   "unknown key \"%s\": matchLabels, matchExpressions, network, names and "
			   "groups are known",
			   key);
}

/* ---- selecting ---- */

static void add_all(const struct reader *r, endpoint_set into)
{
	for (size_t i = 0; i < r->p->endpoints.len; i++)
		into[i] |= !(r->p->endpoints.at[i].flags & POLICY_IS_HOST);
}

static int resolve_group(struct reader *r, struct group *g)
{
	int rc;
	if (g->state == GROUP_DONE)
		return 0;
	if (g->state == GROUP_OPEN || ++r->depth > 200)
		return source_fail(&r->s, g->key, "group \"%s\" contains itself", g->name);
	g->state = GROUP_OPEN;
	g->members = reader_set_create(r);
	rc = reader_select(r, g->value, g->members);
	g->state = GROUP_DONE;
	r->depth--;
	return rc;
}

int reader_select_word(struct reader *r, const char *word, struct node at, endpoint_set into)
{
	int i = find_name(r, word), rc;
	struct group *g;
	if (!strcmp(word, "all")) {
		add_all(r, into);
		return 1;
	}
	if (i >= 0) {
		into[i] = 1;
		return 1;
	}
	g = find_group(r, word);
	if (!g)
		return 0;
	rc = resolve_group(r, g);
	if (rc)
		return rc;
	for (size_t e = 0; e < r->p->endpoints.len; e++)
		into[e] |= g->members[e];
	rc = reader_work(r, at, r->p->endpoints.len);
	return rc ? rc : 1;
}

struct into {
	struct reader *r;
	endpoint_set set;
};

static int select_item(struct source *s, struct node item, void *aux)
{
	struct into *t = aux;
	const char *word = node_text(item);
	int rc;
	if (node_is_map(item))
		return reader_select(t->r, item, t->set);
	if (!word)
		return source_fail(s, item, "a name is wanted here");
	rc = reader_select_word(t->r, word, item, t->set);
	if (!rc)
		return reader_unknown(t->r, "endpoint", word, item);
	return rc < 0 ? rc : 0;
}

static int select_by_labels(struct reader *r, struct node n, endpoint_set into)
{
	struct selection sel = {r, reader_set_create(r)};
	int rc;
	add_all(r, sel.set);
	rc = node_each_pair(&r->s, n, "selector", requirement, &sel);
	for (size_t i = 0; i < r->p->endpoints.len; i++)
		into[i] |= sel.set[i];
	free(sel.set);
	return rc;
}

int reader_select(struct reader *r, struct node n, endpoint_set into)
{
	if (node_is_map(n))
		return select_by_labels(r, n, into);
	return node_each_item(&r->s, n, select_item, &(struct into){r, into});
}

/* ---- groups ---- */

static int note_group(struct source *s, const char *name, struct node at, struct node value,
		      void *aux)
{
	struct reader *r = aux;
	int rc = reader_check_name(r, "group", name, at);
	if (rc)
		return rc;
	if (find_name(r, name) >= 0)
		return source_fail(s, at, "group \"%s\": an endpoint has that name", name);
	vec_push(&r->groups, (struct group){.name = name, .key = at, .value = value});
	return 0;
}

static int index_names(struct reader *r)
{
	for (size_t i = 0; i < r->p->endpoints.len; i++)
		vec_push(&r->names, (struct reader_name){r->p->endpoints.at[i].name, (uint32_t)i});
	if (r->names.len)
		qsort(r->names.at, r->names.len, sizeof *r->names.at, compare_names);
	for (size_t i = 1; i < r->names.len; i++)
		if (!strcmp(r->names.at[i].name, r->names.at[i - 1].name))
			return err_set(
				r->s.e, EINVAL, "%s:%u: endpoint \"%s\" is there twice",
				r->s.docs.at[0]->file,
				r->p->endpoints
					.at[SL_MAX(r->names.at[i].index, r->names.at[i - 1].index)]
					.line,
				r->names.at[i].name);
	return 0;
}

static int by_cidr_name(const void *a, const void *b)
{
	const struct policy_cidr *x = *(const struct policy_cidr *const *)a;
	const struct policy_cidr *y = *(const struct policy_cidr *const *)b;
	int c = strcmp(x->name, y->name);
	return c ? c : (x->line > y->line) - (x->line < y->line);
}

/* A name of a cidr means one thing where peers are named. */
static int check_cidr_names(struct reader *r)
{
	VEC(const struct policy_cidr *) all = {0};
	const char *has = NULL;
	int rc = 0;
	VEC_FOR_EACH (c, &r->p->cidrs)
		vec_push(&all, c);
	if (all.len)
		qsort(all.at, all.len, sizeof *all.at, by_cidr_name);
	for (size_t i = 0; i < all.len && !rc; i++) {
		const struct policy_cidr *c = all.at[i];
		has = find_name(r, c->name) >= 0                   ? "an endpoint has that name"
		      : find_group(r, c->name)                     ? "a group has that name"
		      : i && !strcmp(c->name, all.at[i - 1]->name) ? "is there twice"
								   : NULL;
		if (has)
			rc = err_set(r->s.e, EINVAL, "%s:%u: cidr \"%s\": %s",
				     r->s.docs.at[0]->file, c->line, c->name, has);
	}
	vec_free(&all);
	return rc;
}

int reader_groups(struct reader *r)
{
	int rc = index_names(r);
	rc = rc ? rc : reader_each(r, "groups", note_group, r);
	if (!rc && r->groups.len)
		qsort(r->groups.at, r->groups.len, sizeof *r->groups.at, by_group_name);
	for (size_t i = 1; i < r->groups.len && !rc; i++)
		if (!strcmp(r->groups.at[i].name, r->groups.at[i - 1].name))
			rc = source_fail(&r->s, r->groups.at[i].key, "group \"%s\" is there twice",
					 r->groups.at[i].name);
	rc = rc ? rc : check_cidr_names(r);
	for (size_t i = 0; i < r->groups.len && !rc; i++)
		rc = resolve_group(r, &r->groups.at[i]);
	return rc;
}
