/* SPDX-License-Identifier: BSD-3-Clause */
/* Nicira requests of their own: the tunnel option table, IPFIX statistics. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/openflow/op.h"
#include "datapath/flow/tun_opt.h"

enum { OPTION_SPACE_BYTES = 256 };

/* ---- NXT_TLV_TABLE_*: Geneve options as tun_metadata fields (ovs-fields(7)) ---- */

static size_t space_used(const struct ofswitch *sw)
{
	size_t n = 0;
	VEC_FOR_EACH (t, &sw->tlv)
		n += t->length;
	return n;
}

static enum ofp_err check_new(const struct ofswitch *sw, const struct tlv_map *t)
{
	if (!t->length || t->length % 4 || t->length > TUN_OPT_MAX_BYTES)
		return OFPERR_NXTTMFC_BAD_OPT_LEN;
	if (t->index >= TUN_OPT_FIELDS)
		return OFPERR_NXTTMFC_BAD_FIELD_IDX;
	VEC_FOR_EACH (o, &((struct ofswitch *)(uintptr_t)sw)->tlv) {
		if (o->index == t->index)
			return OFPERR_NXTTMFC_ALREADY_MAPPED;
		if (o->class == t->class && o->type == t->type)
			return OFPERR_NXTTMFC_DUP_ENTRY;
	}
	return space_used(sw) + t->length > OPTION_SPACE_BYTES ? OFPERR_NXTTMFC_TABLE_FULL
							       : OFPERR_OK;
}

static void remove_at(struct ofswitch *sw, size_t i)
{
	tun_opt_release(sw->tlv.at[i].index);
	vec_remove(&sw->tlv, i);
}

enum ofp_err tlv_map_change(struct ofswitch *sw, uint16_t command, const struct tlv_map *t)
{
	if (command == NXTTMC_CLEAR) {
		while (sw->tlv.len)
			remove_at(sw, sw->tlv.len - 1);
		return OFPERR_OK;
	}
	if (command == NXTTMC_ADD) {
		enum ofp_err err = check_new(sw, t);
		if (!err && tun_opt_acquire(t->index, t->length, NULL))
			err = OFPERR_NXTTMFC_TABLE_FULL;
		if (!err)
			vec_push(&sw->tlv, *t);
		return err;
	}
	for (size_t i = 0; i < sw->tlv.len; i++)
		if (sw->tlv.at[i].index == t->index) {
			remove_at(sw, i);
			break;
		}
	return OFPERR_OK;
}

static void on_quiet(struct ofrequest *r, struct attrs a, bool more, const struct err *err)
{
	/* a datapath that cannot do it yet has nothing to undo either */
	if (more || !err || err->code == EOPNOTSUPP || err->code == ENOSYS)
		return;
	if (r->conn)
		ofconn_send_quoted_error(r->conn, &r->quoted, ofrequest_error(a, err));
	if (r->sw->client)
		bridge_state_load(r->sw); /* what we took for done was not */
}

enum ofp_err ofconn_send_change(struct ofconn *c, const struct ofmsg *m, struct msg *api)
{
	struct ofrequest *r = xzalloc(sizeof *r);
	r->on_reply = on_quiet;
	return ofrequest_send(r, c->sw, c, m, api, true) ? OFPERR_OK : OFPERR_BRC_EPERM;
}

void tlv_map_places(const struct ofswitch *sw, uint8_t places[TUN_OPT_FIELDS])
{
	for (size_t i = 0; i < sw->tlv.len; i++)
		places[i] = (uint8_t)tun_opt_word(sw->tlv.at[i].index);
}

void tlv_map_put(const struct ofswitch *sw, struct msg *transaction)
{
	size_t at = msg_op_begin(transaction, API_OP_TLV_MAP_SET);
	msg_put_str(transaction, ATTR_BRIDGE, sw->bridge);
	msg_put_bytes(transaction, ATTR_TLV_MAP, sw->tlv.at, sw->tlv.len * sizeof *sw->tlv.at);
	uint8_t places[TUN_OPT_FIELDS];
	tlv_map_places(sw, places);
	msg_put_bytes(transaction, ATTR_TLV_PLACES, places, sw->tlv.len);
	msg_nest_end(transaction, at);
}

