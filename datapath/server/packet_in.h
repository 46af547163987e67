/* SPDX-License-Identifier: BSD-3-Clause */
/* What poll threads hand up: packets for controllers, quotas reached. Main thread. */
#pragma once
#include "datapath/base/util.h"

struct err;

struct poll_upcall;
void audit_tell(const struct poll_upcall *u); /* audit.c */
int packet_in_start(struct err *e);           /* after poll_init() */
uint64_t packet_in_unwanted(void);            /* packet-ins that no client took */
/* Replay: the PACKET_OUT or RESUME with these attributes; so many upcalls are taken. */
struct attrs;
int packet_replay(bool is_resume, struct attrs a, struct err *e);
void packet_in_replay(uint64_t n);
