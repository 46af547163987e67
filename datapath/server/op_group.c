/* SPDX-License-Identifier: BSD-3-Clause */
/* GROUP_MOD, METER_MOD. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/vec.h"
#include "datapath/flow/action.h"
#include "datapath/server/op.h"
#include "datapath/server/rule_attrs.h"
#include "datapath/table/bridge.h"
#include "datapath/table/group.h"
#include "datapath/table/meter.h"

_Static_assert((int)GROUP_MOD_DELETE == (int)API_MOD_DELETE, "COMMAND goes through as it is");
_Static_assert((int)GROUP_MOD_INSERT_BUCKET == (int)API_MOD_INSERT_BUCKET, "likewise");
_Static_assert((int)GROUP_MOD_REMOVE_BUCKET == (int)API_MOD_REMOVE_BUCKET, "likewise");
_Static_assert((int)METER_MOD_DELETE == (int)API_MOD_DELETE, "likewise");

static struct rule_match_buf fields_buf; /* of the operation in work */

static int check_target(const struct op *op, enum api_attr id, struct err *e)
{
	const char *name;
	int rc = op_name(op, ATTR_BRIDGE, &name, e);

	if (!rc && !registry_bridge(name))
		rc = err_set(e, ENOENT, "bridge %s: not found", name);
	if (!rc && !attrs_has(op->a, id))
		rc = err_set(e, EINVAL, "%s: %s is missing", api_op_names[op->type],
			     api_attrs[id].name);
	return rc;
}

static struct bridge *bridge_of(const struct op *op, struct err *e)
{
	const char *name = attrs_str(op->a, ATTR_BRIDGE, "");
	struct bridge *b = bridge_find(name);

	if (!b)
		err_set(e, ENOENT, "bridge %s: not found", name);
	return b;
}

/* ---- groups ---- */

static int method_of(const struct op *op, uint8_t *out, struct err *e)
{
	const char *name = attrs_str(op->a, ATTR_SELECTION_METHOD, "");

	if (!*name)
		*out = GROUP_METHOD_DEFAULT;
	else if (!strcmp(name, "dp_hash"))
		*out = GROUP_METHOD_DP_HASH;
	else if (!strcmp(name, "hash"))
		*out = GROUP_METHOD_HASH;
	else
		return err_set(e, EINVAL, "group_mod: selection_method: \"%s\" is not known", name);
	return 0;
}

int op_stage_GROUP_MOD(struct op *op, struct op_effects *fx, struct err *e)
{
	const struct minimatch *match;
	uint8_t method;
	size_t len;
	int rc = check_target(op, ATTR_GROUP_ID, e);

	if (!rc)
		rc = op_check_range(op, ATTR_COMMAND, GROUP_MOD_ADD, GROUP_MOD_REMOVE_BUCKET, e);
	if (!rc)
		rc = method_of(op, &method, e);
	if (!rc)
		rc = rule_attrs_match(op->a, ATTR_SELECTION_FIELDS, &fields_buf, &match, e);
	ATTR_FOR_EACH (b, op->a) {
		if (rc || b->id != ATTR_BUCKET)
			continue;
		const void *actions = attrs_bytes(attr_nest(b), ATTR_ACTIONS, &len);
		if (len)
			rc = action_list_check(actions, len, e);
	}
	return rc;
}

static struct group_bucket_spec bucket_of(struct attrs a)
{
	struct group_bucket_spec s = {
		.id = (uint32_t)attrs_u64(a, ATTR_BUCKET_ID, BUCKET_ALL),
		.weight = (uint16_t)attrs_u64(a, ATTR_WEIGHT, 1),
		.watch_port = (uint32_t)attrs_u64(a, ATTR_WATCH_PORT, OFP_PORT_ANY),
		.watch_group = (uint32_t)attrs_u64(a, ATTR_WATCH_GROUP, UINT32_MAX),
	};
	size_t len;

	s.actions = attrs_bytes(a, ATTR_ACTIONS, &len);
	s.actions_len = (uint32_t)len;
	return s;
}

int op_apply_GROUP_MOD(struct op *op, struct op_effects *fx, struct err *e)
{
	VEC(struct group_bucket_spec) buckets = {0};
	struct bridge *b = bridge_of(op, e);
	struct attrs a = op->a;
	size_t len;
	struct group_mod gm = {
		.command = (uint8_t)attrs_u64(a, ATTR_COMMAND, GROUP_MOD_ADD),
		.type = (uint8_t)attrs_u64(a, ATTR_GROUP_TYPE, GROUP_ALL),
		.id = (uint32_t)attrs_u64(a, ATTR_GROUP_ID, 0),
		.command_bucket = (uint32_t)attrs_u64(a, ATTR_BUCKET_ID, BUCKET_ALL),
		.param = attrs_u64(a, ATTR_SELECTION_PARAM, 0),
	};

	if (!b)
		return -ENOENT;
	method_of(op, &gm.method, e);
	if (attrs_has(a, ATTR_SELECTION_FIELDS) &&
	    rule_attrs_match(a, ATTR_SELECTION_FIELDS, &fields_buf, &gm.fields, e))
		return -EINVAL;
	ATTR_FOR_EACH (it, a)
		if (it->id == ATTR_BUCKET)
			vec_push(&buckets, bucket_of(attr_nest(it)));
	gm.buckets = buckets.at;
	gm.n_buckets = (uint32_t)buckets.len;
	gm.blob = attrs_bytes(a, ATTR_BLOB, &len);
	gm.blob_len = (uint32_t)len;
	int rc = group_mod(&fx->txn, b, &gm, &fx->ofp_error, e);
	vec_free(&buckets);
	return rc;
}

/* ---- meters ---- */

int op_stage_METER_MOD(struct op *op, struct op_effects *fx, struct err *e)
{
	int rc = check_target(op, ATTR_METER_ID, e);

	if (!rc)
		rc = op_check_range(op, ATTR_COMMAND, METER_MOD_ADD, METER_MOD_DELETE, e);
	return rc;
}

int op_apply_METER_MOD(struct op *op, struct op_effects *fx, struct err *e)
{
	struct bridge *b = bridge_of(op, e);
	struct attrs a = op->a;
	size_t len;
	struct meter_mod mm = {
		.command = (uint8_t)attrs_u64(a, ATTR_COMMAND, METER_MOD_ADD),
		.flags = (uint16_t)attrs_u64(a, ATTR_METER_FLAGS, 0),
		.id = (uint32_t)attrs_u64(a, ATTR_METER_ID, 0),
	};

	if (!b)
		return -ENOENT;
	ATTR_FOR_EACH (it, a) {
		struct attrs band = attr_nest(it);

		if (it->id != ATTR_BAND)
			continue;
		if (mm.n_bands == METER_BANDS_MAX) {
			fx->ofp_error = MM_ERR_OUT_OF_BANDS;
			return err_set(e, E2BIG, "meter %u: more than %d bands", mm.id,
				       METER_BANDS_MAX);
		}
		mm.band[mm.n_bands++] = (struct meter_band_spec){
			.type = (uint16_t)attrs_u64(band, ATTR_BAND_TYPE, 0),
			.prec_level = (uint8_t)attrs_u64(band, ATTR_PREC_LEVEL, 0),
			.rate = (uint32_t)attrs_u64(band, ATTR_RATE, 0),
			.burst = (uint32_t)attrs_u64(band, ATTR_BURST, 0),
		};
	}
	mm.blob = attrs_bytes(a, ATTR_BLOB, &len);
	mm.blob_len = (uint32_t)len;
	return meter_mod(&fx->txn, b, &mm, &fx->ofp_error, e);
}
