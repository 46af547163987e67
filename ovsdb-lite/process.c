/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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
	setsid();
	return 0;
}

void daemonize_ready(bool keep_dir)
{
	if (ready_fd < 0)
		return;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		if (null > STDERR_FILENO)
			close(null);
	}
	if (!keep_dir && chdir("/") < 0)
		fprintf(stderr, "chdir: %s\n", strerror(errno));
	if (write(ready_fd, "", 1) < 0)
		fprintf(stderr, "parent is gone\n");
	close(ready_fd);
	ready_fd = -1;
}
