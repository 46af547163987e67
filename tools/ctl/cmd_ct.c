/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections. Reads ask datapath.sock, changes go through sluiced. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/flow/field.h"
#include "tools/ctl/handlers.h"
#include "tools/ctl/table.h"

static const struct table_column conn_columns[] = {
	{"PROTO", "proto", TABLE_TEXT}, {"ORIGINAL", "orig", TABLE_TEXT},
	{"REPLY", "reply", TABLE_TEXT}, {"ZONE", "zone", TABLE_NUMBER},
	{"MARK", "mark", TABLE_NUMBER}, {"LABEL", "label", TABLE_TEXT},
	{"STATE", "state", TABLE_TEXT}, {"EXPIRES", "expires_s", TABLE_NUMBER},
	{NULL, NULL, TABLE_TEXT},
};

/* Those of a policed port have the policy's rule instead of zone, mark and label. */
static const struct table_column edge_columns[] = {
	{"PROTO", "proto", TABLE_TEXT},
	{"ORIGINAL", "orig", TABLE_TEXT},
	{"REPLY", "reply", TABLE_TEXT},
	{"STATE", "state", TABLE_TEXT},
	{"EXPIRES", "expires_s", TABLE_NUMBER},
	{"RULE", "rule", TABLE_TEXT},
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

static void put_edge_conn(struct attrs o, void *aux)
{
	struct table *t = aux;
	char number[4];
	table_row(t);
	table_text(t, proto_name((unsigned)attrs_u64(o, ATTR_CT_PROTO, 0), number));
	put_tuple(t, o, ATTR_CT_ORIG);
	put_tuple(t, o, ATTR_CT_REPLY);
	table_text(t, state_of(o));
	table_number(t, attrs_u64(o, ATTR_CT_TIMEOUT_S, 0));
	table_text(t, attrs_str(o, ATTR_NAME, ""));
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
	bool is_number = c->argc && strspn(c->argv[0], "0123456789") == strlen(c->argv[0]);
	if (is_number && !parse_u64(c->argv[0], 10, UINT16_MAX, &zone))
		return command_fail("%s: a zone is a number up to 65535", c->argv[0]);
	msg_init(&m, API_CONNS, 0);
	if (is_number)
		msg_put_u16(&m, ATTR_CT_ZONE, (uint16_t)zone);
	else if (c->argc) {
		msg_put_str(&m, ATTR_PORT, c->argv[0]);
		return finish(c, table_create(c, "connections", edge_columns), &m, put_edge_conn);
	}
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

/* N or N/MASK */
static bool is_masked_number(const char *text)
{
	const char *slash = strchr(text, '/');
	char *number = xstrndup(text, slash ? (size_t)(slash - text) : strlen(text));
	uint64_t v;
	bool good = parse_u64(number, 0, UINT32_MAX, &v) &&
		    (!slash || parse_u64(slash + 1, 0, UINT32_MAX, &v));
	free(number);
	return good;
}

static bool is_label(const char *text)
{
	union field_value value, mask;
	struct err e = {0};
	return !field_parse_value(&fields[FIELD_CT_LABEL], text, &value, &mask, &e);
}

static const struct tuple_word {
	const char *name, *what;
	int family; /* of an address; 0: a number up to max */
	uint32_t max;
} tuple_words[] = {
	{"ct_nw_src", "an IPv4 address", AF_INET, 0},
	{"ct_nw_dst", "an IPv4 address", AF_INET, 0},
	{"ct_ipv6_src", "an IPv6 address", AF_INET6, 0},
	{"ct_ipv6_dst", "an IPv6 address", AF_INET6, 0},
	{"ct_nw_proto", "an IP protocol: a number up to 255", 0, UINT8_MAX},
	{"ct_tp_src", "a port: a number up to 65535", 0, UINT16_MAX},
	{"ct_tp_dst", "a port: a number up to 65535", 0, UINT16_MAX},
	{"icmp_id", "a number up to 65535", 0, UINT16_MAX},
	{"icmp_type", "a number up to 255", 0, UINT8_MAX},
	{"icmp_code", "a number up to 255", 0, UINT8_MAX},
};

static int check_tuple_word(const char *word)
{
	const char *eq = strchr(word, '=');
	uint8_t addr[16];
	uint64_t v;
	for (size_t i = 0; i < SL_ARRAY_SIZE(tuple_words) && eq; i++) {
		const struct tuple_word *w = &tuple_words[i];
		if (strlen(w->name) != (size_t)(eq - word) ||
		    strncmp(word, w->name, (size_t)(eq - word)))
			continue;
		if (w->family ? inet_pton(w->family, eq + 1, addr) == 1
			      : parse_u64(eq + 1, 0, w->max, &v))
			return EXIT_OK;
		return command_fail("%s: it takes %s", word, w->what);
	}
	return command_fail("%s: not known: what selects connections is zone=N, mark=N[/MASK], "
			    "label=N[/MASK], or a tuple of ct_nw_src, ct_nw_dst, ct_ipv6_src, "
			    "ct_ipv6_dst, ct_nw_proto, ct_tp_src, ct_tp_dst, icmp_id, icmp_type, "
			    "icmp_code, each with =VALUE, separated by commas",
			    word);
}

static int check_tuple(const char *text)
{
	char *copy = xstrdup(text), *rest = copy, *word;
	int rc = EXIT_OK;
	while (!rc && (word = strsep(&rest, ",")))
		rc = check_tuple_word(word);
	free(copy);
	return rc;
}

/* What dpctl/flush-conntrack takes, refused in our words. */
static int check_selection(const char *word, unsigned *n_tuples)
{
	uint64_t zone;
	if (!strncmp(word, "zone=", 5))
		return parse_u64(word + 5, 10, UINT16_MAX, &zone)
			       ? EXIT_OK
			       : command_fail("%s: a zone is a number up to 65535", word);
	if (!strncmp(word, "mark=", 5))
		return is_masked_number(word + 5)
			       ? EXIT_OK
			       : command_fail("%s: a mark is N or N/MASK, of 32 bits", word);
	if (!strncmp(word, "label=", 6))
		return is_label(word + 6)
			       ? EXIT_OK
			       : command_fail("%s: a label is N or N/MASK, of 128 bits", word);
	if (++*n_tuples > 2)
		return command_fail("%s: there are two tuples at most, of the original direction "
				    "and of the reply",
				    word);
	return check_tuple(word);
}

int cmd_ct_flush(struct command_call *c)
{
	unsigned n_tuples = 0;
	int rc = EXIT_OK;
	for (int i = 0; i < c->argc && !rc; i++)
		rc = check_selection(c->argv[i], &n_tuples);
	return rc ? rc
		  : call(c, "dpctl/flush-conntrack", (const char *const *)c->argv, (size_t)c->argc);
}

static const char no_limit[] = ",limit=none";

/* zone=Z,limit=N, or with limit=none */
static bool is_zone_limit(const char *word)
{
	const char *comma = strchr(word, ',');
	char *zone;
	uint64_t v;
	bool good;
	if (strncmp(word, "zone=", 5) || !comma)
		return false;
	zone = xstrndup(word + 5, (size_t)(comma - word) - 5);
	good = parse_u64(zone, 10, UINT16_MAX, &v) &&
	       (!strcmp(comma, no_limit) ||
		(!strncmp(comma, ",limit=", 7) && parse_u64(comma + 7, 10, UINT32_MAX, &v)));
	free(zone);
	return good;
}

static int check_limit(const char *word)
{
	uint64_t v;
	if ((!strncmp(word, "max=", 4) && parse_u64(word + 4, 10, UINT32_MAX, &v)) ||
	    (!strncmp(word, "default=", 8) && parse_u64(word + 8, 10, UINT32_MAX, &v)) ||
	    is_zone_limit(word))
		return EXIT_OK;
	return command_fail("%s: a limit is max=N, default=N, zone=Z,limit=N or zone=Z,limit=none, "
			    "with Z up to 65535",
			    word);
}

static int limit(struct command_call *c, char *word)
{
	const char *arg = word;
	char *comma = strchr(word, ',');
	if (!strncmp(word, "max=", 4)) {
		arg = word + 4;
		return call(c, "dpctl/ct-set-maxconns", &arg, 1);
	}
	if (comma && !strcmp(comma, no_limit)) {
		*comma = '\0';
		return call(c, "dpctl/ct-del-limits", &arg, 1);
	}
	return call(c, "dpctl/ct-set-limits", &arg, 1);
}

int cmd_ct_limit(struct command_call *c)
{
	int rc = EXIT_OK;
	for (int i = 0; i < c->argc && !rc; i++)
		rc = check_limit(c->argv[i]);
	for (int i = 0; i < c->argc && !rc; i++)
		rc = limit(c, c->argv[i]);
	return rc;
}
