/* SPDX-License-Identifier: BSD-3-Clause */
/* Read-copy-update on rte_rcu_qsbr. Poll threads are readers: between two rcu_quiescent() calls
 * everything they loaded stays allocated. Writers (main thread, or a lock holder) unlink, then
 * defer. Readers never block; writers never wait for them except in rcu_synchronize(), which only
 * the device thread and shutdown use. */
#pragma once
#include "datapath/base/util.h"

void rcu_init(void);                          /* main, before any thread */
void rcu_thread_online(unsigned thread_idx);  /* poll thread: start, after a sleep */
void rcu_thread_offline(unsigned thread_idx); /* poll thread: before a sleep, at exit */
void rcu_quiescent(unsigned thread_idx);      /* poll thread: holds no reference now */
void rcu_defer(void (*fn)(void *), void *p); /* any thread but poll threads in a burst: fn(p) on the
						main thread after a grace period */
void rcu_free_later(void *p);                /* rcu_defer(free, p) */
/* The same for calls whose time can be seen in what packets meet: a rule that is still linked is in
 * masks, a cache entry holds contexts. A recording has how many of them were made when. */
void rcu_defer_noted(void (*fn)(void *), void *p);
void rcu_note_calls(bool on);         /* main, live; on: while idle */
bool rcu_calls_are_noted(void);       /* main: so it is, or they are held */
uint64_t rcu_take_calls(void);        /* made since the last time */
void rcu_hold_calls(void);            /* main, replay: from now on they wait … */
void rcu_run_held(uint64_t n);        /* … for this, oldest first */
unsigned rcu_run(unsigned max_calls); /* main: run what is due; returns how many */
bool rcu_is_idle(void);               /* main: nothing is put off */
void rcu_synchronize(void);           /* not a poll thread; blocks for a grace period */

/* For memory that poll threads themselves use again, without a call on the main thread: the moment
 * after which nobody who could find a thing finds it. Between enter and leave the main thread is a
 * reader of such memory; nobody ever waits for it. */
struct rcu_moment {
	uint64_t token, round;
};
struct rcu_moment rcu_now(void); /* any thread, after unlinking */
/* Has every thread been quiescent since? Any thread. */
bool rcu_has_passed(const struct rcu_moment *m);
void rcu_main_enter(void); /* main: begins to look at things */
void rcu_main_leave(void); /* main: holds no reference now */

#define rcu_load(pp)     __atomic_load_n((pp), __ATOMIC_ACQUIRE)
#define rcu_store(pp, v) __atomic_store_n((pp), (v), __ATOMIC_RELEASE)
