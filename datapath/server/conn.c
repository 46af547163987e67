/* SPDX-License-Identifier: BSD-3-Clause */
/* Invariants of a connection: `in` holds at most one incomplete message behind whole ones that wait
 * for `busy` to end; `out` grows beyond CONN_OUT_LOW_BYTES only by one reply, one dump step, or
 * packet-ins up to CONN_PACKET_IN_BYTES. A dead connection is freed by the next posted call, so
 * that whoever is in the middle of it may go on to its return. */
#include "datapath/server/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "datapath/base/clock.h"
#include "datapath/base/list.h"
#include "datapath/base/log.h"
#include "datapath/server/events.h"
#include "datapath/server/loop.h"
#include "datapath/server/request.h"
#include "datapath/server/transaction.h"

LOG_MODULE(api);

enum {
	READ_BYTES = 64 << 10,
	EVENTS_DELAY_MS = 1,
	READS_PER_WAKE = 16,
	PUMPS_PER_WAKE = 8,
	EVENTS_PUT_BYTES = 16 << 10
};

struct conn {
	struct loop_fd watch;
	struct loop_post post; /* frees it */
	struct list link;
	char program[64];
	pid_t pid;
	bool greeted, dead;
	bool handling; /* its input is being walked: nested calls leave it alone */
	uint32_t epoll_events;

	uint8_t *in; /* malloc-aligned */
	size_t in_len, in_cap;
	uint8_t *out;
	size_t out_at, out_len, out_cap; /* unsent bytes are [out_at, out_len) */

	/* The request in work. */
	bool busy;
	uint16_t type;
	uint32_t seq;
	struct dump *dump;
	struct transaction *transaction; /* collected over several messages, or in work */

	uint64_t event_mask, event_next; /* next number to look at; mask 0: not subscribed */
	size_t events_put;               /* bytes of them since the socket was last writable */
};

static struct list conns = {&conns, &conns};
static size_t n_conns;
static uint64_t n_writes;   /* WRITE requests that were let through */
static struct conn *writer; /* holds the lease */
static struct loop_fd listener = {.fd = -1};
static char *socket_path;
static struct msg reply; /* being built */
void (*conn_ended)(struct conn *c);

/* ---- life ---- */

static void destroy(struct loop_post *p)
{
	struct conn *c = SL_CONTAINER_OF(p, struct conn, post);

	free(c->in);
	free(c->out);
	free(c);
}

static void kill_conn(struct conn *c)
{
	if (c->dead)
		return;
	c->dead = true;
	if (writer == c) {
		writer = NULL;
		request_miss_upcalls_end();
		log_info("%s[%d]: gave up the writer's lease", c->program, (int)c->pid);
	}
	if (c->transaction)
		transaction_orphan(c->transaction);
	if (conn_ended)
		conn_ended(c);
	if (c->dump)
		c->dump->free(c->dump);
	loop_remove(&c->watch);
	close(c->watch.fd);
	list_remove(&c->link);
	n_conns--;
	c->post.fn = destroy;
	loop_post(&c->post);
}

static size_t unsent(const struct conn *c)
{
	return c->out_len - c->out_at;
}

/* Is there a message that can be handled now? (Or a length that is nonsense: also to be handled.)
 */
static bool has_input(const struct conn *c)
{
	return !c->handling && !c->busy && c->in_len >= sizeof(struct msg_header) &&
	       c->in_len >= ((struct msg_header *)(void *)c->in)->length;
}

static bool has_more(const struct conn *c)
{
	return c->dump || has_input(c) || (c->event_mask && c->event_next < events_next_seq());
}

static void update_watch(struct conn *c)
{
	bool in = !c->busy && unsent(c) < CONN_OUT_LOW_BYTES, out = unsent(c) || has_more(c);
	uint32_t want = (in ? EPOLLIN : 0) | (out ? EPOLLOUT : 0);

	if (c->dead || want == c->epoll_events)
		return;
	c->epoll_events = want;
	loop_change(&c->watch, want);
}

/* ---- output ---- */

