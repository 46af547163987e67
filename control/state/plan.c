/* SPDX-License-Identifier: BSD-3-Clause */
/* The comparison: each kind of object is a merge of two sorted lists; `wanted` and `there` below
 * are one element of each, and NULL where the other side has none. */
#include "control/state/plan.h"

#include <string.h>

#include "datapath/base/str.h"

static uint32_t differing(const struct config_field *fields, size_t n, const void *a, const void *b)
{
	uint32_t bits = 0;
	for (size_t i = 0; i < n; i++)
		if (!config_field_eq(&fields[i], a, b))
			bits |= 1u << i;
	return bits;
}

static uint32_t bit_of(const struct config_field *fields, size_t n, enum api_attr attr)
{
	for (size_t i = 0; i < n; i++)
		if (fields[i].attr == attr)
			return 1u << i;
	return 0;
}

static uint32_t port_bit(enum api_attr attr)
{
	return bit_of(config_port_fields, config_port_n_fields, attr);
}

static uint32_t bridge_bit(enum api_attr attr)
{
	return bit_of(config_bridge_fields, config_bridge_n_fields, attr);
}

/* A port of another type is another device: the old one goes first. */
static bool must_recreate(const struct config_port *wanted, const struct config_port *there)
{
	return strcmp(wanted->type, there->type) != 0;
}

#define BY_POINTER(list, i) ((list).at[i])
#define BY_VALUE(list, i)   (&(list).at[i])
/* Calls fn for each name of two sorted lists, with NULL where a side has none. */
#define MERGE(type, list, at, compare, fn)                                                         \
	do {                                                                                       \
		size_t i = 0, j = 0;                                                               \
		while (i < desired->list.len || j < actual->list.len) {                            \
			const type *a = i < desired->list.len ? at(desired->list, i) : NULL;       \
			const type *b = j < actual->list.len ? at(actual->list, j) : NULL;         \
			int order = !a ? 1 : !b ? -1 : compare(a, b);                              \
			fn(plan, order <= 0 ? a : NULL, order >= 0 ? b : NULL);                    \
			i += order <= 0;                                                           \
			j += order >= 0;                                                           \
		}                                                                                  \
	} while (0)

static int order_bridges(const struct config_bridge *a, const struct config_bridge *b)
{
	return strcmp(a->name, b->name);
}

static int order_ports(const struct config_port *a, const struct config_port *b)
{
	return strcmp(a->name, b->name);
}

static int order_macs(const struct config_mac *a, const struct config_mac *b)
{
	int r = strcmp(a->bridge, b->bridge);
	if (!r)
		r = (int)a->vlan - (int)b->vlan;
	return r ? r : memcmp(a->mac, b->mac, 6);
}

/* ---- removals ---- */

static void remove_mac(struct plan *plan, const struct config_mac *wanted,
		       const struct config_mac *there)
{
	if (there && !wanted)
		vec_push(
			&plan->ops,
			(struct plan_op){.phase = PLAN_REMOVE, .op = API_OP_MAC_DEL, .mac = there});
}

/* A port that leaves its bridge takes its entries along. */
static void forget_macs_that_go_anyway(struct plan *plan, const struct config *desired)
{
	for (size_t i = plan->ops.len; i-- > 0;) {
		const struct config_mac *m = plan->ops.at[i].mac;
		const struct config_port *p = m ? config_find_port(desired, m->port) : NULL;
		if (m && (!p || strcmp(p->bridge, m->bridge)))
			vec_remove(&plan->ops, i);
	}
}

static bool leaves_for_a_while(const struct plan *plan, const char *port)
{
	VEC_FOR_EACH (op, &plan->ops)
		if (op->phase == PLAN_REMOVE && op->port && !strcmp(op->port->name, port))
			return true;
	return false;
}

static void remove_port(struct plan *plan, const struct config_port *wanted,
			const struct config_port *there)
{
	struct plan_op op = {.phase = PLAN_REMOVE, .port = there};
	if (!there)
		return;
	if (!wanted || must_recreate(wanted, there)) {
		op.op = API_OP_PORT_DEL;
		vec_push(&plan->ops, op);
	} else if (there->bridge[0] &&
		   (strcmp(wanted->bridge, there->bridge) || wanted->ofport != there->ofport)) {
		/* Frees the number first: two ports may be swapping theirs. */
		op.op = API_OP_PORT_SET;
		op.detach = true;
		vec_push(&plan->ops, op);
	}
}

static void remove_bridge(struct plan *plan, const struct config_bridge *wanted,
			  const struct config_bridge *there)
{
	if (there && !wanted)
		vec_push(&plan->ops, (struct plan_op){.phase = PLAN_REMOVE,
						      .op = API_OP_BRIDGE_DEL,
						      .bridge = there});
}

/* ---- additions and changes ---- */

