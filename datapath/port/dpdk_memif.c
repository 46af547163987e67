/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/port/dpdk_memif.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include <rte_alarm.h>
#include <rte_ethdev.h>

#include "datapath/base/log.h"
#include "datapath/base/util.h"

LOG_MODULE(dpdk);

struct ending {
	uint16_t id;
	bool stop, close;
	sem_t done;
};

/* The devargs of servers that have been stopped and are kept. */
static char *kept[RTE_MAX_ETHPORTS];
static bool any_server;

bool dpdk_memif_is(const struct rte_eth_dev_info *info)
{
	return info->driver_name && !strcmp(info->driver_name, "net_memif");
}

static bool is_server(const char *devargs)
{
	return strstr(devargs, ",role=server") || strstr(devargs, ",role=master");
}

static void end_now(const struct ending *g)
{
	if (g->stop)
		rte_eth_dev_stop(g->id);
	if (g->close)
		rte_eth_dev_close(g->id);
}

/* EAL's interrupt thread. */
static void end_here(void *ending)
{
	struct ending *g = ending;

	end_now(g);
	sem_post(&g->done);
}

bool dpdk_memif_end(uint16_t id, const char *devargs, bool started)
{
	bool server = is_server(devargs);
	struct ending g = {.id = id, .stop = started, .close = !server};

	sem_init(&g.done, 0, 0);
	if (!rte_eal_alarm_set(1, end_here, &g)) {
		while (sem_wait(&g.done) && errno == EINTR)
			;
	} else {
		end_now(&g);
	}
	sem_destroy(&g.done);
	if (server) {
		kept[id] = xstrdup(devargs);
		any_server = true;
		log_info("%s: stopped and kept: DPDK cannot close a memif server", devargs);
	}
	return server;
}

int dpdk_memif_take(uint16_t id, const char *port, const char *devargs, bool *ours, struct err *e)
{
	*ours = false;
	if (!kept[id])
		return 0;
	if (strcmp(kept[id], devargs))
		return err_set(e, EBUSY,
			       "port %s: options:dpdk-devargs: this device was a memif server with "
			       "\"%s\" and stays one until the datapath is started again; use "
			       "another device name",
			       port, kept[id]);
	free(kept[id]);
	kept[id] = NULL;
	*ours = true;
	return 0;
}

bool dpdk_memif_any_server(void)
{
	return any_server;
}
