/* SPDX-License-Identifier: BSD-3-Clause */
/* Changes of rules, groups and meters between the forms in which they come (messages, text) and
 * operations of the api. Event loop thread; the group and meter functions are pure. */
#pragma once
#include "control/openflow/flow_msg.h"
#include "control/openflow/spec.h"
#include "datapath/api/msg.h"
#include "datapath/base/vec.h"

struct ofswitch;
struct ofmsg;

enum { BUCKETS_MAX = 1024, METER_BANDS_MAX = 8 };

struct group_bucket {
	uint32_t id;
	uint16_t weight;
	uint32_t watch_port, watch_group;
	struct action_buf actions;
};

struct group_mod {
	uint16_t command; /* OFPGC_* */
	uint8_t type;     /* OFPGT_* */
	uint32_t group_id, command_bucket;
	VEC(struct group_bucket) buckets;
	char method[NTR_SELECTION_METHOD_BYTES];
	uint64_t method_param;
	struct match fields; /* mask says which bits are hashed */
	bool has_fields;
};

struct meter_mod {
	uint16_t command, flags; /* OFPMC_*, OFPMF_* */
	uint32_t meter_id;
	unsigned n_bands;
	struct {
		uint16_t type;
		uint32_t rate, burst;
		uint8_t prec_level;
	} bands[METER_BANDS_MAX];
};

/* Checks what has a meaning of its own; the datapath checks what depends on what it has. */
enum ofp_err flow_mod_to_op(struct ofswitch *sw, struct flow_mod *fm, uint8_t version,
			    struct msg *out);
enum ofp_err group_mod_check(const struct group_mod *g);
void group_mod_to_op(const char *bridge, const struct group_mod *g, struct msg *out);
void group_mod_free(struct group_mod *g);
/* Appends the group mod of message `m` as `version` says it. False, and nothing appended: it has no
 * words for it (1.4: buckets put into a group or taken out), or m is not understood. */
bool group_mod_translate(const struct ofmsg *m, uint8_t version, struct ofbuf *out);
enum ofp_err meter_mod_check(const struct meter_mod *mm);
void meter_mod_to_op(const char *bridge, const struct meter_mod *mm, struct msg *out);
