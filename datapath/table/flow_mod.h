/* SPDX-License-Identifier: BSD-3-Clause */
/* OpenFlow flow mods (1.0 §4.6, 1.3.5 §6.4, 1.5.1 §6.5) on a bridge's tables, as steps of a
 * transaction. Under the version lock through the txn. */
#pragma once
#include "datapath/base/err.h"
#include "datapath/table/flow_table.h"
#include "datapath/table/txn.h"

enum flow_mod_command {
	FLOW_MOD_ADD,
	FLOW_MOD_MODIFY,
	FLOW_MOD_MODIFY_STRICT,
	FLOW_MOD_DELETE,
	FLOW_MOD_DELETE_STRICT,
};

struct flow_mod {
	uint8_t command; /* enum flow_mod_command */
	uint8_t table;   /* deletes: TABLE_ALL for every table */
	bool hidden;     /* may touch hidden rules */
	bool by_learn;   /* a learn action asks */
	uint16_t priority, idle_timeout_s, hard_timeout_s, importance;
	uint32_t flags;                     /* RULE_* */
	uint64_t cookie;                    /* of the rule; modify: UINT64_MAX keeps */
	uint64_t cookie_mask, cookie_match; /* which rules modify and delete select */
	uint32_t out_port, out_group;       /* likewise; OFP_PORT_ANY, 0xffffffff */
	const struct minimatch *match;      /* checked */
	const uint8_t *actions;             /* checked, see action_list_check() */
	uint32_t actions_len;
	const uint8_t *blob; /* returned by dumps, never read */
	uint32_t blob_len;
};
void flow_mod_init(
	struct flow_mod *fm); /* add to table 0, priority 32768, no match or actions set */

/* OpenFlow errors, type << 16 | code (1.3.5 §A.4.4). */
enum {
	FM_ERR_BAD_OUT_GROUP = 2 << 16 | 9,
	FM_ERR_TABLE_FULL = 5 << 16 | 1,
	FM_ERR_BAD_TABLE_ID = 5 << 16 | 2,
	FM_ERR_OVERLAP = 5 << 16 | 3,
	FM_ERR_BAD_COMMAND = 5 << 16 | 6,
	FM_ERR_INVALID_METER = 12 << 16 | 2,
};

/* 0, or -errno with *ofp (may be NULL) set to an OpenFlow error or 0, and err. After an error the
 * caller aborts the txn. *n_changed (may be NULL): rules added, modified or removed. */
int flow_mod(struct txn *t, struct bridge *b, const struct flow_mod *fm, uint32_t *n_changed,
	     uint32_t *ofp, struct err *e);

/* That the groups and meters that a list names exist; errors as those of flow_mod(). */
int flow_mod_check_actions(const struct bridge *b, const uint8_t *list, size_t len, uint32_t *ofp,
			   struct err *e);

/* What a learn action asks. Adds the rule, unless the same one is there already (its hard timeout
 * starts anew, nothing is published) or the table has `limit` rules (0: no limit) with the cookie.
 * *present: the rule is there afterwards. true: commit, else abort. */
bool flow_mod_learn(struct txn *t, struct bridge *b, const struct flow_mod *fm, uint32_t limit,
		    bool *present);

/* Rules that use a group or meter that goes. */
void flow_mod_delete_group_users(struct txn *t, struct bridge *b, uint32_t group_id);
void flow_mod_delete_meter_users(struct txn *t, struct bridge *b, uint32_t meter_id);
