/* SPDX-License-Identifier: BSD-3-Clause */
/* sluiced: command line, start, stop. */
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "control/daemon/metrics.h"
#include "control/daemon/policy_run.h"
#include "control/daemon/sluiced.h"
#include "datapath/base/clock.h"
#include "datapath/base/log.h"
#include "ovsdb-lite/client.h"
#include "ovsdb-lite/process.h"

LOG_MODULE(sluiced);

enum { DATABASE_WAIT_MS = 900 }; /* below a second: it goes into tv_usec */

static const char usage_text[] =
	"sluiced: control daemon of the Sluice switch\n"
	"usage: sluiced [OPTION]... [unix:SOCKET|tcp:IP:PORT|ssl:IP:PORT]\n"
	"  An address names an external server of the database Open_vSwitch; without one\n"
	"  it is served from here. The database Sluice is always served from here.\n"
	"  --rundir DIR           run directory (SLUICE_RUNDIR, /run/sluice)\n"
	"  --dbdir DIR            directory of the database (SLUICE_DBDIR, /var/lib/sluice)\n"
	"  --detach               go to the background when ready\n"
	"  --pidfile[=FILE]       write a pid file (RUNDIR/sluiced.pid)\n"
	"  --log-file[=FILE]      log to a file (RUNDIR/sluiced.log)\n"
	"  --unixctl=FILE         control socket\n"
	"  -v, --verbose=[SPEC]   log levels, such as dbg or engine:dbg\n"
	"  --metrics=ADDRESS      metrics for Prometheus: unix:FILE or IP:PORT (off)\n"
	"  --enable-dummy[=system|override]  dummy ports instead of devices, for tests\n"
	"  -h, --help   -V, --version\n";

enum {
	OPT_RUNDIR = 256,
	OPT_DBDIR,
	OPT_DETACH,
	OPT_PIDFILE,
	OPT_LOG_FILE,
	OPT_UNIXCTL,
	OPT_DUMMY,
	OPT_METRICS,
	OPT_NO_CHDIR,
};

