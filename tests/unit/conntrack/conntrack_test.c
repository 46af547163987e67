/* SPDX-License-Identifier: BSD-3-Clause */
/* The tracker on packets made by hand: states, windows, translations, limits, expiry. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/conntrack/conntrack.h"
#include "datapath/conntrack/ct_alg.h"
#include "datapath/conntrack/ct_expect.h"
#include "datapath/flow/action.h"

enum { NEW = CT_STATE_NEW | CT_STATE_TRK, EST = CT_STATE_EST | CT_STATE_TRK };
enum { RPL = CT_STATE_RPL, INV = CT_STATE_INV | CT_STATE_TRK };

static uint32_t now_ms = 5000;

struct pkt {
	uint8_t b[128];
	unsigned len;
};

static void ipv4(struct pkt *p, uint8_t proto, uint32_t src, uint32_t dst, unsigned l4_bytes)
{
	memset(p, 0, sizeof *p);
	store_be16(p->b + 12, 0x0800);
	p->b[14] = 0x45;
	store_be16(p->b + 16, (uint16_t)(20 + l4_bytes));
	p->b[22] = 64;
	p->b[23] = proto;
	store_be32(p->b + 26, src);
	store_be32(p->b + 30, dst);
	p->len = 34 + l4_bytes;
}

static struct pkt udp(uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport)
{
	struct pkt p;

	ipv4(&p, 17, src, dst, 8);
	store_be16(p.b + 34, sport);
	store_be16(p.b + 36, dport);
	store_be16(p.b + 38, 8);
	return p;
}

static struct pkt tcp(bool from_client, uint8_t flags, uint32_t seq, uint32_t ack, unsigned payload)
{
	struct pkt p;

	ipv4(&p, 6, from_client ? 1 : 2, from_client ? 2 : 1, 20 + payload);
	store_be16(p.b + 34, from_client ? 1000 : 80);
	store_be16(p.b + 36, from_client ? 80 : 1000);
	store_be32(p.b + 38, seq);
	store_be32(p.b + 42, ack);
	p.b[46] = 5 << 4;
	p.b[47] = flags;
	store_be16(p.b + 48, 8192);
	return p;
}

struct opts {
	uint32_t zone, port;
	bool commit, force;
	const struct ct_nat *nat;
	uint8_t alg;
	struct ct_rewrite *rw;
	struct conntrack_meta *meta;
	const struct conntrack_hint *hint;
};

static enum drop_reason why;

static uint8_t run(const struct pkt *p, struct opts o)
{
	struct flow_key key;
	struct flow_offsets ofs;
	struct conntrack_meta m = {0};
	struct ct_rewrite rw;
	struct conntrack_request q = {
		.data = p->b,
		.len = p->len,
		.pkt_len = p->len,
		.ofs = &ofs,
		.context = o.zone,
		.port_id = o.port,
		.now_ms = now_ms,
		.commit = o.commit,
		.force = o.force,
		.nat = o.nat,
		.alg = o.alg,
		.may_edit = true,
		.hint = o.hint,
	};

	flow_extract(p->b, p->len, p->len, &key, &ofs);
	if (!o.meta)
		o.meta = &m;
	why = conntrack_run(&q, o.meta, o.rw ? o.rw : &rw);
	assert_true(conn_table_check_invariants());
	return o.meta->state;
}

#define COMMIT ((struct opts){.commit = true})
#define TRACK  ((struct opts){0})

static int clear(void **state)
{
	conntrack_flush(&(struct conntrack_filter){.context = -1});
	ct_expect_flush(-1);
	assert_int_equal(ct_limits_count(), 0);
	assert_int_equal(ct_limits_half_open(), 0);
	ct_limits_set_max(CT_MAX_DEFAULT);
	return 0;
}

static void udp_phases(void **state)
{
	struct pkt a = udp(1, 10, 2, 20), b = udp(2, 20, 1, 10);

	assert_int_equal(run(&a, TRACK), NEW);
	assert_int_equal(ct_limits_count(), 0);
	assert_int_equal(run(&a, COMMIT), NEW);
	assert_int_equal(ct_limits_half_open(), 1);
	assert_int_equal(run(&b, TRACK), EST | RPL);
	assert_int_equal(ct_limits_half_open(), 0);
	assert_int_equal(run(&a, TRACK), EST);
	/* Another zone knows nothing of it. */
	assert_int_equal(run(&b, (struct opts){.zone = 1}), NEW);
	/* force: a reply begins a connection of its own */
	assert_int_equal(run(&b, (struct opts){.commit = true, .force = true}), NEW);
	assert_int_equal(run(&a, TRACK), EST | RPL);
}

