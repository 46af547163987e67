/* SPDX-License-Identifier: BSD-3-Clause */
/* 128-bit row names (RFC 4122 text form, RFC 7047 §3.1 <uuid>). Event-loop thread only, because
 * the generator is not locked. */
#pragma once
#include "datapath/base/hash.h"
#include "datapath/base/util.h"

enum { UUID_TEXT_BYTES = 37 }; /* 36 characters and the NUL */

/* hi holds the first eight bytes of the text, so (hi, lo) compares as the text does. */
struct uuid {
	uint64_t hi, lo;
};

static inline bool uuid_eq(const struct uuid *a, const struct uuid *b)
{
	return a->hi == b->hi && a->lo == b->lo;
}
static inline int uuid_cmp(const struct uuid *a, const struct uuid *b)
{
	if (a->hi != b->hi)
		return a->hi < b->hi ? -1 : 1;
	return a->lo < b->lo ? -1 : a->lo > b->lo;
}
static inline bool uuid_is_zero(const struct uuid *u)
{
	return !(u->hi | u->lo);
}
/* Clients may choose row uuids (insert's "uuid" member), so the hash is keyed. */
uint64_t uuid_hash(const struct uuid *u);

void uuid_generate(struct uuid *u); /* version 4, from the kernel's random pool */
/* Exactly 36 characters, either case; false leaves *u alone. */
bool uuid_parse(const char *text, struct uuid *u);
void uuid_format(const struct uuid *u, char text[UUID_TEXT_BYTES]);
