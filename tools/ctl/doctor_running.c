/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks of the running system, over two readings. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/doctor.h"
#include "datapath/api/drop_text.h"
#include "datapath/base/clock.h"
#include "tools/ctl/rate.h"

enum {
	BUSY_PERMILLE = 950, /* a poll thread that has no time left */
	IDLE_PERMILLE = 500, /* one that could take a queue over */
	FULL_PERCENT = 90,
	DROPS_SHOWN = 8,
	GRANT_SOON_MS = 24 * 3600 * 1000,
	MISS_RATE_MIN = 1000, /* misses per second that are worth a word */
};

static double rate_of(struct doctor *d, const char *what, const char *object)
{
	return sample_rate(&d->before.counts, &d->now.counts, facts_key(what, object));
}

static bool is_vhost(const struct fact_port *p)
{
	return !strncmp(p->type, "dpdkvhostuser", 13);
}

void check_daemons(struct doctor *d)
{
	if (!d->now.datapath)
		doctor_find(d, DOCTOR_ERROR, "datapath", "sluice up", "it does not run: %s",
			    d->now.datapath_error);
	if (!d->now.sluiced)
		doctor_find(d, DOCTOR_ERROR, "sluiced", "sluice up",
			    "it does not run; forwarding goes on, changes are not possible");
	else if (!json_is_true(json_object_get(d->now.sluiced, "datapath")) && d->now.datapath)
		doctor_find(d, DOCTOR_ERROR, "sluiced", "sluice status",
			    "it has no connection to the datapath: %s",
			    json_string_value(json_object_get(d->now.sluiced, "datapath_error")));
	if (d->now.sluiced && !json_is_true(json_object_get(d->now.sluiced, "database")))
		doctor_find(d, DOCTOR_ERROR, "sluiced", "start the external database server",
			    "it has no connection to its database");
}

void check_links(struct doctor *d)
{
	VEC_FOR_EACH (p, &d->now.ports) {
		if (!strcmp(p->type, "dummy") || !strcmp(p->type, "patch") || !p->bridge[0])
			continue;
		if (!strcmp(p->state, "lost"))
			doctor_find(d, DOCTOR_ERROR, p->name,
				    "bring the device back; the port comes by itself",
				    "its device has gone");
		else if (!p->link_up && is_vhost(p))
			doctor_find(d, DOCTOR_WARNING, p->name,
				    "start the guest, or compare its socket path with "
				    "options:vhost-server-path",
				    "no guest is connected");
		else if (!p->link_up && !strcmp(p->type, "internal"))
			doctor_find(d, DOCTOR_NOTE, p->name, "ip link set up dev of that name",
				    "the host's side of the port is down");
		else if (!p->link_up)
			doctor_find(d, DOCTOR_WARNING, p->name,
				    "check the cable or the peer, and ip link set up",
				    "its link is down");
	}
}

void check_controllers(struct doctor *d)
{
	size_t i;
	json_t *o;
	json_array_foreach(json_object_get(d->now.sluiced, "controllers"), i, o)
	{
		const char *bridge = "", *target = "", *error = "";
		int connected = 0;
		bool secure = false;
		json_unpack(o, "{s:s, s:s, s:b, s:s}", "bridge", &bridge, "target", &target,
			    "connected", &connected, "error", &error);
		if (connected)
			continue;
		VEC_FOR_EACH (b, &d->now.bridges)
			secure |= !strcmp(b->name, bridge) && b->fail_secure;
		char *remedy = xasprintf("start the controller, or ovs-vsctl set-controller %s "
					 "with its right address",
					 bridge);
		doctor_find(d, secure ? DOCTOR_ERROR : DOCTOR_WARNING, bridge, remedy,
			    "no connection to its controller %s%s%s: %s", target,
			    error[0] ? ": " : "", error,
			    secure ? "it goes on with the rules it has (fail-mode secure)"
				   : "without any it switches by addresses (fail-mode standalone)");
		free(remedy);
	}
}

static const struct fact_thread *thread_on(const struct doctor *d, int core)
{
	VEC_FOR_EACH (t, &d->now.threads)
		if ((int)t->core == core)
			return t;
	return NULL;
}

