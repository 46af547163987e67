/* SPDX-License-Identifier: BSD-3-Clause */
/* ct(table=N) and then an output, for established connections, without going round: what the second
 * look-up will find is remembered by port, context and state, and compared with the packet's key
 * under its mask, as any look-up does. A megaflow that matches is a right answer whoever finds it,
 * because a mask covers all that the decision read; its version is checked too.
 *
 * Order: as soon as one packet has to go round, all behind it in the burst do. Poll thread. */
#include <string.h>

#include "datapath/exec/exec_ct.h"
#include "datapath/poll/poll_priv.h"

struct lane_packet {
	struct ct_conn *conn;
	uint8_t state;
};

static inline struct megaflow **slot_of(struct poll_thread *t, uint32_t in_port, uint32_t recirc_id,
					uint8_t state)
{
	uint32_t h = in_port * 0x9e3779b1u ^ recirc_id * 0x85ebca6bu ^ state * 0xc2b2ae35u;

	return &t->after_ct[h >> 26];
}

void ct_lane_learn(struct poll_thread *t, const struct packet_state *s, struct megaflow *mf)
{
	_Static_assert(CT_LANE_SLOTS == 1 << (32 - 26), "slot_of()");
	*slot_of(t, s->in_port, s->recirc_id, s->ct_state) = mf;
}

/* A slot that was freed has no port in its key: nothing matches it. */
static inline bool matches(const struct poll_thread *t, const struct port_cache *pc,
			   const struct megaflow *mf, const struct flow_key *key)
{
	const uint8_t *k = (const uint8_t *)key, *mask = pc->mask0[mf->mask_idx];
	uint64_t differ = 0;

	for (unsigned w = 0; w < FLOW_LINE_BYTES; w += 8) {
		uint64_t a, v, m;

		memcpy(&a, k + w, 8);
		memcpy(&v, mf->key + w, 8);
		memcpy(&m, mask + w, 8);
		differ |= (a ^ v) & m;
	}
	return !differ && mf->stamp == (uint32_t)t->version && mf->out_port &&
	       !(mf->flags & MF_FLAT) &&
	       (SL_LIKELY(!(mf->flags & MF_HAS_EXT)) || megaflow_ext_matches(mf, key));
}

/* Tracks what it can; the key becomes that of the second look-up. */
static unsigned track(struct burst *b, struct exec_ct *c, const struct conntrack_hint *const *hint,
		      unsigned i, unsigned end, bool ct_line, struct lane_packet *out)
{
	be16_t zone = cpu_to_be16((uint16_t)c->q.context);

	for (; i < end && hint[i]; i++) {
		struct flow_key *k = &b->key[i];

		exec_ct_point(c, b->pkt[i], &b->ofs[i], hint[i]);
		out[i].conn = conntrack_steady(&c->q, &out[i].state);
		if (SL_UNLIKELY(!out[i].conn))
			break;
		k->recirc_id = c->recirc_id;
		k->ct_zone = zone;
		k->ct_state = out[i].state;
		k->ct_mark = cpu_to_be32(out[i].conn->mark);
		if (ct_line)
			exec_ct_put_line(k, out[i].conn);
	}
	return i;
}

/* Packets [first, end) of one megaflow, with n bytes. */
static void send_run(struct poll_thread *t, struct burst *b, struct megaflow *mf, unsigned first,
		     unsigned end)
{
	uint64_t bytes = 0;

	if (SL_UNLIKELY(t->observing != NULL))
		observer_running(t->observing, &mf->info->origin, LEVEL_FAST);
	for (unsigned k = first; k < end; k++) {
		bytes += b->pkt[k]->pkt_len;
		if (mf->flags & MF_REWRITE)
			hits_rewrite(mf, b->pkt[k], &b->ofs[k]);
	}
	exec_output_burst(t->exec, b->pkt + first, end - first, mf->out_port);
	counter_add(&mf->pkts, end - first);
	counter_add(&mf->bytes, bytes);
	mf->used_ms = t->now_ms;
}

/* What has been tracked but has to be looked up goes round. */
static void go_round(struct poll_thread *t, struct burst *b, uint32_t in_port,
		     const struct exec_ct *c, const struct lane_packet *lane, unsigned i,
		     unsigned end)
{
	for (; i < end; i++) {
		struct packet *p = exec_ct_next(t->exec);

		*p = (struct packet){.m = b->pkt[i],
				     .ofs = b->ofs[i],
				     .has_ofs = true,
				     .key = &b->key[i],
				     .key_whole = b->depth == DEPTH_FULL,
				     .s.in_port = in_port};
		exec_ct_tracked(t->exec, c, p, lane[i].conn, lane[i].state);
	}
}

unsigned ct_lane_run(struct poll_thread *t, struct burst *b, uint32_t in_port, struct exec_ct *c,
		     const struct conntrack_hint *const *hint, unsigned i, unsigned end)
{
	const struct port_cache *pc = flow_cache_port(t->cache, in_port);
	struct port_counters *counters = counters_of(t->idx, in_port);
	struct lane_packet lane[BURST_MAX];
	struct megaflow *mf = NULL;
	unsigned first = i, run = i;

	_Static_assert((int)BURST_MAX <= (int)RECIRC_MAX, "there is room to go round");
	end = track(b, c, hint, i, end, pc->relevant.lines & 1u << FLOW_LINE_CT, lane);
	for (; i < end; i++) {
		struct megaflow *now = *slot_of(t, in_port, c->recirc_id, lane[i].state);

		if (SL_UNLIKELY(!now || !matches(t, pc, now, &b->key[i])))
			break;
		if (now == mf)
			continue;
		if (mf)
			send_run(t, b, mf, run, i);
		mf = now;
		run = i;
	}
	if (mf)
		send_run(t, b, mf, run, i);
	if (counters && i > first) {
		counter_add(&counters->sent, i - first);
		counter_add(&counters->cache_hits, i - first);
	}
	t->cache->sig_hits += i - first;
	go_round(t, b, in_port, c, lane, i, end);
	return end;
}
