/* SPDX-License-Identifier: BSD-3-Clause */
/* CT_FLUSH, CT_SET. */
#include <errno.h>

#include "datapath/exec/fragments.h"
#include "datapath/server/ct_attrs.h"
#include "datapath/server/op.h"

static const uint16_t flush_attrs[] = {ATTR_CT_ZONE,  ATTR_CT_MARK,       ATTR_CT_MARK_MASK,
				       ATTR_CT_LABEL, ATTR_CT_LABEL_MASK, ATTR_CT_PROTO,
				       ATTR_CT_ORIG,  ATTR_CT_REPLY,      0};
static const uint16_t set_attrs[] = {
	ATTR_CT_MAX,      ATTR_CT_WINDOW_CHECK, ATTR_CT_ZONE,         ATTR_CT_LIMIT,
	ATTR_CT_TIMEOUTS, ATTR_FRAGMENT_MAX,    ATTR_FRAGMENT_FAMILY, 0};

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

/* ---- fragments ---- */
static int check_family(struct op *op, struct err *e)
{
	const struct attr *nest = attrs_find(op->a, ATTR_FRAGMENT_FAMILY);
	struct attrs a;
	uint64_t v;

	if (!nest)
		return 0;
	a = attr_nest(nest);
	if (!attrs_get_u64(a, ATTR_IP_VERSION, &v) || (v != 4 && v != 6))
		return err_set(e, EINVAL, "ct_set: ip_version: 4 or 6");
	if (attrs_get_u64(a, ATTR_FRAGMENT_MIN_BYTES, &v) && v < FRAGMENTS_MIN_BYTES)
		return err_set(e, EPERM, "ct_set: fragment_min_bytes: at least %u",
			       FRAGMENTS_MIN_BYTES);
	return 0;
}

static void set_fragments(struct op *op)
{
	const struct attr *nest = attrs_find(op->a, ATTR_FRAGMENT_FAMILY);
	enum fragments_family f;
	struct attrs a;
	uint64_t v;

	if (attrs_get_u64(op->a, ATTR_FRAGMENT_MAX, &v))
		fragments_set_max((uint32_t)v);
	if (!nest)
		return;
	a = attr_nest(nest);
	f = attrs_u64(a, ATTR_IP_VERSION, 4) == 4 ? FRAGMENTS_V4 : FRAGMENTS_V6;
	if (attrs_get_u64(a, ATTR_FRAGMENT_ENABLED, &v))
		fragments_enable(f, v);
	if (attrs_get_u64(a, ATTR_FRAGMENT_MIN_BYTES, &v))
		fragments_set_min(f, (uint32_t)v);
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
	if (!rc)
		rc = op_check_range(op, ATTR_FRAGMENT_MAX, 0, FRAGMENTS_MAX, e);
	return rc ? rc : check_family(op, e);
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
	set_fragments(op);
	timeouts = attrs_bytes(op->a, ATTR_CT_TIMEOUTS, &len);
	if (!timeouts)
		return 0;
	if (len)
		memcpy(&t, timeouts, sizeof t);
	if (conntrack_set_timeouts(zone, len ? &t : NULL))
		return err_set(e, ENOMEM, "ct_set: ct_timeouts: no memory");
	return 0;
}