static void open_tcp(void)
{
	struct pkt p = tcp(true, TCP_SYN, 100, 0, 0);

	assert_int_equal(run(&p, COMMIT), NEW);
	p = tcp(false, TCP_SYN | TCP_ACK, 500, 101, 0);
	assert_int_equal(run(&p, TRACK), EST | RPL);
	p = tcp(true, TCP_ACK, 101, 501, 0);
	assert_int_equal(run(&p, TRACK), EST);
	assert_int_equal(ct_limits_half_open(), 0);
}

static struct ct_conn *only(void)
{
	struct conn_cursor at = {0, 0};
	struct ct_conn *c[CONN_CHUNK], *found = NULL;
	unsigned n;

	while (conn_table_next(&at, c, &n))
		for (unsigned i = 0; i < n; i++) {
			assert_null(found);
			found = c[i];
		}
	assert_non_null(found);
	return found;
}

static void tcp_life(void **state)
{
	struct pkt p;

	open_tcp();
	assert_int_equal(only()->timeout_ms, 24 * 60 * 60 * 1000);
	p = tcp(true, TCP_FIN | TCP_ACK, 101, 501, 0);
	assert_int_equal(run(&p, TRACK), EST);
	assert_int_equal(only()->timeout_ms, 15 * 60 * 1000);
	p = tcp(false, TCP_FIN | TCP_ACK, 501, 102, 0);
	assert_int_equal(run(&p, TRACK), EST | RPL);
	p = tcp(true, TCP_ACK, 102, 502, 0);
	assert_int_equal(run(&p, TRACK), EST);
	assert_int_equal(only()->timeout_ms, 30 * 1000);
	/* A SYN begins anew. */
	p = tcp(true, TCP_SYN, 9000, 0, 0);
	assert_int_equal(run(&p, COMMIT), NEW);
	assert_int_equal(only()->side[0].tcp, CONN_TCP_SYN_SENT);
}

static void tcp_windows(void **state)
{
	struct pkt p;

	open_tcp();
	p = tcp(true, TCP_ACK, 101 + 1000000, 501, 10);
	assert_int_equal(run(&p, TRACK), INV);
	p = tcp(true, TCP_RST, 4444, 0, 0);
	assert_int_equal(run(&p, TRACK), INV);
	p = tcp(true, TCP_ACK, 101, 501 + 500000, 0);
	assert_int_equal(run(&p, TRACK), INV);
	assert_int_equal(only()->side[0].tcp, CONN_TCP_ESTABLISHED);
	conntrack_set_window_check(false);
	p = tcp(true, TCP_ACK, 101 + 1000000, 501, 10);
	assert_int_equal(run(&p, TRACK), EST);
	conntrack_set_window_check(true);
	p = tcp(true, 0, 101, 0, 0);
	assert_int_equal(run(&p, TRACK), INV);
	p = tcp(true, TCP_SYN | TCP_FIN, 101, 0, 0);
	assert_int_equal(run(&p, TRACK), INV);
}

