/* SPDX-License-Identifier: BSD-3-Clause */
/* Datagrams out of fragments in every order, with copies, overlaps and floods: the table's
 * invariants hold after each step, and what comes out whole is whole and in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/exec/fragments.h"

enum { PORT = 3, OTHER_PORT = 4, PIECE = 1208 };

static struct rte_mbuf buffers[4096];
static unsigned n_buffers;

static struct ct_fragment_at piece(uint32_t id, unsigned i, unsigned n)
{
	struct ct_fragment_at f = {.id = id, .begin = i * PIECE, .last = i == n - 1};

	f.key.family = 4;
	f.key.proto = 17;
	f.key.src[0] = 1;
	f.end = f.begin + (f.last ? 100 : PIECE);
	f.ip_bytes = 20 + f.end - f.begin;
	f.payload_ofs = 34;
	return f;
}

static enum fragments_answer add(uint32_t port, const struct ct_fragment_at *f,
				 struct fragments_out *out)
{
	struct packet p = {.m = &buffers[n_buffers++ % SL_ARRAY_SIZE(buffers)],
			   .s = {.in_port = port}};
	enum fragments_answer a = fragments_add(&p, f, 1000, out);

	assert_true(fragments_check_invariants());
	return a;
}

static unsigned drain(uint16_t chain)
{
	struct packet p;
	unsigned n = 0;

	while (fragments_take(&chain, &p))
		n++;
	return n;
}

static uint32_t held(void)
{
	struct fragments_status s;

	fragments_status(&s);
	return s.held;
}

/* Every order of the pieces; whole with the last one and never before. */
static void any_order(void **state)
{
	enum { N = 7 };
	struct fragments_out out;

	srand(5);
	for (uint32_t id = 0; id < 500; id++) {
		uint8_t order[N];
		uint32_t at = 0;

		for (unsigned i = 0; i < N; i++)
			order[i] = (uint8_t)i;
		for (unsigned i = N - 1; i; i--) {
			unsigned k = (unsigned)rand() % (i + 1);
			uint8_t t = order[i];

			order[i] = order[k];
			order[k] = t;
		}
		for (unsigned i = 0; i < N; i++) {
			struct ct_fragment_at f = piece(id, order[i], N);

			assert_int_equal(add(PORT, &f, &out),
					 i == N - 1 ? FRAGMENTS_WHOLE : FRAGMENTS_HELD);
			if (i && i < N - 1) { /* a copy */
				assert_int_equal(add(PORT, &f, &out), FRAGMENTS_REFUSED);
				assert_int_equal(drain(out.chain), 1);
			}
		}
		for (uint16_t i = out.chain; i != FRAGMENTS_NONE; i = fragments_node(i)->next) {
			assert_int_equal(fragments_node(i)->begin, at);
			at = fragments_node(i)->end;
		}
		assert_int_equal(at, (N - 1) * PIECE + 100);
		assert_int_equal(drain(out.chain), N);
		assert_int_equal(held(), 0);
	}
}

static void contradictions(void **state)
{
	struct fragments_out out;
	struct ct_fragment_at f = piece(1, 0, 3), g = piece(1, 1, 3), h = piece(1, 2, 3);

	add(PORT, &f, &out);
	g.begin -= 8; /* overlaps the first */
	g.ip_bytes += 8;
	assert_int_equal(add(PORT, &g, &out), FRAGMENTS_REFUSED);
	assert_int_equal(out.why, DROP_CT_FRAGMENT_OVERLAP);
	assert_int_equal(drain(out.chain), 2);
	assert_int_equal(held(), 0);
	/* The end lies before something that came already. */
	add(PORT, &h, &out);
	f.last = true;
	assert_int_equal(add(PORT, &f, &out), FRAGMENTS_REFUSED);
	assert_int_equal(drain(out.chain), 2);
	/* Odd ones are nobody's. */
	f = piece(1, 0, 3);
	f.end -= 1;
	f.ip_bytes -= 1;
	assert_int_equal(add(PORT, &f, &out), FRAGMENTS_INVALID);
	f = piece(1, 54, 60);
	f.begin = 65528;
	f.end = f.begin + PIECE;
	assert_int_equal(add(PORT, &f, &out), FRAGMENTS_INVALID);
	f = piece(1, 0, 3);
	f.end = 400;
	f.ip_bytes = 420;
	assert_int_equal(add(PORT, &f, &out), FRAGMENTS_INVALID);
	assert_int_equal(held(), 0);
}

/* Another port's fragments are no part of a datagram, nor pushed out. */
static void floods(void **state)
{
	struct fragments_out out;
	struct ct_fragment_at f = piece(7, 0, 2), g = piece(7, 1, 2);
	uint32_t dropped = 0;

	fragments_set_max(100);
	assert_int_equal(add(OTHER_PORT, &f, &out), FRAGMENTS_HELD);
	for (uint32_t id = 0; id < 1000; id++) {
		f = piece(id, 0, 2);
		assert_int_equal(add(PORT, &f, &out), FRAGMENTS_HELD);
		dropped += drain(out.victims);
		assert_true(held() <= 51);
	}
	assert_int_equal(dropped, 950);
	assert_int_equal(fragments_held(PORT), 50);
	assert_int_equal(add(OTHER_PORT, &g, &out), FRAGMENTS_WHOLE);
	assert_int_equal(drain(out.chain), 2);
	/* Each second half makes room for itself first: at the cost of the port's oldest, until
	 * there is room. The newest are there in any case. */
	for (uint32_t id = 999; held(); id--) {
		f = piece(id, 1, 2);
		assert_int_equal(add(PORT, &f, &out), FRAGMENTS_WHOLE);
		drain(out.chain);
		drain(out.victims);
	}
	assert_int_equal(held(), 0);
	/* One datagram larger than the share goes on growing; others of the port do not. */
	fragments_set_max(4);
	for (unsigned i = 0; i < 3; i++) {
		f = piece(1, i, 6);
		assert_int_equal(add(PORT, &f, &out), FRAGMENTS_HELD);
		assert_int_equal(drain(out.victims), 0);
	}
	fragments_set_max(0);
	f = piece(2, 0, 2);
	assert_int_equal(add(OTHER_PORT, &f, &out), FRAGMENTS_INVALID);
	drain(out.victims);
	fragments_set_max(FRAGMENTS_MAX_DEFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order),
		cmocka_unit_test(contradictions),
		cmocka_unit_test(floods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
