/* SPDX-License-Identifier: BSD-3-Clause */
/* Brings the datapath to the desired configuration and keeps it there: reads what is there, plans,
 * applies, tries ports that failed again, replays everything to a datapath that has been restarted.
 * It knows neither database nor OpenFlow; those come in through engine_set_desired() and struct
 * engine_ops. Event-loop thread; nothing here waits.
 *
 *	DOWN → READING → IDLE ⇄ APPLYING      a lost connection leads to DOWN from everywhere
 */
#pragma once
#include "control/state/actual.h"
#include "control/state/plan.h"
#include "control/state/port_state.h"

struct engine;
struct event_base;

struct engine_ops {
	/* Everything in the desired configuration `seq` has been tried, and the ports' states are
	 * known. Called again after every later attempt. */
	void (*applied)(uint64_t seq, void *aux);
	/* Some port's status or error has changed since the last call of this or of applied(). */
	void (*ports_changed)(void *aux);
	/* Adds the operations that restore a bridge's rules, to a bridge that has just been made.
	 */
	void (*put_rules)(const char *bridge, struct msg *transaction, void *aux);
	/* A bridge was made and is complete. */
	void (*bridge_made)(const char *bridge, void *aux);
	/* The connection to the datapath; NULL: it is gone. Before anything else is sent on it. */
	void (*client)(struct api_client *client, void *aux);
	void (*event)(struct attrs event, void *aux); /* every event, after the engine saw it */
};

/* `events`: the mask of events that ops->event wants; the engine adds its own. */
struct engine *engine_create(struct event_base *base, const char *datapath_socket,
			     const char *program, uint64_t events, const struct engine_ops *ops,
			     void *aux);
void engine_destroy(struct engine *e); /* leaves the datapath as it is; NULL is fine */

/* Takes over *desired (left empty). ofports are assigned here. seq is the caller's. */
void engine_set_desired(struct engine *e, struct config *desired, uint64_t seq);
/* What was wanted last, with OpenFlow numbers; valid until the next engine_set_desired(). */
const struct config *engine_desired(const struct engine *e);
/* NULL: no such port is wanted. */
const struct port_state *engine_port(const struct engine *e, const char *name);
/* Sets the OFPPC_* bits of `mask`; -ENODEV: no such port. */
int engine_port_mod(struct engine *e, const char *name, uint32_t config, uint32_t mask);

/* Something has changed about a port that failed (its device has appeared): try it now. */
void engine_retry(struct engine *e, const char *name);

struct api_client *engine_client(const struct engine *e);        /* NULL while down */
const struct datapath_info *engine_info(const struct engine *e); /* of the last datapath seen */
/* "" while the datapath is there, else why not. */
const char *engine_datapath_error(const struct engine *e);
/* What the datapath refused in the last attempt, beside ports; valid until the loop runs again. */
struct engine_problem {
	char *subject; /* bridge or port; "" for poll threads and the like */
	char *text;
};
size_t engine_problems(const struct engine *e, const struct engine_problem **out);
/* Counters for status and tests. */
struct engine_counts {
	uint64_t connects, replays, transactions, operations, failures;
};
const struct engine_counts *engine_counts(const struct engine *e);
