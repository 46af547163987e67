/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/server/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "datapath/base/clock.h"
#include "datapath/base/hash.h"
#include "datapath/base/log.h"
#include "datapath/core/pool.h"
#include "datapath/core/rcu.h"
#include "datapath/observe/record.h"
#include "datapath/poll/poll.h"
#include "datapath/server/capture.h"
#include "datapath/server/device.h"
#include "datapath/server/eal.h"
#include "datapath/server/loop.h"
#include "datapath/server/options.h"
#include "datapath/server/packet_in.h"
#include "datapath/server/policy_watch.h"
#include "datapath/server/port_change.h"
#include "datapath/server/record_state.h"
#include "datapath/server/recorded_port.h"
#include "datapath/server/replay_pcap.h"
#include "datapath/server/replay_text.h"
#include "datapath/server/server.h"
#include "datapath/server/transaction.h"
#include "datapath/server/upkeep.h"

enum { MEMORY_MB = 128 };

struct replay {
	struct recording_file file;
	struct recording_cursor at;
	struct record_play play;
	struct replay_pcap *pcap;
	struct err refused; /* of the last CHANGE, which may end in a later slot */
	uint64_t until;     /* slots */
	/* the slot in work */
	size_t slot_at;
	unsigned thread;
	uint64_t now_ns, wall_ms;
	VEC(struct rec_in) inputs;
	VEC(struct record_result) expected;
	struct replay_outcome out;
};

/* ---- attributes ---- */

int replay_attrs(struct rec_in *in, struct replay_attrs *out, struct err *e)
{
	size_t n;
	const uint8_t *p = rec_in_bytes(in, &n);

	msg_init(&out->m, API_TRANSACTION, 0);
	if (in->bad || n > API_MESSAGE_MAX * 16ull) {
		msg_free(&out->m);
		return err_set(e, EINVAL, "is cut short");
	}
	out->m.data = xrealloc(out->m.data, sizeof(struct msg_header) + n);
	memcpy(out->m.data + sizeof(struct msg_header), p, n);
	out->m.len = out->m.cap = sizeof(struct msg_header) + n;
	msg_finish(&out->m);
	int rc = msg_check(out->m.data, out->m.len, e);
	if (rc)
		msg_free(&out->m);
	return rc;
}

int replay_transaction(struct rec_in *in, const char *program, struct err *refused, struct err *e)
{
	struct replay_attrs a;
	int rc = replay_attrs(in, &a, e);

	if (rc)
		return rc;
	err_clear(refused);
	if (transaction_is_running())
		rc = err_set(e, EINVAL, "begins while another one is under way");
	else
		transaction_replay(program, msg_attrs(a.m.data), refused);
	msg_free(&a.m);
	return rc;
}

void replay_settle(void)
{
	while (device_replay_one() || port_change_replay_grace())
		;
	rcu_run(UINT32_MAX);
}

/* ---- one slot ---- */

static int read_slot(struct replay *r, struct rec_in *head, bool *whole, struct err *e)
{
	struct rec_in in;

	*whole = false;
	r->slot_at = head->at;
	r->thread = (unsigned)rec_in_u64(head);
	r->now_ns += rec_in_u64(head);
	r->wall_ms = rec_in_u64(head);
	if (head->bad)
		return rec_in_error(&r->file, head, "is cut short", e);
	vec_clear(&r->inputs);
	vec_clear(&r->expected);
	vec_clear(&r->play.cuts);
	vec_clear(&r->play.shorts);
	vec_clear(&r->play.results);
	while (recording_next(&r->file, &r->at, &in)) {
		struct record_result result;
		struct record_answer answer;

		switch (recording_events[in.type].kind) {
		case REC_KIND_INPUT:
			if (in.type != REC_CUT && in.type != REC_SHORT) {
				vec_push(&r->inputs, in);
				continue;
			}
			answer.at = rec_in_u64(&in);
			answer.value = in.type == REC_SHORT ? rec_in_u64(&in) : 1;
			if (in.type == REC_CUT)
				vec_push(&r->play.cuts, answer);
			else
				vec_push(&r->play.shorts, answer);
			break;
		case REC_KIND_RESULT:
			record_read_result(&in, &result);
			vec_push(&r->expected, result);
			break;
		case REC_KIND_SLOT:
			*whole = in.type == REC_END;
			if (in.type == REC_CLOSE || in.type == REC_PART)
				replay_read_close(&in, &r->out);
			if (in.type == REC_SLOT)
				return rec_in_error(&r->file, &in, "begins within another", e);
			return 0;
		case REC_KIND_START:
			return rec_in_error(&r->file, &in, "comes within a slot", e);
		}
		if (in.bad)
			return rec_in_error(&r->file, &in, "is cut short", e);
	}
	return 0;
}

