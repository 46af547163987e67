/* SPDX-License-Identifier: BSD-3-Clause */
/* Keeps the host's own network stack away from an interface that is a port: an ingress queueing
 * discipline with a BPF classifier of two instructions drops everything behind the packet sockets,
 * which see frames before it. Device thread. */
#pragma once
#include <stdbool.h>

/* 0 or -errno (no privilege, or a kernel without sch_ingress or cls_bpf). Replaces what an earlier
 * process left there. */
int netif_block(int ifindex);
void netif_unblock(int ifindex);
