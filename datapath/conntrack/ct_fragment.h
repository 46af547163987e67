/* SPDX-License-Identifier: BSD-3-Clause */
/* Later fragments have no ports: a fragment table of a thread remembers those of the first one.
 * Nothing is held back or put together; a later fragment that comes before its first one is
 * invalid to the tracker. Bounded: a slot per hash, the newer one wins. Poll thread. */
#pragma once
#include "datapath/conntrack/ct_packet.h"

enum { CT_FRAGMENT_SLOTS = 512, CT_FRAGMENT_MS = 2000 };

struct ct_fragment {
	struct ct_tuple tuple; /* with ports */
	uint32_t id, seen_ms;
	bool used;
};
struct ct_fragments {
	struct ct_fragment at[CT_FRAGMENT_SLOTS];
};
/* Remembers a first fragment, completes the tuple of a later one. False: its first one is not
 * known. Other packets pass. */
bool ct_fragment_track(struct ct_fragments *f, struct ct_packet *p, uint32_t now_ms);
