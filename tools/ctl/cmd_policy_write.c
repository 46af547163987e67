/* SPDX-License-Identifier: BSD-3-Clause */
/* Changes of the policy. All go through sluiced, which keeps the audit log. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy/check.h"
#include "datapath/base/clock.h"
#include "tools/ctl/handlers.h"
#include "tools/ctl/policy_load.h"

static int call(struct command_call *c, const char *method, const char *const *params, size_t n)
{
	char *reply = NULL;
	int rc = command_sluiced(c, method, params, n, &reply);
	if (!rc)
		fputs(reply, stdout);
	free(reply);
	return rc;
}

static const char *reason(const struct command_call *c)
{
	const char *r = command_option(c, "reason");
	return r ? r : "";
}

/* ---- apply ---- */

static void print_difference(const char *from, const char *to, const struct policy_service *s,
			     bool allowed_now, void *aux)
{
	struct str text = STR_INIT;
	policy_diff_format(s, &text);
	printf("%s %s -> %s %s\n", allowed_now ? "+ allow" : "- deny ", from, to, str_cstr(&text));
	str_free(&text);
}

static int dry_run(struct command_call *c)
{
	struct policy *new = policy_load_file(c->argv[0]), *old;
	if (!new)
		return EXIT_FAILED;
	old = policy_load_active(c);
	if (!old) {
		policy_free(new);
		return EXIT_FAILED;
	}
	if (old->endpoints.len + new->endpoints.len > 500)
		puts("the policy is good; too many endpoints to compare all pairs");
	else if (!policy_diff(old, new, clock_wall_ms(), print_difference, NULL))
		puts("no connection would be judged differently");
	policy_free(old);
	policy_free(new);
	return EXIT_OK;
}

int cmd_policy_apply(struct command_call *c)
{
	const char *confirm = command_option(c, "confirm");
	uint64_t confirm_ms = 0;
	char ms[24], *text;
	size_t len;
	int rc;
	if (command_option(c, "dry-run"))
		return dry_run(c);
	if (confirm &&
	    (!policy_parse_duration(confirm, &confirm_ms) || !confirm_ms || confirm_ms > 86400000))
		return command_usage(c, "--confirm %s: a time such as 60s, at most 1d, is wanted",
				     confirm);
	text = policy_load_read(c->argv[0], &len);
	if (!text)
		return EXIT_FAILED;
	if (len > POLICY_TEXT_MAX || strlen(text) != len) {
		/* The reader has the words for that. */
		struct policy *p;
		struct err e = {0};
		policy_read(&p, &(struct policy_text){c->argv[0], text, len}, 1, 0, &e);
		free(text);
		return command_fail_err(&e);
	}
	snprintf(ms, sizeof ms, "%llu", (unsigned long long)confirm_ms);
	rc = call(c, "policy/apply", (const char *[]){c->argv[0], text, ms, reason(c)}, 4);
	free(text);
	return rc;
}

int cmd_policy_confirm(struct command_call *c)
{
	return call(c, "policy/confirm", NULL, 0);
}

int cmd_policy_rollback(struct command_call *c)
{
	return call(c, "policy/rollback", (const char *[]){reason(c)}, 1);
}

/* ---- grants ---- */

static json_t *services(const struct command_call *c)
{
	static const char *const names[] = {"tcp", "udp", "sctp"};
	json_t *list = json_array();
	for (size_t i = 0; i < SL_ARRAY_SIZE(names); i++) {
		char *copy, *save = NULL;
		if (!command_option(c, names[i]))
			continue;
		copy = xstrdup(command_option(c, names[i]));
		for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
			char *word = xasprintf("%s/%s", names[i], w);
			json_array_append_new(list, json_string(word));
			free(word);
		}
		free(copy);
	}
	if (command_option(c, "ping"))
		json_array_append_new(list, json_string("ping"));
	return list;
}

static char *grant_text(const struct command_call *c, uint64_t ms)
{
	json_t *o = json_pack("{s:s, s:s, s:o, s:I, s:s}", "from", command_option(c, "from"), "to",
			      command_option(c, "to"), "ports", services(c), "for_ms",
			      (json_int_t)ms, "reason", reason(c));
	char *text;
	if (o && command_option(c, "name"))
		json_object_set_new(o, "name", json_string(command_option(c, "name")));
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return text;
}

int cmd_policy_grant(struct command_call *c)
{
	const char *length = command_option(c, "for");
	uint64_t ms;
	char *text;
	int rc;
	if (!command_option(c, "from") || !command_option(c, "to") || !length)
		return command_usage(c, "--from, --to and --for are needed");
	if (!reason(c)[0])
		return command_usage(c, "--reason is needed: it goes to the audit log");
	if (!policy_parse_duration(length, &ms) || !ms)
		return command_usage(c, "--for %s: a time such as 30m or 8h is wanted", length);
	text = grant_text(c, ms);
	if (!text)
		return command_fail("an argument is not UTF-8");
	rc = call(c, "policy/grant", (const char *[]){text}, 1);
	free(text);
	return rc;
}

int cmd_policy_revoke(struct command_call *c)
{
	return call(c, "policy/revoke", (const char *[]){c->argv[0], reason(c)}, 2);
}
