/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads and writes of fields by table row. A write makes its bits constants; tags come and go with
 * their present bit. */
#include "datapath/resolve/fields_rw.h"

/* Bits of storage byte i (0 first) that hold bits [ofs, ofs + n) of the field. */
static uint8_t byte_bits(const struct field_info *f, unsigned n_bytes, unsigned i, unsigned ofs,
			 unsigned n)
{
	unsigned low = (n_bytes - 1 - i) * 8, from = f->lsb + ofs, to = from + n;
	unsigned mask = 0xff;

	if (to <= low || from >= low + 8)
		return 0;
	if (from > low)
		mask &= 0xffu << (from - low);
	if (to < low + 8)
		mask &= 0xffu >> (low + 8 - to);
	if (i == n_bytes - 1)
		mask &= ~(unsigned)f->hole;
	return (uint8_t)mask;
}

void fields_read(struct resolver *r, const struct field_info *f, unsigned ofs, unsigned n)
{
	unsigned at = field_offset(f), n_bytes = field_key_bytes(f);

	for (unsigned i = 0; i < n_bytes; i++)
		(&r->wc.line[0][0])[at + i] |= byte_bits(f, n_bytes, i, ofs, n) &
					       (uint8_t) ~(&r->cur.cst.line[0][0])[at + i];
}

uint64_t fields_read_u64(struct resolver *r, const struct subfield *sf)
{
	fields_read(r, &fields[sf->field], sf->ofs, sf->n_bits);
	return subfield_read_u64(sf, &r->cur.flow);
}

void fields_read_value(struct resolver *r, const struct subfield *sf, union field_value *v)
{
	fields_read(r, &fields[sf->field], sf->ofs, sf->n_bits);
	subfield_read(sf, &r->cur.flow, v);
}

static bool is_vlan(const struct field_info *f)
{
	return f->offset >= offsetof(struct flow, key.vlan[0].tci) &&
	       f->offset < offsetof(struct flow, key.vlan[0].tci) + 2;
}

/* The bits of a field, right-aligned as values are, where the key keeps them. */
static void mark(struct resolver *r, const struct field_info *f, const union field_value *mask)
{
	struct flow bits;
	unsigned at = field_offset(f), n = field_key_bytes(f);

	memset((uint8_t *)&bits + at, 0, n);
	if (f->id == FIELD_IN_PORT16) {
		r->dirty = true;
		return; /* registers are constants already */
	}
	/* Places of the bits: write the mask as if it were the value. */
	{
		uint8_t pad = (uint8_t)(f->n_bytes - n);

		if (n > 8) {
			memcpy((uint8_t *)&bits + at, mask->b + pad, n);
		} else {
			uint64_t m = 0;
			unsigned width = n == f->key_bytes ? f->key_bits : 8 * n;

			for (unsigned i = 0; i < n; i++)
				m = m << 8 | mask->b[pad + i];
			m <<= f->lsb;
			for (unsigned i = 0; i < n; i++)
				((uint8_t *)&bits)[at + i] = (uint8_t)(m >> 8 * (n - 1 - i)) &
							     byte_bits(f, n, i, 0, width);
		}
	}
	for (unsigned i = at; i < at + n; i++) {
		(&r->cur.cst.line[0][0])[i] |= ((uint8_t *)&bits)[i];
		(&r->written.line[0][0])[i] |= ((uint8_t *)&bits)[i];
	}
	if (f->id == FIELD_IP_TTL)
		r->cur.v.ttl_decs = r->base.v.ttl_decs;
	r->dirty = true;
}

bool fields_write(struct resolver *r, const struct field_info *f, const union field_value *v,
		  const union field_value *mask)
{
	struct flow_key *k = &r->cur.flow.key;
	be16_t cfi = cpu_to_be16(VLAN_CFI), tci;
	bool had;

	if (!field_prereq_ok(f, &r->cur.flow, &r->wc))
		return false;
	if (!is_vlan(f)) {
		field_set_masked(f, &r->cur.flow, v, mask);
		mark(r, f, mask);
		return true;
	}
	had = resolve_has_vlan(r);
	tci = k->vlan[0].tci;
	field_set_masked(f, &r->cur.flow, v, mask);
	if (had == !!(k->vlan[0].tci & cfi)) {
		mark(r, f, mask);
		return true;
	}
	if (had) {
		k->vlan[0].tci = tci;
		resolve_pop_vlan(r);
	} else {
		be16_t new_tci = k->vlan[0].tci;

		k->vlan[0].tci = tci;
		resolve_push_vlan(r, cpu_to_be16(0x8100), new_tci);
	}
	return true;
}

bool fields_write_sub(struct resolver *r, const struct subfield *sf, const union field_value *v)
{
	const struct field_info *f = &fields[sf->field];
	unsigned n_bytes = (sf->n_bits + 7u) / 8, first = sf->ofs / 8u;
	union field_value value, mask;

	memset(&value, 0, f->n_bytes);
	memset(&mask, 0, f->n_bytes);
	if (!(sf->ofs % 8) && !(sf->n_bits % 8)) { /* whole bytes, as most are */
		memcpy(value.b + f->n_bytes - first - n_bytes, v->b, n_bytes);
		memset(mask.b + f->n_bytes - first - n_bytes, 0xff, n_bytes);
		return fields_write(r, f, &value, &mask);
	}
	/* Bit by bit within the field's value: sub-fields are short and rarely unaligned. */
	for (unsigned i = 0; i < sf->n_bits; i++) {
		unsigned to = sf->ofs + i, byte = f->n_bytes - 1u - to / 8;

		mask.b[byte] |= (uint8_t)(1u << to % 8);
		if (v->b[n_bytes - 1 - i / 8] >> i % 8 & 1)
			value.b[byte] |= (uint8_t)(1u << to % 8);
	}
	return fields_write(r, f, &value, &mask);
}

bool fields_write_sub_u64(struct resolver *r, const struct subfield *sf, uint64_t v)
{
	union field_value value = {{0}};
	unsigned n_bytes = (sf->n_bits + 7u) / 8;

	for (unsigned i = 0; i < n_bytes && i < 8; i++)
		value.b[n_bytes - 1 - i] = (uint8_t)(v >> 8 * i);
	if (sf->n_bits % 8)
		value.b[0] &= (uint8_t)((1u << sf->n_bits % 8) - 1);
	return fields_write_sub(r, sf, &value);
}
