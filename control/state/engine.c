/* SPDX-License-Identifier: BSD-3-Clause */
/* The reconcile loop. One attempt is first one transaction with the whole plan. If the datapath
 * refuses it, the attempt goes on in steps: what prepares, then every port alone (so that one
 * device that cannot be opened stops no other), then what finishes; and what is there is read
 * again.
 *
 * Invariants: at most one attempt or reading is under way (`state`); `actual` is what the datapath
 * holds whenever the state is IDLE; a plan borrows from `desired` and `actual`, so a new desired
 * configuration waits in `next` until the attempt is over. */
#include "control/state/engine.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "control/state/dp_link.h"
#include "control/state/ofport.h"
#include "datapath/base/clock.h"
#include "datapath/base/log.h"
#include "datapath/base/str.h"

LOG_MODULE(engine);

enum { REREAD_DELAY_MS = 500, STATUS_DELAY_MS = 2, STATUS_BY_NAME_MAX = 16 };

/* Type of a port in `actual` whose device has gone. */
#define LOST "lost"

enum state { DOWN, READING, IDLE, APPLYING };

struct engine {
	const struct engine_ops *ops;
	void *aux;
	struct dp_link *link;
	struct api_client *client;
	enum state state;
	struct datapath_info info;
	struct engine_counts counts;

	struct config desired; /* what is wanted */
	bool has_desired;
	uint64_t seq;
	struct config next; /* arrived during an attempt */
	bool has_next;
	uint64_t next_seq;

	struct config
		target; /* desired without the ports that are held back; the plan's left side */
	struct config actual;
	struct plan plan;
	size_t pending; /* replies outstanding in the present step */
	bool step_failed;
	uint32_t retry_delay_ms; /* after a step failed; doubles */
	VEC(struct engine_problem) problems;
	/* Bridges that were made without their rules, because these were refused: they stay closed
	 * until they have them. malloc. */
	VEC(char *) bare;

	struct port_states ports;
	unsigned status_pending;
	bool announce; /* applied() is due when the statuses are in */

	struct event *kick;  /* go on from the loop, never from inside a caller's call */
	struct event *timer; /* retries, re-reading */
	struct event *refresh;
};

static void go(struct engine *e);

static void kick_in(struct event *ev, uint64_t ms)
{
	struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
			     .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
	evtimer_add(ev, &tv);
}

/* ---- statuses ---- */

/* A port whose device has gone is as good as one of another type: the plan makes it again, and it
 * fails with back-off as long as the device stays away. */
static void note_lost(struct engine *e, const char *name, const struct port_status *st)
{
	struct config_port *there = st->lost ? config_find_port(&e->actual, name) : NULL;
	if (!there)
		return;
	config_set_str(&there->type, LOST);
	kick_in(e->kick, 0);
}

static void announce(struct engine *e)
{
	if (e->status_pending)
		return;
	/* A status asked for earlier may arrive while the newest configuration is still on its way:
	 * only at rest has everything been tried. */
	if (e->announce && e->state == IDLE) {
		e->announce = false;
		e->ops->applied(e->seq, e->aux);
	} else {
		e->ops->ports_changed(e->aux);
	}
}

static void got_statuses(struct attrs a, bool more, const struct err *error, void *aux)
{
	struct engine *e = aux;
	if (!error)
		ATTR_FOR_EACH (it, a) {
			struct attrs object = attr_nest(it);
			const char *name = attrs_str(object, ATTR_NAME, "");
			struct port_state *p;
			if (it->id != ATTR_OBJECT)
				continue;
			p = port_states_find(&e->ports, name);
			if (p) {
				port_status_read(&p->status, object);
				note_lost(e, name, &p->status);
			}
		}
	if (more)
		return;
	e->status_pending--;
	if (e->client)
		announce(e);
}

static void ask_status(struct engine *e, const char *name)
{
	struct msg m;
	msg_init(&m, API_PORTS, 0);
	if (name)
		msg_put_str(&m, ATTR_PORT, name);
	e->status_pending++;
	api_send(e->client, &m, got_statuses, e);
}

