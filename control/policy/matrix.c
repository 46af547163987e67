/* SPDX-License-Identifier: BSD-3-Clause */
/* Who may talk to whom: services are cut where some rule begins or ends, so that one question per
 * piece answers for all of it. Pure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy/check.h"
#include "control/policy/values.h"

enum { CLASSES_MAX = 20000, PROTO_OTHER = 253 /* RFC 3692: for experiments */ };

static void add_class(struct policy_classes *c, uint8_t proto, unsigned first, unsigned last)
{
	vec_push(&c->list, (struct policy_service){.proto = proto,
						   .first = (uint16_t)first,
						   .last = (uint16_t)last});
}

void policy_classes_add(struct policy_classes *c, const struct policy *p)
{
	static const uint8_t always[] = {POLICY_PROTO_TCP,  POLICY_PROTO_UDP,    POLICY_PROTO_SCTP,
					 POLICY_PROTO_ICMP, POLICY_PROTO_ICMPV6, PROTO_OTHER};
	for (size_t i = 0; i < SL_ARRAY_SIZE(always); i++)
		add_class(c, always[i], 0, UINT16_MAX);
	VEC_FOR_EACH (r, &p->rules)
		VEC_FOR_EACH (s, &r->services)
			if (s->proto != POLICY_PROTO_ANY && c->list.len < CLASSES_MAX)
				vec_push(&c->list, *s);
}

static int compare(const void *a, const void *b)
{
	const struct policy_service *x = a, *y = b;
	if (x->proto != y->proto)
		return x->proto - y->proto;
	return x->first != y->first ? x->first - y->first : x->last - y->last;
}

static int compare_number(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

/* Ranges that may overlap → pieces that do not. */
static void cut(struct policy_classes *out, const struct policy_service *s, size_t n)
{
	uint32_t *starts = xcalloc(2 * n + 1, sizeof *starts);
	size_t m = 0;
	for (size_t i = 0; i < n; i++) {
		starts[m++] = s[i].first;
		starts[m++] = s[i].last + 1u;
	}
	qsort(starts, m, sizeof *starts, compare_number);
	for (size_t i = 0; i + 1 < m; i++)
		if (starts[i] != starts[i + 1])
			add_class(out, s->proto, starts[i], starts[i + 1] - 1);
	free(starts);
}

void policy_classes_finish(struct policy_classes *c)
{
	struct policy_classes out = {0};
	qsort(c->list.at, c->list.len, sizeof *c->list.at, compare);
	for (size_t i = 0, j; i < c->list.len; i = j) {
		for (j = i; j < c->list.len && c->list.at[j].proto == c->list.at[i].proto;)
			j++;
		cut(&out, c->list.at + i, j - i);
	}
	vec_free(&c->list);
	*c = out;
}

/* Adjacent pieces become one again. */
static void join(struct policy_service *list, size_t *n, const struct policy_service *s)
{
	struct policy_service *last = *n ? &list[*n - 1] : NULL;
	if (last && last->proto == s->proto && last->last + 1u == s->first)
		last->last = s->last;
	else
		list[(*n)++] = *s;
}

void policy_cell_fill(const struct policy *p, const struct policy_classes *c,
		      const struct policy_end *from, const struct policy_end *to, uint64_t now_ms,
		      struct policy_cell *out)
{
	uint8_t family = to->family ? to->family : from->family;
	struct policy_question q = {.from = *from, .to = *to, .now_ms = now_ms};
	vec_reserve(&out->allow, c->list.len);
	vec_reserve(&out->deny, c->list.len);
	out->allow.len = out->deny.len = 0;
	VEC_FOR_EACH (s, &c->list) {
		struct policy_answer a;
		if ((s->proto == POLICY_PROTO_ICMP && family == 6) ||
		    (s->proto == POLICY_PROTO_ICMPV6 && family != 6))
			continue;
		q.proto = s->proto;
		q.port = s->first;
		policy_answer(p, &q, &a);
		if (a.allow)
			join(out->allow.at, &out->allow.len, s);
		else
			join(out->deny.at, &out->deny.len, s);
	}
}

void policy_cell_free(struct policy_cell *c)
{
	vec_free(&c->allow);
	vec_free(&c->deny);
}

static void put_list(const struct policy_service *list, size_t n, struct str *out)
{
	size_t before = out->len;
	for (size_t i = 0; i < n; i++) {
		if (list[i].proto == PROTO_OTHER)
			continue;
		if (out->len > before)
			str_putc(out, ' ');
		policy_format_service(&list[i], out);
	}
}

static bool has_other(const struct policy_service *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].proto == PROTO_OTHER)
			return true;
	return false;
}

