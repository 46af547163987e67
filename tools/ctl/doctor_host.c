/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks of the host: what /proc and /sys say about memory, cores, devices and limits, beside what
 * the datapath uses. */
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/ctl/cpu_list.h"
#include "tools/ctl/doctor.h"

enum { BUFFER_MB_DEFAULT = 64, NOFILE_MIN = 4096, PATH_BYTES = 512 };

static bool has_type(const struct doctor *d, const char *type)
{
	VEC_FOR_EACH (p, &d->now.ports)
		if (!strcmp(p->type, type))
			return true;
	return false;
}

static bool exists(const struct doctor *d, const char *path)
{
	char *full = xasprintf("%s%s", d->root, path);
	bool there = !access(full, F_OK);
	free(full);
	return there;
}

/* ---- hugepages ---- */

static int node_of_core(const struct doctor *d, unsigned core)
{
	for (int node = 0; node < 64; node++) {
		char text[1024];
		struct cpu_list list;
		if (!doctor_line(d, text, sizeof text, "/sys/devices/system/node/node%d/cpulist",
				 node))
			continue;
		if (cpu_list_parse(text, &list) && cpu_list_has(&list, core))
			return node;
	}
	return -1;
}

static void check_node_pages(struct doctor *d)
{
	uint64_t seen = 0;
	VEC_FOR_EACH (t, &d->now.threads) {
		int node = node_of_core(d, t->core);
		char line[64], *object, *remedy;
		if (node < 0 || node > 63 || seen & 1ull << node)
			continue;
		seen |= 1ull << node;
		if (!doctor_line(d, line, sizeof line,
				 "/sys/devices/system/node/node%d/hugepages/hugepages-2048kB/"
				 "nr_hugepages",
				 node) ||
		    atoi(line) > 0)
			continue;
		object = xasprintf("node%d", node);
		remedy = xasprintf("echo 128 >/sys/devices/system/node/node%d/hugepages/"
				   "hugepages-2048kB/nr_hugepages, then restart the datapath",
				   node);
		doctor_find(d, DOCTOR_WARNING, object, remedy,
			    "no hugepages on a NUMA node with poll threads");
		free(object);
		free(remedy);
	}
}

void check_hugepages(struct doctor *d)
{
	uint64_t total = doctor_number(d, "/proc/meminfo", "HugePages_Total", 0);
	uint64_t free_pages = doctor_number(d, "/proc/meminfo", "HugePages_Free", 0);
	uint64_t kb = doctor_number(d, "/proc/meminfo", "Hugepagesize", 2048);
	if (d->now.datapath && d->now.hugepages) {
		check_node_pages(d);
		return;
	}
	if (!total)
		doctor_find(d, DOCTOR_WARNING, "",
			    "echo 128 >/proc/sys/vm/nr_hugepages (and vm.nr_hugepages=128 in "
			    "/etc/sysctl.d/sluice.conf), then restart the datapath",
			    "no hugepages are reserved: packet buffers are in small pages");
	else if (d->now.datapath && free_pages * kb / 1024 >= BUFFER_MB_DEFAULT)
		doctor_find(d, DOCTOR_WARNING, "", "sluice down; sluice up",
			    "the datapath runs without hugepages, of which %llu are free",
			    (unsigned long long)free_pages);
	else if (d->now.datapath)
		doctor_find(d, DOCTOR_WARNING, "",
			    "raise /proc/sys/vm/nr_hugepages by 128, then restart the datapath",
			    "the datapath runs without hugepages and only %llu of %llu are free",
			    (unsigned long long)free_pages, (unsigned long long)total);
}

/* ---- CPU ---- */

static bool has_flag(const struct doctor *d, const char *flag)
{
	char *path = xasprintf("%s/proc/cpuinfo", d->root), *line = NULL;
	FILE *f = fopen(path, "re");
	size_t cap = 0, n = strlen(flag);
	bool found = !f, seen = false; /* unreadable: nothing to say */
	free(path);
	while (f && !seen && getline(&line, &cap, f) > 0) {
		if (strncmp(line, "flags", 5))
			continue;
		seen = true;
		for (char *p = line; !found && (p = strstr(p, flag)); p += n)
			found = p[-1] == ' ' && !isalnum((unsigned char)p[n]) && p[n] != '_';
	}
	if (f)
		fclose(f);
	free(line);
	return found || !seen;
}

void check_cpu(struct doctor *d)
{
	char text[256];
	if (!has_flag(d, "sse4_2"))
		doctor_find(d, DOCTOR_ERROR, "",
			    "use a CPU of 2009 or later, or set the VM's CPU model to host",
			    "the CPU has no SSE4.2, which DPDK needs");
	else if (!has_flag(d, "avx2"))
		doctor_find(d, DOCTOR_NOTE, "", "if this is a VM, set its CPU model to host",
			    "the CPU shows no AVX2: flow cache look-ups use SSE4.2");
	if (!has_flag(d, "constant_tsc"))
		doctor_find(d, DOCTOR_NOTE, "", "if this is a VM, set its CPU model to host",
			    "the TSC's rate is not known to be constant: cycles are inexact");
	if (doctor_line(d, text, sizeof text,
			"/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") &&
	    strcmp(text, "performance"))
		doctor_find(d, DOCTOR_NOTE, "", "cpupower frequency-set -g performance",
			    "the frequency governor is %s: the first packets after a pause are "
			    "slower",
			    text);
	if (doctor_line(d, text, sizeof text, "/proc/sys/kernel/numa_balancing") &&
	    strcmp(text, "0"))
		doctor_find(d, DOCTOR_NOTE, "", "sysctl -w kernel.numa_balancing=0",
			    "automatic NUMA balancing moves pages under the poll threads");
}

