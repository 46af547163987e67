/* SPDX-License-Identifier: BSD-3-Clause */
/* The keys of a net.yaml and the text forms of their values. Pure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/state/knobs.h"
#include "control/state/net.h"
#include "datapath/base/str.h"

const struct net_key net_keys[] = {
#define KEY(scope, name, table, column, map_key, kind, min, max, choices, def, doc)                \
	{NET_##scope, name, table, column, map_key, NET_##kind, min, max, choices, def, doc},
#include "control/state/net_keys.def"
#undef KEY
};
const size_t net_n_keys = SL_ARRAY_SIZE(net_keys);

const struct net_key *net_key_find(enum net_scope scope, const char *name)
{
	for (size_t i = 0; i < net_n_keys; i++)
		if (net_keys[i].scope == scope && !strcmp(net_keys[i].name, name))
			return &net_keys[i];
	return NULL;
}

bool net_ranges_parse(const char *text, uint8_t *bits, unsigned max)
{
	memset(bits, 0, max / 8 + 1);
	while (*text) {
		char *end;
		unsigned long from, to;
		if (*text < '0' || *text > '9')
			return false;
		from = to = strtoul(text, &end, 10);
		if (*end == '-') {
			if (end[1] < '0' || end[1] > '9')
				return false;
			to = strtoul(end + 1, &end, 10);
		}
		if (from > to || to > max)
			return false;
		for (; from <= to; from++)
			bits[from / 8] |= (uint8_t)(1u << (from % 8));
		if (*end && *end != ',')
			return false;
		text = *end ? end + 1 : end;
		while (*text == ' ')
			text++;
		if (*end && !*text)
			return false;
	}
	return true;
}

void net_ranges_format(const uint8_t *bits, unsigned max, struct str *out)
{
	const char *sep = "";
	for (unsigned i = 0; i <= max; i++) {
		unsigned last = i;
		if (!(bits[i / 8] & 1u << (i % 8)))
			continue;
		while (last < max && bits[(last + 1) / 8] & 1u << ((last + 1) % 8))
			last++;
		str_printf(out, last > i ? "%s%u-%u" : "%s%u", sep, i, last);
		sep = ",";
		i = last;
	}
}

static bool in_choices(const char *choices, const char *v)
{
	size_t n = strlen(v);
	for (const char *c = choices; c; c = strchr(c, '|') ? strchr(c, '|') + 1 : NULL)
		if (!strncmp(c, v, n) && (c[n] == '|' || !c[n]))
			return n > 0;
	return false;
}

static char *canonical_ranges(const char *v, unsigned max)
{
	uint8_t bits[4096 / 8];
	struct str out = STR_INIT;
	if (!net_ranges_parse(v, bits, max))
		return NULL;
	net_ranges_format(bits, max, &out);
	return str_steal(&out);
}

static char *canonical_mac(const char *v)
{
	uint8_t m[6];
	if (!knob_parse_mac(v, m))
		return NULL;
	return xasprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static char *canonical(const struct net_key *k, const char *v)
{
	uint64_t number;
	switch (k->kind) {
	case NET_INT:
		return parse_u64(v, 10, (uint64_t)k->max, &number) && (int64_t)number >= k->min
			       ? xasprintf("%llu", (unsigned long long)number)
			       : NULL;
	case NET_BOOL:
		return !strcmp(v, "true") || !strcmp(v, "yes") || !strcmp(v, "on") ? xstrdup("true")
		       : !strcmp(v, "false") || !strcmp(v, "no") || !strcmp(v, "off")
			       ? xstrdup("false")
			       : NULL;
	case NET_ENUM:
		return in_choices(k->choices, v) ? xstrdup(v) : NULL;
	case NET_VLANS:
		return canonical_ranges(v, 4095);
	case NET_CORES:
		return canonical_ranges(v, NET_CORE_MAX);
	case NET_MAC:
		return canonical_mac(v);
	case NET_STRING:
	case NET_WORDS:
	case NET_TARGETS:
	case NET_MAP:
		break;
	}
	return xstrdup(v);
}

static void explain(const struct net_key *k, const char *v, struct str *why)
{
	switch (k->kind) {
	case NET_INT:
		str_printf(why, "\"%s\" is not a number from %lld to %lld", v, (long long)k->min,
			   (long long)k->max);
		break;
	case NET_BOOL:
		str_printf(why, "\"%s\" is neither true nor false", v);
		break;
	case NET_ENUM:
		str_printf(why, "\"%s\" is not one of %s", v, k->choices);
		break;
	case NET_VLANS:
		str_printf(why, "\"%s\" is not a list of VLANs from 0 to 4095", v);
		break;
	case NET_CORES:
		str_printf(why, "\"%s\" is not a list of cores from 0 to %d", v, NET_CORE_MAX);
		break;
	case NET_MAC:
		str_printf(why, "\"%s\" is not a hardware address", v);
		break;
	case NET_STRING:
	case NET_WORDS:
	case NET_TARGETS:
	case NET_MAP:
		break;
	}
}

char *net_canonical(const struct net_key *k, const char *v, struct str *why)
{
	char *good = canonical(k, v);
	if (!good)
		explain(k, v, why);
	return good;
}
