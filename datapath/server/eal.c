/* SPDX-License-Identifier: BSD-3-Clause */
/* --in-memory: hugepages come from memfds without a name and no runtime directory is made, so that
 * after kill -9 the kernel takes everything back and several processes never meet. The price is
 * DPDK's secondary processes and its telemetry socket, which we do not use (asked for with --eal,
 * they come). PCI devices are probed only when a port asks for one. */
#include "datapath/server/eal.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/base/str.h"
#include "datapath/base/vec.h"
#include "datapath/port/dpdk_drivers.h"
#include "datapath/port/dpdk_memif.h"
#include "datapath/server/process.h"

LOG_MODULE(dpdk);

/* Without hugepages EAL's memory cannot grow, so drivers' share is added; it is not touched before
 * it is used. */
enum { NO_HUGE_EXTRA_MB = 192 };

struct args {
	VEC(char *) v;
};

/* Where the CPU does not say at which rate its TSC counts (all of AMD's), EAL compares it with the
 * monotonic clock across a sleep of 100 ms: two thirds of our start, and of every outage. 10 ms are
 * as good: EAL rounds to 10 MHz, and what two readings of the clock are off is 0.01 % of that. EAL
 * has no option for it, but its nanosleep() is the one that the program defines. */
enum { TSC_SLEEP_NS = 100 * 1000 * 1000, TSC_SLEEP_ENOUGH_NS = 10 * 1000 * 1000 };
static bool eal_starts; /* while main is alone in rte_eal_init() */

int nanosleep(const struct timespec *want, struct timespec *left)
{
	static const struct timespec enough = {.tv_nsec = TSC_SLEEP_ENOUGH_NS};
	bool is_eal = eal_starts && want && !want->tv_sec && want->tv_nsec == TSC_SLEEP_NS;
	int rc = clock_nanosleep(CLOCK_REALTIME, 0, is_eal ? &enough : want, left);

	if (rc)
		errno = rc;
	return rc ? -1 : 0;
}

/* EAL loads all drivers there are when it finds itself to be a shared library, by asking for its
 * own handle. Told that it is not, it loads what it is asked for; those that every start needs
 * (buses, the packet pool's ring) are linked, the others come with the ports that want them
 * (port/dpdk_drivers.h). Devices named in --eal are probed by EAL, so it needs the drivers. */
static bool eal_loads_no_drivers;

void *dlopen(const char *file, int mode)
{
	static void *(*next)(const char *, int);

	if (eal_loads_no_drivers && file && (mode & RTLD_NOLOAD) &&
	    !strncmp(file, "librte_eal.so", strlen("librte_eal.so")))
		return NULL;
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "dlopen");
	return next(file, mode);
}

static void add(struct args *args, const char *s)
{
	vec_push(&args->v, xstrdup(s));
}

