/* SPDX-License-Identifier: BSD-3-Clause */
/* BRIDGE_SET, BRIDGE_DEL. */
#include <errno.h>
#include <string.h>

#include "datapath/flow/extract.h"
#include "datapath/server/op.h"
#include "datapath/server/port_change.h"
#include "datapath/table/bridge.h"

static const uint16_t bridge_attrs[] = {ATTR_DATAPATH_ID,    ATTR_BRIDGE_MAC,   ATTR_FAIL_SECURE,
					ATTR_OPEN,           ATTR_POLICED,      ATTR_MAC_AGEING_S,
					ATTR_MAC_TABLE_SIZE, ATTR_FORWARD_BPDU, ATTR_VLAN_LIMIT,
					ATTR_FLOOD_VLANS,    ATTR_FRAG_MODE,    0};
/* Takes a port off its bridge in port_attrs's terms. */
static const uint16_t bridge_of_port[] = {ATTR_BRIDGE, 0};

static int check(const struct op *op, struct err *e)
{
	int rc = op_check_attrs(op, bridge_attrs, e);

	if (!rc)
		rc = op_check_range(op, ATTR_FAIL_SECURE, 0, 1, e);
	if (!rc)
		rc = op_check_range(op, ATTR_OPEN, 0, 1, e);
	if (!rc)
		rc = op_check_range(op, ATTR_POLICED, 0, 1, e);
	if (!rc)
		rc = op_check_range(op, ATTR_FORWARD_BPDU, 0, 1, e);
	if (!rc)
		rc = op_check_range(op, ATTR_VLAN_LIMIT, 1, 2, e);
	if (!rc)
		rc = op_check_range(op, ATTR_FRAG_MODE, FRAG_NORMAL, FRAG_NX_MATCH, e);
	if (!rc)
		rc = op_check_range(op, ATTR_MAC_AGEING_S, 1, 1000000, e);
	if (!rc)
		rc = op_check_range(op, ATTR_MAC_TABLE_SIZE, 1, MAC_TABLE_SIZE_MAX, e);
	if (!rc)
		rc = op_check_bytes(op, ATTR_BRIDGE_MAC, 6, e);
	if (!rc)
		rc = op_check_bytes(op, ATTR_FLOOD_VLANS, sizeof(struct vlan_set), e);
	return rc;
}

int op_stage_BRIDGE_SET(struct op *op, struct op_effects *fx, struct err *e)
{
	const char *name;
	int rc = op_name(op, ATTR_NAME, &name, e);

	if (!rc)
		rc = check(op, e);
	if (!rc)
		rc = op_check_existence(op, "bridge", name, registry_bridge(name), e);
	if (rc)
		return rc;
	struct bridge_object *b = registry_stage_bridge(name, e);
	if (!b)
		return -EINVAL;
	op->staged = config_merge(b->o.staged, op->a, bridge_attrs);
	op->staged->refs++;
	registry_stage_config(&b->o, op->staged);
	fx->config_changed = true;
	return 0;
}

int op_apply_BRIDGE_SET(struct op *op, struct op_effects *fx, struct err *e)
{
	struct attrs a = op->staged->attrs;
	struct bridge_config c;
	const void *bytes;
	size_t len;

	bridge_config_init(&c);
	c.datapath_id = attrs_u64(a, ATTR_DATAPATH_ID, c.datapath_id);
	c.fail_secure = attrs_u64(a, ATTR_FAIL_SECURE, c.fail_secure);
	c.open = attrs_u64(a, ATTR_OPEN, 0);
	c.policed = attrs_u64(a, ATTR_POLICED, c.policed);
	c.forward_bpdu = attrs_u64(a, ATTR_FORWARD_BPDU, c.forward_bpdu);
	c.vlan_limit = (uint8_t)attrs_u64(a, ATTR_VLAN_LIMIT, c.vlan_limit);
	if (c.vlan_limit != flow_extract_vlan_limit())
		fx->vlan_limit = c.vlan_limit;
	c.frag_mode = (uint8_t)attrs_u64(a, ATTR_FRAG_MODE, c.frag_mode);
	c.mac_ageing_s = (uint32_t)attrs_u64(a, ATTR_MAC_AGEING_S, c.mac_ageing_s);
	c.mac_table_size = (uint32_t)attrs_u64(a, ATTR_MAC_TABLE_SIZE, c.mac_table_size);
	bytes = attrs_bytes(a, ATTR_BRIDGE_MAC, &len);
	if (bytes)
		memcpy(c.mac, bytes, sizeof c.mac);
	bytes = attrs_bytes(a, ATTR_FLOOD_VLANS, &len);
	c.has_flood_vlans = bytes;
	if (bytes)
		memcpy(&c.flood_vlans, bytes, sizeof c.flood_vlans);
	return bridge_set(&fx->txn, attrs_str(op->a, ATTR_NAME, ""), &c, NULL, e);
}

struct leaving {
	const char *bridge;
	uint32_t op;
};

static void take_off(struct port_object *p, void *aux)
{
	const struct leaving *l = aux;
	const struct config *c = p->o.touched ? p->o.staged : p->o.config;
	struct err e = {0};
	struct msg m;

	if (strcmp(attrs_str(c->attrs, ATTR_BRIDGE, ""), l->bridge))
		return;
	registry_stage_port(p->o.name, &e);
	port_change_set_op(p, l->op);
	msg_init(&m, 0, 0);
	msg_put_str(&m, ATTR_BRIDGE, "");
	msg_finish(&m);
	registry_stage_config(&p->o, config_merge(p->o.staged, msg_attrs(m.data), bridge_of_port));
	msg_free(&m);
}

int op_stage_BRIDGE_DEL(struct op *op, struct op_effects *fx, struct err *e)
{
	struct leaving l = {.op = op->index};
	int rc = op_name(op, ATTR_NAME, &l.bridge, e);

	if (rc)
		return rc;
	if (!registry_bridge(l.bridge))
		return err_set(e, ENOENT, "bridge %s: not found", l.bridge);
	struct object *o = &registry_stage_bridge(l.bridge, e)->o;
	op->base = o->staged;
	op->base->refs++;
	registry_stage_delete(o);
	registry_for_each_port(take_off, &l);
	fx->config_changed = true;
	return 0;
}

int op_apply_BRIDGE_DEL(struct op *op, struct op_effects *fx, struct err *e)
{
	op_release_tlv_map(&fx->txn, op->base);
	return bridge_del(&fx->txn, attrs_str(op->a, ATTR_NAME, ""), e);
}
