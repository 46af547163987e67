/* SPDX-License-Identifier: BSD-3-Clause */
/* What is known of the datapath's rules from our own transactions and from its events, which arrive
 * later than the answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control/openflow/shadow.h"
#include "datapath/api/match_attr.h"

enum { HIDDEN = 0x10000, ALL_TABLES = 255 };

/* An operation, or with `command` -1 a rule as it is in an event. */
static struct msg rule(int command, uint8_t table, uint32_t dst, uint32_t flags)
{
	struct match match;
	struct msg m;

	match_init(&match);
	if (dst) {
		match.value.key.ip_dst = cpu_to_be32(dst);
		match.mask.key.ip_dst = cpu_to_be32(UINT32_MAX);
	}
	msg_init(&m, API_TRANSACTION, 0);
	size_t at = msg_op_begin(&m, API_OP_RULE_MOD);
	if (command >= 0)
		msg_put_u8(&m, ATTR_COMMAND, (uint8_t)command);
	msg_put_u8(&m, ATTR_TABLE, table);
	msg_put_u16(&m, ATTR_PRIORITY, 7);
	api_put_match(&m, ATTR_MATCH, &match);
	msg_put_u32(&m, ATTR_RULE_FLAGS, flags);
	msg_nest_end(&m, at);
	msg_finish(&m);
	return m;
}

static struct attrs op_of(const struct msg *m)
{
	return attr_nest(attrs_find(msg_attrs(m->data), ATTR_OP));
}

/* A transaction of one operation that was answered with `version`. */
static void commit(struct shadow *s, int command, uint8_t table, uint32_t dst, uint64_t version)
{
	struct shadow_plan *plan = NULL;
	struct msg m = rule(command, table, dst, 0);

	assert_true(shadow_foresees(op_of(&m)));
	shadow_plan_add(&plan, op_of(&m));
	assert_int_equal(shadow_plan_len(plan), 1);
	shadow_plan_do(s, plan, 0, version, HIDDEN);
	shadow_plan_free(plan);
	msg_free(&m);
}

static void put(struct shadow *s, uint8_t table, uint32_t dst, uint32_t flags, uint64_t version)
{
	struct msg m = rule(-1, table, dst, flags);

	shadow_put_rule(s, op_of(&m), version);
	msg_free(&m);
}

static enum shadow_answer removed(struct shadow *s, uint8_t table, uint32_t dst, uint64_t added,
				  uint64_t version)
{
	struct msg m = rule(-1, table, dst, 0);
	enum shadow_answer a = shadow_del_rule(s, op_of(&m), version, added);

	msg_free(&m);
	return a;
}

static void own_changes_and_older_news(void **state)
{
	struct shadow *s = shadow_create();

	commit(s, API_MOD_ADD, 1, 10, 5);
	commit(s, API_MOD_ADD, 1, 11, 6);
	commit(s, API_MOD_ADD, 2, 10, 7);
	assert_int_equal(shadow_rules_in(s, 1), 2);
	/* the end of the one that it took the place of is heard of later */
	assert_int_equal(removed(s, 1, 10, 2, 4), SHADOW_KEPT);
	assert_int_equal(removed(s, 1, 10, 2, 5), SHADOW_KEPT);
	put(s, 1, 10, 0, 3);
	assert_int_equal(shadow_rules(s), 3);
	/* its own end */
	assert_int_equal(removed(s, 1, 10, 5, 8), SHADOW_CHANGED);
	assert_int_equal(removed(s, 1, 10, 5, 8), SHADOW_KEPT);
	assert_int_equal(shadow_rules_in(s, 1), 1);
	/* came and went in one transaction: perhaps it came again */
	assert_int_equal(removed(s, 2, 10, 7, 7), SHADOW_UNSURE);
	shadow_destroy(s);
}

