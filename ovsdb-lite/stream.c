/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/stream.h"

#include <errno.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "datapath/base/clock.h"
#include "datapath/base/vec.h"
#include "ovsdb-lite/json_text.h"

enum {
	READ_BYTES = 65536, /* per wake-up, so that one busy client does not starve others */
	COPY_BELOW = 1024,  /* shorter shared texts are copied: cheaper than an iovec */
	MAX_IOV = 32,
	KEEP_INPUT = 262144, /* input memory kept between messages */
};

/* A sealed part of the output queue: shared text, or owned bytes. */
struct chunk {
	struct ovsdb_buf *shared;
	char *owned;
	size_t len;
};

struct stream {
	struct stream_hub *hub;
	struct list dirty_node; /* points at itself while clean */
	int fd;
	SSL *ssl;
	struct stream_limits limits;
	const struct stream_ops *ops;
	void *aux;
	struct event *readable, *writable;
	bool wants_write; /* the writable event is pending */
	bool is_dead, is_closed;
	unsigned busy; /* callbacks on the stack */
	uint64_t last_input_ms;
	/* input: bytes [0, len), of which [0, scanned) went through the scanner */
	char *in;
	size_t in_len, in_cap, scanned;
	struct json_scan scan;
	/* output: sealed chunks from `first`, then the tail; `offset` into the very first bytes */
	VEC(struct chunk) chunks;
	size_t first, offset, backlog;
	struct str tail;
};

struct ovsdb_buf *ovsdb_buf_new(const char *data, size_t len)
{
	struct ovsdb_buf *b = xmalloc(sizeof *b + len);

	b->refs = 1;
	b->len = len;
	memcpy(b->data, data, len);
	return b;
}

void ovsdb_buf_unref(struct ovsdb_buf *b)
{
	if (b && !--b->refs)
		free(b);
}

static void flush_dirty(evutil_socket_t fd, short what, void *aux)
{
	struct stream_hub *h = aux;

	while (!list_is_empty(&h->dirty))
		stream_flush(LIST_ENTRY(list_pop_front(&h->dirty), struct stream, dirty_node));
}

void stream_hub_init(struct stream_hub *h, struct event_base *base)
{
	h->base = base;
	list_init(&h->dirty);
	h->flush = event_new(base, -1, 0, flush_dirty, h);
}

void stream_hub_destroy(struct stream_hub *h)
{
	if (h->flush)
		event_free(h->flush);
	h->flush = NULL;
}

/* --- life ------------------------------------------------------------------------------------- */

static void on_readable(evutil_socket_t fd, short what, void *aux);
static void on_writable(evutil_socket_t fd, short what, void *aux);

