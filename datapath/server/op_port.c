/* SPDX-License-Identifier: BSD-3-Clause */
/* PORT_SET, PORT_DEL: a port's membership in a bridge. Its device is port_change.c's business. */
#include <errno.h>
#include <string.h>

#include "datapath/flow/action.h"
#include "datapath/poll/poll.h"
#include "datapath/server/op.h"
#include "datapath/server/port_change.h"
#include "datapath/server/server.h"
#include "datapath/table/bridge.h"

static const uint16_t port_attrs[] = {ATTR_BRIDGE,
				      ATTR_OFPORT,
				      ATTR_TYPE,
				      ATTR_MTU,
				      ATTR_N_RXQ,
				      ATTR_N_TXQ,
				      ATTR_N_RXQ_DESC,
				      ATTR_N_TXQ_DESC,
				      ATTR_MAC,
				      ATTR_ADMIN_UP,
				      ATTR_VLAN_MODE,
				      ATTR_VLAN_TAG,
				      ATTR_VLAN_TRUNKS,
				      ATTR_VLAN_CVLANS,
				      ATTR_VLAN_QINQ_ETHTYPE,
				      ATTR_PRIORITY_TAGS,
				      ATTR_PROTECTED,
				      ATTR_PORT_FLAGS,
				      ATTR_MAC_LIMIT,
				      ATTR_LIMIT_OUT_KBPS,
				      ATTR_LIMIT_OUT_PPS,
				      ATTR_LIMIT_BURST_MS,
				      ATTR_PORT_ROLE,
				      ATTR_RXQ_AFFINITY,
				      ATTR_POLL_WEIGHT,
				      ATTR_OPTION,
				      0};

/* Ranges of numbers; what only the device knows is checked by its class. */
static const struct {
	uint16_t id;
	uint64_t min, max;
} ranges[] = {
	{ATTR_MTU, 0, 65535},
	{ATTR_N_RXQ, 0, QUEUES_MAX},
	{ATTR_N_TXQ, 0, QUEUES_MAX},
	{ATTR_N_RXQ_DESC, 0, 32768},
	{ATTR_N_TXQ_DESC, 0, 32768},
	{ATTR_ADMIN_UP, 0, 1},
	{ATTR_VLAN_MODE, 0, VLAN_MODE_N - 1},
	{ATTR_PRIORITY_TAGS, 0, VLAN_PRIORITY_ALWAYS},
	{ATTR_PROTECTED, 0, 1},
	{ATTR_PORT_FLAGS, 0, 127},
	{ATTR_MAC_LIMIT, 0, MAC_TABLE_SIZE_MAX},
	{ATTR_LIMIT_OUT_KBPS, 0, 4000000000},
	{ATTR_LIMIT_OUT_PPS, 0, 1000000000},
	{ATTR_LIMIT_BURST_MS, 0, 10000},
	{ATTR_PORT_ROLE, 0, PORT_ROLE_UPLINK},
	{ATTR_POLL_WEIGHT, 1, POLL_WEIGHT_MAX},
};

static int check_options(const struct op *op, struct err *e)
{
	size_t n = 0;

	ATTR_FOR_EACH (a, op->a) {
		if (a->id != ATTR_OPTION)
			continue;
		if (++n > 64)
			return err_set(e, E2BIG, "port %s: more than 64 options",
				       attrs_str(op->a, ATTR_NAME, ""));
	}
	return 0;
}

