/* SPDX-License-Identifier: BSD-3-Clause */
/* A cache miss: walk the bridge's tables for one packet, and return the program, the mask of what
 * the decision depended on, and what would change it.
 *
 * Runs on poll threads (real misses) and on the main thread (trace, audit, replay with side effects
 * off). Reads tables under RCU at one version; never blocks; work per packet is bounded with a
 * named drop reason. Every read of a field goes through the accessor that records it in the mask:
 * masks are never too narrow in bits, i.e. flipping a bit that `mask` does not have never changes
 * the outcome. */
#pragma once
#include "datapath/core/credit.h"
#include "datapath/core/drop.h"
#include "datapath/core/origin.h"
#include "datapath/core/version.h"
#include "datapath/flow/key.h"
#include "datapath/flow/program.h"

struct frozen_state;   /* resolve/frozen.h */
struct resolver;       /* per-thread scratch memory; see resolver_create() */
struct resolve_tracer; /* trace sink: observe/trace prints what resolve walks through */

struct resolve_request {
	const struct flow_key *key; /* fully extracted (all layers), in_port and recirc_id set */
	/* The packet, for packet-ins and learn; NULL in audits. Borrowed. */
	const void *packet;
	uint32_t packet_len;
	uint64_t version;
	uint64_t now_ms;   /* clock_mono_ms(), virtual in replay */
	bool side_effects; /* false: trace, audit: no MAC learning, learn action, packet-in,
			      freezing */
	struct resolve_tracer *tracer; /* usually NULL */
	/* Trace: go on from this state, by value, instead of looking up key->recirc_id. */
	const struct frozen_state *resume;
	/* Packet-out: instead of looking the packet up by key->in_port, run this action list on
	 * bridge `bridge_id` as OpenFlow port `of_in_port`. `regs`: the initial registers, of
	 * traces, too; or NULL. */
	const void *actions;
	size_t actions_len;
	uint32_t bridge_id, of_in_port;
	const struct flow_regs *regs;
};

enum { RESOLVE_CREDITS_MAX = 256 };

struct resolve_result {
	struct flow_key mask; /* bits the outcome depends on; in_port and recirc_id always exact */
	uint16_t mask_lines;  /* lines of mask not all zero */
	struct flow_key written; /* bits that the path wrote before a later table looked; lines in
				    written_lines */
	uint16_t written_lines;
	uint64_t deps;       /* version_dep() bits of all that was consulted */
	bool again;          /* a learn action found the rule tables busy: nothing was done, try
				the packet again later */
	bool cacheable;      /* false: this outcome is for this packet only */
	uint32_t max_age_ms; /* 0: none; else resolve again after this long (unknown unicast, full
				tables) */
	struct prog_builder prog; /* owned by the resolver, valid until its next call */
	enum drop_reason
		drop; /* DROP_NONE, or why nothing is output (the program is then OP_DROP) */
	uint64_t drop_cookie;        /* rule that dropped */
	struct packet_origin origin; /* the rule that decided */
	/* Who is to be credited for each packet; references NOT taken: install takes them in the
	 * same burst. */
	uint16_t n_credits;
	struct credit_target *credits[RESOLVE_CREDITS_MAX];
};

struct bridge_port;
/* Does the network policy judge what comes and goes by this port? */
bool resolve_has_edge(const struct bridge_port *p);

struct resolver *resolver_create(unsigned thread_idx);
void resolver_destroy(struct resolver *r);
void resolve(struct resolver *r, const struct resolve_request *req, struct resolve_result *out);
