/* SPDX-License-Identifier: BSD-3-Clause */
/* Wire forms of field writes: set_field, load, move, the stack, and write_metadata. A write that a
 * version cannot say in one form is said in another of the same meaning: set_field of 1.0 becomes a
 * legacy action or one load per run of mask bits. */
#include <string.h>

#include "control/openflow/action_codec_priv.h"
#include "datapath/flow/tun_opt.h"

/* In action_set_field.n_bits of ACTION_SET_FIELD: came as NXAST_REG_LOAD2, goes out as such. */
enum { SET_FIELD_AS_LOAD2 = 1 };

static enum ofp_err get_oxm_value(struct act_decoding *d, struct ofcur *body, bool may_mask,
				  bool may_set_port)
{
	struct oxm_header h;
	union field_value value = {0}, mask = {0};
	if (!oxm_header_get(body, &h) || ofcur_left(body) < h.length)
		return OFPERR_BAC_BAD_LEN;
	if (!h.field)
		return OFPERR_BAC_BAD_SET_TYPE;
	if (h.masked && !may_mask)
		return OFPERR_BAC_BAD_SET_MASK;
	const struct field_info *f = h.field;
	size_t n = h.masked ? h.length / 2u : h.length;
	bool variable = f->id >= FIELD_TUN_METADATA0 && f->id <= FIELD_TUN_METADATA63;
	if (variable ? n > f->n_bytes : n != f->n_bytes)
		return OFPERR_BAC_BAD_SET_LEN;
	if (variable && !tun_opt_is_there(f->id - FIELD_TUN_METADATA0))
		return OFPERR_NXFMFC_INVALID_TLV_FIELD;
	memcpy(value.b + f->n_bytes - n, ofcur_bytes(body, n), n);
	if (h.masked)
		memcpy(mask.b + f->n_bytes - n, ofcur_bytes(body, n), n);
	else if (variable)
		memset(mask.b + f->n_bytes - n, 0xff, n);
	if (!ofcur_is_zero(body->p, ofcur_left(body)))
		return OFPERR_BAC_BAD_SET_ARGUMENT;
	for (size_t i = 0; h.masked && i < f->n_bytes; i++)
		if (value.b[i] & ~mask.b[i])
			return OFPERR_BMC_BAD_WILDCARDS;
	if (!f->writable || !field_value_fits(f, &value))
		return OFPERR_BAC_BAD_SET_ARGUMENT;
	/* §7.2.6.7: not a pipeline field like the port; Nicira's 16-bit one may be */
	if (f->id == FIELD_IN_PORT && !may_set_port)
		return OFPERR_BAC_BAD_SET_ARGUMENT;
	/* §7.2.3.8: a VLAN id is set with its present bit; popping is another action */
	if (f->id == FIELD_VLAN_VID && !h.masked && !(value.b[0] & OFPVID_PRESENT >> 8))
		return OFPERR_BAC_BAD_SET_ARGUMENT;
	action_put_set_field(d->out, ACTION_SET_FIELD, f, &value,
			     h.masked || variable ? &mask : NULL);
	return OFPERR_OK;
}

enum ofp_err act_get_set_field(struct act_decoding *d, struct ofcur *body)
{
	return get_oxm_value(d, body, d->version >= OFP15, false);
}

enum ofp_err act_get_reg_load2(struct act_decoding *d, struct ofcur *body)
{
	size_t at = d->out->len;
	enum ofp_err err = get_oxm_value(d, body, true, true);
	if (!err)
		((struct action_set_field *)(void *)(d->out->data + at))->n_bits =
			SET_FIELD_AS_LOAD2;
	return err;
}

enum ofp_err act_get_reg_load(struct act_decoding *d, struct ofcur *body)
{
	struct subfield sf;
	uint16_t bits = ofcur_u16(body);
	enum ofp_err err = act_subfield_get(body, ofs_of(bits), n_bits_of(bits), &sf);
	uint64_t value = ofcur_u64(body);
	if (err)
		return err == OFPERR_BMC_BAD_FIELD ? OFPERR_BAC_BAD_SET_TYPE : err;
	if (sf.n_bits < 64 && value >> sf.n_bits)
		return OFPERR_BAC_BAD_ARGUMENT;
	if (!fields[sf.field].writable)
		return OFPERR_BAC_BAD_SET_ARGUMENT;
	action_put_load(d->out, &sf, value);
	return OFPERR_OK;
}

