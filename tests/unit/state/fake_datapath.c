/* SPDX-License-Identifier: BSD-3-Clause */
/* Applies operations to a copy of its configuration and keeps the copy when all of them succeed. */
#include "tests/unit/state/fake_datapath.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "datapath/base/err.h"

struct fake_datapath {
	struct evconnlistener *listener;
	VEC(struct bufferevent *) clients;
	struct config config;
	uint64_t boot_id;
	unsigned transactions, writes, rules;
	bool opened_early;
	const char *refuse;
};

static uint64_t next_boot_id = 1;

/* ---- a transaction ---- */

static int set_bridge(struct fake_datapath *f, struct config *c, struct attrs op, struct err *e)
{
	const char *name = attrs_str(op, ATTR_NAME, "");
	struct config_bridge *b = config_find_bridge(c, name);
	if (f->refuse && !strcmp(f->refuse, name))
		return err_set(e, EINVAL, "bridge %s: refused", name);
	if (!b != attrs_has(op, ATTR_CREATE))
		return err_set(e, b ? EEXIST : ENOENT, "bridge %s: create flag", name);
	if (!b)
		b = config_add_bridge(c, name);
	for (size_t i = 0; i < config_bridge_n_fields; i++)
		if (attrs_has(op, config_bridge_fields[i].attr))
			config_field_get(&config_bridge_fields[i], b, op);
	return 0;
}

static void set_options(struct config_port *p, struct attrs op)
{
	bool cleared = false;
	ATTR_FOR_EACH (it, op) {
		const char *key;
		if (it->id != ATTR_OPTION)
			continue;
		if (!cleared)
			VEC_FOR_EACH (o, &p->options) {
				free(o->key);
				free(o->value);
			}
		if (!cleared)
			vec_clear(&p->options);
		cleared = true;
		key = attrs_str(attr_nest(it), ATTR_KEY, NULL);
		if (key)
			config_port_set_option(p, key, attrs_str(attr_nest(it), ATTR_VALUE, ""));
	}
}

static int set_port(struct fake_datapath *f, struct config *c, struct attrs op, struct err *e)
{
	const char *name = attrs_str(op, ATTR_NAME, "");
	struct config_port *p = config_find_port(c, name);
	const struct config_bridge *b;
	if (f->refuse && !strcmp(f->refuse, name))
		return err_set(e, ENODEV, "port %s: no such device", name);
	if (!p != attrs_has(op, ATTR_CREATE))
		return err_set(e, p ? EEXIST : ENOENT, "port %s: create flag", name);
	if (!p)
		p = config_add_port(c, name, "");
	for (size_t i = 0; i < config_port_n_fields; i++)
		if (attrs_has(op, config_port_fields[i].attr))
			config_field_get(&config_port_fields[i], p, op);
	set_options(p, op);
	b = config_find_bridge(c, p->bridge);
	if (p->bridge[0] && !b)
		return err_set(e, ENOENT, "port %s: bridge %s: not found", name, p->bridge);
	VEC_FOR_EACH (other, &c->ports)
		if (*other != p && p->bridge[0] && !strcmp((*other)->bridge, p->bridge) &&
		    (*other)->ofport == p->ofport)
			return err_set(e, EEXIST, "port %s: ofport %u is taken", name, p->ofport);
	return 0;
}

static int del_bridge(struct config *c, const char *name, struct err *e)
{
	for (size_t i = 0; i < c->bridges.len; i++)
		if (!strcmp(c->bridges.at[i]->name, name)) {
			config_bridge_free(c->bridges.at[i]);
			vec_remove(&c->bridges, i);
			return 0;
		}
	return err_set(e, ENOENT, "bridge %s: not found", name);
}