void policy_cell_format(const struct policy_cell *c, struct str *out)
{
	if (!c->allow.len) {
		str_putc(out, '-');
	} else if (!c->deny.len) {
		str_puts(out, "all");
	} else if (has_other(c->allow.at, c->allow.len)) {
		str_puts(out, "all but ");
		put_list(c->deny.at, c->deny.len, out);
	} else {
		put_list(c->allow.at, c->allow.len, out);
	}
}

/* ---- subjects ---- */

static void add_subject(struct policy_subjects *out, const struct policy *p, const char *name,
			uint8_t family)
{
	struct policy_question q;
	struct err e = {0};
	if (policy_ask(p, name, name, family, "tcp", 0, &q, &e))
		return;
	vec_push(&out->list, (struct policy_subject){xstrdup(name), q.from});
}

/* "host" in a matrix stands at the host's first address: services elsewhere get a line of their
 * own. */
static bool has_address_of_its_own(const struct policy *p, const struct policy_host_service *v)
{
	return v->prefixes.len && p->host.len &&
	       memcmp(&v->prefixes.at[0], &p->host.at[0], sizeof p->host.at[0]);
}

void policy_subjects_fill(const struct policy *p, uint8_t family, struct policy_subjects *out)
{
	VEC_FOR_EACH (ep, &p->endpoints)
		if (!(ep->flags & POLICY_IS_HOST))
			add_subject(out, p, ep->name, family);
	add_subject(out, p, "host", family);
	VEC_FOR_EACH (v, &p->services)
		if (has_address_of_its_own(p, v)) {
			char *name = xasprintf("host:%s", v->name);
			add_subject(out, p, name, family);
			free(name);
		}
	VEC_FOR_EACH (c, &p->cidrs)
		add_subject(out, p, c->name, family);
	add_subject(out, p, "outside", family);
}

void policy_subjects_free(struct policy_subjects *s)
{
	VEC_FOR_EACH (it, &s->list)
		free(it->name);
	vec_free(&s->list);
}

/* ---- differences ---- */

struct side {
	const struct policy *p;
	struct policy_subjects subjects;
};

static const struct policy_subject *find(const struct policy_subjects *s, const char *name)
{
	VEC_FOR_EACH (it, &s->list)
		if (!strcmp(it->name, name))
			return it;
	return NULL;
}

struct pair {
	struct policy_end from, to;
	bool known;
};

/* A named cidr or service that a policy does not name is what its address is there; an endpoint
 * that it does not name does not exist there. */
static bool take_end(const struct side *side, const struct side *other, const char *name,
		     struct policy_end *out)
{
	const struct policy_subject *it = find(&side->subjects, name);
	if (!it)
		it = find(&other->subjects, name);
	*out = it->end;
	if (find(&side->subjects, name) || out->kind == POLICY_END_HOST)
		return true;
	if (out->kind == POLICY_END_ENDPOINT)
		return false;
	policy_end_resolve(side->p, out);
	return true;
}

static struct pair pair_of(const struct side *side, const struct side *other, const char *from,
			   const char *to)
{
	struct pair p;
	p.known = take_end(side, other, from, &p.from);
	p.known = take_end(side, other, to, &p.to) && p.known;
	return p;
}

