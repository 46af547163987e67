/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads of the datapath's objects. They ask datapath.sock, so they work while sluiced is away. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "tools/ctl/handlers.h"
#include "tools/ctl/table.h"

struct show {
	const struct command_call *c;
	struct table *t;
	const char *name; /* only this object; NULL: all */
	bool found;
};

static bool wanted(struct show *s, const char *name)
{
	if (s->name && strcmp(s->name, name))
		return false;
	s->found = true;
	return true;
}

/* Prints the table, and complains when the one object asked for was not there. */
static int end(struct show *s, int rc, const char *kind)
{
	if (!rc && s->name && !s->found)
		rc = command_fail("%s %s: not found", kind, s->name);
	if (rc) {
		table_discard(s->t);
		return rc;
	}
	table_finish(s->t);
	return EXIT_OK;
}

static int finish(struct show *s, struct msg *request, command_object_fn fn, const char *kind)
{
	return end(s, command_dump(s->c, request, fn, s), kind);
}

static struct show begin(struct command_call *c, const char *name,
			 const struct table_column *columns)
{
	return (struct show){
		.c = c, .t = table_create(c, name, columns), .name = c->argc ? c->argv[0] : NULL};
}

static void bridge_filter(const struct command_call *c, struct msg *m)
{
	const char *bridge = command_option(c, "bridge");
	if (bridge)
		msg_put_str(m, ATTR_BRIDGE, bridge);
}

static struct attrs status_of(struct attrs a)
{
	const struct attr *nest = attrs_find(a, ATTR_STATUS);
	return nest ? attr_nest(nest) : a;
}

/* ---- bridges ---- */

static const struct table_column bridge_columns[] = {
	{"BRIDGE", "name", TABLE_TEXT},
	{"DATAPATH ID", "datapath_id", TABLE_TEXT},
	{"FAIL MODE", "fail_mode", TABLE_TEXT},
	{"OPEN", "open", TABLE_BOOL},
	{"POLICY", "policy", TABLE_BOOL},
	{"MAC AGEING", "mac_ageing_s", TABLE_NUMBER},
	{"MAC TABLE", "mac_table_size", TABLE_NUMBER},
	{NULL, NULL, TABLE_TEXT},
};

static void put_bridge(struct attrs a, void *aux)
{
	struct show *s = aux;
	char id[20];
	if (!wanted(s, attrs_str(a, ATTR_NAME, "")))
		return;
	snprintf(id, sizeof id, "%016llx", (unsigned long long)attrs_u64(a, ATTR_DATAPATH_ID, 0));
	table_row(s->t);
	table_text(s->t, attrs_str(a, ATTR_NAME, ""));
	table_text(s->t, id);
	table_text(s->t, attrs_u64(a, ATTR_FAIL_SECURE, 0) ? "secure" : "standalone");
	table_bool(s->t, attrs_u64(status_of(a), ATTR_OPEN, 0));
	table_bool(s->t, attrs_u64(a, ATTR_POLICED, 0));
	table_number(s->t, attrs_u64(a, ATTR_MAC_AGEING_S, 300));
	table_number(s->t, attrs_u64(a, ATTR_MAC_TABLE_SIZE, 8192));
}

int cmd_bridge_show(struct command_call *c)
{
	struct show s = begin(c, "bridges", bridge_columns);
	struct msg m;
	msg_init(&m, API_BRIDGES, 0);
	return finish(&s, &m, put_bridge, "bridge");
}

/* ---- ports ---- */

static const struct table_column port_columns[] = {
	{"PORT", "name", TABLE_TEXT},       {"BRIDGE", "bridge", TABLE_TEXT},
	{"OFPORT", "ofport", TABLE_NUMBER}, {"TYPE", "type", TABLE_TEXT},
	{"VLAN", "vlan", TABLE_TEXT},       {"LINK", "link", TABLE_TEXT},
	{"MTU", "mtu", TABLE_NUMBER},       {"MAC", "mac", TABLE_TEXT},
	{"RXQ", "n_rxq", TABLE_NUMBER},     {"STATE", "state", TABLE_TEXT},
	{"DETAIL", "detail", TABLE_TEXT},   {NULL, NULL, TABLE_TEXT},
};

