/* SPDX-License-Identifier: BSD-3-Clause */
/* Lazy header writes: the ops that turn the packet as it is (base) into what the pipeline made of
 * it (cur), as few as possible. A bit is written when it is a constant in cur and not known to be
 * that in the packet already; "already" may rest on the mask, because every packet of the entry has
 * those bits. Poll threads and main. */
#include "datapath/flow/action.h"
#include "datapath/resolve/resolver_priv.h"

enum {
	ETH_TYPE_IPV4 = 0x0800,
	ETH_TYPE_ARP = 0x0806,
	ETH_TYPE_RARP = 0x8035,
	ETH_TYPE_IPV6 = 0x86dd,
	PROTO_ICMP = 1,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_ICMPV6 = 58,
	PROTO_SCTP = 132,
	ICMPV6_ND_SOLICIT = 135,
	ICMPV6_ND_ADVERT = 136,
};

struct place { /* where key bytes lie in a packet */
	uint8_t anchor, hdr_ofs, n_bytes, csum;
	uint16_t key_ofs;
};
#define PLACE(anchor, ofs, n, csum, member)                                                        \
	{                                                                                          \
		anchor, ofs, n, csum, offsetof(struct flow, key.member)                            \
	}

static const struct place eth_places[] = {PLACE(HDR_ETH, 0, 12, CSUM_NONE, eth_dst)};
static const struct place ipv4_places[] = {
	PLACE(HDR_L3, 1, 1, CSUM_IP, ip_tos),
	PLACE(HDR_L3, 8, 1, CSUM_IP, ip_ttl),
	PLACE(HDR_L3, 12, 8, CSUM_PSEUDO, ip_src),
};
static const struct place ipv6_places[] = {
	PLACE(HDR_L3, 7, 1, CSUM_NONE, ip_ttl),
	PLACE(HDR_L3, 8, 16, CSUM_PSEUDO6, ipv6_src),
	PLACE(HDR_L3, 24, 16, CSUM_PSEUDO6, ipv6_dst),
};
static const struct place arp_places[] = {
	PLACE(HDR_ARP, 7, 1, CSUM_NONE, ip_proto), PLACE(HDR_ARP, 8, 6, CSUM_NONE, arp_sha),
	PLACE(HDR_ARP, 14, 4, CSUM_NONE, ip_src),  PLACE(HDR_ARP, 18, 6, CSUM_NONE, arp_tha),
	PLACE(HDR_ARP, 24, 4, CSUM_NONE, ip_dst),
};
static const struct place port_places[] = {PLACE(HDR_L4, 0, 4, CSUM_L4, tp_src)};
static const struct place sctp_places[] = {PLACE(HDR_L4, 0, 4, CSUM_SCTP, tp_src)};
static const struct place icmp_places[] = {
	{HDR_L4, 0, 1, CSUM_L4, offsetof(struct flow, key.tp_src) + 1},
	{HDR_L4, 1, 1, CSUM_L4, offsetof(struct flow, key.tp_dst) + 1},
};
static const struct place nd_places[] = {
	PLACE(HDR_ND, 4, 4, CSUM_L4, nd_reserved),
	PLACE(HDR_ND, 8, 16, CSUM_L4, nd_target),
	PLACE(HDR_ND, 24, 1, CSUM_L4, nd_options_type),
};
static const struct place nd_sll_places[] = {PLACE(HDR_ND_SLL, 2, 6, CSUM_L4, arp_sha)};
static const struct place nd_tll_places[] = {PLACE(HDR_ND_TLL, 2, 6, CSUM_L4, arp_tha)};

/* Which bits of [ofs, ofs + n) must be written; base then has them. */
static bool take_needed(struct resolver *r, size_t ofs, size_t n, uint8_t *mask)
{
	const uint8_t *cur = (const uint8_t *)&r->cur.flow + ofs;
	const uint8_t *cst = (const uint8_t *)&r->cur.cst + ofs;
	uint8_t *base = (uint8_t *)&r->base.key + ofs, *bcst = (uint8_t *)&r->base.cst + ofs;
	uint8_t *wc = (uint8_t *)&r->wc + ofs, any = 0;

	for (size_t i = 0; i < n; i++) {
		uint8_t same = (uint8_t) ~(base[i] ^ cur[i]);
		uint8_t restore = bcst[i] & (uint8_t)~cst[i];

		mask[i] = cst[i] & (uint8_t) ~((bcst[i] | wc[i]) & same);
		/* Back to what the packet had: only a packet that had just that. */
		wc[i] |= restore;
		mask[i] |= restore & (uint8_t)~same;
		base[i] = (uint8_t)((base[i] & ~mask[i]) | (cur[i] & mask[i]));
		bcst[i] |= mask[i];
		any |= mask[i];
	}
	return any;
}

