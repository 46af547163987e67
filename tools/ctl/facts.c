/* SPDX-License-Identifier: BSD-3-Clause */
/* Dumps, one after the other; the counters are read first, so that two readings are as far apart
 * as their times say. */
#include "tools/ctl/facts.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath/base/clock.h"

const char *const facts_stage_names[] = {"rx", "extract", "cache", "resolve", "exec", "tx", "idle"};
const size_t n_facts_stages = SL_ARRAY_SIZE(facts_stage_names);

const char *facts_key(const char *what, const char *object)
{
	static char key[512];
	snprintf(key, sizeof key, "%s %s", what, object);
	return key;
}

uint64_t facts_detail_number(const char *detail, const char *key)
{
	size_t n = strlen(key);
	for (const char *p = detail; (p = strstr(p, key)); p += n)
		if ((p == detail || p[-1] == ' ') && p[n] == '=')
			return strtoull(p + n + 1, NULL, 10);
	return 0;
}

static char *text_of(struct attrs a, enum api_attr id)
{
	return xstrdup(attrs_str(a, id, ""));
}

static struct attrs nested(struct attrs a, enum api_attr id)
{
	const struct attr *nest = attrs_find(a, id);
	return nest ? attr_nest(nest) : (struct attrs){NULL, 0};
}

/* ---- counters ---- */

static void take_stats(struct attrs a, void *aux)
{
	static const enum api_attr counters[] = {
		ATTR_RX_PKTS,    ATTR_RX_BYTES,  ATTR_TX_PKTS,     ATTR_TX_BYTES,
		ATTR_RX_ERRORS,  ATTR_TX_ERRORS, ATTR_RX_MISSED,   ATTR_DROPPED,
		ATTR_CACHE_HITS, ATTR_MISSES,    ATTR_MISS_QUEUED, ATTR_MEGAFLOW_HITS,
	};
	struct facts *f = aux;
	const char *port = attrs_str(a, ATTR_PORT, "");
	for (size_t i = 0; i < SL_ARRAY_SIZE(counters); i++)
		sample_add(&f->counts, facts_key(api_attrs[counters[i]].name, port),
			   attrs_u64(a, counters[i], 0));
	sample_add(&f->counts, facts_key("held", port), attrs_u64(a, ATTR_HELD, 0));
	ATTR_FOR_EACH (it, a) {
		struct attrs d = attr_nest(it);
		struct fact_drop drop;
		char what[128];
		if (it->id != ATTR_DROP)
			continue;
		drop = (struct fact_drop){xstrdup(port), text_of(d, ATTR_REASON),
					  attrs_u64(d, ATTR_COUNT, 0)};
		snprintf(what, sizeof what, "drop %s", drop.reason);
		sample_add(&f->counts, facts_key(what, port), drop.count);
		vec_push(&f->drops, drop);
	}
}

static void take_thread(struct attrs a, void *aux)
{
	struct facts *f = aux;
	struct fact_thread t = {.core = (unsigned)attrs_u64(a, ATTR_CORE, 0),
				.busy_permille = (unsigned)attrs_u64(a, ATTR_BUSY_PERMILLE, 0),
				.megaflows = (unsigned)attrs_u64(a, ATTR_MEGAFLOWS, 0),
				.masks = (unsigned)attrs_u64(a, ATTR_MASKS, 0),
				.pkts = attrs_u64(a, ATTR_PKTS, 0),
				.sleeps = attrs_u64(a, ATTR_SLEEPS, 0),
				.iterations = attrs_u64(a, ATTR_ITERATIONS, 0)};
	size_t len = 0;
	const void *stages = attrs_bytes(a, ATTR_STAGE_CYCLES, &len);
	char core[16];
	t.n_stages = (unsigned)SL_MIN(len / sizeof(uint64_t), n_facts_stages);
	if (stages)
		memcpy(t.stage_cycles, stages, t.n_stages * sizeof(uint64_t));
	ATTR_FOR_EACH (it, a) {
		struct attrs q = attr_nest(it);
		unsigned pin;
		if (it->id != ATTR_RXQ)
			continue;
		pin = (unsigned)attrs_u64(q, ATTR_PINNED_CORE, 0xffff);
		vec_push(&t.queues,
			 (struct fact_queue){.port = text_of(q, ATTR_PORT),
					     .queue = (unsigned)attrs_u64(q, ATTR_QUEUE, 0),
					     .busy_permille =
						     (unsigned)attrs_u64(q, ATTR_BUSY_PERMILLE, 0),
					     .pinned_core = pin == 0xffff ? -1 : (int)pin});
	}
	snprintf(core, sizeof core, "%u", t.core);
	sample_add(&f->counts, facts_key("poll_packets", core), t.pkts);
	for (unsigned i = 0; i < t.n_stages; i++)
		sample_add(&f->counts, facts_key(facts_stage_names[i], core), t.stage_cycles[i]);
	vec_push(&f->threads, t);
}

