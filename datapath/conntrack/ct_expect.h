/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections that another one has announced: FTP's data connections, TFTP's transfers.
 *
 * A small fixed table of sets with a lock each. A set that is full gives up its oldest, so that
 * a guest that announces without end evicts announcements, never memory or connections. Poll
 * threads; ct_expect_flush() belongs to the main thread. */
#pragma once
#include "datapath/conntrack/conn.h"

enum { CT_EXPECT_MS = 300000 }; /* an announcement is good for five minutes, as in the kernel */

struct ct_expectation {
	struct ct_tuple tuple; /* of its first packet; source port 0: any */
	uint32_t mark;         /* the announcing connection's, for the new one to inherit */
	uint32_t until_ms;
	uint64_t label[2];
	/* How it is answered when it is translated as the one that announced it is; family 0: it is
	 * not. The destination port is the first packet's source port, or another when that is
	 * taken. */
	struct ct_tuple reply;
	uint16_t nat; /* NAT_SRC, NAT_DST of flow/action.h */
};

void ct_expect_add(const struct ct_expectation *e);
/* Likewise, unless the same tuple is announced already to be answered by somebody else: false. */
bool ct_expect_claim(const struct ct_expectation *e, uint32_t now_ms);
/* Is a connection that begins with this tuple announced? `take`: it begins now, so that nobody
 * else may use the announcement. */
bool ct_expect_find(const struct ct_tuple *t, uint32_t now_ms, bool take,
		    struct ct_expectation *out);
void ct_expect_flush(int64_t context); /* < 0: all OpenFlow zones */
unsigned ct_expect_count(void);        /* about; 0 is exact enough to skip a look-up */