static int run_op(struct fake_datapath *f, struct config *c, struct attrs op, struct err *e)
{
	const char *name = attrs_str(op, ATTR_NAME, "");
	int rc = 0;
	switch (attrs_u64(op, ATTR_OP_TYPE, API_OP_N)) {
	case API_OP_BRIDGE_SET:
		rc = set_bridge(f, c, op, e);
		break;
	case API_OP_BRIDGE_DEL:
		rc = del_bridge(c, name, e);
		break;
	case API_OP_PORT_SET:
		rc = set_port(f, c, op, e);
		break;
	case API_OP_PORT_DEL:
		if (!config_remove_port(c, name))
			rc = err_set(e, ENOENT, "port %s: not found", name);
		break;
	case API_OP_MAC_SET:
		config_add_mac_dump(c, op);
		break;
	case API_OP_RULE_MOD:
		if (f->refuse && !strcmp(f->refuse, "rules"))
			rc = err_set(e, EINVAL, "rules: refused");
		f->rules++;
		break;
	case API_OP_GENERATION_SET:
		c->generation = attrs_u64(op, ATTR_GENERATION, 0);
		break;
	}
	config_sort(c);
	return rc;
}

static int transact(struct fake_datapath *f, struct attrs a, struct err *e)
{
	struct config work;
	int rc = 0;
	config_copy(&work, &f->config);
	ATTR_FOR_EACH (it, a)
		if (!rc && it->id == ATTR_OP) {
			struct attrs op = attr_nest(it);
			rc = run_op(f, &work, op, e);
			if (attrs_u64(op, ATTR_OP_TYPE, 0) == API_OP_PORT_SET &&
			    attrs_has(op, ATTR_CREATE))
				VEC_FOR_EACH (b, &work.bridges)
					f->opened_early |=
						(*b)->open &&
						!config_find_bridge(&f->config, (*b)->name);
		}
	if (rc) {
		config_free(&work);
		return rc;
	}
	config_free(&f->config);
	f->config = work;
	f->transactions++;
	return 0;
}

/* ---- messages ---- */

static void put_objects(struct fake_datapath *f, enum api_message type, const char *port,
			struct msg *m)
{
	size_t at;
	if (type == API_BRIDGES)
		VEC_FOR_EACH (b, &f->config.bridges) {
			at = msg_nest_begin(m, ATTR_OBJECT);
			msg_put_str(m, ATTR_NAME, (*b)->name);
			for (size_t i = 0; i < config_bridge_n_fields; i++)
				config_field_put(&config_bridge_fields[i], *b, m);
			msg_nest_end(m, at);
		}
	if (type == API_PORTS)
		VEC_FOR_EACH (p, &f->config.ports) {
			size_t nest;
			if (port && strcmp(port, (*p)->name))
				continue;
			at = msg_nest_begin(m, ATTR_OBJECT);
			msg_put_str(m, ATTR_NAME, (*p)->name);
			for (size_t i = 0; i < config_port_n_fields; i++)
				config_field_put(&config_port_fields[i], *p, m);
			VEC_FOR_EACH (o, &(*p)->options) {
				nest = msg_nest_begin(m, ATTR_OPTION);
				msg_put_str(m, ATTR_KEY, o->key);
				msg_put_str(m, ATTR_VALUE, o->value);
				msg_nest_end(m, nest);
			}
			nest = msg_nest_begin(m, ATTR_STATUS);
			msg_put_u32(m, ATTR_MTU, (*p)->mtu ? (*p)->mtu : 1500);
			msg_put_u8(m, ATTR_LINK_UP, 1);
			msg_nest_end(m, nest);
			msg_nest_end(m, at);
		}
}

