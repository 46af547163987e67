/* SPDX-License-Identifier: BSD-3-Clause */
/* encode∘decode is the identity, for matches and actions of every kind and version; hostile bytes
 * get the specification's error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/openflow/action_check.h"
#include "control/openflow/action_codec.h"
#include "control/openflow/ofmsg.h"
#include "control/openflow/oxm.h"
#include "control/openflow/spec.h"
#include "datapath/base/err.h"
#include "datapath/base/str.h"
#include "datapath/flow/action_text.h"

static const char *const action_texts[] = {
	"drop",
	"output:1,NORMAL,FLOOD,ALL,IN_PORT,LOCAL,CONTROLLER:128",
	"output:NXM_NX_REG0[0..15]",
	"output(port=1,max_len=100)",
	"group:5",
	"controller(reason=invalid_ttl,max_len=10,id=5)",
	"controller(userdata=01.02.03.04.05,pause)",
	"set_queue:5,pop_queue",
	"set_field:00:11:22:33:44:55->eth_src,set_field:1.2.3.4->ip_src",
	"load:0x5->NXM_NX_REG0[4..7],load:0x1->OXM_OF_METADATA[]",
	"move:NXM_NX_REG0[0..15]->NXM_OF_VLAN_TCI[]",
	"push:NXM_NX_REG0[],pop:NXM_NX_REG1[3..9]",
	"dec_ttl,dec_ttl(1,2),dec_mpls_ttl,set_mpls_ttl(3)",
	"pop_vlan,push_mpls:0x8847,pop_mpls:0x0800",
	"resubmit:1,resubmit(,2),resubmit(1,3),resubmit(,4,ct)",
	"conjunction(5,1/2)",
	"note:01.02.03.04.05.06",
	"clone(load:0x1->NXM_NX_REG0[],output:1),output:2",
	"multipath(symmetric_l4,50,hrw,12,0,NXM_NX_REG0[0..3])",
	"bundle(eth_src,0,active_backup,ofport,members:1,2)",
	"bundle_load(symmetric_l4,60,hrw,ofport,NXM_NX_REG0[],members:1,2)",
	"fin_timeout(idle_timeout=10,hard_timeout=20)",
	"check_pkt_larger(1000)->NXM_NX_REG0[3]",
	"sample(probability=1,collector_set_id=1,obs_domain_id=2,obs_point_id=3)",
	"sample(probability=1,collector_set_id=1,obs_domain_id=2,obs_point_id=3,sampling_port=1)",
	"exit",
	"ct(commit,zone=5,nat(src=10.0.0.1-10.0.0.5:100-200,random))",
	"ct(commit,force,zone=NXM_NX_REG0[0..15],table=5,nat(dst=fe80::1))",
	"ct(nat,table=3),ct_clear",
	"learn(table=1,idle_timeout=5,hard_timeout=6,priority=7,cookie=0x8,send_flow_rem,delete_"
	"learned,"
	"NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0x5->NXM_NX_REG1[],"
	"output:NXM_OF_IN_PORT[])",
	"learn(table=1,limit=5,result_dst=NXM_NX_REG0[0],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])",
};

static const char *const match_texts[] = {
	"",
	"in_port=1,dl_src=02:00:00:00:00:01,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00",
	"in_port=LOCAL",
	"dl_vlan=10,dl_vlan_pcp=3",
	"vlan_tci=0x1000/0x1000",
	"vlan_tci=0x1123/0x1fff",
	"arp,arp_op=1,arp_spa=1.2.3.0/24,arp_tpa=10.0.0.1,arp_sha=00:11:22:33:44:55",
	"tcp,nw_src=10.0.0.0/8,nw_tos=16,nw_ecn=1,nw_ttl=64,tp_src=80,tp_dst=0x1000/0xf000",
	"tcp,tcp_flags=+syn-ack",
	"udp6,ipv6_src=fe80::/10,ipv6_dst=::1,ipv6_label=0x123,tp_dst=53",
	"icmp,icmp_type=8,icmp_code=0",
	"icmp6,icmp_type=135,icmp_code=0,nd_target=fe80::1,nd_sll=00:11:22:33:44:55",
	"ip,ip_frag=first",
	"reg0=0x1,reg1=0x10/0xf0,reg15=0xffffffff,metadata=0x1234/0xffff",
	"xreg0=0x123456789",
	"xxreg1=0x1/0xff",
	"tun_id=0x10,tun_src=1.2.3.4,tun_dst=5.6.7.8",
	"tun_metadata0=0x1/0xff",
	"pkt_mark=0x10/0xf0,conj_id=5",
	"ct_state=+trk+est-new,ct_zone=5,ct_mark=0x1/0x1,ct_label=0x10",
	"mpls,mpls_label=100,mpls_tc=3,mpls_bos=1",
};

static void parse_actions(const char *text, struct action_buf *out)
{
	struct err e = {0};
	*out = (struct action_buf){0};
	if (actions_parse(text, NULL, out, &e))
		fail_msg("%s: %s", text, e.text);
}

static void encode(struct ofbuf *b, uint8_t version, const struct action_buf *a)
{
	ofp_rule_actions_put(b, version, a->data, a->len);
}

/* The same list in a version that has a form for each of its own. */
static void test_actions_survive(void **state)
{
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_SIZE(action_texts); i++) {
		struct action_buf a, back = {0};
		struct ofbuf b = {0};
		parse_actions(action_texts[i], &a);
		encode(&b, OFP13, &a);
		assert_int_equal(b.len % 8, 0);
		enum ofp_err err = ofp_rule_actions_get(b.data, b.len, OFP13, &back);
		if (err)
			fail_msg("%s: %s", action_texts[i], ofp_err_name(err));
		if (a.len != back.len || (a.len && memcmp(a.data, back.data, a.len))) {
			struct str s = STR_INIT;
			actions_format(back.data, back.len, NULL, &s);
			fail_msg("%s came back as %s", action_texts[i], str_cstr(&s));
		}
		action_buf_free(&a);
		action_buf_free(&back);
		ofbuf_free(&b);
	}
}

