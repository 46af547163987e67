/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections. Reads ask datapath.sock, changes go through sluiced. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/handlers.h"
#include "tools/ctl/table.h"

static const struct table_column conn_columns[] = {
	{"PROTO", "proto", TABLE_TEXT}, {"ORIGINAL", "orig", TABLE_TEXT},
	{"REPLY", "reply", TABLE_TEXT}, {"ZONE", "zone", TABLE_NUMBER},
	{"MARK", "mark", TABLE_NUMBER}, {"LABEL", "label", TABLE_TEXT},
	{"STATE", "state", TABLE_TEXT}, {"EXPIRES", "expires_s", TABLE_NUMBER},
	{NULL, NULL, TABLE_TEXT},
};

static void describe_end(struct attrs t, enum api_attr addr_id, enum api_attr port_id,
			 struct str *out)
{
	char addr[INET6_ADDRSTRLEN] = "";
	uint64_t port;
	size_t len;
	const void *a = attrs_bytes(t, addr_id, &len);
	if (a && (len == 4 || len == 16))
		inet_ntop(len == 4 ? AF_INET : AF_INET6, a, addr, sizeof addr);
	if (!attrs_get_u64(t, port_id, &port) || !port)
		str_puts(out, addr);
	else
		str_printf(out, strchr(addr, ':') ? "[%s]:%u" : "%s:%u", addr, (unsigned)port);
}

/* "10.0.0.1:1000 > 10.0.0.2:80" */
static void put_tuple(struct table *t, struct attrs o, enum api_attr id)
{
	const struct attr *nest = attrs_find(o, id);
	struct str s = STR_INIT;
	if (nest) {
		struct attrs a = attr_nest(nest);
		describe_end(a, ATTR_CT_SRC, ATTR_CT_SPORT, &s);
		str_puts(&s, " > ");
		describe_end(a, ATTR_CT_DST, ATTR_CT_DPORT, &s);
		if (attrs_has(a, ATTR_CT_ICMP_ID))
			str_printf(&s, " type %u id %u",
				   (unsigned)attrs_u64(a, ATTR_CT_ICMP_TYPE, 0),
				   (unsigned)attrs_u64(a, ATTR_CT_ICMP_ID, 0));
	}
	table_text(t, str_cstr(&s));
	str_free(&s);
}

static void put_label(struct table *t, struct attrs o)
{
	char text[35] = "";
	size_t len;
	const uint8_t *b = attrs_bytes(o, ATTR_CT_LABEL, &len);
	if (b && len == 16) {
		snprintf(text, sizeof text, "0x");
		for (size_t i = 0; i < 16; i++)
			snprintf(text + 2 + 2 * i, 3, "%02x", b[i]);
	}
	table_text(t, text);
}

static const char *proto_name(unsigned proto, char number[4])
{
	static const struct {
		uint8_t proto;
		const char *name;
	} known[] = {{IPPROTO_TCP, "tcp"},
		     {IPPROTO_UDP, "udp"},
		     {IPPROTO_ICMP, "icmp"},
		     {IPPROTO_ICMPV6, "icmpv6"},
		     {IPPROTO_SCTP, "sctp"}};
	for (size_t i = 0; i < SL_ARRAY_SIZE(known); i++)
		if (known[i].proto == proto)
			return known[i].name;
	snprintf(number, 4, "%u", proto & 0xff);
	return number;
}

/* The later of the two ends' states, named as conntrack/conn.h does. */
static const char *state_of(struct attrs o)
{
	static const char *const names[] = {"closed",      "listen",     "syn_sent",   "syn_recv",
					    "established", "close_wait", "fin_wait_1", "closing",
					    "last_ack",    "fin_wait_2", "time_wait"};
	uint64_t a = attrs_u64(o, ATTR_CT_TCP_ORIG, 0), b = attrs_u64(o, ATTR_CT_TCP_REPLY, 0);
	if (!attrs_has(o, ATTR_CT_TCP_ORIG))
		return "";
	a = SL_MAX(a, b);
	return a < SL_ARRAY_SIZE(names) ? names[a] : "?";
}

