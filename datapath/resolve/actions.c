/* SPDX-License-Identifier: BSD-3-Clause */
/* What each action does to the state of a resolution (OpenFlow 1.5.1 §5.8, ovs-actions(7)). */
#include <stdlib.h>

#include "datapath/resolve/actions_priv.h"
#include "datapath/table/flow_table.h"

enum {
	ETH_TYPE_IPV4 = 0x0800,
	ETH_TYPE_IPV6 = 0x86dd,
	ETH_TYPE_MPLS = 0x8847,
	ETH_TYPE_MPLS_MCAST = 0x8848
};
enum { MPLS_BOS = 0x100, MPLS_TTL_MASK = 0xff };
enum { OFPR_NO_MATCH, OFPR_ACTION, OFPR_INVALID_TTL };

/* ---- field writes ---- */
static void set_field(struct resolver *r, const struct action_set_field *a)
{
	const struct field_info *f = &fields[a->field];
	union field_value v, m;

	memcpy(v.b, a->data, a->n_bytes);
	memcpy(m.b, a->data + a->n_bytes, a->n_bytes);
	fields_write(r, f, &v, &m);
}

/* OpenFlow 1.0 has one "transport port" for all protocols. */
static const struct field_info *port_field(struct resolver *r, uint16_t field)
{
	bool src = field == FIELD_TCP_SRC || field == FIELD_UDP_SRC || field == FIELD_SCTP_SRC;
	bool dst = field == FIELD_TCP_DST || field == FIELD_UDP_DST || field == FIELD_SCTP_DST;

	if (!src && !dst)
		return &fields[field];
	switch (READ(r, key.ip_proto)) {
	case 17:
		return &fields[src ? FIELD_UDP_SRC : FIELD_UDP_DST];
	case 132:
		return &fields[src ? FIELD_SCTP_SRC : FIELD_SCTP_DST];
	}
	return &fields[src ? FIELD_TCP_SRC : FIELD_TCP_DST];
}

static void set_addr(struct resolver *r, const struct action_set_addr *a)
{
	const struct field_info *f = port_field(r, a->field);
	union field_value v, m;

	memcpy(v.b, a->value, SL_MIN(a->n_bytes, sizeof a->value));
	field_full_mask(f, &m);
	fields_write(r, f, &v, &m);
}

static void move(struct resolver *r, const struct action_move *a)
{
	union field_value v;

	if (!field_prereq_ok(&fields[a->src.field], &r->cur.flow, &r->wc) ||
	    !field_prereq_ok(&fields[a->dst.field], &r->cur.flow, &r->wc))
		return;
	fields_read_value(r, &a->src, &v);
	fields_write_sub(r, &a->dst, &v);
}

static void set_vlan(struct resolver *r, const struct action_vlan *a, bool pcp)
{
	be16_t *tci = &r->cur.flow.key.vlan[0].tci;
	uint16_t bits = pcp ? VLAN_PCP_MASK : VLAN_VID_MASK;
	uint16_t v = pcp ? (uint16_t)(a->value << VLAN_PCP_SHIFT) : a->value;
	be16_t mark = cpu_to_be16(bits);

	if (!resolve_has_vlan(r)) {
		if (a->push_if_missing)
			resolve_push_vlan(r, cpu_to_be16(0x8100), cpu_to_be16(v & bits));
		return;
	}
	*tci = (be16_t)((*tci & (be16_t)~mark) | cpu_to_be16(v & bits));
	r->cur.cst.key.vlan[0].tci |= mark;
	r->written.key.vlan[0].tci |= mark;
	r->dirty = true;
}

