/* SPDX-License-Identifier: BSD-3-Clause */
/* RECORD, RECORD_READ. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/server/record_ring.h"
#include "datapath/server/request.h"

static void put_answer(struct msg *m)
{
	struct record_ring_info i;

	record_ring_info(&i);
	msg_put_str(m, ATTR_STATE, i.state);
	if (!i.bytes)
		return;
	msg_put_u64(m, ATTR_RECORDING_BYTES, i.bytes);
	msg_put_u64(m, ATTR_PKTS, i.pkts);
	msg_put_u64(m, ATTR_LOST, i.lost_pkts);
	msg_put_u64(m, ATTR_EVICTED, i.evicted_pkts);
	msg_put_u64(m, ATTR_HASH, i.hash);
}

void request_RECORD(struct conn *c, struct attrs a)
{
	const char *state = attrs_str(a, ATTR_STATE, NULL);
	struct err e = {0};
	uint64_t room;

	if (state && strcmp(state, "stop"))
		err_set(&e, EINVAL, "record: state: \"%.40s\" is not stop", state);
	else if (state && !record_ring_is_live())
		err_set(&e, ENOENT, "record: nothing is being recorded");
	else if (state)
		record_ring_stop();
	else if (attrs_get_u64(a, ATTR_RECORDING_BYTES, &room))
		record_ring_start(room, &e);
	if (e.code) {
		conn_reply_error(c, &e, NULL, NULL);
		return;
	}
	put_answer(conn_reply_begin(c));
	conn_reply_end(c);
}

struct reading {
	struct dump d;
	size_t next;
};

static bool step(struct dump *d, struct msg *m)
{
	struct reading *r = SL_CONTAINER_OF(d, struct reading, d);
	size_t len;
	const void *p = record_ring_piece(r->next, &len);

	if (!p)
		return false;
	msg_put_bytes(m, ATTR_RECORDING, p, len);
	return record_ring_piece(++r->next, &len);
}

static void free_reading(struct dump *d)
{
	record_ring_close();
	free(SL_CONTAINER_OF(d, struct reading, d));
}

void request_RECORD_READ(struct conn *c, struct attrs a)
{
	struct err e = {0};

	if (!record_ring_open()) {
		err_set(&e, ENOENT, "record_read: there is no recording that was stopped");
		conn_reply_error(c, &e, NULL, NULL);
		return;
	}
	struct reading *r = xzalloc(sizeof *r);
	r->d = (struct dump){step, free_reading};
	conn_dump(c, &r->d);
}
