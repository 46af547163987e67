/* SPDX-License-Identifier: BSD-3-Clause */
/* The connection tracking ops: asks the tracker, writes translations into the packet, and keeps
 * what later look-ups match in the packet's state. Poll thread. */
#include <netinet/in.h>
#include <string.h>

#include "datapath/exec/exec_ct.h"
#include "datapath/exec/fragments.h"
#include "datapath/exec/ops.h"
#include "datapath/exec/rewrite.h"
#include "datapath/flow/field.h"
#include "datapath/observe/observer.h"
#include "datapath/offload/checksum.h"
#include "datapath/offload/offload.h"

/* ---- between packet_state and what the tracker keeps ---- */
struct state_tuple { /* packet_state.ct_tuple: line 3 of the key behind ct_label */
	uint8_t ipv6_src[16], ipv6_dst[16];
	be32_t ip_src, ip_dst;
	be16_t tp_src, tp_dst;
	uint8_t ip_proto, pad[3];
};
_Static_assert(sizeof(struct state_tuple) == sizeof((struct packet_state *)0)->ct_tuple,
	       "as in the key");

static void put_tuple(struct packet_state *s, const struct ct_tuple *o)
{
	bool icmp = o->proto == IPPROTO_ICMP || o->proto == IPPROTO_ICMPV6;
	struct state_tuple t = {0};

	if (o->family == 4) {
		memcpy(&t.ip_src, o->src, 4);
		memcpy(&t.ip_dst, o->dst, 4);
	} else if (o->family == 6) {
		memcpy(t.ipv6_src, o->src, 16);
		memcpy(t.ipv6_dst, o->dst, 16);
	}
	t.ip_proto = o->proto;
	t.tp_src = icmp ? cpu_to_be16(o->icmp_type) : o->src_port;
	t.tp_dst = icmp ? cpu_to_be16(o->icmp_code) : o->dst_port;
	memcpy(s->ct_tuple, &t, sizeof t);
}

static inline void put_meta(struct packet_state *s, const struct conntrack_meta *m)
{
	const struct ct_tuple *o = m->orig;

	s->ct_state = m->state;
	s->ct_zone = (uint16_t)m->context;
	s->ct_mark = m->mark;
	memcpy(s->ct_label, m->label, sizeof s->ct_label);
	if (SL_LIKELY(o->family == 4 && o->proto != IPPROTO_ICMP)) {
		/* put_tuple() in whole words: addresses, then ports and protocol */
		uint64_t w[6] = {0,
				 0,
				 0,
				 0,
				 (uint32_t)o->w[0] | o->w[2] << 32,
				 (uint32_t)o->w[4] | (uint64_t)o->proto << 32};

		_Static_assert(offsetof(struct state_tuple, ip_src) == 32 &&
				       offsetof(struct state_tuple, tp_src) == 40 &&
				       offsetof(struct state_tuple, ip_proto) == 44,
			       "words 4 and 5");
		memcpy(s->ct_tuple, w, sizeof w);
		return;
	}
	put_tuple(s, o);
}

void exec_ct_put_meta(struct packet_state *s, const struct conntrack_meta *m)
{
	put_meta(s, m);
}

/* ---- writing a translation ---- */
static bool put(struct packet *p, uint8_t anchor, unsigned ofs, enum field_csum csum,
		const void *value, unsigned n)
{
	struct prog_set s = {.anchor = anchor, .n_bytes = (uint8_t)n, .csum = (uint8_t)csum};

	if (ofs > UINT8_MAX)
		return false;
	s.ofs = (uint8_t)ofs;
	memcpy(s.value, value, n);
	memset(s.mask, 0xff, n);
	return rewrite_set(p, &s);
}

static bool put_addrs(struct packet *p, const struct ct_rewrite *rw)
{
	const struct ct_tuple *to = &rw->to, *from = &rw->from;
	bool v4 = rw->family == 4, ok = true;
	unsigned n = v4 ? 4 : 16;
	enum field_csum csum = v4 ? CSUM_PSEUDO : CSUM_PSEUDO6;

	if (memcmp(to->src, from->src, n))
		ok &= put(p, HDR_L3, v4 ? 12 : 8, csum, to->src, n);
	if (memcmp(to->dst, from->dst, n))
		ok &= put(p, HDR_L3, v4 ? 16 : 24, csum, to->dst, n);
	return ok;
}

