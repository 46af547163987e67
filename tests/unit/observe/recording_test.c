/* SPDX-License-Identifier: BSD-3-Clause */
/* The form of recordings: what goes in comes out, a full one ends cleanly, and a damaged one is
 * refused with the place, whatever byte is missing and whatever bit is wrong. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "datapath/base/err.h"
#include "datapath/base/hash.h"
#include "datapath/observe/record.h"

/* The file that the pieces make. */
static struct recording_file assemble(const struct recording *r)
{
	struct recording_file f = {.name = "test.rec"};
	const void *piece;
	size_t n;

	for (size_t i = 0; (piece = recording_piece(r, i, &n)); i++) {
		f.data = realloc(f.data, f.len + n);
		assert_non_null(f.data);
		memcpy(f.data + f.len, piece, n);
		f.len += n;
	}
	return f;
}

static uint64_t value(uint64_t i)
{
	return i % 3 ? hash_u64(i) >> (i % 64) : i;
}

static struct recording *make(size_t limit, unsigned n)
{
	struct recording *r = recording_create(limit);
	uint8_t bytes[200];

	memset(bytes, 0x5a, sizeof bytes);
	for (unsigned i = 0; i < n; i++) {
		recording_begin(r, (enum recording_event)(1 + i % (REC_CLOSE - 1)));
		recording_put(r, value(i));
		recording_put_bytes(r, bytes, i % sizeof bytes);
		recording_put(r, i);
		recording_end(r);
	}
	recording_close(r, REC_CLOSE, (const uint64_t[]){7, n}, 2);
	return r;
}

static unsigned read_back(const struct recording_file *f)
{
	struct recording_cursor at = {0, 0};
	struct rec_in in;
	unsigned n = 0;
	size_t len;

	for (; recording_next(f, &at, &in) && in.type != REC_CLOSE; n++) {
		assert_int_equal(in.type, 1 + n % (REC_CLOSE - 1));
		assert_int_equal(rec_in_u64(&in), value(n));
		rec_in_bytes(&in, &len);
		assert_int_equal(len, n % 200);
		assert_int_equal(rec_in_u64(&in), n);
		assert_false(in.bad);
		assert_ptr_equal(in.p, in.end);
		rec_in_u64(&in); /* behind the end */
		assert_true(in.bad);
	}
	assert_int_equal(rec_in_u64(&in), 7);
	assert_false(recording_next(f, &at, &in));
	return n;
}

static void what_goes_in_comes_out(void **state)
{
	struct recording *r = make(64 << 20, 20000);
	struct recording_file f = assemble(r);
	struct err e = {0};

	assert_false(recording_check(&f, &e));
	assert_int_equal(read_back(&f), 20000);
	assert_int_equal(recording_bytes(r), f.len);
	recording_destroy(r);
	recording_free(&f);
}

static void a_full_one_is_whole_up_to_there(void **state)
{
	struct recording *r = make(RECORDING_BYTES_MIN, 20000);
	struct recording_file f = assemble(r);
	struct err e = {0};

	assert_false(recording_check(&f, &e));
	unsigned n = read_back(&f);
	assert_true(n > 100 && n < 20000);
	assert_true(f.len <= RECORDING_BYTES_MIN);
	recording_destroy(r);
	recording_free(&f);
}

