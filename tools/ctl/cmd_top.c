/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice top: what the switch does now: poll threads with cycles per packet by stage, ports, and
 * the busiest flows, with a history of the last minute. Plain text and the few ANSI sequences that
 * every terminal knows. Asks datapath.sock, so it works while sluiced is away. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "datapath/base/clock.h"
#include "datapath/base/hash.h"
#include "datapath/flow/match_text.h"
#include "tools/ctl/facts.h"
#include "tools/ctl/handlers.h"
#include "tools/ctl/history.h"
#include "tools/ctl/rate.h"
#include "tools/ctl/rule_text.h"

enum {
	FLOWS_LISTED_MAX = 20000, /* more are not read: the list would take longer than a second */
	FLOWS_SHOWN = 10,
	SPARK_WIDTH = 20,
};

struct flow_row {
	char *port, *match, *actions;
	uint64_t pkts;
	double rate;
};
struct look {
	struct facts facts;
	struct sample flow_counts;
	VEC(struct flow_row) flows;
	bool too_many_flows;
};
struct top {
	const struct command_call *c;
	struct look before, now;
	struct history history;
};

static void look_free(struct look *l)
{
	facts_free(&l->facts);
	sample_free(&l->flow_counts);
	VEC_FOR_EACH (f, &l->flows) {
		free(f->port);
		free(f->match);
		free(f->actions);
	}
	vec_free(&l->flows);
	*l = (struct look){0};
}

/* ---- flows ---- */

static void flow_key(struct attrs a, char *key, size_t n)
{
	size_t len = 0;
	const void *lines = attrs_bytes(a, ATTR_KEY_LINES, &len);
	snprintf(key, n, "%u %s %016llx", (unsigned)attrs_u64(a, ATTR_ID, 0),
		 attrs_str(a, ATTR_PORT, ""),
		 lines ? (unsigned long long)hash_bytes(lines, len) : 0);
}

/* What people know: ports by name, and not which context a packet comes back from. */
static char *megaflow_text(struct attrs a)
{
	struct str s = STR_INIT;
	struct match m;
	if (rule_match_of(a, ATTR_KEY_LINES, &m)) {
		m.value.key.in_port = m.mask.key.in_port = 0;
		if (m.value.key.recirc_id)
			str_puts(&s, "recirculated,");
		m.value.key.recirc_id = m.mask.key.recirc_id = 0;
		match_format(&m, NULL, &s);
	}
	return str_steal(&s);
}

static void count_flow(struct attrs a, void *aux)
{
	struct top *t = aux;
	char key[128];
	flow_key(a, key, sizeof key);
	sample_add(&t->now.flow_counts, key, attrs_u64(a, ATTR_PKTS, 0));
}

static void take_flow(struct attrs a, void *aux)
{
	struct top *t = aux;
	struct flow_row f;
	char key[128];
	double rate;
	count_flow(a, aux);
	flow_key(a, key, sizeof key);
	rate = sample_rate(&t->before.flow_counts, &t->now.flow_counts, key);
	if (rate <= 0)
		return;
	if (t->now.flows.len == FLOWS_SHOWN && rate <= vec_last(&t->now.flows).rate)
		return;
	f = (struct flow_row){.port = xstrdup(attrs_str(a, ATTR_PORT, "")),
			      .match = megaflow_text(a),
			      .actions = xstrdup(attrs_str(a, ATTR_PROGRAM_TEXT, "")),
			      .pkts = attrs_u64(a, ATTR_PKTS, 0),
			      .rate = rate};
	vec_push(&t->now.flows, f);
	for (size_t i = t->now.flows.len - 1; i && t->now.flows.at[i - 1].rate < rate; i--) {
		struct flow_row swap = t->now.flows.at[i - 1];
		t->now.flows.at[i - 1] = t->now.flows.at[i];
		t->now.flows.at[i] = swap;
	}
	if (t->now.flows.len > FLOWS_SHOWN) {
		f = t->now.flows.at[--t->now.flows.len];
		free(f.port);
		free(f.match);
		free(f.actions);
	}
}

