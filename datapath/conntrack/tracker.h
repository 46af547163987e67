/* SPDX-License-Identifier: BSD-3-Clause */
/* What a packet means to its connection, by protocol. Poll threads; the caller holds conn.lock for
 * tracker_update(). Timeouts and verdicts are those of Open vSwitch's userspace tracker, so that
 * rules written for it meet the same ct_state. */
#pragma once
#include "datapath/conntrack/conn.h"
#include "datapath/conntrack/ct_packet.h"

enum ct_timeout {
#define CT_TIMEOUT(id, name, seconds) CT_TIMEOUT_##id,
#include "datapath/flow/ct_timeouts.def"
#undef CT_TIMEOUT
	CT_TIMEOUT_N
};
struct ct_timeouts {
	uint32_t ms[CT_TIMEOUT_N];
};
extern const struct ct_timeouts ct_timeouts_default;

enum tracker_verdict {
	TRACKER_OK,      /* established */
	TRACKER_NEW,     /* still being opened */
	TRACKER_INVALID, /* does not belong */
	TRACKER_REPLACE, /* opens the same tuple once more: the old connection is over */
};

/* May this packet begin a connection? */
bool tracker_may_begin(const struct ct_packet *p);
/* Does it change states, so that its checksum should be right? */
bool tracker_is_decisive(const struct ct_packet *p);
/* Fills state and timeout of a connection that begins. */
void tracker_begin(struct ct_conn *c, const struct ct_packet *p, const struct ct_timeouts *t,
		   uint32_t now_ms);
enum tracker_verdict tracker_update(struct ct_conn *c, const struct ct_packet *p, unsigned dir,
				    bool check_window, const struct ct_timeouts *t);

/* tracker_tcp.c */
bool tracker_tcp_may_begin(const struct ct_packet *p);
void tracker_tcp_begin(struct ct_conn *c, const struct ct_packet *p, const struct ct_timeouts *t);
enum tracker_verdict tracker_tcp_update(struct ct_conn *c, const struct ct_packet *p, unsigned dir,
					bool check_window, const struct ct_timeouts *t);
