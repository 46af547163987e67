/* SPDX-License-Identifier: BSD-3-Clause */
/* One OpenFlow connection: framing, hello and version, echo and probe, one message after the other.
 *
 * States: version == 0 (hello sent, none received) → version set → closing. A connection is blocked
 * while the datapath works on something whose answer must come first; the bytes behind wait in the
 * socket. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "control/openflow/op.h"
#include "datapath/base/clock.h"
#include "datapath/base/log.h"

LOG_MODULE(openflow);

enum {
	IN_FLIGHT_MAX = 256,
	INPUT_BYTES_MAX = 1 << 20,
	READ_BYTES_MIN = 16 << 10, /* room for a read */
	READ_BYTES_MAX = 256 << 10 /* while the room has been filled each time */
};

typedef enum ofp_err (*handle_fn)(struct ofconn *c, const struct ofmsg *m);
static const handle_fn handlers[OFMSG_ROW_N] = {
#define OFMSG(kind, number, first, last, len, flags, handler)                                      \
	[OFMSG_ROW_##kind##_##number##_##first##_##handler] = handle_##handler,
#define OFOP(kind, number, first, last, len, flags, name)
#include "control/openflow/messages.def"
#undef OFMSG
#undef OFOP
};

static void put_output(struct ofconn *c, const void *p, size_t n)
{
	bufferevent_write(c->bev, p, n);
	if (c->flush)
		event_active(c->flush, EV_WRITE, 0);
}

void ofconn_send(struct ofconn *c, const struct ofbuf *b)
{
	if (!b->len || c->closing)
		return;
	put_output(c, b->data, b->len);
	/* the snoop sockets see what goes to and comes from controllers */
	if (c->kind == OFCONN_CONTROLLER)
		LIST_FOR_EACH (s, struct ofconn, node, &c->sw->conns)
			if (s->kind == OFCONN_SNOOP)
				put_output(s, b->data, b->len);
}

void ofconn_send_free(struct ofconn *c, struct ofbuf *b)
{
	ofconn_send(c, b);
	ofbuf_free(b);
}

void ofconn_send_error(struct ofconn *c, const struct ofmsg *m, enum ofp_err err)
{
	struct ofbuf b = {0};
	LOG_LIMIT(log_info, 60, "%s<->%s: sending %s error reply (%s)", c->sw->bridge, c->peer,
		  ofp_err_name(err), ofp_err_text(err));
	ofp_err_put(&b, c->version ? c->version : m->version, m->xid, err, m->data, m->len);
	ofconn_send_free(c, &b);
}

void ofconn_send_quoted_error(struct ofconn *c, const struct quoted_request *q, enum ofp_err err)
{
	struct ofmsg m = {.data = q->bytes, .len = q->n, .xid = q->xid, .version = c->version};
	ofconn_send_error(c, &m, err);
}

size_t ofconn_begin_reply(struct ofbuf *b, const struct ofmsg *m, uint8_t type)
{
	return ofbuf_begin(b, m->version, type, m->xid);
}

size_t ofconn_begin_nx_reply(struct ofbuf *b, const struct ofmsg *m, uint32_t subtype)
{
	return ofbuf_begin_nx(b, m->version, NX_EXPERIMENTER, subtype, m->xid);
}

uint32_t ofconn_xid(struct ofconn *c)
{
	return c->next_xid++;
}

/* ---- hello (§6.3.1, §7.5.1) ---- */

static uint32_t versions_allowed(const struct ofconn *c)
{
	enum { ALL = 1 << OFP10 | 1 << OFP11 | 1 << OFP12 | 1 << OFP13 | 1 << OFP14 | 1 << OFP15 };
	return c->sw->versions ? c->sw->versions & ALL : ALL;
}

static void send_hello(struct ofconn *c)
{
	struct ofbuf b = {0};
	uint32_t bitmap = versions_allowed(c);
	size_t at =
		ofbuf_begin(&b, (uint8_t)(31 - __builtin_clz(bitmap)), OFPT_HELLO, ofconn_xid(c));
	ofbuf_u16(&b, 1); /* OFPHET_VERSIONBITMAP */
	ofbuf_u16(&b, 8);
	ofbuf_u32(&b, bitmap);
	ofbuf_end(&b, at);
	ofconn_send_free(c, &b);
}

/* The peer's versions: its bitmap, or all up to that of its header. */
static uint32_t hello_versions(const uint8_t *p, size_t len)
{
	struct ofcur body = ofcur_of(p + OFP_HEADER_BYTES, len - OFP_HEADER_BYTES), element;
	uint16_t type;
	bool bad;
	while (ofcur_tlv(&body, &type, &element, &bad))
		if (type == 1 && ofcur_left(&element) >= 4)
			return ofcur_u32(&element);
	return p[0] >= 31 ? UINT32_MAX & ~1u : (2u << p[0]) - 2u;
}

static void fail_hello(struct ofconn *c, const uint8_t *p)
{
	static const char text[] = "no OpenFlow version in common";
	struct ofbuf b = {0};
	uint8_t version = SL_MIN(p[0], (uint8_t)(31 - __builtin_clz(versions_allowed(c))));
	ofp_err_put(&b, version ? version : OFP10, load_be32(p + 4), OFPERR_HELLO_INCOMPATIBLE,
		    text, sizeof text - 1);
	ofconn_send_free(c, &b);
	log_info("%s<->%s: no version in common (peer's header says 0x%02x)", c->sw->bridge,
		 c->peer, p[0]);
	c->closing = true;
}

static void set_defaults(struct ofconn *c)
{
	c->role = OFPCR_EQUAL;
	c->short_id = OFPCID_UNDEFINED;
	c->miss_send_len = c->kind == OFCONN_CONTROLLER ? 128 : 0;
	if (c->remote && remote_config(c->remote)->no_async)
		return;
	c->async.master[ASYNC_PACKET_IN] = 1u << OFPR_NO_MATCH | 1u << OFPR_ACTION |
					   1u << OFPR14_ACTION_SET | 1u << OFPR14_GROUP |
					   1u << OFPR14_PACKET_OUT;
	c->async.master[ASYNC_FLOW_REMOVED] = 0x3f;
	c->async.master[ASYNC_PORT_STATUS] = c->async.slave[ASYNC_PORT_STATUS] =
		1u << OFPPR_ADD | 1u << OFPPR_DELETE | 1u << OFPPR_MODIFY;
	if (c->version >= OFP14) {
		c->async.master[ASYNC_ROLE_STATUS] = c->async.slave[ASYNC_ROLE_STATUS] = 0x7;
		c->async.master[ASYNC_TABLE_STATUS] =
			1u << OFPTR_VACANCY_DOWN | 1u << OFPTR_VACANCY_UP;
	}
}

static void take_hello(struct ofconn *c, const uint8_t *p, size_t len)
{
	uint32_t common = hello_versions(p, len) & versions_allowed(c);
	if (p[1] != OFPT_HELLO || !common) {
		fail_hello(c, p);
		return;
	}
	c->version = (uint8_t)(31 - __builtin_clz(common));
	set_defaults(c);
	misses_run(c->sw);
	if (c->remote)
		remote_on_connected(c->remote);
}

enum ofp_err handle_hello(struct ofconn *c, const struct ofmsg *m)
{
	(void)c;
	(void)m;
	return OFPERR_OK; /* later ones mean nothing */
}

enum ofp_err handle_ignored(struct ofconn *c, const struct ofmsg *m)
{
	(void)c;
	(void)m;
	return OFPERR_OK;
}

enum ofp_err handle_echo(struct ofconn *c, const struct ofmsg *m)
{
	struct ofbuf b = {0};
	size_t at = ofconn_begin_reply(&b, m, OFPT_ECHO_REPLY);
	ofbuf_put(&b, m->body.p, ofcur_left(&m->body));
	ofbuf_end(&b, at);
	ofconn_send_free(c, &b);
	return OFPERR_OK;
}

/* ---- barrier ---- */

static void send_barrier_reply(struct ofconn *c)
{
	struct ofbuf b = {0};
	ofbuf_end(&b, ofbuf_begin(&b, c->version,
				  c->version == OFP10 ? OFPT10_BARRIER_REPLY : OFPT11_BARRIER_REPLY,
				  c->barrier_xid));
	c->barrier_waits = false;
	ofconn_send_free(c, &b);
}

enum ofp_err handle_barrier(struct ofconn *c, const struct ofmsg *m)
{
	c->barrier_waits = true;
	c->barrier_xid = m->xid;
	if (!c->in_flight)
		send_barrier_reply(c);
	return OFPERR_OK;
}

/* ---- messages ---- */

enum ofp_err ofconn_handle(struct ofconn *c, const struct ofmsg *m)
{
	if (m->flags & OFMSG_WRITES && c->role == OFPCR_SLAVE)
		return OFPERR_BRC_IS_SLAVE;
	if (ofmsg_is_op(m))
		return op_batch_add(&c->batch, c, m);
	return handlers[m->row](c, m);
}

/* Operations gathered so far go first when the next message is none. */
static bool must_flush(const struct ofconn *c, const uint8_t *p, size_t len)
{
	enum { FLOW_MOD_BYTES = 72 }; /* of the version with the longest */
	struct ofmsg m;
	if (p[1] == OFPT_FLOW_MOD && len >= FLOW_MOD_BYTES && p[0] == c->version)
		return false;
	return c->batch.requests.len && (ofmsg_parse(p, len, &m) || !ofmsg_is_op(&m));
}

/* Multipart requests in several messages (§7.3.5) are put together in c->parts: the first as it is,
 * of the others what follows their headers. */
enum parts { PARTS_ALONE, PARTS_WAIT, PARTS_WHOLE };
static enum parts gather_parts(struct ofconn *c, const uint8_t *p, size_t len, enum ofp_err *err)
{
	enum { PARTS_BYTES_MAX = 1 << 20, TYPE_AT = 8, FLAGS_AT = 10 };
	size_t head = c->version == OFP10 ? 12 : 16;
	if (p[1] != (c->version == OFP10 ? OFPT10_STATS_REQUEST : OFPT11_STATS_REQUEST) ||
	    len < head)
		return PARTS_ALONE;
	bool more = load_be16(p + FLAGS_AT) & OFPMPF_MORE, goes_on = c->parts.len != 0;
	if (!more && !goes_on)
		return PARTS_ALONE;
	if (load_be16(p + TYPE_AT) == OFPMP_EXPERIMENTER)
		head += c->version == OFP10 ? 12 : 8;
	if (goes_on && (load_be32(p + 4) != c->parts_xid || len < head ||
			load_be16(p + TYPE_AT) != load_be16(c->parts.data + TYPE_AT))) {
		ofbuf_free(&c->parts); /* the first was never ended */
		return gather_parts(c, p, len, err);
	}
	if (c->parts.len + len > PARTS_BYTES_MAX) {
		ofbuf_free(&c->parts);
		*err = OFPERR_BRC_MULTIPART_BUFFER_OVERFLOW;
		return PARTS_WAIT;
	}
	ofbuf_put(&c->parts, goes_on ? p + head : p, goes_on ? len - head : len);
	c->parts_xid = load_be32(p + 4);
	return more ? PARTS_WAIT : PARTS_WHOLE;
}

static void take_message(struct ofconn *c, const uint8_t *p, size_t len)
{
	struct ofmsg m;
	if (p[0] != c->version) {
		m = (struct ofmsg){
			.data = p, .len = len, .version = c->version, .xid = load_be32(p + 4)};
		if (p[1] != OFPT_HELLO && p[1] != OFPT_ERROR)
			ofconn_send_error(c, &m, OFPERR_BRC_BAD_VERSION);
		return;
	}
	enum ofp_err err = OFPERR_OK;
	enum parts parts = gather_parts(c, p, len, &err);
	if (parts == PARTS_WAIT) {
		if (err)
			ofconn_send_error(c,
					  &(struct ofmsg){.data = p,
							  .len = len,
							  .version = c->version,
							  .xid = load_be32(p + 4)},
					  err);
		return;
	}
	bool whole = parts == PARTS_WHOLE;
	err = ofmsg_parse(whole ? c->parts.data : p, whole ? c->parts.len : len, &m);
	if (!err)
		err = ofconn_handle(c, &m);
	if (c->version < OFP13)
		misses_run(c->sw);
	if (err && m.type != OFPT_ERROR)
		ofconn_send_error(c, &m, err);
	if (whole)
		ofbuf_free(&c->parts);
}

static void snoop(struct ofconn *c, const uint8_t *p, size_t len)
{
	if (c->kind == OFCONN_CONTROLLER)
		LIST_FOR_EACH (s, struct ofconn, node, &c->sw->conns)
			if (s->kind == OFCONN_SNOOP)
				put_output(s, p, len);
}

static bool may_go_on(const struct ofconn *c)
{
	return !c->closing && !c->blocked && !c->barrier_waits && c->in_flight < IN_FLIGHT_MAX;
}

/* Takes what is complete. False: nothing more to do now. */
static bool take_one(struct ofconn *c)
{
	const uint8_t *p = c->in + c->in_at;
	if (c->in_len - c->in_at < OFP_HEADER_BYTES)
		return false;
	size_t len = load_be16(p + 2);
	if (len < OFP_HEADER_BYTES) {
		log_warn("%s<->%s: message of length %zu: closing", c->sw->bridge, c->peer, len);
		c->closing = true;
		return false;
	}
	if (c->in_len - c->in_at < len)
		return false;
	if (c->version && must_flush(c, p, len)) {
		op_batch_flush(c);
		return true;
	}
	c->last_heard_ms = clock_mono_ms();
	c->probe_sent = false;
	snoop(c, p, len);
	if (c->version)
		take_message(c, p, len);
	else
		take_hello(c, p, len);
	c->in_at += len;
	return true;
}

static void close_now(struct ofconn *c, const char *why)
{
	struct remote *r = c->remote;
	if (r)
		remote_on_closed(r, c, why);
	ofconn_destroy(c);
}

/* Sends what is left and closes once it is out. */
static void on_drained(struct bufferevent *bev, void *aux)
{
	struct ofconn *c = aux;
	/* deferred: more may have been written since */
	if (evbuffer_get_length(bufferevent_get_output(bev)))
		return;
	if (c->flush)
		bufferevent_disable(bev, EV_WRITE);
	if (c->closing)
		close_now(c, "closed by us");
	else
		monitors_caught_up(c);
}

static void on_flush(evutil_socket_t fd, short what, void *aux)
{
	struct ofconn *c = aux;
	struct evbuffer *out = bufferevent_get_output(c->bev);
	(void)what;
	fd = bufferevent_getfd(c->bev);
	if (fd >= 0 && !(bufferevent_get_enabled(c->bev) & EV_WRITE)) {
		evbuffer_unfreeze(out, 1); /* the bufferevent keeps its output for itself */
		evbuffer_write(out, fd);
		evbuffer_freeze(out, 1);
		if (evbuffer_get_length(out)) /* the rest, and errors, are libevent's */
			bufferevent_enable(c->bev, EV_WRITE);
	}
	on_drained(c->bev, c);
}

/* ---- input ---- */

static uint8_t *need_room(struct ofconn *c, size_t n)
{
	if (c->in_at) {
		memmove(c->in, c->in + c->in_at, c->in_len - c->in_at);
		c->in_len -= c->in_at;
		c->in_at = 0;
	}
	if (c->in_cap - c->in_len < n) {
		c->in_cap = c->in_len + n;
		c->in = xrealloc(c->in, c->in_cap);
	}
	return c->in + c->in_len;
}

static bool input_is_full(const struct ofconn *c)
{
	return c->in_len - c->in_at >= INPUT_BYTES_MAX;
}

/* Stops reading while the peer sends faster than we take, and goes on. */
static void watch_input(struct ofconn *c)
{
	bool stop = input_is_full(c);
	if (stop == c->input_stopped)
		return;
	c->input_stopped = stop;
	if (c->readable && stop)
		event_del(c->readable);
	else if (c->readable)
		event_add(c->readable, NULL);
	else if (stop)
		bufferevent_disable(c->bev, EV_READ);
	else
		bufferevent_enable(c->bev, EV_READ);
}

/* Is there more behind what was read? A read that filled its room may also have been all. */
static bool more_waits(struct ofconn *c)
{
	int n = 0;
	if (c->more_in_socket)
		c->more_in_socket = !ioctl(bufferevent_getfd(c->bev), FIONREAD, &n) && n > 0;
	return c->more_in_socket;
}

static void take_all(struct ofconn *c)
{
	while (may_go_on(c) && take_one(c))
		;
	/* what waits in the socket behind what was read joins the transaction */
	if (may_go_on(c) && c->batch.requests.len && !more_waits(c))
		op_batch_flush(c);
	watch_input(c);
	if (c->closing && !evbuffer_get_length(bufferevent_get_output(c->bev)))
		close_now(c, "protocol error");
}

void ofconn_resume(struct ofconn *c)
{
	if (c->barrier_waits && !c->in_flight && !c->blocked)
		send_barrier_reply(c);
	/* not from here: the caller may still use the connection */
	if (may_go_on(c) && c->readable)
		event_active(c->readable, EV_TIMEOUT, 0);
	else if (may_go_on(c))
		bufferevent_trigger(c->bev, EV_READ,
				    BEV_OPT_DEFER_CALLBACKS | BEV_TRIG_IGNORE_WATERMARKS);
}

static void on_input(struct ofconn *c)
{
	if (c->kind == OFCONN_SNOOP)
		c->in_at = c->in_len = 0;
	else
		take_all(c);
}

/* TLS: what the bufferevent has decrypted. */
static void on_decrypted(struct bufferevent *bev, void *aux)
{
	struct ofconn *c = aux;
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t n = evbuffer_get_length(in);
	if (n && !input_is_full(c)) {
		evbuffer_remove(in, need_room(c, n), n);
		c->in_len += n;
	}
	on_input(c);
}

/* EV_TIMEOUT alone: ofconn_resume(). */
static void on_readable(evutil_socket_t fd, short what, void *aux)
{
	struct ofconn *c = aux;
	if (what & EV_READ && !input_is_full(c)) {
		size_t room = c->more_in_socket ? READ_BYTES_MAX : READ_BYTES_MIN;
		ssize_t n = recv(fd, need_room(c, room), room, MSG_DONTWAIT);
		if (!n || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			close_now(c, n ? strerror(errno) : "connection closed by peer");
			return;
		}
		c->more_in_socket = n == (ssize_t)room;
		c->in_len += n > 0 ? (size_t)n : 0;
	}
	on_input(c);
}

static void on_event(struct bufferevent *bev, short what, void *aux)
{
	(void)bev;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		close_now(aux, what & BEV_EVENT_EOF
				       ? "connection closed by peer"
				       : evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));
}

