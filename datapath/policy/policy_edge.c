/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/policy/policy_edge.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "datapath/base/clock.h"
#include "datapath/policy/policy_live.h"

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
	uint32_t port_id, other_port; /* other: the packet came by; 0: none */
	bool egress;                  /* opened by what is behind the port */
	bool to_host;
	uint8_t family, proto;
	uint16_t service;
	const uint8_t *src, *dst;
};

static uint32_t port_conns[PORT_ID_MAX]; /* atomic */

static const struct policy_endpoint *endpoint_of(const struct policy *p, uint32_t port_id)
{
	uint32_t i = __atomic_load_n(&p->port[port_id % PORT_ID_MAX].endpoint, __ATOMIC_RELAXED);

	return i == POLICY_NONE ? NULL : &p->endpoints[i];
}

static uint8_t role_of(const struct policy *p, uint32_t port_id)
{
	return __atomic_load_n(&p->port[port_id % PORT_ID_MAX].role, __ATOMIC_RELAXED);
}

static uint32_t network_of(const struct policy_endpoint *ep)
{
	return ep ? ep->network : POLICY_NONE;
}

/* Is what reaches the host for other addresses judged as those? */
static bool host_routes(const struct policy *p, uint32_t network)
{
	return network != POLICY_NONE && p->networks[network].flags & POLICY_NETWORK_HOST_ROUTES;
}

/* ---- deciding about a connection ---- */
static void set_peer(const struct policy *p, struct policy_question *q, uint32_t owner)
{
	bool host = p->endpoints[owner].flags & POLICY_IS_HOST;

	q->peer = owner;
	q->peer_kind = host ? POLICY_HOST : POLICY_ENDPOINT;
}

static void find_peer(const struct policy *p, const struct edge_case *c, struct policy_question *q)
{
	uint32_t network = network_of(q->self);
	uint32_t owner = policy_owner(p, network, q->family, q->peer_addr);
	uint32_t other = POLICY_NONE;
	bool host;

	if (owner != POLICY_NONE) {
		set_peer(p, q, owner);
		return;
	}
	if (c->egress) {
		host = c->to_host;
	} else {
		host = c->other_port && role_of(p, c->other_port) == POLICY_ROLE_HOST;
		if (c->other_port)
			other = __atomic_load_n(&p->port[c->other_port].endpoint, __ATOMIC_RELAXED);
	}
	if (host && !host_routes(p, network))
		q->peer_kind = POLICY_HOST;
	else if (other != POLICY_NONE)
		set_peer(p, q, other);
}

static struct policy_question question(const struct edge_case *c)
{
	return (struct policy_question){.direction = c->egress ? POLICY_EGRESS : POLICY_INGRESS,
					.family = c->family,
					.proto = c->proto,
					.service = c->service,
					.peer_addr = c->egress ? c->dst : c->src};
}

/* The host's own rules, of policies that select it; `guest` may be POLICY_NONE. */
static struct policy_answer ask_host(const struct policy *p, const struct edge_case *c,
				     uint32_t guest, struct policy_answer so_far)
{
	struct policy_question q = question(c);
	struct policy_answer a;

	if (!so_far.allow || p->host == POLICY_NONE)
		return so_far;
	q.self = &p->endpoints[p->host];
	if (!q.self->list[q.direction] && !(q.self->isolated & (1u << q.direction)))
		return so_far;
	if (guest != POLICY_NONE)
		set_peer(p, &q, guest);
	a = policy_judge(p, &q);
	/* The name of the guest's own rule says more than that the host's let it pass. */
	return a.allow && so_far.rule ? so_far : a;
}

static struct policy_answer from_host(const struct policy *p, const struct edge_case *c)
{
	uint32_t owner = policy_owner(p, POLICY_NONE, c->family, c->dst);
	struct policy_answer a = policy_builtin(POLICY_SLOT_ALLOW);

	if (owner != POLICY_NONE && !(p->endpoints[owner].flags & POLICY_IS_HOST)) {
		struct policy_question q = {.self = &p->endpoints[owner],
					    .direction = POLICY_INGRESS,
					    .peer_kind = POLICY_HOST,
					    .family = c->family,
					    .proto = c->proto,
					    .service = c->service,
					    .peer_addr = c->src};

		/* What the host only routes comes from somebody else: that guest's edge knows. */
		if (!host_routes(p, q.self->network))
			a = policy_judge(p, &q);
	}
	return ask_host(p, c, owner, a);
}

static bool is_group_address(uint8_t family, const uint8_t *a)
{
	return family == 4 ? a[0] >= 224 : a[0] == 0xff;
}

