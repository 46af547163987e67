/* SPDX-License-Identifier: BSD-3-Clause */
/* Text of action lists: against what ovs-ofctl prints, and back and forth; the check of lists
 * that come from outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/err.h"
#include "datapath/base/hash.h"
#include "datapath/base/str.h"
#include "datapath/flow/action_text.h"
#include "datapath/flow/field.h"

struct row {
	const char *in, *out;
};

/* Read, and printed as Open vSwitch 3.1 prints them. */
static const struct row good[] = {
	{"output:1", "output:1"},
	{"1", "output:1"},
	{"LOCAL", "LOCAL"},
	{"normal", "NORMAL"},
	{"output:NXM_NX_REG0[]", "output:NXM_NX_REG0[]"},
	{"output:reg1[0..15]", "output:NXM_NX_REG1[0..15]"},
	{"output(port=5,max_len=100)", "output(port=5,max_len=100)"},
	{"group:5", "group:5"},
	{"CONTROLLER", "CONTROLLER:65535"},
	{"controller:100", "CONTROLLER:100"},
	{"controller(max_len=100)", "CONTROLLER:100"},
	{"controller(reason=no_match,max_len=128,id=5)",
	 "controller(reason=no_match,max_len=128,id=5)"},
	{"controller(userdata=00.00.00.06,pause)", "controller(userdata=00.00.00.06,pause)"},
	{"controller(id=7,userdata=0102,pause,meter_id=5)",
	 "controller(id=7,userdata=01.02,pause,meter_id=5)"},
	{"enqueue:1:2", "enqueue:1:2"},
	{"enqueue(1,2)", "enqueue:1:2"},
	{"set_queue:5,pop_queue", "set_queue:5,pop_queue"},
	{"set_field:1.2.3.4->nw_src", "set_field:1.2.3.4->ip_src"},
	{"set_field:1.2.3.4->ip_src", "set_field:1.2.3.4->ip_src"},
	{"set_field:0x5/0xf->reg0", "set_field:0x5/0xf->reg0"},
	{"set_field:0->reg0", "set_field:0->reg0"},
	{"set_field:00:01:02:03:04:05->eth_src", "set_field:00:01:02:03:04:05->eth_src"},
	{"set_field:00:01:02:03:04:05/ff:00:00:00:00:00->eth_src",
	 "set_field:00:00:00:00:00:00/ff:00:00:00:00:00->eth_src"},
	{"set_field:0x1005->vlan_vid", "set_field:4101->vlan_vid"},
	{"set_field:80->tcp_dst", "set_field:80->tcp_dst"},
	{"set_field:5->metadata", "set_field:0x5->metadata"},
	{"set_field:0x123456789abcdef/0xffffffffffffff->xxreg0",
	 "set_field:0x23456789abcdef/0xffffffffffffff->xxreg0"},
	{"set_field:0x5->ct_mark", "set_field:0x5->ct_mark"},
	{"set_field:LOCAL->in_port", "set_field:LOCAL->in_port"},
	{"set_field:5->in_port", "set_field:5->in_port"},
	{"set_field:1->arp_op", "set_field:1->arp_op"},
	{"set_field:3->ip_dscp", "set_field:3->ip_dscp"},
	{"set_field:3->nw_ecn", "set_field:3->nw_ecn"},
	{"set_field:64->nw_ttl", "set_field:64->nw_ttl"},
	{"set_field:::1->nd_target", "set_field:::1->nd_target"},
	{"set_field:00:00:00:00:00:01->nd_sll", "set_field:00:00:00:00:00:01->nd_sll"},
	{"set_field:0x1234->tun_metadata0", "set_field:0x1234->tun_metadata0"},
	{"set_field:1234->tun_id", "set_field:0x4d2->tun_id"},
	{"set_field:5->pkt_mark", "set_field:0x5->pkt_mark"},
	{"load:5->NXM_NX_REG0[0..5]", "load:0x5->NXM_NX_REG0[0..5]"},
	{"load:0->NXM_NX_REG0[]", "load:0->NXM_NX_REG0[]"},
	{"load:0x123->OXM_OF_METADATA[0..31]", "load:0x123->OXM_OF_METADATA[0..31]"},
	{"load:0xffff->NXM_OF_IN_PORT[]", "load:0xffff->NXM_OF_IN_PORT[]"},
	{"load:1->NXM_NX_XXREG0[96..127]", "load:0x1->NXM_NX_XXREG0[96..127]"},
	{"load:5->OXM_OF_VLAN_VID[]", "load:0x5->OXM_OF_VLAN_VID[]"},
	{"load:5->NXM_OF_VLAN_TCI[]", "load:0x5->NXM_OF_VLAN_TCI[]"},
	{"load:64->NXM_NX_IP_TTL[]", "load:0x40->NXM_NX_IP_TTL[]"},
	{"load:2->NXM_OF_ARP_OP[]", "load:0x2->NXM_OF_ARP_OP[]"},
	{"load:0x1->OXM_OF_PKT_REG0[3]", "load:0x1->OXM_OF_PKT_REG0[3]"},
	{"load:1->ct_label[0]", "load:0x1->NXM_NX_CT_LABEL[0]"},
	{"move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]", "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]"},
	{"move:NXM_NX_REG0[0..15]->NXM_NX_REG1[16..31]",
	 "move:NXM_NX_REG0[0..15]->NXM_NX_REG1[16..31]"},
	{"move:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]", "move:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]"},
	{"move:NXM_NX_CT_LABEL[0..31]->NXM_NX_REG0[]",
	 "move:NXM_NX_CT_LABEL[0..31]->NXM_NX_REG0[]"},
	{"move:NXM_NX_TUN_METADATA0[0..31]->NXM_NX_REG0[]",
	 "move:NXM_NX_TUN_METADATA0[0..31]->NXM_NX_REG0[]"},
	{"move:OXM_OF_IPV6_SRC[]->NXM_NX_XXREG0[]", "move:NXM_NX_IPV6_SRC[]->NXM_NX_XXREG0[]"},
	{"push:NXM_OF_IN_PORT[],pop:NXM_NX_REG0[0..15]",
	 "push:NXM_OF_IN_PORT[],pop:NXM_NX_REG0[0..15]"},
	{"push:reg3,pop:reg2[]", "push:NXM_NX_REG3[],pop:NXM_NX_REG2[]"},
	{"dec_ttl", "dec_ttl"},
	{"dec_ttl(1,2)", "dec_ttl(1,2)"},
	{"mod_nw_ttl:5", "mod_nw_ttl:5"},
	{"set_mpls_ttl(5)", "set_mpls_ttl(5)"},
	{"dec_mpls_ttl", "dec_mpls_ttl"},
	{"set_mpls_label(100)", "set_field:100->mpls_label"},
	{"set_mpls_tc(3)", "set_field:3->mpls_tc"},
	{"push_vlan:0x8100", "push_vlan:0x8100"},
	{"pop_vlan", "pop_vlan"},
	{"strip_vlan", "strip_vlan"},
	{"mod_vlan_vid:5", "mod_vlan_vid:5"},
	{"mod_vlan_pcp:3", "mod_vlan_pcp:3"},
	{"set_vlan_vid:5", "set_vlan_vid:5"},
	{"push_mpls:0x8847", "push_mpls:0x8847"},
	{"pop_mpls:0x800", "pop_mpls:0x0800"},
	{"mod_dl_src:00:01:02:03:04:05", "mod_dl_src:00:01:02:03:04:05"},
	{"mod_dl_dst:00:01:02:03:04:05", "mod_dl_dst:00:01:02:03:04:05"},
	{"mod_nw_src:1.2.3.4", "mod_nw_src:1.2.3.4"},
	{"mod_nw_dst:1.2.3.4", "mod_nw_dst:1.2.3.4"},
	{"mod_nw_tos:184", "mod_nw_tos:184"},
	{"mod_nw_ecn:2", "mod_nw_ecn:2"},
	{"mod_tp_src:80", "mod_tp_src:80"},
	{"mod_tp_dst:80", "mod_tp_dst:80"},
	{"resubmit:5", "resubmit:5"},
	{"resubmit(5)", "resubmit:5"},
	{"resubmit(,3)", "resubmit(,3)"},
	{"resubmit(5,3)", "resubmit(5,3)"},
	{"resubmit(,3,ct)", "resubmit(,3,ct)"},
	{"resubmit(LOCAL,7)", "resubmit(LOCAL,7)"},
	{"conjunction(5,1/2)", "conjunction(5,1/2)"},
	{"conjunction(5, 2/3)", "conjunction(5,2/3)"},
	{"note:00.11.22", "note:00.11.22.00.00.00"},
	{"note:001122", "note:00.11.22.00.00.00"},
	{"note:", "note:00.00.00.00.00.00"},
	{"clone(output:1,set_field:5->reg0)", "clone(output:1,set_field:0x5->reg0)"},
	{"clone(clone(1))", "clone(clone(output:1))"},
	{"multipath(eth_src,50,modulo_n,1,0,NXM_NX_REG0[])",
	 "multipath(eth_src,50,modulo_n,1,0,NXM_NX_REG0[])"},
	{"multipath(symmetric_l3l4+udp, 1024, iter_hash, 10, 5, reg1[0..7])",
	 "multipath(symmetric_l3l4+udp,1024,iter_hash,10,5,NXM_NX_REG1[0..7])"},
	{"bundle(eth_src,50,hrw,ofport,members:4,8)", "bundle(eth_src,50,hrw,ofport,members:4,8)"},
	{"bundle(symmetric_l4, 60, active_backup, ofport, slaves:1,2)",
	 "bundle(symmetric_l4,60,active_backup,ofport,members:1,2)"},
	{"bundle_load(eth_src,0,hrw,ofport,NXM_NX_REG0[],members:4,8)",
	 "bundle_load(eth_src,0,hrw,ofport,NXM_NX_REG0[],members:4,8)"},
	{"bundle(eth_src,50,hrw,ofport,members:)", "bundle(eth_src,50,hrw,ofport,members:)"},
	{"fin_timeout(idle_timeout=10,hard_timeout=20)",
	 "fin_timeout(idle_timeout=10,hard_timeout=20)"},
	{"fin_timeout(hard_timeout=20)", "fin_timeout(hard_timeout=20)"},
	{"check_pkt_larger(1500)->NXM_NX_REG0[5]", "check_pkt_larger(1500)->NXM_NX_REG0[5]"},
	{"sample(probability=12345,collector_set_id=23456,obs_domain_id=34567,obs_point_id=45678)",
	 "sample(probability=12345,collector_set_id=23456,obs_domain_id=34567,obs_point_id=45678)"},
	{"sample(probability=1,collector_set_id=1,obs_domain_id=2,obs_point_id=3,sampling_port=7,"
	 "egress)",
	 "sample(probability=1,collector_set_id=1,obs_domain_id=2,obs_point_id=3,sampling_port=7,"
	 "egress)"},
	{"exit", "exit"},
	{"ct()", "ct()"},
	{"ct", "ct()"},
	{"ct(commit)", "ct(commit)"},
	{"ct(commit,force,zone=5,table=3)", "ct(commit,force,table=3,zone=5)"},
	{"ct(commit,zone=NXM_NX_REG0[0..15],exec(load:1->NXM_NX_CT_MARK[],set_field:5->ct_label),"
	 "alg=ftp)",
	 "ct(commit,zone=NXM_NX_REG0[0..15],exec(load:0x1->NXM_NX_CT_MARK[],set_field:0x5->ct_"
	 "label),alg=ftp)"},
	{"ct(commit,nat(src=1.1.1.1-1.1.1.5:10-20,persistent,hash),table=5)",
	 "ct(commit,table=5,nat(src=1.1.1.1-1.1.1.5:10-20,persistent,hash))"},
	{"ct(nat,table=5)", "ct(table=5,nat)"},
	{"ct(commit,nat(dst=1.1.1.1))", "ct(commit,nat(dst=1.1.1.1))"},
	{"ct(commit,nat(dst=1.1.1.1:80))", "ct(commit,nat(dst=1.1.1.1:80))"},
	{"ct(commit,nat(src))", "ct(commit,nat(src))"},
	{"ct(commit,nat(src=fe80::1-fe80::5,random))",
	 "ct(commit,nat(src=fe80::1-fe80::5,random))"},
	{"ct(commit,nat(src=[fe80::1]:5))", "ct(commit,nat(src=[fe80::1]:5))"},
	{"ct(commit,nat(src=[fe80::1-fe80::9]:5-9))", "ct(commit,nat(src=[fe80::1-fe80::9]:5-9))"},
	{"ct(commit,nat(src=0.0.0.0:5-7))", "ct(commit,nat(src=0.0.0.0:5-7))"},
	{"ct(commit,zone=NXM_NX_REG13[0..15],nat(src=10.0.0.1),exec(move:NXM_NX_REG0[0..3]->NXM_NX_"
	 "CT_MARK[0..3]))",
	 "ct(commit,zone=NXM_NX_REG13[0..15],nat(src=10.0.0.1),exec(move:NXM_NX_REG0[0..3]->NXM_NX_"
	 "CT_MARK[0..3]))"},
	{"ct_clear", "ct_clear"},
	{"delete_field:tun_metadata5", "delete_field:tun_metadata5"},
	{"meter:5,output:1", "meter:5,output:1"},
	{"clear_actions", "clear_actions"},
	{"write_actions(output:1,set_field:5->reg0)",
	 "write_actions(output:1,set_field:0x5->reg0)"},
	{"write_actions(drop)", "write_actions(drop)"},
	{"write_metadata:0x5", "write_metadata:0x5"},
	{"write_metadata:0x5/0xff", "write_metadata:0x5/0xff"},
	{"goto_table:5", "goto_table:5"},
	{"drop", "drop"},
	{"learn(table=1)", "learn(table=1)"},
	{"learn(table=10,idle_timeout=5,hard_timeout=10,fin_idle_timeout=1,fin_hard_timeout=2,"
	 "priority=100,cookie=0x1234,send_flow_rem,delete_learned,limit=5,result_dst=NXM_NX_REG0[3]"
	 ",NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0->NXM_OF_VLAN_TCI[],load:"
	 "NXM_NX_TUN_ID[]->NXM_NX_TUN_ID[],output:NXM_OF_IN_PORT[])",
	 "learn(table=10,idle_timeout=5,hard_timeout=10,fin_idle_timeout=1,fin_hard_timeout=2,"
	 "priority=100,send_flow_rem,delete_learned,cookie=0x1234,limit=5,result_dst=NXM_NX_REG0[3]"
	 ",NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0->NXM_OF_VLAN_TCI[],load:"
	 "NXM_NX_TUN_ID[]->NXM_NX_TUN_ID[],output:NXM_OF_IN_PORT[])"},
	{"learn(table=1,eth_type=0x800,nw_src=nw_dst,nw_proto=6,tcp_src=tcp_dst,load:reg0->reg1)",
	 "learn(table=1,eth_type=0x800,NXM_OF_IP_SRC[]=NXM_OF_IP_DST[],nw_proto=6,NXM_OF_TCP_SRC[]="
	 "NXM_OF_TCP_DST[],load:NXM_NX_REG0[]->NXM_NX_REG1[])"},
	{"learn(table=1,dl_type=0x800,in_port=5,reg0=5,NXM_NX_REG1[0..3]=7,NXM_OF_ETH_SRC[],output:"
	 "reg0[0..15])",
	 "learn(table=1,eth_type=0x800,in_port=5,reg0=0x5,NXM_NX_REG1[0..3]=0x7,NXM_OF_ETH_SRC[],"
	 "output:NXM_NX_REG0[0..15])"},
	{"learn(table=0,in_port=LOCAL,load:0xf->NXM_NX_REG0[0..3])",
	 "learn(table=0,in_port=LOCAL,load:0xf->NXM_NX_REG0[0..3])"},
	{"learn(table=1,eth_dst=01:02:03:04:05:06,metadata=0x5,load:0x123456->OXM_OF_METADATA[],"
	 "output:OXM_OF_IN_PORT[])",
	 "learn(table=1,eth_dst=01:02:03:04:05:06,metadata=0x5,load:0x123456->OXM_OF_METADATA[],"
	 "output:OXM_OF_IN_PORT[])"},
	{"learn(table=1,NXM_NX_REG0[]=NXM_OF_IP_SRC[])",
	 "learn(table=1,NXM_NX_REG0[]=NXM_OF_IP_SRC[])"},
	{"output:1,,output:2", "output:1,output:2"},
	{"output:1 output:2", "output:1,output:2"},
	{"write_actions(resubmit(,1))", "write_actions(resubmit(,1))"},
	{"dec_ttl()", "dec_ttl()"},
};

