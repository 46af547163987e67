/* SPDX-License-Identifier: BSD-3-Clause */
/* Text of matches: against what ovs-ofctl prints, and back and forth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/err.h"
#include "datapath/base/hash.h"
#include "datapath/base/str.h"
#include "datapath/flow/match_text.h"
#include "datapath/flow/field.h"

struct row {
	const char *in, *out;
};

/* Read, and printed as Open vSwitch 3.1 prints them. */
static const struct row good[] = {
	{"in_port=1,vlan_tci=0x1000/0x1000", "in_port=1,vlan_tci=0x1000/0x1000"},
	{"vlan_tci=0x0000", "vlan_tci=0x0000"},
	{"vlan_vid=0x1005", "dl_vlan=5"},
	{"vlan_vid=0x1000/0x1000", "vlan_tci=0x1000/0x1000"},
	{"tcp,tcp_flags=syn|ack", "tcp,tcp_flags=syn|ack"},
	{"tcp,tcp_flags=+syn-ack", "tcp,tcp_flags=+syn-ack"},
	{"tcp,tcp_flags=0x12/0xff", "tcp,tcp_flags=-fin+syn-rst-psh+ack-urg-ece-cwr"},
	{"tcp,tcp_flags=0", "tcp,tcp_flags=0"},
	{"ip,nw_frag=later", "ip,nw_frag=later"},
	{"ip,nw_frag=no", "ip,nw_frag=no"},
	{"ip,nw_frag=yes", "ip,nw_frag=yes"},
	{"ip,nw_frag=first", "ip,nw_frag=first"},
	{"ip,nw_frag=not_later", "ip,nw_frag=not_later"},
	{"ct_state=0x21/0xff", "ct_state=new|trk"},
	{"ct_state=0x21", "ct_state=new|trk"},
	{"ct_state=+trk+new-est", "ct_state=+new-est+trk"},
	{"ct_state=-trk", "ct_state=-trk"},
	{"tun_flags=oam", "tun_flags=+oam"},
	{"tun_flags=-oam", "tun_flags=-oam"},
	{"tun_gbp_id=5,tun_gbp_flags=3,tun_erspan_ver=1,tun_erspan_idx=0x33,tun_erspan_dir=1,tun_"
	 "erspan_hwid=5,tun_gtpu_flags=3,tun_gtpu_msgtype=7",
	 "tun_gbp_id=5,tun_gbp_flags=0x3,tun_erspan_ver=1,tun_erspan_idx=0x33,tun_erspan_dir=1,tun_"
	 "erspan_hwid=0x5,gtpu_flags=0x3,gtpu_msgtype=7"},
	{"tun_src=1.2.3.4/255.0.255.0,tun_ipv6_src=fe80::/10,tun_id=5/"
	 "0xf,tun_metadata0=0x1234,tun_metadata3=1/3",
	 "tun_id=0x5/0xf,tun_src=1.0.3.0/255.0.255.0,tun_ipv6_src=fe80::/"
	 "10,tun_metadata0=0x1234,tun_metadata3=0x1/0x3"},
	{"tun_id=0,tun_dst=1.2.3.4", "tun_id=0,tun_dst=1.2.3.4"},
	{"mpls,mpls_label=5,mpls_tc=3,mpls_ttl=7,mpls_bos=1",
	 "mpls,mpls_label=5,mpls_tc=3,mpls_ttl=7,mpls_bos=1"},
	{"mplsm", "mplsm"},
	{"arp,arp_op=1,arp_sha=1:2:3:4:5:6,nw_src=1.2.3.4",
	 "arp,arp_spa=1.2.3.4,arp_op=1,arp_sha=01:02:03:04:05:06"},
	{"arp,arp_tpa=1.2.3.0/24,arp_tha=00:00:00:00:00:01",
	 "arp,arp_tpa=1.2.3.0/24,arp_tha=00:00:00:00:00:01"},
	{"icmp6,icmp_type=135,icmp_code=0,nd_target=::1,nd_sll=00:00:00:00:00:02",
	 "icmp6,icmp_type=135,icmp_code=0,nd_target=::1,nd_sll=00:00:00:00:00:02"},
	{"icmp6,icmp_type=136,icmp_code=0,nd_target=::1/64,nd_tll=00:00:00:00:00:01/"
	 "00:00:00:00:00:01,nd_reserved=5,nd_options_type=2",
	 "icmp6,icmp_type=136,icmp_code=0,nd_target=::/64,nd_tll=00:00:00:00:00:01/"
	 "00:00:00:00:00:01,nd_reserved=5,nd_options_type=2"},
	{"xxreg0=5,xreg3=0xff/0xff00ff,reg8=7/15,metadata=5/7,conj_id=5,pkt_mark=5/7,dp_hash=3/"
	 "5,actset_output=5",
	 "pkt_mark=0x5/0x7,dp_hash=0x1/"
	 "0x5,conj_id=5,actset_output=5,reg0=0,reg1=0,reg2=0,reg3=0x5,reg7=0xff/0xff00ff,reg8=0x7/"
	 "0xf,metadata=0x5/0x7"},
	{"ct_zone=5,ct_mark=3/7,ct_label=0x1234567890abcdef/"
	 "0xfffffffffffffffffff,ct_state=+trk+est-rel,ct_nw_src=1.2.3.4,ct_nw_dst=1.2.3.0/"
	 "24,ct_nw_proto=6,ct_tp_src=5,ct_tp_dst=7/0xff,ip",
	 "ct_state=+est-rel+trk,ct_zone=5,ct_mark=0x3/0x7,ct_label=0x1234567890abcdef/"
	 "0xfffffffffffffffffff,ct_nw_src=1.2.3.4,ct_nw_dst=1.2.3.0/"
	 "24,ct_nw_proto=6,ct_tp_src=5,ct_tp_dst=0x7/0xff,ip"},
	{"ct_state=+trk+est,ct_ipv6_src=::1,ct_ipv6_dst=::/5,ipv6,ct_nw_proto=17",
	 "ct_state=+est+trk,ct_ipv6_src=::1,ct_ipv6_dst=::/5,ct_nw_proto=17,ipv6"},
	{"ct_label=0,ct_mark=0,ct_zone=0", "ct_zone=0,ct_mark=0,ct_label=0"},
	{"metadata=0", "metadata=0"},
	{"ipv6,ipv6_label=0x5,ipv6_src=::1/ffff::ffff,nw_tos=184,nw_ecn=3,nw_ttl=5",
	 "ipv6,ipv6_src=::1/ffff::ffff,ipv6_label=0x00005,nw_tos=184,nw_ecn=3,nw_ttl=5"},
	{"ipv6,ipv6_label=0x5/0xff", "ipv6,ipv6_label=0x00005/0x000ff"},
	{"dl_type=0x1234,dl_src=1:2:3:4:5:6/ff:ff:00:00:00:00",
	 "dl_src=01:02:00:00:00:00/ff:ff:00:00:00:00,dl_type=0x1234"},
	{"ip,nw_proto=47", "ip,nw_proto=47"},
	{"sctp6,sctp_src=5/7", "sctp6,tp_src=0x5/0x7"},
	{"sctp,sctp_dst=7", "sctp,tp_dst=7"},
	{"ip,ip_dscp=7", "ip,nw_tos=28"},
	{"ip,nw_tos=0", "ip,nw_tos=0"},
	{"ip,nw_proto=2", "ip,nw_proto=2"},
	{"ip,nw_proto=6,tcp_dst=80", "tcp,tp_dst=80"},
	{"dl_vlan=65535", "vlan_tci=0x0000"},
	{"dl_vlan=5,dl_vlan_pcp=3", "dl_vlan=5,dl_vlan_pcp=3"},
	{"vlan_pcp=3", "dl_vlan_pcp=3"},
	{"in_port=LOCAL", "in_port=LOCAL"},
	{"in_port=65533", "in_port=CONTROLLER"},
	{"in_port=CONTROLLER", "in_port=CONTROLLER"},
	{"ipv6,nw_proto=2", "ipv6,nw_proto=2"},
	{"ipv6,nw_proto=58", "icmp6"},
	{"packet_type=(0,0)", ""},
	{"udp,tp_dst=0x35/0xff35", "udp,tp_dst=0x35/0xff35"},
	{"udp6,udp_src=0x35", "udp6,tp_src=53"},
	{"eth_type=0x8100", "dl_type=0x8100"},
	{"eth_type=0x800", "ip"},
	{"eth_type=0x86dd,ip_proto=17,udp_dst=53", "udp6,tp_dst=53"},
	{"rarp", "rarp"},
	{"dl_vlan=5,vlan_pcp=0", "dl_vlan=5,dl_vlan_pcp=0"},
	{"icmp,icmp_type=8,icmp_code=0", "icmp,icmp_type=8,icmp_code=0"},
	{"icmp6,icmpv6_type=135,icmpv6_code=0", "icmp6,icmp_type=135,icmp_code=0"},
	{"eth_dst=01:00:00:00:00:00/01:00:00:00:00:00",
	 "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"},
	{"nw_src=1.2.3.4,ip,reg0=0", "ip,reg0=0,nw_src=1.2.3.4"},
	{"nw_src=10.0.0.0/8,tcp,tp_src=0,tp_dst=65535",
	 "tcp,nw_src=10.0.0.0/8,tp_src=0,tp_dst=65535"},
	{"reg0=*", ""},
};

