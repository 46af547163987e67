/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations whose part of the datapath is not built in: refused by name, so that nothing is
 * accepted without effect. */
#include <errno.h>

#include "datapath/server/op.h"
#include "datapath/server/request.h"

static int refuse(const struct op *op, struct err *e)
{
	return err_set(e, EOPNOTSUPP, "%s: this datapath cannot do that", api_op_names[op->type]);
}

#define ABSENT_OP(id)                                                                              \
	int op_stage_##id(struct op *op, struct op_effects *fx, struct err *e)                     \
	{                                                                                          \
		return refuse(op, e);                                                              \
	}                                                                                          \
	int op_apply_##id(struct op *op, struct op_effects *fx, struct err *e)                     \
	{                                                                                          \
		return refuse(op, e);                                                              \
	}
ABSENT_OP(POLICY_SET)
ABSENT_OP(POLICY_CONFIRM)

#define ABSENT_REQUEST(id)                                                                         \
	void request_##id(struct conn *c, struct attrs a)                                          \
	{                                                                                          \
		struct err e = {0};                                                                \
                                                                                                   \
		err_set(&e, EOPNOTSUPP, "this datapath cannot do that: " #id);                     \
		conn_reply_error(c, &e, NULL, NULL);                                               \
	}
ABSENT_REQUEST(POLICY)
ABSENT_REQUEST(POLICY_HITS)
ABSENT_REQUEST(RECORD)
ABSENT_REQUEST(RECORD_READ)