/* Reads the status of the ports marked dirty, by name while they are few. */
static void refresh(evutil_socket_t fd, short what, void *aux)
{
	struct engine *e = aux;
	size_t n = 0;
	if (!e->client)
		return;
	HMAP_FOR_EACH (p, struct port_state, node, &e->ports.by_name)
		n += p->dirty;
	HMAP_FOR_EACH (p, struct port_state, node, &e->ports.by_name) {
		if (p->dirty && n <= STATUS_BY_NAME_MAX)
			ask_status(e, p->name);
		p->dirty = false;
	}
	if (n > STATUS_BY_NAME_MAX)
		ask_status(e, NULL);
	announce(e);
}

/* ---- reading ---- */

static void got_actual(struct config *actual, const struct actual_port *ports, size_t n_ports,
		       const struct datapath_info *info, const struct err *error, void *aux)
{
	struct engine *e = aux;
	if (!e->client || (error && error->code == ECONNRESET))
		return;
	if (error) {
		log_err("datapath: cannot read its state: %s", error->text);
		kick_in(e->timer, REREAD_DELAY_MS);
		return;
	}
	if (e->info.boot_id && e->info.boot_id != info->boot_id) {
		log_info("datapath: it was restarted: everything is replayed");
		e->counts.replays++;
	}
	e->info = *info;
	config_free(&e->actual);
	e->actual = *actual;
	memset(actual, 0, sizeof *actual);
	for (size_t i = 0; i < n_ports; i++) {
		struct port_state *p = port_states_get(&e->ports, ports[i].name);
		if (!p->status.known && !p->flags)
			p->flags = e->actual.ports.len == n_ports
					   ? config_find_port(&e->actual, p->name)->port_flags
					   : 0;
		p->status = ports[i].status;
		note_lost(e, p->name, &p->status);
	}
	e->state = IDLE;
	kick_in(e->kick, 0);
}

static void read_actual(struct engine *e)
{
	e->state = READING;
	actual_read(e->client, got_actual, e);
}

/* ---- an attempt ---- */

static bool is_lost(const struct engine *e, const struct config_port *p)
{
	const struct config_port *there = config_find_port(&e->actual, p->name);
	return there && !strcmp(there->type, LOST);
}

static bool in_target(const struct engine *e, const struct config_port *p)
{
	return !is_lost(e, p) &&
	       !port_state_holds_back(port_states_find(&e->ports, p->name), p, clock_mono_ms());
}

/* desired, but a port that is held back stays as it is. */
static void make_target(struct engine *e)
{
	struct config *t = &e->target;
	config_free(t);
	config_copy(t, &e->desired);
	for (size_t i = t->ports.len; i-- > 0;) {
		const struct config_port *there;
		struct config_port *p = t->ports.at[i];
		const struct port_state *st = port_states_find(&e->ports, p->name);
		p->port_flags = st ? st->flags : 0;
		if (in_target(e, p))
			continue;
		there = config_find_port(&e->actual, p->name);
		config_port_free(p);
		if (there && strcmp(there->type, LOST))
			t->ports.at[i] = config_port_copy(there);
		else
			vec_remove(&t->ports, i);
	}
}

static void log_plan(const struct plan *plan)
{
	struct str s = STR_INIT;
	VEC_FOR_EACH (op, &plan->ops) {
		str_clear(&s);
		plan_op_format(op, &s);
		log_dbg("plan: %s", str_cstr(&s));
	}
	str_free(&s);
}

static bool opens(const struct plan_op *op)
{
	return op->phase == PLAN_FINISH && op->op == API_OP_BRIDGE_SET;
}

/* Was the bridge of this opening operation made by the same plan? */
static bool is_new(const struct engine *e, const struct config_bridge *b)
{
	VEC_FOR_EACH (op, &e->plan.ops)
		if (op->bridge == b && op->create)
			return true;
	return false;
}

static char **find_bare(struct engine *e, const struct config_bridge *b)
{
	VEC_FOR_EACH (name, &e->bare)
		if (!strcmp(*name, b->name))
			return name;
	return NULL;
}

static void note_bare(struct engine *e, const struct config_bridge *b)
{
	if (!find_bare(e, b))
		vec_push(&e->bare, xstrdup(b->name));
}

/* Its rules were accepted. */
static void has_rules(struct engine *e, const struct config_bridge *b)
{
	char **name = find_bare(e, b);
	if (name) {
		free(*name);
		vec_swap_remove(&e->bare, name - e->bare.at);
	}
	e->ops->bridge_made(b->name, e->aux);
}

