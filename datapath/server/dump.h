/* SPDX-License-Identifier: BSD-3-Clause */
/* Helpers for the dumps. A dump walks by numbers (port, bridge, slot), so that it survives changes
 * between two steps: what came or went meanwhile may or may not be in it, nothing is there twice.
 * Main thread only. */
#pragma once
#include "datapath/server/conn.h"

struct port_object;
struct bridge;

static inline bool dump_has_room(const struct msg *m)
{
	return m->len < DUMP_STEP_BYTES;
}
/* A selection by BRIDGE or PORT; kept by value, because the request goes away. */
struct dump_filter {
	char bridge[64], port[64]; /* "": any */
};
void dump_filter_init(struct dump_filter *f, struct attrs a);
bool dump_wants_port(const struct dump_filter *f, const struct port_object *p);
/* Answers a request that names something that is not there. True: answered. */
bool dump_refused(struct conn *c, const struct dump_filter *f);
/* Next bridge with an id above `id`; NULL at the end. */
struct bridge *dump_bridge_after(uint32_t id);