static void put_load_bits(struct act_encoding *e, const struct field_info *f, const uint8_t *value,
			  unsigned ofs, unsigned n_bits)
{
	uint8_t word[8] = {0};
	bits_copy(value, f->n_bytes, ofs, word, 8, 0, n_bits);
	size_t at = act_begin(e, ACT_REG_LOAD);
	ofbuf_u16(e->out, ofs_nbits(ofs, n_bits));
	ofbuf_u32(e->out, oxm_header_u32(f, e->version));
	ofbuf_put(e->out, word, 8);
	act_end(e, at);
}

static bool bit_is_set(const uint8_t *mask, const struct field_info *f, unsigned bit)
{
	return mask[f->n_bytes - 1 - bit / 8] >> bit % 8 & 1;
}

/* One load for each run of mask bits, of at most 64 bits. */
static void put_loads(struct act_encoding *e, const struct field_info *f, const uint8_t *value,
		      const uint8_t *mask)
{
	unsigned bit = 0, n_bits = f->n_bits;
	while (bit < n_bits) {
		if (!bit_is_set(mask, f, bit)) {
			bit++;
			continue;
		}
		unsigned end = bit;
		while (end < n_bits && end - bit < 64 && bit_is_set(mask, f, end))
			end++;
		put_load_bits(e, f, value, bit, end - bit);
		bit = end;
	}
}

/* Bytes of the field at the end of its value that the wire carries. */
static const union field_value *as_value(const struct field_info *f, const uint8_t *p,
					 union field_value *v)
{
	memset(v, 0, sizeof *v);
	memcpy(v->b, p, f->n_bytes);
	return v;
}

static void put_oxm(struct act_encoding *e, const struct field_info *f, const uint8_t *value,
		    const uint8_t *mask)
{
	union field_value v, m;
	oxm_field_put(e->out, f, e->version, as_value(f, value, &v),
		      mask ? as_value(f, mask, &m) : NULL);
}

static bool is_exact(const struct field_info *f, const uint8_t *mask)
{
	union field_value full;
	field_full_mask(f, &full);
	return !memcmp(full.b, mask, f->n_bytes);
}

/* Nicira forms: of 1.0 and 1.1, and masked ones before 1.5. */
static void put_as_nx(struct act_encoding *e, const struct field_info *f, const uint8_t *value,
		      const uint8_t *mask, bool load2)
{
	bool variable = f->id >= FIELD_TUN_METADATA0 && f->id <= FIELD_TUN_METADATA63;
	if (!load2 && !variable && oxm_header_u32(f, e->version)) {
		put_loads(e, f, value, mask);
		return;
	}
	size_t at = act_begin(e, ACT_REG_LOAD2);
	put_oxm(e, f, value, is_exact(f, mask) || variable ? NULL : mask);
	act_end(e, at);
}

static void put_legacy(struct act_encoding *e, enum act_form form, const uint8_t *value, size_t n)
{
	size_t at = act_begin(e, form);
	act_align_put(e, at, n <= 4 ? n : 1);
	ofbuf_put(e->out, value, n);
	act_end(e, at);
}

/* Actions of 1.0 and 1.1 that write one whole field. */
static bool put_as_legacy(struct act_encoding *e, const struct field_info *f, const uint8_t *value)
{
	static const struct {
		uint16_t field;
		uint8_t form;
		uint8_t first; /* byte of the value that goes out */
	} forms[] = {
		{FIELD_ETH_SRC, ACT_SET_DL_SRC, 0},    {FIELD_ETH_DST, ACT_SET_DL_DST, 0},
		{FIELD_IP_SRC, ACT_SET_NW_SRC, 0},     {FIELD_IP_DST, ACT_SET_NW_DST, 0},
		{FIELD_TCP_SRC, ACT_SET_TP_SRC, 0},    {FIELD_TCP_DST, ACT_SET_TP_DST, 0},
		{FIELD_UDP_SRC, ACT_SET_TP_SRC, 0},    {FIELD_UDP_DST, ACT_SET_TP_DST, 0},
		{FIELD_SCTP_SRC, ACT_SET_TP_SRC, 0},   {FIELD_SCTP_DST, ACT_SET_TP_DST, 0},
		{FIELD_IP_ECN, ACT_SET_NW_ECN, 0},     {FIELD_MPLS_LABEL, ACT_SET_MPLS_LABEL, 0},
		{FIELD_MPLS_TC, ACT_SET_MPLS_TC, 0},   {FIELD_NW_TOS, ACT_SET_NW_TOS, 0},
		{FIELD_MPLS_TTL, ACT_SET_MPLS_TTL, 0},
	};
	if (f->id == FIELD_IP_DSCP) {
		uint8_t tos = (uint8_t)(value[0] << 2);
		put_legacy(e, ACT_SET_NW_TOS, &tos, 1);
		return true;
	}
	if (f->id == FIELD_VLAN_VID || f->id == FIELD_VLAN_PCP) {
		uint8_t vid[2] = {value[0] & 0x0f, f->n_bytes > 1 ? value[1] : 0};
		if (f->id == FIELD_VLAN_VID)
			put_legacy(e, e->version == OFP10 ? ACT_SET_VLAN_VID10 : ACT_SET_VLAN_VID11,
				   vid, 2);
		else
			put_legacy(e, e->version == OFP10 ? ACT_SET_VLAN_PCP10 : ACT_SET_VLAN_PCP11,
				   value, 1);
		return true;
	}
	for (size_t i = 0; i < SL_ARRAY_SIZE(forms); i++)
		if (forms[i].field == f->id && act_has(e, (enum act_form)forms[i].form)) {
			put_legacy(e, (enum act_form)forms[i].form, value, f->n_bytes);
			return true;
		}
	return false;
}

