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
		VEC_FOR_EACH (c, &t->changes)
			if (!c->match && c->kind == kind && c->dep == dep)
				return;
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

bool txn_reclaim(uint64_t told)
{
	VEC(struct later) taken = {0};

	version_lock();
	for (size_t end = handed + txn_slice(waiting.len - handed);
	     handed < end && waiting.at[handed].events <= told; handed++)
		vec_push(&taken, waiting.at[handed]);
	forget_handed();
	bool more = waiting.len;
	version_unlock();
	/* Outside the lock: without poll threads the calls are made at once, and may take it. */
	VEC_FOR_EACH (l, &taken)
		rcu_defer_noted(l->fn, l->p);
	vec_free(&taken);
	return more;
}
