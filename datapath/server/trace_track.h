/* SPDX-License-Identifier: BSD-3-Clause */
/* Connection tracking in traces: states and translations as ct() would give them, with nothing
 * committed. Main thread. */
#pragma once
#include "datapath/conntrack/conntrack.h"
#include "datapath/flow/key.h"
#include "datapath/flow/program.h"

struct trace_bytes { /* of the described packet as it arrived; packet NULL: none */
	const uint8_t *packet;
	uint32_t len;
};

/* f: the packet as it comes to the ct(), and out: as it leaves it. flags: PROG_CT_*. assume: the
 * ct_state to take instead, or NULL. *rw: the translation that was made. Anything but DROP_NONE:
 * the packet ends there. */
enum drop_reason trace_track(const struct trace_bytes *b, struct flow *f, const struct prog_ct *ct,
			     uint16_t flags, const uint8_t *assume, struct ct_rewrite *rw);
void trace_flow_translate(struct flow_key *k, const struct ct_rewrite *rw);
