/* SPDX-License-Identifier: BSD-3-Clause */
/* net.yaml: what is accepted and in which form, and that every mistake is refused with its place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/state/net.h"
#include "datapath/base/str.h"

static const char *value(const struct net_object *o, const char *key)
{
	const struct net_setting *s = net_setting_find(o, key, NULL);
	return s ? s->value : "(none)";
}

static void a_whole_file(void **state)
{
	static const char text[] =
		"poll:\n"
		"  cores: [1, 4-6, 5]\n"
		"  sleep-max-us: 500\n"
		"profiles:\n"
		"  guest: {tag: 10, mtu: 1500}\n"
		"  big: {profile: guest, mtu: 9000}\n"
		"bridges:\n"
		"  br0:\n"
		"    mac-ageing: 60\n"
		"    controllers: [tcp:127.0.0.1:6653]\n"
		"    ports:\n"
		"      vm1: {profile: big, type: dpdkvhostuserclient, path: /x}\n"
		"      t0: {type: internal, trunks: [1, 10-12], protected: yes}\n"
		"      q0: {type: dummy, options: {a: 1, b: two}}\n"
		"      n0: {type: dummy, vlan-mode: native-tagged, tag: 5, trunks: 5}\n"
		"  br1:\n";
	struct net n = {0};
	struct err e = {0};
	assert_int_equal(net_parse(&n, "net.yaml", text, sizeof text - 1, true, &e), 0);
	assert_string_equal(value(&n.poll, "cores"), "1,4-6");
	assert_int_equal(n.bridges.len, 2);
	assert_string_equal(value(&n.bridges.at[0].o, "mac-ageing"), "60");
	struct net_object *p = n.bridges.at[0].ports.at;
	assert_string_equal(p[0].name, "vm1");
	assert_string_equal(value(&p[0], "tag"), "10");
	assert_string_equal(value(&p[0], "mtu"), "9000");
	assert_string_equal(value(&p[1], "trunks"), "1,10-12");
	assert_string_equal(value(&p[1], "protected"), "true");
	assert_string_equal(net_setting_find(&p[2], "options", "b")->value, "two");
	assert_int_equal(n.bridges.at[1].ports.len, 0);
	net_free(&n);
}

#define BR "bridges:\n  br0:\n    ports:\n"
#define P  BR "      "

static const struct {
	const char *text, *error;
} mistakes[] = {
	{"bridges:\n  br0: {colour: red}\n", "n.yaml:2:9: bridge br0: unknown key \"colour\""},
	{"brigdes:\n", "n.yaml:1:1: unknown key \"brigdes\": poll, profiles and bridges are known"},
	{"- a\n", "n.yaml:1:1: file: a mapping (key: value) is wanted here"},
	{"bridges: [br0]\n", "n.yaml:1:10: bridges: a mapping (key: value) is wanted here"},
	{"bridges:\n  br0:\n  br0:\n", "n.yaml:3:3: bridges: \"br0\" is there twice (line 2)"},
	{P "p1: {tag: 1, tag: 2}\n", "n.yaml:4:20: port p1: \"tag\" is there twice (line 4)"},
	{P "p1: {tag: 4096}\n",
	 "n.yaml:4:17: port p1: tag: \"4096\" is not a number from 0 to 4095"},
	{P "p1: {tag: -1}\n", "n.yaml:4:17: port p1: tag: \"-1\" is not a number from 0 to 4095"},
	{P "p1: {tag: ten}\n", "n.yaml:4:17: port p1: tag: \"ten\" is not a number from 0 to 4095"},
	{P "p1: {tag: [1]}\n", "n.yaml:4:17: port p1: tag: a single value is wanted here"},
	{P "p1: {tag: 1, trunks: [2]}\n",
	 "n.yaml:4:7: port p1: an access port (tag 1) has no trunks; native-untagged is the mode "
	 "that has both"},
	{P "p1: {vlan-mode: access}\n", "n.yaml:4:7: port p1: vlan-mode access needs a tag"},
	{P "p1: {vlan-mode: trunk, tag: 1}\n",
	 "n.yaml:4:7: port p1: a trunk has no tag; native-tagged or native-untagged do"},
	{P "p1: {vlan-mode: acess, tag: 1}\n",
	 "n.yaml:4:23: port p1: vlan-mode: \"acess\" is not one of "
	 "access|trunk|native-tagged|native-untagged|dot1q-tunnel"},
	{P "p1: {cvlans: [3]}\n", "n.yaml:4:7: port p1: cvlans belong to vlan-mode dot1q-tunnel"},
	{P "p1: {trunks: [10-5]}\n",
	 "n.yaml:4:20: port p1: trunks: \"10-5\" is not a list of VLANs from 0 to 4095"},
	{P "p1: {trunks: [1, x]}\n",
	 "n.yaml:4:20: port p1: trunks: \"1,x\" is not a list of VLANs from 0 to 4095"},
	{P "p1: {trunks: {a: b}}\n", "n.yaml:4:20: port p1: trunks: a single value is wanted here"},
	{P "p1: {mac: 02:00:00:00:00}\n",
	 "n.yaml:4:17: port p1: mac: \"02:00:00:00:00\" is not a hardware address"},
	{P "p1: {mtu: 67}\n", "n.yaml:4:17: port p1: mtu: \"67\" is not a number from 68 to 65535"},
	{P "p1: {protected: perhaps}\n",
	 "n.yaml:4:23: port p1: protected: \"perhaps\" is neither true nor false"},
	{P "p1: {type: vxlan}\n", "n.yaml:4:7: port p1: type vxlan is not supported"},
	{P "p1: {type: patch}\n", "n.yaml:4:7: port p1: type patch needs \"peer\""},
	{P "p1: {type: dpdk}\n", "n.yaml:4:7: port p1: type dpdk needs \"devargs\""},
	{P "p1: {type: dpdkvhostuserclient}\n",
	 "n.yaml:4:7: port p1: type dpdkvhostuserclient needs \"path\""},
	{P "p1: {options: {peer: x}}\n",
	 "n.yaml:4:22: port p1: options: peer: say \"peer\" instead"},
	{P "p1: {options: {a: [x]}}\n",
	 "n.yaml:4:25: port p1: options: a: a single value is wanted here"},
	{P "p1: {profile: nope}\n", "n.yaml:4:21: port p1: profile nope is not defined"},
	{"profiles: {a: {profile: a}}\n" P "p1: {profile: a}\n",
	 "n.yaml:1:25: profile a: profile a uses itself"},
	{"profiles: {a: {tga: 1}}\n", "n.yaml:1:16: profile a: unknown key \"tga\""},
	{P "p1: {}\n      p1: {}\n", "n.yaml:5:7: ports: \"p1\" is there twice (line 4)"},
	{P "p1: {}\n  br1:\n    ports: {p1: {}}\n", "n.yaml:6:13: port p1: it is also on line 4"},
	{P "a/b: {}\n", "n.yaml:4:7: port \"a/b\": a name has no blanks or slashes"},
	{P "0123456789012345678901234567890123456789012345678901234567890123: {}\n",
	 "n.yaml:4:7: port \"0123456789012345678901234567890123456789012345678901234567890123\": a "
	 "name has at most 63 bytes"},
	{"poll: {cores: [1024]}\n",
	 "n.yaml:1:15: poll: cores: \"1024\" is not a list of cores from 0 to 1023"},
	{"poll: {cors: 1}\n", "n.yaml:1:8: poll: unknown key \"cors\""},
	{"bridges:\n  br0: {fail-mode: maybe}\n",
	 "n.yaml:2:20: bridge br0: fail-mode: \"maybe\" is not one of standalone|secure"},
	{"bridges:\n  br0: [\n", "n.yaml:3:1: did not find expected node content"},
	{"a: *b\n", "n.yaml:1:4: found undefined alias"},
	{"\tx: 1\n", "n.yaml:1:1: found character that cannot start any token"},
};

static void mistakes_are_located(void **state)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(mistakes); i++) {
		struct net n = {0};
		struct err e = {0};
		int rc = net_parse(&n, "n.yaml", mistakes[i].text, strlen(mistakes[i].text), true,
				   &e);
		assert_string_equal(e.text, mistakes[i].error);
		assert_true(rc < 0);
		net_free(&n);
	}
}

static void a_part_needs_less(void **state)
{
	static const char text[] =
		"{\"bridges\": {\"br0\": {\"ports\": {\"p1\": {\"trunks\": \"1,2\"}}}}}";
	struct net n = {0};
	struct err e = {0};
	assert_int_equal(net_parse(&n, "", text, sizeof text - 1, false, &e), 0);
	assert_string_equal(value(&n.bridges.at[0].ports.at[0], "trunks"), "1-2");
	net_free(&n);
}

static void an_empty_file_is_an_empty_net(void **state)
{
	struct net n = {0};
	struct err e = {0};
	assert_int_equal(net_parse(&n, "x", "", 0, true, &e), 0);
	assert_int_equal(n.bridges.len, 0);
	net_free(&n);
}

static void ranges(void **state)
{
	uint8_t bits[512];
	struct str s = STR_INIT;
	assert_true(net_ranges_parse("4095,0, 7-9", bits, 4095));
	net_ranges_format(bits, 4095, &s);
	assert_string_equal(str_cstr(&s), "0,7-9,4095");
	str_free(&s);
	assert_false(net_ranges_parse("1,", bits, 4095));
	assert_false(net_ranges_parse("1-", bits, 4095));
	assert_false(net_ranges_parse("-1", bits, 4095));
	assert_false(net_ranges_parse("99999999999999999999", bits, 4095));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_file),
		cmocka_unit_test(mistakes_are_located),
		cmocka_unit_test(a_part_needs_less),
		cmocka_unit_test(ranges),
		cmocka_unit_test(an_empty_file_is_an_empty_net),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
