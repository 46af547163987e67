/* SPDX-License-Identifier: BSD-3-Clause */
/* Whole rules as text: match, actions and what stands around them, in the syntax of ovs-ofctl(8)'s
 * add-flow and dump-flows. What dump prints can be given to add: counters and ages are skipped.
 * The control plane and tools use it; stateless. */
#pragma once
#include "datapath/flow/action_text.h"

enum {
	FLOW_TEXT_ALL_TABLES = 255,
	FLOW_TEXT_DEFAULT_PRIORITY = 0x8000,
};

/* OFPFF_* of OpenFlow 1.5.1 §7.3.4.2. */
enum {
	RULE_SEND_FLOW_REM = 1 << 0,
	RULE_CHECK_OVERLAP = 1 << 1,
	RULE_RESET_COUNTS = 1 << 2,
	RULE_NO_PKT_COUNTS = 1 << 3,
	RULE_NO_BYT_COUNTS = 1 << 4,
};

struct flow_text {
	struct match match;
	struct action_buf actions;    /* owned: flow_text_free() */
	uint64_t cookie, cookie_mask; /* mask 0: none was given */
	uint32_t out_port, out_group; /* filters; OFP_PORT_ANY: none */
	uint16_t priority, idle_timeout_s, hard_timeout_s, importance;
	uint16_t flags; /* RULE_* */
	uint8_t table;  /* FLOW_TEXT_ALL_TABLES: none was given */
	bool has_cookie, has_priority, has_actions;
};

/* Counters of a dump line. */
struct flow_text_stats {
	uint64_t duration_ns, n_packets, n_bytes;
	uint32_t idle_age_s, hard_age_s;
};

/* Errors begin with "column N: "; *out is then empty. */
int flow_text_parse(const char *text, const struct text_ports *ports, struct flow_text *out,
		    struct err *e);
void flow_text_free(struct flow_text *f);

/* One line without line feed; stats NULL: as dump-flows --no-stats. */
void flow_text_format(const struct flow_text *f, const struct flow_text_stats *stats,
		      const struct text_ports *ports, struct str *out);
