/* SPDX-License-Identifier: BSD-3-Clause */
/* Transactions run on a copy of the tables, which replaces them when all operations succeed. */
#include "tests/unit/openflow/fake_tables.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/api/client.h"
#include "datapath/base/err.h"
#include "datapath/base/vec.h"
#include "datapath/flow/action.h"
#include "datapath/flow/match.h"

enum {
	FLOW_OVERLAP = 5 << 16 | 3,
	GROUP_EXISTS = 6 << 16,
	UNKNOWN_GROUP = 6 << 16 | 8,
	METER_EXISTS = 12 << 16 | 1,
	UNKNOWN_METER = 12 << 16 | 3,
	UNKNOWN_BUCKET = 6 << 16 | 15
};
enum { KIND_RULE, KIND_GROUP, KIND_METER, KINDS };

struct object {
	struct msg m; /* its attributes, after a header */
	struct minimatch *match;
	uint64_t id; /* rule: table << 16 | priority */
};

struct tables {
	VEC(struct object *) kind[KINDS];
};

struct fake_tables {
	struct event_base *base;
	struct bufferevent *bev; /* our end */
	struct api_client *client;
	struct event *readable, *writable;
	struct tables t;
	VEC(struct msg) events; /* of the running transaction */
	unsigned transactions;
	uint64_t now_ms;
	void (*on_event)(void *aux, const void *attrs);
	void *aux;
};

static struct attrs attrs_of(const struct object *o)
{
	return msg_attrs(o->m.data);
}

static struct minimatch *match_of(struct attrs a)
{
	size_t n;
	const void *p = attrs_bytes(a, ATTR_MATCH, &n);
	struct match any;
	match_init(&any);
	if (!p)
		return minimatch_create(&any);
	struct minimatch *mm = aligned_alloc(64, SL_ALIGN_UP(n, 64));
	memcpy(mm, p, n);
	return mm;
}

static void free_object(struct object *o)
{
	msg_free(&o->m);
	free(o->match);
	free(o);
}

static bool is_skipped(uint16_t id, const uint16_t *skip)
{
	for (; *skip; skip++)
		if (*skip == id)
			return true;
	return false;
}

/* An object of the attributes of an operation but for those in `skip`. */
static struct object *object_of(struct attrs a, uint64_t id, const uint16_t *skip)
{
	struct object *o = xzalloc(sizeof *o);
	msg_init(&o->m, 0, 0);
	ATTR_FOR_EACH (at, a)
		if (!is_skipped(at->id, skip))
			msg_put_bytes(&o->m, (enum api_attr)at->id, at->value, at->len);
	msg_finish(&o->m);
	o->match = match_of(a);
	o->id = id;
	return o;
}

static struct object *clone(const struct object *o)
{
	static const uint16_t none[] = {0};
	return object_of(attrs_of(o), o->id, none);
}

static void free_tables(struct tables *t)
{
	for (int k = 0; k < KINDS; k++) {
		VEC_FOR_EACH (o, &t->kind[k])
			free_object(*o);
		vec_free(&t->kind[k]);
	}
}

static struct tables clone_tables(struct tables *t)
{
	struct tables copy = {0};
	for (int k = 0; k < KINDS; k++)
		VEC_FOR_EACH (o, &t->kind[k])
			vec_push(&copy.kind[k], clone(*o));
	return copy;
}

/* `op`: the operation that did it; `state` of a rule that is there. */
static void tell(struct fake_tables *f, enum api_event event, struct attrs rule, struct attrs op,
		 const char *state, int reason)
{
	struct msg m;
	msg_init(&m, API_EVENT, 0);
	msg_put_u16(&m, ATTR_EVENT, event);
	msg_put_str(&m, ATTR_BRIDGE, attrs_str(rule, ATTR_BRIDGE, ""));
	if (reason >= 0)
		msg_put_u8(&m, ATTR_REMOVED_REASON, (uint8_t)reason);
	if (state)
		msg_put_str(&m, ATTR_STATE, state);
	if (attrs_has(op, ATTR_ORIGIN))
		msg_put_u64(&m, ATTR_ORIGIN, attrs_u64(op, ATTR_ORIGIN, 0));
	size_t at = msg_nest_begin(&m, ATTR_RULE);
	ATTR_FOR_EACH (a, rule)
		msg_put_bytes(&m, (enum api_attr)a->id, a->value, a->len);
	msg_nest_end(&m, at);
	msg_finish(&m);
	vec_push(&f->events, m);
}

