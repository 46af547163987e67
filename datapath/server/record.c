/* SPDX-License-Identifier: BSD-3-Clause */
/* RECORD, RECORD_READ: one recording at a time, kept in memory until the next one begins. It begins
 * and ends in the main thread's slot, while nothing is on its way between threads. */
#include <errno.h>
#include <stdlib.h>

#include "datapath/base/log.h"
#include "datapath/core/rcu.h"
#include "datapath/core/version.h"
#include "datapath/observe/record.h"
#include "datapath/server/device.h"
#include "datapath/server/port_change.h"
#include "datapath/server/record_state.h"
#include "datapath/server/request.h"
#include "datapath/server/transaction.h"
#include "datapath/table/txn.h"

LOG_MODULE(record);

#define ROOM_MAX (16ull << 30)

static struct recording *stopped; /* what RECORD_READ gives */
static unsigned n_readers;        /* dumps of it */
static struct record_totals last;
static bool last_full;

static void put_answer(struct msg *m)
{
	bool live = record_is_live();
	const struct record_totals *t = live ? record_totals() : &last;
	const struct recording *r = live ? record_file() : stopped;

	msg_put_str(m, ATTR_STATE,
		    live ? record_is_full() ? "full" : "recording"
		    : r  ? last_full ? "full" : "stopped"
			 : "none");
	if (!r)
		return;
	msg_put_u64(m, ATTR_RECORDING_BYTES, recording_bytes(r));
	msg_put_u64(m, ATTR_PKTS, t->pkts);
	msg_put_u64(m, ATTR_LOST, t->lost_pkts);
	msg_put_u64(m, ATTR_HASH, t->hash);
}

/* After this no poll thread is in an iteration that began without a slot. */
static void wait_for_threads(void)
{
	version_lock();
	uint64_t v = version_commit(NULL, 0);
	version_unlock();
	version_wait(v);
}

static void stop(void)
{
	rcu_note_calls(false);
	last_full = record_is_full();
	last = *record_totals();
	stopped = record_stop();
	log_info("recording stopped: %zu bytes, %llu packets", recording_bytes(stopped),
		 (unsigned long long)last.pkts);
}

static int start(uint64_t room, struct err *e)
{
	if (record_is_live())
		return err_set(e, EBUSY, "record: a recording is under way: stop it first");
	if (n_readers)
		return err_set(e, EBUSY, "record: somebody is reading the last recording");
	if (room < RECORDING_BYTES_MIN || room > ROOM_MAX)
		return err_set(e, ERANGE, "record: %llu bytes are not within %d and %llu",
			       (unsigned long long)room, RECORDING_BYTES_MIN, ROOM_MAX);
	if (transaction_is_running() || !port_changes_are_idle() || device_pending() ||
	    !txn_is_idle())
		return err_set(e, EAGAIN, "record: a change is still under way");
	recording_destroy(stopped);
	stopped = NULL;
	record_start(room);
	rcu_note_calls(true);
	wait_for_threads();
	if (!txn_is_idle()) { /* a learn action was faster */
		recording_destroy(record_stop());
		rcu_note_calls(false);
		return err_set(e, EAGAIN, "record: a change is still under way");
	}
	record_state_begin();
	record_state_put();
	if (!record_is_full()) {
		log_info("recording: %zu bytes of configuration and state", //
			 recording_bytes(record_file()));
		return 0;
	}
	stop();
	recording_destroy(stopped);
	stopped = NULL;
	return err_set(e, ENOSPC,
		       "record: what the switch is does not fit into %llu bytes: give more room",
		       (unsigned long long)room);
}

void request_RECORD(struct conn *c, struct attrs a)
{
	const char *state = attrs_str(a, ATTR_STATE, NULL);
	struct err e = {0};
	uint64_t room;

	if (state && strcmp(state, "stop"))
		err_set(&e, EINVAL, "record: state: \"%.40s\" is not stop", state);
	else if (state && !record_is_live())
		err_set(&e, ENOENT, "record: nothing is being recorded");
	else if (state)
		stop();
	else if (attrs_get_u64(a, ATTR_RECORDING_BYTES, &room))
		start(room, &e);
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
	const void *p = recording_piece(stopped, r->next, &len);

	if (!p)
		return false;
	msg_put_bytes(m, ATTR_RECORDING, p, len);
	return recording_piece(stopped, ++r->next, &len);
}

static void free_reading(struct dump *d)
{
	n_readers--;
	free(SL_CONTAINER_OF(d, struct reading, d));
}

void request_RECORD_READ(struct conn *c, struct attrs a)
{
	struct err e = {0};

	if (!stopped) {
		err_set(&e, ENOENT, "record_read: there is no recording that was stopped");
		conn_reply_error(c, &e, NULL, NULL);
		return;
	}
	struct reading *r = xzalloc(sizeof *r);
	r->d = (struct dump){step, free_reading};
	n_readers++;
	conn_dump(c, &r->d);
}
