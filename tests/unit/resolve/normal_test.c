/* SPDX-License-Identifier: BSD-3-Clause */
/* NORMAL against hand-written expectations: VLAN modes, learning, flooding, patch ports. */
#include "tests/unit/resolve/harness.h"

static struct resolver *resolver;
static struct resolve_result result;
static struct run run;

/* Sends a packet; "2 3", or the drop reason's name. */
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

/* "-", or "8100:10", "8100:10.3" with priority. */
static const char *tag_of(uint32_t port)
{
	static char text[32];
	const struct flow_vlan *v = &sent_to(port)->vlan[0];
	uint16_t tci = be16_to_cpu(v->tci);

	if (!(tci & VLAN_CFI))
		return "-";
	snprintf(text, sizeof text, tci >> 13 ? "%04x:%u.%u" : "%04x:%u", be16_to_cpu(v->tpid),
		 tci & 0xfff, tci >> 13);
	return text;
}

static int setup(void **state)
{
	resolver = resolver_create(0);
	return 0;
}

static int teardown(void **state)
{
	bridge_destroy_all();
	tables_run(test_now_ms);
	resolver_destroy(resolver);
	return 0;
}

static void flood_learn_unicast(void **state)
{
	struct bridge *b = make_bridge("br0");
	struct flow_key k = eth_packet(1, 1, 2), back = eth_packet(2, 2, 1);

	for (uint32_t i = 1; i <= 4; i++)
		add_plain(b, i);
	assert_string_equal(send_packet(&k), "2 3 4");
	assert_int_equal(result.max_age_ms, 1000);
	tables_run(test_now_ms);
	assert_int_equal(mac_table_count(b->macs), 1);
	assert_string_equal(send_packet(&back), "1");
	tables_run(test_now_ms);
	assert_string_equal(send_packet(&k), "2");
	assert_int_equal(result.max_age_ms, 0);
	assert_int_equal(result.n_credits, 1);
	/* A move: the same source from port 3. */
	back.in_port = 3;
	assert_string_equal(send_packet(&back), "1");
	tables_run(test_now_ms);
	assert_string_equal(send_packet(&k), "3");
	/* Same port at both ends. */
	k.in_port = 3;
	assert_string_equal(send_packet(&k), "normal_same_port");
	/* Ageing. */
	tables_run(test_now_ms);
	tables_run(test_now_ms + 301000);
	assert_int_equal(mac_table_count(b->macs), 0);
}

static void entry_is_affected_by_a_move_only_if_it_concerns_it(void **state)
{
	struct bridge *b = make_bridge("br0");
	struct flow_key k = eth_packet(1, 1, 2), other = eth_packet(4, 7, 8);
	struct version_subject s = {.key = &k};
	uint64_t since;

	for (uint32_t i = 1; i <= 4; i++)
		add_plain(b, i);
	send_packet(&k);
	tables_run(test_now_ms);
	send_packet(&k);
	s.deps = result.deps;
	s.mask = &result.mask;
	s.written = &result.written;
	s.lines = result.mask_lines;
	since = version_now();
	send_packet(&other);
	tables_run(test_now_ms);
	assert_true(version_now() > since);
	send_packet(&k);
	assert_false(version_affects(&s, since, version_now()));
	since = version_now();
	other = eth_packet(4, 2, 8);
	send_packet(&other);
	tables_run(test_now_ms);
	send_packet(&k);
	assert_true(version_affects(&s, since, version_now()));
}