/* ---- rules ---- */

static bool outputs_to(const void *list, size_t n, uint32_t port, uint32_t group)
{
	ACTION_FOR_EACH(a, list, n)
	{
		size_t k;
		const uint8_t *nested = action_nested(a, &k);
		if (a->type == ACTION_OUTPUT &&
		    ((const struct action_output *)(const void *)a)->port == port)
			return true;
		if (a->type == ACTION_GROUP &&
		    ((const struct action_group *)(const void *)a)->group_id == group)
			return true;
		if (nested && outputs_to(nested, k, port, group))
			return true;
	}
	return false;
}

static bool is_selected(const struct object *o, struct attrs a, const struct minimatch *match,
			bool strict)
{
	struct attrs r = attrs_of(o);
	uint64_t table = attrs_u64(a, ATTR_TABLE, 255), mask = attrs_u64(a, ATTR_COOKIE_MASK, 0);
	size_t n;
	const void *actions = attrs_bytes(r, ATTR_ACTIONS, &n);
	if (strcmp(attrs_str(a, ATTR_BRIDGE, ""), attrs_str(r, ATTR_BRIDGE, "")))
		return false;
	if (table != 255 && table != o->id >> 16)
		return false;
	if ((attrs_u64(r, ATTR_COOKIE, 0) ^ attrs_u64(a, ATTR_COOKIE, 0)) & mask)
		return false;
	uint64_t port, group;
	if (attrs_get_u64(a, ATTR_OUT_PORT, &port) &&
	    !outputs_to(actions, n, (uint32_t)port, UINT32_MAX))
		return false;
	if (attrs_get_u64(a, ATTR_OUT_GROUP, &group) &&
	    !outputs_to(actions, n, OFP_PORT_UNSET, (uint32_t)group))
		return false;
	if (strict)
		return (o->id & 0xffff) == attrs_u64(a, ATTR_PRIORITY, 0) &&
		       minimatch_equal(o->match, match);
	return minimatch_is_within(o->match, match);
}

static const uint16_t not_of_rules[] = {
	ATTR_OP_TYPE,  ATTR_COMMAND,   ATTR_COOKIE_MASK, ATTR_NEW_COOKIE,
	ATTR_OUT_PORT, ATTR_OUT_GROUP, ATTR_ORIGIN,      0};

static int add_rule(struct fake_tables *f, struct tables *t, struct attrs a, uint32_t *ofp,
		    struct err *e)
{
	uint64_t id = attrs_u64(a, ATTR_TABLE, 0) << 16 | attrs_u64(a, ATTR_PRIORITY, 0);
	struct object *o = object_of(a, id, not_of_rules);
	for (size_t i = 0; i < t->kind[KIND_RULE].len; i++) {
		struct object *old = t->kind[KIND_RULE].at[i];
		bool same = old->id == id && minimatch_equal(old->match, o->match) &&
			    !strcmp(attrs_str(attrs_of(old), ATTR_BRIDGE, ""),
				    attrs_str(a, ATTR_BRIDGE, ""));
		if (attrs_u64(a, ATTR_RULE_FLAGS, 0) & 2 && old->id == id &&
		    minimatch_overlaps(old->match, o->match)) {
			free_object(o);
			*ofp = FLOW_OVERLAP;
			return err_set(e, EEXIST, "overlaps");
		}
		if (same) {
			free_object(old);
			t->kind[KIND_RULE].at[i] = o;
			tell(f, API_EVENT_RULE_ADDED, attrs_of(o), a, "added", -1);
			return 0;
		}
	}
	vec_push(&t->kind[KIND_RULE], o);
	tell(f, API_EVENT_RULE_ADDED, attrs_of(o), a, "added", -1);
	return 0;
}

