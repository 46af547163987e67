/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/ctl/live.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/base/err.h"

enum { TICK_MS = 100, FINISH_MS = 3000 };

static volatile sig_atomic_t interrupted;

struct run {
	struct live *l;
	struct err *e;
	bool finished;
	int rc;
	uint64_t id;
};

static void on_signal(int number)
{
	interrupted = number;
}

static void on_note(unsigned type, struct attrs a, void *aux)
{
	struct run *r = aux;
	ATTR_FOR_EACH (it, a)
		if (it->id == ATTR_OBJECT && !r->rc)
			r->rc = r->l->packet(attr_nest(it), r->l->aux, r->e);
	if (!r->rc && r->l->batch)
		r->rc = r->l->batch(r->l->aux, r->e);
	r->l->seen = attrs_u64(a, ATTR_SEEN, r->l->seen);
	r->l->lost = attrs_u64(a, ATTR_LOST, r->l->lost);
	r->finished |= attrs_has(a, ATTR_FINISHED);
}

static void take_id(struct attrs a, void *aux)
{
	*(uint64_t *)aux = attrs_u64(a, ATTR_CAPTURE_ID, 0);
}

static void step(struct api_client *client, struct run *r)
{
	struct pollfd p = {.fd = api_client_fd(client), .events = POLLIN};
	if (poll(&p, 1, TICK_MS) > 0 && api_client_run(client))
		r->rc = err_set(r->e, ECONNRESET, "the datapath has gone");
}

static void stop(struct api_client *client, struct run *r)
{
	uint64_t end = clock_mono_ms() + FINISH_MS;
	struct err e = {0};
	struct msg m;
	msg_init(&m, API_CAPTURE_STOP, 0);
	msg_put_u32(&m, ATTR_CAPTURE_ID, (uint32_t)r->id);
	if (api_call(client, &m, NULL, NULL, &e))
		return; /* it has ended by itself */
	while (!r->rc && !r->finished && clock_mono_ms() < end)
		step(client, r);
}

int live_run(struct api_client *client, struct msg *request, struct live *l, struct err *e)
{
	struct sigaction sa = {.sa_handler = on_signal};
	struct run r = {.l = l, .e = e};
	uint64_t began = clock_mono_ms();
	interrupted = 0;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN); /* a write says it */
	api_on_note(client, on_note, &r);
	r.rc = api_call(client, request, take_id, &r.id, e);
	if (!r.rc && l->started)
		r.rc = l->started(l->aux, e);
	while (!r.rc && !r.finished && !interrupted &&
	       (!l->time_limit_ms || clock_mono_ms() - began < l->time_limit_ms))
		step(client, &r);
	if (!r.rc && !r.finished)
		stop(client, &r);
	api_on_note(client, NULL, NULL);
	return r.rc;
}
