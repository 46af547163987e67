/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon's parts and how they hang together. Everything runs on the event loop's one thread; no
 * function here waits for the datapath, the database or a peer. */
#pragma once
#include "control/state/engine.h"
#include "control/state/policy_store.h"
#include "control/state/rows.h"
#include "control/state/writeback.h"
#include "datapath/base/list.h"

struct event;
struct event_base;
struct link_watch;
struct metrics;
struct ovsdb_client;
struct ovsdb_server;
struct pidfile;
struct policy_run;
struct switches;
struct unixctl;

struct sluiced_options {
	const char *rundir, *dbdir;
	const char *remote;   /* external database, "unix:…"; NULL: the embedded one */
	const char *unixctl;  /* NULL: <rundir>/ovs-vswitchd.<pid>.ctl; "none" */
	const char *pidfile;  /* NULL: only the one in rundir */
	const char *log_file; /* NULL: stderr; "": the default name */
	const char *metrics;  /* address of the metrics endpoint; NULL: what the database says */
	enum rows_dummy dummy;
	bool detach;
};

struct sluiced {
	const struct sluiced_options *options;
	struct event_base *base;

	struct ovsdb_server *server; /* embedded: Sluice, and Open_vSwitch unless it is external */
	struct ovsdb_client *db;     /* Open_vSwitch */
	struct policy_store *policies;
	struct policy_run *policy;
	struct rows_notes notes;
	struct written *written;
	struct engine *engine;
	struct link_watch *links;
	struct switches *switches; /* one OpenFlow switch per bridge */
	struct metrics *metrics;

	struct unixctl *control[3]; /* as ovs-vswitchd, as ovsdb-server, sluiced.sock */
	struct pidfile *pidfiles[3];
	struct event *signals[3];

	struct event *reconfigure; /* one-shot: the database has changed */
	struct event *grace;       /* the datapath has been away for long */
	struct event *statistics;
	struct list waiters; /* commands that wait for cur_cfg */
	uint64_t seq;        /* next_cfg of the configuration handed to the engine */
	bool stopping;
	bool flows_restored; /* bridges may open: flow-restore-wait was false at least once */
	bool cleanup; /* exit --cleanup: take bridges out of the datapath */
};

/* database.c */
int database_open(struct sluiced *d, struct err *e);
void database_close(struct sluiced *d);

/* reconcile.c: database → engine → database */
void reconcile_create(struct sluiced *d);
void reconcile_destroy(struct sluiced *d);
void reconcile_soon(struct sluiced *d);
struct writeback reconcile_writeback(struct sluiced *d);

/* control.c: pid files and control sockets */
int control_open(struct sluiced *d, struct err *e);
void control_close(struct sluiced *d);

/* commands_*.c */
void commands_fdb_register(struct sluiced *d, struct unixctl *ctl);
void commands_dpif_register(struct sluiced *d, struct unixctl *ctl);
void commands_flow_register(struct sluiced *d, struct unixctl *ctl);
void commands_cache_register(struct sluiced *d, struct unixctl *ctl);
void commands_dummy_register(struct sluiced *d, struct unixctl *ctl);
void commands_trace_register(struct sluiced *d, struct unixctl *ctl);
void commands_openflow_register(struct sluiced *d, struct unixctl *ctl);
void commands_policy_register(struct sluiced *d, struct unixctl *ctl);
void commands_ct_register(struct sluiced *d, struct unixctl *ctl);
void commands_ipf_register(struct sluiced *d, struct unixctl *ctl);
void commands_net_register(struct sluiced *d, struct unixctl *ctl);
void commands_status_register(struct sluiced *d, struct unixctl *ctl);
void commands_net_check(struct sluiced *d); /* the database has changed: answer who waited for it */
void commands_net_abort(struct sluiced *d);
/* Adds or removes a static MAC entry of a port, in the database; answers `call`. */
struct unixctl_call;
void commands_net_set_mac(struct sluiced *d, struct unixctl_call *call, const char *port,
			  const char *vlan, const char *mac, bool add);
/* "10/02:…:01 0/02:…:02" with an entry added or removed. Caller frees. */
char *commands_net_static_macs(const char *old, const char *entry, bool add);

/* main.c: stops the loop; with `cleanup` after the datapath has been emptied. */
void sluiced_stop(struct sluiced *d, bool cleanup);
