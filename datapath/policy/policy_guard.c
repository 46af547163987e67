/* SPDX-License-Identifier: BSD-3-Clause */
/* Guards: what a guest may claim to be, in IP, ARP and neighbour discovery (RFC 826, 4861, 5227,
 * 6980, 7113), and what passes without a rule. Every length is compared before it is used. Poll
 * threads; reads only. */
#include <netinet/in.h>
#include <string.h>

#include "datapath/policy/policy_edge.h"

enum { ETH_ARP = 0x0806 };
enum { DHCP_SERVER = 67, DHCP_CLIENT = 68, DHCPV6_CLIENT = 546, DHCPV6_SERVER = 547 };
enum {
	MLD_FIRST = 130, /* query, report, done */
	MLD_LAST = 132,
	ND_ROUTER_SOLICIT = 133,
	ND_ROUTER_ADVERT = 134,
	ND_NEIGHBOUR_SOLICIT = 135,
	ND_NEIGHBOUR_ADVERT = 136,
	ND_REDIRECT = 137,
	MLD2_REPORT = 143,
};

static bool has(const struct policy_packet *q, uint32_t at, uint32_t n)
{
	return at <= q->len && n <= q->len - at;
}

static uint16_t ethertype(const struct policy_packet *q)
{
	return q->ofs->l3 >= 14 && has(q, q->ofs->l3 - 2u, 2) ? load_be16(q->data + q->ofs->l3 - 2)
							      : 0;
}

bool policy_is_arp(const struct policy_packet *q)
{
	return q->ofs->is_arp && ethertype(q) == ETH_ARP;
}

bool policy_ethertype_listed(const struct policy *p, uint32_t network,
			     const struct policy_packet *q)
{
	uint16_t type = ethertype(q);

	if (network == POLICY_NONE)
		return false;
	for (size_t i = 0; i < p->networks[network].n_ethertypes; i++)
		if (p->networks[network].ethertypes[i] == type)
			return true;
	return false;
}

/* ---- who it says it is ---- */
/* fe80::/10 with the interface identifier made of a MAC (RFC 4291 appendix A). */
static bool is_own_link_local(const struct policy_endpoint *self, const uint8_t addr[16])
{
	static const uint8_t prefix[8] = {0xfe, 0x80};

	if (memcmp(addr, prefix, sizeof prefix))
		return false;
	for (size_t i = 0; i < self->n_macs; i++) {
		const uint8_t *m = self->macs[i];
		const uint8_t id[8] = {m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]};

		if (!memcmp(addr + 8, id, sizeof id))
			return true;
	}
	return false;
}

bool policy_owns_address(const struct policy *p, const struct policy_endpoint *self, uint8_t family,
			 const uint8_t *addr)
{
	uint32_t owner;

	if (!self) {
		owner = policy_owner(p, POLICY_NONE, family, addr);
		return owner == POLICY_NONE ||
		       !(p->endpoints[owner].flags & (POLICY_CHECK_ADDRESSES | POLICY_IS_HOST));
	}
	if (!(self->flags & POLICY_CHECK_ADDRESSES))
		return true;
	if (family == 6 && is_own_link_local(self, addr))
		return true;
	if (self->addresses)
		return policy_lpm_find(self->addresses, family, addr) == 1;
	return self->network != POLICY_NONE &&
	       policy_lpm_find(p->networks[self->network].prefixes, family, addr) == 1;
}

static bool owns_mac(const struct policy *p, const struct policy_endpoint *self,
		     const uint8_t mac[6])
{
	if (!self)
		return !policy_mac_is((const uint8_t(*)[6])p->macs, p->n_macs, mac);
	if (!(self->flags & POLICY_CHECK_MACS))
		return true;
	return policy_mac_is((const uint8_t(*)[6])self->macs, self->n_macs, mac);
}

static bool is_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

/* ---- ARP ---- */
static enum policy_slot_id guard_arp(const struct policy *p, const struct policy_endpoint *self,
				     const struct policy_packet *q)
{
	const uint8_t *arp = q->data + q->ofs->l3, *sha = arp + 8, *spa = arp + 14;

	if (!has(q, q->ofs->l3, 28) || !owns_mac(p, self, sha) || memcmp(sha, q->data + 6, 6))
		return POLICY_SLOT_GUARD_ARP;
	/* A probe has no sender (RFC 5227). */
	return is_zero(spa, 4) || policy_owns_address(p, self, 4, spa) ? POLICY_SLOT_NONE
								       : POLICY_SLOT_GUARD_ARP;
}

/* ---- neighbour discovery ---- */
static int nd_type(const struct policy_packet *q)
{
	const struct flow_offsets *o = q->ofs;

	if (o->ip_version != 6 || o->ip_proto != IPPROTO_ICMPV6 || !o->l4 || !has(q, o->l4, 8))
		return -1;
	return q->data[o->l4];
}

static bool is_nd(int type)
{
	return type >= ND_ROUTER_SOLICIT && type <= ND_REDIRECT;
}

static bool is_mld(int type)
{
	return (type >= MLD_FIRST && type <= MLD_LAST) || type == MLD2_REPORT;
}

static bool options_are_own(const struct policy *p, const struct policy_endpoint *self,
			    const struct policy_packet *q, uint32_t at)
{
	enum { SOURCE_LINK_LAYER = 1, TARGET_LINK_LAYER = 2, OPTIONS_MAX = 32 };
	uint32_t end = q->pkt_len - SL_MIN(q->pkt_len, (uint32_t)q->ofs->tail_pad);

	for (unsigned n = 0; at < end; n++) {
		const uint8_t *o = q->data + at;
		uint32_t bytes;

		if (n == OPTIONS_MAX || !has(q, at, 8))
			return false;
		bytes = o[1] * 8u;
		if (!bytes)
			return false;
		if ((o[0] == SOURCE_LINK_LAYER || o[0] == TARGET_LINK_LAYER) &&
		    !owns_mac(p, self, o + 2))
			return false;
		at += bytes;
	}
	return true;
}