/* ---- every second: memory, probe ---- */

/* Room that a stream of messages had is given back, but not in the middle of it. */
static void trim_input(struct ofconn *c)
{
	if (c->in_at < c->in_len || c->in_cap <= READ_BYTES_MIN)
		return;
	free(c->in);
	c->in = NULL;
	c->in_at = c->in_len = c->in_cap = 0;
}

static void on_timer(evutil_socket_t fd, short what, void *aux)
{
	struct ofconn *c = aux;
	int probe_ms = c->remote ? remote_config(c->remote)->inactivity_probe_ms : 0;
	(void)fd;
	(void)what;
	trim_input(c);
	if (probe_ms <= 0)
		return;
	uint64_t silent_ms = clock_mono_ms() - c->last_heard_ms;
	if (silent_ms < (uint64_t)probe_ms || c->blocked)
		return;
	if (c->probe_sent && silent_ms >= 2 * (uint64_t)probe_ms) {
		log_info("%s<->%s: no response to inactivity probe, disconnecting", c->sw->bridge,
			 c->peer);
		close_now(c, "no response to inactivity probe");
		return;
	}
	if (c->probe_sent)
		return;
	struct ofbuf b = {0};
	c->probe_sent = true;
	ofbuf_end(&b, ofbuf_begin(&b, c->version ? c->version : OFP10, OFPT_ECHO_REQUEST,
				  ofconn_xid(c)));
	ofconn_send_free(c, &b);
}