/* In every version what is decoded encodes as the same bytes again. */
static void test_encoding_is_stable(void **state)
{
	(void)state;
	for (uint8_t version = OFP10; version <= OFP15; version++)
		for (size_t i = 0; i < SL_ARRAY_SIZE(action_texts); i++) {
			struct action_buf a, back = {0};
			struct ofbuf b = {0}, again = {0};
			parse_actions(action_texts[i], &a);
			encode(&b, version, &a);
			enum ofp_err err = ofp_rule_actions_get(b.data, b.len, version, &back);
			if (err)
				fail_msg("%s in 0x%02x: %s", action_texts[i], version,
					 ofp_err_name(err));
			assert_int_equal(action_list_check(back.data, back.len, NULL), 0);
			encode(&again, version, &back);
			if (b.len != again.len || (b.len && memcmp(b.data, again.data, b.len)))
				fail_msg("%s in 0x%02x: other bytes", action_texts[i], version);
			action_buf_free(&a);
			action_buf_free(&back);
			ofbuf_free(&b);
			ofbuf_free(&again);
		}
}

/* Cut anywhere, an action list is refused, not read beyond. */
static void test_truncated_actions(void **state)
{
	(void)state;
	for (uint8_t version = OFP10; version <= OFP15; version++)
		for (size_t i = 0; i < SL_ARRAY_SIZE(action_texts); i++) {
			struct action_buf a;
			struct ofbuf b = {0};
			parse_actions(action_texts[i], &a);
			ofp_actions_put(&b, version, a.data, a.len);
			for (size_t n = 1; n < b.len; n++) {
				struct action_buf back = {0};
				uint8_t *copy = xmemdup(b.data, n); /* for ASan to see the end */
				enum ofp_err err = ofp_actions_get(copy, n, version, &back);
				if (n % 8)
					assert_int_equal(err, OFPERR_BAC_BAD_LEN);
				free(copy);
				action_buf_free(&back);
			}
			action_buf_free(&a);
			ofbuf_free(&b);
		}
}

static void test_matches_survive(void **state)
{
	static const uint8_t versions[] = {OFP10, OFP12, OFP13, OFP14, OFP15};
	(void)state;
	for (size_t v = 0; v < sizeof versions; v++)
		for (size_t i = 0; i < SL_ARRAY_SIZE(match_texts); i++) {
			struct match m, back;
			struct ofbuf b = {0};
			struct err e = {0};
			if (match_parse(match_texts[i], NULL, NULL, NULL, &m, &e))
				fail_msg("%s: %s", match_texts[i], e.text);
			oxm_match_put(&b, &m, versions[v]);
			enum ofp_err err = oxm_match_get(b.data, b.len, true, &back, NULL);
			if (err)
				fail_msg("%s in 0x%02x: %s", match_texts[i], versions[v],
					 ofp_err_name(err));
			if (!match_equal(&m, &back)) {
				struct str s = STR_INIT;
				match_format(&back, NULL, &s);
				fail_msg("%s in 0x%02x came back as %s", match_texts[i],
					 versions[v], str_cstr(&s));
			}
			ofbuf_free(&b);
		}
}

