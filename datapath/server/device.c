/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/server/device.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/observe/record.h"

static pthread_t thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static struct list queue = {&queue, &queue}; /* under lock */
static bool stopping;                        /* under lock */
static bool started;                         /* main */
static size_t pending;                       /* main */

static void finish(struct loop_post *p)
{
	struct device_job *j = SL_CONTAINER_OF(p, struct device_job, post);

	pending--;
	if (record_on())
		record_simple(REC_DEVICE);
	j->done(j);
}

static void *run(void *aux)
{
	pthread_mutex_lock(&lock);
	for (;;) {
		while (list_is_empty(&queue) && !stopping)
			pthread_cond_wait(&wake, &lock);
		if (list_is_empty(&queue))
			break;
		struct device_job *j = LIST_ITEM(list_pop_front(&queue), struct device_job, link);
		pthread_mutex_unlock(&lock);
		j->run(j);
		j->post.fn = finish;
		loop_post(&j->post);
		pthread_mutex_lock(&lock);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

int device_start(struct err *e)
{
	sigset_t all, old;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int rc = pthread_create(&thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		return err_set(e, rc, "device thread: %s", strerror(rc));
	pthread_setname_np(thread, "device");
	started = true;
	return 0;
}

void device_submit(struct device_job *j)
{
	pending++;
	pthread_mutex_lock(&lock);
	list_push_back(&queue, &j->link); /* replay: where device_replay_one() finds it */
	pthread_cond_signal(&wake);
	pthread_mutex_unlock(&lock);
}

bool device_replay_one(void)
{
	if (list_is_empty(&queue))
		return false;
	struct device_job *j = LIST_ITEM(list_pop_front(&queue), struct device_job, link);

	j->run(j);
	finish(&j->post);
	return true;
}

size_t device_pending(void)
{
	return pending;
}

void device_stop(void)
{
	if (!started)
		return;
	pthread_mutex_lock(&lock);
	stopping = true;
	pthread_cond_signal(&wake);
	pthread_mutex_unlock(&lock);
	pthread_join(thread, NULL);
	started = false;
}
