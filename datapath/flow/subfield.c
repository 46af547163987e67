/* SPDX-License-Identifier: BSD-3-Clause */
/* Ranges of bits of fields: reading, writing, copying between them. The interface is in field.h.
 * On the path of a miss; stateless, nothing is allocated. */
#include "datapath/flow/field.h"

#include <string.h>

#include "datapath/flow/field_priv.h"

static bool get_bit(const uint8_t *p, size_t n, unsigned bit)
{
	return p[n - 1 - bit / 8] >> bit % 8 & 1;
}

void bits_copy(const uint8_t *src, size_t src_bytes, unsigned src_ofs, uint8_t *dst,
	       size_t dst_bytes, unsigned dst_ofs, unsigned n_bits)
{
	while (n_bits) {
		/* Whole bytes when both sides are aligned, else bit by bit. */
		if (src_ofs % 8 == 0 && dst_ofs % 8 == 0 && n_bits >= 8) {
			dst[dst_bytes - 1 - dst_ofs / 8] = src[src_bytes - 1 - src_ofs / 8];
			src_ofs += 8;
			dst_ofs += 8;
			n_bits -= 8;
			continue;
		}
		uint8_t *d = &dst[dst_bytes - 1 - dst_ofs / 8];
		uint8_t bit = (uint8_t)(1u << dst_ofs % 8);

		*d = (uint8_t)(get_bit(src, src_bytes, src_ofs) ? *d | bit : *d & ~bit);
		src_ofs++;
		dst_ofs++;
		n_bits--;
	}
}

bool subfield_is_valid(const struct subfield *sf)
{
	return sf->field < FIELD_N && sf->n_bits &&
	       (unsigned)sf->ofs + sf->n_bits <= fields[sf->field].n_bits;
}

/* Sub-fields of fields of up to 16 bytes, which are all but tunnel options, go through one wide
 * integer: a register move on the miss path takes some tens of cycles rather than hundreds. */
__extension__ typedef unsigned __int128 wide_t;
enum { WIDE_BYTES = 16 };

static wide_t load_wide(const uint8_t *p, size_t n)
{
	return n <= 8 ? load_n(p, n) : (wide_t)load_n(p, n - 8) << 64 | load_be64(p + n - 8);
}

static void store_wide(uint8_t *p, size_t n, wide_t v)
{
	if (n > 8) {
		store_n(p, n - 8, (uint64_t)(v >> 64));
		store_be64(p + n - 8, (uint64_t)v);
	} else {
		store_n(p, n, (uint64_t)v);
	}
}

static wide_t ones(unsigned bits)
{
	return bits >= 128 ? ~(wide_t)0 : ((wide_t)1 << bits) - 1;
}

static wide_t wide_mask(const struct field_info *f)
{
	return f->key_bytes > WORD_BYTES ? ones(8u * f->key_bytes) : word_mask(f, f->key_bytes);
}

static wide_t read_wide(const struct subfield *sf, const struct flow *flow)
{
	const struct field_info *f = &fields[sf->field];
	wide_t v = (load_wide(at(f, flow), f->key_bytes) & wide_mask(f)) >> f->lsb;

	return (v >> sf->ofs) & ones(sf->n_bits);
}

/* The sub-field's bits in the place where the field lies. */
static wide_t place_mask(const struct subfield *sf)
{
	const struct field_info *f = &fields[sf->field];

	return (ones(sf->n_bits) << sf->ofs << f->lsb) & wide_mask(f);
}

static void write_wide(const struct subfield *sf, struct flow *flow, wide_t v)
{
	const struct field_info *f = &fields[sf->field];
	uint8_t *p = at_rw(f, flow);
	wide_t mask = place_mask(sf);

	store_wide(p, f->key_bytes,
		   (load_wide(p, f->key_bytes) & ~mask) | ((v << sf->ofs << f->lsb) & mask));
	field_follow(f, flow);
}

static bool is_wide(const struct subfield *sf)
{
	return fields[sf->field].n_bytes <= WIDE_BYTES;
}

void subfield_read(const struct subfield *sf, const struct flow *flow, union field_value *out)
{
	const struct field_info *f = &fields[sf->field];
	size_t n = (sf->n_bits + 7u) / 8u;
	union field_value v;

	if (is_wide(sf)) {
		store_wide(out->b, n, read_wide(sf, flow));
		return;
	}
	field_get(f, flow, &v);
	memset(out->b, 0, n);
	bits_copy(v.b, f->n_bytes, sf->ofs, out->b, n, 0, sf->n_bits);
}

uint64_t subfield_read_u64(const struct subfield *sf, const struct flow *flow)
{
	union field_value v;
	size_t n = (sf->n_bits + 7u) / 8u;

	if (is_wide(sf))
		return (uint64_t)read_wide(sf, flow);
	subfield_read(sf, flow, &v);
	return n > 8 ? load_n(v.b + n - 8, 8) : load_n(v.b, n);
}

void subfield_write(const struct subfield *sf, struct flow *flow, const union field_value *v)
{
	const struct field_info *f = &fields[sf->field];
	size_t n = (sf->n_bits + 7u) / 8u;
	union field_value cur;

	if (is_wide(sf)) {
		write_wide(sf, flow, load_wide(v->b, n));
		return;
	}
	field_get(f, flow, &cur);
	bits_copy(v->b, n, 0, cur.b, f->n_bytes, sf->ofs, sf->n_bits);
	field_set(f, flow, &cur);
}

void subfield_write_u64(const struct subfield *sf, struct flow *flow, uint64_t v)
{
	size_t n = (sf->n_bits + 7u) / 8u;
	union field_value val;

	if (is_wide(sf)) {
		write_wide(sf, flow, v);
		return;
	}
	memset(val.b, 0, n);
	if (n > 8)
		store_n(val.b + n - 8, 8, v);
	else
		store_n(val.b, n, v);
	subfield_write(sf, flow, &val);
}

void subfield_copy(const struct subfield *src, const struct subfield *dst, const struct flow *from,
		   struct flow *to)
{
	union field_value v;

	if (is_wide(src) && is_wide(dst)) {
		write_wide(dst, to, read_wide(src, from));
		return;
	}
	subfield_read(src, from, &v);
	subfield_write(dst, to, &v);
}

void subfield_unwildcard(const struct subfield *sf, struct flow *mask)
{
	const struct field_info *f = &fields[sf->field];
	uint8_t *p = at_rw(f, mask);
	union field_value set, bits;

	if (is_wide(sf)) {
		store_wide(p, f->key_bytes, load_wide(p, f->key_bytes) | place_mask(sf));
		return;
	}
	memset(set.b, 0xff, sizeof set.b);
	memset(bits.b, 0, f->n_bytes);
	bits_copy(set.b, sizeof set.b, 0, bits.b, f->n_bytes, sf->ofs, sf->n_bits);
	field_add_bits(f, mask, &bits);
}