static void change_rule(struct fake_tables *f, struct object *o, struct attrs a)
{
	static const uint16_t changed[] = {ATTR_ACTIONS, ATTR_COOKIE, 0};
	struct object *n = object_of(attrs_of(o), o->id, changed);
	size_t len;
	const void *actions = attrs_bytes(a, ATTR_ACTIONS, &len);
	msg_put_bytes(&n->m, ATTR_ACTIONS, actions, len);
	msg_put_u64(&n->m, ATTR_COOKIE,
		    attrs_u64(a, ATTR_NEW_COOKIE, attrs_u64(attrs_of(o), ATTR_COOKIE, 0)));
	msg_finish(&n->m);
	msg_free(&o->m);
	o->m = n->m;
	free(n->match);
	free(n);
	tell(f, API_EVENT_RULE_ADDED, attrs_of(o), a, "modified", -1);
}

static int rule_mod(struct fake_tables *f, struct tables *t, struct attrs a, uint32_t *ofp,
		    struct err *e)
{
	enum { REASON_DELETE = 2 };
	uint64_t command = attrs_u64(a, ATTR_COMMAND, API_MOD_ADD);
	bool strict = command == API_MOD_MODIFY_STRICT || command == API_MOD_DELETE_STRICT,
	     found = false;
	if (command == API_MOD_ADD)
		return add_rule(f, t, a, ofp, e);
	struct minimatch *match = match_of(a);
	for (size_t i = 0; i < t->kind[KIND_RULE].len;) {
		struct object *o = t->kind[KIND_RULE].at[i];
		if (!is_selected(o, a, match, strict)) {
			i++;
			continue;
		}
		found = true;
		if (command <= API_MOD_MODIFY_STRICT) {
			change_rule(f, o, a);
			i++;
			continue;
		}
		tell(f, API_EVENT_RULE_REMOVED, attrs_of(o), a, NULL, REASON_DELETE);
		free_object(o);
		vec_remove(&t->kind[KIND_RULE], i);
	}
	free(match);
	if (!found && command <= API_MOD_MODIFY_STRICT && attrs_has(a, ATTR_NEW_COOKIE)) {
		static const uint16_t skip[] = {ATTR_COOKIE, ATTR_COOKIE_MASK, ATTR_TABLE, 0};
		struct object *o = object_of(a, 0, skip);
		uint64_t table = attrs_u64(a, ATTR_TABLE, 0);
		msg_put_u64(&o->m, ATTR_COOKIE, attrs_u64(a, ATTR_NEW_COOKIE, 0));
		msg_put_u8(&o->m, ATTR_TABLE, table == 255 ? 0 : (uint8_t)table);
		msg_finish(&o->m);
		int rc = add_rule(f, t, attrs_of(o), ofp, e);
		free_object(o);
		return rc;
	}
	return 0;
}

/* ---- groups and meters ---- */

static struct object **find_object(struct tables *t, int kind, uint64_t id)
{
	VEC_FOR_EACH (o, &t->kind[kind])
		if ((*o)->id == id)
			return o;
	return NULL;
}

static void delete_objects(struct tables *t, int kind, uint64_t id, uint64_t all)
{
	for (size_t i = t->kind[kind].len; i-- > 0;)
		if (id == all || t->kind[kind].at[i]->id == id) {
			free_object(t->kind[kind].at[i]);
			vec_remove(&t->kind[kind], i);
		}
}