static void tcp_beginnings(void **state)
{
	struct pkt p = tcp(true, TCP_SYN | TCP_ACK, 100, 7, 0);

	assert_int_equal(run(&p, COMMIT), INV);
	p = tcp(true, TCP_FIN, 100, 7, 0);
	assert_int_equal(run(&p, COMMIT), INV);
	p = tcp(true, TCP_ACK, 100, 7, 10); /* picked up in the middle */
	assert_int_equal(run(&p, COMMIT), NEW);
	p = tcp(false, TCP_ACK, 7, 110, 1000);
	assert_int_equal(run(&p, TRACK), EST | RPL);
}

static struct ct_nat nat_to(uint16_t flags, uint32_t from, uint32_t to, uint16_t pmin,
			    uint16_t pmax)
{
	struct ct_nat n = {.flags = flags, .family = 4, .port_min = pmin, .port_max = pmax};

	store_be32(n.addr_min, from);
	store_be32(n.addr_max, to);
	return n;
}

static void source_nat(void **state)
{
	struct ct_nat n = nat_to(NAT_SRC, 100, 100, 0, 0), none = {0};
	struct pkt a = udp(1, 10, 2, 20), b = udp(2, 20, 100, 10), again = udp(100, 10, 2, 20);
	struct pkt other = udp(3, 10, 2, 20);
	struct ct_rewrite rw;
	struct conntrack_meta m = {0};

	assert_int_equal(run(&a, (struct opts){.commit = true, .nat = &n, .rw = &rw, .meta = &m}),
			 NEW | CT_STATE_SNAT);
	assert_true(rw.any);
	assert_int_equal(load_be32(rw.to.src), 100);
	assert_int_equal(be16_to_cpu(rw.to.src_port), 10);
	/* The translated packet is still known in the same zone. */
	run(&again, (struct opts){.meta = &m});
	assert_int_equal(load_be32(m.orig->src), 1);
	assert_int_equal(run(&b, (struct opts){.nat = &none, .rw = &rw}),
			 EST | RPL | CT_STATE_DNAT);
	assert_int_equal(load_be32(rw.to.dst), 1);
	/* The same port is taken: another one. */
	assert_int_equal(run(&other, (struct opts){.commit = true, .nat = &n, .rw = &rw}),
			 NEW | CT_STATE_SNAT);
	assert_int_not_equal(be16_to_cpu(rw.to.src_port), 10);
}

static void nat_exhaustion(void **state)
{
	struct ct_nat n = nat_to(NAT_SRC, 100, 101, 5000, 5003);
	struct pkt p;
	bool seen[2][4] = {{0}};
	struct ct_rewrite rw;

	for (uint16_t i = 0; i < 8; i++) {
		p = udp(1, (uint16_t)(10 + i), 2, 20);
		run(&p, (struct opts){.commit = true, .nat = &n, .rw = &rw});
		assert_int_equal(why, DROP_NONE);
		unsigned addr = load_be32(rw.to.src) - 100;
		unsigned port = be16_to_cpu(rw.to.src_port) - 5000u;
		assert_true(addr < 2 && port < 4 && !seen[addr][port]);
		seen[addr][port] = true;
	}
	p = udp(1, 99, 2, 20);
	run(&p, (struct opts){.commit = true, .nat = &n});
	assert_int_equal(why, DROP_CT_NAT_EXHAUSTED);
	assert_int_equal(ct_limits_count(), 8);
}

static void dest_nat(void **state)
{
	struct ct_nat n = nat_to(NAT_DST, 50, 50, 8080, 8080), none = {0};
	struct pkt a = udp(1, 10, 2, 20), b = udp(50, 8080, 1, 10);
	struct ct_rewrite rw;

	assert_int_equal(run(&a, (struct opts){.commit = true, .nat = &n, .rw = &rw}),
			 NEW | CT_STATE_DNAT);
	assert_int_equal(load_be32(rw.to.dst), 50);
	assert_int_equal(be16_to_cpu(rw.to.dst_port), 8080);
	assert_int_equal(run(&b, (struct opts){.nat = &none, .rw = &rw}),
			 EST | RPL | CT_STATE_SNAT);
	assert_int_equal(load_be32(rw.to.src), 2);
	assert_int_equal(be16_to_cpu(rw.to.src_port), 20);
}

