/* SPDX-License-Identifier: BSD-3-Clause */
/* Action lists as text, in the syntax of ovs-actions(7), both ways. What is printed parses back to
 * the same list. The control plane and tools use it; stateless. */
#pragma once
#include "datapath/flow/action.h"
#include "datapath/flow/match_text.h"

/* "output:1,set_field:5->reg0,…", separated by commas or white space; "drop" is the empty list.
 * Appends to *out, which is checked as by action_list_check(). On error *out is as before, and the
 * text begins with "column N: ". */
int actions_parse(const char *text, const struct text_ports *ports, struct action_buf *out,
		  struct err *e);

/* Of a list that passed action_list_check(). "drop" when it is empty. */
void actions_format(const void *list, size_t len, const struct text_ports *ports, struct str *out);

/* The i-th word that an action can begin with, for completion; NULL behind the last. */
const char *action_text_name(size_t i);

/* Names of small enumerations, shared by both directions; NULL-terminated. */
extern const char *const action_hash_fields[];    /* struct action_multipath.fields, bundle */
extern const char *const action_multipath_algs[]; /* .algorithm */
extern const char *const action_bundle_algs[];
extern const char *const action_controller_reasons[]; /* OFPR_* */
