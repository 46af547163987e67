/* SPDX-License-Identifier: BSD-3-Clause */
/* Outputs: to a port, through a patch port into the next bridge, to reserved ports. */
#include "datapath/resolve/actions_priv.h"
#include "datapath/resolve/resolver_priv.h"

/* ---- patch ports ---- */
struct bridge_state { /* what belongs to one bridge's walk */
	struct bridge *bridge;
	const struct bridge_config *config;
	const struct bridge_port *in;
	const struct rule *rule;
	struct frame *frame;
	struct action_buf action_set;
	uint8_t *stack;
	uint32_t stack_len, trunc_bytes;
	uint8_t table;
	int goto_table;
	bool exit, exit_all, in_bucket;
};

static void save_bridge(struct resolver *r, struct bridge_state *s)
{
	*s = (struct bridge_state){.bridge = r->bridge,
				   .config = r->config,
				   .in = r->in,
				   .rule = r->rule,
				   .frame = r->frame,
				   .action_set = r->action_set,
				   .stack = r->stack,
				   .stack_len = r->stack_len,
				   .trunc_bytes = r->trunc_bytes,
				   .table = r->table,
				   .goto_table = r->goto_table,
				   .exit = r->exit,
				   .exit_all = r->exit_all,
				   .in_bucket = r->in_bucket};
}

static void restore_bridge(struct resolver *r, const struct bridge_state *s)
{
	r->bridge = s->bridge;
	r->config = s->config;
	r->in = s->in;
	r->rule = s->rule;
	r->frame = s->frame;
	r->action_set = s->action_set;
	r->stack = s->stack;
	r->stack_len = s->stack_len;
	r->trunc_bytes = s->trunc_bytes;
	r->table = s->table;
	r->goto_table = s->goto_table;
	r->exit = s->exit;
	r->exit_all = s->exit_all;
	r->in_bucket = s->in_bucket;
}

void resolve_enter_bridge(struct resolver *r, struct bridge *b, const struct bridge_port *in)
{
	r->bridge = b;
	r->config = rcu_load(&b->config);
	r->in = in;
	r->rule = NULL;
	r->table = 0;
	r->goto_table = -1;
	r->exit = r->exit_all = false;
	r->in_bucket = false;
	memset(&r->cur.flow.regs, 0, sizeof r->cur.flow.regs);
	r->cur.flow.regs.in_port = cpu_to_be32(in ? in->c.ofport : OFP_PORT_CONTROLLER);
	r->cur.flow.regs.actset_output = cpu_to_be32(OFP_PORT_UNSET);
	r->cur.flow.regs.queue = 0xffffffff;
	depend(r, CHANGE_BRIDGE, b->id, 0);
	TRACE(r, bridge, b, in);
}

bool resolve_may_enter(struct resolver *r, const struct bridge_port *in)
{
	if (in->c.flags & (PORT_FLAG_DOWN | PORT_FLAG_NO_RECV)) {
		note_drop(r, DROP_RX_PORT_DOWN);
		return false;
	}
	if (!rcu_load(&in->bridge->config)->open) {
		depend(r, CHANGE_BRIDGE, in->bridge->id, 0);
		note_drop(r, DROP_BRIDGE_CLOSED);
		return false;
	}
	return true;
}

static void hop(struct resolver *r, const struct bridge_port *from)
{
	uint32_t peer_id = __atomic_load_n(&bridge_patch_peer[from->c.port_id], __ATOMIC_RELAXED);
	const struct bridge_port *peer = peer_id ? bridge_port_by_id(peer_id) : NULL;
	struct bridge_state save;
	struct scope scope;

	if (!peer) {
		note_drop(r, DROP_PATCH_NO_PEER);
		return;
	}
	if (!resolve_may_enter(r, peer))
		return;
	if (r->n_patch >= PATCH_MAX || ++r->n_resubmits > RESUBMITS_MAX) {
		fail(r, DROP_PATCH_LOOP);
		return;
	}
	if (!resolve_scope_begin(r, &scope))
		return;
	save_bridge(r, &save);
	r->action_set = (struct action_buf){0};
	r->stack = NULL;
	r->stack_len = 0;
	r->frame = NULL;
	r->trunc_bytes = 0;
	r->n_patch++;
	r->depth++;
	resolve_enter_bridge(r, peer->bridge, peer);
	/* A bridge does not see what another one tracked. */
	if (resolve_ct_may_be_tracked(r))
		resolve_ct_clear(r);
	resolve_pipeline(r);
	r->depth--;
	r->n_patch--;
	action_buf_free(&r->action_set);
	free(r->stack);
	restore_bridge(r, &save);
	resolve_scope_end(r, &scope);
}

