/* SPDX-License-Identifier: BSD-3-Clause */
/* The main thread's event loop: descriptors on epoll, a few timers, and calls posted by other
 * threads. There is one; everything but loop_post() belongs to the main thread. Nothing that it
 * calls may block for longer than a poll thread's burst: what blocks goes to the device thread
 * (server/device.h). */
#pragma once
#include <sys/epoll.h>

#include "datapath/base/list.h"

struct err;

struct loop_fd { /* embedded in its owner; valid until loop_remove() */
	int fd;
	void (*fn)(struct loop_fd *w, uint32_t events); /* EPOLL* */
};

struct loop_timer { /* embedded; zeroed before first use */
	struct list link;
	uint64_t due_ms, period_ms;
	void (*fn)(uint64_t now_ms);
};

struct loop_post { /* embedded; the poster's until fn runs */
	struct loop_post *next;
	void (*fn)(struct loop_post *p);
};

int loop_init(struct err *e);
void loop_run(void); /* until loop_stop() */
void loop_stop(void);
void loop_destroy(void);

int loop_add(struct loop_fd *w, uint32_t events); /* -errno */
void loop_change(struct loop_fd *w, uint32_t events);
void loop_remove(struct loop_fd *w); /* does not close; no call follows, even in this iteration */

/* First run after one period. */
void loop_timer_start(struct loop_timer *t, uint64_t period_ms, void (*fn)(uint64_t now_ms));
void loop_timer_stop(struct loop_timer *t);

/* Any thread, async-signal unsafe: p->fn(p) runs on the main thread soon. In order per poster. */
void loop_post(struct loop_post *p);

/* Runs in every iteration, at least every 10 ms; true: again at once, there is more to do. */
void loop_each(bool (*fn)(uint64_t now_ms));
/* While something is recorded: called at the end of each round, in its slot. */
void loop_at_end(void (*fn)(void));

/* Replay, where no loop runs: the timer that was started as the number-th (false: there is none),
 * and what runs in every iteration. */
bool loop_replay_timer(uint64_t number);
void loop_replay_each(void);

/* Whoever was just answered may ask again at once: then the loop looks for that a little before it
 * sleeps. */
void loop_expect(void);

/* While held, the loop wakes every millisecond, because somebody waits for a grace period. */
void loop_hurry_begin(void);
void loop_hurry_end(void);