static void set_bridge(struct plan *plan, const struct config_bridge *wanted,
		       const struct config_bridge *there)
{
	struct plan_op op = {.phase = PLAN_PREPARE, .op = API_OP_BRIDGE_SET, .bridge = wanted};
	uint32_t open = bridge_bit(ATTR_OPEN);
	if (!wanted)
		return;
	if (!there) {
		op.create = op.close = true;
		op.fields = (1u << config_bridge_n_fields) - 1;
	} else {
		op.fields = differing(config_bridge_fields, config_bridge_n_fields, wanted, there);
		op.fields &= ~open; /* opening waits for the ports; what is open stays so */
	}
	if (op.fields)
		vec_push(&plan->ops, op);
}

static void open_bridge(struct plan *plan, const struct config_bridge *wanted,
			const struct config_bridge *there)
{
	if (wanted && wanted->open && !(there && there->open))
		vec_push(&plan->ops, (struct plan_op){.phase = PLAN_FINISH,
						      .op = API_OP_BRIDGE_SET,
						      .bridge = wanted,
						      .fields = bridge_bit(ATTR_OPEN)});
}

static void set_port(struct plan *plan, const struct config_port *wanted,
		     const struct config_port *there)
{
	struct plan_op op = {.phase = PLAN_PORT, .op = API_OP_PORT_SET, .port = wanted};
	if (!wanted)
		return;
	if (!there || must_recreate(wanted, there)) {
		op.create = op.options = true;
		op.fields = (1u << config_port_n_fields) - 1;
	} else {
		op.fields = differing(config_port_fields, config_port_n_fields, wanted, there);
		op.options = !config_port_options_eq(wanted, there);
		if (op.fields & (port_bit(ATTR_BRIDGE) | port_bit(ATTR_OFPORT)))
			op.fields |= port_bit(ATTR_BRIDGE) | port_bit(ATTR_OFPORT);
	}
	if (op.fields || op.options)
		vec_push(&plan->ops, op);
}

static void set_mac(struct plan *plan, const struct config_mac *wanted,
		    const struct config_mac *there)
{
	if (wanted &&
	    (!there || strcmp(wanted->port, there->port) || leaves_for_a_while(plan, wanted->port)))
		vec_push(&plan->ops, (struct plan_op){.phase = PLAN_FINISH,
						      .op = API_OP_MAC_SET,
						      .mac = wanted});
}

static void set_poll(struct plan *plan, const struct config *desired, const struct config *actual)
{
	bool cores =
		desired->cores.len && (desired->cores.len != actual->cores.len ||
				       memcmp(desired->cores.at, actual->cores.at,
					      desired->cores.len * sizeof *desired->cores.at) != 0);
	bool sleep = desired->has_sleep_max &&
		     (!actual->has_sleep_max || desired->sleep_max_us != actual->sleep_max_us);
	if (cores || sleep)
		vec_push(&plan->ops,
			 (struct plan_op){.phase = PLAN_PREPARE,
					  .op = API_OP_POLL_SET,
					  .config = desired,
					  .fields = (cores ? 1u : 0) | (sleep ? 2u : 0)});
}

static int order_zones(const struct config_zone *a, const struct config_zone *b)
{
	return (int)a->zone - (int)b->zone;
}

static void set_zone(struct plan *plan, const struct config_zone *wanted,
		     const struct config_zone *there)
{
	struct plan_op op = {.phase = PLAN_PREPARE, .op = API_OP_CT_SET};
	op.zone = wanted ? wanted : there;
	op.take_back = !wanted;
	if (!wanted || !there ||
	    memcmp(wanted->timeouts_ms, there->timeouts_ms, sizeof there->timeouts_ms) != 0)
		vec_push(&plan->ops, op);
}

void plan_make(struct plan *plan, const struct config *desired, const struct config *actual)
{
	/* The order of the operations. */
	MERGE(struct config_mac, macs, BY_VALUE, order_macs, remove_mac);
	forget_macs_that_go_anyway(plan, desired);
	MERGE(struct config_port, ports, BY_POINTER, order_ports, remove_port);
	MERGE(struct config_bridge, bridges, BY_POINTER, order_bridges, remove_bridge);

	MERGE(struct config_bridge, bridges, BY_POINTER, order_bridges, set_bridge);
	set_poll(plan, desired, actual);
	MERGE(struct config_zone, zones, BY_VALUE, order_zones, set_zone);
	MERGE(struct config_port, ports, BY_POINTER, order_ports, set_port);
	MERGE(struct config_mac, macs, BY_VALUE, order_macs, set_mac);
	MERGE(struct config_bridge, bridges, BY_POINTER, order_bridges, open_bridge);
	if (plan->ops.len && desired->generation != actual->generation)
		vec_push(&plan->ops, (struct plan_op){.phase = PLAN_FINISH,
						      .op = API_OP_GENERATION_SET,
						      .config = desired});
}

void plan_free(struct plan *plan)
{
	vec_free(&plan->ops);
}

