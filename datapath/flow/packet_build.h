/* SPDX-License-Identifier: BSD-3-Clause */
/* From flow key to bytes: the packet that flow_extract() turns back into the key. For composing
 * packets (trace, probes) and for tests. Pure functions, no allocation; any thread.
 * RFC 791, 768, 826, 4443, 4861, 8200, 9260, 9293. */
#pragma once
#include "datapath/flow/extract.h"
#include "datapath/flow/field.h"

enum { PACKET_BUILD_MAX = 512 }; /* enough for all headers; more for a longer payload */

/* Writes headers for what the flow says and `payload_bytes` zero bytes behind them (for types it
 * does not know: only those), with right lengths and checksums. A fragment's later part has no L4
 * header. Returns the length, 0 when `cap` is too small. */
size_t packet_build(const struct flow *flow, size_t payload_bytes, uint8_t *buf, size_t cap);
/* The packet that ovs-appctl(8) composes from a flow. len 0: with 64 bytes that count up where data
 * goes, behind the headers of TCP (unless a connection begins or ends), UDP, ICMP and ICMPv6;
 * else zeros up to that length. */
size_t packet_compose(const struct flow *flow, size_t len, uint8_t *buf, size_t cap);

/* Sets IP, TCP, UDP, ICMP, ICMPv6 and SCTP checksums of a packet that was changed. */
void packet_fix_checksums(uint8_t *data, size_t len, const struct flow_offsets *ofs);

/* Writes a field where the packet has it; false when it has no such header. Checksums are left. */
bool packet_write_field(uint8_t *data, const struct flow_offsets *ofs, const struct field_info *f,
			const union field_value *v);

/* Ones' complement sum (RFC 1071) added to `sum`; fold with inet_csum_fold(). */
uint32_t inet_csum_add(uint32_t sum, const void *p, size_t n);
uint16_t inet_csum_fold(uint32_t sum);