static void related_error(void **state)
{
	struct pkt a = udp(1, 10, 2, 20), e;

	run(&a, COMMIT);
	ipv4(&e, 1, 9, 1, 8 + 28);
	e.b[34] = 3;
	memcpy(e.b + 42, a.b + 14, 28);
	assert_int_equal(run(&e, TRACK), CT_STATE_REL | CT_STATE_TRK | RPL);
	/* About a packet that this receiver never sent, and about nobody's. */
	store_be32(e.b + 30, 7);
	assert_int_equal(run(&e, TRACK), INV);
	store_be32(e.b + 30, 1);
	store_be16(e.b + 42 + 20, 11);
	assert_int_equal(run(&e, COMMIT), INV);
	/* Cut short at every length: never more than invalid. */
	for (unsigned len = 35; len < e.len; len++) {
		struct pkt cut = e;
		cut.len = len;
		run(&cut, COMMIT);
	}
	assert_int_equal(ct_limits_count(), 1);
}

static void echo(void **state)
{
	struct pkt p;

	ipv4(&p, 1, 1, 2, 8);
	store_be16(p.b + 38, 77);
	assert_int_equal(run(&p, COMMIT), INV); /* an answer to nothing */
	p.b[34] = 8;
	assert_int_equal(run(&p, COMMIT), NEW);
	assert_int_equal(run(&p, TRACK), NEW);
	ipv4(&p, 1, 2, 1, 8);
	store_be16(p.b + 38, 77);
	assert_int_equal(run(&p, TRACK), EST | RPL);
}

/* At the edge of a policed port; ct() asks about whole datagrams. */
static void fragments(void **state)
{
	const struct opts edge = {.zone = 70000}, commit = {.zone = 70000, .commit = true};
	struct pkt a = udp(1, 10, 2, 20), late = udp(1, 999, 2, 999);

	store_be16(a.b + 16, 20 + 24);
	a.len = 34 + 24;
	store_be16(a.b + 18, 4242);
	store_be16(a.b + 20, 0x2000);
	store_be16(late.b + 18, 4242);
	store_be16(late.b + 20, 100);
	run(&late, COMMIT);
	assert_int_equal(why, CONNTRACK_FRAGMENT);
	assert_int_equal(run(&late, commit), INV); /* its first one has not come */
	assert_int_equal(run(&a, commit), NEW);
	assert_int_equal(run(&late, edge), NEW);
	assert_int_equal(ct_limits_count(), 1);
	/* One that would overwrite the first one's ports, one of another datagram. */
	store_be16(late.b + 20, 1);
	assert_int_equal(run(&late, edge), INV);
	store_be16(late.b + 20, 100);
	store_be16(late.b + 18, 4243);
	assert_int_equal(run(&late, commit), INV);
	conntrack_flush(&(struct conntrack_filter){.context = 70000});
}

static void expiry(void **state)
{
	struct pkt a = udp(1, 10, 2, 20);

	run(&a, COMMIT);
	now_ms += 59000;
	conntrack_upkeep(now_ms);
	assert_int_equal(ct_limits_count(), 1);
	now_ms += 1500;
	assert_int_equal(run(&a, TRACK), NEW); /* gone although nobody swept */
	assert_int_equal(ct_limits_count(), 0);
	run(&a, COMMIT);
	now_ms += 61000;
	for (unsigned i = 0; i < 2000; i++)
		conntrack_upkeep(now_ms);
	assert_int_equal(ct_limits_count(), 0);
}

static void zone_limits(void **state)
{
	ct_limits_set_zone(5, 3);
	for (uint16_t i = 0; i < 5; i++) {
		struct pkt a = udp(1, (uint16_t)(10 + i), 2, 20);
		run(&a, (struct opts){.zone = 5, .commit = true});
		assert_int_equal(why, i < 3 ? DROP_NONE : DROP_CT_ZONE_LIMIT);
	}
	assert_int_equal(ct_limits_zone_count(5), 3);
	ct_limits_set_zone(5, CT_LIMIT_NONE);
	conntrack_flush(&(struct conntrack_filter){.context = 5});
	assert_int_equal(ct_limits_zone_count(5), 0);
}

