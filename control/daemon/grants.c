/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/daemon/grants.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy/policy.h"
#include "datapath/base/str.h"

enum { GRANTS_MAX = 1000 };
#define GRANT_MS_MAX (366ull * 86400000)

/* {"grants": {…}}; also of a text that somebody else wrote and that is no JSON: then empty. */
static json_t *parse(const char *text)
{
	json_t *o = json_loads(text, 0, NULL);
	if (!json_is_object(o)) {
		json_decref(o);
		o = json_object();
	}
	if (!json_is_object(json_object_get(o, "grants")))
		json_object_set_new(o, "grants", json_object());
	return o;
}

static char *print(json_t *o)
{
	char *text;
	if (!json_object_size(json_object_get(o, "grants")))
		text = xstrdup("{}");
	else
		text = json_dumps(o, JSON_INDENT(1) | JSON_SORT_KEYS);
	json_decref(o);
	return text;
}

static bool is_over(json_t *grant, uint64_t now_ms)
{
	const char *until = json_string_value(json_object_get(grant, "validUntil"));
	uint64_t ms;
	return until && policy_parse_time(until, &ms) && ms <= now_ms;
}

char *grants_without_ended(const char *text, uint64_t now_ms, struct grants_ended *ended)
{
	json_t *o = parse(text), *grants = json_object_get(o, "grants"), *grant;
	const char *name;
	void *next;
	json_object_foreach_safe(grants, next, name, grant) if (is_over(grant, now_ms))
	{
		vec_push(&ended->names, xstrdup(name));
		json_object_del(grants, name);
	}
	if (ended->names.len)
		return print(o);
	json_decref(o);
	return NULL;
}

char *grants_without(const char *text, const char *name)
{
	json_t *o = parse(text);
	if (!json_object_del(json_object_get(o, "grants"), name))
		return print(o);
	json_decref(o);
	return NULL;
}

/* "grant1", "grant2", …: the first that is free. */
static char *free_name(json_t *grants)
{
	for (unsigned i = 1;; i++) {
		char *name = xasprintf("grant%u", i);
		if (!json_object_get(grants, name))
			return name;
		free(name);
	}
}

static json_t *make(const json_t *request, const char *by, uint64_t now_ms, struct err *e)
{
	json_int_t ms = json_integer_value(json_object_get(request, "for_ms"));
	struct str until = STR_INIT;
	json_t *grant;
	if (ms <= 0 || (uint64_t)ms > GRANT_MS_MAX) {
		err_set(e, EINVAL, "a grant lasts up to a year");
		return NULL;
	}
	policy_format_time(now_ms + (uint64_t)ms, &until);
	grant = json_pack("{s:O, s:O, s:O, s:s, s:s}", "from", json_object_get(request, "from"),
			  "to", json_object_get(request, "to"), "ports",
			  json_object_get(request, "ports"), "validUntil", str_cstr(&until), "by",
			  by);
	if (!grant)
		err_set(e, EINVAL, "a grant needs from, to, ports and for_ms");
	else if (json_is_string(json_object_get(request, "reason")))
		json_object_set(grant, "reason", json_object_get(request, "reason"));
	str_free(&until);
	return grant;
}

char *grants_with(const char *text, const char *request, const char *by, uint64_t now_ms,
		  char **name, struct err *e)
{
	json_t *o = parse(text), *grants = json_object_get(o, "grants");
	json_t *req = json_loads(request, 0, NULL);
	const char *wish = json_string_value(json_object_get(req, "name"));
	json_t *grant = make(req, by, now_ms, e);
	*name = NULL;
	if (grant && json_object_size(grants) >= GRANTS_MAX)
		err_set(e, ENOSPC, "there are %d grants already", GRANTS_MAX);
	else if (grant && wish && json_object_get(grants, wish))
		err_set(e, EEXIST, "grant \"%s\" exists: revoke it first", wish);
	if (e->code) {
		json_decref(grant);
		json_decref(req);
		json_decref(o);
		return NULL;
	}
	*name = wish ? xstrdup(wish) : free_name(grants);
	json_object_set_new(grants, *name, grant);
	json_decref(req);
	return print(o);
}
