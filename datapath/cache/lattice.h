/* SPDX-License-Identifier: BSD-3-Clause */
/* Rounding of masks. A mask with more bits is always correct (the entry is narrower), so masks are
 * rounded up to a small lattice, which keeps their number per port bounded whatever traffic and
 * rules do: prefixes in steps of a byte (IPv4) or to 32, 48, 64, 128 (IPv6), everything else all or
 * nothing. Pure functions. */
#pragma once
#include "datapath/flow/key.h"

/* In place; `lines` is updated (never gains a line that had no bit). */
void lattice_round_up(struct flow_key *mask, uint16_t lines);