static void test_fixed_matches_survive(void **state)
{
	static const char *const texts[] = {
		"",
		"in_port=3,dl_src=02:00:00:00:00:01",
		"dl_vlan=10,dl_vlan_pcp=3",
		"vlan_tci=0x100a/0x1fff",
		"tcp,nw_src=10.0.0.0/8,nw_dst=10.1.2.3,nw_tos=16,tp_src=80,tp_dst=90",
		"arp,arp_op=1,arp_spa=1.2.3.0/24",
		"icmp,icmp_type=8,icmp_code=1",
	};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_SIZE(texts); i++) {
		struct match m, back;
		struct ofbuf b10 = {0}, b11 = {0};
		struct err e = {0};
		assert_int_equal(match_parse(texts[i], NULL, NULL, NULL, &m, &e), 0);
		match10_put(&b10, &m);
		match11_put(&b11, &m);
		assert_int_equal(b10.len, OFPMT10_BYTES);
		assert_int_equal(b11.len, OFPMT11_STANDARD_BYTES);
		struct ofcur c = ofcur_of(b10.data, b10.len);
		assert_int_equal(match10_get(&c, &back), OFPERR_OK);
		assert_true(match_equal(&m, &back));
		c = ofcur_of(b11.data, b11.len);
		assert_int_equal(match11_get(&c, &back), OFPERR_OK);
		assert_true(match_equal(&m, &back));
		ofbuf_free(&b10);
		ofbuf_free(&b11);
	}
}

/* One row: OXM bytes and what the specification says about them (§7.5.4.5). */
static void test_bad_matches(void **state)
{
	static const struct {
		const char *what;
		uint8_t n, bytes[24];
		enum ofp_err err;
	} rows[] = {
		{"unknown class", 8, {0x12, 0x34, 0x00, 0x04}, OFPERR_BMC_BAD_FIELD},
		{"unknown field", 8, {0x80, 0x00, 0xfe, 0x04}, OFPERR_BMC_BAD_FIELD},
		{"header cut", 3, {0x80, 0x00, 0x00}, OFPERR_BMC_BAD_LEN},
		{"value cut", 6, {0x80, 0x00, 0x00, 0x04, 0, 0}, OFPERR_BMC_BAD_LEN},
		{"wrong length", 6, {0x80, 0x00, 0x00, 0x02, 0, 1}, OFPERR_BMC_BAD_FIELD},
		{"port with mask",
		 12,
		 {0x80, 0x00, 0x01, 0x08, 0, 0, 0, 1, 0, 0, 0, 1},
		 OFPERR_BMC_BAD_MASK},
		{"value outside the mask",
		 20,
		 {0x80, 0x00, 0x05, 0x10, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1},
		 OFPERR_BMC_BAD_WILDCARDS},
		{"ip_src without eth_type",
		 8,
		 {0x80, 0x00, 0x16, 0x04, 1, 2, 3, 4},
		 OFPERR_BMC_BAD_PREREQ},
		{"eth_type twice",
		 12,
		 {0x80, 0x00, 0x0a, 0x02, 8, 0, 0x80, 0x00, 0x0a, 0x02, 8, 0},
		 OFPERR_BMC_DUP_FIELD},
		{"dscp of 7 bits",
		 11,
		 {0x80, 0x00, 0x0a, 0x02, 8, 0, 0x80, 0x00, 0x10, 0x01, 0x40},
		 OFPERR_BMC_BAD_VALUE},
	};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_SIZE(rows); i++) {
		struct match m;
		enum ofp_err err = oxm_match_get(rows[i].bytes, rows[i].n, true, &m, NULL);
		if (err != rows[i].err)
			fail_msg("%s: %s", rows[i].what, ofp_err_name(err));
	}
}

