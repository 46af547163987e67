/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/base/hash.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

static uint64_t process_key[2];

__attribute__((constructor)) static void draw_key(void)
{
	if (getrandom(process_key, sizeof process_key, 0) != sizeof process_key)
		process_key[0] = hash_u64((uint64_t)time(NULL));
}

void hash_set_key(const uint64_t key[2])
{
	memcpy(process_key, key, sizeof process_key);
}

void hash_get_key(uint64_t key[2])
{
	memcpy(key, process_key, sizeof process_key);
}

static inline uint64_t rotl(uint64_t x, int b)
{
	return (x << b) | (x >> (64 - b));
}

#define SIP_ROUND                                                                                  \
	do {                                                                                       \
		v0 += v1, v1 = rotl(v1, 13), v1 ^= v0, v0 = rotl(v0, 32);                          \
		v2 += v3, v3 = rotl(v3, 16), v3 ^= v2;                                             \
		v0 += v3, v3 = rotl(v3, 21), v3 ^= v0;                                             \
		v2 += v1, v1 = rotl(v1, 17), v1 ^= v2, v2 = rotl(v2, 32);                          \
	} while (0)

uint64_t hash_bytes_keyed(const void *data, size_t n, const uint64_t key[2])
{
	uint64_t v0 = key[0] ^ 0x736f6d6570736575ull, v1 = key[1] ^ 0x646f72616e646f6dull;
	uint64_t v2 = key[0] ^ 0x6c7967656e657261ull, v3 = key[1] ^ 0x7465646279746573ull;
	const uint8_t *p = data;
	uint64_t last = (uint64_t)n << 56, m;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&m, p, 8);
		v3 ^= m;
		SIP_ROUND;
		v0 ^= m;
	}
	m = 0;
	if (n)
		memcpy(&m, p, n);
	last |= m;
	v3 ^= last;
	SIP_ROUND;
	v0 ^= last;
	v2 ^= 0xff;
	SIP_ROUND;
	SIP_ROUND;
	SIP_ROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}

uint64_t hash_bytes(const void *p, size_t n)
{
	return hash_bytes_keyed(p, n, process_key);
}

uint64_t hash_pair(uint64_t a, uint64_t b, uint32_t tail)
{
	uint64_t v0 = process_key[0] ^ 0x736f6d6570736575ull;
	uint64_t v1 = process_key[1] ^ 0x646f72616e646f6dull;
	uint64_t v2 = process_key[0] ^ 0x6c7967656e657261ull;
	uint64_t v3 = process_key[1] ^ 0x7465646279746573ull;
	uint64_t last = (uint64_t)19 << 56 | (tail & 0xffffff);

	v3 ^= a;
	SIP_ROUND;
	v0 ^= a;
	v3 ^= b;
	SIP_ROUND;
	v0 ^= b;
	v3 ^= last;
	SIP_ROUND;
	v0 ^= last;
	v2 ^= 0xff;
	SIP_ROUND;
	SIP_ROUND;
	SIP_ROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}

uint64_t hash_string(const char *s)
{
	return hash_bytes(s, strlen(s));
}
