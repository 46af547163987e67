/* SPDX-License-Identifier: BSD-3-Clause */
/* A transaction over bridges, ports, MAC entries, rules, groups and meters: all or nothing.
 *
 *	struct txn t;
 *	txn_begin(&t);                       takes the version lock
 *	if (bridge_set(&t, …, &e) || flow_mod(&t, …, &e))
 *		txn_abort(&t);               everything as before
 *	else
 *		v = txn_commit(&t);          published at once; then version_wait(v) where needed
 *
 * Every function that changes a table takes a txn, hence runs under the version lock, and sees what
 * earlier calls of the same txn did. Readers see nothing before the commit.
 *
 * Main thread, and poll threads for learn actions (txn_try_begin()). What readers may still hold
 * goes through txn_later(), and news through the queue in table_events.h; tables_run() on the main
 * thread takes both further, so that a poll thread never calls rcu_defer(). */
#pragma once
#include "datapath/base/vec.h"
#include "datapath/core/version.h"

struct txn_step {
	void (*publish)(void *p); /* before the version is published: swap what readers load */
	void (*done)(void *p);    /* after it */
	void (*undo)(void *p);    /* abort: in reverse order of the steps */
	void *p;
};

struct txn {
	uint64_t version; /* what the commit will publish; rules carry it already */
	VEC(struct txn_step) steps;
	VEC(struct change) changes;
	uint32_t n_matches; /* changes that carry a match */
	uint64_t now_ms;    /* clock_mono_ms() unless the caller sets another */
	uint64_t origin; /* of the operation in work: given back with the events it causes; 0: none
			  */
	bool quiet; /* whoever asked for the operation in work knows what becomes of rules: told
		       with the events */
};

void txn_begin(struct txn *t);
bool txn_try_begin(struct txn *t); /* false: somebody else holds the lock */
/* Publishes, frees what t holds, releases the lock. Returns the new version, or the current one
 * when nothing changed. */
uint64_t txn_commit(struct txn *t);
void txn_abort(struct txn *t);

/* For the table code: a step; any of the functions may be NULL. */
void txn_step(struct txn *t, void (*publish)(void *), void (*done)(void *), void (*undo)(void *),
	      void *p);
/* Records a change for version_commit(). `match` is taken (NULL: all of the object). After many
 * matches in one transaction later ones are widened to "anything in that table". */
void txn_change(struct txn *t, enum change_kind kind, uint32_t bridge_id, uint64_t b,
		struct minimatch *match);
/* False: matches are widened from now on; there is no need to make one. */
bool txn_keeps_match(const struct txn *t);

/* Main thread. Nothing is put off, here or in rcu.h. */
bool txn_is_idle(void);
/* Replay: makes all calls that are put off. */
void txn_settle(void);

/* fn(p) on the main thread after a grace period that starts at the next tables_run(). The caller
 * holds the version lock. */
void txn_later(void (*fn)(void *), void *p);
