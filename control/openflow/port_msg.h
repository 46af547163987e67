/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports on the wire (§7.2.1; 1.0 §5.2.1). Pure; any thread. */
#pragma once
#include "control/openflow/ofbuf.h"
#include "control/openflow/ofswitch.h"

void port_put(struct ofbuf *b, uint8_t version, const struct ofswitch_port *port);

/* One row of port statistics; UINT64_MAX where nothing is known. */
struct port_stats {
	uint32_t ofport;
	uint64_t rx_pkts, tx_pkts, rx_bytes, tx_bytes, rx_dropped, tx_dropped, rx_errors, tx_errors,
		rx_frame_err, rx_over_err, rx_crc_err, collisions, duration_ms;
};
void port_stats_put(struct ofbuf *b, uint8_t version, const struct port_stats *s);