static bool put_ports(struct packet *p, const struct ct_rewrite *rw)
{
	be16_t ports[2] = {rw->to.src_port, rw->to.dst_port};

	if (!p->ofs.l4 || !ct_proto_has_ports(rw->proto) ||
	    (rw->to.src_port == rw->from.src_port && rw->to.dst_port == rw->from.dst_port))
		return true; /* later fragments have none */
	return put(p, HDR_L4, 0, rw->proto == IPPROTO_SCTP ? CSUM_SCTP : CSUM_L4, ports,
		   sizeof ports);
}

/* Some bytes of the packet inside an ICMP error, the outer checksum kept true. */
static bool put_inner(struct packet *p, unsigned at, const void *value, unsigned n)
{
	return at >= p->ofs.l4 && put(p, HDR_L4, at - p->ofs.l4, CSUM_L4, value, n);
}

/* The transport checksum of the packet inside, when it was quoted that far; 0: none. */
static unsigned inner_sum_at(const struct packet *p, const struct ct_rewrite *rw)
{
	unsigned at = rw->inner_l4;

	if (rw->proto == IPPROTO_UDP)
		at += 6;
	else if (rw->proto == IPPROTO_TCP)
		at += 16;
	else
		return 0;
	return at + 2 <= p->m->data_len ? at : 0;
}

/* The packet inside goes the other way: its source is what the error's destination becomes. */
static bool put_inner_headers(struct packet *p, const struct ct_rewrite *rw)
{
	const uint8_t *d = rte_pktmbuf_mtod(p->m, const uint8_t *);
	struct ct_tuple to = ct_tuple_reverse(&rw->to);
	bool v4 = rw->family == 4, ok;
	unsigned n = v4 ? 4 : 16, addr = rw->inner_l3 + (v4 ? 12u : 8u), at;
	uint8_t was[36], now[36]; /* addresses and ports */
	be16_t ports[2] = {to.src_port, to.dst_port}, sum;

	if (p->m->data_len < rw->inner_l4 + 4u || p->m->data_len < addr + 2 * n)
		return false;
	memcpy(was, d + addr, 2 * n);
	memcpy(was + 2 * n, d + rw->inner_l4, 4);
	ok = put_inner(p, addr, to.src, n) && put_inner(p, addr + n, to.dst, n);
	if (ok && ct_proto_has_ports(rw->proto))
		ok = put_inner(p, rw->inner_l4, ports, sizeof ports);
	memcpy(now, d + addr, 2 * n);
	memcpy(now + 2 * n, d + rw->inner_l4, 4);
	if (ok && v4) {
		memcpy(&sum, d + rw->inner_l3 + 10, 2);
		sum = checksum_update(sum, was, now, 4);
		ok = put_inner(p, rw->inner_l3 + 10, &sum, 2);
	}
	at = inner_sum_at(p, rw);
	if (ok && at) {
		memcpy(&sum, d + at, 2);
		if (sum || rw->proto == IPPROTO_TCP) {
			sum = checksum_update(sum, was, now, n + 2);
			ok = put_inner(p, at, &sum, 2);
		}
	}
	return ok;
}

bool exec_ct_translate(struct packet *p, const struct ct_rewrite *rw)
{
	struct ct_rewrite outer;

	if (!rw->related)
		return put_addrs(p, rw) && put_ports(p, rw) &&
		       ((!rw->shifted && !rw->edit.n_old) || exec_ct_payload(p, rw));
	if (!put_inner_headers(p, rw))
		return false;
	outer = *rw;
	/* A router on the way sends from an address of its own: only what is the connection's
	 * is translated. */
	outer.proto = 0;
	return put_addrs(p, &outer);
}

/* ---- the ops ---- */
void exec_ct_nat(const struct prog_ct *c, struct ct_nat *nat)
{
	*nat = (struct ct_nat){.flags = c->nat_flags,
			       .family = c->nat_family,
			       .port_min = c->nat_port_min,
			       .port_max = c->nat_port_max};
	memcpy(nat->addr_min, c->nat_min, sizeof nat->addr_min);
	memcpy(nat->addr_max, c->nat_max, sizeof nat->addr_max);
}

