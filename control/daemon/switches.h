/* SPDX-License-Identifier: BSD-3-Clause */
/* The OpenFlow switches of all bridges: makes and removes them as bridges come and go, hands them
 * their controllers, ports and events, writes their controllers' status to the database. */
#pragma once
#include "control/state/config.h"

struct api_client;
struct sluiced;
struct switches;

struct switches *switches_create(struct sluiced *d);
void switches_destroy(struct switches *s); /* NULL is fine */
uint64_t switches_events(void);            /* mask of the events it needs */
/* Bridges, controllers or their settings may have changed. `desired` is sorted. */
void switches_update(struct switches *s, const struct config *desired);
void switches_ports_changed(struct switches *s);
void switches_set_client(struct switches *s, struct api_client *client);
void switches_event(struct switches *s, struct attrs event);
/* A bridge is about to be made in the datapath: its rules, as far as this process knows them. */
void switches_put_rules(struct switches *s, const char *bridge, struct msg *transaction);
void switches_bridge_made(struct switches *s, const char *bridge);
struct ofswitch;
struct ofswitch *switches_find(struct switches *s, const char *bridge); /* NULL: none */
void switches_for_each(struct switches *s, void (*fn)(struct ofswitch *of, void *aux), void *aux);
