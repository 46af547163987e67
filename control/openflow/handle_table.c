/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables (§7.3.3, §7.3.5.3, §7.3.5.16 and 17): statistics, features, descriptions, mods. */
#include <stdlib.h>
#include <string.h>

#include "control/openflow/op.h"
#include "control/openflow/table_msg.h"

enum { MAX_ENTRIES = 1000000 };
struct table_dump {
	struct dump_request d;
	void (*put)(struct ofmulti *mp, uint8_t id, const struct table_state *t);
	struct table_state tables[OFP_TABLES];
};

static void note_table(struct ofrequest *r, struct attrs a)
{
	struct table_dump *d = SL_CONTAINER_OF(r, struct table_dump, d.r);
	uint64_t id = attrs_u64(a, ATTR_TABLE, OFPTT_ALL);
	if (id >= OFP_TABLES)
		return;
	table_state_get(&d->tables[id], a);
}

static void put_all(struct ofrequest *r)
{
	struct table_dump *d = SL_CONTAINER_OF(r, struct table_dump, d.r);
	for (unsigned i = 0; i < OFP_TABLES; i++) {
		size_t at = r->multi.b.len;
		d->put(&r->multi, (uint8_t)i, &d->tables[i]);
		ofmulti_fit(&r->multi, at);
	}
}

static enum ofp_err dump(struct ofconn *c, const struct ofmsg *m,
			 void (*put)(struct ofmulti *mp, uint8_t id, const struct table_state *t))
{
	struct table_dump *d = xzalloc(sizeof *d);
	struct msg api;
	d->d.entry = note_table;
	d->d.end = put_all;
	d->put = put;
	for (unsigned i = 0; i < OFP_TABLES; i++)
		d->tables[i].miss = TABLE_MISS_DEFAULT;
	msg_init(&api, API_TABLES, 0);
	msg_put_str(&api, ATTR_BRIDGE, c->sw->bridge);
	return dump_start(&d->d, c, m, &api);
}

/* ---- statistics ---- */

static void put_stats(struct ofmulti *mp, uint8_t id, const struct table_state *t)
{
	enum {
		INSTRUCTIONS12 = 0x3e,
		GOTO = 2,
		FIELDS11 = 0xfbff,
		ACTIONS11 = 0x01ffe7ff,
		ACTIONS12 = 0x03ff9801
	};
	struct ofbuf *b = &mp->b;
	uint32_t config = t->miss == TABLE_MISS_DEFAULT ? 0 : t->miss;
	uint32_t instructions = id == OFP_TABLES - 1 ? INSTRUCTIONS12 & ~GOTO : INSTRUCTIONS12;
	ofbuf_u8(b, id);
	ofbuf_zeros(b, mp->version == OFP11 || mp->version == OFP12 ? 7 : 3);
	if (mp->version >= OFP13) {
		ofbuf_u32(b, t->active);
		ofbuf_u64(b, t->lookups);
		ofbuf_u64(b, t->matched);
		return;
	}
	ofbuf_string(b, t->name, OFP_TABLE_NAME_BYTES);
	if (mp->version == OFP10) {
		ofbuf_u32(b, OFPFW10_ALL);
	} else if (mp->version == OFP11) {
		ofbuf_u32(b, FIELDS11);
		ofbuf_u32(b, FIELDS11);
		ofbuf_u32(b, instructions);
		ofbuf_u32(b, ACTIONS11);
		ofbuf_u32(b, ACTIONS11);
		ofbuf_u32(b, config);
	} else {
		uint64_t fields12 = (1ull << 40) - 1;
		/* a type decides what follows it: eth_type and ip_proto are not to be set */
		uint64_t writable12 = fields12 & ~(1ull << 5 | 1ull << 10);
		ofbuf_u64(b, fields12);
		ofbuf_u64(b, fields12);
		ofbuf_u32(b, ACTIONS12);
		ofbuf_u32(b, ACTIONS12);
		ofbuf_u64(b, writable12);
		ofbuf_u64(b, writable12);
		ofbuf_u64(b, UINT64_MAX);
		ofbuf_u64(b, UINT64_MAX);
		ofbuf_u32(b, instructions);
		ofbuf_u32(b, config);
	}
	ofbuf_u32(b, t->max_entries ? t->max_entries : MAX_ENTRIES);
	ofbuf_u32(b, t->active);
	ofbuf_u64(b, t->lookups);
	ofbuf_u64(b, t->matched);
}