/* All that is the op's and not the packet's. */
static void fill_request(const struct exec *x, struct conntrack_request *q, const struct prog_ct *c,
			 uint16_t flags, struct ct_nat *nat)
{
	*q = (struct conntrack_request){.sum_ok = offload_sum_ok,
					.now_ms = (uint32_t)x->now_ms,
					.thread_idx = x->thread_idx};
	q->context = c->zone;
	q->alg = (uint8_t)c->alg;
	q->commit = flags & PROG_CT_COMMIT;
	q->force = flags & PROG_CT_FORCE;
	q->set_mark = flags & PROG_CT_MARK;
	q->set_label = flags & PROG_CT_LABEL;
	q->mark = c->mark;
	q->mark_mask = c->mark_mask;
	memcpy(q->label, c->label, sizeof q->label);
	memcpy(q->label_mask, c->label_mask, sizeof q->label_mask);
	if (!(flags & PROG_CT_NAT))
		return;
	exec_ct_nat(c, nat);
	q->nat = nat;
}

/* DROP_NONE: the packet goes on, tracked. q has been filled from the op. */
static enum drop_reason track(struct exec *x, struct packet *p, struct conntrack_request *q)
{
	struct conntrack_meta meta;
	struct ct_rewrite rw;
	enum drop_reason why;

	rewrite_parse_front(p);
	meta.state = p->s.ct_state;
	meta.context = p->s.ct_zone;
	q->data = rte_pktmbuf_mtod(p->m, const uint8_t *);
	q->len = p->m->data_len;
	q->pkt_len = p->m->pkt_len;
	q->ofs = &p->ofs;
	q->aux = p->m;
	q->port_id = p->s.in_port;
	q->may_edit = exec_ct_may_edit(p->m);
	q->hint = p->ct_hint;
	p->ct_hint = NULL; /* what comes next may ask in another zone */
	why = conntrack_run(q, &meta, &rw);
	if (why != DROP_NONE)
		return why;
	put_meta(&p->s, &meta);
	if (SL_UNLIKELY(x->observer != NULL))
		observer_note(x->observer, p->m, p->s.in_port, EVENT_CT,
			      p->s.ct_state | (uint64_t)p->s.ct_zone << 16, p->s.ct_mark);
	return rw.any && !exec_ct_translate(p, &rw) ? DROP_CT_REWRITE : DROP_NONE;
}

/* The fragments of a datagram go on one after the other; the last of them as the packet in hand. */
static enum exec_next fragment(struct exec *x, struct packet *p, struct conntrack_request *q,
			       const union prog_word *rest)
{
	uint32_t n_rest = x->rest, trunc = x->trunc, queue = x->queue;
	struct packet each;
	uint16_t chain;

	if (exec_ct_fragment(x, p, q, &chain))
		return EXEC_ON;
	if (!fragments_take(&chain, &each)) {
		x->outputs++; /* it goes on later */
		return EXEC_GONE;
	}
	while (chain != FRAGMENTS_NONE) {
		exec_words(x, rest, n_rest, &each);
		x->trunc = trunc;
		x->queue = queue;
		x->skip = 0;
		fragments_take(&chain, &each);
	}
	x->rest = n_rest;
	*p = each;
	return EXEC_ON;
}

enum exec_next exec_CT(struct exec *x, struct packet *p, const union prog_word *w, bool last)
{
	struct conntrack_request q;
	struct ct_nat nat;
	enum drop_reason why;

	fill_request(x, &q, (const struct prog_ct *)&w[1], w->op.a, &nat);
	why = track(x, p, &q);
	if (SL_UNLIKELY(why == CONNTRACK_FRAGMENT))
		return fragment(x, p, &q, w + 1 + w->op.n_words);
	return why == DROP_NONE ? EXEC_ON : exec_dropped(x, p, why);
}

bool exec_is_ct_recirc(const struct program *prog)
{
	const union prog_word *w = prog->word;

	return w[0].op.code == OP_CT && prog->n_words == w[0].op.n_words + 2u &&
	       w[1 + w[0].op.n_words].op.code == OP_RECIRC;
}

struct packet *exec_ct_next(struct exec *x)
{
	return x->n_recirc < RECIRC_MAX && !(x->observer && x->observer->live)
		       ? &x->recirc[x->n_recirc]
		       : NULL;
}

void exec_ct_begin(struct exec *x, const struct program *prog, struct exec_ct *c)
{
	const union prog_word *w = prog->word;

	fill_request(x, &c->q, (const struct prog_ct *)&w[1], w->op.a, &c->nat);
	c->recirc_id = w[1 + w->op.n_words].op.b;
}

