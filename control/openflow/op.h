/* SPDX-License-Identifier: BSD-3-Clause */
/* From a message to an operation of the api: what the OFOP rows of messages.def name, in op_*.c.
 * Each appends one ATTR_OP or returns the error for the controller (the caller cuts off what was
 * appended). */
#pragma once
#include "control/openflow/object_mod.h"
#include "control/openflow/ofswitch_priv.h"
#include "datapath/api/match_attr.h"

#define OFMSG(kind, number, first, last, len, flags, handler)
#define OFOP(kind, number, first, last, len, flags, name)                                          \
	enum ofp_err op_##name(struct ofconn *c, const struct ofmsg *m, struct msg *out);
#include "control/openflow/messages.def"
#undef OFMSG
#undef OFOP

#define OFMSG(kind, number, first, last, len, flags, handler)                                      \
	enum ofp_err handle_##handler(struct ofconn *c, const struct ofmsg *m);
#define OFOP(kind, number, first, last, len, flags, name)
#include "control/openflow/messages.def"
#undef OFMSG
#undef OFOP