static int message(struct replay *r, struct rec_in *in, struct err *e)
{
	struct err refused = {0};
	struct replay_attrs a;
	int rc = replay_attrs(in, &a, e);

	if (rc)
		return rc;
	packet_replay(in->type == REC_RESUME, msg_attrs(a.m.data), &refused);
	msg_free(&a.m);
	return 0;
}

static int change(struct replay *r, struct rec_in *in, struct err *e)
{
	char program[64];

	rec_in_str(in, program, sizeof program);
	r->out.n_changes++;
	return replay_transaction(in, program, &r->refused, e);
}

/* What its devices said follows the job, up to the next one. */
static int device(struct replay *r, size_t i, struct err *e)
{
	for (size_t k = i + 1; k < r->inputs.len && r->inputs.at[k].type != REC_DEVICE; k++) {
		struct rec_in *in = &r->inputs.at[k];

		if (in->type != REC_OPENED)
			continue;
		uint64_t id = rec_in_u64(in);
		if (id >= PORT_ID_MAX || !recorded_port_expect((uint32_t)id, in))
			return err_set(e, EINVAL, "says something that cannot be");
	}
	device_replay_one();
	recorded_port_forget();
	return 0;
}

static int play_input(struct replay *r, size_t i, struct err *e)
{
	struct rec_in *in = &r->inputs.at[i];
	bool is_main = r->thread == RECORD_MAIN;
	unsigned n = 0;
	int rc = 0;

	switch (in->type) {
	case REC_RX:
		rc = is_main ? err_set(e, EINVAL, "is in a slot of the main thread")
			     : poll_replay_rx(in, &n, e);
		r->out.n_pkts += n;
		break;
	case REC_SWEEP:
		if (!is_main)
			poll_replay_sweep();
		break;
	case REC_STATE:
		if (!recorded_port_state(in))
			rc = err_set(e, EINVAL, "says something that cannot be");
		break;
	case REC_CHANGE:
		rc = change(r, in, e);
		break;
	case REC_DEVICE:
		rc = device(r, i, e);
		break;
	case REC_GRACE:
		port_change_replay_grace();
		break;
	case REC_TIMER:
		loop_replay_timer(rec_in_u64(in));
		break;
	case REC_EACH:
		loop_replay_each();
		break;
	case REC_COLLECT:
		poll_credit_collect();
		break;
	case REC_RECLAIM:
		rcu_run_held(rec_in_u64(in));
		break;
	case REC_UPCALLS:
		packet_in_replay(rec_in_u64(in));
		break;
	case REC_PACKET_OUT:
	case REC_RESUME:
		rc = message(r, in, e);
		break;
	case REC_OPENED: /* read by DEVICE */
	case REC_CUT:
	case REC_SHORT:
	case REC_NONE:
	case REC_BEGIN:
	case REC_THREAD:
	case REC_PORT:
	case REC_BRIDGE:
	case REC_CONFIG:
	case REC_RULE:
	case REC_MAC:
	case REC_CONN:
	case REC_HELD:
	case REC_EPOCH:
	case REC_READY:
	case REC_SLOT:
	case REC_END:
	case REC_OUT:
	case REC_DROP:
	case REC_MISS:
	case REC_CACHE:
	case REC_CLOSE:
	case REC_PART:
	case REC_N:
		break;
	}
	return rc;
}

static int play_slot(struct replay *r, struct err *e)
{
	bool is_main = r->thread == RECORD_MAIN;
	int rc = 0;

	clock_set(r->now_ns, r->wall_ms);
	record_play_slot();
	if (!is_main && !poll_replay_begin(r->thread))
		return err_set(e, EINVAL, "%s: byte %zu: slot: there is no thread %u", r->file.name,
			       r->slot_at, r->thread);
	rcu_main_enter();
	/* States of ports are read when something is sent, which is at a slot's end. */
	for (size_t i = 0; i < r->inputs.len && !rc; i++) {
		struct err why = {0};

		rc = play_input(r, i, &why);
		if (rc)
			rec_in_error(&r->file, &r->inputs.at[i], why.text, e);
	}
	if (!is_main)
		poll_replay_end();
	else
		rcu_run(UINT32_MAX);
	rcu_main_leave();
	return rc;
}

