/* SPDX-License-Identifier: BSD-3-Clause */
/* How a select group chooses, for those who want to know beforehand. Any thread. */
#pragma once
#include "datapath/flow/program.h"

/* Where in [0, total_weight) the packet falls: the first bucket whose upper end is above it is its.
 * `lines`: those of the key that the packet fills. */
uint32_t select_point(const struct prog_select *s, const struct flow_key *key, uint16_t lines);
