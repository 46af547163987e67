/* SPDX-License-Identifier: BSD-3-Clause */
/* Captures and live traces that clients asked for (CAPTURE, TRACE_LIVE, CAPTURE_STOP). Main thread
 * only. A capture belongs to a connection and ends with it. */
#pragma once

struct msg;
struct packet_report;

void capture_start(void); /* once: listens to observers and connections */

/* trace_live.c: the steps of a traced packet, into the object of a TRACED message. */
void trace_live_put(struct msg *m, const struct packet_report *r);