enum ofp_err handle_table_stats(struct ofconn *c, const struct ofmsg *m)
{
	return dump(c, m, put_stats);
}

/* ---- features (§7.3.5.18) ---- */

static size_t prop_begin(struct ofbuf *b, uint16_t type)
{
	size_t at = b->len;
	ofbuf_u16(b, type);
	ofbuf_u16(b, 0);
	return at;
}

static void prop_end(struct ofbuf *b, size_t at)
{
	ofbuf_set_u16(b, at + 2, (uint16_t)(b->len - at));
	ofbuf_pad(b, at, 8);
}

/* Instruction and action ids: type and length 4. */
static void put_ids(struct ofbuf *b, uint16_t prop, uint32_t bitmap)
{
	size_t at = prop_begin(b, prop);
	for (unsigned i = 0; i < 32; i++)
		if (bitmap >> i & 1) {
			ofbuf_u16(b, (uint16_t)i);
			ofbuf_u16(b, 4);
		}
	prop_end(b, at);
}

enum { OF_MASKABLE = 1, OF_WRITABLE = 2 };

/* Headers of the fields: all, or the writable ones; with the has-mask bit where a mask is possible
 * and the property tells so. */
static void put_fields(struct ofbuf *b, uint8_t version, uint16_t prop, unsigned what)
{
	size_t at = prop_begin(b, prop);
	for (unsigned id = 0; id < FIELD_N; id++) {
		const struct field_info *f = &fields[id];
		if (field_oxm_index(f, version) < 0 || (what & OF_WRITABLE && !f->writable))
			continue;
		oxm_header_put(b, f, version, what & OF_MASKABLE && f->mask_kind == FIELD_MASK_ANY);
	}
	prop_end(b, at);
}

static void put_features(struct ofmulti *mp, uint8_t id, const struct table_state *t)
{
	struct ofbuf *b = &mp->b;
	uint8_t version = mp->version;
	uint32_t instructions = version >= OFP15 ? 0x3e : 0x7e,
		 actions = 1u << 0 | 1u << 11 | 1u << 12 | 0x7ffu << 15;
	if (version >= OFP15)
		actions |= 1u << 28 | 1u << 29;
	size_t at = b->len;
	ofbuf_u16(b, 0);
	ofbuf_u8(b, id);
	ofbuf_zeros(b, 5);
	ofbuf_string(b, t->name, OFP_TABLE_NAME_BYTES);
	ofbuf_u64(b, UINT64_MAX);
	ofbuf_u64(b, UINT64_MAX);
	ofbuf_u32(b, version >= OFP14 ? OFPTC14_EVICTION | OFPTC14_VACANCY_EVENTS
				      : TABLE_MISS_DEFAULT);
	ofbuf_u32(b, t->max_entries ? t->max_entries : MAX_ENTRIES);
	for (uint16_t miss = 0; miss < 2; miss++) {
		put_ids(b, OFPTFPT_INSTRUCTIONS + miss,
			id == OFP_TABLES - 1 ? instructions & ~2u : instructions);
		size_t next = prop_begin(b, OFPTFPT_NEXT_TABLES + miss);
		for (unsigned n = id + 1u; n < OFP_TABLES; n++)
			ofbuf_u8(b, (uint8_t)n);
		prop_end(b, next);
		put_ids(b, OFPTFPT_WRITE_ACTIONS + miss, actions);
		put_ids(b, OFPTFPT_APPLY_ACTIONS + miss, actions);
		put_fields(b, version, OFPTFPT_WRITE_SETFIELD + miss, OF_WRITABLE);
		put_fields(b, version, OFPTFPT_APPLY_SETFIELD + miss, OF_WRITABLE);
	}
	put_fields(b, version, OFPTFPT_MATCH, OF_MASKABLE);
	put_fields(b, version, OFPTFPT_WILDCARDS, 0);
	ofbuf_set_u16(b, at, (uint16_t)(b->len - at));
}

enum ofp_err handle_table_features(struct ofconn *c, const struct ofmsg *m)
{
	if (ofcur_left(&m->body)) /* tables are as they are */
		return OFPERR_TFFC_EPERM;
	return dump(c, m, put_features);
}

