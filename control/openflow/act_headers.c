/* SPDX-License-Identifier: BSD-3-Clause */
/* Wire forms of actions on particular headers: the field writes of OpenFlow 1.0 and 1.1, VLAN tags,
 * MPLS labels, TTLs, tunnel ids. */
#include <string.h>

#include "control/openflow/action_codec_priv.h"

/* action_set_addr.pad of a tunnel id that came as NXAST_SET_TUNNEL64 */
enum { SET_TUNNEL_AS_64 = 1 };

static enum ofp_err set_addr(struct act_decoding *d, enum field_id id, uint64_t v)
{
	struct action_set_addr *a = action_buf_put(d->out, ACTION_SET_ADDR, sizeof *a);
	a->field = (uint16_t)id;
	a->n_bytes = fields[id].n_bytes;
	for (unsigned i = 0; i < a->n_bytes && i < 8; i++)
		a->value[a->n_bytes - 1 - i] = (uint8_t)(v >> 8 * i);
	return OFPERR_OK;
}

static enum ofp_err set_mac(struct act_decoding *d, struct ofcur *body, enum field_id id)
{
	uint64_t high = ofcur_u16(body), low = ofcur_u32(body);
	return set_addr(d, id, high << 32 | low);
}

enum ofp_err act_get_set_dl_src(struct act_decoding *d, struct ofcur *body)
{
	return set_mac(d, body, FIELD_ETH_SRC);
}

enum ofp_err act_get_set_dl_dst(struct act_decoding *d, struct ofcur *body)
{
	return set_mac(d, body, FIELD_ETH_DST);
}

enum ofp_err act_get_set_nw_src(struct act_decoding *d, struct ofcur *body)
{
	return set_addr(d, FIELD_IP_SRC, ofcur_u32(body));
}

enum ofp_err act_get_set_nw_dst(struct act_decoding *d, struct ofcur *body)
{
	return set_addr(d, FIELD_IP_DST, ofcur_u32(body));
}

enum ofp_err act_get_set_nw_tos(struct act_decoding *d, struct ofcur *body)
{
	uint8_t tos = ofcur_u8(body);
	return tos & 3 ? OFPERR_BAC_BAD_ARGUMENT : set_addr(d, FIELD_IP_DSCP, tos >> 2);
}

enum ofp_err act_get_set_nw_ecn(struct act_decoding *d, struct ofcur *body)
{
	uint8_t ecn = ofcur_u8(body);
	return ecn & ~3 ? OFPERR_BAC_BAD_ARGUMENT : set_addr(d, FIELD_IP_ECN, ecn);
}

/* Which of TCP, UDP and SCTP it is follows from the rule's match: action_check() settles it. */
enum ofp_err act_get_set_tp_src(struct act_decoding *d, struct ofcur *body)
{
	return set_addr(d, FIELD_TCP_SRC, ofcur_u16(body));
}

enum ofp_err act_get_set_tp_dst(struct act_decoding *d, struct ofcur *body)
{
	return set_addr(d, FIELD_TCP_DST, ofcur_u16(body));
}

enum ofp_err act_get_set_mpls_label(struct act_decoding *d, struct ofcur *body)
{
	act_align_get(d, body, 4);
	uint32_t label = ofcur_u32(body);
	return label >> 20 ? OFPERR_BAC_BAD_ARGUMENT : set_addr(d, FIELD_MPLS_LABEL, label);
}

enum ofp_err act_get_set_mpls_tc(struct act_decoding *d, struct ofcur *body)
{
	uint8_t tc = ofcur_u8(body);
	return tc & ~7 ? OFPERR_BAC_BAD_ARGUMENT : set_addr(d, FIELD_MPLS_TC, tc);
}

enum ofp_err act_get_set_tunnel(struct act_decoding *d, struct ofcur *body)
{
	act_align_get(d, body, 4);
	return set_addr(d, FIELD_TUN_ID, ofcur_u32(body));
}

enum ofp_err act_get_set_tunnel64(struct act_decoding *d, struct ofcur *body)
{
	act_align_get(d, body, 8);
	size_t at = d->out->len;
	enum ofp_err err = set_addr(d, FIELD_TUN_ID, ofcur_u64(body));
	((struct action_set_addr *)(void *)(d->out->data + at))->pad = SET_TUNNEL_AS_64;
	return err;
}

static void put_set_tunnel(struct act_encoding *e, const struct action_set_addr *s)
{
	uint64_t id = load_be64(s->value);
	bool wide = s->pad == SET_TUNNEL_AS_64 || id > UINT32_MAX;
	size_t at = act_begin(e, wide ? ACT_SET_TUNNEL64 : ACT_SET_TUNNEL);
	act_align_put(e, at, wide ? 8 : 4);
	if (wide)
		ofbuf_u64(e->out, id);
	else
		ofbuf_u32(e->out, (uint32_t)id);
	act_end(e, at);
}