/* Refused, and why. */
static const struct row bad[] = {
	{"drop,output:1", "column 1: drop goes with no other action"},
	{"output:1,drop", "column 10: drop goes with no other action"},
	{"ct(nat(dst=1.1.1.1))", "column 1: ct: only a plain nat without commit"},
	{"ct(exec(load:1->NXM_NX_CT_MARK[]))", "column 1: ct: only a plain nat without commit"},
	{"set_field:5->in_port_oxm", "column 14: in_port_oxm: is read-only"},
	{"set_field:70000->in_port", "column 11: in_port_nxm: \"70000\" has more than 16 bits"},
	{"foo", "column 1: unknown action \"foo\""},
	{"foo:5", "column 1: unknown action \"foo\""},
	{"output:foo", "column 8: no port \"foo\""},
	{"set_field:5->eth_type", "column 14: eth_type: is read-only"},
	{"set_field:5", "column 11: set_field: is written VALUE->FIELD"},
	{"load:0x100->reg0[0..3]", "column 6: load: \"0x100\" has more than 4 bits"},
	{"move:reg0->xreg0", "column 12: move: 32 bits into 64"},
	{"conjunction(5,3/2)", "column 15: conjunction: K/N needs 1 <= K <= N and 2 <= N <= 64"},
	{"push_vlan:0x800", "column 11: push_vlan: 0x8100 or 0x88a8"},
	{"clone(", "column 6: '(' without ')'"},
	{"ct(commit", "column 3: '(' without ')'"},
	{"nat(src)", "nat: only allowed inside ct()"},
	{"learn(table=1,reg0=300000000000)", "column 20: unknown field \"300000000000\""},
	{"resubmit(1,256)", "column 12: resubmit: \"256\" is not a number up to 255"},
	{"ct(exec(output:1))", "output: not allowed inside ct()"},
	{"controller(foo=1)", "column 12: controller: unknown key \"foo\""},
	{"goto_table:255", "column 12: goto_table: \"255\" is not a number up to 254"},
	{"mod_vlan_vid:4096", "column 14: mod_vlan_vid: \"4096\" is not a number up to 4095"},
};