/* ---- descriptions and mods ---- */

void table_desc_put(struct ofbuf *b, uint8_t id, const struct table_state *t)
{
	enum { EVICT_BY_ALL = 7 };
	size_t at = b->len;
	bool vacancy = t->vacancy_down || t->vacancy_up;
	ofbuf_u16(b, 0);
	ofbuf_u8(b, id);
	ofbuf_u8(b, 0);
	ofbuf_u32(b, (t->eviction ? OFPTC14_EVICTION : 0) | (vacancy ? OFPTC14_VACANCY_EVENTS : 0));
	ofbuf_u16(b, OFPTMPT_EVICTION);
	ofbuf_u16(b, 8);
	ofbuf_u32(b, EVICT_BY_ALL);
	if (vacancy) {
		ofbuf_u16(b, OFPTMPT_VACANCY);
		ofbuf_u16(b, 8);
		ofbuf_u8(b, t->vacancy_down);
		ofbuf_u8(b, t->vacancy_up);
		ofbuf_u8(b, table_vacancy(t));
		ofbuf_u8(b, 0);
	}
	ofbuf_set_u16(b, at, (uint16_t)(b->len - at));
}

static void put_desc(struct ofmulti *mp, uint8_t id, const struct table_state *t)
{
	table_desc_put(&mp->b, id, t);
}

enum ofp_err handle_table_desc(struct ofconn *c, const struct ofmsg *m)
{
	return dump(c, m, put_desc);
}

struct table_mod {
	uint8_t table, down, up;
	uint32_t config;
};

static enum ofp_err get_props(struct ofcur c, struct table_mod *tm)
{
	struct ofcur prop;
	uint16_t type;
	bool bad;
	while (ofcur_tlv(&c, &type, &prop, &bad)) {
		if (type == OFPTMPT_EVICTION) {
			ofcur_skip(&prop, 4);
		} else if (type == OFPTMPT_VACANCY) {
			tm->down = ofcur_u8(&prop);
			tm->up = ofcur_u8(&prop);
			if (tm->down > tm->up || tm->up > 100 || !tm->down != !tm->up)
				return OFPERR_BPC_BAD_VALUE;
		} else {
			return OFPERR_BPC_BAD_TYPE;
		}
		if (prop.short_read)
			return OFPERR_BPC_BAD_LEN;
	}
	return bad ? OFPERR_BPC_BAD_LEN : OFPERR_OK;
}

enum ofp_err op_table_mod(struct ofconn *c, const struct ofmsg *m, struct msg *out)
{
	struct ofcur body = m->body;
	struct table_mod tm = {0};
	tm.table = ofcur_u8(&body);
	ofcur_skip(&body, 3);
	tm.config = ofcur_u32(&body);
	if (tm.table >= OFP_TABLES && tm.table != OFPTT_ALL)
		return OFPERR_TMFC_BAD_TABLE;
	if (m->version < OFP14 && tm.config & ~(uint32_t)OFPTC11_MISS_MASK)
		return OFPERR_TMFC_BAD_CONFIG;
	if (m->version >= OFP14) /* the other bits are deprecated */
		tm.config &= OFPTC14_EVICTION | OFPTC14_VACANCY_EVENTS;
	if (m->version >= OFP14) {
		enum ofp_err err = get_props(body, &tm);
		if (err)
			return err;
	}
	size_t at = msg_op_begin(out, API_OP_TABLE_SET);
	msg_put_str(out, ATTR_BRIDGE, c->sw->bridge);
	msg_put_u8(out, ATTR_TABLE, tm.table);
	msg_put_u32(out, ATTR_TABLE_CONFIG, tm.config);
	if (m->version >= OFP14) {
		bool vacancy = tm.config & OFPTC14_VACANCY_EVENTS;
		msg_put_u8(out, ATTR_EVICTION, !!(tm.config & OFPTC14_EVICTION));
		msg_put_u8(out, ATTR_VACANCY_DOWN, vacancy ? tm.down : 0);
		msg_put_u8(out, ATTR_VACANCY_UP, vacancy ? tm.up : 0);
	} else {
		msg_put_u8(out, ATTR_TABLE_MISS,
			   m->version >= OFP13 ? TABLE_MISS_DEFAULT : tm.config & 3);
	}
	msg_nest_end(out, at);
	return OFPERR_OK;
}