static const struct option long_options[] = {
	{"rundir", required_argument, NULL, OPT_RUNDIR},
	{"dbdir", required_argument, NULL, OPT_DBDIR},
	{"detach", no_argument, NULL, OPT_DETACH},
	{"no-chdir", no_argument, NULL, OPT_NO_CHDIR},
	{"pidfile", optional_argument, NULL, OPT_PIDFILE},
	{"log-file", optional_argument, NULL, OPT_LOG_FILE},
	{"unixctl", required_argument, NULL, OPT_UNIXCTL},
	{"verbose", optional_argument, NULL, 'v'},
	{"metrics", required_argument, NULL, OPT_METRICS},
	{"enable-dummy", optional_argument, NULL, OPT_DUMMY},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static const char *environment(const char *name, const char *def)
{
	const char *v = getenv(name);
	return v && v[0] ? v : def;
}

static void die(const char *what)
{
	fprintf(stderr, "sluiced: %s\n", what);
	exit(1);
}

static void set_verbosity(const char *spec)
{
	struct err e = {0};
	if (log_set_levels(spec ? spec : "", &e))
		die(e.text);
}

static enum rows_dummy dummy_mode(const char *arg)
{
	if (!arg)
		return DUMMY_ALLOWED;
	if (!strcmp(arg, "override"))
		return DUMMY_OVERRIDE;
	if (!strcmp(arg, "system"))
		return DUMMY_SYSTEM;
	die("--enable-dummy: neither system nor override");
	return DUMMY_NONE;
}

/* A name is meant from `dir`, whatever --detach does to the working directory. */
static const char *in_directory(const char *dir, const char *name)
{
	return !name || *name == '/' ? name : xasprintf("%s/%s", dir, name);
}

/* Pid file and control socket are meant from the run directory, as for ovs-vswitchd, a log file
 * from the working directory. */
static void resolve_files(struct sluiced_options *o)
{
	o->pidfile = in_directory(o->rundir, o->pidfile);
	o->unixctl = in_directory(o->rundir, o->unixctl);
	o->log_file = in_directory(o->rundir, o->log_file);
}

static void parse(int argc, char *argv[], struct sluiced_options *o)
{
	bool pidfile = false, log_file = false;
	const char *pid = NULL, *log = NULL;
	int c;
	o->rundir = environment("SLUICE_RUNDIR", "/run/sluice");
	o->dbdir = environment("SLUICE_DBDIR", "/var/lib/sluice");
	while ((c = getopt_long(argc, argv, "v::hV", long_options, NULL)) >= 0)
		switch (c) {
		case OPT_RUNDIR:
			o->rundir = optarg;
			break;
		case OPT_METRICS:
			o->metrics = optarg;
			break;
		case OPT_DBDIR:
			o->dbdir = optarg;
			break;
		case OPT_DETACH:
			o->detach = true;
			break;
		case OPT_NO_CHDIR:
			break;
		case OPT_PIDFILE:
			pidfile = true;
			pid = optarg;
			break;
		case OPT_LOG_FILE:
			log_file = true;
			log = optarg;
			break;
		case OPT_UNIXCTL:
			o->unixctl = optarg;
			break;
		case OPT_DUMMY:
			o->dummy = dummy_mode(optarg);
			break;
		case 'v':
			set_verbosity(optarg);
			break;
		case 'h':
			fputs(usage_text, stdout);
			exit(0);
		case 'V':
			printf("sluiced %s\n", SLUICE_VERSION);
			exit(0);
		default:
			exit(2);
		}
	if (argc - optind > 1)
		die("more than one address of a database");
	o->remote = argv[optind];
	if (pidfile)
		o->pidfile = pid ? pid : "sluiced.pid";
	if (log_file) {
		const char *here = getcwd(NULL, 0);

		o->log_file = log ? in_directory(here ? here : "", log) : "sluiced.log";
	}
}

static void make_directory(const char *path)
{
	if (mkdir(path, 0700) && errno != EEXIST) {
		fprintf(stderr, "sluiced: %s: %s\n", path, strerror(errno));
		exit(1);
	}
}

/* Paths stay valid after --detach has gone to the root directory. */
static const char *absolute(const char *dir)
{
	char *path = realpath(dir, NULL);
	return path ? path : dir;
}

static void loop_break(evutil_socket_t fd, short what, void *aux)
{
	struct sluiced *d = aux;
	sluiced_stop(d, false);
}

static void reopen_log(evutil_socket_t fd, short what, void *aux)
{
	log_reopen();
}

static void catch_signals(struct sluiced *d)
{
	signal(SIGPIPE, SIG_IGN);
	d->signals[0] = evsignal_new(d->base, SIGTERM, loop_break, d);
	d->signals[1] = evsignal_new(d->base, SIGINT, loop_break, d);
	d->signals[2] = evsignal_new(d->base, SIGHUP, reopen_log, d);
	for (int i = 0; i < 3; i++)
		evsignal_add(d->signals[i], NULL);
}

void sluiced_stop(struct sluiced *d, bool cleanup)
{
	struct config none = {0};
	struct timeval soon = {.tv_usec = 20000}, at_most = {.tv_sec = 5};
	if (d->stopping)
		return;
	d->stopping = true;
	d->cleanup = cleanup;
	if (cleanup && engine_client(d->engine)) {
		engine_set_desired(d->engine, &none, 0);
		event_base_loopexit(d->base, &at_most);
	} else {
		event_base_loopexit(d->base, &soon); /* lets the reply to "exit" leave */
	}
}

/* Only ends one turn of the loop. */
static void too_late(evutil_socket_t fd, short what, void *aux)
{
}

/* Commands need the replica: nobody is let in before it has been read, unless the server is away.
 */
static void wait_for_database(struct sluiced *d)
{
	uint64_t end_ms = clock_mono_ms() + DATABASE_WAIT_MS;
	struct timeval at_most = {.tv_usec = DATABASE_WAIT_MS * 1000};
	struct event *late = evtimer_new(d->base, too_late, NULL);
	evtimer_add(late, &at_most);
	while (!d->stopping && clock_mono_ms() < end_ms &&
	       !(ovsdb_client_is_connected(d->db) && ovsdb_client_singleton(d->db, "Open_vSwitch")))
		event_base_loop(d->base, EVLOOP_ONCE);
	event_free(late);
}

static int run(struct sluiced *d)
{
	struct err e = {0};
	int rc;
	d->base = event_base_new();
	list_init(&d->waiters);
	catch_signals(d);
	reconcile_create(d);
	rc = database_open(d, &e);
	if (!rc)
		rc = policy_run_start(d->policy, &e);
	if (!rc) {
		wait_for_database(d);
		rc = control_open(d, &e);
	}
	if (rc) {
		fprintf(stderr, "sluiced: %s\n", e.text);
		if (d->options->log_file)
			log_err("%s", e.text);
		return 1;
	}
	log_info("sluiced %s: ready in %s", SLUICE_VERSION, d->options->rundir);
	d->metrics = metrics_create(d);
	daemonize_ready(false);
	event_base_dispatch(d->base);
	log_info("stopping");
	commands_net_abort(d);
	control_close(d);
	metrics_destroy(d->metrics);
	d->metrics = NULL;
	reconcile_destroy(d);
	database_close(d);
	for (int i = 0; i < 3; i++)
		event_free(d->signals[i]);
	event_base_free(d->base);
	return 0;
}

int main(int argc, char *argv[])
{
	static struct sluiced_options options; /* static: they live as long as the process */
	static struct sluiced d = {.options = &options};
	struct err e = {0};

	parse(argc, argv, &options);
	make_directory(options.rundir);
	make_directory(options.dbdir);
	options.rundir = absolute(options.rundir);
	options.dbdir = absolute(options.dbdir);
	resolve_files(&options);
	umask(077);
	if (options.log_file) {
		int rc = log_set_file(options.log_file);
		if (rc) {
			fprintf(stderr, "sluiced: %s: %s\n", options.log_file, strerror(-rc));
			return 1;
		}
	}
	if (options.detach && daemonize_start(&e))
		die(e.text);
	return run(&d);
}
