/* SPDX-License-Identifier: BSD-3-Clause */
/* One connection to the datapath: an output queue, an input buffer, and the requests that wait for
 * their answer, oldest first. The blocking calls are the non-blocking ones with poll() around.
 *
 * Invariant: replies arrive in the order of `waiting`; anything else is a broken peer and ends the
 * connection. */
#include "datapath/api/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "datapath/base/err.h"
#include "datapath/base/list.h"

enum { READ_BYTES = 64 << 10, PART_BYTES = 16 << 20 };

struct request { /* waiting for its answer */
	struct list link;
	uint32_t seq;
	api_done_fn done;
	void *aux;
};

struct outgoing {
	struct list link;
	struct msg m;
	size_t sent;
};

struct api_client {
	int fd;
	int dead; /* 0, or the positive errno that ended the connection */
	uint32_t last_seq;
	struct list waiting;  /* struct request */
	unsigned n_waiting;   /* of them */
	struct list outgoing; /* struct outgoing */

	uint8_t *in; /* malloc-aligned; messages are multiples of 8 bytes */
	size_t in_len, in_cap;

	void (*on_event)(struct attrs a, void *aux);
	void *event_aux;
	void (*on_note)(unsigned type, struct attrs a, void *aux);
	void *note_aux;
	void (*on_output)(void *aux);
	void *output_aux;

	uint64_t boot_id, capabilities;
	pid_t pid;
	bool writer;
};

int api_client_attach(int fd, struct api_client **out)
{
	struct api_client *c = xzalloc(sizeof *c);

	c->fd = fd;
	list_init(&c->waiting);
	list_init(&c->outgoing);
	*out = c;
	return 0;
}

static void fail_waiting(struct api_client *c, int code)
{
	struct err e = {0};

	err_set(&e, code, "datapath: connection lost: %s", strerror(code));
	while (!list_is_empty(&c->waiting)) {
		struct request *r = LIST_ITEM(list_pop_front(&c->waiting), struct request, link);

		c->n_waiting--;
		if (r->done)
			r->done((struct attrs){0}, false, &e, r->aux);
		free(r);
	}
}

static int lose(struct api_client *c, int code)
{
	if (!c->dead) {
		c->dead = code;
		c->writer = false;
		fail_waiting(c, ECONNRESET);
	}
	return -c->dead;
}

void api_close(struct api_client *c)
{
	if (!c)
		return;
	lose(c, ECONNRESET);
	while (!list_is_empty(&c->outgoing)) {
		struct outgoing *o = LIST_ITEM(list_pop_front(&c->outgoing), struct outgoing, link);

		msg_free(&o->m);
		free(o);
	}
	close(c->fd);
	free(c->in);
	free(c);
}

void api_hello(struct msg *m, const char *program, bool want_writer)
{
	msg_init(m, API_HELLO, 0);
	msg_put_u32(m, ATTR_API_VERSION, API_VERSION_NOW);
	msg_put_str(m, ATTR_PROGRAM, program);
	msg_put_u32(m, ATTR_PID, (uint32_t)getpid());
	if (want_writer)
		msg_put_flag(m, ATTR_WRITER);
}

/* ---- sending ---- */

static void enqueue(struct api_client *c, struct msg *req, uint32_t seq)
{
	struct outgoing *o = xzalloc(sizeof *o);
	bool was_empty = list_is_empty(&c->outgoing);

	((struct msg_header *)(void *)req->data)->seq = seq;
	msg_finish(req);
	o->m = *req;
	*req = (struct msg){0};
	list_push_back(&c->outgoing, &o->link);
	if (was_empty && c->on_output)
		c->on_output(c->output_aux);
}

static uint32_t next_seq(const struct api_client *c)
{
	return c->last_seq + 1 ? c->last_seq + 1 : 1;
}

void api_send_part(struct api_client *c, struct msg *req)
{
	if (c->dead) {
		msg_free(req);
		return;
	}
	msg_put_flag(req, ATTR_MORE);
	enqueue(c, req, next_seq(c));
}

/* A transaction that one message cannot hold goes in parts of whole operations; *req becomes the
 * last of them. */