static struct prog_set *put_set(struct resolver *r, uint8_t anchor, uint8_t ofs, uint8_t n,
				uint8_t csum)
{
	struct prog_set *set = (struct prog_set *)put_op(r, OP_SET, 0, 0, 5);

	set->anchor = anchor;
	set->ofs = ofs;
	set->n_bytes = n;
	set->csum = csum;
	r->base_seq++;
	return set;
}

static void commit_places(struct resolver *r, const struct place *places, size_t n)
{
	for (const struct place *p = places; p < places + n; p++) {
		const uint8_t *cur = (const uint8_t *)&r->cur.flow + p->key_ofs;
		uint8_t mask[16] = {0};
		struct prog_set *set;

		if (!take_needed(r, p->key_ofs, p->n_bytes, mask))
			continue;
		set = put_set(r, p->anchor, p->hdr_ofs, p->n_bytes, p->csum);
		memcpy(set->mask, mask, p->n_bytes);
		for (unsigned i = 0; i < p->n_bytes; i++)
			set->value[i] = cur[i] & mask[i];
	}
}
#define COMMIT_PLACES(r, table) commit_places(r, table, SL_ARRAY_SIZE(table))

/* Traffic class and label share the first word of the IPv6 header: version 4, class 8, label 20. */
static void commit_ipv6_word(struct resolver *r)
{
	uint8_t tos, label[4];
	bool need = take_needed(r, offsetof(struct flow, key.ip_tos), 1, &tos);
	struct prog_set *set;

	need |= take_needed(r, offsetof(struct flow, key.ipv6_label), 4, label);
	if (!need)
		return;
	set = put_set(r, HDR_L3, 0, 4, CSUM_NONE);
	store_be32(set->mask, (uint32_t)tos << 20 | (load_be32(label) & 0xfffff));
	store_be32(set->value, ((uint32_t)r->cur.flow.key.ip_tos << 20 |
				(be32_to_cpu(r->cur.flow.key.ipv6_label) & 0xfffff)) &
				       load_be32(set->mask));
}

static void commit_ttl_decs(struct resolver *r)
{
	struct vlan_state *v = &r->cur.v, *b = &r->base.v;

	if (r->cur.cst.key.ip_ttl == 0xff || v->ttl_decs == b->ttl_decs)
		return;
	if (v->ttl_decs < b->ttl_decs) {
		/* Back to an earlier TTL: by value, hence only for packets with that TTL. */
		r->wc.key.ip_ttl = 0xff;
		r->cur.cst.key.ip_ttl = 0xff;
		b->ttl_decs = v->ttl_decs;
		return;
	}
	for (; b->ttl_decs < v->ttl_decs; b->ttl_decs++) {
		put_op(r, OP_DEC_TTL, 0, 0, 0);
		r->base.key.ip_ttl--;
	}
	r->base_seq++;
}

static void commit_l4(struct resolver *r, uint8_t proto)
{
	switch (proto) {
	case PROTO_TCP:
	case PROTO_UDP:
		COMMIT_PLACES(r, port_places);
		break;
	case PROTO_SCTP:
		COMMIT_PLACES(r, sctp_places);
		break;
	case PROTO_ICMP:
	case PROTO_ICMPV6:
		COMMIT_PLACES(r, icmp_places);
		break;
	}
}

static void commit_nd(struct resolver *r)
{
	be16_t type = r->cur.flow.key.tp_src;

	if (type == cpu_to_be16(ICMPV6_ND_SOLICIT) || type == cpu_to_be16(ICMPV6_ND_ADVERT)) {
		COMMIT_PLACES(r, nd_places);
		if (type == cpu_to_be16(ICMPV6_ND_SOLICIT))
			COMMIT_PLACES(r, nd_sll_places);
		else
			COMMIT_PLACES(r, nd_tll_places);
	}
}

/* Has anything beyond Ethernet been written, or must be put back? */
static bool upper_layers_differ(const struct resolver *r)
{
	const uint64_t *cst = (const uint64_t *)&r->cur.cst;
	const uint64_t *bcst = (const uint64_t *)&r->base.cst;
	uint64_t any = 0;

	any |= cst[2] | bcst[2] | cst[4] | bcst[4] | cst[5] | bcst[5];
	for (unsigned w = 8; w < 16; w++)
		any |= cst[w] | bcst[w];
	any |= cst[33] | bcst[33] | cst[34] | bcst[34]; /* nd_reserved, nd_options_type */
	return any || r->cur.v.ttl_decs != r->base.v.ttl_decs;
}