/* Does the plan bring the bridge's rules with this operation, when all goes at once? */
static bool brings_rules(struct engine *e, const struct plan_op *op)
{
	return op->op == API_OP_BRIDGE_SET &&
	       (op->create || (opens(op) && find_bare(e, op->bridge) && !is_new(e, op->bridge)));
}

/* Bridges that this plan makes; their rules come before they open, and also when they stay closed.
 */
static void put_rules(struct engine *e, struct msg *m)
{
	VEC_FOR_EACH (op, &e->plan.ops)
		if (brings_rules(e, op))
			e->ops->put_rules(op->bridge->name, m, e->aux);
}

static void put_plan(struct engine *e, struct msg *m)
{
	bool rules_done = false;
	VEC_FOR_EACH (op, &e->plan.ops) {
		if (!rules_done && opens(op)) {
			put_rules(e, m);
			rules_done = true;
		}
		plan_op_encode(op, m);
	}
	if (!rules_done)
		put_rules(e, m);
	e->counts.operations += e->plan.ops.len;
}

static void send_transaction(struct engine *e, struct msg *m, api_done_fn done, void *aux)
{
	e->counts.transactions++;
	e->pending++;
	api_send(e->client, m, done, aux);
}

static void finish_attempt(struct engine *e, bool exact)
{
	VEC_FOR_EACH (op, &e->plan.ops) {
		struct port_state *p;
		if (exact && brings_rules(e, op))
			has_rules(e, op->bridge);
		if (op->op != API_OP_PORT_SET || op->detach)
			continue;
		p = port_states_get(&e->ports, op->port->name);
		p->dirty = true;
		if (exact)
			port_state_succeed(p);
	}
	plan_free(&e->plan);
	if (exact) {
		config_free(&e->actual);
		e->actual = e->target;
		memset(&e->target, 0, sizeof e->target);
		e->state = IDLE;
		e->announce = true;
		refresh(-1, 0, e);
		go(e);
	} else {
		e->announce = true;
		read_actual(e); /* go() follows and finds out what is left */
	}
}

/* -- in steps -- */

struct step {
	struct engine *e;
	size_t op;
};

static const char *subject(const struct plan_op *op)
{
	return op->bridge ? op->bridge->name
	       : op->port ? op->port->name
	       : op->mac  ? op->mac->port
			  : "";
}

static void note_problem(struct engine *e, const struct plan_op *op, const char *why)
{
	struct engine_problem p;
	e->counts.failures++;
	VEC_FOR_EACH (first, &e->problems)
		if (!strcmp(first->subject, subject(op)))
			return; /* the first cause is the useful one */
	p = (struct engine_problem){xstrdup(subject(op)), xstrdup(why)};
	vec_push(&e->problems, p);
	LOG_LIMIT(log_err, 6, "%s: %s", api_op_names[op->op], why);
}

static void forget_problems(struct engine *e)
{
	VEC_FOR_EACH (p, &e->problems) {
		free(p->subject);
		free(p->text);
	}
	vec_clear(&e->problems);
}

static void note_port_failure(struct engine *e, const struct config_port *port, const char *why)
{
	struct port_state *p = port_states_get(&e->ports, port->name);
	e->counts.failures++;
	port_state_fail(p, port, why, clock_mono_ms());
	if (p->retry_delay_ms == PORT_RETRY_FIRST_MS)
		log_warn("%s", why);
}

/* The same when every operation goes alone. */
static bool brings_rules_alone(struct engine *e, const struct plan_op *op)
{
	return op->op == API_OP_BRIDGE_SET && find_bare(e, op->bridge) &&
	       (opens(op) || (op->create && !op->bridge->open));
}

static void step_done(struct attrs a, bool more, const struct err *error, void *aux)
{
	struct step *step = aux;
	struct engine *e = step->e;
	const struct plan_op *op;
	size_t i = step->op;
	free(step);
	e->pending--;
	if (error && error->code == ECONNRESET)
		return;
	op = &e->plan.ops.at[i];
	if (error && op->phase == PLAN_PORT) {
		note_port_failure(e, op->port, error->text);
	} else if (error) {
		note_problem(e, op, error->text);
		e->step_failed = true;
	} else if (op->phase == PLAN_PORT) {
		port_state_succeed(port_states_get(&e->ports, op->port->name));
	} else if (brings_rules_alone(e, op)) {
		has_rules(e, op->bridge);
	}
	if (!e->pending)
		finish_attempt(e, false);
}

