/* SPDX-License-Identifier: BSD-3-Clause */
/* What msg_check() lets through can be read without running out of bounds; what it must refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "datapath/api/msg.h"
#include "datapath/base/err.h"
#include "datapath/base/str.h"

static struct msg sample(void)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 0xab};
	struct msg m;

	msg_init(&m, API_TRANSACTION, 7);
	size_t op = msg_op_begin(&m, API_OP_PORT_SET);
	msg_put_str(&m, ATTR_NAME, "p\"1");
	msg_put_bytes(&m, ATTR_MAC, mac, sizeof mac);
	size_t option = msg_nest_begin(&m, ATTR_OPTION);
	msg_put_str(&m, ATTR_KEY, "peer");
	msg_put_str(&m, ATTR_VALUE, "p2");
	msg_nest_end(&m, option);
	msg_put_u16(&m, ATTR_VLAN_TAG, 10);
	msg_nest_end(&m, op);
	op = msg_op_begin(&m, API_OP_POLL_SET);
	msg_put_u32(&m, ATTR_SLEEP_MAX_US, 100);
	msg_put_flag(&m, ATTR_CREATE);
	msg_nest_end(&m, op);
	msg_put_u64(&m, ATTR_GENERATION, 1ull << 40);
	msg_put_u8(&m, ATTR_TABLE, 254);
	msg_finish(&m);
	return m;
}

static void what_was_put_is_found(void **state)
{
	struct msg m = sample();
	struct err e = {0};
	size_t n, ops = 0;

	assert_int_equal(msg_check(m.data, m.len, &e), 0);
	struct attrs a = msg_attrs(m.data);
	assert_true(attrs_u64(a, ATTR_GENERATION, 0) == 1ull << 40);
	assert_int_equal(attrs_u64(a, ATTR_TABLE, 0), 254);
	assert_int_equal(attrs_u64(a, ATTR_PRIORITY, 99), 99);
	ATTR_FOR_EACH (it, a)
		ops += it->id == ATTR_OP;
	assert_int_equal(ops, 2);
	struct attrs op = attr_nest(attrs_find(a, ATTR_OP));
	assert_int_equal(attrs_u64(op, ATTR_OP_TYPE, 0), API_OP_PORT_SET);
	assert_string_equal(attrs_str(op, ATTR_NAME, ""), "p\"1");
	assert_non_null(attrs_bytes(op, ATTR_MAC, &n));
	assert_int_equal(n, 6);
	assert_string_equal(attrs_str(attr_nest(attrs_find(op, ATTR_OPTION)), ATTR_VALUE, ""),
			    "p2");
	msg_free(&m);
}

static void json_follows_the_table(void **state)
{
	struct msg m = sample();
	struct str s = STR_INIT;
	static const char want[] =
		"{\"op\":[{\"op_type\":2,\"name\":\"p\\\"1\",\"mac\":\"02:00:00:00:00:ab\","
		"\"option\":[{\"key\":\"peer\",\"value\":\"p2\"}],\"tag\":10},"
		"{\"op_type\":6,\"sleep_max_us\":100,\"create\":true}],"
		"\"generation\":1099511627776,\"table\":254}";

	attrs_format_json(msg_attrs(m.data), &s);
	assert_string_equal(str_cstr(&s), want);
	str_free(&s);
	msg_free(&m);
}

static void bitmaps_and_arrays_print_as_lists(void **state)
{
	uint8_t vlans[512] = {[0] = 2, [1] = 4};
	uint16_t cores[] = {1, 3};
	struct str s = STR_INIT;
	struct msg m;

	msg_init(&m, API_POLL, 0);
	msg_put_bytes(&m, ATTR_CORES, cores, sizeof cores);
	msg_put_bytes(&m, ATTR_VLAN_TRUNKS, vlans, sizeof vlans);
	msg_finish(&m);
	attrs_format_json(msg_attrs(m.data), &s);
	assert_string_equal(str_cstr(&s), "{\"cores\":[1,3],\"trunks\":[1,10]}");
	str_free(&s);
	msg_free(&m);
}

/* Any truncation of a good message is refused, whatever the length field says. */
static void truncation_is_refused(void **state)
{
	struct msg m = sample();

	for (size_t n = 0; n < m.len; n++) {
		uint8_t *copy = xmemdup(m.data, n ? n : 1); /* exact size, for ASan */
		struct err e = {0};

		if (n >= sizeof(struct msg_header))
			((struct msg_header *)(void *)copy)->length = (uint32_t)n;
		/* Cutting between top-level attributes leaves a shorter but sound message. */
		int rc = msg_check(copy, n, &e);
		if (!rc) {
			size_t walked = sizeof(struct msg_header);

			ATTR_FOR_EACH (it, msg_attrs(copy))
				walked += sizeof *it + SL_ALIGN_UP((size_t)it->len, 8);
			assert_int_equal(walked, n);
		}
		free(copy);
	}
	msg_free(&m);
}

