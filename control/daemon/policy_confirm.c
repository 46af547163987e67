/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/daemon/policy_confirm.h"

#include <stdlib.h>

#include "control/daemon/audit.h"
#include "control/daemon/policy_run.h"
#include "control/policy/policy.h"
#include "datapath/base/clock.h"
#include "datapath/base/log.h"
#include "datapath/base/str.h"
#include "ovsdb-lite/unixctl.h"

LOG_MODULE(policy_confirm);

uint64_t policy_confirm_until(const struct policy_run *r)
{
	uint64_t ms;

	return parse_u64(policy_run_text(r, POLICY_DOC_CONFIRM), 10, UINT64_MAX, &ms) ? ms : 0;
}

bool policy_confirm_is_overdue(const struct policy_run *r)
{
	uint64_t until = policy_confirm_until(r);

	return until && until <= clock_wall_ms();
}

const char *policy_confirm_previous(const struct policy_run *r)
{
	return policy_run_has(r, POLICY_DOC_PREVIOUS) ? policy_run_text(r, POLICY_DOC_PREVIOUS)
						      : NULL;
}

void policy_confirm_go_back(struct policy_run *r)
{
	const char *previous = policy_confirm_previous(r);

	if (!previous) /* somebody has removed it: what is there stays */
		previous = policy_run_text(r, policy_doc_names[POLICY_DOC_MAIN]);
	log_warn("the policy was not confirmed in time: back to the one before");
	policy_run_note(r, "rollback", "policy", "not confirmed in time");
	policy_run_write(r, &(struct policy_change){.doc = POLICY_DOC_MAIN,
						    .text = previous,
						    .action = "rollback",
						    .what = "policy"});
}

struct confirming {
	struct policy_run *r;
	struct unixctl_call *call;
};

static void confirmed(struct attrs a, bool more, const struct err *error, void *aux)
{
	struct confirming *c = aux;
	struct audit_record record = {.action = "confirm", .what = "policy", .result = "in force"};
	struct err e = {0};

	if (more)
		return;
	if (error) {
		unixctl_error(c->call, error->text);
	} else {
		policy_run_confirmed(c->r);
		if (audit_write(policy_run_audit(c->r), c->call, &record, &e))
			log_err("audit log: %s", e.text);
		unixctl_reply(c->call, "confirmed: the policy stays\n");
	}
	free(c);
}

void policy_confirm(struct policy_run *r, struct unixctl_call *call)
{
	struct confirming *c;
	struct msg m;
	size_t at;

	if (!policy_confirm_until(r)) {
		unixctl_error(call, "no policy waits for confirmation");
		return;
	}
	c = xzalloc(sizeof *c);
	*c = (struct confirming){r, call};
	msg_init(&m, API_TRANSACTION, 0);
	at = msg_op_begin(&m, API_OP_POLICY_CONFIRM);
	msg_put_bytes(&m, ATTR_POLICY_HASH, policy_run_hash(r), POLICY_HASH_BYTES);
	msg_nest_end(&m, at);
	if (!policy_run_send(r, &m, confirmed, c)) {
		unixctl_error(call, "the datapath is away: it cannot be confirmed now");
		free(c);
	}
}
