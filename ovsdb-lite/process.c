/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "datapath/base/log.h"
#include "datapath/base/util.h"

LOG_MODULE(process);

struct pidfile {
	char *path;
	int fd;
};

static int lock(int fd)
{
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_SETLK, &fl) < 0 ? -errno : 0;
}

static int check_existing(const char *path, struct err *e)
{
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = open(path, O_RDWR | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return 0;
	if (fcntl(fd, F_GETLK, &fl) == 0 && fl.l_type != F_UNLCK)
		rc = err_set(e, EAGAIN, "%s: already running as pid %ld", path, (long)fl.l_pid);
	close(fd);
	return rc;
}

int pidfile_create(struct pidfile **out, const char *path, bool overwrite, struct err *e)
{
	char *tmp = xasprintf("%s.tmp%ld", path, (long)getpid());
	char text[24];
	int rc = overwrite ? 0 : check_existing(path, e), fd = -1;

	if (!rc) {
		fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		if (fd < 0)
			rc = err_set(e, errno, "%s: create failed: %s", tmp, strerror(errno));
	}
	int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
	if (!rc && (lock(fd) < 0 || write(fd, text, (size_t)n) != n || rename(tmp, path) < 0)) {
		rc = err_set(e, errno, "%s: %s", path, strerror(errno));
		unlink(tmp);
	}
	free(tmp);
	if (rc) {
		if (fd >= 0)
			close(fd);
		return rc;
	}
	struct pidfile *p = xzalloc(sizeof *p);
	p->path = xstrdup(path);
	p->fd = fd; /* closing it would give up the lock */
	*out = p;
	return 0;
}

void pidfile_remove(struct pidfile *p)
{
	if (!p)
		return;
	unlink(p->path);
	close(p->fd);
	free(p->path);
	free(p);
}

const char *pidfile_path(const struct pidfile *p)
{
	return p->path;
}

/* --- detaching -------------------------------------------------------------------------------- */

static int ready_fd = -1; /* write end of the pipe to the waiting parent */
static bool is_detached;

/* The parent: exits as the child reports. */
static void wait_for_child(pid_t child, int fd)
{
	char byte;
	int status;

	if (read(fd, &byte, 1) == 1)
		_exit(0);
	if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status))
		_exit(WEXITSTATUS(status));
	_exit(1);
}

int daemonize_start(struct err *e)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(e, errno, "pipe: %s", strerror(errno));
	fflush(NULL);
	pid_t child = fork();
	if (child < 0)
		return err_set(e, errno, "fork: %s", strerror(errno));
	if (child > 0) {
		close(fds[1]);
		wait_for_child(child, fds[0]);
	}
	close(fds[0]);
	ready_fd = fds[1];
	is_detached = true;
	setsid();
	return 0;
}

static void detach_output(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	if (null > STDERR_FILENO)
		close(null);
}

static bool is_own_error(int status)
{
	static const int signals[] = {SIGABRT, SIGALRM, SIGBUS,  SIGFPE, SIGILL,
				      SIGPIPE, SIGSEGV, SIGXCPU, SIGXFSZ};

	for (size_t i = 0; WIFSIGNALED(status) && i < SL_ARRAY_SIZE(signals); i++)
		if (WTERMSIG(status) == signals[i])
			return true;
	return false;
}

/* The watching parent, for the life of one child: returns when it is to be started again. *outer:
 * the pipe to who waits for the first child to get ready. */
static void watch(pid_t child, int ready, int *outer)
{
	enum { RESTART_S = 10 };
	static time_t last;
	char byte;
	ssize_t n;
	int status;

	do
		n = read(ready, &byte, 1);
	while (n < 0 && errno == EINTR);
	close(ready);
	if (n == 1 && *outer >= 0) {
		detach_output();
		if (write(*outer, "", 1) < 0)
			log_info("nobody waits for the start");
		close(*outer);
		*outer = -1;
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (n != 1 || !is_own_error(status))
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
	log_err("pid %ld was ended by signal %d: starting again", (long)child, WTERMSIG(status));
	if (last && time(NULL) - last < RESTART_S)
		sleep(RESTART_S);
	last = time(NULL);
}

int daemonize_watch(struct err *e)
{
	int outer = ready_fd;

	for (;;) {
		int fds[2];
		pid_t child;

		if (pipe2(fds, O_CLOEXEC) < 0)
			return err_set(e, errno, "pipe: %s", strerror(errno));
		fflush(NULL);
		child = fork();
		if (child < 0)
			return err_set(e, errno, "fork: %s", strerror(errno));
		if (!child) {
			close(fds[0]);
			if (outer >= 0)
				close(outer);
			ready_fd = fds[1];
			return 0;
		}
		close(fds[1]);
		watch(child, fds[0], &outer);
	}
}

static int find_user(const char *name, struct passwd *p, struct err *e)
{
	struct passwd *found = getpwnam(name);

	if (!found)
		return err_set(e, ENOENT, "user %s: not found", name);
	*p = *found;
	return 0;
}

int become_user(const char *spec, struct err *e)
{
	char *name = xstrdup(spec), *group = strchr(name, ':');
	struct passwd user = {.pw_uid = geteuid(), .pw_gid = getegid(), .pw_name = ""};
	int rc = 0;

	if (group)
		*group++ = '\0';
	if (name[0])
		rc = find_user(name, &user, e);
	if (!rc && group && group[0]) {
		struct group *g = getgrnam(group);

		if (g)
			user.pw_gid = g->gr_gid;
		else
			rc = err_set(e, ENOENT, "group %s: not found", group);
	}
	if (!rc && name[0] && initgroups(name, user.pw_gid) < 0)
		rc = err_set(e, errno, "user %s: %s", spec, strerror(errno));
	if (!rc && (setresgid(user.pw_gid, user.pw_gid, user.pw_gid) < 0 ||
		    setresuid(user.pw_uid, user.pw_uid, user.pw_uid) < 0))
		rc = err_set(e, errno, "user %s: %s", spec, strerror(errno));
	free(name);
	return rc;
}

void daemonize_ready(bool keep_dir)
{
	if (ready_fd < 0)
		return;
	if (is_detached)
		detach_output();
	if (is_detached && !keep_dir && chdir("/") < 0)
		fprintf(stderr, "chdir: %s\n", strerror(errno));
	if (write(ready_fd, "", 1) < 0)
		fprintf(stderr, "parent is gone\n");
	close(ready_fd);
	ready_fd = -1;
}