static void answer(struct fake_datapath *f, struct bufferevent *bev, const void *data)
{
	const struct msg_header *h = data;
	struct attrs a = msg_attrs(data);
	struct err e = {0};
	struct msg m;
	int rc = 0;
	unsigned type = h->type & MESSAGE_TYPE_MASK;
	msg_init(&m, (uint16_t)(type | MESSAGE_REPLY), h->seq);
	if (type == API_HELLO) {
		msg_put_u32(&m, ATTR_API_VERSION, API_VERSION_NOW);
		msg_put_u64(&m, ATTR_BOOT_ID, f->boot_id);
		if (attrs_has(a, ATTR_WRITER))
			msg_put_flag(&m, ATTR_WRITER);
	} else if (type == API_STATUS) {
		msg_put_u64(&m, ATTR_GENERATION, f->config.generation);
		msg_put_str(&m, ATTR_DPDK_VERSION, "DPDK 0.0");
	} else if (type == API_TRANSACTION) {
		f->writes++;
		rc = transact(f, a, &e);
	} else {
		put_objects(f, type, attrs_str(a, ATTR_PORT, NULL), &m);
	}
	if (rc) {
		msg_free(&m);
		msg_init(&m, (uint16_t)(type | MESSAGE_ERROR), h->seq);
		msg_put_u32(&m, ATTR_ERROR_CODE, (uint32_t)e.code);
		msg_put_str(&m, ATTR_ERROR_TEXT, e.text);
	}
	msg_finish(&m);
	bufferevent_write(bev, m.data, m.len);
	msg_free(&m);
}

static void readable(struct bufferevent *bev, void *aux)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct msg_header h;
	while (evbuffer_copyout(in, &h, sizeof h) == sizeof h &&
	       evbuffer_get_length(in) >= h.length) {
		void *data = xmalloc(h.length);
		struct err e = {0};
		evbuffer_remove(in, data, h.length);
		if (!msg_check(data, h.length, &e))
			answer(aux, bev, data);
		free(data);
	}
}

static void gone(struct bufferevent *bev, short what, void *aux)
{
	struct fake_datapath *f = aux;
	for (size_t i = 0; i < f->clients.len; i++)
		if (f->clients.at[i] == bev) {
			vec_swap_remove(&f->clients, i);
			bufferevent_free(bev);
			return;
		}
}

static void accepted(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len,
		     void *aux)
{
	struct fake_datapath *f = aux;
	struct bufferevent *bev =
		bufferevent_socket_new(evconnlistener_get_base(l), fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(bev, readable, NULL, gone, f);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
	vec_push(&f->clients, bev);
}

struct fake_datapath *fake_datapath_start(struct event_base *base, const char *path)
{
	struct fake_datapath *f = xzalloc(sizeof *f);
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	strncpy(sun.sun_path, path, sizeof sun.sun_path - 1);
	unlink(path);
	f->boot_id = next_boot_id++;
	f->listener = evconnlistener_new_bind(base, accepted, f, LEV_OPT_CLOSE_ON_FREE, 16,
					      (struct sockaddr *)&sun, sizeof sun);
	return f;
}

void fake_datapath_stop(struct fake_datapath *f)
{
	evconnlistener_free(f->listener);
	VEC_FOR_EACH (c, &f->clients)
		bufferevent_free(*c);
	vec_free(&f->clients);
	config_free(&f->config);
	free(f);
}

struct config *fake_datapath_config(struct fake_datapath *f)
{
	return &f->config;
}

unsigned fake_datapath_transactions(const struct fake_datapath *f)
{
	return f->transactions;
}

unsigned fake_datapath_writes(const struct fake_datapath *f)
{
	return f->writes;
}

unsigned fake_datapath_rules(const struct fake_datapath *f)
{
	return f->rules;
}

bool fake_datapath_opened_last(const struct fake_datapath *f)
{
	return !f->opened_early;
}

void fake_datapath_refuse(struct fake_datapath *f, const char *port)
{
	f->refuse = port;
}

void fake_datapath_send_port_event(struct fake_datapath *f, const char *port)
{
	struct msg m;
	msg_init(&m, API_EVENT, 0);
	msg_put_u16(&m, ATTR_EVENT, API_EVENT_PORT);
	msg_put_str(&m, ATTR_PORT, port);
	msg_finish(&m);
	VEC_FOR_EACH (c, &f->clients)
		bufferevent_write(*c, m.data, m.len);
	msg_free(&m);
}