static void append(struct conn *c, const struct msg *m)
{
	if (c->dead)
		return;
	if (c->out_at && c->out_len + m->len > c->out_cap) {
		memmove(c->out, c->out + c->out_at, unsent(c));
		c->out_len -= c->out_at;
		c->out_at = 0;
	}
	if (c->out_len + m->len > c->out_cap) {
		c->out_cap = SL_MAX(c->out_len + m->len, c->out_cap * 2);
		c->out = xrealloc(c->out, c->out_cap);
	}
	memcpy(c->out + c->out_len, m->data, m->len);
	c->out_len += m->len;
}

static void send_some(struct conn *c)
{
	while (!c->dead && unsent(c)) {
		ssize_t n = send(c->watch.fd, c->out + c->out_at, unsent(c),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN)
				kill_conn(c);
			return;
		}
		c->out_at += (size_t)n;
	}
	c->out_at = c->out_len = 0;
	if (c->out_cap > 4 * CONN_OUT_LOW_BYTES) { /* a large answer has gone out: give it back */
		free(c->out);
		c->out = NULL;
		c->out_cap = 0;
	}
}

static void put_lost(struct conn *c, uint64_t count)
{
	struct msg m;

	msg_init(&m, API_EVENT, 0);
	msg_put_u16(&m, ATTR_EVENT, API_EVENT_LOST);
	msg_put_u64(&m, ATTR_COUNT, count);
	msg_finish(&m);
	append(c, &m);
	msg_free(&m);
}

/* Answers go out behind the events that were put before. While very many wait (a million rules were
 * deleted), a client in lock-step must not find a full socket of them before each answer: after
 * EVENTS_PUT_BYTES the next ones wait until the socket is writable again, which a local one is
 * when at most a quarter of it is in use. */
static void put_events(struct conn *c, bool with_answer)
{
	bool all = with_answer && events_next_seq() - c->event_next <= CONN_EVENTS_WITH_ANSWER;

	while (c->event_mask && c->event_next < events_next_seq() &&
	       (all || c->events_put < EVENTS_PUT_BYTES) && unsent(c) < CONN_OUT_LOW_BYTES) {
		enum api_event kind = API_EVENT_N;
		const struct msg *m = events_get(c->event_next, &kind);

		if (!m) { /* the ring has overtaken this client */
			put_lost(c, events_first_seq() - c->event_next);
			c->event_next = events_first_seq();
			continue;
		}
		bool quiet = c == writer && events_is_quiet(c->event_next);
		c->event_next++;
		if (c->event_mask >> kind & 1 && !quiet) {
			append(c, m);
			c->events_put += m->len;
		}
	}
	if (c->event_next >= events_next_seq())
		c->events_put = 0; /* nothing waits */
}

bool conn_tell_all(struct conn *c)
{
	put_events(c, true);
	return !c->event_mask || c->event_next >= events_next_seq();
}

static void begin_message(struct conn *c, uint16_t flags)
{
	msg_init(&reply, c->type | flags, c->seq);
}

static void end_message(struct conn *c)
{
	msg_finish(&reply);
	append(c, &reply);
	msg_free(&reply);
}

static void put_dump(struct conn *c)
{
	bool silent = false;

	while (c->dump && !silent && unsent(c) < CONN_OUT_LOW_BYTES) {
		begin_message(c, MESSAGE_REPLY);
		bool more = c->dump->step(c->dump, &reply);
		/* A step that only counted says nothing, and others have their turn after it. */
		silent = more && reply.len == sizeof(struct msg_header);
		if (silent) {
			msg_free(&reply);
			break;
		}
		if (more)
			msg_put_flag(&reply, ATTR_MORE);
		end_message(c);
		if (!more) {
			c->dump->free(c->dump);
			c->dump = NULL;
			c->busy = false;
		}
	}
}

static bool handle_buffered(struct conn *c);

/* Puts out what there is room for and handles what waits, but lets others have their turn too. */
static void pump(struct conn *c)
{
	for (int i = 0; i < PUMPS_PER_WAKE; i++) {
		put_dump(c);
		put_events(c, false);
		send_some(c);
		bool handled = handle_buffered(c);
		if (c->dead)
			return;
		if (!handled && (unsent(c) || !has_more(c) || c->events_put >= EVENTS_PUT_BYTES))
			break;
	}
	update_watch(c);
}

