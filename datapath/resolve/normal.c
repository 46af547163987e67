/* SPDX-License-Identifier: BSD-3-Clause */
/* NORMAL: what a learning VLAN switch does with a packet (IEEE 802.1Q §8; ovs-vswitchd.conf.db(5),
 * Port table, VLAN configuration). Reads Ethernet addresses and the outer tag; poll threads and
 * main. */
#include "datapath/resolve/resolver_priv.h"
#include "datapath/table/mac_table.h"

/* The outer tag as it was when NORMAL began, and what the VLAN means. */
struct normal {
	uint16_t vlan; /* of the frame */
	bool has_tag;  /* the packet's outer tag is that VLAN's (or a priority tag) */
	uint16_t pcp;  /* PCP bits in place, 0 without a tag */
	bool learns;   /* the source address will be known at the ingress port */
	be16_t tpid;   /* of the tag, or to be pushed */
	const struct packet_state *start;
};

/* A tag wanted on an output. */
struct tag {
	bool present;
	be16_t tpid, tci;
};

/* Destinations that bridges keep to themselves unless forward-bpdu says otherwise:
 * ovs-vswitchd.conf.db(5), Bridge, other_config:forward-bpdu. */
static bool is_reserved(const uint8_t mac[6])
{
	static const uint8_t stp[5] = {0x01, 0x80, 0xc2, 0, 0}, cisco[5] = {1, 0, 0x0c, 0xcc, 0xcc};
	static const uint8_t others[][6] = {
		{0x00, 0xe0, 0x2b, 0, 0, 0},          {0x00, 0xe0, 0x2b, 0, 0, 4},
		{0x00, 0xe0, 0x2b, 0, 0, 6},          {0x01, 0x00, 0x0c, 0, 0, 0},
		{0x01, 0x00, 0x0c, 0xcd, 0xcd, 0xcd},
	};

	if (!memcmp(mac, stp, 5))
		return mac[5] < 0x10;
	if (!memcmp(mac, cisco, 5))
		return (mac[5] & 0xf0) == 0xc0;
	for (unsigned i = 0; i < SL_ARRAY_SIZE(others); i++)
		if (!memcmp(mac, others[i], 6))
			return true;
	return false;
}

/* Which VLAN the frame belongs to on the port it came in by; false: not allowed here. */
static bool classify(struct resolver *r, const struct bridge_port *in, struct normal *n)
{
	size_t ofs = offsetof(struct flow, key.vlan[0].tci);
	uint16_t tci =
		be16_to_cpu(resolve_read_be16(r, ofs, cpu_to_be16(VLAN_CFI | VLAN_VID_MASK)));
	uint16_t vid = tci & VLAN_VID_MASK;

	n->has_tag = tci & VLAN_CFI;
	n->pcp = 0;
	n->tpid = cpu_to_be16(0x8100);
	n->vlan = vid;
	if (n->has_tag) {
		n->pcp = be16_to_cpu(resolve_read_be16(r, ofs, cpu_to_be16(VLAN_PCP_MASK)));
		n->tpid = READ(r, key.vlan[0].tpid);
	}
	if (!in)
		return true;
	switch ((enum vlan_mode)in->c.vlan_mode) {
	case VLAN_MODE_ACCESS:
		n->vlan = in->c.tag;
		if (vid)
			note_drop(r, DROP_VLAN_TAGGED_ON_ACCESS);
		return !vid;
	case VLAN_MODE_NATIVE_TAGGED:
	case VLAN_MODE_NATIVE_UNTAGGED:
		if (!vid) {
			n->vlan = in->c.tag;
			return true;
		}
		break;
	case VLAN_MODE_TRUNK:
		break;
	case VLAN_MODE_DOT1Q_TUNNEL:
		if (in->c.has_cvlans && !vlan_set_has(&in->c.cvlans, vid)) {
			note_drop(r, DROP_VLAN_NOT_ALLOWED);
			return false;
		}
		/* The customer's tag is payload. */
		n->vlan = in->c.tag;
		n->has_tag = false;
		n->pcp = 0;
		n->tpid = cpu_to_be16(in->c.qinq_tpid);
		return true;
	case VLAN_MODE_N:
		break;
	}
	if (!bridge_port_carries(in, vid)) {
		note_drop(r, DROP_VLAN_NOT_ALLOWED);
		return false;
	}
	return true;
}

