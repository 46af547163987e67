/* SPDX-License-Identifier: BSD-3-Clause */
/* The requests of a command in flight; `pending` counts them and one more until ask_end(). */
#include "control/daemon/ask.h"

#include <stdlib.h>

#include "control/daemon/sluiced.h"
#include "ovsdb-lite/unixctl.h"

struct request {
	struct ask *a;
	ask_object_fn fn;
	enum api_attr text; /* of the reply itself; 0: none */
};

struct ask *ask_begin(struct sluiced *d, struct unixctl_call *call)
{
	struct ask *a;
	if (!engine_client(d->engine)) {
		unixctl_error(call, engine_datapath_error(d->engine));
		return NULL;
	}
	a = xzalloc(sizeof *a);
	a->d = d;
	a->call = call;
	a->pending = 1;
	return a;
}

void ask_end(struct ask *a)
{
	if (--a->pending)
		return;
	if (a->finish && !a->error.len)
		a->finish(a);
	if (a->error.len)
		unixctl_error(a->call, str_cstr(&a->error));
	else
		unixctl_reply(a->call, str_cstr(&a->text));
	str_free(&a->error);
	str_free(&a->text);
	if (a->discard)
		a->discard(a);
	free(a->bridge);
	free(a);
}

void ask_fail(struct ask *a, const char *text)
{
	if (!a->error.len)
		str_puts(&a->error, text);
	ask_end(a);
}

static void answered(struct attrs attrs, bool more, const struct err *error, void *aux)
{
	struct request *r = aux;
	struct ask *a = r->a;
	if (error && !a->error.len)
		str_puts(&a->error, error->text);
	if (!error && r->fn)
		ATTR_FOR_EACH (it, attrs)
			if (it->id == ATTR_OBJECT)
				r->fn(a, attr_nest(it));
	if (!error && r->text)
		str_puts(&a->text, attrs_str(attrs, r->text, ""));
	if (more)
		return;
	free(r);
	ask_end(a);
}

static void send(struct ask *a, struct msg *request, ask_object_fn fn, enum api_attr text)
{
	struct request *r = xzalloc(sizeof *r);
	r->a = a;
	r->fn = fn;
	r->text = text;
	a->pending++;
	api_send(engine_client(a->d->engine), request, answered, r);
}

void ask_send(struct ask *a, struct msg *request, ask_object_fn fn)
{
	send(a, request, fn, 0);
}

void ask_send_whole(struct ask *a, struct msg *request, enum api_attr text)
{
	send(a, request, NULL, text);
}

void ask_change(struct sluiced *d, struct unixctl_call *call, struct msg *change, const char *text)
{
	struct ask *a = ask_begin(d, call);
	if (!a) {
		msg_free(change);
		return;
	}
	str_puts(&a->text, text);
	ask_send(a, change, NULL);
	ask_end(a);
}
