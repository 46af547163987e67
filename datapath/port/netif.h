/* SPDX-License-Identifier: BSD-3-Clause */
/* Kernel network interfaces by ioctl: MTU, address, link. `sock` is any socket of the network
 * namespace in which the name is to be looked up: a socket stays in the namespace it was made in.
 * Device thread. All return 0 or -errno. */
#pragma once
#include "datapath/port/port.h"

int netif_ifindex(int sock, const char *name, int *ifindex);
int netif_name_by_index(int sock, int ifindex, char name[16]);
int netif_get_mtu(int sock, const char *name, uint32_t *mtu);
int netif_set_mtu(int sock, const char *name, uint32_t mtu);
int netif_get_mac(int sock, const char *name, uint8_t mac[6]);
int netif_set_mac(int sock, const char *name, const uint8_t mac[6]);
int netif_get_flags(int sock, const char *name, unsigned *flags); /* IFF_* */
int netif_set_up(int sock, const char *name, bool up);
int netif_get_speed(int sock, const char *name, uint64_t *bps, bool *full_duplex);
int netif_driver(int sock, const char *name, char driver[32]);
/* Switches transmit checksumming and segmentation of an interface off or on. */
int netif_set_tx_offloads(int sock, const char *name, bool on);
/* Between these two the thread is in the namespace of fd `ns`. enter: what leave wants, or -errno.
 */
int netif_enter(int ns);
void netif_leave(int own);
/* A socket in the namespace of fd `ns`; or in the thread's own for ns < 0. Returns it or -errno. */
int netif_socket_in(int ns);
/* The common part of a refresh: p->status and p->link from the interface. -ENODEV: it is gone. */
int netif_refresh(struct port *p, int sock, const char *name);
