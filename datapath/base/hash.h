/* SPDX-License-Identifier: BSD-3-Clause */
/* Keyed hash (SipHash-1-3, Aumasson & Bernstein 2012) for every table whose keys a peer chooses,
 * and a cheap mixer for keys that nobody outside chooses. Any thread. */
#pragma once
#include "datapath/base/util.h"

/* Uses a process-wide random key drawn at start. */
uint64_t hash_bytes(const void *p, size_t n);
uint64_t hash_bytes_keyed(const void *p, size_t n, const uint64_t key[2]);
/* The same over the 19 bytes of two words and the low 24 bits of `tail`, without their loop. */
uint64_t hash_pair(uint64_t a, uint64_t b, uint32_t tail);
uint64_t hash_string(const char *s);
/* Replaces the process key: only for reproducible tests and replay, before any table exists. */
void hash_set_key(const uint64_t key[2]);
void hash_get_key(uint64_t key[2]); /* for recordings; a secret against those who choose keys */

static inline uint64_t hash_u64(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ (x >> 33);
}
