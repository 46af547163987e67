/* SPDX-License-Identifier: BSD-3-Clause */
/* Sizes that several parts share. */
#pragma once

enum {
	BURST_MAX = 32,       /* packets a poll thread takes from a queue at once */
	PORT_ID_MAX = 4096,   /* datapath port numbers are 1 .. PORT_ID_MAX - 1; 0 is "none" */
	BRIDGE_ID_MAX = 1024, /* 1 .. */
	POLL_THREADS_MAX = 64,
	PORT_NAME_BYTES =
		64,       /* with NUL; kernel-backed ports are limited to 15 + NUL by the kernel */
	QUEUES_MAX = 64,  /* rx or tx queues of a port */
	TABLES_MAX = 255, /* OpenFlow tables 0 .. 254 */
	MASKS_PER_PORT = 16, /* DESIGN: tuple-space explosion cannot happen */
	VERSION_LOG = 1024,  /* changes remembered for lazy revalidation */
};