/* ---- objects ---- */

static void take_status(struct attrs a, void *aux)
{
	struct facts *f = aux;
	const char *detail = attrs_str(a, ATTR_DETAIL, "");
	f->program = text_of(a, ATTR_PROGRAM);
	f->dpdk = text_of(a, ATTR_DPDK_VERSION);
	f->pid = (unsigned)attrs_u64(a, ATTR_PID, 0);
	f->main_core = (unsigned)attrs_u64(a, ATTR_MAIN_CORE, 0);
	f->uptime_ms = attrs_u64(a, ATTR_UPTIME_MS, 0);
	f->memory_bytes = attrs_u64(a, ATTR_MEMORY_BYTES, 0);
	f->hugepages = attrs_u64(a, ATTR_HUGEPAGES, 0);
	f->buffers = facts_detail_number(detail, "buffers");
	f->buffers_in_use = facts_detail_number(detail, "buffers_in_use");
}

static void take_port(struct attrs a, void *aux)
{
	struct facts *f = aux;
	struct attrs st = nested(a, ATTR_STATUS);
	struct fact_port p = {.name = text_of(a, ATTR_NAME),
			      .bridge = text_of(a, ATTR_BRIDGE),
			      .type = text_of(a, ATTR_TYPE),
			      .state = text_of(st, ATTR_STATE),
			      .detail = text_of(st, ATTR_DETAIL),
			      .mtu = (uint32_t)attrs_u64(st, ATTR_MTU, 0),
			      .n_rxq = (uint32_t)attrs_u64(st, ATTR_N_RXQ, 0),
			      .numa = attrs_has(st, ATTR_NUMA) ? (int)attrs_u64(st, ATTR_NUMA, 0)
							       : -1,
			      .link_up = attrs_u64(st, ATTR_LINK_UP, 0),
			      .admin_up = attrs_u64(st, ATTR_ADMIN_UP, 0)};
	ATTR_FOR_EACH (it, a)
		if (it->id == ATTR_OPTION &&
		    !strcmp(attrs_str(attr_nest(it), ATTR_KEY, ""), "dpdk-devargs")) {
			free(p.device);
			p.device = text_of(attr_nest(it), ATTR_VALUE);
		}
	if (!p.device)
		p.device = xstrdup("");
	p.held = sample_get(&f->counts, facts_key("held", p.name));
	vec_push(&f->ports, p);
}

static void take_bridge(struct attrs a, void *aux)
{
	struct facts *f = aux;
	vec_push(&f->bridges,
		 (struct fact_bridge){.name = text_of(a, ATTR_NAME),
				      .open = attrs_u64(nested(a, ATTR_STATUS), ATTR_OPEN, 0),
				      .fail_secure = attrs_u64(a, ATTR_FAIL_SECURE, 0),
				      .policed = attrs_u64(a, ATTR_POLICED, 0),
				      .mac_table_size =
					      (unsigned)attrs_u64(a, ATTR_MAC_TABLE_SIZE, 8192)});
}

static void take_mac(struct attrs a, void *aux)
{
	struct facts *f = aux;
	const char *bridge = attrs_str(a, ATTR_BRIDGE, "");
	VEC_FOR_EACH (b, &f->bridges)
		b->n_macs += !strcmp(b->name, bridge);
}

static void take_ct(struct attrs a, void *aux)
{
	struct facts *f = aux;
	if (!attrs_has(a, ATTR_CT_MAX))
		return;
	f->ct_max = attrs_u64(a, ATTR_CT_MAX, 0);
	f->ct_count = attrs_u64(a, ATTR_CT_COUNT, 0);
	f->ct_half_open = attrs_u64(a, ATTR_CT_HALF_OPEN, 0);
}

static void take_rule_hits(struct attrs a, void *aux)
{
	struct facts *f = aux;
	uint64_t until = attrs_u64(a, ATTR_VALID_UNTIL_MS, 0);
	if (until)
		vec_push(&f->grants, (struct fact_grant){text_of(a, ATTR_NAME), until});
}

static void take_audit(struct attrs a, void *aux)
{
	struct facts *f = aux;
	f->audit_checked = attrs_u64(a, ATTR_AUDIT_CHECKED, 0);
	f->audit_different = attrs_u64(a, ATTR_AUDIT_DIFFERENT, 0);
}

