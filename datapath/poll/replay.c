/* SPDX-License-Identifier: BSD-3-Clause */
/* What a recording has of poll threads, and playing it again: the same functions that the loop of
 * thread.c calls, on threads that are only a state. Main thread. */
#include <errno.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/core/thread.h"
#include "datapath/observe/record.h"
#include "datapath/poll/poll_priv.h"

static struct poll_thread *playing; /* whose slot it is */

static void restart(struct poll_thread *t)
{
	uint64_t ms = clock_mono_ms();

	poll_run_commands(t);
	flow_cache_restart(t->cache, t->cache->key, (uint32_t)ms);
	t->now_ms = (uint32_t)ms;
	t->exec->now_ms = ms;
	t->n_suspects = 0;
	t->audit_in = AUDIT_EVERY_DEFAULT;
	t->audit_at = 0;
	memset(t->after_ct, 0, sizeof t->after_ct);
}

void poll_record_restart(void)
{
	for (unsigned i = 0; i < POLL_THREADS_MAX; i++)
		if (poll_thread_at[i])
			restart(poll_thread_at[i]);
}

bool poll_record_is_idle(void)
{
	for (unsigned i = 0; i < POLL_THREADS_MAX; i++)
		if (poll_thread_at[i] && !rte_ring_empty(poll_thread_at[i]->inject))
			return false;
	return true;
}

static void record_held(const struct poll_thread *t)
{
	for (unsigned i = 0; i < t->n_miss_list; i++) {
		const struct miss_queue *q = t->miss[t->miss_list[i]];

		for (unsigned k = 0; k < q->n; k++) {
			struct recording *r = record_begin(REC_HELD);

			if (!r)
				return;
			recording_put(r, t->idx);
			recording_put(r, q->port_id);
			record_packet(r, q->pkt[(q->head + k) % MISS_QUEUE_PKTS]);
			record_end();
		}
	}
}

void poll_record_threads(void)
{
	for (unsigned i = 0; i < POLL_THREADS_MAX; i++) {
		const struct poll_thread *t = poll_thread_at[i];
		struct recording *r = t ? record_begin(REC_THREAD) : NULL;

		if (!r)
			continue;
		recording_put(r, t->idx);
		recording_put(r, t->core);
		for (unsigned k = 0; k < SL_ARRAY_SIZE(t->cache->key); k++)
			recording_put(r, t->cache->key[k]);
		record_end();
	}
}

void poll_record_held(void)
{
	for (unsigned i = 0; i < POLL_THREADS_MAX; i++)
		if (poll_thread_at[i])
			record_held(poll_thread_at[i]);
}

/* ---- replay ---- */

int poll_replay_thread(struct rec_in *in, struct err *e)
{
	uint64_t idx = rec_in_u64(in), core = rec_in_u64(in), key[4];

	for (unsigned i = 0; i < SL_ARRAY_SIZE(key); i++)
		key[i] = rec_in_u64(in);
	if (in->bad || idx >= POLL_THREADS_MAX || core > UINT16_MAX || poll_thread_at[idx])
		return err_set(e, EINVAL, "no thread that can be");
	int rc = poll_start_thread((unsigned)idx, (uint16_t)core, e);
	if (!rc)
		flow_cache_restart(poll_thread_at[idx]->cache, key, 0);
	return rc;
}

int poll_replay_held(struct rec_in *in, struct err *e)
{
	uint64_t idx = rec_in_u64(in), port_id = rec_in_u64(in);
	struct rte_mbuf *m = record_read_packet(in);

	if (!m || idx >= POLL_THREADS_MAX || !poll_thread_at[idx] || !port_id ||
	    port_id >= PORT_ID_MAX) {
		rte_pktmbuf_free(m);
		return err_set(e, m || in->bad ? EINVAL : ENOBUFS,
			       m || in->bad ? "no packet that can be" : "no packet buffer is free");
	}
	miss_enqueue(poll_thread_at[idx], (uint32_t)port_id, m);
	return 0;
}

bool poll_replay_begin(unsigned thread_idx)
{
	playing = thread_idx < POLL_THREADS_MAX ? poll_thread_at[thread_idx] : NULL;
	if (!playing)
		return false;
	sl_thread_idx = thread_idx;
	playing->version = playing->exec->version = version_burst_begin(thread_idx);
	return true;
}

int poll_replay_rx(struct rec_in *in, unsigned *n_out, struct err *e)
{
	uint64_t port_id = rec_in_u64(in), n = rec_in_u64(in);
	unsigned got = 0;

	if (in->bad || !port_id || port_id >= PORT_ID_MAX || n > BURST_MAX)
		return err_set(e, EINVAL, "no burst that can be");
	for (; got < n; got++) {
		playing->burst.pkt[got] = record_read_packet(in);
		if (!playing->burst.pkt[got])
			break;
	}
	if (got < n) {
		rte_pktmbuf_free_bulk(playing->burst.pkt, got);
		return err_set(e, in->bad ? EINVAL : ENOBUFS,
			       in->bad ? "no packet that can be" : "no packet buffer is free");
	}
	*n_out = got;
	if (got)
		poll_process(playing, (uint32_t)port_id, got);
	return 0;
}

void poll_replay_sweep(void)
{
	poll_every_ms(playing);
}

void poll_replay_end(void)
{
	struct poll_thread *t = playing;

	poll_finish_iteration(t);
	record_cache(t->idx, t->cache->n_flows, t->cache->n_masks, t->cache->evicted);
	version_idle(t->idx);
	sl_thread_idx = THREAD_MAIN;
	playing = NULL;
}
