/* SPDX-License-Identifier: BSD-3-Clause */
/* What the datapath answers: one request_<ID>() per row of messages.def that clients may send; a
 * missing one does not link. Handlers run on the main thread, never block, and end their request as
 * conn.h says. Their input has passed msg_check(); that it has sense is theirs to judge. */
#pragma once
#include "datapath/server/conn.h"

enum request_who { REQUEST_READ, REQUEST_WRITE, REQUEST_NOTE };

struct request_info {
	enum request_who who;
	void (*handle)(struct conn *c, struct attrs a);
};
const struct request_info *request_info(unsigned type); /* < API_MESSAGE_N */

#define REQUEST_DECLARE_READ(id)  void request_##id(struct conn *c, struct attrs a);
#define REQUEST_DECLARE_WRITE(id) void request_##id(struct conn *c, struct attrs a);
#define REQUEST_DECLARE_NOTE(id)
#define MESSAGE(id, name, who, ...) REQUEST_DECLARE_##who(id)
#include "datapath/api/messages.def"
#undef MESSAGE

/* The writer is gone: nobody is there for what missed. */
void request_miss_upcalls_end(void);
/* Versions, capabilities, boot id, pid: what HELLO and STATUS share. */
void request_put_identity(struct msg *m);