static void put_as_set_field(struct act_encoding *e, const struct field_info *f,
			     const uint8_t *value, const uint8_t *mask)
{
	size_t at = act_begin(e, ACT_SET_FIELD);
	if (f->id == FIELD_IN_PORT) { /* loaded by 1.4 or before: not set_field's to write */
		f = &fields[FIELD_IN_PORT16];
		value += 2;
		mask = mask ? mask + 2 : NULL;
	}
	put_oxm(e, f, value, mask);
	act_end(e, at);
}

void act_put_field_value(struct act_encoding *e, const struct field_info *f, const uint8_t *value,
			 const uint8_t *mask)
{
	union field_value full;
	if (!mask) {
		field_full_mask(f, &full);
		mask = full.b;
	}
	bool exact = is_exact(f, mask);
	bool variable = f->id >= FIELD_TUN_METADATA0 && f->id <= FIELD_TUN_METADATA63;
	if (e->version >= OFP15)
		put_as_set_field(e, f, value, exact || variable ? NULL : mask);
	else if (e->version >= OFP12 && (exact || variable))
		put_as_set_field(e, f, value, NULL);
	else if (e->version >= OFP12 || !exact || !put_as_legacy(e, f, value))
		put_as_nx(e, f, value, mask, false);
}

void act_put_set_field(struct act_encoding *e, const struct action *a)
{
	const struct action_set_field *s = ACT_AS(action_set_field, a);
	const struct field_info *f = &fields[s->field];
	if (s->n_bits == SET_FIELD_AS_LOAD2 && e->version < OFP15)
		put_as_nx(e, f, s->data, s->data + s->n_bytes, true);
	else
		act_put_field_value(e, f, s->data, s->data + s->n_bytes);
}

void act_put_load(struct act_encoding *e, const struct action *a)
{
	const struct action_set_field *s = ACT_AS(action_set_field, a);
	const struct field_info *f = &fields[s->field];
	if (e->version >= OFP15)
		put_as_set_field(e, f, s->data,
				 is_exact(f, s->data + s->n_bytes) ? NULL : s->data + s->n_bytes);
	else if (oxm_header_u32(f, e->version))
		put_load_bits(e, f, s->data, s->ofs, s->n_bits);
	else
		put_as_nx(e, f, s->data, s->data + s->n_bytes, true);
}

static enum ofp_err move(struct act_decoding *d, struct ofcur *body, unsigned n_bits,
			 unsigned src_ofs, unsigned dst_ofs)
{
	struct subfield src, dst;
	enum ofp_err err = act_subfield_get(body, src_ofs, n_bits, &src);
	if (!err)
		err = act_subfield_get(body, dst_ofs, n_bits, &dst);
	if (err)
		return err;
	if (!fields[dst.field].writable)
		return OFPERR_BAC_BAD_SET_ARGUMENT;
	if (!ofcur_is_zero(body->p, ofcur_left(body)))
		return OFPERR_NXBRC_MUST_BE_ZERO;
	struct action_move *a = action_buf_put(d->out, ACTION_MOVE, sizeof *a);
	a->src = src;
	a->dst = dst;
	return OFPERR_OK;
}

enum ofp_err act_get_reg_move(struct act_decoding *d, struct ofcur *body)
{
	uint16_t n_bits = ofcur_u16(body), src_ofs = ofcur_u16(body), dst_ofs = ofcur_u16(body);
	return move(d, body, n_bits, src_ofs, dst_ofs);
}

