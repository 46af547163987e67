/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets through the api: PACKET_OUT, the frames of dummy ports, and packet-ins to subscribers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/flow/action.h"
#include "datapath/observe/record.h"
#include "datapath/poll/poll.h"
#include "datapath/resolve/frozen.h"
#include "datapath/server/events.h"
#include "datapath/server/loop.h"
#include "datapath/server/packet_in.h"
#include "datapath/server/registry.h"
#include "datapath/server/request.h"
#include "datapath/server/rule_attrs.h"
#include "datapath/table/bridge.h"
#include "datapath/table/flow_mod.h"

enum { FRAME_BYTES_MIN = 14, FRAME_BYTES_MAX = 65535, UPCALLS_PER_WAKE = 256 };

static int find_frame(struct attrs a, const void **frame, size_t *len, struct err *e)
{
	*frame = attrs_bytes(a, ATTR_PACKET, len);
	if (!*frame || *len < FRAME_BYTES_MIN || *len > FRAME_BYTES_MAX)
		return err_set(e, EINVAL, "packet: %zu bytes are not within %d to %d", *len,
			       FRAME_BYTES_MIN, FRAME_BYTES_MAX);
	return 0;
}

/* As it was received: replayed through the same function. */
static void record_message(enum recording_event type, struct attrs a)
{
	struct recording *r = record_is_live() ? record_begin(type) : NULL;

	if (!r)
		return;
	recording_put_bytes(r, a.data, a.len);
	record_end();
}

/* ---- packet-out ---- */

static int inject(struct attrs a, uint32_t *ofp, struct err *e)
{
	const char *name = attrs_str(a, ATTR_BRIDGE, "");
	const struct bridge *b = bridge_find(name);
	struct flow_regs regs;
	size_t len, n;
	struct poll_inject in = {.of_in_port =
					 (uint32_t)attrs_u64(a, ATTR_IN_PORT, OFP_PORT_CONTROLLER)};

	if (!b)
		return err_set(e, ENOENT, "bridge %s: not found", name);
	in.bridge_id = b->id;
	if (find_frame(a, &in.packet, &len, e))
		return -EINVAL;
	in.packet_len = (uint32_t)len;
	in.actions = attrs_bytes(a, ATTR_ACTIONS, &in.actions_len);
	if (in.actions_len && action_list_check(in.actions, in.actions_len, e))
		return -EINVAL;
	if (in.actions_len && flow_mod_check_actions(b, in.actions, in.actions_len, ofp, e))
		return -ENOENT;
	const void *initial = attrs_bytes(a, ATTR_REGS, &n);
	if (initial && n != sizeof regs)
		return err_set(e, EINVAL, "packet_out: regs: %zu bytes", n);
	if (initial) {
		memcpy(&regs, initial, sizeof regs); /* the message is aligned to 8 only */
		in.regs = &regs;
	}
	record_message(REC_PACKET_OUT, a);
	int rc = poll_inject(&in);
	return rc ? err_set(e, -rc, "packet_out: %s",
			    rc == -ENOBUFS ? "too many packets wait already" : strerror(-rc))
		  : 0;
}

static void put_ofp_error(struct msg *m, const void *aux)
{
	const uint32_t *ofp = aux;

	if (*ofp)
		msg_put_u32(m, ATTR_ERROR_OFP, *ofp);
}

void request_PACKET_OUT(struct conn *c, struct attrs a)
{
	struct err e = {0};
	uint32_t ofp = 0;

	if (inject(a, &ofp, &e))
		conn_reply_error(c, &e, put_ofp_error, &ofp);
	else
		conn_reply_ok(c);
}

/* ---- going on with a paused packet ---- */

/* The state's registers as the controller left them. */
static void merge_regs(struct flow_regs *regs, const struct minimatch *mm)
{
	struct match m;

	minimatch_expand(mm, &m);
	const uint8_t *value = (const uint8_t *)&m.value.regs,
		      *mask = (const uint8_t *)&m.mask.regs;
	for (size_t i = 0; i < sizeof *regs; i++) {
		uint8_t *byte = (uint8_t *)regs + i;

		*byte = (uint8_t)((*byte & ~mask[i]) | (value[i] & mask[i]));
	}
}

/* Numbers of bridges and ports are of this process; the state may come from an earlier one. */
static uint32_t thaw(struct frozen_state *s, const struct bridge *b, const struct minimatch *mm)
{
	merge_regs(&s->regs, mm);
	s->bridge_id = b->id;
	const struct bridge_port *p = bridge_port_by_ofport(b, be32_to_cpu(s->regs.in_port));
	s->in_port_id = p ? p->c.port_id : 0;
	return frozen_intern(s, s->in_port_id, clock_mono_ms(), true, NULL);
}

