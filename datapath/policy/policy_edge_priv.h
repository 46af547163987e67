/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of a port's edge share: policy_edge.c (the short way),
 * policy_pair.c (the shortest), policy_track.c (the long
 * one), policy_conn.c (what a connection carries), policy_decide.c, policy_limit.c. Poll threads,
 * and the main thread's sweep. */
#pragma once
#include <netinet/in.h>
#include <string.h>

#include "datapath/policy/policy_edge.h"
#include "datapath/policy/policy_over.h"

/* What a connection of an edge carries in label[1]; label[0] is the generation it was judged
 * under, the mark its slot. */
enum {
	NOTE_EGRESS = 1,       /* opened from the port */
	NOTE_TO_HOST = 2,      /* POLICY_HINT_TO_HOST of its first packet */
	NOTE_LIMITED = 4,      /* the rule has a rate: no short way */
	NOTE_OWN_SOURCE = 8,   /* answers from the port come from an address that is its own */
	NOTE_OTHER_SHIFT = 16, /* port that the first packet came by */
	NOTE_EPOCH_SHIFT = 32,
};

/* An edge's question in terms of packets. */
struct edge_case {
	uint32_t edge;
	uint32_t port_id;    /* the packet's; of a guest's edge always that of the guest */
	uint32_t other_port; /* the packet came by; 0: none */
	bool egress;         /* opened by what is behind the port */
	bool to_host;
	uint8_t family, proto;
	uint16_t service;
	const uint8_t *src, *dst;
};

static inline const struct policy_endpoint *endpoint_of(const struct policy *p, uint32_t port_id)
{
	uint32_t i = __atomic_load_n(&p->port[port_id % PORT_ID_MAX].endpoint, __ATOMIC_RELAXED);

	return i == POLICY_NONE ? NULL : &p->endpoints[i];
}

static inline uint8_t role_of(const struct policy *p, uint32_t port_id)
{
	return __atomic_load_n(&p->port[port_id % PORT_ID_MAX].role, __ATOMIC_RELAXED);
}

static inline uint32_t network_of(const struct policy_endpoint *ep)
{
	return ep ? ep->network : POLICY_NONE;
}

/* Is what reaches the host for other addresses judged as those? */
static inline bool host_routes(const struct policy *p, uint32_t network)
{
	return network != POLICY_NONE && p->networks[network].flags & POLICY_NETWORK_HOST_ROUTES;
}

static inline uint32_t edge_of(const struct policy *p, uint32_t port_id)
{
	return __atomic_load_n(&p->port[port_id].edge, __ATOMIC_RELAXED);
}

static inline bool edge_is_host(uint32_t edge)
{
	return edge >= PORT_ID_MAX;
}

/* Of an edge's connections: either context. */
static inline uint32_t edge_of_conn(const struct ct_tuple *t)
{
	uint32_t i = t->context - POLICY_CONTEXT;

	return i >= POLICY_EDGES ? i - POLICY_EDGES : i;
}

static inline uint16_t epoch_of(uint32_t edge)
{
	return __atomic_load_n(&policy_edge_epoch[edge], __ATOMIC_RELAXED);
}

static inline uint64_t load_label(const struct ct_conn *c, unsigned i)
{
	return __atomic_load_n(&c->label[i], __ATOMIC_RELAXED);
}

static inline bool is_of_epoch(uint64_t notes, uint32_t edge)
{
	return (uint16_t)(notes >> NOTE_EPOCH_SHIFT) == epoch_of(edge);
}

static inline uint16_t service_of(const struct ct_tuple *t)
{
	if (t->proto == IPPROTO_ICMP || t->proto == IPPROTO_ICMPV6)
		return (uint16_t)(t->icmp_type << 8 | t->icmp_code);
	return be16_to_cpu(t->dst_port);
}

/* Which of a connection's directions runs that way through the edge. */
static inline unsigned expected_dir(uint64_t notes, bool egress)
{
	return egress == !!(notes & NOTE_EGRESS) ? CONN_ORIG : CONN_REPLY;
}

static inline uint8_t limits_of(const struct policy *p, uint32_t port_id, bool egress)
{
	return __atomic_load_n(&p->port[port_id].flags, __ATOMIC_RELAXED) &
	       (egress ? POLICY_PORT_LIMITED_OUT : POLICY_PORT_LIMITED_IN);
}

