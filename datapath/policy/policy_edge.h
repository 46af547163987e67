/* SPDX-License-Identifier: BSD-3-Clause */
/* The edges of policed ports: does a packet pass? Poll threads.
 *
 * An edge (POLICY_EDGES) keeps its connections in a context of the tracker of its own, 65536 +
 * edge, for both directions: an answer is let through by the entry of its connection. What passes
 * an edge a second time, the other way, because somebody behind it routes, is a connection of its
 * own there: its entry is in the edge's second context. An entry carries in its mark the slot of
 * what allowed it, and in its label under which generation and how that was judged. */
#pragma once
#include <rte_mbuf.h>

#include "datapath/conntrack/conntrack.h"
#include "datapath/policy/policy.h"

enum {
	POLICY_CONTEXT = CT_ZONE_MAX + 1,                 /* + edge */
	POLICY_CONTEXT_2 = POLICY_CONTEXT + POLICY_EDGES, /* + edge */
	POLICY_CONTEXT_END = POLICY_CONTEXT_2 + POLICY_EDGES,
};

/* What resolve knows of a packet that comes in: `a` of POLICY_IN. */
enum {
	POLICY_HINT_TO_HOST = 1, /* its only output is a host port */
	POLICY_HINT_FLOODED = 2, /* a unicast to an address that is not known */
};

struct policy_packet {
	const uint8_t *data; /* contiguous front */
	uint32_t len, pkt_len;
	const struct flow_offsets *ofs;
	uint32_t in_port; /* 0: none */
	uint64_t now_ms;
	unsigned thread_idx;
	uint8_t hints;
	bool (*sum_ok)(void *aux);
	void *aux;
	struct policy_finding *peek; /* only asked: nothing is counted, committed or taken */
};

/* What decided about a packet that was asked about. */
enum policy_ground {
	POLICY_GROUND_GUARD,      /* a guard or a limit refuses it */
	POLICY_GROUND_NETWORK,    /* what its network grants without a rule */
	POLICY_GROUND_CONNECTION, /* it belongs to a connection */
	POLICY_GROUND_NEW,        /* it would begin one */
	POLICY_GROUND_ALONE,      /* it belongs to none and needs none */
	POLICY_GROUND_N
};
extern const char *const policy_ground_texts[POLICY_GROUND_N];
struct policy_finding {
	uint32_t slot; /* policy_slot_name() */
	enum drop_reason drop;
	enum policy_ground ground;
};
/* What policy_edge() would say now, as far as limits of the connection table allow. q->peek is set
 * by this. Any thread that may read connections. */
struct policy_finding policy_edge_peek(struct policy_packet q, uint32_t port_id, bool egress);

/* The short way, without parsed headers: true when the packet belongs to a connection that needs
 * no second look. It is counted then. `egress`: it came by the port; else it is about to leave. */
bool policy_edge_knows(const uint8_t *data, uint32_t len, uint32_t pkt_len, uint32_t port_id,
		       bool egress, uint64_t now_ms, unsigned thread_idx);
/* The slot of the rule that decided what policy_edge() refused last; the same thread. */
uint32_t policy_edge_decided(unsigned thread_idx);

/* ---- policy_pair.c ---- */
/* A burst from one policed port to another: both edges at once, for connections that both have let
 * pass. */
enum { POLICY_PAIRS_MAX = 32 };
struct policy_pairs {
	uint32_t in_port, out_port;
	uint64_t now_ms;
	unsigned thread_idx, n;
	uint32_t steady; /* bit per packet: it may be known; the rest of it is valid then */
	uint16_t common; /* the kind of all packets; 0: they have several, or are not all known */
	uint64_t bytes;  /* of all packets */
	uint32_t at[POLICY_PAIRS_MAX];
	uint16_t kind[POLICY_PAIRS_MAX]; /* 0: not known; else what policy_pairs_know() counts */
	struct policy_pair_key {
		union {
			struct {
				uint32_t src, dst, ports, edges;
			};
			uint64_t w[2];
		};
	} key[POLICY_PAIRS_MAX];
};
/* Brings near what policy_pairs_know() will look at for n packets. */
void policy_pairs_begin(struct policy_pairs *b, struct rte_mbuf *const *pkt, unsigned n,
			uint32_t in_port, uint32_t out_port, uint64_t now_ms, unsigned thread_idx);
/* Packets from i on that both edges let pass, counted, up to the one whose number is returned: that
 * one has to go the long way, or is b->n. */
unsigned policy_pairs_know(struct policy_pairs *b, struct rte_mbuf *const *pkt, unsigned i);

/* ---- policy_track.c ---- */
/* DROP_NONE: it passes. Counts either way. */
enum drop_reason policy_edge(const struct policy_packet *q, uint32_t port_id, bool egress);
/* Guards that look at Ethernet and the tag only; resolve asks them, because the answer is the same
 * for every packet of a cache entry. Not counted by rule. */
enum drop_reason policy_guard_ethernet(uint32_t port_id, const uint8_t eth_src[6], bool tagged);

/* Judges a connection of an edge again, by its original tuple, and notes the result in it. False:
 * it is forbidden now, or of a former user of the port; the caller removes it. Any thread that
 * may read it. */
bool policy_edge_judge_again(const struct policy *p, struct ct_conn *c);
/* Is it of the present user of the edge? */
bool policy_edge_is_current(const struct ct_conn *c);
/* Connections of an edge. */
uint32_t policy_edge_conns(uint32_t edge);
/* Of the edge's user: connections of a former one do not count. W: main  R: any, relaxed */
extern uint16_t policy_edge_epoch[POLICY_EDGES];
void policy_edge_init(void); /* main */

/* ---- policy_guard.c ---- */
/* What is wrong with a packet that a guest sends; POLICY_SLOT_NONE: nothing. self NULL: a guest
 * without endpoint, who must not pose as one. */
enum policy_slot_id policy_guard(const struct policy *p, const struct policy_endpoint *self,
				 const struct policy_packet *q);
/* Neighbour discovery and the like, and what a network grants (index or POLICY_NONE): passes
 * without a rule. */
bool policy_is_granted(const struct policy *p, uint32_t network, const struct policy_packet *q);
bool policy_is_advertisement(const struct policy_packet *q); /* RA or redirect */
bool policy_ethertype_listed(const struct policy *p, uint32_t network,
			     const struct policy_packet *q);
bool policy_is_arp(const struct policy_packet *q);
/* May the guest send from the address? self NULL: a guest without endpoint. */
bool policy_owns_address(const struct policy *p, const struct policy_endpoint *self, uint8_t family,
			 const uint8_t *addr);

/* ---- policy_log.c ---- */
struct policy_log_entry {
	uint32_t slot, port_id;
	bool allow;
	uint8_t direction; /* enum policy_direction: of the rule's question */
	struct ct_tuple tuple;
};
void policy_log_put(unsigned thread_idx, const struct policy_log_entry *e); /* poll threads */
/* Main: the next one, false when there is none. *missed: how many did not fit since. */
bool policy_log_take(struct policy_log_entry *out, uint64_t *missed);
