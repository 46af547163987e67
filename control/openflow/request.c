/* SPDX-License-Identifier: BSD-3-Clause */
/* Questions to the datapath and what becomes of them when their connection, the switch or the
 * datapath goes first: the answer then finds nobody and only releases memory. */
#include <errno.h>
#include <stdlib.h>

#include "control/openflow/ofswitch_priv.h"

static void forget(struct ofrequest *r)
{
	if (r->conn || r->sw) {
		if (r->conn)
			list_remove(&r->node);
		if (r->sw)
			list_remove(&r->sw_node);
	}
	r->conn = NULL;
	r->sw = NULL;
}

static void finish(struct ofrequest *r)
{
	struct ofconn *c = r->conn;
	bool blocks = r->blocks;
	forget(r);
	if (r->release)
		r->release(r);
	ofbuf_free(&r->multi.b);
	free(r->quoted.bytes);
	free(r);
	if (!c)
		return;
	if (blocks)
		c->blocked = false;
	else
		c->in_flight--;
	ofconn_resume(c);
}

static void on_done(struct attrs a, bool more, const struct err *error, void *aux)
{
	struct ofrequest *r = aux;
	if (r->sw && (r->conn || r->ownerless))
		r->on_reply(r, a, more, error);
	if (!more)
		finish(r);
}

bool ofrequest_send(struct ofrequest *r, struct ofswitch *sw, struct ofconn *c,
		    const struct ofmsg *msg, struct msg *m, bool blocks)
{
	if (!sw->client) {
		msg_free(m);
		if (r->release)
			r->release(r);
		ofbuf_free(&r->multi.b);
		free(r);
		return false;
	}
	r->sw = sw;
	r->conn = c;
	r->ownerless = !c;
	r->blocks = blocks;
	list_push_back(&sw->requests, &r->sw_node);
	if (msg)
		r->quoted = quote(msg);
	if (c) {
		list_push_back(&c->requests, &r->node);
		if (blocks)
			c->blocked = true;
		else
			c->in_flight++;
	}
	msg_finish(m);
	api_send(sw->client, m, on_done, r);
	msg_free(m);
	return true;
}

void ofrequest_forget_conn(struct ofconn *c)
{
	LIST_FOR_EACH_SAFE (r, struct ofrequest, node, &c->requests)
		forget(r);
}

void ofrequest_forget_switch(struct ofswitch *sw)
{
	LIST_FOR_EACH_SAFE (r, struct ofrequest, sw_node, &sw->requests)
		forget(r);
}

enum ofp_err ofrequest_error(struct attrs a, const struct err *err)
{
	uint64_t number;
	if (attrs_get_u64(a, ATTR_ERROR_OFP, &number))
		return ofp_err_from_number((uint32_t)number);
	switch (err->code) {
	case EPERM:
	case EACCES:
	case ECONNRESET:
		return OFPERR_BRC_EPERM;
	case ENOSPC:
		return OFPERR_FMFC_TABLE_FULL;
	case ESTALE:
		return OFPERR_NXR_STALE;
	default:
		return OFPERR_FMFC_UNKNOWN;
	}
}

/* ---- dumps ---- */

static void stream(struct ofrequest *r)
{
	if (r->multi.part < 1 << 18)
		return;
	struct ofbuf full = ofmulti_take_full(&r->multi);
	ofconn_send_free(r->conn, &full);
}

static void on_dump_reply(struct ofrequest *r, struct attrs a, bool more, const struct err *err)
{
	struct dump_request *d = SL_CONTAINER_OF(r, struct dump_request, r);
	if (err) {
		ofconn_send_quoted_error(r->conn, &r->quoted, ofrequest_error(a, err));
		return;
	}
	ATTR_FOR_EACH (o, a)
		if (o->id == ATTR_OBJECT || o->id == ATTR_RULE) {
			d->entry(r, attr_nest(o));
			d->any = true;
		}
	if (!more && d->if_none && !d->any) {
		ofconn_send_quoted_error(r->conn, &r->quoted, d->if_none);
	} else if (!more) {
		if (d->end)
			d->end(r);
		ofmulti_end(&r->multi);
		ofconn_send_free(r->conn, &r->multi.b);
	} else {
		stream(r);
	}
}

enum ofp_err dump_start(struct dump_request *d, struct ofconn *c, const struct ofmsg *m,
			struct msg *api)
{
	d->r.on_reply = on_dump_reply;
	ofmulti_init(&d->r.multi, m);
	return ofrequest_send(&d->r, c->sw, c, m, api, true) ? OFPERR_OK : OFPERR_BRC_EPERM;
}
