/* SPDX-License-Identifier: BSD-3-Clause */
/* A table as the datapath describes it, and its description on the wire (OpenFlow 1.5.1 §7.3.5.17).
 */
#pragma once
#include "control/openflow/ofbuf.h"
#include "control/openflow/spec.h"
#include "datapath/api/msg.h"

/* TABLE_MISS without a choice of the controller: what the protocol version says. */
enum { TABLE_MISS_DEFAULT = 3 };

struct table_state {
	uint32_t active, config, max_entries; /* rules; OFPTC_*; 0: no limit of its own */
	uint64_t lookups, matched;
	uint8_t miss, eviction, vacancy_down, vacancy_up; /* vacancy in percent; 0: no events */
	char name[OFP_TABLE_NAME_BYTES];
};

void table_state_get(struct table_state *t, struct attrs object);
uint8_t table_vacancy(const struct table_state *t); /* percent */
void table_desc_put(struct ofbuf *b, uint8_t id, const struct table_state *t);