static void compare(struct replay *r)
{
	size_t n = SL_MAX(r->expected.len, r->play.results.len);

	for (size_t i = 0; i < n; i++) {
		const struct record_result *then = i < r->expected.len ? &r->expected.at[i] : NULL;
		const struct record_result *now =
			i < r->play.results.len ? &r->play.results.at[i] : NULL;
		struct replay_difference d = {
			.slot = r->out.n_slots,
			.thread = r->thread,
			.at_ns = r->now_ns - r->out.begin_ns,
			.byte = r->slot_at,
		};

		replay_count(now, &r->out);
		if (then && now && then->kind == now->kind &&
		    !memcmp(then->v, now->v, sizeof then->v))
			continue;
		if (r->out.n_differences++ >= REPLAY_DIFFERENCES)
			continue;
		replay_describe(then, d.then, sizeof d.then);
		replay_describe(now, d.now, sizeof d.now);
		r->out.difference[r->out.n_differences - 1] = d;
	}
}

/* ---- the whole ---- */

static int read_state(struct replay *r, struct err *e)
{
	struct rec_in in;

	while (recording_next(&r->file, &r->at, &in)) {
		struct err why = {0};

		if (replay_state_event(&in, &why))
			return rec_in_error(&r->file, &in, why.text, e);
		if (in.bad)
			return rec_in_error(&r->file, &in, "is cut short", e);
		r->out.n_threads += in.type == REC_THREAD;
		if (in.type == REC_READY)
			return 0;
	}
	return err_set(e, EINVAL, "%s: byte %zu: what the switch was is not told to its end",
		       r->file.name, r->file.len);
}

static void put_output(void *aux, uint32_t port_id, const struct rte_mbuf *m)
{
	struct replay *r = aux;
	const struct port_object *p = registry_port_by_id(port_id);

	if (r->pcap && port_id < PORT_ID_MAX)
		replay_pcap_put(r->pcap, port_id, p ? p->o.name : "?", m,
				r->wall_ms * 1000000 + r->now_ns % 1000000);
}

static int play_all(struct replay *r, struct err *e)
{
	struct rec_in in;
	bool whole;

	int rc = read_state(r, e);
	r->play.hash = 0;
	while (!rc && recording_next(&r->file, &r->at, &in)) {
		if (in.type == REC_CLOSE || in.type == REC_PART) {
			replay_read_close(&in, &r->out);
			break;
		}
		if (in.type != REC_SLOT)
			return rec_in_error(&r->file, &in, "is not where a slot begins", e);
		if (r->out.n_slots == r->until) {
			r->out.stopped = true;
			break;
		}
		rc = read_slot(r, &in, &whole, e);
		if (rc || !whole) /* the room was full in the middle of it */
			break;
		rc = play_slot(r, e);
		r->out.n_slots++;
		compare(r);
	}
	r->out.hash = r->play.hash;
	return rc;
}

static void remove_dir(char *dir)
{
	rmdir(dir);
	free(dir);
}

