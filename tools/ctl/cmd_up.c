/* SPDX-License-Identifier: BSD-3-Clause */
/* up, down: the two daemons and their supervisor, which is this program in the background.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "datapath/base/clock.h"
#include "datapath/base/log.h"
#include "datapath/base/vec.h"
#include "tools/ctl/attach.h"
#include "tools/ctl/command.h"
#include "tools/ctl/handlers.h"
#include "tools/ctl/supervise.h"

enum { READY_WAIT_MS = 30000, DOWN_WAIT_MS = 30000 };

/* ---- the supervisor's pid file ---- */

/* The pid of a living supervisor; 0: none. */
pid_t supervisor_pid(const struct command_call *c)
{
	char *path = command_path(c, "sluice.pid");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[32] = "";
	bool held = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
	pid_t pid = held && read(fd, text, sizeof text - 1) > 0 ? atoi(text) : 0;
	if (fd >= 0)
		close(fd);
	free(path);
	return pid;
}

/* Takes the lock that says "I am the supervisor"; -1: someone else has it. The descriptor stays
 * open. */
static int become_supervisor(const struct command_call *c)
{
	char *path = command_path(c, "sluice.pid");
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	free(path);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB)) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	if (ftruncate(fd, 0) || dprintf(fd, "%d\n", (int)getpid()) < 0)
		return -1;
	return fd;
}

/* ---- command lines ---- */

typedef VEC(char *) words_t;

static void add(words_t *w, const char *word)
{
	vec_push(w, xstrdup(word));
}

static void add_option(words_t *w, const char *option, const char *value)
{
	if (!value)
		return;
	add(w, option);
	add(w, value);
}

/* The program beside this one, wherever it was built or installed. */
char *program_beside(const char *name)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	char *slash;
	self[n > 0 ? n : 0] = '\0';
	slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	return xasprintf("%s/%s", slash ? self : "/usr/bin", name);
}

static unsigned free_hugepages_mb(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long count = 0, size_kb = 2048, v;
	char line[128];
	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "HugePages_Free: %lu", &v) == 1)
			count = v;
		if (sscanf(line, "Hugepagesize: %lu", &v) == 1)
			size_kb = v;
	}
	if (f)
		fclose(f);
	return (unsigned)(count * size_kb / 1024);
}

/* What sluiced has written for the datapath's next start; an option given here wins. */
static void add_start_args(const struct command_call *c, words_t *w)
{
	char *path = xasprintf("%s/datapath.args", c->dbdir);
	FILE *f = fopen(path, "re");
	char option[4096], value[4096];
	while (f && fgets(option, sizeof option, f) && fgets(value, sizeof value, f)) {
		option[strcspn(option, "\n")] = '\0';
		value[strcspn(value, "\n")] = '\0';
		if (!strncmp(option, "--", 2) && !command_option(c, option + 2))
			add_option(w, option, value);
	}
	if (f)
		fclose(f);
	free(path);
}

struct start { /* what the daemons' words are made from */
	const struct command_call *c;
	bool huge;
};

static char **datapath_words(const void *aux)
{
	const struct start *s = aux;
	const struct command_call *c = s->c;
	words_t w = {0};
	vec_push(&w, program_beside("sluice-datapath"));
	add_option(&w, "--rundir", c->rundir);
	if (!s->huge)
		add(&w, "--no-huge");
	add_option(&w, "--memory", command_option(c, "memory"));
	add_option(&w, "--cores", command_option(c, "cores"));
	add_option(&w, "--main-core", command_option(c, "main-core"));
	add_option(&w, "--eal", command_option(c, "eal"));
	add_start_args(c, &w);
	vec_push(&w, NULL);
	return w.at;
}

static char **sluiced_words(const void *aux)
{
	const struct command_call *c = ((const struct start *)aux)->c;
	const char *dummy = command_option(c, "enable-dummy");
	words_t w = {0};
	vec_push(&w, program_beside("sluiced"));
	add_option(&w, "--rundir", c->rundir);
	add_option(&w, "--dbdir", c->dbdir);
	if (dummy && (!strcmp(dummy, "system") || !strcmp(dummy, "override")))
		vec_push(&w, xasprintf("--enable-dummy=%s", dummy));
	else if (dummy)
		add(&w, "--enable-dummy");
	vec_push(&w, NULL);
	return w.at;
}

/* ---- up ---- */

static int run_supervisor(const struct command_call *c, bool huge)
{
	const char *logs = command_option(c, "log-dir") ? command_option(c, "log-dir") : c->rundir;
	const struct start start = {c, huge};
	struct supervise_child children[] = {
		{.name = "sluice-datapath",
		 .words = datapath_words,
		 .aux = &start,
		 .log_path = xasprintf("%s/sluice-datapath.log", logs)},
		{.name = "sluiced",
		 .words = sluiced_words,
		 .aux = &start,
		 .log_path = xasprintf("%s/sluiced.log", logs)},
	};
	char *path = command_path(c, "sluice.pid");
	int lock = become_supervisor(c), rc;
	if (lock < 0)
		return command_fail("%s: another supervisor is there", path);
	rc = supervise_run(children, SL_ARRAY_SIZE(children));
	unlink(path);
	free(path);
	close(lock);
	return rc ? EXIT_FAILED : EXIT_OK;
}