static int change_buckets(struct object *g, struct attrs a, bool insert, uint32_t *ofp,
			  struct err *e)
{
	static const uint16_t no_buckets[] = {ATTR_BUCKET, 0};
	uint32_t at = (uint32_t)attrs_u64(a, ATTR_BUCKET_ID, UINT32_MAX);
	struct object *n = object_of(attrs_of(g), g->id, no_buckets);
	VEC(const struct attr *) buckets = {0}, fresh = {0};
	ATTR_FOR_EACH (b, attrs_of(g))
		if (b->id == ATTR_BUCKET)
			vec_push(&buckets, b);
	ATTR_FOR_EACH (b, a)
		if (b->id == ATTR_BUCKET)
			vec_push(&fresh, b);
	size_t place = at == 0xfffffffd ? 0 : buckets.len;
	bool found = at > 0xffffff00;
	for (size_t i = 0; i < buckets.len; i++)
		if (attrs_u64(attr_nest(buckets.at[i]), ATTR_BUCKET_ID, 0) == at) {
			place = insert ? i + 1 : i;
			found = true;
		}
	if (!insert && at == 0xfffffffe)
		place = buckets.len - 1;
	for (size_t i = 0; i <= buckets.len && found; i++) {
		if (insert && i == place)
			VEC_FOR_EACH (b, &fresh)
				msg_put_bytes(&n->m, ATTR_BUCKET, (*b)->value, (*b)->len);
		bool gone = !insert && (at == UINT32_MAX || i == place);
		if (i < buckets.len && !gone)
			msg_put_bytes(&n->m, ATTR_BUCKET, buckets.at[i]->value, buckets.at[i]->len);
	}
	vec_free(&buckets);
	vec_free(&fresh);
	if (!found) {
		free_object(n);
		*ofp = UNKNOWN_BUCKET;
		return err_set(e, ENOENT, "no such bucket");
	}
	msg_finish(&n->m);
	msg_free(&g->m);
	g->m = n->m;
	free(n->match);
	free(n);
	return 0;
}

static int object_mod(struct tables *t, int kind, struct attrs a, uint32_t *ofp, struct err *e)
{
	static const uint16_t skip[] = {ATTR_OP_TYPE, ATTR_COMMAND, 0};
	bool group = kind == KIND_GROUP;
	uint64_t id = attrs_u64(a, group ? ATTR_GROUP_ID : ATTR_METER_ID, 0);
	uint64_t command = attrs_u64(a, ATTR_COMMAND, 0);
	struct object **old = find_object(t, kind, id);
	if (command == API_MOD_DELETE) {
		delete_objects(t, kind, id, group ? 0xfffffffc : UINT32_MAX);
		return 0;
	}
	if (command == API_MOD_ADD && old) {
		*ofp = group ? GROUP_EXISTS : METER_EXISTS;
		return err_set(e, EEXIST, "exists");
	}
	if (command != API_MOD_ADD && !old && command != 2) {
		*ofp = group ? UNKNOWN_GROUP : UNKNOWN_METER;
		return err_set(e, ENOENT, "not found");
	}
	if (command >= API_MOD_INSERT_BUCKET)
		return change_buckets(*old, a, command == API_MOD_INSERT_BUCKET, ofp, e);
	if (old) {
		free_object(*old);
		*old = object_of(a, id, skip);
	} else {
		vec_push(&t->kind[kind], object_of(a, id, skip));
	}
	return 0;
}

static int run_op(struct fake_tables *f, struct tables *t, struct attrs a, uint32_t *ofp,
		  struct err *e)
{
	switch (attrs_u64(a, ATTR_OP_TYPE, API_OP_N)) {
	case API_OP_RULE_MOD:
		return rule_mod(f, t, a, ofp, e);
	case API_OP_GROUP_MOD:
		return object_mod(t, KIND_GROUP, a, ofp, e);
	case API_OP_METER_MOD:
		return object_mod(t, KIND_METER, a, ofp, e);
	default:
		return 0;
	}
}

static void put_out(struct fake_tables *f, struct msg *m)
{
	msg_finish(m);
	bufferevent_write(f->bev, m->data, m->len);
	msg_free(m);
}