static struct tag tag_for(const struct normal *n, const struct bridge_port *out)
{
	uint16_t vid = n->vlan;
	bool as_is = false;

	switch ((enum vlan_mode)out->c.vlan_mode) {
	case VLAN_MODE_ACCESS:
	case VLAN_MODE_DOT1Q_TUNNEL:
		vid = 0;
		break;
	case VLAN_MODE_NATIVE_UNTAGGED:
		if (vid == out->c.tag)
			vid = 0;
		break;
	case VLAN_MODE_TRUNK:
	case VLAN_MODE_NATIVE_TAGGED:
	case VLAN_MODE_N:
		break;
	}
	if (!vid)
		as_is = out->c.priority_tags == VLAN_PRIORITY_ALWAYS ||
			(out->c.priority_tags == VLAN_PRIORITY_IF_NONZERO && n->pcp);
	return (struct tag){.present = vid || as_is,
			    .tpid = n->tpid,
			    .tci = cpu_to_be16((uint16_t)(vid | n->pcp | VLAN_CFI))};
}

static bool needs_change(const struct normal *n, const struct tag *t)
{
	if (!t->present || !n->has_tag)
		return t->present != n->has_tag;
	return t->tci != n->start->flow.key.vlan[0].tci;
}

static void send(struct resolver *r, const struct normal *n, const struct bridge_port *out)
{
	struct tag t = tag_for(n, out);

	if (!needs_change(n, &t)) {
		resolve_output_port(r, out);
		return;
	}
	if (!t.present) {
		resolve_pop_vlan(r);
	} else if (!n->has_tag) {
		resolve_push_vlan(r, t.tpid, t.tci);
	} else {
		r->cur.flow.key.vlan[0].tci = t.tci;
		WROTE(r, key.vlan[0].tci);
	}
	resolve_output_port(r, out);
	r->cur = *n->start;
	r->dirty = true;
}

static bool may_pass(const struct bridge_port *in, const struct bridge_port *out)
{
	return !in || !(in->c.protected && out->c.protected);
}

/* VLAN id of the tag behind the one that says the frame's VLAN; 0: none. */
static uint16_t inner_vid(struct resolver *r, const struct normal *n)
{
	unsigned i = n->has_tag ? 1 : 0;
	size_t ofs = offsetof(struct flow, key.vlan) + i * sizeof(struct flow_vlan) +
		     offsetof(struct flow_vlan, tci);

	return be16_to_cpu(resolve_read_be16(r, ofs, cpu_to_be16(VLAN_VID_MASK)));
}

/* An access port gets no customer tags, a tunnel port those that it allows. */
static bool takes_inner(struct resolver *r, const struct normal *n, const struct bridge_port *out)
{
	if (out->c.vlan_mode == VLAN_MODE_ACCESS)
		return !inner_vid(r, n);
	if (out->c.vlan_mode == VLAN_MODE_DOT1Q_TUNNEL && out->c.has_cvlans)
		return vlan_set_has(&out->c.cvlans, inner_vid(r, n));
	return true;
}

static bool floods_to(struct resolver *r, const struct normal *n, const struct bridge_port *in,
		      const struct bridge_port *out)
{
	return out != in && !(out->c.flags & PORT_FLAG_NO_FLOOD) && may_pass(in, out) &&
	       bridge_port_carries(out, n->vlan) && takes_inner(r, n, out);
}

/* Ports that take the frame as it is come first, so that the tag changes once. */
static void flood(struct resolver *r, const struct normal *n, const struct bridge_port *in)
{
	const struct bridge_ports *ps = rcu_load(&r->bridge->ports);
	unsigned sent = 0;

	for (int changed = 0; changed < 2; changed++) {
		for (uint32_t i = 0; i < ps->n && !stopped(r); i++) {
			const struct bridge_port *out = ps->at[i];
			struct tag t;

			if (!floods_to(r, n, in, out))
				continue;
			t = tag_for(n, out);
			if (needs_change(n, &t) == changed) {
				send(r, n, out);
				sent++;
			}
		}
	}
	if (!sent)
		note_drop(r, DROP_NORMAL_NO_PORT);
}