static int start(struct replay *r, struct options *o, char **argv, char **dir, struct err *e)
{
	struct eal_result eal;

	*dir = xasprintf("%s/sluice-replay-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(*dir))
		return err_set(e, errno, "%s: %s", *dir, strerror(errno));
	server.rundir = o->rundir = *dir;
	o->no_huge = true;
	o->memory_mb = SL_MAX(o->memory_mb, (unsigned)MEMORY_MB);
	log_set_levels("ANY:console:warn", e);
	int rc = loop_init(e);
	if (!rc)
		rc = eal_start(o, argv, &eal, e);
	if (rc)
		return rc;
	rcu_init();
	rc = pool_init((unsigned)(((uint64_t)o->memory_mb << 20) * 5 / 8 / (POOL_MBUF_BYTES + 192)),
		       e);
	record_play(&r->play);
	port_class_for_all = &port_class_recorded;
	if (!rc)
		rc = poll_init(e);
	/* In the order of main.c: timers are known by their number. */
	policy_watch_start();
	upkeep_start();
	capture_start();
	return rc;
}

static int read_begin(struct replay *r, struct err *e)
{
	struct recording_cursor at = r->at;
	struct replay_begin b = {0};
	struct rec_in in;

	if (!recording_next(&r->file, &at, &in) || in.type != REC_BEGIN)
		return err_set(e, EINVAL, "%s: byte %zu: it does not say how it begins",
			       r->file.name, r->at.at);
	replay_state_read_begin(&in, &b);
	if (in.bad)
		return rec_in_error(&r->file, &in, "is cut short", e);
	hash_set_key(b.hash_key);
	clock_set(b.mono_ns, b.wall_ms);
	r->now_ns = r->out.begin_ns = b.mono_ns;
	r->wall_ms = b.wall_ms;
	return 0;
}

struct job {
	struct options *o;
	char **argv;
	const struct recording_file *file;
	unsigned part, n_parts;
	bool write_file;
	uint64_t until; /* slots of this part */
};

static int run_part(const struct job *j, struct replay_outcome *out, struct err *e)
{
	struct replay *r = xzalloc(sizeof *r);
	char *dir = NULL;
	int rc;

	r->file = *j->file;
	r->until = j->until;
	recording_part(&r->file, j->part, &r->at);
	rc = read_begin(r, e);
	if (!rc && j->write_file && j->o->write)
		rc = replay_pcap_create(j->o->write, j->part > 0, &r->pcap, e);
	r->play.output = put_output;
	r->play.aux = r;
	if (!rc)
		rc = start(r, j->o, j->argv, &dir, e);
	if (!rc)
		rc = play_all(r, e);
	int closed = replay_pcap_close(r->pcap, e);
	replay_add(out, &r->out);
	if (dir) {
		eal_stop();
		remove_dir(dir);
	}
	return rc ? rc : closed;
}

struct apart { /* what a run of its own process found out */
	int rc;
	struct err e;
	struct replay_outcome out;
};

static bool read_whole(int fd, void *p, size_t len)
{
	for (size_t n = 0; n < len;) {
		ssize_t got = read(fd, (char *)p + n, len - n);

		if (got <= 0 && !(got < 0 && errno == EINTR))
			return false;
		n += got > 0 ? (size_t)got : 0;
	}
	return true;
}

static bool write_whole(int fd, const void *p, size_t len)
{
	for (size_t n = 0; n < len;) {
		ssize_t put = write(fd, (const char *)p + n, len - n);

		if (put < 0 && errno != EINTR)
			return false;
		n += put > 0 ? (size_t)put : 0;
	}
	return true;
}

/* In a process of its own: the tables of a datapath are there once in one. */
static int run_apart(int (*run)(const struct job *j, struct replay_outcome *out, struct err *e),
		     const struct job *j, struct replay_outcome *out, struct err *e)
{
	struct apart *a = xzalloc(sizeof *a);
	int fds[2], status = 0, rc;

	if (pipe(fds)) {
		free(a);
		return err_set(e, errno, "pipe: %s", strerror(errno));
	}
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		a->rc = run(j, &a->out, &a->e);
		_exit(write_whole(fds[1], a, sizeof *a) ? 0 : 2);
	}
	int why = errno;
	close(fds[1]);
	bool whole = pid > 0 && read_whole(fds[0], a, sizeof *a);
	close(fds[0]);
	if (pid > 0)
		waitpid(pid, &status, 0);
	if (pid < 0)
		rc = err_set(e, why, "fork: %s", strerror(why));
	else if (!whole)
		rc = err_set(e, EIO, "%s: one of the runs ended early (status %d)", j->file->name,
			     status);
	else if (a->rc)
		rc = err_set(e, a->e.code, "%s", a->e.text);
	else
		rc = 0;
	if (!rc)
		*out = a->out;
	free(a);
	return rc;
}

/* All parts, one after the other. */
static int run(const struct job *whole, struct replay_outcome *out, struct err *e)
{
	struct replay_outcome *part = xzalloc(sizeof *part);
	struct job j = *whole;
	int rc = 0;

	if (j.n_parts == 1)
		rc = run_part(&j, out, e);
	for (; j.n_parts > 1 && j.part < j.n_parts && !rc && !out->stopped; j.part++) {
		j.until = whole->until - out->n_slots;
		rc = run_apart(run_part, &j, part, e);
		part->n_parts = 0; /* it is one */
		replay_add(out, part);
	}
	free(part);
	return rc;
}

int replay_main(struct options *o, char **argv, struct err *e)
{
	struct replay_outcome *out = xzalloc(sizeof *out), *again = xzalloc(sizeof *again);
	struct recording_file file;
	struct recording_cursor at;
	struct job j = {.o = o, .argv = argv, .file = &file, .until = UINT64_MAX};
	unsigned n_different = 0;
	VEC(uint64_t) hashes = {0};
	int rc = recording_load(o->replay, &file, e);

	if (o->until)
		j.until = o->until;
	while (!rc && recording_part(&file, j.n_parts, &at))
		j.n_parts++;
	for (unsigned i = 1; i < o->repeat && !rc; i++) {
		rc = run_apart(run, &j, again, e);
		vec_push(&hashes, again->hash);
	}
	j.write_file = true;
	if (!rc)
		rc = run(&j, out, e);
	VEC_FOR_EACH (h, &hashes)
		n_different += *h != out->hash;
	out->n_runs = 1 + (unsigned)hashes.len;
	out->n_runs_different = n_different;
	if (!rc) {
		replay_print(o->replay, out, o->json);
		rc = replay_is_equal(out) ? 0 : 1;
	}
	vec_free(&hashes);
	free(again);
	free(out);
	return rc;
}
