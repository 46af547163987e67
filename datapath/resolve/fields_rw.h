/* SPDX-License-Identifier: BSD-3-Clause */
/* Table-driven reads and writes of fields, recorded in mask and written bits. */
#pragma once
#include "datapath/flow/field.h"
#include "datapath/resolve/resolver_priv.h"

/* Bits [ofs, ofs + n) of the field are read. */
void fields_read(struct resolver *r, const struct field_info *f, unsigned ofs, unsigned n);
uint64_t fields_read_u64(struct resolver *r, const struct subfield *sf);
void fields_read_value(struct resolver *r, const struct subfield *sf, union field_value *v);
/* Writes under a mask, when the packet has the field; false: it has not, nothing was done. */
bool fields_write(struct resolver *r, const struct field_info *f, const union field_value *v,
		  const union field_value *mask);
bool fields_write_sub(struct resolver *r, const struct subfield *sf, const union field_value *v);
bool fields_write_sub_u64(struct resolver *r, const struct subfield *sf, uint64_t v);
