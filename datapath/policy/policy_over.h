/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules whose time is over while established connections may finish: what such a rule let pass ends
 * with it, although nothing is judged anew. From the moment the rule is noted here no packet of
 * such a connection passes; the sweep removes the silent ones and then forgets the rule. The
 * policy's change may drop the rule meanwhile: what is here is told by slot. */
#pragma once
#include "datapath/policy/policy_stats.h"

extern uint32_t policy_n_over; /* how many are noted; W: main  R: any */

/* Main thread. Before the generation is raised. */
void policy_over_begin(const char *name); /* a rule of this name has ended */
void policy_over_cancel(uint32_t slot);   /* it holds again */
void policy_over_done(void);              /* no connection has any of them any more */

bool policy_over_has(uint32_t slot); /* any thread */
static inline bool policy_is_over(uint32_t slot)
{
	return SL_UNLIKELY(__atomic_load_n(&policy_n_over, __ATOMIC_RELAXED)) &&
	       policy_over_has(slot);
}
