/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the poll threads and the observers: which probes are in use, and what a thread tells its
 * observer about look-ups. The first part is main's, the second the poll thread's, which comes here
 * only while somebody watches. */
#include <errno.h>
#include <stdlib.h>

#include "datapath/poll/poll_priv.h"

/* ---- main ---- */

static const struct probe_set *probes; /* W: main (release)  R: threads (acquire) */
static journal_sink *sink;
static void *sink_aux;

static int prepare(struct poll_thread *t)
{
	if (!t->observer && !(t->observer = observer_create()))
		return -ENOMEM;
	if (!t->journal)
		t->journal = journal_create(t->observer);
	return 0;
}

int poll_observe(const struct probe_set *set)
{
	for (unsigned i = 0; set && i < POLL_THREADS_MAX; i++)
		if (poll_thread_at[i] && prepare(poll_thread_at[i]))
			return -ENOMEM;
	__atomic_store_n(&probes, set, __ATOMIC_RELEASE);
	poll_command_all(COMMAND_OBSERVE, 0);
	return 0;
}

void poll_observe_sink(journal_sink *fn, void *aux)
{
	sink = fn;
	sink_aux = aux;
}

void poll_observe_drain(uint64_t now_ms, bool all)
{
	for (unsigned i = 0; i < POLL_THREADS_MAX; i++)
		if (poll_thread_at[i] && poll_thread_at[i]->journal)
			journal_drain(poll_thread_at[i]->journal, probes, now_ms, all, sink,
				      sink_aux);
}

void poll_observe_counts(unsigned slot, uint32_t probe_id, uint64_t *seen, uint64_t *lost)
{
	*seen = *lost = 0;
	for (unsigned i = 0; i < POLL_THREADS_MAX; i++) {
		const struct observer *o = poll_thread_at[i] ? poll_thread_at[i]->observer : NULL;

		if (!o || __atomic_load_n(&o->probe_id[slot], __ATOMIC_ACQUIRE) != probe_id)
			continue;
		*seen += __atomic_load_n(&o->seen[slot], __ATOMIC_RELAXED);
		*lost += __atomic_load_n(&o->lost[slot], __ATOMIC_RELAXED);
	}
}

/* A new thread watches what the others watch; without memory for it, it does not. */
void watch_thread_join(struct poll_thread *t)
{
	if (probes && !prepare(t))
		watch_command(t);
}

void watch_thread_free(struct poll_thread *t)
{
	if (t->journal && sink)
		journal_drain(t->journal, probes, 0, true, sink, sink_aux);
	journal_destroy(t->journal);
	observer_destroy(t->observer);
}

/* ---- poll thread ---- */

void watch_command(struct poll_thread *t)
{
	const struct probe_set *set = __atomic_load_n(&probes, __ATOMIC_ACQUIRE);
	bool began = !t->observing && set;

	if (!t->observer)
		return;
	observer_use(t->observer, set);
	t->observing = t->exec->observer = set ? t->observer : NULL;
	exec_watch(t->exec);
	if (!began)
		return;
	/* Packets from before carry no mark yet. */
	for (unsigned i = 0; i < t->n_miss_list; i++) {
		const struct miss_queue *q = t->miss[t->miss_list[i]];

		for (unsigned k = 0; k < q->n; k++)
			observer_clear_mark(q->pkt[(q->head + k) % MISS_QUEUE_PKTS]);
	}
}

void watch_hits(struct poll_thread *t, struct burst *b, uint32_t in_port)
{
	for (unsigned i = 0; t->observing->live && i < b->n; i++) {
		const struct mf_info *info;

		if (!packet_is_marked(b->pkt[i]) || !b->mf[i])
			continue;
		info = b->mf[i]->info;
		struct packet_mark *mark = packet_mark_of(b->pkt[i]);
		if (!mark->token) {
			mark->origin = &info->origin;
			mark->level = b->probed >> i & 1 ? LEVEL_MASK : LEVEL_FAST;
			continue;
		}
		const struct observed_lookup l = {
			.level = b->probed >> i & 1 ? LEVEL_MASK : LEVEL_FAST,
			.origin = &info->origin,
			.prog = info->prog,
			.version = t->version,
		};
		observer_lookup(t->observing, b->pkt[i], in_port, &l);
	}
}

static void tell(struct poll_thread *t, struct packet *p, struct observed_lookup *l)
{
	l->version = t->version;
	l->recirc_id = p->s.recirc_id;
	l->ct_state = p->s.ct_state;
	l->ct_zone = p->s.ct_zone;
	l->ct_mark = p->s.ct_mark;
	observer_lookup(t->observing, p->m, p->s.in_port, l);
}

void watch_settled(struct poll_thread *t, struct packet *p, const struct flow_key *key,
		   enum cache_level level, const struct mf_info *info)
{
	struct observed_lookup l = {
		.level = level,
		.origin = &info->origin,
		.key = key,
		.prog = info->prog,
	};

	tell(t, p, &l);
}

void watch_resolved(struct poll_thread *t, struct packet *p, const struct flow_key *key,
		    const struct resolve_result *r, const struct program *prog,
		    enum cache_level level)
{
	struct observed_lookup l = {
		.level = level,
		.origin = observer_keep(t->observing, &r->origin),
		.key = key,
		.prog = prog,
	};

	tell(t, p, &l);
}
