/* SPDX-License-Identifier: BSD-3-Clause */
/* Packet-outs: the main thread copies packet and actions; a poll thread resolves the list for this
 * one packet and runs it, so that packets have one kind of executor. */
#include "datapath/poll/poll_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "datapath/core/pool.h"
#include "datapath/flow/action.h"
#include "datapath/table/bridge.h"

struct injected {
	struct rte_mbuf *m;
	uint32_t bridge_id, of_in_port, frozen_id;
	bool has_regs;
	size_t actions_len;
	struct flow_regs regs;
	uint64_t actions[];
};

int poll_inject(const struct poll_inject *in)
{
	struct poll_thread *t = NULL;

	for (unsigned i = 0; i < POLL_THREADS_MAX && !t; i++)
		t = poll_thread_at[i];
	if (!t)
		return -ENOBUFS;
	struct injected *j = aligned_alloc(SL_CACHE_LINE,
					   SL_ALIGN_UP(sizeof *j + in->actions_len, SL_CACHE_LINE));
	if (!j)
		return -ENOBUFS;
	j->bridge_id = in->bridge_id;
	j->of_in_port = in->of_in_port;
	j->frozen_id = in->frozen_id;
	j->has_regs = in->regs;
	if (in->regs)
		j->regs = *in->regs;
	j->actions_len = in->actions_len;
	if (in->actions_len)
		memcpy(j->actions, in->actions, in->actions_len);
	j->m = pool_from_bytes(in->packet, in->packet_len);
	if (!j->m || rte_ring_sp_enqueue(t->inject, j)) {
		rte_pktmbuf_free(j->m);
		free(j);
		return -ENOBUFS;
	}
	poll_wake(t);
	return 0;
}

static uint32_t datapath_port(const struct injected *j)
{
	const struct bridge *b = bridge_by_id(j->bridge_id);
	const struct bridge_port *p = b ? bridge_port_by_ofport(b, j->of_in_port) : NULL;

	return p ? p->c.port_id : 0;
}

static void run_one(struct poll_thread *t, struct injected *j)
{
	struct burst *b = &t->burst;
	struct packet p = {.m = j->m, .s.in_port = datapath_port(j)};
	struct port_counters *c = counters_of(t->idx, p.s.in_port);

	b->pkt[0] = j->m;
	if (SL_UNLIKELY(t->observing != NULL))
		observer_rx(t->observing, &j->m, 1, p.s.in_port, rte_rdtsc());
	j->m->port = (uint16_t)p.s.in_port;
	flow_cache_extract(b, 0, p.s.in_port, EXTRACT_FULL);
	b->key[0].recirc_id = j->frozen_id;
	const struct resolve_request req = {
		.key = &b->key[0],
		.packet = rte_pktmbuf_mtod(j->m, const void *),
		.packet_len = j->m->data_len,
		.version = t->version,
		.now_ms = t->exec->now_ms,
		.side_effects = true,
		.actions = j->frozen_id ? NULL : j->actions,
		.actions_len = j->actions_len,
		.bridge_id = j->bridge_id,
		.of_in_port = j->of_in_port,
		.regs = j->has_regs ? &j->regs : NULL,
	};
	if (c)
		counter_add(&c->created, 1);
	p.ofs = b->ofs[0];
	p.has_ofs = true;
	resolve(t->resolver, &req, &t->result);
	flow_cache_credit_once(t->cache, &t->result, j->m->pkt_len, t->now_ms);
	struct program *prog = program_scratch(&t->result.prog);
	if (SL_UNLIKELY(t->observing != NULL))
		watch_resolved(t, &p, &b->key[0], &t->result, prog, LEVEL_INJECTED);
	t->exec->origin = &t->result.origin;
	exec_run(t->exec, prog, &p);
	free(j);
	if (t->exec->n_recirc)
		recirc_run(t);
}

void inject_run(struct poll_thread *t)
{
	void *j;

	for (unsigned n = 0; n < BURST_MAX && !rte_ring_sc_dequeue(t->inject, &j); n++)
		run_one(t, j);
}

void inject_drop_all(struct poll_thread *t)
{
	void *p;

	while (!rte_ring_sc_dequeue(t->inject, &p)) {
		struct injected *j = p;

		struct port_counters *c = counters_of(t->idx, datapath_port(j));

		if (c)
			counter_add(&c->created, 1);
		exec_drop(t->exec, j->m, datapath_port(j), DROP_POLL_STOPPED);
		free(j);
	}
}
