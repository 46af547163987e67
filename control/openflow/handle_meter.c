/* SPDX-License-Identifier: BSD-3-Clause */
/* Meters (§5.11, §7.3.4.5, §7.3.5.13 to 15). */
#include <stdlib.h>

#include "control/openflow/object_mod.h"
#include "control/openflow/op.h"

enum { METERS_MAX = 65535 };

static enum ofp_err get_bands(struct ofcur c, struct meter_mod *mm)
{
	while (ofcur_left(&c)) {
		if (ofcur_left(&c) < 16)
			return OFPERR_BRC_BAD_LEN;
		size_t len = load_be16(c.p + 2);
		if (len < 12 || len > ofcur_left(&c))
			return OFPERR_BRC_BAD_LEN;
		struct ofcur band = ofcur_sub(&c, len);
		if (mm->n_bands == METER_BANDS_MAX)
			return OFPERR_MMFC_OUT_OF_BANDS;
		unsigned i = mm->n_bands++;
		mm->bands[i].type = ofcur_u16(&band);
		ofcur_skip(&band, 2);
		mm->bands[i].rate = ofcur_u32(&band);
		mm->bands[i].burst = ofcur_u32(&band);
		mm->bands[i].prec_level = ofcur_u8(&band);
		if (mm->bands[i].type != OFPMBT_DROP && mm->bands[i].type != OFPMBT_DSCP_REMARK)
			return OFPERR_MMFC_BAD_BAND;
		if (len != 16)
			return OFPERR_BRC_BAD_LEN;
		if (!mm->bands[i].rate)
			return OFPERR_MMFC_BAD_RATE;
		if (mm->flags & OFPMF_BURST && !mm->bands[i].burst)
			return OFPERR_MMFC_BAD_BURST;
	}
	return OFPERR_OK;
}

enum ofp_err meter_mod_check(const struct meter_mod *mm)
{
	if (mm->command > OFPMC_DELETE)
		return OFPERR_MMFC_BAD_COMMAND;
	if (mm->command == OFPMC_DELETE) /* of one that is not there is no error */
		return OFPERR_OK;
	bool special = mm->meter_id >= OFPM_SLOWPATH &&
		       (mm->meter_id != OFPM_ALL || mm->command == OFPMC_DELETE);
	if (!mm->meter_id || (mm->meter_id > OFPM_MAX && !special) ||
	    (mm->meter_id > METERS_MAX && mm->meter_id <= OFPM_MAX && mm->command == OFPMC_ADD))
		return OFPERR_MMFC_INVALID_METER;
	if (mm->flags & OFPMF_KBPS && mm->flags & OFPMF_PKTPS)
		return OFPERR_MMFC_BAD_FLAGS;
	if (mm->flags & ~(OFPMF_KBPS | OFPMF_PKTPS | OFPMF_BURST | OFPMF_STATS))
		return OFPERR_MMFC_BAD_FLAGS;
	return OFPERR_OK;
}

static enum ofp_err get_mod(const struct ofmsg *m, struct meter_mod *mm)
{
	struct ofcur c = m->body;
	*mm = (struct meter_mod){0};
	mm->command = ofcur_u16(&c);
	mm->flags = ofcur_u16(&c);
	mm->meter_id = ofcur_u32(&c);
	enum ofp_err err = meter_mod_check(mm);
	return err || mm->command == OFPMC_DELETE ? err : get_bands(c, mm);
}

void meter_mod_to_op(const char *bridge, const struct meter_mod *mm, struct msg *out)
{
	static const uint8_t commands[] = {API_MOD_ADD, API_MOD_MODIFY, API_MOD_DELETE};
	size_t at = msg_op_begin(out, API_OP_METER_MOD);
	msg_put_str(out, ATTR_BRIDGE, bridge);
	msg_put_u8(out, ATTR_COMMAND, commands[mm->command]);
	msg_put_u32(out, ATTR_METER_ID, mm->meter_id);
	msg_put_u16(out, ATTR_METER_FLAGS, mm->flags);
	for (unsigned i = 0; i < mm->n_bands; i++) {
		size_t band = msg_nest_begin(out, ATTR_BAND);
		msg_put_u16(out, ATTR_BAND_TYPE, mm->bands[i].type);
		msg_put_u32(out, ATTR_RATE, mm->bands[i].rate);
		msg_put_u32(out, ATTR_BURST, mm->bands[i].burst);
		msg_put_u8(out, ATTR_PREC_LEVEL, mm->bands[i].prec_level);
		msg_nest_end(out, band);
	}
	msg_nest_end(out, at);
}