/* ---- cores ---- */

static void check_guest_threads(struct doctor *d, const struct cpu_list *poll, const char *pid)
{
	char name[64], allowed[1024], *path, *object, *remedy;
	struct cpu_list may;
	FILE *f;
	if (!doctor_line(d, name, sizeof name, "/proc/%s/comm", pid) ||
	    (strncmp(name, "qemu", 4) && strncmp(name, "kvm", 3)))
		return;
	path = xasprintf("%s/proc/%s/status", d->root, pid);
	f = fopen(path, "re");
	free(path);
	allowed[0] = '\0';
	for (char line[1200]; f && fgets(line, sizeof line, f);)
		if (sscanf(line, "Cpus_allowed_list: %1023s", allowed) == 1)
			break;
	if (f)
		fclose(f);
	if (!cpu_list_parse(allowed, &may) || !cpu_list_overlap(&may, poll))
		return;
	object = xasprintf("guest process %s (%s)", pid, name);
	remedy = xasprintf("taskset -apc LIST %s with cores other than %s (libvirt: virsh "
			   "vcpupin, emulatorpin)",
			   pid, cpu_list_text(poll));
	doctor_find(d, DOCTOR_WARNING, object, remedy,
		    "it may run on cores of poll threads (allowed: %s)", allowed);
	free(object);
	free(remedy);
}

static void check_guests(struct doctor *d, const struct cpu_list *poll)
{
	char *path = xasprintf("%s/proc", d->root);
	DIR *dir = opendir(path);
	struct dirent *entry;
	free(path);
	while (dir && (entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0]))
			check_guest_threads(d, poll, entry->d_name);
	if (dir)
		closedir(dir);
}

static void check_siblings(struct doctor *d, const struct cpu_list *poll)
{
	VEC_FOR_EACH (t, &d->now.threads) {
		char text[256];
		struct cpu_list siblings;
		if (!doctor_line(d, text, sizeof text,
				 "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list",
				 t->core) ||
		    !cpu_list_parse(text, &siblings))
			continue;
		for (unsigned other = t->core + 1; other < CPU_LIST_MAX; other++) {
			char object[32];
			if (!cpu_list_has(&siblings, other) || !cpu_list_has(poll, other))
				continue;
			snprintf(object, sizeof object, "cores %u and %u", t->core, other);
			doctor_find(d, DOCTOR_NOTE, object,
				    "sluice poll set cores=… with one hyper-thread of each core",
				    "two poll threads share one physical core");
		}
	}
}

void check_isolation(struct doctor *d)
{
	char text[1024], *remedy;
	struct cpu_list poll = {0}, isolated = {0}, missing;
	VEC_FOR_EACH (t, &d->now.threads)
		cpu_list_add(&poll, t->core);
	if (!d->now.threads.len)
		return;
	if (doctor_line(d, text, sizeof text, "/sys/devices/system/cpu/isolated"))
		cpu_list_parse(text, &isolated);
	missing = cpu_list_without(&poll, &isolated);
	if (!cpu_list_is_empty(&missing)) {
		const char *cores = cpu_list_text(&missing);
		remedy = xasprintf("add isolcpus=%s nohz_full=%s to the kernel's command line and "
				   "restart the host",
				   cores, cores);
		doctor_find(d, DOCTOR_NOTE, "", remedy,
			    "the kernel schedules other work on poll thread cores (%s)", cores);
		free(remedy);
	}
	if (cpu_list_has(&poll, d->now.main_core) && sysconf(_SC_NPROCESSORS_ONLN) > 1)
		doctor_find(d, DOCTOR_NOTE, "",
			    "sluice poll set cores=… without it, or start the datapath with "
			    "another --main-core",
			    "the datapath's main thread shares core %u with a poll thread",
			    d->now.main_core);
	check_siblings(d, &poll);
	check_guests(d, &poll);
}

/* ---- devices ---- */

static bool is_pci(const char *devargs)
{
	unsigned domain, bus, dev, fn;
	return sscanf(devargs, "%x:%x:%x.%x", &domain, &bus, &dev, &fn) == 4;
}

static bool is_folder_empty(const struct doctor *d, const char *path)
{
	char *full = xasprintf("%s%s", d->root, path);
	DIR *dir = opendir(full);
	struct dirent *e;
	bool empty = true;
	free(full);
	while (dir && (e = readdir(dir)))
		empty &= e->d_name[0] == '.';
	if (dir)
		closedir(dir);
	return empty;
}

