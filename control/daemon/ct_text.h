/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections in the text of ovs-appctl dpctl/dump-conntrack, and what its arguments say. */
#pragma once
#include "datapath/api/msg.h"
#include "datapath/base/str.h"

struct err;

enum { CT_TEXT_VERBOSE = 1, CT_TEXT_STATS = 2 };
/* One connection (an OBJECT of CONNS) and a newline. */
void ct_text_put(struct str *out, struct attrs o, unsigned flags);
/* The address in attribute `id`; nothing when there is none. */
void ct_text_put_addr(struct str *out, struct attrs t, enum api_attr id);
const char *ct_text_tcp_state(unsigned state);
/* "ct_nw_src=10.0.0.1,ct_nw_proto=17,…" as nest `id` (CT_ORIG, CT_REPLY) of m; the protocol as
 * CT_PROTO beside it. -EINVAL with err. */
int ct_text_put_tuple(struct msg *m, enum api_attr id, const char *text, struct err *e);
