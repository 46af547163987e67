/* SPDX-License-Identifier: BSD-3-Clause */
/* Packet sets: every kind builds at every option, flows differ, checksums are right with and
 * without a mark, capture files come back as they were written, bad specifications are named. */
#include "perf/gen/packet_set.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "perf/gen/packet_build.h"

/* An IPv4 header or a transport segment with its pseudo header sums to all ones. */
static void check_checksums(const uint8_t *p, uint16_t bytes)
{
	struct packet_layout l;
	if (!packet_locate(p, bytes, &l))
		return;
	if (!l.ipv6)
		assert_int_equal(packet_sum(p + l.l3, 20, 0), 0xffff);
	if (load_be16(p + l.checksum) == 0)
		return; /* UDP without */
	uint16_t length = l.ipv6 ? load_be16(p + l.l3 + 4)
				 : (uint16_t)(load_be16(p + l.l3 + 2) - (l.l4 - l.l3));
	uint32_t sum = packet_sum(p + l.l3 + (l.ipv6 ? 8 : 12), l.ipv6 ? 32 : 8,
				  (uint32_t)l.proto + length);
	assert_int_equal(packet_sum(p + l.l4, length, sum), 0xffff);
}

static void check_mark(const uint8_t *p, uint16_t bytes, uint8_t mark)
{
	uint16_t magic;
	memcpy(&magic, p + bytes - 2, sizeof magic);
	assert_int_equal(magic, PACKET_TRAILER_MAGIC);
	assert_int_equal(p[bytes - 3], mark);
}

static void every_kind_at_every_option(void **state)
{
	struct err e;
	for (unsigned i = 0; i < PACKET_SET_N_KINDS * 32; i++) {
		struct packet_set_spec spec = {.kind = (enum packet_set_kind)(i / 32),
					       .flows = 300,
					       .tcp = i & 1,
					       .ipv6 = i & 2,
					       .vlan = i & 4 ? 10 : 0,
					       .mark = i & 8 ? 5 : 0,
					       .reverse = i & 16,
					       .macs = 7};
		struct packet_set set;
		err_clear(&e);
		assert_int_equal(packet_set_build(&set, &spec, &e), 0);
		assert_int_equal(set.count, 300);
		assert_true(set.uniform_bytes >= 64 && set.uniform_bytes <= set.stride_bytes);
		for (uint32_t k = 0; k < set.count; k++) {
			const uint8_t *p = packet_set_at(&set, k);
			check_checksums(p, set.uniform_bytes);
			if (spec.mark)
				check_mark(p, set.uniform_bytes, spec.mark);
			/* no two packets are the same, whatever the kind */
			if (k)
				assert_memory_not_equal(p, packet_set_at(&set, k - 1),
							set.uniform_bytes);
		}
		packet_set_free(&set);
	}
}

static int compare_hashes(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static void flows_are_distinct(void **state)
{
	enum { FLOWS = 1000 };
	struct packet_set_spec spec = {.kind = PACKET_SET_L2, .flows = FLOWS};
	struct packet_set set;
	struct err e = {0};
	uint32_t hashes[FLOWS];
	assert_int_equal(packet_set_build(&set, &spec, &e), 0);
	for (uint32_t i = 0; i < FLOWS; i++)
		hashes[i] = packet_set_hash(packet_set_at(&set, i), set.uniform_bytes);
	qsort(hashes, FLOWS, sizeof hashes[0], compare_hashes);
	for (uint32_t i = 1; i < FLOWS; i++)
		assert_int_not_equal(hashes[i], hashes[i - 1]);
	packet_set_free(&set);
}

/* First bit in which two values of `width` bits differ, counted from the most significant. */
static unsigned first_difference(uint32_t a, uint32_t b, unsigned width)
{
	for (unsigned i = 0; i < width; i++)
		if (((a ^ b) >> (width - 1 - i)) & 1)
			return i;
	return width;
}

static void explosion_has_every_triple_once(void **state)
{
	struct packet_set_spec spec = {.kind = PACKET_SET_TSE};
	struct packet_set set;
	struct err e = {0};
	static bool seen[32][16][16];
	assert_int_equal(packet_set_build(&set, &spec, &e), 0);
	assert_int_equal(set.count, 8192);
	for (uint32_t i = 0; i < set.count; i++) {
		const uint8_t *ip = packet_set_at(&set, i) + 14;
		unsigned a = first_difference(load_be32(ip + 12), 0x0a00000a, 32);
		unsigned b = first_difference(load_be16(ip + 20), 12345, 16);
		unsigned c = first_difference(load_be16(ip + 22), 80, 16);
		assert_true(a < 32 && b < 16 && c < 16);
		assert_false(seen[a][b][c]);
		seen[a][b][c] = true;
	}
	packet_set_free(&set);
}

static void capture_files_come_back(void **state)
{
	char path[] = "/tmp/packet_set_test.XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	struct packet_set_spec spec = {.kind = PACKET_SET_L2, .flows = 50, .tcp = true};
	struct packet_set made, read, marked;
	struct err e = {0};
	assert_int_equal(packet_set_build(&made, &spec, &e), 0);
	assert_int_equal(packet_set_save(&made, path, &e), 0);
	assert_int_equal(packet_set_load(&read, path, 0, &e), 0);
	assert_int_equal(packet_set_load(&marked, path, 3, &e), 0);
	assert_int_equal(read.count, made.count);
	for (uint32_t i = 0; i < made.count; i++) {
		assert_memory_equal(packet_set_at(&read, i), packet_set_at(&made, i), 64);
		check_mark(packet_set_at(&marked, i), 64, 3);
		check_checksums(packet_set_at(&marked, i), 64);
	}
	packet_set_free(&made);
	packet_set_free(&read);
	packet_set_free(&marked);

	assert_int_equal(truncate(path, 30), 0);
	err_clear(&e);
	assert_true(packet_set_load(&read, path, 0, &e) < 0);
	assert_non_null(strstr(e.text, "pcap: "));
	unlink(path);
	err_clear(&e);
	assert_true(packet_set_load(&read, path, 0, &e) < 0);
}

static void bad_specifications_are_named(void **state)
{
	static const struct {
		struct packet_set_spec spec;
		const char *text;
	} cases[] = {
		{{.size_bytes = 20}, "size: 20: l2 needs at least 42"},
		{{.size_bytes = 65530}, "size: 65530: at most 65520"},
		{{.mark = 8}, "mark: 8: at most 7"},
		{{.vlan = 4095}, "vlan: 4095: at most 4094"},
		{{.flows = PACKET_SET_MAX_FLOWS + 1}, "flows: 16777217: at most 16777216"},
		{{.kind = PACKET_SET_N_KINDS}, "set: unknown kind"},
	};
	for (size_t i = 0; i < SL_ARRAY_SIZE(cases); i++) {
		struct packet_set set;
		struct err e = {0};
		assert_int_equal(packet_set_build(&set, &cases[i].spec, &e), -EINVAL);
		assert_non_null(strstr(e.text, cases[i].text));
	}
	enum packet_set_kind kind;
	assert_int_equal(packet_set_kind_from_name("nonsense", &kind), -EINVAL);
	assert_int_equal(packet_set_kind_from_name("tse", &kind), 0);
	assert_int_equal(kind, PACKET_SET_TSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_at_every_option),
		cmocka_unit_test(flows_are_distinct),
		cmocka_unit_test(explosion_has_every_triple_once),
		cmocka_unit_test(capture_files_come_back),
		cmocka_unit_test(bad_specifications_are_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
