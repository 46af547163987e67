/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks that operations share. Texts begin with the object where it is known, else with the
 * attribute, as people wrote it. */
#include <errno.h>

#include "datapath/server/op.h"

int op_check_attrs(const struct op *op, const uint16_t *allowed, struct err *e)
{
	ATTR_FOR_EACH (a, op->a) {
		unsigned id = a->id & ~(unsigned)ATTR_CRITICAL;
		bool known = id == ATTR_OP_TYPE || id == ATTR_NAME || id == ATTR_CREATE ||
			     id == ATTR_EXISTING || id >= ATTR_N;

		for (const uint16_t *p = allowed; *p && !known; p++)
			known = *p == id;
		if (!known)
			return err_set(e, EINVAL, "%s %s: %s does not belong here",
				       api_op_names[op->type], attrs_str(op->a, ATTR_NAME, ""),
				       api_attrs[id].name);
	}
	return 0;
}

int op_name(const struct op *op, enum api_attr id, const char **out, struct err *e)
{
	*out = attrs_str(op->a, id, NULL);
	return *out ? 0
		    : err_set(e, EINVAL, "%s: %s is missing", api_op_names[op->type],
			      api_attrs[id].name);
}

int op_check_existence(const struct op *op, const char *what, const char *name, bool exists,
		       struct err *e)
{
	if (exists && attrs_has(op->a, ATTR_CREATE))
		return err_set(e, EEXIST, "%s %s: exists already", what, name);
	if (!exists && attrs_has(op->a, ATTR_EXISTING))
		return err_set(e, ENOENT, "%s %s: not found", what, name);
	return 0;
}

int op_check_range(const struct op *op, enum api_attr id, uint64_t min, uint64_t max, struct err *e)
{
	uint64_t v;

	if (!attrs_get_u64(op->a, id, &v) || (v >= min && v <= max))
		return 0;
	return err_set(e, ERANGE, "%s: %s: %llu is not within %llu to %llu",
		       attrs_str(op->a, ATTR_NAME, api_op_names[op->type]), api_attrs[id].name,
		       (unsigned long long)v, (unsigned long long)min, (unsigned long long)max);
}

int op_check_bytes(const struct op *op, enum api_attr id, size_t len, struct err *e)
{
	size_t n;

	if (!attrs_bytes(op->a, id, &n) || !n || n == len)
		return 0;
	return err_set(e, EINVAL, "%s: %s: %zu bytes instead of %zu",
		       attrs_str(op->a, ATTR_NAME, api_op_names[op->type]), api_attrs[id].name, n,
		       len);
}
