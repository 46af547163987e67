/* SPDX-License-Identifier: BSD-3-Clause */
/* What port classes share; for datapath/port only. */
#pragma once
#include "datapath/core/counters.h"
#include "datapath/core/thread.h"
#include "datapath/port/port.h"

enum { PORT_MTU_MAX = 65000 };

#define PORT_CLASS(type, class) extern const struct port_class class;
#include "datapath/port/port_classes.def"
#undef PORT_CLASS

/* Device thread. */
void port_set_mtu(struct port *p, uint32_t mtu); /* status and max_frame_bytes */
/* Any one thread at a time: status, link_resets, event on change. */
void port_set_link(struct port *p, bool up);

/* Poll thread: packets dropped inside rx_burst (those it hands out are counted by the caller, see
 * port.h). */
void port_rx_drop(struct port *p, enum drop_reason why, uint64_t n, uint64_t bytes);
/* One that is in a buffer; frees it. NULL: there was none. `bytes`: of the whole packet. */
void port_rx_drop_packet(struct port *p, enum drop_reason why, struct rte_mbuf *m, uint32_t bytes);
