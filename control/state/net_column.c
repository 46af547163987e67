/* SPDX-License-Identifier: BSD-3-Clause */
/* One key of a net.yaml in its column: reading it as canonical text, writing it from that. */
#include "control/state/net_column.h"

#include <stdlib.h>
#include <string.h>

#include "control/state/config.h"
#include "control/state/knobs.h"
#include "datapath/base/str.h"
#include "ovsdb-lite/client.h"

/* ---- reading values ---- */

static char *mask_as_list(const char *mask)
{
	uint16_t cores[NET_CORE_MAX + 1];
	uint8_t bits[NET_CORE_MAX / 8 + 1] = {0};
	struct str out = STR_INIT;
	int n = knob_parse_mask(mask, cores, SL_ARRAY_SIZE(cores));
	for (int i = 0; i < n; i++)
		bits[cores[i] / 8] |= (uint8_t)(1u << (cores[i] % 8));
	net_ranges_format(bits, NET_CORE_MAX, &out);
	return str_steal(&out);
}

static char *list_as_mask(const char *list)
{
	uint8_t bits[NET_CORE_MAX / 8 + 1];
	struct str out = STR_INIT;
	if (!net_ranges_parse(list, bits, NET_CORE_MAX))
		return xstrdup("");
	for (int i = NET_CORE_MAX / 8; i >= 0; i--)
		if (out.len || bits[i])
			str_printf(&out, out.len ? "%02x" : "%x", bits[i]);
	return str_steal(&out);
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char *net_sorted_words(const char *words)
{
	char *copy = xstrdup(words), *save = NULL;
	VEC(char *) list = {0};
	struct str out = STR_INIT;
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		vec_push(&list, w);
	if (list.len)
		qsort(list.at, list.len, sizeof *list.at, compare_text);
	VEC_FOR_EACH (w, &list)
		str_printf(&out, "%s%s", out.len ? " " : "", *w);
	vec_free(&list);
	free(copy);
	return str_steal(&out);
}

static char *targets(const struct ovsdb_client *db, const struct ovsdb_row *row, const char *column)
{
	struct str out = STR_INIT;
	char *sorted;
	for (size_t i = 0; i < ovsdb_row_n(row, column); i++) {
		const struct ovsdb_row *c = ovsdb_row_ref_at(db, row, column, i);
		if (c)
			str_printf(&out, "%s%s", out.len ? " " : "",
				   ovsdb_row_string(c, "target", ""));
	}
	sorted = net_sorted_words(str_cstr(&out));
	str_free(&out);
	return sorted;
}

static char *vlans(const struct ovsdb_row *row, const char *column)
{
	uint8_t bits[4096 / 8] = {0};
	struct str out = STR_INIT;
	for (size_t i = 0; i < ovsdb_row_n(row, column); i++) {
		int64_t v = ovsdb_row_int_at(row, column, i);
		if (v >= 0 && v < 4096)
			bits[v / 8] |= (uint8_t)(1u << (v % 8));
	}
	net_ranges_format(bits, 4095, &out);
	return str_steal(&out);
}

static char *column_value(const struct ovsdb_client *db, const struct ovsdb_row *row,
			  const struct net_key *k)
{
	const char *s;
	if (!ovsdb_row_n(row, k->column))
		return NULL;
	switch (k->kind) {
	case NET_VLANS:
		return vlans(row, k->column);
	case NET_TARGETS:
		return targets(db, row, k->column);
	case NET_INT:
		return xasprintf("%lld", (long long)ovsdb_row_int(row, k->column, 0));
	case NET_BOOL:
		return ovsdb_row_bool(row, k->column, false) ? xstrdup("true") : NULL;
	case NET_STRING:
	case NET_ENUM:
	case NET_MAC:
	case NET_CORES:
	case NET_WORDS:
	case NET_MAP:
		break;
	}
	s = ovsdb_row_string(row, k->column, "");
	return s[0] ? xstrdup(s) : NULL;
}

char *net_row_value(const struct ovsdb_client *db, const struct ovsdb_row *row,
		    const struct net_key *k, const char *sub)
{
	const char *key = sub ? sub : k->map_key, *v;
	if (!key[0])
		return column_value(db, row, k);
	v = ovsdb_row_map(row, k->column, key, NULL);
	if (v && k->kind == NET_CORES)
		return mask_as_list(v);
	return v ? xstrdup(v) : NULL;
}

/* ---- writing values ---- */

static void write_vlans(struct ovsdb_client_txn *t, struct uuid row, const struct net_key *k,
			const char *value)
{
	uint8_t bits[4096 / 8];
	VEC(int64_t) list = {0};
	if (net_ranges_parse(value, bits, 4095))
		for (int v = 0; v < 4096; v++)
			if (config_vlan_has(bits, (unsigned)v))
				vec_push(&list, v);
	ovsdb_client_txn_set_ints(t, row, k->table, k->column, list.at, list.len);
	vec_free(&list);
}

static void write_targets(struct ovsdb_client_txn *t, struct uuid row, const struct net_key *k,
			  const char *value)
{
	char *copy = xstrdup(value), *save = NULL;
	VEC(struct uuid) refs = {0};
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		struct uuid c = ovsdb_client_txn_insert(t, "Controller");
		ovsdb_client_txn_set_string(t, c, "Controller", "target", w);
		vec_push(&refs, c);
	}
	ovsdb_client_txn_set_refs(t, row, k->table, k->column, refs.at, refs.len);
	vec_free(&refs);
	free(copy);
}

static void write_map(struct ovsdb_client_txn *t, struct uuid row, const struct net_key *k,
		      const char *key, const char *value)
{
	char *mask = value && k->kind == NET_CORES ? list_as_mask(value) : NULL;
	if (value)
		ovsdb_client_txn_map_put(t, row, k->table, k->column, key, mask ? mask : value);
	else
		ovsdb_client_txn_map_delete(t, row, k->table, k->column, key);
	free(mask);
}

void net_write_value(struct ovsdb_client_txn *t, struct uuid row, const struct net_key *k,
		     const char *sub, const char *value)
{
	const char *key = sub ? sub : k->map_key;
	uint64_t number;
	if (key[0]) {
		write_map(t, row, k, key, value);
		return;
	}
	if (!value && k->def[0])
		value = k->def;
	if (!value && !strcmp(k->column, "type")) {
		ovsdb_client_txn_set_string(t, row, k->table, k->column, "");
		return;
	}
	if (!value) {
		ovsdb_client_txn_clear(t, row, k->table, k->column);
		return;
	}
	switch (k->kind) {
	case NET_VLANS:
		write_vlans(t, row, k, value);
		break;
	case NET_TARGETS:
		write_targets(t, row, k, value);
		break;
	case NET_INT:
		if (parse_u64(value, 10, INT64_MAX, &number))
			ovsdb_client_txn_set_int(t, row, k->table, k->column, (int64_t)number);
		break;
	case NET_BOOL:
		ovsdb_client_txn_set_bool(t, row, k->table, k->column, !strcmp(value, "true"));
		break;
	case NET_STRING:
	case NET_ENUM:
	case NET_MAC:
	case NET_CORES:
	case NET_WORDS:
	case NET_MAP:
		ovsdb_client_txn_set_string(t, row, k->table, k->column, value);
		break;
	}
}