static void test_bad_actions(void **state)
{
	static const struct {
		const char *what;
		uint8_t version, n, bytes[32];
		enum ofp_err err;
	} rows[] = {
		{"unknown type", OFP13, 8, {0x01, 0x00, 0, 8}, OFPERR_BAC_BAD_TYPE},
		{"length 0", OFP13, 8, {0, 0, 0, 0}, OFPERR_BAC_BAD_LEN},
		{"length beyond the end", OFP13, 8, {0, 0, 0, 16}, OFPERR_BAC_BAD_LEN},
		{"length not of 8", OFP13, 16, {0, 0, 0, 12}, OFPERR_BAC_BAD_LEN},
		{"unknown experimenter",
		 OFP13,
		 16,
		 {0xff, 0xff, 0, 16, 1, 2, 3, 4},
		 OFPERR_BAC_BAD_VENDOR},
		{"unknown Nicira action",
		 OFP13,
		 16,
		 {0xff, 0xff, 0, 16, 0, 0, 0x23, 0x20, 0x7f, 0xff},
		 OFPERR_BAC_BAD_VENDOR_TYPE},
		{"output of 1.0 in 1.3", OFP13, 8, {0, 0, 0, 8, 0, 0, 0, 1}, OFPERR_BAC_BAD_LEN},
		{"set_field with a mask in 1.3",
		 OFP13,
		 16,
		 {0, 25, 0, 16, 0, 1, 0x01, 0x08, 0, 0, 0, 1, 0, 0, 0, 1},
		 OFPERR_BAC_BAD_SET_MASK},
		{"set_field of an unknown field",
		 OFP13,
		 16,
		 {0, 25, 0, 16, 0x80, 0, 0xfe, 4},
		 OFPERR_BAC_BAD_SET_TYPE},
		{"set_field of a read-only field",
		 OFP13,
		 16,
		 {0, 25, 0, 16, 0x80, 0, 0x0a, 2, 8, 0},
		 OFPERR_BAC_BAD_SET_ARGUMENT},
		{"conjunction of one clause",
		 OFP13,
		 16,
		 {0xff, 0xff, 0, 16, 0, 0, 0x23, 0x20, 0, 34, 0, 1, 0, 0, 0, 1},
		 OFPERR_NXBAC_BAD_CONJUNCTION},
		{"push_vlan of no VLAN type",
		 OFP13,
		 8,
		 {0, 17, 0, 8, 8, 0},
		 OFPERR_BAC_BAD_ARGUMENT},
	};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_SIZE(rows); i++) {
		struct action_buf out = {0};
		enum ofp_err err = ofp_actions_get(rows[i].bytes, rows[i].n, rows[i].version, &out);
		if (err != rows[i].err)
			fail_msg("%s: %s", rows[i].what, ofp_err_name(err));
		action_buf_free(&out);
	}
}

static void test_checks(void **state)
{
	static const struct {
		const char *match, *actions;
		uint8_t table, version;
		enum ofp_err err;
	} rows[] = {
		{"", "set_field:1.2.3.4->ip_src", 0, OFP13, OFPERR_BAC_MATCH_INCONSISTENT},
		{"ip", "set_field:1.2.3.4->ip_src", 0, OFP13, OFPERR_OK},
		{"", "mod_nw_src:1.2.3.4", 0, OFP10, OFPERR_OK},
		{"", "mod_nw_src:1.2.3.4", 0, OFP11, OFPERR_BAC_MATCH_INCONSISTENT},
		{"", "dec_ttl", 0, OFP13, OFPERR_BAC_MATCH_INCONSISTENT},
		{"", "pop_vlan", 0, OFP13, OFPERR_BAC_MATCH_INCONSISTENT},
		{"", "push_vlan:0x8100,set_field:4097->vlan_vid,pop_vlan", 0, OFP13, OFPERR_OK},
		{"", "goto_table:3", 3, OFP13, OFPERR_BIC_BAD_TABLE_ID},
		{"", "goto_table:4", 3, OFP13, OFPERR_OK},
		{"", "conjunction(1,1/2),output:1", 0, OFP13, OFPERR_NXBAC_BAD_CONJUNCTION},
		{"", "conjunction(1,1/2),note:00", 0, OFP13, OFPERR_OK},
		{"", "ct(commit)", 0, OFP13, OFPERR_BAC_MATCH_INCONSISTENT},
		{"ip", "ct(commit)", 0, OFP13, OFPERR_OK},
		{"ip", "push_mpls:0x8847,dec_ttl", 0, OFP13, OFPERR_BAC_MATCH_INCONSISTENT},
	};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_SIZE(rows); i++) {
		struct action_buf a;
		struct match m;
		struct err e = {0};
		parse_actions(rows[i].actions, &a);
		assert_int_equal(match_parse(rows[i].match, NULL, NULL, NULL, &m, &e), 0);
		enum ofp_err err = action_check(a.data, a.len, &m, rows[i].table, rows[i].version);
		if (err != rows[i].err)
			fail_msg("%s actions=%s: %s", rows[i].match, rows[i].actions,
				 ofp_err_name(err));
		action_buf_free(&a);
	}
}

