/* SPDX-License-Identifier: BSD-3-Clause */
/* What ct() would do to a traced packet: the tracker is only looked at. Main thread. */
#include "datapath/server/trace_track.h"

#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/conntrack/ct_limits.h"
#include "datapath/conntrack/ct_packet.h"
#include "datapath/conntrack/ct_peek.h"
#include "datapath/exec/exec_ct.h"
#include "datapath/flow/action.h"
#include "datapath/flow/extract.h"

static bool tuple_of(const struct flow_key *k, uint16_t zone, struct ct_tuple *out)
{
	bool v6 = k->eth_type == cpu_to_be16(0x86dd);

	if ((!v6 && k->eth_type != cpu_to_be16(0x0800)) || !ct_proto_has_ports(k->ip_proto))
		return false;
	memset(out, 0, sizeof *out);
	out->family = v6 ? 6 : 4;
	out->proto = k->ip_proto;
	out->context = zone;
	out->src_port = k->tp_src;
	out->dst_port = k->tp_dst;
	memcpy(out->src, v6 ? k->ipv6_src : (const uint8_t *)&k->ip_src, v6 ? 16 : 4);
	memcpy(out->dst, v6 ? k->ipv6_dst : (const uint8_t *)&k->ip_dst, v6 ? 16 : 4);
	return true;
}

static void put_tuple(struct flow_key *k, const struct ct_tuple *o)
{
	memset(k->ct_ipv6_src, 0, 32);
	k->ct_ip_src = k->ct_ip_dst = 0;
	if (o->family == 6) {
		memcpy(k->ct_ipv6_src, o->src, 16);
		memcpy(k->ct_ipv6_dst, o->dst, 16);
	} else {
		memcpy(&k->ct_ip_src, o->src, 4);
		memcpy(&k->ct_ip_dst, o->dst, 4);
	}
	k->ct_tp_src = o->src_port;
	k->ct_tp_dst = o->dst_port;
	k->ct_ip_proto = o->proto;
}

void trace_flow_translate(struct flow_key *k, const struct ct_rewrite *rw)
{
	if (!rw->any)
		return;
	if (rw->family == 6) {
		memcpy(k->ipv6_src, rw->to.src, 16);
		memcpy(k->ipv6_dst, rw->to.dst, 16);
	} else {
		memcpy(&k->ip_src, rw->to.src, 4);
		memcpy(&k->ip_dst, rw->to.dst, 4);
	}
	if (ct_proto_has_ports(k->ip_proto)) {
		k->tp_src = rw->to.src_port;
		k->tp_dst = rw->to.dst_port;
	}
}

/* What the tracker reads of the described bytes, under the addresses and ports that the packet has
 * by now. False: there are no bytes. `known`: they are something that can be tracked. */
static bool packet_of(const struct trace_bytes *b, const struct flow_key *k, uint16_t zone,
		      struct ct_packet *p, bool *known)
{
	struct flow_offsets ofs;
	struct flow_key as_described;
	struct ct_tuple now;

	if (!b->packet)
		return false;
	memset(&as_described, 0, sizeof as_described);
	flow_extract(b->packet, b->len, b->len, &as_described, &ofs);
	*known = ct_packet_parse(p, b->packet, b->len, b->len, &ofs, zone);
	if (*known && !p->related) {
		bool v6 = p->tuple.family == 6;

		memcpy(p->tuple.src, v6 ? k->ipv6_src : (const uint8_t *)&k->ip_src, v6 ? 16 : 4);
		memcpy(p->tuple.dst, v6 ? k->ipv6_dst : (const uint8_t *)&k->ip_dst, v6 ? 16 : 4);
		if (tuple_of(k, zone, &now)) {
			p->tuple.src_port = now.src_port;
			p->tuple.dst_port = now.dst_port;
		}
	}
	return true;
}

/* What a commit of a connection that begins would do more. */
static enum drop_reason commit(const struct ct_tuple *tuple, uint32_t port_id,
			       const struct ct_nat *nat, struct conntrack_meta *m,
			       struct ct_rewrite *rw)
{
	struct ct_tuple reply = ct_tuple_reverse(tuple);
	enum drop_reason why = ct_limits_would_refuse(tuple->context, port_id);

	if (why != DROP_NONE)
		return why;
	if (nat && nat->flags & (NAT_SRC | NAT_DST))
		return ct_peek_translation(tuple, nat, m, rw) ? DROP_NONE : DROP_CT_NAT_EXHAUSTED;
	return ct_tuple_equal(tuple, &reply) ? DROP_CT_TUPLE_TAKEN : DROP_NONE;
}

enum drop_reason trace_track(const struct trace_bytes *b, struct flow *f, const struct prog_ct *ct,
			     uint16_t flags, const uint8_t *assume, struct ct_rewrite *rw)
{
	struct flow_key *k = &f->key;
	bool ip = k->eth_type == cpu_to_be16(0x0800) || k->eth_type == cpu_to_be16(0x86dd);
	uint8_t before = k->ct_zone == cpu_to_be16(ct->zone) ? k->ct_state : 0;
	bool translated = before & (CT_STATE_SNAT | CT_STATE_DNAT);
	struct conntrack_meta m;
	struct ct_tuple tuple;
	struct ct_packet packet;
	bool known = tuple_of(k, ct->zone, &tuple);
	bool bytes = packet_of(b, k, ct->zone, &packet, &known), found;
	enum drop_reason why = DROP_NONE;
	struct ct_nat nat, *n = NULL;

	if (flags & PROG_CT_NAT) {
		exec_ct_nat(ct, &nat);
		n = &nat;
	}
	if (bytes)
		tuple = packet.tuple;
	found = ct_peek(known ? &tuple : NULL, bytes && known ? &packet : NULL, ct->zone,
			translated ? NULL : n, (uint32_t)clock_mono_ms(), &m, rw);
	if (!known && !bytes && ip) /* protocols whose identifier is not in the key */
		m.state = CT_STATE_TRK | CT_STATE_NEW;
	if (!found && known && m.state & CT_STATE_NEW && flags & PROG_CT_COMMIT && !assume)
		why = commit(&tuple, k->in_port, translated ? NULL : n, &m, rw);
	if (translated)
		m.state |= before & (CT_STATE_SNAT | CT_STATE_DNAT);
	if (assume)
		m.state = *assume | CT_STATE_TRK;
	k->ct_state = m.state;
	k->ct_zone = cpu_to_be16(ct->zone);
	k->ct_mark = cpu_to_be32(m.mark);
	memcpy(k->ct_label, m.label, sizeof k->ct_label);
	put_tuple(k, m.orig);
	trace_flow_translate(k, rw);
	return why;
}
