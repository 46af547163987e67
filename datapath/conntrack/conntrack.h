/* SPDX-License-Identifier: BSD-3-Clause */
/* The connection tracker, as ct() and the policy use it.
 *
 * conntrack_run() belongs to poll threads (and the main thread, which injects packets); the rest is
 * the main thread's. Connections live in this process: they survive sluiced. */
#pragma once
#include <rte_mbuf.h>

#include "datapath/conntrack/conn_table.h"
#include "datapath/conntrack/ct_limits.h"
#include "datapath/conntrack/ct_nat.h"
#include "datapath/conntrack/tracker.h"
#include "datapath/core/drop.h"
#include "datapath/flow/extract.h"

/* What a burst asks for ahead, and what came of it. Only ever believed after a comparison. */
struct conntrack_hint {
	struct ct_tuple tuple;  /* in */
	struct conn_node *node; /* probably its node; NULL: it was not there */
	uint64_t hash;          /* ct_tuple_hash() when hashed */
	bool hashed;
	struct conn_absence absence; /* when hashed and there was no node */
};

struct conntrack_request {
	/* The packet: its contiguous front, its whole length, where its headers are. Borrowed. */
	const uint8_t *data;
	uint32_t len, pkt_len;
	const struct flow_offsets *ofs;
	/* Is the transport checksum right? Asked only of packets that begin or end something. */
	bool (*sum_ok)(void *aux);
	void *aux;
	uint32_t context; /* OpenFlow zone, or above CT_ZONE_MAX */
	uint32_t port_id; /* datapath port it came in by; 0: none */
	uint32_t now_ms;  /* clock_mono_ms(), truncated */
	unsigned thread_idx;
	bool commit, force, set_mark, set_label;
	uint32_t mark, mark_mask;
	uint8_t label[16], label_mask[16];
	uint8_t alg;   /* enum ct_alg: the helper a connection gets when it is committed */
	bool may_edit; /* its payload, by up to CT_EDIT_BYTES more: all of it is in data */
	const struct ct_nat *nat; /* NULL: no nat() in this ct() */
	/* What conntrack_prefetch() gave in the same burst; NULL: nothing. */
	const struct conntrack_hint *hint;

	/* What a connection that this packet begins has from its first moment. */
	uint32_t new_mark;
	uint64_t new_label[2];
};

/* What a packet carries from one ct() to the next. In: state and context, both 0: untracked. */
struct conntrack_meta {
	uint8_t state; /* CT_STATE_* */
	uint32_t context, mark;
	uint8_t label[16];
	/* Original direction; family 0: none. The connection's, as long as the burst lasts, or own.
	 */
	const struct ct_tuple *orig;
	struct ct_tuple own;
};

/* Instead of a reason: a fragment in an OpenFlow zone; nothing was done. The caller puts the
 * datagram together and asks about that. */
#define CONNTRACK_FRAGMENT ((enum drop_reason)DROP_N)

/* DROP_NONE: m is what the packet now carries, and rw what is to be written into it. */
enum drop_reason conntrack_run(const struct conntrack_request *q, struct conntrack_meta *m,
			       struct ct_rewrite *rw);

/* Brings near what conntrack_run() will need for packets with the tuples of h (at most
 * CONNTRACK_BATCH), so that a burst waits for memory once and not once a packet: 10,000 connections
 * do not fit the second-level cache. `whole`: label and original tuple, too. */
enum { CONNTRACK_BATCH = 32 };
void conntrack_prefetch(unsigned thread_idx, struct conntrack_hint *h, unsigned n, bool whole);

/* The short way, for fresh packets over IPv4, no fragments, whose tuples are those of hint[] (NULL:
 * not known) and whose headers are at ofs[]. Answers from the first on as long as their connections
 * are answered, not translated, and have nothing to learn from the packet but that it came and how
 * far it moves its windows; returns how many. *out: what conntrack_run() would say. q as for
 * conntrack_run(), with nothing to commit but what is there; its data are not read. */
struct conntrack_seen {
	struct ct_conn *conn;
	uint8_t state;
};
unsigned conntrack_steady(const struct conntrack_request *q, struct rte_mbuf *const *pkt,
			  const struct flow_offsets *ofs, const struct conntrack_hint *const *hint,
			  unsigned n, struct conntrack_seen *out);
/* Such a packet that conntrack_run(), asked by q, would only call new, because the burst has just
 * looked for its connection in vain; *meta is what it would carry. False: not known. */
bool conntrack_is_new(const struct conntrack_request *q, struct rte_mbuf *m,
		      const struct flow_offsets *ofs, const struct conntrack_hint *h,
		      struct conntrack_meta *meta);
/* What a packet carries that conntrack_steady() has answered. */
void conntrack_steady_meta(const struct ct_conn *c, uint32_t context, uint8_t state,
			   struct conntrack_meta *m);

/* Told of each connection above the zones (CT_ZONE_MAX) that comes (1) or goes (-1), by whatever
 * thread makes or removes it. Set before the first packet. */
extern void (*conntrack_watch)(const struct ct_conn *c, int n);

/* The node of a tuple through the thread's cache of recent connections; NULL: none. It may have
 * expired. */
struct conn_node *conntrack_lookup(unsigned thread_idx, const struct ct_tuple *k);

/* The calling thread ends: memory that it has in hand is the others'. */
void conntrack_thread_leave(void);

/* ---- main thread ---- */
/* A thread's cache must exist before it runs; 0 or -ENOMEM. Poll threads may call it themselves. */
int conntrack_thread_create(unsigned thread_idx);
/* Expiry: looks at a bounded number of connections. About every 10 ms. */
void conntrack_upkeep(uint32_t now_ms);
/* A recording begins: the next one looks at the first connections. */
void conntrack_restart(void);
/* Timeouts of a zone; zone < 0: of those without their own; t NULL: back to the default. */
int conntrack_set_timeouts(int zone, const struct ct_timeouts *t);
/* As set; NULL: none of its own. Until the next conntrack_set_timeouts(). */
const struct ct_timeouts *conntrack_timeouts(int zone);
/* Are TCP windows checked? (ovs-appctl dpctl/ct-enable-tcp-seq-chk) */
void conntrack_set_window_check(bool on);
bool conntrack_window_check(void);

struct conntrack_filter {
	int64_t context; /* < 0: all OpenFlow zones */
	bool has_mark, has_label;
	uint32_t mark, mark_mask;
	uint64_t label[2], label_mask[2]; /* bytes as in the key */
	/* Fields of the original (or reply) tuple that must be equal; family 0: any. A zero
	 * address, port, protocol, ICMP type or code is not compared. */
	struct ct_tuple orig, reply;
};
bool conntrack_matches(const struct ct_conn *c, const struct conntrack_filter *f);
uint32_t conntrack_flush(const struct conntrack_filter *f); /* how many went */
void conntrack_remove(struct ct_conn *c);                   /* any thread that may read it */

/* Replay: a connection as it was (state, mark, label, times from *c). -errno as
 * conn_table_insert(), or -ENOSPC: the limits are reached. */
int conntrack_restore(const struct ct_tuple *orig, const struct ct_tuple *reply,
		      const struct ct_conn *c);

struct conntrack_stats {
	uint64_t created, expired, evicted, invalid, nat_exhausted, refused;
};
void conntrack_stats(struct conntrack_stats *out);
