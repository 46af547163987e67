/* SPDX-License-Identifier: BSD-3-Clause */
/* The policy reads packets, a trace knows fields: bytes are made of both. Main thread. */
#include "datapath/server/trace_edge.h"

#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/core/thread.h"
#include "datapath/flow/extract.h"
#include "datapath/flow/packet_build.h"

#define ROOM (65535u + PACKET_BUILD_MAX)

static void patch_addresses(uint8_t *d, const struct flow_offsets *ofs, const struct flow_key *k)
{
	bool v6 = ofs->ip_version == 6;

	memcpy(d + ofs->l3 + (v6 ? 8 : 12), v6 ? k->ipv6_src : (const uint8_t *)&k->ip_src,
	       v6 ? 16 : 4);
	memcpy(d + ofs->l3 + (v6 ? 24 : 16), v6 ? k->ipv6_dst : (const uint8_t *)&k->ip_dst,
	       v6 ? 16 : 4);
	if (!ofs->l4 || !ct_proto_has_ports(ofs->ip_proto))
		return;
	memcpy(d + ofs->l4, &k->tp_src, 2);
	memcpy(d + ofs->l4 + 2, &k->tp_dst, 2);
}

/* The Ethernet header and tags of now, what is behind them as it arrived, the addresses and ports
 * of now. 0: it cannot be said. */
static uint32_t compose(const struct trace_bytes *b, const struct flow *now, uint8_t *out)
{
	struct flow_offsets arrived, built;
	struct flow_key was, is;
	uint32_t len = (uint32_t)packet_build(now, 0, out, ROOM), rest;

	if (!b->packet || !len)
		return len;
	memset(&was, 0, sizeof was);
	memset(&is, 0, sizeof is);
	flow_extract(b->packet, b->len, b->len, &was, &arrived);
	flow_extract(out, len, len, &is, &built);
	if (!arrived.l3 || !built.l3 || arrived.ip_version != built.ip_version ||
	    arrived.l3 > b->len)
		return len;
	rest = SL_MIN(b->len - arrived.l3, ROOM - built.l3);
	memcpy(out + built.l3, b->packet + arrived.l3, rest);
	len = built.l3 + rest;
	memset(&is, 0, sizeof is);
	flow_extract(out, len, len, &is, &built);
	if (built.ip_version)
		patch_addresses(out, &built, &now->key);
	return len;
}

struct policy_finding trace_edge(const struct trace_bytes *b, const struct flow *now,
				 uint32_t in_port, uint32_t port_id, bool egress, uint8_t hints)
{
	static uint8_t room[ROOM];
	struct flow_offsets ofs;
	struct flow_key key;
	const uint8_t *data = room;
	uint32_t len;

	if (egress && b->packet) { /* as it arrived */
		data = b->packet;
		len = b->len;
	} else {
		len = compose(b, now, room);
	}
	memset(&key, 0, sizeof key);
	flow_extract(data, len, len, &key, &ofs);
	return policy_edge_peek(
		(struct policy_packet){
			.data = data,
			.len = len,
			.pkt_len = len,
			.ofs = &ofs,
			.in_port = in_port,
			.now_ms = clock_mono_ms(),
			.thread_idx = THREAD_MAIN,
			.hints = hints,
		},
		port_id, egress);
}
