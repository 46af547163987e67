/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a decision came from, for people: captures and traces name it. */
#pragma once
#include <stdint.h>

struct packet_origin {
	uint64_t cookie;    /* of the rule that matched last, before anything was dropped */
	uint16_t bridge_id; /* 0: no rule matched */
	uint8_t table, pad;
};
