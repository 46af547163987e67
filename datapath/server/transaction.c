/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/server/transaction.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/log.h"
#include "datapath/base/vec.h"
#include "datapath/flow/extract.h"
#include "datapath/observe/record.h"
#include "datapath/poll/poll.h"
#include "datapath/server/events.h"
#include "datapath/server/op.h"
#include "datapath/server/port_change.h"
#include "datapath/server/port_watch.h"
#include "datapath/server/record_state.h"
#include "datapath/server/request.h"
#include "datapath/server/server.h"
#include "datapath/server/upkeep.h"

LOG_MODULE(transaction);

enum { TRANSACTION_BYTES_MAX = 1 << 30 };

struct part {
	uint8_t *data; /* attributes of one message */
	size_t len;
};

struct transaction {
	struct list link;  /* in `waiting` */
	struct conn *conn; /* NULL: gone, nobody wants the reply */
	char program[64];
	uint32_t seq;
	VEC(struct part) parts;
	size_t bytes;
	VEC(struct op) ops;
	struct op_effects fx;
	bool quiet;  /* QUIET */
	bool untold; /* not all of what was done to rules is an event yet */
	uint32_t failed_op;
	struct err err;
	struct err *replay_err; /* replay: where what it was refused for goes, as long as it runs */
};

static struct list waiting = {&waiting, &waiting};
static struct transaction *running;

static const struct op_info infos[API_OP_N] = {
#define API_OP(id, ...) [API_OP_##id] = {op_stage_##id, op_apply_##id},
#include "datapath/api/ops.def"
#undef API_OP
};

const struct op_info *op_info(unsigned type)
{
	return &infos[type];
}

bool transaction_is_running(void)
{
	return running;
}

/* ---- life ---- */

static void destroy(struct transaction *t)
{
	VEC_FOR_EACH (p, &t->parts)
		free(p->data);
	VEC_FOR_EACH (op, &t->ops) {
		config_put(op->base);
		config_put(op->staged);
	}
	op_free_policy(&t->fx);
	vec_free(&t->parts);
	vec_free(&t->ops);
	free(t);
}

void transaction_orphan(struct transaction *t)
{
	t->conn = NULL;
	if (t != running && list_is_empty(&t->link))
		destroy(t); /* was still being collected */
}

static void start_next(void);

static void put_failure(struct msg *m, const void *aux)
{
	const struct transaction *t = aux;

	msg_put_u32(m, ATTR_ERROR_OP, t->failed_op);
	if (t->fx.ofp_error)
		msg_put_u32(m, ATTR_ERROR_OFP, t->fx.ofp_error);
}

static void put_success(struct transaction *t, uint64_t version)
{
	bool told = conn_tell_all(t->conn) && !t->untold;
	struct msg *m = conn_reply_begin(t->conn);

	msg_put_u64(m, ATTR_VERSION, version);
	if (!told)
		msg_put_flag(m, ATTR_UNTOLD);
}

/* Answers, frees, and starts the next one. */
static void finish(struct transaction *t, uint64_t version)
{
	struct conn *c = t->conn;

	running = NULL;
	if (t->replay_err)
		*t->replay_err = t->err;
	if (c) {
		conn_set_transaction(c, NULL);
		if (t->err.code) {
			conn_reply_error(c, &t->err, put_failure, t);
		} else {
			put_success(t, version);
			conn_reply_end(c);
		}
	}
	destroy(t);
	start_next();
}

/* ---- failing ---- */

static void undone(void)
{
	registry_abort();
	finish(running, 0);
}

/* t->err and t->failed_op are set. */
static void fail(struct transaction *t)
{
	const char *op = t->failed_op < t->ops.len ? api_op_names[t->ops.at[t->failed_op].type]
						   : "operation";

	log_info("%s: refused: %s %u: %s", t->program, op, t->failed_op, t->err.text);
	op_undo_pins();
	op_undo_poll(&t->fx);
	port_changes_undo(undone);
}

/* ---- going forward ---- */

static void announce(const struct transaction *t, uint64_t version)
{
	struct msg *m = events_begin(API_EVENT_CONFIG);

	msg_put_str(m, ATTR_PROGRAM, t->program);
	msg_put_u64(m, ATTR_VERSION, version);
	msg_put_u64(m, ATTR_GENERATION, server.generation);
	events_end();
}

/* Of the ports in this transaction: whoever is new to a bridge has its link known there. */
static void tell_links(void)
{
	LIST_FOR_EACH (o, struct object, touched_link, &registry_touched_ports) {
		const struct port_object *p = SL_CONTAINER_OF(o, struct port_object, o);

		if (p->port && o->staged_exists)
			port_watch_link(p);
	}
}

/* The compiled form of a policy cannot be asked back from it: recordings need what made it. */
static void keep_policy(const struct transaction *t)
{
	bool first = true;

	VEC_FOR_EACH (op, &t->ops)
		if (op->type == API_OP_POLICY_SET) {
			record_state_policy(op->a, first);
			first = false;
		}
}

static void commit(struct transaction *t)
{
	uint64_t version = txn_commit(&t->fx.txn);

	version_wait(version);
	keep_policy(t);
	if (t->fx.has_generation)
		server.generation = t->fx.generation;
	tell_links();
	port_changes_finish();
	registry_commit();
	if (t->fx.vlan_limit)
		flow_extract_set_vlan_limit(t->fx.vlan_limit);
	if (t->fx.flush_cache || t->fx.vlan_limit)
		poll_cache_flush();
	if (t->fx.config_changed)
		announce(t, version);
	t->untold = !upkeep_tell();
	finish(t, version);
}

