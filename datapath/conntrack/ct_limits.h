/* SPDX-License-Identifier: BSD-3-Clause */
/* How many connections there may be: in all, per zone, per ingress port, and half open (opened but
 * not answered yet). Who wants a new one books it first; when the half-open pool is full, the
 * oldest half-open connection of the port that holds the most makes room, so that a flood pushes
 * out its own. An answered connection is never taken away from anybody.
 *
 * What is gone keeps its memory until no thread can hold it any more; when too many connections of
 * a port wait for that, the port begins no more of them until some are free, however fast it is and
 * whatever keeps the others from finishing their bursts.
 *
 * Any thread. Counts are atomic; a port's list of half-open connections has a lock, which is taken
 * inside no other but conn.lock. */
#pragma once
#include "datapath/conntrack/conn.h"
#include "datapath/core/drop.h"

enum { CT_MAX_DEFAULT = 3000000, CT_MAX_LARGEST = 100000000 };
enum { CT_LIMIT_NONE = 0xffffffff };

/* Main thread. */
void ct_limits_set_max(uint32_t max);
uint32_t ct_limits_max(void);
/* zone < 0: the default of zones without a limit of their own. CT_LIMIT_NONE: no limit. */
void ct_limits_set_zone(int zone, uint32_t limit);
uint32_t ct_limits_zone(int zone); /* as set, not the default */
uint32_t ct_limits_zone_count(uint16_t zone);
uint32_t ct_limits_count(void);
uint32_t ct_limits_half_open(void);
uint32_t ct_limits_port_count(uint32_t port_id);
/* How many may exist, those included that are gone and wait. */
uint32_t ct_limits_existing_max(void);
/* n more (or, negative, fewer) connections of the port wait. */
void ct_limits_wait(uint32_t port_id, int n);
/* Main, about every second: finds the port that holds the most. */
void ct_limits_rank(void);

/* DROP_NONE: booked; *victim (NULL: none), which is half open no more, is to be removed, and its
 * booking is what the new one gets if ct_limits_replaces(): then it is not to be unbooked, or, when
 * somebody else was faster to remove it, ct_limits_book_one() is to be called. Else why not. */
enum drop_reason ct_limits_book(uint32_t context, uint32_t port_id, struct ct_conn **victim);
bool ct_limits_replaces(const struct ct_conn *victim, uint32_t context, uint32_t port_id);
void ct_limits_book_one(uint32_t context, uint32_t port_id);
void ct_limits_unbook(uint32_t context, uint32_t port_id);
/* What booking would say now, with nobody evicted; for traces. Any thread. */
enum drop_reason ct_limits_would_refuse(uint32_t context, uint32_t port_id);
/* A booked connection exists now; it waits for an answer. */
void ct_limits_add_half_open(struct ct_conn *c);
void ct_limits_answered(struct ct_conn *c); /* under conn.lock, or when nobody else has it */
