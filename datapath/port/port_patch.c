/* SPDX-License-Identifier: BSD-3-Clause */
/* Patch ports: one end of a link between two bridges. No device and no queues: a packet sent to one
 * goes on in the peer's bridge, inside resolve. Here is only what makes it a port: options and a
 * link that is up. */
#include <errno.h>

#include "datapath/port/port_priv.h"

static const struct port_option_info options[] = {
	{"peer", OPT_STRING, 0, 0, 0, true, "name of the patch port on the other bridge"},
	{NULL, OPT_STRING, 0, 0, 0, false, NULL},
};

static int check(const struct port_config *c, struct err *e)
{
	const char *peer = port_option(c, "peer");

	if (!peer || !*peer)
		return err_set(e, EINVAL, "port %s: options:peer: missing", c->name);
	if (!strcmp(peer, c->name))
		return err_set(e, EINVAL, "port %s: options:peer: is the port itself", c->name);
	return 0;
}

static int open_patch(struct port *p, const struct port_config *c, struct err *e)
{
	p->tx_offloads = OFFLOAD_TX_ALL;
	port_set_mtu(p, c->mtu ? c->mtu : PORT_MTU_MAX);
	p->link = p->status.link = PORT_LINK_UP;
	return 0;
}

static void close_patch(struct port *p)
{
}

static int set(struct port *p, const struct port_config *c, struct err *e)
{
	port_set_mtu(p, c->mtu ? c->mtu : PORT_MTU_MAX);
	return 0;
}

static void refresh(struct port *p)
{
}

static uint16_t burst(struct port *p, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	return 0;
}

static int rx_fd(struct port *p, uint16_t q)
{
	return -1;
}

static bool rx_arm(struct port *p, uint16_t q)
{
	return true;
}

static void rx_disarm(struct port *p, uint16_t q)
{
}

const struct port_class port_class_patch = {
	.type = "patch",
	.options = options,
	.no_queues = true,
	.check = check,
	.open = open_patch,
	.close = close_patch,
	.set = set,
	.refresh = refresh,
	.rx_burst = burst,
	.tx_burst = burst,
	.rx_fd = rx_fd,
	.rx_arm = rx_arm,
	.rx_disarm = rx_disarm,
};
