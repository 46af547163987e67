/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules, actions and groups against hand-written expectations. */
#include "datapath/resolve/frozen.h"
#include "tests/unit/resolve/rules.h"

static struct resolver *resolver;
static struct resolve_result result;
static struct run run;
static struct bridge *br;

static int setup(void **state)
{
	resolver = resolver_create(0);
	br = make_bridge("br0");
	for (uint32_t i = 1; i <= 6; i++)
		add_plain(br, i);
	return 0;
}

static int teardown(void **state)
{
	bridge_destroy_all();
	for (unsigned i = 0; i < 3; i++)
		tables_run(test_now_ms);
	resolver_destroy(resolver);
	return 0;
}

static const char *send_packet(const struct flow_key *k)
{
	resolve_key(resolver, k, true, &result);
	if (result.drop != DROP_NONE)
		return drop_infos[result.drop].name;
	run_program(&run, &result.prog, k);
	return ports_text(&run);
}

static const struct flow_key *sent_to(uint32_t port)
{
	for (unsigned i = 0; i < run.n; i++)
		if (run.out[i].port == port)
			return &run.out[i].key;
	fail_msg("nothing was sent to port %u", port);
	return NULL;
}

static unsigned count_ops(enum prog_op_code code)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < result.prog.n_words; i += 1u + result.prog.word[i].op.n_words)
		n += result.prog.word[i].op.code == code;
	return n;
}

static void outputs(void **state)
{
	struct flow_key k = eth_packet(1, 1, 2);

	add_flow(br, "priority=1,actions=output:2,output:1,output:3,in_port");
	assert_string_equal(send_packet(&k), "1 2 3");
	add_flow(br, "priority=2,actions=flood");
	assert_string_equal(send_packet(&k), "2 3 4 5 6");
	add_flow(br, "priority=3,actions=output:9");
	assert_string_equal(send_packet(&k), "output_no_port");
	add_flow(br, "priority=4,actions=output:1");
	assert_string_equal(send_packet(&k), "output_in_port");
	add_flow(br, "priority=5,cookie=77,actions=drop");
	assert_string_equal(send_packet(&k), "no_actions");
	assert_int_equal(result.drop_cookie, 77);
	add_flow(br, "priority=6,actions=controller,output:2");
	assert_string_equal(send_packet(&k), "2 65536");
	add_flow(br, "priority=7,actions=load:4->NXM_NX_REG3[],output:NXM_NX_REG3[]");
	assert_string_equal(send_packet(&k), "4");
	add_flow(br, "priority=8,actions=normal");
	assert_string_equal(send_packet(&k), "2 3 4 5 6");
	add_flow(br, "priority=9,actions=load:0->NXM_OF_IN_PORT[],output:1");
	assert_string_equal(send_packet(&k), "1");
}