/* How long what has just passed passes without a look at its connection. */
enum { EDGE_RECENT_MS = 1000 };

struct plain4 {
	uint32_t src, dst, ports;
	uint8_t proto;
};

/* An unfragmented UDP packet, or a TCP segment that opens and closes nothing, right behind an
 * untagged Ethernet and a plain IPv4 header. */
static inline bool read_steady4(const uint8_t *d, uint32_t len, uint32_t pkt_len, struct plain4 *k)
{
	const uint8_t *ip = d + 14, *l4 = d + 34;
	be32_t front; /* ethertype, version and header length, TOS */
	be16_t frag;

	if (len < 14 + 20 + 8)
		return false;
	memcpy(&front, d + 12, sizeof front);
	memcpy(&frag, ip + 6, sizeof frag);
	/* The total length is between 28 and what is there. */
	if ((front ^ cpu_to_be32(0x08004500)) & cpu_to_be32(0xffffff00) ||
	    frag & cpu_to_be16(0x3fff) || load_be16(ip + 2) - 28u > pkt_len - (14 + 28))
		return false;
	k->proto = ip[9];
	if (k->proto == IPPROTO_TCP) {
		if (len < 14 + 40 || (l4[12] >> 4) < 5 || l4[13] & (TCP_SYN | TCP_FIN | TCP_RST))
			return false;
	} else if (k->proto != IPPROTO_UDP) {
		return false;
	}
	memcpy(&k->src, ip + 12, 4);
	memcpy(&k->dst, ip + 16, 4);
	memcpy(&k->ports, l4, 4);
	return true;
}

/* ---- policy_edge.c ---- */
/* The connection that lets such a packet pass the edge without a second look; NULL: none. Its
 * direction then. *t: in the edge's first context; it may become its second one. Changes and counts
 * nothing. */
struct ct_conn *edge_find(const struct policy *p, struct ct_tuple *t, uint8_t tcp_flags,
			  uint32_t edge, bool egress, uint64_t now_ms, unsigned thread_idx,
			  unsigned *dir);
void *edge_make_table(size_t bytes); /* zeros, on huge pages if possible; NULL without memory */
/* Does the packet belong to a connection that needs no second look? Counts it then. */
bool edge_knows(const struct policy *p, const uint8_t *data, uint32_t len, uint32_t pkt_len,
		uint32_t port_id, bool egress, uint64_t now_ms, unsigned thread_idx);
/* A packet that moves the connection's state came by: look at the next ones. */
void edge_forget(const struct policy_packet *q, uint32_t port_id, bool egress);

/* ---- policy_pair.c ---- */
void edge_forget_pair(unsigned thread_idx, uint32_t src, uint32_t dst, uint32_t ports,
		      uint32_t in_port, uint32_t out_port, uint8_t proto);

/* ---- policy_decide.c ---- */
struct policy_answer edge_decide(const struct policy *p, const struct edge_case *c);

/* ---- policy_conn.c ---- */
uint64_t edge_notes(const struct policy *p, const struct edge_case *c,
		    const struct policy_answer *a);
/* Has the edge connections in its second context? */
bool edge_has_second(uint32_t edge);
/* What the connection's first packet asked. */
struct edge_case edge_case_of(const struct ct_tuple *t, uint64_t notes);
/* As policy_edge_judge_again(); *a: what decided. */
bool edge_judge_again(const struct policy *p, struct ct_conn *c, struct policy_answer *a);

/* ---- policy_limit.c ---- */
/* What a packet exceeds of the endpoint's rates, POLICY_SLOT_NONE: nothing. */
enum policy_slot_id edge_check_rates(struct policy_endpoint *ep, const struct policy_packet *q,
				     bool egress);
/* May one more connection be opened by what `a` allows? */
enum policy_slot_id edge_check_new(const struct policy *p, uint32_t port_id,
				   const struct policy_answer *a, bool dry);
bool edge_rule_is_over_rate(const struct policy *p, uint32_t slot, uint32_t bytes, bool dry);

/* ---- policy_track.c ---- */
bool edge_is_fragment(const struct policy_packet *q);

/* ---- policy_peek.c ---- */
/* The tracker's part of policy_edge() for a packet that is only asked about. */
enum drop_reason edge_peek_track(const struct policy *p, const struct policy_packet *q,
				 struct edge_case *c);
