/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/server/loop.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/in_step.h"
#include "datapath/core/rcu.h"
#include "datapath/observe/record.h"

enum { BATCH = 64, HURRY_MS = 1, WAIT_MAX_MS = 10, EXPECT_US = 300 };
enum {
	RCU_CALLS = 8,
	RCU_IDLE_US = 50,    /* between two looks at the descriptors, while they are silent */
	RCU_BUSY_US = 2000,  /* at most, after work for others that took as long */
	RCU_BUSY_SKIPS = 8,  /* iterations with work after each other that reclaim nothing */
	RCU_ROUNDS_MAX = 512 /* while something is recorded, time stands still */
};

static int epoll_fd = -1;
static bool running;
static struct epoll_event batch[BATCH]; /* entries of removed watchers are cleared */
static int batch_len;
static struct list timers;
static unsigned hurry;
static bool (*each)(uint64_t now_ms);
static void (*at_end)(void); /* while something is recorded */
static bool each_has_more, rcu_has_more;

/* Posted calls: pushed by any thread, taken whole by the main thread. */
static pthread_mutex_t posted_lock = PTHREAD_MUTEX_INITIALIZER;
static struct loop_post *posted, **posted_last = &posted;
static struct loop_fd posted_watch = {.fd = -1};

static void run_posted(struct loop_fd *w, uint32_t events)
{
	uint64_t n;
	ssize_t got = read(w->fd, &n, sizeof n);

	(void)got; /* EAGAIN: somebody took it already; the list says what there is */
	pthread_mutex_lock(&posted_lock);
	struct loop_post *p = posted;
	posted = NULL;
	posted_last = &posted;
	pthread_mutex_unlock(&posted_lock);
	while (p) {
		struct loop_post *next = p->next;

		p->fn(p); /* may free p */
		p = next;
	}
}

void loop_post(struct loop_post *p)
{
	const uint64_t one = 1;

	p->next = NULL;
	pthread_mutex_lock(&posted_lock);
	*posted_last = p;
	posted_last = &p->next;
	pthread_mutex_unlock(&posted_lock);
	ssize_t n = write(posted_watch.fd, &one, sizeof one);
	(void)n; /* EAGAIN: the counter is full, so the main thread will wake anyway */
}

int loop_init(struct err *e)
{
	list_init(&timers);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	posted_watch.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	posted_watch.fn = run_posted;
	if (epoll_fd < 0 || posted_watch.fd < 0 || loop_add(&posted_watch, EPOLLIN))
		return err_set(e, errno, "event loop: %s", strerror(errno));
	return 0;
}

void loop_destroy(void)
{
	run_posted(&posted_watch, 0);
	close(posted_watch.fd);
	close(epoll_fd);
	posted_watch.fd = epoll_fd = -1;
}

int loop_add(struct loop_fd *w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, w->fd, &ev) ? -errno : 0;
}

void loop_change(struct loop_fd *w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	epoll_ctl(epoll_fd, EPOLL_CTL_MOD, w->fd, &ev);
}

void loop_remove(struct loop_fd *w)
{
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	for (int i = 0; i < batch_len; i++)
		if (batch[i].data.ptr == w)
			batch[i].data.ptr = NULL;
}

void loop_timer_start(struct loop_timer *t, uint64_t period_ms, void (*fn)(uint64_t now_ms))
{
	if (t->fn)
		list_remove(&t->link);
	t->period_ms = period_ms;
	t->due_ms = clock_mono_ms() + period_ms;
	t->fn = fn;
	list_push_back(&timers, &t->link);
}

void loop_timer_stop(struct loop_timer *t)
{
	if (t->fn)
		list_remove(&t->link);
	t->fn = NULL;
}

static int next_timeout_ms(void)
{
	uint64_t now = clock_mono_ms(), due = now + WAIT_MAX_MS;

	if (each_has_more || rcu_has_more)
		return 0;

	LIST_FOR_EACH (t, struct loop_timer, link, &timers)
		due = SL_MIN(due, t->due_ms);
	int wait = due > now ? (int)(due - now) : 0;

	return hurry ? SL_MIN(wait, HURRY_MS) : wait;
}