/* A flood of one port pushes out its own half-open connections and nothing else. */
static void flood(void **state)
{
	struct pkt a = udp(7, 7, 8, 8), b = udp(8, 8, 7, 7), waiting = udp(7, 9, 8, 9);

	ct_limits_set_max(4000);
	run(&a, (struct opts){.commit = true, .port = 1});
	run(&b, (struct opts){.port = 2});
	run(&waiting, (struct opts){.commit = true, .port = 1});
	for (unsigned i = 0; i < 6000; i++) {
		struct pkt f = udp(100 + i, 1, 2, 2);
		struct flow_key key;
		struct flow_offsets ofs;
		struct conntrack_meta m = {0};
		struct ct_rewrite rw;
		struct conntrack_request q = {.data = f.b,
					      .len = f.len,
					      .pkt_len = f.len,
					      .ofs = &ofs,
					      .port_id = 3,
					      .now_ms = now_ms,
					      .commit = true};
		flow_extract(f.b, f.len, f.len, &key, &ofs);
		assert_int_equal(conntrack_run(&q, &m, &rw), DROP_NONE);
	}
	assert_true(ct_limits_count() <= 502);
	assert_int_equal(run(&a, (struct opts){.port = 1}), EST);
	assert_int_equal(run(&waiting, (struct opts){.port = 1}), NEW);
	struct conntrack_stats st;
	conntrack_stats(&st);
	assert_true(st.evicted >= 5000);
}

/* What was not there is believed not to be there until one comes, by whichever end. */
static void absence(void **state)
{
	struct ct_tuple t, r;
	struct ct_conn init = {.timeout_ms = 1000}, *first, *c;
	struct conn_absence a, b;
	uint64_t h;

	ct_tuple_set4(&t, 1, 2, 77, 9, 17);
	r = ct_tuple_reverse(&t);
	h = ct_tuple_hash(&t);
	assert_null(conn_table_look(&t, h, &a));
	assert_null(conn_table_look(&r, ct_tuple_hash(&r), &b));
	assert_true(conn_table_is_absent(h, &a));
	assert_int_equal(conn_table_insert_plain(&t, h, &a, &init, &first), 0);
	assert_false(conn_table_is_absent(h, &a));
	assert_false(conn_table_is_absent(h, &b));
	assert_int_equal(conn_table_insert_plain(&t, h, &a, &init, &c), -EEXIST);
	assert_int_equal(conn_table_insert_plain(&r, ct_tuple_hash(&r), &b, &init, &c), -EEXIST);
	assert_ptr_equal(conn_table_look(&t, h, &a), &first->node[CONN_ORIG]);
	assert_false(a.known);
	/* Its reverse is there: that much is not said of it. */
	assert_ptr_equal(conn_table_look(&r, ct_tuple_hash(&r), &b), &first->node[CONN_REPLY]);
	assert_true(conn_table_remove(first));
	assert_null(conn_table_look(&t, h, &a));
	assert_true(a.known);
	assert_true(conn_table_check_invariants());
}

/* A burst in which the same connection begins twice, once from each end, and a flood in bursts:
 * what hints say is never believed too long. */
