/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/conntrack/ct_nat.h"

#include "datapath/base/hash.h"
#include "datapath/flow/action.h"

enum { EPHEMERAL_MIN = 1024, EPHEMERAL_MAX = 65535, PORTS_PER_ADDR = 128 };

/* ---- addresses of a range as numbers from its beginning; ranges beyond 2^63 are cut ---- */
static uint64_t low64(const uint8_t a[16], uint8_t family)
{
	return family == 4 ? load_be32(a) : load_be64(a + 8);
}

static uint64_t count_addrs(const struct ct_nat *n)
{
	uint64_t lo = low64(n->addr_min, n->family), hi = low64(n->addr_max, n->family);

	return hi > lo ? SL_MIN(hi - lo, (uint64_t)INT64_MAX) + 1 : 1;
}

static void put_addr(uint8_t to[16], const struct ct_nat *n, uint64_t i)
{
	memcpy(to, n->addr_min, 16);
	if (n->family == 4)
		store_be32(to, (uint32_t)(load_be32(n->addr_min) + i));
	else
		store_be64(to + 8, load_be64(n->addr_min + 8) + i);
}

static bool is_zero(const uint8_t a[16])
{
	return !(load_be64(a) | load_be64(a + 8));
}

/* Who gets which address: by source when it is to be persistent, else by both ends. */
static uint32_t hash_of(const struct ct_nat *n, const struct ct_tuple *t)
{
	struct ct_tuple k = *t;

	if (n->flags & NAT_PERSISTENT) {
		memset(k.dst, 0, sizeof k.dst);
		k.src_port = k.dst_port = 0;
	}
	return (uint32_t)ct_tuple_hash(&k);
}

static uint32_t draw(struct ct_nat_search *s)
{
	s->hash = (uint32_t)hash_u64(s->hash + 0x9e3779b97f4a7c15ull);
	return s->hash;
}

static void begin_ports(struct ct_nat_search *s)
{
	const struct ct_nat *n = s->nat;

	s->dst_port = n->flags & NAT_DST && n->port_min;
	if (n->port_min) {
		uint32_t max = SL_MAX(n->port_max, n->port_min);

		s->port_min = n->port_min;
		s->n_ports = max - n->port_min + 1;
		s->port = (n->flags & NAT_RANDOM ? draw(s) : s->hash) % s->n_ports;
	} else { /* its own first, then any */
		s->port_min = EPHEMERAL_MIN;
		s->n_ports = EPHEMERAL_MAX - EPHEMERAL_MIN + 1;
		s->port = 0;
	}
	s->per_addr = SL_MIN(s->n_ports + !n->port_min, (uint32_t)PORTS_PER_ADDR);
}

void ct_nat_begin(struct ct_nat_search *s, const struct ct_nat *nat, const struct ct_tuple *orig)
{
	*s = (struct ct_nat_search){.nat = nat, .orig = *orig};
	s->hash = hash_of(nat, orig);
	s->ports_matter = ct_proto_has_ports(orig->proto);
	s->n_addrs = 1;
	if (nat->family == orig->family && !is_zero(nat->addr_min)) {
		s->n_addrs = count_addrs(nat);
		s->addr = s->hash % s->n_addrs;
	}
	begin_ports(s);
}

static void next_addr(struct ct_nat_search *s)
{
	s->addr = (s->addr + 1) % s->n_addrs;
	s->tried_here = 0;
	begin_ports(s);
}

/* The i-th port to try: one after the other, and in a range too large to try whole, half way on
 * from a random place, for what is full is full in stretches. */
static be16_t pick_port(struct ct_nat_search *s, be16_t own)
{
	uint32_t i = s->tried_here;

	if (!s->nat->port_min && !i)
		return own;
	if ((i == s->per_addr / 2 && s->n_ports > s->per_addr) || (!s->nat->port_min && i == 1))
		s->port = draw(s) % s->n_ports;
	return cpu_to_be16((uint16_t)(s->port_min + s->port++ % s->n_ports));
}

bool ct_nat_next(struct ct_nat_search *s, struct ct_tuple *reply)
{
	const struct ct_nat *n = s->nat;
	uint8_t addr[16];

	if (s->tried_here >= (s->ports_matter ? s->per_addr : 1)) {
		if (s->tried >= s->n_addrs * s->per_addr)
			return false;
		next_addr(s);
	}
	if (s->tried++ >= CT_NAT_ATTEMPTS || (!s->ports_matter && s->tried > s->n_addrs))
		return false;
	*reply = ct_tuple_reverse(&s->orig);
	if (n->family == s->orig.family && !is_zero(n->addr_min)) {
		put_addr(addr, n, s->addr);
		if (n->flags & NAT_SRC)
			memcpy(reply->dst, addr, sizeof addr);
		else if (n->flags & NAT_DST)
			memcpy(reply->src, addr, sizeof addr);
	}
	if (s->ports_matter && s->dst_port)
		reply->src_port = pick_port(s, s->orig.dst_port);
	else if (s->ports_matter)
		reply->dst_port = pick_port(s, s->orig.src_port);
	s->tried_here++;
	return true;
}

uint8_t ct_nat_state(const struct ct_conn *c, unsigned dir)
{
	bool src = c->nat & NAT_SRC;

	if (!(c->nat & (NAT_SRC | NAT_DST)))
		return 0;
	return src == (dir == CONN_ORIG) ? CT_STATE_SNAT : CT_STATE_DNAT;
}

void ct_nat_rewrite(const struct ct_conn *c, unsigned dir, struct ct_rewrite *rw)
{
	rw->from = c->node[dir].tuple;
	rw->to = ct_tuple_reverse(&c->node[!dir].tuple);
	rw->family = rw->from.family;
	rw->proto = rw->from.proto;
	rw->any = !ct_tuple_equal(&rw->from, &rw->to);
}
