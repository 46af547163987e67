/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice status: health in one screen. What doctor finds wrong with the configuration and the
 * running system comes first, then the daemons and what they do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/doctor.h"
#include "tools/ctl/handlers.h"
#include "tools/ctl/rate.h"
#include "tools/ctl/supervise.h"
#include "tools/ctl/table.h"

enum { STATUS_INTERVAL_US = 300000 };

static const struct table_column columns[] = {
	{"WHAT", "what", TABLE_TEXT},      {"STATE", "state", TABLE_TEXT},
	{"DETAIL", "detail", TABLE_PROSE}, {"WHAT TO DO", "remedy", TABLE_PROSE},
	{NULL, NULL, TABLE_TEXT},
};

static void put(struct table *t, const char *what, const char *state, const char *detail,
		const char *remedy)
{
	table_row(t);
	table_text(t, what);
	table_text(t, state);
	table_text(t, detail);
	table_text(t, remedy);
}

static void put_findings(struct table *t, const struct doctor *d)
{
	VEC_FOR_EACH (f, &d->findings)
		if (strcmp(f->check, "daemons")) /* they have rows of their own */
			put(t, f->object, doctor_severity_name(f->severity), f->text, f->remedy);
}

static void put_datapath(struct table *t, const struct facts *f)
{
	struct str s = STR_INIT;
	if (!f->datapath) {
		put(t, "datapath", "down", f->datapath_error, "sluice up");
		return;
	}
	str_printf(&s, "pid %u, %s, up %llu s, %llu MB%s, %llu of %llu buffers in use", f->pid,
		   f->dpdk, (unsigned long long)f->uptime_ms / 1000,
		   (unsigned long long)f->memory_bytes >> 20,
		   f->hugepages ? " in hugepages" : " without hugepages",
		   (unsigned long long)f->buffers_in_use, (unsigned long long)f->buffers);
	put(t, "datapath", "running", str_cstr(&s), "");
	str_free(&s);
}

static void put_sluiced(struct table *t, const json_t *o)
{
	int pid = 0, bridges = 0, ports = 0, datapath = 0;
	json_int_t next = 0, cur = 0;
	char detail[256];
	if (!o) {
		put(t, "sluiced", "down", "forwarding goes on without it", "sluice up");
		return;
	}
	json_unpack((json_t *)o, "{s:i, s:i, s:i, s:b, s:I, s:I}", "pid", &pid, "bridges", &bridges,
		    "ports", &ports, "datapath", &datapath, "next_cfg", &next, "cur_cfg", &cur);
	snprintf(detail, sizeof detail, "pid %d, %d bridges, %d ports, configuration %lld of %lld",
		 pid, bridges, ports, (long long)cur, (long long)next);
	put(t, "sluiced", datapath ? "running" : "waiting for the datapath", detail, "");
}

static double total(struct doctor *d, const char *what)
{
	double sum = 0;
	VEC_FOR_EACH (p, &d->now.ports)
		sum += sample_rate(&d->before.counts, &d->now.counts, facts_key(what, p->name));
	return sum;
}

static void put_traffic(struct table *t, struct doctor *d)
{
	unsigned up = 0, busy = 0, megaflows = 0;
	char a[32], b[32], c[32], text[256];
	if (!d->now.datapath)
		return;
	VEC_FOR_EACH (p, &d->now.ports)
		up += p->link_up;
	VEC_FOR_EACH (p, &d->now.threads) {
		busy = SL_MAX(busy, p->busy_permille);
		megaflows += p->megaflows;
	}
	snprintf(text, sizeof text, "%zu, %u with link", d->now.ports.len, up);
	put(t, "ports", "", text, "");
	snprintf(text, sizeof text, "%s packets/s in, %s out, %s dropped",
		 rate_text(total(d, "rx_packets"), a, sizeof a),
		 rate_text(total(d, "tx_packets"), b, sizeof b),
		 rate_text(total(d, "dropped"), c, sizeof c));
	put(t, "traffic", "", text, "");
	snprintf(text, sizeof text, "%zu, the busiest %u.%u %%; %u megaflows", d->now.threads.len,
		 busy / 10, busy % 10, megaflows);
	put(t, "poll threads", "", text, "");
	snprintf(text, sizeof text, "%llu of %llu", (unsigned long long)d->now.ct_count,
		 (unsigned long long)d->now.ct_max);
	put(t, "connections", "", text, "");
}

int cmd_status(struct command_call *c)
{
	struct table *t = table_create(c, "status", columns);
	pid_t pid = supervisor_pid(c);
	struct doctor d;
	char text[64];
	bool good;
	doctor_run(&d, c, DOCTOR_CONFIG | DOCTOR_RUNNING, STATUS_INTERVAL_US);
	if (!d.now.datapath)
		put_datapath(t, &d.now);
	if (!d.now.sluiced)
		put_sluiced(t, NULL);
	put_findings(t, &d);
	snprintf(text, sizeof text, "pid %d", (int)pid);
	put(t, "supervisor", pid ? "running" : "none", pid ? text : "", "");
	if (d.now.datapath)
		put_datapath(t, &d.now);
	if (d.now.sluiced)
		put_sluiced(t, d.now.sluiced);
	put_traffic(t, &d);
	table_finish(t);
	good = d.now.datapath && d.now.sluiced;
	doctor_free(&d);
	return good ? EXIT_OK : EXIT_FAILED;
}