/* The request in work is answered: by a handler (whose caller goes on with the input) or by a later
 * completion (then pump() does). */
static void finish_request(struct conn *c)
{
	c->busy = false;
	if (!c->dead)
		pump(c);
}

struct msg *conn_reply_begin(struct conn *c)
{
	begin_message(c, MESSAGE_REPLY);
	return &reply;
}

void conn_reply_end(struct conn *c)
{
	put_events(c, true); /* what the request caused is told before its answer */
	end_message(c);
	if (c == writer)
		loop_expect();
	finish_request(c);
}

void conn_reply_ok(struct conn *c)
{
	conn_reply_begin(c);
	conn_reply_end(c);
}

void conn_reply_error(struct conn *c, const struct err *e,
		      void (*extra)(struct msg *m, const void *aux), const void *aux)
{
	begin_message(c, MESSAGE_ERROR);
	msg_put_u32(&reply, ATTR_ERROR_CODE, (uint32_t)(e->code ? e->code : EIO));
	msg_put_str(&reply, ATTR_ERROR_TEXT, e->text);
	if (extra)
		extra(&reply, aux);
	conn_reply_end(c);
}

void conn_dump(struct conn *c, struct dump *d)
{
	c->dump = d; /* handle_buffered() or finish_request() pumps */
}

void conn_await_part(struct conn *c)
{
	c->busy = false;
}

/* ---- input ---- */

static void handle_message(struct conn *c, const void *data, size_t len)
{
	const struct msg_header *h = data;
	unsigned type = h->type & MESSAGE_TYPE_MASK;
	struct err e = {0};

	c->busy = true;
	c->type = (uint16_t)type;
	c->seq = h->seq;
	if (!msg_check(data, len, &e)) {
		if (type != h->type || type >= API_MESSAGE_N)
			err_set(&e, EOPNOTSUPP, "message: type %u is not known", h->type);
		else if (!c->greeted && type != API_HELLO)
			err_set(&e, EPROTO, "message: the first one must be hello");
		else if (request_info(type)->who == REQUEST_WRITE && c != writer)
			err_set(&e, EPERM, "%s: only the holder of the writer's lease may",
				api_message_names[type]);
	}
	if (e.code) {
		bool hopeless = !c->greeted;

		conn_reply_error(c, &e, NULL, NULL);
		if (hopeless)
			kill_conn(c);
		return;
	}
	n_writes += request_info(type)->who == REQUEST_WRITE;
	request_info(type)->handle(c, msg_attrs(data));
}

/* Handles whole messages until one stays in work or the peer must read first. Handlers that answer
 * at once come back here through finish_request(), which `handling` keeps from nesting. False:
 * there was nothing to do. */
static bool handle_buffered(struct conn *c)
{
	size_t at = 0;

	if (c->handling || c->dead)
		return false;
	c->handling = true;
	while (!c->dead && !c->busy && c->in_len - at >= sizeof(struct msg_header) &&
	       unsent(c) < CONN_OUT_LOW_BYTES) {
		size_t len = ((struct msg_header *)(void *)(c->in + at))->length;

		if (len < sizeof(struct msg_header) || len % 8 || len > API_MESSAGE_MAX) {
			LOG_LIMIT(log_warn, 5, "%s[%d]: a message of %zu bytes: connection closed",
				  c->program, (int)c->pid, len);
			kill_conn(c);
			break;
		}
		if (c->in_len - at < len)
			break;
		handle_message(c, c->in + at, len);
		at += len;
		if (!c->dead)
			put_dump(c);
	}
	c->handling = false;
	if (at && !c->dead) {
		memmove(c->in, c->in + at, c->in_len - at);
		c->in_len -= at;
	}
	return at;
}

