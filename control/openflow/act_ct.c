/* SPDX-License-Identifier: BSD-3-Clause */
/* Wire forms of ct, nat and ct_clear (ovs-actions(7) "Firewalling"). */
#include <string.h>

#include "control/openflow/action_codec_priv.h"

enum { NX_CT_COMMIT = 1, NX_CT_FORCE = 2 };
enum {
	NAT_RANGE_IPV4_MIN = 1,
	NAT_RANGE_IPV4_MAX = 2,
	NAT_RANGE_IPV6_MIN = 4,
	NAT_RANGE_IPV6_MAX = 8,
	NAT_RANGE_PORT_MIN = 16,
	NAT_RANGE_PORT_MAX = 32
};

/* Inside ct(): nat and writes of ct_mark and ct_label. */
static enum ofp_err check_nested(const uint8_t *list, size_t len)
{
	ACTION_FOR_EACH(a, list, len)
	{
		unsigned dst;
		if (a->type == ACTION_NAT)
			continue;
		if (a->type == ACTION_SET_FIELD || a->type == ACTION_LOAD)
			dst = ACT_AS(action_set_field, a)->field;
		else if (a->type == ACTION_MOVE)
			dst = ACT_AS(action_move, a)->dst.field;
		else
			return OFPERR_BAC_BAD_ARGUMENT;
		if (dst != FIELD_CT_MARK && dst != FIELD_CT_LABEL)
			return OFPERR_BAC_BAD_SET_ARGUMENT;
	}
	return OFPERR_OK;
}

enum ofp_err act_get_ct(struct act_decoding *d, struct ofcur *body)
{
	struct action_ct c = {0};
	uint16_t flags = ofcur_u16(body);
	struct ofcur zone_header = ofcur_sub(body, 4);
	uint16_t zone = ofcur_u16(body);
	c.recirc_table = ofcur_u8(body);
	ofcur_skip(body, 3);
	c.alg = ofcur_u16(body);
	if (body->short_read)
		return OFPERR_BAC_BAD_LEN;
	c.commit = !!(flags & NX_CT_COMMIT);
	c.force = !!(flags & NX_CT_FORCE);
	if (flags & ~(NX_CT_COMMIT | NX_CT_FORCE) || (c.force && !c.commit) ||
	    c.recirc_table == 254)
		return OFPERR_BAC_BAD_ARGUMENT;
	if (ofcur_is_zero(zone_header.p, 4)) {
		c.zone = zone;
	} else {
		enum ofp_err err =
			act_subfield_get(&zone_header, ofs_of(zone), n_bits_of(zone), &c.zone_src);
		if (err)
			return err;
		if (c.zone_src.n_bits != 16)
			return OFPERR_BAC_BAD_SET_LEN;
		c.has_zone_src = 1;
	}
	size_t at = action_buf_open(d->out, ACTION_CT, sizeof c);
	struct action_ct *a = (void *)(d->out->data + at);
	c.a = a->a;
	*a = c;
	size_t nested = d->out->len;
	enum ofp_err err = act_list_get(d, body->p, ofcur_left(body));
	if (!err)
		err = check_nested(d->out->data + nested, d->out->len - nested);
	if (!err && d->out->len > nested && !c.commit) {
		/* a connection that is not committed gets no translation but the one it has */
		ACTION_FOR_EACH(n, d->out->data + nested, d->out->len - nested)
		{
			if (n->type != ACTION_NAT || ACT_AS(action_nat, n)->flags)
				return OFPERR_BAC_BAD_ARGUMENT;
		}
	}
	return !err && !action_buf_close(d->out, at) ? OFPERR_BAC_TOO_MANY : err;
}

void act_put_ct(struct act_encoding *e, const struct action *a)
{
	const struct action_ct *c = ACT_AS(action_ct, a);
	size_t n, at = act_begin(e, ACT_CT);
	const uint8_t *list = action_nested(a, &n);
	ofbuf_u16(e->out,
		  (uint16_t)((c->commit ? NX_CT_COMMIT : 0) | (c->force ? NX_CT_FORCE : 0)));
	if (c->has_zone_src) {
		ofbuf_u32(e->out, oxm_header_u32(&fields[c->zone_src.field], e->version));
		ofbuf_u16(e->out, ofs_nbits(c->zone_src.ofs, c->zone_src.n_bits));
	} else {
		ofbuf_u32(e->out, 0);
		ofbuf_u16(e->out, c->zone);
	}
	ofbuf_u8(e->out, c->recirc_table);
	ofbuf_zeros(e->out, 3);
	ofbuf_u16(e->out, c->alg);
	act_list_put(e, list, n);
	act_end(e, at);
}

static void get_addr(struct ofcur *body, struct action_nat *a, uint8_t family, uint8_t *addr)
{
	size_t n = family == 4 ? 4 : 16;
	const uint8_t *p = ofcur_bytes(body, n);
	a->family = family;
	if (p)
		memcpy(addr, p, n);
}

