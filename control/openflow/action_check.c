/* SPDX-License-Identifier: BSD-3-Clause */
/* Semantic checks of action lists: walks the list as a packet of the match would. */
#include "control/openflow/action_check.h"

#include <string.h>

#include "control/openflow/action_codec_priv.h"

struct check {
	struct match m; /* what is known of the packet at this point */
	uint8_t table, version;
	bool inconsistent; /* an old form needs what the match does not require: refused from 1.1 on
			    */
};

static enum ofp_err check_list(struct check *c, uint8_t *list, size_t len);

static bool has_prereq(const struct check *c, unsigned field)
{
	return field_prereq_in_match(&fields[field], &c->m);
}

static void need(struct check *c, bool condition)
{
	if (!condition)
		c->inconsistent = true;
}

static enum ofp_err need_field(const struct check *c, unsigned field)
{
	return has_prereq(c, field) ? OFPERR_OK : OFPERR_BAC_MATCH_INCONSISTENT;
}

static bool has_vlan(const struct check *c)
{
	return be16_to_cpu(c->m.value.key.vlan[0].tci) & VLAN_CFI;
}

static void set_vlan(struct check *c, bool present)
{
	c->m.mask.key.vlan[0].tci = cpu_to_be16(present ? VLAN_CFI : 0xffff);
	c->m.value.key.vlan[0].tci = cpu_to_be16(present ? VLAN_CFI : 0);
}

static void set_eth_type(struct check *c, be16_t type)
{
	union field_value v = {.u16 = type};
	field_match(&fields[FIELD_ETH_TYPE], &c->m, &v, NULL);
}

static enum ofp_err check_port(uint32_t port)
{
	if (port < OFPP10_MAX || (port >= OFP_PORT_IN_PORT && port <= OFP_PORT_LOCAL))
		return OFPERR_OK;
	return OFPERR_BAC_BAD_OUT_PORT;
}

/* mod_tp_src and mod_tp_dst: the field of the protocol that the match has. */
static void settle_l4(struct check *c, struct action_set_addr *s)
{
	static const uint16_t of[][2] = {{FIELD_TCP_SRC, FIELD_TCP_DST},
					 {FIELD_UDP_SRC, FIELD_UDP_DST},
					 {FIELD_SCTP_SRC, FIELD_SCTP_DST}};
	bool dst = s->field == FIELD_TCP_DST;
	for (size_t i = 0; i < SL_ARRAY_SIZE(of); i++)
		if (has_prereq(c, of[i][0])) {
			s->field = of[i][dst];
			return;
		}
	c->inconsistent = true;
}

static enum ofp_err check_set_addr(struct check *c, struct action_set_addr *s)
{
	if (s->field == FIELD_TCP_SRC || s->field == FIELD_TCP_DST)
		settle_l4(c, s);
	else
		need(c, has_prereq(c, s->field));
	return OFPERR_OK;
}

static enum ofp_err check_vlan(struct check *c, struct action_vlan *v)
{
	v->pad[0] = has_vlan(c);
	need(c, v->push_if_missing || v->pad[0]);
	set_vlan(c, true);
	return OFPERR_OK;
}

static enum ofp_err check_ct(struct check *c, struct action_ct *ct)
{
	size_t len;
	uint8_t *list = (uint8_t *)(uintptr_t)action_nested(&ct->a, &len);
	bool ipv4 = has_prereq(c, FIELD_IP_SRC), ipv6 = has_prereq(c, FIELD_IPV6_SRC);
	need(c, ipv4 || ipv6);
	if (ct->has_zone_src && !has_prereq(c, ct->zone_src.field))
		return OFPERR_BAC_MATCH_INCONSISTENT;
	ACTION_FOR_EACH(a, list, len)
	{
		if (a->type != ACTION_NAT)
			continue;
		const struct action_nat *nat = ACT_AS(action_nat, a);
		if ((nat->family == 4 && ipv6) || (nat->family == 6 && ipv4))
			return OFPERR_BAC_MATCH_INCONSISTENT;
	}
	return check_list(c, list, len);
}

/* The source must be in the packet; what the learned rule will match or write must be possible
 * there. */
