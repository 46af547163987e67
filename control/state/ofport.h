/* SPDX-License-Identifier: BSD-3-Clause */
/* OpenFlow port numbers: sluiced chooses them, per bridge, and the same port keeps its number over
 * restarts of either process. Pure. */
#pragma once
#include "control/state/config.h"

/* Fills ofport of every port of `desired` that has none, in this order of preference: the number
 * asked for (ofport_request) if no other port asks for it too, the one the port has in the datapath
 * (`actual`, may be empty), the one the database remembers, the lowest that is free. A port named
 * as its bridge is the local port. `desired` and `actual` are sorted. */
void ofport_assign(struct config *desired, const struct config *actual);
/* 65534 of the database ⇄ CONFIG_OFPORT_LOCAL of the api; other numbers stay. */
uint32_t ofport_from_db(int64_t v); /* 0 when it is no usable number */
int64_t ofport_to_db(uint32_t ofport);
