/* SPDX-License-Identifier: BSD-3-Clause */
/* Parts of a policy as the reader makes and drops them. Private to this folder. */
#pragma once
#include "control/policy/policy.h"

/* Contents, not the structs themselves. */
void policy_endpoint_free(struct policy_endpoint *ep);
void policy_peers_free(struct policy_peers *p);
void policy_rule_free(struct policy_rule *r);
/* Ids from names and contents; peers' and rules' order is kept. */
void policy_assign_ids(struct policy *p);
