/* SPDX-License-Identifier: BSD-3-Clause */
/* Dumps of the datapath and what sluiced knows itself, as metrics. Sums by port, bridge and core:
 * nothing here grows with traffic. */
#include "control/daemon/scrape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/sluiced.h"
#include "control/daemon/switches.h"
#include "control/openflow/ofswitch.h"
#include "datapath/base/clock.h"
#include "datapath/base/vec.h"
#include "ovsdb-lite/client.h"
#include "ovsdb-lite/server.h"

struct rule_hits {
	char *rule;
	uint64_t verdict;
	double pkts, bytes, conns;
};

enum { POLICY_LABELS_MAX = 2000 };

struct scrape {
	struct metric_set set;
	VEC(struct rule_hits) rules; /* of the policy */
	scrape_done_fn done;
	void *aux;
	size_t pending; /* requests in flight, and one until all are sent */
};

struct part { /* one request */
	struct scrape *s;
	void (*take)(struct scrape *s, struct attrs a, const char *bridge);
	bool whole; /* take() wants the message, not its objects */
	double sums[2];
	char bridge[64];
};

/* ---- from the datapath ---- */

static void take_status(struct scrape *s, struct attrs a, const char *bridge)
{
	const char *detail = attrs_str(a, ATTR_DETAIL, "");
	const char *program = strrchr(attrs_str(a, ATTR_PROGRAM, ""), ' ');
	unsigned long long used = 0, buffers = 0;
	uint64_t up_ms = attrs_u64(a, ATTR_UPTIME_MS, 0);
	metric_set_add(&s->set, METRIC_BUILD, 1, "sluiced", SLUICE_VERSION, "datapath",
		       program ? program + 1 : "", "dpdk", attrs_str(a, ATTR_DPDK_VERSION, ""),
		       NULL);
	metric_set_add(&s->set, METRIC_START_TIME, (double)((clock_wall_ms() - up_ms) / 1000),
		       NULL);
	metric_set_add(&s->set, METRIC_MEMORY, (double)attrs_u64(a, ATTR_MEMORY_BYTES, 0), NULL);
	if (sscanf(detail, "buffers_in_use=%llu buffers=%llu", &used, &buffers) == 2) {
		metric_set_add(&s->set, METRIC_BUFFERS, (double)buffers, NULL);
		metric_set_add(&s->set, METRIC_BUFFERS_USED, (double)used, NULL);
	}
}

static void take_port(struct scrape *s, struct attrs a, const char *unused)
{
	static const struct {
		enum metric_id id;
		enum api_attr attr;
	} counters[] = {
		{METRIC_RX_PKTS, ATTR_RX_PKTS},       {METRIC_RX_BYTES, ATTR_RX_BYTES},
		{METRIC_TX_PKTS, ATTR_TX_PKTS},       {METRIC_TX_BYTES, ATTR_TX_BYTES},
		{METRIC_RX_ERRORS, ATTR_RX_ERRORS},   {METRIC_TX_ERRORS, ATTR_TX_ERRORS},
		{METRIC_RX_MISSED, ATTR_RX_MISSED},   {METRIC_CREATED, ATTR_CREATED},
		{METRIC_ABSORBED, ATTR_ABSORBED},     {METRIC_HELD, ATTR_HELD},
		{METRIC_HITS, ATTR_CACHE_HITS},       {METRIC_MASK_HITS, ATTR_MEGAFLOW_HITS},
		{METRIC_MISSES, ATTR_MISSES},         {METRIC_MISS_QUEUED, ATTR_MISS_QUEUED},
		{METRIC_OVER_QUOTA, ATTR_OVER_QUOTA},
	};
	const char *port = attrs_str(a, ATTR_PORT, ""), *bridge = attrs_str(a, ATTR_BRIDGE, "");
	for (size_t i = 0; i < SL_ARRAY_SIZE(counters); i++)
		metric_set_add(&s->set, counters[i].id, (double)attrs_u64(a, counters[i].attr, 0),
			       "port", port, "bridge", bridge, NULL);
	ATTR_FOR_EACH (it, a) {
		struct attrs d = attr_nest(it);
		if (it->id == ATTR_DROP)
			metric_set_add(&s->set, METRIC_DROPS, (double)attrs_u64(d, ATTR_COUNT, 0),
				       "port", port, "bridge", bridge, "reason",
				       attrs_str(d, ATTR_REASON, ""), NULL);
	}
}

