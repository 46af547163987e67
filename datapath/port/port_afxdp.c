/* SPDX-License-Identifier: BSD-3-Clause */
/* AF_XDP on a kernel network device, through DPDK's net_af_xdp. XDP frames carry no virtio-net
 * header, so a veth's far end must finish its checksums and segments itself: its transmit offloads
 * are switched off where it can be reached, and the status says so where it cannot. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "datapath/port/netif.h"
#include "datapath/port/port_dpdk.h"
#include "datapath/port/port_priv.h"

enum { AFXDP_MTU_MAX = 3000 };

static const struct port_option_info options[] = {
	{"xdp-mode", OPT_STRING, 0, 0, 0, false,
	 "best-effort (default), native-with-zerocopy, native, generic"},
	{"use-need-wakeup", OPT_BOOL, 0, 1, 1, false, "let the driver sleep until it is kicked"},
	{NULL, OPT_STRING, 0, 0, 0, false, NULL},
};

static const struct {
	const char *mode, *devarg;
} modes[] = {{"best-effort", ""},
	     {"native-with-zerocopy", ""},
	     {"native", ",force_copy=1"},
	     {"generic", ",force_copy=1"}};

static int check(const struct port_config *c, struct err *e)
{
	const char *mode = port_option(c, "xdp-mode");

	if (strlen(c->name) >= IFNAMSIZ)
		return err_set(e, EINVAL, "port %s: the kernel allows %d characters", c->name,
			       IFNAMSIZ - 1);
	if (c->mtu > AFXDP_MTU_MAX)
		return err_set(e, EINVAL, "port %s: mtu_request %u: AF_XDP allows %d", c->name,
			       c->mtu, AFXDP_MTU_MAX);
	for (size_t i = 0; mode && i < SL_ARRAY_SIZE(modes); i++)
		if (!strcmp(mode, modes[i].mode))
			return 0;
	return mode ? err_set(e, EINVAL, "port %s: options:xdp-mode: %s: unknown", c->name, mode)
		    : 0;
}

static void devargs_of(const struct port_config *c, char *buf, size_t size)
{
	const char *mode = port_option(c, "xdp-mode"), *extra = "";

	for (size_t i = 0; mode && i < SL_ARRAY_SIZE(modes); i++)
		if (!strcmp(mode, modes[i].mode))
			extra = modes[i].devarg;
	snprintf(buf, size, "net_af_xdp_%.15s,iface=%.15s,start_queue=0,queue_count=%u%s", c->name,
		 c->name, c->n_rxq ? c->n_rxq : 1, extra);
}

/* A veth's other end, when it is in our namespace, names us as its link and we name it. */
static bool peer_of(int sock, const char *name, char peer[IFNAMSIZ])
{
	char path[64], driver[32];
	int peer_index = 0;

	if (netif_driver(sock, name, driver) || strcmp(driver, "veth"))
		return false;
	snprintf(path, sizeof path, "/sys/class/net/%.15s/iflink", name);
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	int n = fscanf(f, "%d", &peer_index);
	fclose(f);
	return n == 1 && !netif_name_by_index(sock, peer_index, peer) &&
	       !netif_driver(sock, peer, driver) && !strcmp(driver, "veth");
}

static int open_afxdp(struct port *p, const struct port_config *c, struct err *e)
{
	char devargs[256], peer[IFNAMSIZ];
	int sock = netif_socket_in(-1), ifindex;
	int ret = sock < 0 ? sock : netif_ifindex(sock, c->name, &ifindex);

	if (ret) {
		if (sock >= 0)
			close(sock);
		return err_set(e, -ret, "port %s: %s", c->name,
			       ret == -ENODEV ? "no such network interface" : strerror(-ret));
	}
	if (c->mtu)
		netif_set_mtu(sock, c->name, c->mtu);
	netif_set_up(sock, c->name, true);
	if (peer_of(sock, c->name, peer))
		netif_set_tx_offloads(sock, peer, false);
	close(sock);
	devargs_of(c, devargs, sizeof devargs);
	return port_dpdk_open(p, c, devargs, e);
}

static int set(struct port *p, const struct port_config *c, struct err *e)
{
	char devargs[256];

	devargs_of(c, devargs, sizeof devargs);
	return port_dpdk_set(p, c, devargs, e);
}

const struct port_class port_class_afxdp = {
	.type = "afxdp",
	.options = options,
	.check = check,
	.open = open_afxdp,
	.close = port_dpdk_close,
	.set = set,
	.refresh = port_dpdk_refresh,
	.rx_burst = port_dpdk_rx_burst,
	.tx_burst = port_dpdk_tx_burst,
	.rx_fd = port_dpdk_rx_fd,
	.rx_arm = port_dpdk_rx_arm,
	.rx_disarm = port_dpdk_rx_disarm,
};
