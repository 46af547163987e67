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

/* "-pmd CORE" and "-secs N" before the datapath's name, which is not looked at: there is one. */
enum { ANY_CORE = 0, POLL_CORE = 0 }; /* numbers[POLL_CORE]: core + 1 */

static bool wants_thread(const struct ask *a, struct attrs o)
{
	return a->numbers[POLL_CORE] == ANY_CORE ||
	       a->numbers[POLL_CORE] == attrs_u64(o, ATTR_CORE, 0) + 1;
}

static void print_queues(struct ask *a, struct attrs o)
{
	bool isolated = false;
	if (!wants_thread(a, o))
		return;
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

struct thread_figures {
	uint64_t pkts, lookups, by_signature, by_mask, misses, over, idle, busy;
	uint64_t iterations, sleeps, sleep_us;
	unsigned core;
};

/* The stages are those of ATTR_STAGE_CYCLES: the last one is idle time. */
static struct thread_figures figures_of(struct attrs o)
{
	struct thread_figures f = {
		.core = (unsigned)attrs_u64(o, ATTR_CORE, 0),
		.pkts = attrs_u64(o, ATTR_PKTS, 0),
		.by_mask = attrs_u64(o, ATTR_MEGAFLOW_HITS, 0),
		.misses = attrs_u64(o, ATTR_MISSES, 0),
		.over = attrs_u64(o, ATTR_OVER_QUOTA, 0),
		.iterations = attrs_u64(o, ATTR_ITERATIONS, 0),
		.sleeps = attrs_u64(o, ATTR_SLEEPS, 0),
		.sleep_us = attrs_u64(o, ATTR_SLEEP_US, 0),
	};
	uint64_t hits = attrs_u64(o, ATTR_CACHE_HITS, 0), cycles;
	ATTR_FOR_EACH (it, o) {
		struct attrs stages = attr_nest(it);
		if (it->id != ATTR_STAGE_CYCLES)
			continue;
		for (size_t at = 0; at + sizeof cycles <= stages.len; at += sizeof cycles) {
			memcpy(&cycles, stages.data + at, sizeof cycles);
			if (at + 2 * sizeof cycles <= stages.len)
				f.busy += cycles;
			else
				f.idle = cycles;
		}
	}
	f.by_signature = hits - SL_MIN(hits, f.by_mask);
	f.lookups = hits + f.misses;
	return f;
}

static double ratio(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 0;
}

/* The lines of Open vSwitch. What is looked up by signature counts as its signature matches; what
 * has no counterpart here is 0. */
static void print_cycles(struct ask *a, struct attrs o)
{
	struct thread_figures f = figures_of(o);
	uint64_t total = f.busy + f.idle;
	if (!wants_thread(a, o))
		return;
	str_printf(&a->text,
		   "pmd thread numa_id 0 core_id %u:\n"
		   "  packets received: %llu\n"
		   "  packet recirculations: %llu\n"
		   "  avg. datapath passes per packet: %.2f\n"
		   "  phwol hits: 0\n"
		   "  mfex opt hits: 0\n"
		   "  simple match hits: 0\n"
		   "  emc hits: 0\n"
		   "  smc hits: %llu\n"
		   "  megaflow hits: %llu\n"
		   "  avg. subtable lookups per megaflow hit: 0.00\n"
		   "  miss with success upcall: %llu\n"
		   "  miss with failed upcall: %llu\n"
		   "  avg. packets per output batch: 0.00\n",
		   f.core, (unsigned long long)f.pkts,
		   (unsigned long long)(f.lookups - SL_MIN(f.lookups, f.pkts)),
		   ratio(f.lookups, f.pkts), (unsigned long long)f.by_signature,
		   (unsigned long long)f.by_mask,
		   (unsigned long long)(f.misses - SL_MIN(f.misses, f.over)),
		   (unsigned long long)f.over);
	if (total)
		str_printf(&a->text,
			   "  idle cycles: %llu (%.2f%%)\n"
			   "  processing cycles: %llu (%.2f%%)\n",
			   (unsigned long long)f.idle, 100 * ratio(f.idle, total),
			   (unsigned long long)f.busy, 100 * ratio(f.busy, total));
	if (total && f.pkts)
		str_printf(&a->text,
			   "  avg cycles per packet: %.2f (%llu/%llu)\n"
			   "  avg processing cycles per packet: %.2f (%llu/%llu)\n",
			   ratio(total, f.pkts), (unsigned long long)total,
			   (unsigned long long)f.pkts, ratio(f.busy, f.pkts),
			   (unsigned long long)f.busy, (unsigned long long)f.pkts);
}

static double percent(uint64_t a, uint64_t b)
{
	return 100 * ratio(a, b);
}

static void print_performance(struct ask *a, struct attrs o)
{
	struct thread_figures f = figures_of(o);
	if (!wants_thread(a, o))
		return;
	str_printf(&a->text,
		   "\npmd thread numa_id 0 core_id %u:\n\n"
		   "  Iterations:         %12llu\n"
		   "  - Used TSC cycles:  %12llu  (%5.1f %% busy)\n"
		   "  - sleep iterations: %12llu  (%5.1f %% of iterations)\n"
		   "  Sleep time (us):    %12llu\n"
		   "  Rx packets:         %12llu  (%.0f cycles/pkt)\n"
		   "  Datapath passes:    %12llu  (%.2f passes/pkt)\n"
		   "  - SMC hits:         %12llu  (%5.1f %%)\n"
		   "  - Megaflow hits:    %12llu  (%5.1f %%)\n"
		   "  - Upcalls:          %12llu  (%5.1f %%)\n"
		   "  - Lost upcalls:     %12llu  (%5.1f %%)\n",
		   f.core, (unsigned long long)f.iterations, (unsigned long long)(f.busy + f.idle),
		   percent(f.busy, f.busy + f.idle), (unsigned long long)f.sleeps,
		   percent(f.sleeps, f.iterations), (unsigned long long)f.sleep_us,
		   (unsigned long long)f.pkts, ratio(f.busy, f.pkts), (unsigned long long)f.lookups,
		   ratio(f.lookups, f.pkts), (unsigned long long)f.by_signature,
		   percent(f.by_signature, f.lookups), (unsigned long long)f.by_mask,
		   percent(f.by_mask, f.lookups), (unsigned long long)f.misses,
		   percent(f.misses, f.lookups), (unsigned long long)f.over,
		   percent(f.over, f.lookups));
}

static void ask_poll(struct sluiced *d, struct unixctl_call *call, int argc, const char *argv[],
		     const char *title, ask_object_fn fn)
{
	uint64_t core = 0;
	for (int i = 1; i + 1 < argc; i++)
		if (!strcmp(argv[i], "-pmd")) {
			if (!parse_u64(argv[i + 1], 10, UINT16_MAX - 1, &core)) {
				unixctl_error(call, "-pmd: the number of a core is wanted");
				return;
			}
			core++;
			break;
		}
	struct ask *a = ask_begin(d, call);
	struct msg m;
	if (!a)
		return;
	a->numbers[POLL_CORE] = core;
	str_puts(&a->text, title);
	msg_init(&m, API_POLL, 0);
	ask_send(a, &m, fn);
	ask_end(a);
}

static void rxq_show(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	ask_poll(aux, call, argc, argv, "Displaying last 10 seconds pmd usage %\n", print_queues);
}

static void stats_show(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	ask_poll(aux, call, argc, argv, "", print_cycles);
}

static void perf_show(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	ask_poll(aux, call, argc, argv, "", print_performance);
}

static void memory_show(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	const struct sluiced *d = aux;
	const struct config *c = engine_desired(d->engine);
	struct str text = STR_INIT;
	str_printf(&text, "bridges:%zu ports:%zu\n", c->bridges.len, c->ports.len);
	unixctl_reply(call, str_cstr(&text));
	str_free(&text);
}

void commands_dpif_register(struct sluiced *d, struct unixctl *ctl)
{
	unixctl_register(ctl, "dpif/show", "", 0, 0, show, d);
	unixctl_register(ctl, "memory/show", "", 0, 0, memory_show, d);
	unixctl_register(ctl, "dpif-netdev/pmd-rxq-show", "[-pmd core] [-secs secs] [dp]", 0, 5,
			 rxq_show, d);
	unixctl_register(ctl, "dpif-netdev/pmd-stats-show", "[-pmd core] [dp]", 0, 3, stats_show,
			 d);
	unixctl_register(ctl, "dpif-netdev/pmd-perf-show", "[-nh] [-pmd core] [dp]", 0, 8,
			 perf_show, d);
}