static int look(struct top *t, struct api_client *client, struct err *e)
{
	unsigned megaflows = 0;
	struct msg m;
	facts_read(t->c, client, false, &t->now.facts);
	if (!t->now.facts.datapath)
		return err_set(e, ECONNRESET, "the datapath has gone");
	VEC_FOR_EACH (p, &t->now.facts.threads)
		megaflows += p->megaflows;
	t->now.too_many_flows = megaflows > FLOWS_LISTED_MAX;
	if (t->now.too_many_flows)
		return 0;
	t->now.flow_counts.at_us = clock_mono_us();
	msg_init(&m, API_MEGAFLOWS, 0);
	return command_dump_on(client, &m, t->before.facts.datapath ? take_flow : count_flow, t, e);
}

/* ---- figures ---- */

static double rate(struct top *t, const char *what, const char *object)
{
	return sample_rate(&t->before.facts.counts, &t->now.facts.counts, facts_key(what, object));
}

static double total(struct top *t, const char *what)
{
	double sum = 0;
	VEC_FOR_EACH (p, &t->now.facts.ports)
		sum += rate(t, what, p->name);
	return sum;
}

static double percent(double part, double whole)
{
	return whole > 0 ? part * 100 / whole : 0;
}

/* Hits of a hundred packets; misses are what is left. */
static double hit_percent(double hits, double misses)
{
	return hits + misses > 0 ? percent(hits, hits + misses) : 100;
}

static json_t *thread_json(struct top *t, const struct fact_thread *p)
{
	char core[16];
	json_t *stages = json_object(), *queues = json_array();
	double pkts, all = 0;
	snprintf(core, sizeof core, "%u", p->core);
	pkts = rate(t, "poll_packets", core);
	for (unsigned i = 0; i < p->n_stages; i++) {
		double cycles = rate(t, facts_stage_names[i], core);
		bool idle = !strcmp(facts_stage_names[i], "idle");
		all += idle ? 0 : cycles;
		if (!idle)
			json_object_set_new(stages, facts_stage_names[i],
					    rate_json(pkts > 0 ? cycles / pkts : 0));
	}
	VEC_FOR_EACH (q, &p->queues)
		json_array_append_new(queues, json_pack("{s:s, s:i, s:o}", "port", q->port, "queue",
							(int)q->queue, "busy_percent",
							rate_json(q->busy_permille / 10.0)));
	return json_pack("{s:i, s:o, s:o, s:o, s:o, s:i, s:i, s:o}", "core", (int)p->core,
			 "busy_percent", rate_json(p->busy_permille / 10.0), "packets_per_second",
			 rate_json(pkts), "cycles_per_packet", rate_json(pkts > 0 ? all / pkts : 0),
			 "stages", stages, "megaflows", (int)p->megaflows, "masks", (int)p->masks,
			 "queues", queues);
}

static json_t *port_json(struct top *t, const struct fact_port *p)
{
	double hits = rate(t, "cache_hits", p->name) + rate(t, "megaflow_hits", p->name);
	double misses = rate(t, "misses", p->name);
	return json_pack("{s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "port", p->name,
			 "bridge", p->bridge, "link", p->link_up, "rx_pps",
			 rate_json(rate(t, "rx_packets", p->name)), "rx_bps",
			 rate_json(rate(t, "rx_bytes", p->name) * 8), "tx_pps",
			 rate_json(rate(t, "tx_packets", p->name)), "tx_bps",
			 rate_json(rate(t, "tx_bytes", p->name) * 8), "drops_per_second",
			 rate_json(rate(t, "dropped", p->name)), "hit_percent",
			 rate_json(hit_percent(hits, misses)), "misses_per_second",
			 rate_json(misses), "held", (json_int_t)p->held);
}

