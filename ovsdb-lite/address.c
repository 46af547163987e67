/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEFAULT_PORT = 6640 };

static int parse_unix(struct address *a, const char *path, struct err *e)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&a->sa;

	if (!*path || strlen(path) >= sizeof un->sun_path)
		return err_set(e, EINVAL, "%s: socket path is empty or longer than %zu bytes", path,
			       sizeof un->sun_path - 1);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, strlen(path) + 1);
	a->len = sizeof *un;
	return 0;
}

static int set_ip(struct address *a, const char *ip, uint64_t port, struct err *e)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&a->sa;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->sa;

	if (inet_pton(AF_INET, ip, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		a->len = sizeof *in;
	} else if (inet_pton(AF_INET6, ip, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		a->len = sizeof *in6;
	} else {
		return err_set(e, EINVAL, "%s: not an IP address", ip);
	}
	return 0;
}

/* "IP", "[IP6]": copied without brackets; returns what follows. */
static const char *cut_ip(const char *s, char ip[64])
{
	bool bracket = *s == '[';
	size_t n;

	s += bracket;
	n = strcspn(s, bracket ? "]" : ":");
	snprintf(ip, 64, "%.*s", (int)SL_MIN(n, (size_t)63), s);
	s += n;
	return bracket && *s ? s + 1 : s;
}

static int parse_ip(struct address *a, const char *s, struct err *e)
{
	uint64_t port = DEFAULT_PORT;
	char ip[64] = "", digits[16] = "";

	if (a->passive) { /* PORT[:IP] */
		size_t n = strcspn(s, ":");

		snprintf(digits, sizeof digits, "%.*s", (int)SL_MIN(n, sizeof digits - 1), s);
		if (s[n])
			cut_ip(s + n + 1, ip);
	} else {
		s = cut_ip(s, ip);
		if (*s == ':')
			snprintf(digits, sizeof digits, "%s", s + 1);
	}
	if (*digits && !parse_u64(digits, 10, 65535, &port))
		return err_set(e, EINVAL, "%s: bad port number", digits);
	return set_ip(a, *ip || !a->passive ? ip : "0.0.0.0", port, e);
}

int address_parse(struct address *a, const char *text, struct err *e)
{
	static const struct {
		const char *prefix;
		bool passive, tls, is_unix;
	} kinds[] = {
		{"punix:", true, false, true}, {"ptcp:", true, false, false},
		{"pssl:", true, true, false},  {"unix:", false, false, true},
		{"tcp:", false, false, false}, {"ssl:", false, true, false},
	};

	memset(a, 0, sizeof *a);
	for (size_t i = 0; i < SL_ARRAY_SIZE(kinds); i++) {
		size_t n = strlen(kinds[i].prefix);

		if (strncmp(text, kinds[i].prefix, n))
			continue;
		a->passive = kinds[i].passive;
		a->tls = kinds[i].tls;
		return kinds[i].is_unix ? parse_unix(a, text + n, e) : parse_ip(a, text + n, e);
	}
	return err_set(e, EINVAL, "%s: not a recognised address", text);
}

/* A socket file that nobody answers on is left over from a process that died. */
static void remove_dead_socket(const struct address *a)
{
	const char *path = ((const struct sockaddr_un *)&a->sa)->sun_path;
	struct stat st;

	if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&a->sa, a->len) < 0 &&
	    errno == ECONNREFUSED)
		unlink(path);
	if (fd >= 0)
		close(fd);
}

int address_listen(const struct address *a, struct err *e)
{
	int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
	int rc;

	if (fd < 0)
		return err_set(e, errno, "socket: %s", strerror(errno));
	if (address_is_unix(a))
		remove_dead_socket(a);
	else
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	mode_t old = address_is_unix(a) ? umask(0177) : 0;
	rc = bind(fd, (const struct sockaddr *)&a->sa, a->len) < 0 ? errno : 0;
	if (address_is_unix(a))
		umask(old);
	if (!rc && listen(fd, 64) < 0)
		rc = errno;
	if (rc) {
		close(fd);
		return err_set(e, rc, "listen: %s", strerror(rc));
	}
	return fd;
}

int address_connect(const struct address *a, struct err *e)
{
	int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

	if (fd < 0)
		return err_set(e, errno, "socket: %s", strerror(errno));
	if (!address_is_unix(a))
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (connect(fd, (const struct sockaddr *)&a->sa, a->len) < 0 && errno != EINPROGRESS) {
		int rc = errno;

		close(fd);
		return err_set(e, rc, "connect: %s", strerror(rc));
	}
	return fd;
}

unsigned address_bound_port(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return 0;
	if (sa.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&sa)->sin_port);
	return sa.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&sa)->sin6_port) : 0;
}
