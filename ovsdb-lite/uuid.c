/* SPDX-License-Identifier: BSD-3-Clause */
/* Random bytes are fetched 4 KB at a time: one system call per 256 rows instead of one per row. */
#include "ovsdb-lite/uuid.h"

#include <string.h>
#include <sys/random.h>

#include "datapath/base/clock.h"

static struct {
	uint64_t words[512];
	size_t used;
	bool filled;
} pool;

static uint64_t random_word(void)
{
	if (!pool.filled || pool.used == SL_ARRAY_SIZE(pool.words)) {
		size_t got = 0;

		while (got < sizeof pool.words) {
			ssize_t n = getrandom((char *)pool.words + got, sizeof pool.words - got, 0);

			if (n > 0)
				got += (size_t)n;
		}
		pool.used = 0;
		pool.filled = true;
	}
	return pool.words[pool.used++];
}

void uuid_generate(struct uuid *u)
{
	u->hi = (random_word() & ~0xf000ull) | 0x4000;
	u->lo = (random_word() & ~(3ull << 62)) | (2ull << 62);
}

uint64_t uuid_hash(const struct uuid *u)
{
	static uint64_t key[2];

	if (SL_UNLIKELY(!key[0])) {
		key[0] = random_word() | 1;
		key[1] = random_word();
	}
	return hash_u64(u->hi ^ key[0]) ^ hash_u64(u->lo + key[1]);
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool uuid_parse(const char *text, struct uuid *u)
{
	uint64_t half[2] = {0, 0};
	int digits = 0;

	for (int i = 0; i < 36; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text[i] != '-')
				return false;
			continue;
		}
		int v = nibble(text[i]);
		if (v < 0)
			return false;
		half[digits / 16] = half[digits / 16] << 4 | (uint64_t)v;
		digits++;
	}
	if (text[36])
		return false;
	u->hi = half[0];
	u->lo = half[1];
	return true;
}

void uuid_format(const struct uuid *u, char text[UUID_TEXT_BYTES])
{
	static const char hex[] = "0123456789abcdef";
	int digits = 0;

	for (int i = 0; i < 36; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			text[i] = '-';
			continue;
		}
		uint64_t half = digits < 16 ? u->hi : u->lo;
		text[i] = hex[half >> (60 - 4 * (digits % 16)) & 15];
		digits++;
	}
	text[36] = '\0';
}
