/* SPDX-License-Identifier: BSD-3-Clause */
/* ovsdb-lite: the database server as a program of its own. Options mean what they mean for
 * ovsdb-server. One thread (and the library's fsync threads). */
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "datapath/base/log.h"
#include "datapath/base/vec.h"
#include "ovsdb-lite/process.h"
#include "ovsdb-lite/server.h"
#include "ovsdb-lite/unixctl.h"

LOG_MODULE(ovsdb_lite);

static const char version[] = "ovsdb-lite (Sluice) " SLUICE_VERSION;

struct options {
	VEC(const char *) remotes;
	const char *private_key, *certificate, *ca_cert, *ssl_protocols, *ssl_ciphers;
	const char *user, *run; /* --run: a command to end with */
	char *unixctl, *pidfile, *log_file;
	bool bootstrap, monitor, detach, no_chdir, overwrite_pidfile, no_dbs;
};

static const char *run_dir(void)
{
	const char *dir = getenv("SLUICE_RUNDIR");

	if (!dir)
		dir = getenv("OVS_RUNDIR");
	return dir ? dir : "/run/sluice";
}

static const char *db_dir(void)
{
	const char *dir = getenv("SLUICE_DBDIR");

	if (!dir)
		dir = getenv("OVS_DBDIR");
	return dir ? dir : "/var/lib/sluice";
}

static void usage(void)
{
	printf("usage: ovsdb-lite [OPTIONS] [DATABASE...]\n"
	       "Serves OVSDB database files (default: %s/conf.db).\n"
	       "  --remote=REMOTE          punix:FILE, ptcp:PORT[:IP], pssl:PORT[:IP], unix:FILE,\n"
	       "                           tcp:IP:PORT, ssl:IP:PORT or db:DB,TABLE,COLUMN\n"
	       "  -p, --private-key=FILE  -c, --certificate=FILE  -C, --ca-cert=FILE\n"
	       "                           for ssl remotes; FILE or db:DB,TABLE,COLUMN\n"
	       "  --bootstrap-ca-cert=FILE  as --ca-cert; made from the first peer's certificates "
	       "when\n"
	       "                           it is not there\n"
	       "  --ssl-protocols=LIST  --ssl-ciphers=LIST\n"
	       "  --unixctl=SOCKET         control socket (default: %s/ovsdb-server.PID.ctl)\n"
	       "  --pidfile[=FILE]         default %s/ovsdb-server.pid\n"
	       "  --overwrite-pidfile --detach --no-chdir\n"
	       "  --monitor                start again after a crash\n"
	       "  --user=USER[:GROUP]      give up the privileges of root\n"
	       "  --run=COMMAND            serve while the shell runs it, end with its status\n"
	       "  -v, --verbose[=SPEC]     log levels, as for ovs-appctl vlog/set\n"
	       "  --log-file[=FILE]\n"
	       "  -h, --help  -V, --version\n",
	       db_dir(), run_dir(), run_dir());
}

static char *from_here(const char *path)
{
	if (*path == '/')
		return xstrdup(path);
	char *cwd = getcwd(NULL, 0), *full = xasprintf("%s/%s", cwd ? cwd : "", path);

	free(cwd);
	return full;
}

static char *in_run_dir(const char *path, const char *dflt)
{
	if (!path)
		path = dflt;
	if (*path == '/')
		return xstrdup(path);
	if (path != dflt && strchr(path, '/'))
		return from_here(path);
	return xasprintf("%s/%s", run_dir(), path);
}

enum option_id {
	OPT_REMOTE = 256,
	OPT_UNIXCTL,
	OPT_PIDFILE,
	OPT_OVERWRITE_PIDFILE,
	OPT_DETACH,
	OPT_NO_CHDIR,
	OPT_LOG_FILE,
	OPT_VERSION,
	OPT_NO_DBS,
	OPT_IGNORED,
	OPT_UNSUPPORTED,
	OPT_REFUSED,
	OPT_BOOTSTRAP,
	OPT_SSL_PROTOCOLS,
	OPT_SSL_CIPHERS,
	OPT_MONITOR,
	OPT_USER,
	OPT_RUN,
};

