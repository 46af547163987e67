/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of port classes, and what they share: opening, checking of options, events. Device
 * thread, except where port.h says otherwise. */
#include "datapath/port/port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/log.h"
#include "datapath/core/drop_memory.h"
#include "datapath/port/port_priv.h"

LOG_MODULE(port);

void (*port_event_sink)(struct port *p, enum port_event ev);
const char *port_rundir;

void port_event_post(struct port *p, enum port_event ev)
{
	if (port_event_sink)
		port_event_sink(p, ev);
}

static const struct {
	const char *type;
	const struct port_class *class;
} classes[] = {
#define PORT_CLASS(type, class) {type, &class},
#include "datapath/port/port_classes.def"
#undef PORT_CLASS
};

const struct port_class *port_class_for_all;

const struct port_class *port_class_find(const char *type)
{
	if (port_class_for_all && strcmp(type, "patch"))
		return port_class_for_all;
	for (size_t i = 0; i < SL_ARRAY_SIZE(classes); i++)
		if (!strcmp(classes[i].type, type))
			return classes[i].class;
	return NULL;
}

static const struct port_option_info *info_of(const struct port_class *class, const char *key)
{
	for (const struct port_option_info *o = class->options; o && o->name; o++)
		if (!strcmp(o->name, key))
			return o;
	return NULL;
}

const char *port_option(const struct port_config *c, const char *key)
{
	for (size_t i = 0; i < c->n_options; i++)
		if (!strcmp(c->options[i].key, key))
			return c->options[i].value;
	return NULL;
}

static bool parse_bool(const char *s, bool *out)
{
	*out = !strcmp(s, "true") || !strcmp(s, "yes") || !strcmp(s, "1");
	return *out || !strcmp(s, "false") || !strcmp(s, "no") || !strcmp(s, "0");
}

int64_t port_option_int(const struct port_class *class, const struct port_config *c,
			const char *key)
{
	const struct port_option_info *o = info_of(class, key);
	const char *text = port_option(c, key);
	uint64_t v;

	if (text && parse_u64(text, 0, INT64_MAX, &v))
		return (int64_t)v;
	return o ? o->def : 0;
}

bool port_option_bool(const struct port_class *class, const struct port_config *c, const char *key)
{
	const struct port_option_info *o = info_of(class, key);
	const char *text = port_option(c, key);
	bool v;

	if (text && parse_bool(text, &v))
		return v;
	return o && o->def;
}

static int check_option(const struct port_config *c, const struct port_option *opt,
			const struct port_option_info *o, struct err *e)
{
	uint64_t v;
	bool b;

	switch (o->kind) {
	case OPT_INT:
		if (!parse_u64(opt->value, 0, INT64_MAX, &v) || (int64_t)v < o->min ||
		    (int64_t)v > o->max)
			return err_set(
				e, EINVAL, "port %s: options:%s: %s: not a number of %lld..%lld",
				c->name, o->name, opt->value, (long long)o->min, (long long)o->max);
		return 0;
	case OPT_BOOL:
		if (!parse_bool(opt->value, &b))
			return err_set(e, EINVAL, "port %s: options:%s: %s: not true or false",
				       c->name, o->name, opt->value);
		return 0;
	case OPT_PATH:
		if (opt->value[0] != '/')
			return err_set(e, EINVAL, "port %s: options:%s: %s: not an absolute path",
				       c->name, o->name, opt->value);
		return 0;
	case OPT_STRING:
		return 0;
	}
	return 0;
}

