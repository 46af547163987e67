/* SPDX-License-Identifier: BSD-3-Clause */
/* Rounding of masks. A mask with more bits is always correct (the entry is narrower), so masks are
 * rounded up to a lattice, which keeps their number per port bounded whatever traffic and rules do.
 * Fine: addresses and ports by prefix length as read, everything else all or nothing. Coarse:
 * prefixes in steps of a byte (IPv4) or to 32, 48, 64, 128 (IPv6), ports to 4, 8 or 16 bits. Pure
 * functions. */
#pragma once
#include "datapath/flow/key.h"

enum lattice { LATTICE_FINE, LATTICE_COARSE };

/* In place; never gives bits to a line that `lines` does not name. */
void lattice_round_up(struct flow_key *mask, uint16_t lines, enum lattice how);
