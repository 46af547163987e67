/* SPDX-License-Identifier: BSD-3-Clause */
/* Instructions of OpenFlow 1.1 and later (§7.2.5). In a list of ours they follow the order of
 * execution: meter, the actions to apply, clear, write, metadata, goto. */
#include "control/openflow/action_codec.h"

#include "control/openflow/action_codec_priv.h"

struct instruction {
	bool present;
	struct ofcur body; /* after type and length */
};

static enum ofp_err split(const void *p, size_t n, uint8_t version,
			  struct instruction found[OFPIT_METER + 1])
{
	struct ofcur c = ofcur_of(p, n);
	if (n % 8)
		return OFPERR_BIC_BAD_LEN;
	while (ofcur_left(&c)) {
		size_t len = ofcur_left(&c) >= 8 ? load_be16(c.p + 2) : 0;
		if (len < 8 || len % 8 || len > ofcur_left(&c))
			return OFPERR_BIC_BAD_LEN;
		struct ofcur body = ofcur_sub(&c, len);
		uint16_t type = ofcur_u16(&body);
		ofcur_skip(&body, 2);
		if (type == OFPIT_EXPERIMENTER)
			return OFPERR_BIC_BAD_EXPERIMENTER;
		if (!type || type > OFPIT_METER ||
		    (type == OFPIT_METER && (version < OFP13 || version >= OFP15)))
			return OFPERR_BIC_UNKNOWN_INST;
		if (found[type].present)
			return OFPERR_BIC_DUP_INST;
		found[type] = (struct instruction){true, body};
	}
	return OFPERR_OK;
}

static enum ofp_err get_meter(struct ofcur body, struct action_buf *out)
{
	struct action_meter *a = action_buf_put(out, ACTION_METER, sizeof *a);
	a->meter_id = ofcur_u32(&body);
	a->as_instruction = 1;
	if (ofcur_left(&body) || body.short_read)
		return OFPERR_BIC_BAD_LEN;
	return !a->meter_id || a->meter_id > OFPM_MAX ? OFPERR_MMFC_INVALID_METER : OFPERR_OK;
}

static enum ofp_err get_nested(struct act_decoding *d, struct ofcur body)
{
	ofcur_skip(&body, 4);
	return act_list_get(d, body.p, ofcur_left(&body));
}

/* Only actions that a set can hold (§5.6; ovs-actions(7) "Action Sets"). */
static enum ofp_err check_set(const uint8_t *list, size_t len)
{
	ACTION_FOR_EACH(a, list, len)
	if (!(action_infos[a->type].flags & ACT_IN_SET))
		return OFPERR_BAC_BAD_TYPE;
	return OFPERR_OK;
}

static enum ofp_err get_write_actions(struct act_decoding *d, struct ofcur body)
{
	size_t at = action_buf_open(d->out, ACTION_WRITE_ACTIONS, sizeof(struct action_nested));
	size_t list = d->out->len;
	enum ofp_err err = get_nested(d, body);
	if (!err)
		err = check_set(d->out->data + list, d->out->len - list);
	return !err && !action_buf_close(d->out, at) ? OFPERR_BAC_TOO_MANY : err;
}

static enum ofp_err get_write_metadata(struct ofcur body, struct action_buf *out)
{
	union field_value value = {0}, mask = {0};
	ofcur_skip(&body, 4);
	value.u64 = cpu_to_be64(ofcur_u64(&body));
	mask.u64 = cpu_to_be64(ofcur_u64(&body));
	if (body.short_read || ofcur_left(&body))
		return OFPERR_BIC_BAD_LEN;
	action_put_set_field(out, ACTION_WRITE_METADATA, &fields[FIELD_METADATA], &value, &mask);
	return OFPERR_OK;
}

static enum ofp_err get_goto(struct ofcur body, struct action_buf *out)
{
	struct action_goto *a = action_buf_put(out, ACTION_GOTO_TABLE, sizeof *a);
	a->table = ofcur_u8(&body);
	ofcur_skip(&body, 3);
	if (ofcur_left(&body))
		return OFPERR_BIC_BAD_LEN;
	return a->table >= OFP_TABLES ? OFPERR_BIC_BAD_TABLE_ID : OFPERR_OK;
}