static struct policy_answer to_host(const struct policy *p, const struct edge_case *c)
{
	uint32_t guest = POLICY_NONE;
	struct policy_answer a = policy_builtin(POLICY_SLOT_ALLOW);
	struct policy_question q;

	if (c->other_port)
		guest = __atomic_load_n(&p->port[c->other_port].endpoint, __ATOMIC_RELAXED);
	if (guest == POLICY_NONE)
		guest = policy_owner(p, POLICY_NONE, c->family, c->src);
	if (guest != POLICY_NONE && p->endpoints[guest].flags & POLICY_IS_HOST)
		guest = POLICY_NONE;
	if (guest != POLICY_NONE) {
		q = (struct policy_question){.self = &p->endpoints[guest],
					     .direction = POLICY_EGRESS,
					     .peer_kind = POLICY_HOST,
					     .family = c->family,
					     .proto = c->proto,
					     .service = c->service,
					     .peer_addr = c->dst};
		if (host_routes(p, q.self->network) && !is_group_address(c->family, c->dst)) {
			uint32_t owner = policy_owner(p, q.self->network, c->family, c->dst);

			q.peer_kind = POLICY_OUTSIDE;
			if (owner != POLICY_NONE)
				set_peer(p, &q, owner);
		}
		a = policy_judge(p, &q);
	} else if (c->other_port && role_of(p, c->other_port) == POLICY_ROLE_GUEST) {
		a = policy_builtin(POLICY_SLOT_HOST_DENY);
	}
	return ask_host(p, c, guest, a);
}

static struct policy_answer decide(const struct policy *p, const struct edge_case *c)
{
	struct policy_question q;

	if (role_of(p, c->port_id) == POLICY_ROLE_HOST)
		return c->egress ? from_host(p, c) : to_host(p, c);
	q = question(c);
	q.self = endpoint_of(p, c->port_id);
	find_peer(p, c, &q);
	return policy_judge(p, &q);
}

/* ---- notes in connections ---- */
static uint16_t epoch_of(const struct policy *p, uint32_t port_id)
{
	return __atomic_load_n(&p->port[port_id].epoch, __ATOMIC_RELAXED);
}

static uint64_t notes_of(const struct policy *p, const struct edge_case *c,
			 const struct policy_answer *a)
{
	const struct policy_endpoint *self = endpoint_of(p, c->port_id);
	bool guest = role_of(p, c->port_id) == POLICY_ROLE_GUEST;
	/* What a guest answers from an address that is not its own goes through the guards. */
	bool own = !guest || !self || !(self->flags & POLICY_CHECK_ADDRESSES) || c->egress ||
		   policy_lpm_find(self->addresses, c->family, c->dst) == 1;

	return (c->egress ? NOTE_EGRESS : 0) | (c->to_host ? NOTE_TO_HOST : 0) |
	       (a->rule && a->rule->limited ? NOTE_LIMITED : 0) | (own ? NOTE_OWN_SOURCE : 0) |
	       (uint64_t)c->other_port << NOTE_OTHER_SHIFT |
	       (uint64_t)epoch_of(p, c->port_id) << NOTE_EPOCH_SHIFT;
}

static inline uint64_t load_label(const struct ct_conn *c, unsigned i)
{
	return __atomic_load_n(&c->label[i], __ATOMIC_RELAXED);
}

static bool is_of_epoch(const struct policy *p, uint64_t notes, uint32_t port_id)
{
	return (uint16_t)(notes >> NOTE_EPOCH_SHIFT) == epoch_of(p, port_id);
}

static uint16_t service_of(const struct ct_tuple *t)
{
	if (t->proto == IPPROTO_ICMP || t->proto == IPPROTO_ICMPV6)
		return (uint16_t)(t->icmp_type << 8 | t->icmp_code);
	return be16_to_cpu(t->dst_port);
}

static struct edge_case case_of(const struct ct_tuple *t, uint64_t notes)
{
	return (struct edge_case){
		.port_id = t->context - POLICY_CONTEXT,
		.other_port = (uint16_t)(notes >> NOTE_OTHER_SHIFT) % PORT_ID_MAX,
		.egress = notes & NOTE_EGRESS,
		.to_host = notes & NOTE_TO_HOST,
		.family = t->family,
		.proto = t->proto,
		.service = service_of(t),
		.src = t->src,
		.dst = t->dst,
	};
}