/* ---- stack: values with their size behind them, the top last ---- */
static void stack_push(struct resolver *r, const struct subfield *sf)
{
	union field_value v;
	uint32_t n = SL_ALIGN_UP((sf->n_bits + 7u) / 8, 8);
	uint64_t size = (sf->n_bits + 7u) / 8;

	if (!field_prereq_ok(&fields[sf->field], &r->cur.flow, &r->wc))
		return;
	if (r->stack_len + n + 8 > STACK_MAX_BYTES) {
		fail(r, DROP_STACK_LIMIT);
		return;
	}
	if (!r->stack)
		r->stack = xmalloc(STACK_MAX_BYTES);
	memset(&v, 0, n);
	fields_read_value(r, sf, &v);
	memcpy(r->stack + r->stack_len, v.b, n);
	memcpy(r->stack + r->stack_len + n, &size, 8);
	r->stack_len += n + 8;
}

static void stack_pop(struct resolver *r, const struct subfield *sf)
{
	union field_value v = {{0}}, to = {{0}};
	uint32_t want = (sf->n_bits + 7u) / 8, n;
	uint64_t size;

	/* Popping an empty stack does nothing (ovs-actions(7)). */
	if (r->stack_len < 16)
		return;
	memcpy(&size, r->stack + r->stack_len - 8, 8);
	n = SL_ALIGN_UP((uint32_t)size, 8);
	if (size > FIELD_MAX_BYTES || n + 8 > r->stack_len)
		return;
	r->stack_len -= n + 8;
	memcpy(v.b, r->stack + r->stack_len, n);
	for (uint32_t i = 0; i < want && i < size; i++)
		to.b[want - 1 - i] = v.b[size - 1 - i];
	if (sf->n_bits % 8)
		to.b[0] &= (uint8_t)((1u << sf->n_bits % 8) - 1);
	fields_write_sub(r, sf, &to);
}

void resolve_stack_load(struct resolver *r, const uint8_t *data, size_t len)
{
	if (!r->stack)
		r->stack = xmalloc(STACK_MAX_BYTES);
	r->stack_len = (uint32_t)SL_MIN(len, (size_t)STACK_MAX_BYTES);
	memcpy(r->stack, data, r->stack_len);
}

/* ---- TTL ---- */
static bool is_ip(struct resolver *r)
{
	be16_t type = READ(r, key.eth_type);

	return type == cpu_to_be16(ETH_TYPE_IPV4) || type == cpu_to_be16(ETH_TYPE_IPV6);
}

/* Is the TTL above 1? Of an original one only its class is read, which tells up to 15. */
static bool ttl_allows_decrement(struct resolver *r)
{
	const struct flow_key *k = &r->cur.flow.key;

	if (r->cur.cst.key.ip_ttl == 0xff)
		return k->ip_ttl > 1;
	r->wc.key.ttl_class = 0xff;
	if (r->req->key->ttl_class == 15 && r->cur.v.ttl_decs >= 13)
		r->wc.key.ip_ttl = 0xff;
	return k->ip_ttl > 1;
}

static void ttl_expired(struct resolver *r, const struct action_dec_ttl *a)
{
	for (unsigned i = 0; i < a->n_ids; i++)
		resolve_controller(r, &(struct controller_args){.max_len = 0xffff,
								.controller_id = a->ids[i],
								.reason = OFPR_INVALID_TTL,
								.meter_id = 0xffffffff});
	if (!a->n_ids && !a->explicit_ids)
		resolve_controller(r, &(struct controller_args){.max_len = 0xffff,
								.reason = OFPR_INVALID_TTL,
								.meter_id = 0xffffffff});
	note_drop(r, DROP_TTL_EXPIRED);
	r->frame->ended = true;
}

static void dec_ttl(struct resolver *r, const struct action_dec_ttl *a)
{
	if (!is_ip(r))
		return;
	if (!ttl_allows_decrement(r)) {
		ttl_expired(r, a);
		return;
	}
	r->cur.flow.key.ip_ttl--;
	if (r->cur.cst.key.ip_ttl != 0xff)
		r->cur.v.ttl_decs++;
	r->written.key.ip_ttl = 0xff;
	r->dirty = true;
}

