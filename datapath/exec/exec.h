/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs programs on packets and sends what comes out. One struct exec per poll thread; everything
 * here runs on that thread.
 *
 * Every packet that goes in comes out exactly once: staged for a port, dropped under a reason,
 * absorbed (controller), or handed back for another look-up (recirculation); copies count as
 * created. That is the ledger of DESIGN 9.15. */
#pragma once
#include <rte_mbuf.h>

#include "datapath/core/counters.h"
#include "datapath/core/origin.h"
#include "datapath/flow/extract.h"
#include "datapath/flow/program.h"
#include "datapath/observe/observer.h"
#include "datapath/port/port.h"

enum { RECIRC_MAX = 256, STAGE_PKTS = BURST_MAX, RECIRC_DEPTH_MAX = 8 };

/* What of a packet is not in its bytes. */
struct packet_state {
	uint32_t in_port;   /* datapath port it came from; 0: injected */
	uint32_t recirc_id; /* context to go on in */
	uint8_t depth;      /* recirculations so far */
	uint8_t ct_state;
	uint16_t ct_zone;
	uint32_t ct_mark;
	uint8_t ct_label[16];
	/* original direction tuple, as line 3 of the key */
	uint8_t ct_tuple[48];
};

struct packet {
	struct rte_mbuf *m;
	struct flow_offsets ofs; /* valid when has_ofs */
	bool has_ofs;
	bool key_whole; /* all lines of *key, not just line 0 */
	/* The key that still describes its bytes; NULL: extract again. Valid within the burst;
	 * whatever rewrites the packet clears it. */
	const struct flow_key *key;
	/* conntrack_prefetch()'s for the ct() that comes, within its burst; or NULL */
	const struct conntrack_hint *ct_hint;
	struct packet_state s;
};

struct tx_stage { /* packets on their way to one port */
	uint32_t port_id;
	uint16_t n;
	/* From so many on exec_output() takes the long way: STAGE_PKTS, or 1 while somebody
	 * watches what leaves by the port. */
	uint16_t plain;
	struct rte_mbuf *pkt[STAGE_PKTS];
	struct packet_cause cause[STAGE_PKTS]; /* while watched */
};

struct exec {
	unsigned thread_idx;
	uint16_t n_pending;            /* ports with staged packets */
	struct observer *observer;     /* NULL: nobody watches packets */
	uint32_t pending[PORT_ID_MAX]; /* their numbers */
	struct tx_stage *
		stage[PORT_ID_MAX]; /* allocated on first use, never freed before the thread ends */
	uint16_t n_recirc;
	struct packet recirc[RECIRC_MAX];
	uint64_t now_ms;
	uint64_t now_tsc;
	uint64_t version;
	uint32_t outputs; /* of the packet in hand */
	uint32_t skip;    /* words the op in hand wants to skip */
	uint32_t rest;    /* words behind the op in hand */
	uint32_t trunc;   /* bytes the next output sends at most; 0: all */
	uint32_t queue;
	/* For the memory of drops: the rules behind the program that runs, valid while it does, and
	 * the policy rule that refused the packet, plus 1 (0: none did). */
	const struct packet_origin *origin;
	uint32_t policy_slot;
	uint8_t *whole; /* where datagrams are put together; NULL: not needed yet */
	/* The poll side's way to the main thread: takes a copy. False: the ring is full. */
	bool (*packet_in)(struct exec *x, const struct packet *p, uint8_t reason,
			  uint16_t controller_id, const struct prog_controller *c,
			  const uint8_t *userdata);
	void *aux;
};

struct exec *exec_create(unsigned thread_idx);
void exec_destroy(struct exec *x); /* staged packets are dropped as tx_port_gone */

/* Runs the whole program; takes p->m. */
void exec_run(struct exec *x, const struct program *prog, struct packet *p);
void exec_drop(struct exec *x, struct rte_mbuf *m, uint32_t port_id, enum drop_reason why);
/* … by this rule. */
void exec_drop_by(struct exec *x, struct rte_mbuf *m, uint32_t port_id, enum drop_reason why,
		  const struct packet_origin *origin);
/* Tells who remembers or watches; counts nothing and keeps the packet. origin: NULL when no rule
 * had a part in it. */
void exec_tell_drop(struct exec *x, struct rte_mbuf *m, uint32_t port_id, enum drop_reason why,
		    const struct packet_origin *origin);

/* The commonest program: one output. */
static inline void exec_output(struct exec *x, struct rte_mbuf *m, uint32_t out_port);
static inline void exec_output_burst(struct exec *x, struct rte_mbuf *const *m, unsigned n,
				     uint32_t out_port);
void exec_flush_port(struct exec *x, struct tx_stage *s);
void exec_staged(struct exec *x, struct tx_stage *s); /* exec_output()'s long way */
/* Packets of one cause to a port that somebody watches. */
void exec_stage_watched(struct exec *x, struct tx_stage *s, struct rte_mbuf *const *m, unsigned n);
/* x->observer is another, or wants something else: which ports are watched? */
void exec_watch(struct exec *x);
void exec_flush(struct exec *x); /* everything staged; end of an iteration */
struct tx_stage *exec_stage_create(struct exec *x, uint32_t port_id); /* NULL without memory */
uint64_t exec_held(const struct exec *x, uint32_t in_port);

static inline void exec_output(struct exec *x, struct rte_mbuf *m, uint32_t out_port)
{
	struct tx_stage *s = x->stage[out_port];

	if (SL_UNLIKELY(!s) && !(s = exec_stage_create(x, out_port))) {
		exec_drop(x, m, out_port, DROP_TX_PORT_GONE);
		return;
	}
	if (!s->n)
		x->pending[x->n_pending++] = out_port;
	s->pkt[s->n++] = m;
	if (s->n >= s->plain)
		exec_staged(x, s);
}

static inline void exec_output_burst(struct exec *x, struct rte_mbuf *const *m, unsigned n,
				     uint32_t out_port)
{
	struct tx_stage *s = x->stage[out_port];

	if (SL_UNLIKELY(!s) && !(s = exec_stage_create(x, out_port))) {
		for (unsigned i = 0; i < n; i++)
			exec_drop(x, m[i], out_port, DROP_TX_PORT_GONE);
		return;
	}
	if (SL_UNLIKELY(s->plain == 1)) {
		exec_stage_watched(x, s, m, n);
		return;
	}
	while (n) {
		unsigned k = SL_MIN(n, (unsigned)STAGE_PKTS - s->n);

		if (!s->n)
			x->pending[x->n_pending++] = out_port;
		for (unsigned i = 0; i < k; i++)
			s->pkt[s->n + i] = m[i];
		s->n = (uint16_t)(s->n + k);
		if (s->n == STAGE_PKTS)
			exec_flush_port(x, s);
		m += k;
		n -= k;
	}
}