enum ofp_err ofp_instructions_get(const void *p, size_t n, uint8_t version, struct action_buf *out)
{
	struct instruction found[OFPIT_METER + 1] = {0};
	struct act_decoding d = {.version = version, .out = out};
	enum ofp_err err = split(p, n, version, found);
	if (!err && found[OFPIT_METER].present)
		err = get_meter(found[OFPIT_METER].body, out);
	if (!err && found[OFPIT_APPLY_ACTIONS].present)
		err = get_nested(&d, found[OFPIT_APPLY_ACTIONS].body);
	if (!err && found[OFPIT_CLEAR_ACTIONS].present &&
	    ofcur_left(&found[OFPIT_CLEAR_ACTIONS].body) != 4)
		err = OFPERR_BIC_BAD_LEN;
	if (!err && found[OFPIT_CLEAR_ACTIONS].present)
		action_buf_put(out, ACTION_CLEAR_ACTIONS, sizeof(struct action));
	if (!err && found[OFPIT_WRITE_ACTIONS].present)
		err = get_write_actions(&d, found[OFPIT_WRITE_ACTIONS].body);
	if (!err && found[OFPIT_WRITE_METADATA].present)
		err = get_write_metadata(found[OFPIT_WRITE_METADATA].body, out);
	if (!err && found[OFPIT_GOTO_TABLE].present)
		err = get_goto(found[OFPIT_GOTO_TABLE].body, out);
	return err;
}

static size_t begin(struct ofbuf *b, uint16_t type)
{
	size_t at = b->len;
	ofbuf_u16(b, type);
	ofbuf_u16(b, 0);
	return at;
}

static void end(struct ofbuf *b, size_t at)
{
	ofbuf_pad(b, at, 8);
	ofbuf_set_u16(b, at + 2, (uint16_t)(b->len - at));
}

/* Is it an instruction of its own in that version, not an action to apply? */
static bool is_instruction(const struct action *a, uint8_t version)
{
	if (a->type == ACTION_METER)
		return version < OFP15;
	return action_infos[a->type].flags & ACT_INSTRUCTION;
}

static void put_one(struct ofbuf *b, uint8_t version, const struct action *a)
{
	size_t at, n;
	if (a->type == ACTION_METER) {
		if (version < OFP13)
			return;
		at = begin(b, OFPIT_METER);
		ofbuf_u32(b, ACT_AS(action_meter, a)->meter_id);
	} else if (a->type == ACTION_CLEAR_ACTIONS) {
		at = begin(b, OFPIT_CLEAR_ACTIONS);
	} else if (a->type == ACTION_WRITE_ACTIONS) {
		const uint8_t *list = action_nested(a, &n);
		at = begin(b, OFPIT_WRITE_ACTIONS);
		ofbuf_zeros(b, 4);
		ofp_actions_put(b, version, list, n);
	} else if (a->type == ACTION_WRITE_METADATA) {
		at = begin(b, OFPIT_WRITE_METADATA);
		ofbuf_zeros(b, 4);
		ofbuf_put(b, ACT_AS(action_set_field, a)->data, 16);
	} else {
		at = begin(b, OFPIT_GOTO_TABLE);
		ofbuf_u8(b, ACT_AS(action_goto, a)->table);
	}
	end(b, at);
}

void ofp_instructions_put(struct ofbuf *b, uint8_t version, const void *list, size_t len)
{
	const uint8_t *p = list, *stop = len ? p + len : p;
	while (p < stop) {
		const struct action *a = (const void *)p;
		if (is_instruction(a, version)) {
			put_one(b, version, a);
			p += ACTION_PADDED(a->len);
			continue;
		}
		const uint8_t *from = p;
		while (p < stop && !is_instruction((const void *)p, version))
			p += ACTION_PADDED(((const struct action *)(const void *)p)->len);
		size_t at = begin(b, OFPIT_APPLY_ACTIONS);
		ofbuf_zeros(b, 4);
		ofp_actions_put(b, version, from, (size_t)(p - from));
		end(b, at);
	}
}
