/* SPDX-License-Identifier: BSD-3-Clause */
/* POLICY_SET, POLICY_CONFIRM. */
#include <errno.h>
#include <stdlib.h>

#include "datapath/base/clock.h"
#include "datapath/policy/policy_live.h"
#include "datapath/server/op.h"
#include "datapath/server/policy_attrs.h"
#include "datapath/server/policy_watch.h"
#include "datapath/server/port_rates.h"

static const uint16_t set_attrs[] = {
	ATTR_POLICY_HASH,      ATTR_POLICY_DOCUMENT, ATTR_CONFIRM_MS,
	ATTR_KEEP_ESTABLISHED, ATTR_POLICY_NETWORK,  ATTR_POLICY_ENDPOINT,
	ATTR_POLICY_PEERS,     ATTR_POLICY_RULE,     0};
static const uint16_t confirm_attrs[] = {ATTR_POLICY_HASH, 0};
enum { CONFIRM_MS_MAX = 24 * 60 * 60 * 1000 };

void op_free_policy(struct op_effects *fx)
{
	policy_parts_free(fx->policy);
	fx->policy = NULL;
}

/* Several of them are one policy: what does not fit into one message goes on in the next. */
int op_stage_POLICY_SET(struct op *op, struct op_effects *fx, struct err *e)
{
	int rc = op_check_attrs(op, set_attrs, e);

	if (!rc)
		rc = op_check_range(op, ATTR_CONFIRM_MS, 0, CONFIRM_MS_MAX, e);
	if (!rc)
		rc = op_check_range(op, ATTR_KEEP_ESTABLISHED, 0, 1, e);
	if (rc)
		return rc;
	if (!fx->policy)
		fx->policy = xzalloc(sizeof *fx->policy);
	return policy_parts_add(fx->policy, op->a, e);
}

static void publish(void *p)
{
	policy_publish(p, clock_mono_ms(), clock_wall_ms());
}

static void undo(void *p)
{
	policy_destroy(p);
}

static void announce(void *p)
{
	policy_watch_announce("applied", "");
	port_rates_changed();
}

int op_apply_POLICY_SET(struct op *op, struct op_effects *fx, struct err *e)
{
	struct policy *p;
	int rc;

	if (fx->policy->applied)
		return 0;
	fx->policy->applied = true;
	rc = policy_create(&p, policy_parts_spec(fx->policy), e);
	if (rc)
		return rc;
	txn_step(&fx->txn, publish, announce, undo, p);
	txn_change(&fx->txn, CHANGE_POLICY, 0, 0, NULL);
	return 0;
}

int op_stage_POLICY_CONFIRM(struct op *op, struct op_effects *fx, struct err *e)
{
	int rc = op_check_attrs(op, confirm_attrs, e);

	if (!rc && !attrs_has(op->a, ATTR_POLICY_HASH))
		return err_set(e, EINVAL, "policy_confirm: policy_hash is missing");
	return rc ? rc : op_check_bytes(op, ATTR_POLICY_HASH, POLICY_HASH_BYTES, e);
}

int op_apply_POLICY_CONFIRM(struct op *op, struct op_effects *fx, struct err *e)
{
	static const uint8_t none[POLICY_HASH_BYTES];
	size_t len;
	const uint8_t *hash = attrs_bytes(op->a, ATTR_POLICY_HASH, &len);

	return policy_confirm(len == POLICY_HASH_BYTES ? hash : none, e);
}
