/* SPDX-License-Identifier: BSD-3-Clause */
/* The attributes of POLICY_SET as the specification of a policy. Main thread. The parts point into
 * the transaction's messages. */
#pragma once
#include "datapath/api/msg.h"
#include "datapath/base/vec.h"
#include "datapath/policy/policy.h"

struct policy_parts {
	struct policy_spec spec; /* its arrays are set by policy_parts_spec() */
	VEC(struct policy_network_spec) networks;
	VEC(struct policy_endpoint_spec) endpoints;
	VEC(struct policy_peers_spec) peers;
	VEC(struct policy_rule_spec) rules;
	bool applied; /* the policy was made of them */
};

/* Adds what one operation says. -errno with e. */
int policy_parts_add(struct policy_parts *p, struct attrs a, struct err *e);
const struct policy_spec *policy_parts_spec(struct policy_parts *p);
void policy_parts_free(struct policy_parts *p);
void policy_attrs_put_limits(struct msg *m, const struct policy_limits *l);
