/* SPDX-License-Identifier: BSD-3-Clause */
/* A packet of a file and a dropped one: what the switch, the guest's offloads and translations do
 * to a packet leaves it the same; what tells two packets apart does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/util.h"
#include "tools/ctl/drop_match.h"

struct frame {
	uint8_t b[2048];
	uint32_t len;
	unsigned l3; /* where IP begins */
};

static void put(struct frame *f, const void *p, uint32_t n)
{
	memcpy(f->b + f->len, p, n);
	f->len += n;
}

/* Without a tag when vlan is 0. */
static void ethernet(struct frame *f, uint16_t vlan, uint16_t type)
{
	f->len = 0;
	put(f, "\2\0\0\0\0\1\2\0\0\0\0\2", 12);
	if (vlan)
		put(f, (uint8_t[]){0x81, 0, (uint8_t)(vlan >> 8), (uint8_t)vlan}, 4);
	put(f, (uint8_t[]){(uint8_t)(type >> 8), (uint8_t)type}, 2);
	f->l3 = f->len;
}

static void ipv4(struct frame *f, uint8_t proto, uint16_t id, uint32_t payload)
{
	uint8_t ip[20] = {0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};

	store_be16(ip + 2, (uint16_t)(20 + payload));
	store_be16(ip + 4, id);
	put(f, ip, sizeof ip);
}

static void fill(struct frame *f, uint32_t n, uint8_t seed)
{
	for (uint32_t i = 0; i < n; i++)
		f->b[f->len++] = (uint8_t)(seed + i * 7);
}

static struct frame udp(uint16_t vlan, uint16_t id, uint16_t sport, uint32_t n, uint8_t seed)
{
	uint8_t h[8] = {0};
	struct frame f;

	ethernet(&f, vlan, 0x0800);
	ipv4(&f, 17, id, 8 + n);
	store_be16(h, sport);
	store_be16(h + 2, 53);
	store_be16(h + 4, (uint16_t)(8 + n));
	put(&f, h, sizeof h);
	fill(&f, n, seed);
	return f;
}

/* Bytes [at, at + n) of one stream. */
static struct frame tcp(uint16_t id, uint32_t at, uint32_t n)
{
	uint8_t h[20] = {0};
	struct frame f;

	ethernet(&f, 0, 0x0800);
	ipv4(&f, 6, id, 20 + n);
	store_be16(h, 1000);
	store_be16(h + 2, 80);
	store_be32(h + 4, 5000 + at);
	store_be32(h + 8, 777);
	h[12] = 5 << 4;
	h[13] = 0x10;
	put(&f, h, sizeof h);
	fill(&f, n, (uint8_t)(at * 7));
	return f;
}

/* What the memory keeps of it. */
static enum drop_match match(const struct frame *sent, const struct frame *dropped)
{
	struct packet_identity a, b;

	packet_identity(sent->b, sent->len, sent->len, &a);
	packet_identity(dropped->b, SL_MIN(dropped->len, 128u), dropped->len, &b);
	if (drop_match(&a, &b) != DROP_MATCH_NONE)
		assert_true(packet_identity_hash(&a) == packet_identity_hash(&b));
	return drop_match(&a, &b);
}

static void what_a_switch_changes_does_not_count(void **state)
{
	struct frame a = udp(0, 99, 1234, 300, 1), b = udp(20, 99, 1234, 300, 1);

	assert_int_equal(match(&a, &a), DROP_MATCH_SAME);
	assert_int_equal(match(&a, &b), DROP_MATCH_SAME); /* a tag */
	b.b[0] ^= 0xf0;                                   /* sent to somebody else */
	b.b[b.l3 + 1] = 0xb8;                             /* class */
	b.b[b.l3 + 8]--;                                  /* TTL */
	store_be16(b.b + b.l3 + 10, 0x1234);
	store_be16(b.b + b.l3 + 26, 0); /* the checksum was left to the device */
	assert_int_equal(match(&a, &b), DROP_MATCH_SAME);
	b.b[7] ^= 0xf0; /* routed */
	assert_int_equal(match(&a, &b), DROP_MATCH_REWRITTEN);
}

