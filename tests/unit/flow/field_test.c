/* SPDX-License-Identifier: BSD-3-Clause */
/* Every row of fields.def by itself: its place, its names and headers, get, set and match. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/hash.h"
#include "datapath/flow/field.h"

static uint64_t seed = 1;

static uint64_t draw(void)
{
	return hash_u64(seed++);
}

static void draw_value(const struct field_info *f, union field_value *v)
{
	union field_value all;

	field_full_mask(f, &all);
	for (size_t i = 0; i < f->n_bytes; i++)
		v->b[i] = (uint8_t)draw() & all.b[i];
}

#define FOR_EACH_FIELD(f) for (const struct field_info *f = fields; f < fields + FIELD_N; f++)

static void rows_are_sound(void **state)
{
	FOR_EACH_FIELD(f)
	{
		union field_value all;
		unsigned bits = 0;

		assert_true(f->offset + f->key_bytes <= sizeof(struct flow));
		assert_true(f->key_bytes && f->key_bytes <= f->n_bytes);
		assert_true(f->n_bytes <= FIELD_MAX_BYTES);
		assert_true(f->n_bits <= 8 * f->n_bytes);
		/* field.c takes long fields as whole bytes. */
		if (f->key_bytes > 8)
			assert_true(f->lsb == 0 && f->hole == 0 && f->key_bits == 8 * f->key_bytes);
		/* A field lies in one line, so that masks can be asked for by line. */
		assert_int_equal(f->offset / FLOW_LINE_BYTES,
				 (f->offset + f->key_bytes - 1) / FLOW_LINE_BYTES);
		field_full_mask(f, &all);
		for (size_t i = 0; i < f->n_bytes; i++)
			bits += (unsigned)__builtin_popcount(all.b[i]);
		assert_int_equal(bits, f->key_bits - __builtin_popcount(f->hole));
	}
}

static void names_and_headers_lead_back(void **state)
{
	FOR_EACH_FIELD(f)
	{
		assert_ptr_equal(field_by_name(f->name, strlen(f->name)), f);
		if (f->alias)
			assert_ptr_equal(field_by_name(f->alias, strlen(f->alias)), f);
		for (int i = 0; i < 3; i++) {
			uint32_t exp = f->oxm[i] >> 16 == 0xffff ? f->oxm_experimenter : 0;

			if (!f->oxm_name[i])
				continue;
			assert_ptr_equal(field_by_oxm(f->oxm[i], exp), f);
			assert_ptr_equal(field_by_name(f->oxm_name[i], strlen(f->oxm_name[i])), f);
		}
	}
	assert_null(field_by_name("nosuch", 6));
	assert_null(field_by_oxm(0x80000000u | 99 << 9, 0));
	assert_null(field_by_oxm(0xffff0000u, 0));
	assert_null(field_by_oxm(0x12340000u, 0));
}

static void set_changes_only_the_field(void **state)
{
	FOR_EACH_FIELD(f)
	{
		for (int round = 0; round < 20; round++) {
			struct flow flow, before;
			union field_value v, got, old;

			memset(&flow, round & 1 ? 0xff : 0, sizeof flow);
			before = flow;
			field_get(f, &flow, &old);
			draw_value(f, &v);
			field_set(f, &flow, &v);
			field_get(f, &flow, &got);
			assert_memory_equal(got.b, v.b, f->n_bytes);
			if (f->id == FIELD_IN_PORT16 || f->id == FIELD_IP_TTL ||
			    f->id == FIELD_DL_VLAN || f->id == FIELD_DL_VLAN_PCP ||
			    f->id == FIELD_VLAN_PCP)
				continue; /* others follow */
			field_set(f, &flow, &old);
			assert_memory_equal(&flow, &before, sizeof flow);
		}
	}
}

static void match_keeps_its_invariant(void **state)
{
	struct match m;

	match_init(&m);
	FOR_EACH_FIELD(f)
	{
		struct match one;
		union field_value v, mask;

		draw_value(f, &v);
		draw_value(f, &mask);
		match_init(&one);
		assert_true(field_is_wildcard(f, &one));
		field_match(f, &one, &v, NULL);
		assert_true(field_is_exact(f, &one));
		match_init(&one);
		field_match(f, &one, &v, f->mask_kind == FIELD_MASK_ANY ? &mask : NULL);
		field_match(f, &m, &v, f->mask_kind == FIELD_MASK_ANY ? &mask : NULL);
		for (size_t i = 0; i < sizeof m.value; i++) {
			const uint8_t *value = (const uint8_t *)&m.value;
			const uint8_t *bits = (const uint8_t *)&m.mask;

			assert_int_equal(value[i] & ~bits[i], 0);
		}
	}
}

static void in_port_has_two_widths(void **state)
{
	struct flow flow = {0};
	union field_value v;
	struct match m;

	store_be16(v.b, 0xfffe);
	field_set(&fields[FIELD_IN_PORT16], &flow, &v);
	assert_int_equal(be32_to_cpu(flow.regs.in_port), 0xfffffffe);
	store_be16(v.b, 7);
	field_set(&fields[FIELD_IN_PORT16], &flow, &v);
	assert_int_equal(be32_to_cpu(flow.regs.in_port), 7);
	match_init(&m);
	store_be16(v.b, 0xfffe);
	field_match(&fields[FIELD_IN_PORT16], &m, &v, NULL);
	assert_int_equal(be32_to_cpu(m.value.regs.in_port), 0xfffffffe);
	assert_int_equal(m.mask.regs.in_port, 0xffffffff);
}

