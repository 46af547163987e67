/* SPDX-License-Identifier: BSD-3-Clause */
/* Choices by a hash of fields at resolve time (multipath, bundle): the fields become part of the
 * mask. ovs-actions(7). */
#include "datapath/base/hash.h"
#include "datapath/resolve/actions_priv.h"

enum {
	HASH_ETH_SRC,
	HASH_SYMMETRIC_L4,
	HASH_SYMMETRIC_L3L4,
	HASH_SYMMETRIC_L3L4_UDP,
	HASH_NW_SRC,
	HASH_NW_DST,
	HASH_SYMMETRIC_L3
};
enum { ETH_TYPE_IPV4 = 0x0800, ETH_TYPE_IPV6 = 0x86dd, TCP = 6, UDP = 17, SCTP = 132 };

static uint64_t mix(uint64_t h, uint64_t v)
{
	return hash_u64(h ^ v);
}

static uint64_t bytes_u64(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return v;
}

static bool is_ipv6(struct resolver *r)
{
	return READ(r, key.eth_type) == cpu_to_be16(ETH_TYPE_IPV6);
}

/* One address, or both XORed so that directions agree. */
static uint64_t hash_addresses(struct resolver *r, uint64_t h, bool src, bool dst)
{
	if (is_ipv6(r)) {
		const uint8_t *s = src ? READ_ARRAY(r, key.ipv6_src) : NULL;
		const uint8_t *d = dst ? READ_ARRAY(r, key.ipv6_dst) : NULL;

		for (unsigned i = 0; i < 16; i += 8)
			h = mix(h, (s ? bytes_u64(s + i, 8) : 0) ^ (d ? bytes_u64(d + i, 8) : 0));
		return h;
	}
	if (r->cur.flow.key.eth_type != cpu_to_be16(ETH_TYPE_IPV4))
		return h;
	return mix(h, (src ? READ(r, key.ip_src) : 0) ^ (dst ? READ(r, key.ip_dst) : 0));
}

static uint64_t hash_ports(struct resolver *r, uint64_t h, bool with_udp)
{
	uint8_t proto = READ(r, key.ip_proto);

	if (proto == TCP || proto == SCTP || (with_udp && proto == UDP))
		h = mix(h, (uint64_t)(READ(r, key.tp_src) ^ READ(r, key.tp_dst)));
	return mix(h, proto);
}

uint32_t resolve_hash_fields(struct resolver *r, uint16_t what, uint16_t basis)
{
	uint64_t h = basis, src, dst;

	switch (what) {
	case HASH_ETH_SRC:
		h = mix(h, bytes_u64(READ_ARRAY(r, key.eth_src), 6));
		break;
	case HASH_SYMMETRIC_L4:
		src = bytes_u64(READ_ARRAY(r, key.eth_src), 6);
		dst = bytes_u64(READ_ARRAY(r, key.eth_dst), 6);
		h = mix(h, src ^ dst);
		h = mix(h, resolve_read_be16(r, offsetof(struct flow, key.vlan[0].tci),
					     cpu_to_be16(VLAN_VID_MASK)));
		h = hash_ports(r, hash_addresses(r, h, true, true), false);
		break;
	case HASH_SYMMETRIC_L3L4:
		h = hash_ports(r, hash_addresses(r, h, true, true), false);
		break;
	case HASH_SYMMETRIC_L3L4_UDP:
		h = hash_ports(r, hash_addresses(r, h, true, true), true);
		break;
	case HASH_NW_SRC:
		h = hash_addresses(r, h, true, false);
		break;
	case HASH_NW_DST:
		h = hash_addresses(r, h, false, true);
		break;
	case HASH_SYMMETRIC_L3:
		h = hash_addresses(r, h, true, true);
		break;
	}
	return (uint32_t)(mix(h, 0) >> 32);
}

/* Highest random weight: a link that goes moves only its own flows. */
static uint32_t highest_weight(uint32_t hash, uint32_t n)
{
	uint32_t best = 0;
	uint64_t best_weight = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t w = hash_u64((uint64_t)hash << 32 | (i + 1));

		if (w > best_weight) {
			best_weight = w;
			best = i;
		}
	}
	return best;
}

void resolve_multipath(struct resolver *r, const struct action_multipath *a)
{
	enum { MODULO_N, HASH_THRESHOLD, HRW, ITER_HASH };
	uint32_t h = resolve_hash_fields(r, a->fields, a->basis), n = a->max_link + 1u, link = 0;

	switch (a->algorithm) {
	case MODULO_N:
		link = h % n;
		break;
	case HASH_THRESHOLD:
		link = (uint32_t)((uint64_t)h * n >> 32);
		break;
	case HRW:
		link = highest_weight(h, n);
		break;
	case ITER_HASH:
		link = (uint32_t)((uint64_t)h * SL_MAX(n, a->arg) >> 32) % n;
		break;
	}
	fields_write_sub_u64(r, &a->dst, link);
}

static bool is_live(struct resolver *r, uint32_t ofport)
{
	const struct bridge_port *p = bridge_port_by_ofport(r->bridge, ofport);

	if (!p)
		return false;
	depend(r, CHANGE_PORT, 0, p->c.port_id);
	return bridge_port_is_live(p);
}

void resolve_bundle(struct resolver *r, const struct action_bundle *a)
{
	enum { ACTIVE_BACKUP, HRW };
	uint32_t port = OFP_PORT_ANY, h = 0;
	uint64_t best = 0;

	if (a->algorithm == HRW)
		h = resolve_hash_fields(r, a->fields, a->basis);
	for (uint16_t i = 0; i < a->n_ports; i++) {
		uint64_t w = a->algorithm == HRW ? hash_u64((uint64_t)h << 32 | (i + 1u)) : 1;

		if (w > best && is_live(r, a->ports[i])) {
			best = w;
			port = a->ports[i];
		}
	}
	if (a->dst.n_bits)
		fields_write_sub_u64(r, &a->dst, port == OFP_PORT_ANY ? 0xffff : port);
	else if (port != OFP_PORT_ANY)
		resolve_output(r, port, 0);
	else
		note_drop(r, DROP_GROUP_NO_BUCKET);
}
