/* SPDX-License-Identifier: BSD-3-Clause */
/* How other programs find this one: locked pid files and control sockets under the names that Open
 * vSwitch's tools look for, and sluiced.sock for the sluice command. All three sockets know the
 * same commands, the second one those of the database server. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/daemon/sluiced.h"
#include "ovsdb-lite/process.h"
#include "ovsdb-lite/server.h"
#include "ovsdb-lite/unixctl.h"

enum { AS_VSWITCHD, AS_DB_SERVER, AS_SLUICED };

static void exit_command(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	bool cleanup = argc > 1 && !strcmp(argv[1], "--cleanup");
	unixctl_reply(call, "");
	sluiced_stop(d, cleanup);
}

static int open_socket(struct sluiced *d, int which, const char *path, const char *program,
		       struct err *e)
{
	struct unixctl *ctl;
	int rc = unixctl_create(&ctl, d->base, path, program, e);
	if (rc)
		return rc;
	d->control[which] = ctl;
	unixctl_register(ctl, "exit", "[--cleanup]", 0, 1, exit_command, d);
	return 0;
}

/* Sockets of predecessors that were killed: with the pid file's lock held, nobody lives there. */
static void remove_stale(const char *rundir, const char *name)
{
	char *pattern = xasprintf("%s/%s.*.ctl", rundir, name);
	glob_t found;
	if (!glob(pattern, GLOB_NOSORT, NULL, &found))
		for (size_t i = 0; i < found.gl_pathc; i++)
			unlink(found.gl_pathv[i]);
	globfree(&found);
	free(pattern);
}

static int open_as(struct sluiced *d, int which, const char *name, const char *program,
		   struct err *e)
{
	char *pid = xasprintf("%s/%s.pid", d->options->rundir, name);
	char *socket = xasprintf("%s/%s.%d.ctl", d->options->rundir, name, (int)getpid());
	const char *path =
		which == AS_VSWITCHD && d->options->unixctl ? d->options->unixctl : socket;
	int rc = pidfile_create(&d->pidfiles[which], pid, false, e);
	if (!rc)
		remove_stale(d->options->rundir, name);
	if (!rc && strcmp(path, "none"))
		rc = open_socket(d, which, path, program, e);
	free(pid);
	free(socket);
	return rc;
}

int control_open(struct sluiced *d, struct err *e)
{
	char *own = xasprintf("%s/sluiced.sock", d->options->rundir);
	int rc = open_as(d, AS_VSWITCHD, "ovs-vswitchd",
			 "ovs-vswitchd (Open vSwitch) " WRITEBACK_OVS_VERSION
			 "\nsluiced " SLUICE_VERSION,
			 e);
	if (!rc && !d->options->remote)
		rc = open_as(d, AS_DB_SERVER, "ovsdb-server",
			     "ovsdb-server (Open vSwitch) " WRITEBACK_OVS_VERSION
			     "\nsluiced " SLUICE_VERSION,
			     e);
	if (!rc)
		rc = open_socket(d, AS_SLUICED, own, "sluiced " SLUICE_VERSION, e);
	free(own);
	if (rc)
		return rc;
	for (int i = 0; i < 3; i++) {
		if (!d->control[i])
			continue;
		if (i == AS_DB_SERVER) {
			ovsdb_server_register_commands(d->server, d->control[i]);
			continue;
		}
		commands_fdb_register(d, d->control[i]);
		commands_dpif_register(d, d->control[i]);
		commands_openflow_register(d, d->control[i]);
		commands_flow_register(d, d->control[i]);
		commands_cache_register(d, d->control[i]);
		commands_trace_register(d, d->control[i]);
		if (d->options->dummy != DUMMY_NONE)
			commands_dummy_register(d, d->control[i]);
		commands_ct_register(d, d->control[i]);
		commands_ipf_register(d, d->control[i]);
		commands_policy_register(d, d->control[i]);
		commands_net_register(d, d->control[i]);
		commands_status_register(d, d->control[i]);
	}
	if (d->options->pidfile)
		rc = pidfile_create(&d->pidfiles[2], d->options->pidfile, false, e);
	return rc;
}

void control_close(struct sluiced *d)
{
	for (int i = 0; i < 3; i++) {
		if (d->control[i])
			unixctl_destroy(d->control[i]);
		pidfile_remove(d->pidfiles[i]);
	}
}