/* ---- the kernel's view of poll threads ---- */

/* How long the thread was ready to run while others had its core. */
static void take_wait(struct facts *f, const char *tid)
{
	char path[64], comm[32] = "", core[16];
	unsigned long long ran, waited = 0;
	unsigned number;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%u/task/%.16s/comm", f->pid, tid);
	file = fopen(path, "re");
	if (!file)
		return;
	bool polls = fgets(comm, sizeof comm, file) && sscanf(comm, "poll-c%u", &number) == 1;
	fclose(file);
	snprintf(path, sizeof path, "/proc/%u/task/%.16s/schedstat", f->pid, tid);
	file = polls ? fopen(path, "re") : NULL;
	if (!file)
		return;
	if (fscanf(file, "%llu %llu", &ran, &waited) == 2) {
		snprintf(core, sizeof core, "%u", number);
		sample_add(&f->counts, facts_key("wait_ns", core), waited);
	}
	fclose(file);
}

static void take_waits(struct facts *f)
{
	char path[32];
	DIR *dir;
	struct dirent *e;

	snprintf(path, sizeof path, "/proc/%u/task", f->pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			take_wait(f, e->d_name);
	if (dir)
		closedir(dir);
}

/* ---- reading ---- */

struct api_client *facts_connect(const struct command_call *c, struct err *e)
{
	char *path = command_path(c, "datapath.sock");
	struct api_client *client = NULL;
	if (api_connect(path, "sluice " SLUICE_VERSION, false, &client, e))
		client = NULL;
	free(path);
	return client;
}

static bool dump(struct api_client *client, enum api_message what, command_object_fn fn,
		 struct facts *f)
{
	struct err e = {0};
	struct msg m;
	msg_init(&m, what, 0);
	return !command_dump_on(client, &m, fn, f, &e);
}

static void read_datapath(struct api_client *client, struct facts *f)
{
	struct err e = {0};
	struct msg m;
	f->counts.at_us = clock_mono_us();
	dump(client, API_PORT_STATS, take_stats, f);
	dump(client, API_POLL, take_thread, f);
	dump(client, API_PORTS, take_port, f);
	dump(client, API_BRIDGES, take_bridge, f);
	dump(client, API_MACS, take_mac, f);
	dump(client, API_CT_INFO, take_ct, f);
	dump(client, API_POLICY_HITS, take_rule_hits, f);
	msg_init(&m, API_AUDIT, 0);
	api_call(client, &m, take_audit, f, &e); /* refused by datapaths without it */
	err_clear(&e);
	msg_init(&m, API_STATUS, 0);
	f->datapath = !api_call(client, &m, take_status, f, &e);
	if (!f->datapath)
		memcpy(f->datapath_error, e.text, sizeof e.text);
	else
		take_waits(f);
}

void facts_read(const struct command_call *c, struct api_client *client, bool with_sluiced,
		struct facts *f)
{
	char *socket = command_path(c, "sluiced.sock"), *text = NULL;
	if (client)
		read_datapath(client, f);
	/* A socket that is left behind is found out by asking, with a message on stderr. */
	if (with_sluiced && !access(socket, F_OK) && command_socket_accepts(c, "sluiced.sock") &&
	    !command_sluiced(c, "sluiced/status", NULL, 0, &text))
		f->sluiced = json_loads(text, 0, NULL);
	free(text);
	free(socket);
}

const struct fact_port *facts_port(const struct facts *f, const char *name)
{
	VEC_FOR_EACH (p, &f->ports)
		if (!strcmp(p->name, name))
			return p;
	return NULL;
}

static void free_port(struct fact_port *p)
{
	free(p->name);
	free(p->bridge);
	free(p->type);
	free(p->state);
	free(p->detail);
	free(p->device);
}

void facts_free(struct facts *f)
{
	VEC_FOR_EACH (p, &f->ports)
		free_port(p);
	VEC_FOR_EACH (t, &f->threads) {
		VEC_FOR_EACH (q, &t->queues)
			free(q->port);
		vec_free(&t->queues);
	}
	VEC_FOR_EACH (b, &f->bridges)
		free(b->name);
	VEC_FOR_EACH (d, &f->drops) {
		free(d->port);
		free(d->reason);
	}
	VEC_FOR_EACH (g, &f->grants)
		free(g->name);
	vec_free(&f->grants);
	vec_free(&f->ports);
	vec_free(&f->threads);
	vec_free(&f->bridges);
	vec_free(&f->drops);
	sample_free(&f->counts);
	free(f->program);
	free(f->dpdk);
	json_decref(f->sluiced);
	*f = (struct facts){0};
}