/* A station that announces itself (RFC 5227): it has moved for certain. */
static bool is_gratuitous_arp(struct resolver *r)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	enum { ARP_REQUEST = 1, ARP_REPLY = 2 };
	uint8_t op;

	if (memcmp(READ_ARRAY(r, key.eth_dst), broadcast, 6) ||
	    READ(r, key.eth_type) != cpu_to_be16(0x0806))
		return false;
	op = READ(r, key.ip_proto);
	if (op == ARP_REPLY)
		return true;
	return op == ARP_REQUEST && READ(r, key.ip_src) == READ(r, key.ip_dst);
}

/* false: the source address is pinned elsewhere. */
static bool learn(struct resolver *r, struct normal *n, const struct bridge_port *in)
{
	const uint8_t *src = READ_ARRAY(r, key.eth_src);
	struct mac_entry *e;
	bool gratuitous;

	depend(r, CHANGE_BRIDGE, r->bridge->id, 0);
	if (r->config->has_flood_vlans && vlan_set_has(&r->config->flood_vlans, n->vlan))
		return true;
	r->out->deps |= mac_table_dep(r->bridge->id, src, n->vlan);
	e = mac_table_lookup(r->bridge->macs, src, n->vlan);
	if (e && e->is_static && e->port_id != in->c.port_id) {
		note_drop(r, DROP_MAC_MOVED_STATIC);
		return false;
	}
	gratuitous = is_gratuitous_arp(r);
	if (!resolve_policy_may_learn(r, in, src))
		return true;
	if (mac_table_wants(r->bridge->macs, e, src, n->vlan, in->c.port_id, gratuitous,
			    r->req->now_ms)) {
		/* Learning it publishes a change, after which the entry is resolved again. Should
		 * the learn be dropped, or not be allowed yet, then it is tried again. */
		limit_age(r, 1000);
		n->learns = true;
		TRACE(r, learn, src, n->vlan, in);
		if (r->req->side_effects)
			mac_table_learn(r->bridge->id, src, n->vlan, in->c.port_id, gratuitous);
	} else if (e && e->port_id != in->c.port_id) {
		limit_age(r, 1000); /* held by a gratuitous ARP for a while */
	}
	if (e && e->port_id == in->c.port_id)
		resolve_credit(r, &e->credit);
	return true;
}

static void forward(struct resolver *r, const struct normal *n, const struct bridge_port *in)
{
	const uint8_t *dst = READ_ARRAY(r, key.eth_dst);
	const struct mac_entry *e;
	const struct bridge_port *out;

	if (dst[0] & 1) {
		flood(r, n, in);
		return;
	}
	if (n->learns && !memcmp(dst, READ_ARRAY(r, key.eth_src), 6)) {
		note_drop(r, DROP_NORMAL_SAME_PORT); /* it is where it has just come from */
		return;
	}
	r->out->deps |= mac_table_dep(r->bridge->id, dst, n->vlan);
	e = mac_table_lookup(r->bridge->macs, dst, n->vlan);
	TRACE(r, mac, dst, n->vlan, e);
	out = e ? bridge_port_by_id(__atomic_load_n(&e->port_id, __ATOMIC_RELAXED)) : NULL;
	if (!out || out->bridge != r->bridge) {
		limit_age(r, 1000);
		r->flooded = true;
		flood(r, n, in);
	} else if (out == in) {
		note_drop(r, DROP_NORMAL_SAME_PORT);
	} else if (!may_pass(in, out)) {
		note_drop(r, DROP_NORMAL_PROTECTED);
	} else {
		send(r, n, out);
	}
}

void resolve_normal(struct resolver *r)
{
	/* The port in question is that of the pipeline, which a rule may have changed. */
	uint32_t in_port = be32_to_cpu(r->cur.flow.regs.in_port);
	const struct bridge_port *in = bridge_port_by_ofport(r->bridge, in_port);
	struct packet_state start;
	struct normal n = {.start = &start};

	if (!in && in_port != OFP_PORT_CONTROLLER && in_port != OFP_PORT_ANY) {
		note_drop(r, DROP_NORMAL_UNKNOWN_INPUT);
		return;
	}
	if (!classify(r, in, &n))
		return;
	if (!r->config->forward_bpdu && is_reserved(READ_ARRAY(r, key.eth_dst))) {
		note_drop(r, DROP_RX_RESERVED_MAC);
		return;
	}
	start = r->cur;
	if (in && !learn(r, &n, in))
		return;
	forward(r, &n, in);
}