/* Refused, and why. */
static const struct row bad[] = {
	{"nw_src=1.2.3.4", "column 1: ip_src: needs a match on IPv4"},
	{"ip,tcp_src=5", "column 4: tcp_src: needs a match on TCP"},
	{"tcp,nd_target=::1", "column 5: nd_target: needs a match on ND"},
	{"arp,tp_src=5", "column 5: tcp_src: needs a match on TCP"},
	{"vlan_pcp=8,ip", "column 1: vlan_pcp: value \"8\" has more than 3 bits"},
	{"eth_type=5/7", "column 1: eth_type: cannot be masked"},
	{"foo=7", "column 1: unknown field \"foo\""},
	{"ipv6,nw_src=1.2.3.4", "column 6: ip_src: needs a match on IPv4"},
	{"tcp,tp_src=70000", "column 5: tcp_src: bad value \"70000\""},
};

static void check_row(const char *in, const char *out)
{
	struct match m, again;
	struct err e = {0};
	struct str s = STR_INIT;

	if (match_parse(in, NULL, NULL, NULL, &m, &e))
		fail_msg("%s: %s", in, e.text);
	match_format(&m, NULL, &s);
	assert_string_equal(str_cstr(&s), out);
	if (match_parse(str_cstr(&s), NULL, NULL, NULL, &again, &e))
		fail_msg("%s: %s", str_cstr(&s), e.text);
	assert_memory_equal(&m, &again, sizeof m);
	str_free(&s);
}