static int apply_poll(struct transaction *t)
{
	VEC_FOR_EACH (op, &t->ops)
		if (op_apply_poll(op, &t->fx, &t->err) || op_apply_pin(op, &t->err)) {
			t->failed_op = op->index;
			return -t->err.code;
		}
	return 0;
}

static void apply(struct transaction *t)
{
	if (port_changes_publish(&t->failed_op, &t->err) || apply_poll(t)) {
		fail(t);
		return;
	}
	txn_begin(&t->fx.txn);
	t->fx.txn.quiet = t->quiet;
	VEC_FOR_EACH (op, &t->ops) {
		t->fx.txn.origin = attrs_u64(op->a, ATTR_ORIGIN, 0);
		int rc = infos[op->type].apply(op, &t->fx, &t->err);

		if (rc) {
			err_set(&t->err, -rc, "%s: %s", api_op_names[op->type], strerror(-rc));
			t->failed_op = op->index;
			txn_abort(&t->fx.txn);
			fail(t);
			return;
		}
	}
	commit(t);
}

static void devices_done(const struct err *e)
{
	struct transaction *t = running;

	if (e) {
		t->err = *e;
		fail(t);
	} else {
		apply(t);
	}
}

static int find_ops(struct transaction *t)
{
	VEC_FOR_EACH (part, &t->parts) {
		struct attrs all = {part->data, part->len};

		ATTR_FOR_EACH (a, all) {
			t->quiet |= (a->id & ~ATTR_CRITICAL) == ATTR_QUIET;
			if ((a->id & ~ATTR_CRITICAL) != ATTR_OP)
				continue;
			struct op op = {.a = attr_nest(a), .index = (uint32_t)t->ops.len};
			uint64_t type = attrs_u64(op.a, ATTR_OP_TYPE, API_OP_N);

			if (type >= API_OP_N) {
				t->failed_op = op.index;
				return err_set(&t->err, EOPNOTSUPP,
					       "transaction: operation %u is of an unknown type",
					       op.index);
			}
			op.type = (uint16_t)type;
			vec_push(&t->ops, op);
		}
	}
	return 0;
}

static bool has_op(const struct transaction *t, enum api_op type)
{
	VEC_FOR_EACH (op, &t->ops)
		if (op->type == type)
			return true;
	return false;
}

static int stage_all(struct transaction *t)
{
	VEC_FOR_EACH (op, &t->ops) {
		int rc = infos[op->type].stage(op, &t->fx, &t->err);

		if (rc) {
			t->failed_op = op->index;
			return err_set(&t->err, -rc, "%s: %s", api_op_names[op->type],
				       strerror(-rc));
		}
	}
	return port_changes_plan(&t->failed_op, &t->err);
}

/* One that was refused so far has changed nothing: it is not part of a recording. */
static void record(const struct transaction *t)
{
	struct recording *r = record_begin(REC_CHANGE);
	uint8_t *to;

	if (!r)
		return;
	recording_put_bytes(r, t->program, strlen(t->program));
	to = recording_put_room(r, t->bytes);
	VEC_FOR_EACH (p, &t->parts) {
		memcpy(to, p->data, p->len);
		to += p->len;
	}
	record_end();
}

static void begin(void)
{
	struct transaction *t = running;

	if (t->err.code || stage_all(t)) {
		fail(t);
		return;
	}
	if (record_is_live())
		record(t);
	port_changes_run(&t->failed_op, devices_done);
}

static void start_next(void)
{
	if (running || list_is_empty(&waiting))
		return;
	running = LIST_ITEM(list_pop_front(&waiting), struct transaction, link);
	if (!running->err.code)
		find_ops(running);
	/* What a new port wants may still be in the hands of one on its way out. */
	if (has_op(running, API_OP_PORT_SET))
		port_closes_wait(begin);
	else
		begin();
}

/* ---- collecting ---- */

static void add_part(struct transaction *t, struct attrs a)
{
	if (t->err.code)
		return; /* the rest of what is refused already */
	if (t->bytes + a.len > TRANSACTION_BYTES_MAX) {
		err_set(&t->err, EMSGSIZE, "transaction: longer than %d bytes",
			TRANSACTION_BYTES_MAX);
		return;
	}
	t->bytes += a.len;
	vec_push(&t->parts, (struct part){xmemdup(a.data, a.len), a.len});
}

int transaction_replay(const char *program, struct attrs a, struct err *e)
{
	struct transaction *t;

	if (running)
		return err_set(e, EBUSY, "a transaction begins within another");
	t = xzalloc(sizeof *t);
	list_init(&t->link);
	t->replay_err = e;
	strncpy(t->program, program, sizeof t->program - 1);
	add_part(t, a);
	list_push_back(&waiting, &t->link);
	start_next();
	return -e->code;
}

void request_TRANSACTION(struct conn *c, struct attrs a)
{
	struct transaction *t = conn_transaction(c);

	if (t && t->seq != conn_seq(c)) {
		/* The peer began another one: the first was given up half-way. */
		transaction_orphan(t);
		t = NULL;
	}
	if (!t) {
		t = xzalloc(sizeof *t);
		list_init(&t->link);
		t->conn = c;
		t->seq = conn_seq(c);
		strncpy(t->program, conn_program(c), sizeof t->program - 1);
		conn_set_transaction(c, t);
	}
	add_part(t, a);
	if (attrs_has(a, ATTR_MORE)) {
		conn_await_part(c);
		return;
	}
	list_push_back(&waiting, &t->link);
	start_next();
}
