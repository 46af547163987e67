/* SPDX-License-Identifier: BSD-3-Clause */
/* The event loop and the device thread: order, removal in the middle of a batch, timers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "datapath/base/clock.h"
#include "datapath/core/rcu.h"
#include "datapath/server/device.h"
#include "datapath/server/loop.h"

static int setup(void **state)
{
	return loop_init(NULL);
}

static int teardown(void **state)
{
	loop_destroy();
	return 0;
}

/* ---- posts ---- */

enum { POSTS = 1000 };
struct numbered {
	struct loop_post post;
	int i;
};
static struct numbered posts[POSTS];
static int next_post;

static void count_post(struct loop_post *p)
{
	assert_int_equal(SL_CONTAINER_OF(p, struct numbered, post)->i, next_post++);
	if (next_post == POSTS)
		loop_stop();
}

static void *post_all(void *aux)
{
	for (int i = 0; i < POSTS; i++) {
		posts[i] = (struct numbered){.post.fn = count_post, .i = i};
		loop_post(&posts[i].post);
	}
	return NULL;
}

static void posts_keep_their_order(void **state)
{
	pthread_t t;

	next_post = 0;
	assert_int_equal(pthread_create(&t, NULL, post_all, NULL), 0);
	loop_run();
	pthread_join(t, NULL);
	assert_int_equal(next_post, POSTS);
}

/* ---- descriptors ---- */

static struct loop_fd pair[2];
static int fd_calls;

static void remove_the_other(struct loop_fd *w, uint32_t events)
{
	fd_calls++;
	loop_remove(&pair[0]);
	loop_remove(&pair[1]);
	loop_stop();
}

static void a_removed_descriptor_is_not_called(void **state)
{
	for (int i = 0; i < 2; i++) {
		pair[i] = (struct loop_fd){.fd = eventfd(1, EFD_NONBLOCK), .fn = remove_the_other};
		assert_int_equal(loop_add(&pair[i], EPOLLIN), 0);
	}
	fd_calls = 0;
	loop_run(); /* both are ready in one batch */
	assert_int_equal(fd_calls, 1);
	close(pair[0].fd);
	close(pair[1].fd);
}

/* ---- reclamation ---- */

enum { CALLS = 2000, CALL_US = 20 };
static struct loop_fd always;
static int calls_made, rounds;

static void slow_call(void *p)
{
	uint64_t until = clock_mono_us() + CALL_US;

	calls_made++;
	while (clock_mono_us() < until)
		;
}

static void on_always(struct loop_fd *w, uint32_t events)
{
	rounds++;
	if (calls_made == CALLS)
		loop_stop();
}

/* Whoever asks while much is reclaimed does not wait for a large part of it, and what waits is
 * reclaimed though somebody always asks. */
static void reclaiming_gives_way(void **state)
{
	rcu_init();
	calls_made = rounds = 0;
	for (int i = 0; i < CALLS; i++)
		rcu_defer(slow_call, NULL);
	always = (struct loop_fd){.fd = eventfd(1, EFD_NONBLOCK), .fn = on_always};
	assert_int_equal(loop_add(&always, EPOLLIN), 0);
	loop_run();
	assert_int_equal(calls_made, CALLS);
	assert_true(rounds > CALLS / 20);
	loop_remove(&always);
	close(always.fd);
}

/* ---- timers ---- */

static struct loop_timer fast, slow;
static int fast_calls;

static void on_fast(uint64_t now_ms)
{
	if (++fast_calls == 5)
		loop_stop();
}

static void on_slow(uint64_t now_ms)
{
	fail();
}

static void timers_repeat(void **state)
{
	fast_calls = 0;
	loop_timer_start(&fast, 2, on_fast);
	loop_timer_start(&slow, 100000, on_slow);
	loop_run();
	assert_int_equal(fast_calls, 5);
	loop_timer_stop(&fast);
	loop_timer_stop(&slow);
}

/* ---- the device thread ---- */

enum { JOBS = 100 };
struct job {
	struct device_job job;
	int i;
};
static struct job jobs[JOBS];
static int ran, done;
static pthread_t main_thread;

static void run_job(struct device_job *j)
{
	assert_false(pthread_equal(pthread_self(), main_thread));
	assert_int_equal(SL_CONTAINER_OF(j, struct job, job)->i, ran++);
}

static void job_done(struct device_job *j)
{
	assert_true(pthread_equal(pthread_self(), main_thread));
	assert_int_equal(SL_CONTAINER_OF(j, struct job, job)->i, done++);
	if (done == JOBS)
		loop_stop();
}

static void jobs_run_elsewhere_and_end_here(void **state)
{
	main_thread = pthread_self();
	assert_int_equal(device_start(NULL), 0);
	for (int i = 0; i < JOBS; i++) {
		jobs[i] = (struct job){.job = {.run = run_job, .done = job_done}, .i = i};
		device_submit(&jobs[i].job);
	}
	assert_int_equal(device_pending(), JOBS);
	loop_run();
	assert_int_equal(device_pending(), 0);
	device_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(posts_keep_their_order, setup, teardown),
		cmocka_unit_test_setup_teardown(a_removed_descriptor_is_not_called, setup,
						teardown),
		cmocka_unit_test_setup_teardown(reclaiming_gives_way, setup, teardown),
		cmocka_unit_test_setup_teardown(timers_repeat, setup, teardown),
		cmocka_unit_test_setup_teardown(jobs_run_elsewhere_and_end_here, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