static void put_conn(struct attrs o, void *aux)
{
	struct table *t = aux;
	char number[4];
	table_row(t);
	table_text(t, proto_name((unsigned)attrs_u64(o, ATTR_CT_PROTO, 0), number));
	put_tuple(t, o, ATTR_CT_ORIG);
	put_tuple(t, o, ATTR_CT_REPLY);
	table_number(t, attrs_u64(o, ATTR_CT_ZONE, 0));
	table_number(t, attrs_u64(o, ATTR_CT_MARK, 0));
	put_label(t, o);
	table_text(t, state_of(o));
	table_number(t, attrs_u64(o, ATTR_CT_TIMEOUT_S, 0));
}

static int finish(struct command_call *c, struct table *t, struct msg *request,
		  command_object_fn fn)
{
	int rc = command_dump(c, request, fn, t);
	if (rc)
		table_discard(t);
	else
		table_finish(t);
	return rc;
}

int cmd_ct_show(struct command_call *c)
{
	struct msg m;
	uint64_t zone;
	if (c->argc && !parse_u64(c->argv[0], 10, UINT16_MAX, &zone))
		return command_fail("%s: a zone is a number up to 65535", c->argv[0]);
	msg_init(&m, API_CONNS, 0);
	if (c->argc)
		msg_put_u16(&m, ATTR_CT_ZONE, (uint16_t)zone);
	return finish(c, table_create(c, "connections", conn_columns), &m, put_conn);
}

/* ---- counts and limits ---- */

static const struct table_column stats_columns[] = {
	{"ZONE", "zone", TABLE_TEXT},      {"CONNECTIONS", "connections", TABLE_NUMBER},
	{"LIMIT", "limit", TABLE_TEXT},    {"HALF OPEN", "half_open", TABLE_NUMBER},
	{"MEMORY", "bytes", TABLE_NUMBER}, {"COUNTERS", "counters", TABLE_TEXT},
	{NULL, NULL, TABLE_TEXT},
};

static void put_stats(struct attrs o, void *aux)
{
	struct table *t = aux;
	uint32_t limit = (uint32_t)attrs_u64(o, ATTR_CT_LIMIT, attrs_u64(o, ATTR_CT_MAX, 0));
	char zone[12] = "all", text[12] = "none";
	uint64_t number;
	if (attrs_get_u64(o, ATTR_CT_ZONE, &number))
		snprintf(zone, sizeof zone, "%u", (unsigned)number);
	else if (!attrs_has(o, ATTR_CT_MAX))
		snprintf(zone, sizeof zone, "default");
	if (limit != UINT32_MAX)
		snprintf(text, sizeof text, "%u", limit);
	table_row(t);
	table_text(t, zone);
	table_number(t, attrs_u64(o, ATTR_CT_COUNT, 0));
	table_text(t, text);
	table_number(t, attrs_u64(o, ATTR_CT_HALF_OPEN, 0));
	table_number(t, attrs_u64(o, ATTR_MEMORY_BYTES, 0));
	table_text(t, attrs_str(o, ATTR_DETAIL, ""));
}

int cmd_ct_stats(struct command_call *c)
{
	struct msg m;
	msg_init(&m, API_CT_INFO, 0);
	return finish(c, table_create(c, "zones", stats_columns), &m, put_stats);
}

/* ---- changes ---- */

static int call(struct command_call *c, const char *method, const char *const *argv, size_t n)
{
	char *reply = NULL;
	int rc = command_sluiced(c, method, argv, n, &reply);
	free(reply);
	return rc;
}

int cmd_ct_flush(struct command_call *c)
{
	return call(c, "dpctl/flush-conntrack", (const char *const *)c->argv, (size_t)c->argc);
}

static int limit(struct command_call *c, char *word)
{
	const char *arg = word;
	char *comma = strchr(word, ',');
	if (!strncmp(word, "max=", 4)) {
		arg = word + 4;
		return call(c, "dpctl/ct-set-maxconns", &arg, 1);
	}
	if (comma && !strcmp(comma, ",limit=none")) {
		*comma = '\0';
		return call(c, "dpctl/ct-del-limits", &arg, 1);
	}
	return call(c, "dpctl/ct-set-limits", &arg, 1);
}

int cmd_ct_limit(struct command_call *c)
{
	int rc = EXIT_OK;
	for (int i = 0; i < c->argc && !rc; i++)
		rc = limit(c, c->argv[i]);
	return rc;
}
