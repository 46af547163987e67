/* SPDX-License-Identifier: BSD-3-Clause */
/* The masks of one ingress port in one thread's cache: which of them a new megaflow gets, in which
 * order they are probed, and their union, the port's relevance.
 *
 * Invariants: at most MASKS_PER_PORT; a chosen mask covers every bit of the one asked for. Owning
 * poll thread only. */
#pragma once
#include "datapath/cache/flow_cache.h"

/* The slot of a mask for entries that read `mask`, which has been rounded finely and may be rounded
 * further here. -1: no memory. May remove megaflows of the port. */
int port_masks_choose(struct flow_cache *c, struct port_cache *pc, struct flow_key *mask,
		      uint16_t lines);
/* After any change of the set of masks: relevance and probe order. */
void port_masks_renew(struct port_cache *pc);
/* Once a second: masks without megaflows go, the others are put in the order of their hits. */
void port_masks_rank(struct port_cache *pc);
void port_masks_forget(struct port_cache *pc); /* all; no megaflow is left */
const uint8_t *mf_mask_line(const struct mf_mask *m, unsigned line);

/* flow_cache.c */
void flow_cache_remove_of_mask(struct flow_cache *c, struct port_cache *pc, unsigned slot);