static int transact(struct fake_tables *f, struct attrs a, struct msg *error, struct err *e)
{
	struct tables work = clone_tables(&f->t);
	uint32_t index = 0, ofp = 0;
	ATTR_FOR_EACH (op, a) {
		if (op->id != ATTR_OP)
			continue;
		if (run_op(f, &work, attr_nest(op), &ofp, e)) {
			free_tables(&work);
			VEC_FOR_EACH (m, &f->events)
				msg_free(m);
			vec_clear(&f->events);
			msg_put_u32(error, ATTR_ERROR_OP, index);
			if (ofp)
				msg_put_u32(error, ATTR_ERROR_OFP, ofp);
			return -1;
		}
		index++;
	}
	free_tables(&f->t);
	f->t = work;
	f->transactions++;
	VEC_FOR_EACH (m, &f->events)
		put_out(f, m);
	vec_clear(&f->events);
	return 0;
}

/* ---- messages ---- */

static void put_status(struct msg *m)
{
	msg_put_u64(m, ATTR_PKTS, 0);
	msg_put_u64(m, ATTR_BYTES_COUNT, 0);
	msg_put_u64(m, ATTR_DURATION_MS, 1500);
}

static void put_objects(struct fake_tables *f, int kind, struct attrs a, struct msg *m)
{
	struct minimatch *match = match_of(a);
	uint64_t id;
	bool one = attrs_get_u64(a, ATTR_GROUP_ID, &id) || attrs_get_u64(a, ATTR_METER_ID, &id);
	VEC_FOR_EACH (o, &f->t.kind[kind]) {
		if (kind == KIND_RULE ? !is_selected(*o, a, match, false) : one && (*o)->id != id)
			continue;
		size_t at = msg_nest_begin(m, ATTR_OBJECT);
		ATTR_FOR_EACH (x, attrs_of(*o))
			msg_put_bytes(m, (enum api_attr)x->id, x->value, x->len);
		put_status(m);
		msg_nest_end(m, at);
	}
	free(match);
}

static void put_sum(struct fake_tables *f, struct attrs a, struct msg *m)
{
	struct minimatch *match = match_of(a);
	uint32_t n = 0;
	VEC_FOR_EACH (o, &f->t.kind[KIND_RULE])
		n += is_selected(*o, a, match, false);
	free(match);
	msg_put_u64(m, ATTR_COUNT, n);
	put_status(m);
}

static void answer(struct fake_tables *f, const void *data)
{
	const struct msg_header *h = data;
	struct attrs a = msg_attrs(data);
	unsigned type = h->type & MESSAGE_TYPE_MASK;
	struct msg m, error;
	struct err e = {0};
	int rc = 0;
	msg_init(&m, (uint16_t)(type | MESSAGE_REPLY), h->seq);
	msg_init(&error, (uint16_t)(type | MESSAGE_ERROR), h->seq);
	if (type == API_HELLO) {
		msg_put_u32(&m, ATTR_API_VERSION, API_VERSION_NOW);
		msg_put_u64(&m, ATTR_BOOT_ID, 7);
		msg_put_flag(&m, ATTR_WRITER);
	} else if (type == API_TRANSACTION) {
		rc = transact(f, a, &error, &e);
	} else if (type == API_RULES) {
		put_objects(f, KIND_RULE, a, &m);
	} else if (type == API_GROUPS) {
		put_objects(f, KIND_GROUP, a, &m);
	} else if (type == API_METERS) {
		put_objects(f, KIND_METER, a, &m);
	} else if (type == API_RULES_SUM) {
		put_sum(f, a, &m);
	}
	if (rc) {
		msg_put_u32(&error, ATTR_ERROR_CODE, (uint32_t)e.code);
		msg_put_str(&error, ATTR_ERROR_TEXT, e.text);
		msg_free(&m);
		put_out(f, &error);
	} else {
		msg_free(&error);
		put_out(f, &m);
	}
}