static void run_timers(void)
{
	uint64_t now = clock_mono_ms();
	unsigned i = 0;

	LIST_FOR_EACH_SAFE (t, struct loop_timer, link, &timers) {
		unsigned number = i++;

		if (t->due_ms > now)
			continue;
		if (record_on())
			record_number(REC_TIMER, number);
		/* After a stall one run is enough: no catching up. */
		t->due_ms = now + t->period_ms;
		t->fn(now);
	}
}

/* Taking a rule out of its classifier costs microseconds, and a million may have gone at once. A
 * client that waits for each answer would find the thread reclaiming whenever it asks, so this is
 * done while the descriptors are silent, with a look at them every RCU_IDLE_US (slices of 2 ms held
 * lock-step clients down to 400 rules/s), and beside constant work for as long as that takes: what
 * waits stays bounded. */
static void reclaim(bool idle, uint64_t began_us)
{
	static uint64_t busy_us;
	static unsigned skipped;
	uint64_t now = clock_mono_us(), until = now + RCU_IDLE_US;
	unsigned rounds = 0;

	if (!idle) {
		busy_us += now - began_us;
		if (busy_us < RCU_IDLE_US && ++skipped < RCU_BUSY_SKIPS && !record_on())
			return;
		until = now + SL_MIN(busy_us, RCU_BUSY_US);
	}
	busy_us = 0;
	skipped = 0;
	do
		rcu_has_more = rcu_run(RCU_CALLS) == RCU_CALLS;
	while (rcu_has_more && clock_mono_us() < until && ++rounds < RCU_ROUNDS_MAX);
	if (record_is_live()) {
		uint64_t n = rcu_take_calls();

		if (n)
			record_number(REC_RECLAIM, n);
	}
}

bool loop_replay_timer(uint64_t number)
{
	LIST_FOR_EACH_SAFE (t, struct loop_timer, link, &timers) {
		if (number--)
			continue;
		t->fn(clock_mono_ms());
		return true;
	}
	return false;
}

void loop_replay_each(void)
{
	each(clock_mono_ms());
}

static struct in_step asker = {.limit_us = EXPECT_US};
static bool expects;

void loop_expect(void)
{
	expects = true;
}

static bool look(void *n)
{
	*(int *)n = epoll_wait(epoll_fd, batch, BATCH, 0);
	return *(int *)n;
}

static int sleep_for_events(void)
{
	int timeout = next_timeout_ms(), n = 0;
	uint64_t began_us;

	if (!expects || !timeout)
		return epoll_wait(epoll_fd, batch, BATCH, timeout);
	expects = false;
	began_us = in_step_now_us();
	if (!in_step_spin(&asker, look, &n))
		n = epoll_wait(epoll_fd, batch, BATCH, timeout);
	in_step_waited(&asker, began_us);
	return n;
}

void loop_run(void)
{
	running = true;
	while (running) {
		batch_len = sleep_for_events();
		bool idle = !batch_len;
		record_main_begin();
		rcu_main_enter();
		uint64_t began_us = clock_mono_us();
		for (int i = 0; i < batch_len; i++) {
			struct loop_fd *w = batch[i].data.ptr;

			if (w)
				w->fn(w, batch[i].events);
		}
		batch_len = 0;
		run_timers();
		if (record_on())
			record_simple(REC_EACH);
		each_has_more = each && each(clock_mono_ms());
		reclaim(idle, began_us);
		if (record_is_live() && at_end)
			at_end();
		rcu_main_leave();
		record_main_end();
	}
}

void loop_stop(void)
{
	running = false;
}

void loop_at_end(void (*fn)(void))
{
	at_end = fn;
}

void loop_each(bool (*fn)(uint64_t now_ms))
{
	each = fn;
}

void loop_hurry_begin(void)
{
	hurry++;
}

void loop_hurry_end(void)
{
	hurry--;
}
