/* SPDX-License-Identifier: BSD-3-Clause */
/* Packet-out, packet-in and resume on the wire (§7.3.6, §7.4.1; NXT_PACKET_IN, NXT_PACKET_IN2).
 * Pure. */
#pragma once
#include "control/openflow/action_codec.h"
#include "control/openflow/oxm.h"

struct packet_out {
	uint32_t in_port;
	struct match match; /* 1.5: pipeline fields; else only in_port */
	struct action_buf actions;
	const uint8_t *packet; /* borrowed from the message */
	size_t packet_len;
};
enum ofp_err packet_out_get(struct ofcur body, uint8_t version, struct packet_out *out);
void packet_out_free(struct packet_out *po);

struct packet_in {
	uint8_t reason, table;
	bool is_controller_action;
	uint16_t max_len;
	uint64_t cookie;
	uint32_t in_port, full_len;
	const struct flow *flow; /* registers, metadata, tunnel and ct fields */
	const uint8_t *packet;
	size_t packet_len;
	const uint8_t *userdata, *continuation;
	size_t userdata_len, continuation_len;
};
/* A whole message, in the format (NXPIF_*) that the connection chose. */
void packet_in_put(struct ofbuf *b, uint8_t version, uint8_t format, const struct packet_in *pi);

/* NXT_RESUME: the properties of NXT_PACKET_IN2 as the controller returns them. */
struct packet_in2 {
	const uint8_t *packet, *continuation;
	size_t packet_len, continuation_len;
	struct match metadata;
};
enum ofp_err packet_in2_get(struct ofcur body, struct packet_in2 *out);