static void set_ttl(struct resolver *r, uint8_t ttl)
{
	if (!is_ip(r))
		return;
	r->cur.flow.key.ip_ttl = ttl;
	WROTE(r, key.ip_ttl);
	r->cur.v.ttl_decs = r->base.v.ttl_decs;
}

/* ---- MPLS: done at once, for what follows a label is not in the key ---- */
static bool is_mpls(struct resolver *r)
{
	be16_t type = READ(r, key.eth_type);

	return type == cpu_to_be16(ETH_TYPE_MPLS) || type == cpu_to_be16(ETH_TYPE_MPLS_MCAST);
}

/* Everything beyond Ethernet becomes unknown: zero, and not read. */
static void forget_upper(struct resolver *r)
{
	size_t ofs[][2] = {
		{offsetof(struct flow, key.ip_proto), 2},
		{offsetof(struct flow, key.ip_src), 8},
		{offsetof(struct flow, key.tp_src), 8},
		{offsetof(struct flow, key.ipv6_src), 64},
		{offsetof(struct flow, key.nd_reserved), 5},
	};

	for (unsigned i = 0; i < SL_ARRAY_SIZE(ofs); i++) {
		memset((uint8_t *)&r->cur.flow + ofs[i][0], 0, ofs[i][1]);
		memset((uint8_t *)&r->base.key + ofs[i][0], 0, ofs[i][1]);
		memset((uint8_t *)&r->base.cst + ofs[i][0], 0xff, ofs[i][1]);
		written_bytes(r, ofs[i][0], ofs[i][1]);
	}
	r->cur.v.ttl_decs = r->base.v.ttl_decs;
}

/* What an eager op did to types and labels is in the packet already. */
static void labels_are_done(struct resolver *r, be16_t ethertype)
{
	r->cur.flow.key.eth_type = ethertype;
	WROTE(r, key.eth_type);
	WROTE(r, key.mpls_lse);
	r->base.key.eth_type = ethertype;
	memset(&r->base.cst.eth_type, 0xff, 2);
	memcpy(r->base.key.mpls_lse, r->cur.flow.key.mpls_lse, sizeof r->base.key.mpls_lse);
	memset(r->base.cst.mpls_lse, 0xff, sizeof r->base.cst.mpls_lse);
	r->base_seq++;
}

static void push_mpls(struct resolver *r, be16_t ethertype)
{
	be32_t *lse = r->cur.flow.key.mpls_lse, top;
	bool stacked = is_mpls(r);

	resolve_commit(r);
	if (stacked) {
		read_bytes(r, offsetof(struct flow, key.mpls_lse), sizeof r->cur.flow.key.mpls_lse);
		top = lse[0] & ~cpu_to_be32(MPLS_BOS);
	} else {
		/* Explicit null, traffic class and TTL from the IP header (RFC 3032 §2.1). */
		bool v6 = r->cur.flow.key.eth_type == cpu_to_be16(ETH_TYPE_IPV6);
		uint32_t label = v6 ? 2 : 0, tc = 0, ttl = 64;

		if (is_ip(r)) {
			tc = READ(r, key.ip_tos) >> 2 & 7;
			ttl = READ(r, key.ip_ttl) ? r->cur.flow.key.ip_ttl : 64;
		}
		top = cpu_to_be32(label << 12 | tc << 9 | MPLS_BOS | ttl);
	}
	put_op(r, OP_PUSH_MPLS, ethertype, top, 0);
	lse[2] = lse[1];
	lse[1] = lse[0];
	lse[0] = top;
	if (!stacked) {
		lse[1] = lse[2] = 0;
		forget_upper(r);
	}
	labels_are_done(r, ethertype);
}

