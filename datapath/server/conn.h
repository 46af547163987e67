/* SPDX-License-Identifier: BSD-3-Clause */
/* The connections on datapath.sock: reading whole messages, answering them in order, streaming
 * dumps and events as fast as the peer reads, and the writer's lease. Main thread only.
 *
 * One request of a connection is in work at a time; while it is, the connection is not read. A
 * request is ended by exactly one of conn_reply_end(), conn_reply_error(), the end of a dump. */
#pragma once
#include "datapath/api/msg.h"
#include "datapath/base/err.h"

struct conn;
struct transaction;

enum {
	CONNS_MAX = 256,
	CONN_OUT_LOW_BYTES = 256 << 10, /* below: a dump or the event ring puts more */
	/* Whoever gets an answer knows what the request did, even if we are gone the next moment:
	 * the events go out before it. A million of them would keep it waiting. */
	CONN_EVENTS_WITH_ANSWER = 512,
	CONN_PACKET_IN_BYTES = 4 << 20 /* above: packet-ins to this client are dropped */
};

/* Binds and listens; mode 0600. Peers must be root or our own user. */
int conn_listen(const char *path, struct err *e);
void conn_close_all(void); /* and the socket, which is unlinked */

/* ---- answering the request in work ---- */
struct msg *conn_reply_begin(struct conn *c); /* one at a time, over all connections */
void conn_reply_end(struct conn *c);
/* `extra` (may be NULL) adds attributes to the error message. */
void conn_reply_error(struct conn *c, const struct err *e,
		      void (*extra)(struct msg *m, const void *aux), const void *aux);
void conn_reply_ok(struct conn *c); /* nothing to say */

struct dump { /* embedded in its kind's state */
	/* Puts objects into m until it has about DUMP_STEP_BYTES or there are no more: then false.
	 * A step that puts nothing and returns true is not sent: long work in small pieces. */
	bool (*step)(struct dump *d, struct msg *m);
	void (*free)(struct dump *d);
};
enum { DUMP_STEP_BYTES = 64 << 10 };
void conn_dump(struct conn *c, struct dump *d); /* takes d */

/* ---- who ---- */
const char *conn_program(const struct conn *c);
bool conn_is_writer(const struct conn *c);
const char *conn_writer_program(void); /* NULL: nobody has the lease */
size_t conn_count(void);
uint64_t conn_writes(void); /* requests that need the lease, since the start */

/* ---- a transaction in work or being collected ---- */
struct transaction *conn_transaction(const struct conn *c);
void conn_set_transaction(struct conn *c, struct transaction *t);
uint32_t conn_seq(const struct conn *c); /* of the request in work */
/* The request in work is one part of a larger one: read on without an answer. */
void conn_await_part(struct conn *c);

/* ---- events ---- */
/* Puts out what there are of events before the answer. False: not all of them, because it is too
 * much; the rest comes behind it. */
bool conn_tell_all(struct conn *c);
/* Events in the mask from number `from` on (0: from now on). Returns the first that will come. */
uint64_t conn_subscribe(struct conn *c, uint64_t mask, uint64_t from);
/* Sends an unnumbered event to all that subscribed to its kind and keep up. Frees m. How many. */
unsigned conn_broadcast(enum api_event kind, struct msg *m);
/* Is somebody subscribed to the kind who still takes packet-ins; is somebody subscribed at all? */
bool conn_anyone_wants(enum api_event kind);
bool conn_has_subscriber(enum api_event kind, bool other_than_writer);
void conn_tell_events(uint64_t now_ms); /* in every iteration: what no answer took along */

/* ---- notes to one client ---- */
/* Takes and frees m (not finished); false: the client lags, nothing was sent. */
bool conn_send_note(struct conn *c, struct msg *m);
/* Called when a connection ends, before its memory goes. One listener: captures. */
extern void (*conn_ended)(struct conn *c);