static enum ofp_err check_learn(const struct check *c, const struct action_learn *l)
{
	struct check learned = {.version = c->version};
	const uint8_t *end = (const uint8_t *)l + l->a.len;
	match_init(&learned.m);
	for (const uint8_t *p = l->specs; p < end;) {
		const struct learn_spec *s = (const void *)p;
		p += ACTION_PADDED(s->len);
		if (!s->src_is_value && !has_prereq(c, s->src.field))
			return OFPERR_BAC_MATCH_INCONSISTENT;
		if (s->dst_type == LEARN_DST_OUTPUT)
			continue;
		if (!has_prereq(&learned, s->dst.field))
			return OFPERR_BAC_MATCH_INCONSISTENT;
		const struct field_info *f = &fields[s->dst.field];
		if (s->dst_type == LEARN_DST_MATCH && s->src_is_value && !s->dst.ofs &&
		    s->n_bits == f->n_bits) {
			union field_value v = {0};
			size_t n = SL_DIV_ROUND_UP(s->n_bits, 8);
			memcpy(v.b + f->n_bytes - n, s->value, n);
			field_match(f, &learned.m, &v, NULL);
		}
	}
	return OFPERR_OK;
}

static enum ofp_err check_nested(struct check *c, const struct action *a)
{
	size_t len;
	uint8_t *list = (uint8_t *)(uintptr_t)action_nested(a, &len);
	struct check inner = *c; /* what happens inside does not change the packet outside */
	enum ofp_err err = check_list(&inner, list, len);
	/* what packet an action set will meet is not known here */
	if (a->type != ACTION_WRITE_ACTIONS)
		c->inconsistent |= inner.inconsistent;
	return err;
}

static enum ofp_err check_push_mpls(struct check *c, const struct action_push *p)
{
	/* the IP header is out of reach from here on */
	set_eth_type(c, p->ethertype);
	union field_value zero = {0};
	field_match(&fields[FIELD_IP_PROTO], &c->m, &zero, &zero);
	return OFPERR_OK;
}

static enum ofp_err check_one(struct check *c, struct action *a)
{
	switch ((enum action_type)a->type) {
	case ACTION_OUTPUT:
		return check_port(ACT_AS(action_output, a)->port);
	case ACTION_OUTPUT_TRUNC: {
		uint32_t port = ACT_AS(action_output_trunc, a)->port;
		if (port >= OFP_PORT_TABLE && port <= OFP_PORT_CONTROLLER)
			return OFPERR_BAC_BAD_OUT_PORT;
		return check_port(port);
	}
	case ACTION_ENQUEUE:
		return check_port(ACT_AS(action_enqueue, a)->port);
	case ACTION_OUTPUT_REG:
		return need_field(c, ACT_AS(action_output_reg, a)->src.field);
	case ACTION_GROUP:
		return ACT_AS(action_group, a)->group_id > OFPG_MAX ? OFPERR_BAC_BAD_OUT_GROUP
								    : OFPERR_OK;
	case ACTION_SET_FIELD:
	case ACTION_LOAD:
		if (ACT_AS(action_set_field, a)->field == FIELD_VLAN_VID)
			need(c, has_vlan(c));
		return need_field(c, ACT_AS(action_set_field, a)->field);
	case ACTION_SET_ADDR:
		return check_set_addr(c, (struct action_set_addr *)(void *)a);
	case ACTION_MOVE: {
		enum ofp_err err = need_field(c, ACT_AS(action_move, a)->src.field);
		return err ? err : need_field(c, ACT_AS(action_move, a)->dst.field);
	}
	case ACTION_STACK_PUSH:
	case ACTION_STACK_POP:
		return need_field(c, ACT_AS(action_stack, a)->sf.field);
	case ACTION_MULTIPATH:
		return need_field(c, ACT_AS(action_multipath, a)->dst.field);
	case ACTION_BUNDLE: {
		const struct action_bundle *b = ACT_AS(action_bundle, a);
		return b->dst.n_bits ? need_field(c, b->dst.field) : OFPERR_OK;
	}
	case ACTION_CHECK_PKT_LARGER:
		return need_field(c, ACT_AS(action_check_pkt_larger, a)->dst.field);
	case ACTION_SET_TTL:
	case ACTION_DEC_TTL:
		need(c, has_prereq(c, FIELD_IP_TTL));
		return OFPERR_OK;
	case ACTION_FIN_TIMEOUT:
		need(c, has_prereq(c, FIELD_TCP_SRC));
		return OFPERR_OK;
	case ACTION_SET_MPLS_TTL:
	case ACTION_DEC_MPLS_TTL:
		need(c, has_prereq(c, FIELD_MPLS_TTL));
		return OFPERR_OK;
	case ACTION_SET_VLAN_VID:
	case ACTION_SET_VLAN_PCP:
		return check_vlan(c, (struct action_vlan *)(void *)a);
	case ACTION_PUSH_VLAN:
		set_vlan(c, true);
		return OFPERR_OK;
	case ACTION_POP_VLAN:
	case ACTION_STRIP_VLAN:
		need(c, has_vlan(c));
		set_vlan(c, false);
		return OFPERR_OK;
	case ACTION_PUSH_MPLS:
		return check_push_mpls(c, ACT_AS(action_push, a));
	case ACTION_POP_MPLS:
		need(c, has_prereq(c, FIELD_MPLS_TTL));
		set_eth_type(c, ACT_AS(action_push, a)->ethertype);
		return OFPERR_OK;
	case ACTION_GOTO_TABLE: {
		uint8_t to = ACT_AS(action_goto, a)->table;
		return c->table != ACTION_CHECK_NO_TABLE && to <= c->table ? OFPERR_BIC_BAD_TABLE_ID
									   : OFPERR_OK;
	}
	case ACTION_CT:
		return check_ct(c, (struct action_ct *)(void *)a);
	case ACTION_LEARN:
		return check_learn(c, ACT_AS(action_learn, a));
	case ACTION_CLONE:
	case ACTION_WRITE_ACTIONS:
		return check_nested(c, a);
	case ACTION_CONTROLLER:
	case ACTION_SET_QUEUE:
	case ACTION_POP_QUEUE:
	case ACTION_COPY_TTL_OUT:
	case ACTION_COPY_TTL_IN:
	case ACTION_RESUBMIT:
	case ACTION_CONJUNCTION:
	case ACTION_NOTE:
	case ACTION_SAMPLE:
	case ACTION_EXIT:
	case ACTION_CT_CLEAR:
	case ACTION_NAT:
	case ACTION_DELETE_FIELD:
	case ACTION_METER:
	case ACTION_CLEAR_ACTIONS:
	case ACTION_WRITE_METADATA:
	case ACTION_N:
		break;
	}
	return OFPERR_OK;
}