static int core_node(const struct doctor *d, unsigned core)
{
	char text[16];
	for (int node = 0; node < 16; node++)
		if (doctor_line(d, text, sizeof text,
				"/sys/devices/system/node/node%d/cpu%u/topology/core_id", node,
				core))
			return node;
	return -1;
}

static void check_queue(struct doctor *d, const struct fact_thread *t, const struct fact_queue *q)
{
	const struct fact_port *p = facts_port(&d->now, q->port);
	int node = core_node(d, t->core);
	char object[128];
	snprintf(object, sizeof object, "%s queue %u", q->port, q->queue);
	if (q->pinned_core >= 0 && !thread_on(d, q->pinned_core))
		doctor_find(d, DOCTOR_WARNING, object,
			    "sluice poll set cores=… with that core, or change the interface's "
			    "other_config:pmd-rxq-affinity",
			    "it is pinned to core %d, which has no poll thread: core %u polls it",
			    q->pinned_core, t->core);
	if (p && p->numa >= 0 && node >= 0 && p->numa != node)
		doctor_find(d, DOCTOR_WARNING, object,
			    "sluice poll set cores=… with a core of that node",
			    "its device is on NUMA node %d and core %u, which polls it, on node %d",
			    p->numa, t->core, node);
}

void check_queues(struct doctor *d)
{
	VEC_FOR_EACH (t, &d->now.threads)
		VEC_FOR_EACH (q, &t->queues)
			check_queue(d, t, q);
}

void check_load(struct doctor *d)
{
	const struct fact_thread *idle = NULL;
	VEC_FOR_EACH (t, &d->now.threads)
		if (!idle || t->busy_permille < idle->busy_permille)
			idle = t;
	VEC_FOR_EACH (t, &d->now.threads) {
		char object[32];
		if (t->busy_permille < BUSY_PERMILLE)
			continue;
		snprintf(object, sizeof object, "core %u", t->core);
		if (idle->busy_permille < IDLE_PERMILLE && t->queues.len > 1)
			doctor_find(d, DOCTOR_WARNING, object,
				    "ovs-vsctl set Interface PORT "
				    "other_config:pmd-rxq-affinity=QUEUE:CORE for a busy queue",
				    "its poll thread is %u.%u %% busy while that of core %u has "
				    "time",
				    t->busy_permille / 10, t->busy_permille % 10, idle->core);
		else
			doctor_find(d, DOCTOR_WARNING, object,
				    "give the switch more cores: sluice poll set cores=…",
				    "its poll thread is %u.%u %% busy", t->busy_permille / 10,
				    t->busy_permille % 10);
	}
}

void check_buffers(struct doctor *d)
{
	if (d->now.buffers && d->now.buffers_in_use * 100 >= d->now.buffers * FULL_PERCENT)
		doctor_find(d, DOCTOR_ERROR, "datapath",
			    "ovs-vsctl set Open_vSwitch . other_config:dpdk-alloc-mem=256, then "
			    "sluice down; sluice up",
			    "%llu of %llu packet buffers are in use",
			    (unsigned long long)d->now.buffers_in_use,
			    (unsigned long long)d->now.buffers);
}

void check_conntrack(struct doctor *d)
{
	char remedy[96];
	if (!d->now.ct_max || d->now.ct_count * 100 < d->now.ct_max * FULL_PERCENT)
		return;
	snprintf(remedy, sizeof remedy, "sluice ct limit max=%llu",
		 (unsigned long long)d->now.ct_max * 2);
	doctor_find(d, DOCTOR_WARNING, "conntrack", remedy,
		    "%llu of %llu connections, %llu of them without an answer",
		    (unsigned long long)d->now.ct_count, (unsigned long long)d->now.ct_max,
		    (unsigned long long)d->now.ct_half_open);
}