static void rewrites_are_lazy_and_undone(void **state)
{
	struct flow_key k = eth_packet(1, 1, 2);

	add_flow(br, "priority=1,ip,actions=mod_dl_dst:02:00:00:00:00:09,dec_ttl,"
		     "mod_nw_dst:1.2.3.4,output:2,mod_dl_dst:02:00:00:00:00:0a,output:3");
	assert_string_equal(send_packet(&k), "2 3");
	assert_int_equal(sent_to(2)->eth_dst[5], 9);
	assert_int_equal(sent_to(2)->ip_ttl, 63);
	assert_int_equal(sent_to(2)->ip_dst, cpu_to_be32(0x01020304));
	assert_int_equal(sent_to(3)->eth_dst[5], 10);
	assert_int_equal(count_ops(OP_DEC_TTL), 1);
	/* what was written was not read */
	assert_int_equal(result.mask.eth_dst[5], 0);
	assert_int_equal(result.mask.ip_dst, 0);
	assert_int_equal(result.mask.ip_ttl, 0);
	assert_int_equal(result.mask.ttl_class, 0xff);
	assert_int_equal(result.written.eth_dst[5], 0xff);
	/* a clone leaves the packet as it was; last in line it needs no copy */
	add_flow(br, "priority=2,ip,actions=clone(mod_dl_src:02:00:00:00:00:99,output:2),output:3");
	assert_string_equal(send_packet(&k), "2 3");
	assert_int_equal(sent_to(2)->eth_src[5], 0x99);
	assert_int_equal(sent_to(3)->eth_src[5], 1);
	assert_int_equal(count_ops(OP_COPY_BEGIN), 1);
	add_flow(br, "priority=3,ip,actions=output:3,clone(mod_dl_src:02:00:00:00:00:99,output:2)");
	assert_string_equal(send_packet(&k), "2 3");
	assert_int_equal(sent_to(3)->eth_src[5], 1);
	assert_int_equal(count_ops(OP_COPY_BEGIN), 0);
	/* nothing to output: nothing is written */
	add_flow(br, "priority=4,ip,actions=mod_dl_dst:02:00:00:00:00:09");
	assert_string_equal(send_packet(&k), "no_actions");
	assert_int_equal(result.prog.n_words, 1);
}

static void ttl(void **state)
{
	struct flow_key k = eth_packet(1, 1, 2);

	add_flow(br, "priority=1,ip,actions=dec_ttl(1,2),output:2");
	k.ip_ttl = k.ttl_class = 1;
	assert_string_equal(send_packet(&k), "65537 65538");
	k.ip_ttl = k.ttl_class = 2;
	assert_string_equal(send_packet(&k), "2");
	assert_int_equal(sent_to(2)->ip_ttl, 1);
	/* a later table that reads the TTL makes it exact */
	add_flow(br, "priority=2,ip,actions=dec_ttl,resubmit(,1)");
	add_flow(br, "table=1,priority=1,ip,nw_ttl=40,actions=output:3");
	add_flow(br, "table=1,priority=0,actions=output:4");
	k.ip_ttl = 41;
	k.ttl_class = 15;
	assert_string_equal(send_packet(&k), "3");
	assert_int_equal(result.mask.ip_ttl, 0xff);
	k.ip_ttl = 42;
	assert_string_equal(send_packet(&k), "4");
}

static void vlans(void **state)
{
	struct flow_key k = eth_packet(1, 1, 2), tagged = k;

	tag_packet(&tagged, 5, 3);
	add_flow(br, "priority=1,vlan_tci=0,actions=push_vlan:0x8100,set_field:4106->vlan_vid,"
		     "output:2,strip_vlan,output:3");
	assert_string_equal(send_packet(&k), "2 3");
	assert_int_equal(be16_to_cpu(sent_to(2)->vlan[0].tci), 10 | VLAN_CFI);
	assert_int_equal(sent_to(3)->vlan[0].tci, 0);
	add_flow(br, "priority=1,dl_vlan=5,actions=mod_vlan_vid:7,output:2,strip_vlan,output:3");
	assert_string_equal(send_packet(&tagged), "2 3");
	assert_int_equal(be16_to_cpu(sent_to(2)->vlan[0].tci), 7 | VLAN_CFI | 3 << 13);
	assert_int_equal(sent_to(3)->vlan[0].tci, 0);
	assert_int_equal(count_ops(OP_SET), 1);
	/* OpenFlow 1.0: a tag comes into being */
	add_flow(br, "priority=2,vlan_tci=0,actions=mod_vlan_vid:9,output:2");
	assert_string_equal(send_packet(&k), "2");
	assert_int_equal(be16_to_cpu(sent_to(2)->vlan[0].tci), 9 | VLAN_CFI);
	/* a second tag */
	add_flow(br, "priority=3,dl_vlan=5,actions=push_vlan:0x88a8,mod_vlan_vid:100,output:2,"
		     "strip_vlan,output:3");
	assert_string_equal(send_packet(&tagged), "2 3");
	assert_int_equal(be16_to_cpu(sent_to(2)->vlan[0].tci), 100 | VLAN_CFI);
	assert_int_equal(be16_to_cpu(sent_to(2)->vlan[1].tci), 5 | VLAN_CFI | 3 << 13);
	assert_int_equal(be16_to_cpu(sent_to(3)->vlan[0].tci), 5 | VLAN_CFI | 3 << 13);
}

