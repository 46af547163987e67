/* SPDX-License-Identifier: BSD-3-Clause */
/* The packet parser: short cuts against the plain parser, at all depths; offsets within the packet.
 * The first byte of the input is how much longer the packet is than what is contiguous. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/flow/extract.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct flow_key a, b;
	struct flow_offsets oa, ob;
	uint32_t len, pkt_len;
	uint16_t lines;

	if (!size || size > 65535)
		return 0;
	/* Corpus files are whole packets: a first byte below 128 belongs to the packet. */
	len = (uint32_t)size;
	pkt_len = data[0] < 128 ? len : len + data[0] - 128;
	memset(&a, 0, sizeof a);
	memset(&b, 0, sizeof b);
	lines = flow_extract(data, len, pkt_len, &a, &oa);
	if (lines != flow_extract_reference(data, len, pkt_len, &b, &ob) ||
	    memcmp(&a, &b, sizeof a) || memcmp(&oa, &ob, sizeof oa))
		abort();
	memset(&b, 0, sizeof b);
	flow_extract_depth(EXTRACT_L4, data, len, pkt_len, &b, &ob);
	if (memcmp(&a, &b, FLOW_LINE_BYTES))
		abort();
	memset(&b, 0, sizeof b);
	flow_extract_l2(data, len, &b);
	if (memcmp(a.eth_dst, b.eth_dst, 14) || memcmp(a.vlan, b.vlan, sizeof a.vlan))
		abort();
	if (oa.l3 > len || oa.l4 > len || oa.payload > len || oa.ip_payload > len ||
	    oa.nd_sll + 6u > len + 6 || oa.nd_tll + 6u > len + 6)
		abort();
	return 0;
}
