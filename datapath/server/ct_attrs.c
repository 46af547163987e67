/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/server/ct_attrs.h"

#include <errno.h>
#include <netinet/in.h>

#include "datapath/conntrack/ct_alg.h"
#include "datapath/policy/policy_stats.h"

/* ---- selecting ---- */
static int addr_of(struct attrs a, enum api_attr id, uint8_t to[16], uint8_t *family, struct err *e)
{
	size_t len;
	const uint8_t *addr = attrs_bytes(a, id, &len);
	uint8_t is = len == 4 ? 4 : 6;

	if (!addr || !len)
		return 0;
	if ((len != 4 && len != 16) || (*family && *family != is))
		return err_set(e, EINVAL, "%s: addresses have 4 or 16 bytes, all of one family",
			       api_attrs[id].name);
	*family = is;
	memcpy(to, addr, len);
	return 0;
}

static int tuple_of(struct attrs a, enum api_attr id, struct ct_tuple *t, struct err *e)
{
	const struct attr *nest = attrs_find(a, id);
	struct attrs n;

	if (!nest)
		return 0;
	n = attr_nest(nest);
	if (addr_of(n, ATTR_CT_SRC, t->src, &t->family, e) ||
	    addr_of(n, ATTR_CT_DST, t->dst, &t->family, e))
		return -EINVAL;
	t->src_port = cpu_to_be16(
		(uint16_t)attrs_u64(n, ATTR_CT_SPORT, attrs_u64(n, ATTR_CT_ICMP_ID, 0)));
	t->dst_port = cpu_to_be16(
		(uint16_t)attrs_u64(n, ATTR_CT_DPORT, attrs_u64(n, ATTR_CT_ICMP_ID, 0)));
	t->icmp_type = (uint8_t)attrs_u64(n, ATTR_CT_ICMP_TYPE, 0);
	t->icmp_code = (uint8_t)attrs_u64(n, ATTR_CT_ICMP_CODE, 0);
	return 0;
}

/* Absent: *to stays. */
static int label_of(struct attrs a, enum api_attr id, uint64_t to[2], struct err *e)
{
	size_t len;
	const uint8_t *b = attrs_bytes(a, id, &len);

	if (!b)
		return 0;
	if (len != 16)
		return err_set(e, EINVAL, "%s: a label has 16 bytes", api_attrs[id].name);
	memcpy(to, b, len);
	return 0;
}

int ct_attrs_filter(struct attrs a, struct conntrack_filter *f, struct err *e)
{
	uint64_t mark;

	*f = (struct conntrack_filter){
		.context = -1, .mark_mask = UINT32_MAX, .label_mask = {UINT64_MAX, UINT64_MAX}};
	if (attrs_has(a, ATTR_CT_ZONE))
		f->context = (int64_t)attrs_u64(a, ATTR_CT_ZONE, 0);
	f->has_mark = attrs_get_u64(a, ATTR_CT_MARK, &mark);
	if (f->has_mark) {
		f->mark = (uint32_t)mark;
		f->mark_mask = (uint32_t)attrs_u64(a, ATTR_CT_MARK_MASK, UINT32_MAX);
	}
	f->has_label = attrs_has(a, ATTR_CT_LABEL);
	if (label_of(a, ATTR_CT_LABEL, f->label, e) ||
	    label_of(a, ATTR_CT_LABEL_MASK, f->label_mask, e))
		return -EINVAL;
	f->orig.proto = (uint8_t)attrs_u64(a, ATTR_CT_PROTO, 0);
	if (tuple_of(a, ATTR_CT_ORIG, &f->orig, e))
		return -EINVAL;
	return tuple_of(a, ATTR_CT_REPLY, &f->reply, e);
}

/* ---- showing ---- */
void ct_attrs_put_tuple(struct msg *m, enum api_attr id, const struct ct_tuple *t)
{
	size_t at = msg_nest_begin(m, id), len = t->family == 4 ? 4 : 16;

	msg_put_bytes(m, ATTR_CT_SRC, t->src, len);
	msg_put_bytes(m, ATTR_CT_DST, t->dst, len);
	if (t->proto == (t->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
		msg_put_u16(m, ATTR_CT_ICMP_ID, be16_to_cpu(t->src_port));
		msg_put_u8(m, ATTR_CT_ICMP_TYPE, t->icmp_type);
		msg_put_u8(m, ATTR_CT_ICMP_CODE, t->icmp_code);
	} else {
		msg_put_u16(m, ATTR_CT_SPORT, be16_to_cpu(t->src_port));
		msg_put_u16(m, ATTR_CT_DPORT, be16_to_cpu(t->dst_port));
	}
	msg_nest_end(m, at);
}

void ct_attrs_put(struct msg *m, const struct ct_conn *c, uint32_t now_ms)
{
	const struct ct_tuple *o = &c->node[CONN_ORIG].tuple;
	size_t at = msg_nest_begin(m, ATTR_OBJECT);
	int64_t left = conn_left_ms(c, now_ms);

	msg_put_u8(m, ATTR_CT_PROTO, o->proto);
	ct_attrs_put_tuple(m, ATTR_CT_ORIG, o);
	ct_attrs_put_tuple(m, ATTR_CT_REPLY, &c->node[CONN_REPLY].tuple);
	if (o->context <= CT_ZONE_MAX) {
		msg_put_u16(m, ATTR_CT_ZONE, (uint16_t)o->context);
		msg_put_u32(m, ATTR_CT_MARK, c->mark);
		if (c->label[0] | c->label[1])
			msg_put_bytes(m, ATTR_CT_LABEL, c->label, sizeof c->label);
	} else { /* mark and label are the policy's */
		msg_put_str(m, ATTR_NAME,
			    policy_slot_name(__atomic_load_n(&c->mark, __ATOMIC_RELAXED)));
	}
	msg_put_u32(m, ATTR_CT_TIMEOUT_S, left > 0 ? (uint32_t)(left / 1000) : 0);
	if (o->proto == IPPROTO_TCP) {
		msg_put_u8(m, ATTR_CT_TCP_ORIG, c->side[CONN_ORIG].tcp);
		msg_put_u8(m, ATTR_CT_TCP_REPLY, c->side[CONN_REPLY].tcp);
	}
	if (c->alg)
		msg_put_str(m, ATTR_CT_HELPER, c->alg == CT_ALG_FTP ? "ftp" : "tftp");
	msg_nest_end(m, at);
}
