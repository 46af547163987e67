/* SPDX-License-Identifier: BSD-3-Clause */
/* Bundles (§6.9, §7.3.10; ONF extension 230 in 1.3): messages are checked when they are added and
 * become one transaction of the datapath, which sees all of it or nothing. Flow, group, meter and
 * table mods go in order; port mods and packet-outs follow once the transaction stands. */
#include <stdlib.h>
#include <string.h>

#include "control/openflow/op.h"
#include "datapath/base/clock.h"

enum {
	BUNDLES_MAX = 16,
	MESSAGES_MAX = 1000000,
	BUNDLE_BYTES_MAX = 1 << 30,
	BUNDLE_IDLE_MS = 10000
};

static void free_bundle(struct ofconn *c, struct bundle *b)
{
	list_remove(&b->node);
	c->n_bundles--;
	op_batch_free(&b->batch);
	VEC_FOR_EACH (o, &b->others)
		ofbuf_free(o);
	vec_free(&b->others);
	free(b);
}

void bundles_free(struct ofconn *c)
{
	LIST_FOR_EACH_SAFE (b, struct bundle, node, &c->bundles)
		free_bundle(c, b);
}

static struct bundle *find(struct ofconn *c, uint32_t id)
{
	LIST_FOR_EACH (b, struct bundle, node, &c->bundles)
		if (b->id == id)
			return b;
	return NULL;
}

/* What its controller has forgotten makes room. */
static void drop_idle(struct ofconn *c)
{
	uint64_t now = clock_mono_ms();
	LIST_FOR_EACH_SAFE (b, struct bundle, node, &c->bundles)
		if (now - b->touched_ms > BUNDLE_IDLE_MS)
			free_bundle(c, b);
}

static enum ofp_err open_bundle(struct ofconn *c, uint32_t id, uint16_t flags, struct bundle **out)
{
	if (find(c, id))
		return OFPERR_BFC_BAD_ID;
	drop_idle(c);
	if (c->n_bundles >= BUNDLES_MAX)
		return OFPERR_BFC_OUT_OF_BUNDLES;
	struct bundle *b = xzalloc(sizeof *b);
	b->id = id;
	b->flags = flags;
	b->touched_ms = clock_mono_ms();
	op_batch_init(&b->batch);
	list_push_back(&c->bundles, &b->node);
	c->n_bundles++;
	*out = b;
	return OFPERR_OK;
}

static void put_control(struct ofconn *c, uint32_t xid, uint32_t id, uint16_t type, uint16_t flags)
{
	struct ofbuf b = {0};
	size_t at = c->version == OFP13
			    ? ofbuf_begin_nx(&b, OFP13, ONF_EXPERIMENTER, ONFT_BUNDLE_CONTROL, xid)
			    : ofbuf_begin(&b, c->version, OFPT14_BUNDLE_CONTROL, xid);
	ofbuf_u32(&b, id);
	ofbuf_u16(&b, type);
	ofbuf_u16(&b, flags);
	ofbuf_end(&b, at);
	ofconn_send_free(c, &b);
}

/* ---- commit ---- */

struct commit {
	struct quoted_request control;
	uint32_t id;
	uint16_t flags;
	VEC(struct ofbuf) others;
};

static void run_others(struct ofconn *c, struct commit *k)
{
	VEC_FOR_EACH (o, &k->others) {
		struct ofmsg m;
		enum ofp_err err = ofmsg_parse(o->data, o->len, &m);
		if (!err)
			err = ofconn_handle(c, &m);
		if (err)
			ofconn_send_error(c, &m, err);
	}
}

static void on_committed(struct ofconn *c, const struct quoted_request *about, enum ofp_err err,
			 void *aux)
{
	struct commit *k = aux;
	if (err) {
		if (about)
			ofconn_send_quoted_error(c, about, err);
		ofconn_send_quoted_error(c, &k->control, OFPERR_BFC_MSG_FAILED);
	} else {
		run_others(c, k);
		put_control(c, k->control.xid, k->id, OFPBCT_COMMIT_REPLY, k->flags);
	}
	VEC_FOR_EACH (o, &k->others)
		ofbuf_free(o);
	vec_free(&k->others);
	free(k->control.bytes);
	free(k);
}

static enum ofp_err commit(struct ofconn *c, const struct ofmsg *m, struct bundle *b)
{
	struct commit *k = xzalloc(sizeof *k);
	struct op_batch batch = b->batch;
	k->control = quote(m);
	k->id = b->id;
	k->flags = b->flags;
	k->others.at = b->others.at;
	k->others.len = b->others.len;
	k->others.cap = b->others.cap;
	b->batch = (struct op_batch){0};
	b->others.at = NULL;
	b->others.len = b->others.cap = 0;
	free_bundle(c, b);
	op_batch_commit(c, m, &batch, on_committed, k);
	op_batch_free(&batch);
	return OFPERR_OK;
}