/* ---- ports ---- */
void resolve_output_port(struct resolver *r, const struct bridge_port *p)
{
	if (p->c.flags & (PORT_FLAG_DOWN | PORT_FLAG_NO_FWD)) {
		note_drop(r, DROP_OUTPUT_PORT_DOWN);
		return;
	}
	if (r->n_outputs >= OUTPUTS_MAX) {
		fail(r, DROP_OUTPUT_LIMIT);
		return;
	}
	r->n_outputs++;
	if (p->c.is_patch) {
		hop(r, p);
		return;
	}
	resolve_commit(r);
	if (r->trunc_bytes)
		put_op(r, OP_TRUNC, 0, r->trunc_bytes, 0);
	if (r->cur.flow.regs.queue != r->base_queue) {
		put_op(r, OP_SET_QUEUE, 0, r->cur.flow.regs.queue, 0);
		r->base_queue = r->cur.flow.regs.queue;
	}
	put_op(r, resolve_is_policed(r, p) ? OP_POLICY_OUT : OP_OUTPUT, 0, p->c.port_id, 0);
	r->n_host_outputs += p->c.role == PORT_ROLE_HOST;
	r->n_effects++;
	TRACE(r, output, p, &r->cur.flow);
}

static bool is_in_port(const struct resolver *r, uint32_t ofport)
{
	return r->cur.flow.regs.in_port == cpu_to_be32(ofport);
}

/* FLOOD: not to ports with no-flood (OpenFlow 1.0 §3.3); ALL: to all but the ingress port. */
void resolve_flood(struct resolver *r, bool all)
{
	const struct bridge_ports *ps = rcu_load(&r->bridge->ports);

	for (uint32_t i = 0; i < ps->n && !stopped(r); i++) {
		const struct bridge_port *p = ps->at[i];

		if (is_in_port(r, p->c.ofport) || (!all && p->c.flags & PORT_FLAG_NO_FLOOD))
			continue;
		resolve_output_port(r, p);
	}
}

static void output_number(struct resolver *r, uint32_t ofport, bool to_in_port)
{
	const struct bridge_port *p = bridge_port_by_ofport(r->bridge, ofport);

	if (!p)
		note_drop(r, DROP_OUTPUT_NO_PORT);
	else if (!to_in_port && is_in_port(r, ofport))
		note_drop(r, DROP_OUTPUT_IN_PORT);
	else
		resolve_output_port(r, p);
}

/* What a packet-in is told to be sent for (OpenFlow 1.4.1 §7.4.1); the table-miss rule's own. */
static uint8_t output_reason(const struct resolver *r)
{
	enum { ACTION = 1, ACTION_SET = 3, GROUP = 4, PACKET_OUT = 5 };

	if (r->req->actions)
		return PACKET_OUT;
	if (r->in_bucket)
		return GROUP;
	if (r->in_action_set)
		return ACTION_SET;
	return r->rule_is_miss ? OFPR_EXPLICIT_MISS : ACTION;
}

void resolve_output(struct resolver *r, uint32_t ofport, uint16_t max_len)
{
	switch (ofport) {
	case OFP_PORT_IN_PORT:
		output_number(r, be32_to_cpu(r->cur.flow.regs.in_port), true);
		break;
	case OFP_PORT_TABLE:
		/* Only packet-outs may say so; the codec refuses it elsewhere. */
		resolve_table(r, 0, true);
		break;
	case OFP_PORT_NORMAL:
		resolve_normal(r);
		break;
	case OFP_PORT_FLOOD:
		resolve_flood(r, false);
		break;
	case OFP_PORT_ALL:
		resolve_flood(r, true);
		break;
	case OFP_PORT_CONTROLLER:
		resolve_controller(r, &(struct controller_args){.max_len = max_len,
								.reason = output_reason(r),
								.meter_id = 0xffffffff});
		break;
	case OFP_PORT_ANY:
	case OFP_PORT_UNSET:
		break;
	default:
		output_number(r, ofport, false);
		break;
	}
}
