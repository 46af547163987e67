/* SPDX-License-Identifier: BSD-3-Clause */
/* Matches in api messages: attributes that are a struct minimatch. Any thread. */
#pragma once
#include "datapath/api/msg.h"
#include "datapath/flow/match.h"

void api_put_match(struct msg *out, enum api_attr id, const struct match *m);
/* An absent attribute matches everything; false when it is damaged. */
bool api_get_match(struct attrs a, enum api_attr id, struct match *out);
bool api_read_match(const struct attr *a, struct match *out); /* NULL: absent */
