/* SPDX-License-Identifier: BSD-3-Clause */
/* Actions and instructions between the wire of every OpenFlow version and the lists of
 * datapath/flow/action.h. Pure functions; any thread.
 *
 * Decoding checks structure and values that a field or an action forbids; action_check.h judges the
 * list as a whole. What was decoded is encoded as the same bytes in the same version, but for a few
 * synonyms that Open vSwitch does not keep apart either. */
#pragma once
#include "control/openflow/ofbuf.h"
#include "control/openflow/ofp_error.h"
#include "datapath/flow/action.h"

/* An action list (packet-out, buckets, rules of 1.0). Appends to `out`; on error its contents are
 * of no use. */
enum ofp_err ofp_actions_get(const void *p, size_t n, uint8_t version, struct action_buf *out);
void ofp_actions_put(struct ofbuf *b, uint8_t version, const void *list, size_t len);

/* Instructions of 1.1 and later; plain actions stand for Apply-Actions. */
enum ofp_err ofp_instructions_get(const void *p, size_t n, uint8_t version, struct action_buf *out);
void ofp_instructions_put(struct ofbuf *b, uint8_t version, const void *list, size_t len);

/* Which: actions in 1.0, instructions later. */
static inline enum ofp_err ofp_rule_actions_get(const void *p, size_t n, uint8_t version,
						struct action_buf *out)
{
	return version == 1 ? ofp_actions_get(p, n, version, out)
			    : ofp_instructions_get(p, n, version, out);
}
static inline void ofp_rule_actions_put(struct ofbuf *b, uint8_t version, const void *list,
					size_t len)
{
	if (version == 1)
		ofp_actions_put(b, version, list, len);
	else
		ofp_instructions_put(b, version, list, len);
}
