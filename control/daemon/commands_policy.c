/* SPDX-License-Identifier: BSD-3-Clause */
/* policy/…: the changes behind `sluice policy`. Each is checked first, so that what is bad changes
 * nothing; then it is in the audit log; then it is written to the Sluice database; the answer comes
 * when the datapath has it. */
#include <jansson.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/audit.h"
#include "control/daemon/grants.h"
#include "control/daemon/policy_confirm.h"
#include "control/daemon/policy_run.h"
#include "control/daemon/sluiced.h"
#include "control/policy/policy.h"
#include "control/state/policy_store.h"
#include "datapath/base/clock.h"
#include "datapath/base/str.h"
#include "ovsdb-lite/unixctl.h"

/* False, after an error reply: the log cannot take it, so the change is not made. */
static bool log_request(struct policy_run *r, struct unixctl_call *call, const char *action,
			const char *what, const char *reason, const char *detail)
{
	struct audit_record record = {.action = action,
				      .what = what,
				      .reason = reason,
				      .result = "requested",
				      .detail = detail};
	struct err e = {0};
	if (!audit_write(policy_run_audit(r), call, &record, &e))
		return true;
	unixctl_error(call, e.text);
	return false;
}

static bool is_ready(struct sluiced *d, struct unixctl_call *call)
{
	if (d->policies && policy_store_is_ready(d->policies))
		return true;
	unixctl_error(call, "the Sluice database is not ready");
	return false;
}

/* ---- policy/apply FILE TEXT CONFIRM_MS REASON ---- */

static void apply(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	struct policy_run *r = d->policy;
	const char *file = argv[1], *text = argv[2], *previous;
	struct err e = {0};
	uint64_t confirm_ms;
	char *done, *note;
	if (!is_ready(d, call))
		return;
	if (!parse_u64(argv[3], 10, 86400000, &confirm_ms)) {
		unixctl_error(call, "policy/apply: CONFIRM_MS is not a number");
		return;
	}
	if (policy_confirm_until(r)) {
		unixctl_error(call,
			      "the policy in force waits for its confirmation: confirm it, or "
			      "roll it back, first");
		return;
	}
	if (policy_run_try_main(r, file, text, &note, &e)) {
		unixctl_error(call, e.text);
		return;
	}
	previous = policy_run_text(r, "policy");
	if (!strcmp(text, previous)) { /* there is nothing to go back from */
		confirm_ms = 0;
		previous = policy_confirm_previous(r);
	}
	if (!log_request(r, call, "apply", file, argv[4], NULL)) {
		free(note);
		return;
	}
	done = confirm_ms ? xasprintf("%sin force; back to the policy before in %u s unless "
				      "confirmed: sluice policy confirm\n",
				      note ? note : "", (unsigned)(confirm_ms / 1000))
			  : xstrdup(note ? note : "");
	free(note);
	policy_run_write(r, &(struct policy_change){.doc = POLICY_DOC_MAIN,
						    .text = text,
						    .previous = previous,
						    .confirm_ms = confirm_ms,
						    .call = call,
						    .action = "apply",
						    .what = file,
						    .done = done});
	free(done);
}

/* ---- policy/confirm, policy/rollback REASON ---- */

static void confirm(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	if (is_ready(d, call))
		policy_confirm(d->policy, call);
}

static void rollback(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	struct policy_run *r = d->policy;
	const char *previous;
	struct err e = {0};
	char *note;
	if (!is_ready(d, call))
		return;
	previous = policy_confirm_previous(r);
	if (!previous) {
		unixctl_error(call, "there is no policy before this one");
		return;
	}
	if (policy_run_try_main(r, "policy before", previous, &note, &e)) {
		unixctl_error(call, e.text);
		return;
	}
	if (!log_request(r, call, "rollback", "policy", argv[1], NULL)) {
		free(note);
		return;
	}
	policy_run_write(r, &(struct policy_change){.doc = POLICY_DOC_MAIN,
						    .text = previous,
						    .previous = policy_run_text(r, "policy"),
						    .call = call,
						    .action = "rollback",
						    .what = "policy",
						    .done = note});
	free(note);
}

/* ---- policy/grant REQUEST, policy/revoke NAME REASON ---- */

static const char *name_of(const struct unixctl_call *call)
{
	const struct passwd *pw = getpwuid(unixctl_peer_of(call).uid);
	return pw ? pw->pw_name : "?";
}

static void grant(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	struct policy_run *r = d->policy;
	struct err e = {0};
	char *text, *name = NULL, *done = NULL;
	json_t *request;
	if (!is_ready(d, call))
		return;
	text = grants_with(policy_run_text(r, "grants"), argv[1], name_of(call), clock_wall_ms(),
			   &name, &e);
	if (!text || policy_run_try(r, "policy.yaml", policy_run_text(r, "policy"), text, &e)) {
		unixctl_error(call, e.text);
	} else {
		request = json_loads(argv[1], 0, NULL);
		if (log_request(r, call, "grant", name,
				json_string_value(json_object_get(request, "reason")), argv[1])) {
			done = xasprintf("%s\n", name);
			policy_run_write(r, &(struct policy_change){.doc = POLICY_DOC_GRANTS,
								    .text = text,
								    .call = call,
								    .action = "grant",
								    .what = name,
								    .done = done});
		}
		json_decref(request);
	}
	free(text);
	free(name);
	free(done);
}

static void revoke(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	struct policy_run *r = d->policy;
	char *text, *why;
	if (!is_ready(d, call))
		return;
	text = grants_without(policy_run_text(r, "grants"), argv[1]);
	if (!text) {
		why = xasprintf("grant \"%s\": not found", argv[1]);
		unixctl_error(call, why);
		free(why);
		return;
	}
	if (log_request(r, call, "revoke", argv[1], argv[2], NULL))
		policy_run_write(r, &(struct policy_change){.doc = POLICY_DOC_GRANTS,
							    .text = text,
							    .call = call,
							    .action = "revoke",
							    .what = argv[1]});
	free(text);
}

static void status(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	char *text;
	if (!is_ready(d, call))
		return;
	text = policy_run_status(d->policy);
	unixctl_reply(call, text);
	free(text);
}

void commands_policy_register(struct sluiced *d, struct unixctl *ctl)
{
	unixctl_register(ctl, "policy/apply", "file text confirm_ms reason", 4, 4, apply, d);
	unixctl_register(ctl, "policy/confirm", "", 0, 0, confirm, d);
	unixctl_register(ctl, "policy/rollback", "reason", 1, 1, rollback, d);
	unixctl_register(ctl, "policy/grant", "request", 1, 1, grant, d);
	unixctl_register(ctl, "policy/revoke", "name reason", 2, 2, revoke, d);
	unixctl_register(ctl, "policy/status", "", 0, 0, status, d);
}
