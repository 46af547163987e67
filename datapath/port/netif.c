/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/port/netif.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/port/port_priv.h"

static int request(int sock, unsigned long op, const char *name, struct ifreq *r)
{
	snprintf(r->ifr_name, sizeof r->ifr_name, "%.15s", name);
	return ioctl(sock, op, r) ? -errno : 0;
}

int netif_ifindex(int sock, const char *name, int *ifindex)
{
	struct ifreq r = {0};
	int ret = request(sock, SIOCGIFINDEX, name, &r);

	if (!ret)
		*ifindex = r.ifr_ifindex;
	return ret;
}

int netif_name_by_index(int sock, int ifindex, char name[16])
{
	struct ifreq r = {.ifr_ifindex = ifindex};

	if (ioctl(sock, SIOCGIFNAME, &r))
		return -errno;
	snprintf(name, 16, "%s", r.ifr_name);
	return 0;
}

int netif_get_mtu(int sock, const char *name, uint32_t *mtu)
{
	struct ifreq r = {0};
	int ret = request(sock, SIOCGIFMTU, name, &r);

	if (!ret)
		*mtu = (uint32_t)r.ifr_mtu;
	return ret;
}

int netif_set_mtu(int sock, const char *name, uint32_t mtu)
{
	struct ifreq r = {.ifr_mtu = (int)mtu};

	return request(sock, SIOCSIFMTU, name, &r);
}

int netif_get_mac(int sock, const char *name, uint8_t mac[6])
{
	struct ifreq r = {0};
	int ret = request(sock, SIOCGIFHWADDR, name, &r);

	if (!ret)
		memcpy(mac, r.ifr_hwaddr.sa_data, 6);
	return ret;
}

int netif_set_mac(int sock, const char *name, const uint8_t mac[6])
{
	struct ifreq r = {0};

	r.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(r.ifr_hwaddr.sa_data, mac, 6);
	return request(sock, SIOCSIFHWADDR, name, &r);
}

int netif_get_flags(int sock, const char *name, unsigned *flags)
{
	struct ifreq r = {0};
	int ret = request(sock, SIOCGIFFLAGS, name, &r);

	if (!ret)
		*flags = (unsigned short)r.ifr_flags;
	return ret;
}

int netif_set_up(int sock, const char *name, bool up)
{
	struct ifreq r = {0};
	unsigned flags;
	int ret = netif_get_flags(sock, name, &flags);

	if (ret || !!(flags & IFF_UP) == up)
		return ret;
	r.ifr_flags = (short)(up ? flags | IFF_UP : flags & ~(unsigned)IFF_UP);
	return request(sock, SIOCSIFFLAGS, name, &r);
}

static int ethtool(int sock, const char *name, void *cmd)
{
	struct ifreq r = {.ifr_data = cmd};

	return request(sock, SIOCETHTOOL, name, &r);
}

int netif_get_speed(int sock, const char *name, uint64_t *bps, bool *full_duplex)
{
	struct ethtool_cmd cmd = {.cmd = ETHTOOL_GSET};
	int ret = ethtool(sock, name, &cmd);

	if (ret)
		return ret;
	uint32_t mbps = ethtool_cmd_speed(&cmd);
	*bps = mbps == (uint32_t)SPEED_UNKNOWN || mbps == UINT16_MAX ? 0 : mbps * 1000000ull;
	*full_duplex = cmd.duplex == DUPLEX_FULL;
	return 0;
}

int netif_driver(int sock, const char *name, char driver[32])
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	int ret = ethtool(sock, name, &info);

	if (!ret)
		snprintf(driver, 32, "%.31s", info.driver);
	return ret;
}

int netif_set_tx_offloads(int sock, const char *name, bool on)
{
	/* Segmentation first: it cannot be on without checksumming. */
	static const uint32_t ops[] = {ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_STXCSUM};
	int ret = 0;

	for (size_t i = 0; i < SL_ARRAY_SIZE(ops); i++) {
		struct ethtool_value v = {.cmd = ops[on ? 2 - i : i], .data = on};
		int one = ethtool(sock, name, &v);

		ret = ret ? ret : one;
	}
	return ret;
}

int netif_enter(int ns)
{
	int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	if (own < 0)
		return -errno;
	if (setns(ns, CLONE_NEWNET)) {
		int err = errno;

		close(own);
		return -err;
	}
	return own;
}

void netif_leave(int own)
{
	if (setns(own, CLONE_NEWNET))
		abort(); /* this thread would go on in somebody's container */
	close(own);
}

int netif_socket_in(int ns)
{
	int own = ns >= 0 ? netif_enter(ns) : -1;

	if (ns >= 0 && own < 0)
		return own;
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = errno;
	if (own >= 0)
		netif_leave(own);
	return sock >= 0 ? sock : -err;
}

int netif_refresh(struct port *p, int sock, const char *name)
{
	unsigned flags;
	uint32_t mtu;
	int ret = netif_get_flags(sock, name, &flags);

	if (ret)
		return ret;
	p->status.admin_up = flags & IFF_UP;
	netif_get_mac(sock, name, p->status.mac);
	if (!netif_get_mtu(sock, name, &mtu) && mtu != p->status.mtu)
		port_set_mtu(p, mtu);
	if (netif_get_speed(sock, name, &p->status.link_speed_bps, &p->status.full_duplex))
		p->status.link_speed_bps = 0;
	netif_ifindex(sock, name, &p->status.ifindex);
	port_set_link(p, (flags & IFF_UP) && (flags & IFF_RUNNING));
	return 0;
}
