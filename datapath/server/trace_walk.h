/* SPDX-License-Identifier: BSD-3-Clause */
/* The way of one packet through the tables, without side effects, as STEP and PART attributes and,
 * if wanted, as text in the shape of ovs-appctl ofproto/trace. Main thread: what it reads is
 * reclaimed by this thread only, so nothing goes while it looks. */
#pragma once
#include "datapath/api/msg.h"
#include "datapath/core/drop.h"
#include "datapath/flow/key.h"

struct str;

struct trace_walk {
	const struct flow *flow; /* as extracted; in_port the datapath's, regs.in_port OpenFlow's */
	const void *packet;      /* or NULL */
	uint32_t packet_len;
	bool follow;            /* recirculations too; else only this look-up */
	const uint8_t *ct_next; /* ct_state to assume at the first, second … recirculation */
	size_t n_ct_next;
	/* As a packet-out: this list is run on `bridge_id` as port `flow->regs.in_port` with
	 * `flow->regs`, instead of the tables. NULL: no packet-out. */
	const void *actions;
	size_t actions_len;
	uint32_t bridge_id;
	struct msg *m;    /* gets STEP and, with follow, PART */
	struct str *text; /* NULL: none */
};

enum { TRACE_TEXT_MAX = 1 << 20, TRACE_STEPS_MAX = 20000, TRACE_PARTS_MAX = 64 };

/* 0, or -ENOMEM: nothing was put. Of the first part KEY_LINES, PROGRAM_TEXT, REASON and COOKIE also
 * stand beside the parts. */
int trace_walk(const struct trace_walk *w);
