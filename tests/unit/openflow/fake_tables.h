/* SPDX-License-Identifier: BSD-3-Clause */
/* The datapath's api server for tests of the OpenFlow switch: rules, groups and meters in memory,
 * with the semantics of OpenFlow's flow mods and without packets. One socket pair, in the test's
 * event loop. */
#pragma once
#include <stddef.h>

struct api_client;
struct event_base;
struct fake_tables;

struct fake_tables *fake_tables_start(struct event_base *base);
void fake_tables_stop(struct fake_tables *f); /* the client's end is closed too */
/* Connected and greeted once the loop has run a little. Owned by f. */
struct api_client *fake_tables_client(struct fake_tables *f);
void fake_tables_on_event(struct fake_tables *f, void (*fn)(void *aux, const void *attrs),
			  void *aux);
size_t fake_tables_rules(const struct fake_tables *f);
unsigned fake_tables_transactions(const struct fake_tables *f);
/* A packet-in of the given frame, as a controller action of table 0 would send it. */
void fake_tables_packet_in(struct fake_tables *f, const char *bridge, unsigned in_port,
			   const void *frame, size_t n);
