/* SPDX-License-Identifier: BSD-3-Clause */
/* Wire forms of learn (ovs-actions(7) "learn"): the fixed part and the list of specifications, each
 * a 16-bit head (width, source, destination), the source and the destination. */
#include <string.h>

#include "control/openflow/action_codec_priv.h"

enum {
	SPEC_N_BITS_MASK = 0x7ff,
	SPEC_DST_SHIFT = 11,
	SPEC_SRC_IMMEDIATE = 1 << 13,
	SPEC_RESERVED = 0xc000,
	LEARN_FLAGS_1 = LEARN_SEND_FLOW_REM | LEARN_DELETE_LEARNED,
	LEARN_FLAGS_2 = LEARN_FLAGS_1 | LEARN_WRITE_RESULT
};

static enum ofp_err get_subfield(struct ofcur *body, unsigned n_bits, struct subfield *sf)
{
	const struct field_info *f = NULL;
	enum ofp_err err = act_field_get(body, &f);
	uint16_t ofs = ofcur_u16(body);
	if (err == OFPERR_BMC_BAD_FIELD)
		return OFPERR_BAC_BAD_SET_TYPE;
	return err ? err : act_subfield_init(sf, f, ofs, n_bits);
}

/* An immediate value is right-aligned in whole 16-bit words. */
static enum ofp_err get_immediate(struct ofcur *body, unsigned n_bits, uint8_t *value,
				  size_t value_bytes)
{
	size_t wire_bytes = SL_DIV_ROUND_UP(n_bits, 16) * 2;
	const uint8_t *p = ofcur_bytes(body, wire_bytes);
	if (!p)
		return OFPERR_BAC_BAD_LEN;
	if (value_bytes < wire_bytes && p[0])
		return OFPERR_BAC_BAD_ARGUMENT;
	memcpy(value, p + wire_bytes - value_bytes, value_bytes);
	return n_bits % 8 && value[0] >> n_bits % 8 ? OFPERR_BAC_BAD_ARGUMENT : OFPERR_OK;
}

static enum ofp_err get_spec(struct act_decoding *d, struct ofcur *body, uint16_t head,
			     size_t learn_at)
{
	union {
		struct learn_spec s;
		uint8_t bytes[sizeof(struct learn_spec) + FIELD_MAX_BYTES];
	} spec = {.bytes = {0}};
	unsigned n_bits = head & SPEC_N_BITS_MASK;
	size_t value_bytes = 0;
	enum ofp_err err = OFPERR_OK;
	if (head & SPEC_RESERVED || (head >> SPEC_DST_SHIFT & 3) > LEARN_DST_OUTPUT)
		return OFPERR_BAC_BAD_ARGUMENT;
	spec.s.dst_type = head >> SPEC_DST_SHIFT & 3;
	spec.s.src_is_value = !!(head & SPEC_SRC_IMMEDIATE);
	spec.s.n_bits = (uint16_t)n_bits;
	if (!n_bits || n_bits > FIELD_MAX_BYTES * 8 ||
	    (spec.s.src_is_value && spec.s.dst_type == LEARN_DST_OUTPUT))
		return OFPERR_BAC_BAD_ARGUMENT;
	if (spec.s.src_is_value) {
		value_bytes = SL_DIV_ROUND_UP(n_bits, 8);
		err = get_immediate(body, n_bits, spec.s.value, value_bytes);
	} else {
		err = get_subfield(body, n_bits, &spec.s.src);
	}
	if (!err && spec.s.dst_type != LEARN_DST_OUTPUT)
		err = get_subfield(body, n_bits, &spec.s.dst);
	if (err)
		return err;
	if (spec.s.dst_type == LEARN_DST_LOAD && !fields[spec.s.dst.field].writable)
		return OFPERR_BAC_BAD_SET_ARGUMENT;
	spec.s.len = (uint32_t)(sizeof spec.s + value_bytes);
	if (!action_buf_grow_last(d->out, learn_at, &spec, ACTION_PADDED(spec.s.len)))
		return OFPERR_BAC_TOO_MANY;
	return OFPERR_OK;
}

