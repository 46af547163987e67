/* SPDX-License-Identifier: BSD-3-Clause */
/* Wire forms of actions that send packets somewhere or look up other tables: output, group,
 * controller, queues, resubmit, meter, clone. */
#include <string.h>

#include "control/openflow/action_codec_priv.h"

enum ofp_err act_get_output10(struct act_decoding *d, struct ofcur *body)
{
	struct action_output *a = action_buf_put(d->out, ACTION_OUTPUT, sizeof *a);
	bool ok = ofp_port_from10(ofcur_u16(body), &a->port);
	a->max_len = ofcur_u16(body);
	return ok ? OFPERR_OK : OFPERR_BAC_BAD_OUT_PORT;
}

enum ofp_err act_get_output11(struct act_decoding *d, struct ofcur *body)
{
	struct action_output *a = action_buf_put(d->out, ACTION_OUTPUT, sizeof *a);
	a->port = ofcur_u32(body);
	a->max_len = ofcur_u16(body);
	/* 1.1 numbers leave a gap that no port of a switch with 16-bit numbers has */
	if (a->port >= OFPP10_MAX && a->port < (0xffff0000u | OFPP10_FIRST_RESERVED) - 1)
		return OFPERR_BAC_BAD_OUT_PORT;
	return OFPERR_OK;
}

void act_put_output(struct act_encoding *e, const struct action *a)
{
	const struct action_output *o = ACT_AS(action_output, a);
	size_t at = act_begin(e, e->version == OFP10 ? ACT_OUTPUT10 : ACT_OUTPUT);
	if (e->version == OFP10)
		ofbuf_u16(e->out, ofp_port_to10(o->port));
	else
		ofbuf_u32(e->out, o->port);
	ofbuf_u16(e->out, o->max_len);
	act_end(e, at);
}

static enum ofp_err output_reg(struct act_decoding *d, struct subfield src, uint16_t max_len)
{
	struct action_output_reg *a = action_buf_put(d->out, ACTION_OUTPUT_REG, sizeof *a);
	a->src = src;
	a->max_len = max_len;
	return OFPERR_OK;
}

enum ofp_err act_get_output_reg(struct act_decoding *d, struct ofcur *body)
{
	struct subfield src;
	uint16_t bits = ofcur_u16(body);
	enum ofp_err err = act_subfield_get(body, ofs_of(bits), n_bits_of(bits), &src);
	uint16_t max_len = ofcur_u16(body);
	const uint8_t *zero = ofcur_bytes(body, 6);
	if (err)
		return err;
	if (zero && !ofcur_is_zero(zero, 6))
		return OFPERR_NXBRC_MUST_BE_ZERO;
	return output_reg(d, src, max_len);
}

enum ofp_err act_get_output_reg2(struct act_decoding *d, struct ofcur *body)
{
	struct subfield src;
	uint16_t bits = ofcur_u16(body), max_len = ofcur_u16(body);
	enum ofp_err err = act_subfield_get(body, ofs_of(bits), n_bits_of(bits), &src);
	if (err)
		return err;
	if (!ofcur_is_zero(body->p, ofcur_left(body)))
		return OFPERR_NXBRC_MUST_BE_ZERO;
	return output_reg(d, src, max_len);
}

void act_put_output_reg(struct act_encoding *e, const struct action *a)
{
	const struct action_output_reg *o = ACT_AS(action_output_reg, a);
	bool wide = oxm_header_bytes(&fields[o->src.field], e->version) > 4;
	size_t at = act_begin(e, wide ? ACT_OUTPUT_REG2 : ACT_OUTPUT_REG);
	ofbuf_u16(e->out, ofs_nbits(o->src.ofs, o->src.n_bits));
	if (wide)
		ofbuf_u16(e->out, o->max_len);
	act_field_put(e, o->src.field);
	if (!wide)
		ofbuf_u16(e->out, o->max_len);
	ofbuf_pad(e->out, at, 24);
	act_end(e, at);
}

