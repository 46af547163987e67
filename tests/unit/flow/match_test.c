/* SPDX-License-Identifier: BSD-3-Clause */
/* Compact matches against the full ones; the layout of tunnel options. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/err.h"
#include "datapath/base/hash.h"
#include "datapath/flow/field.h"
#include "datapath/flow/tun_opt.h"

static uint64_t seed = 5;

static uint64_t draw(void)
{
	return hash_u64(seed++);
}

/* Few fields with few values, so that matches meet. */
static void random_match(struct match *m)
{
	match_init(m);
	for (unsigned n = (unsigned)(draw() % 4); n; n--) {
		static const enum field_id some[] = {FIELD_ETH_DST, FIELD_REG3, FIELD_IPV6_SRC,
						     FIELD_CT_LABEL, FIELD_METADATA};
		const struct field_info *f = &fields[some[draw() % SL_ARRAY_SIZE(some)]];
		union field_value v = {0}, mask = {0};

		v.b[0] = (uint8_t)(draw() % 4);
		mask.b[0] = (uint8_t)(draw() % 4);
		field_match(f, m, &v, draw() % 2 ? &mask : NULL);
	}
}

static bool covers(const struct match *m, const struct flow *f)
{
	for (size_t i = 0; i < sizeof *f; i++) {
		uint8_t v = ((const uint8_t *)f)[i] & ((const uint8_t *)&m->mask)[i];

		if (v != ((const uint8_t *)&m->value)[i])
			return false;
	}
	return true;
}

static void compact_form_says_the_same(void **state)
{
	for (int round = 0; round < 3000; round++) {
		struct match a, back;
		struct minimatch *mm;

		random_match(&a);
		mm = minimatch_create(&a);
		assert_true(minimatch_is_valid(mm, minimatch_size(mm)));
		assert_false(minimatch_is_valid(mm, minimatch_size(mm) - 1));
		minimatch_expand(mm, &back);
		assert_true(match_equal(&a, &back));
		free(mm);
	}
}

static void comparisons_agree_with_the_definition(void **state)
{
	unsigned overlap = 0, within = 0;

	for (int round = 0; round < 3000; round++) {
		struct match a, b;
		struct flow both;
		struct minimatch *ma, *mb;
		bool meet = true, inside = true;

		random_match(&a);
		random_match(&b);
		ma = minimatch_create(&a);
		mb = minimatch_create(&b);
		for (size_t i = 0; i < sizeof both; i++) {
			uint8_t va = ((uint8_t *)&a.value)[i], wa = ((uint8_t *)&a.mask)[i];
			uint8_t vb = ((uint8_t *)&b.value)[i], wb = ((uint8_t *)&b.mask)[i];

			meet &= !((va ^ vb) & wa & wb);
			inside &= !(wb & ~wa) && !((va ^ vb) & wb);
			((uint8_t *)&both)[i] = va | vb;
		}
		assert_int_equal(minimatch_overlaps(ma, mb), meet);
		assert_int_equal(minimatch_overlaps(mb, ma), meet);
		assert_int_equal(minimatch_is_within(ma, mb), inside);
		assert_int_equal(minimatch_equal(ma, mb), match_equal(&a, &b));
		assert_int_equal(minimatch_covers_flow(ma, &both), covers(&a, &both));
		if (meet)
			assert_true(minimatch_covers_flow(ma, &both) &&
				    minimatch_covers_flow(mb, &both));
		overlap += meet;
		within += inside;
		free(ma);
		free(mb);
	}
	assert_true(overlap > 100 && overlap < 2900 && within > 50);
}

static void foreign_bytes_are_checked(void **state)
{
	struct match a;
	union field_value v = {0};
	struct minimatch *mm;

	match_init(&a);
	v.b[0] = 1;
	field_match(&fields[FIELD_ETH_DST], &a, &v, NULL);
	mm = minimatch_create(&a);
	mm->n_lines = 2;
	assert_false(minimatch_is_valid(mm, minimatch_size(mm)));
	mm->n_lines = 1;
	mm->lines = 1u << FLOW_LINES;
	assert_false(minimatch_is_valid(mm, minimatch_size(mm)));
	mm->lines = 1;
	mm->data[0][0] = 0xff; /* a value outside its mask */
	assert_false(minimatch_is_valid(mm, minimatch_size(mm)));
	memset(mm->data, 0, 2 * FLOW_LINE_BYTES); /* a line without a mask */
	assert_false(minimatch_is_valid(mm, minimatch_size(mm)));
	assert_false(minimatch_is_valid(mm, 3));
	free(mm);
}