static void tables_and_sets(void **state)
{
	struct flow_key k = eth_packet(1, 1, 2);

	add_flow(br,
		 "priority=1,actions=write_actions(output:2,set_field:02:00:00:00:00:33->eth_dst)"
		 ",goto_table:3");
	add_flow(br, "table=3,priority=1,actions=write_actions(output:4)");
	assert_string_equal(send_packet(&k), "4");
	assert_int_equal(sent_to(4)->eth_dst[5], 0x33);
	add_flow(br, "table=3,priority=2,actions=clear_actions");
	assert_string_equal(send_packet(&k), "no_actions");
	add_flow(br, "table=3,priority=3,actions=write_metadata:0x5/0xff,goto_table:4");
	assert_string_equal(send_packet(&k), "2"); /* table 4 misses: the set is still run */
	add_flow(br, "table=4,priority=1,metadata=5,actions=output:6");
	assert_string_equal(send_packet(&k), "2 6");
	/* resubmit: an empty table goes on; exit stops everything */
	add_flow(br, "priority=9,actions=resubmit(,7),output:2,resubmit(,8),output:3");
	add_flow(br, "table=8,priority=1,actions=output:5,exit");
	assert_string_equal(send_packet(&k), "2 5");
	/* loops end */
	add_flow(br, "priority=10,actions=output:2,resubmit(,0)");
	assert_string_equal(send_packet(&k), "recursion_limit");
	/* a long way forward does not count as deep */
	for (unsigned i = 0; i < 200; i++) {
		char text[100];

		snprintf(text, sizeof text, "table=%u,priority=50,actions=resubmit(,%u)", i, i + 1);
		add_flow(br, text);
	}
	add_flow(br, "table=200,priority=50,actions=output:3");
	assert_string_equal(send_packet(&k), "3");
	assert_int_equal(result.n_credits, 201);
}

static void registers_and_stack(void **state)
{
	struct flow_key k = eth_packet(1, 1, 2);

	add_flow(br, "priority=1,ip,actions=move:NXM_OF_IP_SRC[0..7]->NXM_NX_REG0[0..7],"
		     "push:NXM_NX_REG0[],load:9->NXM_NX_REG0[],pop:NXM_NX_REG1[],resubmit(,1)");
	add_flow(br, "table=1,priority=1,reg0=9,reg1=1,actions=output:2");
	add_flow(br, "table=1,priority=0,actions=output:3");
	assert_string_equal(send_packet(&k), "2");
	assert_int_equal(result.mask.ip_src, cpu_to_be32(0xff));
	k.ip_src = cpu_to_be32(0x0a000005);
	assert_string_equal(send_packet(&k), "3");
	/* fields the packet does not have are neither read nor written */
	add_flow(br, "priority=2,actions=move:NXM_OF_TCP_SRC[]->NXM_NX_REG0[0..15],output:2");
	assert_string_equal(send_packet(&k), "2");
	assert_int_equal(result.mask.tp_src, 0);
}