static json_t *top_json(struct top *t)
{
	json_t *threads = json_array(), *ports = json_array(), *flows = json_array();
	VEC_FOR_EACH (p, &t->now.facts.threads)
		json_array_append_new(threads, thread_json(t, p));
	VEC_FOR_EACH (p, &t->now.facts.ports)
		json_array_append_new(ports, port_json(t, p));
	VEC_FOR_EACH (f, &t->now.flows)
		json_array_append_new(flows, json_pack("{s:s, s:o, s:s, s:s}", "port", f->port,
						       "pps", rate_json(f->rate), "match", f->match,
						       "actions", f->actions));
	return json_pack("{s:o, s:o, s:o, s:I}", "threads", threads, "ports", ports, "flows", flows,
			 "connections", (json_int_t)t->now.facts.ct_count);
}

/* ---- the screen ---- */

static void spark(struct top *t, const char *kind, const char *name, double value, struct str *out)
{
	history_sparkline(history_add(&t->history, facts_key(kind, name), value), SPARK_WIDTH, out);
}

static void print_head(struct top *t, struct str *out)
{
	const struct facts *f = &t->now.facts;
	double hits = total(t, "cache_hits") + total(t, "megaflow_hits");
	double misses = total(t, "misses"), in = total(t, "rx_packets");
	char a[16], b[16], c[16], d[16], e[16];
	uint64_t held = 0;
	VEC_FOR_EACH (p, &f->ports)
		held += p->held;
	str_printf(out,
		   "in %s/s  out %s/s  dropped %s/s   hits %.1f %%  misses %s/s  waiting %llu   "
		   "connections %s   ",
		   rate_text(in, a, sizeof a), rate_text(total(t, "tx_packets"), b, sizeof b),
		   rate_text(total(t, "dropped"), c, sizeof c), hit_percent(hits, misses),
		   rate_text(misses, d, sizeof d), (unsigned long long)held,
		   rate_text((double)f->ct_count, e, sizeof e));
	spark(t, "total", "", in, out);
	str_putc(out, '\n');
}

static void print_threads(struct top *t, struct str *out)
{
	str_printf(out, "\n%-5s %6s %8s %8s  %6s %7s %6s %7s %6s %6s  %9s %5s  %s\n", "CORE",
		   "BUSY", "PKTS/s", "CYC/PKT", "rx", "extract", "cache", "resolve", "exec", "tx",
		   "MEGAFLOWS", "MASKS", "LAST MINUTE");
	VEC_FOR_EACH (p, &t->now.facts.threads) {
		static const int widths[] = {6, 7, 6, 7, 6, 6};
		char core[16], pps[16];
		double pkts, all = 0, stage[FACTS_STAGES_MAX] = {0};
		snprintf(core, sizeof core, "%u", p->core);
		pkts = rate(t, "poll_packets", core);
		for (unsigned i = 0; i < SL_MIN(p->n_stages, 6u); i++) {
			stage[i] = pkts > 0 ? rate(t, facts_stage_names[i], core) / pkts : 0;
			all += stage[i];
		}
		str_printf(out, "%-5s %5u%% %8s %8.0f ", core, p->busy_permille / 10,
			   rate_text(pkts, pps, sizeof pps), all);
		for (unsigned i = 0; i < 6; i++)
			str_printf(out, " %*.0f", widths[i], stage[i]);
		str_printf(out, "  %9u %5u  ", p->megaflows, p->masks);
		spark(t, "core", core, p->busy_permille, out);
		str_putc(out, '\n');
	}
}