enum ofp_err act_get_nat(struct act_decoding *d, struct ofcur *body)
{
	struct action_nat *a = action_buf_put(d->out, ACTION_NAT, sizeof *a);
	ofcur_skip(body, 2);
	a->flags = ofcur_u16(body);
	uint16_t range = ofcur_u16(body);
	if (a->flags & ~(NAT_SRC | NAT_DST | NAT_PERSISTENT | NAT_HASH | NAT_RANDOM) ||
	    (a->flags & NAT_SRC && a->flags & NAT_DST) ||
	    (a->flags & NAT_HASH && a->flags & NAT_RANDOM) ||
	    (range && !(a->flags & (NAT_SRC | NAT_DST))))
		return OFPERR_BAC_BAD_ARGUMENT;
	bool v4 = range & (NAT_RANGE_IPV4_MIN | NAT_RANGE_IPV4_MAX);
	bool v6 = range & (NAT_RANGE_IPV6_MIN | NAT_RANGE_IPV6_MAX);
	if ((v4 && v6) || (v4 && !(range & NAT_RANGE_IPV4_MIN)) ||
	    (v6 && !(range & NAT_RANGE_IPV6_MIN)) ||
	    (range & NAT_RANGE_PORT_MAX && !(range & NAT_RANGE_PORT_MIN)) || range >> 6)
		return OFPERR_BAC_BAD_ARGUMENT;
	if (range & NAT_RANGE_IPV4_MIN)
		get_addr(body, a, 4, a->addr_min);
	if (range & NAT_RANGE_IPV4_MAX)
		get_addr(body, a, 4, a->addr_max);
	if (range & NAT_RANGE_IPV6_MIN)
		get_addr(body, a, 6, a->addr_min);
	if (range & NAT_RANGE_IPV6_MAX)
		get_addr(body, a, 6, a->addr_max);
	if (range & NAT_RANGE_PORT_MIN)
		a->port_min = ofcur_u16(body);
	if (range & NAT_RANGE_PORT_MAX)
		a->port_max = ofcur_u16(body);
	static const uint8_t none[16];
	if ((range & (NAT_RANGE_IPV4_MAX | NAT_RANGE_IPV6_MAX) &&
	     memcmp(a->addr_max, a->addr_min, 16) < 0) ||
	    (range & NAT_RANGE_PORT_MAX && a->port_max < a->port_min) ||
	    (v4 && !memcmp(a->addr_min, none, 16)))
		return OFPERR_BAC_BAD_ARGUMENT;
	/* "no maximum" is a range of one; action.h wants max >= min when there is a minimum */
	if (a->port_min && !(range & NAT_RANGE_PORT_MAX))
		a->port_max = a->port_min;
	return OFPERR_OK;
}

void act_put_nat(struct act_encoding *e, const struct action *a)
{
	const struct action_nat *t = ACT_AS(action_nat, a);
	static const uint8_t none[16];
	bool has_min = memcmp(t->addr_min, none, 16), has_max = memcmp(t->addr_max, none, 16);
	unsigned n = t->family == 4 ? 4 : 16, range = 0;
	if (t->family && has_min)
		range |= t->family == 4 ? NAT_RANGE_IPV4_MIN : NAT_RANGE_IPV6_MIN;
	if (t->family && has_max)
		range |= t->family == 4 ? NAT_RANGE_IPV4_MAX : NAT_RANGE_IPV6_MAX;
	if (t->port_min)
		range |= NAT_RANGE_PORT_MIN;
	if (t->port_min && t->port_max != t->port_min)
		range |= NAT_RANGE_PORT_MAX;
	size_t at = act_begin(e, ACT_NAT);
	ofbuf_zeros(e->out, 2);
	ofbuf_u16(e->out, t->flags);
	ofbuf_u16(e->out, (uint16_t)range);
	if (range & (NAT_RANGE_IPV4_MIN | NAT_RANGE_IPV6_MIN))
		ofbuf_put(e->out, t->addr_min, n);
	if (range & (NAT_RANGE_IPV4_MAX | NAT_RANGE_IPV6_MAX))
		ofbuf_put(e->out, t->addr_max, n);
	if (range & NAT_RANGE_PORT_MIN)
		ofbuf_u16(e->out, t->port_min);
	if (range & NAT_RANGE_PORT_MAX)
		ofbuf_u16(e->out, t->port_max);
	act_end(e, at);
}

enum ofp_err act_get_ct_clear(struct act_decoding *d, struct ofcur *body)
{
	(void)body;
	action_buf_put(d->out, ACTION_CT_CLEAR, sizeof(struct action));
	return OFPERR_OK;
}

void act_put_ct_clear(struct act_encoding *e, const struct action *a)
{
	(void)a;
	act_end(e, act_begin(e, ACT_CT_CLEAR));
}
