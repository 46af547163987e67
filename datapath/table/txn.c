/* SPDX-License-Identifier: BSD-3-Clause */
/* Transactions: steps, changes, and what waits for reclamation. Runs under the version lock. */
#include "datapath/table/txn.h"

#include "datapath/base/clock.h"
#include "datapath/core/rcu.h"
#include "datapath/table/txn_priv.h"

/* Matches that one transaction puts into the log of VERSION_LOG changes. Beyond, a change names its
 * table only: a large transaction concerns most entries anyway, and a log that overran would make
 * every entry be resolved again. */
enum { MATCHES_MAX = VERSION_LOG / 8 };

/* Reclamation: filled under the version lock, taken by tables_run(). */
struct later {
	void (*fn)(void *);
	void *p;
	uint64_t events; /* queued before: they may speak of p */
};
static VEC(struct later) waiting; /* [0, handed) are done with */
static size_t handed;

static void start(struct txn *t)
{
	memset(t, 0, sizeof *t);
	t->version = version_next();
	t->now_ms = clock_mono_ms();
}

void txn_begin(struct txn *t)
{
	version_lock();
	start(t);
}

bool txn_try_begin(struct txn *t)
{
	if (!version_trylock())
		return false;
	start(t);
	return true;
}

void txn_step(struct txn *t, void (*publish)(void *), void (*done)(void *), void (*undo)(void *),
	      void *p)
{
	vec_push(&t->steps, (struct txn_step){publish, done, undo, p});
}

bool txn_keeps_match(const struct txn *t)
{
	return t->n_matches < MATCHES_MAX;
}

void txn_change(struct txn *t, enum change_kind kind, uint32_t bridge_id, uint64_t b,
		struct minimatch *match)
{
	uint64_t dep = kind == CHANGE_ALL ? ~(uint64_t)0 : version_dep(kind, bridge_id, b);

	if (match && t->n_matches >= MATCHES_MAX) {
		free(match);
		match = NULL;
	}
	if (match) {
		t->n_matches++;
	} else {
		/* from the end: in a large transaction the one about this table is among the last
		 */
		for (size_t i = t->changes.len; i-- > 0;) {
			const struct change *c = &t->changes.at[i];

			if (!c->match && c->kind == kind && c->dep == dep)
				return;
		}
	}
	vec_push(&t->changes, (struct change){.kind = kind, .dep = dep, .match = match});
}

static void finish(struct txn *t)
{
	vec_free(&t->steps);
	vec_free(&t->changes);
	version_unlock();
}

uint64_t txn_commit(struct txn *t)
{
	uint64_t v = version_now();

	for (size_t i = 0; i < t->steps.len; i++)
		if (t->steps.at[i].publish)
			t->steps.at[i].publish(t->steps.at[i].p);
	if (t->changes.len || t->steps.len)
		v = version_commit(t->changes.at, t->changes.len);
	for (size_t i = 0; i < t->steps.len; i++)
		if (t->steps.at[i].done)
			t->steps.at[i].done(t->steps.at[i].p);
	finish(t);
	return v;
}

void txn_abort(struct txn *t)
{
	for (size_t i = t->steps.len; i-- > 0;)
		if (t->steps.at[i].undo)
			t->steps.at[i].undo(t->steps.at[i].p);
	VEC_FOR_EACH (c, &t->changes)
		free(c->match);
	finish(t);
}

void txn_later(void (*fn)(void *), void *p)
{
	vec_push(&waiting, (struct later){fn, p, table_events_end()});
}

bool txn_is_idle(void)
{
	return !waiting.len && rcu_is_idle();
}

void txn_settle(void)
{
	do
		txn_reclaim(UINT64_MAX);
	while (rcu_run(UINT32_MAX) || waiting.len);
}

static void forget_handed(void)
{
	size_t left = waiting.len - handed;

	if (!handed || handed < left)
		return;
	memmove(waiting.at, waiting.at + handed, left * sizeof waiting.at[0]);
	waiting.len = left;
	handed = 0;
	if (!left)
		vec_free(&waiting);
}

void txn_slice_begin(struct txn_slice *s, size_t waiting_now)
{
	size_t arrived = waiting_now > s->left ? waiting_now - s->left : 0;

	s->most = waiting_now;
	if (rcu_calls_are_noted()) {
		s->least = SL_MAX(waiting_now / 64, (size_t)512);
		s->most = SL_MIN(s->least, waiting_now);
	} else {
		s->least = SL_MIN(arrived, (size_t)TXN_ARRIVED_MAX);
	}
	if (waiting_now > TXN_BACKLOG) {
		s->least = SL_MAX(s->least, waiting_now - TXN_BACKLOG);
		s->most = SL_MAX(s->most, s->least);
	}
	s->until_us = waiting_now > s->least ? clock_mono_us() + TXN_SLICE_US : 0;
}

size_t txn_slice_next(const struct txn_slice *s, size_t done)
{
	size_t left = s->most - done;

	if (done >= s->least && left && clock_mono_us() >= s->until_us)
		return 0;
	return SL_MIN(left, (size_t)TXN_CHUNK);
}

/* Up to `max` of those whose events were told. */
static unsigned take(struct later *out, size_t max, uint64_t told)
{
	unsigned n = 0;

	version_lock();
	while (n < max && handed < waiting.len && waiting.at[handed].events <= told)
		out[n++] = waiting.at[handed++];
	version_unlock();
	return n;
}

bool txn_reclaim(uint64_t told)
{
	static struct txn_slice slice;
	struct later taken[TXN_CHUNK];
	size_t done = 0, max;

	txn_slice_begin(&slice, waiting.len - handed);
	while ((max = txn_slice_next(&slice, done))) {
		unsigned n = take(taken, max, told);

		/* Outside the lock: without poll threads the calls are made at once, and may take
		 * it. */
		for (unsigned i = 0; i < n; i++)
			rcu_defer_noted(taken[i].fn, taken[i].p);
		done += n;
		if (n < max)
			break;
	}
	version_lock();
	forget_handed();
	txn_slice_end(&slice, waiting.len - handed);
	bool more = waiting.len;
	version_unlock();
	return more;
}
