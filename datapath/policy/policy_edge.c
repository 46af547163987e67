/* SPDX-License-Identifier: BSD-3-Clause */
/* The short ways through an edge, for packets of connections that have passed a moment ago. Poll
 * threads; no lock, nothing shared is written but the connection's time. */
#include "datapath/policy/policy_edge_priv.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "datapath/policy/policy_live.h"

/* ---- the shortest way ---- */
/* What a thread has seen pass an edge a moment ago passes again without a look at the connection:
 * half a line of its own instead of three shared ones. Only steady packets of TCP and UDP over IPv4
 * come here. A policy, port or rule that changes raises the generation, which an entry must equal;
 * whatever else ends a connection is noticed after EDGE_RECENT_MS. */
enum { RECENT_LOG = 15, HUGE_PAGE_BYTES = 2 << 20 }; /* lines */
struct recent_pass {
	uint32_t src, dst, ports;
	uint32_t edge;       /* edge << 16 | egress << 8 | IP protocol */
	uint32_t generation; /* low bits */
	uint32_t slot;
	uint32_t checked_ms; /* against the connection */
	uint32_t pad;
};
_Static_assert(sizeof(struct recent_pass) == 32, "two in a line");

static struct recent_pass *recent_of[THREADS_ALL]; /* W, R: its thread */

void *edge_make_table(size_t bytes)
{
	void *p = NULL;

	bytes = SL_ALIGN_UP(bytes, (size_t)HUGE_PAGE_BYTES); /* or the last one is small */
	if (posix_memalign(&p, HUGE_PAGE_BYTES, bytes))
		return NULL;
	madvise(p, bytes,
		MADV_HUGEPAGE); /* a wish: with small pages half of the misses are TLB's */
	memset(p, 0, bytes);
	return p;
}

static struct recent_pass *recent_table(unsigned thread_idx)
{
	if (!recent_of[thread_idx])
		recent_of[thread_idx] = edge_make_table((size_t)SL_CACHE_LINE << RECENT_LOG);
	return recent_of[thread_idx];
}

static inline uint32_t edge_word(uint32_t edge, bool egress, uint8_t proto)
{
	return edge << 16 | (egress ? 1u << 8 : 0) | proto;
}

static inline size_t recent_hash(uint32_t src, uint32_t dst, uint32_t ports, uint32_t edge)
{
	uint64_t h = ((uint64_t)src << 32 | dst) * 0x9e3779b97f4a7c15ull;

	h = (h ^ ((uint64_t)edge << 32 | ports)) * 0xc4ceb9fe1a85ec53ull;
	return (h >> (64 - RECENT_LOG)) * 2; /* the first of its line */
}

static inline struct recent_pass *recent_slot(struct recent_pass *table, uint32_t src, uint32_t dst,
					      uint32_t ports, uint32_t edge)
{
	return &table[recent_hash(src, dst, ports, edge)];
}

/* generation: read before the connection was found to be judged. */
static void remember(uint64_t generation, unsigned thread_idx, const struct ct_tuple *t,
		     uint32_t edge, bool egress, uint32_t slot, uint64_t now_ms)
{
	struct recent_pass *table = recent_table(thread_idx);
	struct recent_pass e = {.edge = edge_word(edge, egress, t->proto),
				.generation = (uint32_t)generation,
				.slot = slot,
				.checked_ms = (uint32_t)now_ms};

	struct recent_pass *line;

	if (!table || t->family != 4)
		return;
	memcpy(&e.src, t->src, 4);
	memcpy(&e.dst, t->dst, 4);
	memcpy(&e.ports, &t->src_port, 4);
	line = recent_slot(table, e.src, e.dst, e.ports, e.edge);
	if ((line->src ^ e.src) | (line->dst ^ e.dst) | (line->ports ^ e.ports) |
	    (line->edge ^ e.edge))
		line[1] = line[0];
	line[0] = e;
}

/* A packet that moves the connection's state came by: look at the next ones. */
void edge_forget(const struct policy_packet *q, uint32_t port_id, bool egress)
{
	struct recent_pass *table = recent_of[q->thread_idx], *e;
	uint32_t src, dst, ports;

	if (q->ofs->ip_version != 4 || !q->ofs->l4)
		return;
	memcpy(&src, q->data + q->ofs->l3 + 12, 4);
	memcpy(&dst, q->data + q->ofs->l3 + 16, 4);
	memcpy(&ports, q->data + q->ofs->l4, 4);
	if (table) {
		e = recent_slot(
			table, src, dst, ports,
			edge_word(edge_of(policy_now(), port_id), egress, q->ofs->ip_proto));
		e[0].generation = e[1].generation = 0; /* its neighbour finds its way back */
	}
	/* The pair with whatever port is at the other end: each of them comes by here. */
	if (!egress)
		edge_forget_pair(q->thread_idx, src, dst, ports, q->in_port, port_id,
				 q->ofs->ip_proto);
}

static inline struct recent_pass *find_recent(struct recent_pass *table, const struct plain4 *k,
					      uint32_t edge, bool egress, uint32_t generation,
					      uint64_t now_ms)
{
	uint32_t word = edge_word(edge, egress, k->proto);
	struct recent_pass *e = recent_slot(table, k->src, k->dst, k->ports, word);

	for (unsigned i = 0; i < 2; i++, e++)
		if (!((e->src ^ k->src) | (e->dst ^ k->dst) | (e->ports ^ k->ports) |
		      (e->edge ^ word) | (e->generation ^ generation)) &&
		    (uint32_t)now_ms - e->checked_ms < EDGE_RECENT_MS)
			return e;
	return NULL;
}

