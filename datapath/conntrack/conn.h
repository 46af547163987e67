/* SPDX-License-Identifier: BSD-3-Clause */
/* One tracked connection: 320 bytes in five cache lines.
 *
 * Lines 0 and 1 are the two hash nodes, original and reply direction; line 2 is what changes
 * rarely; lines 3 and 4 are one direction's mutable state each, so that two poll threads that carry
 * the two directions do not write the same line.
 *
 * Memory of connections is never given back to the system and never becomes anything else: a
 * stale pointer (in a thread's cache) always points at some connection, and `live` with the tuple
 * says whether it is the one meant. A slot is used again only after a grace period, so that what
 * was live when a poll thread looked stays readable until the end of its burst. */
#pragma once
#include <rte_spinlock.h>

#include "datapath/base/list.h"
#include "datapath/conntrack/ct_tuple.h"

enum { CONN_ORIG, CONN_REPLY };

struct conn_node {
	struct conn_node *next; /* hash chain; W: shard lock (release)  R: any */
	uint32_t hash;          /* W: before it is linked */
	uint8_t dir;            /* CONN_ORIG or CONN_REPLY; constant */
	uint8_t live;           /* 1 from linking to unlinking; W: shard lock  R: any */
	uint8_t shard;          /* W: before it is linked */
	uint8_t pad;
	struct ct_tuple tuple; /* W: before it is linked */
};
_Static_assert(sizeof(struct conn_node) == SL_CACHE_LINE, "one line");

/* One end of a TCP connection as the packets it sent show it, in the terms of van Rooij's "Real
 * Stateful TCP Packet Filtering in IP Filter" (2001). */
struct conn_side {
	uint32_t seen_ms; /* last packet, truncated, at most one write a second; W: this direction
			     R: any */
	/* W: conn.lock  R: conn.lock, dumps */
	uint32_t seq_lo;  /* end of what it sent */
	uint32_t seq_hi;  /* end of what it may send */
	uint32_t max_win; /* largest window it offered, unscaled */
	uint8_t wscale;   /* factor | WSCALE_* (tracker_tcp.c) */
	uint8_t tcp;      /* enum conn_tcp */
} SL_CACHE_ALIGNED;

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
	uint64_t label[2];   /* W: lock  R: any; bytes as in the key */
	uint32_t timeout_ms; /* of its present state; W: lock  R: any */
	uint16_t port_id;    /* ingress port of its first packet; constant */
	uint16_t nat;        /* NAT_* of flow/action.h; constant */
	uint8_t phase;       /* enum conn_phase; W: lock */
	uint8_t half_open;   /* 1: in its port's list; W: the port's lock  R: any */
	uint8_t home;        /* shard whose memory it is; constant */
	uint8_t alg;         /* enum ct_alg; constant */
	uint8_t related;     /* 1: another connection announced it; constant */
	uint8_t pad[3];
	struct list half_link;     /* under the port's lock */
	struct ct_conn *free_next; /* shard's free or dead list; under the shard's lock */
	struct conn_side side[2];
} SL_CACHE_ALIGNED;
_Static_assert(sizeof(struct ct_conn) == 5 * SL_CACHE_LINE, "five lines");

static inline struct ct_conn *conn_of(struct conn_node *n)
{
	return (struct ct_conn *)(void *)(n - n->dir);
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
