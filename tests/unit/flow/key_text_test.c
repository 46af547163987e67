/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/err.h"
#include "datapath/base/str.h"
#include "datapath/flow/field.h"
#include "datapath/flow/key_text.h"
#include "datapath/flow/program.h"

/* What is printed parses to the same key, and prints the same. */
static void check_same(const char *text)
{
	struct str out = STR_INIT;
	struct match m, again;
	struct err e = {0};

	if (key_parse(text, &m, &e))
		fail_msg("%s: %s", text, e.text);
	key_format(&m, NULL, NULL, &out);
	assert_string_equal(str_cstr(&out), text);
	assert_int_equal(key_parse(str_cstr(&out), &again, &e), 0);
	assert_true(match_equal(&m, &again));
	str_free(&out);
}

static void test_round_trip(void **state)
{
	check_same("recirc_id(0),in_port(1)");
	check_same("recirc_id(0x12),in_port(3),ct_state(+est+trk),ct_zone(0x5),ct_mark(0x1/0xff),"
		   "eth(src=50:54:00:00:00:01,dst=01:00:00:00:00:00/"
		   "01:00:00:00:00:00),eth_type(0x0800),"
		   "ipv4(src=10.0.0.0/255.0.0.0,dst=10.0.0.2,proto=6,tos=0/0x3,ttl=64,frag=no),"
		   "tcp(src=1000,dst=80/0xfff0)");
	check_same(
		"recirc_id(0),in_port(1),eth(src=50:54:00:00:00:01),eth_type(0x8100),"
		"vlan(vid=10,pcp=3),encap(eth_type(0x88a8),vlan(vid=5,pcp=0),encap(eth_type(0x86dd)"
		","
		"ipv6(src=fe80::1,dst=fe80::/ffff::,label=0x3,proto=58,tclass=0x4,hlimit=255,"
		"frag=first),icmpv6(type=135,code=0),nd(target=fe80::5,sll=02:00:00:00:00:01)))");
	check_same("recirc_id(0),in_port(1),tunnel(tun_id=0x5,src=1.1.1.1,dst=2.2.2.2),"
		   "eth_type(0x0806),arp(sip=10.0.0.1,tip=10.0.0.2,op=1,sha=02:00:00:00:00:01)");
	check_same("recirc_id(0),in_port(1),eth_type(0x8847),mpls(label=100,tc=3,ttl=64,bos=1)");
	check_same("recirc_id(0),in_port(1),eth_type(0x0800),ipv4(proto=17,frag=later),"
		   "udp(src=1,dst=2)");
}

static void check_refused(const char *text)
{
	struct err e = {0};
	struct match m;

	assert_int_not_equal(key_parse(text, &m, &e), 0);
	assert_int_equal(strncmp(e.text, "column ", 7), 0);
}

static void test_refused(void **state)
{
	check_refused("eth");
	check_refused("eth(");
	check_refused("eth(src=50:54:00:00:00:01");
	check_refused("eth(src=50:54:00:00:00:01:02)");
	check_refused("eth(nothing=1)");
	check_refused("nothing(1)");
	check_refused("in_port(99999999999)");
	check_refused("ipv4(proto=256)");
	check_refused("vlan(vid=4096)");
	check_refused("encap(eth_type(0x0800)");
	check_refused("vlan(vid=1),vlan(vid=2),vlan(vid=3)");
	check_refused("ct_state(+nonsense)");
}

static void put_set(struct prog_builder *b, uint8_t anchor, uint8_t ofs, uint8_t n, uint8_t csum)
{
	struct prog_set *s = (struct prog_set *)prog_put(b, OP_SET, 0, 0, 5);

	*s = (struct prog_set){.anchor = anchor, .ofs = ofs, .n_bytes = n, .csum = csum};
	for (uint8_t i = 0; i < n; i++)
		s->value[i] = (uint8_t)(i + 1);
	memset(s->mask, 0xff, n);
}

static void test_program(void **state)
{
	struct prog_builder b = {0};
	struct str out = STR_INIT;

	prog_put(&b, OP_PUSH_VLAN, cpu_to_be16(0x8100), cpu_to_be16(10 | 3 << 13), 0);
	put_set(&b, HDR_ETH, 0, 12, CSUM_NONE);
	put_set(&b, HDR_L3, 12, 8, CSUM_PSEUDO);
	put_set(&b, HDR_L3, 8, 16, CSUM_PSEUDO6);
	put_set(&b, HDR_L4, 0, 4, CSUM_L4);
	prog_put(&b, OP_COPY_BEGIN, 0, 2, 0);
	prog_put(&b, OP_POP_VLAN, 0, 0, 0);
	prog_put(&b, OP_OUTPUT, 0, 2, 0);
	prog_put(&b, OP_COPY_END, 0, 0, 0);
	prog_put(&b, OP_RECIRC, 0, 7, 0);
	program_format(program_scratch(&b), 6, &out);
	assert_string_equal(
		str_cstr(&out),
		"push_vlan(vid=10,pcp=3),set(eth(src=07:08:09:0a:0b:0c,"
		"dst=01:02:03:04:05:06)),set(ipv4(src=1.2.3.4,dst=5.6.7.8)),"
		"set(ipv6(src=102:304:506:708:90a:b0c:d0e:f10)),set(tcp(src=258,dst=772)),"
		"clone(pop_vlan,2),recirc(0x7)");
	str_free(&out);
	free(b.word);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_program),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