/* Every operation alone, all under way at once: the datapath keeps the order. */
static void go_in_steps(struct engine *e)
{
	forget_problems(e);
	VEC_FOR_EACH (op, &e->plan.ops)
		if (op->op == API_OP_BRIDGE_SET && op->create)
			note_bare(e, op->bridge);
	for (size_t i = 0; i < e->plan.ops.len; i++) {
		const struct plan_op *op = &e->plan.ops.at[i];
		struct step *step = xzalloc(sizeof *step);
		struct msg m;
		step->e = e;
		step->op = i;
		msg_init(&m, API_TRANSACTION, 0);
		bool rules = brings_rules_alone(e, op);
		if (rules && opens(op))
			e->ops->put_rules(op->bridge->name, &m, e->aux);
		plan_op_encode(op, &m);
		if (rules && !opens(op))
			e->ops->put_rules(op->bridge->name, &m, e->aux);
		e->counts.operations++;
		send_transaction(e, &m, step_done, step);
	}
}

/* -- whole -- */

static const struct config_port *only_port(const struct engine *e)
{
	return e->plan.ops.len == 1 && e->plan.ops.at[0].phase == PLAN_PORT ? e->plan.ops.at[0].port
									    : NULL;
}

static void whole_done(struct attrs a, bool more, const struct err *error, void *aux)
{
	struct engine *e = aux;
	const struct config_port *port = only_port(e);
	e->pending--;
	if (error && error->code == ECONNRESET)
		return;
	if (!error) {
		forget_problems(e);
		e->retry_delay_ms = 0;
		finish_attempt(e, true);
	} else if (port) {
		note_port_failure(e, port, error->text);
		finish_attempt(e, false);
	} else {
		log_dbg("datapath: refused the whole plan: %s: going on in steps", error->text);
		e->step_failed = false;
		go_in_steps(e);
	}
}

static void apply(struct engine *e)
{
	struct msg m;
	e->state = APPLYING;
	e->pending = 0;
	log_plan(&e->plan);
	msg_init(&m, API_TRANSACTION, 0);
	put_plan(e, &m);
	send_transaction(e, &m, whole_done, e);
}

/* ---- the loop ---- */

static void assign_numbers(struct engine *e)
{
	VEC_FOR_EACH (p, &e->desired.ports) {
		if ((*p)->ofport)
			(*p)->ofport_last = (*p)->ofport; /* it may be gone for a while */
		(*p)->ofport = 0;
	}
	ofport_assign(&e->desired, &e->actual);
}

static void take_next(struct engine *e)
{
	if (!e->has_next)
		return;
	config_free(&e->desired);
	e->desired = e->next;
	memset(&e->next, 0, sizeof e->next);
	e->seq = e->next_seq;
	e->has_next = false;
	e->has_desired = true;
	e->retry_delay_ms = 0;
	e->announce = true;
	config_sort(&e->desired);
	port_states_keep(&e->ports, &e->desired);
	VEC_FOR_EACH (p, &e->desired.ports)
		port_states_get(&e->ports, (*p)->name);
	assign_numbers(e);
}

static void schedule_retry(struct engine *e)
{
	uint64_t at = port_states_next_retry_ms(&e->ports), now = clock_mono_ms();
	if (e->step_failed) {
		e->retry_delay_ms =
			SL_MAX(SL_MIN(e->retry_delay_ms * 2, PORT_RETRY_MAX_MS), REREAD_DELAY_MS);
		at = SL_MIN(at, now + e->retry_delay_ms);
	}
	if (at != UINT64_MAX)
		kick_in(e->timer, at > now ? at - now : 1);
}

/* Whatever is due. */
static void go(struct engine *e)
{
	if (e->state == APPLYING)
		return;
	take_next(e);
	if (e->state != IDLE || !e->has_desired)
		return;
	assign_numbers(e);
	make_target(e);
	plan_make(&e->plan, &e->target, &e->actual);
	if (e->plan.ops.len && !e->step_failed) {
		apply(e);
		return;
	}
	if (!e->plan.ops.len)
		forget_problems(e);
	schedule_retry(e);
	e->step_failed = false;
	plan_free(&e->plan);
	if (e->announce)
		refresh(-1, 0, e);
}