static bool allows(const struct side *side, const struct pair *pair, const struct policy_service *s,
		   uint64_t now_ms)
{
	struct policy_question q = {pair->from, pair->to, s->proto, s->first, now_ms};
	struct policy_answer a;
	if (!pair->known)
		return false;
	policy_answer(side->p, &q, &a);
	return a.allow;
}

struct differ {
	struct side old, new;
	struct policy_classes classes;
	uint64_t now_ms;
	policy_diff_fn fn;
	void *aux;
	size_t n;
};

static void flush_range(struct differ *d, const char *from, const char *to,
			struct policy_service *range, bool *open, bool now)
{
	if (*open) {
		d->fn(from, to, range, now, d->aux);
		d->n++;
	}
	*open = false;
}

/* Does the pair's verdict change for everything? Then that is one difference. */
static bool differs_whole(struct differ *d, const struct pair *old, const struct pair *new,
			  bool *is)
{
	size_t n = 0;
	VEC_FOR_EACH (s, &d->classes.list) {
		bool now = allows(&d->new, new, s, d->now_ms);
		if (now == allows(&d->old, old, s, d->now_ms) || (n && now != *is))
			return false;
		*is = now;
		n++;
	}
	return n;
}

static void diff_pair(struct differ *d, const char *from, const char *to)
{
	struct pair old = pair_of(&d->old, &d->new, from, to),
		    new = pair_of(&d->new, &d->old, from, to);
	struct policy_service range = {.proto = POLICY_PROTO_ANY, .last = UINT16_MAX};
	bool open = false, state = false;
	if (differs_whole(d, &old, &new, &state)) {
		d->fn(from, to, &range, state, d->aux);
		d->n++;
		return;
	}
	VEC_FOR_EACH (s, &d->classes.list) {
		bool was = allows(&d->old, &old, s, d->now_ms);
		bool is = allows(&d->new, &new, s, d->now_ms);
		bool follows = open && state == is && range.proto == s->proto &&
			       range.last + 1u == s->first;
		if (was == is || !follows)
			flush_range(d, from, to, &range, &open, state);
		if (was == is)
			continue;
		if (open)
			range.last = s->last;
		else
			range = *s;
		open = true;
		state = is;
	}
	flush_range(d, from, to, &range, &open, state);
}

void policy_diff_format(const struct policy_service *s, struct str *out)
{
	if (s->proto == POLICY_PROTO_ANY)
		str_puts(out, "all");
	else if (s->proto == PROTO_OTHER)
		str_puts(out, "other protocols");
	else
		policy_format_service(s, out);
}

size_t policy_diff(const struct policy *old, const struct policy *new, uint64_t now_ms,
		   policy_diff_fn fn, void *aux)
{
	struct differ d = {.old.p = old, .new.p = new, .now_ms = now_ms, .fn = fn, .aux = aux};
	VEC(const char *) names = {0};
	policy_subjects_fill(old, 0, &d.old.subjects);
	policy_subjects_fill(new, 0, &d.new.subjects);
	policy_classes_add(&d.classes, old);
	policy_classes_add(&d.classes, new);
	policy_classes_finish(&d.classes);
	VEC_FOR_EACH (it, &d.new.subjects.list)
		vec_push(&names, it->name);
	VEC_FOR_EACH (it, &d.old.subjects.list)
		if (!find(&d.new.subjects, it->name))
			vec_push(&names, it->name);
	VEC_FOR_EACH (from, &names)
		VEC_FOR_EACH (to, &names)
			if (*from != *to)
				diff_pair(&d, *from, *to);
	vec_free(&names);
	vec_free(&d.classes.list);
	policy_subjects_free(&d.old.subjects);
	policy_subjects_free(&d.new.subjects);
	return d.n;
}
