/* SPDX-License-Identifier: BSD-3-Clause */
/* Signals arrive through a signalfd, so the loop is one poll(). */
#include "tools/ctl/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "datapath/base/clock.h"
#include "datapath/base/log.h"

LOG_MODULE(supervise);

enum { QUICK_DEATH_MS = 1000, STOP_WAIT_MS = 10000 };

static void exec_child(const struct supervise_child *c, char **words)
{
	sigset_t none;
	int fd = open(c->log_path, O_WRONLY | O_APPEND | O_CREAT, 0600);
	if (fd >= 0) {
		dup2(fd, 1);
		dup2(fd, 2);
		close(fd);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* A datapath without supervisor goes on forwarding: no PR_SET_PDEATHSIG. */
	setpgid(0, 0);
	execv(words[0], words);
	fprintf(stderr, "%s: %s\n", words[0], strerror(errno));
	_exit(127);
}

static void start(struct supervise_child *c)
{
	char **words = c->words(c->aux);
	c->started_ms = clock_mono_ms();
	c->pid = fork();
	if (!c->pid)
		exec_child(c, words);
	for (char **w = words; *w; w++)
		free(*w);
	free(words);
	if (c->pid < 0) {
		log_err("%s: fork: %s", c->name, strerror(errno));
		c->pid = 0;
		c->start_at_ms = c->started_ms + SUPERVISE_CRASH_LOOP_MS;
	}
}

static void note_death(struct supervise_child *c, int status)
{
	uint64_t now = clock_mono_ms(), pause = SUPERVISE_RESTART_MS;
	c->quick_deaths = now - c->started_ms < QUICK_DEATH_MS ? c->quick_deaths + 1 : 0;
	for (unsigned i = 1; i < c->quick_deaths && pause < SUPERVISE_CRASH_LOOP_MS; i++)
		pause *= 2;
	c->start_at_ms = now + SL_MIN(pause, SUPERVISE_CRASH_LOOP_MS);
	if (WIFSIGNALED(status))
		log_err("%s (pid %d): killed by signal %d: it is started again", c->name,
			(int)c->pid, WTERMSIG(status));
	else
		log_err("%s (pid %d): exited with status %d: it is started again", c->name,
			(int)c->pid, WEXITSTATUS(status));
	c->pid = 0;
}

static void reap(struct supervise_child *children, size_t n)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < n; i++)
			if (children[i].pid == pid)
				note_death(&children[i], status);
}

/* Starts what is due; returns when the next start is, -1: nothing waits. */
static int start_due(struct supervise_child *children, size_t n)
{
	uint64_t now = clock_mono_ms();
	int wait = -1;
	for (size_t i = 0; i < n; i++) {
		struct supervise_child *c = &children[i];
		if (!c->pid && now >= c->start_at_ms)
			start(c);
		if (!c->pid && (wait < 0 || (int)(c->start_at_ms - now) < wait))
			wait = (int)SL_MAX((int64_t)(c->start_at_ms - now), 1);
	}
	return wait;
}

static void stop(struct supervise_child *c)
{
	uint64_t end = clock_mono_ms() + STOP_WAIT_MS;
	if (!c->pid)
		return;
	kill(c->pid, SIGTERM);
	while (waitpid(c->pid, NULL, WNOHANG) == 0) {
		if (clock_mono_ms() > end) {
			log_err("%s (pid %d): does not stop: killed", c->name, (int)c->pid);
			kill(c->pid, SIGKILL);
			waitpid(c->pid, NULL, 0);
			break;
		}
		usleep(5000);
	}
	c->pid = 0;
}

int supervise_run(struct supervise_child *children, size_t n)
{
	sigset_t set;
	bool going = true;
	int fd;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (going) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		struct signalfd_siginfo info;
		int wait = start_due(children, n);
		if (poll(&p, 1, wait) <= 0 || read(fd, &info, sizeof info) != sizeof info)
			continue;
		if (info.ssi_signo == SIGCHLD)
			reap(children, n);
		else
			going = false;
	}
	for (size_t i = n; i-- > 0;)
		stop(&children[i]);
	close(fd);
	return 0;
}
