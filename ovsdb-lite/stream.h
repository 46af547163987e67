/* SPDX-License-Identifier: BSD-3-Clause */
/* JSON messages back to back over a socket, with or without TLS (RFC 7047 §4: no delimiter). Used
 * by server sessions, the client and control sockets. Output is queued and written once per pass of
 * the event loop, so that replies and updates of one pass share a system call; large texts are
 * shared between streams by reference. Input is bounded by max_message, nesting by max_depth,
 * output by max_backlog. Event-loop thread. */
#pragma once
#include <jansson.h>
#include <openssl/types.h>

#include "datapath/base/list.h"
#include "datapath/base/str.h"

struct event_base;
struct event;

/* Immutable text that several output queues share. */
struct ovsdb_buf {
	uint32_t refs;
	size_t len;
	char data[];
};
struct ovsdb_buf *ovsdb_buf_new(const char *data, size_t len);
void ovsdb_buf_unref(struct ovsdb_buf *b); /* NULL is fine */

/* Streams that have something to write, flushed together. One per server, client, … */
struct stream_hub {
	struct event_base *base;
	struct event *flush;
	struct list dirty;
	/* Called before anything is written; NULL = nothing to do. Must be cheap. */
	void (*before_write)(void *aux);
	void *aux;
};
void stream_hub_init(struct stream_hub *h, struct event_base *base);
void stream_hub_destroy(struct stream_hub *h); /* after its streams */

struct stream_limits {
	size_t max_message_bytes, max_backlog_bytes;
	unsigned max_depth;
};
struct stream_ops {
	/* One message; borrowed. May close the stream. */
	void (*message)(void *aux, json_t *msg);
	/* The peer went away, broke a limit or sent garbage. The stream is dead: close it. */
	void (*dead)(void *aux, const char *why);
};

struct stream;
/* Takes fd (made non-blocking) and ssl (NULL = plain; its handshake state is set). */
struct stream *stream_create(struct stream_hub *hub, int fd, SSL *ssl,
			     const struct stream_limits *limits, const struct stream_ops *ops,
			     void *aux);
/* Frees it, now or when the callback it is in returns; queued output is lost unless flushed. */
void stream_close(struct stream *s);
void stream_send(struct stream *s, const char *data, size_t len);
void stream_send_buf(struct stream *s, struct ovsdb_buf *buf); /* takes no reference */
void stream_flush(struct stream *s);
size_t stream_backlog(const struct stream *s);
uint64_t stream_last_input_ms(const struct stream *s);
