/* SPDX-License-Identifier: BSD-3-Clause */
/* Flow mods, flow statistics and flow removed (§7.3.4.3, §7.3.5.2, §7.4.2) in the layouts of 1.0,
 * Nicira's NXM and 1.1 to 1.5. Pure functions; any thread. */
#pragma once
#include "control/openflow/action_codec.h"
#include "control/openflow/oxm.h"

struct flow_mod {
	uint8_t command; /* OFPFC_* */
	uint8_t table;   /* OFPTT_ALL: all, or the switch's choice */
	uint16_t priority, idle_timeout_s, hard_timeout_s, importance;
	uint64_t cookie, cookie_mask; /* modify and delete: which rules; add: unused */
	uint64_t new_cookie;
	bool sets_cookie; /* add, and modify of 1.0, which also adds when it finds nothing */
	uint32_t buffer_id, out_port, out_group;
	bool names_buffer; /* of a packet to be sent by the rule that is added or modified */
	uint16_t flags;    /* OFPFF_* of 1.3 */
	struct match match;
	struct action_buf actions;
};

/* What 1.0 lets a connection choose. */
struct flow_mod_format {
	uint8_t version;
	bool nxm;          /* NXT_FLOW_MOD, NXST_FLOW … */
	bool has_table_id; /* NXT_FLOW_MOD_TABLE_ID: upper half of the command of 1.0 is the table
			    */
};

/* `body` starts after the OpenFlow (and Nicira) header. The caller frees out->actions, also on
 * error. */
enum ofp_err flow_mod_get(struct ofcur body, struct flow_mod_format format, struct flow_mod *out);
void flow_mod_free(struct flow_mod *fm);

/* Flow and aggregate statistics requests; flow monitors select alike. */
struct flow_selection {
	uint8_t table;
	uint32_t out_port, out_group;
	uint64_t cookie, cookie_mask;
	struct match match;
};
enum ofp_err flow_selection_get(struct ofcur body, struct flow_mod_format format,
				struct flow_selection *out);

/* One rule as the datapath describes it. match and actions are borrowed. */
struct flow_stats {
	uint8_t table;
	uint16_t priority, idle_timeout_s, hard_timeout_s, importance;
	uint16_t flags;
	uint64_t cookie, packets, bytes, duration_ms, idle_age_ms, hard_age_ms;
	struct match match;
	const void *actions;
	size_t actions_len;
	uint8_t removed_reason; /* OFPRR_*, of a removed one */
};
/* The short form of 1.5 (§7.3.5.3): no timeouts, cookie or instructions. */
void flow_counts_put(struct ofbuf *b, const struct flow_stats *fs);
void flow_stats_put(struct ofbuf *b, struct flow_mod_format format, const struct flow_stats *fs);
/* Body of an aggregate reply. */
void flow_aggregate_put(struct ofbuf *b, uint8_t version, uint64_t packets, uint64_t bytes,
			uint32_t n_flows);
void flow_removed_put(struct ofbuf *b, struct flow_mod_format format, const struct flow_stats *fs);
