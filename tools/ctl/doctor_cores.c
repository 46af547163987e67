/* SPDX-License-Identifier: BSD-3-Clause */
/* Who else runs on the cores of poll threads: what the kernel says of their waiting, and who it may
 * be. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/doctor.h"

enum { STOLEN_PERCENT = 5 };

/* Is it running, or ready to, on that core? proc(5): state is field 3, vsize field 23, which the
 * kernel's own threads have not, processor field 39. */
static bool runs_on(const struct doctor *d, const char *pid, unsigned core, char *name, size_t n)
{
	char line[1024], *p, *begin;
	unsigned field = 3;

	if (!doctor_line(d, line, sizeof line, "/proc/%s/stat", pid))
		return false;
	begin = strchr(line, '(');
	p = strrchr(line, ')');
	if (!begin || !p || p[1] != ' ' || p[2] != 'R')
		return false;
	*p = '\0';
	snprintf(name, n, "%s", begin + 1);
	for (p += 2; field < 39; field++) {
		if ((field == 23 && !strtoull(p, NULL, 10)) || !(p = strchr(p, ' ')))
			return false;
		p++;
	}
	return strtoul(p, NULL, 10) == core;
}

/* A process that is on the core now, not the datapath; 0: none was found. */
static unsigned culprit(const struct doctor *d, unsigned core, char *name, size_t n)
{
	char *path = xasprintf("%s/proc", d->root);
	DIR *dir = opendir(path);
	struct dirent *e;
	unsigned found = 0;

	free(path);
	while (dir && !found && (e = readdir(dir))) {
		unsigned long pid = strtoul(e->d_name, NULL, 10);

		if (pid && pid != d->now.pid && runs_on(d, e->d_name, core, name, n))
			found = (unsigned)pid;
	}
	if (dir)
		closedir(dir);
	return found;
}

static void report(struct doctor *d, unsigned core, double percent)
{
	char object[32], name[64] = "", *remedy;
	unsigned pid = culprit(d, core, name, sizeof name);

	snprintf(object, sizeof object, "core %u", core);
	if (pid)
		remedy = xasprintf("taskset -apc CORES %u, with others than %u; isolcpus=%u on the "
				   "kernel's command line keeps all away",
				   pid, core, core);
	else
		remedy = xasprintf("isolcpus=%u on the kernel's command line keeps others away",
				   core);
	if (pid)
		doctor_find(d, DOCTOR_WARNING, object, remedy,
			    "its poll thread waits for it %.0f %% of the time, because other "
			    "programs run there: now %s (process %u)",
			    percent, name, pid);
	else
		doctor_find(d, DOCTOR_WARNING, object, remedy,
			    "its poll thread waits for it %.0f %% of the time, because other "
			    "programs run there",
			    percent);
	free(remedy);
}

void check_stolen(struct doctor *d)
{
	VEC_FOR_EACH (t, &d->now.threads) {
		char core[16];
		snprintf(core, sizeof core, "%u", t->core);
		double percent =
			sample_rate(&d->before.counts, &d->now.counts, facts_key("wait_ns", core)) /
			1e7;
		if (percent >= STOLEN_PERCENT)
			report(d, t->core, SL_MIN(percent, 100.0));
	}
}