static void take_queues(struct scrape *s, struct attrs a, const char *core)
{
	ATTR_FOR_EACH (it, a) {
		struct attrs q = attr_nest(it);
		char queue[16];
		if (it->id != ATTR_RXQ)
			continue;
		snprintf(queue, sizeof queue, "%u", (unsigned)attrs_u64(q, ATTR_QUEUE, 0));
		metric_set_add(&s->set, METRIC_POLL_QUEUE_BUSY,
			       (double)attrs_u64(q, ATTR_BUSY_PERMILLE, 0) / 1000, "core", core,
			       "port", attrs_str(q, ATTR_PORT, ""), "queue", queue, NULL);
	}
}

static void take_thread(struct scrape *s, struct attrs a, const char *bridge)
{
	static const char *const stages[] = {"rx",   "extract", "cache", "resolve",
					     "exec", "tx",      "idle"};
	size_t len = 0;
	const void *bytes = attrs_bytes(a, ATTR_STAGE_CYCLES, &len);
	char core[16];
	snprintf(core, sizeof core, "%u", (unsigned)attrs_u64(a, ATTR_CORE, 0));
	metric_set_add(&s->set, METRIC_POLL_BUSY,
		       (double)attrs_u64(a, ATTR_BUSY_PERMILLE, 0) / 1000, "core", core, NULL);
	metric_set_add(&s->set, METRIC_POLL_PKTS, (double)attrs_u64(a, ATTR_PKTS, 0), "core", core,
		       NULL);
	for (size_t i = 0; i < SL_MIN(SL_ARRAY_SIZE(stages), len / 8); i++) {
		uint64_t cycles;
		memcpy(&cycles, (const uint8_t *)bytes + i * 8, 8);
		metric_set_add(&s->set, METRIC_POLL_CYCLES, (double)cycles, "core", core, "stage",
			       stages[i], NULL);
	}
	metric_set_add(&s->set, METRIC_POLL_LOOPS, (double)attrs_u64(a, ATTR_ITERATIONS, 0), "core",
		       core, NULL);
	metric_set_add(&s->set, METRIC_POLL_SLEEPS, (double)attrs_u64(a, ATTR_SLEEPS, 0), "core",
		       core, NULL);
	metric_set_add(&s->set, METRIC_POLL_SLEPT, (double)attrs_u64(a, ATTR_SLEEP_US, 0) / 1e6,
		       "core", core, NULL);
	metric_set_add(&s->set, METRIC_POLL_MEGAFLOWS, (double)attrs_u64(a, ATTR_MEGAFLOWS, 0),
		       "core", core, NULL);
	metric_set_add(&s->set, METRIC_POLL_MASKS, (double)attrs_u64(a, ATTR_MASKS, 0), "core",
		       core, NULL);
	take_queues(s, a, core);
}

static void take_ct(struct scrape *s, struct attrs a, const char *bridge)
{
	if (!attrs_has(a, ATTR_CT_MAX)) /* one of the zones */
		return;
	metric_set_add(&s->set, METRIC_CT_COUNT, (double)attrs_u64(a, ATTR_CT_COUNT, 0), NULL);
	metric_set_add(&s->set, METRIC_CT_MAX, (double)attrs_u64(a, ATTR_CT_MAX, 0), NULL);
	metric_set_add(&s->set, METRIC_CT_HALF, (double)attrs_u64(a, ATTR_CT_HALF_OPEN, 0), NULL);
	metric_set_add(&s->set, METRIC_CT_MEMORY, (double)attrs_u64(a, ATTR_MEMORY_BYTES, 0), NULL);
}

static void take_policy(struct scrape *s, struct attrs a, const char *bridge)
{
	vec_push(&s->rules, (struct rule_hits){.rule = xstrdup(attrs_str(a, ATTR_NAME, "")),
					       .verdict = attrs_u64(a, ATTR_VERDICT, 0),
					       .pkts = (double)attrs_u64(a, ATTR_PKTS, 0),
					       .bytes = (double)attrs_u64(a, ATTR_BYTES_COUNT, 0),
					       .conns = (double)attrs_u64(a, ATTR_CONNS, 0)});
}