void act_put_set_addr(struct act_encoding *e, const struct action *a)
{
	const struct action_set_addr *s = ACT_AS(action_set_addr, a);
	if (s->field == FIELD_TUN_ID && e->version < OFP12)
		put_set_tunnel(e, s);
	else
		act_put_field_value(e, &fields[s->field], s->value, NULL);
}

static enum ofp_err set_vlan(struct act_decoding *d, enum action_type type, uint16_t value,
			     uint16_t max)
{
	struct action_vlan *a = action_buf_put(d->out, type, sizeof *a);
	a->value = value;
	a->push_if_missing = d->version == OFP10;
	return value > max ? OFPERR_BAC_BAD_ARGUMENT : OFPERR_OK;
}

enum ofp_err act_get_set_vlan_vid(struct act_decoding *d, struct ofcur *body)
{
	return set_vlan(d, ACTION_SET_VLAN_VID, ofcur_u16(body), VLAN_VID_MASK);
}

enum ofp_err act_get_set_vlan_pcp(struct act_decoding *d, struct ofcur *body)
{
	return set_vlan(d, ACTION_SET_VLAN_PCP, ofcur_u8(body), 7);
}

/* 1.1 and later push a tag first where 1.0 does so by itself, unless the match (as action_check()
 * noted in pad[0]) has one. */
static void push_before(struct act_encoding *e, const struct action_vlan *v)
{
	if (e->version == OFP10 || !v->push_if_missing || v->pad[0])
		return;
	size_t at = act_begin(e, ACT_PUSH_VLAN);
	ofbuf_u16(e->out, 0x8100);
	act_end(e, at);
}

void act_put_set_vlan_vid(struct act_encoding *e, const struct action *a)
{
	const struct action_vlan *v = ACT_AS(action_vlan, a);
	uint8_t value[2];
	push_before(e, v);
	store_be16(value, v->value | OFPVID_PRESENT);
	act_put_field_value(e, &fields[FIELD_VLAN_VID], value, NULL);
}

void act_put_set_vlan_pcp(struct act_encoding *e, const struct action *a)
{
	const struct action_vlan *v = ACT_AS(action_vlan, a);
	uint8_t value = (uint8_t)v->value;
	push_before(e, v);
	act_put_field_value(e, &fields[FIELD_VLAN_PCP], &value, NULL);
}

static enum ofp_err plain(struct act_decoding *d, enum action_type type)
{
	action_buf_put(d->out, type, sizeof(struct action));
	return OFPERR_OK;
}

static void put_plain(struct act_encoding *e, enum act_form form)
{
	if (act_has(e, form))
		act_end(e, act_begin(e, form));
}

enum ofp_err act_get_strip_vlan(struct act_decoding *d, struct ofcur *body)
{
	(void)body;
	return plain(d, ACTION_STRIP_VLAN);
}

enum ofp_err act_get_pop_vlan(struct act_decoding *d, struct ofcur *body)
{
	(void)body;
	return plain(d, ACTION_POP_VLAN);
}

void act_put_pop_vlan(struct act_encoding *e, const struct action *a)
{
	(void)a;
	put_plain(e, e->version == OFP10 ? ACT_STRIP_VLAN : ACT_POP_VLAN);
}

static enum ofp_err push(struct act_decoding *d, struct ofcur *body, enum action_type type)
{
	struct action_push *a = action_buf_put(d->out, type, sizeof *a);
	a->ethertype = cpu_to_be16(ofcur_u16(body));
	return OFPERR_OK;
}

static uint16_t last_ethertype(const struct act_decoding *d)
{
	const struct action_push *a =
		(const void *)(d->out->data + d->out->len - sizeof(struct action_push));
	return be16_to_cpu(a->ethertype);
}

enum ofp_err act_get_push_vlan(struct act_decoding *d, struct ofcur *body)
{
	push(d, body, ACTION_PUSH_VLAN);
	uint16_t type = last_ethertype(d);
	return type == 0x8100 || type == 0x88a8 ? OFPERR_OK : OFPERR_BAC_BAD_ARGUMENT;
}

enum ofp_err act_get_push_mpls(struct act_decoding *d, struct ofcur *body)
{
	push(d, body, ACTION_PUSH_MPLS);
	uint16_t type = last_ethertype(d);
	return type == 0x8847 || type == 0x8848 ? OFPERR_OK : OFPERR_BAC_BAD_ARGUMENT;
}

enum ofp_err act_get_pop_mpls(struct act_decoding *d, struct ofcur *body)
{
	return push(d, body, ACTION_POP_MPLS);
}

static void put_push(struct act_encoding *e, const struct action *a, enum act_form form)
{
	if (!act_has(e, form))
		return; /* 1.0 pushes a tag where it sets one */
	size_t at = act_begin(e, form);
	ofbuf_u16(e->out, be16_to_cpu(ACT_AS(action_push, a)->ethertype));
	act_end(e, at);
}

