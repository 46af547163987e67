/* SPDX-License-Identifier: BSD-3-Clause */
/* What the running transaction does to devices: opening, changing, reopening before its tables are
 * committed, closing after. The blocking parts run on the device thread; everything here is called
 * by the main thread. All or nothing: port_changes_undo() brings every device back to what it was.
 *
 * Way of a port that goes: unpublished (poll_port_remove) → grace period → closed by the device
 * thread → its number is free again. */
#pragma once
#include "datapath/server/registry.h"

/* The configuration of a port as its class wants it. Free options with port_config_free(); strings
 * point into `c`. */
void port_config_from(const char *name, const struct config *c, struct port_config *out);
void port_config_free(struct port_config *c);
/* Attributes that concern the device; the rest concern the bridge. 0-terminated. */
extern const uint16_t port_device_attrs[];

/* Looks at every touched port and decides. `op_of` gives the index of the operation that an error
 * belongs to, in *failed_op. */
int port_changes_plan(uint32_t *failed_op, struct err *e);
/* Opens, changes and reopens; then done(e). e is NULL when all went well; *failed_op as above.
 * Calls done at once when no device is concerned. */
void port_changes_run(uint32_t *failed_op, void (*done)(const struct err *e));
/* Makes the opened devices known to the poll threads. */
int port_changes_publish(uint32_t *failed_op, struct err *e);
/* After a failure, at any stage from plan on: everything as before, then done(). */
void port_changes_undo(void (*done)(void));
/* After the tables' commit, before registry_commit(): starts the removal of ports that are gone;
 * announces and forgets the changes. */
void port_changes_finish(void);

/* Ports on their way out. A new transaction waits for them, because their devices may be wanted
 * again. `fn` is called once when none is left (at once when there is none). */
void port_closes_wait(void (*fn)(void));

/* The operation index of a touched port; set by the operations. */
void port_change_set_op(struct port_object *p, uint32_t op);

/* No transaction touches a device, and none is on its way out. */
bool port_changes_are_idle(void);
/* Replay: the oldest wait for the poll threads is over. False: there is none. */
bool port_change_replay_grace(void);

/* At exit: removes and closes every port, blocking. No poll thread runs any more. */
void port_close_all(void);