static bool judge_again(const struct policy *p, struct ct_conn *c, struct policy_answer *a)
{
	uint64_t notes = load_label(c, 1);
	struct edge_case ec = case_of(&c->node[CONN_ORIG].tuple, notes);
	uint64_t generation = __atomic_load_n(&p->generation, __ATOMIC_ACQUIRE);
	uint32_t old;

	*a = policy_builtin(POLICY_SLOT_INVALID);
	if (ec.port_id >= PORT_ID_MAX || !is_of_epoch(p, notes, ec.port_id))
		return false;
	*a = decide(p, &ec);
	if (!a->allow)
		return false;
	rte_spinlock_lock(&c->lock);
	old = c->mark;
	__atomic_store_n(&c->mark, a->slot, __ATOMIC_RELAXED);
	__atomic_store_n(&c->label[1], notes_of(p, &ec, a), __ATOMIC_RELAXED);
	__atomic_store_n(&c->label[0], generation, __ATOMIC_RELAXED);
	rte_spinlock_unlock(&c->lock);
	if (old != a->slot) {
		policy_slot_conns_add(old, -1);
		policy_slot_conns_add(a->slot, 1);
	}
	return true;
}

bool policy_edge_judge_again(const struct policy *p, struct ct_conn *c)
{
	struct policy_answer a;

	return judge_again(p, c, &a);
}

bool policy_edge_is_current(const struct policy *p, const struct ct_conn *c)
{
	return is_of_epoch(p, load_label(c, 1), c->node[CONN_ORIG].tuple.context - POLICY_CONTEXT);
}

static void watch(const struct ct_conn *c, int n)
{
	uint32_t port_id = c->node[CONN_ORIG].tuple.context - POLICY_CONTEXT;

	if (port_id < PORT_ID_MAX)
		__atomic_add_fetch(&port_conns[port_id], (uint32_t)n, __ATOMIC_RELAXED);
	policy_slot_conns_add(__atomic_load_n(&c->mark, __ATOMIC_RELAXED), n);
}

void policy_edge_init(void)
{
	conntrack_watch = watch;
}

uint32_t policy_edge_conns(uint32_t port_id)
{
	return port_id < PORT_ID_MAX ? __atomic_load_n(&port_conns[port_id], __ATOMIC_RELAXED) : 0;
}

/* ---- the shortest way ---- */
/* What a thread has seen pass an edge a moment ago passes again without a look at the connection:
 * half a line of its own instead of three shared ones. Only steady packets of TCP and UDP over IPv4
 * come here. A policy, port or rule that changes raises the generation, which an entry must equal;
 * whatever else ends a connection is noticed after RECENT_MS. */
enum { RECENT_LOG = 15, RECENT_MS = 1000, HUGE_PAGE_BYTES = 2 << 20 }; /* lines */
struct recent_pass {
	uint32_t src, dst, ports;
	uint32_t edge;       /* port << 16 | egress << 8 | IP protocol */
	uint32_t generation; /* low bits */
	uint32_t slot;
	uint32_t checked_ms; /* against the connection */
	uint32_t pad;
};
_Static_assert(sizeof(struct recent_pass) == 32, "two in a line");

/* The two edges of a packet from one policed port to another in one: made of two of the above. */
struct recent_pair {
	uint32_t src, dst, ports;
	uint32_t edges;      /* in port << 20 | out port << 8 | IP protocol */
	uint32_t generation; /* low bits */
	uint32_t slot[2];    /* of the edge it came by, of the one it leaves by */
	uint32_t checked_ms;
};
_Static_assert(sizeof(struct recent_pair) == 32 && PORT_ID_MAX <= 1 << 12, "two in a line");

static struct recent_pass *recent_of[THREADS_ALL]; /* W, R: its thread */
static struct recent_pair *pairs_of[THREADS_ALL];  /* likewise; there when the other is */

static void *make_table(void)
{
	size_t bytes = (size_t)SL_CACHE_LINE << RECENT_LOG;
	void *p = NULL;

	if (posix_memalign(&p, HUGE_PAGE_BYTES, bytes))
		return NULL;
	madvise(p, bytes,
		MADV_HUGEPAGE); /* a wish: with small pages half of the misses are TLB's */
	memset(p, 0, bytes);
	return p;
}

static struct recent_pass *recent_table(unsigned thread_idx)
{
	if (!pairs_of[thread_idx])
		pairs_of[thread_idx] = make_table();
	if (pairs_of[thread_idx])
		recent_of[thread_idx] = make_table();
	return recent_of[thread_idx];
}