static void prerequisites_hold_when_filled(void **state)
{
	FOR_EACH_FIELD(f)
	{
		struct match m;
		struct flow mask = {0};
		bool none = f->prereq == PREREQ_NONE || f->prereq == PREREQ_ETHERNET;

		match_init(&m);
		assert_int_equal(field_prereq_in_match(f, &m), none);
		assert_int_equal(field_prereq_ok(f, &m.value, &mask), none);
		field_prereq_fill(f->prereq, &m);
		assert_true(field_prereq_in_match(f, &m));
		assert_true(field_prereq_ok(f, &m.value, &mask));
	}
}

static void subfields_move_bits(void **state)
{
	FOR_EACH_FIELD(f)
	{
		for (int round = 0; round < 50; round++) {
			struct subfield sf = {.field = (uint16_t)f->id};
			struct flow flow, mask = {0};
			unsigned room =
				SL_MIN(f->n_bits, (unsigned)(8 * field_key_bytes(f)) - f->lsb);
			uint64_t v, want;

			memset(&flow, 0x5a, sizeof flow);
			sf.ofs = (uint16_t)(draw() % room);
			sf.n_bits = (uint16_t)(1 + draw() % SL_MIN(room - sf.ofs, 64u));
			assert_true(subfield_is_valid(&sf));
			v = draw();
			want = sf.n_bits == 64 ? v : v & ((1ull << sf.n_bits) - 1);
			if (f->id == FIELD_NW_TOS)
				want &= sf.ofs >= 2 ? ~0ull : ~0ull << (2 - sf.ofs);
			subfield_write_u64(&sf, &flow, v);
			assert_true(subfield_read_u64(&sf, &flow) == want);
			subfield_unwildcard(&sf, &mask);
			/* What the mask covers is enough to read the same. */
			for (size_t i = 0; i < sizeof flow; i++)
				((uint8_t *)&flow)[i] &= ((uint8_t *)&mask)[i];
			assert_true(subfield_read_u64(&sf, &flow) == want);
		}
	}
	assert_false(subfield_is_valid(&(struct subfield){.field = FIELD_N, .n_bits = 1}));
	assert_false(
		subfield_is_valid(&(struct subfield){.field = FIELD_REG0, .ofs = 31, .n_bits = 2}));
	assert_false(subfield_is_valid(&(struct subfield){.field = FIELD_REG0}));
}

/* The wide path of sub-fields against bits copied one by one. */
static void subfields_agree_with_bits(void **state)
{
	for (int round = 0; round < 20000; round++) {
		const struct field_info *f = &fields[draw() % FIELD_N];
		const struct field_info *g = &fields[draw() % FIELD_N];
		struct subfield src = {.field = (uint16_t)f->id}, dst = {.field = (uint16_t)g->id};
		struct flow from, to, want;
		union field_value a, b, got, bits = {0};
		unsigned n;

		for (size_t i = 0; i < sizeof from; i++) {
			((uint8_t *)&from)[i] = (uint8_t)draw();
			((uint8_t *)&to)[i] = (uint8_t)draw();
		}
		src.ofs = (uint16_t)(draw() % f->n_bits);
		dst.ofs = (uint16_t)(draw() % g->n_bits);
		n = (unsigned)(1 + draw() % SL_MIN(f->n_bits - src.ofs, g->n_bits - dst.ofs));
		src.n_bits = dst.n_bits = (uint16_t)n;
		field_get(f, &from, &a);
		bits_copy(a.b, f->n_bytes, src.ofs, bits.b, (n + 7) / 8, 0, n);
		subfield_read(&src, &from, &got);
		assert_memory_equal(got.b, bits.b, (n + 7) / 8);
		want = to;
		field_get(g, &want, &b);
		bits_copy(bits.b, (n + 7) / 8, 0, b.b, g->n_bytes, dst.ofs, n);
		field_set(g, &want, &b);
		subfield_copy(&src, &dst, &from, &to);
		if (memcmp(&want, &to, sizeof to))
			fail_msg("%s[%u] to %s[%u], %u bits", f->name, src.ofs, g->name, dst.ofs,
				 n);
	}
}

static void overlays_share_bits(void **state)
{
	struct flow flow = {0};

	flow.regs.reg[0] = cpu_to_be32(0x01020304);
	flow.regs.reg[1] = cpu_to_be32(0x05060708);
	struct subfield x = {.field = FIELD_XREG0, .n_bits = 64};
	struct subfield xx = {.field = FIELD_XXREG0, .ofs = 64, .n_bits = 64};

	assert_true(subfield_read_u64(&x, &flow) == 0x0102030405060708ull);
	assert_true(subfield_read_u64(&xx, &flow) == 0x0102030405060708ull);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_sound),
		cmocka_unit_test(names_and_headers_lead_back),
		cmocka_unit_test(set_changes_only_the_field),
		cmocka_unit_test(match_keeps_its_invariant),
		cmocka_unit_test(in_port_has_two_widths),
		cmocka_unit_test(prerequisites_hold_when_filled),
		cmocka_unit_test(subfields_move_bits),
		cmocka_unit_test(subfields_agree_with_bits),
		cmocka_unit_test(overlays_share_bits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
