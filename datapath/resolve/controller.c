/* SPDX-License-Identifier: BSD-3-Clause */
/* Packet-ins: the op carries what the controller is told beside the packet. */
#include "datapath/resolve/actions_priv.h"
#include "datapath/table/rule.h"

enum { USERDATA_MAX = (255 * 8) - sizeof(struct prog_controller) };

void resolve_controller(struct resolver *r, const struct controller_args *a)
{
	uint16_t n = (uint16_t)SL_MIN(a->userdata_len, USERDATA_MAX);
	uint8_t words = (uint8_t)((sizeof(struct prog_controller) + SL_ALIGN_UP(n, 8)) / 8);
	uint32_t frozen_id = a->pause ? resolve_freeze(r, -1) : 0;
	struct prog_controller *c;

	/* no_packet_in speaks of packets without a match (OpenFlow 1.0 §5.2.1). */
	bool no_match =
		!a->reason || a->reason == OFPR_IMPLICIT_MISS || a->reason == OFPR_EXPLICIT_MISS;
	if (no_match && r->in && r->in->c.flags & PORT_FLAG_NO_PACKET_IN) {
		note_drop(r, DROP_TABLE_MISS);
		return;
	}
	if (r->failed != DROP_NONE)
		return;
	resolve_commit(r);
	c = (struct prog_controller *)put_op(r, OP_CONTROLLER, a->reason, a->controller_id, words);
	c->bridge_id = r->bridge->id;
	c->of_in_port = be32_to_cpu(r->cur.flow.regs.in_port);
	c->cookie = r->rule ? r->rule->cookie : UINT64_MAX;
	c->meter_id = a->meter_id;
	c->frozen_id = frozen_id;
	c->max_len = a->max_len;
	c->userdata_len = n;
	c->table = r->table;
	c->pause = a->pause;
	memcpy(c->regs, &r->cur.flow.regs, sizeof c->regs);
	if (n)
		memcpy(c + 1, a->userdata, n);
	r->n_effects++;
	TRACE(r, controller, a->controller_id, a->reason);
	if (a->pause)
		resolve_stop_frozen(r);
}
