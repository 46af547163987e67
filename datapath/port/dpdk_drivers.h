/* SPDX-License-Identifier: BSD-3-Clause */
/* DPDK's device drivers, loaded when a port asks for one. EAL would load all 96 of Debian's when it
 * starts: 30 to 45 ms of every start and outage, and 20 MB of their relocated tables, for ports
 * that need none of them (vhost-user, taps, packet sockets). Device thread; handles stay open. */
#pragma once
#include <stdbool.h>

/* EAL was told to load no drivers by itself: the calls below do it. Before the first of them. */
void dpdk_drivers_lazy(void);

/* Loads the driver that device arguments name: "net_af_xdp_veth0,…" is librte_net_af_xdp. What is
 * not a virtual device of that form, such as a PCI address, may need any: then all that drive
 * networks. A virtual device without such a file is left to what is loaded already (--eal "-d …").
 */
void dpdk_drivers_want(const char *devargs);

/* A device was not found: are there drivers that are not loaded yet? True: there were, look again.
 */
bool dpdk_drivers_want_all(void);