static void groups(void **state)
{
	static const char *const buckets[] = {"mod_dl_dst:02:00:00:00:00:21,output:2",
					      "mod_nw_src:9.9.9.9,output:3", "output:4"};
	static const uint32_t watch[] = {2, 3, 4};
	struct flow_key k = eth_packet(1, 1, 2);

	add_group(br, 1, GROUP_ALL, 3, buckets, NULL);
	add_flow(br, "priority=1,ip,actions=group:1,output:5");
	assert_string_equal(send_packet(&k), "2 3 4 5");
	assert_int_equal(sent_to(2)->eth_dst[5], 0x21);
	assert_int_equal(sent_to(3)->eth_dst[5], 2);
	assert_int_equal(sent_to(3)->ip_src, cpu_to_be32(0x09090909));
	assert_int_equal(sent_to(5)->ip_src, k.ip_src);
	add_group(br, 1, GROUP_SELECT, 3, buckets, NULL);
	assert_string_equal(send_packet(&k), "3 5");
	assert_int_equal(sent_to(5)->ip_src, k.ip_src);
	assert_int_equal(result.mask.tp_src, 0);
	add_flow(br, "priority=2,ip,actions=group:1");
	assert_string_equal(send_packet(&k), "3");
	assert_int_equal(count_ops(OP_COPY_BEGIN), 0);
	add_group(br, 1, GROUP_FAST_FAILOVER, 3, buckets, watch);
	assert_string_equal(send_packet(&k), "2");
	bridge_port_link(2, false);
	assert_string_equal(send_packet(&k), "3");
	bridge_port_link(3, false);
	bridge_port_link(4, false);
	assert_string_equal(send_packet(&k), "group_no_bucket");
	bridge_port_link(2, true);
	bridge_port_link(3, true);
	bridge_port_link(4, true);
	assert_int_equal(try_flow(br, FLOW_MOD_ADD, "priority=9,actions=group:44", NULL), -ENOENT);
}

static void learning_action(void **state)
{
	struct flow_key k = eth_packet(1, 1, 2), back = eth_packet(2, 2, 1);

	add_flow(br, "priority=1,cookie=1,actions=learn(table=5,hard_timeout=10,priority=7,"
		     "cookie=0x99,delete_learned,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
		     "output:NXM_OF_IN_PORT[]),resubmit(,5)");
	assert_string_equal(send_packet(&k), "no_actions");
	assert_int_equal(flow_tables_n_rules(br), 2);
	assert_int_equal(result.max_age_ms, 1000);
	assert_string_equal(send_packet(&back), "1");
	/* side effects off: nothing changes */
	k.eth_src[5] = 77;
	resolve_key(resolver, &k, false, &result);
	assert_int_equal(flow_tables_n_rules(br), 3);
	/* again: no version is published, the hard timeout starts anew */
	{
		uint64_t v = version_now();

		back.eth_src[5] = 2;
		send_packet(&back);
		assert_int_equal(version_now(), v);
	}
	/* the rule goes, and what it taught with it */
	assert_int_equal(try_flow(br, FLOW_MOD_DELETE, "", NULL), 0);
	assert_int_equal(flow_tables_n_rules(br), 0);
}

static void frozen_contexts(void **state)
{
	struct flow_key k = eth_packet(1, 1, 2);
	uint32_t id;

	add_flow(br, "priority=1,ip,actions=load:5->NXM_NX_REG0[],ct(table=3),output:2");
	add_flow(br, "table=3,priority=1,reg0=5,in_port=1,actions=output:4");
	assert_non_null(strstr(send_packet(&k), "2 "));
	assert_int_equal(run.n, 2);
	id = run.out[0].port & 0xffff;
	assert_int_not_equal(id, 0);
	/* the same state has the same id */
	k.tp_src = 1;
	send_packet(&k);
	assert_int_equal(run.out[0].port & 0xffff, id);
	assert_int_equal(frozen_count(), 1);
	k.recirc_id = id;
	assert_string_equal(send_packet(&k), "4");
	k.recirc_id = id + 1;
	assert_string_equal(send_packet(&k), "frozen_gone");
	frozen_expire(test_now_ms + 20000);
	assert_int_equal(frozen_count(), 0);
	/* a length check: the larger packet goes on with the rest of its lists */
	k.recirc_id = 0;
	add_flow(br, "priority=2,ip,actions=resubmit(,1),output:5");
	add_flow(br, "table=1,priority=1,actions=check_pkt_larger(1500)->NXM_NX_REG1[0],"
		     "resubmit(,2)");
	add_flow(br, "table=2,priority=1,reg1=1,actions=output:3");
	add_flow(br, "table=2,priority=1,reg1=0,actions=output:2");
	assert_string_equal(send_packet(&k), "2 5");
	for (uint32_t i = 0; i < result.prog.n_words; i += 1u + result.prog.word[i].op.n_words)
		if (result.prog.word[i].op.code == OP_RECIRC)
			k.recirc_id = result.prog.word[i].op.b;
	assert_int_not_equal(k.recirc_id, 0);
	assert_string_equal(send_packet(&k), "3 5");
	/* pause: the controller is given a context to go on from */
	k.recirc_id = 0;
	add_flow(br, "priority=3,ip,actions=controller(userdata=01.02,pause),output:6");
	assert_string_equal(send_packet(&k), "65536");
	{
		const struct prog_controller *c =
			(const struct prog_controller *)&result.prog.word[1];

		assert_int_not_equal(c->frozen_id, 0);
		k.recirc_id = c->frozen_id;
	}
	assert_string_equal(send_packet(&k), "6");
}

