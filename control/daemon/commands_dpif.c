/* SPDX-License-Identifier: BSD-3-Clause */
/* dpif/… and dpif-netdev/…: ports, poll threads and cache counters in the form of ovs-appctl. */
#include <stdlib.h>
#include <string.h>

#include "control/daemon/ask.h"
#include "control/daemon/sluiced.h"
#include "control/state/ofport.h"
#include "ovsdb-lite/unixctl.h"

enum { HITS, MISSES };

static void add_counters(struct ask *a, struct attrs o)
{
	a->numbers[HITS] += attrs_u64(o, ATTR_CACHE_HITS, 0);
	a->numbers[MISSES] += attrs_u64(o, ATTR_MISSES, 0);
}

static void print_datapath(struct ask *a)
{
	const struct engine *e = a->d->engine;
	const struct config *c = engine_desired(e);
	str_printf(&a->text, "netdev@ovs-netdev: hit:%llu missed:%llu\n",
		   (unsigned long long)a->numbers[HITS], (unsigned long long)a->numbers[MISSES]);
	VEC_FOR_EACH (b, &c->bridges) {
		str_printf(&a->text, "  %s:\n", (*b)->name);
		VEC_FOR_EACH (p, &c->ports) {
			const struct port_state *st = engine_port(e, (*p)->name);
			if (strcmp((*p)->bridge, (*b)->name) || !st || !st->status.known)
				continue;
			str_printf(&a->text, "    %s %lld/%u: (%s)\n", (*p)->name,
				   (long long)ofport_to_db((*p)->ofport), st->status.id,
				   (*p)->type);
		}
	}
}

static void show(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct ask *a = ask_begin(aux, call);
	struct msg m;
	if (!a)
		return;
	a->finish = print_datapath;
	msg_init(&m, API_PORT_STATS, 0);
	ask_send(a, &m, add_counters);
	ask_end(a);
}

/* ---- poll threads ---- */

static void print_queues(struct ask *a, struct attrs o)
{
	bool isolated = false;
	ATTR_FOR_EACH (it, o)
		if (it->id == ATTR_RXQ)
			isolated |= attrs_u64(attr_nest(it), ATTR_PINNED_CORE, 0xffff) != 0xffff;
	str_printf(&a->text, "pmd thread numa_id 0 core_id %u:\n  isolated : %s\n",
		   (unsigned)attrs_u64(o, ATTR_CORE, 0), isolated ? "true" : "false");
	ATTR_FOR_EACH (it, o) {
		struct attrs q = attr_nest(it);
		if (it->id != ATTR_RXQ)
			continue;
		str_printf(&a->text, "  port: %-16s  queue-id: %2u (enabled)   pmd usage: %2u %%\n",
			   attrs_str(q, ATTR_PORT, ""), (unsigned)attrs_u64(q, ATTR_QUEUE, 0),
			   (unsigned)attrs_u64(q, ATTR_BUSY_PERMILLE, 0) / 10);
	}
	str_puts(&a->text, "  overhead:  0 %\n");
}

static void print_cycles(struct ask *a, struct attrs o)
{
	unsigned busy = (unsigned)attrs_u64(o, ATTR_BUSY_PERMILLE, 0);
	str_printf(&a->text,
		   "pmd thread numa_id 0 core_id %u:\n"
		   "  packets received: %llu\n"
		   "  busy: %u.%u %%\n"
		   "  avg cycles per packet: %llu\n"
		   "  iterations: %llu\n"
		   "  sleep iterations: %llu\n"
		   "  megaflows: %llu\n",
		   (unsigned)attrs_u64(o, ATTR_CORE, 0),
		   (unsigned long long)attrs_u64(o, ATTR_PKTS, 0), busy / 10, busy % 10,
		   (unsigned long long)attrs_u64(o, ATTR_CYCLES_PER_PKT, 0),
		   (unsigned long long)attrs_u64(o, ATTR_ITERATIONS, 0),
		   (unsigned long long)attrs_u64(o, ATTR_SLEEPS, 0),
		   (unsigned long long)attrs_u64(o, ATTR_MEGAFLOWS, 0));
}

static void ask_poll(struct sluiced *d, struct unixctl_call *call, const char *title,
		     ask_object_fn fn)
{
	struct ask *a = ask_begin(d, call);
	struct msg m;
	if (!a)
		return;
	str_puts(&a->text, title);
	msg_init(&m, API_POLL, 0);
	ask_send(a, &m, fn);
	ask_end(a);
}

static void rxq_show(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	ask_poll(aux, call, "Displaying last 10 seconds pmd usage %\n", print_queues);
}

static void stats_show(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	ask_poll(aux, call, "", print_cycles);
}

void commands_dpif_register(struct sluiced *d, struct unixctl *ctl)
{
	unixctl_register(ctl, "dpif/show", "", 0, 0, show, d);
	unixctl_register(ctl, "dpif-netdev/pmd-rxq-show", "", 0, 0, rxq_show, d);
	unixctl_register(ctl, "dpif-netdev/pmd-stats-show", "", 0, 0, stats_show, d);
}