void tlv_map_restore(struct ofswitch *sw, const void *map, const uint8_t *places, size_t n)
{
	tlv_map_change(sw, NXTTMC_CLEAR, NULL);
	for (size_t i = 0; i < n; i++) {
		struct tlv_map t;
		memcpy(&t, (const uint8_t *)map + i * sizeof t, sizeof t);
		if (places && !check_new(sw, &t) &&
		    !tun_opt_acquire_at(t.index, t.length, places[i], NULL))
			vec_push(&sw->tlv, t);
		else
			tlv_map_change(sw, NXTTMC_ADD, &t);
	}
}

void tlv_map_adopt(struct ofswitch *sw, struct attrs bridge)
{
	size_t len = 0, n_places = 0;
	const void *map = attrs_bytes(bridge, ATTR_TLV_MAP, &len);
	const uint8_t *places = attrs_bytes(bridge, ATTR_TLV_PLACES, &n_places);
	size_t n = map ? len / sizeof(struct tlv_map) : 0;
	tlv_map_restore(sw, map, n_places == n ? places : NULL, n);
}

static enum ofp_err tell_datapath(struct ofconn *c, const struct ofmsg *m)
{
	struct msg api;
	msg_init(&api, API_TRANSACTION, 0);
	tlv_map_put(c->sw, &api);
	return ofconn_send_change(c, m, &api);
}

/* All of it or nothing. */
static enum ofp_err change_map(struct ofswitch *sw, uint16_t command, struct ofcur *body)
{
	if (command == NXTTMC_CLEAR)
		return tlv_map_change(sw, command, NULL);
	while (ofcur_left(body)) {
		struct tlv_map t = {.class = ofcur_u16(body)};
		t.type = ofcur_u8(body);
		t.length = ofcur_u8(body);
		t.index = ofcur_u16(body);
		ofcur_skip(body, 2);
		enum ofp_err err = tlv_map_change(sw, command, &t);
		if (err)
			return err;
	}
	return OFPERR_OK;
}

enum ofp_err handle_tlv_table_mod(struct ofconn *c, const struct ofmsg *m)
{
	struct ofcur body = m->body;
	uint16_t command = ofcur_u16(&body);
	ofcur_skip(&body, 6);
	if (command > NXTTMC_CLEAR)
		return OFPERR_NXTTMFC_BAD_COMMAND;
	if (ofcur_left(&body) % 8)
		return OFPERR_BRC_BAD_LEN;
	size_t n = c->sw->tlv.len;
	struct tlv_map *before = n ? xmemdup(c->sw->tlv.at, n * sizeof *before) : NULL;
	uint8_t places[TUN_OPT_FIELDS];
	tlv_map_places(c->sw, places);
	enum ofp_err err = change_map(c->sw, command, &body);
	if (err)
		tlv_map_restore(c->sw, before, places, n);
	free(before);
	return err ? err : tell_datapath(c, m);
}

enum ofp_err handle_tlv_table_request(struct ofconn *c, const struct ofmsg *m)
{
	struct ofbuf b = {0};
	size_t at = ofconn_begin_nx_reply(&b, m, NXT_TLV_TABLE_REPLY);
	ofbuf_u32(&b, OPTION_SPACE_BYTES);
	ofbuf_u16(&b, TUN_OPT_FIELDS);
	ofbuf_zeros(&b, 10);
	VEC_FOR_EACH (t, &c->sw->tlv) {
		ofbuf_u16(&b, t->class);
		ofbuf_u8(&b, t->type);
		ofbuf_u8(&b, t->length);
		ofbuf_u16(&b, t->index);
		ofbuf_zeros(&b, 2);
	}
	ofbuf_end(&b, at);
	ofconn_send_free(c, &b);
	return OFPERR_OK;
}

enum ofp_err handle_ipfix_stats(struct ofconn *c, const struct ofmsg *m)
{
	(void)c;
	(void)m;
	return OFPERR_NXST_NOT_CONFIGURED;
}