static void commit_upper(struct resolver *r)
{
	be16_t type;

	if (!upper_layers_differ(r))
		return;
	type = READ(r, key.eth_type);
	if (type == cpu_to_be16(ETH_TYPE_IPV4) || type == cpu_to_be16(ETH_TYPE_IPV6)) {
		commit_ttl_decs(r);
		if (type == cpu_to_be16(ETH_TYPE_IPV4)) {
			COMMIT_PLACES(r, ipv4_places);
		} else {
			commit_ipv6_word(r);
			COMMIT_PLACES(r, ipv6_places);
		}
		/* Written ports imply that the protocol was read (prerequisites). */
		commit_l4(r, r->cur.flow.key.ip_proto);
		if (r->cur.flow.key.ip_proto == PROTO_ICMPV6)
			commit_nd(r);
	} else if (type == cpu_to_be16(ETH_TYPE_ARP) || type == cpu_to_be16(ETH_TYPE_RARP)) {
		COMMIT_PLACES(r, arp_places);
	}
}

/* ---- VLAN tags ---- */
be16_t resolve_read_be16(struct resolver *r, size_t ofs, be16_t bits)
{
	be16_t cst, wc, v;

	memcpy(&cst, (const uint8_t *)&r->cur.cst + ofs, 2);
	memcpy(&wc, (const uint8_t *)&r->wc + ofs, 2);
	memcpy(&v, (const uint8_t *)&r->cur.flow + ofs, 2);
	wc |= bits & (be16_t)~cst;
	memcpy((uint8_t *)&r->wc + ofs, &wc, 2);
	return v & bits;
}

/* vlan[0] and vlan[1] of the mask are those of the original packet. While the tags lie where they
 * lay, reading cur records the right bits; a tag that moves is read whole first and then counts as
 * a constant. A tag that a push hides at the bottom comes back to its own place. */
static void read_tag(struct resolver *r, unsigned i)
{
	read_bytes(r, offsetof(struct flow, key.vlan) + i * sizeof(struct flow_vlan),
		   sizeof(struct flow_vlan));
}

bool resolve_has_vlan(struct resolver *r)
{
	return resolve_read_be16(r, offsetof(struct flow, key.vlan[0].tci),
				 cpu_to_be16(VLAN_CFI)) != 0;
}

static void mark_tags(struct resolver *r)
{
	memset(&r->written.key.vlan, 0xff, sizeof r->written.key.vlan);
	r->dirty = true;
}

void resolve_push_vlan(struct resolver *r, be16_t tpid, be16_t tci)
{
	struct flow_vlan *v = r->cur.flow.key.vlan, *c = r->cur.cst.key.vlan;
	struct vlan_state *s = &r->cur.v;

	if (s->n_hidden == VLAN_HIDDEN_MAX) {
		fail(r, DROP_VLAN_STACK);
		return;
	}
	s->hidden[s->n_hidden] = v[1];
	s->hidden_cst[s->n_hidden++] = c[1];
	read_tag(r, 0);
	v[1] = v[0];
	v[0] = (struct flow_vlan){tpid, tci | cpu_to_be16(VLAN_CFI)};
	memset(c, 0xff, 2 * sizeof *c);
	s->n_pushed++;
	mark_tags(r);
}

bool resolve_pop_vlan(struct resolver *r)
{
	struct flow_vlan *v = r->cur.flow.key.vlan, *c = r->cur.cst.key.vlan;
	struct vlan_state *s = &r->cur.v;

	if (!resolve_has_vlan(r))
		return false;
	read_tag(r, 1);
	v[0] = v[1];
	memset(c, 0xff, 2 * sizeof *c);
	v[1] = (struct flow_vlan){0, 0};
	if (s->n_hidden) {
		v[1] = s->hidden[--s->n_hidden];
		c[1] = s->hidden_cst[s->n_hidden];
	}
	if (s->n_pushed)
		s->n_pushed--;
	else
		s->popped++;
	mark_tags(r);
	return true;
}

/* Tag i of cur, 0 outermost, with all its bits recorded. */
static struct flow_vlan exact_tag(struct resolver *r, unsigned i)
{
	if (i < 2) {
		read_tag(r, i);
		return r->cur.flow.key.vlan[i];
	}
	/* Hidden tags that are not constant are the packet's original inner one. */
	memset(&r->wc.key.vlan[1], 0xff, sizeof r->wc.key.vlan[1]);
	return r->cur.v.hidden[r->cur.v.n_hidden - (i - 1)];
}

/* The packet's tag i, as base has it, is looked at: its bits that are no constants are recorded at
 * the place that the tag had in the packet that came. */
static struct flow_vlan base_tag(struct resolver *r, unsigned i)
{
	const struct flow_vlan *cst = &r->base.cst.vlan[i];
	unsigned place = i - r->base.v.n_pushed + r->base.v.popped;

