/* SPDX-License-Identifier: BSD-3-Clause */
/* The device side of a transaction. One struct port_change per touched port; a single device job
 * walks them all, so that devices are opened in the order of the operations. */
#include "datapath/server/port_change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/log.h"
#include "datapath/base/vec.h"
#include "datapath/core/counters.h"
#include "datapath/core/rcu.h"
#include "datapath/observe/record.h"
#include "datapath/poll/poll.h"
#include "datapath/server/device.h"
#include "datapath/server/port_rates.h"
#include "datapath/server/port_watch.h"
#include "datapath/server/recorded_port.h"

LOG_MODULE(port);

enum change_kind_of_port { PORT_KEEP, PORT_OPEN, PORT_SET, PORT_REOPEN, PORT_CLOSE };

struct port_change { /* main; the device thread while the job runs */
	struct port_object *p;
	uint32_t op;
	enum change_kind_of_port kind;
	struct port_config before, after; /* before: what runs; after: what is wanted */
	struct port *port;                /* before: the device in place; later the new one */
	bool tried;                       /* SET was called, whatever came of it */
	bool applied;                     /* the device is as in `after` */
	bool unpublished;                 /* taken out for a reopening */
};

static VEC(struct port_change *) changes;

const uint16_t port_device_attrs[] = {
	ATTR_TYPE,       ATTR_MTU, ATTR_N_RXQ,    ATTR_N_TXQ,  ATTR_N_RXQ_DESC,
	ATTR_N_TXQ_DESC, ATTR_MAC, ATTR_ADMIN_UP, ATTR_OPTION, 0};
/* Those that no class can change while the device is open. */
static const uint16_t reopening_attrs[] = {ATTR_TYPE,       ATTR_N_RXQ,      ATTR_N_TXQ,
					   ATTR_N_RXQ_DESC, ATTR_N_TXQ_DESC, 0};

/* ---- configuration ---- */

void port_config_from(const char *name, const struct config *c, struct port_config *out)
{
	struct attrs a = c->attrs;
	struct port_option *options;
	const uint8_t *mac;
	size_t len, n = 0;

	*out = (struct port_config){
		.type = attrs_str(a, ATTR_TYPE, ""),
		.mtu = (uint32_t)attrs_u64(a, ATTR_MTU, 0),
		.n_rxq = (uint16_t)attrs_u64(a, ATTR_N_RXQ, 0),
		.n_txq = (uint16_t)attrs_u64(a, ATTR_N_TXQ, 0),
		.n_rxq_desc = (uint16_t)attrs_u64(a, ATTR_N_RXQ_DESC, 0),
		.n_txq_desc = (uint16_t)attrs_u64(a, ATTR_N_TXQ_DESC, 0),
		.admin_up = attrs_u64(a, ATTR_ADMIN_UP, 1),
	};
	strcpy(out->name, name);
	if (!out->n_txq)
		out->n_txq = poll_n_txq();
	mac = attrs_bytes(a, ATTR_MAC, &len);
	if (mac)
		memcpy(out->mac, mac, sizeof out->mac);
	ATTR_FOR_EACH (it, a)
		n += it->id == ATTR_OPTION;
	options = xcalloc(n, sizeof *options);
	n = 0;
	ATTR_FOR_EACH (it, a) {
		if (it->id != ATTR_OPTION)
			continue;
		options[n].key = attrs_str(attr_nest(it), ATTR_KEY, "");
		options[n++].value = attrs_str(attr_nest(it), ATTR_VALUE, "");
	}
	out->options = options;
	out->n_options = n;
}

void port_config_free(struct port_config *c)
{
	free((void *)c->options);
	c->options = NULL;
	c->n_options = 0;
}

void port_change_set_op(struct port_object *p, uint32_t op)
{
	if (!p->change) {
		p->change = xzalloc(sizeof *p->change);
		p->change->p = p;
		vec_push(&changes, p->change);
	}
	p->change->op = op;
}