enum ofp_err act_get_output_trunc(struct act_decoding *d, struct ofcur *body)
{
	struct action_output_trunc *a = action_buf_put(d->out, ACTION_OUTPUT_TRUNC, sizeof *a);
	bool ok = ofp_port_from10(ofcur_u16(body), &a->port);
	a->max_len = ofcur_u32(body);
	if (!body->short_read && a->max_len < 14)
		return OFPERR_BAC_BAD_ARGUMENT;
	return ok ? OFPERR_OK : OFPERR_BAC_BAD_OUT_PORT;
}

void act_put_output_trunc(struct act_encoding *e, const struct action *a)
{
	const struct action_output_trunc *o = ACT_AS(action_output_trunc, a);
	size_t at = act_begin(e, ACT_OUTPUT_TRUNC);
	ofbuf_u16(e->out, ofp_port_to10(o->port));
	ofbuf_u32(e->out, o->max_len);
	act_end(e, at);
}

enum ofp_err act_get_group(struct act_decoding *d, struct ofcur *body)
{
	act_align_get(d, body, 4);
	struct action_group *a = action_buf_put(d->out, ACTION_GROUP, sizeof *a);
	a->group_id = ofcur_u32(body);
	return OFPERR_OK;
}

void act_put_group(struct act_encoding *e, const struct action *a)
{
	size_t at = act_begin(e, ACT_GROUP);
	act_align_put(e, at, 4);
	ofbuf_u32(e->out, ACT_AS(action_group, a)->group_id);
	act_end(e, at);
}

enum ofp_err act_get_enqueue(struct act_decoding *d, struct ofcur *body)
{
	struct action_enqueue *a = action_buf_put(d->out, ACTION_ENQUEUE, sizeof *a);
	bool ok = ofp_port_from10(ofcur_u16(body), &a->port);
	ofcur_skip(body, 6);
	a->queue = ofcur_u32(body);
	/* 1.0 §5.2.4: a physical port, or where the packet came in */
	if (!ok ||
	    (a->port >= OFPP10_MAX && a->port != OFP_PORT_IN_PORT && a->port != OFP_PORT_LOCAL))
		return OFPERR_BAC_BAD_OUT_PORT;
	return OFPERR_OK;
}

void act_put_enqueue(struct act_encoding *e, const struct action *a)
{
	const struct action_enqueue *q = ACT_AS(action_enqueue, a);
	if (e->version == OFP10) {
		size_t at = act_begin(e, ACT_ENQUEUE);
		ofbuf_u16(e->out, ofp_port_to10(q->port));
		ofbuf_zeros(e->out, 6);
		ofbuf_u32(e->out, q->queue);
		act_end(e, at);
		return;
	}
	/* later versions say it in three actions */
	size_t at = act_begin(e, ACT_SET_QUEUE);
	ofbuf_u32(e->out, q->queue);
	act_end(e, at);
	at = act_begin(e, ACT_OUTPUT);
	ofbuf_u32(e->out, q->port);
	ofbuf_u16(e->out, 0);
	act_end(e, at);
	act_end(e, act_begin(e, ACT_POP_QUEUE));
}

enum ofp_err act_get_set_queue(struct act_decoding *d, struct ofcur *body)
{
	act_align_get(d, body, 4);
	struct action_queue *a = action_buf_put(d->out, ACTION_SET_QUEUE, sizeof *a);
	a->queue = ofcur_u32(body);
	return OFPERR_OK;
}

void act_put_set_queue(struct act_encoding *e, const struct action *a)
{
	size_t at = act_begin(e, ACT_SET_QUEUE);
	act_align_put(e, at, 4);
	ofbuf_u32(e->out, ACT_AS(action_queue, a)->queue);
	act_end(e, at);
}

enum ofp_err act_get_pop_queue(struct act_decoding *d, struct ofcur *body)
{
	(void)body;
	action_buf_put(d->out, ACTION_POP_QUEUE, sizeof(struct action));
	return OFPERR_OK;
}

void act_put_pop_queue(struct act_encoding *e, const struct action *a)
{
	(void)a;
	act_end(e, act_begin(e, ACT_POP_QUEUE));
}

enum ofp_err act_get_controller(struct act_decoding *d, struct ofcur *body)
{
	struct action_controller *a = action_buf_put(d->out, ACTION_CONTROLLER, sizeof *a);
	a->max_len = ofcur_u16(body);
	a->controller_id = ofcur_u16(body);
	a->reason = ofcur_u8(body);
	a->meter_id = UINT32_MAX;
	return OFPERR_OK;
}

