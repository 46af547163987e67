/* SPDX-License-Identifier: BSD-3-Clause */
/* An rtnetlink socket in the group of link changes; only names are read from it. */
#include "control/daemon/link_watch.h"

#include <event2/event.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/state/engine.h"
#include "datapath/base/log.h"

LOG_MODULE(link_watch);

struct link_watch {
	struct engine *engine;
	struct event *readable;
	int fd;
};

static void take_link(struct link_watch *w, struct nlmsghdr *h)
{
	struct ifinfomsg *info = NLMSG_DATA(h);
	int left = (int)h->nlmsg_len - (int)NLMSG_LENGTH(sizeof *info);
	for (struct rtattr *a = IFLA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == IFLA_IFNAME && RTA_PAYLOAD(a) &&
		    ((char *)RTA_DATA(a))[RTA_PAYLOAD(a) - 1] == '\0')
			engine_retry(w->engine, RTA_DATA(a));
}

static void readable(evutil_socket_t fd, short what, void *aux)
{
	struct link_watch *w = aux;
	_Alignas(struct nlmsghdr) char buffer[16384];
	ssize_t n;
	while ((n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
		unsigned left = (unsigned)n;
		for (struct nlmsghdr *h = (void *)buffer; NLMSG_OK(h, left);
		     h = NLMSG_NEXT(h, left))
			if (h->nlmsg_type == RTM_NEWLINK &&
			    h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifinfomsg)))
				take_link(w, h);
	}
}

struct link_watch *link_watch_create(struct event_base *base, struct engine *engine)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	struct link_watch *w;
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address)) {
		log_info("new network devices are not heard of: %m");
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	w = xzalloc(sizeof *w);
	w->engine = engine;
	w->fd = fd;
	w->readable = event_new(base, fd, EV_READ | EV_PERSIST, readable, w);
	event_add(w->readable, NULL);
	return w;
}

void link_watch_destroy(struct link_watch *w)
{
	if (!w)
		return;
	event_free(w->readable);
	close(w->fd);
	free(w);
}