uint32_t exec_ct_commit_port(const struct program *prog)
{
	const union prog_word *w = prog->word;
	uint32_t at = 1 + w->op.n_words;

	if (w->op.code != OP_CT || prog->n_words != at + 1 || w[at].op.code != OP_OUTPUT ||
	    !(w->op.a & PROG_CT_COMMIT) || w->op.a & (PROG_CT_NAT | PROG_CT_FORCE) ||
	    ((const struct prog_ct *)&w[1])->alg)
		return 0;
	return w[at].op.b;
}

enum drop_reason exec_ct_commit(struct exec_ct *c, struct rte_mbuf *m,
				const struct flow_offsets *ofs, uint32_t in_port,
				const struct conntrack_hint *hint, struct conntrack_meta *meta)
{
	struct ct_rewrite rw;

	c->q.data = rte_pktmbuf_mtod(m, const uint8_t *);
	c->q.len = m->data_len;
	c->q.pkt_len = m->pkt_len;
	c->q.ofs = ofs;
	c->q.port_id = in_port;
	c->q.hint = hint;
	c->q.sum_ok = NULL;
	return conntrack_run(&c->q, meta, &rw);
}

/* p is the place behind the packets that go round. */
static void fragment_round(struct exec *x, struct exec_ct *c, struct packet *p)
{
	struct packet each;
	uint16_t chain;
	bool any = exec_ct_fragment(x, p, &c->q, &chain);

	if (any)
		each = *p;
	else
		any = fragments_take(&chain, &each);
	for (; any; any = fragments_take(&chain, &each)) {
		if (x->n_recirc == RECIRC_MAX) {
			exec_drop(x, each.m, each.s.in_port, DROP_RECIRC_LIMIT);
			continue;
		}
		each.s.recirc_id = c->recirc_id;
		each.s.depth++;
		x->recirc[x->n_recirc++] = each;
	}
}

void exec_ct_one(struct exec *x, struct exec_ct *c, struct packet *p)
{
	enum drop_reason why =
		p->s.depth < RECIRC_DEPTH_MAX ? track(x, p, &c->q) : DROP_RECIRC_LIMIT;

	if (SL_UNLIKELY(why == CONNTRACK_FRAGMENT)) {
		fragment_round(x, c, p);
		return;
	}
	if (SL_UNLIKELY(why != DROP_NONE)) {
		exec_dropped(x, p, why);
		return;
	}
	p->s.recirc_id = c->recirc_id;
	p->s.depth++;
	x->n_recirc++;
}

bool exec_ct_ask(struct exec *x, struct exec_ct *c, struct packet *p)
{
	enum drop_reason why = track(x, p, &c->q);

	if (SL_UNLIKELY(why == CONNTRACK_FRAGMENT)) {
		fragment_round(x, c, p);
		return false;
	}
	if (SL_UNLIKELY(why != DROP_NONE)) {
		exec_dropped(x, p, why);
		return false;
	}
	p->s.recirc_id = c->recirc_id;
	p->s.depth++;
	return true;
}

bool exec_ct_is_plain(const struct program *prog)
{
	const union prog_word *w = prog->word;
	const struct prog_ct *c = (const struct prog_ct *)&w[1];

	/* Committing what is there changes nothing. */
	return !(w->op.a & ~(PROG_CT_COMMIT | PROG_CT_NAT)) && !c->alg;
}

void exec_ct_tracked(struct exec *x, const struct exec_ct *c, struct packet *p,
		     const struct ct_conn *conn, uint8_t state)
{
	struct conntrack_meta meta;

	conntrack_steady_meta(conn, c->q.context, state, &meta);
	put_meta(&p->s, &meta);
	p->ct_hint = NULL;
	p->s.recirc_id = c->recirc_id;
	p->s.depth++;
	x->n_recirc++;
}

void exec_ct_put_line(struct flow_key *k, const struct ct_conn *conn)
{
	struct conntrack_meta meta;
	struct packet_state s;

	conntrack_steady_meta(conn, 0, 0, &meta);
	put_meta(&s, &meta);
	memcpy(k->ct_label, s.ct_label, sizeof k->ct_label);
	memcpy(k->ct_ipv6_src, s.ct_tuple, sizeof s.ct_tuple);
}

enum exec_next exec_CT_CLEAR(struct exec *x, struct packet *p, const union prog_word *w, bool last)
{
	p->s.ct_state = 0;
	p->s.ct_zone = 0;
	p->s.ct_mark = 0;
	memset(p->s.ct_label, 0, sizeof p->s.ct_label);
	memset(p->s.ct_tuple, 0, sizeof p->s.ct_tuple);
	return EXEC_ON;
}