static void refused(struct msg *m, int code)
{
	struct err e = {0};

	msg_finish(m);
	assert_int_equal(msg_check(m->data, m->len, &e), -code);
	assert_int_equal(e.code, code);
	assert_true(strlen(e.text) > 10);
	msg_free(m);
}

static void wrong_shapes_are_refused(void **state)
{
	struct msg m;

	msg_init(&m, API_STATUS, 1);
	msg_put_bytes(&m, ATTR_PRIORITY, "abc", 3);
	refused(&m, EINVAL);
	msg_init(&m, API_STATUS, 1);
	msg_put_bytes(&m, ATTR_NAME, "abc", 3); /* no NUL */
	refused(&m, EINVAL);
	msg_init(&m, API_STATUS, 1);
	msg_put_bytes(&m, ATTR_NAME, "a\0c", 4); /* a second string behind the first */
	refused(&m, EINVAL);
	msg_init(&m, API_STATUS, 1);
	msg_put_bytes(&m, ATTR_NAME, "", 0);
	refused(&m, EINVAL);
	msg_init(&m, API_STATUS, 1);
	msg_put_bytes(&m, ATTR_CREATE, "x", 1); /* a flag with a value */
	refused(&m, EINVAL);
	msg_init(&m, API_STATUS, 1);
	msg_put_flag(&m, ATTR_UNUSED);
	refused(&m, EINVAL);
	msg_init(&m, API_STATUS, 1);
	msg_put_bytes(&m, ATTR_OP, "\xff\xff\xff\xff\xff\xff\xff\xff", 8); /* a broken nest */
	refused(&m, EINVAL);
	msg_init(&m, API_STATUS, 1);
	for (int i = 0; i < API_NEST_MAX + 2; i++)
		msg_nest_begin(&m, ATTR_OP);
	for (int i = API_NEST_MAX + 1; i >= 0; i--)
		msg_nest_end(&m, sizeof(struct msg_header) + (size_t)i * sizeof(struct attr));
	refused(&m, EINVAL);
}

static void unknown_attributes_are_skipped_unless_critical(void **state)
{
	struct err e = {0};
	struct msg m;

	msg_init(&m, API_STATUS, 1);
	msg_put_bytes(&m, (enum api_attr)(ATTR_N + 5), "from the future", 15);
	msg_put_u32(&m, ATTR_ID, 4);
	msg_finish(&m);
	assert_int_equal(msg_check(m.data, m.len, &e), 0);
	assert_int_equal(attrs_u64(msg_attrs(m.data), ATTR_ID, 0), 4);
	msg_free(&m);

	msg_init(&m, API_STATUS, 1);
	msg_put_bytes(&m, (enum api_attr)((ATTR_N + 5) | ATTR_CRITICAL), "x", 1);
	refused(&m, EOPNOTSUPP);

	msg_init(&m, API_STATUS, 1); /* a critical one that is known is an ordinary one */
	msg_put_u32(&m, (enum api_attr)(ATTR_ID | ATTR_CRITICAL), 9);
	msg_finish(&m);
	assert_int_equal(msg_check(m.data, m.len, &e), 0);
	assert_int_equal(attrs_u64(msg_attrs(m.data), ATTR_ID, 0), 9);
	msg_free(&m);
}

/* Names are what the CLI and scripts see: present, and unique within their table. */
static void names_are_unique(void **state)
{
	for (int i = 1; i < ATTR_N; i++)
		for (int j = 1; j < i; j++)
			assert_string_not_equal(api_attrs[i].name, api_attrs[j].name);
	for (int i = 0; i < API_MESSAGE_N; i++)
		assert_non_null(api_message_names[i]);
	for (int i = 0; i < API_OP_N; i++)
		assert_non_null(api_op_names[i]);
	for (int i = 0; i < API_EVENT_N; i++)
		assert_non_null(api_event_names[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_put_is_found),
		cmocka_unit_test(json_follows_the_table),
		cmocka_unit_test(bitmaps_and_arrays_print_as_lists),
		cmocka_unit_test(truncation_is_refused),
		cmocka_unit_test(wrong_shapes_are_refused),
		cmocka_unit_test(unknown_attributes_are_skipped_unless_critical),
		cmocka_unit_test(names_are_unique),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