static bool places_disjoint(void)
{
	for (unsigned i = 0; i < 2; i++)
		for (unsigned k = i + 1; k < 3; k++) {
			struct tun_opt_place a = tun_opt_place(i), b = tun_opt_place(k);

			if (a.offset < b.offset + b.n_bytes && b.offset < a.offset + a.n_bytes)
				return false;
		}
	return true;
}

static void tunnel_options_find_room(void **state)
{
	struct err e = {0};
	struct flow flow = {0};
	union field_value v = {0}, got;

	assert_int_equal(tun_opt_place(3).n_bytes, 4);
	assert_int_equal(tun_opt_acquire(0, 4, &e), 0);
	assert_int_equal(tun_opt_acquire(1, 12, &e), 0);
	assert_int_equal(tun_opt_acquire(2, 124, &e), 0);
	assert_true(places_disjoint());
	/* Values stand right-aligned in the 124 bytes of the field. */
	for (unsigned i = 0; i < 12; i++)
		v.b[112 + i] = (uint8_t)(i + 1);
	field_set(&fields[FIELD_TUN_METADATA1], &flow, &v);
	field_get(&fields[FIELD_TUN_METADATA1], &flow, &got);
	assert_memory_equal(v.b, got.b, 124);
	v.b[111] = 1;
	assert_false(field_value_fits(&fields[FIELD_TUN_METADATA1], &v));

	assert_int_equal(tun_opt_acquire(1, 12, &e), 0); /* a second bridge */
	assert_int_equal(tun_opt_acquire(1, 8, &e), -EEXIST);
	err_clear(&e);
	assert_int_equal(tun_opt_acquire(7, 124, &e), -ENOSPC);
	assert_int_equal(tun_opt_acquire(7, 5, NULL), -EINVAL);
	assert_int_equal(tun_opt_acquire(64, 4, NULL), -EINVAL);
	tun_opt_release(1);
	assert_int_equal(tun_opt_place(1).n_bytes, 12);
	tun_opt_release(1);
	assert_int_equal(tun_opt_place(1).n_bytes, 4);
	tun_opt_release(0);
	tun_opt_release(2);
	assert_int_equal(tun_opt_acquire(7, 124, NULL), 0);
	tun_opt_release(7);
	/* A place that is given; who lies there then has none. */
	assert_int_equal(tun_opt_acquire_at(9, 8, 61, NULL), 0);
	assert_int_equal(tun_opt_acquire_at(9, 8, 61, NULL), 0);
	assert_int_equal(tun_opt_acquire_at(9, 8, 40, NULL), -EEXIST);
	assert_int_equal(tun_opt_acquire_at(8, 4, 62, NULL), -ENOSPC);
	assert_int_equal(tun_opt_acquire_at(8, 8, 63, NULL), -ENOSPC);
	assert_int_equal(tun_opt_acquire_at(8, 8, UINT32_MAX, NULL), -ENOSPC);
	assert_int_equal(tun_opt_word(9), 61);
	assert_true(tun_opt_is_there(9) && tun_opt_is_there(63) && !tun_opt_is_there(62));
	memset(&v, 0, sizeof v);
	memset(v.b + 116, 0xab, 8); /* all bits of it */
	assert_true(field_value_fits(&fields[FIELD_TUN_METADATA9], &v));
	field_set(&fields[FIELD_TUN_METADATA9], &flow, &v);
	field_get(&fields[FIELD_TUN_METADATA9], &flow, &got);
	assert_memory_equal(v.b, got.b, 124);
	tun_opt_release(9);
	tun_opt_release(9);
	assert_true(tun_opt_is_there(62));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compact_form_says_the_same),
		cmocka_unit_test(comparisons_agree_with_the_definition),
		cmocka_unit_test(foreign_bytes_are_checked),
		cmocka_unit_test(tunnel_options_find_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
