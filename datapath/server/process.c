/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/server/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/base/vec.h"
#include "datapath/server/loop.h"

LOG_MODULE(server);

struct pidfile {
	char *path;
	int fd; /* open as long as we live: closing it would drop the lock */
};
static VEC(struct pidfile) pidfiles;
static int ready_fd = -1; /* child: tells the waiting parent */
static struct loop_fd signals = {.fd = -1};

int process_make_rundir(const char *dir, struct err *e)
{
	struct stat st;

	if (mkdir(dir, 0700) && errno != EEXIST)
		return err_set(e, errno, "%s: %s", dir, strerror(errno));
	if (stat(dir, &st) || !S_ISDIR(st.st_mode))
		return err_set(e, ENOTDIR, "%s: not a directory", dir);
	return 0;
}

int process_pidfile(const char *path, struct err *e)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0)
		return err_set(e, errno, "%s: %s", path, strerror(errno));
	if (fcntl(fd, F_SETLK, &lock)) {
		struct flock holder = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
		bool known = !fcntl(fd, F_GETLK, &holder) && holder.l_type != F_UNLCK;

		close(fd);
		return err_set(e, EALREADY, "%s: in use: process %d runs already", path,
			       known ? (int)holder.l_pid : 0);
	}
	if (ftruncate(fd, 0) || dprintf(fd, "%d\n", (int)getpid()) < 0) {
		int code = errno;

		close(fd);
		return err_set(e, code, "%s: %s", path, strerror(code));
	}
	vec_push(&pidfiles, (struct pidfile){xstrdup(path), fd});
	return 0;
}

void process_remove_pidfiles(void)
{
	VEC_FOR_EACH (p, &pidfiles) {
		unlink(p->path);
		close(p->fd);
		free(p->path);
	}
	vec_free(&pidfiles);
}

static const char ready_env[] = "SLUICE_READY_FD";

void process_before_exec(void)
{
	char text[16];

	if (ready_fd < 0)
		return;
	fcntl(ready_fd, F_SETFD, 0);
	snprintf(text, sizeof text, "%d", ready_fd);
	setenv(ready_env, text, 1);
}

int process_detach(struct err *e)
{
	const char *inherited = getenv(ready_env);
	uint64_t fd;
	int fds[2];
	char byte;

	if (inherited && parse_u64(inherited, 10, 1 << 20, &fd)) { /* started again by ourselves */
		ready_fd = (int)fd;
		fcntl(ready_fd, F_SETFD, FD_CLOEXEC);
		unsetenv(ready_env);
		return 0;
	}
	if (pipe2(fds, O_CLOEXEC))
		return err_set(e, errno, "pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid < 0)
		return err_set(e, errno, "fork: %s", strerror(errno));
	if (pid) {
		close(fds[1]);
		_exit(read(fds[0], &byte, 1) == 1 ? 0 : 1);
	}
	close(fds[0]);
	ready_fd = fds[1];
	setsid();
	return 0;
}

void process_ready(void)
{
	if (ready_fd < 0)
		return;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	ssize_t n = write(ready_fd, "", 1);

	(void)n; /* the parent may have been killed; we go on */
	close(ready_fd);
	ready_fd = -1;
	log_close_stderr();
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		close(null);
	}
	if (chdir("/"))
		log_warn("/: %s", strerror(errno));
}

static void on_signal(struct loop_fd *w, uint32_t events)
{
	struct signalfd_siginfo info;

	while (read(w->fd, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGHUP) {
			log_reopen();
			continue;
		}
		log_info("signal %u from process %u: stopping", info.ssi_signo, info.ssi_pid);
		loop_stop();
	}
}

int process_signals(struct err *e)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	signals.fn = on_signal;
	if (signals.fd < 0 || loop_add(&signals, EPOLLIN))
		return err_set(e, errno, "signals: %s", strerror(errno));
	return 0;
}