static enum ofp_err check_list(struct check *c, uint8_t *list, size_t len)
{
	bool conjunction = false, other = false;
	for (uint8_t *p = list, *stop = len ? list + len : list; p < stop;) {
		struct action *a = (void *)p;
		p += ACTION_PADDED(a->len);
		enum ofp_err err = check_one(c, a);
		if (err)
			return err;
		if (a->type == ACTION_CONJUNCTION)
			conjunction = true;
		else if (a->type != ACTION_NOTE)
			other = true;
	}
	return conjunction && other ? OFPERR_NXBAC_BAD_CONJUNCTION : OFPERR_OK;
}

/* Where the action's instruction stands in the order of execution (§5.5). */
static int rank(const struct action *a)
{
	switch (a->type) {
	case ACTION_METER:
		return ACT_AS(action_meter, a)->as_instruction ? 0 : 1;
	case ACTION_CLEAR_ACTIONS:
		return 2;
	case ACTION_WRITE_ACTIONS:
		return 3;
	case ACTION_WRITE_METADATA:
		return 4;
	case ACTION_GOTO_TABLE:
		return 5;
	default:
		return 1;
	}
}

static enum ofp_err check_order(const void *list, size_t len)
{
	int last = 0;
	ACTION_FOR_EACH(a, list, len)
	{
		if (rank(a) < last)
			return OFPERR_BAC_UNSUPPORTED_ORDER;
		last = rank(a);
	}
	return OFPERR_OK;
}

enum ofp_err action_check(void *list, size_t len, const struct match *m, uint8_t table,
			  uint8_t version)
{
	struct check c = {.m = *m, .table = table, .version = version};
	enum ofp_err err = check_order(list, len);
	if (!err)
		err = check_list(&c, list, len);
	if (!err && c.inconsistent && version != OFP10)
		return OFPERR_BAC_MATCH_INCONSISTENT;
	return err;
}
