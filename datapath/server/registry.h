/* SPDX-License-Identifier: BSD-3-Clause */
/* The bridges and ports that clients have configured, by name, each with its configuration as it
 * was set: the attributes of BRIDGE_SET or PORT_SET merged over time, which is also what a dump
 * gives back. Main thread only.
 *
 * A transaction works on a staged view (`staged_*`) of the objects it touches; registry_commit()
 * makes it the truth, registry_abort() forgets it. Invariant: outside of a transaction no object is
 * touched, and every object exists. */
#pragma once
#include "datapath/api/msg.h"
#include "datapath/base/hmap.h"
#include "datapath/base/list.h"
#include "datapath/port/port.h"

/* Attributes as set; immutable, counted. */
struct config {
	unsigned refs;
	struct attrs attrs; /* points into data */
	_Alignas(8) uint8_t data[];
};
/* `base` (may be NULL) with what `op` has among `allowed` (ids, 0-terminated) put over it. An
 * OPTION replaces all options, one without KEY means none; an empty BYTES takes the attribute back.
 */
struct config *config_merge(const struct config *base, struct attrs op, const uint16_t *allowed);
void config_put(struct config *c); /* drops a reference; NULL is fine */
bool config_same(const struct config *a, const struct config *b, const uint16_t *ids);

struct object {
	struct hmap_node node;
	char name[PORT_NAME_BYTES];
	bool exists;
	struct config *config;

	bool touched, staged_exists;
	struct config *staged;
	struct list touched_link;
};

struct bridge_object {
	struct object o;
};

struct port_object {
	struct object o;
	uint32_t id;                /* of the port; constant */
	struct port *port;          /* open device; its fields belong to the device thread */
	bool published;             /* known to the poll threads */
	struct port_status status;  /* copy of the last refresh */
	uint64_t created_ms;        /* clock_mono_ms() */
	struct port_change *change; /* by the running transaction; server/port_change.h */
};

/* NULL: not there (in the staged view). */
struct bridge_object *registry_bridge(const char *name);
struct port_object *registry_port(const char *name);
/* As readers see it, whatever a running transaction does; NULL: not there. */
const struct object *registry_bridge_committed(const char *name);
/* Also one that the running transaction deletes. */
struct port_object *registry_any_port(const char *name);
struct port_object *registry_port_by_id(uint32_t id); /* committed or staged */
/* For a recording: the number given last; replay sets it. The port that is staged next gets the one
 * after it that is free. */
uint32_t registry_last_id(void);
void registry_set_last_id(uint32_t id);
/* Next port with an id above `id`, for cursors; NULL at the end. Committed ones only. */
struct port_object *registry_port_after(uint32_t id);
size_t registry_n_ports(void);

/* Staged: finds or creates. NULL with err: the name is bad, or no number is free. */
struct bridge_object *registry_stage_bridge(const char *name, struct err *e);
struct port_object *registry_stage_port(const char *name, struct err *e);
void registry_stage_config(struct object *o, struct config *c); /* takes c; o then exists */
void registry_stage_delete(struct object *o);
/* Staged existing bridges and ports, in no order. */
void registry_for_each_port(void (*fn)(struct port_object *p, void *aux), void *aux);
extern struct list registry_touched_ports; /* struct port_object by o.touched_link */

void registry_commit(void); /* ports that are gone lose their name here, their id by _release() */
void registry_abort(void);
void registry_release_port(struct port_object *p); /* after its device was closed: frees it */
bool registry_is_idle(void);                       /* no object touched: see the invariant */