static void bursts(void **state)
{
	enum { ROUNDS = 200 };
	struct conntrack_hint hint[CONNTRACK_BATCH];
	struct conntrack_stats st, was;

	conntrack_thread_create(0);
	conntrack_stats(&was);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		struct pkt p[CONNTRACK_BATCH];

		for (uint32_t i = 0; i < CONNTRACK_BATCH; i++) {
			uint32_t id = 1000 + round * CONNTRACK_BATCH + i / 4, other = 50;
			bool back = i & 2;

			p[i] = back ? udp(other, 9, id, 8) : udp(id, 8, other, 9);
			ct_tuple_set4(&hint[i].tuple, cpu_to_be32(back ? other : id),
				      cpu_to_be32(back ? id : other),
				      back ? cpu_to_be16(9) | (uint32_t)cpu_to_be16(8) << 16
					   : cpu_to_be16(8) | (uint32_t)cpu_to_be16(9) << 16,
				      0, 17);
		}
		conntrack_prefetch(0, hint, CONNTRACK_BATCH, true);
		for (uint32_t i = 0; i < 2 * CONNTRACK_BATCH; i++) {
			uint32_t k = i % CONNTRACK_BATCH;
			uint8_t want = i < CONNTRACK_BATCH || !(k & 3) ? NEW
				       : k & 2                         ? EST | RPL
								       : NEW;

			assert_int_equal(run(&p[k], (struct opts){.commit = i >= CONNTRACK_BATCH,
								  .port = 1,
								  .hint = &hint[k]}),
					 want);
		}
	}
	conntrack_stats(&st);
	assert_int_equal(st.created - was.created, ROUNDS * CONNTRACK_BATCH / 4);
}

static void many(void **state)
{
	enum { N = 60000 };

	for (uint32_t i = 0; i < N; i++) {
		struct ct_tuple t = {.context = 9, .proto = 17, .family = 4}, r;
		struct ct_conn init = {.timeout_ms = 1000}, *c;

		store_be32(t.src, i);
		store_be32(t.dst, UINT32_MAX);
		r = ct_tuple_reverse(&t);
		assert_int_equal(conn_table_insert(&t, ct_tuple_hash(&t), &r, &init, &c), 0);
		assert_int_equal(conn_table_insert(&t, ct_tuple_hash(&t), &r, &init, &c), -17);
	}
	assert_true(conn_table_check_invariants());
	for (uint32_t i = 0; i < N; i++) {
		struct ct_tuple t = {.context = 9, .proto = 17, .family = 4};
		struct conn_node *n;

		store_be32(t.src, i);
		store_be32(t.dst, UINT32_MAX);
		n = conn_table_find(&t);
		assert_non_null(n);
		assert_int_equal(n->dir, CONN_ORIG);
		t = ct_tuple_reverse(&t);
		n = conn_table_find(&t);
		assert_int_equal(n->dir, CONN_REPLY);
		assert_true(conn_table_remove(conn_of(n)));
		assert_false(conn_table_remove(conn_of(n)));
		assert_null(conn_table_find(&t));
	}
	assert_true(conn_table_check_invariants());
	print_message("%u bytes a connection\n", (unsigned)(conn_table_bytes() / N));
}

/* ---- a helper that changes what is said ---- */
static const struct ct_nat to_9 = {.flags = NAT_SRC, .family = 4, .addr_min = {1, 1, 1, 199}};
static const struct ct_nat as_is;

static struct pkt says(uint32_t seq, const char *line)
{
	struct pkt p = tcp(true, TCP_ACK | TCP_PSH, seq, 501, (unsigned)strlen(line));

	memcpy(p.b + 54, line, strlen(line));
	return p;
}

/* From the server to the translated client. */
static struct pkt answers(uint8_t flags, uint32_t seq, uint32_t ack)
{
	struct pkt p = tcp(false, flags, seq, ack, 0);

	store_be32(p.b + 30, 0x010101c7);
	return p;
}

static void open_ftp(struct ct_rewrite *rw)
{
	struct pkt p = tcp(true, TCP_SYN, 100, 0, 0);

	run(&p, (struct opts){.commit = true, .nat = &to_9, .alg = CT_ALG_FTP, .rw = rw});
	p = answers(TCP_SYN | TCP_ACK, 500, 101);
	run(&p, (struct opts){.nat = &as_is, .rw = rw});
	p = tcp(true, TCP_ACK, 101, 501, 0);
	assert_int_equal(run(&p, (struct opts){.nat = &as_is, .rw = rw}), EST | CT_STATE_SNAT);
	assert_false(rw->shifted || rw->edit.n_old);
}