struct stream *stream_create(struct stream_hub *hub, int fd, SSL *ssl,
			     const struct stream_limits *limits, const struct stream_ops *ops,
			     void *aux)
{
	struct stream *s = xzalloc(sizeof *s);

	evutil_make_socket_nonblocking(fd);
	s->hub = hub;
	list_init(&s->dirty_node);
	s->fd = fd;
	s->ssl = ssl;
	s->limits = *limits;
	s->ops = ops;
	s->aux = aux;
	s->last_input_ms = clock_mono_ms();
	if (ssl) {
		SSL_set_fd(ssl, fd);
		SSL_set_mode(ssl,
			     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	}
	s->readable = event_new(hub->base, fd, EV_READ | EV_PERSIST, on_readable, s);
	s->writable = event_new(hub->base, fd, EV_WRITE, on_writable, s);
	event_add(s->readable, NULL);
	return s;
}

static void chunk_free(struct chunk *c)
{
	ovsdb_buf_unref(c->shared);
	free(c->owned);
}

static void stop(struct stream *s)
{
	if (s->fd < 0)
		return;
	event_free(s->readable);
	event_free(s->writable);
	if (s->ssl) {
		SSL_shutdown(s->ssl); /* best effort; the socket goes away at once */
		SSL_free(s->ssl);
	}
	close(s->fd);
	s->fd = -1;
	list_remove(&s->dirty_node);
}

static void release(struct stream *s)
{
	for (size_t i = s->first; i < s->chunks.len; i++)
		chunk_free(&s->chunks.at[i]);
	vec_free(&s->chunks);
	str_free(&s->tail);
	free(s->in);
	free(s);
}

void stream_close(struct stream *s)
{
	if (!s || s->is_closed)
		return;
	s->is_closed = true;
	stop(s);
	if (!s->busy)
		release(s);
}

/* Enters and leaves code that may run callbacks; leave() frees a stream closed meanwhile. */
static void enter(struct stream *s)
{
	s->busy++;
}

static bool leave(struct stream *s)
{
	if (--s->busy || !s->is_closed)
		return true;
	release(s);
	return false;
}

static void die(struct stream *s, const char *why)
{
	if (s->is_dead || s->is_closed)
		return;
	s->is_dead = true;
	event_del(s->readable);
	event_del(s->writable);
	s->ops->dead(s->aux, why);
}

/* --- input ------------------------------------------------------------------------------------ */

static ssize_t receive(struct stream *s, char *p, size_t n)
{
	if (!s->ssl) {
		ssize_t k = recv(s->fd, p, n, 0);

		return k < 0 ? -errno : k == 0 ? -ECONNRESET : k;
	}
	ERR_clear_error();
	int k = SSL_read(s->ssl, p, (int)n);
	if (k > 0)
		return k;
	switch (SSL_get_error(s->ssl, k)) {
	case SSL_ERROR_WANT_READ:
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		event_add(s->writable, NULL);
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return -ECONNRESET;
	default:
		return -EPROTO;
	}
}

static void deliver(struct stream *s, const char *text, size_t len)
{
	char why[JSON_ERROR_TEXT_LENGTH];
	json_t *msg = json_parse(text, len, why);

	if (!msg) {
		die(s, why);
		return;
	}
	s->ops->message(s->aux, msg);
	json_decref(msg);
}

/* Cuts complete messages out of the buffer. */
static void consume(struct stream *s)
{
	size_t start = 0;

	while (!s->is_dead && !s->is_closed && s->scanned < s->in_len) {
		size_t used = 0;

		switch (json_scan(&s->scan, s->in + s->scanned, s->in_len - s->scanned,
				  s->limits.max_depth, &used)) {
		case JSON_SCAN_MORE:
			s->scanned = s->in_len;
			if (!s->scan.depth) /* only white space: nothing to keep */
				start = s->in_len;
			break;
		case JSON_SCAN_DONE:
			s->scanned += used;
			deliver(s, s->in + start, s->scanned - start);
			start = s->scanned;
			break;
		case JSON_SCAN_GARBAGE:
			die(s, "not a JSON message");
			break;
		case JSON_SCAN_TOO_DEEP:
			die(s, "JSON is nested too deeply");
			break;
		}
	}
	if (s->is_closed)
		return;
	memmove(s->in, s->in + start, s->in_len - start);
	s->in_len -= start;
	s->scanned -= start;
	if (s->in_len > s->limits.max_message_bytes)
		die(s, "message is too long");
	if (!s->in_len && s->in_cap > KEEP_INPUT) {
		free(s->in);
		s->in = NULL;
		s->in_cap = 0;
	}
}

static void on_readable(evutil_socket_t fd, short what, void *aux)
{
	struct stream *s = aux;

	if (s->in_cap - s->in_len < READ_BYTES / 4) {
		s->in_cap = SL_MAX(s->in_cap * 2, (size_t)READ_BYTES / 2);
		s->in = xrealloc(s->in, s->in_cap);
	}
	enter(s);
	ssize_t n = receive(s, s->in + s->in_len,
			    s->ssl ? SL_MIN(s->in_cap - s->in_len, (size_t)READ_BYTES)
				   : s->in_cap - s->in_len);
	if (n > 0) {
		s->last_input_ms = clock_mono_ms();
		s->in_len += (size_t)n;
		consume(s);
		/* TLS may hold decrypted bytes that no socket event will announce. */
		if (s->ssl && !s->is_dead && !s->is_closed && SSL_pending(s->ssl) > 0)
			event_active(s->readable, EV_READ, 1);
	} else if (n != -EAGAIN && n != -EINTR) {
		die(s, n == -ECONNRESET ? "connection closed by peer" : strerror((int)-n));
	}
	leave(s);
}

/* --- output ----------------------------------------------------------------------------------- */

static void mark_dirty(struct stream *s, size_t added)
{
	s->backlog += added;
	if (s->is_dead || s->is_closed)
		return;
	if (s->backlog > s->limits.max_backlog_bytes) {
		enter(s);
		die(s, "reads too slowly: too much unsent output");
		leave(s);
		return;
	}
	if (list_is_empty(&s->dirty_node) && !s->wants_write) {
		if (list_is_empty(&s->hub->dirty))
			event_active(s->hub->flush, EV_TIMEOUT, 1);
		list_push_back(&s->hub->dirty, &s->dirty_node);
	}
}

static void seal_tail(struct stream *s)
{
	if (s->tail.len) {
		struct chunk c = {.len = s->tail.len};

		c.owned = str_steal(&s->tail);
		vec_push(&s->chunks, c);
	}
}

void stream_send(struct stream *s, const char *data, size_t len)
{
	str_put(&s->tail, data, len);
	mark_dirty(s, len);
}

void stream_send_buf(struct stream *s, struct ovsdb_buf *buf)
{
	if (buf->len < COPY_BELOW) {
		stream_send(s, buf->data, buf->len);
		return;
	}
	seal_tail(s);
	buf->refs++;
	struct chunk c = {.shared = buf, .len = buf->len};
	vec_push(&s->chunks, c);
	mark_dirty(s, buf->len);
}

static const char *chunk_data(const struct chunk *c)
{
	return c->shared ? c->shared->data : c->owned;
}

static ssize_t transmit_plain(struct stream *s)
{
	struct iovec iov[MAX_IOV];
	int n = 0;
	size_t skip = s->offset;

	for (size_t i = s->first; i < s->chunks.len && n < MAX_IOV; i++, skip = 0)
		iov[n++] = (struct iovec){(char *)chunk_data(&s->chunks.at[i]) + skip,
					  s->chunks.at[i].len - skip};
	if (n < MAX_IOV && s->tail.len)
		iov[n++] = (struct iovec){s->tail.s + skip, s->tail.len - skip};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
	ssize_t k = sendmsg(s->fd, &msg, MSG_NOSIGNAL);
	return k < 0 ? -errno : k;
}

static ssize_t transmit_tls(struct stream *s)
{
	bool sealed = s->first < s->chunks.len;
	const char *p = sealed ? chunk_data(&s->chunks.at[s->first]) : s->tail.s;
	size_t len = sealed ? s->chunks.at[s->first].len : s->tail.len;

	ERR_clear_error();
	int k = SSL_write(s->ssl, p + s->offset, (int)SL_MIN(len - s->offset, (size_t)1 << 20));
	if (k > 0)
		return k;
	switch (SSL_get_error(s->ssl, k)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	default:
		return -EPROTO;
	}
}

static void advance(struct stream *s, size_t n)
{
	s->backlog -= n;
	n += s->offset;
	while (s->first < s->chunks.len && n >= s->chunks.at[s->first].len) {
		n -= s->chunks.at[s->first].len;
		chunk_free(&s->chunks.at[s->first++]);
	}
	if (s->first == s->chunks.len) {
		s->first = 0;
		vec_clear(&s->chunks);
		if (n == s->tail.len) {
			n = 0;
			if (s->tail.cap > READ_BYTES)
				str_free(&s->tail);
			else
				str_clear(&s->tail);
		}
	}
	s->offset = n;
}

void stream_flush(struct stream *s)
{
	if (s->is_dead || s->is_closed)
		return;
	list_remove(&s->dirty_node);
	if (s->backlog && s->hub->before_write)
		s->hub->before_write(s->hub->aux);
	while (s->backlog) {
		ssize_t n = s->ssl ? transmit_tls(s) : transmit_plain(s);

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN) {
			s->wants_write = true;
			event_add(s->writable, NULL);
			return;
		}
		if (n < 0) {
			enter(s);
			die(s, strerror((int)-n));
			leave(s);
			return;
		}
		advance(s, (size_t)n);
	}
}

static void on_writable(evutil_socket_t fd, short what, void *aux)
{
	struct stream *s = aux;

	s->wants_write = false;
	enter(s);
	stream_flush(s);
	if (leave(s) && s->ssl && !s->is_dead)
		on_readable(fd, what, s); /* a handshake may have waited for this */
}

size_t stream_backlog(const struct stream *s)
{
	return s->backlog;
}

uint64_t stream_last_input_ms(const struct stream *s)
{
	return s->last_input_ms;
}
