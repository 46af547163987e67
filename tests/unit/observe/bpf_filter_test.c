/* SPDX-License-Identifier: BSD-3-Clause */
/* Filters: what libpcap compiles is accepted and decides as it should; what could run out of the
 * program or its memory is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "datapath/base/err.h"
#include "datapath/observe/bpf_filter.h"

/* tcpdump -y EN10MB -ddd 'ip and tcp dst port 80' */
static const struct bpf_insn_wire port_80[] = {
	{40, 0, 0, 12}, {21, 0, 8, 2048}, {48, 0, 0, 23},  {21, 0, 6, 6},
	{40, 0, 0, 20}, {69, 4, 0, 8191}, {177, 0, 0, 14}, {72, 0, 0, 16},
	{21, 0, 1, 80}, {6, 0, 0, 65535}, {6, 0, 0, 0},
};

static struct rte_mbuf packet_of(uint8_t *data, uint16_t n)
{
	struct rte_mbuf m;

	memset(&m, 0, sizeof m);
	m.buf_addr = data;
	m.data_len = n;
	m.pkt_len = n;
	m.nb_segs = 1;
	return m;
}

static void a_filter_decides(void **state)
{
	uint8_t data[64] = {[12] = 8, [14] = 0x45, [23] = 6, [37] = 80};
	struct bpf_filter *f;
	struct err e = {0};
	struct rte_mbuf m = packet_of(data, sizeof data);

	assert_int_equal(bpf_filter_create(port_80, sizeof port_80, &f, &e), 0);
	assert_true(bpf_filter_matches(f, &m));
	assert_true(bpf_filter_run(f, &m));
	data[37] = 81;
	assert_false(bpf_filter_matches(f, &m));
	assert_false(bpf_filter_run(f, &m));
	data[37] = 80;
	m.data_len = m.pkt_len = 30; /* cut before the port: no match, no read beyond */
	assert_false(bpf_filter_matches(f, &m));
	bpf_filter_destroy(f);
}

static void nothing_keeps_everything(void **state)
{
	static const struct bpf_insn_wire keep = {6, 0, 0, 65535}, drop = {6, 0, 0, 0};
	uint8_t data[14] = {0};
	struct rte_mbuf m = packet_of(data, sizeof data);
	struct bpf_filter *f;

	assert_int_equal(bpf_filter_create(NULL, 0, &f, NULL), 0);
	assert_true(bpf_filter_matches(f, &m));
	bpf_filter_destroy(f);
	assert_int_equal(bpf_filter_create(&keep, sizeof keep, &f, NULL), 0);
	assert_true(bpf_filter_matches(f, &m));
	bpf_filter_destroy(f);
	assert_int_equal(bpf_filter_create(&drop, sizeof drop, &f, NULL), 0);
	assert_false(bpf_filter_matches(f, &m));
	bpf_filter_destroy(f);
}

/* Random programs: what the check lets through ends, and reads nothing outside the packet (the
 * sanitizers watch). */
static void random_programs(void **state)
{
	static const uint16_t codes[] = {32, 40, 48, 64, 72, 80,  177, 0,     1,  128, 129,
					 96, 97, 2,  3,  4,  20,  36,  52,    84, 100, 12,
					 28, 44, 60, 92, 7,  135, 132, 5,     21, 37,  53,
					 69, 29, 45, 61, 77, 6,   22,  0xffff};
	uint8_t data[80];
	unsigned ran = 0;

	srandom(7);
	for (unsigned round = 0; round < 4000; round++) {
		struct bpf_insn_wire p[12];
		size_t n = 1 + (size_t)random() % SL_ARRAY_SIZE(p);
		struct bpf_filter *f;
		struct err e = {0};
		struct rte_mbuf m = packet_of(data, (uint16_t)(random() % sizeof data));

		for (size_t i = 0; i < n; i++)
			p[i] = (struct bpf_insn_wire){
				.code = codes[(size_t)random() % SL_ARRAY_SIZE(codes)],
				.jt = (uint8_t)(random() % 4),
				.jf = (uint8_t)(random() % 4),
				.k = (uint32_t)(random() % 3 ? random() % 90 : random()),
			};
		p[n - 1].code = 6;
		if (bpf_filter_check(p, n, &e)) {
			assert_true(strlen(e.text));
			continue;
		}
		assert_int_equal(bpf_filter_create(p, n * sizeof *p, &f, &e), 0);
		ran++;
		bpf_filter_run(f, &m);
		bpf_filter_destroy(f);
	}
	assert_true(ran > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_filter_decides),
		cmocka_unit_test(nothing_keeps_everything),
		cmocka_unit_test(random_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
