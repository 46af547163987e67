/* SPDX-License-Identifier: BSD-3-Clause */
/* CT_FLUSH, CT_SET. */
#include <errno.h>

#include "datapath/server/ct_attrs.h"
#include "datapath/server/op.h"

static const uint16_t flush_attrs[] = {ATTR_CT_ZONE,
				       ATTR_CT_MARK,
				       ATTR_CT_MARK_MASK,
				       ATTR_CT_PROTO,
				       ATTR_CT_ORIG,
				       ATTR_CT_REPLY,
				       0};
static const uint16_t set_attrs[] = {ATTR_CT_MAX,   ATTR_CT_WINDOW_CHECK, ATTR_CT_ZONE,
				     ATTR_CT_LIMIT, ATTR_CT_TIMEOUTS,     0};

int op_stage_CT_FLUSH(struct op *op, struct op_effects *fx, struct err *e)
{
	struct conntrack_filter f;
	int rc = op_check_attrs(op, flush_attrs, e);

	return rc ? rc : ct_attrs_filter(op->a, &f, e);
}

int op_apply_CT_FLUSH(struct op *op, struct op_effects *fx, struct err *e)
{
	struct conntrack_filter f;

	if (ct_attrs_filter(op->a, &f, e))
		return -EINVAL;
	conntrack_flush(&f);
	return 0;
}

int op_stage_CT_SET(struct op *op, struct op_effects *fx, struct err *e)
{
	int rc = op_check_attrs(op, set_attrs, e);

	if (!rc)
		rc = op_check_range(op, ATTR_CT_MAX, 1, CT_MAX_LARGEST, e);
	if (!rc)
		rc = op_check_range(op, ATTR_CT_WINDOW_CHECK, 0, 1, e);
	if (!rc)
		rc = op_check_bytes(op, ATTR_CT_TIMEOUTS, sizeof(struct ct_timeouts), e);
	return rc;
}

int op_apply_CT_SET(struct op *op, struct op_effects *fx, struct err *e)
{
	int zone = attrs_has(op->a, ATTR_CT_ZONE) ? (int)attrs_u64(op->a, ATTR_CT_ZONE, 0) : -1;
	struct ct_timeouts t;
	const void *timeouts;
	uint64_t v;
	size_t len;

	if (attrs_get_u64(op->a, ATTR_CT_MAX, &v))
		ct_limits_set_max((uint32_t)v);
	if (attrs_get_u64(op->a, ATTR_CT_WINDOW_CHECK, &v))
		conntrack_set_window_check(v);
	if (attrs_get_u64(op->a, ATTR_CT_LIMIT, &v))
		ct_limits_set_zone(zone, (uint32_t)v);
	timeouts = attrs_bytes(op->a, ATTR_CT_TIMEOUTS, &len);
	if (!timeouts)
		return 0;
	if (len)
		memcpy(&t, timeouts, sizeof t);
	if (conntrack_set_timeouts(zone, len ? &t : NULL))
		return err_set(e, ENOMEM, "ct_set: ct_timeouts: no memory");
	return 0;
}