static bool is_builtin(const char *rule)
{
	return !strncmp(rule, "default/", 8) || !strncmp(rule, "guard/", 6) ||
	       !strncmp(rule, "limit/", 6);
}

/* What is there with every policy comes first. */
static int by_rule(const void *pa, const void *pb)
{
	const struct rule_hits *a = pa, *b = pb;
	int c = is_builtin(b->rule) - is_builtin(a->rule);

	c = c ? c : strcmp(a->rule, b->rule);
	return c ? c : a->verdict < b->verdict ? -1 : a->verdict > b->verdict;
}

static void put_rule(struct scrape *s, const char *rule, const struct rule_hits *h)
{
	static const char *const verdicts[] = {"allow", "deny", "pass"};
	const char *verdict = h->verdict < SL_ARRAY_SIZE(verdicts) ? verdicts[h->verdict] : "";

	metric_set_add(&s->set, METRIC_POLICY_PKTS, h->pkts, "rule", rule, "verdict", verdict,
		       NULL);
	metric_set_add(&s->set, METRIC_POLICY_BYTES, h->bytes, "rule", rule, "verdict", verdict,
		       NULL);
	metric_set_add(&s->set, METRIC_POLICY_CONNS, h->conns, "rule", rule, "verdict", verdict,
		       NULL);
}

static void add_hits(struct rule_hits *to, const struct rule_hits *h)
{
	to->pkts += h->pkts;
	to->bytes += h->bytes;
	to->conns += h->conns;
}

/* One sample per name and verdict: a rule may be there for several directions. Names come from the
 * policy; those beyond POLICY_LABELS_MAX share the label "more". */
static void put_policy(struct scrape *s)
{
	struct rule_hits more[] = {{.verdict = 0}, {.verdict = 1}, {.verdict = 2}};
	size_t shown = 0;

	if (s->rules.len)
		qsort(s->rules.at, s->rules.len, sizeof *s->rules.at, by_rule);
	for (size_t i = 0; i < s->rules.len;) {
		struct rule_hits sum = s->rules.at[i];

		for (i++; i < s->rules.len && !by_rule(&sum, &s->rules.at[i]); i++)
			add_hits(&sum, &s->rules.at[i]);
		if (shown++ < POLICY_LABELS_MAX)
			put_rule(s, sum.rule, &sum);
		else if (sum.verdict < SL_ARRAY_SIZE(more))
			add_hits(&more[sum.verdict], &sum);
	}
	for (size_t i = 0; i < SL_ARRAY_SIZE(more) && shown > POLICY_LABELS_MAX; i++)
		put_rule(s, "more", &more[i]);
	VEC_FOR_EACH (r, &s->rules)
		free(r->rule);
	vec_free(&s->rules);
}

static void take_audit(struct scrape *s, struct attrs a, const char *bridge)
{
	metric_set_add(&s->set, METRIC_AUDIT_CHECKED, (double)attrs_u64(a, ATTR_AUDIT_CHECKED, 0),
		       NULL);
	metric_set_add(&s->set, METRIC_AUDIT_DIFFERENT,
		       (double)attrs_u64(a, ATTR_AUDIT_DIFFERENT, 0), NULL);
}

/* ---- from sluiced ---- */

static void put_ports(struct sluiced *d, struct metric_set *s)
{
	unsigned failed = 0;
	VEC_FOR_EACH (p, &engine_desired(d->engine)->ports) {
		const struct port_state *st = engine_port(d->engine, (*p)->name);
		failed += st && st->error;
		if (!st || !st->status.known)
			continue;
		metric_set_add(s, METRIC_PORT_UP, st->status.link_up, "port", (*p)->name, "bridge",
			       (*p)->bridge, NULL);
		if (st->status.mtu)
			metric_set_add(s, METRIC_PORT_MTU, st->status.mtu, "port", (*p)->name,
				       "bridge", (*p)->bridge, NULL);
	}
	metric_set_add(s, METRIC_PORT_FAILURES, failed, NULL);
}