static enum policy_slot_id guard_nd(const struct policy *p, const struct policy_endpoint *self,
				    const struct policy_packet *q, int type)
{
	uint32_t at = q->ofs->l4, options;

	/* Behind an extension header it can hide (RFC 6980, 7113). */
	if (q->data[q->ofs->l3 + 6] != IPPROTO_ICMPV6)
		return POLICY_SLOT_GUARD_ND;
	if (type == ND_ROUTER_ADVERT || type == ND_REDIRECT)
		return self && self->flags & POLICY_MAY_ADVERTISE ? POLICY_SLOT_NONE
								  : POLICY_SLOT_GUARD_RA;
	options = type == ND_ROUTER_SOLICIT ? at + 8 : at + 24;
	if (!has(q, at, options - at))
		return POLICY_SLOT_GUARD_ND;
	if (type == ND_NEIGHBOUR_ADVERT && !policy_owns_address(p, self, 6, q->data + at + 8))
		return POLICY_SLOT_GUARD_ND;
	return options_are_own(p, self, q, options) ? POLICY_SLOT_NONE : POLICY_SLOT_GUARD_ND;
}

/* ---- UDP ports ---- */
/* src 0: from any port. */
static bool udp_is(const struct policy_packet *q, uint8_t version, uint16_t src, uint16_t dst)
{
	const struct flow_offsets *o = q->ofs;

	return o->ip_version == version && o->ip_proto == IPPROTO_UDP && o->l4 &&
	       has(q, o->l4, 4) && (!src || load_be16(q->data + o->l4) == src) &&
	       load_be16(q->data + o->l4 + 2) == dst;
}

/* ---- IP ---- */
static bool source_is_own(const struct policy *p, const struct policy_endpoint *self,
			  const struct policy_packet *q, int type)
{
	const uint8_t *ip = q->data + q->ofs->l3;

	if (q->ofs->ip_version == 4) {
		if (is_zero(ip + 12, 4) && udp_is(q, 4, DHCP_CLIENT, DHCP_SERVER))
			return true;
		return policy_owns_address(p, self, 4, ip + 12);
	}
	/* Before it has an address: detection of duplicates, reports of the groups for it. */
	if (is_zero(ip + 8, 16) &&
	    (type == ND_NEIGHBOUR_SOLICIT || type == ND_ROUTER_SOLICIT || is_mld(type)))
		return true;
	return policy_owns_address(p, self, 6, ip + 8);
}

/* A first fragment without the ports that rules ask for, or one that would overwrite them. */
static bool hides_transport(const struct policy_packet *q)
{
	const struct flow_offsets *o = q->ofs;
	const uint8_t *ip = q->data + o->l3;
	uint16_t word;

	if (o->ip_version == 4) {
		word = load_be16(ip + 6);
		if (word & 0x1fff)
			return (word & 0x1fff) == 1 && ip[9] == IPPROTO_TCP; /* RFC 1858 */
	}
	switch (o->ip_proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return !o->l4;
	default:
		return false;
	}
}

enum policy_slot_id policy_guard(const struct policy *p, const struct policy_endpoint *self,
				 const struct policy_packet *q)
{
	int type = nd_type(q);
	uint32_t header = q->ofs->ip_version == 4 ? 20 : 40;

	if (!q->ofs->ip_version)
		return policy_is_arp(q) ? guard_arp(p, self, q) : POLICY_SLOT_NONE;
	if (!has(q, q->ofs->l3, header) || hides_transport(q))
		return POLICY_SLOT_GUARD_FRAGMENT;
	if (!source_is_own(p, self, q, type))
		return is_nd(type) ? POLICY_SLOT_GUARD_ND : POLICY_SLOT_GUARD_ADDRESS;
	if (is_nd(type))
		return guard_nd(p, self, q, type);
	/* Clients look at their own port only: a server may send from any. */
	if (!(self && self->flags & POLICY_MAY_SERVE_DHCP) &&
	    (udp_is(q, 4, 0, DHCP_CLIENT) || udp_is(q, 6, 0, DHCPV6_CLIENT)))
		return POLICY_SLOT_GUARD_DHCP_SERVER;
	return POLICY_SLOT_NONE;
}

bool policy_is_advertisement(const struct policy_packet *q)
{
	int type = nd_type(q);

	return type == ND_ROUTER_ADVERT || type == ND_REDIRECT;
}

bool policy_is_granted(const struct policy *p, uint32_t network, const struct policy_packet *q)
{
	uint32_t flags = network == POLICY_NONE ? 0 : p->networks[network].flags;
	int type = nd_type(q);

	if (is_nd(type) || is_mld(type))
		return true;
	if (flags & POLICY_NETWORK_DHCP &&
	    (udp_is(q, 4, DHCP_CLIENT, DHCP_SERVER) || udp_is(q, 4, DHCP_SERVER, DHCP_CLIENT)))
		return true;
	return flags & POLICY_NETWORK_DHCPV6 && (udp_is(q, 6, DHCPV6_CLIENT, DHCPV6_SERVER) ||
						 udp_is(q, 6, DHCPV6_SERVER, DHCPV6_CLIENT));
}