static inline uint32_t edge_word(uint32_t port_id, bool egress, uint8_t proto)
{
	return port_id << 16 | (egress ? 1u << 8 : 0) | proto;
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
		     uint32_t port_id, bool egress, uint32_t slot, uint64_t now_ms)
{
	struct recent_pass *table = recent_of[thread_idx] ?: recent_table(thread_idx);
	struct recent_pass e = {.edge = edge_word(port_id, egress, t->proto),
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
static void forget(const struct policy_packet *q, uint32_t port_id, bool egress)
{
	struct recent_pass *table = recent_of[q->thread_idx], *e;
	struct recent_pair *pair;
	uint32_t src, dst, ports;

	if (!table || q->ofs->ip_version != 4 || !q->ofs->l4)
		return;
	memcpy(&src, q->data + q->ofs->l3 + 12, 4);
	memcpy(&dst, q->data + q->ofs->l3 + 16, 4);
	memcpy(&ports, q->data + q->ofs->l4, 4);
	e = recent_slot(table, src, dst, ports, edge_word(port_id, egress, q->ofs->ip_proto));
	e[0].generation = e[1].generation = 0; /* its neighbour finds its way back */
	/* The pair with whatever port is at the other end: each of them comes by here. */
	if (!egress) {
		uint32_t edges = q->in_port << 20 | port_id << 8 | q->ofs->ip_proto;

		pair = &pairs_of[q->thread_idx][recent_hash(src, dst, ports, edges)];
		pair[0].generation = pair[1].generation = 0;
	}
}

struct plain4 {
	uint32_t src, dst, ports;
	uint8_t proto;
};

/* An unfragmented UDP packet, or a TCP segment that opens and closes nothing, right behind an
 * untagged Ethernet and a plain IPv4 header. */
static inline bool read_steady4(const uint8_t *d, uint32_t len, uint32_t pkt_len, struct plain4 *k)
{
	const uint8_t *ip = d + 14, *l4 = d + 34;
	uint16_t total;

	if (len < 14 + 20 + 8 || load_be16(d + 12) != 0x0800 || ip[0] != 0x45 ||
	    load_be16(ip + 6) & 0x3fff)
		return false;
	total = load_be16(ip + 2);
	if (total > pkt_len - 14 || total < 28)
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

static inline struct recent_pass *find_recent(struct recent_pass *table, const struct plain4 *k,
					      uint32_t port_id, bool egress, uint32_t generation,
					      uint64_t now_ms)
{
	uint32_t edge = edge_word(port_id, egress, k->proto);
	struct recent_pass *e = recent_slot(table, k->src, k->dst, k->ports, edge);

	for (unsigned i = 0; i < 2; i++, e++)
		if (!((e->src ^ k->src) | (e->dst ^ k->dst) | (e->ports ^ k->ports) |
		      (e->edge ^ edge) | (e->generation ^ generation)) &&
		    (uint32_t)now_ms - e->checked_ms < RECENT_MS)
			return e;
	return NULL;
}

static inline struct recent_pair *pair_slot(struct recent_pair *table, const struct plain4 *k,
					    uint32_t in_port, uint32_t out_port, uint32_t *edges)
{
	*edges = in_port << 20 | out_port << 8 | k->proto;
	return &table[recent_hash(k->src, k->dst, k->ports, *edges)];
}

void policy_edges_prefetch(const uint8_t *data, uint32_t len, uint32_t pkt_len, uint32_t in_port,
			   uint32_t out_port, unsigned thread_idx)
{
	struct recent_pair *table = pairs_of[thread_idx];
	struct plain4 k;
	uint32_t edges;

	if (table && read_steady4(data, len, pkt_len, &k))
		__builtin_prefetch(pair_slot(table, &k, in_port, out_port, &edges));
}

/* Two edges that know the packet make a pair; false: one of them does not. */
static bool make_pair(struct recent_pair *e, const struct plain4 *k, uint32_t in_port,
		      uint32_t out_port, uint32_t edges, uint32_t generation, uint64_t now_ms,
		      unsigned thread_idx)
{
	struct recent_pass *table = recent_of[thread_idx], *a, *b;

	if (!table)
		return false;
	a = find_recent(table, k, in_port, true, generation, now_ms);
	b = find_recent(table, k, out_port, false, generation, now_ms);
	if (!a || !b)
		return false;
	e[1] = e[0];
	e[0] = (struct recent_pair){.src = k->src,
				    .dst = k->dst,
				    .ports = k->ports,
				    .edges = edges,
				    .generation = generation,
				    .slot = {a->slot, b->slot}};
	/* The older of the two. */
	e[0].checked_ms =
		(int32_t)(a->checked_ms - b->checked_ms) < 0 ? a->checked_ms : b->checked_ms;
	return true;
}

static inline bool is_pair(const struct recent_pair *e, const struct plain4 *k, uint32_t edges,
			   uint32_t generation, uint64_t now_ms)
{
	return !((e->src ^ k->src) | (e->dst ^ k->dst) | (e->ports ^ k->ports) |
		 (e->edges ^ edges) | (e->generation ^ generation)) &&
	       (uint32_t)now_ms - e->checked_ms < RECENT_MS;
}

bool policy_edges_know(const uint8_t *data, uint32_t len, uint32_t pkt_len, uint32_t in_port,
		       uint32_t out_port, uint64_t now_ms, unsigned thread_idx)
{
	const struct policy *p = policy_now();
	uint32_t generation = (uint32_t)__atomic_load_n(&p->generation, __ATOMIC_ACQUIRE), edges;
	struct recent_pair *table = pairs_of[thread_idx], *e;
	struct plain4 k;

	if (SL_UNLIKELY(!table) || !read_steady4(data, len, pkt_len, &k))
		return false;
	e = pair_slot(table, &k, in_port, out_port, &edges);
	if (SL_UNLIKELY(!is_pair(e, &k, edges, generation, now_ms))) {
		if (is_pair(e + 1, &k, edges, generation, now_ms))
			e++;
		else if (!make_pair(e, &k, in_port, out_port, edges, generation, now_ms,
				    thread_idx))
			return false;
	}
	policy_count(thread_idx, e->slot[0], pkt_len, false, now_ms);
	policy_count(thread_idx, e->slot[1], pkt_len, false, now_ms);
	return true;
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

/* Which of a connection's directions runs that way through the edge. */
static inline unsigned expected_dir(uint64_t notes, bool egress)
{
	return egress == !!(notes & NOTE_EGRESS) ? CONN_ORIG : CONN_REPLY;
}

static uint8_t limits_of(const struct policy *p, uint32_t port_id, bool egress)
{
	return __atomic_load_n(&p->port[port_id].flags, __ATOMIC_RELAXED) &
	       (egress ? POLICY_PORT_LIMITED_OUT : POLICY_PORT_LIMITED_IN);
}

static bool knows(const struct policy *p, const uint8_t *data, uint32_t len, uint32_t pkt_len,
		  uint32_t port_id, bool egress, uint64_t now_ms, unsigned thread_idx)
{
	uint64_t generation = __atomic_load_n(&p->generation, __ATOMIC_ACQUIRE);
	struct ct_tuple t;
	struct conn_node *n;
	struct ct_conn *c;
	uint64_t notes;
	uint32_t slot;
	uint8_t tcp_flags;

	if (!read_plain(data, len, pkt_len, POLICY_CONTEXT + port_id, &t, &tcp_flags))
		return false;
	n = conntrack_lookup(thread_idx, &t);
	if (!n)
		return false;
	c = conn_of(n);
	notes = load_label(c, 1);
	if (load_label(c, 0) < __atomic_load_n(&p->judged_from, __ATOMIC_ACQUIRE) ||
	    notes & NOTE_LIMITED || !is_of_epoch(p, notes, port_id) ||
	    n->dir != expected_dir(notes, egress) ||
	    (egress && n->dir == CONN_REPLY && !(notes & NOTE_OWN_SOURCE)) ||
	    !is_steady(c, n->dir, t.proto, tcp_flags))
		return false;
	if (conn_left_ms(c, (uint32_t)now_ms) <= 0)
		return false;
	conn_touch(c, n->dir, (uint32_t)now_ms);
	slot = __atomic_load_n(&c->mark, __ATOMIC_RELAXED);
	if (!limits_of(p, port_id, egress))
		remember(generation, thread_idx, &t, port_id, egress, slot, now_ms);
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
		e = find_recent(table, &k, port_id, egress, (uint32_t)p->generation, now_ms);
		if (e) {
			policy_count(thread_idx, e->slot, pkt_len, false, now_ms);
			return true;
		}
	}
	return knows(p, data, len, pkt_len, port_id, egress, now_ms, thread_idx);
}

/* ---- limits ---- */
static enum policy_slot_id check_rates(struct policy_endpoint *ep, const struct policy_packet *q,
				       bool egress)
{
	uint64_t now_ns = clock_mono_ns(), bits = q->pkt_len * 8ull;

	if (!egress)
		return policy_limiter_exceeds(&ep->in_pkts, 1, now_ns) ||
				       policy_limiter_exceeds(&ep->in_bits, bits, now_ns)
			       ? POLICY_SLOT_LIMIT_IN
			       : POLICY_SLOT_NONE;
	if (q->len >= 6 && q->data[0] & 1) {
		static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

		if (!memcmp(q->data, all, 6)) {
			if (policy_limiter_exceeds(&ep->broadcasts, 1, now_ns))
				return POLICY_SLOT_LIMIT_BROADCAST;
		} else if (policy_limiter_exceeds(&ep->multicasts, 1, now_ns)) {
			return POLICY_SLOT_LIMIT_MULTICAST;
		}
	} else if (q->hints & POLICY_HINT_FLOODED &&
		   policy_limiter_exceeds(&ep->unknown, 1, now_ns)) {
		return POLICY_SLOT_LIMIT_UNKNOWN;
	}
	return policy_limiter_exceeds(&ep->out_pkts, 1, now_ns) ||
			       policy_limiter_exceeds(&ep->out_bits, bits, now_ns)
		       ? POLICY_SLOT_LIMIT_OUT
		       : POLICY_SLOT_NONE;
}

static enum policy_slot_id check_new(const struct policy *p, uint32_t port_id,
				     const struct policy_answer *a)
{
	struct policy_endpoint *ep = (struct policy_endpoint *)endpoint_of(p, port_id);
	struct policy_rule *r = a->rule;

	if (ep && ep->limits.conns && policy_edge_conns(port_id) >= ep->limits.conns)
		return POLICY_SLOT_LIMIT_CONNS;
	if (r && r->limits.conns && policy_slot_conns_add(r->slot, 0) >= r->limits.conns)
		return POLICY_SLOT_LIMIT_RULE;
	if (ep && ep->new_conns.cost_ps &&
	    policy_limiter_exceeds(&ep->new_conns, 1, clock_mono_ns()))
		return POLICY_SLOT_LIMIT_CONNS_PER_S;
	if (r && r->new_conns.cost_ps && policy_limiter_exceeds(&r->new_conns, 1, clock_mono_ns()))
		return POLICY_SLOT_LIMIT_RULE;
	return POLICY_SLOT_NONE;
}

static bool rule_is_over_rate(const struct policy *p, uint32_t slot, uint32_t bytes)
{
	uint32_t lo = 0, hi = p->n_limited;
	uint64_t now_ns;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (p->rules[p->limited[mid]].slot < slot)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == p->n_limited || p->rules[p->limited[lo]].slot != slot)
		return false;
	now_ns = clock_mono_ns();
	struct policy_rule *r = &p->rules[p->limited[lo]];
	return policy_limiter_exceeds(&r->pkts, 1, now_ns) ||
	       policy_limiter_exceeds(&r->bits, bytes * 8ull, now_ns);
}

/* ---- the long way ---- */
static uint32_t decided[THREADS_ALL]; /* by the last slow verdict  W, R: that thread */

uint32_t policy_edge_decided(unsigned thread_idx)
{
	return decided[thread_idx];
}

static enum drop_reason count(const struct policy_packet *q, uint32_t slot, bool conn)
{
	policy_count(q->thread_idx, slot, q->pkt_len, conn, q->now_ms);
	decided[q->thread_idx] = slot;
	return slot < POLICY_SLOT_RULES ? (enum drop_reason)policy_builtins[slot].drop : DROP_NONE;
}

static enum drop_reason refuse(const struct policy_packet *q, const struct policy_answer *a,
			       bool conn)
{
	count(q, a->slot, conn);
	return (enum drop_reason)a->drop;
}

static void log_decision(const struct policy_packet *q, const struct policy_answer *a,
			 const struct ct_tuple *t, const struct edge_case *c)
{
	if (!a->rule || !a->rule->log)
		return;
	policy_log_put(q->thread_idx, &(struct policy_log_entry){
					      .slot = a->slot,
					      .port_id = c->port_id,
					      .allow = a->allow,
					      .direction = a->rule->direction,
					      .tuple = *t,
				      });
}

static struct conntrack_request request_for(const struct policy_packet *q, uint32_t port_id)
{
	return (struct conntrack_request){.data = q->data,
					  .len = q->len,
					  .pkt_len = q->pkt_len,
					  .ofs = q->ofs,
					  .sum_ok = q->sum_ok,
					  .aux = q->aux,
					  .context = POLICY_CONTEXT + port_id,
					  .port_id = q->in_port,
					  .now_ms = (uint32_t)q->now_ms,
					  .thread_idx = q->thread_idx};
}

static enum drop_reason open_connection(const struct policy *p, const struct policy_packet *q,
					const struct conntrack_request *found,
					const struct ct_tuple *t, const struct edge_case *c)
{
	uint64_t generation = __atomic_load_n(&p->judged_from, __ATOMIC_ACQUIRE);
	struct policy_answer a = decide(p, c);
	struct conntrack_request r = *found;
	struct conntrack_meta meta = {0};
	struct ct_rewrite rw;
	enum policy_slot_id over;
	enum drop_reason why;

	log_decision(q, &a, t, c);
	if (!a.allow)
		return refuse(q, &a, true);
	over = check_new(p, c->port_id, &a);
	if (over != POLICY_SLOT_NONE)
		return count(q, over, true);
	r.commit = true;
	r.new_mark = a.slot;
	r.new_label[0] = SL_MAX(generation, 1ull);
	r.new_label[1] = notes_of(p, c, &a);
	why = conntrack_run(&r, &meta, &rw);
	if (why != DROP_NONE)
		return why;
	count(q, a.slot, true);
	return DROP_NONE;
}

/* Messages that begin no connection, such as an ICMP time stamp or membership report: each is
 * judged alone. */
static enum drop_reason judge_alone(const struct policy *p, const struct policy_packet *q,
				    const struct edge_case *c)
{
	struct policy_answer a = decide(p, c);

	return a.allow ? (count(q, a.slot, false), DROP_NONE) : refuse(q, &a, false);
}

static struct edge_case case_of_packet(const struct policy_packet *q, uint32_t port_id, bool egress)
{
	const uint8_t *ip = q->data + q->ofs->l3;
	struct edge_case c = {.port_id = port_id,
			      .other_port = q->in_port % PORT_ID_MAX,
			      .egress = egress,
			      .to_host = q->hints & POLICY_HINT_TO_HOST,
			      .family = q->ofs->ip_version,
			      .proto = q->ofs->ip_proto};

	c.src = ip + (c.family == 4 ? 12 : 8);
	c.dst = ip + (c.family == 4 ? 16 : 24);
	if (!q->ofs->l4 || q->len < q->ofs->l4 + 4u)
		return c;
	if (c.proto == IPPROTO_ICMP || c.proto == IPPROTO_ICMPV6)
		c.service = load_be16(q->data + q->ofs->l4);
	else if (ct_proto_has_ports(c.proto))
		c.service = load_be16(q->data + q->ofs->l4 + 2);
	return c;
}

static bool is_fragment(const struct policy_packet *q)
{
	return q->ofs->ip_version == 4 ? load_be16(q->data + q->ofs->l3 + 6) & 0x1fff
				       : q->ofs->ip_proto == IPPROTO_FRAGMENT;
}

/* ICMP that is neither an echo nor an error. */
static bool stands_alone(const struct policy_packet *q)
{
	uint8_t type;

	if (!q->ofs->l4 ||
	    q->ofs->ip_proto != (q->ofs->ip_version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return false;
	type = q->data[q->ofs->l4];
	if (q->ofs->ip_version == 6)
		return type > 4 && type != 128 && type != 129;
	return type != 0 && type != 3 && type != 4 && type != 5 && type != 8 && type != 11 &&
	       type != 12;
}

static enum drop_reason follow(const struct policy *p, const struct policy_packet *q,
			       struct ct_conn *c, const struct conntrack_meta *meta)
{
	struct policy_answer a;
	uint32_t slot;

	if (load_label(c, 0) < __atomic_load_n(&p->judged_from, __ATOMIC_ACQUIRE) &&
	    !judge_again(p, c, &a)) {
		conntrack_remove(c);
		return refuse(q, &a, true);
	}
	slot = __atomic_load_n(&c->mark, __ATOMIC_RELAXED);
	if (load_label(c, 1) & NOTE_LIMITED && rule_is_over_rate(p, slot, q->pkt_len))
		return count(q, POLICY_SLOT_LIMIT_RULE, false);
	count(q, slot, false);
	return DROP_NONE;
}

static enum drop_reason track(const struct policy *p, const struct policy_packet *q,
			      uint32_t port_id, bool egress)
{
	struct conntrack_request r = request_for(q, port_id);
	struct conntrack_meta meta = {0};
	struct edge_case c = case_of_packet(q, port_id, egress);
	struct ct_rewrite rw;
	struct conn_node *n;
	enum drop_reason why;

	if (stands_alone(q))
		return judge_alone(p, q, &c);
	forget(q, port_id, egress);
	why = conntrack_run(&r, &meta, &rw);
	if (why != DROP_NONE)
		return why;
	if (meta.state & CT_STATE_INV)
		return count(q, is_fragment(q) ? POLICY_SLOT_GUARD_FRAGMENT : POLICY_SLOT_INVALID,
			     false);
	n = meta.orig ? conntrack_lookup(q->thread_idx, meta.orig) : NULL;
	if (n) {
		struct ct_conn *conn = conn_of(n);
		uint64_t notes = load_label(conn, 1);
		unsigned dir = meta.state & CT_STATE_RPL ? CONN_REPLY : CONN_ORIG;

		if (is_of_epoch(p, notes, port_id)) {
			if (dir != expected_dir(notes, egress))
				return count(q, POLICY_SLOT_INVALID, false);
			return follow(p, q, conn, &meta);
		}
		/* Of somebody who had the port number before. */
		conntrack_remove(conn);
		meta.state = CT_STATE_NEW;
	}
	if (!(meta.state & CT_STATE_NEW) || meta.state & CT_STATE_REL || !meta.orig)
		return count(q, POLICY_SLOT_INVALID, false);
	/* A later fragment has the ports of its first one only here. */
	c.service = service_of(meta.orig);
	return open_connection(p, q, &r, meta.orig, &c);
}

static enum drop_reason not_ip(const struct policy *p, const struct policy_packet *q,
			       uint32_t port_id, bool egress)
{
	uint8_t role = role_of(p, port_id);
	const struct policy_endpoint *ep = endpoint_of(p, port_id);

	if (policy_is_arp(q))
		return count(q, POLICY_SLOT_NETWORK, false);
	/* The host may send what it likes, it gets what the guest's network lists. */
	if (role == POLICY_ROLE_HOST) {
		if (egress || !q->in_port || role_of(p, q->in_port) != POLICY_ROLE_GUEST)
			return count(q, POLICY_SLOT_NETWORK, false);
		ep = endpoint_of(p, q->in_port);
	}
	return count(q,
		     policy_ethertype_listed(p, network_of(ep), q) ? POLICY_SLOT_NETWORK
								   : POLICY_SLOT_GUARD_ETHERTYPE,
		     false);
}

/* Whose network grants what passes here without a rule. */
static uint32_t granting_network(const struct policy *p, const struct policy_packet *q,
				 uint32_t port_id, bool egress)
{
	const struct policy_endpoint *ep = endpoint_of(p, port_id);
	uint32_t owner;

	if (role_of(p, port_id) != POLICY_ROLE_HOST)
		return network_of(ep);
	if (!egress)
		return q->in_port ? network_of(endpoint_of(p, q->in_port)) : POLICY_NONE;
	owner = policy_owner(p, POLICY_NONE, q->ofs->ip_version,
			     q->data + q->ofs->l3 + (q->ofs->ip_version == 4 ? 16 : 24));
	return owner == POLICY_NONE ? POLICY_NONE : p->endpoints[owner].network;
}

static enum policy_slot_id guard(const struct policy *p, const struct policy_packet *q,
				 uint32_t port_id, bool egress)
{
	const struct policy_endpoint *ep = endpoint_of(p, port_id), *other;

	if (role_of(p, port_id) != POLICY_ROLE_GUEST)
		return POLICY_SLOT_NONE;
	if (egress)
		return policy_guard(p, ep, q);
	other = q->in_port ? endpoint_of(p, q->in_port) : NULL;
	if (ep && other && ep->flags & other->flags & POLICY_PROTECTED)
		return POLICY_SLOT_GUARD_PROTECTED;
	if (ep && ep->network != POLICY_NONE && policy_is_advertisement(q) &&
	    !(p->networks[ep->network].flags & POLICY_NETWORK_SLAAC))
		return POLICY_SLOT_GUARD_RA;
	return POLICY_SLOT_NONE;
}

enum drop_reason policy_edge(const struct policy_packet *q, uint32_t port_id, bool egress)
{
	struct policy *p = policy_now();
	enum policy_slot_id slot = POLICY_SLOT_NONE;
	uint32_t header = q->ofs->ip_version == 4 ? 20 : 40;

	if (limits_of(p, port_id, egress)) {
		struct policy_endpoint *ep = (struct policy_endpoint *)endpoint_of(p, port_id);

		slot = ep ? check_rates(ep, q, egress) : POLICY_SLOT_NONE;
		if (slot != POLICY_SLOT_NONE)
			return count(q, slot, false);
		if (knows(p, q->data, q->len, q->pkt_len, port_id, egress, q->now_ms,
			  q->thread_idx))
			return DROP_NONE;
	}
	slot = guard(p, q, port_id, egress);
	if (slot != POLICY_SLOT_NONE)
		return count(q, slot, false);
	if (!q->ofs->ip_version)
		return not_ip(p, q, port_id, egress);
	if (q->len < q->ofs->l3 + header)
		return count(q, POLICY_SLOT_GUARD_FRAGMENT, false);
	if (policy_is_granted(p, granting_network(p, q, port_id, egress), q))
		return count(q, POLICY_SLOT_NETWORK, false);
	return track(p, q, port_id, egress);
}

enum drop_reason policy_guard_ethernet(uint32_t port_id, const uint8_t eth_src[6], bool tagged)
{
	const struct policy *p = policy_now();
	const struct policy_endpoint *ep = endpoint_of(p, port_id);

	if (!ep)
		return policy_mac_is((const uint8_t(*)[6])p->macs, p->n_macs, eth_src)
			       ? DROP_POLICY_GUARD_MAC
			       : DROP_NONE;
	if (ep->flags & POLICY_CHECK_MACS &&
	    !policy_mac_is((const uint8_t(*)[6])ep->macs, ep->n_macs, eth_src))
		return DROP_POLICY_GUARD_MAC;
	if (tagged && !(ep->flags & POLICY_MAY_TAG))
		return DROP_POLICY_GUARD_VLAN;
	return DROP_NONE;
}
