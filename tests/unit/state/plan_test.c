/* SPDX-License-Identifier: BSD-3-Clause */
/* control/state/plan.h: which operations a difference gives, and in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/state/ofport.h"
#include "control/state/plan.h"
#include "datapath/base/err.h"
#include "datapath/base/str.h"

/* Sorts both, plans, and compares with one line per operation. */
static void expect(struct config *desired, struct config *actual, const char *lines)
{
	struct plan plan = {0};
	struct str text = STR_INIT;
	config_sort(desired);
	config_sort(actual);
	plan_make(&plan, desired, actual);
	VEC_FOR_EACH (op, &plan.ops) {
		plan_op_format(op, &text);
		str_putc(&text, '\n');
	}
	assert_string_equal(str_cstr(&text), lines);
	str_free(&text);
	plan_free(&plan);
}

static void done(struct config *a, struct config *b)
{
	config_free(a);
	config_free(b);
}

static struct config_port *port(struct config *c, const char *name, uint32_t ofport)
{
	struct config_port *p = config_add_port(c, name, "br0");
	config_set_str(&p->type, "dummy");
	p->ofport = ofport;
	return p;
}

static const char *ops_of(struct config *desired, struct config *actual, struct str *out)
{
	struct plan plan = {0};
	config_sort(desired);
	config_sort(actual);
	plan_make(&plan, desired, actual);
	str_clear(out);
	VEC_FOR_EACH (op, &plan.ops) {
		const char *name = op->bridge ? op->bridge->name
				   : op->port ? op->port->name
				   : op->mac  ? op->mac->port
					      : "";
		str_printf(out, "%s %s;", api_op_names[op->op], name);
	}
	plan_free(&plan);
	return str_cstr(out);
}

static void nothing_from_nothing(void **state)
{
	struct config a = {0}, b = {0};
	expect(&a, &b, "");
}

static void first_bridge_and_ports(void **state)
{
	struct config want = {0}, have = {0};
	struct str s = STR_INIT;
	config_add_bridge(&want, "br0")->open = 1;
	port(&want, "p2", 2);
	port(&want, "p1", 1);
	want.generation = 7;
	assert_string_equal(ops_of(&want, &have, &s),
			    "bridge_set br0;port_set p1;port_set p2;bridge_set br0;"
			    "generation_set ;");
	str_free(&s);
	done(&want, &have);
}

static void equal_gives_nothing_even_with_another_generation(void **state)
{
	struct config want = {0}, have = {0};
	config_add_bridge(&want, "br0")->open = 1;
	config_add_bridge(&have, "br0")->open = 1;
	config_port_set_option(port(&want, "p1", 1), "k", "v");
	config_port_set_option(port(&have, "p1", 1), "k", "v");
	want.generation = 9;
	have.generation = 8;
	expect(&want, &have, "");
	done(&want, &have);
}

static void only_changed_fields_are_sent(void **state)
{
	struct config want = {0}, have = {0};
	struct config_port *p;
	config_add_bridge(&want, "br0");
	config_add_bridge(&have, "br0");
	port(&have, "p1", 1);
	p = port(&want, "p1", 1);
	p->tag = 10;
	p->vlan_mode = CONFIG_VLAN_ACCESS;
	expect(&want, &have, "port_set p1 vlan_mode=1 tag=10\n");
	done(&want, &have);
}

static void trunks_as_ranges(void **state)
{
	struct config want = {0}, have = {0};
	struct config_port *p = port(&want, "p1", 1);
	port(&have, "p1", 1);
	p->trunks = xzalloc(CONFIG_VLAN_BITMAP_BYTES);
	config_vlan_add(p->trunks, 1);
	config_vlan_add(p->trunks, 10);
	config_vlan_add(p->trunks, 11);
	config_vlan_add(p->trunks, 4095);
	expect(&want, &have, "port_set p1 trunks=1,10-11,4095\n");
	expect(&have, &want, "port_set p1 trunks=\n");
	done(&want, &have);
}

static void an_option_changes(void **state)
{
	struct config want = {0}, have = {0};
	config_port_set_option(port(&want, "p1", 1), "n", "2");
	config_port_set_option(port(&have, "p1", 1), "n", "1");
	expect(&want, &have, "port_set p1 n=2\n");
	done(&want, &have);
}

static void removals_come_first(void **state)
{
	struct config want = {0}, have = {0};
	struct str s = STR_INIT;
	config_add_bridge(&want, "br1")->open = 1;
	config_add_bridge(&have, "br0")->open = 1;
	port(&have, "old", 1);
	config_set_str(&port(&want, "new", 1)->bridge, "br1");
	assert_string_equal(
		ops_of(&want, &have, &s),
		"port_del old;bridge_del br0;bridge_set br1;port_set new;bridge_set br1;");
	str_free(&s);
	done(&want, &have);
}

