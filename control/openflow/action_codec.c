/* SPDX-License-Identifier: BSD-3-Clause */
/* Action lists: walks, tables, headers and sub-fields. The actions themselves are in act_*.c. */
#include "control/openflow/action_codec.h"

#include <string.h>

#include "control/openflow/action_codec_priv.h"

struct row {
	bool also; /* goes on with the form of the row before */
	uint8_t vendor, first, last;
	uint16_t number;
	enum ofp_err (*decode)(struct act_decoding *d, struct ofcur *body);
};

static const struct row rows[ACT_ROW_N] = {
#define ACT_WIRE(form, vendor, first, last, number, function)                                      \
	{false, ACT_VENDOR_##vendor, first, last, number, act_get_##function},
#define ACT_WIRE_ALSO(form, vendor, first, last, number, function)                                 \
	{true, ACT_VENDOR_##vendor, first, last, number, act_get_##function},
#include "control/openflow/action_wire.def"
#undef ACT_WIRE
#undef ACT_WIRE_ALSO
};

static void (*const encoders[ACTION_N])(struct act_encoding *e, const struct action *a) = {
#define ACT_ENCODER(id, function) [ACTION_##id] = act_put_##function,
#include "control/openflow/action_encoders.def"
#undef ACT_ENCODER
};
enum {
	N_ENCODERS = 0
#define ACT_ENCODER(id, function) +1
#include "control/openflow/action_encoders.def"
#undef ACT_ENCODER
};
_Static_assert((int)N_ENCODERS == (int)ACTION_N, "every action has an encoder");

static const struct row *find(uint8_t vendor, uint16_t number, uint8_t version)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(rows); i++)
		if (rows[i].number == number && rows[i].vendor == vendor &&
		    version >= rows[i].first && version <= rows[i].last)
			return &rows[i];
	return NULL;
}

/* Of standard actions all but those with fields; of Nicira's those without lists and fields that
 * may be of any class. */
static bool has_one_length(uint8_t vendor, uint16_t number)
{
	enum { SET_FIELD = 25, COPY_FIELD = 28 };
	static const uint8_t nicira[] = {1,  2,  5,  9,  14, 17, 18, 19, 20, 22, 23,
					 24, 25, 26, 30, 31, 34, 39, 40, 43, 44};
	if (vendor == ACT_VENDOR_OF)
		return number != SET_FIELD && number != COPY_FIELD;
	for (size_t i = 0; vendor == ACT_VENDOR_NX && i < SL_ARRAY_SIZE(nicira); i++)
		if (nicira[i] == number)
			return true;
	return false;
}

/* One action, its header not read yet; `body` spans the whole action, or what is there of one whose
 * length is wrong: that it is unknown is said first. */
static enum ofp_err get_one(struct act_decoding *d, struct ofcur body, bool len_ok)
{
	uint16_t number = ofcur_u16(&body);
	ofcur_skip(&body, 2);
	uint8_t vendor = ACT_VENDOR_OF;
	if (number == OFP_PROP_EXPERIMENTER) {
		uint32_t experimenter = ofcur_u32(&body);
		number = ofcur_u16(&body);
		if (body.short_read)
			return OFPERR_BAC_BAD_LEN;
		if (experimenter == NX_EXPERIMENTER)
			vendor = ACT_VENDOR_NX;
		else if (experimenter == ONF_EXPERIMENTER)
			vendor = ACT_VENDOR_ONF;
		else
			return OFPERR_BAC_BAD_VENDOR;
	}
	const struct row *row = find(vendor, number, d->version);
	if (!row)
		return vendor == ACT_VENDOR_OF ? OFPERR_BAC_BAD_TYPE : OFPERR_BAC_BAD_VENDOR_TYPE;
	if (!len_ok)
		return OFPERR_BAC_BAD_LEN;
	d->vendor = vendor;
	enum ofp_err err = row->decode(d, &body);
	bool too_long = !err && has_one_length(vendor, number) && ofcur_left(&body) >= 8;
	return body.short_read || too_long ? OFPERR_BAC_BAD_LEN : err;
}

enum ofp_err act_list_get(struct act_decoding *d, const void *p, size_t n)
{
	struct ofcur c = ofcur_of(p, n);
	if (n % 8)
		return OFPERR_BAC_BAD_LEN;
	if (d->depth++ >= ACT_NESTING_MAX)
		return OFPERR_BAC_BAD_ARGUMENT;
	enum ofp_err err = OFPERR_OK;
	while (ofcur_left(&c) && !err) {
		size_t len = ofcur_left(&c) >= 8 ? load_be16(c.p + 2) : 0;
		bool ok = len >= 8 && len % 8 == 0 && len <= ofcur_left(&c);
		err = get_one(d, ofcur_sub(&c, ok ? len : ofcur_left(&c)), ok);
	}
	d->depth--;
	return err;
}