static void put_vlans(const uint8_t *bits, size_t len, struct str *out)
{
	const char *sep = "";
	for (unsigned v = 0; bits && v < len * 8; v++) {
		unsigned last = v;
		if (!(bits[v / 8] & 1u << (v % 8)))
			continue;
		while (last + 1 < len * 8 && bits[(last + 1) / 8] & 1u << ((last + 1) % 8))
			last++;
		str_printf(out, last > v ? "%s%u-%u" : "%s%u", sep, v, last);
		sep = ",";
		v = last;
	}
}

/* "10", "trunk", "trunk 1,10-20", "native-tagged 5 trunk 1-9" */
static void describe_vlan(struct attrs a, struct str *out)
{
	static const char *const modes[] = {"trunk", "", "native-tagged ", "native-untagged ",
					    "dot1q-tunnel "};
	uint64_t mode = attrs_u64(a, ATTR_VLAN_MODE, 0);
	size_t len;
	const uint8_t *trunks = attrs_bytes(a, ATTR_VLAN_TRUNKS, &len);
	str_puts(out, mode < SL_ARRAY_SIZE(modes) ? modes[mode] : "?");
	if (mode)
		str_printf(out, "%u", (unsigned)attrs_u64(a, ATTR_VLAN_TAG, 0));
	if (trunks && len) {
		str_puts(out, mode ? " trunk " : " ");
		put_vlans(trunks, len, out);
	}
}

static void put_port(struct attrs a, const char *error, struct show *s)
{
	struct attrs st = status_of(a);
	struct str vlan = STR_INIT;
	uint64_t ofport = attrs_u64(a, ATTR_OFPORT, attrs_u64(st, ATTR_OFPORT, 0));
	if (!wanted(s, attrs_str(a, ATTR_NAME, "")))
		return;
	describe_vlan(a, &vlan);
	table_row(s->t);
	table_text(s->t, attrs_str(a, ATTR_NAME, ""));
	table_text(s->t, attrs_str(a, ATTR_BRIDGE, ""));
	table_number(s->t, ofport == 0xfffffffeu ? 65534 : ofport);
	table_text(s->t, attrs_str(a, ATTR_TYPE, ""));
	table_text(s->t, str_cstr(&vlan));
	table_text(s->t, attrs_u64(st, ATTR_LINK_UP, 0) ? "up" : "down");
	table_number(s->t, attrs_u64(st, ATTR_MTU, 0));
	table_mac(s->t, st, ATTR_MAC);
	table_number(s->t, attrs_u64(st, ATTR_N_RXQ, 0));
	table_text(s->t, error ? "error" : attrs_str(st, ATTR_STATE, ""));
	table_text(s->t, error ? error : attrs_str(st, ATTR_DETAIL, ""));
	str_free(&vlan);
}

/* What sluiced says is wrong with ports; NULL when it is not there. Caller frees. */
static json_t *ask_problems(const struct command_call *c)
{
	char *socket = command_path(c, "sluiced.sock"), *text = NULL;
	json_t *status = NULL, *notes;
	if (!access(socket, F_OK) && command_socket_accepts(c, "sluiced.sock") &&
	    !command_sluiced(c, "sluiced/status", NULL, 0, &text))
		status = json_loads(text, 0, NULL);
	notes = json_incref(json_object_get(status, "notes"));
	json_decref(status);
	free(text);
	free(socket);
	return notes;
}

static const char *text_of(const json_t *note, const char *key)
{
	const char *text = json_string_value(json_object_get(note, key));
	return text ? text : "";
}

/* A port that the datapath refused, or that is there and has something wrong with it. */
static void put_problem(struct show *s, const json_t *note)
{
	if (!wanted(s, text_of(note, "name")))
		return;
	table_row(s->t);
	table_text(s->t, text_of(note, "name"));
	table_text(s->t, text_of(note, "bridge"));
	table_number(s->t, 0);
	table_text(s->t, text_of(note, "type"));
	table_text(s->t, "");
	table_text(s->t, "down");
	table_number(s->t, 0);
	table_text(s->t, "");
	table_number(s->t, 0);
	table_text(s->t, "failed");
	table_text(s->t, text_of(note, "text"));
}

struct ports_show {
	struct show s;
	json_t *problems; /* a note is taken out when its port is in the dump */
};

static void put_port_or_problem(struct attrs a, void *aux)
{
	struct ports_show *p = aux;
	const json_t *note;
	size_t i;
	json_array_foreach(p->problems, i, note)
	{
		if (strcmp(text_of(note, "name"), attrs_str(a, ATTR_NAME, "")) ||
		    strcmp(text_of(note, "table"), "Interface"))
			continue;
		put_port(a, text_of(note, "text"), &p->s);
		json_array_remove(p->problems, i);
		return;
	}
	put_port(a, NULL, &p->s);
}

