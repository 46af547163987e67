/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/server/record_ring.h"

#include <errno.h>

#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/base/vec.h"
#include "datapath/core/rcu.h"
#include "datapath/core/version.h"
#include "datapath/observe/record.h"
#include "datapath/poll/poll.h"
#include "datapath/server/device.h"
#include "datapath/server/loop.h"
#include "datapath/server/port_change.h"
#include "datapath/server/record_state.h"
#include "datapath/server/transaction.h"
#include "datapath/table/txn.h"

LOG_MODULE(record);

struct part {
	struct recording *r;
	struct record_totals t;
};

static struct {
	VEC(struct part) parts; /* that ended, the oldest first; the last of a stopped one too */
	uint64_t room, limit, state_bytes, evicted_pkts;
	unsigned n_readers;
	bool full; /* ended because what the switch is grew too large */
} ring;

static bool fits(uint64_t state_bytes)
{
	return state_bytes <= ring.room / 8 * 3;
}

/* What is on its way between threads would be missing in a part that begins now. */
static bool is_quiet(void)
{
	return !transaction_is_running() && port_changes_are_idle() && !device_pending() &&
	       txn_is_idle() && poll_record_is_idle();
}

static void forget(void)
{
	VEC_FOR_EACH (p, &ring.parts)
		recording_destroy(p->r);
	vec_clear(&ring.parts);
	ring.evicted_pkts = 0;
	ring.full = false;
}

/* What the switch is has been put: what the part may become. */
static void set_limit(void)
{
	ring.state_bytes = recording_bytes(record_file());
	ring.limit = SL_MIN(SL_MAX(ring.room / 4, 2 * ring.state_bytes), ring.room / 2);
	recording_limit(record_file(), ring.limit);
}

static void make_room(void)
{
	uint64_t bytes = ring.limit;
	size_t drop = 0;

	VEC_FOR_EACH (p, &ring.parts)
		bytes += recording_bytes(p->r);
	for (; drop < ring.parts.len && bytes > ring.room; drop++) {
		bytes -= recording_bytes(ring.parts.at[drop].r);
		ring.evicted_pkts += ring.parts.at[drop].t.pkts;
		recording_destroy(ring.parts.at[drop].r);
	}
	ring.parts.len -= drop;
	for (size_t i = 0; i < ring.parts.len; i++)
		ring.parts.at[i] = ring.parts.at[i + drop];
}

/* ---- life ---- */

bool record_ring_is_live(void)
{
	return record_is_live();
}

static void end(struct recording *r, const struct record_totals *t)
{
	record_close(r, t, false, ring.evicted_pkts);
	vec_push(&ring.parts, (struct part){r, *t});
}

void record_ring_stop(void)
{
	struct record_totals t = *record_totals();

	rcu_note_calls(false);
	struct recording *r = record_stop();
	t.slots = record_totals()->slots; /* the slot in work has ended */
	end(r, &t);
	log_info("recording stopped: %zu part%s, %llu packets in the last", ring.parts.len,
		 ring.parts.len == 1 ? "" : "s", (unsigned long long)t.pkts);
}

/* After this no poll thread is in an iteration that began without a slot. */
static void wait_for_threads(void)
{
	version_lock();
	uint64_t v = version_commit(NULL, 0);
	version_unlock();
	version_wait(v);
}

static int give_up(int code, const char *why, struct err *e)
{
	rcu_note_calls(false);
	recording_destroy(record_stop());
	return err_set(e, code, "record: %s", why);
}

int record_ring_start(uint64_t room, struct err *e)
{
	static const char *const not_yet = "a change is still under way";

	if (record_is_live())
		return err_set(e, EBUSY, "record: a recording is under way: stop it first");
	if (ring.n_readers)
		return err_set(e, EBUSY, "record: somebody is reading the last recording");
	if (room < RECORD_ROOM_MIN || room > RECORD_ROOM_MAX)
		return err_set(e, ERANGE, "record: %llu bytes are not within %u and %llu",
			       (unsigned long long)room, RECORD_ROOM_MIN, RECORD_ROOM_MAX);
	if (!is_quiet())
		return err_set(e, EAGAIN, "record: %s", not_yet);
	forget();
	ring.room = room;
	record_start(room);
	rcu_note_calls(true);
	wait_for_threads();
	if (!is_quiet()) /* a poll thread was faster */
		return give_up(EAGAIN, not_yet, e);
	record_state_begin();
	record_state_put();
	if (record_is_full() || !fits(recording_bytes(record_file())))
		return give_up(
			ENOSPC,
			"what the switch is takes more than three eighths of the room: give more",
			e);
	set_limit();
	loop_at_end(record_ring_turn);
	log_info("recording: %zu bytes of configuration and state", recording_bytes(record_file()));
	return 0;
}

/* The part in work has half of what it may have, or took nothing more. */
static bool is_time(void)
{
	uint64_t bytes = recording_bytes(record_file());

	return record_is_full() || bytes >= ring.state_bytes + (ring.limit - ring.state_bytes) / 2;
}

void record_ring_turn(void)
{
	struct record_totals t;

	if (ring.full || !is_time())
		return;
	rcu_run(UINT32_MAX);
	uint64_t n = rcu_take_calls();
	if (n)
		record_number(REC_RECLAIM, n);
	if (!is_quiet())
		return;
	record_state_begin();
	struct recording *before = record_turn(ring.room, &t);
	record_state_put();
	if (record_is_full() || !fits(recording_bytes(record_file()))) {
		/* It has grown since: the recording ends where the part before ended. */
		ring.full = true;
		rcu_note_calls(false);
		recording_destroy(record_stop());
		end(before, &t);
		log_warn("recording ended: what the switch is takes more than three eighths of its "
			 "room");
		return;
	}
	record_close(before, &t, true, ring.evicted_pkts);
	vec_push(&ring.parts, (struct part){before, t});
	set_limit();
	make_room();
}

/* ---- reading ---- */

static void count(struct record_ring_info *out, unsigned part, const struct recording *r,
		  const struct record_totals *t)
{
	out->bytes += recording_bytes(r);
	out->pkts += t->pkts;
	out->lost_pkts += t->lost_pkts;
	out->hash = record_hash_part(out->hash, part, t->hash);
}

void record_ring_info(struct record_ring_info *out)
{
	bool live = record_is_live();

	*out = (struct record_ring_info){
		.state = live             ? "recording"
			 : ring.full      ? "full"
			 : ring.parts.len ? "stopped"
					  : "none",
		.evicted_pkts = ring.evicted_pkts,
	};
	for (size_t i = 0; i < ring.parts.len; i++)
		count(out, (unsigned)i, ring.parts.at[i].r, &ring.parts.at[i].t);
	if (live)
		count(out, (unsigned)ring.parts.len, record_file(), record_totals());
}

bool record_ring_open(void)
{
	if (record_is_live() || !ring.parts.len)
		return false;
	ring.n_readers++;
	return true;
}

void record_ring_close(void)
{
	ring.n_readers--;
}

const void *record_ring_piece(size_t i, size_t *len)
{
	for (size_t part = 0; part < ring.parts.len; part++) {
		const void *p;
		size_t n = 0;

		while ((p = recording_piece(ring.parts.at[part].r, n, len)) && i) {
			n++;
			i--;
		}
		if (p)
			return p;
	}
	return NULL;
}
