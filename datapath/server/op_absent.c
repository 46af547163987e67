/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests whose part of the datapath is not built in: refused by name, so that nothing is
 * accepted without effect. */
#include <errno.h>

#include "datapath/server/request.h"

#define ABSENT_REQUEST(id)                                                                         \
	void request_##id(struct conn *c, struct attrs a)                                          \
	{                                                                                          \
		struct err e = {0};                                                                \
                                                                                                   \
		err_set(&e, EOPNOTSUPP, "this datapath cannot do that: " #id);                     \
		conn_reply_error(c, &e, NULL, NULL);                                               \
	}
ABSENT_REQUEST(RECORD)
ABSENT_REQUEST(RECORD_READ)