static int resume(struct attrs a, struct err *e)
{
	const char *name = attrs_str(a, ATTR_BRIDGE, "");
	const struct bridge *b = bridge_find(name);
	static struct rule_match_buf buf;
	const struct minimatch *mm;
	struct poll_inject in = {0};
	size_t len, state_len;

	if (!b)
		return err_set(e, ENOENT, "bridge %s: not found", name);
	if (find_frame(a, &in.packet, &len, e) || rule_attrs_match(a, ATTR_MATCH, &buf, &mm, e))
		return -EINVAL;
	in.packet_len = (uint32_t)len;
	const void *bytes = attrs_bytes(a, ATTR_CONTINUATION, &state_len);
	if (!bytes || state_len < sizeof(struct frozen_state) || state_len > FROZEN_BYTES_MAX)
		return err_set(e, EINVAL, "resume: continuation: %zu bytes", state_len);
	struct frozen_state *s = aligned_alloc(64, SL_ALIGN_UP(state_len, 64));
	if (!s)
		return err_set(e, ENOMEM, "resume: no memory");
	memcpy(s, bytes, state_len);
	record_message(REC_RESUME, a);
	if (!frozen_state_is_valid(s, state_len)) {
		err_set(e, EINVAL, "resume: continuation: damaged");
	} else {
		in.frozen_id = thaw(s, b, mm);
		in.bridge_id = b->id;
		in.of_in_port = be32_to_cpu(s->regs.in_port);
		if (!in.frozen_id)
			err_set(e, ENOSPC, "resume: too many suspended states of one port");
		else if (poll_inject(&in))
			err_set(e, ENOBUFS, "resume: too many packets wait already");
	}
	free(s);
	return -e->code;
}

void request_RESUME(struct conn *c, struct attrs a)
{
	struct err e = {0};

	if (resume(a, &e))
		conn_reply_error(c, &e, NULL, NULL);
	else
		conn_reply_ok(c);
}

int packet_replay(bool is_resume, struct attrs a, struct err *e)
{
	uint32_t ofp;

	return is_resume ? resume(a, e) : inject(a, &ofp, e);
}

/* ---- dummy ports ---- */

static struct port *dummy(struct attrs a, struct err *e)
{
	const char *name = attrs_str(a, ATTR_PORT, "");
	const struct port_object *p = registry_port(name);

	if (!p || !p->port)
		err_set(e, ENOENT, "port %s: not found", name);
	else if (strcmp(p->port->class->type, "dummy"))
		err_set(e, EINVAL, "port %s: not of type dummy", name);
	return e->code ? NULL : p->port;
}

void request_DUMMY_RECEIVE(struct conn *c, struct attrs a)
{
	struct err e = {0};
	struct port *p = dummy(a, &e);
	const void *frame;
	size_t len;

	if (p && !find_frame(a, &frame, &len, &e)) {
		int rc = dummy_port_receive(p, frame, (uint32_t)len);

		if (rc)
			err_set(&e, -rc, "port %s: %s", p->name,
				rc == -ENOBUFS ? "too many frames wait already" : strerror(-rc));
	}
	if (e.code)
		conn_reply_error(c, &e, NULL, NULL);
	else
		conn_reply_ok(c);
}

void request_DUMMY_SENT(struct conn *c, struct attrs a)
{
	static uint8_t frame[FRAME_BYTES_MAX];
	struct err e = {0};
	struct port *p = dummy(a, &e);
	uint64_t limit = attrs_u64(a, ATTR_LIMIT, UINT64_MAX);
	uint32_t n;

	if (!p) {
		conn_reply_error(c, &e, NULL, NULL);
		return;
	}
	struct msg *m = conn_reply_begin(c);
	for (; limit && (n = dummy_port_take(p, frame, sizeof frame)); limit--) {
		size_t at = msg_nest_begin(m, ATTR_FRAME);

		msg_put_bytes(m, ATTR_PACKET, frame, n);
		msg_nest_end(m, at);
	}
	conn_reply_end(c);
}

#define WARP_MS_MAX 3000000000u /* a month */

void request_CLOCK(struct conn *c, struct attrs a)
{
	struct err e = {0};
	uint64_t ms = attrs_u64(a, ATTR_WARP_MS, 0);

	if (ms > WARP_MS_MAX) {
		err_set(&e, ERANGE, "clock: %llu ms is too far", (unsigned long long)ms);
		conn_reply_error(c, &e, NULL, NULL);
		return;
	}
	if (attrs_has(a, ATTR_STOP))
		clock_stop();
	clock_move(ms);
	conn_reply_ok(c);
}