enum {
	NXAC2PT_MAX_LEN,
	NXAC2PT_CONTROLLER_ID,
	NXAC2PT_REASON,
	NXAC2PT_USERDATA,
	NXAC2PT_PAUSE,
	NXAC2PT_METER_ID
};

enum ofp_err act_get_controller2(struct act_decoding *d, struct ofcur *body)
{
	struct action_controller c = {
		.max_len = UINT16_MAX, .reason = OFPR_ACTION, .meter_id = UINT32_MAX};
	struct ofcur userdata = ofcur_of(NULL, 0), prop;
	uint16_t type;
	bool bad;
	const uint8_t *zero = ofcur_bytes(body, 6);
	if (zero && !ofcur_is_zero(zero, 6))
		return OFPERR_NXBRC_MUST_BE_ZERO;
	while (ofcur_tlv(body, &type, &prop, &bad)) {
		switch (type) {
		case NXAC2PT_MAX_LEN:
			c.max_len = ofcur_u16(&prop);
			break;
		case NXAC2PT_CONTROLLER_ID:
			c.controller_id = ofcur_u16(&prop);
			break;
		case NXAC2PT_REASON:
			c.reason = ofcur_u8(&prop);
			if (c.reason >= OFPR_N)
				return OFPERR_BPC_BAD_VALUE;
			break;
		case NXAC2PT_USERDATA:
			userdata = prop;
			break;
		case NXAC2PT_PAUSE:
			c.pause = 1;
			break;
		case NXAC2PT_METER_ID:
			c.meter_id = ofcur_u32(&prop);
			break;
		default:
			return OFPERR_BPC_BAD_TYPE;
		}
		if (prop.short_read)
			return OFPERR_BPC_BAD_LEN;
	}
	if (bad)
		return OFPERR_BPC_BAD_LEN;
	size_t n = ofcur_left(&userdata);
	struct action_controller *a = action_buf_put(d->out, ACTION_CONTROLLER, sizeof *a + n);
	c.a = a->a;
	c.userdata_len = (uint16_t)n;
	*a = c;
	if (n)
		memcpy(a->userdata, userdata.p, n);
	return OFPERR_OK;
}

static void put_prop(struct act_encoding *e, uint16_t type, const void *p, size_t n)
{
	size_t at = e->out->len;
	ofbuf_u16(e->out, type);
	ofbuf_u16(e->out, (uint16_t)(n + 4));
	ofbuf_put(e->out, p, n);
	ofbuf_pad(e->out, at, 8);
}

static void put_prop_u16(struct act_encoding *e, uint16_t type, uint16_t v)
{
	be16_t wire = cpu_to_be16(v);
	put_prop(e, type, &wire, sizeof wire);
}

void act_put_controller(struct act_encoding *e, const struct action *a)
{
	const struct action_controller *c = ACT_AS(action_controller, a);
	if (!c->userdata_len && !c->pause && c->meter_id == UINT32_MAX) {
		size_t at = act_begin(e, ACT_CONTROLLER);
		ofbuf_u16(e->out, c->max_len);
		ofbuf_u16(e->out, c->controller_id);
		ofbuf_u8(e->out, c->reason);
		act_end(e, at);
		return;
	}
	size_t at = act_begin(e, ACT_CONTROLLER2);
	ofbuf_pad(e->out, at, 16);
	if (c->max_len != UINT16_MAX)
		put_prop_u16(e, NXAC2PT_MAX_LEN, c->max_len);
	if (c->controller_id)
		put_prop_u16(e, NXAC2PT_CONTROLLER_ID, c->controller_id);
	if (c->reason != OFPR_ACTION)
		put_prop(e, NXAC2PT_REASON, &c->reason, 1);
	if (c->userdata_len)
		put_prop(e, NXAC2PT_USERDATA, c->userdata, c->userdata_len);
	if (c->pause)
		put_prop(e, NXAC2PT_PAUSE, NULL, 0);
	if (c->meter_id != UINT32_MAX) {
		be32_t meter = cpu_to_be32(c->meter_id);
		put_prop(e, NXAC2PT_METER_ID, &meter, sizeof meter);
	}
	act_end(e, at);
}

