/* SPDX-License-Identifier: BSD-3-Clause */
/* The database as a net.yaml. Every name and value that YAML could take for something else is
 * quoted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/state/net.h"
#include "datapath/base/str.h"
#include "ovsdb-lite/client.h"

static bool plain(const char *s)
{
	if (!s[0] || strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			       "0123456789_./-") != strlen(s))
		return false;
	return s[0] != '-' && s[0] != '.' && strcmp(s, "null") != 0;
}

static void put_text(struct str *out, const char *s)
{
	if (plain(s)) {
		str_puts(out, s);
		return;
	}
	str_putc(out, '"');
	for (; *s; s++)
		if (*s == '"' || *s == '\\')
			str_printf(out, "\\%c", *s);
		else if ((unsigned char)*s < ' ')
			str_printf(out, "\\x%02x", *s);
		else
			str_putc(out, *s);
	str_putc(out, '"');
}

static void put_list(struct str *out, const char *joined, char sep)
{
	char *copy = xstrdup(joined), *save = NULL;
	const char seps[2] = {sep, '\0'}, *comma = "";
	str_putc(out, '[');
	for (char *w = strtok_r(copy, seps, &save); w; w = strtok_r(NULL, seps, &save)) {
		str_puts(out, comma);
		put_text(out, w);
		comma = ", ";
	}
	str_putc(out, ']');
	free(copy);
}

static void put_value(struct str *out, const struct net_key *k, const char *v)
{
	if (k->kind == NET_VLANS || k->kind == NET_CORES)
		put_list(out, v, ',');
	else if (k->kind == NET_WORDS || k->kind == NET_TARGETS)
		put_list(out, v, ' ');
	else
		put_text(out, v);
}

static void put_indent(struct str *out, int depth)
{
	for (int i = 0; i < depth; i++)
		str_puts(out, "  ");
}

static bool is_alias(const struct net_key *map, const char *sub)
{
	if (!strcmp(sub, "sluice-owner"))
		return true;
	for (size_t i = 0; i < net_n_keys; i++)
		if (!strcmp(net_keys[i].table, map->table) &&
		    !strcmp(net_keys[i].column, map->column) && !strcmp(net_keys[i].map_key, sub))
			return true;
	return false;
}

static void put_map(struct str *out, const struct ovsdb_row *row, const struct net_key *k,
		    int depth)
{
	bool begun = false;
	for (size_t i = 0; i < ovsdb_row_n(row, k->column); i++) {
		const char *value, *sub = ovsdb_row_map_at(row, k->column, i, &value);
		if (is_alias(k, sub))
			continue;
		if (!begun) {
			put_indent(out, depth);
			str_printf(out, "%s:\n", k->name);
			begun = true;
		}
		put_indent(out, depth + 1);
		put_text(out, sub);
		str_puts(out, ": ");
		put_text(out, value);
		str_putc(out, '\n');
	}
}

/* The keys of one table that the row sets. */
static void put_row(struct str *out, const struct ovsdb_client *db, const struct ovsdb_row *row,
		    enum net_scope scope, int depth)
{
	for (size_t i = 0; i < net_n_keys; i++) {
		const struct net_key *k = &net_keys[i];
		char *v;
		if (k->scope != scope || strcmp(k->table, ovsdb_row_table_name(row)))
			continue;
		if (k->kind == NET_MAP) {
			put_map(out, row, k, depth);
			continue;
		}
		v = net_row_value(db, row, k, NULL);
		if (v) {
			put_indent(out, depth);
			str_printf(out, "%s: ", k->name);
			put_value(out, k, v);
			str_putc(out, '\n');
		}
		free(v);
	}
}

static void put_port(struct str *out, const struct ovsdb_client *db, const struct ovsdb_row *port)
{
	const struct ovsdb_row *iface = ovsdb_row_ref_at(db, port, "interfaces", 0);
	struct str body = STR_INIT;
	if (iface)
		put_row(&body, db, iface, NET_PORT, 4);
	put_row(&body, db, port, NET_PORT, 4);
	put_indent(out, 3);
	put_text(out, ovsdb_row_string(port, "name", ""));
	str_printf(out, body.len ? ":\n%s" : ": {}\n", str_cstr(&body));
	str_free(&body);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(ovsdb_row_string(*(const struct ovsdb_row *const *)a, "name", ""),
		      ovsdb_row_string(*(const struct ovsdb_row *const *)b, "name", ""));
}

static void put_bridge(struct str *out, const struct ovsdb_client *db, const struct ovsdb_row *row)
{
	VEC(const struct ovsdb_row *) ports = {0};
	struct str body = STR_INIT;
	for (size_t i = 0; i < ovsdb_row_n(row, "ports"); i++) {
		const struct ovsdb_row *p = ovsdb_row_ref_at(db, row, "ports", i);
		if (p)
			vec_push(&ports, p);
	}
	if (ports.len)
		qsort(ports.at, ports.len, sizeof *ports.at, compare_names);
	put_row(&body, db, row, NET_BRIDGE, 2);
	if (ports.len)
		str_puts(&body, "    ports:\n");
	VEC_FOR_EACH (p, &ports)
		put_port(&body, db, *p);
	str_puts(out, "  ");
	put_text(out, ovsdb_row_string(row, "name", ""));
	str_printf(out, body.len ? ":\n%s" : ": {}\n", str_cstr(&body));
	str_free(&body);
	vec_free(&ports);
}

void net_export(const struct ovsdb_client *db, struct str *out)
{
	const struct ovsdb_row *root = ovsdb_client_singleton(db, "Open_vSwitch");
	VEC(const struct ovsdb_row *) bridges = {0};
	struct str poll = STR_INIT;
	if (!root)
		return;
	put_row(&poll, db, root, NET_POLL, 1);
	if (poll.len)
		str_printf(out, "poll:\n%s", str_cstr(&poll));
	str_free(&poll);
	OVSDB_CLIENT_FOR_EACH (b, db, "Bridge")
		vec_push(&bridges, b);
	if (bridges.len)
		qsort(bridges.at, bridges.len, sizeof *bridges.at, compare_names);
	str_puts(out, bridges.len ? "bridges:\n" : "bridges: {}\n");
	VEC_FOR_EACH (b, &bridges)
		put_bridge(out, db, *b);
	vec_free(&bridges);
}
