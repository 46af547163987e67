/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors of receive queues: asked now and then while busy (taps and the like are read only
 * when they say so), and waited for when there is nothing to do at all. The epoll_wait here is the
 * only blocking call of a poll thread; it is made RCU-offline and with no version held. */
#include "datapath/poll/poll_priv.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "datapath/base/clock.h"
#include "datapath/core/rcu.h"

enum {
	EVENTS = 64,
	HOUSEKEEPING_MS = 500, /* a sleep never lasts longer: expiry goes on */
	SILENT_MAX = 3,        /* an interrupt that was missing so often in a row is not believed */
	WAKES_EMPTY_MAX = 200, /* a driver's descriptor that says so often packets where none are */
};

static void add_fd(struct poll_thread *t, int fd, void *ptr)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = ptr};

	if (epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 && errno == EEXIST)
		epoll_ctl(t->epoll_fd, EPOLL_CTL_MOD, fd, &ev);
}

/* Descriptors come and go with guests and queue moves: what is in epoll follows the list. */
static void follow(struct poll_thread *t, const struct rxq_list *l)
{
	bool new_list = t->epoll_gen != l->gen;

	if (new_list) {
		close(t->epoll_fd);
		t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		add_fd(t, t->wake_fd, NULL);
		t->epoll_gen = l->gen;
	}
	for (unsigned i = 0; i < l->n; i++) {
		struct rxq *r = l->at[i];
		int fd = r->port->class->rx_fd ? r->port->class->rx_fd(r->port, r->q) : -1;

		if (fd >= 0 && fd == r->dead_fd)
			fd = -1;
		if (fd == r->fd && !new_list)
			continue;
		if (!new_list && r->fd >= 0)
			epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, r->fd, NULL);
		r->fd = fd;
		if (fd >= 0)
			add_fd(t, fd, r);
	}
}

static void give_up(struct poll_thread *t, struct rxq *r)
{
	epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, r->fd, NULL);
	r->dead_fd = r->fd;
	r->fd = -1;
}

/* An error and nothing to read: a packet socket remembers that its interface went down until
 * somebody asks, and would keep the thread awake for nothing; asking clears it. A tap that is gone
 * stays in error for good: it is not listened to any more. True: the event says nothing about
 * packets. */
