/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/port/tap_place.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datapath/base/str.h"
#include "datapath/base/vec.h"
#include "datapath/port/netif.h"

enum { MARK_BYTES = 40, NAMESPACES_MAX = 4096 };

struct search {
	const char *mark;
	char *name; /* result */
	struct seen {
		dev_t dev;
		ino_t ino;
	} * seen;
	size_t n_seen;
};

static char *path_of(const char *port)
{
	const char *dir = port_rundir ? port_rundir : "/run/sluice";

	return strchr(port, '/') ? NULL : xasprintf("%s/taps/%s", dir, port);
}

static int read_mark(const char *port, char mark[MARK_BYTES])
{
	char *path = path_of(port);
	FILE *f = path ? fopen(path, "re") : NULL;
	int ret = f && fscanf(f, "%39s", mark) == 1 && !strncmp(mark, "sluice:", 7) ? 0 : -ENOENT;

	if (f)
		fclose(f);
	free(path);
	return ret;
}

static int write_mark(const char *port, char mark[MARK_BYTES])
{
	uint64_t random[2];
	char *path = path_of(port);
	int ret = path ? 0 : -EINVAL;

	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
		ret = -EIO;
	snprintf(mark, MARK_BYTES, "sluice:%016lx%016lx", random[0], random[1]);
	if (!ret) {
		*strrchr(path, '/') = 0;
		if (mkdir(path, 0700) && errno != EEXIST)
			ret = -errno;
		path[strlen(path)] = '/';
	}
	FILE *f = ret ? NULL : fopen(path, "we");
	if (!ret && !f)
		ret = -errno;
	if (f && (fprintf(f, "%s\n", mark) < 0) + fclose(f))
		ret = -EIO;
	free(path);
	return ret;
}

static int netlink(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return fd >= 0 ? fd : -errno;
}

static int set_alias(const char *name, const char *alias)
{
	struct {
		struct nlmsghdr n;
		struct ifinfomsg i;
		struct rtattr a;
		char text[MARK_BYTES];
	} r = {.n = {.nlmsg_type = RTM_SETLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
	       .a = {.rta_type = IFLA_IFALIAS}};
	struct {
		struct nlmsghdr n;
		struct nlmsgerr e;
		char rest[512];
	} answer;
	size_t len = strlen(alias);

	r.i.ifi_index = (int)if_nametoindex(name);
	if (!r.i.ifi_index)
		return -errno;
	memcpy(r.text, alias, len);
	r.a.rta_len = (unsigned short)RTA_LENGTH(len);
	r.n.nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof r.i) + RTA_ALIGN(r.a.rta_len));
	int fd = netlink(), ret = fd;
	if (fd < 0)
		return fd;
	if (send(fd, &r, r.n.nlmsg_len, 0) < 0)
		ret = -errno;
	else if (recv(fd, &answer, sizeof answer, 0) < (ssize_t)NLMSG_LENGTH(sizeof(int)))
		ret = -EIO;
	else
		ret = answer.e.error;
	close(fd);
	return ret;
}

/* One interface of a dump: is it the one? */
static bool is_marked(struct nlmsghdr *n, struct search *s)
{
	struct ifinfomsg *i = NLMSG_DATA(n);
	int len = (int)IFLA_PAYLOAD(n);
	const char *name = NULL;
	bool found = false;

	for (struct rtattr *a = IFLA_RTA(i); RTA_OK(a, len); a = RTA_NEXT(a, len)) {
		const char *text = RTA_DATA(a);
		size_t size = RTA_PAYLOAD(a);

		if (a->rta_type == IFLA_IFNAME)
			name = text;
		else if (a->rta_type == IFLA_IFALIAS)
			found = strnlen(text, size) == strlen(s->mark) &&
				!memcmp(text, s->mark, strlen(s->mark));
	}
	if (!found || !name)
		return false;
	snprintf(s->name, IFNAMSIZ, "%.15s", name);
	return true;
}

/* In the thread's namespace. */
static bool search_links(struct search *s)
{
	struct {
		struct nlmsghdr n;
		struct ifinfomsg i;
	} r = {.n = {.nlmsg_len = sizeof r,
		     .nlmsg_type = RTM_GETLINK,
		     .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
	static char buffer[65536];
	bool found = false, more = true;
	int fd = netlink();

	if (fd < 0)
		return false;
	more = send(fd, &r, sizeof r, 0) >= 0;
	while (more) {
		ssize_t got = recv(fd, buffer, sizeof buffer, 0);

		if (got <= 0)
			break;
		unsigned len = (unsigned)got;
		for (struct nlmsghdr *n = (void *)buffer; NLMSG_OK(n, len);
		     n = NLMSG_NEXT(n, len)) {
			if (n->nlmsg_type != RTM_NEWLINK) {
				more = false; /* done, or an error */
				break;
			}
			found = found || is_marked(n, s);
		}
	}
	close(fd);
	return found;
}

/* A namespace by path, once each. Its descriptor when the tap is there, else -1. */
static int search_namespace(struct search *s, const char *path)
{
	int ns = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	bool found = false;

	if (ns < 0)
		return -1;
	bool known = fstat(ns, &st) || s->n_seen == NAMESPACES_MAX;
	for (size_t i = 0; !known && i < s->n_seen; i++)
		known = s->seen[i].ino == st.st_ino && s->seen[i].dev == st.st_dev;
	if (!known) {
		s->seen[s->n_seen++] = (struct seen){st.st_dev, st.st_ino};
		int back = netif_enter(ns);
		if (back >= 0) {
			found = search_links(s);
			netif_leave(back);
		}
	}
	if (found)
		return ns;
	close(ns);
	return -1;
}

/* Namespaces with a name, or with a process in them. */
static int search_folder(struct search *s, const char *folder, const char *rest)
{
	DIR *dir = opendir(folder);
	struct dirent *e;
	int ns = -1;

	while (ns < 0 && dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || (*rest && !isdigit((unsigned char)e->d_name[0])))
			continue;
		char *path = xasprintf("%s/%s%s", folder, e->d_name, rest);
		ns = search_namespace(s, path);
		free(path);
	}
	if (dir)
		closedir(dir);
	return ns;
}

int tap_place_find(const char *port, int *ns, char name[IFNAMSIZ])
{
	char mark[MARK_BYTES];
	struct search s = {.mark = mark, .name = name};
	int ret = read_mark(port, mark);

	if (ret)
		return ret;
	s.seen = xmalloc(NAMESPACES_MAX * sizeof *s.seen);
	*ns = search_namespace(&s, "/proc/thread-self/ns/net");
	if (*ns < 0)
		*ns = search_folder(&s, "/run/netns", "");
	if (*ns < 0)
		*ns = search_folder(&s, "/proc", "/ns/net");
	free(s.seen);
	return *ns >= 0 ? 0 : -ENOENT;
}

int tap_place_mark(const char *port, const char *name)
{
	char mark[MARK_BYTES];
	int ret = read_mark(port, mark);

	if (ret)
		ret = write_mark(port, mark);
	return ret ? ret : set_alias(name, mark);
}

void tap_place_forget(const char *port)
{
	char *path = path_of(port);

	if (path)
		unlink(path);
	free(path);
}
