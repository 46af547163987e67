/* SPDX-License-Identifier: BSD-3-Clause */
/* What ct() would find, without doing anything: for traces. Main thread. */
#pragma once
#include "datapath/conntrack/conntrack.h"

/* Of a packet with this tuple (`context` is the zone's), as p if that is not NULL: what the tracker
 * would say of its flags and numbers. m: what it would carry away, m->state trk|new and no
 * connection when there is none, trk|inv when the packet may not begin one, belongs to none, or has
 * no tuple (k NULL); rw: how it would be translated when `nat` and the connection is. Checksums are
 * taken for right. True: there is a connection. */
bool ct_peek(const struct ct_tuple *k, const struct ct_packet *p, uint32_t context,
	     const struct ct_nat *nat, uint32_t now_ms, struct conntrack_meta *m,
	     struct ct_rewrite *rw);
/* The translation that a connection of this tuple would get if it were committed now; false: none
 * is left. `m` gets the state's bits. */
bool ct_peek_translation(const struct ct_tuple *k, const struct ct_nat *nat,
			 struct conntrack_meta *m, struct ct_rewrite *rw);