static bool to_background(const struct command_call *c)
{
	char *log = xasprintf("%s/sluice.log", c->rundir);
	pid_t pid = fork();
	int fd;
	if (pid) {
		free(log);
		return false;
	}
	setsid();
	fd = open("/dev/null", O_RDWR);
	dup2(fd, 0);
	close(fd);
	fd = open(log, O_WRONLY | O_APPEND | O_CREAT, 0600);
	if (fd >= 0) {
		dup2(fd, 1);
		dup2(fd, 2);
		close(fd);
	}
	free(log);
	return true;
}

static void print_last_line(const char *dir, const char *name)
{
	char *path = xasprintf("%s/%s", dir, name), line[512], last[512] = "";
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f))
		memcpy(last, line, sizeof last);
	if (f)
		fclose(f);
	if (last[0])
		fprintf(stderr, "%s: %s%s", path, last, strchr(last, '\n') ? "" : "\n");
	free(path);
}

static int wait_ready(const struct command_call *c)
{
	const char *logs = command_option(c, "log-dir") ? command_option(c, "log-dir") : c->rundir;
	uint64_t end = clock_mono_ms() + READY_WAIT_MS;
	bool datapath = false, control = false;
	while (clock_mono_ms() < end && !(datapath && control)) {
		usleep(10000);
		datapath = command_socket_accepts(c, "datapath.sock");
		control = command_socket_accepts(c, "sluiced.sock") &&
			  command_socket_accepts(c, "db.sock");
	}
	if (datapath && control)
		return EXIT_OK;
	if (!datapath)
		print_last_line(logs, "sluice-datapath.log");
	if (!control)
		print_last_line(logs, "sluiced.log");
	return command_fail("%s is not ready after %d s", datapath ? "sluiced" : "sluice-datapath",
			    READY_WAIT_MS / 1000);
}

static int become(const struct command_call *c, const char *name, bool huge)
{
	const struct start start = {c, huge};
	char **words = NULL;
	if (!strcmp(name, "datapath"))
		words = datapath_words(&start);
	else if (!strcmp(name, "control"))
		words = sluiced_words(&start);
	else
		return command_usage(c, "up: --exec %s: neither datapath nor control", name);
	execv(words[0], words);
	return command_fail("%s: %s", words[0], strerror(errno));
}

int cmd_up(struct command_call *c)
{
	unsigned mb = free_hugepages_mb();
	const char *name = command_option(c, "exec");
	const char *wanted = command_option(c, "memory");
	unsigned need = wanted ? (unsigned)atoi(wanted) : 40; /* as sluice-datapath */
	bool huge = !command_option(c, "no-huge") && mb >= need;
	pid_t there = supervisor_pid(c);
	if (there && name)
		return command_fail("`sluice up` runs already (supervisor pid %d)", (int)there);
	if (there) {
		printf("already up (supervisor pid %d)\n", (int)there);
		return wait_ready(c);
	}
	if ((mkdir(c->rundir, 0700) && errno != EEXIST) ||
	    (mkdir(c->dbdir, 0700) && errno != EEXIST))
		return command_fail("%s, %s: %s", c->rundir, c->dbdir, strerror(errno));
	if (name)
		return become(c, name, huge);
	if (huge)
		printf("memory: %u MB of hugepages are free, %u are used\n", mb, need);
	else
		printf("memory: without hugepages%s\n",
		       command_option(c, "no-huge")
			       ? ""
			       : " (too few are free: echo 128 >/proc/sys/vm/nr_hugepages "
				 "reserves some)");
	fflush(stdout);
	if (command_option(c, "foreground"))
		return run_supervisor(c, huge);
	if (to_background(c))
		exit(run_supervisor(c, huge));
	if (wait_ready(c))
		return EXIT_FAILED;
	printf("up: %s\n", c->rundir);
	return EXIT_OK;
}

/* ---- down ---- */

/* Programs that who made more than the daemons left in <rundir>/down.d. */
static void run_hooks(const struct command_call *c)
{
	char *dir = command_path(c, "down.d");
	struct dirent **list = NULL;
	int n = scandir(dir, &list, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		char *path = xasprintf("%s/%s", dir, list[i]->d_name);
		pid_t pid = list[i]->d_name[0] == '.' || access(path, X_OK) ? 0 : fork();
		if (!pid && list[i]->d_name[0] != '.' && !access(path, X_OK)) {
			execl(path, path, (char *)NULL);
			_exit(127);
		}
		if (pid > 0)
			waitpid(pid, NULL, 0);
		unlink(path);
		free(path);
		free(list[i]);
	}
	free(list);
	rmdir(dir);
	free(dir);
}

int cmd_down(struct command_call *c)
{
	pid_t pid = supervisor_pid(c);
	uint64_t end = clock_mono_ms() + DOWN_WAIT_MS;
	if (!pid) {
		run_hooks(c);
		printf("not up\n");
		return EXIT_OK;
	}
	if (command_socket_accepts(c, "sluiced.sock"))
		attach_remove_all(c);
	run_hooks(c);
	kill(pid, SIGTERM);
	while (supervisor_pid(c) && clock_mono_ms() < end)
		usleep(10000);
	if (supervisor_pid(c))
		return command_fail("supervisor (pid %d): does not stop", (int)pid);
	printf("down\n");
	return EXIT_OK;
}