/* False when there is nothing more to read now. */
static bool read_some(struct conn *c)
{
	if (c->in_cap - c->in_len < READ_BYTES) {
		c->in_cap = SL_MAX(c->in_len + READ_BYTES, c->in_cap * 2);
		c->in = xrealloc(c->in, c->in_cap);
	}
	ssize_t n = recv(c->watch.fd, c->in + c->in_len, c->in_cap - c->in_len, MSG_DONTWAIT);
	if (n > 0) {
		bool filled = c->in_len + (size_t)n == c->in_cap;

		c->in_len += (size_t)n;
		return filled; /* else the socket is empty, and epoll tells when it is not */
	}
	if (!n || (errno != EAGAIN && errno != EINTR))
		kill_conn(c);
	return false;
}

static void on_ready(struct loop_fd *w, uint32_t events)
{
	struct conn *c = SL_CONTAINER_OF(w, struct conn, watch);

	if (events & (EPOLLHUP | EPOLLERR) && (c->busy || !(events & EPOLLIN))) {
		kill_conn(c);
		return;
	}
	if (events & EPOLLOUT)
		c->events_put = 0;
	for (int i = 0; i < READS_PER_WAKE && !c->dead && !c->busy && events & EPOLLIN &&
			unsent(c) < CONN_OUT_LOW_BYTES;
	     i++) {
		bool more = read_some(c);

		if (!c->dead)
			handle_buffered(c);
		if (!more)
			break;
	}
	if (!c->dead)
		pump(c);
	if (!c->dead && !c->in_len && c->in_cap > 4 * READ_BYTES) {
		free(c->in);
		c->in = NULL;
		c->in_cap = 0;
	}
}

/* ---- accepting ---- */

static bool peer_is_trusted(int fd, pid_t *pid)
{
	struct ucred cred;
	socklen_t len = sizeof cred;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return false;
	*pid = cred.pid;
	return !cred.uid || cred.uid == geteuid();
}

static void on_connect(struct loop_fd *w, uint32_t events)
{
	int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	pid_t pid = 0;

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			LOG_LIMIT(log_warn, 1, "accept: %s", strerror(errno));
		return;
	}
	if (!peer_is_trusted(fd, &pid) || n_conns >= CONNS_MAX) {
		LOG_LIMIT(log_warn, 5, "pid %d: connection refused: %s", (int)pid,
			  n_conns >= CONNS_MAX ? "too many" : "another user's");
		close(fd);
		return;
	}
	struct conn *c = xzalloc(sizeof *c);
	c->watch = (struct loop_fd){.fd = fd, .fn = on_ready};
	c->pid = pid;
	strcpy(c->program, "?");
	c->epoll_events = EPOLLIN;
	if (loop_add(&c->watch, EPOLLIN)) {
		close(fd);
		free(c);
		return;
	}
	list_push_back(&conns, &c->link);
	n_conns++;
}

/* Told with the next answer to their reader, or else within some milliseconds: a message of its own
 * would wake the reader once more for every single change. */
static bool events_wait;
static uint64_t events_due_ms;

static void on_events(void)
{
	if (events_wait)
		return;
	events_wait = true;
	events_due_ms = clock_mono_ms() + EVENTS_DELAY_MS;
	loop_hurry_begin();
}

void conn_tell_events(uint64_t now_ms)
{
	if (!events_wait || (now_ms < events_due_ms && !clock_warp.stopped_ns))
		return;
	events_wait = false;
	loop_hurry_end();
	LIST_FOR_EACH_SAFE (c, struct conn, link, &conns)
		if (c->event_mask && unsent(c) < CONN_OUT_LOW_BYTES)
			pump(c);
}

int conn_listen(const char *path, struct err *e)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof sun.sun_path)
		return err_set(e, ENAMETOOLONG, "%s: the path of a socket has at most %zu bytes",
			       path, sizeof sun.sun_path - 1);
	strcpy(sun.sun_path, path);
	listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	listener.fn = on_connect;
	/* The caller holds the run directory's lock: a socket that is there is a dead one's. */
	unlink(path);
	mode_t old = umask(0177);
	int rc = listener.fd < 0 || bind(listener.fd, (struct sockaddr *)&sun, sizeof sun) ||
				 listen(listener.fd, 64)
			 ? -errno
			 : 0;
	umask(old);
	if (!rc)
		rc = loop_add(&listener, EPOLLIN);
	if (rc)
		return err_set(e, -rc, "%s: %s", path, strerror(-rc));
	socket_path = xstrdup(path);
	events_added = on_events;
	return 0;
}

