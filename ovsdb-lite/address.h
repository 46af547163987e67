/* SPDX-License-Identifier: BSD-3-Clause */
/* Socket addresses as OVS tools write them: punix:FILE, ptcp:PORT[:IP], pssl:PORT[:IP] to listen;
 * unix:FILE, tcp:IP[:PORT], ssl:IP[:PORT] to connect. IPv6 in brackets. Port 6640 by default. */
#pragma once
#include <sys/socket.h>
#include <sys/un.h>

#include "datapath/base/err.h"

struct address {
	bool passive, tls;
	struct sockaddr_storage sa; /* AF_UNIX, AF_INET or AF_INET6 */
	socklen_t len;
};

int address_parse(struct address *a, const char *text, struct err *e);
/* Non-blocking listening socket; a dead unix socket file is replaced, mode 0600. -errno. */
int address_listen(const struct address *a, struct err *e);
/* Non-blocking socket, connected or connecting (check with SO_ERROR when writable). -errno. */
int address_connect(const struct address *a, struct err *e);
static inline bool address_is_unix(const struct address *a)
{
	return a->sa.ss_family == AF_UNIX;
}
/* Port a listening socket got; 0 for unix. */
unsigned address_bound_port(int fd);
