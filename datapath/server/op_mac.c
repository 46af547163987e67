/* SPDX-License-Identifier: BSD-3-Clause */
/* MAC_SET, MAC_DEL. */
#include <errno.h>
#include <string.h>

#include "datapath/server/op.h"
#include "datapath/table/bridge.h"
#include "datapath/table/mac_table.h"

static const uint16_t mac_attrs[] = {ATTR_BRIDGE, ATTR_VLAN, ATTR_MAC, ATTR_PORT, ATTR_STATIC, 0};

static int check(const struct op *op, struct err *e)
{
	const char *bridge;
	int rc = op_name(op, ATTR_BRIDGE, &bridge, e);

	if (!rc)
		rc = op_check_attrs(op, mac_attrs, e);
	if (!rc)
		rc = op_check_range(op, ATTR_VLAN, 0, 4095, e);
	if (!rc)
		rc = op_check_bytes(op, ATTR_MAC, 6, e);
	if (!rc && !registry_bridge(bridge))
		rc = err_set(e, ENOENT, "bridge %s: not found", bridge);
	return rc;
}

/* The datapath number of PORT, which must be on b; 0 when it is not given. */
static int port_of(const struct op *op, const struct bridge *b, uint32_t *id, struct err *e)
{
	const char *name = attrs_str(op->a, ATTR_PORT, NULL);
	const struct port_object *p = name ? registry_port(name) : NULL;
	const struct bridge_port *bp = p ? bridge_port_next(p->id) : NULL;

	*id = p ? p->id : 0;
	if (name && (!bp || bp->bridge != b))
		return err_set(e, ENOENT, "port %s: not on bridge %s", name, b->name);
	return 0;
}

static const uint8_t *mac_of(const struct op *op)
{
	size_t len;
	const uint8_t *mac = attrs_bytes(op->a, ATTR_MAC, &len);

	return len == 6 ? mac : NULL;
}

int op_stage_MAC_SET(struct op *op, struct op_effects *fx, struct err *e)
{
	const char *port;
	int rc = check(op, e);

	if (!rc)
		rc = op_name(op, ATTR_PORT, &port, e);
	if (!rc && !mac_of(op))
		rc = err_set(e, EINVAL, "mac_set: mac is missing");
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

int op_apply_MAC_SET(struct op *op, struct op_effects *fx, struct err *e)
{
	struct bridge *b = bridge_of(op, e);
	uint32_t port_id;

	if (!b || port_of(op, b, &port_id, e))
		return -ENOENT;
	return mac_table_set(&fx->txn, b->macs, mac_of(op),
			     (uint16_t)attrs_u64(op->a, ATTR_VLAN, 0), port_id, e);
}

int op_stage_MAC_DEL(struct op *op, struct op_effects *fx, struct err *e)
{
	return check(op, e);
}

int op_apply_MAC_DEL(struct op *op, struct op_effects *fx, struct err *e)
{
	struct bridge *b = bridge_of(op, e);
	struct mac_filter f = {
		.mac = mac_of(op),
		.vlan = attrs_has(op->a, ATTR_VLAN) ? (int)attrs_u64(op->a, ATTR_VLAN, 0) : -1,
		.statics = attrs_u64(op->a, ATTR_STATIC, 0),
	};

	if (!b || port_of(op, b, &f.port_id, e))
		return -ENOENT;
	mac_table_flush(&fx->txn, b->macs, &f);
	return 0;
}