static void ftp_lines(void **state)
{
	static const char one[] = "PORT 0,0,0,1,8,0\r\n", said[] = "1,1,1,199,8,0";
	enum { N = sizeof one - 1 };
	struct ct_rewrite rw;
	struct opts o = {.nat = &as_is, .rw = &rw};
	struct pkt p;

	open_ftp(&rw);
	for (unsigned i = 0; i < 2; i++) { /* and once more */
		p = says(101, one);
		assert_int_equal(run(&p, o), EST | CT_STATE_SNAT);
		assert_int_equal(rw.edit.at, 54 + 5);
		assert_int_equal(rw.edit.n_old, strlen("0,0,0,1,8,0"));
		assert_int_equal(rw.edit.n_text, strlen(said));
		assert_memory_equal(rw.edit.text, said, strlen(said));
		assert_int_equal(rw.shifted ? rw.seq : 101, 101);
	}
	assert_int_equal(ct_expect_count(), 1);
	/* All behind it moves by two, and what the server has seen of it moves back. */
	p = says(101 + N, "NOOP\r\n");
	run(&p, o);
	assert_true(rw.shifted && !rw.edit.n_old);
	assert_int_equal(rw.seq, 101 + N + 2);
	p = answers(TCP_ACK, 501, 101 + N + 2);
	assert_int_equal(run(&p, o), EST | RPL | CT_STATE_DNAT);
	assert_int_equal(rw.seq, 501);
	assert_int_equal(rw.ack, 101 + N);
	/* The same bytes, said otherwise: what is behind them has gone out already. */
	p = says(101, "PORT 0,0,0,1,200,200\r\n");
	run(&p, o);
	assert_int_equal(why, DROP_NONE); /* as much longer */
	p = says(101, "PORT 00,00,0,1,8,0\r\n");
	run(&p, o);
	assert_int_equal(why, DROP_CT_ALG_AGAIN);
	/* Not whole; too long; nothing to be said. */
	p = says(101 + N + 6, "PORT 0,0,0,1,8,0");
	run(&p, o);
	assert_int_equal(rw.edit.n_old, 0);
	assert_int_equal(why, DROP_NONE);
}

static void ftp_data(void **state)
{
	struct ct_rewrite rw;
	struct opts o = {.nat = &as_is, .rw = &rw};
	struct pkt p;

	open_ftp(&rw);
	p = says(101, "PORT 0,0,0,1,8,0\r\n");
	run(&p, o);
	p = answers(TCP_SYN, 1, 0);
	store_be16(p.b + 34, 20);
	store_be16(p.b + 36, 2048);
	o.commit = true;
	assert_int_equal(run(&p, o), NEW | CT_STATE_REL | CT_STATE_DNAT);
	assert_int_equal(load_be32(rw.to.dst), 1);
	assert_int_equal(be16_to_cpu(rw.to.dst_port), 2048);
	assert_int_equal(ct_expect_count(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(udp_phases, clear),
		cmocka_unit_test_teardown(tcp_life, clear),
		cmocka_unit_test_teardown(tcp_windows, clear),
		cmocka_unit_test_teardown(tcp_beginnings, clear),
		cmocka_unit_test_teardown(source_nat, clear),
		cmocka_unit_test_teardown(nat_exhaustion, clear),
		cmocka_unit_test_teardown(dest_nat, clear),
		cmocka_unit_test_teardown(related_error, clear),
		cmocka_unit_test_teardown(echo, clear),
		cmocka_unit_test_teardown(fragments, clear),
		cmocka_unit_test_teardown(expiry, clear),
		cmocka_unit_test_teardown(zone_limits, clear),
		cmocka_unit_test_teardown(flood, clear),
		cmocka_unit_test_teardown(absence, clear),
		cmocka_unit_test_teardown(bursts, clear),
		cmocka_unit_test_teardown(many, clear),
		cmocka_unit_test_teardown(ftp_lines, clear),
		cmocka_unit_test_teardown(ftp_data, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
