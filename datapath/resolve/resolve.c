/* SPDX-License-Identifier: BSD-3-Clause */
/* Entry and exit of a resolution: sets the state up from the request, starts the walk, and turns
 * what came of it into the result. Poll threads and main; no allocation once the buffers have
 * grown. */
#include <stdlib.h>

#include "datapath/resolve/actions_priv.h"

struct resolver *resolver_create(unsigned thread_idx)
{
	struct resolver *r = aligned_alloc(SL_CACHE_LINE, SL_ALIGN_UP(sizeof *r, SL_CACHE_LINE));

	if (!r)
		return NULL;
	memset(r, 0, sizeof *r);
	r->thread_idx = thread_idx;
	return r;
}

void resolver_destroy(struct resolver *r)
{
	if (!r)
		return;
	free(r->prog.word);
	action_buf_free(&r->action_set);
	free(r->stack);
	free(r->freeze_buf);
	free(r);
}

void resolve_credit(struct resolver *r, struct credit_target *t)
{
	struct resolve_result *out = r->out;

	for (unsigned i = 0; i < out->n_credits; i++)
		if (out->credits[i] == t)
			return;
	if (out->n_credits < RESOLVE_CREDITS_MAX)
		out->credits[out->n_credits++] = t;
	else
		out->cacheable = false; /* counted packet by packet or not at all: do not cache */
}

static void clear_result(struct resolve_result *out)
{
	memset(&out->mask, 0, sizeof out->mask);
	memset(&out->written, 0, sizeof out->written);
	out->mask_lines = out->written_lines = 0;
	out->deps = 0;
	out->cacheable = true;
	out->again = false;
	out->max_age_ms = 0;
	out->drop = DROP_NONE;
	out->drop_cookie = 0;
	out->origin = (struct packet_origin){0};
	out->n_credits = 0;
}

static void start(struct resolver *r, const struct resolve_request *req, struct resolve_result *out)
{
	clear_result(out);
	out->prog = r->prog;
	out->prog.n_words = 0;
	out->prog.overflow = false;
	r->req = req;
	r->out = out;
	r->tracer = req->tracer;
	r->frame = NULL;
	r->action_set.len = 0;
	r->stack_len = 0;
	r->dirty = false;
	r->base_seq = 0;
	r->n_resubmits = r->depth = r->n_scopes = r->n_lists = r->n_patch = r->n_outputs = 0;
	r->n_effects = r->n_cts = 0;
	r->failed = r->why = DROP_NONE;
	r->why_cookie = 0;
	r->rule = r->first_rule = NULL;
	r->rule_is_miss = r->in_bucket = r->in_action_set = false;
	r->trunc_bytes = 0;
	r->base_queue = 0xffffffff;
	r->copy_end_at = UINT32_MAX;
	r->policed_in = r->flooded = false;
	r->n_host_outputs = 0;

	r->cur.flow.key = *req->key;
	memset(&r->cur.flow.regs, 0, sizeof r->cur.flow.regs);
	memset(&r->cur.cst.key, 0, sizeof r->cur.cst.key);
	memset(&r->cur.cst.regs, 0xff, sizeof r->cur.cst.regs);
	memset(&r->cur.v, 0, sizeof r->cur.v);
	memset(&r->wc, 0, sizeof r->wc);
	memset(&r->written, 0, sizeof r->written);
	r->base.key = *req->key;
	memset(&r->base.cst, 0, sizeof r->base.cst);
	memset(&r->base.v, 0, sizeof r->base.v);
	/* Cache entries belong to a port and a context. */
	memset(&r->wc.key.in_port, 0xff, sizeof r->wc.key.in_port);
	memset(&r->wc.key.recirc_id, 0xff, sizeof r->wc.key.recirc_id);
}

static void run_packet(struct resolver *r)
{
	const struct bridge_port *p = bridge_port_by_id(r->req->key->in_port);

	if (!p) {
		note_drop(r, DROP_RX_NO_BRIDGE);
		/* A change that puts it on a bridge is that bridge's. */
		r->out->deps = ~(uint64_t)0;
		return;
	}
	depend(r, CHANGE_BRIDGE, p->bridge->id, 0);
	if (!resolve_may_enter(r, p))
		return;
	resolve_enter_bridge(r, p->bridge, p);
	resolve_take_regs(r, p->c.ofport);
	if (resolve_policy_in(r, p))
		resolve_pipeline(r);
}

static uint16_t lines_of(const struct flow_key *k)
{
	const uint64_t *w = (const uint64_t *)k;
	uint16_t lines = 0;

	for (unsigned line = 0; line < FLOW_KEY_LINES; line++) {
		uint64_t any = 0;

		for (unsigned i = 0; i < FLOW_LINE_BYTES / 8; i++)
			any |= *w++;
		lines |= (uint16_t)((any != 0) << line);
	}
	return lines;
}

static void finish(struct resolver *r)
{
	struct resolve_result *out = r->out;

	resolve_trim_copy(r);
	/* Tracked or committed, and then nowhere: its end has the reason that was found. */
	if (r->n_effects && r->n_effects == r->n_cts && r->why != DROP_NONE)
		put_op(r, OP_DROP, (uint16_t)r->why, 0, 0);
	if (out->prog.overflow)
		fail(r, DROP_PROGRAM_TOO_LONG);
	if (r->failed != DROP_NONE || !r->n_effects) {
		out->drop = r->failed != DROP_NONE ? r->failed
			    : r->why != DROP_NONE  ? r->why
						   : DROP_NO_ACTIONS;
		out->drop_cookie = r->why_cookie;
		out->prog.n_words = 0;
		out->prog.overflow = false;
		put_op(r, OP_DROP, (uint16_t)out->drop, 0, 0);
	} else {
		resolve_policy_hints(r);
	}
	r->prog = out->prog;
	/* A decremented TTL depends on all bits of the one that arrived. */
	if (r->written.key.ip_ttl && r->wc.key.ip_ttl)
		r->wc.key.ip_ttl = 0xff;
	out->mask = r->wc.key;
	out->mask_lines = lines_of(&out->mask);
	out->written_lines = lines_of(&r->written.key);
	if (out->written_lines)
		out->written = r->written.key;
}

void resolve(struct resolver *r, const struct resolve_request *req, struct resolve_result *out)
{
	start(r, req, out);
	if (req->actions)
		resolve_packet_out(r);
	else if (req->resume)
		resolve_thaw(r, req->resume);
	else if (req->key->recirc_id)
		resolve_resume(r);
	else
		run_packet(r);
	finish(r);
	TRACE(r, end, &r->cur.flow);
	if (SL_UNLIKELY(r->tracer != NULL))
		trace_mask(r, false);
}