static void pop_mpls(struct resolver *r, be16_t ethertype)
{
	be32_t *lse = r->cur.flow.key.mpls_lse;
	bool bottom;

	if (!is_mpls(r))
		return;
	resolve_commit(r);
	read_bytes(r, offsetof(struct flow, key.mpls_lse), sizeof r->cur.flow.key.mpls_lse);
	bottom = lse[0] & cpu_to_be32(MPLS_BOS);
	put_op(r, OP_POP_MPLS, ethertype, 0, 0);
	lse[0] = lse[1];
	lse[1] = lse[2];
	lse[2] = 0;
	labels_are_done(r, ethertype);
	if (!bottom || !resolve_rest_needs_packet(r))
		return;
	/* What was behind the label is seen only by parsing again. */
	resolve_recirc(r, resolve_freeze(r, -1), r->table);
	resolve_stop_frozen(r);
}

static void set_mpls_ttl(struct resolver *r, uint8_t ttl)
{
	be32_t *lse = &r->cur.flow.key.mpls_lse[0];

	if (!is_mpls(r))
		return;
	*lse = (*lse & ~cpu_to_be32(MPLS_TTL_MASK)) | cpu_to_be32(ttl);
	r->cur.cst.key.mpls_lse[0] |= cpu_to_be32(MPLS_TTL_MASK);
	r->written.key.mpls_lse[0] |= cpu_to_be32(MPLS_TTL_MASK);
	r->dirty = true;
}

static void dec_mpls_ttl(struct resolver *r)
{
	uint8_t ttl;

	if (!is_mpls(r))
		return;
	read_bytes(r, offsetof(struct flow, key.mpls_lse), 4);
	ttl = (uint8_t)be32_to_cpu(r->cur.flow.key.mpls_lse[0]);
	if (ttl > 1) {
		set_mpls_ttl(r, (uint8_t)(ttl - 1));
		return;
	}
	resolve_controller(r, &(struct controller_args){.max_len = 0xffff,
							.reason = OFPR_INVALID_TTL,
							.meter_id = 0xffffffff});
	note_drop(r, DROP_TTL_EXPIRED);
	r->frame->ended = true;
}

/* ---- flow of control ---- */
static void resubmit(struct resolver *r, const struct action_resubmit *a)
{
	be32_t in_port = r->cur.flow.regs.in_port;
	uint8_t table = a->table == 255 ? r->table : a->table;
	bool backward = table <= r->table;
	struct frame *frame = r->frame;

	if (backward && r->depth >= NEST_MAX) {
		fail(r, DROP_RECURSION_LIMIT);
		return;
	}
	r->depth += backward;
	if (a->in_port != OFP_PORT_IN_PORT)
		in_port = cpu_to_be32(a->in_port);
	TRACE(r, resubmit, table, be32_to_cpu(in_port));
	resolve_resubmit(r, table, in_port);
	r->depth -= backward;
	r->frame = frame;
}

/* As Open vSwitch does it, the packet of the clone meets the action set that is there at its end;
 * what follows the clone has the set, stack and packet as they were before it. */
static void clone(struct resolver *r, const struct action_nested *a)
{
	struct scope s;
	size_t len;
	const uint8_t *list = action_nested(&a->a, &len);
	uint32_t stack_len = r->stack_len;
	uint8_t *stack = stack_len ? xmemdup(r->stack, stack_len) : NULL;
	size_t set_len = r->action_set.len;
	uint8_t *set = set_len ? xmemdup(r->action_set.data, set_len) : NULL;

	if (resolve_scope_begin(r, &s)) {
		bool exit_all;

		resolve_list(r, list, len, r->table, BOUNDARY_CLONE);
		exit_all = r->exit_all;
		resolve_run_action_set(r);
		r->exit = r->exit_all = exit_all;
		resolve_scope_end(r, &s);
		r->action_set.len = 0;
		if (set)
			resolve_write_actions(r, set, set_len);
	}
	free(set);
	r->stack_len = stack_len;
	if (stack)
		memcpy(r->stack, stack, stack_len);
	free(stack);
}

