/* SPDX-License-Identifier: BSD-3-Clause */
/* How field.c and subfield.c reach the bits of a field: shared by these two only. */
#pragma once
#include "datapath/flow/field.h"

/* Fields of up to 8 bytes go through a u64; longer ones are whole bytes (checked by a test). */
enum { WORD_BYTES = 8 };

static inline uint64_t load_n(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	switch (n) {
	case 2:
		return load_be16(p);
	case 4:
		return load_be32(p);
	case 8:
		return load_be64(p);
	}
	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static inline void store_n(uint8_t *p, size_t n, uint64_t v)
{
	while (n--) {
		p[n] = (uint8_t)v;
		v >>= 8;
	}
}

/* Bits of the storage word that belong to the field. Tunnel options that are longer than their row
 * says fill their place. */
static inline uint64_t word_mask(const struct field_info *f, size_t key_bytes)
{
	unsigned bits = key_bytes == f->key_bytes ? f->key_bits : 8u * (unsigned)key_bytes;
	uint64_t m = bits >= 64 ? ~0ull : (1ull << bits) - 1;

	return (m << f->lsb) & ~(uint64_t)f->hole;
}

static inline const uint8_t *at(const struct field_info *f, const struct flow *flow)
{
	return &flow->line[0][0] + field_offset(f);
}

static inline uint8_t *at_rw(const struct field_info *f, struct flow *flow)
{
	return &flow->line[0][0] + field_offset(f);
}

/* Members that say the same thing in another form follow the one that was written. */
void field_follow(const struct field_info *f, struct flow *flow);
/* ORs a mask in value form into the place of the field. */
void field_add_bits(const struct field_info *f, struct flow *mask, const union field_value *bits);
