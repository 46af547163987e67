/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/syncer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "datapath/base/util.h"
#include "datapath/base/vec.h"

struct request {
	int fd; /* first of a batch only, else -1 */
	int rc;
	syncer_cb done;
	void *aux;
};
typedef VEC(struct request) request_vec;

/* Serves one log file. */
struct syncer {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t work;
	int event_fd; /* thread → loop: `finished` has something */
	struct event *event;
	request_vec queued;   /* W:loop R:thread, under mutex */
	request_vec finished; /* W:thread R:loop, under mutex */
	bool stop;            /* W:loop R:thread, under mutex */
};

/* The batch's first request carries the file: one fdatasync answers for all of them. */
static void sync_batch(request_vec *batch)
{
	int fd = batch->at[0].fd;
	int rc = fd < 0 || fdatasync(fd) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	VEC_FOR_EACH (r, batch)
		r->rc = rc;
}

static void *run(void *aux)
{
	struct syncer *s = aux;
	uint64_t one = 1;

	pthread_mutex_lock(&s->mutex);
	while (!s->stop || s->queued.len) {
		if (!s->queued.len) {
			pthread_cond_wait(&s->work, &s->mutex);
			continue;
		}
		request_vec batch = s->queued;
		s->queued = (request_vec){0};
		pthread_mutex_unlock(&s->mutex);
		sync_batch(&batch);
		pthread_mutex_lock(&s->mutex);
		vec_append(&s->finished, batch.at, batch.len);
		vec_free(&batch);
		if (write(s->event_fd, &one, sizeof one) < 0)
			break; /* cannot happen: an eventfd of ours with room */
	}
	pthread_mutex_unlock(&s->mutex);
	return NULL;
}

static void finish(struct syncer *s)
{
	pthread_mutex_lock(&s->mutex);
	request_vec done = s->finished;
	s->finished = (request_vec){0};
	pthread_mutex_unlock(&s->mutex);
	VEC_FOR_EACH (r, &done)
		r->done(r->rc, r->aux);
	vec_free(&done);
}

static void on_event(evutil_socket_t fd, short what, void *aux)
{
	uint64_t n;

	if (read(fd, &n, sizeof n) > 0)
		finish(aux);
}

struct syncer *syncer_create(struct event_base *base)
{
	struct syncer *s = xzalloc(sizeof *s);
	sigset_t all, old;

	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->work, NULL);
	s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->event = event_new(base, s->event_fd, EV_READ | EV_PERSIST, on_event, s);
	event_add(s->event, NULL);
	sigfillset(&all); /* signals are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_create(&s->thread, NULL, run, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return s;
}

void syncer_destroy(struct syncer *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->mutex);
	s->stop = true;
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->mutex);
	pthread_join(s->thread, NULL);
	finish(s);
	event_free(s->event);
	close(s->event_fd);
	pthread_mutex_destroy(&s->mutex);
	pthread_cond_destroy(&s->work);
	free(s);
}

void syncer_request(struct syncer *s, int fd, syncer_cb done, void *aux)
{
	struct request r = {.done = done, .aux = aux};

	pthread_mutex_lock(&s->mutex);
	r.fd = s->queued.len ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	vec_push(&s->queued, r);
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->mutex);
}
