/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses of controllers: the METHOD:ARGS of the Controller table's target column (ovs-vsctl(8)).
 */
#pragma once
#include <sys/socket.h>

#include "datapath/base/util.h"

struct err;

struct target_address {
	struct sockaddr_storage sa;
	socklen_t len;
	bool passive, tls;
};

/* tcp:IP[:PORT], ssl:IP[:PORT], unix:FILE, ptcp:[PORT][:IP], pssl:[PORT][:IP], punix:FILE; IPv6
 * addresses in brackets. Numeric addresses only: looking names up would block. -EINVAL with *e set.
 */
int target_parse(const char *target, uint16_t default_port, struct target_address *out,
		 struct err *e);