static void check_driver(struct doctor *d, const struct fact_port *p)
{
	/* These work beside their kernel driver. */
	static const char *const fine[] = {"vfio-pci",      "uio_pci_generic", "igb_uio",
					   "mlx5_core",     "mlx4_core",       "mana",
					   "uio_hv_generic"};
	char address[16], target[PATH_MAX], *path, *remedy;
	const char *driver;
	ssize_t n;
	snprintf(address, sizeof address, "%.12s", p->device);
	path = xasprintf("%s/sys/bus/pci/devices/%s/driver", d->root, address);
	n = readlink(path, target, sizeof target - 1);
	free(path);
	target[n > 0 ? n : 0] = '\0';
	driver = strrchr(target, '/') ? strrchr(target, '/') + 1 : target;
	for (size_t i = 0; i < SL_ARRAY_SIZE(fine); i++)
		if (!strcmp(driver, fine[i]))
			return;
	remedy = xasprintf("modprobe vfio-pci && driverctl set-override %s vfio-pci", address);
	doctor_find(d, DOCTOR_ERROR, p->name, remedy, "PCI device %s has driver %s", address,
		    driver[0] ? driver : "none");
	free(remedy);
}

void check_devices(struct doctor *d)
{
	bool pci = false;
	VEC_FOR_EACH (p, &d->now.ports) {
		if (strcmp(p->type, "dpdk") || !is_pci(p->device))
			continue;
		pci = true;
		check_driver(d, p);
	}
	if (pci && is_folder_empty(d, "/sys/class/iommu"))
		doctor_find(d, DOCTOR_WARNING, "",
			    "add intel_iommu=on iommu=pt (AMD: amd_iommu=on iommu=pt) to the "
			    "kernel's command line and restart the host",
			    "there is no IOMMU: a NIC driven by the datapath can reach all memory");
	if (!exists(d, "/dev/net/tun"))
		doctor_find(d, has_type(d, "internal") ? DOCTOR_ERROR : DOCTOR_WARNING, "",
			    "modprobe tun (in a container: pass --device /dev/net/tun)",
			    "there is no /dev/net/tun, which internal ports need");
}

/* ---- limits and versions ---- */

static uint64_t limit(const struct doctor *d, const char *name)
{
	char *path = xasprintf("%s/proc/%u/limits", d->root, d->now.pid), line[256], value[32];
	FILE *f = fopen(path, "re");
	uint64_t v = UINT64_MAX;
	size_t n = strlen(name);
	free(path);
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, name, n) && sscanf(line + n, " %31s", value) == 1 &&
		    strcmp(value, "unlimited"))
			v = strtoull(value, NULL, 10);
	if (f)
		fclose(f);
	return v;
}

void check_limits(struct doctor *d)
{
	uint64_t files = d->now.datapath ? limit(d, "Max open files") : UINT64_MAX;
	uint64_t locked = d->now.datapath ? limit(d, "Max locked memory") : UINT64_MAX;
	uint64_t need = SL_MAX((uint64_t)NOFILE_MIN, 64 * (uint64_t)d->now.ports.len);
	if (files < need)
		doctor_find(d, DOCTOR_WARNING, "sluice-datapath",
			    "ulimit -n 65536 before sluice up, or LimitNOFILE=65536 in its "
			    "systemd unit",
			    "it may open %llu files, which guests' queues can use up (advised: "
			    "%llu)",
			    (unsigned long long)files, (unsigned long long)need);
	if (locked < d->now.memory_bytes && has_type(d, "dpdk"))
		doctor_find(d, DOCTOR_WARNING, "sluice-datapath",
			    "ulimit -l unlimited before sluice up, or LimitMEMLOCK=infinity in its "
			    "systemd unit",
			    "it may lock %llu bytes of memory, and VFIO locks all that devices "
			    "reach",
			    (unsigned long long)locked);
}

void check_versions(struct doctor *d)
{
	const char *datapath = d->now.program ? strrchr(d->now.program, ' ') : NULL;
	const char *sluiced = json_string_value(json_object_get(d->now.sluiced, "version"));
	int major = 0, minor = 0, fix = 0;
	if (datapath && strcmp(datapath + 1, SLUICE_VERSION))
		doctor_find(d, DOCTOR_WARNING, "sluice-datapath",
			    "restart it when convenient: sluice down; sluice up",
			    "version %s runs, %s is installed", datapath + 1, SLUICE_VERSION);
	if (sluiced && strcmp(sluiced, SLUICE_VERSION))
		doctor_find(d, DOCTOR_WARNING, "sluiced",
			    "kill it: its supervisor starts the new one, and forwarding goes on",
			    "version %s runs, %s is installed", sluiced, SLUICE_VERSION);
	if (d->now.dpdk && sscanf(d->now.dpdk, "DPDK %d.%d.%d", &major, &minor, &fix) == 3 &&
	    (major < 22 || (major == 22 && (minor < 11 || (minor == 11 && fix < 11)))))
		doctor_find(d, DOCTOR_WARNING, "sluice-datapath",
			    "apt-get update && apt-get install --only-upgrade librte-vhost23, then "
			    "restart it",
			    "%s has vhost faults that 22.11.11 fixed", d->now.dpdk);
}