static void forget_all(void)
{
	VEC_FOR_EACH (it, &changes) {
		struct port_change *c = *it;

		c->p->change = NULL;
		port_config_free(&c->before);
		port_config_free(&c->after);
		free(c);
	}
	vec_free(&changes);
}

static int plan(struct port_change *c, struct err *e)
{
	const struct object *o = &c->p->o;

	c->port = c->p->port;
	if (o->exists)
		port_config_from(o->name, o->config, &c->before);
	if (!o->staged_exists) {
		c->kind = o->exists ? PORT_CLOSE : PORT_KEEP;
		return 0;
	}
	port_config_from(o->name, o->staged, &c->after);
	if (!o->exists)
		c->kind = PORT_OPEN;
	else if (config_same(o->config, o->staged, port_device_attrs))
		c->kind = PORT_KEEP;
	else if (config_same(o->config, o->staged, reopening_attrs))
		c->kind = PORT_SET;
	else
		c->kind = PORT_REOPEN;
	return c->kind == PORT_KEEP ? 0 : port_config_check(&c->after, e);
}

int port_changes_plan(uint32_t *failed_op, struct err *e)
{
	VEC_FOR_EACH (it, &changes) {
		int rc = plan(*it, e);

		if (rc) {
			*failed_op = (*it)->op;
			return rc;
		}
	}
	return 0;
}

/* ---- running ---- */

static struct device_job job;
static struct err job_err;
static uint32_t *job_failed_op;
static void (*run_done)(const struct err *e);
static void (*undo_done)(void);

/* Device thread. SET that needs a reopening is left for the second round. */
static void run_one(struct port_change *c)
{
	int rc = 0;

	switch (c->kind) {
	case PORT_KEEP:
	case PORT_CLOSE:
		return;
	case PORT_OPEN:
		rc = port_open(c->p->id, &c->after, &c->port, &job_err);
		break;
	case PORT_SET:
		c->tried = true;
		rc = port_set(c->port, &c->after, &job_err);
		if (rc == -EOPNOTSUPP) {
			err_clear(&job_err);
			c->kind = PORT_REOPEN;
			return;
		}
		break;
	case PORT_REOPEN:
		if (!c->unpublished)
			return;
		port_close(c->port);
		c->port = NULL;
		rc = port_open(c->p->id, &c->after, &c->port, &job_err);
		break;
	}
	if (rc) {
		err_set(&job_err, -rc, "port %s: %s", c->p->o.name, strerror(-rc));
		*job_failed_op = c->op;
		if (c->kind != PORT_SET)
			c->port = NULL;
		return;
	}
	if (c->port->class->refresh)
		c->port->class->refresh(c->port);
	c->applied = true;
}

static void run_changes(struct device_job *j)
{
	VEC_FOR_EACH (it, &changes)
		if (!(*it)->applied && !job_err.code)
			run_one(*it);
}

static void submit(void (*run)(struct device_job *), void (*done)(struct device_job *))
{
	job.run = run;
	job.done = done;
	device_submit(&job);
}

static void reopen(void *aux);
static void changes_ran(struct device_job *j);

/* Takes the ports that must be reopened away from the poll threads. False: there is none. */
static bool unpublish_for_reopen(void)
{
	bool any = false;

	VEC_FOR_EACH (it, &changes) {
		struct port_change *c = *it;

		if (c->kind != PORT_REOPEN || c->unpublished)
			continue;
		if (c->p->published)
			poll_port_remove(c->port);
		c->p->published = false;
		c->p->port = NULL;
		c->unpublished = true;
		any = true;
	}
	return any;
}

/* poll.h asks for two generations: the second begins when the first is over. */
struct grace {
	struct list link; /* replay: in `graces` */
	void (*fn)(void *aux);
	void *aux;
};
static struct list graces = {&graces, &graces};

static void after_two(void *p)
{
	struct grace *g = p;

	loop_hurry_end();
	if (record_on())
		record_simple(REC_GRACE);
	g->fn(g->aux);
	free(g);
}

static void after_one(void *p)
{
	rcu_defer(after_two, p);
}

