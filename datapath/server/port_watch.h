/* SPDX-License-Identifier: BSD-3-Clause */
/* Keeping up with what devices do by themselves: link, queues, status. Main thread, but for
 * port_watch_event(). */
#pragma once
#include "datapath/server/registry.h"

/* Reads the state of all devices on the device thread, then takes it over and tells the tables and
 * subscribers what changed. At most one at a time: a call while one runs makes another follow. */
void port_watch_refresh(void);
/* The sink of port.h: any thread but poll threads. */
void port_watch_event(struct port *p, enum port_event ev);
/* On the event ring; state: "added", "removed", "changed", "link". */
void port_announce(const struct port_object *p, const char *state);
/* Tells the tables about the link of a port that has just come. */
void port_watch_link(const struct port_object *p);