static bool is_encrypted(const struct remote *r)
{
	const char *target = r ? remote_config(r)->target : "";
	return !strncmp(target, "ssl:", 4) || !strncmp(target, "pssl:", 5);
}

struct ofconn *ofconn_create(struct ofswitch *sw, struct bufferevent *bev, enum ofconn_kind kind,
			     struct remote *remote, const char *peer)
{
	struct ofconn *c = xzalloc(sizeof *c);
	struct timeval every = {.tv_sec = 1};
	static uint32_t ids;
	ids = ids % 0xffffff + 1;
	c->id = ids;
	c->sw = sw;
	c->bev = bev;
	c->kind = kind;
	c->remote = remote;
	c->peer = xstrdup(peer);
	c->next_xid = 1;
	c->last_heard_ms = clock_mono_ms();
	list_init(&c->requests);
	list_init(&c->bundles);
	list_init(&c->monitors);
	list_push_back(&sw->conns, &c->node);
	bufferevent_setcb(bev, on_decrypted, on_drained, on_event, c);
	if (is_encrypted(remote)) {
		bufferevent_enable(bev, EV_READ | EV_WRITE);
	} else {
		bufferevent_disable(bev, EV_READ | EV_WRITE);
		c->flush = event_new(sw->base, -1, 0, on_flush, c);
		c->readable = event_new(sw->base, bufferevent_getfd(bev), EV_READ | EV_PERSIST,
					on_readable, c);
		event_add(c->readable, NULL);
	}
	if (kind == OFCONN_SNOOP)
		return c;
	c->timer = event_new(sw->base, -1, EV_PERSIST, on_timer, c);
	event_add(c->timer, &every);
	send_hello(c);
	return c;
}

void ofconn_destroy(struct ofconn *c)
{
	ofrequest_forget_conn(c);
	bundles_free(c);
	monitors_free(c);
	op_batch_free(&c->batch);
	ofbuf_free(&c->parts);
	list_remove(&c->node);
	misses_run(c->sw);
	if (c->timer)
		event_free(c->timer);
	if (c->flush)
		event_free(c->flush);
	if (c->readable)
		event_free(c->readable);
	free(c->in);
	bufferevent_free(c->bev);
	free(c->peer);
	free(c);
}

bool ofconn_wants(const struct ofconn *c, enum async_kind kind, unsigned reason)
{
	const uint32_t *masks = c->role == OFPCR_SLAVE ? c->async.slave : c->async.master;
	/* a service connection gets nothing unasked until it sets a length for packet-ins */
	bool listens =
		c->kind == OFCONN_CONTROLLER || (c->kind == OFCONN_SERVICE && c->miss_send_len);
	return listens && c->version && !c->closing && reason < 32 && masks[kind] >> reason & 1;
}
