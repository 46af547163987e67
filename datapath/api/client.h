/* SPDX-License-Identifier: BSD-3-Clause */
/* The client's end of datapath.sock: blocking calls for the CLI, and a non-blocking form for an
 * event loop. One api_client belongs to one thread. */
#pragma once
#include "datapath/api/msg.h"

struct api_client;

/* ---- blocking ---- */
/* Connects and says HELLO. `want_writer` asks for the lease. -errno with err set. */
int api_connect(const char *socket_path, const char *program, bool want_writer,
		struct api_client **out, struct err *e);
void api_close(struct api_client *c); /* NULL is fine */
/* Sends `req` (finished here; seq assigned) and waits for the answer. on_reply is called once per
 * message of the answer; its data is valid during the call. An error answer becomes -errno and err.
 * Events that arrive in between go to the event callback. */
int api_call(struct api_client *c, struct msg *req, void (*on_reply)(struct attrs a, void *aux),
	     void *aux, struct err *e);

/* ---- for event loops ---- */
/* Takes a connected non-blocking descriptor. Replies come in the order of requests. */
int api_client_attach(int fd, struct api_client **out);
int api_client_fd(const struct api_client *c);
/* Queues a request; `done` is called once per reply message; `more` is false on the last; error:
 * code and text in err (then a is empty). A lost connection ends all with ECONNRESET. */
typedef void (*api_done_fn)(struct attrs a, bool more, const struct err *error, void *aux);
void api_send(struct api_client *c, struct msg *req, api_done_fn done, void *aux);
void api_on_event(struct api_client *c, void (*fn)(struct attrs a, void *aux), void *aux);
bool api_wants_write(const struct api_client *c);
/* Called when the descriptor is readable or writable. -errno: the connection is lost; close it. */
int api_client_run(struct api_client *c);

uint64_t api_boot_id(const struct api_client *c); /* from HELLO */
uint64_t api_capabilities(const struct api_client *c);
bool api_is_writer(const struct api_client *c);
