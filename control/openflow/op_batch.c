/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations on the tables. Single messages are gathered into one transaction as long as more wait
 * in the socket, so that publishing a version costs once for many; when the datapath refuses one of
 * them, nothing has happened, and they are sent again one by one. A bundle is one transaction that
 * is not split. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/openflow/ofswitch_priv.h"
#include "control/openflow/op.h"

enum { BATCH_OPS_MAX = 2048, BATCH_BYTES_MAX = 4 << 20 };

typedef enum ofp_err (*op_fn)(struct ofconn *c, const struct ofmsg *m, struct msg *out);

static const op_fn op_fns[OFMSG_ROW_N] = {
#define OFMSG(kind, number, first, last, len, flags, handler)
#define OFOP(kind, number, first, last, len, flags, name)                                          \
	[OFMSG_ROW_##kind##_##number##_##first##_##name] = op_##name,
#include "control/openflow/messages.def"
#undef OFMSG
#undef OFOP
};

bool ofmsg_is_op(const struct ofmsg *m)
{
	return op_fns[m->row] != NULL;
}

void op_batch_init(struct op_batch *b)
{
	*b = (struct op_batch){0};
	msg_init(&b->transaction, API_TRANSACTION, 0);
}

void op_batch_free(struct op_batch *b)
{
	msg_free(&b->transaction);
	VEC_FOR_EACH (q, &b->requests)
		free(q->bytes);
	vec_free(&b->requests);
}

static bool is_object(const struct ofmsg *m)
{
	return m->kind == OFMSG_NX ? m->number == NXT_GROUP_MOD
				   : m->number == OFPT11_GROUP_MOD || m->number == OFPT13_METER_MOD;
}

/* Of the operation that begins there; it says nothing about where it stands. */
static struct attrs op_attrs(const struct op_batch *b, size_t start)
{
	return attr_nest((const void *)(b->transaction.data + start));
}

enum ofp_err op_batch_add(struct op_batch *b, struct ofconn *c, const struct ofmsg *m)
{
	if (!b->transaction.data)
		op_batch_init(b);
	size_t start = b->transaction.len;
	enum ofp_err err = op_fns[m->row](c, m, &b->transaction);
	if (err) {
		b->transaction.len = start;
		return err;
	}
	b->unforeseen |= !shadow_foresees(op_attrs(b, start));
	uint64_t origin = monitors_origin(c, m->xid);
	if (origin) {
		msg_put_u64(&b->transaction, ATTR_ORIGIN, origin);
		msg_nest_end(&b->transaction, start);
	}
	struct quoted_request q = quote(m);
	q.op_start = start;
	q.op_end = b->transaction.len;
	vec_push(&b->requests, q);
	b->has_objects |= is_object(m);
	b->has_tables |= m->kind == OFMSG_OF && m->number == OFPT11_TABLE_MOD;
	if (b == &c->batch &&
	    (b->requests.len >= BATCH_OPS_MAX || b->transaction.len > BATCH_BYTES_MAX))
		op_batch_flush(c);
	return OFPERR_OK;
}

struct batch_request {
	struct ofrequest r;
	struct op_batch batch;
	struct shadow_plan *plan; /* NULL: the datapath's events tell */
	size_t next;              /* sent one by one: the next to send */
	bool singly;
	batch_done_fn done;
	void *aux;
};

static void release(struct ofrequest *r)
{
	struct batch_request *b = SL_CONTAINER_OF(r, struct batch_request, r);
	op_batch_free(&b->batch);
	shadow_plan_free(b->plan);
}

static void on_batch_reply(struct ofrequest *r, struct attrs a, bool more, const struct err *err);

/* Takes the batch; from then on one operation at a time. */
static void send_next(struct ofswitch *sw, struct ofconn *c, struct op_batch *batch, size_t next)
{
	struct batch_request *again = xzalloc(sizeof *again);
	struct quoted_request *q = &batch->requests.at[next];
	struct msg one;
	msg_init(&one, API_TRANSACTION, 0);
	struct attrs op = op_attrs(batch, q->op_start);
	msg_put_bytes(&one, ATTR_OP, op.data, op.len);
	again->r.on_reply = on_batch_reply;
	again->r.release = release;
	again->batch = *batch;
	again->next = next;
	again->singly = true;
	ofrequest_send(&again->r, sw, c, NULL, &one, true);
}

static void refused(struct batch_request *b, struct attrs a, const struct err *err)
{
	struct ofconn *c = b->r.conn;
	uint64_t index = attrs_u64(a, ATTR_ERROR_OP, 0);
	enum ofp_err e = ofrequest_error(a, err);
	if (b->done) {
		b->done(c, index < b->batch.requests.len ? &b->batch.requests.at[index] : NULL, e,
			b->aux);
	} else if (b->singly) {
		ofconn_send_quoted_error(c, &b->batch.requests.at[b->next], e);
	} else if (b->batch.requests.len == 1) {
		ofconn_send_quoted_error(c, &b->batch.requests.at[0], e);
	}
}

enum { REASON_GROUP_MOD, REASON_METER_MOD };

/* The request as `version` says it; meter mods never changed. */
static bool put_forwarded(struct ofbuf *b, uint8_t version, const struct ofmsg *m)
{
	if (m->kind != OFMSG_OF || (m->number == OFPT11_GROUP_MOD && m->version != version))
		return group_mod_translate(m, version, b);
	ofbuf_u8(b, version);
	ofbuf_put(b, m->data + 1, m->len - 1);
	return true;
}

/* §7.4.6: group and meter mods that worked are told to the other controllers that asked for it. */
static void forward(struct ofconn *from, const struct quoted_request *q)
{
	struct ofmsg m;
	if (ofmsg_parse(q->bytes, q->n, &m) || !is_object(&m))
		return;
	bool meter = m.kind == OFMSG_OF && m.number == OFPT13_METER_MOD;
	unsigned reason = meter ? REASON_METER_MOD : REASON_GROUP_MOD;
	LIST_FOR_EACH (c, struct ofconn, node, &from->sw->conns) {
		if (c == from || c->version < OFP14 ||
		    !ofconn_wants(c, ASYNC_REQUESTFORWARD, reason))
			continue;
		struct ofbuf b = {0};
		size_t at = ofbuf_begin(&b, c->version, OFPT14_REQUESTFORWARD, 0);
		bool has_words = put_forwarded(&b, c->version, &m);
		ofbuf_end(&b, at);
		if (has_words)
			ofconn_send_free(c, &b);
		else
			ofbuf_free(&b);
	}
}

static void on_objects_changed(struct batch_request *b, const struct err *err)
{
	shadow_refresh_soon(b->r.sw);
	if (err)
		return;
	if (b->singly)
		forward(b->r.conn, &b->batch.requests.at[b->next]);
	else
		VEC_FOR_EACH (q, &b->batch.requests)
			forward(b->r.conn, q);
}

static void remember(const struct batch_request *b, struct attrs answer)
{
	const struct op_batch *batch = &b->batch;
	const struct msg *t = &batch->transaction;
	struct attrs ops = {0};
	if (b->plan) {
		shadow_apply(b->r.sw, b->plan, attrs_u64(answer, ATTR_VERSION, 0));
	} else if (b->singly) {
		const struct quoted_request *q = &batch->requests.at[b->next];
		ops = (struct attrs){t->data + q->op_start, q->op_end - q->op_start};
	} else {
		ops = (struct attrs){t->data + sizeof(struct msg_header),
				     t->len - sizeof(struct msg_header)};
	}
	shadow_answered(b->r.sw, ops, answer);
}

static void on_batch_reply(struct ofrequest *r, struct attrs a, bool more, const struct err *err)
{
	struct batch_request *b = SL_CONTAINER_OF(r, struct batch_request, r);
	if (more)
		return;
	if (!err)
		remember(b, a);
	if (err)
		refused(b, a, err);
	else if (b->done)
		b->done(r->conn, NULL, OFPERR_OK, b->aux);
	if (b->batch.has_objects)
		on_objects_changed(b, err);
	if (b->batch.has_tables)
		table_states_load(r->sw);
	if (b->done)
		return;
	size_t next = b->singly ? b->next + 1 : 0;
	bool split = !b->singly && err && b->batch.requests.len > 1;
	if ((b->singly || split) && next < b->batch.requests.len) {
		struct op_batch rest = b->batch;
		b->batch = (struct op_batch){0};
		send_next(r->sw, r->conn, &rest, next);
		/* finish() of this one must not unblock the connection under the next */
		r->blocks = false;
		r->conn->in_flight++;
	}
}

static void start(struct ofconn *c, const struct ofmsg *m, struct op_batch *batch,
		  batch_done_fn done, void *aux)
{
	if (!c->sw->client) {
		if (done)
			done(c, NULL, OFPERR_BRC_EPERM, aux);
		else
			VEC_FOR_EACH (q, &batch->requests)
				ofconn_send_quoted_error(c, q, OFPERR_BRC_EPERM);
		op_batch_free(batch);
		*batch = (struct op_batch){0};
		return;
	}
	struct batch_request *b = xzalloc(sizeof *b);
	struct msg copy = {0};
	b->batch = *batch;
	*batch = (struct op_batch){0};
	b->done = done;
	b->aux = aux;
	b->r.on_reply = on_batch_reply;
	b->r.release = release;
	if (!b->batch.unforeseen && !monitors_are_there(c->sw)) {
		VEC_FOR_EACH (q, &b->batch.requests)
			shadow_plan_add(&b->plan, op_attrs(&b->batch, q->op_start));
		msg_put_flag(&b->batch.transaction, ATTR_QUIET);
	}
	if (b->plan && (done || b->batch.requests.len == 1)) { /* never split */
		copy = b->batch.transaction;
		b->batch.transaction = (struct msg){0};
	} else { /* the batch keeps its bytes: for sending them again, or until all is told */
		copy.data = xmemdup(b->batch.transaction.data, b->batch.transaction.len);
		copy.len = copy.cap = b->batch.transaction.len;
	}
	ofrequest_send(&b->r, c->sw, c, m, &copy, true);
}

void op_batch_flush(struct ofconn *c)
{
	if (c->batch.requests.len)
		start(c, NULL, &c->batch, NULL, NULL);
}

void op_batch_commit(struct ofconn *c, const struct ofmsg *m, struct op_batch *batch,
		     batch_done_fn done, void *aux)
{
	if (batch->requests.len)
		start(c, m, batch, done, aux);
	else
		done(c, NULL, OFPERR_OK, aux);
}