void act_put_push_vlan(struct act_encoding *e, const struct action *a)
{
	put_push(e, a, ACT_PUSH_VLAN);
}

void act_put_push_mpls(struct act_encoding *e, const struct action *a)
{
	put_push(e, a, ACT_PUSH_MPLS);
}

void act_put_pop_mpls(struct act_encoding *e, const struct action *a)
{
	put_push(e, a, ACT_POP_MPLS);
}

static enum ofp_err ttl(struct act_decoding *d, struct ofcur *body, enum action_type type)
{
	struct action_ttl *a = action_buf_put(d->out, type, sizeof *a);
	a->ttl = ofcur_u8(body);
	return OFPERR_OK;
}

enum ofp_err act_get_set_nw_ttl(struct act_decoding *d, struct ofcur *body)
{
	return ttl(d, body, ACTION_SET_TTL);
}

enum ofp_err act_get_set_mpls_ttl(struct act_decoding *d, struct ofcur *body)
{
	return ttl(d, body, ACTION_SET_MPLS_TTL);
}

static void put_ttl(struct act_encoding *e, const struct action *a, enum act_form form)
{
	size_t at = act_begin(e, form);
	ofbuf_u8(e->out, ACT_AS(action_ttl, a)->ttl);
	act_end(e, at);
}

void act_put_set_ttl(struct act_encoding *e, const struct action *a)
{
	if (act_has(e, ACT_SET_NW_TTL))
		put_ttl(e, a, ACT_SET_NW_TTL);
	else
		act_put_field_value(e, &fields[FIELD_IP_TTL], &ACT_AS(action_ttl, a)->ttl, NULL);
}

void act_put_set_mpls_ttl(struct act_encoding *e, const struct action *a)
{
	put_ttl(e, a, ACT_SET_MPLS_TTL);
}

enum ofp_err act_get_dec_nw_ttl(struct act_decoding *d, struct ofcur *body)
{
	(void)body;
	/* controller 0 hears of expired ones */
	struct action_dec_ttl *a =
		action_buf_put(d->out, ACTION_DEC_TTL, sizeof *a + sizeof a->ids[0]);
	a->n_ids = 1;
	return OFPERR_OK;
}

enum ofp_err act_get_dec_ttl_cnt_ids(struct act_decoding *d, struct ofcur *body)
{
	uint16_t n = ofcur_u16(body);
	const uint8_t *zero = ofcur_bytes(body, 4);
	if (zero && !ofcur_is_zero(zero, 4))
		return OFPERR_NXBRC_MUST_BE_ZERO;
	if (body->short_read || ofcur_left(body) < n * 2u)
		return OFPERR_BAC_BAD_LEN;
	struct action_dec_ttl *a = action_buf_put(d->out, ACTION_DEC_TTL, sizeof *a + n * 2u);
	a->n_ids = n;
	a->explicit_ids = 1;
	for (unsigned i = 0; i < n; i++)
		a->ids[i] = ofcur_u16(body);
	return OFPERR_OK;
}

void act_put_dec_ttl(struct act_encoding *e, const struct action *a)
{
	const struct action_dec_ttl *t = ACT_AS(action_dec_ttl, a);
	if (!t->explicit_ids) {
		put_plain(e, ACT_DEC_NW_TTL);
		return;
	}
	size_t at = act_begin(e, ACT_DEC_TTL_CNT_IDS);
	ofbuf_u16(e->out, t->n_ids);
	ofbuf_zeros(e->out, 4);
	for (unsigned i = 0; i < t->n_ids; i++)
		ofbuf_u16(e->out, t->ids[i]);
	act_end(e, at);
}

enum ofp_err act_get_dec_mpls_ttl(struct act_decoding *d, struct ofcur *body)
{
	(void)body;
	return plain(d, ACTION_DEC_MPLS_TTL);
}

void act_put_dec_mpls_ttl(struct act_encoding *e, const struct action *a)
{
	(void)a;
	put_plain(e, ACT_DEC_MPLS_TTL);
}

enum ofp_err act_get_copy_ttl_out(struct act_decoding *d, struct ofcur *body)
{
	(void)d;
	(void)body;
	return OFPERR_BAC_BAD_TYPE; /* there is no way to do it: better refused than kept */
}

void act_put_copy_ttl_out(struct act_encoding *e, const struct action *a)
{
	(void)a;
	put_plain(e, ACT_COPY_TTL_OUT);
}

enum ofp_err act_get_copy_ttl_in(struct act_decoding *d, struct ofcur *body)
{
	(void)d;
	(void)body;
	return OFPERR_BAC_BAD_TYPE; /* there is no way to do it: better refused than kept */
}

void act_put_copy_ttl_in(struct act_encoding *e, const struct action *a)
{
	(void)a;
	put_plain(e, ACT_COPY_TTL_IN);
}