static void rows_print_as_open_vswitch_does(void **state)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(good); i++)
		check_row(good[i].in, good[i].out);
}

static void errors_point_at_the_column(void **state)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(bad); i++) {
		struct match m;
		struct err e = {0};

		assert_int_not_equal(match_parse(bad[i].in, NULL, NULL, NULL, &m, &e), 0);
		assert_string_equal(e.text, bad[i].out);
	}
}

static uint64_t seed = 7;

static void draw(const struct field_info *f, union field_value *v)
{
	union field_value all;

	field_full_mask(f, &all);
	for (size_t i = 0; i < f->n_bytes; i++)
		v->b[i] = (uint8_t)hash_u64(seed++) & all.b[i];
}

/* Every field, exact and masked, together with what it needs. */
static void any_match_reads_back(void **state)
{
	for (unsigned id = 0; id < FIELD_N; id++) {
		const struct field_info *f = &fields[id];

		for (int round = 0; round < 40; round++) {
			bool masked = round & 1 && f->mask_kind == FIELD_MASK_ANY;
			union field_value v, mask;
			struct match m, again;

			if (f->format == FMT_FRAG)
				continue; /* no name for what no packet has */
			struct str s = STR_INIT;
			struct err e = {0};

			match_init(&m);
			field_prereq_fill(f->prereq, &m);
			draw(f, &v);
			draw(f, &mask);
			field_match(f, &m, &v, masked ? &mask : NULL);
			match_format(&m, NULL, &s);
			if (match_parse(str_cstr(&s), NULL, NULL, NULL, &again, &e))
				fail_msg("%s: %s: %s", f->name, str_cstr(&s), e.text);
			if (memcmp(&m, &again, sizeof m))
				fail_msg("%s: %s is another match", f->name, str_cstr(&s));
			str_free(&s);
		}
	}
}