static void on_readable(struct bufferevent *bev, void *aux)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct msg_header h;
	while (evbuffer_copyout(in, &h, sizeof h) == sizeof h &&
	       evbuffer_get_length(in) >= h.length) {
		void *data = xmalloc(h.length);
		struct err e = {0};
		evbuffer_remove(in, data, h.length);
		if (!msg_check(data, h.length, &e))
			answer(aux, data);
		free(data);
	}
}

/* ---- the client's end ---- */

static void on_event(struct attrs a, void *aux)
{
	struct fake_tables *f = aux;
	if (f->on_event)
		f->on_event(f->aux, &a);
}

static void on_client(evutil_socket_t fd, short what, void *aux)
{
	struct fake_tables *f = aux;
	(void)fd, (void)what;
	if (api_client_run(f->client))
		abort();
	if (api_wants_write(f->client))
		event_add(f->writable, NULL);
}

static void on_output(void *aux)
{
	event_add(((struct fake_tables *)aux)->writable, NULL);
}

struct fake_tables *fake_tables_start(struct event_base *base)
{
	struct fake_tables *f = xzalloc(sizeof *f);
	int fd[2];
	struct msg hello;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd))
		abort();
	f->base = base;
	f->bev = bufferevent_socket_new(base, fd[0], BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(f->bev, on_readable, NULL, NULL, f);
	bufferevent_enable(f->bev, EV_READ | EV_WRITE);
	api_client_attach(fd[1], &f->client);
	f->readable = event_new(base, fd[1], EV_READ | EV_PERSIST, on_client, f);
	f->writable = event_new(base, fd[1], EV_WRITE, on_client, f);
	event_add(f->readable, NULL);
	api_on_event(f->client, on_event, f);
	api_on_output(f->client, on_output, f);
	api_hello(&hello, "test", true);
	api_send(f->client, &hello, NULL, NULL);
	return f;
}

void fake_tables_stop(struct fake_tables *f)
{
	event_free(f->readable);
	event_free(f->writable);
	api_close(f->client);
	bufferevent_free(f->bev);
	free_tables(&f->t);
	vec_free(&f->events);
	free(f);
}

struct api_client *fake_tables_client(struct fake_tables *f)
{
	return f->client;
}

void fake_tables_on_event(struct fake_tables *f, void (*fn)(void *aux, const void *attrs),
			  void *aux)
{
	f->on_event = fn;
	f->aux = aux;
}

size_t fake_tables_rules(const struct fake_tables *f)
{
	return f->t.kind[KIND_RULE].len;
}

unsigned fake_tables_transactions(const struct fake_tables *f)
{
	return f->transactions;
}

void fake_tables_packet_in(struct fake_tables *f, const char *bridge, unsigned in_port,
			   const void *frame, size_t n)
{
	struct msg m;
	struct flow flow = {0};
	flow.regs.in_port = cpu_to_be32(in_port);
	flow.regs.reg[3] = cpu_to_be32(0x33);
	msg_init(&m, API_EVENT, 0);
	msg_put_u16(&m, ATTR_EVENT, API_EVENT_PACKET_IN);
	msg_put_str(&m, ATTR_BRIDGE, bridge);
	msg_put_u32(&m, ATTR_IN_PORT, in_port);
	msg_put_u8(&m, ATTR_PACKET_IN_REASON, 1);
	msg_put_u8(&m, ATTR_TABLE, 0);
	msg_put_u64(&m, ATTR_COOKIE, 0x77);
	msg_put_u16(&m, ATTR_MAX_LEN, UINT16_MAX);
	msg_put_u32(&m, ATTR_PACKET_LEN, (uint32_t)n);
	msg_put_bytes(&m, ATTR_REGS, &flow, sizeof flow);
	msg_put_bytes(&m, ATTR_PACKET, frame, n);
	put_out(f, &m);
}