/* Larger packets go round again with the bit set; the others go on here without it. */
static void check_pkt_larger(struct resolver *r, const struct action_check_pkt_larger *a)
{
	struct flow_regs saved = r->cur.flow.regs;
	struct packet_state state;

	resolve_commit(r);
	state = r->cur;
	put_op(r, OP_CHECK_LEN, a->pkt_len, 1, 0);
	fields_write_sub_u64(r, &a->dst, 1);
	/* The bit may be a header's: then the larger packet carries it on its way round. */
	if (r->cur.flow.regs.in_port == saved.in_port &&
	    !memcmp(&r->cur.flow.key, &state.flow.key, sizeof state.flow.key)) {
		put_op(r, OP_RECIRC, 0, resolve_freeze(r, -1), 0);
		if (!r->req->packet_len || r->req->packet_len > a->pkt_len)
			TRACE(r, recirc, 0, r->table);
	} else {
		note_drop(r, DROP_NO_ACTIONS);
		put_op(r, OP_DROP, DROP_NO_ACTIONS, 0, 0);
	}
	r->n_effects++;
	r->base_seq++;
	r->cur = state;
	r->dirty = true;
	fields_write_sub_u64(r, &a->dst, 0);
}

static void output_trunc(struct resolver *r, const struct action_output_trunc *a)
{
	r->trunc_bytes = a->max_len;
	resolve_output(r, a->port, 0xffff);
	r->trunc_bytes = 0;
}

static void output_reg(struct resolver *r, const struct action_output_reg *a)
{
	uint64_t port = fields_read_u64(r, &a->src);

	/* 16-bit registers hold OpenFlow 1.0 numbers. */
	if (a->src.n_bits == 16 && port >= 0xff00)
		port |= 0xffff0000;
	resolve_output(r, (uint32_t)port, a->max_len);
}

static void enqueue(struct resolver *r, const struct action_enqueue *a)
{
	uint32_t saved = r->cur.flow.regs.queue;

	r->cur.flow.regs.queue = a->queue;
	resolve_output(r, a->port, 0);
	r->cur.flow.regs.queue = saved;
}

static void controller(struct resolver *r, const struct action_controller *a)
{
	resolve_controller(r, &(struct controller_args){.max_len = a->max_len,
							.controller_id = a->controller_id,
							.reason = a->reason,
							.meter_id = a->meter_id,
							.userdata = a->userdata,
							.userdata_len = a->userdata_len,
							.pause = a->pause});
}