static void print_ports(struct top *t, struct str *out)
{
	str_printf(out, "\n%-16s %-10s %-4s %8s %8s %8s %8s %8s %6s %8s %7s  %s\n", "PORT",
		   "BRIDGE", "LINK", "IN/s", "bit/s", "OUT/s", "bit/s", "DROP/s", "HITS", "MISS/s",
		   "WAITING", "LAST MINUTE");
	VEC_FOR_EACH (p, &t->now.facts.ports) {
		double in = rate(t, "rx_packets", p->name);
		double hits = rate(t, "cache_hits", p->name) + rate(t, "megaflow_hits", p->name);
		double misses = rate(t, "misses", p->name);
		char a[16], b[16], c[16], d[16], e[16], g[16];
		str_printf(out, "%-16s %-10s %-4s %8s %8s %8s %8s %8s %5.1f%% %8s %7llu  ", p->name,
			   p->bridge, p->link_up ? "up" : "down", rate_text(in, a, sizeof a),
			   rate_text(rate(t, "rx_bytes", p->name) * 8, b, sizeof b),
			   rate_text(rate(t, "tx_packets", p->name), c, sizeof c),
			   rate_text(rate(t, "tx_bytes", p->name) * 8, d, sizeof d),
			   rate_text(rate(t, "dropped", p->name), e, sizeof e),
			   hit_percent(hits, misses), rate_text(misses, g, sizeof g),
			   (unsigned long long)p->held);
		spark(t, "port", p->name, in + rate(t, "tx_packets", p->name), out);
		str_putc(out, '\n');
	}
}

static void print_flows(struct top *t, struct str *out)
{
	if (t->now.too_many_flows) {
		str_puts(out, "\nmore than 20000 flows: not listed\n");
		return;
	}
	if (!t->now.flows.len)
		return;
	str_printf(out, "\n%8s %-16s %s\n", "PKTS/s", "PORT", "FLOW");
	VEC_FOR_EACH (f, &t->now.flows) {
		char a[16];
		str_printf(out, "%8s %-16s %s → %s\n", rate_text(f->rate, a, sizeof a), f->port,
			   f->match[0] ? f->match : "any", f->actions);
	}
}

/* On a terminal: from the top left corner, each line cut to the width, the rest of the screen
 * empty. Bytes are counted by characters: the continuation bytes of UTF-8 have no width. */
static void show(const struct str *text, bool on_screen)
{
	struct winsize size = {.ws_row = 24, .ws_col = 80};
	unsigned column = 0, row = 1;
	if (!on_screen) {
		fputs(str_cstr(text), stdout);
		fflush(stdout);
		return;
	}
	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	fputs("\033[H", stdout);
	for (const char *p = str_cstr(text); *p && row < size.ws_row; p++) {
		bool continues = ((unsigned char)*p & 0xc0) == 0x80;
		if (*p == '\n') {
			fputs("\033[K\n", stdout);
			column = 0;
			row++;
			continue;
		}
		column += !continues;
		if (column <= size.ws_col)
			putchar(*p);
	}
	fputs("\033[J", stdout);
	fflush(stdout);
}

static void print(struct top *t, bool once)
{
	struct str out = STR_INIT;
	if (t->c->json) {
		print_json(top_json(t), !once);
		return;
	}
	print_head(t, &out);
	print_threads(t, &out);
	print_ports(t, &out);
	print_flows(t, &out);
	history_sweep(&t->history);
	show(&out, !once && isatty(STDOUT_FILENO));
	str_free(&out);
}

int cmd_top(struct command_call *c)
{
	bool once = command_option(c, "once");
	struct top t = {.c = c};
	struct api_client *client;
	struct err e = {0};
	uint64_t interval_us, times = once;
	int rc = rate_options(c, 1.0, &interval_us, once ? NULL : &times);
	if (rc)
		return rc;
	client = command_datapath(c, false);
	if (!client)
		return EXIT_FAILED;
	rc = look(&t, client, &e);
	for (uint64_t i = 0; !rc && (!times || i < times) && !ferror(stdout); i++) {
		look_free(&t.before);
		t.before = t.now;
		t.now = (struct look){0};
		usleep((useconds_t)interval_us);
		rc = look(&t, client, &e);
		if (!rc)
			print(&t, once);
	}
	look_free(&t.before);
	look_free(&t.now);
	history_free(&t.history);
	api_close(client);
	return rc ? command_fail_err(&e) : EXIT_OK;
}