static void vlan_modes(void **state)
{
	struct bridge *b = make_bridge("br0");
	struct bridge_port_config c;
	struct flow_key k;

	add_access(b, 1, 10);
	add_access(b, 2, 10);
	add_access(b, 3, 20);
	add_plain(b, 4); /* trunk, all */
	c = port_config("p5", 5);
	c.has_trunks = true;
	vlan_set_add(&c.trunks, 20);
	add_port(b, &c);
	c = port_config("p6", 6);
	c.vlan_mode = VLAN_MODE_NATIVE_UNTAGGED;
	c.tag = 10;
	add_port(b, &c);
	c = port_config("p7", 7);
	c.vlan_mode = VLAN_MODE_NATIVE_TAGGED;
	c.tag = 10;
	add_port(b, &c);

	k = eth_packet(1, 1, 0xff);
	assert_string_equal(send_packet(&k), "2 4 6 7");
	assert_string_equal(tag_of(2), "-");
	assert_string_equal(tag_of(4), "8100:10");
	assert_string_equal(tag_of(6), "-");
	assert_string_equal(tag_of(7), "8100:10");
	/* tagged on access */
	tag_packet(&k, 10, 0);
	assert_string_equal(send_packet(&k), "vlan_tagged_on_access");
	/* priority tag on access */
	k = eth_packet(1, 1, 0xff);
	tag_packet(&k, 0, 5);
	assert_string_equal(send_packet(&k), "2 4 6 7");
	assert_string_equal(tag_of(2), "-");
	assert_string_equal(tag_of(4), "8100:10.5");
	/* trunk, tagged */
	k = eth_packet(4, 1, 0xff);
	tag_packet(&k, 20, 3);
	assert_string_equal(send_packet(&k), "3 5 6 7");
	assert_string_equal(tag_of(3), "-");
	assert_string_equal(tag_of(5), "8100:20.3");
	k = eth_packet(5, 1, 0xff);
	tag_packet(&k, 10, 0);
	assert_string_equal(send_packet(&k), "vlan_not_allowed");
	k = eth_packet(5, 1, 0xff);
	assert_string_equal(send_packet(&k), "vlan_not_allowed");
	/* native: untagged is VLAN 10 */
	k = eth_packet(7, 1, 0xff);
	assert_string_equal(send_packet(&k), "1 2 4 6");
	assert_string_equal(tag_of(1), "-");
	assert_string_equal(tag_of(4), "8100:10");
	assert_string_equal(tag_of(6), "-");
	/* untagged on a plain trunk: VLAN 0, to the other plain trunks only */
	k = eth_packet(4, 1, 0xff);
	assert_string_equal(send_packet(&k), "6 7");
}

static void qinq(void **state)
{
	struct bridge *b = make_bridge("br0");
	struct bridge_port_config c = port_config("p1", 1);
	struct flow_key k = eth_packet(1, 1, 0xff);

	c.vlan_mode = VLAN_MODE_DOT1Q_TUNNEL;
	c.tag = 100;
	c.has_cvlans = true;
	vlan_set_add(&c.cvlans, 5);
	add_port(b, &c);
	add_plain(b, 2);
	tag_packet(&k, 5, 0);
	assert_string_equal(send_packet(&k), "2");
	assert_string_equal(tag_of(2), "88a8:100");
	assert_int_equal(be16_to_cpu(sent_to(2)->vlan[1].tci) & 0xfff, 5);
	k = eth_packet(1, 1, 0xff);
	tag_packet(&k, 6, 0);
	assert_string_equal(send_packet(&k), "vlan_not_allowed");
	k = eth_packet(2, 2, 0xff);
	tag_packet(&k, 5, 0);
	tag_packet(&k, 100, 0);
	assert_string_equal(send_packet(&k), "1");
	assert_string_equal(tag_of(1), "8100:5");
}

static void priority_tags(void **state)
{
	struct bridge *b = make_bridge("br0");
	struct bridge_port_config c = port_config("p2", 2);
	struct flow_key k = eth_packet(1, 1, 0xff);

	add_access(b, 1, 10);
	c.vlan_mode = VLAN_MODE_ACCESS;
	c.tag = 10;
	c.priority_tags = VLAN_PRIORITY_IF_NONZERO;
	add_port(b, &c);
	c = port_config("p3", 3);
	c.vlan_mode = VLAN_MODE_ACCESS;
	c.tag = 10;
	c.priority_tags = VLAN_PRIORITY_ALWAYS;
	add_port(b, &c);
	assert_string_equal(send_packet(&k), "2 3");
	assert_string_equal(tag_of(2), "-");
	assert_string_equal(tag_of(3), "8100:0");
	tag_packet(&k, 0, 4);
	assert_string_equal(send_packet(&k), "2 3");
	assert_string_equal(tag_of(2), "8100:0.4");
	assert_string_equal(tag_of(3), "8100:0.4");
	/* Behind a copy with another tag. */
	c = port_config("p0", 4);
	add_port(b, &c);
	c = port_config("p5", 5);
	c.vlan_mode = VLAN_MODE_ACCESS;
	c.tag = 10;
	c.priority_tags = VLAN_PRIORITY_ALWAYS;
	add_port(b, &c);
	k = eth_packet(1, 1, 0xff);
	send_packet(&k);
	assert_string_equal(tag_of(3), "8100:0");
	assert_string_equal(tag_of(4), "8100:10");
	assert_string_equal(tag_of(5), "8100:0");
}