static enum ofp_err resubmit(struct act_decoding *d, uint16_t port10, uint8_t table, bool with_ct,
			     bool nxt)
{
	struct action_resubmit *a = action_buf_put(d->out, ACTION_RESUBMIT, sizeof *a);
	ofp_port_from10(port10, &a->in_port);
	a->table = table;
	a->with_ct = with_ct;
	a->nxt_form = nxt;
	return OFPERR_OK;
}

enum ofp_err act_get_resubmit(struct act_decoding *d, struct ofcur *body)
{
	return resubmit(d, ofcur_u16(body), UINT8_MAX, false, true);
}

static enum ofp_err resubmit_table(struct act_decoding *d, struct ofcur *body, bool with_ct)
{
	uint16_t port = ofcur_u16(body);
	uint8_t table = ofcur_u8(body);
	const uint8_t *zero = ofcur_bytes(body, 3);
	if (zero && !ofcur_is_zero(zero, 3))
		return OFPERR_BAC_BAD_ARGUMENT;
	return resubmit(d, port, table, with_ct, false);
}

enum ofp_err act_get_resubmit_table(struct act_decoding *d, struct ofcur *body)
{
	return resubmit_table(d, body, false);
}

enum ofp_err act_get_resubmit_table_ct(struct act_decoding *d, struct ofcur *body)
{
	return resubmit_table(d, body, true);
}

void act_put_resubmit(struct act_encoding *e, const struct action *a)
{
	const struct action_resubmit *r = ACT_AS(action_resubmit, a);
	bool plain = r->nxt_form && r->table == UINT8_MAX && !r->with_ct;
	size_t at = act_begin(e, plain        ? ACT_RESUBMIT
				 : r->with_ct ? ACT_RESUBMIT_TABLE_CT
					      : ACT_RESUBMIT_TABLE);
	ofbuf_u16(e->out, ofp_port_to10(r->in_port));
	if (!plain)
		ofbuf_u8(e->out, r->table);
	act_end(e, at);
}

enum ofp_err act_get_meter(struct act_decoding *d, struct ofcur *body)
{
	struct action_meter *a = action_buf_put(d->out, ACTION_METER, sizeof *a);
	a->meter_id = ofcur_u32(body);
	return !a->meter_id || a->meter_id > OFPM_MAX ? OFPERR_MMFC_INVALID_METER : OFPERR_OK;
}

void act_put_meter(struct act_encoding *e, const struct action *a)
{
	if (!act_has(e, ACT_METER))
		return; /* an instruction before 1.5 */
	size_t at = act_begin(e, ACT_METER);
	ofbuf_u32(e->out, ACT_AS(action_meter, a)->meter_id);
	act_end(e, at);
}

enum ofp_err act_get_clone(struct act_decoding *d, struct ofcur *body)
{
	ofcur_skip(body, 6);
	if (body->short_read)
		return OFPERR_BAC_BAD_LEN;
	size_t at = action_buf_open(d->out, ACTION_CLONE, sizeof(struct action_nested));
	enum ofp_err err = act_list_get(d, body->p, ofcur_left(body));
	return !err && !action_buf_close(d->out, at) ? OFPERR_BAC_TOO_MANY : err;
}

void act_put_clone(struct act_encoding *e, const struct action *a)
{
	size_t n, at = act_begin(e, ACT_CLONE);
	const uint8_t *list = action_nested(a, &n);
	ofbuf_pad(e->out, at, 16);
	act_list_put(e, list, n);
	act_end(e, at);
}

void act_put_goto_table(struct act_encoding *e, const struct action *a)
{
	if (e->version != OFP10)
		return; /* an instruction */
	size_t at = act_begin(e, ACT_RESUBMIT_TABLE);
	ofbuf_u16(e->out, ofp_port_to10(OFP_PORT_IN_PORT));
	ofbuf_u8(e->out, ACT_AS(action_goto, a)->table);
	act_end(e, at);
}

void act_put_nothing(struct act_encoding *e, const struct action *a)
{
	(void)e;
	(void)a;
}