static const struct option long_options[] = {
	{"remote", required_argument, NULL, OPT_REMOTE},
	{"private-key", required_argument, NULL, 'p'},
	{"certificate", required_argument, NULL, 'c'},
	{"ca-cert", required_argument, NULL, 'C'},
	{"bootstrap-ca-cert", required_argument, NULL, OPT_BOOTSTRAP},
	{"peer-ca-cert", required_argument, NULL, OPT_UNSUPPORTED},
	{"ssl-protocols", required_argument, NULL, OPT_SSL_PROTOCOLS},
	{"ssl-ciphers", required_argument, NULL, OPT_SSL_CIPHERS},
	{"unixctl", required_argument, NULL, OPT_UNIXCTL},
	{"pidfile", optional_argument, NULL, OPT_PIDFILE},
	{"overwrite-pidfile", no_argument, NULL, OPT_OVERWRITE_PIDFILE},
	{"detach", no_argument, NULL, OPT_DETACH},
	{"no-chdir", no_argument, NULL, OPT_NO_CHDIR},
	{"monitor", no_argument, NULL, OPT_MONITOR},
	{"run", required_argument, NULL, OPT_RUN},
	{"sync-from", required_argument, NULL, OPT_REFUSED},
	{"sync-exclude-tables", required_argument, NULL, OPT_REFUSED},
	{"active", no_argument, NULL, OPT_REFUSED},
	{"record", optional_argument, NULL, OPT_REFUSED},
	{"replay", optional_argument, NULL, OPT_REFUSED},
	{"no-self-confinement", no_argument, NULL, OPT_IGNORED},
	{"disable-file-column-diff", no_argument, NULL, OPT_IGNORED},
	{"no-dbs", no_argument, NULL, OPT_NO_DBS},
	{"user", required_argument, NULL, OPT_USER},
	{"syslog-target", required_argument, NULL, OPT_UNSUPPORTED},
	{"syslog-method", required_argument, NULL, OPT_UNSUPPORTED},
	{"verbose", optional_argument, NULL, 'v'},
	{"log-file", optional_argument, NULL, OPT_LOG_FILE},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static void set_levels(const char *spec)
{
	struct err e = {0};

	if (spec && (!strncmp(spec, "PATTERN:", 8) || !strncmp(spec, "FACILITY:", 9)))
		return;
	/* A module of another program's name is no reason not to start. */
	if (log_set_levels(spec, &e) < 0)
		log_info("-v%s: %s", spec, e.text);
}

static void parse_options(struct options *o, int argc, char *argv[])
{
	int c, index = 0;

	while ((c = getopt_long(argc, argv, "v::hVp:c:C:", long_options, &index)) != -1) {
		switch (c) {
		case OPT_REMOTE:
			vec_push(&o->remotes, optarg);
			break;
		case 'p':
			o->private_key = optarg;
			break;
		case 'c':
			o->certificate = optarg;
			break;
		case 'C':
			o->ca_cert = optarg;
			break;
		case OPT_UNIXCTL:
			o->unixctl = in_run_dir(optarg, "");
			break;
		case OPT_PIDFILE:
			o->pidfile = in_run_dir(optarg, "ovsdb-server.pid");
			break;
		case OPT_OVERWRITE_PIDFILE:
			o->overwrite_pidfile = true;
			break;
		case OPT_DETACH:
			o->detach = true;
			break;
		case OPT_NO_CHDIR:
			o->no_chdir = true;
			break;
		case OPT_LOG_FILE:
			o->log_file = optarg ? from_here(optarg)
					     : xstrdup("/var/log/sluice/ovsdb-lite.log");
			break;
		case OPT_IGNORED:
			break;
		case OPT_UNSUPPORTED:
			log_warn("--%s is accepted, but has no effect", long_options[index].name);
			break;
		case OPT_REFUSED:
			fprintf(stderr,
				"ovsdb-lite: --%s: replication and replays are not offered\n",
				long_options[index].name);
			exit(1);
		case OPT_BOOTSTRAP:
			o->ca_cert = optarg;
			o->bootstrap = true;
			break;
		case OPT_SSL_PROTOCOLS:
			o->ssl_protocols = optarg;
			break;
		case OPT_SSL_CIPHERS:
			o->ssl_ciphers = optarg;
			break;
		case OPT_MONITOR:
			o->monitor = true;
			break;
		case OPT_USER:
			o->user = optarg;
			break;
		case OPT_RUN:
			o->run = optarg;
			break;
		case OPT_NO_DBS:
			o->no_dbs = true;
			break;
		case 'v':
			set_levels(optarg);
			break;
		case 'h':
			usage();
			exit(0);
		case 'V':
			puts(version);
			exit(0);
		default:
			exit(2);
		}
	}
}

static void fatal(const struct err *e)
{
	fprintf(stderr, "ovsdb-lite: %s\n", e->text);
	exit(1);
}

static void open_databases(struct ovsdb_server *s, const struct options *o, int n, char *paths[])
{
	struct err e = {0};

	for (int i = 0; i < n; i++)
		if (ovsdb_server_open_db(s, paths[i], &e) < 0)
			fatal(&e);
	if (!n && !o->no_dbs) {
		char *path = xasprintf("%s/conf.db", db_dir());

		if (ovsdb_server_open_db(s, path, &e) < 0)
			fatal(&e);
		free(path);
	}
}

static void on_signal(evutil_socket_t fd, short what, void *aux)
{
	event_base_loopbreak(aux);
}

static void on_hangup(evutil_socket_t fd, short what, void *aux)
{
	log_reopen();
}

static void do_exit(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	unixctl_reply(call, "");
	event_base_loopexit(aux, NULL); /* after this pass, so that the reply goes out */
}

/* --run: the child whose end is ours. */
struct run {
	struct event_base *base;
	struct event *ended;
	pid_t pid;
	int status;
};

static void on_child(evutil_socket_t fd, short what, void *aux)
{
	struct run *r = aux;

	if (waitpid(r->pid, &r->status, WNOHANG) == r->pid)
		event_base_loopbreak(r->base);
}

static void run_start(struct run *r, const char *command, struct err *e)
{
	r->ended = evsignal_new(r->base, SIGCHLD, on_child, r);
	event_add(r->ended, NULL);
	fflush(NULL);
	r->pid = fork();
	if (r->pid < 0) {
		err_set(e, errno, "fork: %s", strerror(errno));
		fatal(e);
	}
	if (!r->pid) {
		signal(SIGPIPE, SIG_DFL);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
}

static int run_end(struct run *r)
{
	if (r->ended)
		event_free(r->ended);
	return WIFEXITED(r->status) ? WEXITSTATUS(r->status) : 1;
}

int main(int argc, char *argv[])
{
	struct options o = {0};
	struct err e = {0};
	struct pidfile *pidfile = NULL;
	struct unixctl *ctl = NULL;

	parse_options(&o, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	/* Relative database paths are meant from here, whatever --detach does later. */
	for (int i = optind; i < argc; i++)
		if (*argv[i] != '/')
			argv[i] = from_here(argv[i]);
	if (o.detach && daemonize_start(&e) < 0)
		fatal(&e);
	if (o.monitor && daemonize_watch(&e) < 0)
		fatal(&e);
	if (o.user && become_user(o.user, &e) < 0)
		fatal(&e);
	int rc = o.log_file ? log_set_file(o.log_file) : 0;
	if (rc) {
		err_set(&e, -rc, "%s: %s", o.log_file, strerror(-rc));
		fatal(&e);
	}
	if (o.pidfile && pidfile_create(&pidfile, o.pidfile, o.overwrite_pidfile, &e) < 0)
		fatal(&e);

	struct event_base *base = event_base_new();
	struct event *term = evsignal_new(base, SIGTERM, on_signal, base);
	struct event *intr = evsignal_new(base, SIGINT, on_signal, base);
	struct event *hup = evsignal_new(base, SIGHUP, on_hangup, NULL);
	event_add(term, NULL);
	event_add(intr, NULL);
	event_add(hup, NULL);

	struct run run = {.base = base};
	struct ovsdb_server *s = ovsdb_server_create(base, &(struct ovsdb_server_limits){0});
	ovsdb_server_set_tls(s, o.private_key, o.certificate, o.ca_cert);
	if (ovsdb_server_restrict_tls(s, o.ssl_protocols, o.ssl_ciphers, o.bootstrap, &e) < 0)
		fatal(&e);
	open_databases(s, &o, argc - optind, argv + optind);
	VEC_FOR_EACH (r, &o.remotes)
		if (ovsdb_server_add_remote(s, *r, &e) < 0)
			fatal(&e);
	if (!o.unixctl)
		o.unixctl = xasprintf("%s/ovsdb-server.%ld.ctl", run_dir(), (long)getpid());
	if (unixctl_create(&ctl, base, o.unixctl, version, &e) < 0)
		fatal(&e);
	ovsdb_server_register_commands(s, ctl);
	unixctl_register(ctl, "exit", "", 0, 1, do_exit, base);
	log_info("%s started", version);
	if (o.detach)
		log_close_stderr();
	daemonize_ready(o.no_chdir);
	if (o.run)
		run_start(&run, o.run, &e);

	event_base_dispatch(base);

	log_info("exiting");
	ovsdb_server_destroy(s);
	unixctl_destroy(ctl);
	pidfile_remove(pidfile);
	event_free(term);
	event_free(intr);
	event_free(hup);
	event_base_free(base);
	vec_free(&o.remotes);
	free(o.unixctl);
	free(o.pidfile);
	free(o.log_file);
	return run_end(&run);
}