	if (i >= r->base.v.n_pushed && place < 2) {
		r->wc.key.vlan[place].tpid |= (be16_t)~cst->tpid;
		r->wc.key.vlan[place].tci |= (be16_t)~cst->tci;
	}
	return r->base.key.vlan[i];
}

/* How many of the tags below the new ones must be replaced, too, because they were written before
 * the new ones came on top. */
static unsigned changed_below(struct resolver *r, unsigned pops, unsigned pushes)
{
	unsigned n = 0;

	for (unsigned i = pushes, was = pops; i < 2 && was < 2; i++, was++) {
		const struct flow_vlan *is = &r->cur.flow.key.vlan[i];
		struct flow_vlan b = base_tag(r, was);

		if ((is->tci & b.tci & cpu_to_be16(VLAN_CFI)) &&
		    (is->tci != b.tci || is->tpid != b.tpid))
			n = i - pushes + 1;
	}
	return n;
}

/* Pops and pushes until base has the tags of cur. */
static void commit_vlan_structure(struct resolver *r)
{
	const struct vlan_state *v = &r->cur.v;
	struct vlan_state *b = &r->base.v;
	unsigned pops = b->n_pushed, pushes = v->n_pushed;

	if (v->popped >= b->popped)
		pops += v->popped - b->popped;
	else
		pushes += b->popped - v->popped; /* original tags come back, behind the new ones */
	unsigned below = changed_below(r, pops, pushes);

	pops += below;
	pushes += below;
	for (unsigned i = 0; i < pops; i++)
		put_op(r, OP_POP_VLAN, 0, 0, 0);
	for (unsigned i = pushes; i-- > 0;) {
		struct flow_vlan t = exact_tag(r, i);

		put_op(r, OP_PUSH_VLAN, t.tpid ? t.tpid : cpu_to_be16(0x8100),
		       t.tci & (be16_t)~cpu_to_be16(VLAN_CFI), 0);
	}
	b->n_pushed = v->n_pushed;
	b->popped = v->popped;
	memcpy(r->base.key.vlan, r->cur.flow.key.vlan, sizeof r->base.key.vlan);
	memcpy(r->base.cst.vlan, r->cur.cst.key.vlan, sizeof r->base.cst.vlan);
	r->base_seq++;
}

static void commit_tci(struct resolver *r, unsigned i)
{
	size_t ofs = offsetof(struct flow, key.vlan) + i * sizeof(struct flow_vlan) +
		     offsetof(struct flow_vlan, tci);
	be16_t tci = r->cur.flow.key.vlan[i].tci, cfi = cpu_to_be16(VLAN_CFI), mask = 0;
	struct prog_set *set;

	/* The present bit is no bit of the wire. */
	if (!take_needed(r, ofs, 2, (uint8_t *)&mask) || !(mask & (be16_t)~cfi))
		return;
	mask &= (be16_t)~cfi;
	tci &= mask;
	set = put_set(r, i ? HDR_VLAN2 : HDR_VLAN, 0, 2, CSUM_NONE);
	memcpy(set->mask, &mask, 2);
	memcpy(set->value, &tci, 2);
}

/* As many tags, but of another type: NORMAL may have pushed one before. */
static bool types_differ(const struct resolver *r)
{
	const struct flow_vlan *is = r->cur.flow.key.vlan, *b = r->base.key.vlan;

	for (unsigned i = 0; i < r->cur.v.n_pushed && i < 2; i++)
		if (is[i].tpid != b[i].tpid)
			return true;
	return false;
}

static void commit_vlan(struct resolver *r)
{
	const struct vlan_state *v = &r->cur.v, *b = &r->base.v;

	if (v->n_pushed != b->n_pushed || v->popped != b->popped || types_differ(r))
		commit_vlan_structure(r);
	for (unsigned i = 0; i < 2; i++) {
		const struct flow_vlan *c = &r->cur.cst.key.vlan[i], *bc = &r->base.cst.vlan[i];

		if (c->tci | bc->tci)
			commit_tci(r, i);
	}
}

static void commit_mpls(struct resolver *r)
{
	be32_t mask = 0;
	size_t ofs = offsetof(struct flow, key.mpls_lse);

	if (!(r->cur.cst.key.mpls_lse[0] | r->base.cst.mpls_lse[0]) ||
	    !take_needed(r, ofs, 4, (uint8_t *)&mask))
		return;
	put_op(r, OP_SET_MPLS, 0, r->cur.flow.key.mpls_lse[0] & mask, 1)->u64 = mask;
	r->base_seq++;
}

void resolve_commit(struct resolver *r)
{
	if (!r->dirty)
		return;
	commit_upper(r); /* first: behind a third tag they would not be found */
	commit_vlan(r);
	COMMIT_PLACES(r, eth_places);
	commit_mpls(r);
	r->dirty = false;
}