static void send_first_parts(struct api_client *c, struct msg *req)
{
	struct attrs all = {req->data + sizeof(struct msg_header),
			    req->len - sizeof(struct msg_header)};
	struct msg part;

	if (req->len <= PART_BYTES ||
	    (((struct msg_header *)(void *)req->data)->type & MESSAGE_TYPE_MASK) != API_TRANSACTION)
		return;
	msg_init(&part, API_TRANSACTION, 0);
	ATTR_FOR_EACH (a, all) {
		if (part.len > sizeof(struct msg_header) && part.len + a->len > PART_BYTES) {
			api_send_part(c, &part);
			msg_init(&part, API_TRANSACTION, 0);
		}
		msg_put_bytes(&part, (enum api_attr)a->id, a->value, a->len);
	}
	msg_free(req);
	*req = part;
}

void api_send(struct api_client *c, struct msg *req, api_done_fn done, void *aux)
{
	struct request *r = xzalloc(sizeof *r);

	r->done = done;
	r->aux = aux;
	list_push_back(&c->waiting, &r->link);
	c->n_waiting++;
	if (c->dead) {
		msg_free(req);
		fail_waiting(c, ECONNRESET);
		return;
	}
	send_first_parts(c, req);
	r->seq = c->last_seq = next_seq(c);
	enqueue(c, req, r->seq);
}

static int flush(struct api_client *c)
{
	while (!list_is_empty(&c->outgoing)) {
		struct outgoing *o = LIST_ITEM(c->outgoing.next, struct outgoing, link);
		ssize_t n = send(c->fd, o->m.data + o->sent, o->m.len - o->sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return errno == EAGAIN ? 0 : -errno;
		}
		o->sent += (size_t)n;
		if (o->sent == o->m.len) {
			list_remove(&o->link);
			msg_free(&o->m);
			free(o);
		}
	}
	return 0;
}

/* ---- receiving ---- */

static void note_hello(struct api_client *c, struct attrs a)
{
	c->boot_id = attrs_u64(a, ATTR_BOOT_ID, 0);
	c->capabilities = attrs_u64(a, ATTR_CAPABILITIES, 0);
	c->pid = (pid_t)attrs_u64(a, ATTR_PID, 0);
	c->writer = attrs_has(a, ATTR_WRITER);
}

static int handle_message(struct api_client *c, const void *data, size_t len)
{
	const struct msg_header *h = data;
	unsigned type = h->type & MESSAGE_TYPE_MASK;
	struct err e = {0};

	if (msg_check(data, len, &e))
		return -EPROTO;
	struct attrs a = msg_attrs(data);
	if (type == API_EVENT && !(h->type & MESSAGE_REPLY)) {
		if (c->on_event)
			c->on_event(a, c->event_aux);
		return 0;
	}
	if (h->type == type && (type == API_CAPTURED || type == API_TRACED)) {
		if (c->on_note)
			c->on_note(type, a, c->note_aux);
		return 0;
	}
	if (list_is_empty(&c->waiting))
		return -EPROTO;
	struct request *r = LIST_ITEM(c->waiting.next, struct request, link);
	if (r->seq != h->seq || !(h->type & (MESSAGE_REPLY | MESSAGE_ERROR)))
		return -EPROTO;
	bool failed = h->type & MESSAGE_ERROR, more = !failed && attrs_has(a, ATTR_MORE);
	if (failed)
		err_set(&e, (int)attrs_u64(a, ATTR_ERROR_CODE, EIO), "%s",
			attrs_str(a, ATTR_ERROR_TEXT, "datapath: refused"));
	else if (type == API_HELLO)
		note_hello(c, a);
	if (!more) {
		list_remove(&r->link);
		c->n_waiting--;
	}
	if (r->done)
		r->done(a, more, failed ? &e : NULL, r->aux);
	if (!more)
		free(r);
	return 0;
}

/* Bytes that the message at the front of the buffer has, or 0 when not even that is known. */
static size_t front_length(const struct api_client *c)
{
	return c->in_len >= sizeof(struct msg_header) ? ((struct msg_header *)(void *)c->in)->length
						      : 0;
}

static int take_messages(struct api_client *c)
{
	size_t at = 0;
	int rc = 0;

	while (!rc && c->in_len - at >= sizeof(struct msg_header)) {
		size_t len = ((struct msg_header *)(void *)(c->in + at))->length;

		if (len < sizeof(struct msg_header) || len % 8 || len > API_MESSAGE_MAX)
			return -EPROTO;
		if (c->in_len - at < len)
			break;
		rc = handle_message(c, c->in + at, len);
		at += len;
	}
	if (at) {
		memmove(c->in, c->in + at, c->in_len - at);
		c->in_len -= at;
	}
	return rc;
}

