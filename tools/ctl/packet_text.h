/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets and what became of them, for people: of a CAPTURED or TRACED object (api/messages.def).
 */
#pragma once
#include "datapath/api/msg.h"
#include "datapath/base/str.h"

/* "10.0.0.1:80 > 10.0.0.2:1024 tcp SYN|ACK, vlan 5", appended. */
void packet_text(const void *data, uint32_t len, uint32_t wire_len, struct str *out);
/* "sent to p2, p3; br0 table 0 cookie 0x1; cache mask; 12.3 us", appended: a capture's comment. */
void packet_fate(struct attrs object, struct str *out);
/* "12.345678901" of the day, UTC: "17:01:12.345678901". */
void packet_time(uint64_t time_ns, struct str *out);