int port_config_check(const struct port_config *c, struct err *e)
{
	const struct port_class *class = port_class_find(c->type);

	if (!class)
		return err_set(e, EINVAL, "port %s: type %s: unknown", c->name, c->type);
	if (!c->name[0] || strnlen(c->name, sizeof c->name) == sizeof c->name)
		return err_set(e, EINVAL, "port: name is empty or longer than %d bytes",
			       PORT_NAME_BYTES - 1);
	if (c->mtu && (c->mtu < 68 || c->mtu > PORT_MTU_MAX))
		return err_set(e, EINVAL, "port %s: mtu_request %u: not 68..%d", c->name, c->mtu,
			       PORT_MTU_MAX);
	if (c->n_rxq > QUEUES_MAX)
		return err_set(e, EINVAL, "port %s: n_rxq %u: more than %d", c->name, c->n_rxq,
			       QUEUES_MAX);
	for (size_t i = 0; i < c->n_options; i++) {
		const struct port_option_info *o = info_of(class, c->options[i].key);
		int ret = o ? check_option(c, &c->options[i], o, e) : 0;

		/* Options this class does not know are somebody else's (the database keeps many in
		 * one map); whoever owns the configuration reports them. */
		if (ret)
			return ret;
	}
	return class->check ? class->check(c, e) : 0;
}

int port_open(uint32_t id, const struct port_config *c, struct port **out, struct err *e)
{
	int ret = port_config_check(c, e);

	if (ret)
		return ret;
	struct port *p = aligned_alloc(SL_CACHE_LINE, SL_ALIGN_UP(sizeof *p, SL_CACHE_LINE));
	if (!p)
		return err_set(e, ENOMEM, "port %s: out of memory", c->name);
	memset(p, 0, sizeof *p);
	p->class = port_class_find(c->type);
	p->id = id;
	strcpy(p->name, c->name);
	p->status.admin_up = c->admin_up;
	p->status.ifindex = 0;
	ret = p->class->open(p, c, e);
	if (ret) {
		if (e && !e->code)
			err_set(e, -ret, "port %s: %s", c->name, strerror(-ret));
		free(p);
		return ret;
	}
	log_info("port %s: added: type %s, id %u, %u rx queue(s)", p->name, c->type, id, p->n_rxq);
	*out = p;
	return 0;
}

int port_set(struct port *p, const struct port_config *c, struct err *e)
{
	int ret = port_config_check(c, e);

	if (ret)
		return ret;
	if (port_class_find(c->type) != p->class)
		return -EOPNOTSUPP;
	ret = p->class->set ? p->class->set(p, c, e) : -EOPNOTSUPP;
	if (!ret)
		p->status.admin_up = c->admin_up;
	return ret;
}

void port_close(struct port *p)
{
	if (!p)
		return;
	log_info("port %s: removed", p->name);
	p->class->close(p);
	free(p);
}

void port_set_mtu(struct port *p, uint32_t mtu)
{
	p->status.mtu = mtu;
	__atomic_store_n(&p->max_frame_bytes, mtu + 14, __ATOMIC_RELAXED);
}

void port_set_link(struct port *p, bool up)
{
	uint8_t now = up ? PORT_LINK_UP : PORT_LINK_DOWN;

	if (p->link == now && p->status.link == now)
		return;
	if (up)
		p->status.link_resets++;
	p->status.link = now;
	__atomic_store_n(&p->link, now, __ATOMIC_RELEASE);
	port_event_post(p, PORT_EVENT_LINK);
}

static void drop(struct port *p, enum drop_reason why, uint64_t n, uint64_t bytes,
		 const struct rte_mbuf *m)
{
	struct port_counters *c = counters_of(sl_thread_idx, p->id);
	const struct drop_note note = {
		.why = why,
		.port_id = p->id,
		.from_port = p->id,
		.packet = m,
		.count = (uint32_t)n,
		.pkt_len = (uint32_t)bytes,
	};

	__atomic_store_n(&p->rx_discarded, true, __ATOMIC_RELAXED);
	if (!c)
		return;
	counter_add(&c->rx_pkts, n);
	counter_add(&c->rx_bytes, bytes);
	counter_add(&c->drop[why], n);
	drop_memory_note(sl_thread_idx, &note);
}

void port_rx_drop(struct port *p, enum drop_reason why, uint64_t n, uint64_t bytes)
{
	drop(p, why, n, bytes, NULL);
}

void port_rx_drop_packet(struct port *p, enum drop_reason why, struct rte_mbuf *m, uint32_t bytes)
{
	drop(p, why, 1, bytes, m);
	rte_pktmbuf_free(m);
}