int cmd_port_show(struct command_call *c)
{
	struct ports_show p = {.s = begin(c, "ports", port_columns), .problems = ask_problems(c)};
	const char *bridge = command_option(c, "bridge");
	const json_t *note;
	struct msg m;
	size_t i;
	msg_init(&m, API_PORTS, 0);
	bridge_filter(c, &m);
	int rc = command_dump(c, &m, put_port_or_problem, &p);
	json_array_foreach(p.problems, i,
			   note) if (!rc && !strcmp(text_of(note, "table"), "Interface") &&
				     *text_of(note, "bridge") &&
				     (!bridge || !strcmp(text_of(note, "bridge"), bridge)))
		put_problem(&p.s, note);
	json_decref(p.problems);
	return end(&p.s, rc, "port");
}

static const struct {
	struct table_column column;
	enum api_attr attr;
} counters[] = {
	{{"RX PKTS", "rx_packets", TABLE_NUMBER}, ATTR_RX_PKTS},
	{{"RX BYTES", "rx_bytes", TABLE_NUMBER}, ATTR_RX_BYTES},
	{{"RX ERRORS", "rx_errors", TABLE_NUMBER}, ATTR_RX_ERRORS},
	{{"RX MISSED", "rx_missed", TABLE_NUMBER}, ATTR_RX_MISSED},
	{{"TX PKTS", "tx_packets", TABLE_NUMBER}, ATTR_TX_PKTS},
	{{"TX BYTES", "tx_bytes", TABLE_NUMBER}, ATTR_TX_BYTES},
	{{"TX ERRORS", "tx_errors", TABLE_NUMBER}, ATTR_TX_ERRORS},
	{{"DROPPED", "dropped", TABLE_NUMBER}, ATTR_DROPPED},
	{{"HITS", "cache_hits", TABLE_NUMBER}, ATTR_CACHE_HITS},
	{{"MEGAFLOW HITS", "megaflow_hits", TABLE_NUMBER}, ATTR_MEGAFLOW_HITS},
	{{"MISSES", "misses", TABLE_NUMBER}, ATTR_MISSES},
	{{"OVER QUOTA", "over_quota", TABLE_NUMBER}, ATTR_OVER_QUOTA},
};

static void put_stats(struct attrs a, void *aux)
{
	struct show *s = aux;
	if (!wanted(s, attrs_str(a, ATTR_PORT, "")))
		return;
	table_row(s->t);
	table_text(s->t, attrs_str(a, ATTR_PORT, ""));
	for (size_t i = 0; i < SL_ARRAY_SIZE(counters); i++)
		table_number(s->t, attrs_u64(a, counters[i].attr, 0));
}

int cmd_port_stats(struct command_call *c)
{
	struct table_column columns[SL_ARRAY_SIZE(counters) + 2] = {{"PORT", "port", TABLE_TEXT}};
	struct show s;
	struct msg m;
	for (size_t i = 0; i < SL_ARRAY_SIZE(counters); i++)
		columns[i + 1] = counters[i].column;
	s = begin(c, "ports", columns);
	msg_init(&m, API_PORT_STATS, 0);
	bridge_filter(c, &m);
	return finish(&s, &m, put_stats, "port");
}

/* ---- MAC addresses ---- */

static const struct table_column mac_columns[] = {
	{"BRIDGE", "bridge", TABLE_TEXT}, {"PORT", "port", TABLE_TEXT},
	{"VLAN", "vlan", TABLE_NUMBER},   {"MAC", "mac", TABLE_TEXT},
	{"STATIC", "static", TABLE_BOOL}, {"AGE", "age_s", TABLE_NUMBER},
	{NULL, NULL, TABLE_TEXT},
};

static void put_mac(struct attrs a, void *aux)
{
	struct show *s = aux;
	table_row(s->t);
	table_text(s->t, attrs_str(a, ATTR_BRIDGE, ""));
	table_text(s->t, attrs_str(a, ATTR_PORT, ""));
	table_number(s->t, attrs_u64(a, ATTR_VLAN, 0));
	table_mac(s->t, a, ATTR_MAC);
	table_bool(s->t, attrs_u64(a, ATTR_STATIC, 0));
	table_number(s->t, attrs_u64(a, ATTR_AGE_S, 0));
}

