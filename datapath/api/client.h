/* SPDX-License-Identifier: BSD-3-Clause */
/* The client's end of datapath.sock: blocking calls for the CLI, and a non-blocking form for an
 * event loop. One api_client belongs to one thread. */
#pragma once
#include "datapath/api/msg.h"

struct api_client;

/* ---- blocking ---- */
/* Connects and says HELLO. `want_writer` asks for the lease: -EBUSY when another client has it.
 * -errno with err set. */
int api_connect(const char *socket_path, const char *program, bool want_writer,
		struct api_client **out, struct err *e);
void api_close(struct api_client *c); /* NULL is fine */
/* Sends `req` (finished here; seq assigned; its memory is taken, the caller's struct is empty
 * after) and waits for the answer. on_reply (may be NULL) is called once per message of the answer;
 * its data is valid during the call. An error answer becomes -errno and err. Events that arrive in
 * between go to the event callback. */
int api_call(struct api_client *c, struct msg *req, void (*on_reply)(struct attrs a, void *aux),
	     void *aux, struct err *e);

/* ---- for event loops ---- */
/* Takes a connected non-blocking descriptor (closed by api_close). The first request must be HELLO
 * (api_hello() builds it); its reply fills api_boot_id() and the like. Replies come in the order of
 * requests. */
int api_client_attach(int fd, struct api_client **out);
void api_hello(struct msg *m, const char *program, bool want_writer);
int api_client_fd(const struct api_client *c);
/* Queues a request (its memory is taken); `done` (may be NULL) is called once per reply message;
 * `more` is false on the last. Error: code and text in err, and `a` is the error message (ERROR_OP,
 * ERROR_OFP …), empty when the connection was lost (ECONNRESET). `done` may call api_send() but not
 * api_close(). */
typedef void (*api_done_fn)(struct attrs a, bool more, const struct err *error, void *aux);
void api_send(struct api_client *c, struct msg *req, api_done_fn done, void *aux);
/* One part of a transaction larger than API_MESSAGE_MAX: goes out with MORE and the sequence number
 * that the next api_send() or api_call() will have; that one is the last part and gets the reply.
 */
void api_send_part(struct api_client *c, struct msg *req);
void api_on_event(struct api_client *c, void (*fn)(struct attrs a, void *aux), void *aux);
/* CAPTURED and TRACED: messages that a request of this connection started. `type`: enum
 * api_message.
 */
void api_on_note(struct api_client *c, void (*fn)(unsigned type, struct attrs a, void *aux),
		 void *aux);
bool api_wants_write(const struct api_client *c);
/* Requests whose answer is not complete. */
unsigned api_waits_for(const struct api_client *c);
/* fn is called when something was queued while nothing was: the loop then waits for writability. */
void api_on_output(struct api_client *c, void (*fn)(void *aux), void *aux);
/* Called when the descriptor is readable or writable. -errno: the connection is lost; close it. */
int api_client_run(struct api_client *c);
int api_client_write(struct api_client *c); /* likewise, but reads nothing */

uint64_t api_boot_id(const struct api_client *c); /* from HELLO */
pid_t api_peer_pid(const struct api_client *c);   /* from HELLO */
uint64_t api_capabilities(const struct api_client *c);
bool api_is_writer(const struct api_client *c);