/* ---- the short way ---- */
/* Unfragmented TCP or UDP right behind an untagged Ethernet and a plain IP header. */
static inline bool read_plain(const uint8_t *d, uint32_t len, uint32_t pkt_len, uint32_t context,
			      struct ct_tuple *t, uint8_t *tcp_flags)
{
	const uint8_t *ip = d + 14, *l4;
	struct plain4 k;

	*tcp_flags = 0;
	if (read_steady4(d, len, pkt_len, &k)) {
		ct_tuple_set4(t, k.src, k.dst, k.ports, context, k.proto);
		return true;
	}
	if (len < 14 + 40 + 8 || load_be16(d + 12) != 0x86dd || ip[0] >> 4 != 6 ||
	    load_be16(ip + 4) > pkt_len - 54 || load_be16(ip + 4) < 8)
		return false;
	l4 = ip + 40;
	if (ip[6] == IPPROTO_TCP) {
		if (len < 14 + 60 || (l4[12] >> 4) < 5)
			return false;
		*tcp_flags = l4[13];
	} else if (ip[6] != IPPROTO_UDP) {
		return false;
	}
	memcpy(&k.ports, l4, 4);
	memcpy(&t->w[0], ip + 8, 32);
	t->w[4] = k.ports | (uint64_t)context << 32;
	t->w[5] = ip[6] | 6u << 8;
	return true;
}

/* Has the tracker nothing to learn from the packet? */
static inline bool is_steady(const struct ct_conn *c, unsigned dir, uint8_t proto,
			     uint8_t tcp_flags)
{
	uint8_t phase = __atomic_load_n(&c->phase, __ATOMIC_RELAXED);

	if (proto == IPPROTO_UDP)
		return phase == CONN_BIDIR || (phase == CONN_MULTIPLE && dir == CONN_ORIG);
	return !(tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST)) &&
	       __atomic_load_n(&c->side[0].tcp, __ATOMIC_RELAXED) == CONN_TCP_ESTABLISHED &&
	       __atomic_load_n(&c->side[1].tcp, __ATOMIC_RELAXED) == CONN_TCP_ESTABLISHED;
}

static inline struct ct_conn *find_in_context(const struct policy *p, const struct ct_tuple *t,
					      uint8_t tcp_flags, uint32_t edge, bool egress,
					      uint64_t now_ms, unsigned thread_idx, unsigned *dir)
{
	struct conn_node *n = conntrack_lookup(thread_idx, t);
	struct ct_conn *c;
	uint64_t notes;

	if (!n)
		return NULL;
	c = conn_of(n);
	*dir = conn_node_dir(n);
	notes = load_label(c, 1);
	if (load_label(c, 0) < __atomic_load_n(&p->judged_from, __ATOMIC_ACQUIRE) ||
	    policy_is_over(__atomic_load_n(&c->mark, __ATOMIC_RELAXED)) || notes & NOTE_LIMITED ||
	    !is_of_epoch(notes, edge) || *dir != expected_dir(notes, egress) ||
	    (egress && *dir == CONN_REPLY && !(notes & NOTE_OWN_SOURCE)) ||
	    !is_steady(c, *dir, t->proto, tcp_flags))
		return NULL;
	return conn_left_ms(c, (uint32_t)now_ms) > 0 ? c : NULL;
}

struct ct_conn *edge_find(const struct policy *p, struct ct_tuple *t, uint8_t tcp_flags,
			  uint32_t edge, bool egress, uint64_t now_ms, unsigned thread_idx,
			  unsigned *dir)
{
	struct ct_conn *c = find_in_context(p, t, tcp_flags, edge, egress, now_ms, thread_idx, dir);

	if (SL_LIKELY(c || !edge_has_second(edge)))
		return c;
	t->context = POLICY_CONTEXT_2 + edge;
	return find_in_context(p, t, tcp_flags, edge, egress, now_ms, thread_idx, dir);
}

bool edge_knows(const struct policy *p, const uint8_t *data, uint32_t len, uint32_t pkt_len,
		uint32_t port_id, bool egress, uint64_t now_ms, unsigned thread_idx)
{
	uint64_t generation = __atomic_load_n(&p->generation, __ATOMIC_ACQUIRE);
	uint32_t edge = edge_of(p, port_id);
	struct ct_tuple t;
	struct ct_conn *c;
	uint32_t slot;
	uint8_t tcp_flags;
	unsigned dir;

	if (!read_plain(data, len, pkt_len, POLICY_CONTEXT + edge, &t, &tcp_flags))
		return false;
	c = edge_find(p, &t, tcp_flags, edge, egress, now_ms, thread_idx, &dir);
	if (!c)
		return false;
	conn_touch(c, dir, (uint32_t)now_ms);
	slot = __atomic_load_n(&c->mark, __ATOMIC_RELAXED);
	if (!limits_of(p, port_id, egress))
		remember(generation, thread_idx, &t, edge, egress, slot, now_ms);
	policy_count(thread_idx, slot, pkt_len, false, now_ms);
	return true;
}

bool policy_edge_knows(const uint8_t *data, uint32_t len, uint32_t pkt_len, uint32_t port_id,
		       bool egress, uint64_t now_ms, unsigned thread_idx)
{
	const struct policy *p = policy_now();
	struct recent_pass *table = recent_of[thread_idx], *e;
	struct plain4 k;

	if (limits_of(p, port_id, egress))
		return false;
	if (table && read_steady4(data, len, pkt_len, &k)) {
		e = find_recent(table, &k, edge_of(p, port_id), egress, (uint32_t)p->generation,
				now_ms);
		if (e) {
			policy_count(thread_idx, e->slot, pkt_len, false, now_ms);
			return true;
		}
	}
	return edge_knows(p, data, len, pkt_len, port_id, egress, now_ms, thread_idx);
}