static bool settle_error(struct poll_thread *t, const struct epoll_event *ev)
{
	struct rxq *r = ev->data.ptr;
	socklen_t len = sizeof(int);
	int error;

	if (!r || (ev->events & EPOLLIN) || !(ev->events & (EPOLLERR | EPOLLHUP)))
		return false;
	if (!getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		return true;
	give_up(t, r);
	r->ready = false;
	return true;
}

/* A driver's descriptor has woken us: were there packets the times before? */
static void judge_wake(struct poll_thread *t, struct rxq *r)
{
	r->wakes_empty = r->pkts == r->pkts_at_wake ? r->wakes_empty + 1 : 0;
	r->pkts_at_wake = r->pkts;
	r->fired = true;
	if (r->wakes_empty == WAKES_EMPTY_MAX)
		give_up(t, r);
}

static void take_events(struct poll_thread *t, const struct epoll_event *ev, int n, bool current)
{
	for (int i = 0; i < n; i++) {
		struct rxq *r = ev[i].data.ptr;
		uint64_t v;

		if (r && !current)
			continue;
		if (settle_error(t, &ev[i]))
			continue;
		if (r) {
			r->ready = t->events_seen = true;
			if (r->port->rx_wake != PORT_WAKE_SURE)
				judge_wake(t, r);
		} else if (read(t->wake_fd, &v, sizeof v) < 0) {
			continue;
		}
	}
}

void sleep_check_events(struct poll_thread *t, const struct rxq_list *l, int timeout_ms)
{
	struct epoll_event ev[EVENTS];

	/* Asked of all queues once a millisecond: 500 of them are 1,000 cache lines. */
	if (t->event_gen != l->gen || t->event_ms != t->now_ms) {
		t->event_gen = l->gen;
		t->event_ms = t->now_ms;
		t->has_event_queues = false;
		for (unsigned i = 0; i < l->n && !t->has_event_queues; i++)
			t->has_event_queues = l->at[i]->port->poll_on_event;
		if (t->has_event_queues)
			follow(t, l);
	}
	if (!t->has_event_queues)
		return;
	int n = epoll_wait(t->epoll_fd, ev, EVENTS, timeout_ms);
	for (int i = 0; i < n; i++) {
		struct rxq *r = ev[i].data.ptr;

		if (settle_error(t, &ev[i]))
			continue;
		/* A kick of a queue that is polled anyway is left for the sleep to consume. */
		if (r && r->port->poll_on_event)
			r->ready = t->events_seen = true;
	}
}

/* May the thread sleep until this queue's descriptor wakes it? A device whose interrupt does not
 * come would keep its packets waiting for ever, so it has to show one first. */
static bool believed(struct rxq *r)
{
	if (r->port->rx_wake != PORT_WAKE_INTERRUPT)
		return true;
	if (r->fired && r->pkts != r->pkts_at_wake) {
		r->proven = true;
		r->silent = 0;
	}
	r->fired = false;
	return r->proven && r->silent < SILENT_MAX;
}

/* False: a queue has packets; it is polled next, however many silent ones there are. */
static bool arm(struct poll_thread *t, const struct rxq_list *l, bool *blind)
{
	*blind = false;
	for (unsigned i = 0; i < l->n; i++) {
		struct rxq *r = l->at[i];

		r->armed = false;
		if (r->q >= __atomic_load_n(&r->port->n_rxq, __ATOMIC_ACQUIRE))
			continue;
		if (r->fd < 0) {
			/* A driver's that was given up is polled again; a dead tap is not. */
			*blind |= r->dead_fd < 0 || r->port->rx_wake != PORT_WAKE_SURE;
			continue;
		}
		*blind |= !believed(r);
		if (r->port->class->rx_arm) {
			r->armed = true;
			if (!r->port->class->rx_arm(r->port, r->q)) {
				r->ready = t->events_seen = true;
				return false;
			}
		}
	}
	return true;
}

static void disarm(const struct rxq_list *l, bool slept)
{
	for (unsigned i = 0; i < l->n; i++) {
		struct rxq *r = l->at[i];

		/* Packets and no interrupt: a proven one may just be under way. */
		if (slept && r->proven && r->armed && !r->fired &&
		    !r->port->class->rx_arm(r->port, r->q))
			r->silent++;
		if (r->armed && r->port->class->rx_disarm)
			r->port->class->rx_disarm(r->port, r->q);
		r->armed = false;
	}
}

bool sleep_until_work(struct poll_thread *t, const struct rxq_list *l)
{
	struct epoll_event ev[EVENTS];
	uint64_t start = rte_rdtsc(), gen = l->gen;
	bool blind;
	int n = 0;

	/* What was changed before a call that is forgotten here is looked at below; a later call is
	 * seen before the sleep. */
	(void)__atomic_exchange_n(&t->called, false, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&t->rxqs, __ATOMIC_ACQUIRE) != l)
		return true;
	follow(t, l);
	if (!arm(t, l, &blind)) {
		disarm(l, false);
		return true;
	}
	__atomic_store_n(&t->asleep, true, __ATOMIC_SEQ_CST);
	version_idle(t->idx);
	rcu_thread_offline(t->idx);
	if (!__atomic_load_n(&t->called, __ATOMIC_SEQ_CST) && rte_ring_empty(t->inject) &&
	    rte_ring_empty(t->commands) && !__atomic_load_n(&t->stop, __ATOMIC_SEQ_CST)) {
		uint32_t max_us = __atomic_load_n(&poll_sleep_us_shared, __ATOMIC_RELAXED);
		/* Ports without a descriptor are looked at every max_us: that bounds how long the
		 * first packet after idle waits, and costs an idle core one timer each
		 * (docs/decisions/ports.md). Ports with a descriptor cost nothing. */
		uint64_t us = blind ? max_us : HOUSEKEEPING_MS * 1000ull;
		struct timespec ts = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};

		n = epoll_pwait2(t->epoll_fd, ev, EVENTS, &ts, NULL);
	}
	rcu_thread_online(t->idx);
	__atomic_store_n(&t->asleep, false, __ATOMIC_SEQ_CST);
	version_burst_begin(t->idx);
	/* The list, and queues of ports that went, may have been freed while we were offline: then
	 * what epoll said is about the old list, and only queues still ours are disarmed. */
	const struct rxq_list *now = __atomic_load_n(&t->rxqs, __ATOMIC_ACQUIRE);
	take_events(t, ev, n, now->gen == gen);
	disarm(now, true);
	t->now_tsc = t->last_event_tsc = rte_rdtsc(); /* descriptors have just been asked */
	counter_add(&t->sleeps, 1);
	counter_add(&t->sleep_us, (t->now_tsc - start) * 1000000 / poll_tsc_hz);
	counter_add(&t->cycles_total, t->now_tsc - start);
	counter_add(&t->stage_cycles[STAGE_IDLE], t->now_tsc - start);
	if (n > 0)
		t->last_work_tsc = t->now_tsc;
	return n > 0;
}

void poll_wake(struct poll_thread *t)
{
	uint64_t one = 1;

	/* A thread that is not asleep yet sees this before it is; one that is, the descriptor. */
	__atomic_store_n(&t->called, true, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&t->asleep, __ATOMIC_SEQ_CST) &&
	    write(t->wake_fd, &one, sizeof one) < 0) {
		/* The counter is full: it is readable, which is all that is wanted. */
	}
}
