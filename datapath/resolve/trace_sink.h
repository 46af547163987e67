/* SPDX-License-Identifier: BSD-3-Clause */
/* What resolve tells a trace: one call per step, in order, with the nesting depth. A NULL tracer
 * costs one predictable branch per step. The callbacks run on the resolving thread and must not
 * keep the pointers. Any callback may be NULL. */
#pragma once
#include "datapath/core/drop.h"
#include "datapath/flow/action.h"
#include "datapath/flow/key.h"
#include "datapath/flow/program.h"

struct bridge;
struct bridge_port;
struct mac_entry;
struct frozen_state;
struct rule;

struct resolve_tracer {
	void *aux;
	/* The packet enters a bridge (first, or through a patch port). p NULL: from a controller.
	 */
	void (*bridge)(void *aux, unsigned depth, const struct bridge *b,
		       const struct bridge_port *p);
	/* A table was looked up with this flow; rule NULL: miss. conj_id: 0 or of the conjunction.
	 */
	void (*table)(void *aux, unsigned depth, const struct bridge *b, uint8_t table,
		      const struct rule *rule, uint32_t conj_id, const struct flow *flow);
	void (*action)(void *aux, unsigned depth, const struct action *a, const struct flow *flow);
	void (*resubmit)(void *aux, unsigned depth, uint8_t table, uint32_t of_in_port);
	void (*group)(void *aux, unsigned depth, uint32_t group_id, uint32_t bucket_id,
		      bool chosen);
	/* NORMAL looked up a destination; e NULL: unknown, flooded. */
	void (*mac)(void *aux, unsigned depth, const uint8_t mac[6], uint16_t vlan,
		    const struct mac_entry *e);
	void (*learn)(void *aux, unsigned depth, const uint8_t mac[6], uint16_t vlan,
		      const struct bridge_port *p);
	/* A ct() of this packet; flags: PROG_CT_*. recirc_table 255: it goes on as it is. */
	void (*ct)(void *aux, unsigned depth, const struct prog_ct *c, uint16_t flags,
		   uint8_t recirc_table, const struct flow *flow);
	/* An output; `flow` is the packet as it leaves. */
	void (*output)(void *aux, unsigned depth, const struct bridge_port *p,
		       const struct flow *flow);
	void (*controller)(void *aux, unsigned depth, uint16_t controller_id, uint8_t reason);
	void (*recirc)(void *aux, unsigned depth, uint32_t frozen_id, uint8_t table);
	/* Something was not done, and why; the whole packet only when nothing else was output. */
	void (*drop)(void *aux, unsigned depth, enum drop_reason reason);
	void (*note)(void *aux, unsigned depth, const char *text);
	/* All steps are done; the packet and its registers as they left it. */
	void (*end)(void *aux, unsigned depth, const struct flow *flow);
	/* What is left to do was frozen, with the packet like this; before `recirc`, or when a
	 * controller is to go on with it. */
	void (*frozen)(void *aux, unsigned depth, const struct frozen_state *s,
		       const struct flow *flow);
	/* Before each of the calls above, and at the end: the bits of the arrived packet read so
	 * far. What is new was read by the step to come when it is a look-up (`by_next`), else by
	 * the step before. */
	void (*mask)(void *aux, const struct flow *wc, bool by_next);
	/* Which bucket of a select group would the packet get? The point in [0, total_weight). */
	uint32_t (*choose)(void *aux, const struct prog_select *s, const struct flow_key *key);
};
