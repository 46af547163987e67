/* SPDX-License-Identifier: BSD-3-Clause */
/* A rule as the datapath tells it, in the syntax of ovs-ofctl(8). Texts are the caller's to free. */
#pragma once
#include "datapath/api/msg.h"

/* "tcp,nw_dst=10.0.0.1"; "" matches everything. */
char *rule_match_text(struct attrs rule);
/* "cookie=0x1, table=0, priority=5,tcp actions=drop" */
char *rule_text(struct attrs rule);
/* The match in an attribute (MATCH, KEY_LINES); false when it is absent or damaged. */
struct match;
bool rule_match_of(struct attrs a, enum api_attr id, struct match *out);