/* One read's worth. 1: there may be more, 0: there was not, -errno. */
static int receive(struct api_client *c)
{
	size_t want = SL_MAX(front_length(c), c->in_len + READ_BYTES);

	if (c->in_cap < want) {
		c->in = xrealloc(c->in, want);
		c->in_cap = want;
	}
	ssize_t n = recv(c->fd, c->in + c->in_len, c->in_cap - c->in_len, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (!n)
		return -ECONNRESET;
	bool filled = c->in_len + (size_t)n == c->in_cap;
	c->in_len += (size_t)n;
	int rc = take_messages(c);
	return rc ? rc : filled;
}

int api_client_write(struct api_client *c)
{
	int rc = c->dead ? -c->dead : flush(c);

	return rc < 0 ? lose(c, -rc) : 0;
}

int api_client_run(struct api_client *c)
{
	int rc = c->dead ? -c->dead : flush(c);

	while (!rc && (rc = receive(c)) > 0)
		rc = flush(c); /* callbacks may have queued more */
	return rc < 0 ? lose(c, -rc) : 0;
}

bool api_wants_write(const struct api_client *c)
{
	return !c->dead && !list_is_empty(&c->outgoing);
}

unsigned api_waits_for(const struct api_client *c)
{
	return c->n_waiting;
}

int api_client_fd(const struct api_client *c)
{
	return c->fd;
}

void api_on_event(struct api_client *c, void (*fn)(struct attrs a, void *aux), void *aux)
{
	c->on_event = fn;
	c->event_aux = aux;
}

void api_on_note(struct api_client *c, void (*fn)(unsigned type, struct attrs a, void *aux),
		 void *aux)
{
	c->on_note = fn;
	c->note_aux = aux;
}

void api_on_output(struct api_client *c, void (*fn)(void *aux), void *aux)
{
	c->on_output = fn;
	c->output_aux = aux;
}

uint64_t api_boot_id(const struct api_client *c)
{
	return c->boot_id;
}

pid_t api_peer_pid(const struct api_client *c)
{
	return c->pid;
}

uint64_t api_capabilities(const struct api_client *c)
{
	return c->capabilities;
}

bool api_is_writer(const struct api_client *c)
{
	return c->writer;
}

/* ---- blocking ---- */

struct call {
	void (*on_reply)(struct attrs a, void *aux);
	void *aux;
	struct err *e;
	bool done;
	int rc;
};

static void call_done(struct attrs a, bool more, const struct err *error, void *aux)
{
	struct call *call = aux;

	if (error) {
		call->rc = err_set(call->e, error->code, "%s", error->text);
	} else if (call->on_reply) {
		call->on_reply(a, call->aux);
	}
	call->done = !more;
}

int api_call(struct api_client *c, struct msg *req, void (*on_reply)(struct attrs a, void *aux),
	     void *aux, struct err *e)
{
	struct call call = {.on_reply = on_reply, .aux = aux, .e = e};

	api_send(c, req, call_done, &call);
	while (!call.done) {
		int rc = api_client_run(c); /* a lost connection completes the call */

		if (rc || call.done)
			continue;
		struct pollfd p = {.fd = c->fd, .events = POLLIN};
		if (api_wants_write(c))
			p.events |= POLLOUT;
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			lose(c, errno);
	}
	return call.rc;
}

int api_connect(const char *socket_path, const char *program, bool want_writer,
		struct api_client **out, struct err *e)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct api_client *c;
	struct msg m;

	if (strlen(socket_path) >= sizeof sun.sun_path)
		return err_set(e, ENAMETOOLONG, "%s: the path of a socket has at most %zu bytes",
			       socket_path, sizeof sun.sun_path - 1);
	strcpy(sun.sun_path, socket_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(e, errno, "socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&sun, sizeof sun)) {
		int code = errno;

		close(fd);
		return err_set(e, code, "%s: %s%s", socket_path, strerror(code),
			       code == ENOENT || code == ECONNREFUSED
				       ? ": sluice-datapath is not running"
				       : "");
	}
	api_client_attach(fd, &c);
	api_hello(&m, program, want_writer);
	int rc = api_call(c, &m, NULL, NULL, e);
	if (!rc && want_writer && !c->writer)
		rc = err_set(e, EBUSY, "%s: another client has the writer's lease", socket_path);
	if (rc) {
		api_close(c);
		return rc;
	}
	*out = c;
	return 0;
}