/* One learn spec of the fixed part and the specs; `flags_allowed` differs between the two forms. */
static enum ofp_err learn(struct act_decoding *d, struct ofcur *body, bool is_learn2)
{
	struct action_learn l = {0};
	l.idle_timeout_s = ofcur_u16(body);
	l.hard_timeout_s = ofcur_u16(body);
	l.priority = ofcur_u16(body);
	l.cookie = cpu_to_be64(ofcur_u64(body));
	uint16_t flags = ofcur_u16(body);
	l.table = ofcur_u8(body);
	uint8_t zero = ofcur_u8(body);
	l.fin_idle_s = ofcur_u16(body);
	l.fin_hard_s = ofcur_u16(body);
	if (flags & ~(is_learn2 ? LEARN_FLAGS_2 : LEARN_FLAGS_1) || l.table == 255 || zero)
		return OFPERR_BAC_BAD_ARGUMENT;
	l.flags = (uint8_t)flags;
	if (is_learn2) {
		l.limit = ofcur_u32(body);
		uint16_t ofs = ofcur_u16(body);
		if (ofcur_u16(body))
			return OFPERR_BAC_BAD_ARGUMENT;
		if (flags & LEARN_WRITE_RESULT) {
			enum ofp_err err = act_subfield_get(body, ofs, 1, &l.result_dst);
			if (err)
				return err;
			if (!fields[l.result_dst.field].writable)
				return OFPERR_BAC_BAD_SET_ARGUMENT;
		}
	}
	size_t at = d->out->len;
	struct action_learn *a = action_buf_put(d->out, ACTION_LEARN, sizeof *a);
	l.a = a->a;
	*a = l;
	while (ofcur_left(body) >= 2) {
		uint16_t head = ofcur_u16(body);
		if (!head)
			break;
		enum ofp_err err = get_spec(d, body, head, at);
		if (err)
			return err;
		if (body->short_read)
			return OFPERR_BAC_BAD_LEN;
	}
	return ofcur_is_zero(body->p, ofcur_left(body)) ? OFPERR_OK : OFPERR_BAC_BAD_LEN;
}

enum ofp_err act_get_learn(struct act_decoding *d, struct ofcur *body)
{
	return learn(d, body, false);
}

enum ofp_err act_get_learn2(struct act_decoding *d, struct ofcur *body)
{
	return learn(d, body, true);
}

static void put_spec(struct act_encoding *e, const struct learn_spec *s)
{
	ofbuf_u16(e->out, (uint16_t)(s->n_bits | s->dst_type << SPEC_DST_SHIFT |
				     (s->src_is_value ? SPEC_SRC_IMMEDIATE : 0)));
	if (s->src_is_value) {
		size_t value_bytes = SL_DIV_ROUND_UP(s->n_bits, 8);
		ofbuf_zeros(e->out, value_bytes % 2);
		ofbuf_put(e->out, s->value, value_bytes);
	} else {
		act_field_put(e, s->src.field);
		ofbuf_u16(e->out, s->src.ofs);
	}
	if (s->dst_type != LEARN_DST_OUTPUT) {
		act_field_put(e, s->dst.field);
		ofbuf_u16(e->out, s->dst.ofs);
	}
}

void act_put_learn(struct act_encoding *e, const struct action *a)
{
	const struct action_learn *l = ACT_AS(action_learn, a);
	bool second = l->limit || l->flags & LEARN_WRITE_RESULT;
	size_t at = act_begin(e, second ? ACT_LEARN2 : ACT_LEARN);
	ofbuf_u16(e->out, l->idle_timeout_s);
	ofbuf_u16(e->out, l->hard_timeout_s);
	ofbuf_u16(e->out, l->priority);
	ofbuf_u64(e->out, be64_to_cpu(l->cookie));
	ofbuf_u16(e->out, l->flags);
	ofbuf_u8(e->out, l->table);
	ofbuf_u8(e->out, 0);
	ofbuf_u16(e->out, l->fin_idle_s);
	ofbuf_u16(e->out, l->fin_hard_s);
	if (second) {
		ofbuf_u32(e->out, l->limit);
		ofbuf_u16(e->out, l->result_dst.ofs);
		ofbuf_u16(e->out, 0);
		if (l->flags & LEARN_WRITE_RESULT)
			act_field_put(e, l->result_dst.field);
	}
	const uint8_t *p = l->specs, *end = (const uint8_t *)a + a->len;
	while (p < end) {
		const struct learn_spec *s = (const void *)p;
		put_spec(e, s);
		p += ACTION_PADDED(s->len);
	}
	act_end(e, at);
}