static int check(const struct op *op, const char *name, struct err *e)
{
	uint64_t v;
	int rc = op_check_attrs(op, port_attrs, e);

	for (size_t i = 0; i < SL_ARRAY_SIZE(ranges) && !rc; i++)
		rc = op_check_range(op, (enum api_attr)ranges[i].id, ranges[i].min, ranges[i].max,
				    e);
	if (!rc)
		rc = op_check_bytes(op, ATTR_MAC, 6, e);
	if (!rc)
		rc = op_check_bytes(op, ATTR_VLAN_TRUNKS, sizeof(struct vlan_set), e);
	if (!rc)
		rc = op_check_bytes(op, ATTR_VLAN_CVLANS, sizeof(struct vlan_set), e);
	if (!rc)
		rc = check_options(op, e);
	if (rc)
		return rc;
	if (attrs_get_u64(op->a, ATTR_VLAN_TAG, &v) && v >= VLAN_N && v != VLAN_NONE)
		return err_set(e, ERANGE, "port %s: tag: %u is not within 0 to 4095", name,
			       (unsigned)v);
	if (attrs_get_u64(op->a, ATTR_VLAN_QINQ_ETHTYPE, &v) && v != 0x8100 && v != 0x88a8)
		return err_set(e, EINVAL, "port %s: qinq_ethtype: 0x%04x is not 0x8100 or 0x88a8",
			       name, (unsigned)v);
	if (attrs_get_u64(op->a, ATTR_OFPORT, &v) && v >= OFP_PORT_MAX && v != OFP_PORT_LOCAL)
		return err_set(e, ERANGE, "port %s: ofport: %u is reserved", name, (unsigned)v);
	return 0;
}

static int check_staged(const char *name, const struct config *c, struct err *e)
{
	const char *bridge = attrs_str(c->attrs, ATTR_BRIDGE, "");
	uint64_t mode = attrs_u64(c->attrs, ATTR_VLAN_MODE, 0);

	if (*bridge && !registry_bridge(bridge))
		return err_set(e, ENOENT, "port %s: bridge %s: not found", name, bridge);
	if (mode != VLAN_MODE_TRUNK && attrs_u64(c->attrs, ATTR_VLAN_TAG, VLAN_NONE) == VLAN_NONE)
		return err_set(e, EINVAL, "port %s: its VLAN mode needs a tag", name);
	return 0;
}

int op_stage_PORT_SET(struct op *op, struct op_effects *fx, struct err *e)
{
	const char *name;
	int rc = op_name(op, ATTR_NAME, &name, e);

	if (!rc)
		rc = check(op, name, e);
	if (!rc)
		rc = op_check_existence(op, "port", name, registry_port(name), e);
	if (rc)
		return rc;
	struct port_object *p = registry_stage_port(name, e);
	if (!p)
		return -EINVAL;
	port_change_set_op(p, op->index);
	op->staged = config_merge(p->o.staged, op->a, port_attrs);
	op->staged->refs++;
	registry_stage_config(&p->o, op->staged);
	fx->config_changed = true;
	return check_staged(name, op->staged, e);
}

/* The lowest OpenFlow number that no port of the bridge has. */
static uint32_t free_ofport(const struct bridge *b)
{
	uint32_t n = 1;

	VEC_FOR_EACH (it, &b->next_ports) /* sorted */
		if ((*it)->c.ofport == n)
			n++;
	return n;
}

/* Who is behind a port, unless somebody says otherwise. */
static uint8_t role_of_type(const char *type)
{
	if (!strcmp(type, "internal"))
		return PORT_ROLE_HOST;
	return !strcmp(type, "dpdk") ? PORT_ROLE_UPLINK : PORT_ROLE_GUEST;
}

static void fill(struct bridge_port_config *c, const struct port_object *p, struct attrs a)
{
	const void *bytes;
	size_t len;

	bridge_port_config_init(c);
	strcpy(c->name, p->o.name);
	c->port_id = p->id;
	c->vlan_mode = (uint8_t)attrs_u64(a, ATTR_VLAN_MODE, c->vlan_mode);
	c->priority_tags = (uint8_t)attrs_u64(a, ATTR_PRIORITY_TAGS, c->priority_tags);
	c->protected = attrs_u64(a, ATTR_PROTECTED, 0);
	c->role = (uint8_t)attrs_u64(a, ATTR_PORT_ROLE, role_of_type(attrs_str(a, ATTR_TYPE, "")));
	c->tag = (uint16_t)attrs_u64(a, ATTR_VLAN_TAG, c->tag);
	c->qinq_tpid = (uint16_t)attrs_u64(a, ATTR_VLAN_QINQ_ETHTYPE, c->qinq_tpid);
	c->flags = (uint32_t)attrs_u64(a, ATTR_PORT_FLAGS, 0);
	if (!attrs_u64(a, ATTR_ADMIN_UP, 1))
		c->flags |= PORT_FLAG_DOWN;
	c->mac_limit = (uint32_t)attrs_u64(a, ATTR_MAC_LIMIT, c->mac_limit);
	memcpy(c->mac, p->status.mac, sizeof c->mac);
	bytes = attrs_bytes(a, ATTR_VLAN_TRUNKS, &len);
	c->has_trunks = bytes;
	if (bytes)
		memcpy(&c->trunks, bytes, sizeof c->trunks);
	bytes = attrs_bytes(a, ATTR_VLAN_CVLANS, &len);
	c->has_cvlans = bytes;
	if (bytes)
		memcpy(&c->cvlans, bytes, sizeof c->cvlans);
	c->is_patch = !strcmp(attrs_str(a, ATTR_TYPE, ""), "patch");
	ATTR_FOR_EACH (it, a)
		if (it->id == ATTR_OPTION && c->is_patch &&
		    !strcmp(attrs_str(attr_nest(it), ATTR_KEY, ""), "peer"))
			strncpy(c->peer, attrs_str(attr_nest(it), ATTR_VALUE, ""),
				sizeof c->peer - 1);
}