void check_receive(struct doctor *d)
{
	VEC_FOR_EACH (p, &d->now.ports) {
		double missed = rate_of(d, "rx_missed", p->name);
		double errors = rate_of(d, "rx_errors", p->name);
		char text[32];
		if (missed > 0)
			doctor_find(d, DOCTOR_ERROR, p->name,
				    "more receive queues (options:n_rxq) or cores (sluice poll set "
				    "cores=…)",
				    "the device loses %s packets/s because it is polled too late",
				    rate_text(missed, text, sizeof text));
		if (errors > 0)
			doctor_find(d, DOCTOR_WARNING, p->name,
				    "check the cable and the peer's MTU",
				    "the device reports %s receive errors/s",
				    rate_text(errors, text, sizeof text));
	}
}

static int by_rate(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? 1 : x > y ? -1 : 0;
}

static void report_drop(struct doctor *d, const char *port, const char *reason, double rate)
{
	const struct drop_text *why = drop_text_find(reason);
	const struct fact_port *p = facts_port(&d->now, port);
	char text[32];
	rate_text(rate, text, sizeof text);
	if (p && is_vhost(p) && !strcmp(reason, "tx_queue_full"))
		doctor_find(d, DOCTOR_WARNING, port,
			    "give the guest more CPU, or more queues (queues=N in its virtio "
			    "device)",
			    "the guest does not drain its receive queue: %s packets/s are dropped "
			    "(tx_queue_full)",
			    text);
	else if (p && !p->link_up && !strcmp(reason, "tx_queue_full"))
		doctor_find(d, DOCTOR_WARNING, port, "ip link set up, at both of its ends",
			    "its link is down: %s packets/s to it are dropped (tx_queue_full)",
			    text);
	else
		doctor_find(d, DOCTOR_WARNING, port, why->remedy, "drops %s packets/s (%s): %s",
			    text, reason, why->help);
}

void check_drops(struct doctor *d)
{
	struct dropping {
		double rate; /* first: by_rate() */
		const struct fact_drop *drop;
	};
	VEC(struct dropping) list = {0};
	size_t shown;
	VEC_FOR_EACH (f, &d->now.drops) {
		char what[128];
		double rate;
		snprintf(what, sizeof what, "drop %s", f->reason);
		rate = rate_of(d, what, f->port);
		if (rate > 0)
			vec_push(&list, (struct dropping){rate, f});
	}
	if (list.len)
		qsort(list.at, list.len, sizeof *list.at, by_rate);
	shown = SL_MIN(list.len, (size_t)DROPS_SHOWN);
	for (size_t i = 0; i < shown; i++)
		report_drop(d, list.at[i].drop->port, list.at[i].drop->reason, list.at[i].rate);
	if (list.len > shown)
		doctor_find(d, DOCTOR_NOTE, "", "sluice drops",
			    "%zu more ports and reasons drop packets", list.len - shown);
	vec_free(&list);
}

void check_misses(struct doctor *d)
{
	VEC_FOR_EACH (p, &d->now.ports) {
		double misses = rate_of(d, "misses", p->name),
		       rx = rate_of(d, "rx_packets", p->name);
		char text[32];
		if (misses < MISS_RATE_MIN || misses < rx / 4)
			continue;
		doctor_find(d, DOCTOR_WARNING, p->name,
			    "look at its traffic (sluice capture -p PORT) for a scan, and at rules "
			    "that match many distinct values",
			    "%s new flows/s, %.0f %% of its packets",
			    rate_text(misses, text, sizeof text),
			    rx > 0 ? misses * 100 / rx : 100.0);
	}
}

void check_audit(struct doctor *d)
{
	if (d->now.audit_different)
		doctor_find(d, DOCTOR_ERROR, "flow cache",
			    "report it with the audit events of sluice events",
			    "%llu of %llu cache hits that were checked did not say what the tables "
			    "say (the entries were removed)",
			    (unsigned long long)d->now.audit_different,
			    (unsigned long long)d->now.audit_checked);
}

void check_grants(struct doctor *d)
{
	uint64_t now_ms = clock_wall_ms();
	VEC_FOR_EACH (g, &d->now.grants)
		if (g->valid_until_ms > now_ms && g->valid_until_ms - now_ms < GRANT_SOON_MS)
			doctor_find(d, DOCTOR_NOTE, g->name,
				    "give it a later end in the policy, or let it end",
				    "this rule of the policy ends in %llu minutes",
				    (unsigned long long)(g->valid_until_ms - now_ms) / 60000);
}