static void put_controllers(struct ofswitch *of, void *aux)
{
	struct ofswitch_status st;
	for (size_t i = 0; ofswitch_controller_status(of, i, &st); i++)
		metric_set_add(aux, METRIC_OF_CONNECTED, st.is_connected, "bridge",
			       ofswitch_bridge(of), "target", st.target, NULL);
}

static void put_own(struct sluiced *d, struct metric_set *s)
{
	const struct engine_counts *n = engine_counts(d->engine);
	metric_set_add(s, METRIC_UP, engine_client(d->engine) != NULL, NULL);
	metric_set_add(s, METRIC_DB_CONNECTED, ovsdb_client_is_connected(d->db), NULL);
	if (d->server)
		metric_set_add(s, METRIC_DB_SESSIONS, ovsdb_server_n_sessions(d->server), NULL);
	metric_set_add(s, METRIC_BRIDGES, (double)engine_desired(d->engine)->bridges.len, NULL);
	metric_set_add(s, METRIC_PORTS, (double)engine_desired(d->engine)->ports.len, NULL);
	metric_set_add(s, METRIC_NOTES, (double)d->notes.notes.len, NULL);
	metric_set_add(s, METRIC_TRANSACTIONS, (double)n->transactions, NULL);
	metric_set_add(s, METRIC_FAILURES, (double)n->failures, NULL);
	metric_set_add(s, METRIC_REPLAYS, (double)n->replays, NULL);
	put_ports(d, s);
	switches_for_each(d->switches, put_controllers, s);
}

/* ---- asking ---- */

static void finish(struct scrape *s)
{
	if (--s->pending)
		return;
	put_policy(s);
	s->done(&s->set, s->aux);
	metric_set_free(&s->set);
	free(s);
}

static void add_table(struct part *p, struct attrs a)
{
	p->sums[0] += (double)attrs_u64(a, ATTR_ACTIVE_COUNT, 0);
	p->sums[1] += (double)attrs_u64(a, ATTR_LOOKUPS, 0);
}

static void answered(struct attrs attrs, bool more, const struct err *error, void *aux)
{
	struct part *p = aux;
	if (!error && p->whole)
		p->take(p->s, attrs, p->bridge);
	if (!error && !p->whole)
		ATTR_FOR_EACH (it, attrs) {
			if (it->id != ATTR_OBJECT)
				continue;
			if (p->take)
				p->take(p->s, attr_nest(it), p->bridge);
			else
				add_table(p, attr_nest(it));
		}
	if (more)
		return;
	if (!error && !p->take) {
		metric_set_add(&p->s->set, METRIC_RULES, p->sums[0], "bridge", p->bridge, NULL);
		metric_set_add(&p->s->set, METRIC_LOOKUPS, p->sums[1], "bridge", p->bridge, NULL);
	}
	finish(p->s);
	free(p);
}

static void ask(struct sluiced *d, struct scrape *s, enum api_message what, const char *bridge,
		void (*take)(struct scrape *s, struct attrs a, const char *bridge))
{
	struct part *p = xzalloc(sizeof *p);
	struct msg m;
	p->s = s;
	p->take = take;
	p->whole = what == API_STATUS || what == API_AUDIT;
	msg_init(&m, what, 0);
	if (bridge) {
		snprintf(p->bridge, sizeof p->bridge, "%s", bridge);
		msg_put_str(&m, ATTR_BRIDGE, bridge);
	}
	s->pending++;
	api_send(engine_client(d->engine), &m, answered, p);
}

void scrape_start(struct sluiced *d, scrape_done_fn done, void *aux)
{
	struct scrape *s = xzalloc(sizeof *s);
	s->done = done;
	s->aux = aux;
	s->pending = 1;
	put_own(d, &s->set);
	if (engine_client(d->engine)) {
		ask(d, s, API_STATUS, NULL, take_status);
		ask(d, s, API_PORT_STATS, NULL, take_port);
		ask(d, s, API_POLL, NULL, take_thread);
		ask(d, s, API_CT_INFO, NULL, take_ct);
		/* A datapath that does not have these says so, and they are left out. */
		ask(d, s, API_POLICY_HITS, NULL, take_policy);
		ask(d, s, API_AUDIT, NULL, take_audit);
		VEC_FOR_EACH (b, &engine_desired(d->engine)->bridges)
			ask(d, s, API_TABLES, (*b)->name, NULL);
	}
	finish(s);
}