int cmd_mac_show(struct command_call *c)
{
	struct show s = begin(c, "macs", mac_columns);
	struct msg m;
	msg_init(&m, API_MACS, 0);
	if (s.name)
		msg_put_str(&m, ATTR_BRIDGE, s.name);
	s.name = NULL;
	return finish(&s, &m, put_mac, "bridge");
}

/* ---- poll threads ---- */

static const struct table_column poll_columns[] = {
	{"CORE", "core", TABLE_NUMBER},
	{"BUSY", "busy", TABLE_TEXT},
	{"PACKETS", "packets", TABLE_NUMBER},
	{"CYCLES/PKT", "cycles_per_packet", TABLE_NUMBER},
	/* of those, by stage: measured in one iteration of 16 */
	{"RX", "rx_cycles", TABLE_NUMBER},
	{"EXTRACT", "extract_cycles", TABLE_NUMBER},
	{"CACHE", "cache_cycles", TABLE_NUMBER},
	{"RESOLVE", "resolve_cycles", TABLE_NUMBER},
	{"EXEC", "exec_cycles", TABLE_NUMBER},
	{"TX", "tx_cycles", TABLE_NUMBER},
	{"SLEEPS", "sleeps", TABLE_NUMBER},
	{"MEGAFLOWS", "megaflows", TABLE_NUMBER},
	{"MASKS", "masks", TABLE_NUMBER},
	{"QUEUES", "queues", TABLE_TEXT},
	{NULL, NULL, TABLE_TEXT},
};

enum { STAGES_SHOWN = 6 }; /* the first of ATTR_STAGE_CYCLES; then comes idle time */

static void put_stages(struct table *t, struct attrs a)
{
	uint64_t cycles[STAGES_SHOWN] = {0}, pkts = attrs_u64(a, ATTR_PKTS, 0);
	size_t len = 0;
	const void *all = attrs_bytes(a, ATTR_STAGE_CYCLES, &len);

	if (all)
		memcpy(cycles, all, SL_MIN(len, sizeof cycles));
	for (unsigned i = 0; i < STAGES_SHOWN; i++)
		table_number(t, pkts ? cycles[i] / pkts : 0);
}

/* "p1:0 (3.2%), p2:0" */
static void describe_queues(struct attrs a, struct str *out)
{
	ATTR_FOR_EACH (it, a) {
		struct attrs q = attr_nest(it);
		if (it->id != ATTR_RXQ)
			continue;
		str_printf(out, "%s%s:%u (%u.%u%%)%s", out->len ? ", " : "",
			   attrs_str(q, ATTR_PORT, ""), (unsigned)attrs_u64(q, ATTR_QUEUE, 0),
			   (unsigned)attrs_u64(q, ATTR_BUSY_PERMILLE, 0) / 10,
			   (unsigned)attrs_u64(q, ATTR_BUSY_PERMILLE, 0) % 10,
			   attrs_u64(q, ATTR_PINNED_CORE, 0xffff) != 0xffff ? " pinned" : "");
	}
}

static void put_thread(struct attrs a, void *aux)
{
	struct show *s = aux;
	struct str queues = STR_INIT;
	char busy[24];
	unsigned permille = (unsigned)attrs_u64(a, ATTR_BUSY_PERMILLE, 0);
	snprintf(busy, sizeof busy, "%u.%u%%", permille / 10, permille % 10);
	describe_queues(a, &queues);
	table_row(s->t);
	table_number(s->t, attrs_u64(a, ATTR_CORE, 0));
	table_text(s->t, busy);
	table_number(s->t, attrs_u64(a, ATTR_PKTS, 0));
	table_number(s->t, attrs_u64(a, ATTR_CYCLES_PER_PKT, 0));
	put_stages(s->t, a);
	table_number(s->t, attrs_u64(a, ATTR_SLEEPS, 0));
	table_number(s->t, attrs_u64(a, ATTR_MEGAFLOWS, 0));
	table_number(s->t, attrs_u64(a, ATTR_MASKS, 0));
	table_text(s->t, str_cstr(&queues));
	str_free(&queues);
}

int cmd_poll_show(struct command_call *c)
{
	struct show s = begin(c, "threads", poll_columns);
	struct msg m;
	msg_init(&m, API_POLL, 0);
	return finish(&s, &m, put_thread, "poll thread");
}