static void check_row(const char *in, const char *out)
{
	struct action_buf b = {0}, again = {0};
	struct err e = {0};
	struct str s = STR_INIT;

	if (actions_parse(in, NULL, &b, &e))
		fail_msg("%s: %s", in, e.text);
	assert_int_equal(action_list_check(b.data, b.len, &e), 0);
	actions_format(b.data, b.len, NULL, &s);
	assert_string_equal(str_cstr(&s), out);
	if (actions_parse(str_cstr(&s), NULL, &again, &e))
		fail_msg("%s: %s", str_cstr(&s), e.text);
	assert_int_equal(b.len, again.len);
	assert_memory_equal(b.data ? b.data : (void *)&b, again.data ? again.data : (void *)&b,
			    b.len);
	action_buf_free(&b);
	action_buf_free(&again);
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
		struct action_buf b = {0};
		struct err e = {0};

		if (!actions_parse(bad[i].in, NULL, &b, &e))
			fail_msg("accepted: %s", bad[i].in);
		assert_string_equal(e.text, bad[i].out);
		assert_int_equal(b.len, 0);
		action_buf_free(&b);
	}
}

/* Any byte of a good list changed to anything: either refused, or safe to walk and print. */
static void damaged_lists_are_safe(void **state)
{
	uint64_t seed = 3;

	for (size_t i = 0; i < SL_ARRAY_SIZE(good); i++) {
		struct action_buf b = {0};

		if (actions_parse(good[i].in, NULL, &b, NULL))
			fail();
		for (int round = 0; round < 300 && b.len; round++) {
			size_t at = hash_u64(seed++) % b.len;
			uint8_t old = b.data[at];
			struct str s = STR_INIT;

			b.data[at] = (uint8_t)hash_u64(seed++);
			if (!action_list_check(b.data, b.len, NULL))
				actions_format(b.data, b.len, NULL, &s);
			b.data[at] = old;
			str_free(&s);
		}
		for (size_t len = 0; len < b.len; len += 8)
			action_list_check(b.data, len, NULL);
		action_buf_free(&b);
	}
}

