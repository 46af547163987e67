/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules as api attributes: what selects them in a request, and how one is told. Main thread. */
#pragma once
#include "datapath/api/msg.h"
#include "datapath/base/err.h"
#include "datapath/flow/match.h"

struct bridge;
struct rule;
struct rule_filter;

/* A match from a message, copied to where it is aligned. */
struct rule_match_buf {
	_Alignas(64) uint8_t bytes[sizeof(struct minimatch) + 2 * FLOW_LINES * FLOW_LINE_BYTES];
};
/* *out: the match of `id`, in buf; an absent one matches everything. */
int rule_attrs_match(struct attrs a, enum api_attr id, struct rule_match_buf *buf,
		     const struct minimatch **out, struct err *e);
/* TABLE, MATCH, PRIORITY with COMMAND strict, COOKIE and its mask, OUT_PORT, OUT_GROUP. buf must
 * live as long as the filter. */
int rule_attrs_filter(struct attrs a, struct rule_match_buf *buf, struct rule_filter *out,
		      struct err *e);
/* The attributes of one rule, into a nest that the caller opened. */
void rule_attrs_put(struct msg *m, const struct rule *r, uint64_t now_ms);
/* TABLE and its settings, as TABLE_SET takes them. */
void rule_attrs_put_table(struct msg *m, const struct bridge *b, uint8_t table);
