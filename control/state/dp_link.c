/* SPDX-License-Identifier: BSD-3-Clause */
/* States: no client (the retry timer runs) → client without lease (HELLO is under way) → up. A lost
 * connection goes back to the first; closing is left to the loop, because the loss is often noticed
 * inside a callback of that very client. */
#include "control/state/dp_link.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "datapath/base/clock.h"
#include "datapath/base/in_step.h"
#include "datapath/base/log.h"

LOG_MODULE(dp_link);

enum { ANSWER_US = 120 };

struct dp_link {
	struct event_base *base;
	char *path, *program;
	uint64_t event_mask;
	const struct dp_link_ops *ops;
	void *aux;

	struct event *retry; /* timer */
	struct event *readable, *writable;
	struct api_client *client;
	uint64_t away_ms; /* since when it is away: the start, or the last loss */
	bool up;
	bool lost; /* close the client as soon as no callback of it is running */
	char error[ERR_TEXT_BYTES];
	struct in_step answers;
	uint64_t asked_us; /* the answer is waited for since; 0: not measured */
	int rc;            /* of look() */
};

static void connect_again(struct dp_link *l)
{
	bool soon = clock_mono_ms() - l->away_ms < DP_LINK_SOON_MS;
	struct timeval tv = {.tv_usec = (soon ? DP_LINK_RETRY_SOON_MS : DP_LINK_RETRY_MS) * 1000};
	evtimer_add(l->retry, &tv);
}

static void drop(struct dp_link *l)
{
	bool was_up = l->up;
	l->up = false;
	l->lost = false;
	if (was_up) {
		log_info("datapath: connection lost");
		l->away_ms = clock_mono_ms();
		snprintf(l->error, sizeof l->error, "sluice-datapath is not running");
		l->ops->down(l->aux);
	}
	if (l->readable)
		event_free(l->readable);
	if (l->writable)
		event_free(l->writable);
	l->readable = l->writable = NULL;
	api_close(l->client);
	l->client = NULL;
	connect_again(l);
}

static bool look(void *aux)
{
	struct dp_link *l = aux;
	return (l->rc = api_client_run(l->client)) || !api_waits_for(l->client);
}

/* Sends, and takes the answer when it comes at once. */
static int ask(struct dp_link *l)
{
	bool one = api_waits_for(l->client) == 1; /* else others' answers come, too */
	int rc = api_client_write(l->client);
	uint64_t began_us = in_step_now_us();
	if (rc || !one)
		return rc;
	if (!in_step_spin(&l->answers, look, l)) {
		l->asked_us = began_us;
		return 0;
	}
	in_step_waited(&l->answers, began_us);
	return l->rc;
}

static void run(evutil_socket_t fd, short what, void *aux)
{
	struct dp_link *l = aux;
	int rc;
	if (what == EV_WRITE) {
		rc = ask(l);
	} else {
		rc = api_client_run(l->client);
		if (l->asked_us && !api_waits_for(l->client)) {
			in_step_waited(&l->answers, l->asked_us);
			l->asked_us = 0;
		}
	}
	if (rc || l->lost)
		drop(l);
	else if (api_wants_write(l->client))
		event_add(l->writable, NULL);
}

static void output(void *aux)
{
	struct dp_link *l = aux;
	/* Later in this iteration of the loop, without asking epoll: the socket has room but for
	 * rare times, and run() waits for it then. */
	event_active(l->writable, EV_WRITE, 0);
}

static void lose(struct dp_link *l, const char *why)
{
	snprintf(l->error, sizeof l->error, "%s", why);
	l->lost = true; /* run() is above us on the stack */
}

static void subscribed(struct attrs a, bool more, const struct err *error, void *aux)
{
	struct dp_link *l = aux;
	if (error && error->code != ECONNRESET)
		lose(l, error->text);
}

static void greeted(struct attrs a, bool more, const struct err *error, void *aux)
{
	struct dp_link *l = aux;
	struct msg m;
	if (error) {
		if (error->code != ECONNRESET)
			lose(l, error->text);
		return;
	}
	if (!api_is_writer(l->client)) {
		LOG_LIMIT(log_warn, 1, "datapath: another client has the writer's lease");
		lose(l, "another client has the datapath's writer's lease");
		return;
	}
	l->up = true;
	l->error[0] = '\0';
	msg_init(&m, API_SUBSCRIBE, 0);
	msg_put_u64(&m, ATTR_EVENT_MASK, l->event_mask);
	api_send(l->client, &m, subscribed, l);
	l->ops->up(l->client, l->aux);
}

static void event_arrived(struct attrs a, void *aux)
{
	struct dp_link *l = aux;
	if (l->up)
		l->ops->event(a, l->aux);
}

static void try_connect(evutil_socket_t fd_unused, short what, void *aux)
{
	struct dp_link *l = aux;
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct msg m;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", l->path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof sun)) {
		snprintf(l->error, sizeof l->error, "%s: %s: sluice-datapath is not running",
			 l->path, strerror(errno));
		if (fd >= 0)
			close(fd);
		connect_again(l);
		return;
	}
	api_client_attach(fd, &l->client);
	api_on_event(l->client, event_arrived, l);
	l->readable = event_new(l->base, fd, EV_READ | EV_PERSIST, run, l);
	l->writable = event_new(l->base, fd, EV_WRITE, run, l);
	api_on_output(l->client, output, l);
	event_add(l->readable, NULL);
	api_hello(&m, l->program, true);
	api_send(l->client, &m, greeted, l);
}

struct dp_link *dp_link_create(struct event_base *base, const char *socket_path,
			       const char *program, uint64_t event_mask,
			       const struct dp_link_ops *ops, void *aux)
{
	struct dp_link *l = xzalloc(sizeof *l);
	struct timeval now = {0};
	l->base = base;
	l->path = xstrdup(socket_path);
	l->program = xstrdup(program);
	l->event_mask = event_mask;
	l->ops = ops;
	l->aux = aux;
	l->answers.limit_us = ANSWER_US;
	snprintf(l->error, sizeof l->error, "not connected yet");
	l->away_ms = clock_mono_ms();
	l->retry = evtimer_new(base, try_connect, l);
	evtimer_add(l->retry, &now);
	return l;
}

void dp_link_destroy(struct dp_link *l)
{
	if (!l)
		return;
	event_free(l->retry);
	if (l->readable)
		event_free(l->readable);
	if (l->writable)
		event_free(l->writable);
	api_close(l->client);
	free(l->path);
	free(l->program);
	free(l);
}

struct api_client *dp_link_client(const struct dp_link *l)
{
	return l->up ? l->client : NULL;
}

const char *dp_link_error(const struct dp_link *l)
{
	return l->error;
}