static void nesting_is_bounded(void **state)
{
	struct str s = STR_INIT;
	struct action_buf b = {0};
	struct err e = {0};

	for (int i = 0; i < 1000; i++)
		str_puts(&s, "clone(");
	str_puts(&s, "1");
	for (int i = 0; i < 1000; i++)
		str_putc(&s, ')');
	assert_int_not_equal(actions_parse(str_cstr(&s), NULL, &b, &e), 0);
	action_buf_free(&b);
	str_free(&s);
}

/* Every action of the table can be written: its printed name is one that the parser knows. */
static void names_cover_the_table(void **state)
{
	size_t n = 0;

	while (action_text_name(n))
		n++;
	assert_true(n > 50);
	for (unsigned t = 0; t < ACTION_N; t++) {
		/* mod_nw_src and its like; what nobody may write */
		bool known =
			t == ACTION_SET_ADDR || t == ACTION_COPY_TTL_OUT || t == ACTION_COPY_TTL_IN;

		for (size_t i = 0; i < n; i++)
			known |= !strcmp(action_text_name(i), action_infos[t].name);
		if (!known)
			fail_msg("no text for %s", action_infos[t].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_print_as_open_vswitch_does),
		cmocka_unit_test(errors_point_at_the_column),
		cmocka_unit_test(damaged_lists_are_safe),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(names_cover_the_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
