/* SPDX-License-Identifier: BSD-3-Clause */
/* The network policy in traces: what a port's edge would say now. Main thread; changes nothing. */
#pragma once
#include "datapath/policy/policy_edge.h"
#include "datapath/server/trace_track.h"

/* now: the packet as it comes to the edge. egress, hints: as for policy_edge(). */
struct policy_finding trace_edge(const struct trace_bytes *b, const struct flow *now,
				 uint32_t in_port, uint32_t port_id, bool egress, uint8_t hints);