static void mpls(void **state)
{
	struct flow_key k = eth_packet(1, 1, 2);

	add_flow(br, "priority=1,ip,actions=push_mpls:0x8847,set_field:77->mpls_label,output:2");
	assert_string_equal(send_packet(&k), "2");
	assert_int_equal(count_ops(OP_PUSH_MPLS), 1);
	assert_int_equal(count_ops(OP_SET_MPLS), 1);
	k.eth_type = cpu_to_be16(0x8847);
	k.mpls_lse[0] = cpu_to_be32(5 << 12 | 0x100 | 64);
	add_flow(br, "priority=1,mpls,actions=pop_mpls:0x0800,output:3");
	assert_string_equal(send_packet(&k), "3");
	add_flow(br, "priority=2,mpls,actions=pop_mpls:0x0800,resubmit(,1)");
	send_packet(&k);
	assert_int_equal(count_ops(OP_RECIRC), 1);
}

static void packet_outs(void **state)
{
	struct flow_key k = eth_packet(0, 1, 2);
	struct action_buf acts = {0};
	struct resolve_request req = {.key = &k, .version = version_now(), .side_effects = true};

	add_flow(br, "priority=1,in_port=3,actions=output:5");
	assert_int_equal(actions_parse("output:2,resubmit(3,0)", NULL, &acts, NULL), 0);
	req.version = version_now();
	req.actions = acts.data;
	req.actions_len = acts.len;
	req.bridge_id = br->id;
	req.of_in_port = OFP_PORT_CONTROLLER;
	resolve(resolver, &req, &result);
	run_program(&run, &result.prog, &k);
	assert_string_equal(ports_text(&run), "2 5");
	assert_false(result.cacheable);
	action_buf_free(&acts);
}

/* A bundle is seen whole or not at all: an old version goes on seeing the old rules. */
static void versions(void **state)
{
	struct flow_key k = eth_packet(1, 1, 2);
	struct resolve_request req = {.key = &k, .side_effects = false};
	uint64_t before;

	add_flow(br, "priority=1,actions=output:2");
	before = version_now();
	add_flow(br, "priority=1,actions=output:3");
	add_flow(br, "priority=5,actions=output:4");
	assert_string_equal(send_packet(&k), "4");
	req.version = before;
	resolve(resolver, &req, &result);
	run_program(&run, &result.prog, &k);
	assert_string_equal(ports_text(&run), "2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(outputs),
		T(rewrites_are_lazy_and_undone),
		T(ttl),
		T(vlans),
		T(tables_and_sets),
		T(registers_and_stack),
		T(groups),
		T(learning_action),
		T(frozen_contexts),
		T(mpls),
		T(packet_outs),
		T(versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