static void reserved_protected_static_limits(void **state)
{
	struct bridge *b = make_bridge("br0");
	struct bridge_port_config c = port_config("p1", 1);
	struct flow_key k = eth_packet(1, 1, 2);
	struct txn t;
	uint8_t mac[6];

	c.protected = true;
	c.mac_limit = 1;
	add_port(b, &c);
	c = port_config("p2", 2);
	c.protected = true;
	add_port(b, &c);
	add_plain(b, 3);
	memcpy(k.eth_dst, "\x01\x80\xc2\x00\x00\x0e", 6);
	assert_string_equal(send_packet(&k), "rx_reserved_mac");
	k = eth_packet(1, 1, 0xff);
	assert_string_equal(send_packet(&k), "3");
	tables_run(test_now_ms);
	k = eth_packet(1, 9, 0xff);
	send_packet(&k);
	tables_run(test_now_ms);
	assert_int_equal(mac_table_count(b->macs), 1);
	/* a pinned address elsewhere */
	set_mac(mac, 5);
	txn_begin(&t);
	assert_int_equal(mac_table_set(&t, b->macs, mac, 0, 3, NULL), 0);
	txn_commit(&t);
	k = eth_packet(2, 5, 0xff);
	assert_string_equal(send_packet(&k), "mac_moved_static");
	k = eth_packet(1, 1, 5);
	assert_string_equal(send_packet(&k), "3");
	/* known, but both ends are protected */
	k = eth_packet(2, 8, 0xff);
	send_packet(&k);
	tables_run(test_now_ms);
	k = eth_packet(1, 1, 8);
	assert_string_equal(send_packet(&k), "normal_protected");
	/* static entries survive a flush of learnt ones */
	txn_begin(&t);
	assert_int_equal(mac_table_flush(&t, b->macs, &(struct mac_filter){.vlan = -1}), 2);
	txn_commit(&t);
	assert_int_equal(mac_table_count(b->macs), 1);
}

static void patch_ports(void **state)
{
	struct bridge *b0 = make_bridge("br0"), *b1 = make_bridge("br1");
	struct bridge_port_config c = port_config("pa", 10);
	struct flow_key k = eth_packet(1, 1, 0xff);

	add_access(b0, 1, 10);
	add_plain(b1, 2);
	c.is_patch = true;
	strcpy(c.peer, "pb");
	add_port(b0, &c);
	assert_string_equal(send_packet(&k), "patch_no_peer");
	c = port_config("pb", 11);
	c.is_patch = true;
	strcpy(c.peer, "pa");
	add_port(b1, &c);
	assert_string_equal(send_packet(&k), "2");
	assert_string_equal(tag_of(2), "8100:10");
	/* A second pair makes a loop, which ends. */
	c = port_config("pc", 12);
	c.is_patch = true;
	strcpy(c.peer, "pd");
	add_port(b0, &c);
	c = port_config("pd", 13);
	c.is_patch = true;
	strcpy(c.peer, "pc");
	add_port(b1, &c);
	assert_string_equal(send_packet(&k), "patch_loop");
}

static void closed_and_gone(void **state)
{
	struct bridge *b = make_bridge("br0");
	struct bridge_config c = *b->config;
	struct flow_key k = eth_packet(1, 1, 0xff);
	struct txn t;

	assert_string_equal(send_packet(&k), "rx_no_bridge");
	add_plain(b, 1);
	assert_string_equal(send_packet(&k), "normal_no_port");
	c.open = false;
	txn_begin(&t);
	bridge_set(&t, "br0", &c, NULL, NULL);
	txn_commit(&t);
	assert_string_equal(send_packet(&k), "bridge_closed");
}

static void transactions_undo(void **state)
{
	struct bridge *b = make_bridge("br0");
	struct bridge_config c = *b->config;
	struct bridge_port_config pc = port_config("p9", 9);
	struct err e = {0};
	struct txn t;

	add_plain(b, 1);
	c.mac_ageing_s = 5;
	txn_begin(&t);
	assert_int_equal(bridge_set(&t, "br0", &c, NULL, &e), 0);
	assert_int_equal(bridge_set(&t, "br1", &c, NULL, &e), 0);
	assert_int_equal(bridge_port_set(&t, b, &pc, &e), 0);
	assert_int_equal(bridge_port_del(&t, 1, &e), 0);
	pc.port_id = 8; /* the same ofport again */
	assert_int_equal(bridge_port_set(&t, b, &pc, &e), -EEXIST);
	assert_string_equal(e.text, "port p9: ofport 9: is port p9's");
	txn_abort(&t);
	assert_null(bridge_find("br1"));
	assert_null(bridge_port_next(9));
	assert_non_null(bridge_port_by_id(1));
	assert_int_equal(b->config->mac_ageing_s, 300);
	txn_begin(&t);
	assert_int_equal(bridge_del(&t, "br0", NULL), 0);
	assert_null(bridge_find("br0"));
	txn_abort(&t);
	assert_ptr_equal(bridge_find("br0"), b);
	assert_int_equal(b->next_ports.len, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(flood_learn_unicast), T(entry_is_affected_by_a_move_only_if_it_concerns_it),
		T(vlan_modes),          T(qinq),
		T(priority_tags),       T(reserved_protected_static_limits),
		T(patch_ports),         T(closed_and_gone),
		T(transactions_undo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