static void kicked(evutil_socket_t fd, short what, void *aux)
{
	go(aux);
}

/* A retry is due, or a reading failed. */
static void timed(evutil_socket_t fd, short what, void *aux)
{
	struct engine *e = aux;
	if (e->state == READING && e->client)
		read_actual(e);
	else
		go(e);
}

/* ---- the link ---- */

static void link_up(struct api_client *client, void *aux)
{
	struct engine *e = aux;
	e->client = client;
	e->counts.connects++;
	e->ops->client(client, e->aux);
	read_actual(e);
}

static void link_down(void *aux)
{
	struct engine *e = aux;
	e->client = NULL;
	e->state = DOWN;
	e->status_pending = 0;
	plan_free(&e->plan);
	HMAP_FOR_EACH (p, struct port_state, node, &e->ports.by_name)
		p->status.known = false;
	e->ops->client(NULL, e->aux);
}

static void link_event(struct attrs event, void *aux)
{
	struct engine *e = aux;
	if (attrs_u64(event, ATTR_EVENT, API_EVENT_N) == API_EVENT_PORT) {
		struct port_state *p = port_states_find(&e->ports, attrs_str(event, ATTR_PORT, ""));
		if (p) {
			p->dirty = true;
			if (!evtimer_pending(e->refresh, NULL))
				kick_in(e->refresh, STATUS_DELAY_MS);
		}
	}
	e->ops->event(event, e->aux);
}

static const struct dp_link_ops link_ops = {link_up, link_down, link_event};

struct engine *engine_create(struct event_base *base, const char *datapath_socket,
			     const char *program, uint64_t events, const struct engine_ops *ops,
			     void *aux)
{
	struct engine *e = xzalloc(sizeof *e);
	e->ops = ops;
	e->aux = aux;
	e->kick = evtimer_new(base, kicked, e);
	e->timer = evtimer_new(base, timed, e);
	e->refresh = evtimer_new(base, refresh, e);
	e->link = dp_link_create(base, datapath_socket, program, events | 1u << API_EVENT_PORT,
				 &link_ops, e);
	return e;
}

void engine_destroy(struct engine *e)
{
	if (!e)
		return;
	e->client = NULL;
	dp_link_destroy(e->link);
	event_free(e->kick);
	event_free(e->timer);
	event_free(e->refresh);
	plan_free(&e->plan);
	config_free(&e->desired);
	config_free(&e->next);
	config_free(&e->target);
	config_free(&e->actual);
	port_states_free(&e->ports);
	forget_problems(e);
	vec_free(&e->problems);
	VEC_FOR_EACH (name, &e->bare)
		free(*name);
	vec_free(&e->bare);
	free(e);
}

void engine_set_desired(struct engine *e, struct config *desired, uint64_t seq)
{
	config_free(&e->next);
	e->next = *desired;
	memset(desired, 0, sizeof *desired);
	e->next_seq = seq;
	e->has_next = true;
	kick_in(e->kick, 0);
}

const struct config *engine_desired(const struct engine *e)
{
	return &e->desired;
}

const struct port_state *engine_port(const struct engine *e, const char *name)
{
	return port_states_find(&e->ports, name);
}

int engine_port_mod(struct engine *e, const char *name, uint32_t config, uint32_t mask)
{
	struct port_state *p = port_states_find(&e->ports, name);
	if (!p)
		return -ENODEV;
	p->flags = (p->flags & ~mask) | (config & mask);
	kick_in(e->kick, 0);
	return 0;
}

void engine_retry(struct engine *e, const char *name)
{
	struct port_state *p = port_states_find(&e->ports, name);
	if (!p || !p->failed)
		return;
	p->retry_at_ms = 0;
	p->retry_delay_ms = PORT_RETRY_FIRST_MS;
	kick_in(e->kick, 0);
}

struct api_client *engine_client(const struct engine *e)
{
	return e->client;
}

const struct datapath_info *engine_info(const struct engine *e)
{
	return &e->info;
}

const char *engine_datapath_error(const struct engine *e)
{
	return dp_link_error(e->link);
}

size_t engine_problems(const struct engine *e, const struct engine_problem **out)
{
	*out = e->problems.at;
	return e->problems.len;
}

const struct engine_counts *engine_counts(const struct engine *e)
{
	return &e->counts;
}