enum ofp_err ofp_actions_get(const void *p, size_t n, uint8_t version, struct action_buf *out)
{
	struct act_decoding d = {.version = version, .out = out};
	return act_list_get(&d, p, n);
}

void act_list_put(struct act_encoding *e, const void *list, size_t len)
{
	ACTION_FOR_EACH(a, list, len)
	encoders[a->type](e, a);
}

void ofp_actions_put(struct ofbuf *b, uint8_t version, const void *list, size_t len)
{
	struct act_encoding e = {.version = version, .out = b};
	act_list_put(&e, list, len);
}

static const struct row *row_of_form(const struct act_encoding *e, enum act_form form)
{
	unsigned i = form;
	do {
		if (e->version >= rows[i].first && e->version <= rows[i].last)
			return &rows[i];
	} while (++i < ACT_ROW_N && rows[i].also);
	return NULL;
}

bool act_has(const struct act_encoding *e, enum act_form form)
{
	return row_of_form(e, form) != NULL;
}

size_t act_begin(struct act_encoding *e, enum act_form form)
{
	static const uint32_t experimenters[] = {0, NX_EXPERIMENTER, ONF_EXPERIMENTER};
	const struct row *row = row_of_form(e, form);
	size_t start = e->out->len;
	if (!row) /* a bug of an encoder: unit tests run every encoder in every version */
		row = &rows[form];
	ofbuf_u16(e->out, row->vendor == ACT_VENDOR_OF ? row->number : OFP_PROP_EXPERIMENTER);
	ofbuf_u16(e->out, 0);
	if (row->vendor != ACT_VENDOR_OF) {
		ofbuf_u32(e->out, experimenters[row->vendor]);
		ofbuf_u16(e->out, row->number);
	}
	return start;
}

void act_end(struct act_encoding *e, size_t start)
{
	ofbuf_pad(e->out, start, 8);
	ofbuf_set_u16(e->out, start + 2, (uint16_t)(e->out->len - start));
}

void act_align_get(const struct act_decoding *d, struct ofcur *body, size_t n)
{
	size_t header =
		d->vendor == ACT_VENDOR_OF ? OF_ACTION_HEADER_BYTES : NX_ACTION_HEADER_BYTES;
	ofcur_skip(body, SL_ALIGN_UP(header, n) - header);
}

void act_align_put(struct act_encoding *e, size_t start, size_t n)
{
	ofbuf_pad(e->out, start, n);
}

enum ofp_err act_field_get(struct ofcur *c, const struct field_info **out)
{
	struct oxm_header h;
	if (!oxm_header_get(c, &h))
		return OFPERR_BAC_BAD_LEN;
	*out = h.field;
	if (!h.field)
		return OFPERR_BMC_BAD_FIELD;
	if (h.masked)
		return OFPERR_BMC_BAD_FIELD;
	/* a tunnel option is as long as its mapping says; a header of zeros is no field */
	bool variable = h.field->id >= FIELD_TUN_METADATA0 && h.field->id <= FIELD_TUN_METADATA63;
	if (variable ? !h.length : h.length != h.field->n_bytes)
		return OFPERR_BMC_BAD_FIELD;
	return OFPERR_OK;
}

enum ofp_err act_subfield_init(struct subfield *sf, const struct field_info *f, unsigned ofs,
			       unsigned n_bits)
{
	if (!n_bits || ofs + n_bits > f->n_bits)
		return OFPERR_BAC_BAD_SET_LEN;
	*sf = (struct subfield){
		.field = (uint16_t)f->id, .ofs = (uint16_t)ofs, .n_bits = (uint16_t)n_bits};
	return OFPERR_OK;
}

enum ofp_err act_subfield_get(struct ofcur *c, unsigned ofs, unsigned n_bits, struct subfield *out)
{
	const struct field_info *f = NULL;
	enum ofp_err err = act_field_get(c, &f);
	return err ? err : act_subfield_init(out, f, ofs, n_bits);
}

void act_field_put(struct act_encoding *e, uint16_t field)
{
	oxm_header_put(e->out, &fields[field], e->version, false);
}