void conn_close_all(void)
{
	LIST_FOR_EACH_SAFE (c, struct conn, link, &conns) {
		send_some(c); /* an answer to `exit` still goes out */
		kill_conn(c);
	}
	if (listener.fd >= 0) {
		loop_remove(&listener);
		close(listener.fd);
		listener.fd = -1;
		unlink(socket_path);
		free(socket_path);
	}
}

/* ---- hello and the lease ---- */

/* Has the peer gone, though we have not read that yet? Its successor may be faster than our loop.
 */
static bool has_hung_up(const struct conn *c)
{
	char byte;

	return recv(c->watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void request_HELLO(struct conn *c, struct attrs a)
{
	struct err e = {0};

	if (attrs_u64(a, ATTR_API_VERSION, 0) < 1) {
		err_set(&e, EPROTO, "hello: api_version is missing");
		conn_reply_error(c, &e, NULL, NULL);
		return;
	}
	c->greeted = true;
	strncpy(c->program, attrs_str(a, ATTR_PROGRAM, "?"), sizeof c->program - 1);
	if (attrs_has(a, ATTR_WRITER)) {
		if (writer && writer != c && has_hung_up(writer))
			kill_conn(writer);
		if (!writer) {
			writer = c;
			log_info("%s[%d]: has the writer's lease", c->program, (int)c->pid);
		}
	}
	struct msg *m = conn_reply_begin(c);
	request_put_identity(m);
	if (c == writer)
		msg_put_flag(m, ATTR_WRITER);
	conn_reply_end(c);
}

const char *conn_program(const struct conn *c)
{
	return c->program;
}

bool conn_is_writer(const struct conn *c)
{
	return c == writer;
}

const char *conn_writer_program(void)
{
	return writer ? writer->program : NULL;
}

uint64_t conn_writes(void)
{
	return n_writes;
}

size_t conn_count(void)
{
	return n_conns;
}

struct transaction *conn_transaction(const struct conn *c)
{
	return c->transaction;
}

void conn_set_transaction(struct conn *c, struct transaction *t)
{
	c->transaction = t;
}

uint32_t conn_seq(const struct conn *c)
{
	return c->seq;
}

/* ---- events ---- */

uint64_t conn_subscribe(struct conn *c, uint64_t mask, uint64_t from)
{
	c->event_mask = mask;
	c->event_next = from && from <= events_next_seq() ? SL_MAX(from, events_complete_from())
							  : events_next_seq();
	return c->event_next;
}

bool conn_anyone_wants(enum api_event kind)
{
	LIST_FOR_EACH (c, struct conn, link, &conns)
		if (c->event_mask >> kind & 1 && unsent(c) < CONN_PACKET_IN_BYTES)
			return true;
	return false;
}

bool conn_has_subscriber(enum api_event kind, bool other_than_writer)
{
	LIST_FOR_EACH (c, struct conn, link, &conns)
		if (c->event_mask >> kind & 1 && !(other_than_writer && c == writer))
			return true;
	return false;
}

unsigned conn_broadcast(enum api_event kind, struct msg *m)
{
	unsigned n = 0;

	msg_finish(m);
	LIST_FOR_EACH_SAFE (c, struct conn, link, &conns) {
		if (!(c->event_mask >> kind & 1) || unsent(c) >= CONN_PACKET_IN_BYTES)
			continue;
		append(c, m);
		n++;
		pump(c);
	}
	msg_free(m);
	return n;
}

/* ---- notes ---- */

bool conn_send_note(struct conn *c, struct msg *m)
{
	bool takes = !c->dead && unsent(c) < CONN_PACKET_IN_BYTES;

	if (takes) {
		msg_finish(m);
		append(c, m);
	}
	msg_free(m);
	if (takes)
		pump(c);
	return takes;
}