int op_apply_pin(const struct op *op, struct err *e)
{
	const char *pin = attrs_str(op->a, ATTR_RXQ_AFFINITY, NULL);
	struct port_object *p = op->type == API_OP_PORT_SET && pin
					? registry_port(attrs_str(op->a, ATTR_NAME, ""))
					: NULL;

	if (!p || !p->published || !p->o.exists)
		return 0;
	return poll_port_pin(p->port, *pin ? pin : NULL, e);
}

int op_apply_PORT_SET(struct op *op, struct op_effects *fx, struct err *e)
{
	struct attrs a = op->staged->attrs;
	const char *bridge = attrs_str(a, ATTR_BRIDGE, "");
	struct port_object *p = registry_port(attrs_str(op->a, ATTR_NAME, ""));
	struct bridge_port_config c;
	int rc = 0;

	if (!p) /* a later operation of the same transaction deletes it */
		return 0;
	const struct bridge_port *now = bridge_port_next(p->id);
	struct bridge *b = *bridge ? bridge_find(bridge) : NULL;
	if (now && now->bridge != b) {
		rc = bridge_port_del(&fx->txn, p->id, e);
		now = NULL;
	}
	if (rc || !*bridge)
		return rc;
	if (!b) /* a later operation deletes the bridge, and the port leaves it */
		return 0;
	fill(&c, p, a);
	c.ofport = (uint32_t)attrs_u64(a, ATTR_OFPORT, 0);
	if (!c.ofport)
		c.ofport = now ? now->c.ofport : free_ofport(b);
	return bridge_port_set(&fx->txn, b, &c, e);
}

int op_stage_PORT_DEL(struct op *op, struct op_effects *fx, struct err *e)
{
	const char *name;
	int rc = op_name(op, ATTR_NAME, &name, e);

	if (rc)
		return rc;
	struct port_object *p = registry_port(name);
	if (!p)
		return err_set(e, ENOENT, "port %s: not found", name);
	registry_stage_port(name, e);
	port_change_set_op(p, op->index);
	registry_stage_delete(&p->o);
	fx->config_changed = true;
	return 0;
}

int op_apply_PORT_DEL(struct op *op, struct op_effects *fx, struct err *e)
{
	uint32_t id = registry_any_port(attrs_str(op->a, ATTR_NAME, ""))->id;

	return bridge_port_next(id) ? bridge_port_del(&fx->txn, id, e) : 0;
}

void op_undo_pins(void)
{
	LIST_FOR_EACH (o, struct object, touched_link, &registry_touched_ports) {
		struct port_object *p = SL_CONTAINER_OF(o, struct port_object, o);
		static const uint16_t affinity[] = {ATTR_RXQ_AFFINITY, 0};
		struct err e = {0};

		if (!p->published || !o->exists || !o->staged_exists ||
		    config_same(o->config, o->staged, affinity))
			continue;
		const char *pin = attrs_str(o->config->attrs, ATTR_RXQ_AFFINITY, "");
		poll_port_pin(p->port, *pin ? pin : NULL, &e);
	}
}
