/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/daemon/saved_flows.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1 << 30 };

/* Names of bridges are those of network interfaces, but come from a database: no way out of the
 * directory. */
static char *path_of(const char *dbdir, const char *bridge, struct err *e)
{
	if (strchr(bridge, '/') || bridge[0] == '.') {
		err_set(e, EINVAL, "bridge %s: no file can have this name", bridge);
		return NULL;
	}
	return xasprintf("%s/%s.flows", dbdir, bridge);
}

static int write_all(int fd, const char *text)
{
	size_t left = strlen(text);
	while (left) {
		ssize_t n = write(fd, text, left);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			text += n;
			left -= (size_t)n;
		}
	}
	return fsync(fd) ? -errno : 0;
}

int saved_flows_write(const char *dbdir, const char *bridge, const char *text, struct err *e)
{
	char *path = path_of(dbdir, bridge, e), *tmp;
	int fd, rc;
	if (!path)
		return -EINVAL;
	tmp = xasprintf("%s.new", path);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	rc = fd < 0 ? -errno : write_all(fd, text);
	if (fd >= 0)
		close(fd);
	if (!rc && rename(tmp, path))
		rc = -errno;
	if (rc)
		err_set(e, -rc, "%s: %s", path, strerror(-rc));
	if (rc && fd >= 0)
		unlink(tmp);
	free(tmp);
	free(path);
	return rc;
}

int saved_flows_remove(const char *dbdir, const char *bridge, struct err *e)
{
	char *path = path_of(dbdir, bridge, e);
	int rc = path ? 0 : -EINVAL;
	if (path && unlink(path) && errno != ENOENT)
		rc = err_set(e, errno, "%s: %s", path, strerror(errno));
	free(path);
	return rc;
}

static char *read_all(int fd, size_t size)
{
	char *text = malloc(size + 1);
	size_t n = 0;
	while (text && n < size) {
		ssize_t got = read(fd, text + n, size - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	if (text)
		text[n] = '\0';
	return text;
}

char *saved_flows_read(const char *dbdir, const char *bridge, struct err *e)
{
	char *path = path_of(dbdir, bridge, e), *text = NULL;
	struct stat st;
	int fd;
	if (!path)
		return NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		err_set(e, errno, "%s: %s", path,
			errno == ENOENT ? "no flows were saved" : strerror(errno));
	else if (fstat(fd, &st) || st.st_size > FILE_BYTES_MAX)
		err_set(e, EFBIG, "%s: too large", path);
	else if (!(text = read_all(fd, (size_t)st.st_size)))
		err_set(e, ENOMEM, "%s: no memory", path);
	if (fd >= 0)
		close(fd);
	free(path);
	return text;
}
