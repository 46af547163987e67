/* SPDX-License-Identifier: BSD-3-Clause */
/* Configurations that merge, and staged views that are committed or forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "datapath/server/registry.h"

static const uint16_t allowed[] = {ATTR_TYPE, ATTR_MTU, ATTR_VLAN_TRUNKS, ATTR_OPTION, 0};

static void put_option(struct msg *m, const char *key, const char *value)
{
	size_t at = msg_nest_begin(m, ATTR_OPTION);

	if (key) {
		msg_put_str(m, ATTR_KEY, key);
		msg_put_str(m, ATTR_VALUE, value);
	}
	msg_nest_end(m, at);
}

static size_t count(const struct config *c, enum api_attr id)
{
	size_t n = 0;

	ATTR_FOR_EACH (a, c->attrs)
		n += a->id == id;
	return n;
}

static struct config *merge(const struct config *base, struct msg *m)
{
	msg_finish(m);
	struct config *c = config_merge(base, msg_attrs(m->data), allowed);
	msg_free(m);
	return c;
}

static void later_attributes_replace_earlier_ones(void **state)
{
	uint8_t bitmap[512] = {1};
	struct msg m;

	msg_init(&m, 0, 0);
	msg_put_str(&m, ATTR_NAME, "p1"); /* not allowed: left out */
	msg_put_str(&m, ATTR_TYPE, "dummy");
	msg_put_u32(&m, ATTR_MTU, 1500);
	msg_put_bytes(&m, ATTR_VLAN_TRUNKS, bitmap, sizeof bitmap);
	put_option(&m, "a", "1");
	put_option(&m, "b", "2");
	struct config *one = merge(NULL, &m);
	assert_int_equal(count(one, ATTR_NAME), 0);
	assert_int_equal(count(one, ATTR_OPTION), 2);

	msg_init(&m, 0, 0);
	msg_put_u32(&m, ATTR_MTU, 9000);
	msg_put_bytes(&m, ATTR_VLAN_TRUNKS, NULL, 0);
	struct config *two = merge(one, &m);
	assert_int_equal(attrs_u64(two->attrs, ATTR_MTU, 0), 9000);
	assert_string_equal(attrs_str(two->attrs, ATTR_TYPE, ""), "dummy");
	assert_int_equal(count(two, ATTR_VLAN_TRUNKS), 0);
	assert_int_equal(count(two, ATTR_OPTION), 2);

	msg_init(&m, 0, 0);
	put_option(&m, "c", "3");
	struct config *three = merge(two, &m);
	assert_int_equal(count(three, ATTR_OPTION), 1);

	msg_init(&m, 0, 0);
	put_option(&m, NULL, NULL);
	struct config *four = merge(three, &m);
	assert_int_equal(count(four, ATTR_OPTION), 0);
	config_put(one);
	config_put(two);
	config_put(three);
	config_put(four);
}

static void sameness_looks_at_some_attributes_in_any_order(void **state)
{
	static const uint16_t options[] = {ATTR_OPTION, 0}, mtu[] = {ATTR_MTU, 0};
	struct msg m;

	msg_init(&m, 0, 0);
	put_option(&m, "a", "1");
	put_option(&m, "b", "2");
	struct config *one = merge(NULL, &m);
	msg_init(&m, 0, 0);
	put_option(&m, "b", "2");
	put_option(&m, "a", "1");
	msg_put_u32(&m, ATTR_MTU, 9000);
	struct config *two = merge(NULL, &m);
	assert_true(config_same(one, two, options));
	assert_false(config_same(one, two, mtu));
	assert_false(config_same(two, one, mtu));
	msg_init(&m, 0, 0);
	put_option(&m, "a", "1");
	struct config *three = merge(two, &m);
	assert_false(config_same(one, three, options));
	config_put(one);
	config_put(two);
	config_put(three);
}

static struct config *empty_config(void)
{
	struct msg m;

	msg_init(&m, 0, 0);
	return merge(NULL, &m);
}

static struct port_object *stage_new(const char *name)
{
	struct port_object *p = registry_stage_port(name, NULL);

	assert_non_null(p);
	registry_stage_config(&p->o, empty_config());
	return p;
}

static void what_is_aborted_never_was(void **state)
{
	struct port_object *p = stage_new("p1");

	assert_ptr_equal(registry_port("p1"), p);
	assert_null(registry_port_after(0)); /* readers do not see it */
	registry_abort();
	assert_null(registry_port("p1"));
	assert_true(registry_is_idle());
	assert_int_equal(registry_n_ports(), 0);
}

static void what_is_committed_stays(void **state)
{
	uint32_t id = stage_new("p1")->id;

	registry_commit();
	assert_int_equal(registry_port("p1")->id, id);
	assert_ptr_equal(registry_port_after(0), registry_port_by_id(id));
	/* A deletion that is aborted leaves it; one that is committed takes it away. */
	registry_stage_delete(&registry_stage_port("p1", NULL)->o);
	assert_null(registry_port("p1"));
	assert_ptr_equal(registry_any_port("p1"), registry_port_by_id(id));
	registry_abort();
	assert_non_null(registry_port("p1"));
	registry_stage_delete(&registry_stage_port("p1", NULL)->o);
	registry_commit();
	assert_null(registry_any_port("p1"));
	assert_null(registry_port_by_id(id));
}

static void numbers_are_not_soon_used_again(void **state)
{
	uint32_t last = 0;

	for (int i = 0; i < 100; i++) {
		uint32_t id = stage_new("p1")->id;

		assert_int_not_equal(id, last);
		last = id;
		registry_abort();
	}
}

static void ports_run_out_with_an_error(void **state)
{
	char name[32];
	struct err e = {0};

	for (int i = 1; i < PORT_ID_MAX; i++) {
		snprintf(name, sizeof name, "p%d", i);
		stage_new(name);
	}
	assert_null(registry_stage_port("one-more", &e));
	assert_int_equal(e.code, ENOSPC);
	registry_abort();
	assert_null(registry_port("p1"));
}

static void names_are_checked(void **state)
{
	static const char *const bad[] = {"", "a b", "a/b", "a\tb", "\x01"};
	char too_long[PORT_NAME_BYTES + 1] = "";

	memset(too_long, 'x', sizeof too_long - 1);
	assert_null(registry_stage_port(too_long, NULL));
	for (size_t i = 0; i < SL_ARRAY_SIZE(bad); i++) {
		struct err e = {0};

		assert_null(registry_stage_port(bad[i], &e));
		assert_int_equal(e.code, EINVAL);
		assert_null(registry_stage_bridge(bad[i], NULL));
	}
	assert_true(registry_is_idle());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(later_attributes_replace_earlier_ones),
		cmocka_unit_test(sameness_looks_at_some_attributes_in_any_order),
		cmocka_unit_test(what_is_aborted_never_was),
		cmocka_unit_test(what_is_committed_stays),
		cmocka_unit_test(numbers_are_not_soon_used_again),
		cmocka_unit_test(ports_run_out_with_an_error),
		cmocka_unit_test(names_are_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
