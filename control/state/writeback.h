/* SPDX-License-Identifier: BSD-3-Clause */
/* What the datapath says → the columns that clients of the Open_vSwitch database read. Values that
 * are there already are not sent. Event-loop thread. */
#pragma once
#include "control/state/engine.h"
#include "control/state/rows.h"
#include "control/state/written.h"

struct ovsdb_client;

/* The interface level that ovs-vsctl, libvirt and Neutron look at. */
#define WRITEBACK_OVS_VERSION "3.1.0"

struct writeback {
	struct ovsdb_client *db;
	const struct engine *engine;
	const struct rows_notes *notes;
	struct written *written;
	bool dummies;           /* ports of type dummy are allowed */
	const char *db_version; /* of the schema we serve; NULL: somebody else serves it */
};

/* One transaction: every bridge's and interface's columns, and cur_cfg = `seq` when it is higher
 * than what is there (0: cur_cfg stays), so that nobody sees cur_cfg before the results. */
void writeback_commit(const struct writeback *w, uint64_t seq);
/* What the daemon is: versions, types. Once after each connect of the database or the datapath. */
void writeback_commit_identity(const struct writeback *w);
/* Asks the datapath for counters and writes Interface.statistics; nothing while it is away. */
void writeback_statistics(const struct writeback *w);
