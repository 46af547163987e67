/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports with a rate of bits, or of packets: what they send waits here for its turn instead of being dropped. A
 * bucket alone, however deep, is no bandwidth for TCP: the sender fills it at the speed of memory,
 * loses everything behind it, and sits out its timers while the bucket fills (measured: 130 Mbit/s
 * of 1 Gbit/s; with this queue: docs/decisions/policy.md).
 *
 * A queue per port and thread, of 50 ms at the rate; all queues together hold at most an eighth of
 * the packet buffers. poll_port_set_rate() sets the rates. What is in one has not been received yet
 * as far as counters are concerned. */
#pragma once
#include "datapath/poll/poll_priv.h"

extern bool pace_any; /* W: main  R: any: some port has a rate */

/* ---- poll threads ---- */
bool pace_is_limited(uint32_t port_id);
/* Takes the n packets of t->burst that came by the port. */
void pace_take(struct poll_thread *t, uint32_t port_id, unsigned n);
/* Handles what is due; `process` as in thread.c. False: nothing waits and nothing came. */
bool pace_serve(struct poll_thread *t,
		void (*process)(struct poll_thread *t, uint32_t port_id, unsigned n));
void pace_forget(struct poll_thread *t, uint32_t port_id); /* the port is gone */
void pace_drop_all(struct poll_thread *t);                 /* the thread ends */
