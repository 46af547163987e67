/* SPDX-License-Identifier: BSD-3-Clause */
/* Layouts of ports and their statistics. */
#include "control/openflow/port_msg.h"

#include "control/openflow/oxm.h"
#include "control/openflow/spec.h"

/* 1.0 numbers the kinds of medium four bits lower and knows nothing above 10 Gbit/s. */
static uint32_t features10(uint32_t features)
{
	return (features & 0x7f) | (features >> 4 & 0xf80);
}

static void put_port10(struct ofbuf *b, const struct ofswitch_port *p)
{
	ofbuf_u16(b, ofp_port_to10(p->ofport));
	ofbuf_put(b, p->mac, 6);
	ofbuf_string(b, p->name, OFP10_PORT_NAME_BYTES);
	ofbuf_u32(b, p->config & 0x7f);
	ofbuf_u32(b, p->state & OFPPS_LINK_DOWN);
	ofbuf_u32(b, features10(p->curr));
	ofbuf_u32(b, features10(p->advertised));
	ofbuf_u32(b, features10(p->supported));
	ofbuf_u32(b, features10(p->peer));
}

static void put_features(struct ofbuf *b, const struct ofswitch_port *p)
{
	ofbuf_u32(b, p->curr);
	ofbuf_u32(b, p->advertised);
	ofbuf_u32(b, p->supported);
	ofbuf_u32(b, p->peer);
	ofbuf_u32(b, p->curr_speed_kbps);
	ofbuf_u32(b, p->max_speed_kbps);
}

static void put_common(struct ofbuf *b, const struct ofswitch_port *p)
{
	ofbuf_put(b, p->mac, 6);
	ofbuf_zeros(b, 2);
	ofbuf_string(b, p->name, OFP10_PORT_NAME_BYTES);
	ofbuf_u32(b, p->config &
			     (OFPPC_PORT_DOWN | OFPPC_NO_RECV | OFPPC_NO_FWD | OFPPC_NO_PACKET_IN));
	ofbuf_u32(b, p->state & (OFPPS_LINK_DOWN | OFPPS_BLOCKED | OFPPS_LIVE));
}

void port_put(struct ofbuf *b, uint8_t version, const struct ofswitch_port *p)
{
	if (version == OFP10) {
		put_port10(b, p);
		return;
	}
	ofbuf_u32(b, p->ofport);
	if (version < OFP14) {
		ofbuf_zeros(b, 4);
		put_common(b, p);
		put_features(b, p);
		return;
	}
	ofbuf_u16(b, 72);
	ofbuf_zeros(b, 2);
	put_common(b, p);
	ofbuf_u16(b, OFPPDPT_ETHERNET);
	ofbuf_u16(b, 32);
	ofbuf_zeros(b, 4);
	put_features(b, p);
}

static void put_duration(struct ofbuf *b, uint64_t ms)
{
	ofbuf_u32(b, (uint32_t)(ms / 1000));
	ofbuf_u32(b, (uint32_t)(ms % 1000 * 1000000));
}

void port_stats_put(struct ofbuf *b, uint8_t version, const struct port_stats *s)
{
	if (version >= OFP14) {
		ofbuf_u16(b, 120);
		ofbuf_zeros(b, 2);
		ofbuf_u32(b, s->ofport);
		put_duration(b, s->duration_ms);
	} else if (version == OFP10) {
		ofbuf_u16(b, ofp_port_to10(s->ofport));
		ofbuf_zeros(b, 6);
	} else {
		ofbuf_u32(b, s->ofport);
		ofbuf_zeros(b, 4);
	}
	ofbuf_u64(b, s->rx_pkts);
	ofbuf_u64(b, s->tx_pkts);
	ofbuf_u64(b, s->rx_bytes);
	ofbuf_u64(b, s->tx_bytes);
	ofbuf_u64(b, s->rx_dropped);
	ofbuf_u64(b, s->tx_dropped);
	ofbuf_u64(b, s->rx_errors);
	ofbuf_u64(b, s->tx_errors);
	if (version >= OFP14) {
		ofbuf_u16(b, OFPPSPT_ETHERNET);
		ofbuf_u16(b, 40);
		ofbuf_zeros(b, 4);
	}
	ofbuf_u64(b, s->rx_frame_err);
	ofbuf_u64(b, s->rx_over_err);
	ofbuf_u64(b, s->rx_crc_err);
	ofbuf_u64(b, s->collisions);
	if (version == OFP13)
		put_duration(b, s->duration_ms);
}