enum ofp_err act_get_copy_field(struct act_decoding *d, struct ofcur *body)
{
	uint16_t n_bits = ofcur_u16(body), src_ofs = ofcur_u16(body), dst_ofs = ofcur_u16(body);
	ofcur_skip(body, 2);
	return move(d, body, n_bits, src_ofs, dst_ofs);
}

enum ofp_err act_get_onf_copy_field(struct act_decoding *d, struct ofcur *body)
{
	ofcur_skip(body, 2);
	uint16_t n_bits = ofcur_u16(body), src_ofs = ofcur_u16(body), dst_ofs = ofcur_u16(body);
	ofcur_skip(body, 2);
	return move(d, body, n_bits, src_ofs, dst_ofs);
}

void act_put_move(struct act_encoding *e, const struct action *a)
{
	const struct action_move *m = ACT_AS(action_move, a);
	bool wide = oxm_header_bytes(&fields[m->src.field], e->version) +
			    oxm_header_bytes(&fields[m->dst.field], e->version) >
		    8;
	bool onf = e->version == OFP13 && wide;
	size_t at = act_begin(e, e->version >= OFP15 ? ACT_COPY_FIELD
				 : onf               ? ACT_ONF_COPY_FIELD
						     : ACT_REG_MOVE);
	if (onf)
		ofbuf_zeros(e->out, 2);
	ofbuf_u16(e->out, m->src.n_bits);
	ofbuf_u16(e->out, m->src.ofs);
	ofbuf_u16(e->out, m->dst.ofs);
	if (onf || e->version >= OFP15)
		ofbuf_zeros(e->out, 2);
	act_field_put(e, m->src.field);
	act_field_put(e, m->dst.field);
	act_end(e, at);
}

static enum ofp_err stack(struct act_decoding *d, struct ofcur *body, enum action_type type)
{
	const struct field_info *f = NULL;
	uint16_t ofs = ofcur_u16(body);
	enum ofp_err err = act_field_get(body, &f);
	uint16_t n_bits = ofcur_u16(body);
	struct subfield sf;
	if (!err)
		err = act_subfield_init(&sf, f, ofs, n_bits);
	if (err)
		return err;
	if (!ofcur_is_zero(body->p, ofcur_left(body)))
		return OFPERR_BAC_BAD_ARGUMENT;
	if (type == ACTION_STACK_POP && !f->writable)
		return OFPERR_BAC_BAD_SET_ARGUMENT;
	struct action_stack *a = action_buf_put(d->out, type, sizeof *a);
	a->sf = sf;
	return OFPERR_OK;
}

enum ofp_err act_get_stack_push(struct act_decoding *d, struct ofcur *body)
{
	return stack(d, body, ACTION_STACK_PUSH);
}

enum ofp_err act_get_stack_pop(struct act_decoding *d, struct ofcur *body)
{
	return stack(d, body, ACTION_STACK_POP);
}

static void put_stack(struct act_encoding *e, const struct action *a, enum act_form form)
{
	const struct action_stack *s = ACT_AS(action_stack, a);
	size_t at = act_begin(e, form);
	ofbuf_u16(e->out, s->sf.ofs);
	act_field_put(e, s->sf.field);
	ofbuf_u16(e->out, s->sf.n_bits);
	ofbuf_pad(e->out, at, 24);
	act_end(e, at);
}

void act_put_stack_push(struct act_encoding *e, const struct action *a)
{
	put_stack(e, a, ACT_STACK_PUSH);
}

void act_put_stack_pop(struct act_encoding *e, const struct action *a)
{
	put_stack(e, a, ACT_STACK_POP);
}

enum ofp_err act_get_write_metadata(struct act_decoding *d, struct ofcur *body)
{
	const uint8_t *zero = ofcur_bytes(body, 6);
	union field_value value = {0}, mask = {0};
	value.u64 = cpu_to_be64(ofcur_u64(body));
	mask.u64 = cpu_to_be64(ofcur_u64(body));
	if (zero && !ofcur_is_zero(zero, 6))
		return OFPERR_NXBRC_MUST_BE_ZERO;
	action_put_set_field(d->out, ACTION_WRITE_METADATA, &fields[FIELD_METADATA], &value, &mask);
	return OFPERR_OK;
}

void act_put_write_metadata(struct act_encoding *e, const struct action *a)
{
	if (e->version != OFP10)
		return; /* an instruction */
	const struct action_set_field *s = ACT_AS(action_set_field, a);
	size_t at = act_begin(e, ACT_WRITE_METADATA);
	ofbuf_zeros(e->out, 6);
	ofbuf_put(e->out, s->data, 16);
	act_end(e, at);
}