/* ---- encoding ---- */

static void put_fields(struct msg *m, const struct config_field *fields, size_t n, uint32_t bits,
		       const void *object)
{
	for (size_t i = 0; i < n; i++)
		if (bits & 1u << i)
			config_field_put(&fields[i], object, m);
}

static void put_bridge(struct msg *m, const struct plan_op *op)
{
	uint32_t fields = op->close ? op->fields & ~bridge_bit(ATTR_OPEN) : op->fields;
	msg_put_str(m, ATTR_NAME, op->bridge->name);
	msg_put_flag(m, op->create ? ATTR_CREATE : ATTR_EXISTING);
	put_fields(m, config_bridge_fields, config_bridge_n_fields, fields, op->bridge);
	if (op->close)
		msg_put_u8(m, ATTR_OPEN, 0);
}

static void put_port(struct msg *m, const struct plan_op *op)
{
	msg_put_str(m, ATTR_NAME, op->port->name);
	msg_put_flag(m, op->create ? ATTR_CREATE : ATTR_EXISTING);
	if (op->detach) {
		msg_put_str(m, ATTR_BRIDGE, "");
		return;
	}
	put_fields(m, config_port_fields, config_port_n_fields, op->fields, op->port);
	if (!op->options)
		return;
	VEC_FOR_EACH (o, &op->port->options) {
		size_t at = msg_nest_begin(m, ATTR_OPTION);
		msg_put_str(m, ATTR_KEY, o->key);
		msg_put_str(m, ATTR_VALUE, o->value);
		msg_nest_end(m, at);
	}
	if (!op->port->options.len && !op->create) /* an option without key: take all back */
		msg_nest_end(m, msg_nest_begin(m, ATTR_OPTION));
}

static void put_mac(struct msg *m, const struct config_mac *mac, bool with_port)
{
	msg_put_str(m, ATTR_BRIDGE, mac->bridge);
	msg_put_u16(m, ATTR_VLAN, mac->vlan);
	msg_put_bytes(m, ATTR_MAC, mac->mac, 6);
	if (with_port)
		msg_put_str(m, ATTR_PORT, mac->port);
	msg_put_u8(m, ATTR_STATIC, 1);
}

static void put_zone(struct msg *m, const struct plan_op *op)
{
	msg_put_u16(m, ATTR_CT_ZONE, op->zone->zone);
	msg_put_bytes(m, ATTR_CT_TIMEOUTS, op->zone->timeouts_ms,
		      op->take_back ? 0 : sizeof op->zone->timeouts_ms);
}

void plan_op_encode(const struct plan_op *op, struct msg *m)
{
	size_t at = msg_op_begin(m, op->op);
	if (op->op == API_OP_BRIDGE_DEL)
		msg_put_str(m, ATTR_NAME, op->bridge->name);
	else if (op->op == API_OP_PORT_DEL)
		msg_put_str(m, ATTR_NAME, op->port->name);
	else if (op->bridge)
		put_bridge(m, op);
	else if (op->port)
		put_port(m, op);
	else if (op->mac)
		put_mac(m, op->mac, op->op == API_OP_MAC_SET);
	else if (op->zone)
		put_zone(m, op);
	else if (op->op == API_OP_GENERATION_SET)
		msg_put_u64(m, ATTR_GENERATION, op->config->generation);
	else {
		if (op->fields & 1)
			msg_put_bytes(m, ATTR_CORES, op->config->cores.at,
				      op->config->cores.len * sizeof *op->config->cores.at);
		if (op->fields & 2)
			msg_put_u32(m, ATTR_SLEEP_MAX_US, op->config->sleep_max_us);
	}
	msg_nest_end(m, at);
}

void plan_op_format(const struct plan_op *op, struct str *out)
{
	const struct config_field *fields = op->bridge ? config_bridge_fields : config_port_fields;
	size_t n = op->bridge ? config_bridge_n_fields : config_port_n_fields;
	const void *object = op->bridge ? (const void *)op->bridge : (const void *)op->port;

	str_puts(out, api_op_names[op->op]);
	if (op->mac)
		str_printf(out, " %s vlan %u port %s", op->mac->bridge, op->mac->vlan,
			   op->mac->port);
	if (op->zone)
		str_printf(out, " zone %u%s", op->zone->zone, op->take_back ? " default" : "");
	if (!object)
		return;
	str_printf(out, " %s%s%s", op->bridge ? op->bridge->name : op->port->name,
		   op->create ? ": create" : "", op->detach ? ": off its bridge" : "");
	for (size_t i = 0; i < n && !op->detach; i++)
		if (op->fields & 1u << i) {
			str_putc(out, ' ');
			config_field_format(&fields[i], object, out);
		}
	if (op->options)
		VEC_FOR_EACH (o, &op->port->options)
			str_printf(out, " %s=%s", o->key, o->value);
}
