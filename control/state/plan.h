/* SPDX-License-Identifier: BSD-3-Clause */
/* What must be sent so that a datapath that holds `actual` holds `desired`: a list of api
 * operations in an order that works as one transaction (removals before additions, so that names,
 * addresses and OpenFlow numbers are free again; a bridge opens last). Equal configurations give an
 * empty plan. Pure functions; the plan borrows from both configurations. */
#pragma once
#include "control/state/config.h"

enum plan_phase {
	PLAN_REMOVE,  /* MACs, ports, bridges that go; ports that leave a bridge or number for a
			 while */
	PLAN_PREPARE, /* bridges (closed when new), poll threads, conntrack zones */
	PLAN_PORT,    /* ports that come or change: these may fail one by one */
	PLAN_FINISH,  /* static MACs, opening of bridges, generation */
};

struct plan_op {
	enum plan_phase phase;
	enum api_op op;
	const struct config_bridge *bridge; /* BRIDGE_SET, BRIDGE_DEL */
	const struct config_port *port;     /* PORT_SET, PORT_DEL */
	const struct config_mac *mac;       /* MAC_SET, MAC_DEL */
	const struct config_zone *zone;     /* CT_SET */
	const struct config *config;        /* POLL_SET, GENERATION_SET */
	uint32_t fields;                    /* bit i: row i of the object's field table is sent */
	bool create;                        /* the object is new */
	bool options;                       /* all options are sent */
	bool take_back;                     /* CT_SET: the default timeouts again */
	bool detach;                        /* PORT_SET: off its bridge, nothing else */
	bool close; /* BRIDGE_SET: open is sent as 0 whatever the field says */
};

struct plan {
	VEC(struct plan_op) ops;
};

/* Both sorted. `plan` is zeroed by the caller and freed with plan_free(). */
void plan_make(struct plan *plan, const struct config *desired, const struct config *actual);
void plan_free(struct plan *plan);
/* Appends the operation to a TRANSACTION message. */
void plan_op_encode(const struct plan_op *op, struct msg *m);
/* "port_set p1: create bridge=br0 tag=10" */
void plan_op_format(const struct plan_op *op, struct str *out);