/* Values by themselves, through the field's own parser and printer. */
static void any_value_reads_back(void **state)
{
	for (unsigned id = 0; id < FIELD_N; id++) {
		const struct field_info *f = &fields[id];

		for (int round = 0; round < 40; round++) {
			bool masked = round & 1 && f->mask_kind == FIELD_MASK_ANY;
			union field_value v, mask, v2, mask2;
			struct str s = STR_INIT;
			struct err e = {0};

			field_full_mask(f, &mask);
			draw(f, &v);
			if (masked) {
				draw(f, &mask);
				for (size_t i = 0; i < f->n_bytes; i++)
					v.b[i] &= mask.b[i];
			}
			if (f->format == FMT_FRAG)
				continue;
			field_format_value(f, &v, &mask, &s);
			if (field_parse_value(f, str_cstr(&s), &v2, &mask2, &e))
				fail_msg("%s: %s: %s", f->name, str_cstr(&s), e.text);
			assert_memory_equal(v.b, v2.b, f->n_bytes);
			assert_memory_equal(mask.b, mask2.b, f->n_bytes);
			str_free(&s);
		}
	}
}

static int take_priority(void *aux, const char *key, const char *value, struct err *e)
{
	if (strcmp(key, "priority"))
		return 1;
	*(unsigned *)aux = (unsigned)strtoul(value, NULL, 10);
	return 0;
}

static void other_keys_go_to_the_caller(void **state)
{
	unsigned priority = 0;
	struct match m;
	struct err e = {0};

	assert_int_equal(match_parse("priority=7, ip", NULL, take_priority, &priority, &m, &e), 0);
	assert_int_equal(priority, 7);
	assert_int_equal(be16_to_cpu(m.value.key.eth_type), 0x0800);
}

static bool port_by_name(void *aux, const char *name, uint32_t *port)
{
	*port = 42;
	return !strcmp(name, "p42");
}

static const char *port_name(void *aux, uint32_t port)
{
	return port == 42 ? "p42" : NULL;
}

static void ports_have_names(void **state)
{
	const struct text_ports ports = {port_by_name, port_name, NULL};
	struct match m;
	struct str s = STR_INIT;
	struct err e = {0};

	assert_int_equal(match_parse("in_port=p42", &ports, NULL, NULL, &m, &e), 0);
	assert_int_equal(be32_to_cpu(m.value.regs.in_port), 42);
	match_format(&m, &ports, &s);
	assert_string_equal(str_cstr(&s), "in_port=p42");
	str_free(&s);
	assert_int_not_equal(match_parse("in_port=p43", &ports, NULL, NULL, &m, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_print_as_open_vswitch_does),
		cmocka_unit_test(errors_point_at_the_column),
		cmocka_unit_test(any_match_reads_back),
		cmocka_unit_test(any_value_reads_back),
		cmocka_unit_test(other_keys_go_to_the_caller),
		cmocka_unit_test(ports_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