static void own_deletions(void **state)
{
	struct shadow *s = shadow_create();

	put(s, 1, 10, 0, 2);
	put(s, 1, 11, HIDDEN, 2);
	put(s, 2, 10, 0, 0); /* by a datapath that tells no versions */
	commit(s, API_MOD_DELETE, 1, 0, 6);
	assert_int_equal(shadow_rules_in(s, 1), 1);
	assert_int_equal(shadow_rules_in(s, 2), 1);
	put(s, 1, 12, 0, 5); /* learnt before, heard of now */
	assert_int_equal(shadow_rules_in(s, 1), 1);
	put(s, 1, 12, 0, 7);
	assert_int_equal(shadow_rules_in(s, 1), 2);
	commit(s, API_MOD_DELETE, ALL_TABLES, 0, 8);
	assert_int_equal(shadow_rules(s), 1); /* the hidden one */
	shadow_forget_versions(s);            /* another datapath, that begins at 1 */
	put(s, 1, 12, 0, 2);
	assert_int_equal(shadow_rules(s), 2);
	shadow_destroy(s);
}

static void what_is_foreseen(void **state)
{
	static const struct {
		int command;
		uint32_t dst;
		bool foreseen;
	} cases[] = {
		{API_MOD_ADD, 10, true},     {API_MOD_DELETE, 0, true},
		{API_MOD_DELETE, 10, false}, {API_MOD_DELETE_STRICT, 0, false},
		{API_MOD_MODIFY, 0, false},  {API_MOD_MODIFY_STRICT, 10, false},
	};
	for (size_t i = 0; i < SL_ARRAY_SIZE(cases); i++) {
		struct msg m = rule(cases[i].command, 1, cases[i].dst, 0);

		assert_int_equal(shadow_foresees(op_of(&m)), cases[i].foreseen);
		msg_free(&m);
	}
}

/* What a replay says, a letter for each operation: A rule added, with the last digit of its
 * address, D deletion. */
static void replayed(const struct shadow *s, const char *expected)
{
	char got[64];
	size_t n = 0;
	struct msg m;

	msg_init(&m, API_TRANSACTION, 0);
	shadow_replay(s, "br0", &m);
	msg_finish(&m);
	ATTR_FOR_EACH (a, msg_attrs(m.data)) {
		struct match match;

		assert_true(n + 2 < sizeof got && api_get_match(attr_nest(a), ATTR_MATCH, &match));
		got[n++] = attrs_u64(attr_nest(a), ATTR_COMMAND, 9) == API_MOD_ADD ? 'A' : 'D';
		got[n++] = (char)('0' + be32_to_cpu(match.value.key.ip_dst) % 10);
	}
	got[n] = '\0';
	assert_string_equal(got, expected);
	msg_free(&m);
}

static void pend(struct shadow *s, int command, uint32_t dst, uint64_t version)
{
	struct msg m = rule(command, 1, dst, 0);

	shadow_pend(s, msg_attrs(m.data), version);
	msg_free(&m);
}

static void read(struct shadow *s, uint64_t reading, uint32_t dst, uint64_t version)
{
	struct msg m = rule(-1, 1, dst, 0);

	shadow_read_put(s, reading, op_of(&m), version);
	msg_free(&m);
}

static void what_is_pending_is_replayed_in_its_place(void **state)
{
	struct shadow *s = shadow_create();

	put(s, 1, 11, 0, 5);
	pend(s, API_MOD_DELETE, 18, 6);
	put(s, 1, 12, 0, 7);
	replayed(s, "A1D8A2");
	commit(s, API_MOD_DELETE, 1, 0, 8); /* of a table, also of what is pending */
	replayed(s, "D8D0");
	commit(s, API_MOD_ADD, 1, 13, 9);
	replayed(s, "D8D0A3");
	shadow_forget_versions(s); /* the datapath has died; the next one's news */
	replayed(s, "D8D0A3");
	put(s, 1, 14, 0, 2); /* is part of that */
	assert_int_equal(removed(s, 1, 13, 2, 2), SHADOW_KEPT);
	shadow_told(s);
	commit(s, API_MOD_ADD, 1, 15, 3); /* is not */
	assert_int_equal(shadow_rules(s), 2);
	uint64_t reading = shadow_read_begin(s);
	put(s, 1, 17, 0, 2);
	shadow_read_at(s, reading, 3);
	put(s, 1, 14, 0, 2);
	read(s, reading, 13, 2);
	read(s, reading, 15, 3);
	shadow_read_end(s, reading);
	assert_int_equal(shadow_rules(s), 2);
	assert_false(shadow_has_pending(s));
	shadow_destroy(s);
}