/* ---- packet-ins ---- */

void request_MISS_UPCALLS(struct conn *c, struct attrs a)
{
	const char *name = attrs_str(a, ATTR_BRIDGE, ""), *state = attrs_str(a, ATTR_STATE, "");
	struct bridge *b = bridge_find(name);
	bool on = !strcmp(state, "on");
	struct err e = {0};
	int rc = 0;

	if (!b)
		rc = err_set(&e, ENOENT, "bridge %s: not found", name);
	else if (!on && strcmp(state, "off"))
		rc = err_set(&e, EINVAL, "miss_upcalls: state is on or off");
	if (rc) {
		conn_reply_error(c, &e, NULL, NULL);
		return;
	}
	bridge_miss_upcalls(b, on);
	conn_reply_ok(c);
}

static void forget_misses(struct bridge *b, void *aux)
{
	bridge_miss_upcalls(b, false);
}

void request_miss_upcalls_end(void)
{
	bridge_for_each(forget_misses, NULL);
}

static void put_packet_in(struct msg *m, const struct bridge *b, const struct poll_upcall *u)
{
	msg_put_str(m, ATTR_BRIDGE, b->name);
	msg_put_u32(m, ATTR_IN_PORT, u->of_in_port);
	msg_put_u8(m, ATTR_PACKET_IN_REASON, u->reason);
	msg_put_u8(m, ATTR_TABLE, u->table);
	msg_put_u64(m, ATTR_COOKIE, u->cookie);
	msg_put_u16(m, ATTR_CONTROLLER_ID, u->controller_id);
	msg_put_u16(m, ATTR_MAX_LEN, u->max_len);
	msg_put_u32(m, ATTR_METER_ID, u->meter_id);
	msg_put_u32(m, ATTR_PACKET_LEN, u->orig_len);
	msg_put_bytes(m, ATTR_REGS, &u->flow, sizeof u->flow);
	const struct frozen *f = u->pause ? frozen_lookup(u->frozen_id) : NULL;
	if (f)
		msg_put_bytes(m, ATTR_CONTINUATION, &f->state, f->state.len);
	if (u->userdata_len)
		msg_put_bytes(m, ATTR_USERDATA, u->data, u->userdata_len);
	msg_put_bytes(m, ATTR_PACKET, u->data + u->userdata_len, u->packet_len);
}

static struct loop_fd upcalls = {.fd = -1};
static uint64_t unwanted;

static void tell_limit(const struct poll_upcall *u)
{
	const struct port_object *p = registry_port_by_id(u->port_id);
	struct msg *m = events_begin(API_EVENT_LIMIT);

	msg_put_str(m, ATTR_PORT, p ? p->o.name : "");
	msg_put_str(m, ATTR_DETAIL, "new flows over the port's quota");
	events_end();
}

static void hand_on(const struct poll_upcall *u)
{
	const struct bridge *b = bridge_by_id(u->bridge_id);
	struct msg m;

	if (u->kind == UPCALL_AUDIT) {
		audit_tell(u);
		return;
	}
	if (u->kind == UPCALL_LIMIT) {
		tell_limit(u);
		return;
	}
	/* The port's ledger has it as absorbed already. */
	if (!b || !conn_anyone_wants(API_EVENT_PACKET_IN)) {
		unwanted++;
		return;
	}
	msg_init(&m, API_EVENT, 0);
	msg_put_u16(&m, ATTR_EVENT, API_EVENT_PACKET_IN);
	put_packet_in(&m, b, u);
	conn_broadcast(API_EVENT_PACKET_IN, &m);
}

/* Level-triggered: what is left after a share of the loop's time is taken in the next round. */
static void on_upcalls(struct loop_fd *w, uint32_t events)
{
	struct poll_upcall *u;
	unsigned n = 0;

	for (; n < UPCALLS_PER_WAKE && (u = poll_upcall_next()); n++) {
		hand_on(u);
		free(u);
	}
	if (record_is_live() && n)
		record_number(REC_UPCALLS, n);
}

void packet_in_replay(uint64_t n)
{
	struct poll_upcall *u;

	for (; n && (u = poll_upcall_next()); n--)
		free(u);
}

int packet_in_start(struct err *e)
{
	upcalls.fd = poll_upcall_fd();
	upcalls.fn = on_upcalls;
	int rc = loop_add(&upcalls, EPOLLIN);
	return rc ? err_set(e, -rc, "packet-ins: %s", strerror(-rc)) : 0;
}

uint64_t packet_in_unwanted(void)
{
	return unwanted;
}
