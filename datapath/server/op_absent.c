/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations whose part of the datapath is not built in: refused by name, so that nothing is
 * accepted without effect. */
#include <errno.h>

#include "datapath/server/op.h"

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
