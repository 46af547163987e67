/* SPDX-License-Identifier: BSD-3-Clause */
/* A driver registers itself when its library is loaded, which DPDK does before it has threads. Here
 * threads run; what a constructor changes are the lists of drivers, which only the device thread
 * reads, and the table of log levels, where others at worst see the old one. */
#include "datapath/port/dpdk_drivers.h"

#include <ctype.h>
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <rte_build_config.h>

#include "datapath/base/log.h"

LOG_MODULE(dpdk);

static bool lazy, all_loaded;

void dpdk_drivers_lazy(void)
{
	lazy = true;
}

/* "librte_NAME.so.23": the runtime packages have this link, and "….so.23.0" behind it. */
static bool is_library(const char *file)
{
	const char *so = strstr(file, ".so.");

	return so && so[4] && strspn(so + 4, "0123456789") == strlen(so + 4);
}

static void load(const char *file)
{
	char path[512];

	snprintf(path, sizeof path, "%s/%s", RTE_EAL_PMD_PATH, file);
	if (!dlopen(path, RTLD_NOW))
		log_info("driver %s: %s", file, dlerror());
}

/* Loads the libraries called librte_<stem>.so.N, or librte_<stem>… with `more`. How many. */
static unsigned load_matching(const char *stem, size_t len, bool more)
{
	DIR *d = opendir(RTE_EAL_PMD_PATH);
	unsigned n = 0;

	for (struct dirent *de; d && (de = readdir(d));) {
		const char *name = de->d_name + strlen("librte_");

		if (strncmp(de->d_name, "librte_", strlen("librte_")) || !is_library(name) ||
		    strncmp(name, stem, len) || (!more && name[len] != '.'))
			continue;
		load(de->d_name);
		n++;
	}
	if (d)
		closedir(d);
	return n;
}

bool dpdk_drivers_want_all(void)
{
	if (!lazy || all_loaded)
		return false;
	all_loaded = true;
	load_matching("bus_", strlen("bus_"), true);
	load_matching("net_", strlen("net_"), true);
	return true;
}

void dpdk_drivers_want(const char *devargs)
{
	size_t len = strcspn(devargs, ",");

	if (!lazy || all_loaded)
		return;
	if (strncmp(devargs, "net_", 4)) {
		dpdk_drivers_want_all();
		return;
	}
	/* The number behind it, then one word less at a time: names of devices are free there. */
	while (len && isdigit((unsigned char)devargs[len - 1]))
		len--;
	while (len > strlen("net_") && !load_matching(devargs, len, false))
		do
			len--;
		while (len && devargs[len] != '_');
}
