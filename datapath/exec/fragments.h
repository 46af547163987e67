/* SPDX-License-Identifier: BSD-3-Clause */
/* Fragments that ct() holds back until their datagram is whole: the tracker judges the datagram,
 * and the fragments go on as they came, in order, all with its answer (as in Open vSwitch's
 * userspace datapath, whose limits and dpctl/ipf-* commands these are).
 *
 * One table for the process under one lock, because a first fragment and the later ones may come by
 * different queues. Bounded: at most `max` fragments, a port at most half of them; when there are
 * too many, the oldest datagram of the port that holds most is dropped. A datagram that contradicts
 * itself (overlaps, two ends) is dropped as a whole.
 *
 * Poll threads; fragments_expire(), settings and status belong to the main thread. RFC 791, 1858,
 * 5722, 8200. */
#pragma once
#include "datapath/conntrack/ct_packet.h"
#include "datapath/exec/exec.h"

enum {
	FRAGMENTS_MAX = 5000, /* largest value of `max` */
	FRAGMENTS_MAX_DEFAULT = 1000,
	FRAGMENTS_MIN_BYTES = 400, /* smallest value of min_bytes */
	FRAGMENTS_MS = 15000,      /* how long a datagram may take */
	FRAGMENTS_NONE = 0xffff,
};
enum fragments_family { FRAGMENTS_V4, FRAGMENTS_V6, FRAGMENTS_FAMILIES };

/* A held fragment. Chains of them are ordered by `begin` and belong to whoever got them. */
struct fragment_node {
	struct rte_mbuf *m; /* owned */
	struct packet_state s;
	uint32_t begin, end;  /* bytes of the datagram's payload */
	uint16_t payload_ofs; /* where they are in the packet */
	uint16_t next;        /* node; FRAGMENTS_NONE: last */
};

enum fragments_answer {
	FRAGMENTS_HELD,    /* p is taken */
	FRAGMENTS_WHOLE,   /* p is taken; out->chain is the datagram, p among it */
	FRAGMENTS_INVALID, /* p stays the caller's and is +inv: too small, odd, or switched off */
	FRAGMENTS_REFUSED, /* p is taken; it is in out->chain, to be dropped as out->why */
};
struct fragments_out {
	uint16_t chain, victims; /* victims: to be dropped as ct_fragment_quota */
	enum drop_reason why;
};
enum fragments_answer fragments_add(const struct packet *p, const struct ct_fragment_at *f,
				    uint32_t now_ms, struct fragments_out *out);
struct fragment_node *fragments_node(uint16_t i);
/* Takes the first of a chain into *p and gives the node back. False: the chain is empty. */
bool fragments_take(uint16_t *chain, struct packet *p);
uint64_t fragments_held(uint32_t port_id); /* any thread */

/* ---- main thread ---- */
void fragments_expire(uint32_t now_ms);  /* about every 10 ms */
void fragments_forget(uint32_t port_id); /* what came by a port that goes */

struct fragments_status {
	uint32_t max, held;
	struct {
		bool enabled;
		uint32_t min_bytes; /* of an IP packet that is not the last fragment */
		uint64_t accepted, completed, expired, too_small, overlapped, purged;
	} of[FRAGMENTS_FAMILIES];
};
void fragments_status(struct fragments_status *out);
void fragments_enable(enum fragments_family f, bool on);
void fragments_set_min(enum fragments_family f, uint32_t bytes); /* >= FRAGMENTS_MIN_BYTES */
void fragments_set_max(uint32_t max);                            /* <= FRAGMENTS_MAX */
/* Datagrams being collected: up to n of them; how many. Ports of the tuple are 0. */
struct fragments_shown {
	struct ct_tuple key;
	uint32_t id, n;
	bool has_first, has_last;
};
unsigned fragments_list(struct fragments_shown *out, unsigned n);
bool fragments_check_invariants(void); /* for tests; nobody else may run */
