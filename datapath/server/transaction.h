/* SPDX-License-Identifier: BSD-3-Clause */
/* A transaction from its first message to its reply: all operations or none.
 *
 *	collect (messages with MORE) → wait for ports on their way out → stage every operation →
 *	devices (device thread; the main loop goes on) → tables under the version lock → commit →
 *	version_wait → reply with VERSION
 *
 * One runs at a time, others queue. After a failure the way back is the same in reverse. A client
 * that goes away in between does not stop a transaction that was received whole. Main thread. */
#pragma once
#include "datapath/server/conn.h"

struct transaction;

void transaction_orphan(struct transaction *t); /* its connection has gone */
bool transaction_is_running(void);
/* Replay: begins one with these attributes. What it is refused for, now or in a later slot, goes to
 * *e, which must last as long. */
int transaction_replay(const char *program, struct attrs a, struct err *e);
