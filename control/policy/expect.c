/* SPDX-License-Identifier: BSD-3-Clause */
/* Files of expected verdicts for `sluice policy test`. Pure. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "control/policy/check.h"
#include "control/policy/source.h"

static int set_text(struct source *s, struct node value, const char *key, char **out)
{
	const char *v = node_text(value);
	if (!v || !v[0])
		return source_fail(s, value, "%s: a single value is wanted here", key);
	*out = xstrdup(v);
	return 0;
}

static int expectation_key(struct source *s, const char *key, struct node at, struct node value,
			   void *aux)
{
	struct policy_expectation *x = aux;
	const char *v = node_text(value);
	struct policy_services list = {0};
	const char *why;
	if (!strcmp(key, "from"))
		return set_text(s, value, key, &x->from);
	if (!strcmp(key, "to"))
		return set_text(s, value, key, &x->to);
	if (!strcmp(key, "rule"))
		return set_text(s, value, key, &x->rule);
	if (!strcmp(key, "family")) {
		x->family = v && !strcmp(v, "6") ? 6 : 4;
		return v && (!strcmp(v, "4") || !strcmp(v, "6"))
			       ? 0
			       : source_fail(s, value, "family: 4 or 6 is wanted here");
	}
	if (!strcmp(key, "ports")) {
		why = v ? policy_parse_service(v, &list) : "one is wanted, such as tcp/22";
		vec_free(&list.list);
		return why ? source_fail(s, value, "ports: %s", why)
			   : set_text(s, value, key, &x->service);
	}
	if (strcmp(key, "expect"))
		return source_fail(s, at,
				   "unknown key \"%s\": from, to, ports, expect, rule and family "
				   "are known",
				   key);
	x->allow = v && !strcasecmp(v, "allow");
	return v && (x->allow || !strcasecmp(v, "deny"))
		       ? 0
		       : source_fail(s, value, "expect: allow or deny is wanted here");
}

static int add_expectation(struct source *s, struct node item, void *aux)
{
	struct policy_expectations *out = aux;
	struct policy_expectation x = {.line = node_line(item)};
	int rc = node_each_pair(s, item, "expectation", expectation_key, &x);
	if (!rc && (!x.from || !x.to || !x.service || !node_get(item, "expect").n))
		rc = source_fail(s, item, "from, to, ports and expect are needed");
	vec_push(&out->list, x);
	return rc;
}

int policy_expectations_read(struct policy_expectations *out, const struct policy_text *text,
			     struct err *e)
{
	struct source s = {0};
	int rc = source_load(&s, text, 1, e);
	for (size_t i = 0; i < s.docs.len && !rc; i++)
		rc = node_each_item(&s, source_root(&s, i), add_expectation, out);
	source_free(&s);
	return rc;
}

void policy_expectations_free(struct policy_expectations *x)
{
	VEC_FOR_EACH (it, &x->list) {
		free(it->from);
		free(it->to);
		free(it->service);
		free(it->rule);
	}
	vec_free(&x->list);
}