uint64_t eal_free_hugepages_mb(void)
{
	static const char base[] = "/sys/kernel/mm/hugepages";
	DIR *d = opendir(base);
	uint64_t mb = 0;

	for (struct dirent *de; d && (de = readdir(d));) {
		unsigned long kb, n = 0;
		char path[512];

		if (sscanf(de->d_name, "hugepages-%lukB", &kb) != 1)
			continue;
		snprintf(path, sizeof path, "%s/%s/free_hugepages", base, de->d_name);
		FILE *f = fopen(path, "r");
		if (f && fscanf(f, "%lu", &n) == 1)
			mb += n * kb / 1024;
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
	return mb;
}

/* Lines that DPDK's libraries and drivers print. */
static ssize_t take_line(void *cookie, const char *buf, size_t len)
{
	int n = (int)len;

	while (n && buf[n - 1] == '\n')
		n--;
	/* One level down: what DPDK calls an error is a device that a user misspelt, and its
	 * warnings are about page sizes that nobody asked for. */
	switch (rte_log_cur_msg_loglevel()) {
	case RTE_LOG_EMERG:
	case RTE_LOG_ALERT:
	case RTE_LOG_CRIT:
		log_err("%.*s", n, buf);
		break;
	case RTE_LOG_ERR:
		log_warn("%.*s", n, buf);
		break;
	case RTE_LOG_WARNING:
	case RTE_LOG_NOTICE:
		log_info("%.*s", n, buf);
		break;
	default:
		log_dbg("%.*s", n, buf);
		break;
	}
	return (ssize_t)len;
}

static void redirect_log(void)
{
	FILE *f = fopencookie(NULL, "w", (cookie_io_functions_t){.write = take_line});

	if (!f)
		return;
	setvbuf(f, NULL, _IOLBF, 1024);
	rte_openlog_stream(f);
}

static bool has(const char *haystack, const char *needle)
{
	return haystack && strstr(haystack, needle);
}

static bool names_devices(const struct options *o)
{
	return has(o->eal, "-a ") || has(o->eal, "--allow") || has(o->eal, "-b ") ||
	       has(o->eal, "--block");
}

static void build_args(const struct options *o, bool huge, unsigned core, struct args *args)
{
	char text[64];

	add(args, "sluice-datapath");
	snprintf(text, sizeof text, "--lcores=0@%u", core);
	add(args, text);
	/* Without hugepages memory is anonymous anyway, and EAL refuses --in-memory. */
	add(args, huge ? "--in-memory" : "--no-shconf");
	if (!has(o->eal, "--file-prefix"))
		add(args, "--file-prefix=sluice"); /* in a directory of our own: see eal_start() */
	if (!has(o->eal, "--telemetry"))
		add(args, "--no-telemetry");
	if (!huge)
		add(args, "--no-huge");
	add(args, "-m");
	snprintf(text, sizeof text, "%u", o->memory_mb + (huge ? 0 : NO_HUGE_EXTRA_MB));
	add(args, text);
	/* An address that no machine has: nothing is taken unasked. */
	if (!names_devices(o)) {
		add(args, "-a");
		add(args, "0000:00:00.0");
	}
	if (!has(o->eal, "--log-level"))
		add(args, "--log-level=*:warning");
	char *copy = xstrdup(o->eal ? o->eal : ""), *save = NULL;
	for (char *w = strtok_r(copy, " \t", &save); w; w = strtok_r(NULL, " \t", &save))
		add(args, w);
	free(copy);
}

static void no_usage(const char *program)
{
	/* EAL's own list of options helps nobody here; its error line does. */
}

/* EAL keeps pointers into argv and reorders it: ours stays until eal_stop(). */
static struct args eal_args;
static char **eal_argv;

static int init(const struct options *o, bool huge, unsigned core)
{
	build_args(o, huge, core, &eal_args);
	eal_argv = xcalloc(eal_args.v.len + 1, sizeof *eal_argv);
	memcpy(eal_argv, eal_args.v.at, eal_args.v.len * sizeof *eal_argv);
	eal_starts = true;
	eal_loads_no_drivers = !names_devices(o) && !has(o->eal, "--vdev");
	if (eal_loads_no_drivers)
		dpdk_drivers_lazy();
	int rc = rte_eal_init((int)eal_args.v.len, eal_argv);
	eal_starts = eal_loads_no_drivers = false;
	return rc < 0 ? -rte_errno : 0;
}

static int first_core(const cpu_set_t *set)
{
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, set))
			return i;
	return 0;
}

/* Hugepages were promised and could not be had; EAL cannot be tried twice in one process. */
static void restart_without(char **argv)
{
	size_t n = 0;

	while (argv[n])
		n++;
	char **with = xcalloc(n + 2, sizeof *with);
	memcpy(with, argv, n * sizeof *with);
	with[n] = (char *)"--no-huge";
	log_info("hugepages cannot be used: starting without");
	process_before_exec();
	execv("/proc/self/exe", with);
	free(with);
}

int eal_start(const struct options *o, char **argv, struct eal_result *out, struct err *e)
{
	uint64_t free_mb = eal_free_hugepages_mb();
	bool huge = !o->no_huge && !has(o->eal, "--no-huge") && free_mb >= o->memory_mb;
	cpu_set_t allowed;

	sched_getaffinity(0, sizeof allowed, &allowed);
	int core = o->main_core >= 0 ? o->main_core : first_core(&allowed);
	if (core >= CPU_SETSIZE || !CPU_ISSET(core, &allowed))
		return err_set(e, EINVAL, "--main-core=%d: this process may not run there", core);
	if (huge)
		log_info("memory: %u MB of hugepages", o->memory_mb);
	else if (o->no_huge)
		log_info("memory: %u MB without hugepages, as asked", o->memory_mb);
	else
		log_info("memory: %u MB without hugepages: %llu MB of them are free", o->memory_mb,
			 (unsigned long long)free_mb);
	redirect_log();
	rte_set_application_usage_hook(no_usage);
	setenv("RUNTIME_DIRECTORY", o->rundir, 1); /* what EAL writes stays in our directory */
	int rc = init(o, huge, (unsigned)core);
	if (rc && huge)
		restart_without(argv);
	if (rc)
		return err_set(e, -rc, "DPDK could not start: %s", rte_strerror(-rc));
	if (o->main_core < 0) /* EAL has pinned this thread; nobody asked for that */
		sched_setaffinity(0, sizeof allowed, &allowed);
	*out = (struct eal_result){.hugepages = huge,
				   .memory_bytes = (uint64_t)o->memory_mb << 20,
				   .main_core = (uint16_t)core};
	return 0;
}

void eal_stop(void)
{
	char *dir = xstrdup(rte_eal_get_runtime_dir()), *slash = strrchr(dir, '/');

	/* It would close all devices. What it gives back ends with the process anyway. */
	if (!dpdk_memif_any_server())
		rte_eal_cleanup();
	/* Both are empty unless --eal asked for something to be put there. */
	rmdir(dir);
	if (slash) {
		*slash = '\0';
		rmdir(dir);
	}
	free(dir);
	VEC_FOR_EACH (s, &eal_args.v)
		free(*s);
	vec_free(&eal_args.v);
	free(eal_argv);
}
