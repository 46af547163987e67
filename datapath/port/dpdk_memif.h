/* SPDX-License-Identifier: BSD-3-Clause */
/* The end of net_memif devices, which DPDK 22.11 cannot bring about by itself:
 *
 * - The driver answers its peer on EAL's interrupt thread with no lock against a stop elsewhere:
 *   both would take the connection apart. So it is stopped between two of its answers, there.
 * - A server that is closed leaves the handler of its listening socket with EAL, and the handler's
 *   memory is gone: the interrupt thread falls over it at its next event. So a server is stopped
 *   and kept until the process ends; a port with the same arguments gets it back.
 *
 * Device thread, except where noted. For datapath/port and the end of EAL. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "datapath/base/err.h"

struct rte_eth_dev_info;

bool dpdk_memif_is(const struct rte_eth_dev_info *info);

/* Ends ethdev `id`, probed with `devargs`. True: it is kept, do not remove its device. */
bool dpdk_memif_end(uint16_t id, const char *devargs, bool started);

/* Before ethdev `id` that EAL already has is used for `devargs`: *ours is set when it is a server
 * that was kept with the same arguments. EBUSY: it was kept with others. */
int dpdk_memif_take(uint16_t id, const char *port, const char *devargs, bool *ours, struct err *e);

/* Whether closing all devices at the process's end would fall over a server. */
bool dpdk_memif_any_server(void);