/* Two parts in a file are read one at a time; the first may not be the last. */
static void parts_follow_each_other(void **state)
{
	struct recording *a = recording_create(1 << 20), *b = make(1 << 20, 60);
	struct recording_file f, g = assemble(b);
	struct recording_cursor at = {0, 0};
	struct rec_in in;
	struct err e = {0};

	recording_begin(a, REC_READY);
	assert_true(recording_end(a));
	recording_close(a, REC_PART, (const uint64_t[]){5}, 1);
	f = assemble(a);
	assert_int_equal(recording_check(&f, &e), -EINVAL);
	assert_non_null(strstr(e.text, "another part should follow"));
	size_t first = f.len;
	f.data = realloc(f.data, first + g.len);
	assert_non_null(f.data);
	memcpy(f.data + first, g.data, g.len);
	f.len += g.len;
	assert_false(recording_check(&f, &e));
	assert_true(recording_part(&f, 0, &at));
	assert_true(recording_next(&f, &at, &in) && in.type == REC_READY);
	assert_true(recording_next(&f, &at, &in) && in.type == REC_PART);
	assert_false(recording_next(&f, &at, &in));
	assert_true(recording_part(&f, 1, &at));
	assert_true(recording_next(&f, &at, &in) && in.at > first);
	assert_false(recording_part(&f, 2, &at));
	/* The last one twice: nothing may be behind its end. */
	f.data = realloc(f.data, f.len + g.len);
	assert_non_null(f.data);
	memcpy(f.data + f.len, g.data, g.len);
	f.len += g.len;
	err_clear(&e);
	assert_int_equal(recording_check(&f, &e), -EINVAL);
	recording_destroy(a);
	recording_destroy(b);
	recording_free(&f);
	recording_free(&g);
}

static void refused(const struct recording_file *f)
{
	struct err e = {0};

	assert_int_equal(recording_check(f, &e), -EINVAL);
	assert_non_null(strstr(e.text, "test.rec: byte "));
}

static void no_byte_may_be_missing(void **state)
{
	struct recording *r = make(1 << 20, 60);
	struct recording_file f = assemble(r);
	size_t len = f.len;

	for (f.len = 0; f.len < len; f.len++)
		refused(&f);
	recording_destroy(r);
	recording_free(&f);
}

static void no_bit_may_be_wrong(void **state)
{
	struct recording *r = make(1 << 20, 60);
	struct recording_file f = assemble(r);

	for (size_t bit = 0; bit < f.len * 8; bit++) {
		f.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		refused(&f);
		f.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	recording_destroy(r);
	recording_free(&f);
}

static void files_are_loaded_or_named(void **state)
{
	char path[] = "/tmp/sluice-recording-XXXXXX";
	struct recording *r = make(1 << 20, 60);
	struct recording_file f = assemble(r), loaded;
	struct err e = {0};
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, f.data, f.len), (ssize_t)f.len);
	assert_false(recording_load(path, &loaded, &e));
	assert_int_equal(loaded.len, f.len);
	assert_memory_equal(loaded.data, f.data, f.len);
	recording_free(&loaded);
	assert_false(ftruncate(fd, (off_t)f.len - 1));
	assert_int_equal(recording_load(path, &loaded, &e), -EINVAL);
	assert_non_null(strstr(e.text, path));
	close(fd);
	unlink(path);
	err_clear(&e);
	assert_int_equal(recording_load(path, &loaded, &e), -ENOENT);
	err_clear(&e);
	assert_true(recording_load("/tmp", &loaded, &e) < 0);
	recording_destroy(r);
	recording_free(&f);
}

/* A result that differs in anything gives another hash, and so does another order. */
static void hashes_tell_results_apart(void **state)
{
	struct record_result a = {REC_OUT, {1, 60, 0x1234, 0}}, b = a;
	uint64_t h = record_hash(0, &a);

	for (unsigned i = 0; i < 4; i++) {
		b = a;
		b.v[i]++;
		assert_int_not_equal(record_hash(0, &b), h);
	}
	b = a;
	b.kind = REC_DROP;
	assert_int_not_equal(record_hash(0, &b), h);
	assert_int_not_equal(record_hash(record_hash(0, &a), &b),
			     record_hash(record_hash(0, &b), &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_goes_in_comes_out),
		cmocka_unit_test(a_full_one_is_whole_up_to_there),
		cmocka_unit_test(parts_follow_each_other),
		cmocka_unit_test(no_byte_may_be_missing),
		cmocka_unit_test(no_bit_may_be_wrong),
		cmocka_unit_test(files_are_loaded_or_named),
		cmocka_unit_test(hashes_tell_results_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
