/* SPDX-License-Identifier: BSD-3-Clause */
/* DPDK ethernet devices, for port classes that are a device with other options (afxdp). For
 * datapath/port only. */
#pragma once
#include "datapath/port/port.h"

/* As the class's functions; devargs instead of options:dpdk-devargs. */
int port_dpdk_open(struct port *p, const struct port_config *c, const char *devargs, struct err *e);
void port_dpdk_close(struct port *p);
int port_dpdk_set(struct port *p, const struct port_config *c, const char *devargs, struct err *e);
void port_dpdk_refresh(struct port *p);
uint16_t port_dpdk_rx_burst(struct port *p, uint16_t q, struct rte_mbuf **pkts, uint16_t n);
uint16_t port_dpdk_tx_burst(struct port *p, uint16_t q, struct rte_mbuf **pkts, uint16_t n);
int port_dpdk_rx_fd(struct port *p, uint16_t q);
bool port_dpdk_rx_arm(struct port *p, uint16_t q);
void port_dpdk_rx_disarm(struct port *p, uint16_t q);