static void what_was_told_is_no_longer_pending(void **state)
{
	struct shadow *s = shadow_create();

	put(s, 1, 11, 0, 5);
	pend(s, API_MOD_DELETE, 18, 6);
	assert_true(shadow_has_pending(s));
	shadow_told(s);
	assert_false(shadow_has_pending(s));
	assert_int_equal(shadow_rules(s), 1);
	shadow_destroy(s);
}

static void a_reading_replaces_at_its_end(void **state)
{
	struct shadow *s = shadow_create();

	put(s, 1, 11, 0, 3);
	pend(s, API_MOD_DELETE, 11, 4);
	uint64_t stale = shadow_read_begin(s), now = shadow_read_begin(s);
	shadow_read_at(s, now, 4);
	read(s, stale, 17, 3);
	read(s, now, 12, 4);
	read(s, now, 13, 4);
	put(s, 1, 14, 0, 7);
	commit(s, API_MOD_ADD, 1, 15, 8);
	assert_int_equal(removed(s, 1, 12, 4, 9), SHADOW_KEPT); /* of what we knew */
	assert_int_equal(shadow_rules(s), 3);
	shadow_read_end(s, stale);
	assert_int_equal(shadow_rules(s), 3);
	shadow_read_end(s, now);
	assert_int_equal(shadow_rules(s), 3);
	assert_false(shadow_has_pending(s));
	assert_int_equal(removed(s, 1, 13, 4, 9), SHADOW_CHANGED);
	assert_int_equal(removed(s, 1, 14, 7, 9), SHADOW_CHANGED);
	assert_int_equal(removed(s, 1, 15, 8, 9), SHADOW_CHANGED);
	put(s, 1, 16, 0, 3);     /* older than what was read */
	shadow_read_end(s, now); /* once */
	assert_int_equal(shadow_rules(s), 0);
	shadow_destroy(s);
}

static void news_during_a_reading(void **state)
{
	struct shadow *s = shadow_create();

	put(s, 1, 11, 0, 3);
	pend(s, API_MOD_DELETE, 18, 4);
	uint64_t reading = shadow_read_begin(s);
	shadow_read_at(s, reading, 5);
	pend(s, API_MOD_DELETE, 19, 6);
	shadow_told(s); /* what was told is not in what we knew */
	shadow_read_end(s, reading);
	assert_true(shadow_has_pending(s)); /* of 6 */
	shadow_told(s);
	assert_false(shadow_has_pending(s));

	put(s, 1, 12, 0, 7);
	shadow_read_drop(s, shadow_read_begin(s));
	shadow_read_end(s, reading + 1);
	assert_int_equal(shadow_rules(s), 1);
	pend(s, API_MOD_DELETE, 18, 8);
	shadow_told(s);
	assert_false(shadow_has_pending(s));
	shadow_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_changes_and_older_news),
		cmocka_unit_test(own_deletions),
		cmocka_unit_test(what_is_foreseen),
		cmocka_unit_test(what_is_pending_is_replayed_in_its_place),
		cmocka_unit_test(what_was_told_is_no_longer_pending),
		cmocka_unit_test(a_reading_replaces_at_its_end),
		cmocka_unit_test(news_during_a_reading),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
