/* SPDX-License-Identifier: BSD-3-Clause */
/* The operations of a transaction: for each row of ops.def an op_stage_<ID>() and an
 * op_apply_<ID>(); a missing one does not link. Main thread only.
 *
 * stage: looks at the operation's shape and names, in the staged view of the registry, before
 * anything is opened; may keep something in op->staged. apply: changes the tables under the version
 * lock, after all devices are open. Both return 0 or -errno with *e set; after an error of any
 * operation nothing of the transaction remains. */
#pragma once
#include "datapath/api/msg.h"
#include "datapath/base/err.h"
#include "datapath/server/registry.h"
#include "datapath/table/txn.h"

struct op {
	struct attrs a; /* points into the transaction's messages */
	uint16_t type;  /* enum api_op */
	uint32_t index;
	/* Of operations on bridges and ports: the configuration before (where it matters) and
	 * after. References. */
	struct config *base, *staged;
};

/* What operations leave for the end of the transaction. */
struct op_effects {
	struct txn txn;
	bool config_changed; /* worth an event */
	bool has_generation, flush_cache;
	uint8_t vlan_limit; /* the parser's from now on; 0: as it is */
	uint64_t generation;
	uint32_t ofp_error; /* of the operation that failed; 0: none */
	/* To put the poll threads back when a later operation fails. */
	bool cores_changed, sleep_changed;
	uint16_t old_cores[POLL_THREADS_MAX];
	unsigned n_old_cores;
	uint32_t old_sleep_max_us;
	struct policy_parts *policy; /* what POLICY_SET operations have said so far; NULL: none */
};

struct op_info {
	int (*stage)(struct op *op, struct op_effects *fx, struct err *e);
	int (*apply)(struct op *op, struct op_effects *fx, struct err *e);
};
const struct op_info *op_info(unsigned type); /* < API_OP_N */

#define API_OP(id, ...)                                                                            \
	int op_stage_##id(struct op *op, struct op_effects *fx, struct err *e);                    \
	int op_apply_##id(struct op *op, struct op_effects *fx, struct err *e);
#include "datapath/api/ops.def"
#undef API_OP

/* What POLL_SET and PORT_SET ask of the poll threads: after publishing, before the version lock is
 * taken, because threads may have to end first. Does nothing for other operations. */
int op_apply_poll(const struct op *op, struct op_effects *fx, struct err *e);
int op_apply_pin(const struct op *op, struct err *e);
/* The poll threads as before the transaction, and queue pinning too. */
void op_undo_poll(struct op_effects *fx);
void op_undo_pins(void);

/* Gives back the room of a bridge's option map when t commits; `c` NULL: none. */
void op_release_tlv_map(struct txn *t, const struct config *c);

void op_free_policy(struct op_effects *fx);

/* Shared checks. `what` names the operation in the text. */
int op_check_attrs(const struct op *op, const uint16_t *allowed, struct err *e);
int op_name(const struct op *op, enum api_attr id, const char **out, struct err *e);
int op_check_existence(const struct op *op, const char *what, const char *name, bool exists,
		       struct err *e);
int op_check_range(const struct op *op, enum api_attr id, uint64_t min, uint64_t max,
		   struct err *e);
int op_check_bytes(const struct op *op, enum api_attr id, size_t len, struct err *e);