static void test_errors(void **state)
{
	static const uint8_t request[8] = {OFP13, 99, 0, 8, 0, 0, 0, 5};
	struct ofbuf b = {0};
	(void)state;
	ofp_err_put(&b, OFP13, 5, OFPERR_FMFC_OVERLAP, request, sizeof request);
	assert_int_equal(load_be32(b.data + 8), 5 << 16 | 3);
	ofbuf_free(&b);
	ofp_err_put(&b, OFP10, 5, OFPERR_FMFC_OVERLAP, request, sizeof request);
	assert_int_equal(load_be32(b.data + 8), 3 << 16 | 1);
	ofbuf_free(&b);
	/* 1.0 has no word for it: Nicira's */
	ofp_err_put(&b, OFP10, 5, OFPERR_BAC_MATCH_INCONSISTENT, request, sizeof request);
	assert_true(load_be32(b.data + 8) == 0xb0c20000u);
	assert_int_equal(load_be32(b.data + 12), NX_EXPERIMENTER);
	ofbuf_free(&b);
	assert_int_equal(ofp_err_from_number(5 << 16 | 3), OFPERR_FMFC_OVERLAP);
	assert_int_equal(ofp_err_from_number(6 << 16 | 8), OFPERR_GMFC_UNKNOWN_GROUP);
	assert_int_equal(ofp_err_from_number(99 << 16), OFPERR_FMFC_UNKNOWN);
}

static void test_message_kinds(void **state)
{
	static const struct {
		uint8_t n, bytes[24];
		enum ofp_err err;
	} rows[] = {
		{8, {OFP13, 20, 0, 8}, OFPERR_OK},
		{16, {OFP13, 20, 0, 16}, OFPERR_BRC_BAD_LEN},
		{8, {OFP13, 99, 0, 8}, OFPERR_BRC_BAD_TYPE},
		{8, {OFP10, 20, 0, 8}, OFPERR_BRC_BAD_LEN},
		{16, {OFP13, 18, 0, 16, 0, 0, 0, 0, 0x12, 0x34}, OFPERR_BRC_BAD_STAT},
		{16, {OFP13, 4, 0, 16, 0, 0, 0, 0, 1, 2, 3, 4}, OFPERR_BRC_BAD_VENDOR},
		{16,
		 {OFP13, 4, 0, 16, 0, 0, 0, 0, 0, 0, 0x23, 0x20, 0, 0, 9, 9},
		 OFPERR_BRC_BAD_SUBTYPE},
		{12, {OFP13, 4, 0, 12, 0, 0, 0, 0, 0, 0, 0x23, 0x20}, OFPERR_BRC_BAD_LEN},
	};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_SIZE(rows); i++) {
		struct ofmsg m;
		assert_int_equal(ofmsg_parse(rows[i].bytes, rows[i].n, &m), rows[i].err);
	}
}

/* Entries never straddle parts, and every part but the last says that more follows. */
static void test_multipart(void **state)
{
	static const uint8_t request[16] = {OFP13, 18, 0, 16, 0, 0, 0, 7, 0, OFPMP_FLOW};
	struct ofmsg m = {.version = OFP13, .xid = 7, .kind = OFMSG_MP, .number = OFPMP_FLOW};
	struct ofmulti mp;
	unsigned entries = 0, parts = 0;
	(void)state;
	(void)request;
	ofmulti_init(&mp, &m);
	for (int i = 0; i < 500; i++) {
		size_t at = mp.b.len;
		ofbuf_zeros(&mp.b, 1000);
		ofmulti_fit(&mp, at);
	}
	ofmulti_end(&mp);
	for (size_t at = 0; at < mp.b.len; parts++) {
		size_t len = load_be16(mp.b.data + at + 2);
		assert_true(len >= 16 && at + len <= mp.b.len);
		assert_int_equal((len - 16) % 1000, 0);
		assert_int_equal(load_be16(mp.b.data + at + 10),
				 at + len < mp.b.len ? OFPMPF_MORE : 0);
		entries += (unsigned)(len - 16) / 1000;
		at += len;
	}
	assert_int_equal(entries, 500);
	assert_true(parts > 5);
	ofbuf_free(&mp.b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_actions_survive),
		cmocka_unit_test(test_encoding_is_stable),
		cmocka_unit_test(test_truncated_actions),
		cmocka_unit_test(test_matches_survive),
		cmocka_unit_test(test_fixed_matches_survive),
		cmocka_unit_test(test_bad_matches),
		cmocka_unit_test(test_bad_actions),
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_message_kinds),
		cmocka_unit_test(test_multipart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
