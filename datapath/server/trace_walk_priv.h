/* SPDX-License-Identifier: BSD-3-Clause */
/* A trace under way. For trace_walk.c (listens to the resolver) and trace_part.c (what came of one
 * look-up). */
#pragma once
#include "datapath/flow/action_text.h"
#include "datapath/resolve/frozen.h"
#include "datapath/resolve/resolve.h"
#include "datapath/server/trace_edge.h"
#include "datapath/server/trace_track.h"
#include "datapath/server/trace_walk.h"

struct later {                      /* a way on that is still to be walked */
	struct frozen_state *state; /* malloc */
	struct flow flow;           /* the packet as it was frozen */
	bool tracked;               /* a ct() sends it round: this one */
	struct prog_ct ct;
	uint16_t ct_flags;
};

struct walker {
	const struct trace_walk *w;
	struct str unwanted; /* text when nobody wants it: stays short */
	struct str *text;
	const struct bridge *bridge; /* the packet is there now: whose port names count */
	uint32_t n_steps;
	/* Who read each byte of the key first: number of the step + 1. */
	uint32_t reader[sizeof(struct flow_key)];
	struct flow_key seen; /* what of the mask is attributed already */
	/* a ct() whose packet goes round, until that is told */
	bool ct_pending;
	struct prog_ct ct;
	uint16_t ct_flags;
	/* A ct() in passing translated the packet: what follows sees it so, at this depth or more.
	 */
	struct ct_rewrite translation;
	unsigned translation_depth;
	/* The packet ended before the rules did: nothing more is told of them. */
	enum drop_reason ended;
	uint32_t ended_slot; /* of the policy rule that refused it, plus 1; 0: none did */
	struct trace_bytes bytes;
	struct frozen_state *frozen; /* told last, not yet used */
	struct flow frozen_flow;
	struct flow last; /* as the steps left it */
	unsigned n_later, at_later;
	struct later later[TRACE_PARTS_MAX];
};

/* OpenFlow numbers as the names of the bridge where the packet is. */
struct text_ports trace_names(struct walker *t);
void trace_text_put(struct walker *t, enum api_attr id, const struct str *s);
void trace_flow_put(struct walker *t, const struct flow *flow);
/* The nth look-up of this packet, as a PART and, if wanted, as text. */
void trace_part_put(struct walker *t, const struct flow *flow, unsigned nth,
		    const struct resolve_result *r);