static void another_type_is_another_port(void **state)
{
	struct config want = {0}, have = {0};
	struct str s = STR_INIT;
	config_set_str(&port(&want, "p1", 1)->type, "internal");
	port(&have, "p1", 1);
	assert_string_equal(ops_of(&want, &have, &s), "port_del p1;port_set p1;");
	str_free(&s);
	done(&want, &have);
}

static void swapped_numbers_leave_the_bridge_first(void **state)
{
	struct config want = {0}, have = {0};
	port(&want, "a", 2);
	port(&want, "b", 1);
	port(&have, "a", 1);
	port(&have, "b", 2);
	expect(&want, &have,
	       "port_set a: off its bridge\nport_set b: off its bridge\n"
	       "port_set a bridge=br0 ofport=2\nport_set b bridge=br0 ofport=1\n");
	done(&want, &have);
}

static void a_port_moves_to_another_bridge(void **state)
{
	struct config want = {0}, have = {0};
	config_add_bridge(&want, "br0");
	config_add_bridge(&have, "br0");
	config_add_bridge(&want, "br1");
	config_add_bridge(&have, "br1");
	config_set_str(&port(&want, "p", 3)->bridge, "br1");
	port(&have, "p", 3);
	expect(&want, &have, "port_set p: off its bridge\nport_set p bridge=br1 ofport=3\n");
	done(&want, &have);
}

static void static_macs(void **state)
{
	static const uint8_t m1[6] = {2, 0, 0, 0, 0, 1}, m2[6] = {2, 0, 0, 0, 0, 2};
	struct config want = {0}, have = {0};
	struct str s = STR_INIT;
	port(&want, "p1", 1);
	port(&have, "p1", 1);
	port(&want, "p3", 3);
	port(&have, "p3", 3);
	config_add_mac(&want, "br0", "p1", 10, m1); /* stays */
	config_add_mac(&have, "br0", "p1", 10, m1);
	config_add_mac(&want, "br0", "p1", 20, m2); /* moves from p2 */
	config_add_mac(&have, "br0", "p2", 20, m2);
	config_add_mac(&have, "br0", "p3", 0, m2); /* goes */
	assert_string_equal(ops_of(&want, &have, &s), "mac_del p3;mac_set p1;");
	str_free(&s);
	done(&want, &have);
}

static void static_macs_go_with_their_port(void **state)
{
	static const uint8_t m[6] = {2, 0, 0, 0, 0, 1};
	struct config want = {0}, have = {0};
	struct str s = STR_INIT;
	port(&have, "gone", 1);
	config_add_mac(&have, "br0", "gone", 0, m);
	port(&have, "remade", 2);
	config_set_str(&port(&want, "remade", 2)->type, "internal");
	config_add_mac(&have, "br0", "remade", 5, m);
	config_add_mac(&want, "br0", "remade", 5, m);
	assert_string_equal(ops_of(&want, &have, &s),
			    "port_del gone;port_del remade;port_set remade;mac_set remade;");
	str_free(&s);
	done(&want, &have);
}

static void poll_threads(void **state)
{
	struct config want = {0}, have = {0};
	vec_push(&have.cores, 0);
	expect(&want, &have, ""); /* not asked for: as it is */
	vec_push(&want.cores, 0);
	expect(&want, &have, "");
	vec_push(&want.cores, 1);
	expect(&want, &have, "poll_set\n");
	done(&want, &have);
}

static void closed_bridges_open_last(void **state)
{
	struct config want = {0}, have = {0};
	config_add_bridge(&want, "br0")->open = 1;
	config_add_bridge(&have, "br0");
	port(&want, "p1", 1);
	expect(&want, &have,
	       "port_set p1: create bridge=br0 type=dummy ofport=1 mtu=0 n_rxq=0 n_txq=0 "
	       "n_rxq_desc=0 n_txq_desc=0 mac=00:00:00:00:00:00 admin_up=1 vlan_mode=0 tag=65535 "
	       "trunks= cvlans= qinq_ethtype=34984 priority_tags=0 is_protected=0 role=0 "
	       "port_flags=0 "
	       "mac_limit=0 rate_kbps=0 rate_pps=0 rate_burst_ms=0 rxq_affinity= poll_weight=10\nbridge_set br0 open=1\n");
	done(&want, &have);
}

