/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/cache/lattice.h"

#include <string.h>

/* All or nothing over n bytes. */
static void whole(void *mask, size_t n)
{
	uint8_t *m = mask, any = 0;

	for (size_t i = 0; i < n; i++)
		any |= m[i];
	if (any)
		memset(m, 0xff, n);
}

static void mac(uint8_t *m)
{
	/* "Is it multicast?" alone stays that narrow: it is one bit of the lattice. */
	static const uint8_t group_bit[6] = {0x01};

	if (memcmp(m, group_bit, 6))
		whole(m, 6);
}

static unsigned last_bit(const uint8_t *m, unsigned n_bytes)
{
	for (unsigned i = n_bytes; i-- > 0;)
		if (m[i])
			return i * 8 + 8 - (unsigned)__builtin_ctz(m[i]);
	return 0;
}

/* To the next of `steps`; NULL: to a prefix of just the length that the last bit needs. */
static void prefix(void *mask, unsigned n_bytes, const uint8_t *steps)
{
	uint8_t *m = mask;
	unsigned need = last_bit(m, n_bytes);

	if (!need)
		return;
	while (steps && *steps < need)
		steps++;
	if (steps)
		need = *steps;
	memset(m, 0, n_bytes);
	memset(m, 0xff, need / 8);
	if (need % 8)
		m[need / 8] = (uint8_t)(0xff00 >> (need % 8));
}

void lattice_round_up(struct flow_key *m, uint16_t lines, enum lattice how)
{
	static const uint8_t v4_steps[] = {8, 16, 24, 32}, v6_steps[] = {32, 48, 64, 128};
	static const uint8_t port_steps[] = {4, 8, 16};
	const uint8_t *v4 = how == LATTICE_COARSE ? v4_steps : NULL;
	const uint8_t *v6 = how == LATTICE_COARSE ? v6_steps : NULL;
	const uint8_t *port = how == LATTICE_COARSE ? port_steps : NULL;

	m->in_port = m->recirc_id = UINT32_MAX;
	mac(m->eth_dst);
	mac(m->eth_src);
	whole(&m->eth_type, 2);
	whole(&m->ip_proto, 1);
	whole(&m->ip_tos, 1);
	for (int i = 0; i < 2; i++) {
		uint16_t tci = be16_to_cpu(m->vlan[i].tci);

		/* Presence alone; the VLAN; or the tag with its priority. */
		if (tci & VLAN_PCP_MASK)
			tci = 0xffff;
		else if (tci & VLAN_VID_MASK)
			tci = VLAN_CFI | VLAN_VID_MASK;
		m->vlan[i].tci = cpu_to_be16(tci);
		whole(&m->vlan[i].tpid, 2);
	}
	prefix(&m->ip_src, 4, v4);
	prefix(&m->ip_dst, 4, v4);
	prefix(&m->tp_src, 2, port);
	prefix(&m->tp_dst, 2, port);
	whole(&m->tcp_flags, 2);
	whole(&m->ip_ttl, 1);
	whole(&m->ip_frag, 1);
	whole(&m->ct_zone, 2);
	whole(&m->ct_state, 1);
	whole(&m->ttl_class, 1);
	whole(&m->ct_mark, 4);
	whole(&m->tun_id, 8);
	if (lines & (1u << FLOW_LINE_IPV6)) {
		prefix(m->ipv6_src, 16, v6);
		prefix(m->ipv6_dst, 16, v6);
		whole(m->nd_target, 16);
		whole(&m->ipv6_label, 4);
		whole(m->arp_sha, 6);
		whole(m->arp_tha, 6);
	}
	for (unsigned line = FLOW_LINE_TUNNEL; line < FLOW_KEY_LINES; line++)
		if (lines & (1u << line))
			for (unsigned i = 0; i < FLOW_LINE_BYTES; i += 4)
				whole((uint8_t *)m + line * FLOW_LINE_BYTES + i, 4);
}
