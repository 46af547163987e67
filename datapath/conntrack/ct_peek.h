/* SPDX-License-Identifier: BSD-3-Clause */
/* What ct() would find, without doing anything: for traces. Main thread. */
#pragma once
#include "datapath/conntrack/conntrack.h"

/* Of a packet with this tuple (`context` is the zone's). m: what it would carry away, m->state
 * trk|new and no connection when there is none (or trk|inv without a tuple: k NULL); rw: how it
 * would be translated when `nat` and the connection is. True: there is a connection. */
bool ct_peek(const struct ct_tuple *k, uint32_t context, bool nat, uint32_t now_ms,
	     struct conntrack_meta *m, struct ct_rewrite *rw);
