/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections as attributes. Main thread only. */
#pragma once
#include "datapath/api/msg.h"
#include "datapath/base/err.h"
#include "datapath/conntrack/conntrack.h"

/* What CT_ZONE, CT_MARK, CT_PROTO, CT_ORIG and CT_REPLY select. -EINVAL with err. */
int ct_attrs_filter(struct attrs a, struct conntrack_filter *f, struct err *e);
void ct_attrs_put(struct msg *m, const struct ct_conn *c, uint32_t now_ms); /* one OBJECT */
void ct_attrs_put_tuple(struct msg *m, enum api_attr id, const struct ct_tuple *t);