/* What is encoded and then decoded as a dump is equal: adoption writes nothing. */
static void encode_and_decode_agree(void **state)
{
	struct config want = {0}, have = {0}, empty = {0};
	struct plan plan = {0};
	struct msg m;
	struct err e = {0};
	struct config_port *p = port(&want, "p1", 5);
	struct config_bridge *b = config_add_bridge(&want, "br0");
	b->flood_vlans = xzalloc(CONFIG_VLAN_BITMAP_BYTES);
	config_vlan_add(b->flood_vlans, 7);
	b->datapath_id = 0x1234;
	p->cvlans = xzalloc(CONFIG_VLAN_BITMAP_BYTES);
	config_vlan_add(p->cvlans, 9);
	memcpy(p->mac, "\2\0\0\0\0\7", 6);
	config_set_str(&p->rxq_affinity, "0:1");
	p->poll_weight = 25;
	config_port_set_option(p, "z", "1");
	config_port_set_option(p, "a", "2");
	config_sort(&want);
	plan_make(&plan, &want, &empty);
	msg_init(&m, API_TRANSACTION, 1);
	VEC_FOR_EACH (op, &plan.ops)
		plan_op_encode(op, &m);
	msg_finish(&m);
	assert_int_equal(msg_check(m.data, m.len, &e), 0);
	ATTR_FOR_EACH (it, msg_attrs(m.data)) {
		struct attrs op = attr_nest(it);
		if (attrs_u64(op, ATTR_OP_TYPE, 0) == API_OP_BRIDGE_SET)
			config_add_bridge_dump(&have, op);
		else
			config_add_port_dump(&have, op);
	}
	expect(&want, &have, "");
	msg_free(&m);
	plan_free(&plan);
	done(&want, &have);
}

/* ---- OpenFlow port numbers ---- */

static uint32_t number(struct config *c, const char *name)
{
	return config_find_port(c, name)->ofport;
}

static void numbers(void **state)
{
	struct config want = {0}, have = {0};
	config_add_bridge(&want, "br0");
	port(&want, "br0", 0);
	port(&want, "asks", 0)->ofport_request = 7;
	port(&want, "asks-too", 0)->ofport_request = 7;
	port(&want, "there", 0);
	port(&have, "there", 3);
	port(&want, "remembered", 0)->ofport_last = 9;
	port(&want, "new", 0);
	port(&want, "robbed", 0)->ofport_last = 3;
	config_sort(&want);
	config_sort(&have);
	ofport_assign(&want, &have);
	assert_int_equal(number(&want, "br0"), CONFIG_OFPORT_LOCAL);
	assert_int_equal(number(&want, "asks"), 7);
	assert_int_equal(number(&want, "there"), 3);
	assert_int_equal(number(&want, "remembered"), 9);
	assert_int_equal(number(&want, "asks-too"), 1);
	assert_int_equal(number(&want, "new"), 2);
	assert_int_equal(number(&want, "robbed"), 4);
	assert_int_equal(ofport_from_db(65534), CONFIG_OFPORT_LOCAL);
	assert_int_equal(ofport_to_db(CONFIG_OFPORT_LOCAL), 65534);
	assert_int_equal(ofport_from_db(-1), 0);
	assert_int_equal(ofport_from_db(0xff00), 0);
	done(&want, &have);
}

static void each_bridge_counts_for_itself(void **state)
{
	struct config want = {0}, have = {0};
	config_add_bridge(&want, "br0");
	config_add_bridge(&want, "br1");
	port(&want, "a", 0);
	config_set_str(&port(&want, "b", 0)->bridge, "br1");
	config_sort(&want);
	ofport_assign(&want, &have);
	assert_int_equal(number(&want, "a"), 1);
	assert_int_equal(number(&want, "b"), 1);
	done(&want, &have);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_from_nothing),
		cmocka_unit_test(first_bridge_and_ports),
		cmocka_unit_test(equal_gives_nothing_even_with_another_generation),
		cmocka_unit_test(only_changed_fields_are_sent),
		cmocka_unit_test(trunks_as_ranges),
		cmocka_unit_test(an_option_changes),
		cmocka_unit_test(removals_come_first),
		cmocka_unit_test(another_type_is_another_port),
		cmocka_unit_test(swapped_numbers_leave_the_bridge_first),
		cmocka_unit_test(a_port_moves_to_another_bridge),
		cmocka_unit_test(static_macs),
		cmocka_unit_test(static_macs_go_with_their_port),
		cmocka_unit_test(poll_threads),
		cmocka_unit_test(closed_bridges_open_last),
		cmocka_unit_test(encode_and_decode_agree),
		cmocka_unit_test(numbers),
		cmocka_unit_test(each_bridge_counts_for_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