static void delete_field(struct resolver *r, const struct action_delete_field *a)
{
	const struct field_info *f = &fields[a->field];
	union field_value v = {{0}}, m;

	field_full_mask(f, &m);
	fields_write(r, f, &v, &m);
	if (a->field >= FIELD_TUN_METADATA0 && a->field <= FIELD_TUN_METADATA63) {
		unsigned i = a->field - FIELD_TUN_METADATA0;

		r->cur.flow.key.tun_opt_present[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
		r->cur.cst.key.tun_opt_present[i / 8] |= (uint8_t)(0x80u >> i % 8);
		r->written.key.tun_opt_present[i / 8] |= (uint8_t)(0x80u >> i % 8);
	}
}

void resolve_action(struct resolver *r, const struct action *a)
{
	size_t n;
	const uint8_t *nested;

	switch ((enum action_type)a->type) {
	case ACTION_OUTPUT: {
		const struct action_output *o = (const void *)a;

		resolve_output(r, o->port, o->max_len);
		break;
	}
	case ACTION_OUTPUT_REG:
		output_reg(r, (const void *)a);
		break;
	case ACTION_OUTPUT_TRUNC:
		output_trunc(r, (const void *)a);
		break;
	case ACTION_GROUP:
		resolve_group(r, ((const struct action_group *)a)->group_id);
		break;
	case ACTION_CONTROLLER:
		controller(r, (const void *)a);
		break;
	case ACTION_ENQUEUE:
		enqueue(r, (const void *)a);
		break;
	case ACTION_SET_QUEUE:
		r->cur.flow.regs.queue = ((const struct action_queue *)a)->queue;
		break;
	case ACTION_POP_QUEUE:
		r->cur.flow.regs.queue = 0xffffffff;
		break;
	case ACTION_SET_FIELD:
	case ACTION_LOAD:
	case ACTION_WRITE_METADATA:
		set_field(r, (const void *)a);
		break;
	case ACTION_SET_ADDR:
		set_addr(r, (const void *)a);
		break;
	case ACTION_MOVE:
		move(r, (const void *)a);
		break;
	case ACTION_STACK_PUSH:
		stack_push(r, &((const struct action_stack *)a)->sf);
		break;
	case ACTION_STACK_POP:
		stack_pop(r, &((const struct action_stack *)a)->sf);
		break;
	case ACTION_DEC_TTL:
		dec_ttl(r, (const void *)a);
		break;
	case ACTION_SET_TTL:
		set_ttl(r, ((const struct action_ttl *)a)->ttl);
		break;
	case ACTION_SET_MPLS_TTL:
		set_mpls_ttl(r, ((const struct action_ttl *)a)->ttl);
		break;
	case ACTION_DEC_MPLS_TTL:
		dec_mpls_ttl(r);
		break;
	case ACTION_PUSH_VLAN:
		resolve_push_vlan(r, ((const struct action_push *)a)->ethertype, 0);
		break;
	case ACTION_POP_VLAN:
	case ACTION_STRIP_VLAN:
		resolve_pop_vlan(r);
		break;
	case ACTION_SET_VLAN_VID:
		set_vlan(r, (const void *)a, false);
		break;
	case ACTION_SET_VLAN_PCP:
		set_vlan(r, (const void *)a, true);
		break;
	case ACTION_PUSH_MPLS:
		push_mpls(r, ((const struct action_push *)a)->ethertype);
		break;
	case ACTION_POP_MPLS:
		pop_mpls(r, ((const struct action_push *)a)->ethertype);
		break;
	case ACTION_RESUBMIT:
		resubmit(r, (const void *)a);
		break;
	case ACTION_LEARN:
		resolve_learn(r, (const void *)a);
		break;
	case ACTION_CLONE:
		clone(r, (const void *)a);
		break;
	case ACTION_MULTIPATH:
		resolve_multipath(r, (const void *)a);
		break;
	case ACTION_BUNDLE:
		resolve_bundle(r, (const void *)a);
		break;
	case ACTION_CHECK_PKT_LARGER:
		check_pkt_larger(r, (const void *)a);
		break;
	case ACTION_EXIT:
		r->exit = r->exit_all = true;
		break;
	case ACTION_CT:
		resolve_ct(r, (const void *)a);
		break;
	case ACTION_CT_CLEAR:
		resolve_ct_clear(r);
		break;
	case ACTION_DELETE_FIELD:
		delete_field(r, (const void *)a);
		break;
	case ACTION_METER:
		resolve_meter(r, ((const struct action_meter *)a)->meter_id);
		break;
	case ACTION_CLEAR_ACTIONS:
		resolve_clear_actions(r);
		break;
	case ACTION_WRITE_ACTIONS:
		nested = action_nested(a, &n);
		resolve_write_actions(r, nested, n);
		break;
	case ACTION_GOTO_TABLE:
		r->goto_table = ((const struct action_goto *)a)->table;
		r->frame->ended = true;
		break;
	/* Without effect on forwarding: the tables have taken fin_timeout and conjunction from the
	 * rule; samples and TTL copies are accepted and stored only. */
	case ACTION_COPY_TTL_OUT:
	case ACTION_COPY_TTL_IN:
	case ACTION_CONJUNCTION:
	case ACTION_NOTE:
	case ACTION_FIN_TIMEOUT:
	case ACTION_SAMPLE:
	case ACTION_NAT:
		break;
	case ACTION_N:
		break;
	}
}