static void translations(void **state)
{
	struct frame a = udp(0, 99, 1234, 300, 1), b = a, c = udp(0, 0, 1234, 4, 1), d = c;

	b.b[b.l3 + 12] = 192; /* source address, port */
	b.b[b.l3 + 20] = 77;
	assert_int_equal(match(&a, &b), DROP_MATCH_REWRITTEN);
	b.b[b.l3 + 16] = 192; /* the other one too: anybody's */
	assert_int_equal(match(&a, &b), DROP_MATCH_NONE);
	d.b[d.l3 + 12] = 192; /* nothing tells it from its neighbours */
	assert_int_equal(match(&c, &d), DROP_MATCH_NONE);
	b = udp(0, 99, 1235, 300, 1); /* another conversation */
	assert_int_equal(match(&a, &b), DROP_MATCH_NONE);
}

static void what_tells_packets_apart(void **state)
{
	struct frame a = udp(0, 99, 1234, 300, 1),
		     other[] = {udp(0, 98, 1234, 300, 1), udp(0, 99, 1234, 301, 1),
				udp(0, 99, 1234, 300, 2), tcp(99, 0, 300)};
	struct frame t = tcp(9, 0, 0), u = tcp(9, 0, 0), arp;

	for (unsigned i = 0; i < SL_ARRAY_SIZE(other); i++)
		assert_int_equal(match(&a, &other[i]), DROP_MATCH_NONE);
	u.b[u.l3 + 20 + 13] |= 1; /* FIN */
	assert_int_equal(match(&t, &u), DROP_MATCH_NONE);
	ethernet(&arp, 0, 0x0806);
	assert_int_equal(match(&t, &arp), DROP_MATCH_NONE);
	assert_int_equal(match(&arp, &t), DROP_MATCH_NONE);
}

static void segments(void **state)
{
	struct frame large = tcp(50, 0, 1800), second = tcp(51, 600, 600),
		     last = tcp(52, 1200, 600), next = tcp(53, 1800, 600),
		     behind = tcp(53, 1500, 600);

	assert_int_equal(match(&large, &second), DROP_MATCH_SEGMENT);
	assert_int_equal(match(&large, &last), DROP_MATCH_SEGMENT);
	assert_int_equal(match(&second, &large), DROP_MATCH_SEGMENT);
	assert_int_equal(match(&large, &next), DROP_MATCH_NONE);
	assert_int_equal(match(&large, &behind), DROP_MATCH_NONE);
	second.b[second.len - 500] ^= 1; /* other bytes */
	second.b[second.l3 + 40] ^= 1;
	assert_int_equal(match(&large, &second), DROP_MATCH_NONE);
}

static void frames_that_are_not_ip(void **state)
{
	struct frame a, b;

	ethernet(&a, 0, 0x88b5);
	fill(&a, 20, 3);
	b = a;
	memset(b.b + b.len, 0, 40); /* padding */
	b.len += 40;
	assert_int_equal(match(&a, &b), DROP_MATCH_SAME);
	b.b[20]++;
	assert_int_equal(match(&a, &b), DROP_MATCH_NONE);
	a.len = b.len = 10; /* not even a header */
	assert_int_equal(match(&a, &b), DROP_MATCH_SAME);
	b.b[3]++;
	assert_int_equal(match(&a, &b), DROP_MATCH_NONE);
}

/* Whatever is in a file or in a packet: no byte outside of it is read. */
static void cut_anywhere(void **state)
{
	struct frame f = tcp(1, 0, 100);
	struct packet_identity a, b;

	packet_identity(f.b, f.len, f.len, &a);
	for (uint32_t n = 0; n <= f.len; n++) {
		uint8_t *copy = xmemdup(f.b, n ? n : 1);

		packet_identity(copy, n, f.len, &b);
		packet_identity_hash(&b);
		drop_match(&a, &b);
		drop_match(&b, &a);
		packet_identity(copy, n, n, &b);
		drop_match(&a, &b);
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_switch_changes_does_not_count),
		cmocka_unit_test(translations),
		cmocka_unit_test(what_tells_packets_apart),
		cmocka_unit_test(segments),
		cmocka_unit_test(frames_that_are_not_ip),
		cmocka_unit_test(cut_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