enum ofp_err handle_bundle_control(struct ofconn *c, const struct ofmsg *m)
{
	struct ofcur body = m->body;
	uint32_t id = ofcur_u32(&body);
	uint16_t type = ofcur_u16(&body), flags = ofcur_u16(&body);
	struct bundle *b = find(c, id);
	enum ofp_err err = OFPERR_OK;
	if (flags & ~(OFPBF_ATOMIC | OFPBF_ORDERED))
		return OFPERR_BFC_BAD_FLAGS;
	if (type == OFPBCT_OPEN_REQUEST) {
		err = open_bundle(c, id, flags, &b);
		if (!err)
			put_control(c, m->xid, id, OFPBCT_OPEN_REPLY, flags);
		return err;
	}
	if (type != OFPBCT_CLOSE_REQUEST && type != OFPBCT_COMMIT_REQUEST &&
	    type != OFPBCT_DISCARD_REQUEST)
		return OFPERR_BFC_BAD_TYPE;
	if (!b)
		return OFPERR_BFC_BAD_ID;
	if (type != OFPBCT_DISCARD_REQUEST && b->flags != flags) {
		free_bundle(c, b);
		return OFPERR_BFC_BAD_FLAGS;
	}
	if (type == OFPBCT_COMMIT_REQUEST)
		return commit(c, m, b);
	if (type == OFPBCT_CLOSE_REQUEST) {
		if (b->closed) {
			free_bundle(c, b);
			return OFPERR_BFC_BUNDLE_CLOSED;
		}
		b->closed = true;
		b->touched_ms = clock_mono_ms();
		put_control(c, m->xid, id, OFPBCT_CLOSE_REPLY, flags);
		return OFPERR_OK;
	}
	free_bundle(c, b);
	put_control(c, m->xid, id, OFPBCT_DISCARD_REPLY, flags);
	return OFPERR_OK;
}

/* ---- add ---- */

static bool is_other(const struct ofmsg *m)
{
	return m->kind == OFMSG_OF &&
	       (m->number == OFPT_PACKET_OUT ||
		m->number == (m->version == OFP10 ? (uint32_t)OFPT10_PORT_MOD
						  : (uint32_t)OFPT11_PORT_MOD));
}

static enum ofp_err add(struct ofconn *c, struct bundle *b, const struct ofmsg *inner)
{
	if (b->batch.requests.len + b->others.len >= MESSAGES_MAX ||
	    b->batch.transaction.len > BUNDLE_BYTES_MAX)
		return OFPERR_BFC_MSG_TOO_MANY;
	if (ofmsg_is_op(inner))
		return op_batch_add(&b->batch, c, inner);
	if (!is_other(inner))
		return OFPERR_BFC_MSG_UNSUP;
	struct ofbuf copy = {0};
	ofbuf_put(&copy, inner->data, inner->len);
	vec_push(&b->others, copy);
	return OFPERR_OK;
}

enum ofp_err handle_bundle_add(struct ofconn *c, const struct ofmsg *m)
{
	struct ofcur body = m->body;
	uint32_t id = ofcur_u32(&body);
	ofcur_skip(&body, 2);
	uint16_t flags = ofcur_u16(&body);
	struct ofmsg inner;
	size_t len = ofcur_left(&body) >= OFP_HEADER_BYTES ? load_be16(body.p + 2) : 0;
	if (len < OFP_HEADER_BYTES || len > ofcur_left(&body))
		return OFPERR_BFC_MSG_BAD_LEN;
	if (body.p[0] != m->version)
		return OFPERR_BFC_BAD_VERSION;
	if (load_be32(body.p + 4) != m->xid)
		return OFPERR_BFC_MSG_BAD_XID;
	struct bundle *b = find(c, id);
	enum ofp_err err = OFPERR_OK;
	if (!b) /* an add may open (§6.9.2) */
		err = open_bundle(c, id, flags, &b);
	if (err)
		return err;
	if (b->closed || b->flags != flags) {
		bool closed = b->closed;
		free_bundle(c, b);
		return closed ? OFPERR_BFC_BUNDLE_CLOSED : OFPERR_BFC_BAD_FLAGS;
	}
	b->touched_ms = clock_mono_ms();
	err = ofmsg_parse(body.p, len, &inner);
	if (err) /* what nobody knows cannot be in a bundle */
		return err == OFPERR_BRC_BAD_LEN ? err : OFPERR_BFC_MSG_UNSUP;
	return add(c, b, &inner);
}
