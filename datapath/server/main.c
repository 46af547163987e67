/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice-datapath: starts everything in order, runs the loop, stops everything in reverse. The
 * process is ready when datapath.sock accepts, which is the last thing that comes and the first
 * that goes. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/core/pool.h"
#include "datapath/core/rcu.h"
#include "datapath/poll/poll.h"
#include "datapath/server/conn.h"
#include "datapath/server/device.h"
#include "datapath/server/eal.h"
#include "datapath/server/capture.h"
#include "datapath/server/events.h"
#include "datapath/server/loop.h"
#include "datapath/server/options.h"
#include "datapath/server/packet_in.h"
#include "datapath/server/policy_watch.h"
#include "datapath/server/port_change.h"
#include "datapath/server/port_watch.h"
#include "datapath/server/process.h"
#include "datapath/server/replay.h"
#include "datapath/server/server.h"
#include "datapath/server/upkeep.h"
#include "datapath/table/bridge.h"
#include "datapath/table/flow_table.h"
#include "datapath/table/table_events.h"

LOG_MODULE(server);

struct server_state server;

/* A core for the only poll thread when none was named: the last one allowed, not the main thread's
 * if there is another. */
static void choose_core(struct options *o)
{
	cpu_set_t set;
	int last = -1;

	sched_getaffinity(0, sizeof set, &set);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set) && (i != o->main_core || last < 0))
			last = i;
	o->cores[0] = (uint16_t)SL_MAX(last, 0);
	o->n_cores = 1;
}

/* Buffers get five eighths of the memory; rings, drivers and queues the rest. */
static unsigned count_mbufs(unsigned memory_mb)
{
	enum { OBJECT_BYTES = POOL_MBUF_BYTES + 128 /* struct rte_mbuf */ + 64 /* header */ };

	return (unsigned)(((uint64_t)memory_mb << 20) * 5 / 8 / OBJECT_BYTES);
}

static int prepare_files(const struct options *o, struct err *e)
{
	char *lock = xasprintf("%s/sluice-datapath.pid", o->rundir);
	char *log =
		o->logfile && !*o->logfile ? xasprintf("%s/sluice-datapath.log", o->rundir) : NULL;
	int rc = process_make_rundir(o->rundir, e);

	if (!rc)
		rc = process_pidfile(lock, e);
	if (!rc && o->pidfile && *o->pidfile && strcmp(o->pidfile, lock))
		rc = process_pidfile(o->pidfile, e);
	if (!rc && o->logfile) {
		const char *path = log ? log : o->logfile;

		rc = log_set_file(path);
		if (rc)
			err_set(e, -rc, "%s: %s", path, strerror(-rc));
	}
	free(lock);
	free(log);
	return rc;
}

static int start_datapath(struct options *o, char **argv, struct err *e)
{
	struct eal_result eal;
	int rc = eal_start(o, argv, &eal, e);

	if (rc)
		return rc;
	server.hugepages = eal.hugepages;
	server.memory_bytes = eal.memory_bytes;
	server.main_core = eal.main_core;
	rcu_init();
	rc = pool_init(count_mbufs(o->memory_mb), e);
	if (!rc)
		rc = poll_init(e);
	if (!rc)
		rc = packet_in_start(e);
	port_event_sink = port_watch_event;
	port_rundir = server.rundir;
	policy_watch_start();
	upkeep_start();
	capture_start();
	if (!rc)
		rc = device_start(e);
	if (!o->n_cores)
		choose_core(o);
	if (!rc)
		rc = poll_set_cores(o->cores, o->n_cores, e);
	return rc;
}

static void count_rules(struct bridge *b, void *aux)
{
	*(uint32_t *)aux += flow_tables_n_rules(b);
}

/* A large table is not taken apart: that takes seconds, and the kernel is faster at it. */
static void destroy_tables(void)
{
	uint32_t n_rules = 0;

	bridge_for_each(count_rules, &n_rules);
	if (n_rules > 20000)
		return;
	table_events_sink(NULL); /* what was not told yet may speak of what goes now */
	bridge_destroy_all();
	uint64_t until = clock_mono_ms() + 500;
	bool more;
	do /* what is freed may put off more */
		more = tables_run(clock_mono_ms());
	while ((rcu_run(1000) || more) && clock_mono_ms() < until);
}

static void stop_datapath(void)
{
	poll_stop();
	device_stop();
	port_close_all();
	destroy_tables();
	events_destroy();
	loop_destroy();
	eal_stop();
}

static int start(struct options *o, char **argv, struct err *e)
{
	server.rundir = o->rundir;
	server.started_ms = clock_mono_ms();
	if (getrandom(&server.boot_id, sizeof server.boot_id, 0) != sizeof server.boot_id)
		return err_set(e, errno, "random numbers: %s", strerror(errno));
	int rc = prepare_files(o, e);
	if (!rc)
		rc = loop_init(e);
	if (!rc)
		rc = process_signals(e);
	if (!rc)
		rc = start_datapath(o, argv, e);
	if (rc)
		return rc;
	char *path = xasprintf("%s/datapath.sock", o->rundir);
	rc = conn_listen(path, e);
	if (!rc)
		log_info("sluice-datapath " SLUICE_VERSION ": ready on %s", path);
	free(path);
	return rc;
}

int main(int argc, char **argv)
{
	struct options o;
	struct err e = {0};
	int rc = options_parse(argc, argv, &o, &e);

	if (rc == OPTIONS_EXIT)
		return 0;
	if (!rc && o.replay) {
		rc = replay_main(&o, argv, &e);
		if (rc < 0)
			fprintf(stderr, "error: %s\n", e.text);
		return rc < 0 ? 2 : rc;
	}
	if (!rc && o.detach)
		rc = process_detach(&e);
	if (!rc)
		rc = start(&o, argv, &e);
	if (rc) {
		fprintf(stderr, "%s: %s\n", o.replay ? "error" : "sluice-datapath", e.text);
		process_remove_pidfiles();
		return e.code == EINVAL || e.code == E2BIG ? 2 : 1;
	}
	process_ready();
	loop_run();
	conn_close_all();
	stop_datapath();
	log_info("stopped");
	process_remove_pidfiles();
	return 0;
}