enum ofp_err op_meter_mod(struct ofconn *c, const struct ofmsg *m, struct msg *out)
{
	struct meter_mod mm;
	enum ofp_err err = get_mod(m, &mm);
	if (!err)
		meter_mod_to_op(c->sw->bridge, &mm, out);
	return err;
}

static void put_config(struct ofrequest *r, struct attrs a)
{
	struct ofbuf *b = &r->multi.b;
	size_t at = b->len;
	ofbuf_u16(b, 0);
	ofbuf_u16(b, (uint16_t)attrs_u64(a, ATTR_METER_FLAGS, 0));
	ofbuf_u32(b, (uint32_t)attrs_u64(a, ATTR_METER_ID, 0));
	ATTR_FOR_EACH (n, a) {
		if (n->id != ATTR_BAND)
			continue;
		struct attrs band = attr_nest(n);
		ofbuf_u16(b, (uint16_t)attrs_u64(band, ATTR_BAND_TYPE, OFPMBT_DROP));
		ofbuf_u16(b, 16);
		ofbuf_u32(b, (uint32_t)attrs_u64(band, ATTR_RATE, 0));
		ofbuf_u32(b, (uint32_t)attrs_u64(band, ATTR_BURST, 0));
		ofbuf_u8(b, (uint8_t)attrs_u64(band, ATTR_PREC_LEVEL, 0));
		ofbuf_zeros(b, 3);
	}
	ofbuf_set_u16(b, at, (uint16_t)(b->len - at));
	ofmulti_fit(&r->multi, at);
}

static void put_stats(struct ofrequest *r, struct attrs a)
{
	struct ofbuf *b = &r->multi.b;
	size_t at = b->len;
	uint64_t ms = attrs_u64(a, ATTR_DURATION_MS, 0);
	ofbuf_u32(b, (uint32_t)attrs_u64(a, ATTR_METER_ID, 0));
	ofbuf_u16(b, 0);
	ofbuf_zeros(b, 6);
	ofbuf_u32(b, (uint32_t)attrs_u64(a, ATTR_REF_COUNT, 0));
	ofbuf_u64(b, attrs_u64(a, ATTR_PKTS, 0));
	ofbuf_u64(b, attrs_u64(a, ATTR_BYTES_COUNT, 0));
	ofbuf_u32(b, (uint32_t)(ms / 1000));
	ofbuf_u32(b, (uint32_t)(ms % 1000 * 1000000));
	ATTR_FOR_EACH (n, a)
		if (n->id == ATTR_BAND) {
			ofbuf_u64(b, attrs_u64(attr_nest(n), ATTR_PKTS, 0));
			ofbuf_u64(b, attrs_u64(attr_nest(n), ATTR_BYTES_COUNT, 0));
		}
	ofbuf_set_u16(b, at + 4, (uint16_t)(b->len - at));
	ofmulti_fit(&r->multi, at);
}

static enum ofp_err dump(struct ofconn *c, const struct ofmsg *m, dump_entry_fn entry)
{
	struct ofcur body = m->body;
	uint32_t id = ofcur_u32(&body);
	struct dump_request *d = xzalloc(sizeof *d);
	struct msg api;
	d->entry = entry;
	msg_init(&api, API_METERS, 0);
	msg_put_str(&api, ATTR_BRIDGE, c->sw->bridge);
	if (id != OFPM_ALL) {
		msg_put_u32(&api, ATTR_METER_ID, id);
		d->if_none = OFPERR_MMFC_UNKNOWN_METER;
	}
	return dump_start(d, c, m, &api);
}

enum ofp_err handle_meter_config(struct ofconn *c, const struct ofmsg *m)
{
	return dump(c, m, put_config);
}

enum ofp_err handle_meter_stats(struct ofconn *c, const struct ofmsg *m)
{
	return dump(c, m, put_stats);
}

/* The 1.3 layout in all versions: ovn-controller wants 16 bytes in 1.5 too. */
enum ofp_err handle_meter_features(struct ofconn *c, const struct ofmsg *m)
{
	struct ofmulti mp;
	ofmulti_init(&mp, m);
	ofbuf_u32(&mp.b, METERS_MAX);
	ofbuf_u32(&mp.b, 1u << OFPMBT_DROP | 1u << OFPMBT_DSCP_REMARK);
	ofbuf_u32(&mp.b, OFPMF_KBPS | OFPMF_PKTPS | OFPMF_BURST | OFPMF_STATS);
	ofbuf_u8(&mp.b, METER_BANDS_MAX);
	ofbuf_u8(&mp.b, 0);
	ofbuf_zeros(&mp.b, 2);
	ofmulti_end(&mp);
	ofconn_send_free(c, &mp.b);
	return OFPERR_OK;
}