static void start_grace(void (*fn)(void *), void *aux)
{
	struct grace *g = xmalloc(sizeof *g);

	*g = (struct grace){.fn = fn, .aux = aux};
	loop_hurry_begin();
	if (record_is_replay())
		list_push_back(&graces, &g->link);
	else
		rcu_defer(after_one, g);
}

bool port_change_replay_grace(void)
{
	if (list_is_empty(&graces))
		return false;
	after_two(LIST_ITEM(list_pop_front(&graces), struct grace, link));
	return true;
}

static void reopen(void *aux)
{
	submit(run_changes, changes_ran);
}

/* What the devices said: a replay has none to ask. */
static void record_opened(const struct port_change *c, unsigned error, const struct port *port)
{
	struct recording *r = record_begin(REC_OPENED);

	if (!r)
		return;
	recording_put(r, c->p->id);
	recording_put(r, error);
	recording_put_bytes(r, job_err.text, strlen(job_err.text));
	recorded_port_put(r, port);
	record_end();
}

static void record_all(void)
{
	VEC_FOR_EACH (it, &changes) {
		const struct port_change *c = *it;
		bool to_reopen = c->kind == PORT_REOPEN && c->tried && !c->unpublished;

		if (to_reopen)
			record_opened(c, EOPNOTSUPP, NULL);
		else if (c->applied)
			record_opened(c, 0, c->port);
		else if (job_err.code)
			record_opened(c, (unsigned)job_err.code, NULL);
	}
}

static void changes_ran(struct device_job *j)
{
	if (record_is_live())
		record_all();
	if (!job_err.code && unpublish_for_reopen()) {
		start_grace(reopen, NULL);
		return;
	}
	VEC_FOR_EACH (it, &changes)
		if ((*it)->applied && !job_err.code)
			(*it)->p->status = (*it)->port->status;
	run_done(job_err.code ? &job_err : NULL);
}

void port_changes_run(uint32_t *failed_op, void (*done)(const struct err *e))
{
	bool any = false;

	err_clear(&job_err);
	job_failed_op = failed_op;
	run_done = done;
	VEC_FOR_EACH (it, &changes)
		any |= (*it)->kind == PORT_OPEN || (*it)->kind == PORT_SET ||
		       (*it)->kind == PORT_REOPEN;
	if (!any) {
		done(NULL);
		return;
	}
	submit(run_changes, changes_ran);
}

static int publish(struct port_object *p, const struct config *c, struct err *e)
{
	const char *pin = attrs_str(c->attrs, ATTR_RXQ_AFFINITY, NULL);
	int rc = counters_port_create(p->id);

	if (rc)
		return err_set(e, -rc, "port %s: no memory for its counters", p->o.name);
	if (p->port->class->no_queues)
		return 0;
	rc = poll_port_add(p->port, pin && *pin ? pin : NULL, e);
	if (rc)
		return err_set(e, -rc, "port %s: %s", p->o.name, strerror(-rc));
	p->published = true;
	return 0;
}

int port_changes_publish(uint32_t *failed_op, struct err *e)
{
	VEC_FOR_EACH (it, &changes) {
		struct port_change *c = *it;

		if (!c->applied || (c->kind != PORT_OPEN && c->kind != PORT_REOPEN))
			continue;
		c->p->port = c->port;
		int rc = publish(c->p, c->p->o.staged, e);
		if (rc) {
			*failed_op = c->op;
			return rc;
		}
	}
	return 0;
}

/* ---- undoing ---- */

/* Device thread. */
static void undo_one(struct port_change *c)
{
	struct err e = {0};

	if (c->kind == PORT_OPEN && c->port) {
		port_close(c->port);
		c->port = NULL;
	} else if (c->kind == PORT_SET && c->tried) {
		if (port_set(c->port, &c->before, &e))
			log_warn("port %s: back to what it was: %s", c->p->o.name, e.text);
	} else if (c->kind == PORT_REOPEN && c->unpublished) {
		if (c->port)
			port_close(c->port);
		c->port = NULL;
		if (port_open(c->p->id, &c->before, &c->port, &e)) {
			log_err("port %s: could not be opened again: %s", c->p->o.name, e.text);
			c->port = NULL;
		}
	}
}

