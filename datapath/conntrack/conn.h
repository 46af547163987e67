/* SPDX-License-Identifier: BSD-3-Clause */
/* One tracked connection: 256 bytes in four cache lines.
 *
 * Lines 0 and 1 are the two hash nodes, original and reply direction; line 2 is all that a packet
 * of an established connection reads or writes besides its node; line 3 is what few packets ask
 * for. The two directions share line 2: a TCP packet moves the windows of both ends, whichever
 * thread carries it, and one of any other protocol writes there once a second.
 *
 * Memory of connections is never given back to the system and never becomes anything else: a
 * stale pointer (in a thread's cache) always points at some connection, and `live` with the tuple
 * says whether it is the one meant. A slot is used again only after a grace period, so that what
 * was live when a poll thread looked stays readable until the end of its burst. */
#pragma once
#include "datapath/base/list.h"
#include "datapath/conntrack/ct_tuple.h"
#include "datapath/core/spin.h"

enum { CONN_ORIG, CONN_REPLY };

struct conn_node {
	uint32_t hash; /* low bits; W: before it is linked */
	uint8_t dir;   /* CONN_ORIG or CONN_REPLY; constant */
	uint8_t live;  /* 1 from linking to unlinking; W: shard lock  R: any */
	uint8_t shard; /* W: before it is linked */
	uint8_t pad[9];
	struct ct_tuple tuple; /* W: before it is linked */
};
_Static_assert(sizeof(struct conn_node) == SL_CACHE_LINE, "one line");

/* One end of a TCP connection as the packets it sent show it, in the terms of van Rooij's "Real
 * Stateful TCP Packet Filtering in IP Filter" (2001). */
struct conn_side {
	uint32_t seen_ms; /* last packet, truncated, at most one write a second; W: this direction
			     R: any */
	/* W: conn.lock, and packets of an established connection that only move them on, a word at
	 * a time (tracker_tcp_follow)  R: any */
	uint32_t seq_lo;  /* end of what it sent */
	uint32_t seq_hi;  /* end of what it may send */
	uint32_t max_win; /* largest window it offered, unscaled */
	uint8_t wscale;   /* factor | WSCALE_* (tracker_tcp.c); W: conn.lock */
	uint8_t tcp;      /* enum conn_tcp; W: conn.lock  R: any */
};

/* States of one end, in the order and with the names in which ovs-appctl shows them. */
enum conn_tcp {
	CONN_TCP_CLOSED,
	CONN_TCP_LISTEN,
	CONN_TCP_SYN_SENT,
	CONN_TCP_SYN_RECV,
	CONN_TCP_ESTABLISHED,
	CONN_TCP_CLOSE_WAIT,
	CONN_TCP_FIN_WAIT_1,
	CONN_TCP_CLOSING,
	CONN_TCP_LAST_ACK,
	CONN_TCP_FIN_WAIT_2,
	CONN_TCP_TIME_WAIT,
	CONN_TCP_N
};

/* What a helper that changed the length of what one end says (ct_alg.h) adds to its sequence
 * numbers: `before` up to `pos`, the segment of the last change, and `after` behind it. All 0:
 * nothing. */
struct conn_shift {
	uint32_t pos, before, after; /* W, R: conn.lock */
};

/* How far a connection without states of its own has come. */
enum conn_phase {
	CONN_FIRST,    /* one packet */
	CONN_MULTIPLE, /* several, none answered */
	CONN_BIDIR,
	CONN_CLOSED, /* SCTP: aborted or shut down */
};

struct ct_conn {
	struct conn_node node[2];
	/* line 2 */
	rte_spinlock_t lock; /* of tracker state, mark and label */
	uint32_t mark;       /* W: lock  R: any */
	uint32_t timeout_ms; /* of its present state; W: lock  R: any */
	uint16_t port_id;    /* ingress port of its first packet; constant */
	uint16_t nat;        /* NAT_* of flow/action.h; constant */
	uint8_t phase;       /* enum conn_phase; W: lock  R: any */
	uint8_t half_open;   /* 1: in its port's list; W: the port's lock  R: any */
	uint8_t alg;         /* enum ct_alg; constant */
	uint8_t related;     /* 1: another connection announced it; constant */
	struct conn_side side[2];
	/* line 3 */
	uint64_t label[2] SL_CACHE_ALIGNED; /* W: lock  R: any; bytes as in the key */
	struct list half_link;              /* under the port's lock */
	struct conn_shift shift[2];         /* by who speaks */
} __attribute__((aligned(256)));
_Static_assert(sizeof(struct ct_conn) == 4 * SL_CACHE_LINE, "four lines");
_Static_assert(offsetof(struct ct_conn, label) == 3 * SL_CACHE_LINE, "line 3");

/* By where it lies: asking the node would mean waiting for its line. */
static inline unsigned conn_node_dir(const struct conn_node *n)
{
	return (uintptr_t)n / sizeof *n & 1;
}
static inline struct ct_conn *conn_of(struct conn_node *n)
{
	return (struct ct_conn *)(void *)(n - conn_node_dir(n));
}
static inline bool conn_node_is_live(const struct conn_node *n)
{
	return __atomic_load_n(&n->live, __ATOMIC_ACQUIRE);
}
static inline uint32_t conn_seen_ms(const struct ct_conn *c, uint32_t now_ms)
{
	uint32_t a = now_ms - __atomic_load_n(&c->side[0].seen_ms, __ATOMIC_RELAXED);
	uint32_t b = now_ms - __atomic_load_n(&c->side[1].seen_ms, __ATOMIC_RELAXED);

	return SL_MIN(a, b); /* ago */
}
/* Milliseconds until it expires; <= 0: it has. Clocks of threads may differ by a little. */
static inline int64_t conn_left_ms(const struct ct_conn *c, uint32_t now_ms)
{
	uint32_t ago = conn_seen_ms(c, now_ms);

	if (ago > UINT32_MAX - 60000)
		ago = 0;
	return (int64_t)__atomic_load_n(&c->timeout_ms, __ATOMIC_RELAXED) - ago;
}
/* A packet of direction `dir`: noted at most once a second, so that lines stay clean. */
static inline void conn_touch(struct ct_conn *c, unsigned dir, uint32_t now_ms)
{
	uint32_t *seen = &c->side[dir].seen_ms;

	if (now_ms - __atomic_load_n(seen, __ATOMIC_RELAXED) >= 1000)
		__atomic_store_n(seen, now_ms, __ATOMIC_RELAXED);
}