static void undo_changes(struct device_job *j)
{
	for (size_t i = changes.len; i--;)
		undo_one(changes.at[i]);
}

static void changes_undone(struct device_job *j)
{
	VEC_FOR_EACH (it, &changes) {
		struct port_change *c = *it;
		struct err e = {0};

		if (record_is_live() && c->port)
			record_opened(c, 0, c->port);
		if (c->kind == PORT_OPEN) {
			c->p->port = NULL;
			counters_port_destroy(c->p->id);
		} else if (c->kind == PORT_SET && c->tried) {
			c->p->status = c->port->status;
		} else if (c->kind == PORT_REOPEN && c->unpublished && c->port) {
			c->p->port = c->port;
			c->p->status = c->port->status;
			if (publish(c->p, c->p->o.config, &e))
				log_err("port %s: %s", c->p->o.name, e.text);
		}
	}
	forget_all();
	undo_done();
}

static void undo(void *aux)
{
	submit(undo_changes, changes_undone);
}

void port_changes_undo(void (*done)(void))
{
	bool published = false, any = false;

	undo_done = done;
	VEC_FOR_EACH (it, &changes) {
		struct port_change *c = *it;
		bool fresh = c->kind == PORT_OPEN || c->kind == PORT_REOPEN;

		any |= c->applied || c->tried || c->unpublished;
		if (!fresh || !c->p->port || c->p->port != c->port || !c->p->published)
			continue;
		if (c->kind == PORT_REOPEN && !c->unpublished)
			continue;
		poll_port_remove(c->port);
		c->p->published = false;
		published = true;
	}
	if (published)
		start_grace(undo, NULL);
	else if (any)
		submit(undo_changes, changes_undone);
	else {
		forget_all();
		done();
	}
}

/* ---- closing ---- */

struct closing {
	struct device_job job;
	struct port_object *p;
	struct port *port;
};
static size_t n_closing;
static void (*closes_waiter)(void);

static void run_close(struct device_job *j)
{
	port_close(SL_CONTAINER_OF(j, struct closing, job)->port);
}

static void closed(struct device_job *j)
{
	struct closing *c = SL_CONTAINER_OF(j, struct closing, job);

	counters_port_destroy(c->p->id);
	registry_release_port(c->p);
	free(c);
	if (!--n_closing && closes_waiter) {
		void (*fn)(void) = closes_waiter;

		closes_waiter = NULL;
		fn();
	}
}

static void submit_close(void *aux)
{
	device_submit(&((struct closing *)aux)->job);
}

static void start_close(struct port_object *p)
{
	struct closing *c;

	if (!p->port) { /* lost when a reopening failed: registry_commit() frees it */
		counters_port_destroy(p->id);
		return;
	}
	c = xzalloc(sizeof *c);
	c->p = p;
	c->port = p->port;
	c->job.run = run_close;
	c->job.done = closed;
	if (p->published)
		poll_port_remove(p->port);
	p->published = false;
	n_closing++;
	start_grace(submit_close, c);
}

void port_closes_wait(void (*fn)(void))
{
	if (n_closing)
		closes_waiter = fn;
	else
		fn();
}

void port_changes_finish(void)
{
	VEC_FOR_EACH (it, &changes) {
		struct port_change *c = *it;

		if (c->kind == PORT_CLOSE) {
			port_announce(c->p, "removed");
			start_close(c->p);
		} else if (c->p->o.staged_exists) {
			port_announce(c->p, c->kind == PORT_OPEN ? "added" : "changed");
		}
	}
	if (changes.len)
		port_rates_changed();
	forget_all();
}

static void close_at_exit(struct port_object *p, void *aux)
{
	if (p->port)
		port_close(p->port);
	p->port = NULL;
}

bool port_changes_are_idle(void)
{
	return !n_closing && !changes.len;
}

void port_close_all(void)
{
	registry_for_each_port(close_at_exit, NULL);
}
